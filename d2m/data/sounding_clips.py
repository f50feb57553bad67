"""Whole sequences with their sound in memory, and windows of motion, waveform, rhythm and pictures cut on one grid."""

import json
from dataclasses import dataclass
from math import gcd
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int16, UInt8
from lightning import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from d2m.core.aist_names import genre_index, parse_sequence_name
from d2m.core.errors import BadConfig, BadInput, UserError
from d2m.core.music import Music
from d2m.core.timeline import MOTION_FPS, PICTURE_FPS, Clock
from d2m.data.clips import Row, load_array, say_left_out
from d2m.data.encode import rhythm_curves
from d2m.data.layout import DataSetLayout, load_landmarks, load_pictures
from d2m.data.sampler import Position, ResumableSampler, accumulated_batches, position_of
from d2m.models.heads import UNKNOWN_GENRE
from d2m.motion.dance import Dance

_FULL_SCALE = 32767


@dataclass(frozen=True)
class WindowShape:
    """How long a window is in motion, sound, rhythm and pictures, and where it may start.

    Windows start where a motion frame, a rhythm frame and a sample start together (every 0.1 s at 50 rhythm frames a
    second; with pictures, at their frames too), so that nothing is ever rounded.

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

    def frames(self, steps: int, rate: int) -> int:
        """Frames at `rate` a second in `steps` steps."""
        return steps * rate // self.steps_per_second


@dataclass(frozen=True)
class SoundingClip:
    """One whole sequence in memory.

    Args:
        name: of the sequence.
        features: motion, see `d2m.motion.features`.
        waveform: of its music, 16-bit.
        rhythm: beat activation and onset envelope in [0, 1].
        genre: class number, 10 where unknown.
        pictures: small grey video frames at 15 fps, or None.
        landmarks: see `d2m.video.modality`, or None.
    """

    name: str
    features: Float[np.ndarray, "time 219"]
    waveform: Int16[np.ndarray, " sample"]
    rhythm: Float[np.ndarray, "2 frame"]
    genre: int
    pictures: UInt8[np.ndarray, "picture height width"] | None = None
    landmarks: Float[np.ndarray, "time 33 3"] | None = None

    def last_start(self, shape: WindowShape) -> int:
        """Largest step of the grid at which a window may start; negative where the sequence is shorter than one."""
        lengths = [(len(self.features), MOTION_FPS), (len(self.waveform), shape.sample_rate)]
        if self.pictures is not None:
            lengths.append((len(self.pictures), PICTURE_FPS))
        return min(count * shape.steps_per_second // rate for count, rate in lengths) - shape.steps

    def window(self, start: int, shape: WindowShape) -> Row:
        """The window that starts at step `start`, copied out of the sequence."""

        def part(array: np.ndarray, rate: int) -> Tensor:
            first, count = shape.frames(start, rate), shape.frames(shape.steps, rate)
            return torch.from_numpy(array[first : first + count].astype(np.float32))

        row: Row = {
            "features": part(self.features, MOTION_FPS),
            "waveform": part(self.waveform, shape.sample_rate)[None] / _FULL_SCALE,
            "rhythm": part(self.rhythm.T, shape.rhythm_rate).T.contiguous(),
            "genre": torch.tensor(self.genre),
            "name": self.name,
            "start_s": torch.tensor(start / shape.steps_per_second, dtype=torch.float32),
        }
        if self.pictures is not None:
            row["frames"] = part(self.pictures, PICTURE_FPS) / 255
        if self.landmarks is not None:
            row["landmarks"] = part(self.landmarks, MOTION_FPS)
        return row


@dataclass(frozen=True)
class SoundingSplit:
    """The sequences of a split that can be used.

    Args:
        clips: those at least one window long.
        left_out: one sentence on those that cannot be used; empty where all can.
    """

    clips: list[SoundingClip]
    left_out: str


def load_sounding_clip(layout: DataSetLayout, name: str, shape: WindowShape) -> SoundingClip:
    """Read one sequence, its music resampled to mono at the shape's rate.

    Raises:
        BadInput: when its sound, motion, beats or pictures are missing or damaged.
    """
    wav = layout.wav(name)
    if not wav.exists():
        raise BadInput(f"{wav}: not found, expected the music of '{name}'; prepare the data set again.")
    music = Music.load(wav).mono().resampled(shape.sample_rate)
    made = layout.features(name)
    features = load_array(made, 219).astype(np.float32) if made.exists() else Dance.load(layout.motion(name)).features
    hop = shape.sample_rate // shape.rhythm_rate
    frames = music.waveform.shape[1] // hop + 1  # the last one may be cut off by the music's end
    rhythm = rhythm_curves(layout, name, music, frames, Clock(shape.sample_rate, hop)).astype(np.float32)
    samples = np.clip(music.waveform[0] * _FULL_SCALE, -_FULL_SCALE, _FULL_SCALE).round().astype(np.int16)
    parts = parse_sequence_name(name)
    genre = UNKNOWN_GENRE if parts is None else genre_index(parts.genre)
    pictures = load_pictures(layout, name) if shape.pictures else None
    landmarks = load_landmarks(layout, name, features) if shape.landmarks else None
    return SoundingClip(name, features, samples, rhythm, genre, pictures, landmarks)


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


def sounding_split(layout: DataSetLayout, split: str, shape: WindowShape) -> SoundingSplit:
    """All sequences of a split in memory; those that cannot be used are left out and said.

    Raises:
        BadInput: when none can be used.
        BadConfig: when the data set's pictures have another rate.
    """
    if shape.pictures:
        picture_size(layout)
    names, clips, failed, short = layout.names(split), [], [], 0
    for name in tqdm(names, desc=f"reading split '{split}'", disable=len(names) < 50):
        try:
            clip = load_sounding_clip(layout, name, shape)
        except UserError as error:
            failed.append(str(error))
            continue
        if clip.last_start(shape) < 0:
            short += 1
        else:
            clips.append(clip)
    if not clips and failed:
        raise BadInput(failed[0])
    if not clips:
        raise BadInput(f"{layout.root}: found no sequence of at least {shape.seconds:g} s; use longer dances.")
    parts = [f"{short} shorter than {shape.seconds:g} s"] if short else []
    parts += [f"{len(failed)} not readable (first: {failed[0]})"] if failed else []
    said = f"split '{split}': {short + len(failed)} of {len(names)} sequences left out: {', '.join(parts)}"
    return SoundingSplit(clips, said if parts else "")


# Training and validation windows of motion and waveform, for systems that make sound without an autoencoder's latents.


class SoundingWindows(Dataset):
    """Windows of one shape.

    Args:
        clips: sequences, each at least a window long.
        shape: of a window.
        length: windows per epoch, each at a random place of a random sequence; None: one at the start of every sequence.
        seed: of the random places; window number n of a seed is always the same one.
    """

    def __init__(self, clips: list[SoundingClip], shape: WindowShape, length: int | None = None, seed: int = 0) -> None:
        self.clips, self.shape, self.length, self.seed = clips, shape, length, seed

    def __len__(self) -> int:
        return self.length or len(self.clips)

    def __getitem__(self, index: int) -> Row:
        """Window number `index`, which may lie past the epoch's length."""
        if self.length is None:
            return self.clips[index].window(0, self.shape)
        rng = np.random.default_rng((self.seed, index))
        clip = self.clips[int(rng.integers(len(self.clips)))]
        return clip.window(int(rng.integers(clip.last_start(self.shape) + 1)), self.shape)


