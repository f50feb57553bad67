"""A training run through the real configs at tiny size: logs, checkpoints, sampling from them, and folders it must refuse."""

import resource
import shutil
import signal
from pathlib import Path

import lightning
import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig
from tests_support_runs import encoded

from d2m.core.checkpoint import load_checkpoint
from d2m.core.errors import BadConfig, BadInput
from d2m.motion.dance import Dance
from d2m.pipeline import Dance2Music
from d2m.training import run as training_run
from d2m.training.run import fit

CONFIGS = str(Path(__file__).parents[2] / "configs")
TINY = [
    "system.unet.channels=[16,16,16,16]",
    "system.unet.items=[1,1,1,1]",
    "system.unet.modulation_features=16",
    "data.batch_size=2",
    "+data.steps_per_epoch=4",
    "trainer.val_check_interval=2",
    "trainer.precision=32-true",
    "trainer.log_every_n_steps=1",
    "trainer.accelerator=cpu",
    "system.optimization.total_steps=4",
]
ALIGNED = ["system.conditioner.encoder.channels=32", "system.conditioner.encoder.dilations=[1,2]"]


def config_for(experiment: str, root: Path, out: Path, *overrides: str) -> DictConfig:
    with initialize_config_dir(CONFIGS, version_base="1.3"):
        paths = [f"experiment={experiment}", f"data.root={root}", f"out={out}"]
        return compose("train", [*paths, *TINY, *(ALIGNED if experiment == "demo" else []), *overrides])


@pytest.fixture(scope="module")
def root(two_clips: Path) -> Path:
    return encoded(two_clips)


@pytest.mark.parametrize("experiment", ["demo", "demo_published"])
def test_a_run_leaves_what_a_researcher_expects(experiment: str, root: Path, tmp_path: Path) -> None:
    fit(
        config_for(
            experiment, root, tmp_path, "trainer.max_steps=2", "callbacks.beats.clips=1", "callbacks.beats.steps=1"
        )
    )
    assert (tmp_path / "config.yaml").exists() and list(tmp_path.glob("tensorboard/**/events*"))
    log = next(tmp_path.glob("csv/**/metrics.csv")).read_text()
    assert "val/beat_f" in log and "train/velocity" in log
    checkpoint = tmp_path / "checkpoints" / "last.ckpt"
    music = Dance2Music.load(checkpoint)(Dance.load(next((root / "motions").glob("gBR*"))), steps=1)
    assert music.waveform.shape[1] == round(480 * 44100 / 60)


