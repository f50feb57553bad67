"""BVH files of any skeleton with the usual names: Mixamo, CMU, Motorica, Perception Neuron, Rokoko, Xsens, Biped, Unreal, SMPL.

Where the skeleton rests in a T- or A-pose, its turns are SMPL's once its rest pose is laid over SMPL's: limbs point exactly as
recorded, and what turns about itself does so too. Other rest poses (some data sets lay every bone along one axis) say nothing;
there the positions of the joints are solved for rotations (`d2m.motion.joints`).
"""

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from d2m.core.errors import BadInput
from d2m.motion.bvh import Bvh, parse_bvh
from d2m.motion.features import SmplMotion
from d2m.motion.inverse_kinematics import frame_across, swing, unit
from d2m.motion.joints import BODY_HEIGHT_M, body_height, is_a_body, motion_of_joints, pelvis_places, unit_said
from d2m.motion.readers.physics import Z_UP_TO_Y_UP, decided_axis, up_axis_of_joints
from d2m.motion.readers.recording import Hints, Recording, frame_rate
from d2m.motion.skeletons import smpl_joints_of
from d2m.motion.smpl import JOINT_NAMES, PARENTS, REST_OFFSETS_M, joint_positions

_J = {name: index for index, name in enumerate(JOINT_NAMES)}
_REST_M = joint_positions(np.tile(np.eye(3), (1, 24, 1, 1)), np.zeros((1, 3)))[0]

_NEXT = {
    f"{side}_{a}": f"{side}_{b}"
    for side in ("left", "right")
    for a, b in (("hip", "knee"), ("knee", "ankle"), ("ankle", "foot"), ("collar", "shoulder"), ("shoulder", "elbow"),
                 ("elbow", "wrist"), ("wrist", "hand"))
}  # fmt: skip
"""Joints whose bone is laid over the recorded one → where it ends."""

_MOST_APART_DEG = {"hip": 40, "knee": 40, "shoulder": 100, "elbow": 100}
"""Bones of a T- or an A-pose, or of one with hanging arms, are no farther than this from SMPL's."""

_UPRIGHT_DEG = 20
"""Rest poses stand and face along axes; nearer than this is taken for it."""


def is_bvh(path: Path, content: Any) -> bool:
    """A text with a hierarchy."""
    return isinstance(content, str) and "HIERARCHY" in content[:1000]


def read_bvh(path: Path, content: Any, hints: Hints) -> Recording:
    """The motion of the one body in a file.

    Raises:
        BadInput: when it is broken, has no body of known names, or has several and nobody says which.
    """
    bvh = parse_bvh(content, path)
    joints, who = _the_body(bvh, path, hints.person)
    rate, said = frame_rate(path, {"fps": _rate(bvh.frame_time_s)}, hints)
    spine = _spine(bvh, joints)
    if len(set(spine)) == 3:
        joints = {**joints, "spine1": spine[0], "spine2": spine[1]}
    places, turns = bvh.globals_of([*joints.values(), *spine])
    table = {name: column for column, name in enumerate(joints)}
    positions = np.full((len(places), 24, 3), np.nan)
    for name, column in table.items():
        positions[:, _J[name]] = places[:, column]
    rest = {name: bvh.rest_positions()[joint] for name, joint in joints.items()}
    over = _laid_over(rest)
    if not is_a_body(positions):
        raise BadInput(f"{path}: found bones of length 0, or that change it, expected a body; export the motion again.")
    resting = None if over is None else "z" if abs(over[0][2, 1]) > 0.7 else "y"
    shown = up_axis_of_joints(positions * (BODY_HEIGHT_M / body_height(positions)))
    axis, decided = decided_axis(path, hints, shown or resting, shown is None)
    if over is None:
        motion = motion_of_joints(positions @ (Z_UP_TO_Y_UP.T if axis == "z" else np.eye(3)), rate)
    else:
        table.update({f"spine{number}": number - 4 for number in (1, 2, 3)})  # the last three columns
        world = _turned(table, turns, over)
        if axis == "z":
            positions, world = positions @ Z_UP_TO_Y_UP.T, Z_UP_TO_Y_UP @ world
        motion = SmplMotion(_local(world), pelvis_places(positions, world[:, 0]))
    return Recording(motion, rate, "bvh", (*said, *who, unit_said(positions), decided), up=axis)


