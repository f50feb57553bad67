"""Voicings, scales and progressions: what a band needs to know before it plays.

Keys are pitch classes, 0 for C. A chord is a root and a quality, the semitones over the root; a progression says both
for every bar, its roots counted from the key.
"""

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from d2m.core.lead_sheet import QUALITIES, SCALES


@dataclass(frozen=True)
class Progression:
    """A chord for every bar.

    Args:
        mode: an entry of `SCALES`.
        chords: semitones from the key, and quality.
    """

    mode: str
    chords: tuple[tuple[int, str], ...]


def progression(mode: str, chords: str) -> Progression:
    """Shorthand: `progression("dorian", "0m7 0m7 5:9 5:9")`, a colon where a quality begins with a digit."""
    parts = []
    for word in chords.split():
        degree = word.partition(":")[0] if ":" in word else word[: len(word) - len(word.lstrip("0123456789"))]
        parts.append((int(degree), word.removeprefix(degree).removeprefix(":")))
    return Progression(mode, tuple(parts))


@lru_cache(4096)
def voicing(root: int, quality: str, centre: int, before: tuple[int, ...] = (), drop: bool = False) -> tuple[int, ...]:
    """MIDI keys of a chord, as near as can be to those of the chord before.

    Args:
        root: pitch class.
        quality: an entry of `QUALITIES`.
        centre: key about which the notes lie.
        before: keys of the chord before.
        drop: spread the chord by letting its second note from above fall an octave.
    """
    tones = QUALITIES[quality]
    choices = []
    for turn in range(len(tones)):
        turned = sorted(tones[turn:] + tuple(tone + 12 for tone in tones[:turn]))
        for octave in range(2, 8):
            keys = [root + 12 * octave + tone for tone in turned]
            if drop and len(keys) > 2:
                keys[-2] -= 12
            keys.sort()
            if any(later - earlier < 2 for earlier, later in pairwise(keys)) and len(tones) > 3:
                continue  # a semitone between neighbours is mud
            choices.append(tuple(keys))

    def cost(keys: tuple[int, ...]) -> float:
        away = abs(sum(keys) / len(keys) - centre)
        moved = sum(min(abs(key - old) for old in before) for key in keys) if before else 0.0
        return moved + (0.6 if before else 1.0) * away + 2 * max(0.0, away - 6)

    return min(choices, key=cost)


def scale_keys(key: int, mode: str, low: int, high: int) -> list[int]:
    """MIDI keys of a scale from `low` to `high`."""
    return [note for note in range(low, high + 1) if (note - key) % 12 in SCALES[mode]]


def chord_keys(root: int, quality: str, low: int, high: int) -> list[int]:
    """MIDI keys of a chord's tones from `low` to `high`."""
    tones = {tone % 12 for tone in QUALITIES[quality]}
    return [note for note in range(low, high + 1) if (note - root) % 12 in tones]


def nearest(keys: list[int], wanted: int | float) -> int:
    """The key nearest to `wanted`, the lower of two."""
    return min(keys, key=lambda note: (abs(note - wanted), note))
