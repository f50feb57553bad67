"""A training run through the real configs at tiny size: logs, checkpoints, exact resume, and sampling from its checkpoint."""

from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from d2m.audio.dmae_weights import load_dmae
from d2m.checkpoint import load_checkpoint
from d2m.dance import Dance
from d2m.data.encoding import encode_data_set
from d2m.data.layout import DataSetLayout
from d2m.generate import Dance2Music
from d2m.training.run import fit

CONFIGS = str(Path(__file__).parents[1] / "configs")
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
    layout = DataSetLayout(two_clips)
    encode_data_set(layout, layout.names("train"), load_dmae("demo"))
    return two_clips


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
    assert music.waveform.shape[1] == round(480 * 22050 / 60)


def test_a_resumed_run_ends_with_the_same_weights(root: Path, tmp_path: Path) -> None:
    common = ["~callbacks.beats"]
    torch.manual_seed(0)
    fit(config_for("demo", root, tmp_path / "whole", "trainer.max_steps=4", *common))
    torch.manual_seed(0)
    fit(config_for("demo", root, tmp_path / "parts", "trainer.max_steps=2", *common))
    torch.manual_seed(99)  # a new process would have another state
    fit(config_for("demo", root, tmp_path / "parts", "trainer.max_steps=4", *common))
    whole, parts = (load_checkpoint(tmp_path / run / "checkpoints" / "last.ckpt").state for run in ("whole", "parts"))
    assert set(whole) == set(parts)
    for name, tensor in whole.items():
        assert torch.allclose(tensor, parts[name], atol=1e-6), name
