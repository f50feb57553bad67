"""Writes the embedded data set in AIST++'s own layout: motions, wavs, splits, and true beats besides."""

import json
import multiprocessing
import pickle
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from d2m.data.drawn_frames import draw_data_set
from d2m.data.layout import DataSetLayout
from d2m.data.procedural.body import SmplPoses
from d2m.data.procedural.dances import choreograph
from d2m.data.procedural.songs import RenderedSong, Song, render_song
from d2m.data.procedural.splits import SPLITS, PlannedSequence, excerpt_start_s, plan_sequences
from d2m.data.videos.small_frames import SmallFrames
from d2m.errors import BadConfig
from d2m.files import writable_folder, written_whole
from d2m.music import Music

VERSION = 1
"""Of what the generator makes; goes up when the same seed makes other files."""

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


def write_data_set(
    root: str | Path,
    sequences: int = 1000,
    seed: int = 0,
    splits: Sequence[str] = SPLITS,
    processes: int = 2,
    seconds: int | float = 13.0,
    frames: Any = None,
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

    Raises:
        BadConfig: for an unknown split, too few sequences, an unwritable folder, or a folder made with other settings.
    """
    unknown = [split for split in splits if split not in SPLITS]
    if unknown or not splits:
        raise BadConfig(f"splits={list(splits)}: expected some of {', '.join(SPLITS)}; correct the list.")
    if seconds < 1 or processes < 1:
        raise BadConfig(f"seconds={seconds}, processes={processes}: expected at least 1 of each; give larger figures.")
    small = SmallFrames.of(frames)
    plan = plan_sequences(sequences)
    layout = DataSetLayout(writable_folder(root))
    _check_manifest(layout.root, {"version": VERSION, "seed": seed, "seconds": seconds})
    for folder in ("motions", "wavs", "beats", "splits"):
        writable_folder(layout.root / folder)
    jobs = _song_jobs(layout, [planned for split in splits for planned in plan[split]], seed, seconds)
    _run(jobs, processes, total=sum(len(job.sequences) for job in jobs))
    for split in splits:
        _write_text(_split_path(layout.root, split), [planned.name for planned in plan[split]])
    _write_text(layout.root / "ignore_list.txt", [])
    if small is not None:
        draw_data_set(layout, [planned.name for split in splits for planned in plan[split]], small, processes)
    made = {split: len(layout.names(split)) for split in SPLITS if _split_path(layout.root, split).exists()}
    _write_manifest(layout.root, {"version": VERSION, "seed": seed, "seconds": seconds, "sequences": made})
    return layout


def make_song_sequences(job: SongJob) -> int:
    """Render a job's song, cut and dance its sequences, write them; returns how many.

    A sequence's motion is written last: a sequence that has one is complete.
    """
    spare_s = _SONG_SPARE_S[job.sequences[0].split]
    song = render_song(job.song, job.seconds + spare_s)
    layout = DataSetLayout(job.root)
    for planned in job.sequences:
        start_s = excerpt_start_s(planned, job.data_set_seed, spare_s)
        beats_s = song.beats_s - start_s
        dance = choreograph(
            job.song.genre, beats_s, 0, job.seconds, planned.dancer, planned.seed(job.data_set_seed)
        )  # fmt: skip
        _excerpt(song, start_s, job.seconds).save(layout.wav(planned.name))
        heard = beats_s[(beats_s >= 0) & (beats_s < job.seconds)]
        _write_text(layout.beats(planned.name), [f"{beat:.6f}" for beat in heard])
        _write_motion(layout.motion(planned.name), dance)
    return len(job.sequences)


def _excerpt(song: RenderedSong, start_s: float, seconds: int | float) -> Music:
    """A cut out of a song, faded over a few milliseconds so that it does not click."""
    first, count = round(start_s * song.sample_rate), round(seconds * song.sample_rate)
    waveform = song.waveform[:, first : first + count].copy()
    fade = np.linspace(0, 1, round(_FADE_S * song.sample_rate), dtype=np.float32)
    waveform[:, : len(fade)] *= fade
    waveform[:, -len(fade) :] *= fade[::-1]
    return Music(waveform, song.sample_rate)


def _write_motion(path: Path, dance: SmplPoses) -> None:
    content = {
        "smpl_poses": dance.poses, "smpl_trans": dance.trans,
        "smpl_scaling": np.ones(1, np.float32), "smpl_loss": np.zeros(1, np.float32),
    }  # fmt: skip
    with written_whole(path) as temporary:
        temporary.write_bytes(pickle.dumps(content, protocol=4))


def _write_text(path: Path, lines: Iterable[str]) -> None:
    with written_whole(path) as temporary:
        temporary.write_text("".join(f"{line}\n" for line in lines))


def _split_path(root: Path, split: str) -> Path:
    return root / "splits" / (f"{split}.txt" if split == "retimed" else f"crossmodal_{split}.txt")


def _song_jobs(
    layout: DataSetLayout, planned: Iterable[PlannedSequence], seed: int, seconds: int | float
) -> list[SongJob]:
    """One job per song for the sequences that are not complete yet, the longest first."""
    by_song: dict[str, list[PlannedSequence]] = {}
    for sequence in planned:
        paths = (layout.motion(sequence.name), layout.wav(sequence.name), layout.beats(sequence.name))
        if not all(path.exists() for path in paths):
            by_song.setdefault(sequence.song.code, []).append(sequence)
    jobs = [SongJob(layout.root, todo[0].song, tuple(todo), seed, seconds) for todo in by_song.values()]
    return sorted(jobs, key=lambda job: -len(job.sequences))


def _run(jobs: Sequence[SongJob], processes: int, total: int) -> None:
    """Do all jobs with a progress bar, spread over processes."""
    with tqdm(total=total, desc="dancing", unit="dance", disable=total == 0) as progress:
        if processes == 1 or len(jobs) < 2:
            _count_up(map(make_song_sequences, jobs), progress.update)
            return
        with multiprocessing.get_context("spawn").Pool(min(processes, len(jobs))) as pool:
            _count_up(pool.imap_unordered(make_song_sequences, jobs), progress.update)


def _count_up(counts: Iterable[int], update: Callable[[int], object]) -> None:
    for count in counts:
        update(count)


def _check_manifest(root: Path, settings: Mapping[str, object]) -> None:
    """Refuse to mix files of other settings into a data set; what has no manifest yet gets its start of one."""
    path = root / "manifest.json"
    if not path.exists():
        _write_manifest(root, settings)
        return
    try:
        found = json.loads(path.read_text())
    except ValueError:
        found = {}
    other = {name: found.get(name) for name, value in settings.items() if found.get(name) != value}
    if other:
        wanted = {name: settings[name] for name in other}
        raise BadConfig(f"{path}: found {other}, expected {wanted}; choose another folder or delete this one.")


def _write_manifest(root: Path, content: Mapping[str, object]) -> None:
    with written_whole(root / "manifest.json") as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n")
