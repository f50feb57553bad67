"""Encoder and decoder of a stereo autoencoder that works on spectra: principal components of levels, and ConvNeXt blocks between them and sound.

The latent holds levels only, as a diffusion magnitude autoencoder's does (Moûsai, arXiv:2301.11757): where it
holds phases it changes altogether when a wave is turned by a quarter of its period, and what makes latents can only guess it. What a decoder needs of phases it then
has to know by itself. For drums an inverse STFT can, which a network draws at a low frame rate (Vocos, Siuzdak, arXiv:2306.00814). It
cannot for a note that is held: a network that sees the same in every frame draws the same in every frame, and frames laid over each other at a hop of
512 samples sound at multiples of 86 Hz. So held notes are oscillators at fixed semitones of which the network says how loud they are (as in DDSP,
Engel et al., arXiv:2001.04643), whose phases run on by themselves.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Complex, Float
from torch import Tensor, nn
from torchaudio.functional import melscale_fbanks

TONES_HZ = 440 * 2 ** ((torch.arange(90, dtype=torch.float64) - 45) / 12)
"""Of the oscillators: semitones from C1 to F8, 32.7 Hz to 5.6 kHz."""

# Windows in samples, and for tones below how many Hz.
_TONE_WINDOWS = ((16384, 131.0), (8192, 524.0), (4096, 1300.0), (2048, math.inf))
_LOW_RATE = 5400.0  # samples a second suffice for tones up to a quarter of it
_EDGE_FRAMES = 8  # so far the longest window reaches beyond a crop
_TONE_ITERATIONS = 5
_LARGEST_DEVIATION = 0.5
_WHOLE_TURN = 2**24  # of a phase: whole numbers are exact however long a piece is, on every device
_BOUND = 0.998  # of a latent
_LOUDEST, _QUIET = 1.0, -7.0  # logarithms of an amplitude

_COMPRESSION = 0.35
_SMALLEST_POWER = 1e-6
_SMALLEST_TONE = 3e-4


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


class ToneLevels(nn.Module):
    """How loud each semitone is: the amplitudes of steady sines whose spectra add up to the one seen.

    Spectra of sines that are a semitone apart overlap; non-negative amplitudes are found by multiplicative updates (Lee & Seung,
    Algorithms for non-negative matrix factorization, 2001), in windows that get shorter as tones get higher.

    Args:
        sample_rate: samples per second.
        hop_samples: samples per frame.
    """

    def __init__(self, sample_rate: int, hop_samples: int) -> None:
        super().__init__()
        self.hop_samples, self.factor = hop_samples, 2 ** int(math.log2(sample_rate / _LOW_RATE))
        self.low_pass: Tensor
        self.register_buffer("low_pass", _low_pass(self.factor), persistent=False)
        self.tones: list[tuple[slice, slice]] = []  # of a window: of all tones, and of those that it is asked for
        lowest, semitone = 0.0, 2 ** (1 / 12)
        for number, (length, highest) in enumerate(_TONE_WINDOWS):
            asked = ((lowest <= TONES_HZ) & (highest > TONES_HZ)).nonzero().flatten()
            beside = ((lowest / semitone <= TONES_HZ) & (highest * semitone > TONES_HZ)).nonzero().flatten()
            self.tones.append((slice(int(asked[0]), int(asked[-1]) + 1), slice(int(beside[0]), int(beside[-1]) + 1)))
            bins = torch.arange(int(TONES_HZ[beside[-1]] * length / sample_rate) + 8)
            apart = bins - TONES_HZ[beside, None] * length / sample_rate
            shape = torch.where((apart.abs() - 1).abs() < 1e-6, 0.5, apart.sinc() / (1 - apart.square())).abs()
            shape = torch.where(apart.abs() < 4, shape, 0.0)  # of a Hann window's spectrum, 1 at the top
            self.register_buffer(f"shape_{number}", shape.float(), persistent=False)
            factor = self.factor if math.isfinite(highest) else 1
            window = torch.hann_window(2 * length)[
                factor - 1 :: 2 * factor
            ]  # at the middles of what a sample stands for
            self.register_buffer(f"window_{number}", window, persistent=False)
            lowest = highest

    def forward(self, signal: Float[Tensor, "... sample"]) -> Float[Tensor, "... frame tone"]:
        """Amplitudes; a full-scale sine has 1. For all but the highest tones the signal is looked at with few samples."""
        beyond = (len(self.low_pass) - self.factor) // 2
        padded = nn.functional.pad(signal, (beyond, beyond)).flatten(0, -2)[:, None]
        low = nn.functional.conv1d(padded, self.low_pass[None, None], stride=self.factor)
        low = low.reshape(*signal.shape[:-1], -1)
        found = []
        for number, (_, highest) in enumerate(_TONE_WINDOWS):
            shape, window = getattr(self, f"shape_{number}"), getattr(self, f"window_{number}")
            factor = self.factor if math.isfinite(highest) else 1
            looked = low if math.isfinite(highest) else signal
            seen = framed_spectrum(looked, window, self.hop_samples // factor)[..., : shape.shape[1]].abs()
            seen = seen * (4 / math.sqrt(len(window))) + 1e-7
            asked, beside = self.tones[number]
            level = seen @ shape.T
            wanted, mixing = level, shape @ shape.T
            for _ in range(_TONE_ITERATIONS):
                level = level * wanted / (level @ mixing + 1e-9)
            found.append(level[..., asked.start - beside.start : asked.stop - beside.start])
        return torch.cat(found, dim=-1)

    def of_oscillators(self, waveform: Float[Tensor, "batch 2 sample"]) -> Float[Tensor, "batch frame 3 tone"]:
        """Amplitudes with which oscillators give left, right and side these levels: on the left, on the right, and a quarter period apart."""
        left, right = waveform.unbind(dim=1)
        left, right, side = self(torch.stack([left, right, (left - right) / 2], dim=1)).unbind(dim=1)
        wide = (side.square() - (left - right).square() / 4).clamp(min=0)
        own = [(level.square() - wide).clamp(min=0).sqrt() for level in (left, right)]
        return torch.stack([*own, wide.sqrt()], dim=2)


def _low_pass(factor: int) -> Float[Tensor, " tap"]:
    """Of a signal of which every `factor`-th sample is kept: flat to a quarter of the new rate, 80 dB down at three quarters."""
    taps = 12 * factor
    place = (torch.arange(taps, dtype=torch.float64) - (taps - 1) / 2) / factor
    tapered = place.sinc() * torch.kaiser_window(taps, periodic=False, beta=8.0, dtype=torch.float64)
    return (tapered / tapered.sum()).float()


class SpectralEncoder(nn.Module):
    """Stereo waveform to latent, bounded by a tanh: principal components of what is heard of a latent frame.

    Of mid and side are seen the levels of semitones, for which notes sound, and log magnitudes in mel bands in four windows of 512 samples,
    for when things happen. Nothing is learnt by gradients.

    Args:
        sample_rate: samples per second.
        out_channels: channels of the latent.
        hop_samples: samples per latent frame.
        mels: bands of the mel view.
    """

    def __init__(
        self, sample_rate: int = 44100, out_channels: int = 96, hop_samples: int = 1024, mels: int = 48
    ) -> None:
        super().__init__()
        self.downsample_factor, self.out_channels = hop_samples, out_channels
        self.tone_levels = ToneLevels(sample_rate, hop_samples)
        self.window: Tensor
        self.mel_bank: Tensor
        self.register_buffer("window", torch.hann_window(512), persistent=False)
        bank = melscale_fbanks(257, 0.0, sample_rate / 2, mels, sample_rate, norm="slaney") * sample_rate / 2 / mels
        self.register_buffer("mel_bank", bank, persistent=False)
        self.components = nn.Linear(2 * (len(TONES_HZ) + 4 * mels), out_channels)

    def forward(self, waveform: Float[Tensor, "batch 2 sample"], with_info: bool = False) -> object:
        """Latent [batch latent_channel frame] of waveforms of whole hops; with `with_info`, what it was before the tanh too.

        The two are given as `(latent, {"xs": [..., before]})`, as `audio_encoders_pytorch`'s encoders do.
        """
        before = self.components(self.views(waveform).to(self.components.weight.dtype)).transpose(1, 2)
        latent = before.tanh()
        return (latent, {"xs": [before]}) if with_info else latent

    @torch.no_grad()
    def views(self, waveform: Float[Tensor, "batch 2 sample"]) -> Float[Tensor, "batch frame view"]:
        """What is seen of each latent frame: tones of mid and side, then mel bands."""
        with torch.autocast(waveform.device.type, enabled=False):
            signal, hop = mid_side(waveform.float()), self.downsample_factor
            mel = framed_spectrum(signal, self.window, hop // 4).abs() @ self.mel_bank
            tones = (self.tone_levels(signal) + _SMALLEST_TONE).log10() / 2 + 1
            looks = tones, (mel + 1e-3).log10() / 2 + 0.5
            return torch.cat([_by_latent_frame(look, signal.shape[-1] // hop) for look in looks], dim=-1)

    @torch.no_grad()
    def fit(self, waveforms: Float[Tensor, "batch 2 sample"]) -> "LinearTones":
        """Take the principal components of music, levels of the mid's tones counting twice as much as the rest.

        The first gets a deviation of 0.5, the others in proportion to the square root of their own: a generator should care more for the first.

        Args:
            waveforms: crops of at least a second.

        Returns:
            How the logarithm of each tone's amplitude in the mid is read from a latent before the tanh.
        """
        tones = len(TONES_HZ)
        weight = torch.full((self.components.in_features,), 0.5, dtype=torch.float64)
        weight[:tones] = 1.0
        seen = self.views(waveforms).double()[:, _EDGE_FRAMES:-_EDGE_FRAMES].flatten(0, 1) * weight
        mean = seen.mean(dim=0)
        values, vectors = torch.linalg.eigh((seen - mean).T @ (seen - mean) / len(seen))
        vectors = vectors[:, -self.out_channels :]
        deviations = values[-self.out_channels :].clamp(min=1e-6).sqrt()
        kept = _LARGEST_DEVIATION * (deviations / deviations.max()).sqrt()
        to_latent = (vectors / deviations * kept).T
        self.components.weight.copy_(to_latent * weight)
        self.components.bias.copy_(-to_latent @ mean)
        back, nepers = vectors[:tones] * deviations / kept, 2 * math.log(10)
        return LinearTones((back * nepers).float(), ((mean[:tones] - 1) * nepers).float())


@dataclass(frozen=True)
class LinearTones:
    """Logarithm of a tone's amplitude as a linear map of a latent frame."""

    weight: Float[Tensor, "tone latent_channel"]
    bias: Float[Tensor, " tone"]


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
        latent_channels: int = 96,
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
        self.direct = nn.Conv1d(latent_channels, len(TONES_HZ), 1)
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
        """Let oscillators be as loud as a linear map of the latent says, on both sides; the blocks add to that."""
        assert self.direct.bias is not None
        self.direct.weight.copy_(levels.weight[..., None])
        self.direct.bias.copy_(levels.bias)
        self.loudness.weight.mul_(0.1)
        self.loudness.bias.view(3, -1)[:2] = 0.0

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
        drawn, held, _ = self.parts(latent, first_frame)
        return drawn + held

    def parts(
        self, latent: Float[Tensor, "batch latent_channel frame"], first_frame: int = 0
    ) -> tuple[
        Float[Tensor, "batch 2 sample"], Float[Tensor, "batch 2 sample"], Float[Tensor, "batch drawn_frame look tone"]
    ]:
        """What the drawn spectra sound like, the oscillators, and these oscillators' log amplitudes at twice the latents' frames."""
        batch, _, frames = latent.shape
        entered = self.enter(latent).transpose(1, 2).reshape(batch, 2 * frames, -1)
        x = self.norm_out(self.blocks(self.norm_in(entered)))
        drawn = self.head(x).float().reshape(batch, 2 * frames, 2, 3, self.bins).transpose(1, 2)
        magnitude = drawn[..., 0, :].clamp(max=4.0).exp()
        cosine, sine = drawn[..., 1, :], drawn[..., 2, :]
        scaled = magnitude * (cosine.square() + sine.square() + 1e-6).rsqrt()
        signal = synthesised(torch.complex(scaled * cosine, scaled * sine), self.window, self.latent_hop_samples // 2)
        mid, side = signal.unbind(dim=1)
        direct = self.direct(latent.float().clamp(-_BOUND, _BOUND).atanh()).float()
        level = self.loudness(x).float().unflatten(-1, (3, -1))
        both = direct.transpose(1, 2).repeat_interleave(2, dim=1)[:, :, None]
        level = torch.cat([level[:, :, :2] + both, level[:, :, 2:]], dim=2).clamp(max=_LOUDEST)
        return torch.stack([mid + side, mid - side], dim=1), self._held(level, first_frame), level

    def _held(
        self, level: Float[Tensor, "batch drawn_frame look tone"], first_frame: int
    ) -> Float[Tensor, "batch 2 sample"]:
        left, right, wide = level.exp().unbind(dim=2)
        frame = 2 * first_frame + torch.arange(level.shape[1], device=level.device)
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
