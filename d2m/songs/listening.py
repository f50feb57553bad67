"""What is heard in a song: attacks, beats, downbeats, tempo, key, energy from beat to beat, genre."""

from dataclasses import asdict, dataclass, fields
from typing import Any

import librosa
import numpy as np
from jaxtyping import Float, Int
from scipy.signal import find_peaks

from d2m.core.music import Music
from d2m.metrics.beat_tracker import SILENCE_PEAK, track_beats_s
from d2m.models.music_genre import GenreClassifier
from d2m.rhythm.tracking import smoothed_beats

SAMPLE_RATE = 22050
"""At which songs are listened to."""

BEATS_IN_BAR = 4
FEWEST_BEATS = 8
"""A song with fewer beats in a row has nothing to dance to."""

LEAST_CONFIDENCE = 0.25
"""Below this a song has no beat that could be told from chance, as in speech: see `Song.confidence`."""

_LEAST_LEAD = 3.0
"""Standard errors by which the first beat of the bar must lead."""

_ATTACK_WINDOW_S, _ATTACK_HOP_S, _ATTACK_LAG = 0.0232, 0.0029, 3
_ATTACK_LATE_S = 0.0
_FARTHEST_BEAT_S = 0.06
_PARTS_OF_BEAT = 12
_EVEN = 0.2
"""Beats whose interval differs by more than this share from the median are not in one row."""

_LOW_HZ = (30.0, 160.0)
_QUIET_DB = -60.0

