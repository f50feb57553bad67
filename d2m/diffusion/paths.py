"""Ways from a clean latent to noise, and what a network that learnt one of them says about a step along it.

Every objective has one: `VelocityObjective` the quarter circle of `schedule`, `RectifiedFlowObjective` a straight line.
Both are x_sigma = alpha(sigma) x0 + beta(sigma) eps with a network that answers dx / d(alpha, beta), so that a first-order
step from one noise level to another is linear in both, x' = a x - b answer. Whoever needs no more than that (inversion,
noising, starting in the middle) works with either.
"""

from dataclasses import dataclass
from math import pi
from typing import ClassVar, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from d2m.diffusion import schedule


@runtime_checkable
class NoisePath(Protocol):
    """A path between latent and noise."""

    samplers: ClassVar[tuple[str, ...]]
    """Names in `d2m.diffusion.samplers.SAMPLERS` of those that can follow it; the first is of first order, by `step`."""

    def noisy(
        self,
        x0: Float[Tensor, "batch channel frame"],
        noise: Float[Tensor, "batch channel frame"],
        sigma: Float[Tensor, "batch"],
    ) -> Float[Tensor, "batch channel frame"]:
        """The latent at noise level `sigma`."""
        ...

    def step(self, sigma: Float[Tensor, "*shape"], until: Float[Tensor, "*shape"]) -> tuple[Tensor, Tensor]:
        """(a, b) of the first-order step x' = a x - b answer from level `sigma` to `until`, up or down."""
        ...


@dataclass(frozen=True)
class QuarterCircle:
    """The variance-preserving path of `d2m.diffusion.schedule`, whose network answers v.

    A step is DDIM's (Song et al. 2020, arXiv:2010.02502, equation 12 with eta 0): a rotation.
    """

    samplers: ClassVar[tuple[str, ...]] = ("ddim", "dpm_solver_pp_2m")

    def noisy(
        self,
        x0: Float[Tensor, "batch channel frame"],
        noise: Float[Tensor, "batch channel frame"],
        sigma: Float[Tensor, "batch"],
    ) -> Float[Tensor, "batch channel frame"]:
        """See `NoisePath`."""
        return schedule.noisy(x0, noise, sigma)

    def step(self, sigma: Float[Tensor, "*shape"], until: Float[Tensor, "*shape"]) -> tuple[Tensor, Tensor]:
        """See `NoisePath`."""
        angle = (sigma - until) * (pi / 2)
        return torch.cos(angle), torch.sin(angle)


@dataclass(frozen=True)
class StraightLine:
    """x_t = (1 - t) x0 + t eps, whose network answers eps - x0 (Liu et al. 2022, arXiv:2209.03003). A step is Euler's."""

    samplers: ClassVar[tuple[str, ...]] = ("euler", "heun")

    def noisy(
        self,
        x0: Float[Tensor, "batch channel frame"],
        noise: Float[Tensor, "batch channel frame"],
        sigma: Float[Tensor, "batch"],
    ) -> Float[Tensor, "batch channel frame"]:
        """See `NoisePath`."""
        share = sigma[:, None, None]
        return (1 - share) * x0 + share * noise

    def step(self, sigma: Float[Tensor, "*shape"], until: Float[Tensor, "*shape"]) -> tuple[Tensor, Tensor]:
        """See `NoisePath`."""
        return torch.ones_like(sigma), sigma - until
