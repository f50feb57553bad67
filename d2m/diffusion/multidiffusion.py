"""One long latent from a denoiser that knows only short windows.

MultiDiffusion (Bar-Tal et al. 2023, arXiv:2302.08113): at every sampling step each window is denoised by itself and the
answers are blended where windows overlap, so that all windows agree on one latent and there is no seam to hear.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from d2m.diffusion.samplers import Denoiser

WindowDenoiser = Callable[[Tensor, Tensor, slice], Tensor]
"""(x of some windows, sigma, which windows they are) -> v of those windows."""


@dataclass(frozen=True)
class WindowPlan:
    """Which windows of `window_frames` latent frames cover `total_frames` (at least one window long)."""

    total_frames: int
    window_frames: int
    starts: tuple[int, ...]


def plan_windows(
    total_frames: int, window_frames: int, overlap_frames: int, misfit: Callable[[int], float] = lambda start: 0.0
) -> WindowPlan:
    """Windows that overlap by at least `overlap_frames`, evenly spaced, the last one ending at the end.

    Args:
        total_frames: frames to cover; less than a window is widened to one window (the caller cuts).
        window_frames: frames of a window.
        overlap_frames: least overlap of neighbours, smaller than a window.
        misfit: how badly a start falls on the condition's own frame grid; among the starts up to four frames before
            an inner window's even place, the one of least misfit is taken.
    """
    if not 0 <= overlap_frames < window_frames:
        raise ValueError(f"an overlap of {overlap_frames} frames does not fit a window of {window_frames}.")
    total = max(total_frames, window_frames)
    slack = min(4, window_frames - overlap_frames - 1)
    hop = window_frames - overlap_frames - slack
    gaps = -(-(total - window_frames) // hop)
    starts = [0]
    for i in range(1, gaps + 1):
        even = round(i * (total - window_frames) / gaps)
        inner = range(max(even - slack, starts[-1] + 1), even + 1) or range(even, even + 1)
        starts.append(even if i == gaps else min(inner, key=misfit))
    return WindowPlan(total, window_frames, tuple(starts))


def joined_plans(plans: Sequence[WindowPlan]) -> WindowPlan:
    """Several pieces, one after the other, as one: their windows share batches, and none reaches over into another piece."""
    starts: list[int] = []
    total = 0
    for plan in plans:
        starts += [total + start for start in plan.starts]
        total += plan.total_frames
    return WindowPlan(total, plans[0].window_frames, tuple(starts))


def taper(window_frames: int, ramp_frames: int) -> Float[Tensor, " frame"]:
    """Weights of a window: 1 in the middle, falling towards both ends over `ramp_frames`, nowhere 0."""
    distance = torch.minimum(torch.arange(1, window_frames + 1), torch.arange(window_frames, 0, -1))
    return (distance / max(ramp_frames, 1)).clamp(max=1.0)


def multidiffusion(windows: WindowDenoiser, plan: WindowPlan, batch: int, ramp_frames: int) -> Denoiser:
    """A denoiser of one whole latent [1 channel total_frames] made from a denoiser of windows.

    Args:
        windows: denoises some of the plan's windows, at most `batch` at a time.
        plan: where the windows lie.
        batch: windows per call.
        ramp_frames: length of the taper at a window's ends.
    """

    def denoiser(x: Tensor, sigma: Tensor) -> Tensor:
        weight = taper(plan.window_frames, ramp_frames).to(x)
        total, weights = torch.zeros_like(x), torch.zeros_like(x[:1, :1])
        for chunk in _chunks(plan.starts, batch):
            starts = plan.starts[chunk]
            rows = torch.cat([x[..., start : start + plan.window_frames] for start in starts])
            v = windows(rows, sigma[:1].expand(len(rows)), chunk)
            for row, start in zip(v, starts, strict=True):
                total[0, :, start : start + plan.window_frames] += weight * row
                weights[..., start : start + plan.window_frames] += weight
        return total / weights

    return denoiser


def _chunks(starts: Sequence[int], batch: int) -> list[slice]:
    return [slice(i, min(i + batch, len(starts))) for i in range(0, len(starts), batch)]
