"""Motion files → SMPL rotations and translation, metres, Y up.

| suffix | layout                                                           | frame rate      | up              |
|--------|------------------------------------------------------------------|-----------------|-----------------|
| .pkl   | AIST++: smpl_poses (N, 72), smpl_trans (N, 3), smpl_scaling (1,) | 60              | Y               |
| .npz   | AMASS: poses (N, 72, or 66 and more), trans (N, 3)               | mocap_framerate | Z, turned to Y  |
| .npy   | features (N, 219)                                                | 60              | Y               |

AMASS (Mahmood et al., ICCV 2019) is Z up. Some tools write the same layout Y up, so the data decide: a body that stands
along Y on the mean of its frames is left alone, any other is turned by -90 degrees about x. AIST++ is never turned:
a break dancer may spend a whole clip on the back. Nothing else is normalised: no centring, no facing, no floor.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from d2m.core.errors import BadInput
from d2m.core.safe_pickle import load_numpy, load_safe_pickle
from d2m.core.timeline import MOTION_FPS
from d2m.motion.features import FEATURE_WIDTH, SmplMotion, features_to_smpl
from d2m.motion.smpl import axis_angle_to_matrix

_BODY_WIDTH = 66
"""Axis-angle numbers of the 22 body joints, which come first in SMPL, SMPL-H and SMPL-X alike."""

_WIDEST_POSE = 165
"""SMPL-X: 55 joints."""

_FRAME_RATE_KEYS = ("mocap_framerate", "mocap_frame_rate")

_ROTATION_TOLERANCE = 0.02
"""How far R R^T may be from the identity: float16 files pass, numbers that are no rotations do not."""

_Z_UP_TO_Y_UP = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]])


@dataclass(frozen=True)
class Recording:
    """A motion as its file has it, at the file's own frame rate.

    Args:
        motion: rotations and translation, Y up.
        fps: frames per second.
    """

    motion: SmplMotion
    fps: float

    @property
    def seconds(self) -> float:
        """Duration in seconds."""
        return len(self.motion.translation) / self.fps


def read_recording(path: str | Path) -> Recording:
    """Read a motion file by its suffix: `.pkl`, `.npz` or `.npy` (see the table above).

    Raises:
        BadInput: when the file is missing, empty, of another suffix or layout, without frames, not finite, or hostile.
    """
    path = Path(path)
    if not path.is_file():
        raise BadInput(f"{path}: no such file; expected a dance ({SUFFIX_LIST}), check the path.")
    if path.suffix.lower() not in READERS:
        raise BadInput(
            f"{path}: found a '{path.suffix}' file, expected a dance ({SUFFIX_LIST}); convert it to one of these."
        )
    if path.stat().st_size == 0:
        raise BadInput(f"{path}: the file is empty (0 bytes), expected a dance; download or export it again.")
    return READERS[path.suffix.lower()](path)


def _read_aistpp_pickle(path: Path) -> Recording:
    content = load_safe_pickle(path)
    poses = _frames(path, content, "smpl_poses")
    _expect_width(path, "smpl_poses", poses, poses.shape[1] == 72, "72 (24 joints)")
    scaling = _number(path, content, "smpl_scaling") if "smpl_scaling" in content else 1.0
    if not scaling > 0:
        raise BadInput(f"{path}: found smpl_scaling {scaling:g}, expected a positive number; export the file again.")
    trans = _translation(path, content, "smpl_trans", len(poses)) / scaling
    return Recording(SmplMotion(axis_angle_to_matrix(poses.reshape(-1, 24, 3)), trans), float(MOTION_FPS))


def _read_amass_npz(path: Path) -> Recording:
    content = load_numpy(path)
    if not isinstance(content, Mapping):
        raise BadInput(
            f"{path}: found one array, expected an npz with poses, trans and mocap_framerate; export it again."
        )
    poses = _frames(path, content, "poses")
    width = poses.shape[1]
    is_known = _BODY_WIDTH <= width <= _WIDEST_POSE and width % 3 == 0
    _expect_width(path, "poses", poses, is_known, "72 (SMPL), 156 (SMPL-H) or at least 66 (22 joints)")
    if width != 72:
        poses = np.pad(poses[:, :_BODY_WIDTH], ((0, 0), (0, 6)))
    key = next((key for key in _FRAME_RATE_KEYS if key in content), _FRAME_RATE_KEYS[0])
    fps = _number(path, content, key)
    if not 1 <= fps <= 1000:
        raise BadInput(f"{path}: found {key} {fps:g}, expected 1 to 1000 frames per second; correct the file.")
    trans = _translation(path, content, "trans", len(poses))
    return Recording(y_up(SmplMotion(axis_angle_to_matrix(poses.reshape(-1, 24, 3)), trans)), fps)


def _read_features_npy(path: Path) -> Recording:
    content = load_numpy(path)
    features = _frames(path, {"array": content}, "array")
    _expect_width(
        path, "array", features, features.shape[1] == FEATURE_WIDTH, "219 (3 translation, 24 rotation matrices)"
    )
    motion = features_to_smpl(features)
    gram = motion.rotations @ motion.rotations.swapaxes(-1, -2)
    if np.abs(gram - np.eye(3)).max() > _ROTATION_TOLERANCE or np.linalg.det(motion.rotations).min() < 0:
        raise BadInput(
            f"{path}: the 216 numbers after the translation are not 24 rotation matrices, expected [trans/scaling (3), "
            "rotation matrices row by row (216)], not normalised; write the features in this layout."
        )
    return Recording(motion, float(MOTION_FPS))


READERS: dict[str, Callable[[Path], Recording]] = {
    ".pkl": _read_aistpp_pickle,
    ".npz": _read_amass_npz,
    ".npy": _read_features_npy,
}
"""Reader of each suffix: one more format is one more row."""

SUFFIX_LIST = ", ".join(READERS)


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


def _array(path: Path, content: Mapping[str, Any], key: str) -> Float[np.ndarray, "..."]:
    """The numbers under `key`, float64, finite also in float32."""
    if key not in content:
        found = ", ".join(repr(name) for name in sorted(content)) or "nothing"
        raise BadInput(
            f"{path}: found no '{key}' (only {found[:200]}), expected it; export the motion with this field."
        )
    values = content[key]
    if values is None or np.asarray(values).dtype.kind not in "iuf":
        raise BadInput(f"{path}: '{key}' does not hold real numbers, expected a float array; export the file again.")
    values = np.asarray(values, dtype=np.float64)
    with np.errstate(over="ignore"):
        bad = ~np.isfinite(values.astype(np.float32))
    if bad.any():
        raise BadInput(
            f"{path}: found {bad.sum()} NaN or infinite values in '{key}', expected finite numbers; "
            "repair or cut the recording."
        )
    return values


def _frames(path: Path, content: Mapping[str, Any], key: str) -> Float[np.ndarray, "time width"]:
    values = _array(path, content, key)
    if values.ndim != 2:
        raise BadInput(
            f"{path}: found '{key}' of shape {values.shape}, expected (frames, width); export the file again."
        )
    if len(values) == 0:
        raise BadInput(f"{path}: found 0 frames in '{key}', expected at least 1 s of motion; export the file again.")
    return values


def _expect_width(path: Path, key: str, values: np.ndarray, is_right: bool, expected: str) -> None:
    if not is_right:
        raise BadInput(
            f"{path}: found '{key}' {values.shape[1]} wide, expected {expected}; export the motion in this layout."
        )


def _translation(path: Path, content: Mapping[str, Any], key: str, frames: int) -> Float[np.ndarray, "time 3"]:
    trans = _frames(path, content, key)
    if trans.shape != (frames, 3):
        raise BadInput(
            f"{path}: found '{key}' of shape {trans.shape}, expected ({frames}, 3) as the poses have {frames} frames; "
            "export both from the same recording."
        )
    return trans


def _number(path: Path, content: Mapping[str, Any], key: str) -> float:
    values = _array(path, content, key)
    if values.size != 1:
        raise BadInput(f"{path}: found '{key}' of shape {values.shape}, expected one number; export the file again.")
    return float(values.reshape(()))
