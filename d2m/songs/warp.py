"""A song's sound put on other beats: a piecewise time stretch that leaves attacks as they are.

A phase vocoder with locked phases (Laroche & Dolson, IEEE TSAP 1999), whose phases advance by what the song's own do within
a hop (two frames of the song for each of the output, Puckette, WASPAA 1995). Around an attack time is not stretched and the
phases are the song's own (in the manner of Röbel, DAFx 2003), so that the attack is copied. One rotation of phases serves
all channels, so the stereo image stays.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Complex, Float, Int

from d2m.songs.listening import attacks_s

WINDOW_SAMPLES, HOP_SAMPLES = 2048, 512
"""At 44.1 kHz: 46 ms, 12 ms."""

_BLOCK = 256
_LEAST_BETWEEN_S = 0.02
"""Time between two attacks' surroundings in which the stretching happens."""


@dataclass(frozen=True)
class TimeMap:
    """Which moment of a song sounds when: straight lines between knots, one to one before the first and after the last.

    Args:
        out_s: rising times in the output.
        source_s: rising times in the song.
    """

    out_s: Float[np.ndarray, " knot"]
    source_s: Float[np.ndarray, " knot"]

    def __call__(self, out_s: Float[np.ndarray, " time"]) -> Float[np.ndarray, " time"]:
        """The song's times."""
        inside = np.interp(out_s, self.out_s, self.source_s)
        before, after = np.minimum(out_s - self.out_s[0], 0), np.maximum(out_s - self.out_s[-1], 0)
        return inside + before + after

    def sparing(self, attacks: Float[np.ndarray, "2 attack"], reach_s: float) -> "TimeMap":
        """The same where it matters, but nothing is stretched within `reach_s` of an attack.

        Of attacks that are too near to each other the strongest are spared.

        Args:
            attacks: times in the song, and strengths, see `d2m.songs.listening.attacks_s`.
        """
        inside = (attacks[0] > self.source_s[0] + reach_s) & (attacks[0] < self.source_s[-1] - reach_s)
        times, taken = attacks[0, inside], np.zeros(0)
        for number in np.argsort(-attacks[1, inside], kind="stable"):
            if not len(taken) or np.abs(taken - times[number]).min() > 2 * reach_s + _LEAST_BETWEEN_S:
                taken = np.append(taken, times[number])
        spared = np.sort(taken)
        at_s = np.interp(spared, self.source_s, self.out_s)
        nearest_s = np.abs(self.source_s[:, None] - spared[None]).min(axis=1, initial=np.inf)
        far = nearest_s > reach_s + _LEAST_BETWEEN_S / 2
        out = np.concatenate([self.out_s[far], at_s - reach_s, at_s + reach_s])
        source = np.concatenate([self.source_s[far], spared - reach_s, spared + reach_s])
        order = np.argsort(out, kind="stable")
        return TimeMap(out[order], source[order])