@pytest.fixture(scope="module")
def run(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of two steps; tests that change it work on a copy."""
    out = tmp_path_factory.mktemp("finished") / "run"
    fit(config_for("demo", root, out, "trainer.max_steps=2", "~callbacks.beats"))
    return out


@pytest.fixture
def copy(run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(run, tmp_path / "copy"))


def content_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_best_checkpoint_is_the_average_without_optimiser(run: Path) -> None:
    last, best = (torch.load(run / "checkpoints" / f"{name}.ckpt", weights_only=True) for name in ("last", "best"))
    assert "optimizer_states" not in best and set(best["score"]) == {"val/loss"}
    for name, average in last["callbacks"]["EMA"]["average"].items():
        assert torch.equal(best["state_dict"][name], average)
    assert set(load_checkpoint(run / "checkpoints" / "best.ckpt").config["system"]) == set(best["config"]["system"])


@pytest.mark.parametrize(
    ("override", "named"),
    [
        ("system.unet.channels=[16,16,16,32]", "system.unet.channels was [16, 16, 16, 16], is [16, 16, 16, 32]"),
        ("data.batch_size=1", "data.batch_size was 2, is 1"),
        ("seed=3", "seed was 0, is 3"),
    ],
)
def test_a_run_with_other_settings_is_not_gone_on_with(root: Path, copy: Path, override: str, named: str) -> None:
    before = content_of(copy)
    with pytest.raises(BadInput) as error:
        fit(config_for("demo", root, copy, "trainer.max_steps=3", "~callbacks.beats", override))
    assert named in str(error.value) and "resume=false" in str(error.value)
    assert content_of(copy) == before


def test_a_checkpoint_of_another_configuration_is_refused(root: Path, copy: Path) -> None:
    (copy / "config.yaml").unlink()
    before = content_of(copy)
    with pytest.raises(BadInput, match=r"last.ckpt: a checkpoint of another configuration \(.* expected \["):
        fit(
            config_for(
                "demo", root, copy, "trainer.max_steps=3", "~callbacks.beats", "system.unet.channels=[16,16,16,32]"
            )
        )
    assert content_of(copy) == before


@pytest.mark.parametrize("kept", [0, 1000, -100])
def test_a_truncated_checkpoint_is_refused_and_kept(root: Path, copy: Path, kept: int) -> None:
    last = copy / "checkpoints" / "last.ckpt"
    last.write_bytes(last.read_bytes()[:kept])
    before = content_of(copy)
    with pytest.raises(BadInput, match=r"last.ckpt: damaged .*resume=false"):
        fit(config_for("demo", root, copy, "trainer.max_steps=3", "~callbacks.beats"))
    assert content_of(copy) == before


def test_a_full_disk_leaves_the_previous_checkpoint(root: Path, copy: Path) -> None:
    before = (copy / "checkpoints" / "last.ckpt").read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, limits[1]))  # files cannot grow beyond 200 kB
    try:
        with pytest.raises(BadConfig, match=r"last.ckpt: the checkpoint of step 3 could not be written .* untouched"):
            fit(config_for("demo", root, copy, "trainer.max_steps=4", "~callbacks.beats", "checkpoint.every_n_steps=3"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (copy / "checkpoints" / "last.ckpt").read_bytes() == before
    assert sorted(path.name for path in (copy / "checkpoints").iterdir()) == ["best.ckpt", "last.ckpt"]


def test_starting_afresh_sets_earlier_checkpoints_aside(root: Path, copy: Path) -> None:
    before = (copy / "checkpoints" / "last.ckpt").read_bytes()
    fit(config_for("demo", root, copy, "trainer.max_steps=1", "~callbacks.beats", "resume=false", "seed=3"))
    assert (copy / "checkpoints.before-1" / "last.ckpt").read_bytes() == before
    assert torch.load(copy / "checkpoints" / "last.ckpt", weights_only=True)["global_step"] == 1


class Signals(lightning.Callback):
    """Sends this process a signal within step 2."""

    def on_before_optimizer_step(self, trainer, pl_module, optimizer) -> None:
        if trainer.global_step == 1:
            signal.raise_signal(signal.SIGTERM)


def test_a_run_asked_to_stop_finishes_its_step_and_can_go_on(root: Path, tmp_path: Path) -> None:
    common = ["trainer.max_steps=4", "~callbacks.beats"]
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as stopped:
        fit(config_for("demo", root, tmp_path, *common, "+callbacks.ask._target_=test_training_run.Signals"))
    assert stopped.value.code == 128 + signal.SIGTERM and signal.getsignal(signal.SIGTERM) is before
    last = tmp_path / "checkpoints" / "last.ckpt"
    assert torch.load(last, weights_only=True)["global_step"] == 2
    fit(config_for("demo", root, tmp_path, *common))
    assert signal.getsignal(signal.SIGTERM) is before, "a process that has trained can be terminated"
    assert torch.load(last, weights_only=True)["global_step"] == 4


def test_the_compiled_unet_keeps_its_names(
    root: Path, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is compiled is traced in the U-Net's own tests: it takes half a minute for a whole one."""
    asked: list[dict] = []
    monkeypatch.setattr(torch, "compile", lambda function, **options: asked.append(options) or function)
    once = ["trainer.max_steps=1", "+trainer.limit_val_batches=0", "compile={backend: eager}"]
    fit(config_for("demo", root, tmp_path, *once, "~callbacks.beats", "checkpoint.monitor=null"))
    assert asked == [{"backend": "eager"}]
    compiled, plain = (load_checkpoint(out / "checkpoints" / "last.ckpt").state for out in (tmp_path, run))
    assert list(compiled) == list(plain)
    for name, tensor in plain.items():
        assert tensor.shape == compiled[name].shape, name


def test_an_unknown_monitor_is_named(root: Path, tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match=r"found no value 'val/los', expected one of val/genre, .*val/loss"):
        fit(config_for("demo", root, tmp_path, "trainer.max_steps=2", "~callbacks.beats", "checkpoint.monitor=val/los"))


def test_bfloat16_falls_back_where_the_processor_has_none(
    monkeypatch: pytest.MonkeyPatch, capsys, tmp_path: Path
) -> None:
    """Emulated it takes eight times as long as float32; on a processor that has it, it stays."""
    config = config_for("demo", tmp_path, tmp_path, "trainer.precision=bf16-mixed", "trainer.max_steps=1")
    monkeypatch.setattr(training_run, "has_bfloat16", lambda: False)
    assert training_run.training_precision(config) == "32-true" and "no bfloat16" in capsys.readouterr().out
    config.trainer.precision = "16-mixed"
    assert training_run.training_precision(config) == "16-mixed"
    config.trainer.precision = "bf16-mixed"
    monkeypatch.setattr(training_run, "has_bfloat16", lambda: True)
    assert training_run.training_precision(config) == "bf16-mixed" and not capsys.readouterr().out


def test_an_older_systems_weights_start_one_with_a_rhythm_reader(root: Path, tmp_path: Path) -> None:
    no_music = ["callbacks.beats=null", "trainer.max_steps=1", "system.reader_weights=null"]
    older = ["system.reader=null", *no_music]
    fit(config_for("demo", root, tmp_path / "old", *older))
    last = tmp_path / "old" / "checkpoints" / "last.ckpt"
    begun = fit(
        config_for("demo", root, tmp_path / "new", *no_music, f"init_from={last}", "system.optimization.lr=0.0")
    )
    old = load_checkpoint(last).state
    assert not any(name.startswith("reader.") for name in old)
    new = begun.state_dict()
    assert all(torch.allclose(new[name], weight, atol=1e-5) for name, weight in old.items())
