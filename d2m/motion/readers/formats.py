"""The table of motion formats, and the one way in: `read_recording`."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from d2m.core.errors import BadInput
from d2m.motion.readers.aistpp import is_aistpp, read_aistpp
from d2m.motion.readers.amass import is_amass, read_amass
from d2m.motion.readers.bvh import is_bvh, read_bvh
from d2m.motion.readers.content import LOADERS
from d2m.motion.readers.features import is_features, read_features
from d2m.motion.readers.keypoints import is_keypoints, is_landmarks, read_keypoints, read_landmarks
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


FORMATS: tuple[Format, ...] = (
    Format("aistpp", "smpl_poses, smpl_trans", (".pkl",), is_aistpp, read_aistpp),
    Format("mediapipe33", "MediaPipe's 33 landmarks a frame", (".json", ".npz", ".npy"), is_landmarks, read_landmarks),
    Format(
        "keypoints",
        "keypoints of COCO (17) or OpenPose (25) a frame",
        (".json", ".npz", ".npy", ".pkl"),
        is_keypoints,
        read_keypoints,
    ),
    Format("joints", "joints (N, 22 or 24, 3)", (".npz", ".npy", ".pkl"), is_joints, read_joints),
    Format("amass", "poses, trans and mocap_framerate", (".npz",), is_amass, read_amass),
    Format("features219", "an array (N, 219)", (".npy",), is_features, read_features),
    Format("humanml3d", "an array (N, 263)", (".npy",), is_humanml3d, read_humanml3d),
    Format("bvh", "a BVH skeleton with HIERARCHY and MOTION", (".bvh",), is_bvh, read_bvh),
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
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise BadInput(
            f"{path}: found a '{path.suffix}' file, expected a dance ({SUFFIX_LIST}); convert it to one of these."
        )
    if path.stat().st_size == 0:
        raise BadInput(f"{path}: the file is empty (0 bytes), expected a dance; download or export it again.")
    content = LOADERS[suffix](path)
    rows = [row for row in FORMATS if suffix in row.suffixes]
    for row in rows:
        if row.recognises(path, content):
            return row.read(path, content, hints)
    layouts = "; or ".join(row.layout for row in rows)
    raise BadInput(
        f"{path}: found {_described(content)}, expected {layouts}; export the motion in one of these layouts."
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
