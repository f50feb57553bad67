"""Audio quality of one clip (loudness, clipping, silence, DC, peaks, stereo), and distances of two in mel and chroma.

Every number of quality is finite for every clip, silence and clips of one sample included, except loudness of clips too short to
have any (NaN). Levels are in dB relative to a full scale of 1.
"""

import math
from dataclasses import dataclass

import librosa
import numpy as np
from jaxtyping import Bool, Float
from scipy.signal import resample_poly

from d2m.audio.mastering import integrated_lufs
from d2m.core.music import Music

CLIP_LEVEL = 0.999
CLIP_RUN_SAMPLES = 3
SILENCE_DBFS = -60.0
SILENCE_FRAME_S = 0.05
LOWEST_LUFS = -70.0
"""Absolute gate of BS.1770: what lies under it counts as nothing, so silence reads this."""

LOWEST_PEAK_DB = -120.0
BLOCK_S = 0.4
_OVERSAMPLING = 4


@dataclass(frozen=True)
class AudioQuality:
    """Technical measurements of one clip.

    Args:
        loudness_lufs: integrated loudness; NaN for clips shorter than 0.4 s, which have no gating block.
        clipped_share: share of samples that belong to a run of three or more at full scale.
        silent_share: share of 50 ms frames under -60 dBFS.
        dc_offset: the channels' largest absolute mean.
        stereo_correlation: of left and right in [-1, 1]; 1 for mono.
        sample_peak_dbfs, true_peak_dbtp: largest sample, and largest value between samples; at least -120.
    """

    loudness_lufs: float
    clipped_share: float
    silent_share: float
    dc_offset: float
    stereo_correlation: float
    sample_peak_dbfs: float
    true_peak_dbtp: float

    @property
    def metrics(self) -> dict[str, float]:
        """The fields by name."""
        return dict(self.__dict__)


def check_audio_quality(music: Music) -> AudioQuality:
    """Measure everything; a clip without samples is silent."""
    return AudioQuality(
        loudness_lufs=loudness_lufs(music),
        clipped_share=clipped_share(music.waveform),
        silent_share=silent_share(music),
        dc_offset=dc_offset(music.waveform),
        stereo_correlation=stereo_correlation(music.waveform),
        sample_peak_dbfs=sample_peak_dbfs(music.waveform),
        true_peak_dbtp=true_peak_dbtp(music.waveform),
    )


def loudness_lufs(music: Music, dual_mono: bool = True) -> float:
    """Integrated gated loudness of ITU-R BS.1770-4 by pyloudnorm, in LUFS.

    Args:
        dual_mono: measure mono as it is played, by both loudspeakers, so that it compares with stereo; BS.1770's single
            channel reads 3.01 LU less. More than two channels are mixed to mono.

    Returns:
        At least -70 (the absolute gate), which is also what silence reads; NaN for less than 0.4 s.
    """
    waveform = music.waveform if music.waveform.shape[0] <= 2 else music.mono().waveform
    if waveform.shape[1] < BLOCK_S * music.sample_rate:
        return float("nan")
    if waveform.shape[0] == 1 and dual_mono:
        waveform = np.repeat(waveform, 2, axis=0)
    if not waveform.any():
        return LOWEST_LUFS
    loudness = integrated_lufs(waveform, music.sample_rate)
    return max(LOWEST_LUFS, loudness) if np.isfinite(loudness) else LOWEST_LUFS


def clipped_share(waveform: Float[np.ndarray, "channel time"]) -> float:
    """Share of samples in runs of at least three neighbours of one sign at 0.999 of full scale or beyond; 0 when empty.

    A single sample at full scale is a peak, not clipping. A sound that was clipped and then made quieter isn't seen.
    """
    if waveform.size == 0:
        return 0.0
    clipped = sum(
        _in_long_runs(beyond).sum()
        for channel in waveform
        for beyond in (channel >= CLIP_LEVEL, channel <= -CLIP_LEVEL)
    )
    return float(clipped / waveform.size)


