"""Mastering: bus compressor, loudness, limiter."""

import numpy as np
import pyloudnorm
from jaxtyping import Float
from scipy.ndimage import minimum_filter1d, uniform_filter1d
from scipy.signal import lfilter, resample_poly

LOUDNESS_LUFS = -14.0
CEILING = 10 ** (-1 / 20)
"""No sample, nor the curve between samples, is above -1 dB of full scale."""

_THRESHOLD_DB, _RATIO, _BLOCK = -15.0, 2.0, 128
_LOOK_AHEAD_S, _BESIDE = 0.0015, 8 * _BLOCK

Sound = Float[np.ndarray, "channel time"]


def integrated_lufs(wave: Sound, rate: int) -> float:
    """Integrated loudness (ITU-R BS.1770), -inf for silence; music shorter than a gating block of 0.4 s is repeated."""
    short = int(np.ceil(0.5 * rate / max(wave.shape[1], 1)))
    return float(pyloudnorm.Meter(rate).integrated_loudness(np.tile(wave, short).T.astype(np.float64)))


def master(wave: Sound, rate: int) -> Sound:
    """Compress, limit, and bring to -14 LUFS."""
    level = float(np.sqrt(np.mean(np.square(wave))))
    wave = compress(wave * np.float32(10 ** (LOUDNESS_LUFS / 20) / max(level, 1e-6)), rate)
    wave = limit(_at_loudness(wave, rate), rate, oversampled=1)
    return limit(_at_loudness(wave, rate), rate)


def playable(wave: Sound, rate: int) -> Sound:
    """Generated music as it may be written: no louder than -14 LUFS, no peak above the ceiling. Quieter music stays as it is.

    A decoder's sound has no bounds, and cut off at full scale it is distorted. A minute is looked at at a time, since a long piece needs much memory as it is.
    """
    step = 60 * rate // _BLOCK * _BLOCK
    starts = range(0, wave.shape[1], step)
    minutes = [wave[:, start : start + step] for start in starts]
    if len(wave) == 1:  # mono comes from two loudspeakers
        minutes = [np.repeat(minute, 2, axis=0) for minute in minutes]
    power = [10 ** (integrated_lufs(minute, rate) / 10) for minute in minutes]
    louder = np.average(power, weights=[minute.shape[1] for minute in minutes]) / 10 ** (LOUDNESS_LUFS / 10)
    gain, written = np.float32(max(louder, 1) ** -0.5), np.empty_like(wave)
    for start in starts:  # with as much beside it as decides on the limiter's gain
        first = max(start - _BESIDE, 0)
        limited = limit(wave[:, first : start + step + _BESIDE] * gain, rate)
        written[:, start : start + step] = limited[:, start - first :][:, :step]
    return written


def _at_loudness(wave: Sound, rate: int) -> Sound:
    found = integrated_lufs(wave, rate)
    return wave * np.float32(10 ** ((LOUDNESS_LUFS - found) / 20)) if np.isfinite(found) else wave


def compress(wave: Sound, rate: int) -> Sound:
    """A gentle bus compressor: 2:1 above -15 dB, on levels of some 30 ms."""
    blocks = wave.shape[1] // _BLOCK
    if blocks < 2:
        return wave
    power = np.square(wave[:, : blocks * _BLOCK]).mean(axis=0).reshape(blocks, _BLOCK).mean(axis=1)
    pole = float(np.exp(-_BLOCK / (0.03 * rate)))
    smooth = np.asarray(lfilter([1 - pole], [1, -pole], power, zi=[pole * power[:8].mean()])[0])
    over_db = np.maximum(10 * np.log10(smooth + 1e-9) - _THRESHOLD_DB, 0)
    gain = 10 ** (-over_db * (1 - 1 / _RATIO) / 20)
    centres = (np.arange(blocks) + 0.5) * _BLOCK
    return wave * np.interp(np.arange(wave.shape[1]), centres, gain).astype(np.float32)


def limit(wave: Sound, rate: int, oversampled: int = 4) -> Sound:
    """Keep the peaks under the ceiling, those between samples too; the gain falls before a peak and rises after it."""
    peaks = np.abs(wave).max(axis=0)
    if oversampled > 1:
        for start in range(0, len(peaks), _BLOCK):
            if peaks[start : start + _BLOCK].max() > 0.8 * CEILING:
                first = max(start - 16, 0)
                near = np.abs(resample_poly(wave[:, first : start + _BLOCK + 16], oversampled, 1, axis=1)).max(axis=0)
                near = near.reshape(-1, oversampled).max(axis=1)[start - first :][:_BLOCK]
                peaks[start : start + _BLOCK] = np.maximum(peaks[start : start + _BLOCK], near[: len(peaks) - start])
    wanted = np.minimum(1, CEILING / np.maximum(peaks, np.float32(1e-9)))
    if wanted.min() == 1:
        return wave
    reach = 2 * round(_LOOK_AHEAD_S * rate) + 1
    gain = uniform_filter1d(minimum_filter1d(wanted, 2 * reach + 1), reach)
    return (wave * np.minimum(gain, wanted)).astype(np.float32)
