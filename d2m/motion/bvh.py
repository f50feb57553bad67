"""BVH (Biovision hierarchy): a skeleton and its moving joints as text, read for a few joints and written whole.

A joint stands at its OFFSET from its parent; its rotation channels are turns in degrees about its own axes, one after the other
in the order of the file (Meredith & Maddock, 2001). Nothing in the format says the unit of length, the axis that points up, or
what a joint is called.
"""

import re
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from d2m.core.errors import BadInput
from d2m.core.files import atomic_write
from d2m.motion.features import SmplMotion
from d2m.motion.smpl import JOINT_NAMES, PARENTS, REST_OFFSETS_M

_CM = 100.0

_MOST_JOINTS = 2000
"""A body with fingers and face has about 200."""

_COMMON_NAMES = (
    "Hips", "LeftUpLeg", "RightUpLeg", "Spine", "LeftLeg", "RightLeg", "Spine1", "LeftFoot", "RightFoot", "Spine2",
    "LeftToeBase", "RightToeBase", "Neck", "LeftShoulder", "RightShoulder", "Head", "LeftArm", "RightArm", "LeftForeArm",
    "RightForeArm", "LeftHand", "RightHand", "LeftFingerBase", "RightFingerBase",
)  # fmt: skip
"""What SMPL's 24 joints are called in most BVH files."""

_END_SITES_CM = {"head": (0.0, 18.0, 0.0), "foot": (0.0, 0.0, 8.0), "hand": (9.0, 0.0, 0.0)}


@dataclass(frozen=True)
class Bvh:
    """A BVH file.

    Args:
        names: of the joints, parents before children; an End Site's is empty.
        parents: number of each joint's parent; -1 for a root.
        offsets: of each joint from its parent in the rest pose, the file's unit.
        channels: of each joint, such as `Xposition` and `Zrotation`, as they follow in the frames.
        frames: values of all channels; degrees, and the file's unit.
        frame_time_s: seconds from a frame to the next.
    """

    names: tuple[str, ...]
    parents: tuple[int, ...]
    offsets: Float[np.ndarray, "joint 3"]
    channels: tuple[tuple[str, ...], ...]
    frames: Float[np.ndarray, "time channel"]
    frame_time_s: float

    def ancestors(self, joint: int) -> list[int]:
        """The joint itself, its parent, and so on to the root."""
        line = [joint]
        while self.parents[line[-1]] >= 0:
            line.append(self.parents[line[-1]])
        return line

    def rest_positions(self) -> Float[np.ndarray, "joint 3"]:
        """Where the joints are when nothing turns, the root at its offset."""
        placed = self.offsets.copy()
        for joint, parent in enumerate(self.parents):
            if parent >= 0:
                placed[joint] += placed[parent]
        return placed

    def globals_of(
        self, wanted: list[int]
    ) -> tuple[Float[np.ndarray, "time joint 3"], Float[np.ndarray, "time joint 3 3"]]:
        """Positions and rotations in the world of some joints, in the order asked for."""
        first = np.cumsum([0, *map(len, self.channels)])
        world: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        for joint in sorted({above for one in wanted for above in self.ancestors(one)}):
            values = self.frames[:, first[joint] : first[joint + 1]]
            place, turn = _local(self.offsets[joint], self.channels[joint], values, self.parents[joint] < 0)
            if self.parents[joint] >= 0:
                parent_place, parent_turn = world[self.parents[joint]]
                place = parent_place + (parent_turn @ place[..., None])[..., 0]
                turn = parent_turn @ turn
            world[joint] = place, turn
        return np.stack([world[j][0] for j in wanted], axis=1), np.stack([world[j][1] for j in wanted], axis=1)


def _local(
    offset: Float[np.ndarray, " 3"], channels: tuple[str, ...], values: Float[np.ndarray, "time channel"], is_root: bool
) -> tuple[Float[np.ndarray, "time 3"], Float[np.ndarray, "time 3 3"]]:
    place = np.broadcast_to(offset, (len(values), 3)).copy()
    moves = [(number, "XYZ".index(name[0])) for number, name in enumerate(channels) if name.endswith("position")]
    for number, axis in moves:
        # A root is where its channels say. Of other joints some programs write the place itself, some what it differs by.
        middle = float(np.median(values[:, number])) if len(values) else 0.0
        is_place = is_root or abs(middle - offset[axis]) <= abs(middle)
        place[:, axis] = values[:, number] + (0.0 if is_place else offset[axis])
    turns = [number for number, name in enumerate(channels) if name.endswith("rotation")]
    axes = "".join(channels[number][0] for number in turns)
    if sorted(axes) == ["X", "Y", "Z"]:
        return place, Rotation.from_euler(axes, values[:, turns], degrees=True).as_matrix()
    turn = np.broadcast_to(np.eye(3), (len(values), 3, 3))
    for axis, number in zip(axes, turns, strict=True):
        turn = turn @ Rotation.from_euler(axis, values[:, [number]], degrees=True).as_matrix()
    return place, turn


