"""How a system's weights are optimised: AdamW with a warm-up and a cosine."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import cos, pi

import torch
from torch import nn


@dataclass(frozen=True)
class OptimizerSettings:
    """AdamW (Loshchilov & Hutter 2019) and its learning rate over time.

    Args:
        lr, betas: of the U-Net.
        conditioner_lr, conditioner_betas: of the conditioner; None: as the U-Net's (the published system has 1e-4,
            (0.95, 0.99) for the U-Net and 1e-3, (0.5, 0.9) for the encoder).
        weight_decay: of matrices; biases, norms and embeddings of constants are not decayed.
        eps: of Adam.
        warmup_steps: of linear rise.
        total_steps: at which the cosine ends; None: as many as the trainer will do.
        gradient_norm_limit: longer gradients are shortened to this norm; None: never (fp16 with loss scaling needs None).
        final_share: of the learning rate that is left at the end.
    """

    lr: float = 3e-4
    betas: Sequence[float] = (0.9, 0.99)
    conditioner_lr: float | None = None
    conditioner_betas: Sequence[float] | None = None
    weight_decay: float = 1e-2
    eps: float = 1e-8
    warmup_steps: int = 100
    total_steps: int | None = None
    gradient_norm_limit: float | None = 1.0
    final_share: float = 0.02

    def optimizer(self, conditioner: nn.Module, unet: nn.Module) -> torch.optim.AdamW:
        """One AdamW (fused) over both parts."""
        betas = tuple(self.conditioner_betas or self.betas)
        groups = [
            *self._groups(unet.parameters(), self.lr, tuple(self.betas)),
            *self._groups(conditioner.parameters(), self.conditioner_lr or self.lr, betas),
        ]
        return torch.optim.AdamW(groups, lr=self.lr, eps=self.eps, fused=True)

    def _groups(self, parameters: Iterable[nn.Parameter], lr: float, betas: tuple) -> list[dict]:
        learned = [parameter for parameter in parameters if parameter.requires_grad]
        decayed = [parameter for parameter in learned if parameter.ndim >= 2]
        kept = [parameter for parameter in learned if parameter.ndim < 2]
        common = {"lr": lr, "betas": betas}
        return [
            {"params": decayed, "weight_decay": self.weight_decay, **common},
            {"params": kept, "weight_decay": 0.0, **common},
        ]

    def lr_share(self, step: int, total_steps: int) -> float:
        """Share of the learning rate at `step`: linear warm-up, then half a cosine down to `final_share`."""
        if step < self.warmup_steps:
            return (step + 1) / self.warmup_steps
        progress = min(1.0, (step - self.warmup_steps) / max(1, total_steps - self.warmup_steps))
        return self.final_share + (1 - self.final_share) * 0.5 * (1 + cos(pi * progress))
