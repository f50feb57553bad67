"""Training and validation windows of a prepared and encoded data set."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from d2m.core.music import Music
from d2m.core.timeline import Clock
from d2m.data.clips import Clips, ClipWindows, MappedClips, loaded_split, mapped_split, say_left_out
from d2m.data.index import MANIFEST, LatentManifest
from d2m.data.layout import DataSetLayout
from d2m.data.sampler import Position, ResumableSampler, accumulated_batches, position_of
from d2m.data.streaming import STATISTICS_CLIPS, FeaturesOf, ShardedWindows, StreamLoader


class PairedWindows(LightningDataModule):
    """Windows of motion and latent.

    Args:
        root: data set in AIST++'s layout.
        dmae: name of the autoencoder whose latents are used.
        sample_rate, latent_hop_samples: its clock.
        batch_size: windows in a batch of one process.
        steps_per_epoch: optimiser steps that Lightning calls an epoch.
        train_split: split used for training.
        validation: split used for validation; songs carved out of train, never the test songs.
        in_memory: hold all sequences in memory; False: map them from disk, for data sets of any size.
        streaming: train from the shards in `root/shards/DMAE/SPLIT` (scripts/shard.py); validation stays as `in_memory` says.
        random_start: cut training windows anywhere in their sequence; False: at its start, as the published system does.
        workers: processes that read training windows.
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
        train_split: str = "train",
        validation: str = "val",
        in_memory: bool = True,
        streaming: bool = False,
        random_start: bool = True,
        workers: int = 0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.layout, self.dmae = DataSetLayout(Path(root)), dmae
        self.train_split, self.validation = train_split, validation
        self.clock = Clock(sample_rate, latent_hop_samples)
        self.batch_size, self.steps_per_epoch, self.workers, self.seed = batch_size, steps_per_epoch, workers, seed
        self.in_memory, self.streaming, self.random_start = in_memory, streaming, random_start

    def setup(self, stage: str | None = None) -> None:
        """Read both splits into memory, or only find their rows in the index.

        Raises:
            BadInput: when latents, index or shards are missing, or made by another autoencoder.
        """
        if hasattr(self, "train"):
            return
        self._check_latents()
        if self.streaming:
            self.train = self._stream()
        else:
            clips = self._clips(self.train_split)
            self.train = ClipWindows(clips, self.clock, self._epoch_windows(), self.seed, self.random_start)
        self.val = ClipWindows(self._clips(self.validation), self.clock)

    @property
    def made_with(self) -> dict[str, str]:
        """What a checkpoint notes beside its system: the autoencoder whose latents it was trained on, and its fingerprint."""
        folder = self.layout.latent_folder(self.dmae)
        known = {"dmae_sha256": LatentManifest.load(folder).weights_sha256} if (folder / MANIFEST).exists() else {}
        return {"dmae": self.dmae, **known}

    def _clips(self, split: str) -> Clips:
        read = loaded_split if self.in_memory else mapped_split
        found = read(self.layout, split, self.dmae, self.clock)
        if found.left_out:
            say_left_out(found.left_out)
        return found.clips

    def _check_latents(self) -> None:
        folder = self.layout.latent_folder(self.dmae)
        if self.in_memory and not (folder / MANIFEST).exists():  # encoded before there were manifests
            warnings.warn(
                f"{folder}: no {MANIFEST}, so nothing tells which autoencoder made these latents; "
                f"run scripts/encode.py dmae={self.dmae} again to have one.",
                stacklevel=2,
            )
            return
        LatentManifest.load(folder).check(self.clock)

    def fit_statistics_of(self, system: Any) -> None:
        """Fit a system's normaliser and latent scale on the training split.

        In memory, on all of it. Mapped, the normaliser on at most 2,000 sequences, evenly spread, and the latent scale
        from the manifest. Streamed, on what the shards' manifests say, which is the same.
        """
        if self.in_memory and not self.streaming:
            clips = self.train.clips
            system.fit_statistics([clip.features for clip in clips], [torch.from_numpy(clip.latent) for clip in clips])
            return
        if isinstance(self.train, ShardedWindows):
            latents, shards = self.train.latents, self.train.manifest
            mean, std = torch.tensor(shards.feature_mean), torch.tensor(shards.feature_std)
            system.normalizer.load_state_dict({"mean": mean, "std": std})
        else:
            clips = self.train.clips
            assert isinstance(clips, MappedClips)
            latents = LatentManifest.load(self.layout.latent_folder(self.dmae))
            system.normalizer.fit(FeaturesOf(clips.spread(STATISTICS_CLIPS)))
        system.set_latent_statistics(torch.tensor(latents.latent_mean), torch.tensor(latents.latent_std))

    def train_dataloader(self) -> DataLoader:
        """Random windows, the same whatever the number of processes and `workers`; of a stream, see `ShardedWindows`.

        Without workers they are cut in this process: in memory, cutting one costs less than sending it.
        """
        if isinstance(self.train, ShardedWindows):
            self.train.batches = self._epoch_batches()
            return StreamLoader(self.train, self.position, self.workers, **self._options())
        numbers = ResumableSampler(self.batch_size, self._epoch_batches(), self.position)
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

    def _epoch_batches(self) -> int:
        """Batches of an epoch: with gradient accumulation, whole steps."""
        return self.steps_per_epoch * accumulated_batches(self.trainer)

    def _epoch_windows(self) -> int:
        return self.batch_size * self.steps_per_epoch

    def _stream(self) -> ShardedWindows:
        folder = self.layout.root / "shards" / self.dmae / self.train_split
        # Lightning warns that each worker may count the whole stream; here each counts its own batches
        warnings.filterwarnings("ignore", "Your `IterableDataset` has `__len__` defined")
        return ShardedWindows(folder, self.clock, self.batch_size, self.steps_per_epoch, self.seed, self.random_start)