def parse_bvh(text: str, origin: str | Path) -> Bvh:
    """Read a BVH file's text.

    Args:
        text: of the file.
        origin: what errors call it.

    Raises:
        BadInput: when it is no BVH, or broken.
    """
    head, motion, body = text.partition("MOTION")
    if not motion or "HIERARCHY" not in head:
        raise BadInput(f"{origin}: found no HIERARCHY and MOTION, expected a BVH file; export the motion again.")
    names, parents, offsets, channels = _hierarchy(head, origin)
    found = re.match(r"\s*Frames\s*:?\s*(\S+)\s+Frame\s*Time\s*:?\s*(\S+)", body, re.IGNORECASE)
    try:
        count, frame_time_s = (int(found[1]), float(found[2])) if found else (0, 0.0)
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # numpy warns where it stops before the end
            values = np.fromstring(body[found.end() :] if found else "", dtype=np.float64, sep=" ")
    except (ValueError, DeprecationWarning) as error:
        raise BadInput(
            f"{origin}: found something else than numbers in the frames, expected a BVH file; export the motion again."
        ) from error
    width = sum(map(len, channels))
    if found is None or count < 1 or width == 0 or values.size != count * width:
        raise BadInput(
            f"{origin}: found {values.size} numbers for {count} frames of {width} channels, expected {count * width} and at "
            "least one frame; the file is cut off or was changed, export the motion again."
        )
    if not np.isfinite(values).all() or not np.abs(values).max() < 1e9:
        raise BadInput(
            f"{origin}: found NaN or infinite values in the frames, expected numbers; export the motion again."
        )
    return Bvh(names, parents, offsets, channels, values.reshape(count, width), frame_time_s)


def _hierarchy(
    text: str, origin: str | Path
) -> tuple[tuple[str, ...], tuple[int, ...], Float[np.ndarray, "joint 3"], tuple[tuple[str, ...], ...]]:
    names: list[str] = []
    parents: list[int] = []
    offsets: list[list[float]] = []
    channels: list[tuple[str, ...]] = []
    line: list[int] = []
    try:
        for row in text.replace("{", "\n{\n").replace("}", "\n}\n").splitlines():
            words = row.split()
            word = words[0].upper() if words else ""
            if word in ("ROOT", "JOINT", "END"):
                names.append("" if word == "END" else " ".join(words[1:]))
                parents.append(line[-1] if line else -1)
                offsets.append([0.0, 0.0, 0.0])
                channels.append(())
                if len(names) > _MOST_JOINTS:
                    raise BadInput(
                        f"{origin}: found more than {_MOST_JOINTS} joints, expected a body; export it again."
                    )
            elif word == "{":
                line.append(len(names) - 1)
            elif word == "}":
                line.pop()
            elif word == "OFFSET":
                offsets[line[-1]] = [float(number) for number in words[1:4]]
            elif word == "CHANNELS":
                channels[line[-1]] = tuple(words[2 : 2 + int(words[1])])
        table = np.array(offsets, dtype=np.float64).reshape(-1, 3)
    except (IndexError, ValueError) as error:
        raise BadInput(f"{origin}: found a broken HIERARCHY, expected a BVH file; export the motion again.") from error
    known = {f"{axis}{kind}" for axis in "XYZ" for kind in ("position", "rotation")}
    listed = tuple(tuple(name[:1].upper() + name[1:].lower() for name in joint) for joint in channels)
    if (
        line
        or not names
        or not np.isfinite(table).all()
        or any(name not in known for joint in listed for name in joint)
    ):
        raise BadInput(f"{origin}: found a broken HIERARCHY, expected a BVH file; export the motion again.")
    return tuple(names), tuple(parents), table, listed


def write_bvh(path: str | Path, motion: SmplMotion, fps: float | int) -> Path:
    """Write a motion on the built-in skeleton: centimetres, Y up, joints by their usual names; whole or not at all."""
    path = Path(path)
    lines, order = ["HIERARCHY"], []

    def joint(number: int, indent: str) -> None:
        order.append(number)
        lines.append(f"{indent}{'JOINT' if indent else 'ROOT'} {_COMMON_NAMES[number]}")
        lines.append(indent + "{")
        inner = indent + "\t"
        lines.append(f"{inner}OFFSET {_row(REST_OFFSETS_M[number] * _CM)}")
        moves = "" if indent else "Xposition Yposition Zposition "
        lines.append(f"{inner}CHANNELS {3 if indent else 6} {moves}Zrotation Xrotation Yrotation")
        children = [child for child, parent in enumerate(PARENTS) if parent == number]
        for child in children:
            joint(child, inner)
        if not children:
            end = np.array(_END_SITES_CM[JOINT_NAMES[number].split("_")[-1]])
            mirrored = end * ([-1, 1, 1] if JOINT_NAMES[number].startswith("right") else [1, 1, 1])
            lines.extend([f"{inner}End Site", inner + "{", f"{inner}\tOFFSET {_row(mirrored)}", inner + "}"])
        lines.append(indent + "}")

    joint(0, "")
    turns = Rotation.from_matrix(motion.rotations[:, order].reshape(-1, 3, 3)).as_euler("ZXY", degrees=True)
    rows = np.concatenate([motion.translation * _CM, turns.reshape(len(motion.rotations), -1)], axis=1)
    lines.extend(["MOTION", f"Frames: {len(rows)}", f"Frame Time: {1 / fps:.9f}", *map(_row, rows)])
    with atomic_write(path) as temporary:
        temporary.write_text("\n".join(lines) + "\n")
    return path


def _row(values: Float[np.ndarray, " number"]) -> str:
    return " ".join(f"{value:.6f}" for value in values)
