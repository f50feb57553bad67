"""Paired windows of motion and music latent, cut on the one clock."""

import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int
from lightning.pytorch.utilities import rank_zero_only
from torch import Tensor
from torch.utils.data import Dataset
from tqdm import tqdm

from d2m.core.aist_names import genre_index, parse_sequence_name
from d2m.core.errors import BadInput, UserError
from d2m.core.timeline import MOTION_FPS, Clock
from d2m.data.index import INDEX_DTYPE, open_index
from d2m.data.layout import DataSetLayout
from d2m.models.heads import UNKNOWN_GENRE
from d2m.motion.dance import Dance

Row = dict[str, Tensor | str]
"""A batch row as `LatentDiffusion` expects it, with the sequence's `name` and the window's `start_s`."""

_ATTEMPTS = 4


@dataclass(frozen=True)
class Clip:
    """One whole sequence, in memory or memory-mapped.

    Args:
        name: of the sequence.
        features: motion, see `d2m.motion.features`.
        latent: of its music.
        rhythm: beat activation and onset envelope per latent frame, in [0, 1], or None.
        genre: class number, 10 where unknown.
    """

    name: str
    features: Float[np.ndarray, "time 219"]
    latent: Float[np.ndarray, "channel frame"]
    rhythm: Float[np.ndarray, "2 frame"] | None
    genre: int


@runtime_checkable
class Clips(Protocol):
    """Clips in a row: a list of them, or `d2m.data.clips.MappedClips`.

    No `Sequence`, because run-time checkers of annotations open an item of every sequence they meet.
    """

    def __len__(self) -> int: ...

    def __getitem__(self, place: int, /) -> Clip: ...

    def __iter__(self) -> Iterator[Clip]: ...


@dataclass(frozen=True)
class Split:
    """The sequences of a split that can be used.

    Args:
        clips: those at least one window long.
        left_out: one sentence on those that cannot be used; empty where all can.
    """

    clips: Clips
    left_out: str


def last_starts(
    motion_frames: Int[np.ndarray, " clip"], latent_frames: Int[np.ndarray, " clip"], clock: Clock
) -> Int[np.ndarray, " clip"]:
    """Largest latent frame at which a window may start; negative where a sequence is shorter than a window.

    Both music and motion must reach the window's end.
    """
    spare = motion_frames.astype(np.int64) - clock.window_motion_frames
    by_motion = np.where(spare >= 0, (spare / MOTION_FPS * clock.latent_rate).astype(np.int64), -1)
    return np.minimum(latent_frames.astype(np.int64) - clock.window_latent_frames, by_motion)


def last_start(clip: Clip, clock: Clock) -> int:
    """`last_starts` of one clip."""
    return int(last_starts(np.array([len(clip.features)]), np.array([clip.latent.shape[1]]), clock)[0])


def cut_window(clip: Clip, start: int, clock: Clock) -> Row:
    """The window that starts with latent frame `start`, copied out of the clip."""
    motion = min(clock.latent_frames_to_motion_frames(start), len(clip.features) - clock.window_motion_frames)
    frames = slice(start, start + clock.window_latent_frames)
    row: Row = {
        "features": _tensor(clip.features[motion : motion + clock.window_motion_frames]),
        "latent": _tensor(clip.latent[:, frames]),
        "genre": torch.tensor(clip.genre),
        "name": clip.name,
        "start_s": torch.tensor(clock.latent_frames_to_seconds(start), dtype=torch.float32),
    }
    if clip.rhythm is not None:
        row["rhythm"] = _tensor(clip.rhythm[:, frames])
    return row


def _tensor(array: np.ndarray) -> Tensor:
    return torch.from_numpy(np.array(array, np.float32))


def load_array(path: Path, columns: int | None = None, mapped: bool = False) -> np.ndarray:
    """A matrix of numbers from a `.npy` file.

    Args:
        path: the file.
        columns: expected size of the second axis, where it is known.
        mapped: memory-map it; what is written into the array does not reach the file.

    Raises:
        BadInput: when it is not there or damaged.
    """
    again = "run scripts/encode.py again"
    try:
        array = np.load(path, mmap_mode="c" if mapped else None, allow_pickle=False)
    except FileNotFoundError as error:
        raise BadInput(f"{path}: not found, expected an array that encoding writes; {again}.") from error
    except (ValueError, OSError, EOFError) as error:
        raise BadInput(f"{path}: damaged ({str(error)[:100]}); delete it and {again}.") from error
    if array.ndim != 2 or array.dtype.kind != "f" or columns not in (None, array.shape[1]):
        expected = "a matrix of floats" if columns is None else f"one of floats with {columns} columns"
        raise BadInput(
            f"{path}: found an array of shape {array.shape} and type {array.dtype}, expected {expected}; "
            f"delete it and {again}."
        )
    return np.asarray(array)


