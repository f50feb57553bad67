"""Training and validation windows of a prepared data set: motion with latents, codec tokens or waveforms."""

import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from lightning import LightningDataModule, Trainer
from torch.utils.data import DataLoader, DistributedSampler

from d2m.core.errors import BadConfig
from d2m.core.timeline import Timeline
from d2m.data.dataset import (
    ClipWindows,
    Grid,
    LatentGrid,
    MappedClips,
    Split,
    WaveformGrid,
    load_clip,
    load_split,
    load_token_clip,
    load_waveform_clip,
    say_left_out,
)
from d2m.data.frames import picture_size
from d2m.data.layout import DataSetLayout
from d2m.data.manifest import MANIFEST, LatentManifest, TokenManifest
from d2m.data.streaming import Position, ShardedWindows, StreamLoader


def accumulated_batches(trainer: Trainer | None) -> int:
    """Batches whose gradients make one step."""
    return 1 if trainer is None else int(trainer.accumulate_grad_batches)


class ResumableSampler(DistributedSampler):
    """Window numbers of one epoch, counted on from where the run is when the epoch (or a resumed part of it) begins.

    Window number n of a seed is always the same window (`d2m.data.dataset.ClipWindows`), so only the numbers have to be right:
    batch k of a run consists of windows k·B·W to (k+1)·B·W, of which process r takes the r-th B, for W processes of batch
    size B. One process of batch size B·W sees the same batches, and a resumed run goes on with the next one.

    It is a `DistributedSampler` so that Lightning takes it as it is: any other sampler it would wrap in one, which would
    share out numbers that are shared out already.

    Args:
        batch_size: windows in a process's batch.
        batches: batches in an epoch.
        position: called at the start of an epoch.
    """

    def __init__(self, batch_size: int, batches: int, position: Callable[[], Position]) -> None:
        # the base class would ask torch.distributed, which may not have started, for what `position` says
        self.batch_size, self.batches, self.position = batch_size, batches, position

    def __len__(self) -> int:
        return self.batch_size * self.batches

    def __iter__(self) -> Iterator[int]:
        at = self.position()
        for batch in range(at.batches, at.batches + self.batches):
            first = (batch * at.processes + at.process) * self.batch_size
            yield from range(first, first + self.batch_size)

    def set_epoch(self, epoch: int) -> None:
        """Nothing depends on the epoch's number."""


class Windows(LightningDataModule):
    """Windows of motion and music of one kind; a subclass says where its clips come from.

    Args:
        root: data set in AIST++'s layout.
        batch_size: windows in a batch of one process.
        steps_per_epoch: optimiser steps that Lightning calls an epoch.
        train_split: split used for training.
        validation: split used for validation; songs carved out of train, never the test songs.
        workers: processes that read training windows.
        seed: of the random windows.
        random_start: cut training windows anywhere in their sequence; False: at its start, as the published system does.
    """

    def __init__(
        self,
        root: str,
        batch_size: int = 16,
        steps_per_epoch: int = 500,
        train_split: str = "train",
        validation: str = "val",
        workers: int = 0,
        seed: int = 0,
        random_start: bool = True,
    ) -> None:
        super().__init__()
        self.layout, self.train_split, self.validation = DataSetLayout(Path(root)), train_split, validation
        self.batch_size, self.steps_per_epoch, self.workers, self.seed = batch_size, steps_per_epoch, workers, seed
        self.random_start = random_start

    @property
    def made_with(self) -> dict[str, Any]:
        """What a checkpoint notes beside its system."""
        return {}

    def grid(self) -> Grid:
        """Where windows start, and how long they are."""
        raise NotImplementedError

    def split(self, name: str) -> Split:
        """The clips of a split."""
        raise NotImplementedError

    def setup(self, stage: str | None = None) -> None:
        """Read both splits.

        Raises:
            BadInput: when what was encoded is missing or made by something else, or no sequence can be used.
        """
        if hasattr(self, "train"):
            return
        self.train = self._training_windows()
        self.val = ClipWindows(self._clips(self.validation), self.grid())

    def fit_statistics_of(self, system: Any) -> None:
        """Fit the normaliser of a system's motion reader on the training split."""
        assert isinstance(self.train, ClipWindows)
        system.reader.fit([clip.features for clip in self.train.clips])

    def train_dataloader(self) -> DataLoader:
        """Random windows, the same whatever the number of processes and `workers`; a resumed run goes on with the next.

        Without workers they are cut in this process: in memory, cutting one costs less than sending it.
        """
        assert isinstance(self.train, ClipWindows)
        numbers = ResumableSampler(self.batch_size, self._epoch_batches(), self.position)
        return DataLoader(self.train, self.batch_size, sampler=numbers, num_workers=self.workers, **self._options())

    def val_dataloader(self) -> DataLoader:
        """The first window of every validation sequence."""
        return DataLoader(self.val, self.batch_size, **self._options())

    def position(self) -> Position:
        """Where the run has got to, from the steps it has completed; its start where there is no trainer."""
        if self.trainer is None:
            return Position()
        done = self.trainer.global_step * accumulated_batches(self.trainer)
        return Position(done, self.trainer.global_rank, self.trainer.world_size)

    def _training_windows(self) -> ClipWindows | ShardedWindows:
        windows = self.batch_size * self.steps_per_epoch
        return ClipWindows(self._clips(self.train_split), self.grid(), windows, self.seed, self.random_start)

    def _clips(self, name: str) -> Any:
        found = self.split(name)
        if found.left_out:
            say_left_out(found.left_out)
        return found.clips

    def _options(self) -> dict[str, Any]:
        # a loader without a generator of its own takes a number from PyTorch's at every start, also at those starts that
        # a resumed run does not have
        return {"generator": torch.Generator(), "pin_memory": torch.cuda.is_available()}

    def _epoch_batches(self) -> int:
        """Batches of an epoch: with gradient accumulation, whole steps."""
        return self.steps_per_epoch * accumulated_batches(self.trainer)


