"""Songs of the procedural data set: which exist, in which split, and how one sounds.

A song is fixed by its code: the code gives genre and tempo (`d2m.core.aist_names`), and seeds the choice of kit, key,
progression, pattern variation and melody.
"""

import zlib
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from d2m.core.aist_names import GENRES, song_tempo_bpm
from d2m.data.synthetic.band import Band

TEST_SONGS = ("mBR0", "mHO5", "mJB5", "mJS3", "mKR2", "mLH4", "mLO2", "mMH3", "mPO1", "mWA0")
"""The ten songs of AIST++'s official cross-modal test split."""

RETIMED_BPM = (87, 93, 107, 113, 127)
"""Tempi of the `retimed` split; no training song has one of them."""

_TRAIN_BPM = tuple(bpm for bpm in range(80, 141) if all(abs(bpm - held_out) > 1 for held_out in RETIMED_BPM))


@dataclass(frozen=True)
class Song:
    """A song: `mBR0` and the like, or `mBRT087` with the tempo written out."""

    code: str

    @property
    def genre(self) -> str:
        """Genre code, such as gBR."""
        return "g" + self.code[1:3]

    @property
    def bpm(self) -> float:
        """True tempo."""
        return song_tempo_bpm(self.code)

    @property
    def seed(self) -> int:
        """Stable seed made of the code."""
        return zlib.crc32(self.code.encode())


@dataclass(frozen=True)
class RenderedSong:
    """A song as sound, with its true beat and downbeat times in seconds."""

    waveform: Float[np.ndarray, "2 sample"]
    sample_rate: int
    beats_s: Float[np.ndarray, " beat"]
    downbeats_s: Float[np.ndarray, " downbeat"]


def song_list() -> dict[str, list[Song]]:
    """Songs by split: `train`, `val` (carved out of train), `test` (AIST++'s ten), `retimed` (five per genre)."""
    splits: dict[str, list[Song]] = {"train": [], "val": [], "test": [Song(code) for code in TEST_SONGS], "retimed": []}
    for number, genre in enumerate(GENRES):
        letters = genre[1:]
        aist = [f"m{letters}{digit}" for digit in range(6)]
        splits["train"] += [Song(code) for code in aist if code not in TEST_SONGS]
        rng = np.random.default_rng(1000 + number)
        bpms = sorted(rng.choice(_TRAIN_BPM, size=12, replace=False))
        validation = bpms[4 + number % 4]
        for bpm in bpms:
            splits["val" if bpm == validation else "train"].append(Song(f"m{letters}T{bpm:03d}"))
        splits["retimed"] += [Song(f"m{letters}T{bpm:03d}") for bpm in RETIMED_BPM]
    return splits


def render_song(song: Song, seconds: int | float, sample_rate: int = 44100) -> RenderedSong:
    """Play `song` for at least `seconds`, from its first downbeat on.

    Deterministic: the same code always gives the same samples.
    """
    band = Band(song.genre, song.bpm, song.seed, sample_rate)
    bars = int(np.ceil(seconds * song.bpm / 240))
    waveform = band.play(bars)[:, : round(seconds * sample_rate)]
    beats = np.arange(int(seconds * song.bpm / 60) + 1) * 60 / song.bpm
    beats = beats[beats < seconds]
    return RenderedSong(waveform, sample_rate, beats, beats[::4])
