"""Crops of music for training an autoencoder: from a data set's wavs, or from any folder of music files.

Nothing is decoded as a whole or kept: a crop is read where it lies in its file, which takes milliseconds also in an mp3 or m4a, so that a
collection of any size can be trained on.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from pathlib import Path
from typing import Any

import av
import numpy as np
import soundfile
import torch
from jaxtyping import Float
from lightning import LightningDataModule
from scipy.signal import resample_poly
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from d2m.core.errors import BadInput
from d2m.data.datamodule import ResumableSampler, accumulated_batches
from d2m.data.dataset import say_left_out
from d2m.data.layout import DataSetLayout
from d2m.data.streaming import Position

SUFFIXES = frozenset({".wav", ".flac", ".ogg", ".opus", ".mp3", ".m4a", ".aac", ".aif", ".aiff", ".mp4", ".wma"})
"""Files of a folder that are taken for music."""

HELD_OUT = 0.05
"""Share of a folder's files that is not trained on."""

_VALIDATION_SAMPLES = 131072
_STATISTICS = 300


@dataclass(frozen=True)
class Recording:
    """A music file and how long it is."""

    path: Path
    seconds: float | int

    @staticmethod
    def found(path: Path) -> "Recording":
        """A file by its header.

        Raises:
            BadInput: when it is no music file.
        """
        try:
            return Recording(path, soundfile.info(path).duration)
        except (soundfile.SoundFileError, OSError):
            pass
        try:
            with av.open(str(path)) as file:
                stream = file.streams.audio[0]
                if stream.duration is not None and stream.time_base is not None:
                    return Recording(path, float(stream.duration * stream.time_base))
                return Recording(path, (file.duration or 0) / av.time_base)
        except (av.FFmpegError, OSError, IndexError) as error:
            raise BadInput(
                f"{path}: not a readable music file ({type(error).__name__}); it is left out, replace or delete it."
            ) from error

    def crop(
        self, start_s: float | int, samples: int, sample_rate: int, channels: int
    ) -> Float[np.ndarray, "channel sample"]:
        """`samples` samples at `sample_rate` from `start_s` on; mixed down for one channel, one channel doubled for two.

        Raises:
            BadInput: when there is less, or what is there cannot be decoded.
        """
        try:
            wave = self._by_soundfile(start_s, samples, sample_rate)
            wave = self._by_ffmpeg(start_s, samples, sample_rate, channels) if wave is None else wave
        except (soundfile.SoundFileError, av.FFmpegError, OSError, ValueError) as error:
            raise BadInput(f"{self.path}: damaged at {start_s:.1f} s ({error}); replace or delete it.") from error
        if wave.shape[1] < samples or not np.isfinite(wave).all():
            raise BadInput(
                f"{self.path}: found {wave.shape[1] / sample_rate:.2f} s of sound at {start_s:.1f} s, expected "
                f"{samples / sample_rate:.2f} s; it is cut off or damaged, replace or delete it."
            )
        if channels == 1:
            wave = wave.mean(axis=0, keepdims=True)
        return wave[np.arange(channels) % len(wave), :samples].astype(np.float32)

    def _by_soundfile(self, start_s: float | int, samples: int, sample_rate: int) -> np.ndarray | None:
        """None for a file that libsndfile cannot read."""
        try:
            file = soundfile.SoundFile(self.path)
        except soundfile.SoundFileError:
            return None
        with file:
            ratio = Fraction(file.samplerate, sample_rate)
            file.seek(int(start_s * file.samplerate))
            wave = file.read(ceil(samples * ratio), dtype="float32", always_2d=True).T
        return wave if ratio == 1 else resample_poly(wave, ratio.denominator, ratio.numerator, axis=1)

    def _by_ffmpeg(self, start_s: float | int, samples: int, sample_rate: int, channels: int) -> np.ndarray:
        with av.open(str(self.path)) as file:
            stream = file.streams.audio[0]
            assert stream.time_base is not None
            file.seek(int(start_s / stream.time_base) + (stream.start_time or 0), stream=stream)
            resampler = av.AudioResampler("fltp", "mono" if channels == 1 else "stereo", sample_rate)
            parts, held, skip = [], 0, None
            for frame in file.decode(stream):
                if skip is None:
                    begins_s = float((frame.pts or 0) * stream.time_base)
                    skip = max(0, round((start_s - begins_s) * sample_rate))
                for part in resampler.resample(frame):
                    parts.append(part.to_ndarray())
                    held += parts[-1].shape[1]
                if held - skip >= samples:
                    break
        return np.concatenate(parts, axis=1)[:, skip:] if parts else np.zeros((channels, 0), np.float32)


