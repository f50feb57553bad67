"""DMAE, the diffusion magnitude autoencoder (Moûsai, Schneider et al., arXiv:2301.11757).

The encoder sees only the magnitude spectrogram; a diffusion U-Net that is told the latent makes the waveform. Built through
audio-encoders-pytorch and audio-diffusion-pytorch, so that published weights have a place to go. Beside the diffusion decoder
stands an optional one-pass decoder of the same latents.
"""

from collections.abc import Sequence
from typing import Any

import torch
from audio_diffusion_pytorch import DiffusionAE, LTPlugin, UNetV0
from audio_encoders_pytorch import ME1d, MelE1d, TanhBottleneck
from jaxtyping import Float
from torch import Tensor, nn

from d2m.clock import Clock
from d2m.errors import BadConfig

DECODER_STEPS = 20
"""DDIM steps of a diffusion decoder whose configuration names no number."""


def mel_encoder(sample_rate: int, mel_n_fft: int = 1024, mel_hop_length: int = 256, **arguments: Any) -> nn.Module:
    """Log-mel magnitude encoder with a tanh bottleneck (`audio_encoders_pytorch.MelE1d`), as in dmae1d-ATC32-v3."""
    return MelE1d(
        mel_sample_rate=sample_rate, mel_n_fft=mel_n_fft, mel_hop_length=mel_hop_length, mel_win_length=mel_n_fft,
        mel_normalize_log=True, bottleneck=TanhBottleneck(), **arguments,
    )  # fmt: skip


def magnitude_encoder(**arguments: Any) -> nn.Module:
    """Linear-frequency magnitude encoder with a tanh bottleneck (`audio_encoders_pytorch.ME1d`), as in dmae1d-ATC64-v2."""
    return ME1d(bottleneck=TanhBottleneck(), **arguments)


class DMAE(nn.Module):
    """Encoder, diffusion decoder and, where given, one-pass decoder.

    Args:
        name: what latents of this autoencoder are filed under.
        sample_rate: samples per second that it is fed and returns.
        in_channels: waveform channels.
        encoder: waveform to latent; its `downsample_factor` is the latent hop.
        filters, window_length, stride: the learned transform before the diffusion U-Net.
        channels, factors, items: the U-Net's levels.
        inject_depth: level at which the latent enters.
        modulation_features: width of the noise-level embedding.
        onepass: one-pass decoder of the same latents, or None.
        decoder_steps: DDIM steps of the diffusion decoder where `decode` is told no number: as many as a distilled one
            was made for (`d2m.systems.decoder_distillation`).

    Raises:
        BadConfig: for fewer than one step.
    """

    def __init__(
        self,
        name: str,
        sample_rate: int,
        in_channels: int,
        encoder: nn.Module,
        filters: int,
        window_length: int,
        stride: int,
        channels: Sequence[int],
        factors: Sequence[int],
        items: Sequence[int],
        inject_depth: int,
        modulation_features: int = 1024,
        onepass: nn.Module | None = None,
        decoder_steps: int = DECODER_STEPS,
    ) -> None:
        super().__init__()
        if decoder_steps < 1:
            raise BadConfig(f"decoder_steps={decoder_steps}: expected 1 or more evaluations of the diffusion decoder.")
        self.name, self.in_channels = name, in_channels
        self.clock = Clock(sample_rate, int(encoder.downsample_factor))
        self.latent_channels = int(encoder.out_channels)
        self.autoencoder = DiffusionAE(
            net_t=LTPlugin(UNetV0, num_filters=filters, window_length=window_length, stride=stride),
            in_channels=in_channels, channels=list(channels), factors=list(factors), items=list(items),
            inject_depth=inject_depth, encoder=encoder, modulation_features=modulation_features,
        )  # fmt: skip
        self.inject_depth, self.onepass, self.decoder_steps = inject_depth, onepass, decoder_steps

    @property
    def encoder(self) -> nn.Module:
        """Waveform to latent."""
        return self.autoencoder.encoder

    def encode(self, waveform: Float[Tensor, "batch channel sample"]) -> Float[Tensor, "batch latent_channel frame"]:
        """Latents in (-1, 1), one frame per started latent hop; the end is padded with silence."""
        return self.encoder(self._padded(waveform))

    def encode_with_preactivation(self, waveform: Tensor) -> tuple[Tensor, Tensor]:
        """Latents, and what they were before the tanh (for the penalty that keeps the tanh out of saturation)."""
        latent, info = self.encoder(self._padded(waveform), with_info=True)
        return latent, info["xs"][-1]

    def diffusion_loss(self, waveform: Tensor, latent: Tensor) -> Float[Tensor, ""]:
        """v-prediction loss of the diffusion decoder (Salimans & Ho 2022) on waveforms of whole latent frames."""
        return self.autoencoder.diffusion(waveform, **self.told(latent))

    def told(self, latent: Float[Tensor, "batch latent_channel frame"]) -> dict[str, Any]:
        """What the diffusion decoder's U-Net, `autoencoder.net(x, sigma, **told)`, is told of the latent."""
        return {"channels": [None] * self.inject_depth + [latent]}

    @torch.no_grad()
    def decode(
        self,
        latent: Float[Tensor, "batch latent_channel frame"],
        steps: int | None = None,
        generator: torch.Generator | None = None,
    ) -> Float[Tensor, "batch channel sample"]:
        """Diffusion decoder: DDIM from noise of exactly the latent's length (the stock class rounds it to a power of two).

        Args:
            latent: what is decoded.
            steps: network evaluations; None: `decoder_steps`.
            generator: of the noise.
        """
        steps = self.decoder_steps if steps is None else steps
        samples = latent.shape[2] * self.clock.latent_hop_samples
        noise = torch.randn((latent.shape[0], self.in_channels, samples), generator=generator).to(latent)
        return self.autoencoder.sampler(noise, num_steps=steps, **self.told(latent))

    @torch.no_grad()
    def decode_onepass(
        self, latent: Float[Tensor, "batch latent_channel frame"], generator: torch.Generator | None = None
    ) -> Float[Tensor, "batch channel sample"]:
        """One-pass decoder.

        Raises:
            RuntimeError: when this autoencoder has none.
        """
        if self.onepass is None:
            raise RuntimeError(f"autoencoder '{self.name}' has no one-pass decoder; use the diffusion decoder.")
        return self.onepass(latent, generator)

    def _padded(self, waveform: Tensor) -> Tensor:
        missing = -waveform.shape[-1] % self.clock.latent_hop_samples
        return nn.functional.pad(waveform, (0, missing)) if missing else waveform
