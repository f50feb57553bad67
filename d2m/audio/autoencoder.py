"""DMAE, the diffusion magnitude autoencoder (Moûsai, Schneider et al., arXiv:2301.11757).

The encoder sees only the magnitude spectrogram; a diffusion U-Net conditioned on the latent makes the waveform. Built through
audio-encoders-pytorch and audio-diffusion-pytorch, so that published weights have a place to go. Beside the diffusion decoder,
or in its place, stands a one-pass decoder of the same latents.
"""

from collections.abc import Sequence
from typing import Any

import torch
from audio_diffusion_pytorch import DiffusionAE, LTPlugin, UNetV0
from audio_encoders_pytorch import ME1d, MelE1d, TanhBottleneck
from jaxtyping import Float
from torch import Tensor, nn

from d2m.core.errors import BadConfig
from d2m.core.timeline import Timeline

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
    """Encoder and decoders: a diffusion decoder, a one-pass decoder, or both.

    Args:
        name: what latents of this autoencoder are filed under.
        sample_rate: samples per second that it is fed and returns.
        in_channels: waveform channels.
        encoder: waveform to latent; its `downsample_factor` is the latent hop.
        filters, window_length, stride: the learned transform before the diffusion U-Net.
        channels, factors, items: the U-Net's levels; None for all six: there is no diffusion decoder.
        inject_depth: level at which the latent enters.
        modulation_features: width of the noise-level embedding.
        onepass: one-pass decoder of the same latents, or None.
        decoder_steps: DDIM steps of the diffusion decoder where `decode` is given no number: as many as a distilled one
            was made for (`d2m.systems.autoencoder`).

    Raises:
        BadConfig: for fewer than one step, and where there is neither decoder.
    """

    def __init__(
        self,
        name: str,
        sample_rate: int,
        in_channels: int,
        encoder: Any,
        filters: int | None = None,
        window_length: int | None = None,
        stride: int | None = None,
        channels: Sequence[int] | None = None,
        factors: Sequence[int] | None = None,
        items: Sequence[int] | None = None,
        inject_depth: int = 0,
        modulation_features: int = 1024,
        onepass: nn.Module | None = None,
        decoder_steps: int = DECODER_STEPS,
    ) -> None:
        super().__init__()
        if decoder_steps < 1:
            raise BadConfig(f"decoder_steps={decoder_steps}: expected 1 or more evaluations of the diffusion decoder.")
        self.name, self.in_channels = name, in_channels
        self.clock = Timeline(sample_rate, int(encoder.downsample_factor))
        self.latent_channels = int(encoder.out_channels)
        self.autoencoder: Any  # with or without U-Net; its encoder's weights have the same names
        if channels is not None and factors is not None and items is not None:
            transform: dict[str, Any] = {"num_filters": filters, "window_length": window_length, "stride": stride}
            self.autoencoder = DiffusionAE(
                net_t=LTPlugin(UNetV0, **transform),
                in_channels=in_channels, channels=list(channels), factors=list(factors), items=list(items),
                inject_depth=inject_depth, encoder=encoder, modulation_features=modulation_features,
            )  # fmt: skip
        elif onepass is None:
            raise BadConfig(
                f"autoencoder '{name}': found no decoder, expected channels, factors and items, or onepass."
            )
        else:
            self.autoencoder = nn.ModuleDict({"encoder": encoder})
        self.inject_depth, self.onepass, self.decoder_steps = inject_depth, onepass, decoder_steps

    @property
    def encoder(self) -> nn.Module:
        """Waveform to latent."""
        return self.autoencoder.encoder

    @property
    def diffusion_network(self) -> nn.Module | None:
        """The U-Net of the diffusion decoder; None where there is no such decoder."""
        return self.autoencoder.net if isinstance(self.autoencoder, DiffusionAE) else None

    def encode(self, waveform: Float[Tensor, "batch channel sample"]) -> Float[Tensor, "batch latent_channel frame"]:
        """Latents in (-1, 1), one frame per started latent hop; the end is padded with silence."""
        return self.encoder(self._padded(waveform))

    def encode_with_preactivation(self, waveform: Tensor) -> tuple[Tensor, Tensor]:
        """Latents, and what they were before the tanh (for the penalty that keeps the tanh out of saturation)."""
        latent, info = self.encoder(self._padded(waveform), with_info=True)
        return latent, info["xs"][-1]

    def diffusion_loss(self, waveform: Tensor, latent: Tensor) -> Float[Tensor, ""]:
        """v-prediction loss of the diffusion decoder (Salimans & Ho 2022) on waveforms of whole latent frames."""
        return self.autoencoder.diffusion(waveform, **self.condition(latent))

    def condition(self, latent: Float[Tensor, "batch latent_channel frame"]) -> dict[str, Any]:
        """The latent as an input of the diffusion decoder's U-Net, `autoencoder.net(x, sigma, **inputs)`."""
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

        Raises:
            BadConfig: when this autoencoder has no diffusion decoder.
        """
        if not isinstance(self.autoencoder, DiffusionAE):
            raise BadConfig(f"decoder=diffusion: autoencoder '{self.name}' has none; use decoder=onepass.")
        steps = self.decoder_steps if steps is None else steps
        samples = latent.shape[2] * self.clock.latent_hop_samples
        noise = torch.randn((latent.shape[0], self.in_channels, samples), generator=generator).to(latent)
        return self.autoencoder.sampler(noise, num_steps=steps, **self.condition(latent))

    @torch.no_grad()
    def decode_onepass(
        self,
        latent: Float[Tensor, "batch latent_channel frame"],
        generator: torch.Generator | None = None,
        first_frame: int = 0,
    ) -> Float[Tensor, "batch channel sample"]:
        """One-pass decoder.

        Args:
            latent: a piece, or a part of one.
            generator: of the decoder's noise.
            first_frame: number of the first frame in the piece; decoders with oscillators go on where an earlier part ended.

        Raises:
            RuntimeError: when this autoencoder has none.
        """
        if self.onepass is None:
            raise RuntimeError(f"autoencoder '{self.name}' has no one-pass decoder; use the diffusion decoder.")
        return self.onepass(latent, generator, first_frame)

    def _padded(self, waveform: Tensor) -> Tensor:
        missing = -waveform.shape[-1] % self.clock.latent_hop_samples
        return nn.functional.pad(waveform, (0, missing)) if missing else waveform


class ResidualBlock(nn.Module):
    """Norm, SiLU, dilated convolution, SiLU, pointwise convolution, all scaled and added to the input."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(8, channels)
        self.spread = nn.Conv1d(channels, 2 * channels, 3, padding=dilation, dilation=dilation)
        self.mix = nn.Conv1d(channels, channels, 1)
        self.scale = nn.Parameter(torch.full((channels, 1), 0.3))

    def forward(self, x: Float[Tensor, "batch channel frame"]) -> Float[Tensor, "batch channel frame"]:
        """One residual update at an unchanged frame rate."""
        value, gate = self.spread(nn.functional.silu(self.norm(x))).chunk(2, dim=1)
        return x + self.scale * self.mix(value * nn.functional.silu(gate))