def _in_long_runs(marks: Bool[np.ndarray, " time"]) -> Bool[np.ndarray, " time"]:
    """Marks that stand in a run of at least `CLIP_RUN_SAMPLES`."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], marks, [False]]).astype(np.int8)))
    kept = np.zeros(len(marks), dtype=bool)
    for start, end in zip(edges[::2], edges[1::2], strict=True):
        kept[start:end] = end - start >= CLIP_RUN_SAMPLES
    return kept


def silent_share(music: Music) -> float:
    """Share of 50 ms frames whose root mean square over all channels is under -60 dBFS; 1 when empty.

    A last frame that isn't full is judged by what it has.
    """
    frame = max(1, round(SILENCE_FRAME_S * music.sample_rate))
    if music.waveform.size == 0:
        return 1.0
    power = np.square(music.waveform, dtype=np.float64).mean(axis=0)
    starts = np.arange(0, len(power), frame)
    means = np.add.reduceat(power, starts) / np.diff(np.append(starts, len(power)))
    return float((means < 10 ** (SILENCE_DBFS / 10)).mean())


def dc_offset(waveform: Float[np.ndarray, "channel time"]) -> float:
    """Largest absolute mean of a channel, as a share of full scale; 0 when empty."""
    return float(np.abs(waveform.mean(axis=1, dtype=np.float64)).max()) if waveform.size else 0.0


def stereo_correlation(waveform: Float[np.ndarray, "channel time"]) -> float:
    """Pearson correlation of the first two channels.

    1 for mono, for two equal channels and for silence (both loudspeakers play the same); 0 where only one channel moves.
    """
    if waveform.shape[0] < 2 or waveform.shape[1] == 0 or np.array_equal(waveform[0], waveform[1]):
        return 1.0
    left, right = (channel - channel.mean() for channel in waveform[:2].astype(np.float64))
    norm = np.sqrt(np.square(left).sum() * np.square(right).sum())
    return float(np.clip(left @ right / norm, -1, 1)) if norm > 0 else 0.0


def sample_peak_dbfs(waveform: Float[np.ndarray, "channel time"]) -> float:
    """Largest absolute sample in dB, at least -120."""
    return _decibels(float(np.abs(waveform).max()) if waveform.size else 0.0)


def true_peak_dbtp(waveform: Float[np.ndarray, "channel time"]) -> float:
    """Largest absolute value of the signal between its samples, in dB: oversampled four times (BS.1770-4, annex 2).

    Never under the sample peak; at least -120.
    """
    if waveform.size == 0:
        return LOWEST_PEAK_DB
    between = np.abs(resample_poly(waveform.astype(np.float32), _OVERSAMPLING, 1, axis=-1)).max()
    return _decibels(max(float(between), float(np.abs(waveform).max())))


def stereo_width(waveform: Float[np.ndarray, "channel time"]) -> float:
    """Root mean square of half the difference of left and right, over that of half their sum; 0 for mono and silence."""
    if waveform.shape[0] < 2:
        return 0.0
    mid, side = (waveform[:2] * np.array([[1], [sign]], np.float32) for sign in (1, -1))
    mid, side = (np.square(part.sum(axis=0), dtype=np.float64).mean() if part.size else 0.0 for part in (mid, side))
    return float(np.sqrt(side / mid)) if mid > 0 else 0.0


def _decibels(peak: float) -> float:
    return max(LOWEST_PEAK_DB, float(20 * np.log10(peak))) if peak > 0 else LOWEST_PEAK_DB


# L1 between log-mel spectrograms: for a round trip through an autoencoder, which should be the same recording. Of a generated
# piece and its reference it says little, because two good pieces may differ: read it beside the distance of another song.


MEL_SAMPLE_RATE = 22050
MEL_HOP_SAMPLES = 512
MEL_BANDS = 80
_MEL_FLOOR = 1e-3


def log_mel(music: Music) -> Float[np.ndarray, "mel frame"]:
    """Natural log of an 80-band mel magnitude spectrogram (2,048 samples, hop 512) of the mono mix at 22,050 Hz.

    Magnitudes are floored at 0.001, so that digital silence is a finite -6.9.
    """
    samples = music.mono().resampled(MEL_SAMPLE_RATE).waveform[0]
    mel = librosa.feature.melspectrogram(
        y=samples, sr=MEL_SAMPLE_RATE, n_fft=2048, hop_length=MEL_HOP_SAMPLES, n_mels=MEL_BANDS, power=1.0
    )
    return np.log(np.maximum(mel, _MEL_FLOOR)).astype(np.float32)


def log_mel_frames(seconds: float | int) -> int:
    """How many frames `log_mel` gives for a sound of this length."""
    return 1 + math.ceil(seconds * MEL_SAMPLE_RATE - 1e-6) // MEL_HOP_SAMPLES


def log_mel_l1(first: Float[np.ndarray, "mel first"], second: Float[np.ndarray, "mel second"]) -> float:
    """Mean absolute difference of two log-mel spectrograms over the time that both have; 0 for the same sound.

    Raises:
        ValueError: when either has no frame.
    """
    first, second = _in_common(first, second)
    return float(np.abs(first - second).mean())


def _in_common(
    first: Float[np.ndarray, "band first"], second: Float[np.ndarray, "band second"]
) -> tuple[Float[np.ndarray, "band frame"], Float[np.ndarray, "band frame"]]:
    """The time that both have."""
    frames = min(first.shape[1], second.shape[1])
    if frames == 0:
        raise ValueError("a comparison needs at least one frame of each sound.")
    return first[:, :frames], second[:, :frames]


# Notes that two sounds share: correlation of constant-Q transforms, which tell semitones also where a mel band holds several.


CHROMA_SAMPLE_RATE = 22050
CHROMA_HOP_SAMPLES = 512
_LEAST_SPREAD = 1e-6
CONSTANT_Q_LOWEST_HZ = 55.0
_BINS_PER_OCTAVE, _OCTAVES, _LOW_BINS = 24, 7, 60


@dataclass(frozen=True)
class ConstantQSimilarity:
    """Correlations in [-1, 1], 1 for the same sound; NaN where one of them is silent.

    Args:
        whole: over 55 Hz to 7,040 Hz.
        low: over 55 Hz to 311 Hz: bass and low chords.
    """

    whole: float
    low: float


def constant_q(music: Music) -> Float[np.ndarray, "bin frame"]:
    """Magnitudes of a constant-Q transform of the mono mix at 22,050 Hz: 24 bins an octave from 55 Hz over 7 octaves, hop 512."""
    samples = music.mono().resampled(CHROMA_SAMPLE_RATE).waveform[0]
    if len(samples) < CHROMA_SAMPLE_RATE:  # the lowest notes need a second
        samples = np.pad(samples, (0, CHROMA_SAMPLE_RATE - len(samples)))
    found = librosa.cqt(
        samples, sr=CHROMA_SAMPLE_RATE, hop_length=CHROMA_HOP_SAMPLES, fmin=CONSTANT_Q_LOWEST_HZ, tuning=0.0,
        n_bins=_OCTAVES * _BINS_PER_OCTAVE, bins_per_octave=_BINS_PER_OCTAVE,
    )  # fmt: skip
    return np.abs(found)


def constant_q_similarity(
    first: Float[np.ndarray, "bin first"], second: Float[np.ndarray, "bin second"]
) -> ConstantQSimilarity:
    """Pearson correlation over all bins and frames of the time that both have, of levels in dB.

    What lies more than 60 dB under the loudest of the first is taken to lie there.

    Raises:
        ValueError: when either has no frame.
    """
    least = max(float(first.max(initial=0.0)) * 1e-3, 1e-9)
    first, second = (np.log(np.maximum(values, least)) for values in _in_common(first, second))
    return ConstantQSimilarity(_correlation(first, second), _correlation(first[:_LOW_BINS], second[:_LOW_BINS]))


def _correlation(first: Float[np.ndarray, "bin frame"], second: Float[np.ndarray, "bin frame"]) -> float:
    if not np.ptp(first) or not np.ptp(second):
        return float("nan")
    first, second = (values - values.mean(dtype=np.float64) for values in (first, second))
    return float((first * second).sum() / (np.linalg.norm(first) * np.linalg.norm(second)))


# Harmony that two sounds share: correlations of CENS chroma (Müller & Ewert 2011: energy per pitch class over about a second).
#
# Cosine would say 0.8 to any two sounds; correlation over the 12 classes is about 0 for unrelated music. No transposition is
# tried: an edit that changes the key has not kept the song.


@dataclass(frozen=True)
class ChromaSimilarity:
    """Correlations in [-1, 1]; NaN where a sound has no pitch at all.

    Args:
        profile: of the two chroma averaged over time: are the same pitch classes used as much.
        over_time: mean over frames of the correlation of the two frames: are they used at the same moments.
    """

    profile: float
    over_time: float


def chroma(music: Music) -> Float[np.ndarray, "12 frame"]:
    """CENS chroma of the mono mix at 22,050 Hz, hop 512, in equal temperament at A = 440 Hz (no tuning is estimated)."""
    samples = music.mono().resampled(CHROMA_SAMPLE_RATE).waveform[0]
    return np.asarray(
        librosa.feature.chroma_cens(y=samples, sr=CHROMA_SAMPLE_RATE, hop_length=CHROMA_HOP_SAMPLES, tuning=0.0)
    )


def chroma_similarity(first: Float[np.ndarray, "12 first"], second: Float[np.ndarray, "12 second"]) -> ChromaSimilarity:
    """Compare over the time that both have.

    Raises:
        ValueError: when either has no frame.
    """
    first, second = _in_common(first, second)
    profile = _correlations(first.mean(axis=1, keepdims=True), second.mean(axis=1, keepdims=True))[0]
    by_frame = _correlations(first, second)
    by_frame = by_frame[~np.isnan(by_frame)]
    return ChromaSimilarity(float(profile), float(by_frame.mean()) if by_frame.size else float("nan"))


def _correlations(
    first: Float[np.ndarray, "12 frame"], second: Float[np.ndarray, "12 frame"]
) -> Float[np.ndarray, " frame"]:
    """Of each frame's 12 values; NaN where either has all the same."""
    first, second = (values - values.mean(axis=0) for values in (first, second))
    spread = np.sqrt((first**2).sum(axis=0) * (second**2).sum(axis=0))
    product = (first * second).sum(axis=0)
    return np.where(spread > _LEAST_SPREAD, product / np.maximum(spread, _LEAST_SPREAD), np.nan)
