"""From a clean latent back to the noise that a sampler would have made it of: the same steps, taken upwards.

A first-order step down solves x' = a x - b f(x) (`d2m.diffusion.processes`), so the step up is the x for which that holds: a
fixed point of x <- (x' + b f(x)) / a. One iteration is DDIM inversion (Song et al. 2020, arXiv:2010.02502, section 4.3), which
takes f at the wrong place; with more, sampling from the result gives the latent back (Pan et al. 2023,
arXiv:2309.04907; Garibi et al. 2024, arXiv:2403.14602; MelodyFlow, arXiv:2407.03648, does so for a flow).
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from d2m.diffusion.processes import ProbabilityPath
from d2m.diffusion.samplers import Denoiser, Progress


def levels_up_to(strength: float | int, steps: int) -> Float[Tensor, " level"]:
    """Noise levels from `strength` down to 0, as far apart as `steps` steps from 1 are or closer, in float64.

    Raises:
        ValueError: for a strength outside (0, 1], or fewer than 2 steps: a single one over the whole path keeps nothing of
            where it began.
    """
    if not 0 < strength <= 1:
        raise ValueError(f"a strength must lie above 0 and not above 1, not {strength}.")
    if steps < 2:
        raise ValueError(f"inversion needs at least two steps, not {steps}.")
    return torch.linspace(strength, 0, max(1, math.ceil(steps * strength - 1e-9)) + 1, dtype=torch.float64)


@torch.no_grad()
def sampled_from(
    path: ProbabilityPath,
    denoiser: Denoiser,
    x: Float[Tensor, "batch channel frame"],
    levels: Float[Tensor, " level"],
    progress: Progress | None = None,
) -> Float[Tensor, "batch channel frame"]:
    """The clean latent from `x` at `levels[0]`, by first-order steps down the levels: an evaluation for each."""
    indices = range(len(levels) - 1)
    for i in progress(indices) if progress else indices:
        a, b = path.step(levels[i], levels[i + 1])
        x = a.to(x) * x - b.to(x) * denoiser(x, levels[i].to(x).expand(len(x)))
    return x


@torch.no_grad()
def inverted(
    path: ProbabilityPath,
    denoiser: Denoiser,
    x0: Float[Tensor, "batch channel frame"],
    levels: Float[Tensor, " level"],
    iterations: int = 3,
    relaxation: float | int = 1.0,
    progress: Progress | None = None,
) -> Float[Tensor, "batch channel frame"]:
    """The x at `levels[0]` from which `sampled_from` leads to `x0`.

    Args:
        levels: see `levels_up_to`.
        iterations: evaluations for each step; the error falls by a factor with each of them where steps are small.
    """
    x = x0
    indices = range(len(levels) - 1)[::-1]
    for i in progress(indices) if progress else indices:
        a, b = (factor.to(x) for factor in path.step(levels[i], levels[i + 1]))
        lower, sigma = x, levels[i].to(x).expand(len(x))
        for k in range(iterations):
            new = (lower + b * denoiser(x, sigma)) / a
            x = new if k == 0 else x + relaxation * (new - x)
    return x
