"""A long dance in windows: where they lie, the motion of each, and one denoiser made of all."""

from collections.abc import Callable
from functools import cache

import torch
from jaxtyping import Float
from torch import Tensor

from d2m.clock import MOTION_FPS, Clock
from d2m.diffusion.samplers import Denoiser
from d2m.diffusion.windows import WindowPlan, blended, plan_windows
from d2m.model.condition import Condition


def aligned_plan(frames: int, clock: Clock, overlap_frames: int) -> WindowPlan:
    """Windows for `frames` latent frames, starting where a latent frame is closest to a motion frame."""

    def misfit(start: int) -> float:
        motion_frame = start * MOTION_FPS / clock.latent_rate
        return abs(motion_frame - round(motion_frame))

    return plan_windows(frames, clock.window_latent_frames, overlap_frames, misfit)


def windows_of_motion(
    features: Float[Tensor, "time 219"], plan: WindowPlan, clock: Clock
) -> Float[Tensor, "window motion_frame 219"]:
    """The motion at 60 fps of each window of latent frames; after its last frame the dance stands still."""
    starts = [clock.latent_frames_to_motion_frames(start) for start in plan.starts]
    index = torch.tensor(starts)[:, None] + torch.arange(clock.window_motion_frames)
    return features[index.clamp(max=len(features) - 1).to(features.device)]


def in_windows(
    guide: Callable[[Condition, Condition], Denoiser],
    condition: Condition,
    null: Condition,
    plan: WindowPlan,
    batch: int,
    overlap_frames: int,
) -> Denoiser:
    """A denoiser of the whole latent, see `d2m.diffusion.windows.blended`.

    Args:
        guide: makes a denoiser of some windows from their conditions and their null conditions.
        condition, null: a row for each window.
    """

    @cache  # of the same few slices at every step: both halves of the guidance are joined once
    def of_windows(first: int, last: int) -> Denoiser:
        return guide(condition.rows(slice(first, last)), null.rows(slice(first, last)))

    def denoised(x: Tensor, sigma: Tensor, which: slice) -> Tensor:
        return of_windows(which.start, which.stop)(x, sigma)

    return blended(denoised, plan, batch, overlap_frames)
