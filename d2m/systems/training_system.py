"""The auxiliary losses on the motion encoder, and the weights of all parts of the loss."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import cos, isfinite, pi
from typing import Any

import lightning
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from d2m.core.errors import BadConfig
from d2m.models.heads import UNKNOWN_GENRE


@dataclass(frozen=True)
class LossWeights:
    """Weights of the parts of the loss.

    The published system has velocity 0.1 and genre 1, and no rhythm head.

    Args:
        velocity, genre, rhythm: factor of each part.
        beat_pos_weight: how much more a frame with a beat counts than one without: most frames have none.
    """

    velocity: float = 1.0
    genre: float = 0.1
    rhythm: float = 0.5
    beat_pos_weight: float = 3.0


def genre_loss(logits: Float[Tensor, "batch 10"], genre: Int[Tensor, " batch"]) -> Float[Tensor, ""]:
    """Mean cross-entropy of the rows whose genre is known; 0 where none is."""
    known = (genre != UNKNOWN_GENRE).float()
    losses = F.cross_entropy(logits.float(), genre.clamp(max=UNKNOWN_GENRE - 1), reduction="none")
    return (losses * known).sum() / known.sum().clamp(min=1)


@torch.no_grad()
def genre_accuracy(logits: Float[Tensor, "batch 10"], genre: Int[Tensor, " batch"]) -> Float[Tensor, ""]:
    """Share of the rows of known genre whose genre is the most probable one; NaN where no genre is known."""
    known = genre != UNKNOWN_GENRE
    return ((logits.argmax(dim=-1) == genre) & known).sum() / known.sum()


def rhythm_loss(
    logits: Float[Tensor, "batch 2 frame"], curves: Float[Tensor, "batch 2 frame"], beat_pos_weight: float
) -> Float[Tensor, ""]:
    """Binary cross-entropy against curves in [0, 1]: beat activation, onset envelope."""
    weight = torch.tensor([beat_pos_weight, 1.0], device=logits.device)[:, None]
    return F.binary_cross_entropy_with_logits(logits.float(), curves.float(), pos_weight=weight)


# How a system's weights are optimised: AdamW, and its learning rate over time.


SCHEDULES = ("cosine", "constant", "step")


def matrices_of(part: nn.Module) -> set[int]:
    """`id` of every parameter that is multiplied with an input: weights of linear layers and kernels of convolutions.

    Embeddings (of genres, codes, positions), null conditions and class tokens are constants that are looked up or added,
    however many axes they have.
    """
    return {
        id(parameter)
        for module in part.modules()
        if not isinstance(module, nn.Embedding)
        for name, parameter in module.named_parameters(recurse=False)
        if parameter.ndim >= 2 and (name.endswith("weight") or name == "kernel")
    }


@dataclass(frozen=True)
class OptimizerSettings:
    """AdamW (Loshchilov & Hutter 2019) and its learning rate over time.

    Args:
        lr, betas: of the U-Net.
        conditioner_lr, conditioner_betas: of the conditioner; None: as the U-Net's (the published system has 1e-4,
            (0.95, 0.99) for the U-Net and 1e-3, (0.5, 0.9) for the encoder).
        weight_decay: of matrices (see `matrices_of`); biases, norms, embeddings and null conditions are not decayed.
        eps: of Adam.
        conditioner_weight_decay, conditioner_eps: of the conditioner; None: as the U-Net's.
        decay_vectors: whether all else is decayed too, as by an AdamW that nobody told about groups.
        schedule: after the warm-up, `cosine` falls to `final_share` at the last step, `constant` stays, and `step`
            multiplies by `decay` every `step_every_steps` steps (published: 0.5 every 30 epochs, which ends learning by
            epoch 300 of 2000).
        step_every_steps, decay: of `step`.
        warmup_steps: of linear rise.
        total_steps: at which the cosine ends; None: as many as the trainer will do.
        gradient_norm_limit: longer gradients are shortened to this norm; None: never (fp16 with loss scaling needs None).
        final_share: of the learning rate that is left at the end of the cosine.
    """

    lr: float = 3e-4
    betas: Sequence[float] = (0.9, 0.99)
    conditioner_lr: float | None = None
    conditioner_betas: Sequence[float] | None = None
    weight_decay: float = 1e-2
    eps: float = 1e-8
    conditioner_weight_decay: float | None = None
    conditioner_eps: float | None = None
    decay_vectors: bool = False
    schedule: str = "cosine"
    step_every_steps: int | None = None
    decay: float = 0.5
    warmup_steps: int = 100
    total_steps: int | None = None
    gradient_norm_limit: float | None = 1.0
    final_share: float = 0.02

    def __post_init__(self) -> None:
        rates = {"lr": self.lr, "conditioner_lr": self.conditioner_lr}
        for name, rate in rates.items():
            if rate is not None and not (isfinite(rate) and rate >= 0):
                raise BadConfig(f"{name}={rate}: expected a learning rate of 0 or more, such as 3e-4.")
        if self.schedule not in SCHEDULES:
            raise ValueError(f"schedule={self.schedule}: unknown; expected one of {', '.join(SCHEDULES)}.")
        if self.schedule == "step" and (self.step_every_steps or 0) < 1:
            raise ValueError(f"schedule=step needs step_every_steps of at least 1, not {self.step_every_steps}.")

    def optimizer(self, conditioner: nn.Module, unet: nn.Module) -> torch.optim.AdamW:
        """One AdamW (fused) over both parts; equal to one for each, since AdamW looks at one weight at a time."""
        own_decay, own_eps = self.conditioner_weight_decay, self.conditioner_eps
        unets = {"lr": self.lr, "betas": tuple(self.betas), "eps": self.eps}
        conditioners = {
            "lr": self.lr if self.conditioner_lr is None else self.conditioner_lr,
            "betas": tuple(self.betas if self.conditioner_betas is None else self.conditioner_betas),
            "eps": self.eps if own_eps is None else own_eps,
        }
        groups = [
            *self._groups(unet, self.weight_decay, unets),
            *self._groups(conditioner, self.weight_decay if own_decay is None else own_decay, conditioners),
        ]
        return torch.optim.AdamW(groups, lr=self.lr, eps=self.eps, fused=True)

    def _groups(self, part: nn.Module, weight_decay: float, common: dict) -> list[dict]:
        matrices = matrices_of(part)
        learned = [parameter for parameter in part.parameters() if parameter.requires_grad]
        decayed = [parameter for parameter in learned if self.decay_vectors or id(parameter) in matrices]
        kept = [parameter for parameter in learned if not self.decay_vectors and id(parameter) not in matrices]
        return [
            {"params": decayed, "weight_decay": weight_decay, **common},
            {"params": kept, "weight_decay": 0.0, **common},
        ]

    def steps_of(self, trainer: lightning.Trainer) -> int:
        """`total_steps`, or as many as the trainer will do."""
        return int(trainer.estimated_stepping_batches) if self.total_steps is None else self.total_steps

    def lr_share(self, step: int, total_steps: int) -> float:
        """Share of the learning rate at `step`: linear warm-up, then the schedule."""
        if step < self.warmup_steps:
            return (step + 1) / self.warmup_steps
        if self.schedule == "constant":
            return 1.0
        if self.schedule == "step":
            assert self.step_every_steps is not None
            return self.decay ** (step // self.step_every_steps)
        progress = min(1.0, (step - self.warmup_steps) / max(1, total_steps - self.warmup_steps))
        return self.final_share + (1 - self.final_share) * 0.5 * (1 + cos(pi * progress))


# What every system that `d2m.training.run.fit` trains from its own loss has in common: logging, optimiser, checkpoints.


def shown(batch: Mapping[str, Any], modality: str) -> Tensor:
    """The modality of the dance that a system's reader reads (`d2m.video.modality`).

    Raises:
        BadConfig: when the data do not bring it.
    """
    if modality not in batch:
        raise BadConfig(f"data.{modality}=false: this system reads {modality}; set data.{modality}=true.")
    return batch[modality]


class TrainedSystem(lightning.LightningModule, ABC):
    """A system trained by the sum of some losses.

    Args:
        optimization: settings of the optimiser.
    """

    def __init__(self, optimization: OptimizerSettings | None = None) -> None:
        super().__init__()
        self.optimization = optimization or OptimizerSettings()
        self.config: dict[str, Any] = {}
        """The configuration that this system was built from; whoever builds it puts it here, checkpoints carry it."""

    @abstractmethod
    def compute_losses(
        self, batch: Mapping[str, Any], training: bool, generator: torch.Generator | None = None
    ) -> dict[str, Tensor]:
        """Every part of the loss, unweighted, the weighted sum as `loss`, and what else is worth logging.

        Args:
            batch: rows of the system's data.
            training: whether things are dropped and augmented.
            generator: of what is drawn; None: PyTorch's own.
        """

    @abstractmethod
    def optimized(self) -> tuple[nn.Module, nn.Module]:
        """What reads the motion and what makes the music: each has its own settings of the optimiser."""

    def read_rhythm(self, batch: Mapping[str, Any]) -> tuple[Float[Tensor, "batch curve frame"], float] | None:
        """Rhythm curves, the beat first, that the system reads in a batch's motion, as logits, and their frames a second; None: it reads none."""
        return None

    def training_step(self, batch: Mapping[str, Any], batch_idx: int) -> Tensor:
        """Loss of one batch; logs its parts."""
        parts = self.compute_losses(batch, training=True)
        logged = {f"train/{name}": part.detach() for name, part in parts.items()}
        self.log_dict(logged, batch_size=len(batch["genre"]), prog_bar=False)
        self.log("loss", parts["loss"].detach(), prog_bar=True, logger=False)
        return parts["loss"]

    def validation_step(self, batch: Mapping[str, Any], batch_idx: int) -> None:
        """Logs the loss; what is drawn is the same at every validation."""
        parts = self.compute_losses(batch, training=False, generator=torch.Generator().manual_seed(batch_idx))
        # NaN is what a batch cannot tell, such as the accuracy where no genre is known: it does not count.
        logged = {f"val/{name}": part for name, part in parts.items() if not part.isnan()}
        logged["val/loss"] = parts["loss"]
        self.log_dict(logged, batch_size=len(batch["genre"]))

    def configure_optimizers(self) -> dict[str, Any]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """AdamW and its schedule, one learning rate per step."""
        optimizer = self.optimization.optimizer(*self.optimized())
        share = partial(self.optimization.lr_share, total_steps=self.optimization.steps_of(self.trainer))
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, share)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Limit the gradient's norm here: Lightning's own clipping refuses a fused AdamW under mixed precision."""
        if self.optimization.gradient_norm_limit:
            torch.nn.utils.clip_grad_norm_(self.parameters(), self.optimization.gradient_norm_limit)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """A checkpoint carries the configuration that rebuilds its system."""
        checkpoint["config"] = self.config