KEYS = tuple(f"{tonic} {mode}" for mode in ("major", "minor") for tonic in ("C", "C#", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B"))  # fmt: skip
_MAJOR = (6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88)
_MINOR = (6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17)
"""How well each pitch class fits a key of C: probe-tone ratings of Krumhansl & Kessler (Psychological Review, 1982)."""


@dataclass(frozen=True)
class Song:
    """What is known of a song.

    Args:
        seconds: its length.
        beats_s: times of its beats, on the attacks.
        confidence: how far attacks on the beats stand out and how alike bars follow each other, near 0 where the tracker
            follows nothing, as in speech; at most 1.
        downbeat: which of the first four beats begins a bar; None where bars cannot be told.
        downbeat_confidence: share by which the low attacks on that beat of the bar are stronger than on the next one.
        key: one of `KEYS`; `key_fit`: correlation of its profile with the song's chroma.
        energy_db: loudness of each beat, as long as `beats_s`.
        genre: probability of each genre, by its code.
        problem: why it cannot be used, in one sentence without the file's name; None where it can.
    """

    seconds: float
    beats_s: tuple[float, ...] = ()
    confidence: float = 0.0
    downbeat: int | None = None
    downbeat_confidence: float = 0.0
    key: str | None = None
    key_fit: float = 0.0
    energy_db: tuple[float, ...] = ()
    genre: dict[str, float] | None = None
    problem: str | None = None

    @property
    def tempo_bpm(self) -> float | None:
        """Of the median interval of its beats."""
        return float(60 / np.median(np.diff(self.beats_s))) if len(self.beats_s) > 1 else None

    @property
    def bar_energy_db(self) -> Float[np.ndarray, " bar"]:
        """Mean of each whole bar, from the first downbeat on."""
        energy = np.array(self.energy_db[self.downbeat or 0 :])
        return energy[: len(energy) // BEATS_IN_BAR * BEATS_IN_BAR].reshape(-1, BEATS_IN_BAR).mean(axis=1)

    def as_json(self) -> dict[str, Any]:
        """Plain values, times in whole milliseconds."""
        plain = asdict(self) | {"tempo_bpm": self.tempo_bpm and round(self.tempo_bpm, 2)}
        plain["beats_s"] = [round(beat, 3) for beat in self.beats_s]
        plain["bar_energy_db"] = [round(float(energy), 1) for energy in self.bar_energy_db]
        return plain

    @staticmethod
    def from_json(plain: dict[str, Any]) -> "Song":
        """The song of what `as_json` made.

        Raises:
            TypeError, KeyError, ValueError: for anything else.
        """
        known: dict[str, Any] = {field.name: plain[field.name] for field in fields(Song)}
        known |= {name: tuple(map(float, plain[name])) for name in ("beats_s", "energy_db")}
        return Song(**known)


def attack_strength(mono: Float[np.ndarray, " time"], sample_rate: int) -> tuple[Float[np.ndarray, " frame"], float]:
    """How much the spectrum rises around each moment, and how many such moments a second there are.

    Mean over frequencies of the rise of the log magnitude within 9 ms; frame k is at k / rate seconds.
    """
    hop, window = round(_ATTACK_HOP_S * sample_rate), round(_ATTACK_WINDOW_S * sample_rate)
    padded = np.pad(mono, (window // 2, window // 2))
    frames = np.lib.stride_tricks.sliding_window_view(padded, window)[::hop]
    shape = np.hanning(window).astype(np.float32)
    strength = np.zeros(len(frames))
    before = None
    for start in range(0, len(frames), 4096):
        spectrum = np.abs(np.fft.rfft(frames[start : start + 4096] * shape, axis=1)) * (4 / window)
        levels = np.log1p(100 * spectrum.astype(np.float32))
        levels = np.concatenate([levels[:1].repeat(_ATTACK_LAG, 0) if before is None else before, levels])
        strength[start : start + 4096] = np.maximum(levels[_ATTACK_LAG:] - levels[:-_ATTACK_LAG], 0).mean(axis=1)
        before = levels[-_ATTACK_LAG:]
    return strength, sample_rate / hop


def attacks_s(mono: Float[np.ndarray, " time"], sample_rate: int) -> Float[np.ndarray, "2 attack"]:
    """Times of the clear attacks in seconds, and how strong they are."""
    strength, rate = attack_strength(mono, sample_rate)
    least = 0.25 * float(np.percentile(strength, 99)) if len(strength) else 0.0
    if least <= 0:
        return np.zeros((2, 0))
    peaks, found = find_peaks(strength, prominence=least, distance=round(0.03 * rate))
    return np.stack([peaks / rate - _ATTACK_LATE_S, found["prominences"]])


def listen(music: Music, classifier: GenreClassifier | None = None) -> Song:
    """Listen to a whole song.

    Args:
        music: at any rate.
        classifier: of its genre; None: not asked.
    """
    mono = music.mono().resampled(SAMPLE_RATE)
    samples, seconds = mono.waveform[0], mono.seconds
    if not samples.size or np.abs(samples).max() <= SILENCE_PEAK:
        return Song(seconds, problem="is silent, expected music")
    tracked = track_beats_s(mono)
    rows = _even_rows(tracked)
    if not rows or max(map(len, rows)) < FEWEST_BEATS:
        return Song(
            seconds, problem=f"has no {FEWEST_BEATS} beats in a row, expected two bars of music with a steady beat"
        )
    row = max(rows, key=len)
    strength, rate = attack_strength(samples, SAMPLE_RATE)
    beats_s = smoothed_beats(row)
    beats_s = beats_s + _offset_s(beats_s, strength, rate)
    beats_s = beats_s[(beats_s >= 0) & (beats_s < seconds)]
    confidence = _confidence(beats_s, strength, rate)
    known = {"beats_s": tuple(beats_s.tolist()), "confidence": round(confidence, 3)}
    if confidence < LEAST_CONFIDENCE:
        return Song(
            seconds, **known, problem=f"has no steady beat (confidence {confidence:.2f}), expected music with one"
        )
    downbeat, sure = _downbeat(samples, beats_s)
    key, fit = song_key(librosa.feature.chroma_stft(y=samples, sr=SAMPLE_RATE, n_fft=8192, hop_length=4096, tuning=0.0).mean(axis=1))  # fmt: skip
    genre = None
    if classifier:
        genre = dict(zip(classifier.genres, map(float, classifier.probabilities(mono).round(4)), strict=True))
    return Song(
        seconds, **known, downbeat=downbeat, downbeat_confidence=round(sure, 3), key=key, key_fit=round(fit, 3),
        energy_db=tuple(_energy_db(samples, beats_s).round(1).tolist()), genre=genre,
    )  # fmt: skip


def _even_rows(beats_s: Float[np.ndarray, " beat"]) -> list[Float[np.ndarray, " _"]]:
    """Beats cut where the interval to the next one is none of a beat of this song, as in a break."""
    if len(beats_s) < 2:
        return []
    intervals = np.diff(beats_s)
    breaks = np.flatnonzero(np.abs(intervals / np.median(intervals) - 1) > _EVEN) + 1
    return np.split(beats_s, breaks)


def _at(
    times_s: Float[np.ndarray, " time"], strength: Float[np.ndarray, " frame"], rate: float
) -> Float[np.ndarray, " time"]:
    """The strongest attack within 15 ms of each time."""
    reach = max(1, round(0.015 * rate))
    index = np.round(times_s * rate).astype(int)[:, None] + np.arange(-reach, reach + 1)
    return strength[np.clip(index, 0, len(strength) - 1)].max(axis=1)


def _offset_s(beats_s: Float[np.ndarray, " beat"], strength: Float[np.ndarray, " frame"], rate: float) -> float:
    """By how much all beats must move to lie on the attacks: trackers are some hundredths of a second late."""
    steps = np.arange(round(-_FARTHEST_BEAT_S * rate), round(_FARTHEST_BEAT_S * rate) + 1)
    index = np.round(beats_s * rate).astype(int)[:, None] + steps
    mean = strength[np.clip(index, 0, len(strength) - 1)].mean(axis=0)
    return float(steps[int(mean.argmax())] / rate - _ATTACK_LATE_S)


def _confidence(beats_s: Float[np.ndarray, " beat"], strength: Float[np.ndarray, " frame"], rate: float) -> float:
    """The smaller of two: how far attacks on the beats stand out, and how alike bars follow each other, beat by beat."""
    on = float(np.median(_at(beats_s, strength, rate)) - np.median(strength))
    parts = np.arange((len(beats_s) - 1) * _PARTS_OF_BEAT) / _PARTS_OF_BEAT
    pattern = _at(np.interp(parts, np.arange(len(beats_s)), beats_s), strength, rate)
    bar = BEATS_IN_BAR * _PARTS_OF_BEAT
    first, next_bar = pattern[:-bar], pattern[bar:]
    alike = np.corrcoef(first, next_bar)[0, 1] if min(first.std(), next_bar.std()) > 1e-9 else 0.0
    return float(min(on / (np.percentile(strength, 99) + 1e-9), alike))


def _downbeat(samples: Float[np.ndarray, " time"], beats_s: Float[np.ndarray, " beat"]) -> tuple[int | None, float]:
    """The beat of the bar with the strongest low attacks, see `bar_phase`."""
    window, hop = 1024, 256
    spectrum = np.abs(librosa.stft(samples, n_fft=window, hop_length=hop))
    hz = librosa.fft_frequencies(sr=SAMPLE_RATE, n_fft=window)
    low = spectrum[(hz >= _LOW_HZ[0]) & (hz <= _LOW_HZ[1])].sum(axis=0)
    rise = np.maximum(np.diff(low, prepend=low[0]), 0)
    found = _at(beats_s, np.convolve(rise, np.ones(3), "same"), SAMPLE_RATE / hop)
    return bar_phase(found)


def bar_phase(strength: Float[np.ndarray, " beat"]) -> tuple[int | None, float]:
    """Which of the first four beats begins a bar: the one on which `strength` is largest, and by what share it leads the next.

    Every bar counts as much as any other, however loud it is. None where it leads by less than three standard errors.
    """
    bars = strength[: len(strength) // BEATS_IN_BAR * BEATS_IN_BAR].reshape(-1, BEATS_IN_BAR)
    if len(bars) < 2:
        return None, 0.0
    shares = bars / (bars.mean(axis=1, keepdims=True) + 1e-9)
    second, best = np.argsort(shares.mean(axis=0), kind="stable")[-2:]
    leads = shares[:, best] - shares[:, second]
    error = float(leads.std(ddof=1)) / np.sqrt(len(leads)) + 1e-6
    lead = float(leads.mean() / (shares[:, best].mean() + 1e-9))
    return (int(best) if leads.mean() / error >= _LEAST_LEAD else None), lead


def song_key(chroma: Float[np.ndarray, " 12"]) -> tuple[str, float]:
    """The key whose profile correlates best with a mean chroma (C first), as Krumhansl and Schmuckler do, and how well."""
    profiles = np.stack([np.roll(profile, tonic) for profile in (_MAJOR, _MINOR) for tonic in range(12)])
    if chroma.std() < 1e-9:
        return KEYS[0], 0.0
    fits = np.array([np.corrcoef(profile, chroma)[0, 1] for profile in profiles])
    return KEYS[int(fits.argmax())], float(fits.max())


def _energy_db(samples: Float[np.ndarray, " time"], beats_s: Float[np.ndarray, " beat"]) -> Float[np.ndarray, " beat"]:
    """Root mean square from each beat to the next in dB, at least -60."""
    edges = np.append(beats_s, beats_s[-1] + np.median(np.diff(beats_s)))
    at: Int[np.ndarray, " edge"] = np.clip(np.round(edges * SAMPLE_RATE), 0, len(samples)).astype(int)
    total = np.concatenate([[0.0], np.cumsum(np.square(samples, dtype=np.float64))])
    power = (total[at[1:]] - total[at[:-1]]) / np.maximum(np.diff(at), 1)
    return np.maximum(10 * np.log10(power + 1e-12), _QUIET_DB)
