"""SMPL's kinematic tree: rotations, a fixed neutral skeleton, and forward kinematics.

The skeleton is this project's own: round figures of a plausible adult, 1.7 m tall with the top of the skull
(`joint_positions` needs no licensed body file). Joint order and tree are SMPL's (Loper et al., SIGGRAPH Asia 2015).
World and skeleton are Y up in metres, x to the dancer's left, z to the front, as in AIST++. The pelvis stands at
`translation` itself: SMPL adds a constant that depends on the body's shape, which no velocity feels.
"""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from scipy.spatial.transform import Rotation
from smplx.lbs import batch_rigid_transform
from torch import Tensor

from d2m.core.errors import BadConfig

JOINT_NAMES = (
    "pelvis", "left_hip", "right_hip", "spine1", "left_knee", "right_knee", "spine2", "left_ankle", "right_ankle",
    "spine3", "left_foot", "right_foot", "neck", "left_collar", "right_collar", "head", "left_shoulder",
    "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_hand", "right_hand",
)  # fmt: skip

PARENTS = (-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 20, 21)
"""Parent of each joint in SMPL's order; -1 for the pelvis."""

_LEFT_AND_MIDDLE_M = {
    "pelvis": (0, 0, 0), "left_hip": (0.08, -0.09, 0), "left_knee": (0.02, -0.39, 0.01),
    "left_ankle": (-0.01, -0.41, -0.04), "left_foot": (0.02, -0.06, 0.13),
    "spine1": (0, 0.11, -0.02), "spine2": (0, 0.13, 0.01), "spine3": (0, 0.06, 0.02),
    "neck": (0, 0.21, -0.04), "head": (0, 0.09, 0.05), "left_collar": (0.08, 0.12, -0.03),
    "left_shoulder": (0.10, 0.04, -0.01), "left_elbow": (0.26, 0, -0.02), "left_wrist": (0.25, 0, 0),
    "left_hand": (0.09, 0, -0.01),
}  # fmt: skip


def _rest_offset_m(joint: str) -> Float[np.ndarray, " 3"]:
    mirror = (-1.0, 1.0, 1.0) if joint.startswith("right_") else (1.0, 1.0, 1.0)
    return np.multiply(mirror, _LEFT_AND_MIDDLE_M[joint.replace("right_", "left_")])


REST_OFFSETS_M: Float[np.ndarray, "24 3"] = np.array([_rest_offset_m(joint) for joint in JOINT_NAMES])
"""Offset of each joint from its parent in the T-pose, metres."""


def _joints_by_depth() -> tuple[tuple[int, ...], ...]:
    depth = [0] * len(PARENTS)
    for joint, parent in enumerate(PARENTS):
        depth[joint] = depth[parent] + 1 if parent >= 0 else 0
    return tuple(tuple(j for j in range(len(PARENTS)) if depth[j] == level) for level in range(1, max(depth) + 1))


_LEVELS = _joints_by_depth()
"""Joints at distance 1, 2, … from the pelvis: all of a level can be placed at once."""


def axis_angle_to_matrix(axis_angle: Float[np.ndarray, "*batch 3"]) -> Float[np.ndarray, "*batch 3 3"]:
    """Rotation matrices of axis-angle vectors in radians (Rodrigues' formula), in float64."""
    return Rotation.from_rotvec(axis_angle.reshape(-1, 3)).as_matrix().reshape(*axis_angle.shape, 3)


def matrix_to_axis_angle(matrix: Float[np.ndarray, "*batch 3 3"]) -> Float[np.ndarray, "*batch 3"]:
    """Axis-angle vectors in radians, of length at most pi, of rotation matrices."""
    return Rotation.from_matrix(matrix.reshape(-1, 3, 3)).as_rotvec().reshape(matrix.shape[:-1])


