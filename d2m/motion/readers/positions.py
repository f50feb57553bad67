"""Positions of SMPL's joints, as generators of motion and data sets of joints write them, and HumanML3D's 263 numbers.

Positions are told from rotations (both may be 66 or 72 wide) by what bodies are: bones keep their lengths.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from d2m.core.errors import BadInput
from d2m.motion.joints import BODY_HEIGHT_M, NEEDED, body_height, is_a_body, motion_of_joints, unit_said
from d2m.motion.keypoints import COCO
from d2m.motion.readers.gaps import gaps_said, without_gaps
from d2m.motion.readers.physics import Z_UP_TO_Y_UP, decided_axis, up_axis_of_joints
from d2m.motion.readers.recording import Hints, Recording, array_of, frame_rate
from d2m.motion.smpl import JOINT_NAMES

_KEYS = (
    "joints", "joints3d", "joints_3d", "positions", "keypoints3d_optim", "keypoints3d", "keypoints_3d", "xyz", "motion", "array",
)  # fmt: skip
"""Fields that hold joints, the first that does; `array` is a bare one."""

_ROTATIONS = {"poses", "smpl_poses", "pose", "body_pose", "global_orient", "root_orient", "full_pose", "pose_body"}
"""Fields beside which joints are only what follows from them."""

_COUNTS = (22, 24, 52, 55)
"""SMPL's body, SMPL, SMPL-H, SMPL-X: the first 22 are the same. COCO's 17 in space are read too."""

_NEEDED = [JOINT_NAMES.index(name) for name in NEEDED]

HUMANML3D_WIDTH = 263
_HUMANML3D_FPS = 20.0


def _named(content: Any) -> Mapping[Any, Any]:
    return content if isinstance(content, Mapping) else {"array": content}


def _joints_in(values: Any) -> Float[np.ndarray, "time 24 3"] | None:
    """Joints in SMPL's order; NaN where there are none; None where this is something else."""
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "iuf" or values.ndim < 2 or len(values) == 0:
        return None
    if values.ndim == 4 and len(values) == 1:
        values = values[0]
    if values.ndim == 2 and values.shape[1] % 3 == 0:
        values = values.reshape(len(values), -1, 3)
        if values.shape[1] not in (22, 24) or not is_a_body(_padded(values)):
            return None
    if values.ndim == 3 and values.shape[1:] == (len(COCO), 3):
        joints = np.full((len(values), 24, 3), np.nan)
        for name in NEEDED:
            joints[:, JOINT_NAMES.index(name)] = values[:, COCO.index(name)]
        return joints
    if values.ndim != 3 or values.shape[1] not in _COUNTS or values.shape[2] != 3:
        return None
    return _padded(values)


def _padded(values: Float[np.ndarray, "time joint 3"]) -> Float[np.ndarray, "time 24 3"]:
    """The joints of SMPL's body, of its hands too where these are SMPL's."""
    joints = np.full((len(values), 24, 3), np.nan)
    count = 24 if values.shape[1] == 24 else 22
    joints[:, :count] = values[:, :count]
    return joints


def is_joints(path: Path, content: Any) -> bool:
    """Whether there are positions of joints; a field (N, 24, 3) of rotations is none, as no body's bones are like that."""
    named = _named(content)
    if named.keys() & _ROTATIONS:
        return False
    return any(_joints_in(named.get(key)) is not None for key in _KEYS)


def read_joints(path: Path, content: Any, hints: Hints) -> Recording:
    """The motion whose joints they are.

    Raises:
        BadInput: when they are no body's, lost in most frames, or the rate has to be told.
    """
    named = _named(content)
    joints = next(joints for key in _KEYS if (joints := _joints_in(named.get(key))) is not None)
    rate, said = frame_rate(path, named, hints)
    return _recording(path, joints, rate, said, hints, "joints")


def is_humanml3d(path: Path, content: Any) -> bool:
    """An array of frames, 263 wide."""
    return isinstance(content, np.ndarray) and content.ndim == 2 and content.shape[1] == HUMANML3D_WIDTH


def read_humanml3d(path: Path, content: Any, hints: Hints) -> Recording:
    """The motion of HumanML3D's features (Guo et al., CVPR 2022), 20 fps, Y up.

    Raises:
        BadInput: when they are normalised, broken, or lost in most frames.
    """
    rate, said = frame_rate(path, {}, hints, _HUMANML3D_FPS)
    joints = _padded(humanml3d_joints(array_of(path, {"array": content}, "array")))
    if len(joints) and not is_a_body(joints):
        raise BadInput(
            f"{path}: found features whose bones do not keep their lengths, expected HumanML3D's 263 as they are, not "
            "normalised; multiply by the data set's Std.npy and add its Mean.npy."
        )
    return _recording(path, joints, rate, said, hints, "humanml3d")


def humanml3d_joints(features: Float[np.ndarray, "time 263"]) -> Float[np.ndarray, "time 22 3"]:
    """Positions of the 22 joints from the first 67 numbers: half the turn of the root about Y and its step over the floor to the
    next frame, its height, and where the other joints stand seen from a root on the floor that faces the front."""
    half_turns = np.concatenate([[0.0], np.cumsum(features[:-1, 0])])
    heading = Rotation.from_rotvec(np.stack([0 * half_turns, -2 * half_turns, 0 * half_turns], axis=-1))
    steps = np.zeros((len(features), 3))
    steps[1:, [0, 2]] = features[:-1, 1:3]
    root = np.cumsum(heading.apply(steps), axis=0)
    joints = np.concatenate([np.zeros((len(features), 1, 3)), features[:, 4:67].reshape(-1, 21, 3)], axis=1)
    joints[:, 0, 1] = features[:, 3]
    return np.einsum("tab,tjb->tja", heading.as_matrix(), joints) + root[:, None]


def _recording(
    path: Path, joints: Float[np.ndarray, "time 24 3"], rate: float, said: tuple[str, ...], hints: Hints, name: str
) -> Recording:
    joints = np.where(np.isfinite(joints).all(axis=-1, keepdims=True), joints, np.nan)
    joints[(joints[:, _NEEDED] == 0).all(axis=(1, 2))] = np.nan  # a frame that was left empty
    joints, missing = without_gaps(joints, _NEEDED, path)
    if not is_a_body(joints):
        raise BadInput(
            f"{path}: found points whose distances change as no body's do, expected positions of SMPL's joints in its order; "
            "export the joints again."
        )
    axis, decided = decided_axis(path, hints, up_axis_of_joints(joints * (BODY_HEIGHT_M / body_height(joints))))
    if axis == "z":
        joints = joints @ Z_UP_TO_Y_UP.T
    decisions = (*said, unit_said(joints), decided, *gaps_said(missing))
    return Recording(motion_of_joints(joints, rate), rate, name, decisions, missing, up=axis)
