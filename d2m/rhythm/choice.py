"""The beats that a user wants music on: a list, a tempo, or what was read from the dance, and a shift of any of them."""

from dataclasses import dataclass
from math import isfinite, remainder
from pathlib import Path
from typing import Any

from d2m.core.errors import BadConfig, BadInput
from d2m.rhythm.grid import BeatGrid, BeatReading
from d2m.rhythm.tracking import LEAST_CONFIDENCE, track_beats


@dataclass(frozen=True)
class ChosenBeats:
    """The beats that a dance's music is made on, and where they are from.

    Args:
        grid: the beats, from before the dance to after its end.
        source: `read` from the dance, a `file` (or a grid that was given), or regular beats of a `tempo`.
        shift: in beats, already in the grid.
        reading: what was read from the dance, whatever was chosen.
    """

    grid: BeatGrid
    source: str
    shift: float
    reading: BeatReading

    def as_json(self, seconds: float | int) -> dict[str, Any]:
        """`BeatReading.as_json` with the chosen beats in place of the read ones, `source` and `shift`."""
        read = self.reading.as_json(seconds)
        return {
            "bpm": round(self.grid.bpm, 2), "source": self.source, "shift": self.shift,
            "confidence": read["confidence"], "beats_s": self.grid.rounded_s(seconds), "alternatives": read["alternatives"],
        }  # fmt: skip

    def warning(self, name: str) -> str | None:
        """A sentence, where no beat can be read in the dance `name` and nobody said where the beats are."""
        if self.source == "file" or self.reading.confidence >= LEAST_CONFIDENCE:
            return None
        return (
            f"{name}: no beat could be read in this dance (confidence {self.reading.confidence:.2f}), so its music is made at "
            f"{self.grid.bpm:.0f} BPM; give its beats, or another tempo."
        )


@dataclass(frozen=True)
class BeatChoice:
    """What a user says of the beats.

    Args:
        beats: a grid; a file of times or a record that was written beside a wav (`BeatGrid.load`); or a folder with NAME.txt
            or NAME.json for each dance; None: those that are read from the dance.
        tempo_bpm: regular beats of this tempo, at the phase that fits the dance best; None: those of `beats`.
        shift_beats: how many beats later they are all to be; negative is earlier. Whole beats change nothing.

    Raises:
        BadConfig: for a tempo beside beats, one outside 40 to 240 BPM, or a shift that is no finite number.
    """

    beats: BeatGrid | str | Path | None = None
    tempo_bpm: float | int | None = None
    shift_beats: float | int = 0

    def __post_init__(self) -> None:
        if self.beats is not None and self.tempo_bpm is not None:
            raise BadConfig(f"tempo={self.tempo_bpm:g}: the list of beats has a tempo already; leave one of both out.")
        if self.tempo_bpm is not None:
            BeatGrid.regular(self.tempo_bpm, 0, 1)  # refuses what is no tempo
        if not isfinite(self.shift_beats):
            raise BadConfig(f"shift={self.shift_beats}: expected a number of beats, such as 0.5 or -0.25.")

    @property
    def is_made(self) -> bool:
        """Whether anything was said."""
        return self.beats is not None or self.tempo_bpm is not None or self.shift_beats != 0

    def listed(self, name: str, seconds: float | int) -> BeatGrid | None:
        """The list of beats for the dance `name`, where there is one.

        Raises:
            BadInput: when its file is missing, is no list of beats, or does not fit the dance.
        """
        if self.beats is None:
            return None
        if isinstance(self.beats, BeatGrid):
            return self.beats.covering(seconds)
        path = Path(self.beats)
        if path.is_dir():
            found = [file for file in (path / f"{name}.txt", path / f"{name}.json") if file.is_file()]
            if not found:
                raise BadInput(f"{path}: holds no {name}.txt or .json; add the beats of this dance.")
            path = found[0]
        return BeatGrid.load(path, seconds)

    def chosen(self, reading: BeatReading, listed: BeatGrid | None, seconds: float | int) -> ChosenBeats:
        """The beats for a dance of `seconds` in which `reading` was read, and that has the list `listed` or none."""
        if listed is not None:
            source, grid = "file", listed
        elif self.tempo_bpm is not None:
            source, grid = "tempo", track_beats(reading.activation, reading.frame_rate, self.tempo_bpm).grid
        else:
            source, grid = "read", reading.grid
        grid = grid.shifted(remainder(self.shift_beats, 1.0)).covering(seconds)
        return ChosenBeats(grid, source, float(self.shift_beats), reading)