def forward_kinematics(
    rotations: Float[np.ndarray, "time 24 3 3"],
    translation: Float[np.ndarray, "time 3"],
    rest_offsets_m: Float[np.ndarray, "24 3"] = REST_OFFSETS_M,
) -> tuple[Float[np.ndarray, "time 24 3"], Float[np.ndarray, "time 24 3 3"]]:
    """Global joint positions in metres, Y up, and global rotations: along the tree, in the precision of `rotations`.

    Args:
        rotations: of each joint relative to its parent; the pelvis's is global.
        translation: position of the pelvis.
        rest_offsets_m: another skeleton, e.g. that of `rest_offsets_from_body_model`; the pelvis's row is not used.
    """
    world, placed = rotations.copy(), np.empty_like(rotations[..., 0])
    placed[:, 0] = translation
    for level in _LEVELS:
        joints, parents = list(level), [PARENTS[joint] for joint in level]
        offsets = rest_offsets_m[joints].astype(rotations.dtype)
        placed[:, joints] = placed[:, parents] + (world[:, parents] @ offsets[..., None])[..., 0]
        world[:, joints] = world[:, parents] @ rotations[:, joints]
    return placed, world


def joint_positions(
    rotations: Float[np.ndarray, "time 24 3 3"],
    translation: Float[np.ndarray, "time 3"],
    rest_offsets_m: Float[np.ndarray, "24 3"] = REST_OFFSETS_M,
) -> Float[np.ndarray, "time 24 3"]:
    """Global joint positions in metres, see `forward_kinematics`."""
    return forward_kinematics(rotations, translation, rest_offsets_m)[0]


def joint_positions_torch(
    rotations: Float[Tensor, "batch time 24 3 3"],
    translation: Float[Tensor, "batch time 3"],
    rest_offsets_m: Float[np.ndarray, "24 3"] = REST_OFFSETS_M,
) -> Float[Tensor, "batch time 24 3"]:
    """`joint_positions` for batches of tensors, by smplx's `batch_rigid_transform`; differentiable."""
    frames = rotations.flatten(0, 1)
    rest = torch.as_tensor(_rest_joints_m(rest_offsets_m), dtype=frames.dtype, device=frames.device)
    parents = torch.tensor(PARENTS)  # on the CPU, as smplx asks for one after the other, and a GPU would be waited for
    rest = rest.expand(len(frames), -1, -1)
    placed, _ = batch_rigid_transform(frames, rest, parents, frames.dtype)  # pyright: ignore[reportArgumentType]
    return placed.unflatten(0, rotations.shape[:2]) + translation[:, :, None]


def _rest_joints_m(rest_offsets_m: Float[np.ndarray, "24 3"]) -> Float[np.ndarray, "24 3"]:
    """T-pose positions with the pelvis at the origin."""
    upright = np.broadcast_to(np.eye(3), (1, len(PARENTS), 3, 3))
    return joint_positions(np.array(upright), np.zeros((1, 3)), rest_offsets_m)[0]


def rest_offsets_from_body_model(folder: str | Path, gender: str = "neutral") -> Float[np.ndarray, "24 3"]:
    """T-pose joint offsets in metres of the real SMPL body, for those who have its licensed file.

    Args:
        folder: what `smplx.create` expects: a folder that holds `smpl/SMPL_NEUTRAL.pkl` (or the file itself).
        gender: `neutral`, `male` or `female`.

    Raises:
        BadConfig: when there is no such body model to read.
    """
    import smplx

    try:
        body = smplx.create(str(folder), model_type="smpl", gender=gender)
    except Exception as error:  # smplx asserts, unpickles and imports chumpy: whatever fails, the file is not usable
        raise BadConfig(
            f"{folder}: not a readable SMPL body model ({type(error).__name__}: {error}); "
            "give the folder that holds smpl/SMPL_NEUTRAL.pkl, or leave it out for the built-in skeleton."
        ) from error
    with torch.no_grad():
        joints = body().joints[0, : len(PARENTS)].double().numpy()
    return np.concatenate([np.zeros((1, 3)), joints[1:] - joints[list(PARENTS[1:])]])
