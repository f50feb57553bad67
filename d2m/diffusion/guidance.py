"""Classifier-free guidance (Ho & Salimans 2022, arXiv:2207.12598) as a wrapper around a conditional denoiser."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from d2m.diffusion.samplers import Denoiser


@runtime_checkable
class Joinable(Protocol):
    """What a condition must be able to do: be stacked with another along the batch."""

    def joined(self, other: Any) -> Any:
        """This condition's rows followed by the other's."""
        ...


C = TypeVar("C", bound=Joinable)


def guided(
    network: Callable[[Tensor, Tensor, C], Tensor],
    condition: C,
    unconditional: C,
    scale: float | int,
    rescale: float | int = 0.0,
    interval: Sequence[float | int] | None = None,
) -> Denoiser:
    """A denoiser whose answer is uncond + scale * (cond - uncond), both halves evaluated in one batch.

    A scale of 1 is the conditional network itself: one pass, half the cost. So is every noise level outside `interval`. A scale
    of 0 everywhere is the unconditional network itself.

    Args:
        network: (x, sigma, condition) -> v.
        condition: what the network is told; one row per row of x.
        unconditional: the same rows without what they are told.
        scale: guidance scale; 0 is unconditional.
        rescale: share of the answer whose deviation per row is put back to the conditional answer's, against
            over-saturation at high scales (Lin et al. 2023, arXiv:2305.08891, equations 15-16).
        interval: (low, high): only rows with low < sigma <= high are guided (Kynkäänniemi et al. 2024, arXiv:2404.07724,
            whose noise levels are beta / alpha); None: all are. Which rows those are is read from `sigma`, so that a GPU
            is waited for once a step.
    """
    if scale == 1:
        return lambda x, sigma: network(x, sigma, condition)
    if scale == 0 and not rescale and interval is None:
        return lambda x, sigma: network(x, sigma, unconditional)
    both = condition.joined(unconditional)

    def both_halves(x: Tensor, sigma: Tensor) -> Tensor:
        doubled = network(torch.cat([x, x]), torch.cat([sigma, sigma]), both)
        conditional, uncond = doubled.chunk(2)
        answer = uncond + scale * (conditional - uncond)
        return _rescaled(answer, conditional, rescale) if rescale else answer

    if interval is None:
        return both_halves
    low, high = interval

    def in_interval(x: Tensor, sigma: Tensor) -> Tensor:
        inside = (sigma > low) & (sigma <= high)
        if inside.all():
            return both_halves(x, sigma)
        conditional = network(x, sigma, condition)
        if not inside.any():
            return conditional
        # Rows at different noise levels, some of them outside: not in sampling, but in distillation.
        return torch.where(inside[:, None, None], both_halves(x, sigma), conditional)

    return in_interval


def _rescaled(
    answer: Float[Tensor, "batch channel frame"], reference: Float[Tensor, "batch channel frame"], share: float
) -> Float[Tensor, "batch channel frame"]:
    ratio = reference.std(dim=(1, 2), keepdim=True) / answer.std(dim=(1, 2), keepdim=True).clamp(min=1e-6)
    return answer * (share * ratio + 1 - share)
