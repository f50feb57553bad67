"""A lead sheet: the key, the chords and the energy that music is to have, as curves over time that a network is told.

Keys and roots are pitch classes, 0 for C.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from d2m.core.errors import BadConfig, BadInput

NOTES = ("C", "C#", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B")
"""Names of the pitch classes."""

QUALITIES: dict[str, tuple[int, ...]] = {
    "": (0, 4, 7), "m": (0, 3, 7), "7": (0, 4, 7, 10), "maj7": (0, 4, 7, 11), "m7": (0, 3, 7, 10), "6": (0, 4, 7, 9),
    "9": (0, 4, 10, 14), "m9": (0, 3, 10, 14), "maj9": (0, 4, 11, 14), "13": (0, 4, 10, 21), "7#9": (0, 4, 10, 15),
    "7b9": (0, 4, 10, 13), "sus4": (0, 5, 7), "7sus": (0, 5, 7, 10), "m7b5": (0, 3, 6, 10), "m6": (0, 3, 7, 9), "5": (0, 7, 12),
}  # fmt: skip
"""Chords: semitones over the root; those of five notes leave out the fifth."""

SCALES: dict[str, tuple[int, ...]] = {
    "major": (0, 2, 4, 5, 7, 9, 11), "minor": (0, 2, 3, 5, 7, 8, 10), "dorian": (0, 2, 3, 5, 7, 9, 10),
    "mixolydian": (0, 2, 4, 5, 7, 9, 10), "phrygian": (0, 1, 3, 5, 7, 8, 10), "harmonic": (0, 2, 3, 5, 7, 8, 11),
    "blues": (0, 3, 5, 6, 7, 10), "pentatonic": (0, 2, 4, 7, 9),
}  # fmt: skip
"""Modes: semitones over the tonic."""

CURVES = 12 + 12 + 1
"""Rows of `LeadSheet.curves`: the scale's pitch classes, the chord's, and the energy."""

_BEATS_PER_BAR = 4
_NAMED = re.compile(r"([A-G])([#b]*)(.*)")
_MINOR_SHARE = 0.6
_TOLD = 4.0


@dataclass(frozen=True)
class Bar:
    """A chord from a moment on, until the next bar; `energy` from 0 to 1, None where it is not known."""

    start_s: float | int
    root: int
    quality: str
    energy: float | int | None = None


@dataclass(frozen=True)
class LeadSheet:
    """What is told of a piece's harmony; what is not told is 0 in the curves.

    Args:
        tonic: of the key.
        mode: an entry of `SCALES`.
        bars: chords in time.
        chords: the same without times, one a bar and over again: `timed` makes bars of them.
        energy: as a network is told it where no bar says one, of each second; the last one holds to the end.
    """

    tonic: int | None = None
    mode: str = "major"
    bars: tuple[Bar, ...] = ()
    chords: tuple[tuple[int, str], ...] = ()
    energy: tuple[float, ...] | None = None

    @property
    def key(self) -> str | None:
        """Such as `Am`, `Eb` or `D dorian`; None where it is not told."""
        if self.tonic is None:
            return None
        return NOTES[self.tonic] + {"major": "", "minor": "m"}.get(self.mode, f" {self.mode}")

    @staticmethod
    def of(key: object = None, chords: object = None, energy: object = None) -> "LeadSheet":
        """As it was asked for: `key="F#m"`, `chords="Am F C G"`, `energy=0.8`, or an energy for each second.

        Networks heed the energy little, since the dance says much of it. So it is told four times as far from the middle, which is
        what they are told where it is not known, as in training: told 0 and 1, `demo_fast` then differs as much as training music does.

        Raises:
            BadConfig: for a key, a chord or an energy that is none.
        """
        tonic, mode = (None, "major") if key is None else _key(str(key))
        asked = [] if energy is None else energy if isinstance(energy, list) else [energy]
        levels = [_TOLD * (one - 0.5) for one in asked if isinstance(one, int | float) and 0 <= one <= 1]
        if len(levels) < len(asked) or energy == []:
            raise BadConfig(f"energy={energy}: expected a number from 0 to 1, several of them, dance or none.")
        found = () if chords is None else tuple(_chord(word) for word in str(chords).replace(",", " ").split())
        return LeadSheet(tonic, mode, chords=found, energy=tuple(levels) or None)

    @staticmethod
    def drawn(seed: int | Sequence[int]) -> "LeadSheet":
        """A key by lot."""
        random = np.random.default_rng(seed)
        tonic = int(random.integers(12))
        return LeadSheet(tonic, "minor" if random.random() < _MINOR_SHARE else "major")

    @staticmethod
    def load(path: Path) -> "LeadSheet":
        """`scores/NAME.json` of the embedded data set.

        Raises:
            BadInput: when it is not one.
        """
        try:
            score = json.loads(path.read_text())
            bars = tuple(Bar(bar["start_s"], bar["chord"][0], bar["chord"][1], bar["energy"]) for bar in score["bars"])
            tonic, mode = score["key"]
            if mode not in SCALES or any(bar.quality not in QUALITIES for bar in bars):
                raise ValueError("unknown mode or chord")
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise BadInput(
                f"{path}: no score of key and bars ({error}); prepare the data set again, or train without scores: "
                "data.lead_sheet=false system.conditioner.lead_sheet=false."
            ) from error
        return LeadSheet(int(tonic), mode, bars)

    def timed(self, beats_s: Float[np.ndarray, " beat"]) -> "LeadSheet":
        """With a bar of four beats for each of `chords`, from the first beat that is not before 0, over and over."""
        starts_s = beats_s[int(np.searchsorted(beats_s, -1e-6)) :: _BEATS_PER_BAR]
        if not self.chords or not len(starts_s):
            return self
        bars = [Bar(float(at_s), *self.chords[number % len(self.chords)]) for number, at_s in enumerate(starts_s)]
        return LeadSheet(self.tonic, self.mode, tuple(bars), energy=self.energy)

    def curves(self, frames: int, frame_rate: float | int) -> Float[np.ndarray, "25 frame"]:
        """At the centre of each frame, (k + 1/2) / `frame_rate`: 1 for each pitch class of the scale and, C again first, of
        the chord, and the energy in the last row."""
        told = np.zeros((CURVES, frames), np.float32)
        if self.tonic is not None:
            told[[(self.tonic + step) % 12 for step in SCALES[self.mode]]] = 1
        if self.energy is not None:
            seconds = np.arange(len(self.energy)) + 0.5
            told[24] = np.interp((np.arange(frames) + 0.5) / frame_rate, seconds, self.energy)
        edges = [int(np.clip(np.ceil(bar.start_s * frame_rate - 0.5), 0, frames)) for bar in self.bars]
        for bar, first, last in zip(self.bars, edges, [*edges, frames][1:], strict=True):
            told[[12 + (bar.root + step) % 12 for step in QUALITIES[bar.quality]], first:last] = 1
            if bar.energy is not None:
                told[24, first:last] = bar.energy
        return told


def _key(name: str) -> tuple[int, str]:
    found = _NAMED.fullmatch(name.strip())
    mode = found and {"": "major", "m": "minor"}.get(found[3].strip(), found[3].strip())
    if not found or mode not in SCALES:
        raise BadConfig(
            f"key={name}: expected a note and m for minor or the name of a mode, such as C, F#m, Bb or 'D dorian' "
            f"({', '.join(SCALES)})."
        )
    return _pitch_class(found), str(mode)


def _chord(name: str) -> tuple[int, str]:
    found = _NAMED.fullmatch(name)
    if not found or found[3] not in QUALITIES:
        raise BadConfig(
            f"chords: found '{name}', expected a note and one of {', '.join(QUALITIES)} or nothing, such as Am or G7."
        )
    return _pitch_class(found), found[3]


def _pitch_class(found: re.Match[str]) -> int:
    return (
        {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}[found[1]] + found[2].count("#") - found[2].count("b")
    ) % 12
