"""Kinematic beats: the moments at which a dancer comes to rest.

AIST++ (Li et al., ICCV 2021) takes the local minima, over 10 frames at 60 fps on either side, of the joints' summed
speed. Differences here are central and not backward, so that a beat carries no delay of half a frame, and so that
motion resampled from 30 fps, whose speed is constant between two source frames, has no ties.
"""

from math import pi

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from numpy.lib.stride_tricks import sliding_window_view
from torch import Tensor

from d2m.core.timeline import MOTION_FPS
from d2m.motion.features import joint_positions_of, joint_velocities_torch

MINIMUM_ORDER_FRAMES = 10
"""A beat is slower than this many frames on either side of it (AIST++, at 60 fps)."""


def joint_speed(features: Float[np.ndarray, "time 219"]) -> Float[np.ndarray, " time"]:
    """Speed of the 24 joints summed, m/s, at each frame of a 60 fps motion; zeros where there is one frame only."""
    if len(features) < 2:
        return np.zeros(len(features), dtype=features.dtype)
    velocities = np.gradient(joint_positions_of(features), 1 / MOTION_FPS, axis=0)
    return np.linalg.norm(velocities, axis=-1).sum(axis=-1)


def kinematic_beats_s(features: Float[np.ndarray, "time 219"]) -> Float[np.ndarray, " beat"]:
    """Times in seconds of the kinematic beats of a 60 fps motion, rising; may be empty."""
    speed = joint_speed(features)
    if len(speed) == 0:
        return np.zeros(0)
    order = MINIMUM_ORDER_FRAMES
    around = sliding_window_view(np.pad(speed, order, mode="edge"), 2 * order + 1)
    lowest = (speed[:, None] < np.delete(around, order, axis=1)).all(axis=1)
    return np.flatnonzero(lowest) / MOTION_FPS


# Directogram: how fast a body moves in each direction, and the rhythm that its onsets make.
#
# Davis & Agrawala (Visual Rhythm and Beat, SIGGRAPH 2018) made it of optical flow; the rhythm encoder of Li et al. (SIGGRAPH
# Asia 2024, arXiv:2401.17800) makes it of joint velocities in 10 directions, takes the rise of each from frame to frame,
# divides by the largest, and picks peaks. Here an angle's bin comes from a division (a modulo would scatter neighbours), every
# window and difference is centred (a one-sided one shifts the peaks), and a body at rest has no rhythm instead of 0 / 0.


DIRECTIONS = 10

STILL_FLUX_M_S = 0.25
"""Joint speeds that rise by less than this between two frames, all joints together, are a body at rest: the trembling of a
recording must not become a rhythm by being divided by itself."""

PEAK_REACH_S = 0.1
"""A peak is the largest value within this time before and after it."""

MEAN_REACH_S = 0.25
"""A peak stands out from the mean within this time before and after it ..."""

PEAK_ABOVE_MEAN = 0.1
"""... by at least this share of the largest value of the clip."""


def directogram(
    velocities: Float[Tensor, "batch time joint 3"], directions: int = DIRECTIONS
) -> Float[Tensor, "batch time {directions}"]:
    """Speeds (m/s) of all joints, summed for each direction of the picture plane (x to the side, y up, seen from the front).

    Bin k holds the angles from k to k + 1 times 2π / directions, counted from x towards y.
    """
    x, y = velocities[..., 0], velocities[..., 1]
    angle = torch.atan2(y, x).remainder(2 * pi)
    bins = (angle / (2 * pi / directions)).long().clamp(0, directions - 1)  # remainder may round to 2π itself
    empty = velocities.new_zeros(*x.shape[:2], directions)
    return empty.scatter_add(-1, bins, torch.hypot(x, y))


def positive_flux(told: Float[Tensor, "batch time direction"]) -> Float[Tensor, "batch time"]:
    """Rise of the speed from frame to frame (m/s), summed over the directions in which it rises: central differences."""
    if told.shape[1] < 2:
        return told.new_zeros(told.shape[:2])
    (rise,) = torch.gradient(told, dim=1)
    return rise.clamp(min=0).sum(dim=-1)


def peaks(curve: Float[Tensor, "batch time"], fps: float | int = MOTION_FPS) -> Float[Tensor, "batch time"]:
    """1 where a curve in [0, 1] has a peak, 0 elsewhere; of a plateau the first frame."""
    reach, around = round(PEAK_REACH_S * fps), round(MEAN_REACH_S * fps)
    highest = F.max_pool1d(curve[:, None], 2 * reach + 1, stride=1, padding=reach)[:, 0]
    mean = F.avg_pool1d(curve[:, None], 2 * around + 1, stride=1, padding=around, count_include_pad=False)[:, 0]
    rising = torch.cat([torch.ones_like(curve[:, :1]), curve[:, 1:] - curve[:, :-1]], dim=1) > 0
    return ((curve >= highest) & (curve >= mean + PEAK_ABOVE_MEAN) & rising).to(curve)


@torch.no_grad()
def rhythm_curve(features: Float[Tensor, "batch time 219"]) -> Float[Tensor, "batch time"]:
    """1 at each frame at which the body sets off, 0 elsewhere; all zeros for a body at rest. No gradient.

    Args:
        features: un-normalised, 60 fps, at least two frames.
    """
    velocities = joint_velocities_torch(features).unflatten(-1, (-1, 3))
    flux = positive_flux(directogram(velocities))
    largest = flux.amax(dim=1, keepdim=True)
    return peaks(torch.where(largest > STILL_FLUX_M_S, flux / largest.clamp(min=STILL_FLUX_M_S), 0.0))
