"""AIST++'s pickles: `smpl_poses` (N, 72) or (N, 24, 3), `smpl_trans` (N, 3), `smpl_scaling` (1,); 60 fps, Y up.

Never turned: a break dancer may spend a whole clip on the back.
"""

from pathlib import Path
from typing import Any

from d2m.core.errors import BadInput
from d2m.core.timeline import MOTION_FPS
from d2m.motion.features import SmplMotion
from d2m.motion.readers.recording import (
    Hints,
    Recording,
    expect_width,
    frame_rate,
    frames_of,
    keys_of,
    number_of,
    translation_of,
)
from d2m.motion.smpl import axis_angle_to_matrix


def is_aistpp(path: Path, content: Any) -> bool:
    """Whether a pickle has AIST++'s fields."""
    return bool(keys_of(content) & {"smpl_poses", "smpl_trans"})


def read_aistpp(path: Path, content: Any, hints: Hints) -> Recording:
    """Poses and translation in metres.

    Raises:
        BadInput: when a field is missing or of another shape.
    """
    poses = frames_of(path, content, "smpl_poses")
    expect_width(path, "smpl_poses", poses, poses.shape[1] == 72, "72 (24 joints)")
    scaling = number_of(path, content, "smpl_scaling") if "smpl_scaling" in content else 1.0
    if not scaling > 0:
        raise BadInput(f"{path}: found smpl_scaling {scaling:g}, expected a positive number; export the file again.")
    trans = translation_of(path, content, "smpl_trans", len(poses)) / scaling
    fps, decisions = frame_rate(path, content, hints, float(MOTION_FPS))
    return Recording(SmplMotion(axis_angle_to_matrix(poses.reshape(-1, 24, 3)), trans), fps, "aistpp", decisions)
