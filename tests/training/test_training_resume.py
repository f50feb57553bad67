"""A run that was killed, interrupted or moved on ends with the weights of one that never stopped, bit by bit."""

import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import lightning
import pytest
import torch
from hydra import compose, initialize_config_dir
from tests_support_runs import ROOT, apart, encoded, ended, overrides, script

from d2m.training.run import fit


class KeepCopies(lightning.Callback):
    """Copies `last.ckpt` as it is at the start of every batch: what a kill within that step would leave."""

    def __init__(self, out: str) -> None:
        self.out = Path(out)

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx) -> None:
        last = self.out / "checkpoints" / "last.ckpt"
        if last.exists():
            shutil.copy(last, self.out / f"{trainer.global_step}.ckpt")


class KilledOnce(lightning.Callback):
    """Where the file `trigger` is, removes it and ends the process as `kill -9` does, in the middle of its eighth step."""

    def __init__(self, trigger: str) -> None:
        self.trigger = Path(trigger)

    def on_before_optimizer_step(self, trainer, pl_module, optimizer) -> None:
        if trainer.global_step == 7 and self.trigger.exists():
            self.trigger.unlink()
            os.kill(os.getpid(), signal.SIGKILL)


def trained(path: Path) -> dict[str, torch.Tensor]:
    """Everything in a checkpoint that a run's end consists of."""
    content = torch.load(path, weights_only=True)
    moments = {
        f"adam.{number}.{key}": torch.as_tensor(value)
        for number, state in content["optimizer_states"][0]["state"].items()
        for key, value in state.items()
    }
    average = {f"ema.{name}": weight for name, weight in content["callbacks"]["EMA"]["average"].items()}
    return {**content["state_dict"], **average, **moments, "step": torch.tensor(content["global_step"])}


def assert_same(one: Path, other: Path) -> None:
    first, second = trained(one), trained(other)
    assert set(first) == set(second)
    assert [name for name in first if not torch.equal(first[name], second[name])] == []


@contextmanager
def on_one_thread() -> Iterator[None]:
    """As the processes that are started train: sums are the same to the bit."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def test_a_killed_process_resumed_ends_with_the_same_bits(
    two_clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    root, steps = encoded(two_clips), 10
    settings = ["data.batch_size=2", "+data.steps_per_epoch=5", f"trainer.max_steps={steps}", "seed=7"]
    settings += ["trainer.val_check_interval=3", "trainer.accumulate_grad_batches=2", "checkpoint.every_n_steps=2"]
    settings += [
        "+callbacks.kill._target_=test_training_resume.KilledOnce",
        f"+callbacks.kill.trigger={tmp_path / 'trigger'}",
    ]
    with on_one_thread(), initialize_config_dir(str(ROOT / "configs"), version_base="1.3"):
        configs = [compose("train", overrides(root, tmp_path / out, *settings)) for out in ("whole", "killed")]
        lightning.seed_everything(7, workers=True, verbose=False)
        fit(configs[0])
    (tmp_path / "trigger").touch()
    killed = apart(script, "train", *overrides(root, tmp_path / "killed", *settings), "threads=1")
    assert ended(killed) == -signal.SIGKILL
    with on_one_thread():
        last = tmp_path / "killed" / "checkpoints" / "last.ckpt"
        assert trained(last)["step"] == 6
        fit(configs[1])
    assert "resuming from" in capsys.readouterr().out
    assert trained(last)["step"] == steps
    assert_same(tmp_path / "whole" / "checkpoints" / "last.ckpt", last)


def test_every_checkpoint_of_a_run_leads_to_the_same_end(two_clips: Path, tmp_path: Path) -> None:
    """Also those at the end of an epoch and just before a validation."""
    root, out = encoded(two_clips), tmp_path / "run"
    settings = ["data.batch_size=2", "+data.steps_per_epoch=2", "trainer.max_steps=4", "checkpoint.every_n_steps=1"]
    settings += ["trainer.val_check_interval=2", "trainer.accumulate_grad_batches=2"]
    settings += ["+trainer.enable_progress_bar=false", "+trainer.enable_model_summary=false"]
    with initialize_config_dir(str(ROOT / "configs"), version_base="1.3"):
        copying = ["+callbacks.copies._target_=test_training_resume.KeepCopies", f"+callbacks.copies.out={out}"]
        fit(compose("train", overrides(root, out, *settings, *copying)))
        config = compose("train", overrides(root, tmp_path / "resumed", *settings))
    torch.manual_seed(1)  # another process has other random numbers
    for step in (1, 2, 3):
        last = tmp_path / "resumed" / "checkpoints" / "last.ckpt"
        last.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(out / f"{step}.ckpt", last)
        fit(config)
        assert trained(last)["step"] == 4
        assert_same(out / "checkpoints" / "last.ckpt", last)
