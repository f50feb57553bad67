"""Samplers against a Gaussian whose optimal denoiser, and whose exact probability-flow solution, are known."""

import pytest
import torch

from d2m.diffusion import schedule
from d2m.diffusion.samplers import ddim, dpm_solver_pp_2m

MEAN, STD = 2.0, 0.5
SAMPLERS = {"ddim": ddim, "dpm_solver_pp_2m": dpm_solver_pp_2m}


def gaussian_velocity(x, sigma):
    """v of the optimal denoiser when x0 ~ N(MEAN, STD^2): E[eps | x] and E[x0 | x] are linear in x."""
    a, b = schedule.alpha(sigma)[:, None, None], schedule.beta(sigma)[:, None, None]
    variance = a**2 * STD**2 + b**2
    residual = (x - a * MEAN) / variance
    return a * (b * residual) - b * (MEAN + a * STD**2 * residual)


@pytest.fixture
def noise():
    return torch.randn(4, 8, 64, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def error(sampler, noise, steps):
    """Mean distance from the flow's exact end point, MEAN + STD * noise."""
    return (sampler(gaussian_velocity, noise, steps) - (MEAN + STD * noise)).abs().mean().item()


@pytest.mark.parametrize("name", SAMPLERS)
def test_it_converges_to_the_gaussian(name, noise):
    samples = SAMPLERS[name](gaussian_velocity, noise, 200)
    assert samples.mean().item() == pytest.approx(MEAN + STD * noise.mean().item(), abs=0.01)
    assert samples.std().item() == pytest.approx(STD * noise.std().item(), abs=0.01)


@pytest.mark.parametrize("steps", [4, 6, 8, 12, 20])
def test_second_order_is_more_accurate_at_few_steps(steps, noise):
    assert error(dpm_solver_pp_2m, noise, steps) < 0.9 * error(ddim, noise, steps)


def test_halving_the_step_divides_ddims_error_by_two(noise):
    assert error(ddim, noise, 100) == pytest.approx(error(ddim, noise, 50) / 2, rel=0.1)


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("steps", [1, 2, 7])
def test_any_step_count_is_finite_and_evaluates_the_network_once_a_step(name, steps, noise):
    seen, told = [], []

    def counting(x, sigma):
        seen.append(sigma)
        return gaussian_velocity(x, sigma)

    def progress(iterable):
        for item in iterable:
            told.append(item)
            yield item

    samples = SAMPLERS[name](counting, noise.float(), steps, progress)
    assert samples.isfinite().all() and samples.dtype == torch.float32
    assert len(seen) == len(told) == steps
    assert seen[0].shape == (4,) and seen[0][0] == 1 and seen[-1][0] > 0


def test_no_step_is_refused(noise):
    with pytest.raises(ValueError, match="at least one step"):
        ddim(gaussian_velocity, noise, 0)
