"""A one-pass decoder for a frozen autoencoder: the experiment composes, trains the decoder alone and exports."""

from pathlib import Path

import hydra
import numpy as np
import pytest
import soundfile
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf

from d2m.audio.pretrained import save_dmae
from d2m.core.errors import BadConfig
from d2m.training.run import fit

ROOT = Path(__file__).parents[2]
TINY = [
    "dmae.architecture.encoder.channels=8", "dmae.architecture.encoder.num_blocks=[1,1]", "dmae.architecture.filters=4",
    "dmae.architecture.channels=[8,8,8,8,8,8,8]", "dmae.architecture.items=[1,1,1,1,1,1,1]",
    "+dmae.architecture.modulation_features=16", "dmae.architecture.onepass.widths=[16,8]",
    "dmae.architecture.onepass.depths=[1,1]",
]  # fmt: skip


def composed(*overrides):
    with hydra.initialize_config_dir(str(ROOT / "configs"), version_base="1.3"):
        return hydra.compose("train", ["experiment=onepass_decoder", "dmae=atc64_v2", *overrides])


@pytest.fixture(scope="module")
def frozen(tmp_path_factory):
    """A trained autoencoder's file (random weights), without one-pass decoder."""
    architecture = OmegaConf.to_container(composed(*TINY).dmae.architecture, resolve=True)
    del architecture["onepass"]
    torch.manual_seed(3)
    dmae = instantiate(architecture, _convert_="all")
    return save_dmae(dmae, architecture, tmp_path_factory.mktemp("dmae") / "frozen.safetensors")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A data set of two songs at 44.1 kHz stereo."""
    root = tmp_path_factory.mktemp("data")
    names = ["gBR_sBM_cAll_d04_mBR0_ch01", "gBR_sBM_cAll_d04_mBR1_ch01"]
    (root / "wavs").mkdir()
    (root / "splits").mkdir()
    for name, split in zip(names, ("train", "val"), strict=True):
        noise = np.random.default_rng(0).normal(0, 0.1, (140_000, 2))
        soundfile.write(root / "wavs" / f"{name}.wav", noise, 44_100)
        (root / "splits" / f"crossmodal_{split}.txt").write_text(name + "\n")
    (root / "splits" / "crossmodal_test.txt").write_text(names[1] + "\n")
    return root


def test_full_size_composes():
    config = composed()
    assert config.data.sample_rate == 44_100 and config.data.channels == 2
    assert config.system.dmae.onepass.latent_channels == 32 and config.system.weights == "archinetai/dmae1d-ATC64-v2"


def test_one_step_trains_the_decoder_alone(tmp_path, data, frozen):
    config = composed(
        *TINY, f"dmae.weights={frozen}", f"data.root={data}", f"out={tmp_path}", "data.batch_size=1",
        "data.steps_per_epoch=1", "trainer.max_steps=1", "trainer.val_check_interval=1", "trainer.accelerator=cpu",
        "trainer.precision=32-true", "+trainer.enable_progress_bar=false", "system.warmup_steps=1", "data.samples=32768",
    )  # fmt: skip
    before = instantiate(config.system, _convert_="all")
    assert {name.split(".")[1] for name, p in before.named_parameters() if p.requires_grad} == {"onepass"}
    torch.manual_seed(0)
    trained = fit(config)
    ours, theirs = trained.dmae.autoencoder.state_dict(), before.dmae.autoencoder.state_dict()
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)
    scales = trained.dmae.onepass.state_dict()["slow.0.scale"]  # they start at 0.3
    assert scales.isfinite().all() and (scales != torch.full_like(scales, 0.3)).any()
    assert not any(p.requires_grad for p in trained.dmae.autoencoder.parameters())
    assert (tmp_path / "checkpoints" / "last.ckpt").is_file()


def test_weights_of_another_size(frozen):
    config = composed(*TINY, f"dmae.weights={frozen}", "dmae.architecture.encoder.channels=16")
    with pytest.raises(Exception, match="other sizes") as raised:
        instantiate(config.system, _convert_="all")
    assert isinstance(raised.value.__cause__, BadConfig)
