"""Training and validation windows of motion and waveform, for systems that make sound without an autoencoder's latents."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning import LightningDataModule
from lightning.pytorch.utilities import rank_zero_info
from torch.utils.data import DataLoader, Dataset

from d2m.data.clips import Row
from d2m.data.layout import DataSetLayout
from d2m.data.sounding_clips import SoundingClip, WindowShape, picture_size, sounding_split
from d2m.data.window_numbers import NumberedWindows, Position, accumulated_batches, position_of


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
    `d2m.data.rhythm_curves`), its frame k starting at k / rhythm_rate; `genre`; `name`; `start_s`; and with `frames`,
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
            rank_zero_info(found.left_out)
        return found.clips

    def fit_statistics_of(self, system: Any) -> None:
        """Fit the normaliser of a system's motion reader on the training split."""
        system.reader.fit([clip.features for clip in self.train.clips])

    def train_dataloader(self) -> DataLoader:
        """Random windows, the same whatever the number of processes and `workers`; a resumed run goes on with the next."""
        batches = self.steps_per_epoch * accumulated_batches(self.trainer)
        numbers = NumberedWindows(self.batch_size, batches, self.position)
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
