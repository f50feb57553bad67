"""The table of motion formats, and the one way in: `read_recording`."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from d2m.core.errors import BadInput, UserError
from d2m.motion.readers.aistpp import is_aistpp, is_edge, read_aistpp, read_edge
from d2m.motion.readers.amass import is_amass, is_motion_x, read_amass, read_motion_x
from d2m.motion.readers.bvh import is_bvh, read_bvh
from d2m.motion.readers.content import LOADERS
from d2m.motion.readers.features import is_features, is_poses, read_features, read_poses
from d2m.motion.readers.keypoints import is_keypoints, is_landmarks, read_keypoints, read_landmarks
from d2m.motion.readers.people import (
    is_gvhmr,
    is_phalp,
    is_tram,
    is_wham,
    read_gvhmr,
    read_phalp,
    read_tram,
    read_wham,
)
from d2m.motion.readers.positions import is_humanml3d, is_joints, read_humanml3d, read_joints
from d2m.motion.readers.recording import Hints, Recording, keys_of


@dataclass(frozen=True)
class Format:
    """One row: how a format is recognised, and how it is read.

    Args:
        name: as a recording and the JSON beside music tell it.
        layout: what the file holds, for people whose file is nothing that is known.
        suffixes: that it is written with, each with a loader in `content.LOADERS`.
        recognises: whether a file's content (see `content`) is of this format; the first row that says so reads it.
        read: the motion, at the file's rate; may get there in any way.
    """

    name: str
    layout: str
    suffixes: tuple[str, ...]
    recognises: Callable[[Path, Any], bool]
    read: Callable[[Path, Any, Hints], Recording]


_PICKLES = (".pkl", ".pickle", ".joblib", ".pt", ".pth")

FORMATS: tuple[Format, ...] = (
    Format(
        "edge", "smpl_poses, smpl_trans and full_pose, or pos and q", (*_PICKLES, ".npz", ".npy"), is_edge, read_edge
    ),
    Format("aistpp", "smpl_poses and smpl_trans", (*_PICKLES, ".npz", ".npy"), is_aistpp, read_aistpp),
    Format("gvhmr", "smpl_params_global", (*_PICKLES, ".npz", ".npy"), is_gvhmr, read_gvhmr),
    Format("tram", "pred_rotmat and pred_trans", (*_PICKLES, ".npz", ".npy"), is_tram, read_tram),
    Format("4dhumans", "pictures with tid and smpl", _PICKLES, is_phalp, read_phalp),
    Format("wham", "people with pose_world and trans_world", _PICKLES, is_wham, read_wham),
    Format("features219", "an array (N, 219)", (".npy", ".npz"), is_features, read_features),
    Format("mediapipe33", "MediaPipe's 33 landmarks a frame", (".json", ".npz", ".npy"), is_landmarks, read_landmarks),
    Format(
        "keypoints",
        "keypoints of COCO (17) or OpenPose (25) a frame",
        (".json", ".npz", ".npy", ".pkl"),
        is_keypoints,
        read_keypoints,
    ),
    Format("joints", "joints (N, 22 or 24, 3)", (".npz", ".npy", ".pkl"), is_joints, read_joints),
    Format("amass", "poses, trans and mocap_framerate", (".npz", *_PICKLES, ".npy"), is_amass, read_amass),
    Format("motionx", "an array (N, 322)", (".npy",), is_motion_x, read_motion_x),
    Format("humanml3d", "an array (N, 263)", (".npy",), is_humanml3d, read_humanml3d),
    Format("bvh", "a BVH skeleton with HIERARCHY and MOTION", (".bvh",), is_bvh, read_bvh),
    Format(
        "poses", "rotations (N, 72), (N, 132), (N, 144) or (N, 24, 3, 3)", (".npy", *_PICKLES), is_poses, read_poses
    ),
)

SUFFIXES = tuple(dict.fromkeys(suffix for row in FORMATS for suffix in row.suffixes))
"""Endings of motion files, lower case."""

SUFFIX_LIST = ", ".join(SUFFIXES)


def read_recording(path: str | Path, hints: Hints = Hints()) -> Recording:  # noqa: B008 (frozen)
    """Read a motion file of any format of the table.

    Args:
        path: the file; its suffix says how it is loaded, its content of which format it is.
        hints: what the user says of it.

    Raises:
        BadInput: when the file is missing, empty, of no known suffix or layout, without frames, not finite, or hostile, or
            where something that it does not tell has to be said by the user.
    """
    path = Path(path)
    if not path.is_file():
        raise BadInput(f"{path}: no such file; expected a dance ({SUFFIX_LIST}), check the path.")
    expect_suffix(path)
    suffix = path.suffix.lower()
    if path.stat().st_size == 0:
        raise BadInput(f"{path}: the file is empty (0 bytes), expected a dance; download or export it again.")
    content = LOADERS[suffix](path)
    rows = [row for row in FORMATS if suffix in row.suffixes]
    for row in rows:
        if _is_of(row, path, content):
            try:
                return row.read(path, content, hints)
            except UserError:
                raise
            except Exception as error:  # a field may hold anything, and a reader cannot think of it all
                raise BadInput(
                    f"{path}: found a file of the format {row.name} whose fields do not fit it ({type(error).__name__}), "
                    f"expected {row.layout}; export the motion again."
                ) from error
    layouts = "; or ".join(row.layout for row in rows)
    raise BadInput(
        f"{path}: found {_described(content)}, expected {layouts}; export the motion in one of these layouts."
    )


def _is_of(row: Format, path: Path, content: Any) -> bool:
    """Whether a row recognises a content, which may be anything; what a row stumbles over is not of its format."""
    try:
        return row.recognises(path, content)
    except UserError:
        raise
    except Exception:
        return False


def expect_suffix(path: Path) -> None:
    """Refuse a file that is no motion file by its name.

    Raises:
        BadInput: saying which are.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise BadInput(
            f"{path}: found a '{path.suffix}' file, expected a dance ({SUFFIX_LIST}); convert it to one of these."
        )


def _described(content: Any) -> str:
    """What was loaded, in a few words."""
    if isinstance(content, np.ndarray):
        return f"an array of shape {content.shape}"
    if keys := keys_of(content):
        return f"the fields {', '.join(repr(key[:40]) for key in sorted(keys)[:8])}{' …' * (len(keys) > 8)}"
    if isinstance(content, str):
        return f"a text that begins with {content.strip()[:20]!r}"
    return f"a {type(content).__name__}"