def load_clip(layout: DataSetLayout, name: str, dmae: str) -> Clip:
    """Read one sequence; its motion from `features/` where encoding has put it there, else from its motion file.

    Raises:
        BadInput: when its latent is missing or is not one.
    """
    path = layout.latent(name, dmae)
    if not path.exists():
        raise BadInput(
            f"{path}: not found, expected the music latent of '{name}'; run scripts/encode.py dmae={dmae} first."
        )
    latent = load_array(path).astype(np.float32)
    made = layout.features(name)
    features = load_array(made, 219).astype(np.float32) if made.exists() else Dance.load(layout.motion(name)).features
    rhythm_path = layout.rhythm(name, dmae)
    rhythm = load_array(rhythm_path).astype(np.float32) if rhythm_path.exists() else None
    parts = parse_sequence_name(name)
    return Clip(name, features, latent, rhythm, UNKNOWN_GENRE if parts is None else genre_index(parts.genre))


def loaded_split(layout: DataSetLayout, split: str, dmae: str, clock: Clock) -> Split:
    """All sequences of a split, in memory; those that cannot be read are left out and said.

    Raises:
        BadInput: when none can be used, or only some have rhythm curves.
    """
    names, clips, failed, short = layout.names(split), [], [], 0
    for name in tqdm(names, desc=f"reading split '{split}'", disable=len(names) < 50):
        try:
            clip = load_clip(layout, name, dmae)
        except UserError as error:
            failed.append(str(error))
            continue
        if last_start(clip, clock) < 0:
            short += 1
        else:
            clips.append(clip)
    if not clips:
        raise BadInput(failed[0]) if failed else too_short_error(layout, clock)
    without = [clip.name for clip in clips if clip.rhythm is None]
    if without and len(without) < len(clips):
        raise BadInput(
            f"{layout.rhythm(without[0], dmae)}: not found, but other sequences have their rhythm curves; "
            f"run scripts/encode.py dmae={dmae} again."
        )
    return Split(clips, left_out_sentence(split, len(names), short, len(failed), failed[0] if failed else "", clock))


def too_short_error(layout: DataSetLayout, clock: Clock) -> BadInput:
    """No sequence is as long as a window."""
    return BadInput(f"{layout.root}: found no sequence of at least {clock.window_seconds:.2f} s; use longer dances.")


@rank_zero_only
def say_left_out(sentence: str) -> None:
    """Print what is left out of training, by one process; not as logging, which the scripts turn off."""
    print(f"note: {sentence}", file=sys.stderr)


def left_out_sentence(split: str, total: int, short: int, failed: int, first: str, clock: Clock) -> str:
    """Says how many sequences of a split are not used, and why."""
    parts = [f"{short} shorter than {clock.window_seconds:.2f} s"] if short else []
    parts += [f"{failed} not readable (first: {first})"] if failed else []
    return f"split '{split}': {short + failed} of {total} sequences left out: {', '.join(parts)}" if parts else ""


class ClipWindows(Dataset):
    """Windows of the clock's length.

    Args:
        clips: sequences, each at least a window long; in memory (`loaded_split`) or mapped (`mapped_split`).
        clock: of the autoencoder whose latents they hold.
        length: windows per epoch, each from a random sequence; None: one at the start of every sequence.
        seed: of the random places; window number n of a seed is always the same one, so that a resumed run goes on exactly.
        random_start: start a random window anywhere in its sequence; False: at its start, as the published system does.
    """

    def __init__(
        self, clips: Clips, clock: Clock, length: int | None = None, seed: int = 0, random_start: bool = True
    ) -> None:
        self.clips, self.clock, self.length, self.seed, self.random_start = clips, clock, length, seed, random_start

    def __len__(self) -> int:
        return self.length or len(self.clips)

    def __getitem__(self, index: int) -> Row:
        """Window number `index`, which may lie past the epoch's length.

        A sequence whose files have been damaged since the start is warned of, and another one takes its place.

        Raises:
            BadInput: for a damaged sequence that nothing replaces.
        """
        if self.length is None:
            return cut_window(self.clips[index], 0, self.clock)
        rng = np.random.default_rng((self.seed, index))
        for attempt in range(_ATTEMPTS):
            try:
                clip = self.clips[int(rng.integers(len(self.clips)))]
                break
            except BadInput as error:
                if attempt == _ATTEMPTS - 1:
                    raise
                warnings.warn(f"left out: {error}", stacklevel=2)
        start = int(rng.integers(last_start(clip, self.clock) + 1)) if self.random_start else 0
        return cut_window(clip, start, self.clock)


# Sequences that stay on disk: names, lengths and genres from the index, arrays memory-mapped when they are asked for.
#
# A split costs four bytes per sequence in memory, whatever its length; nothing is listed or opened before it is used.


_NAME = INDEX_DTYPE["name"]
_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class SplitRows:
    """Rows of the index that a split names, in its order.

    Args:
        rows: row numbers.
        total: names in the split, those of the ignore list left out.
        first_missing: a name that is not in the index; empty where all are.
    """

    rows: Int[np.ndarray, " clip"]
    total: int
    first_missing: str


