"""Progressive distillation: a student takes in one step what its teacher takes in several.

Salimans & Ho (2022, arXiv:2202.00512), algorithm 2, with any number of teacher steps to one of the student, and guidance
folded in (Meng et al. 2023, arXiv:2210.03142): the teacher is guided, the student is not and needs one evaluation a step.
In angles (see `schedule`) a DDIM step from level sigma to level sigma' is a rotation by delta = (sigma - sigma') pi / 2:
    x' = cos(delta) x - sin(delta) v.
"""

from dataclasses import dataclass
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
    """

    sigma: Float[Tensor, " batch"]
    until: Float[Tensor, " batch"]

    @property
    def angle(self) -> Float[Tensor, "batch 1 1"]:
        """Angle of the rotation, in radians."""
        return ((self.sigma - self.until) * (pi / 2))[:, None, None]


def random_jumps(batch: int, steps: int, device: torch.device, generator: torch.Generator | None = None) -> Jump:
    """Steps drawn from the grid of a sampler of `steps` equal angles; each step comes up equally often."""
    turns = torch.arange(batch) + int(torch.randint(steps, (), generator=generator))
    which = (turns % steps)[torch.randperm(batch, generator=generator)]
    sigmas = schedule.uniform_sigmas(steps).float()
    return Jump(sigmas[which].to(device), sigmas[which + 1].to(device))


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
    """Where the teacher's `steps` DDIM steps of equal angle lead from `x`."""
    for i in range(steps):
        sigma = jump.sigma + (jump.until - jump.sigma) * (i / steps)
        x = rotated(x, denoiser(x, sigma).to(x), jump.angle / steps)
    return x


def rollout_velocity(
    x: Float[Tensor, "batch channel frame"], landing: Float[Tensor, "batch channel frame"], jump: Jump
) -> Float[Tensor, "batch channel frame"]:
    """The velocity with which one DDIM step over `jump` leads from `x` to `landing`: the student's target."""
    return (torch.cos(jump.angle) * x - landing) / torch.sin(jump.angle)
