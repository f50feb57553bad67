"""Rectified flow: its examples, its samplers against a Gaussian's exact flow, and who may be combined with whom."""

from functools import partial

import pytest
import torch

from d2m.core.checkpoint import build, load_checkpoint, save_checkpoint, shipped_or_path
from d2m.core.errors import BadConfig, BadInput
from d2m.diffusion.objectives import Objective, RectifiedFlowObjective, VelocityObjective
from d2m.diffusion.processes import GRIDS, LinearPath, TrigonometricVP
from d2m.diffusion.samplers import SAMPLERS, check_understood, ddim, euler, heun, shifted

MEAN, STD = 2.0, 0.5


def gaussian_flow(x, t):
    """E[eps - x0 | x] when x0 ~ N(MEAN, STD^2), on the straight path."""
    t = t[:, None, None]
    residual = (x - (1 - t) * MEAN) / ((1 - t) ** 2 * STD**2 + t**2)
    return t * residual - (MEAN + (1 - t) * STD**2 * residual)


@pytest.fixture
def noise():
    return torch.randn(4, 8, 64, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def error(sampler, noise, steps, **settings):
    """Mean distance from the flow's exact end, MEAN + STD * noise."""
    return (sampler(gaussian_flow, noise, steps, **settings) - (MEAN + STD * noise)).abs().mean().item()


def test_an_example_lies_on_the_line_and_its_target_leads_to_both_ends():
    x0 = torch.randn(16, 4, 8)
    example = RectifiedFlowObjective().example(x0, torch.Generator().manual_seed(1))
    t = example.sigma[:, None, None]
    torch.testing.assert_close(example.x - t * example.target, x0, atol=1e-5, rtol=1e-5)
    to_noise = example.x + (1 - t) * example.target
    assert to_noise.std().item() == pytest.approx(1, abs=0.1) and abs((to_noise * x0).mean().item()) < 0.1
    again = RectifiedFlowObjective().example(x0, torch.Generator().manual_seed(1))
    torch.testing.assert_close(example.x, again.x)
    assert RectifiedFlowObjective().loss(example.target, again.target) == 0
    assert RectifiedFlowObjective().loss(0 * example.target, example.target).item() == pytest.approx(2, abs=0.4)


@pytest.mark.parametrize("stratified", [True, False])
def test_times_have_the_distribution_that_is_named(stratified):
    def drawn(**settings):
        objective = RectifiedFlowObjective(stratified=stratified, **settings)
        return objective.sigmas(4000, torch.device("cpu"), torch.Generator().manual_seed(0))

    uniform, normal = drawn(), drawn(times="logit_normal", location=0.5, scale=2)
    assert uniform.min() >= 0 and uniform.max() <= 1 and uniform.std().item() == pytest.approx(12**-0.5, abs=0.01)
    logits = torch.logit(normal)
    assert logits.mean().item() == pytest.approx(0.5, abs=0.1) and logits.std().item() == pytest.approx(2, abs=0.1)
    if stratified:
        assert len(torch.unique((uniform * 4000).long())) > 3950


def test_settings_that_cannot_be_are_refused():
    with pytest.raises(BadConfig, match="times=cosine: unknown; expected one of uniform, logit_normal"):
        RectifiedFlowObjective(times="cosine")
    with pytest.raises(BadConfig, match="scale=0: expected a deviation above 0"):
        RectifiedFlowObjective(times="logit_normal", scale=0)
    with pytest.raises(BadConfig, match="shift=0: expected a number above 0"):
        shifted(torch.linspace(1, 0, 3), 0)


def test_eulers_error_is_of_first_order_and_heuns_of_second(noise):
    assert error(euler, noise, 100) == pytest.approx(error(euler, noise, 50) / 2, rel=0.1)
    # the last step stays Euler's; of length 1/n, it makes an error of second order too
    assert error(heun, noise, 100) == pytest.approx(error(heun, noise, 50) / 4, rel=0.2)
    assert error(heun, noise, 20) < error(euler, noise, 40)
    assert error(euler, noise, 400) < 0.01


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("steps", [1, 2, 7])
def test_evaluations_progress_and_precision(grid, steps, noise):
    seen, told = [], []

    def counting(x, sigma):
        seen.append(sigma)
        return gaussian_flow(x, sigma)

    def progress(iterable):
        for item in iterable:
            told.append(item)
            yield item

    assert euler(counting, noise.float(), steps, progress, grid).dtype == torch.float32
    assert len(seen) == len(told) == steps and seen[0].shape == (4,) and seen[0][0] == 1
    seen.clear()
    assert heun(counting, noise.float(), steps, progress, grid).isfinite().all()
    assert len(seen) == 2 * steps - 1 and all((sigma > 0).all() for sigma in seen)


def test_a_shift_keeps_the_ends_and_puts_levels_near_the_noise(noise):
    times = torch.linspace(1, 0, 9, dtype=torch.float64)
    moved = shifted(times, 3)
    assert moved[0] == 1 and moved[-1] == 0 and (moved.diff() < 0).all() and (moved[1:-1] > times[1:-1]).all()
    torch.testing.assert_close(shifted(times, 1), times)
    assert error(euler, noise, 400, shift=3) < 0.02


def test_every_sampler_belongs_to_one_path_and_is_refused_on_the_other():
    circle, line = VelocityObjective().path, RectifiedFlowObjective().path
    assert isinstance(circle, TrigonometricVP) and isinstance(line, LinearPath)
    assert sorted(circle.samplers + line.samplers) == sorted(SAMPLERS)
    assert all(isinstance(objective, Objective) for objective in (VelocityObjective(), RectifiedFlowObjective()))
    for path in (circle, line):
        for name, sampler in SAMPLERS.items():
            if name in path.samplers:
                check_understood(path, name)
                check_understood(path, partial(sampler))
            else:
                for said in (name, sampler, partial(sampler)):
                    with pytest.raises(
                        BadConfig, match=f"sampler={name}: follows another path .* use {path.samplers[0]}"
                    ):
                        check_understood(path, said)
    check_understood(line, lambda denoiser, noise, steps, progress=None: noise)


@pytest.mark.parametrize(("path", "sampler"), [(TrigonometricVP(), ddim), (LinearPath(), euler)])
def test_a_paths_step_is_its_first_order_sampler(path, sampler, noise):
    """One step from 1 to 0.5 and one from there to 0, for any network."""

    def network(x, sigma):
        return torch.sin(3 * x) + sigma[:, None, None]

    x = noise
    for level, until in ((1.0, 0.5), (0.5, 0.0)):
        a, b = path.step(torch.tensor(level, dtype=torch.float64), torch.tensor(until, dtype=torch.float64))
        x = a * x - b * network(x, torch.full((4,), level, dtype=torch.float64))
    torch.testing.assert_close(sampler(network, noise, 2), x)


def flow_config():
    """The demo system's configuration with the objective and sampler of aligned_flow."""
    system = load_checkpoint(shipped_or_path("demo")).config["system"]
    return system | {
        "objective": {"_target_": "d2m.diffusion.objectives.RectifiedFlowObjective"},
        "sampler": {"_target_": "d2m.diffusion.samplers.euler", "_partial_": True},
    }


def test_a_system_trains_towards_the_flow_and_refuses_a_sampler_of_the_other_path(tmp_path):
    config, path = flow_config(), tmp_path / "flow.safetensors"
    config["unet"] |= {"channels": [16, 16, 16, 16], "items": [1, 1, 1, 1], "modulation_features": 16}
    config["conditioner"]["encoder"] |= {"channels": 32, "dilations": [1, 2]}
    config["conditioner"]["features"] = 16
    system = build(config, path)
    batch = {
        "features": torch.randn(2, system.clock.window_motion_frames, 219),
        "latent": torch.randn(2, 96, system.clock.window_latent_frames),
        "genre": torch.tensor([0, 3]),
    }
    parts = system.compute_losses(batch, training=True, generator=torch.Generator().manual_seed(0))
    parts["loss"].backward()
    assert parts["velocity"].isfinite() and any(p.grad is not None and p.grad.any() for p in system.unet.parameters())
    with pytest.raises(BadInput, match="sampler=dpm_solver_pp_2m: follows another path"):
        build(config | {"sampler": {"_target_": "d2m.diffusion.samplers.dpm_solver_pp_2m", "_partial_": True}}, path)


def test_a_flow_cannot_be_distilled_nor_swept_with_a_sampler_of_the_other_path(tmp_path):
    from d2m.evaluation.pareto import Setting
    from d2m.pipeline import Dance2Music
    from d2m.systems.distillation import Distillation

    config, path = flow_config(), tmp_path / "flow.safetensors"
    save_checkpoint(path, build(config, path).state_dict(), {"system": config, "dmae": "demo"})
    with pytest.raises(
        BadConfig, match="teacher=.*flow.safetensors: trained with RectifiedFlowObjective, but a student"
    ):
        Distillation(str(path))
    model = Dance2Music.load(path)
    assert Setting().resolved(model).sampler == "euler" and Setting(sampler="heun").resolved(model).sampler == "heun"
    with pytest.raises(BadConfig, match="sampler=ddim: follows another path .* use euler or heun"):
        Setting(sampler="ddim").resolved(model)
    with pytest.raises(BadConfig, match="sampler=euler: follows another path .* use ddim or dpm_solver_pp_2m"):
        Setting(sampler="euler").resolved(Dance2Music.load("demo"))