class PairedWindows(Windows):
    """Windows of motion and latent.

    Args:
        root: data set in AIST++'s layout.
        dmae: name of the autoencoder whose latents are used.
        sample_rate, latent_hop_samples: its clock.
        in_memory: hold all sequences in memory; False: map them from disk, for data sets of any size.
        streaming: train from the shards in `root/shards/DMAE/SPLIT` (scripts/shard.py); validation stays as `in_memory` says.
        lead_sheet: bring key, chords and energy along, of `root/scores`; not with `streaming`.
        settings: see `Windows`.
    """

    def __init__(
        self,
        root: str,
        dmae: str,
        sample_rate: int,
        latent_hop_samples: int,
        in_memory: bool = True,
        streaming: bool = False,
        lead_sheet: bool = False,
        **settings: Any,
    ) -> None:
        super().__init__(root, **settings)
        if streaming and lead_sheet:
            raise BadConfig(
                "data.streaming=true data.lead_sheet=true: shards have no lead sheets; leave one of them out."
            )
        self.dmae, self.clock = dmae, Timeline(sample_rate, latent_hop_samples)
        self.in_memory, self.streaming, self.lead_sheet = in_memory, streaming, lead_sheet

    @property
    def made_with(self) -> dict[str, Any]:
        """The autoencoder whose latents are used, and its fingerprint."""
        folder = self.layout.latent_folder(self.dmae)
        known = {"dmae_sha256": LatentManifest.load(folder).weights_sha256} if (folder / MANIFEST).exists() else {}
        return {"dmae": self.dmae, **known}

    def grid(self) -> LatentGrid:
        """That of the autoencoder."""
        return LatentGrid(self.clock)

    def split(self, name: str) -> Split:
        """In memory, or mapped."""
        rate = self.clock.latent_rate if self.lead_sheet else None
        load = partial(load_clip, self.layout, dmae=self.dmae, mapped=not self.in_memory, sheet_rate=rate)
        return load_split(self.layout, name, self.grid(), load, f"dmae={self.dmae}", self.in_memory)

    def _training_windows(self) -> ClipWindows | ShardedWindows:
        folder = self.layout.latent_folder(self.dmae)
        if self.in_memory and not (folder / MANIFEST).exists():  # encoded before there were manifests
            warnings.warn(
                f"{folder}: no {MANIFEST}, so nothing tells which autoencoder made these latents; "
                f"run scripts/encode.py dmae={self.dmae} again to have one.",
                stacklevel=2,
            )
        else:
            LatentManifest.load(folder).check(self.clock)
        return self._stream() if self.streaming else super()._training_windows()

    def _stream(self) -> ShardedWindows:
        # Lightning warns that each worker may count the whole stream; here each counts its own batches
        warnings.filterwarnings("ignore", "Your `IterableDataset` has `__len__` defined")
        shards = self.layout.root / "shards" / self.dmae / self.train_split
        return ShardedWindows(shards, self.clock, self.batch_size, self.steps_per_epoch, self.seed, self.random_start)

    def fit_statistics_of(self, system: Any) -> None:
        """Fit a system's normaliser and latent scale on the training split.

        In memory, on all of it. Mapped, the normaliser on at most 2,000 sequences, evenly spread, and the latent scale
        from the manifest. Streamed, on what the shards' manifests say, which is the same.
        """
        if isinstance(self.train, ShardedWindows):
            latents, shards = self.train.latents, self.train.manifest
            mean, std = torch.tensor(shards.feature_mean), torch.tensor(shards.feature_std)
            system.normalizer.load_state_dict({"mean": mean, "std": std})
        elif isinstance(self.train.clips, MappedClips):
            latents = LatentManifest.load(self.layout.latent_folder(self.dmae))
            system.normalizer.fit(self.train.clips.some_features())
        else:
            clips = self.train.clips
            system.fit_statistics([clip.features for clip in clips], [torch.from_numpy(clip.music) for clip in clips])
            return
        system.set_latent_statistics(torch.tensor(latents.latent_mean), torch.tensor(latents.latent_std))

    def train_dataloader(self) -> DataLoader:
        """See `Windows`; of a stream, see `ShardedWindows`."""
        if not isinstance(self.train, ShardedWindows):
            return super().train_dataloader()
        self.train.batches = self._epoch_batches()
        return StreamLoader(self.train, self.position, self.workers, **self._options())