# Random crops of a data set's wavs, held in memory, for training an autoencoder.


class AudioCrops(Dataset):
    """Crops of fixed length: `length` random ones an epoch in training, one fixed one a song otherwise.

    Args:
        paths: audio files.
        sample_rate, channels: what the autoencoder is fed; files are resampled, and mixed down for one channel.
        samples: samples per crop.
        length: crops per epoch, or None for one fixed crop per file.
    """

    def __init__(self, paths: list[Path], sample_rate: int, channels: int, samples: int, length: int | None) -> None:
        self.samples, self.length = samples, length
        self.waves: list[np.ndarray] = []
        for path in tqdm(paths, desc="reading wavs", unit="file", disable=len(paths) < 20):
            music = Music.load(path)
            music = (music.mono() if channels == 1 else music).resampled(sample_rate)
            if music.waveform.shape[-1] >= samples:
                self.waves.append(np.clip(music.waveform * 32767, -32767, 32767).astype(np.int16))

    def __len__(self) -> int:
        return self.length or len(self.waves)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """`waveform` [channel sample] in [-1, 1]."""
        if self.length is None:
            wave, start = self.waves[index], 0
        else:
            wave = self.waves[int(torch.randint(len(self.waves), ()))]
            start = int(torch.randint(wave.shape[-1] - self.samples + 1, ()))
        crop = wave[:, start : start + self.samples]
        return {"waveform": torch.from_numpy(crop.astype(np.float32) / 32767)}


class AudioCropsModule(LightningDataModule):
    """Training crops from a data set's train split and fixed ones from its validation split.

    Args:
        root: data set in AIST++'s layout, with `wavs/`.
        sample_rate, channels: as the autoencoder's.
        samples: samples per training crop.
        batch_size: crops a step.
        steps_per_epoch: steps between validations.
    """

    def __init__(
        self,
        root: str,
        sample_rate: int,
        channels: int,
        samples: int = 49152,
        batch_size: int = 6,
        steps_per_epoch: int = 500,
    ) -> None:
        super().__init__()
        self.layout = DataSetLayout(Path(root))
        self.sample_rate, self.channels, self.samples = sample_rate, channels, samples
        self.batch_size, self.steps_per_epoch = batch_size, steps_per_epoch

    def setup(self, stage: str | None = None) -> None:
        """Read the wavs of both splits."""
        if hasattr(self, "train"):
            return
        paths = {split: [self.layout.wav(name) for name in self.layout.names(split)] for split in ("train", "val")}
        crops = self.batch_size * self.steps_per_epoch
        self.train = AudioCrops(paths["train"], self.sample_rate, self.channels, self.samples, crops)
        self.val = AudioCrops(paths["val"], self.sample_rate, self.channels, 131072, None)

    def train_dataloader(self) -> DataLoader:
        """Random crops; drawn in this process, since a crop costs less than sending it."""
        return DataLoader(self.train, self.batch_size)

    def val_dataloader(self) -> DataLoader:
        """One fixed crop a song."""
        return DataLoader(self.val, 4)
