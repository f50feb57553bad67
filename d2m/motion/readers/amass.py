"""AMASS and its like: the poses of SMPL, SMPL-H or SMPL-X, whole or in parts, with a translation and a frame rate.

| field                                       | shape                                                                    |
|---------------------------------------------|--------------------------------------------------------------------------|
| `poses`, `fullpose`, `pose`                 | (N, 72), (N, 156), (N, 165) and others from 66; (N, 24, 3), (N, 24, 3, 3); sixes (N, 132), (N, 144) |
| or `root_orient`/`global_orient` and `pose_body`/`body_pose` | (N, 3) and (N, 63) or (N, 69), or in the other forms         |
| `trans`, `transl`                           | (N, 3) metres                                                            |
| `mocap_framerate` (and other spellings)     | one number                                                               |
| Motion-X: `.npy` (N, 322)                   | root 3, body 63, hands 90, jaw 3, face 150, translation 3, shape 10; 30 fps |

AMASS (Mahmood et al., ICCV 2019) is Z up, and some tools write the same layout Y up: see `physics.upright`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from d2m.core.errors import BadInput
from d2m.motion.features import SmplMotion
from d2m.motion.readers.physics import refuse_impossible, upright
from d2m.motion.readers.recording import (
    Hints,
    Recording,
    array_of,
    frame_rate,
    frames_of,
    keys_of,
    translation_of,
)
from d2m.motion.readers.rotations import body_of, joint_matrices

_WHOLE = ("poses", "fullpose", "smpl_poses", "pose")
_ROOT = ("root_orient", "global_orient")
_BODY = ("pose_body", "body_pose")
_TRANSLATION = ("trans", "transl", "smpl_trans", "root_trans", "translation")

_MOTION_X_WIDTH, _MOTION_X_FPS = 322, 30.0
_MOTION_X_TRANSLATION = slice(309, 312)


def is_amass(path: Path, content: Any) -> bool:
    """Whether a file has the fields of AMASS, whole or in parts."""
    keys = keys_of(content)
    return bool(keys & {*_WHOLE, *_BODY}) or {"trans", "mocap_framerate"} <= keys


def read_amass(path: Path, content: Any, hints: Hints) -> Recording:
    """Poses of the body, and translation in metres.

    Raises:
        BadInput: when a field is missing or of another shape, or where the user has to say something.
    """
    if _first(content, _WHOLE) in content and np.shape(content[_first(content, _WHOLE)])[1:] == (_MOTION_X_WIDTH,):
        return _motion_x(path, array_of(path, content, _first(content, _WHOLE)), content, hints, "amass")
    rotations, forms = body_rotations(path, content)
    trans = translation_of(path, content, _first(content, _TRANSLATION), len(rotations))
    fps, rates = frame_rate(path, content, hints)
    motion, up, axes = upright(path, SmplMotion(rotations, trans), hints, content)
    refuse_impossible(path, motion, fps, hints)
    return Recording(motion, fps, "amass", (*rates, *axes, *forms), up=up)


def is_motion_x(path: Path, content: Any) -> bool:
    """An array of frames, 322 wide."""
    return isinstance(content, np.ndarray) and content.ndim == 2 and content.shape[1] == _MOTION_X_WIDTH


def read_motion_x(path: Path, content: Any, hints: Hints) -> Recording:
    """Motion-X (Lin et al., NeurIPS 2023): SMPL-X in one array, 30 fps.

    Raises:
        BadInput: when there are no frames, or where the user has to say something.
    """
    return _motion_x(path, frames_of(path, {"array": content}, "array"), {}, hints, "motionx")


def _motion_x(
    path: Path, values: Float[np.ndarray, "time 322"], content: Mapping[str, Any], hints: Hints, name: str
) -> Recording:
    matrices, _ = joint_matrices(path, "poses", values[:, :66])
    fps, rates = frame_rate(path, content, hints, _MOTION_X_FPS)
    rates = rates or (f"{fps:g} fps, as Motion-X has",)
    motion, up, axes = upright(
        path, SmplMotion(body_of(path, "poses", matrices), values[:, _MOTION_X_TRANSLATION]), hints
    )
    refuse_impossible(path, motion, fps, hints)
    return Recording(motion, fps, name, (*rates, *axes), up=up)


def body_rotations(path: Path, content: Mapping[str, Any]) -> tuple[Float[np.ndarray, "time 24 3 3"], tuple[str, ...]]:
    """The rotations of SMPL's 24 joints, from one field or from root and body, and what was decided about their form.

    Raises:
        BadInput: when they are not there, or of a shape that cannot be.
    """
    body = next((key for key in _BODY if key in content), None)
    whole = _first(content, _WHOLE)
    if whole in content or body is None:
        frames_of(path, content, whole)
        matrices, forms = joint_matrices(path, whole, array_of(path, content, whole))
        return body_of(path, whole, matrices), forms
    root = _first(content, _ROOT)
    parts = [_batch(array_of(path, content, key)) for key in (root, body)]
    for key, part in zip((root, body), parts, strict=True):
        frames_of(path, {key: part}, key)
    if len(parts[0]) != len(parts[1]):
        raise BadInput(
            f"{path}: found {len(parts[0])} frames in '{root}' and {len(parts[1])} in '{body}', expected as many in both; "
            "export both from the same recording."
        )
    if (
        parts[0].shape[1:] in ((6,), (1, 6)) and parts[1][0].size % 6 == 0
    ):  # rows or columns: the whole body shows which
        sixes, forms = joint_matrices(
            path, body, np.concatenate([part.reshape(len(part), -1) for part in parts], axis=1)
        )
        return body_of(path, body, sixes), forms
    found = [joint_matrices(path, key, part) for key, part in zip((root, body), parts, strict=True)]
    if found[0][0].shape[1] != 1:
        raise BadInput(f"{path}: found '{root}' of shape {parts[0].shape}, expected one rotation; export it again.")
    return body_of(path, body, np.concatenate([found[0][0], found[1][0]], axis=1)), found[1][1]


def _batch(values: np.ndarray) -> np.ndarray:
    """Without a leading axis of one, which torch's batches leave: (1, N, 63) → (N, 63)."""
    return values[0] if values.ndim == 3 and len(values) == 1 and values.shape[1] > 24 else values


def _first(content: Mapping[str, Any], keys: tuple[str, ...]) -> str:
    """The first key that is there, else the usual one."""
    return next((key for key in keys if key in content), keys[0])