class TokenWindows(Windows):
    """Windows of motion and codec tokens, encoded by `scripts/encode.py codec=NAME`.

    Args:
        root: data set in AIST++'s layout.
        codec: name that the tokens are filed under.
        window_seconds: of a window; rounded to whole codec frames.
        landmarks: bring MediaPipe's landmarks along: those of `root/landmarks`, else those of the motion's skeleton.
        settings: see `Windows`.
    """

    def __init__(
        self,
        root: str,
        codec: str = "demo",
        window_seconds: float | int = 5.944,
        landmarks: bool = False,
        **settings: Any,
    ) -> None:
        super().__init__(root, **settings)
        self.codec, self.window_seconds, self.landmarks = codec, window_seconds, landmarks

    @property
    def made_with(self) -> dict[str, Any]:
        """What finds the codec again."""
        manifest = self.manifest
        bandwidth = {} if manifest.bandwidth is None else {"codec_bandwidth": manifest.bandwidth}
        return {"codec": manifest.source, **bandwidth, "codec_sha256": manifest.codec.fingerprint}

    @property
    def manifest(self) -> TokenManifest:
        """Of the tokens.

        Raises:
            BadInput: when they are missing.
        """
        return TokenManifest.load(self.layout.token_folder(self.codec))

    @property
    def clock(self) -> Timeline:
        """Of the codec."""
        facts = self.manifest.codec
        return facts.clock(max(1, round(self.window_seconds * facts.frame_rate)))

    def grid(self) -> LatentGrid:
        """That of the codec."""
        return LatentGrid(self.clock)

    def split(self, name: str) -> Split:
        """Tokens in memory, motion mapped."""
        options = {"codec": self.codec, "manifest": self.manifest, "landmarks": self.landmarks}
        load = partial(load_token_clip, self.layout, **options)
        return load_split(self.layout, name, self.grid(), load, f"codec={self.codec}")

    def fit_statistics_of(self, system: Any) -> None:
        """Fit a system's motion reader on the training split, after asking it whether these are its codec's tokens.

        Raises:
            BadConfig: when the system is made for another codec's.
        """
        if hasattr(system, "check_codec"):
            system.check_codec(self.manifest.codec)
        super().fit_statistics_of(system)


class WaveformWindows(Windows):
    """Windows of motion and music as it sounds.

    Args:
        root: data set in AIST++'s layout.
        sample_rate: of the waveform; files of another rate are resampled once, and kept as 16-bit mono (380 MB for 910 clips of
            13 s at 16 kHz).
        window_seconds: length of a window.
        rhythm_rate: rhythm frames a second; frame k starts at k / rhythm_rate.
        frames: bring the small video frames of `root/frames` along.
        landmarks: bring MediaPipe's landmarks along: those of `root/landmarks`, else those of the motion's skeleton.
        batch_size, settings: see `Windows`.

    Raises:
        BadConfig: when window, rates and frames do not fit each other.
    """

    def __init__(
        self,
        root: str,
        sample_rate: int,
        window_seconds: float | int,
        rhythm_rate: int = 50,
        frames: bool = False,
        landmarks: bool = False,
        batch_size: int = 8,
        **settings: Any,
    ) -> None:
        super().__init__(root, batch_size, **settings)
        self.shape = WaveformGrid(sample_rate, rhythm_rate, window_seconds, frames, landmarks)

    @property
    def made_with(self) -> dict[str, Any]:
        """The size of the pictures, if there are any."""
        return {"picture_size": picture_size(self.layout)} if self.shape.pictures else {}

    def grid(self) -> WaveformGrid:
        """The shape."""
        return self.shape

    def split(self, name: str) -> Split:
        """In memory.

        Raises:
            BadConfig: when the data set's pictures have another rate than 15 a second.
        """
        if self.shape.pictures:
            picture_size(self.layout)
        return load_split(self.layout, name, self.shape, partial(load_waveform_clip, self.layout, grid=self.shape))
