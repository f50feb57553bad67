"""Shards: a split's sequences in tar files of a few hundred, for data sets too large to be read file by file.

A folder of shards holds `000000.tar`, … (webdataset's format; a sample is `features.npy`, `latent.npy`, `rhythm.npy` and
`meta.json`), the latents' `manifest.json`, and `shards.json`. Sequences are dealt to shards in a random order, so that
neighbours in a shard are no relatives.

The order of windows is a function of the seed alone: shards are shuffled anew in every pass and shared out to the readers (one
per process and worker); a reader holds one shard at a time, shuffles it and cuts one window out of each sequence. So to resume,
a reader counts: whole shards are skipped by their sizes.
"""

import hashlib
import importlib
import itertools
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from torch.utils.data import DataLoader, IterableDataset, get_worker_info
from tqdm import tqdm

from d2m.core.errors import BadConfig, BadInput
from d2m.core.files import atomic_write, writable_folder
from d2m.core.timeline import Timeline
from d2m.data.dataset import Clip, LatentGrid, MappedClips, Row, load_clip, load_split
from d2m.data.layout import DataSetLayout
from d2m.data.manifest import MAX_NAME_BYTES, VERSION, LatentManifest, read_manifest, write_manifest
from d2m.motion.features import Normalizer

SHARDS, PLAN = "shards.json", "plan.txt"


def webdataset() -> ModuleType:
    """The library that writes and reads tar shards.

    Raises:
        BadConfig: when it is not installed.
    """
    try:
        return importlib.import_module("webdataset")
    except ImportError as error:
        raise BadConfig(
            'streaming needs the library webdataset; install it with: pip install -e ".[streaming]"'
        ) from error


@dataclass(frozen=True)
class ShardsManifest:
    """What a folder of shards holds.

    Args:
        version: of this file's format.
        samples: sequences in each shard.
        feature_mean, feature_std: of the motion features, as the normaliser takes them.
    """

    version: int
    samples: list[int]
    feature_mean: list[float]
    feature_std: list[float]

    @staticmethod
    def load(folder: Path) -> "ShardsManifest":
        """Read `folder/shards.json`.

        Raises:
            BadInput: when it is missing, damaged or of another version.
        """
        again = "run scripts/shard.py for this split"
        manifest = read_manifest(folder / SHARDS, "the list of shards that streaming reads", again, _shards_manifest)
        if not sum(manifest.samples):
            raise BadInput(f"{folder / SHARDS}: found no sequences, expected some; delete {folder} and {again} again.")
        return manifest


def _shards_manifest(content: dict[str, Any]) -> ShardsManifest:
    return ShardsManifest(**content)


# Writing


@dataclass
class ShardingSummary:
    """What `write_shards` did: shards made and found made, sequences in all of them, sequences that could not be read."""

    made: int = 0
    found: int = 0
    sequences: int = 0
    left_out: str = ""
    failed: list[str] = field(default_factory=list)


def shard_path(folder: Path, number: int) -> Path:
    """File of a shard."""
    return folder / f"{number:06d}.tar"


