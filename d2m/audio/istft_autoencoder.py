"""Encoder and decoder of a stereo autoencoder that works on spectra: ConvNeXt blocks between Fourier transforms.

The encoder sees magnitudes only, as a diffusion magnitude autoencoder's does (Moûsai, arXiv:2301.11757): where a latent holds
phases it changes altogether when a wave is turned by a quarter of its period, and what makes latents can only guess it. What a decoder needs of phases it then
has to know by itself. For drums an inverse STFT can, which a network draws at a low frame rate (Vocos, Siuzdak, arXiv:2306.00814). It
cannot for a note that is held: a network that sees the same in every frame draws the same in every frame, and frames laid over each other at a hop of
512 samples sound at multiples of 86 Hz. So held notes are oscillators at fixed quarter tones of which the network says how loud they are (as in DDSP,
Engel et al., arXiv:2001.04643), whose phases run on by themselves.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Complex, Float
from torch import Tensor, nn
from torchaudio.functional import melscale_fbanks

PITCH_FFT = 8192
"""Samples of the long window: its bins lie 5.4 Hz apart at 44.1 kHz, less than a semitone from 93 Hz on."""

PITCH_HZ = 1400.0
"""Up to where the long window is looked at."""

_TONES_PER_OCTAVE = 24
_TONES = 7 * _TONES_PER_OCTAVE + 12
TONES_HZ = 440 * 2 ** ((torch.arange(_TONES, dtype=torch.float64) - 90) / _TONES_PER_OCTAVE)
"""Of the oscillators: quarter tones from C1 to below F sharp 8, 32.7 Hz to 5.8 kHz."""

_TOLD_APART = 72
"""From this tone on, C4, the long window tells neighbours apart, so that a spectrum says how loud each is."""

_FINE_FFT = 2048
_SEEN_LONG_HZ = 1300.0
_DEVIATION = 0.5
_WHOLE_TURN = 2**24  # of a phase: whole numbers are exact however long a piece is, on every device
_LOUDEST, _QUIET = 1.0, -7.0  # logarithms of an amplitude

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

    It sees the log magnitudes of mid and side in three windows: 2,048 samples below 5.5 kHz (two frames to a latent frame); 512
    samples up to the top, as mel bands, for when things happen (four frames); and 8,192 samples below 1.4 kHz, for which
    notes sound (one frame). The latent is a linear map of these and what the blocks add.

    Args:
        sample_rate: samples per second.
        out_channels: channels of the latent.
        width: channels of the blocks.
        depth: number of blocks.
        hop_samples: samples per latent frame.
        fine_hz: where the view of 2,048 samples ends.
        mels: bands of the mel view.
    """

    def __init__(
        self,
        sample_rate: int = 44100,
        out_channels: int = 64,
        width: int = 256,
        depth: int = 4,
        hop_samples: int = 1024,
        fine_hz: float | int = 5500,
        mels: int = 48,
    ) -> None:
        super().__init__()
        self.downsample_factor, self.out_channels = hop_samples, out_channels
        self.sample_rate, self.mels = sample_rate, mels
        self.fine_bins = int(fine_hz / sample_rate * _FINE_FFT) + 1
        self.pitch_bins = int(PITCH_HZ / sample_rate * PITCH_FFT) + 1
        self.window_fine: Tensor
        self.window_mel: Tensor
        self.window_pitch: Tensor
        self.mel_bank: Tensor
        for name, length in {"fine": _FINE_FFT, "mel": 512, "pitch": PITCH_FFT}.items():
            self.register_buffer(f"window_{name}", torch.hann_window(length), persistent=False)
        bank = melscale_fbanks(257, 0.0, sample_rate / 2, mels, sample_rate, norm="slaney") * sample_rate / 2 / mels
        self.register_buffer("mel_bank", bank, persistent=False)
        seen = 2 * (2 * self.fine_bins + 4 * mels + self.pitch_bins)
        self.direct = nn.Linear(seen, out_channels)
        self.enter = nn.Linear(seen, width)
        self.norm_in = nn.LayerNorm(width)
        self.blocks = _blocks(width, depth)
        self.norm_out = nn.LayerNorm(width)
        self.leave = nn.Linear(width, out_channels)

    def forward(self, waveform: Float[Tensor, "batch 2 sample"], with_info: bool = False) -> object:
        """Latent [batch latent_channel frame] of waveforms of whole hops; with `with_info`, what it was before the tanh too.

        The two are given as `(latent, {"xs": [..., before]})`, as `audio_encoders_pytorch`'s encoders do.
        """
        views = self.views(waveform)
        x = self.norm_in(self.enter(views))
        before = (self.direct(views) + self.leave(self.norm_out(self.blocks(x)))).transpose(1, 2)
        latent = before.tanh()
        return (latent, {"xs": [before]}) if with_info else latent

    @torch.no_grad()
    def views(self, waveform: Float[Tensor, "batch 2 sample"]) -> Float[Tensor, "batch frame view"]:
        """What the network sees of each latent frame."""
        signal, hop = mid_side(waveform.float()), self.downsample_factor
        frames = signal.shape[-1] // hop
        fine = framed_spectrum(signal, self.window_fine, hop // 2)[..., : self.fine_bins].abs()
        mel = framed_spectrum(signal, self.window_mel, hop // 4).abs() @ self.mel_bank
        pitch = framed_spectrum(signal, self.window_pitch, hop)[..., : self.pitch_bins].abs()
        looks = [_by_latent_frame(_log_level(look), frames) for look in (fine, mel, pitch)]
        return torch.cat(looks, dim=-1).to(self.enter.weight.dtype)

    @torch.no_grad()
    def start_from_principal_components(self, waveforms: Float[Tensor, "batch 2 sample"]) -> "LinearTones":
        """Let the linear map give the principal components of tone levels and mel bands, each at a deviation of 0.5.

        Returns:
            How the logarithm of each tone's amplitude in the mid is read from such a latent.
        """
        views = self.views(waveforms).double().flatten(0, 1)
        tones = len(TONES_HZ) - _TOLD_APART
        features = self._features().double()
        seen = views @ features.T
        mean = seen.mean(dim=0)
        values, vectors = torch.linalg.eigh((seen - mean).T @ (seen - mean) / len(seen))
        values, vectors = values[-self.out_channels :].clamp(min=1e-6), vectors[:, -self.out_channels :]
        to_latent = (vectors / values.sqrt()).T * _DEVIATION @ features
        self.direct.weight.copy_(to_latent)
        self.direct.bias.copy_(-(vectors / values.sqrt()).T * _DEVIATION @ mean)
        self.leave.weight.mul_(0.3)
        self.leave.bias.zero_()
        # a sine of amplitude a has |X| = a / 2 * sum(window) / sqrt(length), half of that under a Hann window
        lengths = torch.where(TONES_HZ[_TOLD_APART:] < _SEEN_LONG_HZ, PITCH_FFT, _FINE_FFT)
        back, nepers = (vectors * values.sqrt() / _DEVIATION)[:tones], 2 * math.log(10)
        return LinearTones(
            (back * nepers).float(), ((mean[:tones] - 0.5) * nepers - (lengths.sqrt() / 4).log()).float()
        )

    def _features(self) -> Float[Tensor, "feature view"]:
        """Of views, what principal components are taken of: levels of tones in mid and, at half weight, side and mel bands."""
        tones, bands = len(TONES_HZ) - _TOLD_APART, 2 * 4 * self.mels
        first_mel = 2 * 2 * self.fine_bins
        first_pitch = first_mel + bands
        features = torch.zeros(2 * tones + bands, self.direct.in_features)
        for channel in range(2):
            weight = (1.0, 0.5)[channel]
            for row, hz in enumerate(TONES_HZ[_TOLD_APART:].tolist(), channel * tones):
                if hz < _SEEN_LONG_HZ:
                    looks, spacing, bins = (
                        [first_pitch + channel * self.pitch_bins],
                        self.sample_rate / PITCH_FFT,
                        self.pitch_bins,
                    )
                else:
                    looks = [(2 * channel + part) * self.fine_bins for part in range(2)]
                    spacing, bins = self.sample_rate / _FINE_FFT, self.fine_bins
                place = min(hz / spacing, bins - 1.001)
                for look in looks:
                    features[row, look + int(place)] = weight * (1 - place % 1) / len(looks)
                    features[row, look + int(place) + 1] = weight * (place % 1) / len(looks)
        features[2 * tones :, first_mel:first_pitch] = 0.5 * torch.eye(bands)
        return features


@dataclass(frozen=True)
class LinearTones:
    """Logarithm of a tone's amplitude, from C4 on, as a linear map of a latent frame."""

    weight: Float[Tensor, "tone latent_channel"]
    bias: Float[Tensor, " tone"]


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

    Blocks at twice the latent rate draw log-magnitude and phase of mid and side, and say how loud each oscillator is on the left, on the
    right, and on both a quarter of a period apart.

    Args:
        latent_channels: channels of the latent.
        width: channels of the blocks.
        depth: number of blocks.
        latent_hop_samples: samples per latent frame.
        fft_samples: length of the drawn spectra's window.
        sample_rate: samples per second.
    """

    def __init__(
        self,
        latent_channels: int = 64,
        width: int = 256,
        depth: int = 8,
        latent_hop_samples: int = 1024,
        fft_samples: int = 2048,
        sample_rate: int = 44100,
    ) -> None:
        super().__init__()
        self.latent_hop_samples, self.bins = latent_hop_samples, fft_samples // 2 + 1
        self.window: Tensor
        self.turn_per_frame: Tensor
        self.tones: Tensor
        self.register_buffer("window", torch.hann_window(fft_samples), persistent=False)
        self.enter = nn.Conv1d(latent_channels, 2 * width, 3, padding=1)
        self.norm_in = nn.LayerNorm(width)
        self.blocks = _blocks(width, depth)
        self.norm_out = nn.LayerNorm(width)
        self.head = nn.Linear(width, 2 * 3 * self.bins)
        self.loudness = nn.Linear(width, 3 * len(TONES_HZ))
        self.direct = nn.Conv1d(latent_channels, len(TONES_HZ) - _TOLD_APART, 1)
        assert self.direct.bias is not None
        with torch.no_grad():
            self.head.bias.zero_()
            self.head.bias.view(2, 3, self.bins)[:, 0] = -4.0  # quiet at first: nothing loud that must be unlearnt
            self.loudness.bias.fill_(_QUIET)
            self.direct.weight.zero_()
            self.direct.bias.zero_()
        hop = latent_hop_samples // 2
        turn = (TONES_HZ * hop / sample_rate % 1 * _WHOLE_TURN).round().long()
        self.register_buffer("turn_per_frame", turn, persistent=False)
        angle = 2 * math.pi * TONES_HZ[:, None] * (torch.arange(2 * hop) + 0.5 - hop) / sample_rate
        waves = torch.cat([angle.cos(), -angle.sin()]) * torch.hann_window(2 * hop)
        self.register_buffer("tones", waves.float(), persistent=False)

    @torch.no_grad()
    def start_from(self, levels: LinearTones) -> None:
        """Let oscillators from C4 on be as loud as a linear map of the latent says, on both sides; the blocks add to that."""
        assert self.direct.bias is not None
        self.direct.weight.copy_(levels.weight[..., None])
        self.direct.bias.copy_(levels.bias)
        self.loudness.weight.mul_(0.1)
        self.loudness.bias.view(3, -1)[:2, _TOLD_APART:] = 0.0

    def forward(
        self,
        latent: Float[Tensor, "batch latent_channel frame"],
        generator: torch.Generator | None = None,
        first_frame: int = 0,
    ) -> Float[Tensor, "batch 2 sample"]:
        """Waveform of exactly `frame * latent_hop_samples` samples.

        Args:
            latent: of any length.
            generator: there is no noise that it would make.
            first_frame: number of the first frame in its piece, so that oscillators go on where those of an earlier part were.
        """
        drawn, held = self.parts(latent, first_frame)
        return drawn + held

    def parts(
        self, latent: Float[Tensor, "batch latent_channel frame"], first_frame: int = 0
    ) -> tuple[Float[Tensor, "batch 2 sample"], Float[Tensor, "batch 2 sample"]]:
        """What the drawn spectra sound like, and the oscillators."""
        batch, _, frames = latent.shape
        entered = self.enter(latent).transpose(1, 2).reshape(batch, 2 * frames, -1)
        x = self.norm_out(self.blocks(self.norm_in(entered)))
        drawn = self.head(x).float().reshape(batch, 2 * frames, 2, 3, self.bins).transpose(1, 2)
        magnitude = drawn[..., 0, :].clamp(max=4.0).exp()
        cosine, sine = drawn[..., 1, :], drawn[..., 2, :]
        scaled = magnitude * (cosine.square() + sine.square() + 1e-6).rsqrt()
        signal = synthesised(torch.complex(scaled * cosine, scaled * sine), self.window, self.latent_hop_samples // 2)
        mid, side = signal.unbind(dim=1)
        return torch.stack([mid + side, mid - side], dim=1), self._held(x, latent, first_frame)

    def _held(
        self, x: Float[Tensor, "batch frame channel"], latent: Tensor, first_frame: int
    ) -> Float[Tensor, "batch 2 sample"]:
        level = self.loudness(x).float().unflatten(-1, (3, -1))
        direct = self.direct(latent).float().transpose(1, 2).repeat_interleave(2, dim=1)
        both = nn.functional.pad(direct, (_TOLD_APART, 0))[:, :, None]
        level = torch.cat([level[:, :, :2] + both, level[:, :, 2:]], dim=2).clamp(max=_LOUDEST).exp()
        left, right, wide = level.unbind(dim=2)
        frame = 2 * first_frame + torch.arange(x.shape[1], device=x.device)
        turned = frame[:, None] * self.turn_per_frame % _WHOLE_TURN
        angle = turned.float() * (2 * math.pi / _WHOLE_TURN)
        cosine, sine = angle.cos(), angle.sin()
        rows = [
            torch.cat([own * cosine + sign * wide * sine, own * sine - sign * wide * cosine], dim=-1)
            for own, sign in ((left, 1), (right, -1))
        ]
        return overlap_add(torch.stack(rows, dim=1) @ self.tones, self.latent_hop_samples // 2)


def synthesised(
    spectrum: Complex[Tensor, "batch channel frame bin"], window: Float[Tensor, " fft"], hop: int
) -> Float[Tensor, "batch channel sample"]:
    """Inverse of `framed_spectrum`; missing high bins are silent."""
    length = len(window)
    frames = torch.fft.irfft(spectrum * math.sqrt(length), n=length) * window
    weights = overlap_add(window.square().expand(spectrum.shape[2], length), hop)
    return overlap_add(frames, hop) / weights.clamp(min=1e-2)
