"""One sequence with its music as latent, codec tokens or waveform, and the windows that training sees of it."""

import json
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import gcd
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int, Integer, Shaped, UInt8
from lightning.pytorch.utilities import rank_zero_only
from torch import Tensor
from torch.utils.data import Dataset
from tqdm import tqdm

from d2m.core.aist_names import genre_index, parse_sequence_name
from d2m.core.errors import BadConfig, BadInput, UserError
from d2m.core.music import Music
from d2m.core.timeline import MOTION_FPS, PICTURE_FPS, Clock
from d2m.data.encode import rhythm_curves
from d2m.data.index import INDEX_DTYPE, TokenManifest, open_index, token_file
from d2m.data.layout import DataSetLayout, load_landmarks, load_pictures
from d2m.models.heads import UNKNOWN_GENRE
from d2m.motion.dance import Dance

Row = dict[str, Tensor | str]
"""One window: `features` [time 219] at 60 fps; the music under its kind, `latent` [channel frame], `codes` [codebook frame]
or `waveform` [1 sample] in [-1, 1]; `genre`; `name`; `start_s`; where there are any, `rhythm` [2 frame] in [0, 1] (see
`d2m.data.encode`), `landmarks` [time 33 3], and small grey video frames `frames` [picture height width] in [0, 1]."""

_ATTEMPTS = 4
_FULL_SCALE = 32767


@dataclass(frozen=True)
class Clip:
    """One whole sequence, in memory or memory-mapped.

    Args:
        name: of the sequence.
        features: motion, see `d2m.motion.features`.
        music: what `kind` says.
        rhythm: beat activation and onset envelope in [0, 1], per frame of the music or of the grid's own rate; or None.
        genre: class number, 10 where unknown.
        kind: `latent`, `codes`, or `waveform` (16-bit).
        pictures: small grey video frames at 15 fps, or None.
        landmarks: see `d2m.video.modality`, or None.
    """

    name: str
    features: Float[np.ndarray, "time 219"]
    music: Shaped[np.ndarray, "channel frame"]
    rhythm: Float[np.ndarray, "2 rhythm_frame"] | None
    genre: int
    kind: str = "latent"
    pictures: UInt8[np.ndarray, "picture height width"] | None = None
    landmarks: Float[np.ndarray, "time 33 3"] | None = None

    def window(self, start_s: float, motion: slice, music: slice, rhythm: slice, pictures: slice) -> Row:
        """The window of these frames, copied out of the sequence."""
        row: Row = {
            "features": _floats(self.features[motion]),
            self.kind: self._music(music),
            "genre": torch.tensor(self.genre),
            "name": self.name,
            "start_s": torch.tensor(start_s, dtype=torch.float32),
        }
        if self.rhythm is not None:
            row["rhythm"] = _floats(self.rhythm[:, rhythm])
        if self.pictures is not None:
            row["frames"] = _floats(self.pictures[pictures]) / 255
        if self.landmarks is not None:
            row["landmarks"] = _floats(self.landmarks[motion])
        return row

    def _music(self, frames: slice) -> Tensor:
        if self.kind == "codes":
            return torch.from_numpy(np.array(self.music[:, frames], np.int64))
        music = _floats(self.music[:, frames])
        return music / _FULL_SCALE if self.kind == "waveform" else music


def _floats(array: np.ndarray) -> Tensor:
    return torch.from_numpy(np.array(array, np.float32))


@runtime_checkable
class Grid(Protocol):
    """How long a window is, and where one may start: at steps number 0 to `last_start`."""

    @property
    def seconds(self) -> float | int:
        """Length of a window."""
        ...

    def last_start(self, clip: Clip) -> int:
        """Largest step at which a window may start; negative where the sequence is shorter than one."""
        ...

    def cut(self, clip: Clip, start: int) -> Row:
        """The window that starts at a step."""
        ...