class OnePassDecoder(nn.Module):
    """Latents to waveform in one pass: residual convolutions at two frame rates and an inverse-STFT head.

    As in Vocos (Siuzdak, arXiv:2306.00814) the network predicts magnitude and phase of overlapping frames.

    Args:
        latent_channels: channels of the latent.
        out_channels: waveform channels.
        latent_hop_samples: samples per latent frame; must be 4 times `hop_samples`.
        widths: channels at twice and at four times the latent rate.
        depths: residual blocks at either rate.
        fft_samples: length of the head's transform.
        hop_samples: its hop.
        noise_channels: random input channels, for textures that the latent does not fix (hats, snares).
    """

    def __init__(
        self,
        latent_channels: int = 32,
        out_channels: int = 1,
        latent_hop_samples: int = 512,
        widths: tuple[int, int] | list[int] = (256, 192),
        depths: tuple[int, int] | list[int] = (5, 5),
        fft_samples: int = 1024,
        hop_samples: int = 128,
        noise_channels: int = 4,
    ) -> None:
        super().__init__()
        if latent_hop_samples != 4 * hop_samples:
            raise ValueError(
                f"latent_hop_samples is {latent_hop_samples}, expected 4 x hop_samples = {4 * hop_samples}"
            )
        self.out_channels, self.fft_samples, self.hop_samples = out_channels, fft_samples, hop_samples
        self.latent_hop_samples, self.noise_channels = latent_hop_samples, noise_channels
        self.enter = nn.Conv1d(latent_channels, widths[0], 5, padding=2)
        self.slow = nn.Sequential(*(ResidualBlock(widths[0], 3 ** (i % 3)) for i in range(depths[0])))
        self.widen = nn.Conv1d(widths[0] + noise_channels, widths[1], 5, padding=2)
        self.fast = nn.Sequential(*(ResidualBlock(widths[1], 3 ** (i % 3)) for i in range(depths[1])))
        self.bins = fft_samples // 2 + 1
        self.head = nn.Sequential(
            nn.GroupNorm(8, widths[1]), nn.SiLU(), nn.Conv1d(widths[1], 3 * self.bins * out_channels, 1)
        )
        self.register_buffer("window", torch.hann_window(fft_samples), persistent=False)

    def forward(
        self,
        latent: Float[Tensor, "batch latent_channel frame"],
        generator: torch.Generator | None = None,
        first_frame: int = 0,
    ) -> Float[Tensor, "batch channel sample"]:
        """Waveform of exactly `frame * latent_hop_samples` samples; `generator` fixes the texture noise, `first_frame` says nothing here."""
        x = self.enter(nn.functional.interpolate(latent, scale_factor=2.0, mode="nearest"))
        x = nn.functional.interpolate(self.slow(x), scale_factor=2.0, mode="nearest")
        shape = (x.shape[0], self.noise_channels, x.shape[2])
        if generator is None:
            noise = torch.randn(shape, device=x.device)
        else:
            noise = torch.randn(shape, generator=generator, device=generator.device).to(x.device)
        x = self.fast(self.widen(torch.cat([x, noise.to(x.dtype)], dim=1)))
        return self._synthesise(self.head(x).float(), latent.shape[2] * self.latent_hop_samples)

    def _synthesise(self, drawn: Tensor, samples: int) -> Tensor:
        """Inverse STFT of log-magnitude and a phase given by its (unnormalised) cosine and sine."""
        batch, _, frames = drawn.shape
        drawn = drawn.reshape(batch * self.out_channels, 3, self.bins, frames)
        magnitude = torch.exp(drawn[:, 0].clamp(max=6.0))
        phase = drawn[:, 1:] / (drawn[:, 1:].square().sum(dim=1, keepdim=True) + 1e-6).sqrt()
        spectrum = torch.complex(magnitude * phase[:, 0], magnitude * phase[:, 1])
        spectrum = torch.cat([spectrum, spectrum[..., -1:]], dim=-1)  # frames are centred: one more closes the last hop
        wave = torch.istft(spectrum, self.fft_samples, self.hop_samples, window=self.window, length=samples)
        return wave.reshape(batch, self.out_channels, samples)
