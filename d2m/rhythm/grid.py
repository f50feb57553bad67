"""The beats of a dance as an object that a person can read, correct and hand on; all in seconds."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from d2m.core.errors import BadConfig, BadInput
from d2m.metrics.beats import checked_times, load_beats_s

LOWEST_BPM, HIGHEST_BPM = 40.0, 240.0
"""Tempi that beats may have."""

BEAT_WIDTH_S = 0.03
"""Standard deviation of the bump around a beat in a rhythm curve."""


def beat_curve(
    beats_s: Float[np.ndarray, " beat"], frames: int, frame_rate: float | int, width_s: float = BEAT_WIDTH_S
) -> Float[np.ndarray, " frame"]:
    """A bump of 1 around every beat, at the centre of each frame: frame k is at (k + 1/2) / `frame_rate`."""
    if len(beats_s) == 0:
        return np.zeros(frames)
    centre_s = (np.arange(frames) + 0.5) / frame_rate
    after = np.searchsorted(beats_s, centre_s)
    before_s, after_s = beats_s[np.maximum(after - 1, 0)], beats_s[np.minimum(after, len(beats_s) - 1)]
    nearest_s = np.minimum(np.abs(centre_s - before_s), np.abs(after_s - centre_s))
    return np.exp(-0.5 * (nearest_s / width_s) ** 2)


@dataclass(frozen=True)
class BeatGrid:
    """Beats over a dance.

    Args:
        beats_s: rising times, at least two; they may lie before 0 and after the dance's end.

    Raises:
        BadConfig: for fewer than two, times that do not rise, or a tempo outside 40 to 240 BPM.
    """

    beats_s: Float[np.ndarray, " beat"]

    def __post_init__(self) -> None:
        steps_s = np.diff(self.beats_s)
        if len(steps_s) == 0 or not np.isfinite(self.beats_s).all() or (steps_s <= 0).any():
            raise BadConfig("beats: expected at least two times in seconds that rise; correct the list.")
        if not LOWEST_BPM <= self.bpm <= HIGHEST_BPM:
            raise BadConfig(
                f"beats: found {self.bpm:.4g} BPM, expected {LOWEST_BPM:g} to {HIGHEST_BPM:g}; correct the list."
            )

    @property
    def bpm(self) -> float:
        """Beats a minute, of the median interval."""
        return float(60 / np.median(np.diff(self.beats_s)))

    @staticmethod
    def regular(bpm: float | int, first_s: float | int, seconds: float | int) -> "BeatGrid":
        """Beats of one tempo through `first_s`, from before 0 to after `seconds`.

        Raises:
            BadConfig: for a tempo that is none.
        """
        if not LOWEST_BPM <= bpm <= HIGHEST_BPM:
            raise BadConfig(f"tempo={bpm:g}: expected {LOWEST_BPM:g} to {HIGHEST_BPM:g} BPM; give another tempo.")
        period_s = 60 / bpm
        before = int(np.ceil(first_s / period_s))
        after = max(int(np.ceil((seconds - first_s) / period_s)), 1)
        return BeatGrid(first_s + np.arange(-before, after + 1) * period_s)

    @staticmethod
    def load(path: str | Path, seconds: float | int) -> "BeatGrid":
        """Beats that somebody wrote down for a dance of `seconds`: one time in seconds a line, or a `.json` record of music.

        The list need not begin with the dance (the tempo of its first beats goes on to the front), but must reach its end.

        Raises:
            BadInput: when it is no such list, does not rise, ends before the dance, or has no tempo of music.
        """
        path = Path(path)
        if not path.is_file():
            raise BadInput(f"{path}: no such file; give a list of beats, one time in seconds on each line.")
        beats_s = _recorded_s(path) if path.suffix.lower() == ".json" else load_beats_s(path)
        try:
            return BeatGrid(beats_s).over(seconds)
        except BadConfig as error:
            raise BadInput(f"{path}: {error}") from error

    def over(self, seconds: float | int) -> "BeatGrid":
        """`covering`, where these are a user's beats for a dance of `seconds`.

        Raises:
            BadConfig: when they begin after its end, or end more than two beats before it.
        """
        first_s, last_s = self.beats_s[0], self.beats_s[-1]
        if first_s > seconds:
            raise BadConfig(
                f"beats: its first beat is at {first_s:.2f} s, expected beats of a dance that ends at {seconds:.2f} s; "
                "give the list that belongs to this dance."
            )
        if seconds - last_s > 2 * 60 / self.bpm:
            raise BadConfig(
                f"beats: its last beat is at {last_s:.2f} s, expected beats up to the dance's end at {seconds:.2f} s; "
                "add the missing ones, or give a tempo in their place."
            )
        return self.covering(seconds)

    def covering(self, seconds: float | int) -> "BeatGrid":
        """The same beats, the median interval of their first and last eight going on before 0 and after `seconds`."""
        first, last = (
            float(np.clip(np.median(np.diff(part)), 60 / HIGHEST_BPM, 60 / LOWEST_BPM))
            for part in (self.beats_s[:9], self.beats_s[-9:])
        )
        before = np.arange(max(int(np.ceil(self.beats_s[0] / first)), 0), 0, -1)
        after = np.arange(1, max(int(np.ceil((seconds - self.beats_s[-1]) / last)), 0) + 1)
        return BeatGrid(
            np.concatenate([self.beats_s[0] - before * first, self.beats_s, self.beats_s[-1] + after * last])
        )

    def shifted(self, beats: float | int) -> "BeatGrid":
        """Every beat later by a share of the interval that follows it; a negative share is earlier."""
        numbers = np.arange(len(self.beats_s)) + float(beats)
        first, last = self.beats_s[1] - self.beats_s[0], self.beats_s[-1] - self.beats_s[-2]
        beyond = np.minimum(numbers, 0) * first + np.maximum(numbers - (len(self.beats_s) - 1), 0) * last
        return BeatGrid(np.interp(numbers, np.arange(len(self.beats_s)), self.beats_s) + beyond)

    def doubled(self) -> "BeatGrid":
        """A beat more between any two."""
        return BeatGrid(np.interp(np.arange(2 * len(self.beats_s) - 1) / 2, np.arange(len(self.beats_s)), self.beats_s))

    def halved(self, first: int = 0) -> "BeatGrid":
        """Every second beat, from number `first` on."""
        return BeatGrid(self.beats_s[first::2])

    def within(self, seconds: float | int) -> Float[np.ndarray, " beat"]:
        """The beats of the dance itself, from 0 to before `seconds`."""
        return self.beats_s[(self.beats_s >= 0) & (self.beats_s < seconds)]

    def rounded_s(self, seconds: float | int) -> list[float]:
        """`within` in whole milliseconds."""
        return [round(float(beat), 3) for beat in self.within(seconds)]

    def curve(self, frames: int, frame_rate: float | int) -> Float[np.ndarray, " frame"]:
        """The rhythm curve that a generator is given, see `beat_curve`."""
        return beat_curve(self.beats_s, frames, frame_rate)


def _recorded_s(path: Path) -> Float[np.ndarray, " beat"]:
    """The beats in the record that is written beside music.

    Raises:
        BadInput: when it has none.
    """
    try:
        return checked_times(np.array(json.loads(path.read_text())["beats"]["beats_s"], dtype=float), "beats")
    except (OSError, ValueError, LookupError, TypeError, OverflowError) as error:
        raise BadInput(
            f'{path}: expected a record of music with {{"beats": {{"beats_s": [...]}}}} ({type(error).__name__}: {error}); '
            "give such a record, or a text file with one time in seconds on each line."
        ) from error


@dataclass(frozen=True)
class Alternative:
    """Beats that a person would try next.

    Args:
        name: `half`, `half_shifted`, `double` or `shifted` (by half a beat), seen from the beats that were chosen.
        grid: these beats.
        score: how well they fit, on the scale of the chosen beats' own.
    """

    name: str
    grid: BeatGrid
    score: float


@dataclass(frozen=True)
class BeatReading:
    """What was read of a dance's beats.

    Args:
        grid: the beats chosen, over all of the dance.
        confidence: from 0 (no beat could be read; the tempo is the prior's) to 1.
        score: of the beats chosen.
        alternatives: others, the best first.
        activation: probability of a beat that they were tracked on, at the centre of each frame; `frame_rate` a second.
    """

    grid: BeatGrid
    confidence: float
    score: float
    alternatives: tuple[Alternative, ...]
    activation: Float[np.ndarray, " frame"] = field(repr=False)
    frame_rate: float

    def as_json(self, seconds: float | int) -> dict[str, Any]:
        """Plain values: the beats of the dance in seconds, tempo, confidence, alternatives."""
        others = [
            {
                "name": one.name, "bpm": round(one.grid.bpm, 2), "score": round(one.score, 3),
                "beats_s": one.grid.rounded_s(seconds),
            }
            for one in self.alternatives
        ]  # fmt: skip
        return {
            "bpm": round(self.grid.bpm, 2), "confidence": round(self.confidence, 3),
            "beats_s": self.grid.rounded_s(seconds), "alternatives": others,
        }  # fmt: skip
