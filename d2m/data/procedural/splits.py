"""Which sequences the embedded data set has: AIST++ names, by split.

Dancers are numbered and given to genres as in AIST++. `test` has AIST++'s twenty sequences, on ten songs that no
training sequence uses; `retimed` has fifty on tempi that no training song has; `val` has songs carved out of train.
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from d2m.data.procedural.songs import Song, song_list
from d2m.errors import BadConfig
from d2m.names import GENRES, SequenceName

SPLITS = ("train", "val", "test", "retimed")

DANCERS = {
    "gJS": (1, 2, 3), "gBR": (4, 5, 6), "gJB": (7, 8, 9), "gPO": (10, 11, 12), "gLO": (13, 14, 15),
    "gLH": (16, 17, 18), "gHO": (19, 20, 21), "gMH": (22, 23, 24), "gWA": (25, 26, 27), "gKR": (28, 29, 30),
}  # fmt: skip
"""AIST's three dancers of each genre."""

TEST_DANCERS = {
    "gBR": (4, 5), "gHO": (20, 21), "gJB": (8, 9), "gJS": (1, 3), "gKR": (28, 30), "gLH": (17, 18), "gLO": (13, 15),
    "gMH": (22, 24), "gPO": (10, 11), "gWA": (25, 26),
}  # fmt: skip
"""Dancers of AIST++'s official test sequences."""

_VAL_PER_SONG = 2
_ADVANCED_EVERY = 5  # AIST++'s train split: 180 advanced choreographies of 980


@dataclass(frozen=True)
class PlannedSequence:
    """A sequence to be made.

    Args:
        name: AIST++ name.
        split: one of `SPLITS`.
        song: what it is danced to.
        dancer: number of the dancer.
    """

    name: str
    split: str
    song: Song
    dancer: int

    def seed(self, data_set_seed: int) -> int:
        """Stable seed of this sequence in a data set."""
        return zlib.crc32(f"{data_set_seed}/{self.name}".encode())


def _planned(split: str, song: Song, dancer: int, choreography: int, advanced: bool = False) -> PlannedSequence:
    situation = "sFM" if advanced else "sBM"
    name = SequenceName(song.genre, situation, "cAll", f"d{dancer:02d}", song.code, f"ch{choreography:02d}")
    return PlannedSequence(str(name), split, song, dancer)


def _train(songs: Sequence[Song], count: int) -> list[PlannedSequence]:
    """`count` sequences shared evenly among genres, among a genre's songs, and among its dancers."""
    by_genre = {genre: [song for song in songs if song.genre == genre] for genre in GENRES}
    planned = []
    for number in range(count):
        genre, turn = GENRES[number % len(GENRES)], number // len(GENRES)
        song, round_number = by_genre[genre][turn % len(by_genre[genre])], turn // len(by_genre[genre])
        dancer = DANCERS[genre][(turn + round_number) % 3]
        planned.append(_planned("train", song, dancer, 1 + round_number, advanced=turn % _ADVANCED_EVERY == 4))
    return planned


def plan_sequences(sequences: int) -> dict[str, list[PlannedSequence]]:
    """Sequences of every split, the same for the same count.

    Args:
        sequences: of all splits together; the held-out splits are always whole (90), the rest is train.

    Raises:
        BadConfig: when that leaves fewer than one training sequence per genre.
    """
    songs = song_list()
    plan: dict[str, list[PlannedSequence]] = {"train": []}
    plan["val"] = [
        _planned("val", song, DANCERS[song.genre][copy], 1) for song in songs["val"] for copy in range(_VAL_PER_SONG)
    ]
    plan["test"] = [_planned("test", song, dancer, 2) for song in songs["test"] for dancer in TEST_DANCERS[song.genre]]
    plan["retimed"] = [
        _planned("retimed", song, int(DANCERS[song.genre][song.seed % 3]), 1) for song in songs["retimed"]
    ]
    held_out = sum(len(split) for split in plan.values())
    if sequences < held_out + len(GENRES):
        raise BadConfig(
            f"sequences={sequences}: expected at least {held_out + len(GENRES)}, {held_out} of which are held out; "
            "ask for more, or build only splits=[test,retimed]."
        )
    plan["train"] = _train(songs["train"], sequences - held_out)
    return plan


def excerpt_start_s(planned: PlannedSequence, data_set_seed: int, longest_s: float) -> float:
    """Where in its song a sequence starts: anywhere up to `longest_s`, on no beat in particular."""
    return float(np.random.default_rng([planned.seed(data_set_seed), 1]).uniform(0.0, longest_s))
