"""Which windows a training sees: with accumulation, several processes, workers, and after a resume, by the real Trainer."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tests_support_encoded import write_encoded
from tests_support_windows import Seen, Statistics, module, train
from torch.utils.data import DistributedSampler

from d2m.core.errors import BadConfig, BadInput
from d2m.data.datamodule import PairedWindows, ResumableSampler
from d2m.data.dataset import ClipWindows
from d2m.data.layout import DataSetLayout
from d2m.data.manifest import MANIFEST
from d2m.data.streaming import Position


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("encoded") / "data"
    write_encoded(path, 12)
    return path


def windows_numbered(data: PairedWindows, count: int) -> list[Seen]:
    assert isinstance(data.train, ClipWindows)
    rows = [data.train[number] for number in range(count)]
    return [(str(row["name"]), float(row["start_s"])) for row in rows]


@pytest.mark.parametrize("options", [{"in_memory": True}, {"in_memory": False}, {"in_memory": False, "workers": 2}])
def test_a_training_sees_window_after_window(root: Path, tmp_path: Path, options: dict[str, Any]) -> None:
    data = module(root, **options)
    seen = train(data, 7, tmp_path / "a.ckpt")  # two epochs and a step
    assert seen == windows_numbered(data, 14) and len(set(seen)) > 10


def test_lead_sheets_come_with_the_latents_they_are_of(tmp_path: Path) -> None:
    write_encoded(tmp_path, 4)
    data = module(tmp_path, lead_sheet=True)
    for name in DataSetLayout(tmp_path).names("train") + DataSetLayout(tmp_path).names("val"):
        path = DataSetLayout(tmp_path).score(name)
        path.parent.mkdir(exist_ok=True)
        bars = [{"start_s": at_s, "chord": [9, "m"], "energy": at_s / 100} for at_s in range(20)]
        path.write_text(json.dumps({"key": [9, "minor"], "bars": bars}))
    data.setup()
    row = data.train[3]
    frames = torch.arange(row["latent"].shape[-1]) + 0.5
    second = (row["start_s"] + frames / data.clock.latent_rate).floor()
    assert float(row["start_s"]) > 0 and torch.equal(row["sheet"][24], (second / 100).float())
    with pytest.raises(BadConfig, match="lead_sheet"):
        module(tmp_path, lead_sheet=True, streaming=True)


@pytest.mark.parametrize("accumulated", [1, 2])
@pytest.mark.parametrize("stop", [2, 3, 4])
def test_a_resumed_training_goes_on_with_the_next_window(
    root: Path, tmp_path: Path, accumulated: int, stop: int
) -> None:
    """Stopped within an epoch, at its end, and within the second one."""
    file, options = tmp_path / "a.ckpt", {"accumulate_grad_batches": accumulated}
    first = train(module(root), stop, file, **options)
    data = module(root)
    second = train(data, 8, file, resume=True, **options)
    assert len(first) == stop * 2 * accumulated
    assert first + second == windows_numbered(data, 8 * 2 * accumulated)


@pytest.mark.parametrize("processes", [2, 3])
def test_processes_share_the_batches_of_one(processes: int) -> None:
    def numbers(batch_size: int, at: Position) -> list[int]:
        return list(ResumableSampler(batch_size, 4, lambda: at))

    alone = numbers(2 * processes, Position(batches=5))
    parts = [numbers(2, Position(5, process, processes)) for process in range(processes)]
    together = [number for first in range(0, 8, 2) for part in parts for number in part[first : first + 2]]
    assert together == alone == list(range(5 * 2 * processes, 9 * 2 * processes))


def test_lightning_does_not_share_out_again(root: Path) -> None:
    data = module(root)
    data.setup()
    loader = data.train_dataloader()
    assert isinstance(loader.sampler, DistributedSampler) and len(loader) == 3


def test_starting_loaders_leaves_the_random_numbers_alone(root: Path) -> None:
    data = module(root)
    data.setup()
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    next(iter(data.train_dataloader())), next(iter(data.val_dataloader()))
    assert torch.equal(torch.rand(3), expected)


def test_statistics_are_those_of_the_split_in_memory_or_not(root: Path) -> None:
    systems = []
    for in_memory in (True, False):
        data, system = module(root, in_memory=in_memory), Statistics()
        data.setup()
        data.fit_statistics_of(system)
        systems.append(system)
    loaded, mapped = systems
    assert torch.equal(loaded.normalizer.mean, mapped.normalizer.mean)
    assert torch.equal(loaded.normalizer.std, mapped.normalizer.std)
    assert torch.allclose(loaded.mean, mapped.mean, atol=1e-4) and torch.allclose(loaded.std, mapped.std, atol=1e-3)


@pytest.mark.parametrize("in_memory", [True, False])
def test_latents_of_another_autoencoder_are_refused(root: Path, in_memory: bool) -> None:
    with pytest.raises(BadInput, match="another autoencoder"):
        PairedWindows(str(root), "demo", 44100, 1024, in_memory=in_memory).setup()


def test_without_a_manifest(tmp_path: Path) -> None:
    write_encoded(tmp_path / "data", 2)
    (tmp_path / "data" / "latents" / "demo" / MANIFEST).unlink()
    with pytest.warns(UserWarning, match=r"run scripts/encode\.py"):
        module(tmp_path / "data").setup()
    with pytest.raises(BadInput, match=r"manifest.*run scripts/encode\.py"):
        module(tmp_path / "data", in_memory=False).setup()


def test_other_splits_can_be_named(root: Path) -> None:
    (root / "splits" / "mine.txt").write_text(
        "\n".join((root / "splits" / "crossmodal_val.txt").read_text().split()[:2])
    )
    data = module(root, train_split="mine", validation="mine")
    data.setup()
    assert len(data.train.clips) == len(data.val) == 2  # pyright: ignore[reportAttributeAccessIssue]
