"""The embedded data set: which sequences it has, and how they are written in AIST++'s own layout.

Dancers are numbered and given to genres as in AIST++. `test` has AIST++'s twenty sequences, on ten songs that no
training sequence uses; `retimed` has fifty on tempi that no training song has; `val` has songs carved out of train.
"""

import json
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from d2m.core.aist_names import GENRES, SequenceName
from d2m.core.errors import BadConfig
from d2m.core.files import writable_folder
from d2m.core.music import Music
from d2m.core.parallel import parallel_map
from d2m.data.frames import SmallFrames, draw_data_set
from d2m.data.layout import DataSetLayout
from d2m.data.preparation import claim_folder, save_motion, write_lines, write_whole
from d2m.data.synthetic.dances import choreograph
from d2m.data.synthetic.songs import BANDS, RenderedSong, Song, render_song, song_list

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


VERSIONS = {"synthesised": 2, "sampled": 3}
"""Of what the generator makes, by band; goes up when the same seed makes other files."""

_SONG_SPARE_S = {"train": 22.0, "val": 12.0, "test": 12.0, "retimed": 12.0}
"""Seconds of a song beyond an excerpt's length: how far into the song an excerpt may start."""

_FADE_S = 0.004


@dataclass(frozen=True)
class SongJob:
    """All sequences on one song, made by one process so that the song is rendered once."""

    root: Path
    song: Song
    sequences: tuple[PlannedSequence, ...]
    data_set_seed: int
    seconds: int | float
    band: str = BANDS[0]


def write_data_set(
    root: str | Path,
    sequences: int = 1000,
    seed: int = 0,
    splits: Sequence[str] = SPLITS,
    processes: int = 2,
    seconds: int | float = 13.0,
    frames: Any = None,
    band: str = BANDS[0],
) -> DataSetLayout:
    """Make the embedded data set, or what is missing of it.

    Args:
        root: folder of the data set; complete sequences found there are kept.
        sequences: of all splits together, 90 of which are held out.
        seed: fixes every file.
        splits: which of `SPLITS` to make; the demo needs only `test` and `retimed`.
        processes: worker processes; 1 works in this process.
        seconds: length of a sequence.
        frames: small pictures of the dancer to draw, `{size: 32, fps: 15}`; None or `off` for none.
        band: who plays, one of `BANDS`; to the `sampled` band the dancers move larger where the music is fuller, and
            `scores/NAME.json` has what it plays.

    Raises:
        BadConfig: for an unknown split or band, too few sequences, an unwritable folder, or a folder made with other settings.
    """
    unknown = [split for split in splits if split not in SPLITS]
    if unknown or not splits:
        raise BadConfig(f"splits={list(splits)}: expected some of {', '.join(SPLITS)}; correct the list.")
    if band not in BANDS:
        raise BadConfig(f"band={band}: expected {' or '.join(BANDS)}; choose one.")
    if seconds < 1 or processes < 1:
        raise BadConfig(f"seconds={seconds}, processes={processes}: expected at least 1 of each; give larger figures.")
    small = SmallFrames.of(frames)
    plan = plan_sequences(sequences)
    layout = DataSetLayout(writable_folder(root))
    made_with = {"version": VERSIONS[band], "seed": seed, "seconds": seconds}  # the version tells bands apart
    claim_folder(layout.root / "manifest.json", made_with)
    for folder in ("motions", "wavs", "beats", "splits", *(["scores"] * (band == "sampled"))):
        writable_folder(layout.root / folder)
    jobs = _song_jobs(layout, [planned for split in splits for planned in plan[split]], seed, seconds, band)
    parallel_map(make_song_sequences, jobs, processes, "dancing", "song")
    for split in splits:
        write_lines(_split_path(layout.root, split), [planned.name for planned in plan[split]])
    write_lines(layout.root / "ignore_list.txt", [])
    if small is not None:
        draw_data_set(layout, [planned.name for split in splits for planned in plan[split]], small, processes)
    made = {split: len(layout.names(split)) for split in SPLITS if _split_path(layout.root, split).exists()}
    content = json.dumps({**made_with, "band": band, "sequences": made}, indent=2) + "\n"
    write_whole(layout.root / "manifest.json", content.encode())
    return layout


def make_song_sequences(job: SongJob) -> int:
    """Render a job's song, cut and dance its sequences, write them; returns how many.

    A sequence's motion is written last: a sequence that has one is complete.
    """
    spare_s = _SONG_SPARE_S[job.sequences[0].split]
    song = render_song(job.song, job.seconds + spare_s, band=job.band)
    energy = None if song.energy is None else np.repeat(song.energy, 4)[: len(song.beats_s)]
    layout = DataSetLayout(job.root)
    for planned in job.sequences:
        start_s = excerpt_start_s(planned, job.data_set_seed, spare_s)
        beats_s = song.beats_s - start_s
        seed = planned.seed(job.data_set_seed)
        dance = choreograph(job.song.genre, beats_s, 0, job.seconds, planned.dancer, seed, energy)
        _excerpt(song, start_s, job.seconds).save(layout.wav(planned.name))
        audible_s = beats_s[(beats_s >= 0) & (beats_s < job.seconds)]
        write_lines(layout.beats(planned.name), [f"{beat:.6f}" for beat in audible_s])
        if energy is not None:
            write_whole(layout.score(planned.name), _score(song, start_s, job.seconds).encode())
        save_motion(layout.motion(planned.name), dance.poses, dance.trans)
    return len(job.sequences)


def _excerpt(song: RenderedSong, start_s: float, seconds: int | float) -> Music:
    """A cut out of a song, faded over a few milliseconds so that it does not click."""
    first, count = round(start_s * song.sample_rate), round(seconds * song.sample_rate)
    waveform = song.waveform[:, first : first + count].copy()
    fade = np.linspace(0, 1, round(_FADE_S * song.sample_rate), dtype=np.float32)
    waveform[:, : len(fade)] *= fade
    waveform[:, -len(fade) :] *= fade[::-1]
    return Music(waveform, song.sample_rate)


def _score(song: RenderedSong, start_s: float, seconds: int | float) -> str:
    """Key, and of every bar that is heard in an excerpt start (in seconds, before 0 for one begun), chord and energy, as JSON."""
    starts_s = song.downbeats_s - start_s
    heard = [bar for bar, at_s in enumerate(starts_s) if at_s + song.downbeats_s[1] > 0 and at_s < seconds]
    energy = np.ones(len(starts_s)) if song.energy is None else song.energy
    bars = [
        {"start_s": round(float(starts_s[bar]), 6), "chord": song.chords[bar], "energy": float(energy[bar])}
        for bar in heard
    ]
    return json.dumps({"key": song.key, "bars": bars}) + "\n"


def _split_path(root: Path, split: str) -> Path:
    return root / "splits" / (f"{split}.txt" if split == "retimed" else f"crossmodal_{split}.txt")


def _song_jobs(
    layout: DataSetLayout, planned: Iterable[PlannedSequence], seed: int, seconds: int | float, band: str
) -> list[SongJob]:
    """One job per song for the sequences that are not complete yet, the longest first, a genre's together."""
    by_song: dict[str, list[PlannedSequence]] = {}
    for sequence in planned:
        paths = (layout.motion(sequence.name), layout.wav(sequence.name), layout.beats(sequence.name))
        if not all(path.exists() for path in paths):
            by_song.setdefault(sequence.song.code, []).append(sequence)
    jobs = [SongJob(layout.root, todo[0].song, tuple(todo), seed, seconds, band) for todo in by_song.values()]
    return sorted(jobs, key=lambda job: (-len(job.sequences), job.song.genre))
