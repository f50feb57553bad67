"""The noise schedule: the one place where a noise level becomes a signal and a noise amplitude.

A noise level sigma in [0, 1] is an angle of sigma * pi / 2: the noisy latent is
    x_sigma = alpha(sigma) * x0 + beta(sigma) * eps,   alpha = cos(sigma * pi / 2),   beta = sin(sigma * pi / 2),
the variance-preserving path of Salimans & Ho (2022, arXiv:2202.00512, appendix D) as Moûsai uses it
(arXiv:2301.11757). The network predicts the velocity v = alpha * eps - beta * x0 (their equation 10's target).
"""

from math import pi

import torch
from jaxtyping import Float
from torch import Tensor


def alpha(sigma: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Amplitude of the signal at noise level `sigma`."""
    return torch.cos(sigma * (pi / 2))


def beta(sigma: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Amplitude of the noise at noise level `sigma`."""
    return torch.sin(sigma * (pi / 2))


def half_log_snr(sigma: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Lambda = log(alpha / beta), DPM-Solver's time variable (Lu et al. 2022); +inf at sigma 0, -inf at sigma 1."""
    # From the tangent: cos(pi / 2) is not exactly 0 in floating point, so the end is set by hand.
    lambdas = -torch.log(torch.tan(sigma * (pi / 2)).abs())
    return torch.where(sigma >= 1, torch.full_like(lambdas, -torch.inf), lambdas)


def velocity(
    x0: Float[Tensor, "batch channel frame"],
    noise: Float[Tensor, "batch channel frame"],
    sigma: Float[Tensor, "batch"],
) -> Float[Tensor, "batch channel frame"]:
    """v = alpha * eps - beta * x0."""
    return alpha(sigma)[:, None, None] * noise - beta(sigma)[:, None, None] * x0


def noisy(
    x0: Float[Tensor, "batch channel frame"],
    noise: Float[Tensor, "batch channel frame"],
    sigma: Float[Tensor, "batch"],
) -> Float[Tensor, "batch channel frame"]:
    """x_sigma = alpha * x0 + beta * eps."""
    return alpha(sigma)[:, None, None] * x0 + beta(sigma)[:, None, None] * noise


def denoised(
    x: Float[Tensor, "*shape"], v: Float[Tensor, "*shape"], sigma: Float[Tensor, ""]
) -> Float[Tensor, "*shape"]:
    """The clean latent that (x_sigma, v) imply: x0 = alpha * x - beta * v."""
    return alpha(sigma) * x - beta(sigma) * v


def implied_noise(
    x: Float[Tensor, "*shape"], v: Float[Tensor, "*shape"], sigma: Float[Tensor, ""]
) -> Float[Tensor, "*shape"]:
    """The noise that (x_sigma, v) imply: eps = beta * x + alpha * v."""
    return beta(sigma) * x + alpha(sigma) * v


def uniform_sigmas(steps: int) -> Float[Tensor, "step"]:
    """`steps` + 1 noise levels from 1 to 0, equal angles apart (the published sampler's linspace), in float64."""
    if steps < 1:
        raise ValueError(f"a sampler needs at least one step, not {steps}.")
    return torch.linspace(1, 0, steps + 1, dtype=torch.float64)
