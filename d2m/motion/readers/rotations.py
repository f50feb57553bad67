"""Joint rotations in any way in which files write them → rotation matrices of SMPL's 24 joints.

Axis-angle (3 numbers a joint, Rodrigues), matrices (3, 3), and the six numbers of Zhou et al. (CVPR 2019): two rows or two
columns of the matrix, one after the other (as PyTorch3D writes rows), or columns interleaved (as HMR does).
"""

from pathlib import Path

import numpy as np
from jaxtyping import Float

from d2m.core.errors import BadInput
from d2m.motion.smpl import JOINT_NAMES, axis_angle_to_matrix, matrix_to_axis_angle

BODY_JOINTS = 22
"""SMPL, SMPL-H and SMPL-X have the same first 22 joints; fingers and face follow in the latter two."""

_TOLERANCE = 0.05
"""How far R R^T may be from the identity: float16 files and predicted rotations pass, other numbers do not."""

_MEAN_BEND = 0.5
"""Radians by which knees and elbows together bend, on the mean, at least: real recordings have 1.3 and more. Less, either way, does
not show whether sixes are rows or columns, which are each other's inverse and bend the opposite way."""


def joint_matrices(path: Path, key: str, values: Float[np.ndarray, "..."]) -> tuple[np.ndarray, tuple[str, ...]]:
    """Matrices (N, joints, 3, 3) of what is found under `key`, and what was decided about its form.

    Raises:
        BadInput: when it cannot be rotations, or they may be one of two things.
    """
    frames, shape = len(values), values.shape[1:]
    width = int(np.prod(shape))
    if shape[-2:] == (3, 3) and (len(shape) == 3 or (len(shape) == 2 and width == 9)):
        return _checked(path, key, values.reshape(frames, -1, 3, 3)), ()
    if len(shape) == 1 and width in (207, 216):
        return _checked(path, key, values.reshape(frames, -1, 3, 3)), ()
    flat = values.reshape(frames, width)
    if (len(shape) == 2 and shape[-1] == 6) or (len(shape) == 1 and width % 6 == 0 and _are_sixes(flat)):
        return _of_sixes(path, key, flat.reshape(frames, -1, 6))
    if width % 3 == 0 and width > 0:
        return axis_angle_to_matrix(flat.reshape(frames, -1, 3)), ()
    raise BadInput(
        f"{path}: found '{key}' of shape {values.shape}, expected 3 numbers a joint (axis-angle), 6, or matrices (3, 3); "
        "export the motion in one of these."
    )


def _checked(path: Path, key: str, matrices: np.ndarray) -> np.ndarray:
    gram = matrices @ matrices.swapaxes(-1, -2)
    if np.abs(gram - np.eye(3)).max() > _TOLERANCE or np.linalg.det(matrices).min() < 0:
        raise BadInput(
            f"{path}: '{key}' of shape {matrices.shape} does not hold rotation matrices, expected R R^T = 1; "
            "export the rotations again, not normalised."
        )
    return matrices


def _pairs(sixes: Float[np.ndarray, "time joint 6"], is_interleaved: bool) -> tuple[np.ndarray, np.ndarray]:
    return (sixes[..., 0::2], sixes[..., 1::2]) if is_interleaved else (sixes[..., :3], sixes[..., 3:])


def _error(first: np.ndarray, second: np.ndarray) -> float:
    """How far two vectors of every joint are from being of length one and at right angles, at the 95th percentile."""
    lengths = np.stack([np.linalg.norm(first, axis=-1) - 1, np.linalg.norm(second, axis=-1) - 1])
    return float(np.percentile(np.maximum(np.abs(lengths).max(axis=0), np.abs((first * second).sum(axis=-1))), 95))


def _are_sixes(flat: Float[np.ndarray, "time width"]) -> bool:
    sixes = flat.reshape(len(flat), -1, 6)
    return min(_error(*_pairs(sixes, False)), _error(*_pairs(sixes, True))) < 0.3


def _of_sixes(path: Path, key: str, sixes: Float[np.ndarray, "time joint 6"]) -> tuple[np.ndarray, tuple[str, ...]]:
    is_interleaved = _error(*_pairs(sixes, True)) < _error(*_pairs(sixes, False))
    first, second = _pairs(sixes, is_interleaved)
    if _error(first, second) >= 0.3:
        raise BadInput(
            f"{path}: the sixes in '{key}' are no two directions at right angles, expected two rows or columns of rotation "
            "matrices; export the rotations again, not normalised."
        )
    first = first / np.maximum(np.linalg.norm(first, axis=-1, keepdims=True), 1e-9)
    second = second - (first * second).sum(axis=-1, keepdims=True) * first
    second = second / np.maximum(np.linalg.norm(second, axis=-1, keepdims=True), 1e-9)
    rows = np.stack([first, second, np.cross(first, second)], axis=-2)
    if is_interleaved:
        return rows.swapaxes(-1, -2), ("6 numbers a joint are columns, interleaved",)
    bend = _bend(rows) if sixes.shape[1] >= BODY_JOINTS else 0.0
    if abs(bend) < _MEAN_BEND:
        raise BadInput(
            f"{path}: knees and elbows in '{key}' hardly bend, so that the motion does not show whether its 6 numbers a joint are "
            "rows or columns of rotation matrices; export axis-angle or whole matrices (3, 3)."
        )
    return (
        (rows, ("6 numbers a joint are rows",))
        if bend > 0
        else (rows.swapaxes(-1, -2), ("6 numbers a joint are columns",))
    )


def _bend(matrices: Float[np.ndarray, "time joint 3 3"]) -> float:
    """Mean bend of knees and elbows in radians, positive where they bend as a body's do."""
    mean = {
        name: matrix_to_axis_angle(matrices[:, JOINT_NAMES.index(name)]).mean(axis=0)
        for name in ("left_knee", "right_knee", "left_elbow", "right_elbow")
    }
    knees = mean["left_knee"][0] + mean["right_knee"][0]
    return float(knees + mean["right_elbow"][1] - mean["left_elbow"][1])


def body_of(path: Path, key: str, matrices: Float[np.ndarray, "time joint 3 3"]) -> Float[np.ndarray, "time 24 3 3"]:
    """The 24 joints of SMPL: all of 24, else the 22 of the body, with hands that do not bend.

    Raises:
        BadInput: when there are fewer than 22.
    """
    frames, joints = matrices.shape[:2]
    if joints == 24:
        return matrices
    if joints < BODY_JOINTS:
        raise BadInput(
            f"{path}: found '{key}' with {joints} joints, expected 24 (SMPL), 52 (SMPL-H), 55 (SMPL-X) or at least the 22 of "
            "the body; export the motion with all of them."
        )
    hands = np.broadcast_to(np.eye(3), (frames, 2, 3, 3))
    return np.concatenate([matrices[:, :BODY_JOINTS], hands], axis=1)
