"""Harmony of one clip: is it in a key, are its chords clear, does it stay where it is?

Needs no reference's notes. Each figure means something beside those of the reference and of the reference through the autoencoder:
drums alone, whose energy lies on all pitch classes, already reach an in-key share of 7/12.
"""

from dataclasses import dataclass
from itertools import pairwise

import librosa
import numpy as np
from jaxtyping import Float

from d2m.core.lead_sheet import QUALITIES, Bar, LeadSheet
from d2m.core.music import Music

HARMONY_SAMPLE_RATE = 22_050
_HOP_SAMPLES = 512
_LOWEST_HZ, _OCTAVES, _BINS_PER_OCTAVE = 65.406, 5, 36  # C2 to C7: above the kick drum

MAJOR_SCALE = (0, 2, 4, 5, 7, 9, 11)
"""Semitones above the tonic; the natural minor scales are the same twelve sets of notes."""

_NAMED = [(root, quality) for quality in ("", "m") for root in range(12)]
_BEAT_S = 0.5
_WINDOW_S, _STEP_S = 8.0, 4.0


@dataclass(frozen=True)
class Harmony:
    """Harmony of one clip; NaN where it has no sound of a pitch, or is too short.

    Args:
        in_key_share: share of the energy of the pitch classes that lies on the seven notes of the best key, mean over beats.
        chord_clarity: largest correlation of a beat's pitch classes with a major or minor triad, mean over beats.
        key_steadiness: correlation of the pitch classes of 8 s with those of the rest of the piece, mean over windows every 4 s.
    """

    in_key_share: float
    chord_clarity: float
    key_steadiness: float


def pitch_class_energy(music: Music) -> Float[np.ndarray, "12 frame"]:
    """Energy of each pitch class, C first, of the mono mix: a constant-Q transform of C2 to C7 at A = 440 Hz, folded; a frame
    every 512 samples of 22,050 a second."""
    samples = music.mono().resampled(HARMONY_SAMPLE_RATE).waveform[0]
    if len(samples) < HARMONY_SAMPLE_RATE:  # the lowest notes need a second
        samples = np.pad(samples, (0, HARMONY_SAMPLE_RATE - len(samples)))
    bins = np.abs(
        librosa.cqt(
            samples, sr=HARMONY_SAMPLE_RATE, hop_length=_HOP_SAMPLES, fmin=_LOWEST_HZ, tuning=0.0,
            n_bins=_OCTAVES * _BINS_PER_OCTAVE, bins_per_octave=_BINS_PER_OCTAVE,
        )
    )  # fmt: skip
    return librosa.feature.chroma_cqt(
        C=bins**2, sr=HARMONY_SAMPLE_RATE, fmin=_LOWEST_HZ, bins_per_octave=_BINS_PER_OCTAVE, n_octaves=_OCTAVES,
        norm=None, threshold=0.0,
    )  # fmt: skip


def measure_harmony(music: Music, beats_s: Float[np.ndarray, " beat"]) -> Harmony:
    """Measure a clip.

    Args:
        music: the clip.
        beats_s: rising times that its chords are looked at between; fewer than two: every half second.
    """
    energy, seconds = pitch_class_energy(music), music.seconds
    if len(beats_s) < 2:
        beats_s = np.arange(0, seconds, _BEAT_S)
    by_beat = _shares(energy, np.append(beats_s[beats_s < seconds], seconds))
    if not by_beat.size:
        return Harmony(float("nan"), float("nan"), float("nan"))
    keys = np.stack([by_beat[:, [(tonic + note) % 12 for note in MAJOR_SCALE]].sum(axis=1) for tonic in range(12)])
    clarity = np.nan_to_num(_centred(by_beat) @ _centred(_triads()).T, nan=0.0).max(axis=1)
    return Harmony(float(keys.mean(axis=1).max()), float(clarity.mean()), _steadiness(energy, seconds))


def lead_sheet_of(music: Music, edges_s: Float[np.ndarray, " edge"]) -> LeadSheet:
    """Key, and a major or minor triad between neighbouring edges, as they are heard; where nothing sounds, no chord.

    The key is the best of the twelve sets of seven notes, named as a major key: its relative minor has the same notes.
    """
    energy, bars, heard = pitch_class_energy(music), [], np.zeros(12)
    for start_s, end_s in pairwise(edges_s):
        shares = _shares(energy, np.array([start_s, end_s]))
        if not len(shares):
            continue
        heard += shares[0]
        root, quality = _NAMED[int((_centred(_triads()) @ _centred(shares)[0]).argmax())]
        bars.append(Bar(float(start_s), root, quality))
    if not heard.any():
        return LeadSheet()
    tonic = max(range(12), key=lambda tonic: heard[[(tonic + note) % 12 for note in MAJOR_SCALE]].sum())
    return LeadSheet(tonic, "major", tuple(bars))


def _triads() -> Float[np.ndarray, "24 12"]:
    """Major and minor triads of all roots, in the order of `_NAMED`."""
    rows = np.zeros((24, 12))
    for row, (root, quality) in zip(rows, _NAMED, strict=True):
        row[[(root + note) % 12 for note in QUALITIES[quality]]] = 1
    return rows


def _shares(energy: Float[np.ndarray, "12 frame"], edges_s: Float[np.ndarray, " edge"]) -> Float[np.ndarray, "part 12"]:
    """Each pitch class's share of the energy between neighbouring edges; parts that are silent are left out."""
    edges = np.round(edges_s * HARMONY_SAMPLE_RATE / _HOP_SAMPLES).astype(int).clip(0, energy.shape[1])
    parts = [energy[:, first:last].sum(axis=1) for first, last in pairwise(edges)]
    heard = [part / part.sum() for part in parts if part.sum() > 1e-9]
    return np.array(heard).reshape(-1, 12)


def _centred(rows: Float[np.ndarray, "row 12"]) -> Float[np.ndarray, "row 12"]:
    """Rows of zero mean and unit length, so that a product of two is their correlation."""
    rows = rows - rows.mean(axis=1, keepdims=True)
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


def _steadiness(energy: Float[np.ndarray, "12 frame"], seconds: float | int) -> float:
    starts_s = np.arange(0, seconds - _WINDOW_S + 0.1, _STEP_S)
    found = []
    for start_s in starts_s if len(starts_s) > 1 else ():
        inside = _shares(energy, np.arange(start_s, start_s + _WINDOW_S + 0.1, _BEAT_S))
        outside = [
            _shares(energy, np.arange(first_s, last_s + 0.1, _BEAT_S))
            for first_s, last_s in ((0, start_s), (start_s + _WINDOW_S, seconds))
        ]
        rest = np.concatenate(outside)
        if len(inside) and len(rest):
            means = _centred(np.stack([inside.mean(axis=0), rest.mean(axis=0)]))
            found.append(float(means[0] @ means[1]))
    return float(np.mean(found)) if found else float("nan")