class WaveformWindows(LightningDataModule):
    """Windows of motion and music as it sounds.

    A row: `features` [time 219] at 60 fps; `waveform` [1 sample] in [-1, 1]; `rhythm` [2 frame] in [0, 1] (see
    `d2m.data.encode`), its frame k starting at k / rhythm_rate; `genre`; `name`; `start_s`; and with `frames`,
    small grey video frames `frames` [picture height width] in [0, 1] at 15 fps; with `landmarks`, `landmarks` [time 33 3].

    Args:
        root: data set in AIST++'s layout.
        sample_rate: of the waveform; files of another rate are resampled once, and kept as 16-bit mono (380 MB for 910 clips of
            13 s at 16 kHz).
        window_seconds: length of a window.
        rhythm_rate: rhythm frames a second.
        batch_size: windows in a batch of one process.
        steps_per_epoch: optimiser steps that Lightning calls an epoch.
        train_split: split used for training.
        validation: split used for validation; songs carved out of train, never the test songs.
        workers: processes that read training windows.
        seed: of the random windows.
        frames: bring the small video frames of `root/frames` along.
        landmarks: bring MediaPipe's landmarks along: those of `root/landmarks`, else those of the motion's skeleton.

    Raises:
        BadConfig: when window, rates and frames do not fit each other.
    """

    def __init__(
        self,
        root: str,
        sample_rate: int,
        window_seconds: float | int,
        rhythm_rate: int = 50,
        batch_size: int = 8,
        steps_per_epoch: int = 500,
        train_split: str = "train",
        validation: str = "val",
        workers: int = 0,
        seed: int = 0,
        frames: bool = False,
        landmarks: bool = False,
    ) -> None:
        super().__init__()
        self.layout = DataSetLayout(Path(root))
        self.shape = WindowShape(sample_rate, rhythm_rate, window_seconds, frames, landmarks)
        self.train_split, self.validation = train_split, validation
        self.batch_size, self.steps_per_epoch, self.workers, self.seed = batch_size, steps_per_epoch, workers, seed

    @property
    def made_with(self) -> dict[str, Any]:
        """What a checkpoint notes beside its system: the size of the pictures that it was shown, if any."""
        return {"picture_size": picture_size(self.layout)} if self.shape.pictures else {}

    def setup(self, stage: str | None = None) -> None:
        """Read both splits into memory.

        Raises:
            BadInput: when a split has no sequence that can be used.
        """
        if hasattr(self, "train"):
            return
        windows = self.batch_size * self.steps_per_epoch
        self.train = SoundingWindows(self._clips(self.train_split), self.shape, windows, self.seed)
        self.val = SoundingWindows(self._clips(self.validation), self.shape)

    def _clips(self, split: str) -> list[SoundingClip]:
        found = sounding_split(self.layout, split, self.shape)
        if found.left_out:
            say_left_out(found.left_out)
        return found.clips

    def fit_statistics_of(self, system: Any) -> None:
        """Fit the normaliser of a system's motion reader on the training split."""
        system.reader.fit([clip.features for clip in self.train.clips])

    def train_dataloader(self) -> DataLoader:
        """Random windows, the same whatever the number of processes and `workers`; a resumed run goes on with the next."""
        batches = self.steps_per_epoch * accumulated_batches(self.trainer)
        numbers = ResumableSampler(self.batch_size, batches, self.position)
        return DataLoader(self.train, self.batch_size, sampler=numbers, num_workers=self.workers, **self._options())

    def val_dataloader(self) -> DataLoader:
        """The first window of every validation sequence."""
        return DataLoader(self.val, self.batch_size, **self._options())

    def position(self) -> Position:
        """Where the run has got to."""
        return position_of(self.trainer)

    def _options(self) -> dict[str, Any]:
        # a loader without a generator of its own takes a number from PyTorch's at every start, also at those starts that
        # a resumed run does not have
        return {"generator": torch.Generator(), "pin_memory": torch.cuda.is_available()}
