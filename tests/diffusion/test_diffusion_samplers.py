"""Samplers against a Gaussian whose optimal denoiser, and whose exact probability-flow solution, are known."""

import pytest
import torch

from d2m.core.errors import BadConfig
from d2m.diffusion import processes as schedule
from d2m.diffusion.processes import TrigonometricVP
from d2m.diffusion.samplers import SAMPLERS, ddim, dpm_solver_pp_2m

MEAN, STD = 2.0, 0.5


def gaussian_velocity(x, sigma):
    """v of the optimal denoiser when x0 ~ N(MEAN, STD^2): E[eps | x] and E[x0 | x] are linear in x."""
    a, b = schedule.alpha(sigma)[:, None, None], schedule.beta(sigma)[:, None, None]
    variance = a**2 * STD**2 + b**2
    residual = (x - a * MEAN) / variance
    return a * (b * residual) - b * (MEAN + a * STD**2 * residual)


@pytest.fixture
def noise():
    return torch.randn(4, 8, 64, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def error(sampler, noise, steps, grid="angle"):
    """Mean distance from the flow's exact end point, MEAN + STD * noise."""
    return (sampler(gaussian_velocity, noise, steps, grid=grid) - (MEAN + STD * noise)).abs().mean().item()


@pytest.mark.parametrize("name", TrigonometricVP.samplers)
def test_it_converges_to_the_gaussian(name, noise):
    samples = SAMPLERS[name](gaussian_velocity, noise, 200)
    assert samples.mean().item() == pytest.approx(MEAN + STD * noise.mean().item(), abs=0.01)
    assert samples.std().item() == pytest.approx(STD * noise.std().item(), abs=0.01)


@pytest.mark.parametrize("steps", [4, 6, 8, 12, 20])
def test_second_order_is_more_accurate_at_few_steps(steps, noise):
    assert error(dpm_solver_pp_2m, noise, steps) < 0.9 * error(ddim, noise, steps)


def test_halving_the_step_divides_ddims_error_by_two(noise):
    assert error(ddim, noise, 100) == pytest.approx(error(ddim, noise, 50) / 2, rel=0.1)


@pytest.mark.parametrize("name", TrigonometricVP.samplers)
@pytest.mark.parametrize("grid", schedule.GRIDS)
@pytest.mark.parametrize("steps", [1, 2, 3, 7])
def test_any_step_count_is_finite_and_evaluates_the_network_once_a_step(name, grid, steps, noise):
    seen, told = [], []

    def counting(x, sigma):
        seen.append(sigma)
        return gaussian_velocity(x, sigma)

    def progress(iterable):
        for item in iterable:
            told.append(item)
            yield item

    samples = SAMPLERS[name](counting, noise.float(), steps, progress, grid)
    assert samples.isfinite().all() and samples.dtype == torch.float32
    assert len(seen) == len(told) == steps
    assert seen[0].shape == (4,) and seen[0][0] == 1 and seen[-1][0] > 0


def test_no_step_is_refused(noise):
    with pytest.raises(ValueError, match="at least one step"):
        ddim(gaussian_velocity, noise, 0)


@pytest.mark.parametrize("grid", schedule.GRIDS)
@pytest.mark.parametrize("steps", [1, 2, 8, 50])
def test_every_grid_falls_from_one_to_zero(grid, steps):
    levels = schedule.noise_levels(steps, grid)
    assert len(levels) == steps + 1 and levels[0] == 1 and levels[-1] == 0
    assert (levels.diff() < 0).all() and levels.dtype == torch.float64


def test_inner_levels_lie_evenly_in_what_their_grid_is_named_after():
    gaps = schedule.half_log_snr(schedule.noise_levels(9, "log_snr")[1:-1]).diff()
    torch.testing.assert_close(gaps, gaps[:1].expand_as(gaps))
    levels = schedule.noise_levels(9, "rho")[1:-1]
    gaps = ((schedule.beta(levels) / schedule.alpha(levels)) ** (1 / schedule.RHO)).diff()
    torch.testing.assert_close(gaps, gaps[:1].expand_as(gaps))


@pytest.mark.parametrize("grid", ["log_snr", "rho"])
@pytest.mark.parametrize("steps", [4, 6, 8])
def test_the_other_grids_are_more_accurate_at_few_steps(grid, steps, noise):
    assert error(dpm_solver_pp_2m, noise, steps, grid) < 0.9 * error(dpm_solver_pp_2m, noise, steps)


@pytest.mark.parametrize("grid", ["log_snr", "rho"])
def test_the_other_grids_stop_at_the_step_over_the_cleanest_levels(grid, noise):
    """Their last step begins at a fixed level, so its error stays: `angle` is the grid for many steps."""
    last = error(dpm_solver_pp_2m, noise, 96, grid)
    assert error(dpm_solver_pp_2m, noise, 96) < 0.01 < last < 0.02


def test_an_unknown_grid_is_refused(noise):
    with pytest.raises(BadConfig, match="expected one of angle, log_snr, rho"):
        dpm_solver_pp_2m(gaussian_velocity, noise, 4, grid="even")
