"""Progressive distillation: a student takes in one step what its teacher takes in several.

Salimans & Ho (2022, arXiv:2202.00512), algorithm 2, with any number of teacher steps to one of the student, and guidance
folded in (Meng et al. 2023, arXiv:2210.03142): the teacher is guided, the student is not and needs one evaluation a step.
In angles (see `schedule`) a DDIM step from level sigma to level sigma' is a rotation by delta = (sigma - sigma') pi / 2:
    x' = cos(delta) x - sin(delta) v.
"""

from dataclasses import dataclass
from itertools import pairwise
from math import pi

import torch
from jaxtyping import Float
from torch import Tensor

from d2m.diffusion import processes as schedule
from d2m.diffusion.samplers import Denoiser


@dataclass(frozen=True)
class Jump:
    """One step of the student's grid, by row: from `sigma` down to `until`.

    Args:
        sigma: noise levels at which the step begins.
        until: noise levels at which it ends, all smaller.
        through: levels of the teacher's steps between them, both ends included; None: at equal angles.
    """

    sigma: Float[Tensor, " batch"]
    until: Float[Tensor, " batch"]
    through: Float[Tensor, "batch level"] | None = None

    def levels(self, steps: int) -> Float[Tensor, "level batch"]:
        """Noise levels of the teacher's `steps` steps, from `sigma` to `until`."""
        if self.through is not None:
            return self.through.T
        shares = torch.arange(steps + 1, device=self.sigma.device)[:, None] / steps
        return self.sigma + (self.until - self.sigma) * shares

    @property
    def angle(self) -> Float[Tensor, "batch 1 1"]:
        """Angle of the rotation, in radians."""
        return ((self.sigma - self.until) * (pi / 2))[:, None, None]


def random_jumps(
    batch: int,
    steps: int,
    device: torch.device,
    generator: torch.Generator | None = None,
    grid: str = "angle",
    teacher_steps: int = 1,
) -> Jump:
    """Steps drawn from the grid of a sampler of `steps` steps; each step comes up equally often.

    Args:
        grid: of both, see `d2m.diffusion.processes.GRIDS`. On another one than `angle` the teacher's levels within a jump are
            those of its own finer grid, stretched so that the ends meet the student's.
        teacher_steps: to each of the student's.
    """
    turns = torch.arange(batch) + int(torch.randint(steps, (), generator=generator))
    which = (turns % steps)[torch.randperm(batch, generator=generator)]
    sigmas = schedule.noise_levels(steps, grid)
    through = None
    if grid != "angle":
        fine = schedule.noise_levels(steps * teacher_steps, grid)
        rows = fine[torch.arange(steps)[:, None] * teacher_steps + torch.arange(teacher_steps + 1)]
        share = (rows - rows[:, :1]) / (rows[:, -1:] - rows[:, :1])
        through = (sigmas[:-1, None] + share * (sigmas[1:] - sigmas[:-1])[:, None])[which].float().to(device)
    return Jump(sigmas[which].float().to(device), sigmas[which + 1].float().to(device), through)


def rotated(
    x: Float[Tensor, "batch channel frame"],
    v: Float[Tensor, "batch channel frame"],
    angle: Float[Tensor, "batch 1 1"],
) -> Float[Tensor, "batch channel frame"]:
    """One DDIM step (Song et al. 2020, equation 12 with eta 0) by the given angles."""
    return torch.cos(angle) * x - torch.sin(angle) * v


@torch.no_grad()
def teacher_rollout(
    denoiser: Denoiser, x: Float[Tensor, "batch channel frame"], jump: Jump, steps: int
) -> Float[Tensor, "batch channel frame"]:
    """Where the teacher's `steps` DDIM steps lead from `x`."""
    for sigma, until in pairwise(jump.levels(steps)):
        x = rotated(x, denoiser(x, sigma).to(x), Jump(sigma, until).angle)
    return x


def rollout_velocity(
    x: Float[Tensor, "batch channel frame"], landing: Float[Tensor, "batch channel frame"], jump: Jump
) -> Float[Tensor, "batch channel frame"]:
    """The velocity with which one DDIM step over `jump` leads from `x` to `landing`: the student's target."""
    return (torch.cos(jump.angle) * x - landing) / torch.sin(jump.angle)
