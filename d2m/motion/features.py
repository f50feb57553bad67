"""The 219 numbers of a motion frame: translation (3), then 24 rotation matrices row by row (216).

The layout is AIST++'s (Li et al., ICCV 2021) and that of the systems trained on it; 60 frames per second.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import SupportsFloat

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from d2m.core.timeline import MOTION_FPS
from d2m.motion.smpl import axis_angle_to_matrix, joint_positions, joint_positions_torch, matrix_to_axis_angle

FEATURE_WIDTH = 219
"""Numbers per frame: 3 + 24 * 9."""


@dataclass(frozen=True)
class SmplMotion:
    """A motion in SMPL's terms.

    Args:
        rotations: of each joint relative to its parent; the pelvis's is global.
        translation: of the pelvis, metres, Y up.
    """

    rotations: Float[np.ndarray, "time 24 3 3"]
    translation: Float[np.ndarray, "time 3"]

    @property
    def poses(self) -> Float[np.ndarray, "time 72"]:
        """The rotations as axis-angle vectors in radians, AIST++'s `smpl_poses`."""
        return matrix_to_axis_angle(self.rotations).reshape(len(self.rotations), 72)


def rotations_to_features(
    rotations: Float[np.ndarray, "time 24 3 3"], translation: Float[np.ndarray, "time 3"]
) -> Float[np.ndarray, "time 219"]:
    """Features (float32) of rotation matrices and a translation in metres."""
    return np.concatenate([translation, rotations.reshape(len(rotations), 216)], axis=1).astype(np.float32)


def smpl_to_features(
    poses: Float[np.ndarray, "time 72"],
    trans: Float[np.ndarray, "time 3"],
    scaling: float | np.floating = 1.0,
) -> Float[np.ndarray, "time 219"]:
    """Features (float32) of AIST++'s SMPL parameters.

    Args:
        poses: axis-angle vectors of the 24 joints, radians.
        trans: translation in the units of the recording.
        scaling: units per metre, AIST++'s `smpl_scaling`.
    """
    return rotations_to_features(axis_angle_to_matrix(poses.reshape(-1, 24, 3)), trans / scaling)


def features_to_smpl(features: Float[np.ndarray, "time 219"]) -> SmplMotion:
    """The rotations and the translation that `smpl_to_features` wrote."""
    return SmplMotion(rotations=features[:, 3:].reshape(-1, 24, 3, 3), translation=features[:, :3])


def joint_positions_of(features: Float[np.ndarray, "time 219"]) -> Float[np.ndarray, "time 24 3"]:
    """Global joint positions in metres, Y up, on the built-in skeleton."""
    motion = features_to_smpl(features)
    return joint_positions(motion.rotations, motion.translation)


@torch.no_grad()
def joint_velocities_torch(
    features: Float[Tensor, "batch time 219"], fps: SupportsFloat = MOTION_FPS
) -> Float[Tensor, "batch time 72"]:
    """Global velocities of the 24 joints in m/s: central differences, one-sided at the ends; no gradient.

    Computed in float32 whatever the autocast: in bfloat16 the difference of two positions 1/60 s apart is noise.

    Args:
        features: at least two frames.
        fps: frames per second of `features`.
    """
    with torch.autocast(features.device.type, enabled=False):
        rotations = features[..., 3:].float().unflatten(-1, (24, 3, 3))
        positions = joint_positions_torch(rotations, features[..., :3].float())
        (velocities,) = torch.gradient(positions, spacing=1 / float(fps), dim=1)
    return velocities.flatten(2)


def resample_motion(motion: SmplMotion, fps: SupportsFloat) -> SmplMotion:
    """The motion at 60 fps on the same time line: N frames at `fps` become round(N * 60 / fps).

    Frame i stands at i / fps seconds. Rotations take the shortest arc between frames (slerp, Shoemake, SIGGRAPH 1985),
    translations a straight line; past the last frame the pose is held (less than one frame of the source).
    """
    if float(fps) == MOTION_FPS:
        return motion
    frames = len(motion.translation)
    return motion_at(motion, np.arange(round(frames * MOTION_FPS / float(fps))) / MOTION_FPS * float(fps))