def recordings(root: Path, splits: Sequence[str], share: float = HELD_OUT) -> list[list[Recording]]:
    """Music of each split that can be read, with one sentence for each file that cannot.

    A data set's wavs by its lists; of any other folder, all music files in it and in its folders, of which all splits but `train` have
    those that are held out: a hash of their names says so. They are the same whatever else is there, and at least one.

    Raises:
        BadInput: when the folder holds fewer than two music files.
    """
    layout = DataSetLayout(root)
    if layout.split_file("train").exists():
        return [_readable([layout.wav(name) for name in layout.names(split)]) for split in splits]
    paths = sorted(path for path in root.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    found = _readable([path for path in paths if not path.name.startswith(".")])
    if len(found) < 2:
        raise BadInput(
            f"{root}: found {len(found)} music files in it and its folders, expected at least 2 ({', '.join(sorted(SUFFIXES))}); "
            "name another folder."
        )
    order = [_hash(recording.path.relative_to(root).as_posix()) for recording in found]
    last = max(share, min(order))
    return [
        [one for one, place in zip(found, order, strict=True) if (place > last) == (split == "train")]
        for split in splits
    ]


def _readable(paths: Sequence[Path]) -> list[Recording]:
    found = []
    for path in tqdm(paths, desc="looking at music", unit="file", disable=len(paths) < 200):
        try:
            found.append(Recording.found(path))
        except BadInput as error:
            say_left_out(str(error))
    return found


def _hash(name: str) -> float:
    """A number in [0, 1) that depends on the name alone."""
    return int(hashlib.sha256(name.encode()).hexdigest()[:12], 16) / 16**12


class AudioCrops(Dataset):
    """Crops of fixed length; crop number n of a seed is always the same.

    Args:
        files: what they are cut from; a file that turns out to be damaged is said and not used again.
        sample_rate, channels: what the autoencoder is fed; files are resampled, and mixed down for one channel.
        samples: samples per crop.
        seed: of random crops; None: one crop from the middle of each file.
    """

    def __init__(
        self, files: Sequence[Recording], sample_rate: int, channels: int, samples: int, seed: int | None = None
    ) -> None:
        self.sample_rate, self.channels, self.samples, self.seed = sample_rate, channels, samples, seed
        self.seconds = samples / sample_rate
        self.files = [file for file in files if file.seconds >= self.seconds + 0.1]
        self.damaged: set[Path] = set()

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """`waveform` [channel sample] in [-1, 1]; silence where a file of validation is damaged."""
        if self.seed is None:
            file = self.files[index]
            wave = self._read(file, (file.seconds - self.seconds) / 2)
            silence = np.zeros((self.channels, self.samples), np.float32)
            return {"waveform": torch.from_numpy(silence if wave is None else wave)}
        random = np.random.default_rng((self.seed, index))
        while True:
            file = self.files[random.integers(len(self.files))]
            wave = self._read(file, random.uniform(0, file.seconds - self.seconds - 0.05))
            if wave is not None:
                return {"waveform": torch.from_numpy(wave)}

    def _read(self, file: Recording, start_s: float | int) -> np.ndarray | None:
        if file.path in self.damaged:
            return None
        try:
            return file.crop(start_s, self.samples, self.sample_rate, self.channels)
        except BadInput as error:
            self.damaged.add(file.path)
            if len(self.damaged) >= len(self.files):
                raise
            say_left_out(str(error))
            return None


class AudioCropsModule(LightningDataModule):
    """Training crops and fixed ones for validation.

    Args:
        root: data set in AIST++'s layout with splits and `wavs/`, whose songs of `train` and `val` are used; or a folder of music
            files of any kind, those in its folders included, of which a share is held out.
        sample_rate, channels: as the autoencoder's.
        samples: samples per training crop.
        batch_size: crops a step.
        steps_per_epoch: steps that Lightning calls an epoch.
        held_out: share of a folder's files that is kept for validation.
        validation_files: how many of them are looked at, evenly spread.
        seed: of the random crops.
    """

    def __init__(
        self,
        root: str,
        sample_rate: int,
        channels: int,
        samples: int = 49152,
        batch_size: int = 6,
        steps_per_epoch: int = 500,
        held_out: float = HELD_OUT,
        validation_files: int = 32,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.root = Path(root)
        self.sample_rate, self.channels, self.samples = sample_rate, channels, samples
        self.batch_size, self.steps_per_epoch, self.seed = batch_size, steps_per_epoch, seed
        self.share, self.validation_files = held_out, validation_files

    def setup(self, stage: str | None = None) -> None:
        """Find the files of both splits.

        Raises:
            BadInput: when there are not enough to train on and to validate with.
        """
        if hasattr(self, "train"):
            return
        train, val = recordings(self.root, ("train", "val"), self.share)
        self.train = AudioCrops(train, self.sample_rate, self.channels, self.samples, self.seed)
        self.val = AudioCrops(val, self.sample_rate, self.channels, max(self.samples, _VALIDATION_SAMPLES))
        if not self.val.files:
            self.val = AudioCrops(val, self.sample_rate, self.channels, self.samples)
        if not self.train.files or not self.val.files:
            raise BadInput(
                f"{self.root}: found {len(self.train.files)} music files to train on and {len(self.val.files)} to validate with "
                f"of {self.samples / self.sample_rate:.1f} s or more, expected at least one of each; give a folder with more music."
            )
        step = -(-len(self.val.files) // self.validation_files)
        self.val.files = self.val.files[::step]

    def fit_statistics_of(self, system: Any) -> None:
        """Show a system that fits its start to training music some of it."""
        if not hasattr(system, "fit_statistics"):
            return
        self.setup()
        system.fit_statistics(torch.stack([self.train[number]["waveform"] for number in range(_STATISTICS)]))

    def position(self) -> Position:
        """Where the run has got to; its start where there is no trainer."""
        if self.trainer is None:
            return Position()
        done = self.trainer.global_step * accumulated_batches(self.trainer)
        return Position(done, self.trainer.global_rank, self.trainer.world_size)

    def train_dataloader(self) -> DataLoader:
        """Random crops, read in this process; a resumed run goes on with the next."""
        batches = self.steps_per_epoch * accumulated_batches(self.trainer)
        numbers = ResumableSampler(self.batch_size, batches, self.position)
        return DataLoader(self.train, self.batch_size, sampler=numbers, generator=torch.Generator())

    def val_dataloader(self) -> DataLoader:
        """One fixed crop of each file."""
        return DataLoader(self.val, 4, generator=torch.Generator())
