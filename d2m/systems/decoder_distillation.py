"""Distillation of an autoencoder's diffusion decoder into one that needs one to a few network evaluations.

Progressive distillation (Salimans & Ho 2022, arXiv:2202.00512, algorithm 2) on waveforms: the mathematics is that of
`d2m.diffusion.distillation`. There is no guidance to fold in, because the decoder is told nothing but the latent.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from lightning import LightningModule
from torch import Tensor, nn
from torch.func import functional_call

from d2m.audio.dmae import DMAE
from d2m.audio.dmae_weights import load_dmae
from d2m.diffusion import schedule
from d2m.diffusion.distillation import Jump, random_jumps, teacher_lands, velocity_that_lands
from d2m.errors import BadConfig
from d2m.systems.optimization import OptimizerSettings


class DecoderDistillation(LightningModule):
    """Trains the diffusion decoder of `dmae` to land in one DDIM step where its teacher lands in several.

    The student has `dmae.decoder_steps` steps; encoder and one-pass decoder stay as they are, and so do latents. An
    exported student can be the teacher of one with fewer steps.

    Args:
        dmae: becomes the student; its configuration says how many steps it takes (`decoder_steps`).
        weights: of the teacher, from which the student starts too, as `load_dmae` takes them: a shipped name, a file of
            ours, a folder from the hub, a repository. None: what `dmae` has, to try the recipe.
        teacher_steps: DDIM steps of the teacher to each of the student's; their product should be a number of steps with
            which the teacher is good.
        latent_noise: largest standard deviation of the noise added to latents in training, as the teacher was trained.
        optimization: of the student's U-Net.

    Raises:
        BadConfig: when the weights are of an autoencoder of other parts or sizes, or there is no teacher step.
    """

    def __init__(
        self,
        dmae: DMAE,
        weights: str | None = None,
        teacher_steps: int = 5,
        latent_noise: float | int = 0.1,
        optimization: OptimizerSettings | None = None,
    ) -> None:
        super().__init__()
        if teacher_steps < 1:
            raise BadConfig(
                f"teacher_steps={teacher_steps}: expected 1 or more steps of the teacher to one of the student."
            )
        if weights is not None:
            _give_weights(dmae, weights)
        self.dmae, self.teacher_steps, self.latent_noise = dmae, teacher_steps, latent_noise
        self.optimization = optimization or OptimizerSettings(lr=2e-4, warmup_steps=50)
        dmae.requires_grad_(False)
        dmae.autoencoder.net.requires_grad_(True)
        # A second set of weights for the one network, since a-unet's modules cannot be copied; in a plain dictionary, so
        # that the teacher is no part of the optimiser, of the averaged weights and of checkpoints.
        self._teacher = {name: value.detach().clone() for name, value in dmae.autoencoder.net.named_parameters()}

    @property
    def student_steps(self) -> int:
        """Network evaluations of the student."""
        return self.dmae.decoder_steps

    @torch.no_grad()
    def teacher_velocity(
        self, x: Float[Tensor, "batch channel sample"], sigma: Float[Tensor, "batch"], latent: Tensor
    ) -> Float[Tensor, "batch channel sample"]:
        """What the teacher predicts for waveforms at noise levels `sigma`."""
        if next(iter(self._teacher.values())).device != x.device:
            self._teacher = {name: value.to(x.device) for name, value in self._teacher.items()}
        # a-unet registers some modules twice. Told to tie weights, PyTorch swaps those twice and gives back the wrong
        # ones; each once is right, since both names are of one module.
        arguments, told = (x, sigma), self.dmae.told(latent)
        return functional_call(self.dmae.autoencoder.net, self._teacher, arguments, told, tie_weights=False)

    @torch.no_grad()
    def target(
        self, x: Float[Tensor, "batch channel sample"], jump: Jump, latent: Tensor
    ) -> Float[Tensor, "batch channel sample"]:
        """The velocity with which one step over `jump` lands where the teacher's `teacher_steps` land."""
        landing = teacher_lands(
            lambda noisy, sigma: self.teacher_velocity(noisy, sigma, latent), x, jump, self.teacher_steps
        )
        return velocity_that_lands(x, landing, jump)

    def loss(
        self, waveform: Float[Tensor, "batch channel sample"], generator: torch.Generator | None = None
    ) -> Float[Tensor, ""]:
        """Mean squared error of the student's velocity against the target's, on waveforms of whole latent frames.

        Args:
            waveform: of held music.
            generator: of jumps and noise; None: PyTorch's own.
        """
        with torch.no_grad():
            latent = self.dmae.encode(waveform)
            if self.training:
                level = self.latent_noise * torch.rand(len(latent), 1, 1, device=latent.device)
                latent = latent + level * torch.randn_like(latent)
            jump = random_jumps(len(waveform), self.student_steps, waveform.device, generator)
            noise = torch.randn(waveform.shape, generator=generator).to(waveform)
            x = schedule.noisy(waveform, noise, jump.sigma)
            target = self.target(x, jump, latent)
        predicted = self.dmae.autoencoder.net(x, jump.sigma, **self.dmae.told(latent))
        return nn.functional.mse_loss(predicted.float(), target.float())

    def training_step(self, batch: Mapping[str, Any], _: int) -> Tensor:
        """One step on `batch["waveform"]` [batch channel sample]."""
        loss = self.loss(batch["waveform"])
        self.log("train/loss", loss.detach(), batch_size=len(batch["waveform"]), prog_bar=True)
        return loss

    def validation_step(self, batch: Mapping[str, Any], batch_idx: int) -> None:
        """The same on held-out songs, at noise that is the same at every validation."""
        loss = self.loss(batch["waveform"], torch.Generator().manual_seed(batch_idx))
        self.log("val/loss", loss, batch_size=len(batch["waveform"]))

    def on_before_optimizer_step(self, optimizer: Any) -> None:
        """Shorten a long gradient."""
        if self.optimization.gradient_norm_limit:
            torch.nn.utils.clip_grad_norm_(
                self.dmae.autoencoder.net.parameters(), self.optimization.gradient_norm_limit
            )

    def configure_optimizers(self) -> dict[str, Any]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """AdamW over the student's U-Net."""
        optimizer = self.optimization.optimizer(nn.Module(), self.dmae.autoencoder.net)
        total = self.optimization.total_steps or int(self.trainer.estimated_stepping_batches)
        share = partial(self.optimization.lr_share, total_steps=total)
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, share)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


def _give_weights(dmae: DMAE, weights: str) -> None:
    """Load a trained autoencoder's weights, all of them, into `dmae`."""
    trained = load_dmae(weights)
    try:
        dmae.load_state_dict(trained.state_dict())
    except RuntimeError as error:
        has = "with" if trained.onepass is not None else "without"
        raise BadConfig(
            f"dmae.weights={weights}: of autoencoder '{trained.name}' {has} a one-pass decoder, and not of the parts and "
            f"sizes of dmae '{dmae.name}'; name the dmae= that these weights are of."
        ) from error