def motion_at(motion: SmplMotion, at: Float[np.ndarray, " target"]) -> SmplMotion:
    """The motion at places between its frames, such as 2.5; past the last frame its pose is held."""
    frames = len(motion.translation)
    before = np.clip(at.astype(int), 0, frames - 1)
    after = np.minimum(before + 1, frames - 1)
    fraction = (at - before)[:, None]
    start = motion.rotations[before].reshape(-1, 3, 3)
    arc = matrix_to_axis_angle(start.swapaxes(-1, -2) @ motion.rotations[after].reshape(-1, 3, 3))
    rotations = start @ axis_angle_to_matrix(arc * np.repeat(fraction, 24, axis=0))
    translation = (1 - fraction) * motion.translation[before] + fraction * motion.translation[after]
    return SmplMotion(rotations.reshape(-1, 24, 3, 3), translation)


def resample_points(
    points: Float[np.ndarray, "time point axis"], fps: SupportsFloat, frames: int
) -> Float[np.ndarray, "frame point axis"]:
    """Points at `fps` on the same time line as `frames` frames at 60 fps: along straight lines, the last one held."""
    at = np.clip(np.arange(frames) / MOTION_FPS * float(fps), 0, len(points) - 1)
    before = at.astype(int)
    after, fraction = np.minimum(before + 1, len(points) - 1), (at - before)[:, None, None]
    return (1 - fraction) * points[before] + fraction * points[after]


# The normaliser of motion features: fitted on the training dances, stored in the checkpoint.


STD_FLOOR = 0.05
"""Smallest divisor: a joint that hardly moves in training must not blow up when a user's dancer moves it."""


LARGEST_RMS, LARGEST_FEATURE = 1.0, 3.0
"""Of normalised windows, in deviations of the training dances, most of whose windows have less of both."""


def within_bounds(normalised: Float[Tensor, "batch time 219"]) -> Float[Tensor, "batch time 219"]:
    """Normalised windows made no larger than training dances are: recorded ones have two to three times their deviation, single features
    up to forty, and a network that never saw the like gives the beat up for them."""
    rms = normalised.square().mean(dim=(1, 2), keepdim=True).sqrt()
    return (normalised * (LARGEST_RMS / rms.clamp_min(LARGEST_RMS))).clamp(-LARGEST_FEATURE, LARGEST_FEATURE)


class Normalizer(nn.Module):
    """Features minus their mean, over their standard deviation; mean and deviation are buffers of the state dict.

    Before `fit` (or before a checkpoint is loaded) it changes nothing.
    """

    mean: Tensor
    std: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(FEATURE_WIDTH))
        self.register_buffer("std", torch.ones(FEATURE_WIDTH))

    def fit(self, dances: Sequence[Float[np.ndarray, "_ 219"]], std_floor: float = STD_FLOOR) -> "Normalizer":
        """Take mean and deviation over all frames of the training dances; returns itself.

        Raises:
            ValueError: when there is no frame to fit on.
        """
        frames = sum(len(dance) for dance in dances)
        if frames == 0:
            raise ValueError("a normaliser needs at least one frame of motion.")
        mean = sum(dance.sum(axis=0, dtype=np.float64) for dance in dances) / frames
        variance = sum(np.square(dance - mean).sum(axis=0) for dance in dances) / frames
        self.mean.copy_(torch.as_tensor(mean))
        self.std.copy_(torch.as_tensor(np.maximum(np.sqrt(variance), std_floor)))
        return self

    def forward(self, features: Float[Tensor, "*batch 219"]) -> Float[Tensor, "*batch 219"]:
        """Normalised features."""
        return (features - self.mean) / self.std
