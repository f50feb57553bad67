"""The one-pass decoder's loss: spectral distances between waveforms at several resolutions."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from lightning import LightningModule
from torch import Tensor, nn
from torch.func import functional_call
from torchaudio.functional import melscale_fbanks

from d2m.audio.autoencoder import DMAE
from d2m.audio.pretrained import load_dmae
from d2m.core.errors import BadConfig
from d2m.diffusion import processes as schedule
from d2m.diffusion.distillation import Jump, random_jumps, rollout_velocity, teacher_rollout
from d2m.systems.training_system import OptimizerSettings


class MultiResolutionSpectralLoss(nn.Module):
    """Log-magnitude L1 plus spectral convergence over several window lengths, plus log-mel L1.

    Equations 3-6 of Yamamoto et al. (Parallel WaveGAN, arXiv:1910.11480), with hops of a quarter window.

    Args:
        sample_rate: samples per second.
        windows: window lengths in samples.
        mels: bands of the log-mel term.
        floor: added to magnitudes before the logarithm.
    """

    def __init__(
        self,
        sample_rate: int,
        windows: Sequence[int] = (128, 256, 512, 1024, 2048),
        mels: int = 80,
        floor: float = 3e-3,
    ) -> None:
        super().__init__()
        self.windows, self.floor = tuple(windows), floor
        for length in self.windows:
            self.register_buffer(f"window_{length}", torch.hann_window(length), persistent=False)
        bank = melscale_fbanks(513, 0.0, sample_rate / 2, mels, sample_rate, norm="slaney")
        self.mel_bank: Tensor
        self.register_buffer("mel_bank", bank * 40, persistent=False)  # brings slaney's areas back to about unit height

    def _magnitude(self, wave: Tensor, length: int) -> Tensor:
        spectrum = torch.stft(wave, length, length // 4, window=getattr(self, f"window_{length}"), return_complex=True)
        return (spectrum.real.square() + spectrum.imag.square() + 1e-9).sqrt() / length**0.5

    def forward(
        self, estimate: Float[Tensor, "batch channel sample"], target: Float[Tensor, "batch channel sample"]
    ) -> Float[Tensor, ""]:
        """Mean over the resolutions; 0 for equal waveforms."""
        with torch.autocast(estimate.device.type, enabled=False):  # a logarithm of bfloat16 sums is too coarse
            return self._distance(estimate.flatten(0, 1).float(), target.flatten(0, 1).float())

    def _distance(self, estimate: Tensor, target: Tensor) -> Tensor:
        loss = estimate.new_zeros(())
        for length in self.windows:
            found, wanted = self._magnitude(estimate, length), self._magnitude(target, length)
            loss = loss + nn.functional.l1_loss((found + self.floor).log(), (wanted + self.floor).log())
            loss = loss + 0.5 * (found - wanted).norm() / wanted.norm().clamp(min=1e-3)
            if length == 1024:
                loss = loss + nn.functional.l1_loss(
                    (self.mel_bank.T @ found + self.floor).log(), (self.mel_bank.T @ wanted + self.floor).log()
                )
        return loss / len(self.windows)


# Training of a DMAE: encoder with one-pass decoder, then the diffusion decoder on the frozen latents (or all at once).


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
        modules = {"encoder": dmae.encoder, "onepass": dmae.onepass, "diffusion": dmae.diffusion_network}
        has = sorted(name for name, module in modules.items() if module is not None)
        unknown = sorted(set(self.parts) - set(has))
        if unknown:
            raise BadConfig(
                f"parts={unknown}: autoencoder '{dmae.name}' has no such part; expected any of {', '.join(has)}."
            )
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
            parts |= self.onepass_losses(latent, waveform)
        if "diffusion" in self.parts:
            parts["diffusion"] = self.dmae.diffusion_loss(waveform, latent)
        parts["loss"] = torch.stack(list(parts.values())).sum()
        return parts

    def onepass_losses(
        self, latent: Float[Tensor, "batch latent_channel frame"], waveform: Float[Tensor, "batch channel sample"]
    ) -> dict[str, Tensor]:
        """What the one-pass decoder is asked for."""
        assert self.dmae.onepass is not None
        return {"onepass": self.spectral_loss(self.dmae.onepass(latent), waveform)}

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


# Training of a one-pass decoder for a published autoencoder, which stays as it is.


class OnePassTraining(AutoencoderTraining):
    """Trains `dmae.onepass` on the latents of the encoder with the weights given; nothing else changes.

    Args:
        dmae: the autoencoder with a one-pass decoder to train.
        weights: of the same autoencoder, with or without a one-pass decoder, as `load_dmae` takes them: a folder from the
            hub, a repository, a file of ours. None: what `dmae` has.
        settings: of `AutoencoderTraining`.

    Raises:
        BadConfig: when there is nothing to train, or the weights are of an autoencoder of other sizes.
    """

    def __init__(self, dmae: DMAE, weights: str | None = None, **settings: Any) -> None:
        if dmae.onepass is None:
            raise BadConfig(
                f"autoencoder '{dmae.name}' has no one-pass decoder to train; give dmae.architecture.onepass."
            )
        super().__init__(dmae, ("onepass",), **settings)
        if weights is None:
            return
        trained = load_dmae(weights)
        try:
            dmae.autoencoder.load_state_dict(trained.autoencoder.state_dict())
        except RuntimeError as error:
            raise BadConfig(
                f"dmae.weights={weights}: of autoencoder '{trained.name}' in other sizes than those of dmae "
                f"'{dmae.name}'; name the dmae= that these weights are of."
            ) from error


# Distillation of an autoencoder's diffusion decoder into one that needs one to a few network evaluations.
#
# Progressive distillation (Salimans & Ho 2022, arXiv:2202.00512, algorithm 2) on waveforms: the mathematics is that of
# `d2m.diffusion.distillation`. There is no guidance to fold in, because the latent is its only condition.


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
        if dmae.diffusion_network is None:
            raise BadConfig(f"autoencoder '{dmae.name}' has no diffusion decoder to distil; name another dmae=.")
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
        self, x: Float[Tensor, "batch channel sample"], sigma: Float[Tensor, " batch"], latent: Tensor
    ) -> Float[Tensor, "batch channel sample"]:
        """What the teacher predicts for waveforms at noise levels `sigma`."""
        if next(iter(self._teacher.values())).device != x.device:
            self._teacher = {name: value.to(x.device) for name, value in self._teacher.items()}
        # a-unet registers some modules twice. Told to tie weights, PyTorch swaps those twice and gives back the wrong
        # ones; each once is right, since both names are of one module.
        arguments, cond = (x, sigma), self.dmae.condition(latent)
        return functional_call(self.dmae.autoencoder.net, self._teacher, arguments, cond, tie_weights=False)

    @torch.no_grad()
    def target(
        self, x: Float[Tensor, "batch channel sample"], jump: Jump, latent: Tensor
    ) -> Float[Tensor, "batch channel sample"]:
        """The velocity with which one step over `jump` lands where the teacher's `teacher_steps` land."""
        landing = teacher_rollout(
            lambda noisy, sigma: self.teacher_velocity(noisy, sigma, latent), x, jump, self.teacher_steps
        )
        return rollout_velocity(x, landing, jump)

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
            x = schedule.add_noise(waveform, noise, jump.sigma)
            target = self.target(x, jump, latent)
        predicted = self.dmae.autoencoder.net(x, jump.sigma, **self.dmae.condition(latent))
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
        share = partial(self.optimization.lr_share, total_steps=self.optimization.steps_of(self.trainer))
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
