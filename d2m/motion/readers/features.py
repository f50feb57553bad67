"""The 219 features of `d2m.motion.features` (60 fps, Y up), as a bare array or as the field `features` beside what was seen of the
body (`landmarks`, `points`; see `d2m.motion.dance.Dance`), and bare arrays of rotations."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from d2m.core.errors import BadInput
from d2m.core.timeline import MOTION_FPS
from d2m.motion.features import FEATURE_WIDTH, SmplMotion, features_to_smpl
from d2m.motion.keypoints import POINTS
from d2m.motion.landmarks import LANDMARKS
from d2m.motion.readers.physics import upright
from d2m.motion.readers.recording import Hints, Recording, array_of, frame_rate
from d2m.motion.readers.rotations import body_of, joint_matrices

_ROTATION_TOLERANCE = 0.02
"""How far R R^T may be from the identity: float16 files pass, numbers that are no rotations do not."""

_SEEN = {"landmarks": (LANDMARKS, 3), "points": (len(POINTS), 2)}

_POSE_WIDTHS = (66, 72, 132, 144, 156, 165, 168, 216)


def is_features(path: Path, content: Any) -> bool:
    """An array of frames, 219 wide: a `.npy`, or the field `features` of an `.npz`."""
    features = (
        content.get("features") if isinstance(content, Mapping) else content if path.suffix.lower() == ".npy" else None
    )
    return isinstance(features, np.ndarray) and features.ndim == 2 and features.shape[1] == FEATURE_WIDTH


def read_features(path: Path, content: Any, hints: Hints) -> Recording:
    """Features as they are.

    Raises:
        BadInput: when they hold no rotation matrices, or what was seen does not go with them.
    """
    named, key = (content, "features") if isinstance(content, Mapping) else ({"array": content}, "array")
    features = array_of(path, named, key)
    if len(features) == 0:
        raise BadInput(f"{path}: found 0 frames, expected at least 1 s of motion; export the file again.")
    motion = features_to_smpl(features)
    gram = motion.rotations @ motion.rotations.swapaxes(-1, -2)
    if np.abs(gram - np.eye(3)).max() > _ROTATION_TOLERANCE or np.linalg.det(motion.rotations).min() < 0:
        raise BadInput(
            f"{path}: the 216 numbers after the translation are not 24 rotation matrices, expected [trans/scaling (3), "
            "rotation matrices row by row (216)], not normalised; write the features in this layout."
        )
    fps, decisions = frame_rate(path, named, hints, float(MOTION_FPS))
    seen = {key: array_of(path, named, key) for key in _SEEN if key in named}
    for key, values in seen.items():
        if values.shape != (len(features), *_SEEN[key]):
            raise BadInput(
                f"{path}: found '{key}' of shape {values.shape}, expected {(len(features), *_SEEN[key])} as there are "
                f"{len(features)} frames; write both of the same dance."
            )
    return Recording(motion, fps, "features219", decisions, landmarks=seen.get("landmarks"), points=seen.get("points"))


def is_poses(path: Path, content: Any) -> bool:
    """An array of frames of rotations, by its shape: axis-angle, sixes, or matrices."""
    if not isinstance(content, np.ndarray) or content.ndim < 2:
        return False
    shape = content.shape[1:]
    return shape in ((22, 6), (24, 6), (22, 3, 3), (24, 3, 3)) or (len(shape) == 1 and shape[0] in _POSE_WIDTHS)


def read_poses(path: Path, content: Any, hints: Hints) -> Recording:
    """A dancer who stays in place, as there is no translation.

    Raises:
        BadInput: when they are no rotations, or where the user has to say something.
    """
    values = array_of(path, {"array": content}, "array")
    if len(values) == 0:
        raise BadInput(f"{path}: found 0 frames, expected at least 1 s of motion; export the file again.")
    fps, rates = frame_rate(path, {}, hints)
    matrices, forms = joint_matrices(path, "array", values)
    still = SmplMotion(body_of(path, "array", matrices), np.zeros((len(values), 3)))
    motion, up, axes = upright(path, still, hints)
    return Recording(motion, fps, "poses", (*rates, *axes, "no translation: the dancer stays in place", *forms), up=up)
