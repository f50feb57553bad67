"""Training of a DMAE: encoder with one-pass decoder, then the diffusion decoder on the frozen latents (or all at once)."""

from typing import Any

import torch
from jaxtyping import Float
from lightning import LightningModule
from torch import Tensor, nn

from d2m.audio.dmae import DMAE
from d2m.audio.spectral_loss import MultiResolutionSpectralLoss


def latent_health(latent: Float[Tensor, "batch channel frame"]) -> dict[str, float]:
    """How well the latent uses its room.

    Returns:
        `saturated`: share of values beyond |z| 0.99; `dimensions`: participation ratio of the channel covariance,
        (sum of eigenvalues)² / sum of squared eigenvalues, between 1 and the number of channels.
    """
    flat = latent.float().transpose(0, 1).flatten(1)
    eigenvalues = torch.linalg.eigvalsh(torch.cov(flat))
    return {
        "saturated": float((flat.abs() > 0.99).float().mean()),
        "dimensions": float(eigenvalues.sum().square() / eigenvalues.square().sum()),
    }


def spread_loss(latent: Tensor, preactivation: Tensor, target_std: float = 0.5) -> Float[Tensor, ""]:
    """Keeps latents healthy: variance and covariance terms of VICReg (Bardes et al., arXiv:2105.04906), and no saturation.

    Channels are asked for a standard deviation of at least `target_std` and for no correlation with each other; values
    before the tanh are penalised beyond 1.5 (tanh 0.905).
    """
    flat = latent.float().transpose(0, 1).flatten(1)
    centred = flat - flat.mean(dim=1, keepdim=True)
    deviation = (centred.square().mean(dim=1) + 1e-5).sqrt()
    whitened = centred / deviation[:, None]
    correlation = whitened @ whitened.T / flat.shape[1]
    off_diagonal = (correlation - torch.diag(torch.diag(correlation))).square().sum() / len(flat)
    saturation = nn.functional.relu(preactivation.float().abs() - 1.5).square().mean()
    return nn.functional.relu(target_std - deviation).mean() + 0.1 * off_diagonal + saturation


class AutoencoderTraining(LightningModule):
    """Trains the parts of a DMAE that `parts` names; the others stay as they are.

    Args:
        dmae: the autoencoder.
        parts: any of `encoder`, `onepass`, `diffusion`.
        learning_rate: peak rate of AdamW, after `warmup_steps`, falling as a cosine to zero at the trainer's last step.
        latent_noise: largest standard deviation of the noise added to latents in training, so that decoders forgive what a
            diffusion model gets slightly wrong.
        spread_weight: weight of `spread_loss`.
    """

    def __init__(
        self,
        dmae: DMAE,
        parts: list[str] | tuple[str, ...] = ("encoder", "onepass"),
        learning_rate: float = 6e-4,
        warmup_steps: int = 200,
        latent_noise: float = 0.1,
        spread_weight: float = 1.0,
    ) -> None:
        super().__init__()
        self.dmae, self.parts = dmae, tuple(parts)
        self.learning_rate, self.warmup_steps = learning_rate, warmup_steps
        self.latent_noise, self.spread_weight = latent_noise, spread_weight
        self.spectral_loss = MultiResolutionSpectralLoss(dmae.clock.sample_rate)
        modules = {"encoder": dmae.encoder, "onepass": dmae.onepass, "diffusion": dmae.autoencoder.net}
        unknown = set(self.parts) - set(modules)
        if unknown:
            raise ValueError(f"parts names {sorted(unknown)}; expected any of {sorted(modules)}")
        for name, module in modules.items():
            if module is not None:
                module.requires_grad_(name in self.parts)

    def losses(self, waveform: Float[Tensor, "batch channel sample"]) -> dict[str, Tensor]:
        """The loss of each part, and their weighted sum as `loss`."""
        parts: dict[str, Tensor] = {}
        with torch.set_grad_enabled("encoder" in self.parts and torch.is_grad_enabled()):
            latent, preactivation = self.dmae.encode_with_preactivation(waveform)
        if "encoder" in self.parts:
            parts["spread"] = self.spread_weight * spread_loss(latent, preactivation)
        if self.training:
            level = self.latent_noise * torch.rand(len(latent), 1, 1, device=latent.device)
            latent = latent + level * torch.randn_like(latent)
        if "onepass" in self.parts:
            assert self.dmae.onepass is not None
            parts["onepass"] = self.spectral_loss(self.dmae.onepass(latent), waveform)
        if "diffusion" in self.parts:
            parts["diffusion"] = self.dmae.diffusion_loss(waveform, latent)
        parts["loss"] = torch.stack(list(parts.values())).sum()
        return parts

    def training_step(self, batch: dict[str, Any], _: int) -> Tensor:
        """One step on `batch["waveform"]` [batch channel sample]."""
        parts = self.losses(batch["waveform"])
        self.log_dict({f"train/{name}": value.detach() for name, value in parts.items()}, prog_bar=True)
        return parts["loss"]

    def validation_step(self, batch: dict[str, Any], _: int) -> None:
        """The same losses on held-out songs, and the health of the latents."""
        parts = self.losses(batch["waveform"])
        health = latent_health(self.dmae.encode(batch["waveform"]))
        metrics = {**parts, **health}
        self.log_dict({f"val/{name}": value for name, value in metrics.items()}, batch_size=len(batch["waveform"]))

    def configure_optimizers(self) -> Any:
        """AdamW with a linear warm-up and a cosine to zero at the last step."""
        parameters = [p for p in self.parameters() if p.requires_grad]
        optimizer = torch.optim.AdamW(parameters, self.learning_rate, betas=(0.9, 0.98), weight_decay=1e-2)
        total = int(self.trainer.estimated_stepping_batches)
        warmup = torch.optim.lr_scheduler.LinearLR(optimizer, 1e-3, total_iters=self.warmup_steps)
        cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(1, total - self.warmup_steps))
        schedule = torch.optim.lr_scheduler.SequentialLR(optimizer, [warmup, cosine], [self.warmup_steps])
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
