"""Encoder and decoder of a stereo autoencoder that works on spectra: ConvNeXt blocks between Fourier transforms.

The decoder is that of Vocos (Siuzdak, arXiv:2306.00814): a network at a low frame rate draws a spectrum, and an inverse STFT makes
the waveform in one pass. Both work on mid and side. The encoder looks at low notes through a long window besides, because a window
of 2,048 samples at 44.1 kHz cannot tell a semitone below 370 Hz.
"""

import math

import torch
from jaxtyping import Complex, Float
from torch import Tensor, nn
from torchaudio.functional import melscale_fbanks

PITCH_FFT = 8192
"""Samples of the long window: its bins lie 5.4 Hz apart at 44.1 kHz, less than a semitone from 93 Hz on."""

PITCH_HZ = 1400.0
"""Up to where the long window is looked at."""

_COMPRESSION = 0.35
_SMALLEST_POWER = 1e-6


def mid_side(waveform: Float[Tensor, "batch 2 sample"]) -> Float[Tensor, "batch 2 sample"]:
    """Half sum and half difference of left and right."""
    left, right = waveform.unbind(dim=1)
    return torch.stack([left + right, left - right], dim=1) / 2


def framed_spectrum(
    waveform: Float[Tensor, "... sample"], window: Float[Tensor, " fft"], hop: int
) -> Complex[Tensor, "... frame bin"]:
    """STFT of `sample / hop` frames; frame k is centred on (k + 1/2) hops, and the signal is silent outside.

    Divided by the square root of the window's length, so that noise has the same level in windows of all lengths.
    """
    length = len(window)
    missing = (length - hop) // 2
    frames = nn.functional.pad(waveform, (missing, missing)).unfold(-1, length, hop)
    return torch.fft.rfft(frames * window) / math.sqrt(length)


def compressed(spectrum: Complex[Tensor, "*shape"], exponent: float = _COMPRESSION) -> Complex[Tensor, "*shape"]:
    """Magnitudes to the power of `exponent`, phases as they are."""
    power = spectrum.real.square() + spectrum.imag.square() + _SMALLEST_POWER
    return spectrum * power.pow((exponent - 1) / 2)


