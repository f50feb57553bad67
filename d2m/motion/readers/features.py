"""Bare arrays: the 219 features of `d2m.motion.features`, 60 fps, Y up."""

from pathlib import Path
from typing import Any

import numpy as np

from d2m.core.errors import BadInput
from d2m.core.timeline import MOTION_FPS
from d2m.motion.features import FEATURE_WIDTH, features_to_smpl
from d2m.motion.readers.recording import Hints, Recording, array_of, frame_rate

_ROTATION_TOLERANCE = 0.02
"""How far R R^T may be from the identity: float16 files pass, numbers that are no rotations do not."""


def is_features(path: Path, content: Any) -> bool:
    """An array of frames, 219 wide."""
    return isinstance(content, np.ndarray) and content.ndim == 2 and content.shape[1] == FEATURE_WIDTH


def read_features(path: Path, content: Any, hints: Hints) -> Recording:
    """Features as they are.

    Raises:
        BadInput: when they hold no rotation matrices.
    """
    features = array_of(path, {"array": content}, "array")
    if len(features) == 0:
        raise BadInput(f"{path}: found 0 frames, expected at least 1 s of motion; export the file again.")
    motion = features_to_smpl(features)
    gram = motion.rotations @ motion.rotations.swapaxes(-1, -2)
    if np.abs(gram - np.eye(3)).max() > _ROTATION_TOLERANCE or np.linalg.det(motion.rotations).min() < 0:
        raise BadInput(
            f"{path}: the 216 numbers after the translation are not 24 rotation matrices, expected [trans/scaling (3), "
            "rotation matrices row by row (216)], not normalised; write the features in this layout."
        )
    fps, decisions = frame_rate(path, {}, hints, float(MOTION_FPS))
    return Recording(motion, fps, "features219", decisions)
