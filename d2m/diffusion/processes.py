"""The noise schedule: the one place where a noise level becomes a signal and a noise amplitude.

A noise level sigma in [0, 1] is an angle of sigma * pi / 2: the noisy latent is
    x_sigma = alpha(sigma) * x0 + beta(sigma) * eps,   alpha = cos(sigma * pi / 2),   beta = sin(sigma * pi / 2),
the variance-preserving path of Salimans & Ho (2022, arXiv:2202.00512, appendix D) as Moûsai uses it
(arXiv:2301.11757). The network predicts the velocity v = alpha * eps - beta * x0 (their equation 10's target).
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import pi
from typing import ClassVar, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from d2m.core.errors import BadConfig

LOG_SNR_RANGE = (-3.0, 2.0)
"""Half-log-SNRs between which the grids `log_snr` and `rho` lie; beyond them one step leads to each end.

The one to the clean end stays as long as it is, however many steps there are, so these are grids for few steps.
"""

RHO = 7.0
"""Of the grid `rho`; the value of Karras et al. (2022)."""


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
    sigma: Float[Tensor, " batch"],
) -> Float[Tensor, "batch channel frame"]:
    """v = alpha * eps - beta * x0."""
    return alpha(sigma)[:, None, None] * noise - beta(sigma)[:, None, None] * x0


def add_noise(
    x0: Float[Tensor, "batch channel frame"],
    noise: Float[Tensor, "batch channel frame"],
    sigma: Float[Tensor, " batch"],
) -> Float[Tensor, "batch channel frame"]:
    """x_sigma = alpha * x0 + beta * eps."""
    return alpha(sigma)[:, None, None] * x0 + beta(sigma)[:, None, None] * noise


def pred_x0(
    x: Float[Tensor, "*shape"], v: Float[Tensor, "*shape"], sigma: Float[Tensor, ""]
) -> Float[Tensor, "*shape"]:
    """The clean latent that (x_sigma, v) imply: x0 = alpha * x - beta * v."""
    return alpha(sigma) * x - beta(sigma) * v


def pred_eps(
    x: Float[Tensor, "*shape"], v: Float[Tensor, "*shape"], sigma: Float[Tensor, ""]
) -> Float[Tensor, "*shape"]:
    """The noise that (x_sigma, v) imply: eps = beta * x + alpha * v."""
    return beta(sigma) * x + alpha(sigma) * v


def uniform_sigmas(steps: int) -> Float[Tensor, " step"]:
    """`steps` + 1 noise levels from 1 to 0, equal angles apart (the published sampler's linspace), in float64."""
    return torch.linspace(1, 0, _checked_steps(steps) + 1, dtype=torch.float64)


def log_snr_sigmas(steps: int) -> Float[Tensor, " step"]:
    """`steps` + 1 noise levels from 1 to 0, the inner ones equally far apart in half-log-SNR.

    DPM-Solver's own grid (Lu et al. 2022, arXiv:2206.00927). Lambda is infinite at both ends: the first level
    is 1 in place of the range's noisiest, and 0 follows its cleanest.
    """
    noisiest, cleanest = LOG_SNR_RANGE
    return _with_ends(torch.linspace(noisiest, cleanest, _checked_steps(steps), dtype=torch.float64))


def rho_sigmas(steps: int) -> Float[Tensor, " step"]:
    """`steps` + 1 noise levels from 1 to 0, the inner ones equally far apart in (beta / alpha)^(1 / rho).

    Equation 5 of Karras et al. (2022, arXiv:2206.00364), whose sigma is beta / alpha here; ends as in `log_snr_sigmas`.
    """
    largest, smallest = (float(torch.tensor(-snr).exp()) ** (1 / RHO) for snr in LOG_SNR_RANGE)
    roots = torch.linspace(largest, smallest, _checked_steps(steps), dtype=torch.float64)
    return _with_ends(-RHO * torch.log(roots))


GRIDS: dict[str, Callable[[int], Tensor]] = {"angle": uniform_sigmas, "log_snr": log_snr_sigmas, "rho": rho_sigmas}
"""Where the noise levels of a sampler's steps may lie."""


def noise_levels(steps: int, grid: str = "angle") -> Float[Tensor, " step"]:
    """The `steps` + 1 noise levels of a grid, falling from 1 to 0, in float64.

    Raises:
        BadConfig: for an unknown grid.
        ValueError: for no step.
    """
    if grid not in GRIDS:
        raise BadConfig(f"grid={grid}: unknown; expected one of {', '.join(GRIDS)}.")
    return GRIDS[grid](steps)


def _with_ends(lambdas: Float[Tensor, " level"]) -> Float[Tensor, " step"]:
    levels = torch.atan(torch.exp(-lambdas)) * (2 / pi)
    return torch.cat([levels.new_ones(1), levels[1:], levels.new_zeros(1)])


def _checked_steps(steps: int) -> int:
    if steps < 1:
        raise ValueError(f"a sampler needs at least one step, not {steps}.")
    return steps


# Ways from a clean latent to noise, and what a network that learnt one of them says about a step along it.
#
# Every objective has one: `VelocityObjective` the quarter circle of `schedule`, `RectifiedFlowObjective` a straight line.
# Both are x_sigma = alpha(sigma) x0 + beta(sigma) eps with a network that answers dx / d(alpha, beta), so that a first-order
# step from one noise level to another is linear in both, x' = a x - b answer. Whoever needs no more than that (inversion,
# noising, starting in the middle) works with either.


@runtime_checkable
class ProbabilityPath(Protocol):
    """A path between latent and noise."""

    samplers: ClassVar[tuple[str, ...]]
    """Names in `d2m.diffusion.samplers.SAMPLERS` of those that can follow it; the first is of first order, by `step`."""

    def add_noise(
        self,
        x0: Float[Tensor, "batch channel frame"],
        noise: Float[Tensor, "batch channel frame"],
        sigma: Float[Tensor, " batch"],
    ) -> Float[Tensor, "batch channel frame"]:
        """The latent at noise level `sigma`."""
        ...

    def step(self, sigma: Float[Tensor, "*shape"], until: Float[Tensor, "*shape"]) -> tuple[Tensor, Tensor]:
        """(a, b) of the first-order step x' = a x - b answer from level `sigma` to `until`, up or down."""
        ...


@dataclass(frozen=True)
class TrigonometricVP:
    """The variance-preserving path of `d2m.diffusion.processes`, whose network answers v.

    A step is DDIM's (Song et al. 2020, arXiv:2010.02502, equation 12 with eta 0): a rotation.
    """

    samplers: ClassVar[tuple[str, ...]] = ("ddim", "dpm_solver_pp_2m")

    def add_noise(
        self,
        x0: Float[Tensor, "batch channel frame"],
        noise: Float[Tensor, "batch channel frame"],
        sigma: Float[Tensor, " batch"],
    ) -> Float[Tensor, "batch channel frame"]:
        """See `ProbabilityPath`."""
        return add_noise(x0, noise, sigma)

    def step(self, sigma: Float[Tensor, "*shape"], until: Float[Tensor, "*shape"]) -> tuple[Tensor, Tensor]:
        """See `ProbabilityPath`."""
        angle = (sigma - until) * (pi / 2)
        return torch.cos(angle), torch.sin(angle)


@dataclass(frozen=True)
class LinearPath:
    """x_t = (1 - t) x0 + t eps, whose network answers eps - x0 (Liu et al. 2022, arXiv:2209.03003). A step is Euler's."""

    samplers: ClassVar[tuple[str, ...]] = ("euler", "heun")

    def add_noise(
        self,
        x0: Float[Tensor, "batch channel frame"],
        noise: Float[Tensor, "batch channel frame"],
        sigma: Float[Tensor, " batch"],
    ) -> Float[Tensor, "batch channel frame"]:
        """See `ProbabilityPath`."""
        share = sigma[:, None, None]
        return (1 - share) * x0 + share * noise

    def step(self, sigma: Float[Tensor, "*shape"], until: Float[Tensor, "*shape"]) -> tuple[Tensor, Tensor]:
        """See `ProbabilityPath`."""
        return torch.ones_like(sigma), sigma - until
