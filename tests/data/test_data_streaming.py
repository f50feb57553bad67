"""Shards are written once and whole; their stream reaches every sequence, and is taken up again exactly where it was."""

import itertools
import json
import shutil
import sys
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from tests_support_encoded import write_encoded
from tests_support_windows import Statistics, module, train

from d2m.core.errors import BadConfig, BadInput
from d2m.core.timeline import Timeline
from d2m.data.datamodule import PairedWindows
from d2m.data.dataset import load_clip
from d2m.data.layout import DataSetLayout
from d2m.data.streaming import Position, ShardedWindows, ShardsManifest, read_shard, shard_path, write_shards

CLOCK = Timeline(22050, 512)
SEQUENCES, PER_SHARD = 22, 4


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sharded") / "data"
    write_encoded(path, SEQUENCES, seconds=6.2)
    summary = write_shards(DataSetLayout(path), "train", "demo", path / "shards" / "demo" / "train", PER_SHARD)
    assert (summary.made, summary.found, summary.sequences, summary.failed) == (6, 0, SEQUENCES, [])
    return path


def stream(root: Path, **options: Any) -> ShardedWindows:
    options = {"batch_size": 2, "batches": 4, "seed": 3, **options}
    return ShardedWindows(root / "shards" / "demo" / "train", CLOCK, **options)


def seen(rows: Any, count: int) -> list[tuple[str, float]]:
    return [(str(row["name"]), float(row["start_s"])) for row in itertools.islice(rows, count)]


def test_shards_hold_the_data_set(root: Path) -> None:
    layout, left = DataSetLayout(root), set(DataSetLayout(root).names("train"))
    for number in range(6):
        for clip in read_shard(shard_path(root / "shards" / "demo" / "train", number)):
            other = load_clip(layout, clip.name, "demo", mapped=True)
            left.remove(clip.name)
            assert clip.genre == other.genre and clip.rhythm is not None and other.rhythm is not None
            assert np.array_equal(clip.features, other.features) and np.array_equal(clip.music, other.music)
            assert np.array_equal(clip.rhythm, other.rhythm) and clip.music.dtype == np.float16
    assert not left


def test_a_second_run_makes_what_is_missing(root: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(root / "shards" / "demo" / "train", tmp_path / "shards"))
    whole = {path.name: path.read_bytes() for path in folder.iterdir()}
    shard_path(folder, 2).unlink()
    (folder / "shards.json").unlink()
    summary = write_shards(DataSetLayout(root), "train", "demo", folder, PER_SHARD)
    assert (summary.made, summary.found, summary.sequences) == (1, 5, SEQUENCES)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == whole
    with pytest.raises(BadConfig, match="delete the folder or name another out="):
        write_shards(DataSetLayout(root), "train", "demo", folder, PER_SHARD + 1)


def test_a_damaged_sequence_is_left_out(tmp_path: Path) -> None:
    names = write_encoded(tmp_path / "data", 5)
    layout, folder = DataSetLayout(tmp_path / "data"), tmp_path / "shards"
    layout.features(names[2]).write_bytes(b"broken")
    summary = write_shards(layout, "train", "demo", folder, 2)
    assert summary.sequences == 4 and "1 of 5" in summary.left_out and names[2] in summary.left_out
    assert ShardsManifest.load(folder).samples == [2, 2]


def test_a_pass_reaches_every_sequence_once_and_the_next_one_otherwise(root: Path) -> None:
    passes = seen(stream(root).windows(0, 1), 2 * SEQUENCES)
    first, second = passes[:SEQUENCES], passes[SEQUENCES:]
    assert len({name for name, _ in first}) == len({name for name, _ in second}) == SEQUENCES
    assert [name for name, _ in first] != [name for name, _ in second]
    assert len({name for name, _ in set(first) & set(second)}) < SEQUENCES  # windows elsewhere, too
    assert seen(stream(root, seed=4).windows(0, 1), SEQUENCES) != first
    assert {start for _, start in seen(stream(root, random_start=False).windows(0, 1), SEQUENCES)} == {0.0}


def test_readers_share_a_pass(root: Path) -> None:
    sizes = ShardsManifest.load(root / "shards" / "demo" / "train").samples
    shards = np.random.default_rng((3, 1, 0)).permutation(6)
    parts = [seen(stream(root).windows(r, 2), sum(sizes[shard] for shard in shards[r::2])) for r in range(2)]
    names = [name for part in parts for name, _ in part]
    assert len(names) == len(set(names)) == SEQUENCES


