"""What a body shows of itself where its file is silent: which axis points up, and whether a frame rate can be."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.ndimage import gaussian_filter1d

from d2m.core.errors import BadInput
from d2m.motion.features import SmplMotion
from d2m.motion.readers.recording import Hints
from d2m.motion.smpl import JOINT_NAMES, joint_positions

Z_UP_TO_Y_UP = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]])
_CAMERA_TO_Y_UP = np.diag([1.0, -1.0, -1.0])
_AXES = {"y": 1, "z": 2}
_LIMBS, _HIPS, _SHOULDERS = (
    [JOINT_NAMES.index(f"{side}_{end}") for end in ends for side in ("left", "right")]
    for ends in (("wrist", "ankle"), ("hip",), ("shoulder",))
)
_MOST_FRAMES = 20_000

_UPRIGHT = 0.5
"""Of the torso along an axis, as a cosine: within 60 degrees."""

_FIRM_FLOOR_M = 0.15
"""Range of the lowest joint, 10th to 90th percentile, of a dancer who stays on the floor, jumps included."""

_TRUNK = [JOINT_NAMES.index(name) for name in ("pelvis", "left_hip", "right_hip", "spine1", "spine2", "spine3", "neck")]
_GRAVITY_M_S2, _FASTEST_FALL_G = 9.81, 1.5
_SMOOTHED_S, _LEAST_FRAMES = 0.04, 10

_FASTEST_M_S = 15.0
"""Speed of the fastest wrist or ankle that no body keeps up half of the time; dancers have 1 to 4 m/s in the median."""


def turned(motion: SmplMotion, rotation: Float[np.ndarray, "3 3"]) -> SmplMotion:
    """The whole motion in other axes: `rotation` leads from the file's to ours."""
    rotations = motion.rotations.copy()
    rotations[:, 0] = rotation @ rotations[:, 0]
    return SmplMotion(rotations, motion.translation @ rotation.T)


def from_z_up(motion: SmplMotion) -> SmplMotion:
    """Z up → Y up: -90 degrees about x."""
    return turned(motion, Z_UP_TO_Y_UP)


def to_z_up(motion: SmplMotion) -> SmplMotion:
    """Y up → Z up: 90 degrees about x."""
    return turned(motion, Z_UP_TO_Y_UP.T)


def from_camera(motion: SmplMotion) -> SmplMotion:
    """Seen by an upright camera, x right, y down, z away → Y up."""
    return turned(motion, _CAMERA_TO_Y_UP)


@dataclass(frozen=True)
class _Seen:
    """What speaks for an axis: share of upright frames, range of the lowest joint in m, mean and spread of the torso's
    cosine, and how far its direction around the axis stays the same (1) or turns all the way (0)."""

    upright: float
    floor_m: float
    mean: float
    spread: float
    same_way: float


def _seen(positions: Float[np.ndarray, "time 24 3"], axis: int) -> _Seen:
    torso = positions[:, _SHOULDERS].mean(axis=1) - positions[:, _HIPS].mean(axis=1)
    torso = torso / np.maximum(np.linalg.norm(torso, axis=1, keepdims=True), 1e-9)
    along, around = torso[:, axis], np.delete(torso, axis, axis=1)
    lowest = np.nanmin(positions[..., axis], axis=1)
    length = np.sqrt(np.square(around).sum(axis=1).mean())
    return _Seen(
        float((along > _UPRIGHT).mean()),
        float(np.ptp(np.percentile(lowest, [10, 90]))),
        float(along.mean()),
        float(along.std()),
        float(np.linalg.norm(around.mean(axis=0)) / max(length, 1e-9)),
    )


