"""AIST++'s pickles, and those of EDGE (Tseng et al., CVPR 2023) and its descendants, which have the same fields.

|                         | fields                                                              | rate | up |
|-------------------------|---------------------------------------------------------------------|------|----|
| AIST++                  | `smpl_poses` (N, 72), `smpl_trans` (N, 3), `smpl_scaling` (1,)      | 60   | Y  |
| EDGE                    | the same without `smpl_scaling`, and `full_pose` (N, 24, 3)         | 30   | Z  |
| EDGE's slices           | `pos` (N, 3), `q` (N, 72)                                           | 60 as its code cuts AIST++, 30 where Z is up | |

A pickle with `smpl_scaling` is AIST++'s own and is never turned: a break dancer may spend a whole clip on the back.
"""

from pathlib import Path
from typing import Any

from d2m.core.errors import BadInput
from d2m.core.timeline import MOTION_FPS
from d2m.motion.features import SmplMotion
from d2m.motion.readers.physics import from_z_up, impossible, refuse_impossible, up_axis, upright
from d2m.motion.readers.recording import (
    Hints,
    Recording,
    array_of,
    expect_width,
    frame_rate,
    frames_of,
    keys_of,
    number_of,
    translation_of,
)
from d2m.motion.readers.rotations import body_of, joint_matrices

_EDGE_FPS = 30.0
_FAST_M_S = 8.0
"""Median speed of the fastest limb that a dance at 60 fps does not reach, and one at 30 fps read as 60 may."""


def is_aistpp(path: Path, content: Any) -> bool:
    """Whether a pickle has AIST++'s fields."""
    return bool(keys_of(content) & {"smpl_poses", "smpl_trans"}) and not is_edge(path, content)


def is_edge(path: Path, content: Any) -> bool:
    """Whether a pickle has EDGE's fields: AIST++'s and the positions, or a slice's."""
    keys = keys_of(content)
    return {"smpl_poses", "full_pose"} <= keys or {"pos", "q"} <= keys


def read_aistpp(path: Path, content: Any, hints: Hints) -> Recording:
    """Poses and translation in metres; Z up is EDGE's, also where the positions are left out.

    Raises:
        BadInput: when a field is missing or of another shape.
    """
    motion, forms = _motion(path, content, "smpl_poses", "smpl_trans", "smpl_scaling")
    if "smpl_scaling" in content or hints.up == "y":
        fps, rates = frame_rate(path, content, hints, float(MOTION_FPS))
        motion, up, axes = upright(path, motion, hints) if hints.up else (motion, "y", ())
        return Recording(motion, fps, "aistpp", (*rates, *axes, *forms), up=up)
    if hints.up == "z" or up_axis(motion) == "z":
        fps, rates = frame_rate(path, content, hints, _EDGE_FPS)
        said = ("Z up, as asked" if hints.up else "Z up, as the body shows", *(rates or ("30 fps, as EDGE writes",)))
        return Recording(from_z_up(motion), fps, "edge", (*said, *forms), up="z")
    fps, rates = frame_rate(path, content, hints, float(MOTION_FPS))
    if not rates and (what := impossible(motion, fps, _FAST_M_S)):
        fps, rates = _EDGE_FPS, (f"30 fps, as at 60 {what}",)
    refuse_impossible(path, motion, fps, hints)
    return Recording(motion, fps, "aistpp", (*rates, *forms))


def read_edge(path: Path, content: Any, hints: Hints) -> Recording:
    """Poses and translation in metres, turned to Y up.

    Raises:
        BadInput: when a field is missing or of another shape, or where the user has to say something.
    """
    if "smpl_poses" not in content:
        motion, forms = _motion(path, content, "q", "pos", "scale")
        motion, up, axes = upright(path, motion, hints)
        usual = _EDGE_FPS if up == "z" else float(MOTION_FPS)
        fps, rates = frame_rate(path, content, hints, usual)
        said = rates or (f"{fps:g} fps, as EDGE's slices of this axis have",)
    else:
        motion, forms = _motion(path, content, "smpl_poses", "smpl_trans", "smpl_scaling")
        is_y_up = hints.up == "y" or (hints.up is None and up_axis(motion) == "y")
        motion = motion if is_y_up else from_z_up(motion)
        shown = "as asked" if hints.up else "as the body shows" if is_y_up else "as EDGE writes"
        fps, rates = frame_rate(path, content, hints, _EDGE_FPS)
        up = "y" if is_y_up else "z"
        axes, said = (f"{'Y' if is_y_up else 'Z'} up, {shown}",), rates or ("30 fps, as EDGE writes",)
    refuse_impossible(path, motion, fps, hints)
    return Recording(motion, fps, "edge", (*axes, *said, *forms), up=up)


def _motion(path: Path, content: Any, poses: str, trans: str, scaling: str) -> tuple[SmplMotion, tuple[str, ...]]:
    found = frames_of(path, content, poses)
    matrices, forms = joint_matrices(path, poses, array_of(path, content, poses))
    expect_width(path, poses, found, matrices.shape[1] in (22, 24), "72 (24 joints)")
    scale = number_of(path, content, scaling) if scaling in content else 1.0
    if not scale > 0:
        raise BadInput(f"{path}: found {scaling} {scale:g}, expected a positive number; export the file again.")
    translation = translation_of(path, content, trans, len(matrices)) / scale
    return SmplMotion(body_of(path, poses, matrices), translation), forms
