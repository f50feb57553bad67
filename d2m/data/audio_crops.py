"""Random crops of a data set's wavs, held in memory, for training an autoencoder."""

from pathlib import Path

import numpy as np
import torch
from lightning import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from d2m.data.layout import DataSetLayout
from d2m.music import Music


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
