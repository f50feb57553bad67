"""Training of a stereo autoencoder: spectral distances, latents that know the harmony, and at the end a discriminator."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from d2m.audio.autoencoder import DMAE
from d2m.audio.discriminator import persuasion_losses, verdict_loss
from d2m.audio.istft_autoencoder import SpectralDecoder, SpectralEncoder
from d2m.audio.reconstruction import LatentRegression, StereoSpectralLoss
from d2m.core.errors import BadConfig
from d2m.systems.autoencoder import AutoencoderTraining


class StereoAutoencoderTraining(AutoencoderTraining):
    """Trains encoder and one-pass decoder on 2-channel music.

    The rate is held after the warm-up, so that a run may be stopped and gone on with at will; a last one with
    `decay_steps` lets it fall to zero.

    Args:
        dmae: the autoencoder.
        spectral: see `d2m.audio.reconstruction.StereoSpectralLoss`: its settings beside the sample rate.
        phase_weight: weight of the phases of what is drawn.
        principal_start: begin with the principal components of the training music's spectra for latents, and with the oscillators that they say.
        regression_weight: weight of chroma and channel balance read from the latents.
        decay_steps: over how many of the trainer's last steps the rate falls linearly to zero.
        discriminator: a network like `d2m.audio.discriminator.SpectrumDiscriminator`; None: there is none.
        discriminator_every: steps from one with the discriminator to the next.
        discriminator_samples: length of the stretch that it is shown.
        adversarial_weight, feature_weight: weights of its verdict and of its features in such a step.
        settings: see `AutoencoderTraining`.
    """

    def __init__(
        self,
        dmae: DMAE,
        parts: list[str] | tuple[str, ...] = ("encoder", "onepass"),
        spectral: dict[str, Any] | None = None,
        phase_weight: float | int = 1.0,
        principal_start: bool = False,
        regression_weight: float = 0.3,
        decay_steps: int = 0,
        discriminator: nn.Module | None = None,
        discriminator_every: int = 2,
        discriminator_samples: int = 32768,
        adversarial_weight: float = 0.1,
        feature_weight: float = 1.0,
        **settings: Any,
    ) -> None:
        super().__init__(dmae, parts, **settings)
        if dmae.in_channels != 2 or dmae.onepass is None or "onepass" not in self.parts:
            raise BadConfig(
                f"autoencoder '{dmae.name}': has {dmae.in_channels} channels and trains {', '.join(self.parts)}; expected 2 channels and a "
                "one-pass decoder to train."
            )
        clock = dmae.clock
        self.spectral_loss: StereoSpectralLoss = StereoSpectralLoss(clock.sample_rate, **(spectral or {}))
        self.regression = LatentRegression(clock.sample_rate, dmae.latent_channels, clock.latent_hop_samples)
        self.regression_weight, self.decay_steps = regression_weight, decay_steps
        self.phase_weight, self.principal_start = phase_weight, principal_start
        self.discriminator, self.discriminator_every = discriminator, discriminator_every
        self.discriminator_samples = discriminator_samples
        self.adversarial_weight, self.feature_weight = adversarial_weight, feature_weight
        if discriminator is not None:  # its optimiser is no business of Lightning's, which would count its steps
            rate = {"lr": self.learning_rate / 2, "betas": (0.8, 0.99), "weight_decay": 1e-3}
            self.discriminator_optimizer = torch.optim.AdamW(discriminator.parameters(), **rate)

    def fit_statistics(self, waveforms: Float[Tensor, "batch 2 sample"]) -> None:
        """Take the principal components of training music to begin with, where this is asked for."""
        if not self.principal_start:
            return
        encoder, decoder = self.dmae.encoder, self.dmae.onepass
        assert isinstance(encoder, SpectralEncoder) and isinstance(decoder, SpectralDecoder)
        decoder.start_from(encoder.start_from_principal_components(waveforms))

    def decoded(self, latent: Float[Tensor, "batch channel frame"]) -> tuple[Tensor, Tensor]:
        """Drawn spectra and oscillators together, and the first alone."""
        assert isinstance(self.dmae.onepass, SpectralDecoder)
        drawn, held = self.dmae.onepass.parts(latent)
        return drawn + held, drawn

    def further_losses(
        self,
        latent: Float[Tensor, "batch channel frame"],
        decoded: Tensor,
        drawn: Tensor,
        waveform: Float[Tensor, "batch 2 sample"],
    ) -> dict[str, Tensor]:
        """Phases of what is drawn, what is read from the latents and, in the steps that show it, what the discriminator says."""
        more = {
            "phases": self.phase_weight * self.spectral_loss.phases(drawn, waveform),
            "regression": self.regression_weight * self.regression(latent, waveform),
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
