"""One-pass decoder: DMAE latents to a waveform in a single forward pass.

Residual convolutions at two frame rates and an inverse-STFT head, as in Vocos (Siuzdak, arXiv:2306.00814): the network
draws magnitude and phase of overlapping frames, and the inverse transform makes the samples. It is trained on latents of
the autoencoder's encoder with the multi-resolution spectral loss of `d2m.audio.spectral_loss`.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn


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
    """Latents to waveform in one pass.

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
        self, latent: Float[Tensor, "batch latent_channel frame"], generator: torch.Generator | None = None
    ) -> Float[Tensor, "batch channel sample"]:
        """Waveform of exactly `frame * latent_hop_samples` samples; `generator` fixes the texture noise."""
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
