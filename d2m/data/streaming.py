"""Shards: a split's sequences in tar files of a few hundred, for data sets too large to be read file by file.

A folder of shards holds `000000.tar`, … (webdataset's format; a sample is `features.npy`, `latent.npy`, `rhythm.npy` and
`meta.json`), the latents' `manifest.json`, and `shards.json`. Sequences are dealt to shards in a random order, so that
neighbours in a shard are no relatives.
"""

import dataclasses
import hashlib
import importlib
import io
import itertools
import json
import tarfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import overload

import numpy as np
from jaxtyping import Int
from torch.utils.data import DataLoader, IterableDataset, get_worker_info
from tqdm import tqdm

from d2m.core.errors import BadConfig, BadInput
from d2m.core.files import atomic_write, writable_folder
from d2m.core.timeline import Clock
from d2m.data.dataset import Clip, Clips, LatentGrid, MappedClips, Row, mapped_split
from d2m.data.index import LatentManifest
from d2m.data.layout import DataSetLayout
from d2m.data.sampler import Position
from d2m.motion.features import Normalizer

SHARDS, PLAN = "shards.json", "plan.txt"
VERSION = 1
STATISTICS_CLIPS = 2000
"""Sequences, evenly spread over a split, that the normaliser is fitted on where a split does not fit into memory."""


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
        path, remedy = folder / SHARDS, "run scripts/shard.py for this split"
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            manifest = ShardsManifest(**content)
        except FileNotFoundError as error:
            raise BadInput(f"{path}: not found, expected the list of shards that streaming reads; {remedy}.") from error
        except (ValueError, TypeError, OSError) as error:
            raise BadInput(f"{path}: damaged ({str(error)[:100]}); delete it and {remedy} again.") from error
        if manifest.version != VERSION or not sum(manifest.samples):
            raise BadInput(
                f"{path}: found version {manifest.version} with {sum(manifest.samples)} sequences, expected version "
                f"{VERSION} with some; delete {folder} and {remedy} again."
            )
        return manifest

    def save(self, folder: Path) -> None:
        """Write `folder/shards.json`, whole or not at all."""
        with atomic_write(folder / SHARDS) as temporary:
            temporary.write_text(json.dumps(dataclasses.asdict(self)) + "\n", encoding="utf-8")


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
    usable = mapped_split(layout, split, dmae, Clock(manifest.sample_rate, manifest.latent_hop_samples))
    clips = usable.clips
    assert isinstance(clips, MappedClips)
    order = np.random.default_rng(seed).permutation(len(clips))
    folder = writable_folder(folder)
    _claim(folder, clips, order, per_shard, manifest)
    summary, samples = ShardingSummary(left_out=usable.left_out), []
    for number in tqdm(range(-(-len(order) // per_shard)), desc=f"sharding '{split}'", unit="shard"):
        path = shard_path(folder, number)
        if path.exists():
            samples.append(_samples_in(path))
            summary.found += 1
        else:
            places = range(number * per_shard, min((number + 1) * per_shard, len(order)))
            samples.append(_write_shard(path, clips, order, places, summary.failed))
            summary.made += 1
    summary.sequences = sum(samples)
    normalizer = Normalizer().fit(FeaturesOf(clips.thinned(STATISTICS_CLIPS)))
    manifest.save(folder)
    ShardsManifest(VERSION, samples, normalizer.mean.tolist(), normalizer.std.tolist()).save(folder)
    return summary


class FeaturesOf(Sequence[np.ndarray]):
    """Motion features of clips, each mapped while it is looked at and no longer; damaged ones are passed over."""

    def __init__(self, clips: Clips) -> None:
        self.clips = clips
        self.places = [place for place in range(len(clips)) if self._readable(place)]

    def _readable(self, place: int) -> bool:
        try:
            return len(self.clips[place].features) > 0
        except BadInput:
            return False

    def __len__(self) -> int:
        return len(self.places)

    @overload
    def __getitem__(self, place: int) -> np.ndarray: ...
    @overload
    def __getitem__(self, place: slice) -> list[np.ndarray]: ...
    def __getitem__(self, place: int | slice) -> np.ndarray | list[np.ndarray]:
        """[time 219] features of a clip."""
        if isinstance(place, slice):
            return [self.clips[one].features for one in self.places[place]]
        return self.clips[self.places[place]].features


def _claim(folder: Path, clips: MappedClips, order: np.ndarray, per_shard: int, manifest: LatentManifest) -> None:
    """A folder belongs to one way of dealing sequences out; a killed run of the same may go on in it."""
    plan = hashlib.sha256(f"{VERSION} {per_shard} {manifest.weights_sha256} ".encode())
    plan.update(np.ascontiguousarray(clips.index["name"][clips.rows[order]]).tobytes())
    path = folder / PLAN
    if path.exists() and path.read_text().strip() != plan.hexdigest():
        raise BadConfig(
            f"{folder}: holds shards of other sequences, latents or sizes; delete the folder or name another out=."
        )
    with atomic_write(path) as temporary:
        temporary.write_text(plan.hexdigest() + "\n")


def _write_shard(path: Path, clips: MappedClips, order: np.ndarray, places: range, failed: list[str]) -> int:
    written, writer = 0, webdataset().TarWriter
    with atomic_write(path) as temporary, temporary.open("wb") as file, writer(file, encoder=False, mtime=0) as tar:
        for place in places:
            try:
                tar.write(_sample(clips[int(order[place])], place))
                written += 1
            except BadInput as error:
                failed.append(str(error))
    return written


def _sample(clip: Clip, place: int) -> dict[str, str | bytes]:
    meta = {"name": clip.name, "genre": clip.genre}
    sample: dict[str, str | bytes] = {"__key__": f"{place:09d}", "meta.json": json.dumps(meta).encode()}
    arrays = {"features": clip.features, "latent": clip.music, "rhythm": clip.rhythm}
    for name, array in arrays.items():
        if array is not None:
            buffer = io.BytesIO()
            np.save(buffer, array)
            sample[f"{name}.npy"] = buffer.getvalue()
    return sample


def _samples_in(path: Path) -> int:
    """Sequences in a shard; only the tar headers are read."""
    try:
        with tarfile.open(path, "r:") as tar:
            return sum(member.name.endswith(".meta.json") for member in tar)
    except (OSError, tarfile.TarError) as error:
        raise BadInput(f"{path}: damaged ({error}); delete it and run scripts/shard.py again.") from error


# Windows streamed from shards, in an order that can be taken up again anywhere.
#
# The order is a function of the seed alone: shards are shuffled anew in every pass and shared out to the readers (one per
# process and worker); a reader shuffles its sequences in blocks and cuts one window out of each. So to resume, a reader
# counts: whole passes are skipped by arithmetic, whole shards by their sizes, and at most one shard is read up to the place.


BLOCK = 128
"""Sequences that a reader shuffles among each other, and holds in memory."""


@dataclass(frozen=True)
class Sample:
    """A sequence as it lies in a shard.

    Args:
        key: its number in the data set.
        files: content by name, `features.npy` and so on.
        shard: where it was.
    """

    key: int
    files: dict[str, bytes]
    shard: Path


def read_shard(path: Path) -> Iterator[Sample]:
    """The sequences of a shard, in its order.

    Raises:
        BadInput: when it is missing or damaged.
    """
    library = webdataset().tariterators
    try:
        with path.open("rb") as stream:
            files = library.tar_file_expander(iter([{"url": str(path), "stream": stream}]))
            for sample in library.group_by_keys(files):
                content = {name: data for name, data in sample.items() if not name.startswith("__")}
                yield Sample(int(sample["__key__"]), content, path)
    except (OSError, tarfile.TarError, EOFError, ValueError) as error:
        raise damaged(path, str(error)) from error


def damaged(path: Path, reason: str) -> BadInput:
    """A shard that is not what was written."""
    return BadInput(f"{path}: damaged ({reason[:100]}); delete it and run scripts/shard.py for this split again.")


def decode(sample: Sample) -> Clip:
    """The clip of a sample; nothing in it is unpickled.

    Raises:
        BadInput: when it is damaged.
    """
    try:
        arrays = {
            name.removesuffix(".npy"): np.load(io.BytesIO(data), allow_pickle=False)
            for name, data in sample.files.items()
            if name.endswith(".npy")
        }
        meta = json.loads(sample.files["meta.json"])
        return Clip(str(meta["name"]), arrays["features"], arrays["latent"], arrays.get("rhythm"), int(meta["genre"]))
    except (ValueError, KeyError, EOFError, OSError) as error:
        raise damaged(sample.shard, f"sample {sample.key}: {error}") from error


class ShardedWindows(IterableDataset):
    """Windows from a folder of shards, one from each sequence in a pass, without end; an epoch is a number of batches.

    The order depends on the numbers of processes and of workers: a resume with other numbers goes on with other windows.

    Args:
        folder: that `d2m.data.streaming` wrote.
        clock: of the autoencoder.
        batch_size: windows in a process's batch.
        batches: batches in an epoch.
        seed: of order and places.
        random_start: cut a window anywhere in its sequence; False: at its start.
        block: sequences that a reader shuffles among each other.
    """

    def __init__(
        self,
        folder: Path,
        clock: Clock,
        batch_size: int,
        batches: int,
        seed: int = 0,
        random_start: bool = True,
        block: int = BLOCK,
    ) -> None:
        webdataset()
        self.manifest, self.latents = ShardsManifest.load(folder), LatentManifest.load(folder)
        self.latents.check(clock)
        self.folder, self.clock, self.batch_size, self.batches = folder, clock, batch_size, batches
        self.seed, self.random_start, self.block = seed, random_start, block
        self.position = Position()
        self._sizes = np.array(self.manifest.samples)

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
        at = self.position
        part = (at.batches + number) % workers
        reader, readers = at.process * workers + part, at.processes * workers
        if readers > len(self._sizes):
            raise BadConfig(
                f"{self.folder}: holds {len(self._sizes)} shards, expected at least one for each of {readers} readers "
                "(processes times workers); set data.workers lower or write smaller shards with per_shard=."
            )
        done = len(range(part, at.batches, workers)) * self.batch_size
        todo = len(range(number, self.batches, workers)) * self.batch_size
        return itertools.islice(self.windows(reader, readers, done), todo)

    def windows(self, reader: int, readers: int, skipped: int = 0) -> Iterator[Row]:
        """The endless stream of one reader, from its window number `skipped` on."""
        for turn in itertools.count():
            shards = np.random.default_rng((self.seed, 1, turn)).permutation(len(self._sizes))[reader::readers]
            in_pass = int(self._sizes[shards].sum())
            if skipped < in_pass:
                yield from self._pass(turn, shards, reader, skipped)
            skipped = max(0, skipped - in_pass)

    def _pass(self, turn: int, shards: Int[np.ndarray, " shard"], reader: int, skipped: int) -> Iterator[Row]:
        first, inside = divmod(skipped, self.block)
        samples = self._samples(shards, first * self.block)
        for number in itertools.count(first):
            held = list(itertools.islice(samples, self.block))
            if not held:
                return
            order = np.random.default_rng((self.seed, 2, turn, reader, number)).permutation(len(held))
            for place in order[inside:]:
                yield self._window(held[place], turn)
            inside = 0

    def _samples(self, shards: Int[np.ndarray, " shard"], skipped: int) -> Iterator[Sample]:
        for shard in shards:
            size, path = int(self._sizes[shard]), shard_path(self.folder, int(shard))
            if skipped < size:
                count = 0
                for count, sample in enumerate(read_shard(path), start=1):
                    if count > skipped:
                        yield sample
                if count != size:
                    raise damaged(path, f"{count} sequences, expected {size}")
            skipped = max(0, skipped - size)

    def _window(self, sample: Sample, turn: int) -> Row:
        clip = decode(sample)
        last = LatentGrid(self.clock).last_start(clip)
        if last < 0:
            raise damaged(sample.shard, f"'{clip.name}' is shorter than a window")
        rng = np.random.default_rng((self.seed, 3, turn, sample.key))
        return LatentGrid(self.clock).cut(clip, int(rng.integers(last + 1)) if self.random_start else 0)


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