@dataclass(frozen=True)
class LatentGrid:
    """Windows of latents or codec tokens start with any latent frame, and with the motion frame nearest to it.

    Args:
        clock: of the autoencoder or the codec.
    """

    clock: Clock

    @property
    def seconds(self) -> float:
        """Length of a window."""
        return self.clock.window_seconds

    def last_start(self, clip: Clip) -> int:
        """`last_starts` of one clip."""
        return int(last_starts(np.array([len(clip.features)]), np.array([clip.music.shape[1]]), self.clock)[0])

    def cut(self, clip: Clip, start: int) -> Row:
        """The window that starts with latent frame `start`."""
        length = self.clock.window_motion_frames
        motion = min(self.clock.latent_frames_to_motion_frames(start), len(clip.features) - length)
        frames = slice(start, start + self.clock.window_latent_frames)
        start_s = self.clock.latent_frames_to_seconds(start)
        return clip.window(start_s, slice(motion, motion + length), frames, frames, slice(0))


def last_starts(
    motion_frames: Int[np.ndarray, " clip"], latent_frames: Int[np.ndarray, " clip"], clock: Clock
) -> Int[np.ndarray, " clip"]:
    """Largest latent frame at which a window may start; negative where a sequence is shorter than a window.

    Both music and motion must reach the window's end.
    """
    spare = motion_frames.astype(np.int64) - clock.window_motion_frames
    by_motion = np.where(spare >= 0, (spare / MOTION_FPS * clock.latent_rate).astype(np.int64), -1)
    return np.minimum(latent_frames.astype(np.int64) - clock.window_latent_frames, by_motion)


