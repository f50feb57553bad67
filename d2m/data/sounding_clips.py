"""Whole sequences with their sound in memory, and windows of motion, waveform, rhythm and pictures cut on one grid."""

import json
from dataclasses import dataclass
from math import gcd

import numpy as np
import torch
from jaxtyping import Float, Int16, UInt8
from torch import Tensor
from tqdm import tqdm

from d2m.clock import MOTION_FPS, PICTURE_FPS, Clock
from d2m.dance import Dance
from d2m.data.clips import Row, load_array
from d2m.data.layout import DataSetLayout
from d2m.data.rhythm_curves import rhythm_curves
from d2m.data.seen_dance import load_landmarks, load_pictures
from d2m.errors import BadConfig, BadInput, UserError
from d2m.model.genre import UNKNOWN_GENRE
from d2m.music import Music
from d2m.names import genre_index, parse_sequence_name

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
        landmarks: see `d2m.video.view`, or None.
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
