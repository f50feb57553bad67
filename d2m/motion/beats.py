"""Kinematic beats: the moments at which a dancer comes to rest.

AIST++ (Li et al., ICCV 2021) takes the local minima, over 10 frames at 60 fps on either side, of the joints' summed
speed. Differences here are central and not backward, so that a beat carries no delay of half a frame, and so that
motion resampled from 30 fps, whose speed is constant between two source frames, has no ties.
"""

import numpy as np
from jaxtyping import Float
from scipy.signal import argrelextrema

from d2m.clock import MOTION_FPS
from d2m.motion.features import joint_positions_of

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
    return argrelextrema(speed, np.less, order=MINIMUM_ORDER_FRAMES)[0] / MOTION_FPS