@dataclass(frozen=True)
class WindowShape:
    """Windows of waveform start where a motion frame, a rhythm frame and a sample start together (every 0.1 s at 50 rhythm
    frames a second; with pictures, at their frames too), so that nothing is ever rounded.

    Args:
        sample_rate: of the waveform; a whole multiple of `rhythm_rate`.
        rhythm_rate: rhythm frames a second.
        seconds: length of a window; a whole number of steps of the grid.
        pictures: whether windows bring small video frames.
        landmarks: whether they bring landmarks.

    Raises:
        BadConfig: when the numbers do not fit each other.
    """

    sample_rate: int
    rhythm_rate: int
    seconds: float | int
    pictures: bool = False
    landmarks: bool = False

    def __post_init__(self) -> None:
        if self.rhythm_rate < 1 or self.sample_rate % self.rhythm_rate:
            raise BadConfig(
                f"rhythm_rate={self.rhythm_rate}: {self.sample_rate} Hz is no whole multiple of it; choose a divisor."
            )
        steps = self.seconds * self.steps_per_second
        if round(steps) < 1 or abs(steps - round(steps)) > 1e-6:
            raise BadConfig(
                f"window_seconds={self.seconds}: expected a multiple of {1 / self.steps_per_second:g} s, where frames of "
                "motion, rhythm and sound start together."
            )

    @property
    def steps_per_second(self) -> int:
        """Places a second at which a window may start."""
        rates = gcd(MOTION_FPS, self.rhythm_rate)
        return gcd(rates, PICTURE_FPS) if self.pictures else rates

    @property
    def steps(self) -> int:
        """Steps of the grid in a window."""
        return round(self.seconds * self.steps_per_second)

    def last_start(self, clip: Clip) -> int:
        """Largest step at which a window may start; negative where the sequence is shorter than one."""
        lengths = [(len(clip.features), MOTION_FPS), (clip.music.shape[1], self.sample_rate)]
        if clip.pictures is not None:
            lengths.append((len(clip.pictures), PICTURE_FPS))
        return min(count * self.steps_per_second // rate for count, rate in lengths) - self.steps

    def cut(self, clip: Clip, start: int) -> Row:
        """The window that starts at step `start`."""

        def span(rate: int) -> slice:
            first, count = (steps * rate // self.steps_per_second for steps in (start, self.steps))
            return slice(first, first + count)

        rates = (MOTION_FPS, self.sample_rate, self.rhythm_rate, PICTURE_FPS)
        return clip.window(start / self.steps_per_second, *(span(rate) for rate in rates))


@runtime_checkable
class Clips(Protocol):
    """Clips in a row: a list of them, or `MappedClips`.

    No `Sequence`, because run-time checkers of annotations open an item of every sequence they meet.
    """

    def __len__(self) -> int: ...

    def __getitem__(self, place: int, /) -> Clip: ...

    def __iter__(self) -> Iterator[Clip]: ...


class ClipWindows(Dataset):
    """Windows of clips.

    Args:
        clips: sequences, each at least a window long.
        grid: where windows start, and how long they are.
        length: windows per epoch, each from a random sequence; None: one at the start of every sequence.
        seed: of the random places; window number n of a seed is always the same one, so that a resumed run goes on exactly.
        random_start: start a random window anywhere in its sequence; False: at its start, as the published system does.
    """

    def __init__(
        self, clips: Clips, grid: Grid, length: int | None = None, seed: int = 0, random_start: bool = True
    ) -> None:
        self.clips, self.grid, self.length, self.seed, self.random_start = clips, grid, length, seed, random_start

    def __len__(self) -> int:
        return self.length or len(self.clips)

    def __getitem__(self, index: int) -> Row:
        """Window number `index`, which may lie past the epoch's length.

        A sequence whose files have been damaged since the start is warned of, and another one takes its place.

        Raises:
            BadInput: for a damaged sequence that nothing replaces.
        """
        if self.length is None:
            return self.grid.cut(self.clips[index], 0)
        rng = np.random.default_rng((self.seed, index))
        for attempt in range(_ATTEMPTS):
            try:
                clip = self.clips[int(rng.integers(len(self.clips)))]
                break
            except BadInput as error:
                if attempt == _ATTEMPTS - 1:
                    raise
                warnings.warn(f"left out: {error}", stacklevel=2)
        return self.grid.cut(clip, int(rng.integers(self.grid.last_start(clip) + 1)) if self.random_start else 0)


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


def _load_features(layout: DataSetLayout, name: str, mapped: bool = False) -> Float[np.ndarray, "time 219"]:
    """Motion from `features/` where encoding has put it there, else from the motion file."""
    path = layout.features(name)
    if not path.exists():
        return Dance.load(layout.motion(name)).features
    features = load_array(path, 219, mapped)
    return features if mapped else features.astype(np.float32)


def _load_rhythm(layout: DataSetLayout, name: str, coder: str) -> Float[np.ndarray, "2 frame"] | None:
    path = layout.rhythm(name, coder)
    return load_array(path).astype(np.float32) if path.exists() else None


def _genre(name: str) -> int:
    parts = parse_sequence_name(name)
    return UNKNOWN_GENRE if parts is None else genre_index(parts.genre)


def load_clip(layout: DataSetLayout, name: str, dmae: str) -> Clip:
    """A sequence with the latent of its music.

    Raises:
        BadInput: when its latent is missing or is not one.
    """
    path = layout.latent(name, dmae)
    if not path.exists():
        raise BadInput(
            f"{path}: not found, expected the music latent of '{name}'; run scripts/encode.py dmae={dmae} first."
        )
    latent = load_array(path).astype(np.float32)
    return Clip(name, _load_features(layout, name), latent, _load_rhythm(layout, name, dmae), _genre(name))


def load_token_clip(
    layout: DataSetLayout, name: str, codec: str, manifest: TokenManifest, landmarks: bool = False
) -> Clip:
    """A sequence with the codec tokens of its music; its motion is memory-mapped.

    Args:
        layout: of the data set.
        name: of the sequence.
        codec: name that the tokens are filed under.
        manifest: of the tokens.
        landmarks: whether to bring the landmarks, too.

    Raises:
        BadInput: when its tokens are missing or are not this codec's.
    """
    codes, rhythm = _load_codes(layout, name, codec, manifest), _load_rhythm(layout, name, codec)
    features = _load_features(layout, name, mapped=True)
    if rhythm is not None and rhythm.shape != (2, codes.shape[1]):
        raise BadInput(
            f"{layout.rhythm(name, codec)}: found {list(rhythm.shape)}, expected rhythm curves [2, {codes.shape[1]}] on the "
            f"frames of codec '{codec}'; delete it and its tokens, and run scripts/encode.py codec={codec} again."
        )
    body = load_landmarks(layout, name, np.asarray(features)) if landmarks else None
    return Clip(name, features, codes, rhythm, _genre(name), "codes", landmarks=body)


def _load_codes(
    layout: DataSetLayout, name: str, codec: str, manifest: TokenManifest
) -> Integer[np.ndarray, "codebook frame"]:
    path, facts = token_file(layout, name, codec), manifest.codec
    again = f"run scripts/encode.py codec={codec}"
    try:
        codes = np.load(path, allow_pickle=False)
    except FileNotFoundError as error:
        raise BadInput(f"{path}: not found, expected the codec tokens of '{name}'; {again} first.") from error
    except (ValueError, OSError, EOFError) as error:
        raise BadInput(f"{path}: damaged ({str(error)[:100]}); delete it and {again} again.") from error
    if codes.dtype.kind != "i" or codes.ndim != 2 or len(codes) != facts.codebooks or codes.size == 0:
        raise BadInput(
            f"{path}: found {codes.dtype} of shape {list(codes.shape)}, expected whole numbers [{facts.codebooks}, frame] of "
            f"codec '{codec}'; delete it and {again} again."
        )
    if codes.min() < 0 or codes.max() >= facts.codebook_size:
        raise BadInput(
            f"{path}: found codes from {codes.min()} to {codes.max()}, but codec '{codec}' has {facts.codebook_size} entries; "
            f"these are another codec's, delete them and {again} again."
        )
    return codes


def load_waveform_clip(layout: DataSetLayout, name: str, shape: WindowShape) -> Clip:
    """A sequence with its music resampled to mono at the shape's rate.

    Raises:
        BadInput: when its sound, motion, beats or pictures are missing or damaged.
    """
    wav = layout.wav(name)
    if not wav.exists():
        raise BadInput(f"{wav}: not found, expected the music of '{name}'; prepare the data set again.")
    music = Music.load(wav).mono().resampled(shape.sample_rate)
    features = _load_features(layout, name)
    hop = shape.sample_rate // shape.rhythm_rate
    frames = music.waveform.shape[1] // hop + 1  # the last one may be cut off by the music's end
    rhythm = rhythm_curves(layout, name, music, frames, Clock(shape.sample_rate, hop)).astype(np.float32)
    samples = np.clip(music.waveform * _FULL_SCALE, -_FULL_SCALE, _FULL_SCALE).round().astype(np.int16)
    pictures = load_pictures(layout, name) if shape.pictures else None
    landmarks = load_landmarks(layout, name, features) if shape.landmarks else None
    return Clip(name, features, samples, rhythm, _genre(name), "waveform", pictures, landmarks)


def picture_size(layout: DataSetLayout) -> int:
    """Pixels a side of a data set's small pictures.

    Raises:
        BadConfig: when there are none, or they have another rate than 15 a second.
    """
    path = layout.root / "frames" / "manifest.json"
    try:
        found = json.loads(path.read_text())
        size, fps = int(found["size"]), found["fps"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadConfig(
            f"{path}: not found or damaged, expected what scripts/prepare.py notes of a data set's small pictures; prepare it "
            "with dataset.frames={size: 32, fps: 15}."
        ) from error
    if fps != PICTURE_FPS:
        raise BadConfig(
            f"{path}: found fps {fps}, expected {PICTURE_FPS}; prepare the data set with dataset.frames.fps={PICTURE_FPS}."
        )
    return size


@dataclass(frozen=True)
class Split:
    """The sequences of a split that can be used.

    Args:
        clips: those at least one window long.
        left_out: one sentence on those that cannot be used; empty where all can.
    """

    clips: Clips
    left_out: str


def loaded_split(
    layout: DataSetLayout, split: str, grid: Grid, load: Callable[[str], Clip], rhythm_of: str | None = None
) -> Split:
    """All sequences of a split, in memory; those that cannot be read are left out and said.

    Args:
        layout: of the data set.
        split: its name.
        grid: of the windows.
        load: reads the sequence of a name.
        rhythm_of: `dmae=NAME` or `codec=NAME`, whose rhythm curves either all sequences have or none.

    Raises:
        BadInput: when none can be used, or only some have rhythm curves.
    """
    names, clips, failed, short = layout.names(split), [], [], 0
    for name in tqdm(names, desc=f"reading split '{split}'", disable=len(names) < 50):
        try:
            clip = load(name)
        except UserError as error:
            failed.append(str(error))
            continue
        if grid.last_start(clip) < 0:
            short += 1
        else:
            clips.append(clip)
    if not clips:
        raise BadInput(failed[0]) if failed else _too_short(layout, grid)
    without = [clip.name for clip in clips if clip.rhythm is None]
    if rhythm_of and 0 < len(without) < len(clips):
        raise BadInput(
            f"{layout.rhythm(without[0], rhythm_of.partition('=')[2])}: not found, but other sequences have their rhythm "
            f"curves; run scripts/encode.py {rhythm_of} again."
        )
    return Split(clips, _left_out(split, len(names), short, len(failed), failed[0] if failed else "", grid))


def _too_short(layout: DataSetLayout, grid: Grid) -> BadInput:
    seconds = f"{round(grid.seconds, 2):g}"
    return BadInput(f"{layout.root}: found no sequence of at least {seconds} s; use longer dances.")


def _left_out(split: str, total: int, short: int, failed: int, first: str, grid: Grid) -> str:
    """Says how many sequences of a split are not used, and why."""
    parts = [f"{short} shorter than {round(grid.seconds, 2):g} s"] if short else []
    parts += [f"{failed} not readable (first: {first})"] if failed else []
    return f"split '{split}': {short + failed} of {total} sequences left out: {', '.join(parts)}" if parts else ""


@rank_zero_only
def say_left_out(sentence: str) -> None:
    """Print what is left out of training, by one process; not as logging, which the scripts turn off."""
    print(f"note: {sentence}", file=sys.stderr)


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

    def thinned(self, count: int) -> "MappedClips":
        """At most `count` of these clips, evenly spread."""
        places = np.unique(np.linspace(0, len(self) - 1, min(count, len(self))).astype(np.int64))
        return MappedClips(self.layout, self.dmae, self.rows[places], self.with_rhythm)


def mapped_split(layout: DataSetLayout, split: str, dmae: str, clock: Clock) -> Split:
    """All sequences of a split, on disk; those too short or not in the index are left out and said.

    Raises:
        BadInput: when the index is missing, or none of the split can be used.
    """
    index, grid = open_index(layout.latent_folder(dmae)), LatentGrid(clock)
    names = np.array([name.encode() for name in layout.names(split)], INDEX_DTYPE["name"])
    places = np.minimum(np.searchsorted(index["name"], names), max(len(index) - 1, 0))
    known = index["name"][places] == names if len(index) else np.zeros(len(names), bool)
    first = "" if known.all() else names[~known][0].decode("utf-8", "replace")
    if not known.any():
        raise BadInput(
            f"{layout.split_file(split)}: none of its {len(names)} sequences is in the index of encoded ones "
            f"(first: {first}); run scripts/encode.py dmae={dmae} again."
        )
    rows = places[known].astype(np.int32)
    rows = rows[last_starts(index["motion_frames"][rows], index["latent_frames"][rows], clock) >= 0]
    if len(rows) == 0:
        raise _too_short(layout, grid)
    short, missing = int(known.sum()) - len(rows), int((~known).sum())
    left_out = _left_out(split, len(names), short, missing, f"{first} is not in the index of encoded ones", grid)
    return Split(MappedClips(layout, dmae, rows, layout.rhythm("", dmae).parent.is_dir()), left_out)
