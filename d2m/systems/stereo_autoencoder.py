"""Training of a stereo autoencoder: principal components, then a decoder by spectral distances and at the end a discriminator."""

from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from d2m.audio.autoencoder import DMAE
from d2m.audio.discriminator import persuasion_losses, verdict_loss
from d2m.audio.istft_autoencoder import SpectralDecoder, SpectralEncoder
from d2m.audio.reconstruction import StereoSpectralLoss
from d2m.core.errors import BadConfig
from d2m.systems.autoencoder import AutoencoderTraining


class StereoAutoencoderTraining(AutoencoderTraining):
    """Fits the encoder to 2-channel music and trains the one-pass decoder.

    The rate is held after the warm-up, so that a run may be stopped and gone on with at will; a last one with
    `decay_steps` lets it fall to zero.

    Args:
        dmae: the autoencoder.
        spectral: see `d2m.audio.reconstruction.StereoSpectralLoss`: its settings beside the sample rate.
        phase_weight: weight of the phases of what is drawn.
        held_weight: weight of the oscillators' levels.
        energy_weight: weight of the energy of bands, of all that is decoded.
        fit_encoder: take the principal components of the training music for latents, and begin with the oscillators that they say.
        decay_steps: over how many of the trainer's last steps the rate falls linearly to zero.
        discriminator: a network like `d2m.audio.discriminator.SpectrumDiscriminator`; None: there is none.
        discriminator_every: steps from one with the discriminator to the next.
        discriminator_samples: length of the stretch that it is shown.
        adversarial_weight, feature_weight: weights of its verdict and of its features in such a step.
        settings: see `AutoencoderTraining`.

    Raises:
        BadConfig: when it is no autoencoder of 2 channels on spectra.
    """

    def __init__(
        self,
        dmae: DMAE,
        spectral: dict[str, Any] | None = None,
        phase_weight: float | int = 1.0,
        held_weight: float | int = 1.0,
        energy_weight: float | int = 2.0,
        fit_encoder: bool = False,
        decay_steps: int = 0,
        discriminator: nn.Module | None = None,
        discriminator_every: int = 2,
        discriminator_samples: int = 32768,
        adversarial_weight: float = 0.1,
        feature_weight: float = 1.0,
        **settings: Any,
    ) -> None:
        super().__init__(dmae, ("onepass",), **settings)
        if dmae.in_channels != 2 or not (
            isinstance(dmae.encoder, SpectralEncoder) and isinstance(dmae.onepass, SpectralDecoder)
        ):
            raise BadConfig(
                f"autoencoder '{dmae.name}': has {dmae.in_channels} channels, {type(dmae.encoder).__name__} and "
                f"{type(dmae.onepass).__name__}; expected one of 2 channels on spectra, such as dmae=stereo."
            )
        self.spectral_loss: StereoSpectralLoss = StereoSpectralLoss(dmae.clock.sample_rate, **(spectral or {}))
        self.phase_weight, self.held_weight, self.energy_weight = phase_weight, held_weight, energy_weight
        self.decay_steps = decay_steps
        self.fit_encoder = fit_encoder
        self.discriminator, self.discriminator_every = discriminator, discriminator_every
        self.discriminator_samples = discriminator_samples
        self.adversarial_weight, self.feature_weight = adversarial_weight, feature_weight
        if discriminator is not None:  # its optimiser is no business of Lightning's, which would count its steps
            rate = {"lr": self.learning_rate / 2, "betas": (0.8, 0.99), "weight_decay": 1e-3}
            self.discriminator_optimizer = torch.optim.AdamW(discriminator.parameters(), **rate)

    @property
    def encoder(self) -> SpectralEncoder:
        """The autoencoder's."""
        return cast(SpectralEncoder, self.dmae.encoder)

    @property
    def decoder(self) -> SpectralDecoder:
        """The same."""
        return cast(SpectralDecoder, self.dmae.onepass)

    def fit_statistics(self, waveforms: Float[Tensor, "batch 2 sample"]) -> None:
        """Take the principal components of training music, where this is asked for."""
        if self.fit_encoder:
            self.decoder.start_from(self.encoder.fit(waveforms))

    def onepass_losses(
        self, latent: Float[Tensor, "batch latent_channel frame"], waveform: Float[Tensor, "batch 2 sample"]
    ) -> dict[str, Tensor]:
        """Spectral distance, the oscillators' levels, phases of what is drawn, energy, and in some steps what the discriminator says.

        Oscillators learn from levels and energy alone: through spectra they learn little, since it is by chance that their phases are a recording's.
        """
        drawn, held, level = self.decoder.parts(latent)
        decoded = drawn + held.detach()
        with torch.no_grad(), torch.autocast(waveform.device.type, enabled=False):
            wanted = self.encoder.tone_levels.of_oscillators(waveform.float()).repeat_interleave(2, dim=1)
        more = {
            "onepass": self.spectral_loss(decoded, waveform),
            "held": self.held_weight * ((level.exp() + 1e-3).log() - (wanted + 1e-3).log()).abs().mean(),
            "energy": self.energy_weight * self.spectral_loss.energies(drawn + held, waveform),
            "phases": self.phase_weight * self.spectral_loss.phases(drawn, waveform),
        }
        if self.discriminator is None or not self.training or self.global_step % self.discriminator_every:
            return more
        length = min(self.discriminator_samples, waveform.shape[-1])
        start = int(torch.randint(waveform.shape[-1] - length + 1, ()))
        ours, theirs = decoded[..., start : start + length], waveform[..., start : start + length]
        self._teach(self.discriminator, ours.detach(), theirs)
        self.discriminator.requires_grad_(False)
        verdicts, features = persuasion_losses(self.discriminator(theirs), self.discriminator(ours))
        self.discriminator.requires_grad_(True)
        return more | {"adversarial": self.adversarial_weight * verdicts, "features": self.feature_weight * features}

    def _teach(self, discriminator: nn.Module, decoded: Tensor, recorded: Tensor) -> None:
        """A step of the discriminator's own optimiser."""
        loss = verdict_loss(discriminator(recorded), discriminator(decoded))
        self.discriminator_optimizer.zero_grad()
        loss.backward()
        self.discriminator_optimizer.step()
        self.log("train/verdict", loss.detach())

    def configure_optimizers(self) -> Any:
        """AdamW over all but the discriminator: a linear warm-up, a constant rate and, where asked for, a linear fall."""
        of_discriminator = {id(p) for p in self.discriminator.parameters()} if self.discriminator else set()
        parameters = [p for p in self.parameters() if p.requires_grad and id(p) not in of_discriminator]
        optimizer = torch.optim.AdamW(parameters, self.learning_rate, betas=(0.9, 0.98), weight_decay=1e-2)
        total = int(self.trainer.estimated_stepping_batches)

        def share(step: int) -> float:
            left = (total - step) / self.decay_steps if self.decay_steps else 1.0
            return max(min((step + 1) / max(self.warmup_steps, 1), left, 1.0), 0.0)

        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, share)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """The state of the discriminator's optimiser too."""
        if self.discriminator is not None:
            checkpoint["discriminator_optimizer"] = self.discriminator_optimizer.state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """The same."""
        if self.discriminator is not None:
            self.discriminator_optimizer.load_state_dict(checkpoint["discriminator_optimizer"])
