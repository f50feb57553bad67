"""A student learns from its teacher as the teacher generates: same rescaling, same interval, same grid of noise levels."""

from dataclasses import replace
from pathlib import Path

import hydra
import pytest
import torch
from omegaconf import OmegaConf
from tests_support_motion import swinging_features

from d2m.diffusion.processes import noise_levels
from d2m.systems.distillation import Distillation

CONFIGS = str(Path(__file__).parents[2] / "configs")
TINY = ["channels=[16,16,16,16]", "items=[1,1,1,1]", "modulation_features=16"]


@pytest.fixture(scope="module")
def distillation(tmp_path_factory: pytest.TempPathFactory) -> Distillation:
    """Of a small teacher whose zero-initialised parts have been moved, as training would."""
    encoder = ["channels=32", "dilations=[1,2]"]
    sizes = [f"system.unet.{size}" for size in TINY] + [f"system.conditioner.encoder.{size}" for size in encoder]
    with hydra.initialize_config_dir(CONFIGS, version_base="1.3"):
        config = OmegaConf.to_container(hydra.compose("train", ["experiment=demo", *sizes]).system, resolve=True)
    torch.manual_seed(0)
    system = hydra.utils.instantiate(config, _convert_="all")
    with torch.no_grad():
        for weight in system.parameters():
            weight.add_(0.05 * torch.randn_like(weight))
    path = tmp_path_factory.mktemp("teacher") / "teacher.ckpt"
    torch.save({"state_dict": system.state_dict(), "config": {"system": config, "dmae": "demo"}}, path)
    return Distillation(str(path), student_steps=2, teacher_steps=3).eval()


def batch(distillation: Distillation) -> dict:
    clock = distillation.teacher.clock
    noise = torch.Generator().manual_seed(3)
    return {
        "features": swinging_features(clock.window_motion_frames)[None].repeat(2, 1, 1),
        "genre": torch.tensor([1, 3]),
        "latent": 0.5 * torch.randn(2, 96, clock.window_latent_frames, generator=noise),
    }


@torch.no_grad()
def loss_with(distillation: Distillation, monkeypatch, **generation) -> float:
    monkeypatch.setattr(distillation.teacher, "generation", replace(distillation.teacher.generation, **generation))
    return float(distillation.loss(batch(distillation), False, torch.Generator().manual_seed(0)))


def test_the_teachers_rescaling_and_interval_are_its_own(distillation, monkeypatch):
    plain = loss_with(distillation, monkeypatch)
    assert loss_with(distillation, monkeypatch, guidance_rescale=0.9) != pytest.approx(plain, rel=1e-3)
    rarely = {"guidance_rescale": 0.0, "guidance_interval": (0.0, 0.01)}
    assert loss_with(distillation, monkeypatch, **rarely) != pytest.approx(plain, rel=1e-3)


def test_both_step_on_the_teachers_grid(distillation, monkeypatch):
    seen: dict[str, list[torch.Tensor]] = {"student": [], "teacher": []}
    hooks = [
        part.unet.register_forward_pre_hook(lambda module, inputs, name=name: seen[name].append(inputs[1]))
        for name, part in (("student", distillation.student), ("teacher", distillation.teacher))
    ]
    loss_with(distillation, monkeypatch, grid="log_snr")
    for hook in hooks:
        hook.remove()
    coarse, fine = noise_levels(2, "log_snr").float(), noise_levels(6, "log_snr").float()
    assert sorted(seen["student"][0].tolist(), reverse=True) == pytest.approx(coarse[:2].tolist())
    first = seen["student"][0].argmax()  # the row that begins at the noise
    shares = (fine[:3] - fine[0]) / (fine[3] - fine[0])
    stepped = [float(sigma.reshape(-1, 2)[0, first]) for sigma in seen["teacher"]]
    assert stepped == pytest.approx((coarse[0] + shares * (coarse[1] - coarse[0])).tolist(), abs=1e-5)