def warped(
    waveform: Float[np.ndarray, "channel sample"], sample_rate: int, time_map: TimeMap, from_s: float, to_s: float
) -> Float[np.ndarray, "channel _"]:
    """The output between two of its times; what the song does not have is silence.

    Args:
        waveform: of the song.
        sample_rate: of the song and the output.
        time_map: where the song's beats, or any of its moments, are to be.
    """
    reach_s = WINDOW_SAMPLES / 2 / sample_rate
    spared = time_map.sparing(attacks_s(waveform.mean(axis=0), sample_rate), reach_s)
    samples = round((to_s - from_s) * sample_rate)
    frames = -(-samples // HOP_SAMPLES) + 1
    at_s = from_s + np.arange(frames) * HOP_SAMPLES / sample_rate
    positions = np.round(spared(at_s) * sample_rate).astype(int)
    return _vocoded(waveform, positions)[:, :samples]


def _vocoded(
    waveform: Float[np.ndarray, "channel sample"], positions: Int[np.ndarray, " frame"]
) -> Float[np.ndarray, "channel _"]:
    """Sound whose moment k · hop is the song's moment `positions[k]`."""
    window = np.hanning(WINDOW_SAMPLES + 1)[:-1].astype(np.float32)
    bins = WINDOW_SAMPLES // 2 + 1
    out = np.zeros((len(waveform), (len(positions) - 1) * HOP_SAMPLES + WINDOW_SAMPLES), np.float32)
    rotation, before = np.ones(bins, np.complex64), None
    for start in range(0, len(positions), _BLOCK):
        block = positions[start : start + _BLOCK]
        spectra, earlier = (_spectra(waveform, at, window) for at in (block, block - HOP_SAMPLES))
        power = np.square(np.abs(spectra)).sum(axis=1)
        for k in range(len(block)):
            number = start + k
            if before is None or block[k] - positions[number - 1] == HOP_SAMPLES:
                rotation = np.ones(bins, np.complex64)
            else:
                turned = rotation * ((before * np.conj(earlier[k])).sum(axis=0) + 1e-9)
                rotation = _locked(turned / np.maximum(np.abs(turned), 1e-20), power[k])
            before = spectra[k]
            sound = np.fft.irfft(before * rotation, axis=-1).astype(np.float32) * window
            out[:, number * HOP_SAMPLES : number * HOP_SAMPLES + WINDOW_SAMPLES] += sound
    overlap = np.square(window).sum() / HOP_SAMPLES
    return out[:, WINDOW_SAMPLES // 2 :] / overlap


def _spectra(
    waveform: Float[np.ndarray, "channel sample"],
    positions: Int[np.ndarray, " frame"],
    window: Float[np.ndarray, " window"],
) -> Complex[np.ndarray, "frame channel bin"]:
    """Spectra of the song around each position; silence before its start and after its end."""
    padded = np.pad(waveform, ((0, 0), (WINDOW_SAMPLES, WINDOW_SAMPLES)))
    first = np.clip(positions + WINDOW_SAMPLES // 2, 0, padded.shape[1] - WINDOW_SAMPLES)
    frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW_SAMPLES, axis=1)[:, first]
    return np.fft.rfft(frames.transpose(1, 0, 2) * window, axis=-1).astype(np.complex64)


def _locked(rotation: Complex[np.ndarray, " bin"], power: Float[np.ndarray, " bin"]) -> Complex[np.ndarray, " bin"]:
    """Every bin turned as the spectral peak nearest to it."""
    middle = power[2:-2]
    higher = (middle > power[1:-3]) & (middle >= power[3:-1]) & (middle > power[:-4]) & (middle >= power[4:])
    peaks = np.flatnonzero(higher) + 2
    if not len(peaks):
        return rotation
    return rotation[peaks[np.searchsorted((peaks[1:] + peaks[:-1]) / 2, np.arange(len(power)))]]


@dataclass(frozen=True)
class Stretch:
    """A stretch of a song in a piece of music.

    Args:
        out_s: beats of the piece, rising.
        source_s: beats of the song that are to sound there.
    """

    out_s: Float[np.ndarray, " beat"]
    source_s: Float[np.ndarray, " beat"]


CROSSFADE_S = 0.03
FADE_IN_S, FADE_OUT_S = 0.02, 0.4


def laid(
    waveform: Float[np.ndarray, "channel sample"], sample_rate: int, stretches: list[Stretch], seconds: float
) -> Float[np.ndarray, "channel _"]:
    """A piece of music from 0 to `seconds`: stretches one after the other, each from its first beat to that of the next.

    The first also fills what comes before it, the last what comes after. They are crossfaded, and the ends faded.
    """
    samples = round(seconds * sample_rate)
    out = np.zeros((len(waveform), samples), np.float32)
    starts_s = [0.0, *(float(one.out_s[0]) for one in stretches[1:]), seconds]
    for number, one in enumerate(stretches):
        from_s = max(0.0, starts_s[number] - CROSSFADE_S * (number > 0))
        to_s = starts_s[number + 1]
        if to_s <= from_s:
            continue
        # No more of the song is read than is heard, so that a long one costs no more than a short one.
        margin_s = 1.0
        ends = TimeMap(one.out_s, one.source_s)(np.array([from_s, to_s]))
        first = max(0, round((float(ends[0]) - margin_s) * sample_rate))
        piece = waveform[:, first : max(first + 1, round((float(ends[1]) + margin_s) * sample_rate))]
        moved = TimeMap(one.out_s, one.source_s - first / sample_rate)
        sound = warped(piece, sample_rate, moved, from_s, to_s)
        at = round(from_s * sample_rate)
        sound = sound[:, : samples - at]
        if number > 0:
            fade = min(round(CROSSFADE_S * sample_rate), sound.shape[1])
            share = np.sin(np.linspace(0, np.pi / 2, fade, dtype=np.float32))
            out[:, at : at + fade] *= np.sqrt(1 - share**2)
            sound[:, :fade] *= share
            out[:, at : at + fade] += sound[:, :fade]
            out[:, at + fade : at + sound.shape[1]] = sound[:, fade:]
        else:
            out[:, at : at + sound.shape[1]] = sound
    for length_s, side in ((FADE_IN_S, slice(None)), (FADE_OUT_S, slice(None, None, -1))):
        fade = min(round(length_s * sample_rate), samples // 2)
        out[:, side][:, :fade] *= np.linspace(0, 1, fade, dtype=np.float32)
    peak = float(np.abs(out).max(initial=0.0))
    return out if peak <= 1 else out * np.float32(0.999 / peak)
