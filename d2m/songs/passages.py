"""Which passage of which song goes with a dance: by tempo, by energy from bar to bar, and by genre."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from d2m.core.timeline import MOTION_FPS
from d2m.motion.kinematic_beats import joint_speed
from d2m.rhythm.grid import BeatGrid
from d2m.songs.listening import BEATS_IN_BAR, Song, bar_phase
from d2m.songs.warp import Stretch

TEMPO_TOLERANCE = 0.12
"""Songs are stretched by no more than this share."""

PHRASES_BEATS = (32, 16, 8, 4)
"""A short song is repeated by eight bars, or as many as it has of four, two, one."""

_LEVELS = {"": 1.0, "double": 2.0, "half": 0.5}
_APART_BARS = 8
"""Passages of one song begin this far from each other."""

_FEWEST_BARS = 3


@dataclass(frozen=True)
class DanceBars:
    """What of a dance a passage is to follow.

    Args:
        beats_s: from the last beat before the dance's start to its last one.
        downbeat: which of `beats_s` is the first to begin a bar.
        energy: logarithm of the mean joint speed, of each whole bar from there on.
        seconds: length of the dance.
        downbeat_confidence: by which share moves on that beat of the bar are stronger than on the next one; 0 where bars
            could not be told and the first beat of the dance begins one.
        genre: probability of each genre by its code, empty where nothing is known.
    """

    beats_s: Float[np.ndarray, " beat"]
    downbeat: int
    energy: Float[np.ndarray, " bar"]
    seconds: float
    downbeat_confidence: float = 0.0
    genre: Mapping[str, float] | None = None

    @staticmethod
    def of(features: Float[np.ndarray, "time 219"], grid: BeatGrid, genre: Mapping[str, float] | None = None) -> "DanceBars":  # fmt: skip
        """Of a motion at 60 fps and its beats."""
        seconds = len(features) / MOTION_FPS
        beats_s = grid.covering(seconds).beats_s
        beats_s = beats_s[max(0, int(np.searchsorted(beats_s, 0.0, "right")) - 1) :]
        beats_s = beats_s[beats_s < seconds]
        speed = np.concatenate([[0.0], np.cumsum(joint_speed(features))])
        edges = np.append(beats_s, beats_s[-1] + 60 / grid.bpm) * MOTION_FPS
        moved = np.interp(edges, np.arange(len(speed)), speed)
        frames = np.maximum(np.diff(np.clip(edges, 0, len(speed) - 1)), 1e-6)
        strength = np.diff(moved) / frames
        inside = int(beats_s[0] < 0)  # the beat before the dance is not all seen
        phase, lead = bar_phase(strength[inside:])
        downbeat = inside + (phase or 0)
        bars = (len(beats_s) - downbeat) // BEATS_IN_BAR
        energy = strength[downbeat : downbeat + bars * BEATS_IN_BAR].reshape(bars, BEATS_IN_BAR).mean(axis=1)
        return DanceBars(beats_s, downbeat, np.log(energy + 1e-3), seconds, 0.0 if phase is None else lead, genre)

    @property
    def bpm(self) -> float:
        """Tempo, of the median interval."""
        return float(60 / np.median(np.diff(self.beats_s)))


@dataclass(frozen=True)
class Weights:
    """What counts how much in the choice.

    Args:
        energy: of the correlation of the dance's and the passage's energy from bar to bar, -1 to 1.
        genre: of the probability that both are of one genre, 0 to 1.
        stretch: of the stretch as a share of the largest one, 0 to 1; it counts against a passage.
        loop: of having to repeat a phrase, counts against it.
    """

    energy: float | int = 0.5
    genre: float | int = 1.0
    stretch: float | int = 0.5
    loop: float | int = 0.5


@dataclass(frozen=True)
class Passage:
    """A passage of a song, and how it would lie under the dance.

    Args:
        song: its name in the index.
        level: "" where a beat of the song is one of the dance, `double` where each gives two, `half` where two give one.
        beats_s: of the song at that level.
        start: number of the beat that falls on the dance's first downbeat.
        phrase: beats after which it begins again; None: it is long enough.
        stretch: how many times longer a beat becomes.
        scores: `energy`, `genre`, `stretch`, `total`.
    """

    song: str
    level: str
    beats_s: Float[np.ndarray, " beat"]
    start: int
    phrase: int | None
    stretch: float
    scores: dict[str, float]

    def laid_under(self, dance: DanceBars) -> list[Stretch]:
        """Its stretches in the dance's music."""
        danced, numbers = dance.beats_s, np.arange(len(dance.beats_s)) - dance.downbeat + self.start
        end = len(self.beats_s) if self.phrase is None else self.start + self.phrase + 1
        there = (numbers >= 0) & (numbers < end)
        stretches = [Stretch(danced[there], self.beats_s[numbers[there]])]
        at = dance.downbeat + (self.phrase or len(danced))
        while at < len(danced):
            rest = danced[at : at + (self.phrase or 0) + 1]
            stretches.append(Stretch(rest, self.beats_s[self.start : self.start + len(rest)]))
            at += self.phrase or len(danced)
        return stretches

    def as_json(self, dance: DanceBars) -> dict[str, Any]:
        """Plain values for the record."""
        stretches = self.laid_under(dance)
        per_beat = np.concatenate(
            [np.diff(one.out_s) / np.diff(one.source_s) for one in stretches if len(one.out_s) > 1]
        )
        last = stretches[-1]
        to_s = max(float(one.source_s[-1]) for one in stretches) if self.phrase else float(last.source_s[-1])
        return {
            "song": self.song, "from_s": round(float(stretches[0].source_s[0]), 3), "to_s": round(to_s, 3),
            "level": self.level or "same", "stretch": round(self.stretch, 4),
            "stretch_least": round(float(per_beat.min()), 4), "stretch_most": round(float(per_beat.max()), 4),
            "repeated_after_beats": self.phrase, "downbeat_confidence": round(dance.downbeat_confidence, 3),
            "scores": {name: round(score, 4) for name, score in self.scores.items()},
        }  # fmt: skip