def overlap_add(frames: Float[Tensor, "... frame fft"], hop: int) -> Float[Tensor, "... sample"]:
    """The sum of frames of which number k is centred on (k + 1/2) hops; `frame * hop` samples."""
    *batch, count, length = frames.shape
    if length % hop or (length - hop) % 2:
        raise ValueError(f"frames of {length} samples are not laid over each other at a hop of {hop}")
    parts = frames.reshape(*batch, count, length // hop, hop)
    laid = frames.new_zeros(*batch, count + length // hop - 1, hop)
    for part in range(length // hop):
        laid[..., part : part + count, :] += parts[..., part, :]
    missing = (length - hop) // 2
    return laid.flatten(-2)[..., missing : missing + count * hop]


class ConvNeXtBlock(nn.Module):
    """Depthwise convolution over time, layer norm, and a two-layer perceptron of each frame, added to the input.

    Liu et al., arXiv:2201.03545, as Vocos uses it in one dimension.
    """

    def __init__(self, channels: int, hidden: int, kernel: int = 7, scale: float = 0.2) -> None:
        super().__init__()
        self.depthwise = nn.Conv1d(channels, channels, kernel, padding=kernel // 2, groups=channels)
        self.norm = nn.LayerNorm(channels)
        self.widen = nn.Linear(channels, hidden)
        self.narrow = nn.Linear(hidden, channels)
        self.scale = nn.Parameter(torch.full((channels,), scale))

    def forward(self, x: Float[Tensor, "batch frame channel"]) -> Float[Tensor, "batch frame channel"]:
        """One residual update at an unchanged frame rate."""
        seen = self.norm(self.depthwise(x.transpose(1, 2)).transpose(1, 2))
        return x + self.scale * self.narrow(nn.functional.gelu(self.widen(seen)))


def _blocks(channels: int, depth: int) -> nn.Sequential:
    return nn.Sequential(*(ConvNeXtBlock(channels, 3 * channels, scale=1 / depth) for _ in range(depth)))


class SpectralEncoder(nn.Module):
    """Stereo waveform to latent, bounded by a tanh.

    It sees mid and side three ways: a complex STFT of 2,048 samples with compressed magnitudes, up to where a phase can be kept
    (two frames to a latent frame); mel bands of 512 samples up to the top, for when things happen (four frames); and the log
    magnitude of 8,192 samples below 1.4 kHz, for which notes sound (one frame).

    Args:
        sample_rate: samples per second.
        out_channels: channels of the latent.
        width: channels of the blocks.
        depth: number of blocks.
        hop_samples: samples per latent frame.
        complex_hz: where the complex view ends.
        mels: bands of the mel view.
    """

    def __init__(
        self,
        sample_rate: int = 44100,
        out_channels: int = 64,
        width: int = 256,
        depth: int = 4,
        hop_samples: int = 1024,
        complex_hz: float | int = 5500,
        mels: int = 48,
    ) -> None:
        super().__init__()
        self.downsample_factor, self.out_channels = hop_samples, out_channels
        self.complex_bins = int(complex_hz / sample_rate * 2048) + 1
        self.pitch_bins = int(PITCH_HZ / sample_rate * PITCH_FFT) + 1
        self.window_complex: Tensor
        self.window_mel: Tensor
        self.window_pitch: Tensor
        self.mel_bank: Tensor
        for name, length in {"complex": 2048, "mel": 512, "pitch": PITCH_FFT}.items():
            self.register_buffer(f"window_{name}", torch.hann_window(length), persistent=False)
        bank = melscale_fbanks(257, 0.0, sample_rate / 2, mels, sample_rate, norm="slaney") * sample_rate / 2 / mels
        self.register_buffer("mel_bank", bank, persistent=False)
        seen = 2 * (2 * 2 * self.complex_bins + 4 * mels + self.pitch_bins)
        self.enter = nn.Linear(seen, width)
        self.norm_in = nn.LayerNorm(width)
        self.blocks = _blocks(width, depth)
        self.norm_out = nn.LayerNorm(width)
        self.leave = nn.Linear(width, out_channels)

    def forward(self, waveform: Float[Tensor, "batch 2 sample"], with_info: bool = False) -> object:
        """Latent [batch latent_channel frame] of waveforms of whole hops; with `with_info`, what it was before the tanh too.

        The two are given as `(latent, {"xs": [..., before]})`, as `audio_encoders_pytorch`'s encoders do.
        """
        x = self.norm_in(self.enter(self.views(waveform)))
        before = self.leave(self.norm_out(self.blocks(x))).transpose(1, 2)
        latent = before.tanh()
        return (latent, {"xs": [before]}) if with_info else latent

    @torch.no_grad()
    def views(self, waveform: Float[Tensor, "batch 2 sample"]) -> Float[Tensor, "batch frame view"]:
        """What the network sees of each latent frame."""
        signal, hop = mid_side(waveform.float()), self.downsample_factor
        frames = signal.shape[-1] // hop
        fine = compressed(framed_spectrum(signal, self.window_complex, hop // 2)[..., : self.complex_bins])
        mel = framed_spectrum(signal, self.window_mel, hop // 4).abs() @ self.mel_bank
        pitch = framed_spectrum(signal, self.window_pitch, hop)[..., : self.pitch_bins].abs()
        looks = (torch.view_as_real(fine), _log_level(mel), _log_level(pitch))
        return torch.cat([_by_latent_frame(look, frames) for look in looks], dim=-1).to(self.enter.weight.dtype)


def _log_level(magnitude: Tensor) -> Tensor:
    """About -1 for silence and 1 for what is loud."""
    return (magnitude + 1e-3).log10() * 0.5 + 0.5


def _by_latent_frame(look: Float[Tensor, "batch 2 seen ..."], frames: int) -> Float[Tensor, "batch frame view"]:
    """Whatever mid and side have in a latent frame, one after the other."""
    batch, channels, seen = look.shape[:3]
    parts = look.reshape(batch, channels, frames, seen // frames, -1)
    return parts.transpose(1, 2).flatten(2)


class SpectralDecoder(nn.Module):
    """Latent to stereo waveform in one pass.

    Blocks at twice the latent rate draw log-magnitude and phase of mid and side.

    Args:
        latent_channels: channels of the latent.
        width: channels of the blocks.
        depth: number of blocks.
        latent_hop_samples: samples per latent frame.
        fft_samples: length of the drawn spectra's window.
    """

    def __init__(
        self,
        latent_channels: int = 64,
        width: int = 256,
        depth: int = 8,
        latent_hop_samples: int = 1024,
        fft_samples: int = 2048,
    ) -> None:
        super().__init__()
        self.latent_hop_samples, self.bins = latent_hop_samples, fft_samples // 2 + 1
        self.window: Tensor
        self.register_buffer("window", torch.hann_window(fft_samples), persistent=False)
        self.enter = nn.Conv1d(latent_channels, 2 * width, 3, padding=1)
        self.norm_in = nn.LayerNorm(width)
        self.blocks = _blocks(width, depth)
        self.norm_out = nn.LayerNorm(width)
        self.head = nn.Linear(width, 2 * 3 * self.bins)
        with torch.no_grad():
            self.head.bias.zero_()
            self.head.bias.view(2, 3, self.bins)[:, 0] = -4.0  # quiet at first: nothing loud that must be unlearnt

    def forward(
        self, latent: Float[Tensor, "batch latent_channel frame"], generator: torch.Generator | None = None
    ) -> Float[Tensor, "batch 2 sample"]:
        """Waveform of exactly `frame * latent_hop_samples` samples; there is no noise that `generator` would make."""
        batch, _, frames = latent.shape
        entered = self.enter(latent).transpose(1, 2).reshape(batch, 2 * frames, -1)
        x = self.norm_out(self.blocks(self.norm_in(entered)))
        drawn = self.head(x).float().reshape(batch, 2 * frames, 2, 3, self.bins).transpose(1, 2)
        magnitude = drawn[..., 0, :].clamp(max=4.0).exp()
        cosine, sine = drawn[..., 1, :], drawn[..., 2, :]
        scaled = magnitude * (cosine.square() + sine.square() + 1e-6).rsqrt()
        signal = synthesised(torch.complex(scaled * cosine, scaled * sine), self.window, self.latent_hop_samples // 2)
        mid, side = signal.unbind(dim=1)
        return torch.stack([mid + side, mid - side], dim=1)


def synthesised(
    spectrum: Complex[Tensor, "batch channel frame bin"], window: Float[Tensor, " fft"], hop: int
) -> Float[Tensor, "batch channel sample"]:
    """Inverse of `framed_spectrum`; missing high bins are silent."""
    length = len(window)
    frames = torch.fft.irfft(spectrum * math.sqrt(length), n=length) * window
    weights = overlap_add(window.square().expand(spectrum.shape[2], length), hop)
    return overlap_add(frames, hop) / weights.clamp(min=1e-2)