@pytest.mark.parametrize("skipped", [1, 5, 9, 21, 22, 23, 60])
def test_a_stream_taken_up_again_is_the_same(root: Path, skipped: int) -> None:
    whole = seen(stream(root).windows(1, 2), 80)
    assert seen(stream(root).windows(1, 2, skipped), 80 - skipped) == whole[skipped:]


def test_skipped_shards_are_not_opened(root: Path, tmp_path: Path) -> None:
    path = Path(shutil.copytree(root / "shards", tmp_path / "shards")).parent
    whole = seen(stream(path).windows(0, 1), SEQUENCES)
    first = int(np.random.default_rng((3, 1, 0)).permutation(6)[0])
    shard_path(path / "shards" / "demo" / "train", first).write_bytes(b"")
    assert seen(stream(path).windows(0, 1, 4), SEQUENCES - 4) == whole[4:]
    with pytest.raises(BadInput, match=rf"{first:06d}\.tar: damaged.*run scripts/shard\.py"):
        seen(stream(path).windows(0, 1), 1)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("stop", [2, 3, 4])
def test_a_resumed_training_goes_on_with_the_next_window(root: Path, tmp_path: Path, workers: int, stop: int) -> None:
    """Stopped within an epoch of three steps, at its end, and within the second one; two batches make a step."""
    file, options = tmp_path / "a.ckpt", {"accumulate_grad_batches": 2}
    whole = train(module(root, streaming=True, workers=workers), 7, tmp_path / "whole.ckpt", **options)
    first = train(module(root, streaming=True, workers=workers), stop, file, **options)
    second = train(module(root, streaming=True, workers=workers), 7, file, resume=True, **options)
    assert first + second == whole and len(whole) == 7 * 2 * 2
    assert len({name for name, _ in whole}) > 15


def test_processes_see_different_sequences(root: Path) -> None:
    parts = []
    for process in range(3):
        part = stream(root)
        part.position = Position(0, process, 3)
        parts.append({name for name, _ in seen(iter(part), 6)})
    assert not (parts[0] & parts[1] or parts[0] & parts[2] or parts[1] & parts[2])


def test_too_few_shards_for_the_readers(root: Path) -> None:
    part = stream(root)
    part.position = Position(0, 0, 7)
    with pytest.raises(BadConfig, match="holds 6 shards, expected at least one for each of 7 readers"):
        iter(part)


def test_statistics_are_those_of_the_files(root: Path) -> None:
    systems = []
    for options in ({"streaming": True}, {"in_memory": False}):
        data, system = module(root, **options), Statistics()
        data.setup()
        data.fit_statistics_of(system)
        systems.append(system)
    for name in ("mean", "std"):
        assert torch.allclose(getattr(systems[0].normalizer, name), getattr(systems[1].normalizer, name))
        assert torch.equal(getattr(systems[0], name), getattr(systems[1], name))


def test_what_is_missing_is_said(root: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"shards\.json: not found.*run scripts/shard\.py"):
        module(root, streaming=True, train_split="val").setup()
    with pytest.raises(BadInput, match="another autoencoder"):
        ShardedWindows(root / "shards" / "demo" / "train", Timeline(44100, 1024), 2, 4)
    manifest = json.loads((root / "shards" / "demo" / "train" / "shards.json").read_text())
    (tmp_path / "shards.json").write_text(json.dumps(manifest)[:-40])
    with pytest.raises(BadInput, match="damaged"):
        ShardsManifest.load(tmp_path)
    monkeypatch.setitem(sys.modules, "webdataset", None)
    with pytest.raises(BadConfig, match=r"\[streaming\]"):
        stream(root)


def test_nothing_in_a_shard_is_unpickled(root: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(root / "shards" / "demo" / "train", tmp_path / "shards"))
    hostile = tmp_path / "latent.npy"
    np.save(hostile, np.array([print], dtype=object), allow_pickle=True)
    with tarfile.open(shard_path(folder, 0), "w") as tar:
        meta = tmp_path / "meta.json"
        meta.write_text('{"name": "x", "genre": 0}')
        for file in (hostile, meta):
            tar.add(file, f"000000000.{file.name}")
    with pytest.raises(BadInput, match="damaged"):
        read_shard(shard_path(folder, 0))


def test_the_script_writes_where_training_looks(root: Path) -> None:
    with initialize_config_dir(str(Path(__file__).parents[2] / "configs"), version_base="1.3"):
        config = compose("shard", [f"root={root}", "dmae=demo"])
    data = PairedWindows(str(root), config.dmae.name, 22050, 512, streaming=True, train_split=config.split)
    assert config.out is None and data._stream().manifest.samples == [4, 4, 4, 4, 4, 2]
