"""Two processes take the steps that one process takes on the same global batch."""

import csv
from pathlib import Path

import torch
from hydra import compose, initialize_config_dir
from tests_support_runs import ROOT, encoded, overrides, script_in_ranks

from d2m.training.run import fit

# Nothing random may depend on how the batch is shared out; Adam may not make a step of a gradient that is rounding error.
SETTINGS = [
    "trainer.max_steps=2",
    "+data.steps_per_epoch=2",
    "trainer.val_check_interval=2",
    "system.objective._target_=tests_support_runs.NoiseOfTheRow",
    "system.augmentation=null",
    "+callbacks.calm._target_=tests_support_runs.WithoutDropout",
    "system.condition_dropout=1e-9",
    "system.genre_dropout=0.0",
    "system.conditioner.motion_exchange=0.0",
    "system.conditioner.motion_dropout=0.0",
    "system.conditioner.beat_dropout=0.0",
    "system.beat_jitter_s=0.0",
    "system.conditioner.lead_sheet=false",
    "data.lead_sheet=false",
    "system.optimization.lr=1e-2",
    "system.optimization.warmup_steps=1",
    "+system.optimization.eps=1e-2",
]
BEATS = ["callbacks.beats.clips=2", "callbacks.beats.steps=1"]


def with_beats(settings: list[str]) -> list[str]:
    return [*(setting for setting in settings if setting != "~callbacks.beats"), *BEATS]


def logged(out: Path, name: str) -> float:
    with next(out.glob("csv/*/metrics.csv")).open() as file:
        return [float(row[name]) for row in csv.DictReader(file) if row.get(name)][-1]


def test_two_gloo_processes_equal_one(two_clips: Path, tmp_path: Path) -> None:
    root = encoded(two_clips)
    one, two = tmp_path / "one", tmp_path / "two"
    settings = [*SETTINGS, "data.batch_size=2", "trainer.strategy=ddp", "trainer.devices=2"]
    with initialize_config_dir(str(ROOT / "configs"), version_base="1.3"):
        config = compose("train", with_beats(overrides(root, one, *SETTINGS, "data.batch_size=4")))
    torch.manual_seed(0)
    fit(config)
    ran = script_in_ranks(tmp_path, "train", *with_beats(overrides(root, two, *settings)), "threads=1")
    assert [rank.returncode for rank in ran] == [0, 0], ran
    first, second = (torch.load(out / "checkpoints" / "last.ckpt", weights_only=True) for out in (one, two))
    assert first["global_step"] == second["global_step"] == 2
    for name, weight in first["state_dict"].items():
        assert torch.allclose(weight, second["state_dict"][name], atol=1e-5), name
    for name, weight in first["callbacks"]["EMA"]["average"].items():
        assert torch.allclose(weight, second["callbacks"]["EMA"]["average"][name], atol=1e-5), name
    moment = max(float(state["exp_avg"].abs().max()) for state in first["optimizer_states"][0]["state"].values())
    assert moment > 1e-4  # the steps were real ones
    assert abs(logged(one, "val/loss") - logged(two, "val/loss")) < 1e-4
    assert abs(logged(one, "val/beat_f") - logged(two, "val/beat_f")) < 0.05