def _rate(frame_time_s: float) -> float:
    """Frames per second; 1/120 s is written 0.008333."""
    if not 0 < frame_time_s < np.inf:
        return 0.0
    rate = 1 / frame_time_s
    return float(round(rate)) if abs(rate - round(rate)) < 2e-4 * rate else rate


def _the_body(bvh: Bvh, path: Path, person: int | None) -> tuple[dict[str, int], tuple[str, ...]]:
    bodies = [
        found
        for root, parent in enumerate(bvh.parents)
        if parent < 0 and bvh.names[root] and (found := smpl_joints_of(bvh, root))
    ]
    if not bodies:
        names = ", ".join(name for name in bvh.names if name)
        raise BadInput(
            f"{path}: found no body among the joints {names[:150]}, expected hips, knees, ankles, shoulders, elbows and wrists "
            "of both sides by their usual names (LeftUpLeg, LeftArm …); rename the joints in the program that wrote it."
        )
    if len(bodies) > 1 and person is None:
        raise BadInput(f"{path}: found {len(bodies)} people, expected one; say which with person=1 to {len(bodies)}.")
    if person is not None and not 1 <= person <= len(bodies):
        raise BadInput(
            f"{path}: found {len(bodies)} people, expected person=1 to {len(bodies)}, found person={person}."
        )
    return bodies[(person or 1) - 1], (f"person {person} of {len(bodies)}",) if len(bodies) > 1 else ()


def _spine(bvh: Bvh, joints: dict[str, int]) -> list[int]:
    """The joints that turn as SMPL's three of the spine do: of any number from the pelvis to the chest, spread evenly."""
    line = bvh.ancestors(joints["spine3"])
    line = line[: line.index(joints["pelvis"]) + 1][::-1] if joints["pelvis"] in line else [joints["pelvis"]]
    return [line[round(number * (len(line) - 1) / 3)] for number in (1, 2, 3)]


def _laid_over(rest: dict[str, Float[np.ndarray, " 3"]]) -> dict[int, Float[np.ndarray, "3 3"]] | None:
    """For SMPL's joints by number, the turn that lays its rest pose over the recorded one; None where that is no usual pose."""

    def frame(of: dict[str, np.ndarray]) -> np.ndarray:
        up = of["left_shoulder"] + of["right_shoulder"] - of["left_hip"] - of["right_hip"]
        return frame_across((of["left_hip"] - of["right_hip"])[None], up[None])[0]

    facing = frame(rest) @ frame({name: _REST_M[_J[name]] for name in _NEXT}).T
    axes = np.round(facing)
    is_turn = np.allclose(axes @ axes.T, np.eye(3)) and np.linalg.det(axes) > 0
    if not is_turn or np.degrees(np.arccos(np.clip((np.trace(facing.T @ axes) - 1) / 2, -1, 1))) > _UPRIGHT_DEG:
        return None
    over = {number: axes for number in range(24)}
    for name, end in _NEXT.items():
        bone = unit(rest[end] - rest[name]) if name in rest and end in rest else np.zeros(3)
        expected = axes @ unit(REST_OFFSETS_M[_J[end]])
        if not bone.any():
            continue
        apart = np.degrees(np.arccos(np.clip(bone @ expected, -1, 1)))
        if apart > _MOST_APART_DEG.get(name.split("_")[1], 180):
            return None
        over[_J[name]] = swing(expected, bone[None])[0] @ axes
    for side in ("left", "right"):
        if f"{side}_hand" not in rest:
            over[_J[f"{side}_wrist"]] = over[_J[f"{side}_elbow"]]
    return over


def _turned(
    table: dict[str, int],
    turns: Float[np.ndarray, "time column 3 3"],
    over: dict[int, Float[np.ndarray, "3 3"]],
) -> Float[np.ndarray, "time 24 3 3"]:
    """Global rotations of SMPL's joints; those that the file lacks turn with their parents."""
    world = np.empty((len(turns), 24, 3, 3))
    for number, name in enumerate(JOINT_NAMES):
        column = table.get(name)
        world[:, number] = world[:, PARENTS[number]] if column is None else turns[:, column] @ over[number]
    return world


def _local(world: Float[np.ndarray, "time 24 3 3"]) -> Float[np.ndarray, "time 24 3 3"]:
    local = world.copy()
    for joint, parent in enumerate(PARENTS):
        if parent >= 0:
            local[:, joint] = world[:, parent].swapaxes(1, 2) @ world[:, joint]
    return local
