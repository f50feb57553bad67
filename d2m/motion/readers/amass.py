"""AMASS and its like: `poses` (N, 72, or 66 and more), `trans` (N, 3), `mocap_framerate`.

AMASS (Mahmood et al., ICCV 2019) is Z up. Some tools write the same layout Y up, so the data decide: a body that stands
along Y on the mean of its frames is left alone, any other is turned by -90 degrees about x.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from d2m.motion.features import SmplMotion
from d2m.motion.readers.recording import (
    Hints,
    Recording,
    expect_width,
    frame_rate,
    frames_of,
    translation_of,
)
from d2m.motion.smpl import axis_angle_to_matrix

_BODY_WIDTH = 66
"""Axis-angle numbers of the 22 body joints, which come first in SMPL, SMPL-H and SMPL-X alike."""

_WIDEST_POSE = 168
"""SMPL-X: 55 joints, and one more in some files."""

_Z_UP_TO_Y_UP = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]])


def is_amass(path: Path, content: Any) -> bool:
    """Whether a file has AMASS's fields."""
    return isinstance(content, Mapping)


def read_amass(path: Path, content: Any, hints: Hints) -> Recording:
    """Poses of the body, and translation in metres.

    Raises:
        BadInput: when a field is missing or of another shape.
    """
    poses = frames_of(path, content, "poses")
    width = poses.shape[1]
    is_known = _BODY_WIDTH <= width <= _WIDEST_POSE and width % 3 == 0
    expect_width(path, "poses", poses, is_known, "72 (SMPL), 156 (SMPL-H) or at least 66 (22 joints)")
    if width != 72:
        poses = np.pad(poses[:, :_BODY_WIDTH], ((0, 0), (0, 6)))
    fps, decisions = frame_rate(path, content, hints)
    trans = translation_of(path, content, "trans", len(poses))
    return Recording(y_up(SmplMotion(axis_angle_to_matrix(poses.reshape(-1, 24, 3)), trans)), fps, "amass", decisions)


def y_up(motion: SmplMotion) -> SmplMotion:
    """Turn a Z-up motion to Y up; leave one alone whose pelvis stands along Y on the mean of its frames.

    The pelvis's own up axis is the second column of its rotation matrix.
    """
    _, along_y, along_z = motion.rotations[:, 0, :, 1].mean(axis=0)
    if along_y > 0.5 and along_y > along_z:
        return motion
    rotations = motion.rotations.copy()
    rotations[:, 0] = _Z_UP_TO_Y_UP @ rotations[:, 0]
    return SmplMotion(rotations, motion.translation @ _Z_UP_TO_Y_UP.T)
