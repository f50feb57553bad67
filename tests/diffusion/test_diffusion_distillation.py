"""Distillation's target: on a Gaussian, whose denoiser is known, the student's one step lands where the teacher's many do."""

from math import pi

import torch

from d2m.diffusion import processes as schedule
from d2m.diffusion.distillation import Jump, random_jumps, rollout_velocity, rotated, teacher_rollout

DEVIATION = 0.5


def gaussian_velocity(x, sigma):
    """v of the best denoiser of N(0, DEVIATION²)."""
    a, b = schedule.alpha(sigma)[:, None, None], schedule.beta(sigma)[:, None, None]
    variance = a**2 * DEVIATION**2 + b**2
    return a * b * (1 - DEVIATION**2) / variance * x


def exact_flow(x, sigma, until):
    """The probability-flow ODE of a Gaussian keeps x / deviation(sigma)."""

    def deviation(s):
        return (schedule.alpha(s) ** 2 * DEVIATION**2 + schedule.beta(s) ** 2).sqrt()[:, None, None]

    return x * deviation(until) / deviation(sigma)


def test_target_velocity_lands_in_one_step():
    x, landing = torch.randn(4, 2, 8), torch.randn(4, 2, 8)
    jump = Jump(torch.tensor([1.0, 0.75, 0.5, 0.25]), torch.tensor([0.75, 0.5, 0.25, 0.0]))
    torch.testing.assert_close(rotated(x, rollout_velocity(x, landing, jump), jump.angle), landing)


def test_many_teacher_steps_follow_the_flow():
    x = torch.randn(2, 3, 16)
    jump = Jump(torch.tensor([1.0, 0.5]), torch.tensor([0.5, 0.0]))
    expected = exact_flow(x, jump.sigma, jump.until)
    coarse, fine = (teacher_rollout(gaussian_velocity, x, jump, steps) for steps in (2, 200))
    assert (fine - expected).abs().max() < 0.01 < (coarse - expected).abs().max()


def test_one_teacher_step_is_the_ddim_step():
    x = torch.randn(2, 3, 16)
    jump = Jump(torch.tensor([1.0, 0.6]), torch.tensor([0.6, 0.2]))
    v = gaussian_velocity(x, jump.sigma)
    x0 = schedule.alpha(jump.sigma)[:, None, None] * x - schedule.beta(jump.sigma)[:, None, None] * v
    eps = schedule.beta(jump.sigma)[:, None, None] * x + schedule.alpha(jump.sigma)[:, None, None] * v
    expected = schedule.alpha(jump.until)[:, None, None] * x0 + schedule.beta(jump.until)[:, None, None] * eps
    torch.testing.assert_close(teacher_rollout(gaussian_velocity, x, jump, 1), expected)


def test_jumps_cover_the_grid_evenly():
    jumps = random_jumps(16, 4, torch.device("cpu"), torch.Generator().manual_seed(0))
    assert sorted(jumps.sigma.tolist()) == sorted([1.0, 0.75, 0.5, 0.25] * 4)
    torch.testing.assert_close(jumps.angle.flatten(), torch.full((16,), pi / 8))
