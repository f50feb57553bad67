"""A few-step student of an autoencoder's diffusion decoder: its target, what learns, and the whole way to a file that decodes."""

import runpy
import sys
from pathlib import Path

import hydra
import numpy as np
import pytest
import soundfile
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf

from d2m.audio.chunked_coding import decode_in_chunks
from d2m.audio.pretrained import load_dmae, save_dmae
from d2m.core.errors import BadConfig
from d2m.diffusion import processes as schedule
from d2m.diffusion.distillation import Jump, rotated
from d2m.training.run import fit

ROOT = Path(__file__).parents[2]
TINY = [
    "dmae.architecture.encoder.channels=8", "dmae.architecture.encoder.num_blocks=[1]", "dmae.architecture.filters=4",
    "dmae.architecture.channels=[8,8,8,8,8]", "dmae.architecture.items=[1,1,1,1,1]",
    "dmae.architecture.modulation_features=16", "dmae.architecture.onepass.widths=[16,8]",
    "dmae.architecture.onepass.depths=[1,1]",
]  # fmt: skip
DEVIATION = 0.5


def composed(*overrides):
    with hydra.initialize_config_dir(str(ROOT / "configs"), version_base="1.3"):
        return hydra.compose("train", ["experiment=distill_dmae", *overrides])