def up_axis(motion: SmplMotion) -> str | None:
    """`y` or `z`, whichever the whole motion shows to point up; None where it shows none, or both.

    A body that stands upright most of the time, on a floor that stays where it is, says it (two votes). So does one that
    turns around the axis while it keeps its tilt against it, as gravity changes when a body tilts and not when it turns
    (one vote), and the axis along which the lowest joint moves less (one vote). Two votes are needed: a body that lies, or
    stands on its head, all the time looks the same from both sides.
    """
    step = -(-len(motion.translation) // _MOST_FRAMES)
    return up_axis_of_joints(joint_positions(motion.rotations[::step], motion.translation[::step]))


def up_axis_of_joints(positions: Float[np.ndarray, "time 24 3"]) -> str | None:
    """`up_axis` of the places of joints in metres; NaN where a joint is not known (hips, shoulders and limbs are)."""
    seen = {name: _seen(positions, axis) for name, axis in _AXES.items()}
    votes = {"y": 0, "z": 0}
    for name, other in (("y", "z"), ("z", "y")):
        own, its = seen[name], seen[other]
        if own.upright >= 0.5 and its.upright <= 0.25 and own.floor_m <= max(_FIRM_FLOOR_M, its.floor_m):
            votes[name] += 2
        if abs(own.mean) < 0.5 and own.same_way < 0.7 and own.spread < 0.5 * its.spread:
            votes[name] += 1
        if own.floor_m < 0.75 * its.floor_m and its.floor_m > 0.05:
            votes[name] += 1
    best = max(votes, key=lambda name: votes[name])
    return best if votes[best] >= 2 and votes[best] > min(votes.values()) else None


def upright(
    path: Path, motion: SmplMotion, hints: Hints, content: Mapping[str, Any] | None = None
) -> tuple[SmplMotion, str, tuple[str, ...]]:
    """The motion with Y up, the axis of the file, and who said so: the user, else the file's `up_axis`, else the body.

    Raises:
        BadInput: asking for `up=` where the motion shows no axis.
    """
    said = str((content or {}).get("up_axis", "")).lower()
    axis, decided = decided_axis(path, hints, said if said in _AXES else up_axis(motion), said in _AXES)
    return (from_z_up(motion) if axis == "z" else motion), axis, (decided,)


def decided_axis(path: Path, hints: Hints, shown: str | None, is_said: bool = False) -> tuple[str, str]:
    """The axis of a file, and who said so in words: the user, else the file, else the body.

    Args:
        path: that an error names.
        hints: of the user.
        shown: by the file or the body; None: neither.
        is_said: whether by the file.

    Raises:
        BadInput: asking for `up=` where nobody says it.
    """
    axis, who = (hints.up, "as asked") if hints.up else (shown, "as the file says" if is_said else "as the body shows")
    if axis is None:
        raise BadInput(
            f"{path}: found a body that lies, or stands on its head, in every frame, so that the motion does not show "
            "whether Y or Z points up; say it with up=y or up=z (in d2m: --up)."
        )
    return axis, f"{axis.upper()} up, {who}"


def impossible(motion: SmplMotion, fps: float, fastest_m_s: float = _FASTEST_M_S) -> str | None:
    """What nobody can do and the motion, Y up, does at this rate, as a phrase; None where somebody can.

    Hands and feet faster than `fastest_m_s` half of the time, or a trunk that falls faster than gravity lets it for a
    twentieth of the time: a rate that is n times too high makes speeds n times and falls n * n times what they were.
    """
    frames = slice(0, _MOST_FRAMES)
    if len(motion.translation) < _LEAST_FRAMES:
        return None
    positions = joint_positions(motion.rotations[frames], motion.translation[frames])
    limbs = np.linalg.norm(np.diff(positions[:, _LIMBS], axis=0), axis=-1).max(axis=1)
    if (speed := float(np.median(limbs)) * fps) > fastest_m_s:
        return f"hands and feet move at {speed:.0f} m/s most of the time, expected less than {fastest_m_s:g}"
    height = gaussian_filter1d(positions[:, _TRUNK, 1].mean(axis=1), _SMOOTHED_S * fps)
    fall = -float(np.percentile(np.gradient(np.gradient(height, 1 / fps), 1 / fps), 5)) / _GRAVITY_M_S2
    if fall > _FASTEST_FALL_G:
        return f"the body falls {fall:.1f} times as fast as gravity lets it, expected at most once"
    return None


def refuse_impossible(path: Path, motion: SmplMotion, fps: float, hints: Hints) -> None:
    """Stop at a frame rate, or a unit of length, at which nobody can have moved like this.

    Raises:
        BadInput: asking for `fps=`, unless the user has said it.
    """
    if hints.fps is None and (what := impossible(motion, fps)):
        raise BadInput(
            f"{path}: at {fps:g} frames per second {what}; say the true rate with fps= (in d2m: --fps), or export the "
            "translation in metres."
        )
