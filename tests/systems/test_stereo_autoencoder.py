"""From a folder of mixed music to an autoencoder's file: trained, gone on with, exported, ended with a discriminator, scored."""

import json
from pathlib import Path

import hydra
import numpy as np
import pytest
import torch
from omegaconf import DictConfig, OmegaConf

from d2m.audio.pretrained import load_dmae
from d2m.commands.evaluation import evaluate_dmae
from d2m.commands.training import export
from d2m.core.errors import BadConfig
from d2m.core.music import Music
from d2m.systems.autoencoder import AutoencoderTraining, DecoderDistillation
from d2m.training.run import fit

ROOT = Path(__file__).parents[2]
TINY = ["dmae.architecture.onepass.width=16", "dmae.architecture.onepass.depth=1"]
SHORT = [
    "data.batch_size=1", "data.samples=32768", "data.steps_per_epoch=2", "trainer.val_check_interval=2", "checkpoint.every_n_steps=1",
    "trainer.accelerator=cpu", "trainer.precision=32-true", "+trainer.enable_progress_bar=false", "system.warmup_steps=1",
]  # fmt: skip


def composed(name: str, *overrides: str, config: str = "train") -> DictConfig:
    with hydra.initialize_config_dir(str(ROOT / "configs"), version_base="1.3"):
        return hydra.compose(config, [name, *overrides])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Music of three kinds."""
    root = tmp_path_factory.mktemp("music")
    random = np.random.default_rng(0)
    for number, (suffix, rate) in enumerate([("wav", 44100), ("flac", 48000), ("mp3", 22050)]):
        time_s = np.arange(2 * rate) / rate
        wave = np.stack([np.sin(2 * np.pi * hz * time_s) for hz in (110 + number, 330)]) * 0.2
        Music((wave + random.normal(0, 0.01, wave.shape)).astype(np.float32), rate).save(root / f"{number}.{suffix}")
    return root


def test_the_whole_way(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, file = tmp_path / "run", tmp_path / "stage1.safetensors"
    first = ["experiment=autoencoder", "dmae.name=mine", *TINY, *SHORT, f"data.root={folder}", f"out={run}"]
    fit(composed(*first, "trainer.max_steps=1", "trainer.val_check_interval=1", "data.steps_per_epoch=1"))
    once = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    config = composed(*first, "trainer.max_steps=2", "trainer.val_check_interval=1", "data.steps_per_epoch=1")
    fit(config)
    twice = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    assert (once["global_step"], twice["global_step"]) == (1, 2) and "resuming from" in capsys.readouterr().out
    export(composed(f"run={run}", f"out={file}", config="export"))
    assert load_dmae(file).name == "mine"

    end = tmp_path / "end"
    system = fit(
        composed(
            "experiment=autoencoder_end", f"from={file}", *SHORT, f"data.root={folder}", f"out={end}", "trainer.max_steps=2",
            "+discriminator.width=4", "+system.discriminator_samples=8192",
        )
    )  # fmt: skip
    content = torch.load(end / "checkpoints" / "last.ckpt", weights_only=True)
    assert content["global_step"] == 2 and len(content["discriminator_optimizer"]["state"]) > 0
    of_discriminator = {id(p) for p in system.discriminator.parameters()}
    assert not of_discriminator & {id(p) for group in system.optimizers().param_groups for p in group["params"]}
    logged = (end / "csv" / "version_0" / "metrics.csv").read_text().splitlines()[0]
    assert "val/onepass" in logged and "val/saturated" in logged
    export(composed(f"run={end}", f"out={tmp_path / 'stereo.safetensors'}", config="export"))

    score = composed(
        "dmae=demo", f"dmae.weights={tmp_path / 'stereo.safetensors'}", f"root={folder}", "splits=[val]", f"out={tmp_path / 'scores'}",
        config="evaluate_dmae",
    )  # fmt: skip
    evaluate_dmae(score)
    result = json.loads((tmp_path / "scores" / "dmae.json").read_text())
    assert set(result["rows"]) == {"onepass", "white_noise"} and result["clips"] == 1
    row = result["rows"]["onepass"]
    assert row["log_mel_db"] == pytest.approx(8.686 * row["log_mel_l1"], rel=1e-3) and row["decode_speed"] > 0
    assert -1 <= row["constant_q_low"] <= 1 and row["width_ratio"] > 0
    assert len(list((tmp_path / "scores").glob("*_onepass.png"))) == 1


def test_full_size_composes() -> None:
    config = composed("experiment=autoencoder")
    assert OmegaConf.to_container(config.system, resolve=True)["dmae"]["sample_rate"] == 44100  # pyright: ignore
    assert config.data.channels == 2


def test_weights_are_asked_for() -> None:
    with pytest.raises(BadConfig, match="missing weights= "):
        evaluate_dmae(composed("dmae=small", config="evaluate_dmae"))


def test_a_diffusion_decoder_that_is_not_there_cannot_be_trained() -> None:
    dmae = hydra.utils.instantiate(composed("experiment=autoencoder", *TINY).dmae.architecture, _convert_="all")
    with pytest.raises(BadConfig, match="no such part; expected any of encoder, onepass"):
        AutoencoderTraining(dmae, ["diffusion"])
    with pytest.raises(BadConfig, match="no diffusion decoder"):
        DecoderDistillation(dmae)