def write_shards(
    layout: DataSetLayout, split: str, dmae: str, folder: Path, per_shard: int = 256, seed: int = 0
) -> ShardingSummary:
    """Write the encoded sequences of a split as shards; those made by an earlier run are left as they are.

    Args:
        layout: the data set, encoded.
        split: its name.
        dmae: autoencoder whose latents are used.
        folder: where the shards go.
        per_shard: sequences in a shard.
        seed: of the order in which sequences are dealt.

    Raises:
        BadConfig: when the folder holds shards of something else, or webdataset is missing.
        BadInput: when the data set is not encoded.
    """
    webdataset()
    manifest = LatentManifest.load(layout.latent_folder(dmae))
    load = partial(load_clip, layout, dmae=dmae, mapped=True)
    usable = load_split(layout, split, LatentGrid(manifest.clock), load, f"dmae={dmae}", in_memory=False)
    assert isinstance(usable.clips, MappedClips)
    names = usable.clips.names
    names = [names[place] for place in np.random.default_rng(seed).permutation(len(names))]
    folder = writable_folder(folder)
    _claim(folder, names, per_shard, manifest)
    summary, samples = ShardingSummary(left_out=usable.left_out), []
    for first in tqdm(range(0, len(names), per_shard), desc=f"sharding '{split}'", unit="shard"):
        path = shard_path(folder, first // per_shard)
        if path.exists():
            samples.append(_samples_in(path))
            summary.found += 1
        else:
            chosen = dict(enumerate(names[first : first + per_shard], first))
            samples.append(_write_shard(path, chosen, load, summary.failed))
            summary.made += 1
    summary.sequences = sum(samples)
    normalizer = Normalizer().fit(usable.clips.some_features())
    manifest.save(folder)
    shards = ShardsManifest(VERSION, samples, normalizer.mean.tolist(), normalizer.std.tolist())
    write_manifest(folder / SHARDS, asdict(shards))
    return summary


def _claim(folder: Path, names: list[str], per_shard: int, manifest: LatentManifest) -> None:
    """A folder belongs to one way of dealing sequences out; a killed run of the same may go on in it."""
    plan = hashlib.sha256(f"{VERSION} {per_shard} {manifest.weights_sha256} ".encode())
    plan.update(np.array([name.encode() for name in names], f"S{MAX_NAME_BYTES}").tobytes())
    path = folder / PLAN
    if path.exists() and path.read_text().strip() != plan.hexdigest():
        raise BadConfig(
            f"{folder}: holds shards of other sequences, latents or sizes; delete the folder or name another out=."
        )
    with atomic_write(path) as temporary:
        temporary.write_text(plan.hexdigest() + "\n")


def _write_shard(path: Path, names: dict[int, str], load: Callable[[str], Clip], failed: list[str]) -> int:
    written = 0
    with atomic_write(path) as temporary, temporary.open("wb") as file, webdataset().TarWriter(file, mtime=0) as tar:
        for number, name in names.items():
            try:
                clip = load(name)
            except BadInput as error:
                failed.append(str(error))
                continue
            arrays = {"features": clip.features, "latent": clip.music, "rhythm": clip.rhythm}
            stored = {f"{kind}.npy": array for kind, array in arrays.items() if array is not None}
            tar.write({"__key__": f"{number:09d}", "meta.json": {"name": name, "genre": clip.genre}, **stored})
            written += 1
    return written


def _samples_in(path: Path) -> int:
    """Sequences in a shard; only the tar headers are read."""
    try:
        with tarfile.open(path, "r:") as tar:
            return sum(member.name.endswith(".meta.json") for member in tar)
    except (OSError, tarfile.TarError) as error:
        raise damaged(path, str(error)) from error


# Reading


def read_shard(path: Path) -> list[Clip]:
    """The sequences of a shard, in its order; nothing in it is unpickled.

    Raises:
        BadInput: when it is missing or damaged.
    """
    library = webdataset()
    try:
        files = library.tarfile_samples(
            [{"url": str(path.absolute())}], select_files=lambda name: name.endswith((".npy", ".json"))
        )
        return [
            Clip(
                str(sample["meta.json"]["name"]),
                sample["features.npy"],
                sample["latent.npy"],
                sample.get("rhythm.npy"),
                int(sample["meta.json"]["genre"]),
            )
            for sample in library.decode()(files)
        ]
    except (OSError, tarfile.TarError, EOFError, ValueError, KeyError, TypeError, library.DecodingError) as error:
        raise damaged(path, str(error)) from error


def damaged(path: Path, reason: str) -> BadInput:
    """A shard that is not what was written."""
    return BadInput(f"{path}: damaged ({reason[:100]}); delete it and run scripts/shard.py for this split again.")


@dataclass(frozen=True)
class Position:
    """Where a run has got to.

    Args:
        batches: batches that each process has had; with gradient accumulation several make a step.
        process: number of this process.
        processes: processes that share a batch.
    """

    batches: int = 0
    process: int = 0
    processes: int = 1


class ShardedWindows(IterableDataset):
    """Windows from a folder of shards, one from each sequence in a pass, without end; an epoch is a number of batches.

    The order depends on the numbers of processes and of workers: a resume with other numbers goes on with other windows.

    Args:
        folder: that `write_shards` wrote.
        clock: of the autoencoder.
        batch_size: windows in a process's batch.
        batches: batches in an epoch.
        seed: of order and places.
        random_start: cut a window anywhere in its sequence; False: at its start.
    """

    def __init__(
        self, folder: Path, clock: Timeline, batch_size: int, batches: int, seed: int = 0, random_start: bool = True
    ) -> None:
        webdataset()
        self.manifest, self.latents = ShardsManifest.load(folder), LatentManifest.load(folder)
        self.latents.check(clock)
        self.folder, self.grid, self.batch_size, self.batches = folder, LatentGrid(clock), batch_size, batches
        self.seed, self.random_start = seed, random_start
        self.position = Position()

    def __len__(self) -> int:
        return self.batch_size * self.batches

    def __iter__(self) -> Iterator[Row]:
        """The windows of an epoch that begins at `position`; in a worker process, those of its batches.

        A loader asks its workers in turn, beginning with the first one. Batch k of a run belongs to reader k modulo the
        number of workers, so the worker that is asked first reads what the batch at `position` needs.

        Raises:
            BadConfig: when there are more readers than shards.
        """
        worker = get_worker_info()
        number, workers = (worker.id, worker.num_workers) if worker else (0, 1)
        at, shards = self.position, len(self.manifest.samples)
        part = (at.batches + number) % workers
        reader, readers = at.process * workers + part, at.processes * workers
        if readers > shards:
            raise BadConfig(
                f"{self.folder}: holds {shards} shards, expected at least one for each of {readers} readers "
                "(processes times workers); set data.workers lower or write smaller shards with per_shard=."
            )
        done = len(range(part, at.batches, workers)) * self.batch_size
        todo = len(range(number, self.batches, workers)) * self.batch_size
        return itertools.islice(self.windows(reader, readers, done), todo)

    def windows(self, reader: int, readers: int, skipped: int = 0) -> Iterator[Row]:
        """The endless stream of one reader, from its window number `skipped` on."""
        for turn in itertools.count():
            order = np.random.default_rng((self.seed, 1, turn)).permutation(len(self.manifest.samples))
            for shard in order[reader::readers].tolist():
                size = self.manifest.samples[shard]
                if skipped < size:
                    yield from self._windows_of(shard, turn, skipped)
                skipped = max(0, skipped - size)

    def _windows_of(self, shard: int, turn: int, skipped: int) -> Iterator[Row]:
        path, size = shard_path(self.folder, shard), self.manifest.samples[shard]
        clips, rng = read_shard(path), np.random.default_rng((self.seed, 2, turn, shard))
        if len(clips) != size:
            raise damaged(path, f"{len(clips)} sequences, expected {size}")
        order, places = rng.permutation(size), rng.random(size)
        for number, place in list(zip(order, places, strict=True))[skipped:]:
            last = self.grid.last_start(clips[number])
            if last < 0:
                raise damaged(path, f"'{clips[number].name}' is shorter than a window")
            yield self.grid.cut(clips[number], int(place * (last + 1)) if self.random_start else 0)


class StreamLoader(DataLoader):
    """A loader that tells its stream, at the start of every epoch and before the workers start, where the run has got to.

    Args:
        stream: the windows.
        position: where the run is.
        workers: processes that read.
        options: of `DataLoader`.
    """

    def __init__(self, stream: ShardedWindows, position: Callable[[], Position], workers: int = 0, **options) -> None:
        super().__init__(stream, stream.batch_size, num_workers=workers, **options)
        self.where = position

    def __iter__(self):
        """Batches from `position` on."""
        assert isinstance(self.dataset, ShardedWindows)
        self.dataset.position = self.where()
        return super().__iter__()