def split_rows(layout: DataSetLayout, split: str, index: np.ndarray) -> SplitRows:
    """Find a split's names in the index, a megabyte of names at a time.

    Raises:
        BadInput: when the split has no list, or an empty one.
    """
    path = layout.listed(split)
    ignored_file = layout.root / "ignore_list.txt"
    ignored = np.array(ignored_file.read_bytes().split() if ignored_file.exists() else [], _NAME)
    column, found, total, missing = index["name"], [], 0, ""
    for names in _name_chunks(path):
        names = names[~np.isin(names, ignored)]
        order = np.argsort(names)  # in order, neighbours search near each other: an index is larger than any cache
        places = np.empty(len(names), np.int64)
        places[order] = np.searchsorted(column, names[order])
        inside = places < len(column)
        known = np.zeros(len(names), bool)
        known[inside] = column[places[inside]] == names[inside]
        if not known.all():
            missing = missing or names[~known][0].decode("utf-8", "replace")
        found.append(places[known].astype(np.int32))
        total += len(names)
    if total == 0:
        raise BadInput(f"{path}: found no sequence names, expected one a line; prepare the data set again.")
    return SplitRows(np.concatenate(found), total, missing)


def _name_chunks(path: Path) -> Iterator[np.ndarray]:
    rest = b""
    with path.open("rb") as file:
        while block := file.read(_CHUNK_BYTES):
            whole, newline, rest = (rest + block).rpartition(b"\n")
            if newline:
                yield np.array(whole.split(), _NAME)
            # without a line end in it, a block is the beginning of the next one
    if rest.strip():
        yield np.array(rest.split(), _NAME)


class MappedClips:
    """Rows of the index as clips whose arrays are memory-mapped; nothing stays open, so worker processes may share it.

    Args:
        layout: the data set.
        dmae: autoencoder whose latents are used.
        rows: row numbers of the index.
        with_rhythm: whether there are rhythm curves.
    """

    def __init__(self, layout: DataSetLayout, dmae: str, rows: Int[np.ndarray, " clip"], with_rhythm: bool) -> None:
        self.layout, self.dmae, self.rows, self.with_rhythm = layout, dmae, rows, with_rhythm
        self._index: np.ndarray | None = None

    @property
    def index(self) -> np.ndarray:
        """The index of the data set, mapped when it is first needed in a process."""
        index = self._index
        if index is None:
            index = self._index = open_index(self.layout.latent_folder(self.dmae))
        return index

    def __getstate__(self) -> dict[str, Any]:
        """A worker process maps the index itself; pickled, it would be copied whole."""
        return {**self.__dict__, "_index": None}

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Clip]:
        return (self[place] for place in range(len(self)))

    def __getitem__(self, place: int, /) -> Clip:
        """A clip.

        Raises:
            BadInput: when its files are missing, damaged or not those that the index was made of.
        """
        entry = self.index[self.rows[place]]
        name, frames = entry["name"].decode(), int(entry["latent_frames"])
        features = load_array(self.layout.features(name), 219, mapped=True)
        latent = load_array(self.layout.latent(name, self.dmae), frames, mapped=True)
        rhythm = load_array(self.layout.rhythm(name, self.dmae), frames, mapped=True) if self.with_rhythm else None
        if len(features) != entry["motion_frames"]:
            raise BadInput(
                f"{self.layout.features(name)}: found {len(features)} frames, expected the "
                f"{entry['motion_frames']} of the index; run scripts/encode.py dmae={self.dmae} again."
            )
        return Clip(name, features, latent, rhythm, int(entry["genre"]))

    def spread(self, count: int) -> "MappedClips":
        """At most `count` of these clips, evenly spread."""
        places = np.unique(np.linspace(0, len(self) - 1, min(count, len(self))).astype(np.int64))
        return MappedClips(self.layout, self.dmae, self.rows[places], self.with_rhythm)


def mapped_split(layout: DataSetLayout, split: str, dmae: str, clock: Clock) -> Split:
    """All sequences of a split, on disk; those too short or not in the index are left out and said.

    Raises:
        BadInput: when the index is missing, or none of the split can be used.
    """
    index = open_index(layout.latent_folder(dmae))
    named = split_rows(layout, split, index)
    if len(named.rows) == 0:
        raise BadInput(
            f"{layout.split_file(split)}: none of its {named.total} sequences is in the index of encoded ones "
            f"(first: {named.first_missing}); run scripts/encode.py dmae={dmae} again."
        )
    long_enough = last_starts(index["motion_frames"][named.rows], index["latent_frames"][named.rows], clock) >= 0
    rows = named.rows[long_enough]
    if len(rows) == 0:
        raise too_short_error(layout, clock)
    with_rhythm = layout.rhythm("", dmae).parent.is_dir()
    missing = f"{named.first_missing} is not in the index of encoded ones"
    left_out = left_out_sentence(
        split, named.total, len(named.rows) - len(rows), named.total - len(named.rows), missing, clock
    )
    return Split(MappedClips(layout, dmae, rows, with_rhythm), left_out)