@dataclass(frozen=True)
class Levelled:
    """A song at a level of its beats.

    Args:
        beats_s: of that level.
        energy_db: of each beat.
        downbeat: first beat of a bar; 0 where bars are not known.
    """

    beats_s: Float[np.ndarray, " beat"]
    energy_db: Float[np.ndarray, " beat"]
    downbeat: int


def at_level(song: Song, level: str) -> Levelled:
    """The song's beats as they are, with one more between any two, or every second one."""
    beats_s, energy, downbeat = np.array(song.beats_s), np.array(song.energy_db), song.downbeat or 0
    if level == "double":
        fine = np.interp(np.arange(2 * len(beats_s) - 1) / 2, np.arange(len(beats_s)), beats_s)
        return Levelled(fine, np.repeat(energy, 2)[: len(fine)], 2 * downbeat % BEATS_IN_BAR)
    if level == "half":
        first = downbeat % 2
        pairs = np.add.reduceat(energy[first:], np.arange(0, len(energy) - first, 2)) / 2
        return Levelled(beats_s[first::2], pairs, (downbeat - first) // 2 % BEATS_IN_BAR)
    return Levelled(beats_s, energy, downbeat)


def stretch_of(song: Song, level: str, bpm: float | int) -> float:
    """How many times longer the song's beats become in a dance of `bpm`."""
    return (song.tempo_bpm or 0.0) * _LEVELS[level] / bpm


def passages(
    songs: Mapping[str, Song], dance: DanceBars, weights: Weights | None = None, tolerance: float = TEMPO_TOLERANCE
) -> list[Passage]:
    """All passages that go with a dance, the best first; those of a song lie eight bars apart.

    Empty where no tempo is nearer than by the share `tolerance`.
    """
    weights, found = weights or Weights(), list[Passage]()
    for name, song in songs.items():
        of_song = list[Passage]()
        for level in _LEVELS:
            if abs(np.log(max(stretch_of(song, level, dance.bpm), 1e-6))) <= np.log1p(tolerance):
                of_song += _of_song(name, song, level, dance, weights)
        of_song.sort(key=lambda one: -one.scores["total"])
        kept = list[Passage]()
        for one in of_song:
            at_s, apart_s = one.beats_s[one.start], _APART_BARS * BEATS_IN_BAR * 60 / dance.bpm
            if all(abs(at_s - other.beats_s[other.start]) >= apart_s for other in kept):
                kept.append(one)
        found += kept
    return sorted(found, key=lambda one: (-one.scores["total"], one.song))


def _of_song(name: str, song: Song, level: str, dance: DanceBars, weights: Weights) -> list[Passage]:
    found = at_level(song, level)
    stretch = stretch_of(song, level, dance.bpm)
    beats, needed = len(found.beats_s), len(dance.beats_s) - dance.downbeat
    whole = [start for start in range(found.downbeat, beats, BEATS_IN_BAR) if start + needed <= beats]
    phrase = None
    if not whole:
        phrase = next((length for length in PHRASES_BEATS if found.downbeat + length < beats), None)
        if phrase is None:
            return []
        whole = list(range(found.downbeat, beats - phrase, BEATS_IN_BAR))
    with_pickup = [start for start in whole if start >= dance.downbeat]
    starts = np.array(with_pickup or whole)
    numbers = np.arange(len(dance.energy) * BEATS_IN_BAR)
    at = starts[:, None] + (numbers if phrase is None else numbers % phrase)
    bars = found.energy_db[at].reshape(len(starts), len(dance.energy), BEATS_IN_BAR).mean(axis=2)
    energy = correlations(bars, dance.energy)
    genre = sum((song.genre or {}).get(code, 0.0) * share for code, share in (dance.genre or {}).items())
    strain = abs(float(np.log(stretch))) / float(np.log1p(TEMPO_TOLERANCE))
    base = weights.genre * genre - weights.stretch * strain - weights.loop * (phrase is not None)
    return [
        Passage(
            name, level, found.beats_s, int(start), phrase, stretch,
            {"energy": float(one), "genre": genre, "stretch": strain, "total": float(weights.energy * one + base)},
        )
        for start, one in zip(starts, energy, strict=True)
    ]  # fmt: skip


def correlations(rows: Float[np.ndarray, "row bar"], energy: Float[np.ndarray, " bar"]) -> Float[np.ndarray, " row"]:
    """Of each row with the dance's energy; 0 where there are fewer than three bars, or one of them does not change."""
    if len(energy) < _FEWEST_BARS:
        return np.zeros(len(rows))
    rows, own = rows - rows.mean(axis=1, keepdims=True), energy - energy.mean()
    size = np.linalg.norm(rows, axis=1) * np.linalg.norm(own)
    return np.where(size > 1e-6, rows @ own / np.maximum(size, 1e-6), 0.0)


def nearest_tempo(songs: Mapping[str, Song], bpm: float | int) -> tuple[str, float, float]:
    """The song whose tempo, or half or double of it, is nearest: its name, its tempo at that level, and by which share it is
    faster than `bpm` (negative: slower)."""
    shares = [(name, stretch_of(song, level, bpm)) for name, song in songs.items() for level in _LEVELS]
    name, stretch = min(shares, key=lambda one: abs(np.log(max(one[1], 1e-6))))
    return name, stretch * bpm, stretch - 1