def built(*overrides):
    torch.manual_seed(3)
    return instantiate(composed(*TINY, "dmae.weights=null", *overrides).system, _convert_="all")


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    """A trained autoencoder's file (random weights), whose decoder takes its 20 steps."""
    architecture = OmegaConf.to_container(composed(*TINY).dmae.architecture, resolve=True)
    del architecture["decoder_steps"]
    torch.manual_seed(3)
    dmae = instantiate(architecture, _convert_="all")
    return save_dmae(dmae, architecture, tmp_path_factory.mktemp("dmae") / "teacher.safetensors")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A data set of two songs."""
    root = tmp_path_factory.mktemp("data")
    names = ["gBR_sBM_cAll_d04_mBR0_ch01", "gBR_sBM_cAll_d04_mBR1_ch01"]
    (root / "wavs").mkdir()
    (root / "splits").mkdir()
    for name, split in zip(names, ("train", "val"), strict=True):
        soundfile.write(root / "wavs" / f"{name}.wav", np.random.default_rng(0).normal(0, 0.1, 140_000), 22_050)
        (root / "splits" / f"crossmodal_{split}.txt").write_text(name + "\n")
    (root / "splits" / "crossmodal_test.txt").write_text(names[1] + "\n")
    return root


def gaussian_velocity(x, sigma, latent):
    """v of the best denoiser of N(0, DEVIATION²), whatever the latent."""
    a, b = schedule.alpha(sigma)[:, None, None], schedule.beta(sigma)[:, None, None]
    return a * b * (1 - DEVIATION**2) / (a**2 * DEVIATION**2 + b**2) * x


def test_the_target_leads_where_the_teachers_flow_leads(monkeypatch):
    system = built("system.teacher_steps=100")
    monkeypatch.setattr(system, "teacher_velocity", gaussian_velocity)
    x, jump = torch.randn(2, 1, 1024), Jump(torch.tensor([1.0, 0.5]), torch.tensor([0.75, 0.25]))

    def deviation(sigma):
        return (schedule.alpha(sigma) ** 2 * DEVIATION**2 + schedule.beta(sigma) ** 2).sqrt()[:, None, None]

    expected = x * deviation(jump.until) / deviation(jump.sigma)  # the probability-flow ODE of a Gaussian
    landed = rotated(x, system.target(x, jump, torch.zeros(2, 32, 2)), jump.angle)
    torch.testing.assert_close(landed, expected, atol=5e-3, rtol=0)
    assert (landed - x).abs().max() > 0.1


def test_the_student_starts_as_its_teacher_and_the_teacher_stays():
    system = built("system.teacher_steps=1").eval()
    waveform = 0.1 * torch.randn(2, 1, 8192)

    def loss():
        with torch.no_grad():
            return float(system.loss(waveform, torch.Generator().manual_seed(0)))

    assert loss() < 1e-9  # one step of the teacher is one of the student's
    x, sigma, latent = torch.randn(2, 1, 8192), torch.tensor([0.9, 0.4]), system.dmae.encode(waveform)
    held = {name: id(p) for name, p in system.named_parameters(remove_duplicate=False)}
    before = system.teacher_velocity(x, sigma, latent)
    # what the optimiser has is still what the network uses
    assert {name: id(p) for name, p in system.named_parameters(remove_duplicate=False)} == held
    with torch.no_grad():
        for parameter in system.dmae.autoencoder.net.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    torch.testing.assert_close(system.teacher_velocity(x, sigma, latent), before)
    assert loss() > 1e-4
    assert not torch.equal(system.teacher_velocity(x, sigma, latent + 0.5), before)  # it hears the latent


def test_a_run_is_exported_and_decodes_with_few_steps(tmp_path, data, teacher, monkeypatch):
    config = composed(
        *TINY, f"dmae.weights={teacher}", f"data.root={data}", f"out={tmp_path / 'run'}", "student_steps=2",
        "system.teacher_steps=2", "data.samples=8192", "data.batch_size=2", "data.steps_per_epoch=2",
        "trainer.max_steps=2", "trainer.val_check_interval=2", "trainer.accelerator=cpu", "trainer.precision=32-true",
        "+trainer.enable_progress_bar=false", "system.optimization.warmup_steps=1",
    )  # fmt: skip
    torch.manual_seed(0)
    fit(config)
    file = tmp_path / "student.safetensors"
    monkeypatch.setattr(sys, "argv", ["export.py", f"run={tmp_path / 'run'}", f"out={file}"])
    runpy.run_path(str(ROOT / "scripts" / "export.py"), run_name="__main__")
    student, before = load_dmae(file), load_dmae(teacher)
    assert (student.decoder_steps, before.decoder_steps) == (2, 20)
    ours, theirs = student.state_dict(), before.state_dict()
    changed = {key.split(".")[1] for key in theirs if not torch.equal(ours[key], theirs[key])}
    assert changed == {"net", "diffusion", "sampler"}  # three names of the one U-Net; latents stay valid
    latent = before.encode(0.1 * torch.randn(1, 1, 16 * 512))[0]
    calls = []
    hook = student.autoencoder.net.register_forward_pre_hook(lambda *_: calls.append(1))
    few = decode_in_chunks(student, latent, "diffusion")
    assert len(calls) == 2 and few.shape == (1, 16 * 512)
    torch.testing.assert_close(few, decode_in_chunks(student, latent, "diffusion", steps=2))
    decode_in_chunks(student, latent, "diffusion", steps=5)
    assert len(calls) == 2 + 2 + 5
    hook.remove()


def test_the_published_size_composes():
    config = composed("dmae=atc64_v2")
    assert config.data.sample_rate == 44_100 and config.data.channels == 2
    assert config.system.dmae.decoder_steps == 4 and config.system.weights == "archinetai/dmae1d-ATC64-v2"


@pytest.mark.parametrize(
    ("override", "sentence"),
    [("dmae.architecture.encoder.channels=16", "name the dmae= that these weights are of"),
     ("system.teacher_steps=0", "expected 1 or more steps of the teacher"),
     ("student_steps=0", "decoder_steps=0: expected 1 or more")],
)  # fmt: skip
def test_settings_that_cannot_be(teacher, override, sentence):
    with pytest.raises(Exception, match=sentence) as raised:
        instantiate(composed(*TINY, f"dmae.weights={teacher}", override).system, _convert_="all")
    assert isinstance(raised.value.__cause__, BadConfig)
