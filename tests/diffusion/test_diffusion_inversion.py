"""Inversion: up with fixed points and down again, on networks that are formulas."""

import pytest
import torch

from d2m.diffusion import processes as schedule
from d2m.diffusion.inversion import inverted, levels_up_to, sampled_from
from d2m.diffusion.processes import LinearPath, TrigonometricVP

MEAN, STD = 2.0, 0.5


def gaussian(path):
    """The exact answer of a network on `path` when x0 ~ N(MEAN, STD^2)."""

    def answer(x, sigma):
        sigma = sigma[:, None, None]
        if isinstance(path, LinearPath):
            a, b, da, db = 1 - sigma, sigma, -1, 1
        else:
            a, b = schedule.alpha(sigma), schedule.beta(sigma)
            da, db = -b, a
        residual = (x - a * MEAN) / (a**2 * STD**2 + b**2)
        return da * (MEAN + a * STD**2 * residual) + db * b * residual

    return answer


PATHS = [TrigonometricVP(), LinearPath()]


@pytest.fixture
def latent():
    return MEAN + STD * torch.randn(2, 4, 32, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("strength", [0.3, 1.0])
def test_sampling_from_the_inversion_gives_the_latent_back(path, strength, latent):
    levels, network = levels_up_to(strength, 20), gaussian(path)
    errors = []
    for iterations in (1, 3, 30):
        x = inverted(path, network, latent, levels, iterations)
        errors.append((sampled_from(path, network, x, levels) - latent).abs().mean().item())
    assert errors[0] > 4 * errors[1] > 40 * errors[2]
    assert errors[2] < 1e-9


@pytest.mark.parametrize("path", PATHS)
def test_the_whole_way_up_ends_in_the_noise_of_the_exact_flow(path, latent):
    noise = inverted(path, gaussian(path), latent, levels_up_to(1, 400), 20)
    torch.testing.assert_close(noise, (latent - MEAN) / STD, atol=0.03, rtol=0)


@pytest.mark.parametrize("path", PATHS)
def test_under_another_condition_the_latent_becomes_that_conditions_and_keeps_what_it_does_not_decide(path, latent):
    """The other network knows another mean: what the edit keeps is the deviation from it."""
    levels, network = levels_up_to(1, 200), gaussian(path)

    def other(x, sigma):
        shift = 3 * ((1 - sigma) if isinstance(path, LinearPath) else schedule.alpha(sigma))[:, None, None]
        own = -3 if isinstance(path, LinearPath) else -3 * schedule.beta(sigma)[:, None, None]
        return network(x - shift, sigma) + own

    edited = sampled_from(path, other, inverted(path, network, latent, levels, 20), levels)
    torch.testing.assert_close(edited, latent + 3, atol=0.05, rtol=0)


def test_levels_fall_from_the_strength_to_zero_with_steps_no_longer_than_asked_for():
    levels = levels_up_to(0.7, 10)
    assert len(levels) == 8 and levels[0] == 0.7 and levels[-1] == 0 and levels.dtype == torch.float64
    assert (levels_up_to(0.72, 10).diff().abs() <= 0.1).all() and len(levels_up_to(1, 12)) == 13
    for strength, steps in ((0, 10), (1.1, 10), (0.5, 1)):
        with pytest.raises(ValueError, match="strength must lie|at least two steps"):
            levels_up_to(strength, steps)


@pytest.mark.parametrize("path", PATHS)
def test_evaluations_are_counted(path, latent):
    calls = []

    def counting(x, sigma):
        calls.append(sigma)
        return gaussian(path)(x, sigma)

    levels = levels_up_to(0.5, 8)
    x = inverted(path, counting, latent.float(), levels, 3)
    assert len(calls) == 12 and x.dtype == torch.float32 and calls[-1].shape == (2,) and calls[-1][0] == 0.5
    sampled_from(path, counting, x, levels)
    assert len(calls) == 16
