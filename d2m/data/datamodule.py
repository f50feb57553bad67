"""Training and validation windows of a prepared and encoded data set."""

from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from lightning import LightningDataModule
from torch.utils.data import DataLoader, Sampler

from d2m.clock import Clock
from d2m.data.clips import ClipWindows
from d2m.data.layout import DataSetLayout


class NumberedWindows(Sampler[int]):
    """Window numbers of one epoch, counted on from the step at which the epoch (or a resumed part of it) begins.

    Args:
        length: windows per epoch.
        first: called at the start of an epoch; number of its first window.
    """

    def __init__(self, length: int, first: Callable[[], int]) -> None:
        self.length, self.first = length, first

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[int]:
        first = self.first()
        return iter(range(first, first + self.length))


class PairedWindows(LightningDataModule):
    """Windows of motion and latent.

    Args:
        root: data set in AIST++'s layout.
        dmae: name of the autoencoder whose latents are used.
        sample_rate, latent_hop_samples: its clock.
        batch_size: windows a step.
        steps_per_epoch: steps that Lightning calls an epoch.
        validation: split used for validation; songs carved out of train, never the test songs.
        seed: of the random windows.
    """

    def __init__(
        self,
        root: str,
        dmae: str,
        sample_rate: int,
        latent_hop_samples: int,
        batch_size: int = 16,
        steps_per_epoch: int = 500,
        validation: str = "val",
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.layout, self.dmae, self.validation = DataSetLayout(Path(root)), dmae, validation
        self.clock = Clock(sample_rate, latent_hop_samples)
        self.batch_size, self.steps_per_epoch, self.seed = batch_size, steps_per_epoch, seed

    def setup(self, stage: str | None = None) -> None:
        """Read both splits into memory."""
        if hasattr(self, "train"):
            return
        length = self.batch_size * self.steps_per_epoch
        self.train = ClipWindows(self.layout, self.layout.names("train"), self.dmae, self.clock, length, self.seed)
        self.val = ClipWindows(self.layout, self.layout.names(self.validation), self.dmae, self.clock)

    def fit_statistics_of(self, system) -> None:
        """Give a system the motion features and latents of the training split, to fit its statistics on."""
        clips = self.train.clips
        system.fit_statistics([clip.features for clip in clips], [torch.from_numpy(clip.latent) for clip in clips])

    def train_dataloader(self) -> DataLoader:
        """Random windows; drawn in this process, since cutting one costs less than sending it."""
        numbers = NumberedWindows(
            len(self.train), lambda: self.batch_size * (self.trainer.global_step if self.trainer else 0)
        )
        return DataLoader(self.train, self.batch_size, sampler=numbers)

    def val_dataloader(self) -> DataLoader:
        """The first window of every validation sequence."""
        return DataLoader(self.val, self.batch_size)
