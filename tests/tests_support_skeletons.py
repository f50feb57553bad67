"""One motion written as the BVH files of several programs and data sets: their names, rest poses, channels, units, up axis."""

from dataclasses import dataclass, field

import numpy as np
from scipy.spatial.transform import Rotation

from d2m.motion.features import SmplMotion
from d2m.motion.smpl import JOINT_NAMES, PARENTS, REST_OFFSETS_M, axis_angle_to_matrix, forward_kinematics

Z_UP = axis_angle_to_matrix(np.array([np.pi / 2, 0, 0]))
"""Y up to Z up."""


def swaying(seconds: float = 2.0, fps: float = 30.0, seed: int = 0) -> SmplMotion:
    """Every joint turns slowly by up to half a radian, knees and elbows bend as they can, and the body travels."""
    random, time_s = np.random.default_rng(seed), np.arange(round(seconds * fps)) / fps
    waves = np.sin(2 * np.pi * random.uniform(0.3, 1.2, 72) * time_s[:, None] + random.uniform(0, 6, 72))
    poses = (0.3 * random.uniform(0.2, 1, 72) * waves).reshape(-1, 24, 3)
    for name, axis in {
        "left_knee": (1, 0, 0),
        "right_knee": (1, 0, 0),
        "left_elbow": (0, -1, 0),
        "right_elbow": (0, 1, 0),
    }.items():
        bend = 0.6 + 0.4 * np.sin(2 * np.pi * time_s + len(name))
        poses[:, JOINT_NAMES.index(name)] = bend[:, None] * np.array(axis)
    translation = np.stack([0.3 * np.sin(time_s), 0.95 + 0.03 * np.sin(7 * time_s), 0.2 * time_s], axis=1)
    return SmplMotion(axis_angle_to_matrix(poses), translation)


@dataclass(frozen=True)
class Suite:
    """How a program writes BVH.

    Args:
        names: of SMPL's 24 joints in its order, with `L` for left or right; None where there is no such joint.
        left, right: what `L` stands for.
        rest: turn of joints in the rest pose, by SMPL's name.
        order: of the rotation channels.
        unit: how many of a metre.
        z_up: whether z points up.
        all_move: whether every joint has position channels.
        prefix: of every name.
        extra: joints of length 0 between others, by SMPL's name of what hangs on them.
    """

    names: dict[str, str | None]
    left: str = "Left"
    right: str = "Right"
    rest: dict[str, np.ndarray] = field(default_factory=dict)
    order: str = "ZXY"
    unit: float = 100.0
    z_up: bool = False
    all_move: bool = False
    prefix: str = ""
    extra: dict[str, str] = field(default_factory=dict)

    def name(self, joint: str) -> str | None:
        """Of a joint of SMPL's."""
        side, part = joint.split("_") if "_" in joint else ("", joint)
        given = self.names[part]
        mark = {"left": self.left, "right": self.right, "": ""}[side]
        return None if given is None else self.prefix + given.replace("@", mark)


def _names(pelvis, spine1, spine2, spine3, neck, head, collar, shoulder, elbow, wrist, hand, hip, knee, ankle, foot):
    return dict(locals())


USUAL = _names(
    "Hips", "Spine", "Spine1", "Spine2", "Neck", "Head", "@Shoulder", "@Arm", "@ForeArm", "@Hand", "@HandMiddle1", "@UpLeg",
    "@Leg", "@Foot", "@ToeBase",
)  # fmt: skip
_DOWN = {
    f"{side}_{joint}": axis_angle_to_matrix(np.array([0, 0, sign * 1.4]))
    for side, sign in (("left", 1.0), ("right", -1.0))
    for joint in ("shoulder", "elbow", "wrist", "hand")
}
"""Undoes hanging arms: a rest pose whose arms hang down."""


def _along_x() -> dict[str, np.ndarray]:
    """A rest pose that lays every bone along its own x axis, as some data sets do."""
    turns = {}
    for number, name in enumerate(JOINT_NAMES):
        child = next((c for c, p in enumerate(PARENTS) if p == number and number), None)
        if child is not None:
            bone = REST_OFFSETS_M[child] / np.linalg.norm(REST_OFFSETS_M[child])
            turns[name] = Rotation.align_vectors(bone[None], np.array([[1.0, 0, 0]]))[0].as_matrix()
    return turns


SUITES = {
    "mixamo": Suite(USUAL, order="ZYX", prefix="mixamorig:"),
    "mixamo underscored, capitals": Suite(USUAL, order="XYZ", prefix="MIXAMORIG_"),
    "cmu": Suite(
        USUAL | {"spine1": "LowerBack", "spine2": "Spine", "spine3": "Spine1", "hand": "@FingerBase"}, order="ZYX",
        unit=100 / 5.644, extra={"left_hip": "LHipJoint", "right_hip": "RHipJoint"},
    ),
    "motorica": Suite(USUAL | {"hand": None}, order="ZXY"),
    "perception neuron": Suite(USUAL | {"hand": None, "foot": None}, order="YXZ", all_move=True, prefix="Robot_"),
    "xsens": Suite(
        _names("Hips", "Chest", "Chest2", "Chest4", "Neck", "Head", "@Collar", "@Shoulder", "@Elbow", "@Wrist", None, "@Hip",
               "@Knee", "@Ankle", "@Toe"),
        order="YXZ",
    ),
    "xsens by segment": Suite(
        _names("Pelvis", "L5", "L3", "T8", "Neck", "Head", "@Shoulder", "@UpperArm", "@ForeArm", "@Hand", None, "@UpperLeg",
               "@LowerLeg", "@Foot", "@Toe"),
        order="YXZ", z_up=True, unit=1000,
    ),
    "rokoko": Suite(
        USUAL | {"hip": "@Thigh", "knee": "@Shin", "foot": "@Toe", "spine1": "Spine1", "spine2": "Spine2", "spine3": "Spine4"},
        order="YXZ",
    ),
    "biped": Suite(
        _names("Pelvis", "Spine", "Spine1", "Spine2", "Neck", "Head", "@ Clavicle", "@ UpperArm", "@ Forearm", "@ Hand", None,
               "@ Thigh", "@ Calf", "@ Foot", "@ Toe0"),
        "L", "R", prefix="Bip01 ", unit=1 / 0.0254,
    ),
    "unreal": Suite(
        _names("pelvis", "spine_01", "spine_02", "spine_03", "neck_01", "head", "clavicle_@", "upperarm_@", "lowerarm_@",
               "hand_@", None, "thigh_@", "calf_@", "foot_@", "ball_@"),
        "l", "r", z_up=True,
    ),
    "blender": Suite(
        _names("spine", "spine.001", "spine.002", "spine.003", "neck", "head", "shoulder.@", "upper_arm.@", "forearm.@",
               "hand.@", None, "thigh.@", "shin.@", "foot.@", "toe.@"),
        "L", "R", z_up=True, unit=1,
    ),
    "vrm": Suite(
        _names("C_Hips", "C_Spine", "C_Chest", "C_UpperChest", "C_Neck", "C_Head", "@_Shoulder", "@_UpperArm", "@_LowerArm",
               "@_Hand", None, "@_UpperLeg", "@_LowerLeg", "@_Foot", "@_ToeBase"),
        "L", "R", prefix="J_Bip_", unit=1,
    ),
    "acclaim": Suite(
        _names("root", "lowerback", "upperback", "thorax", "lowerneck", "head", "@clavicle", "@humerus", "@radius", "@wrist",
               "@hand", "@femur", "@tibia", "@foot", "@toes"),
        "l", "r", order="XYZ",
    ),
    "biovision": Suite(
        _names("Hips", "Spine", "Spine2", "Chest", "Neck", "Head", "@Collar", "@UpArm", "@LowArm", "@Hand", None, "@UpLeg",
               "@LowLeg", "@Foot", None),
        rest=_DOWN, unit=1 / 0.0254,
    ),
    "smpl": Suite(
        _names("Pelvis", "Spine1", "Spine2", "Spine3", "Neck", "Head", "@_Collar", "@_Shoulder", "@_Elbow", "@_Wrist", "@_Hand",
               "@_Hip", "@_Knee", "@_Ankle", "@_Foot"),
        "L", "R", unit=1,
    ),
    "smpl in words": Suite(
        {name.replace("left_", ""): name.replace("left_", "@_") for name in JOINT_NAMES if "right" not in name},
        "left", "right", unit=1,
    ),
    "bones along x": Suite(USUAL | {"hand": None}, rest=_along_x(), order="ZYX"),
}  # fmt: skip


def bvh_of(motion: SmplMotion, fps: float, suite: Suite, frame_time: str | None = None) -> str:
    """The motion as a BVH file's text."""
    world = Z_UP if suite.z_up else np.eye(3)
    _, turns = forward_kinematics(motion.rotations, motion.translation)
    rests = [suite.rest.get(name, np.eye(3)) @ world.T for name in JOINT_NAMES]
    turns = world @ turns @ np.stack(rests)
    lines, columns = ["HIERARCHY"], []
    spelled = " ".join(f"{axis}rotation" for axis in suite.order)

    def write(number: int, depth: int) -> None:
        joint, parent, indent = JOINT_NAMES[number], PARENTS[number], "\t" * depth
        name = suite.name(joint)
        if name is None:
            return
        offset = (rests[parent].T @ REST_OFFSETS_M[number] if depth else np.zeros(3)) * suite.unit
        if joint in suite.extra:
            lines.extend([f"{indent}JOINT {suite.extra[joint]}", indent + "{", f"{indent}OFFSET 0 0 0",
                          f"{indent}CHANNELS 3 {spelled}"])  # fmt: skip
            columns.append(np.zeros((len(turns), 3)))
        moves = depth == 0 or suite.all_move
        lines.extend([
            f"{indent}{'JOINT' if depth else 'ROOT'} {name}", indent + "{",
            f"{indent}OFFSET {offset[0]:.6f} {offset[1]:.6f} {offset[2]:.6f}",
            f"{indent}CHANNELS {'6 Xposition Yposition Zposition' if moves else '3'} {spelled}",
        ])  # fmt: skip
        if moves:
            place = motion.translation @ world.T * suite.unit if depth == 0 else np.tile(offset, (len(turns), 1))
            columns.append(place)
        local = turns[:, parent].swapaxes(1, 2) @ turns[:, number] if depth else turns[:, number]
        columns.append(Rotation.from_matrix(local).as_euler(suite.order, degrees=True))
        children = [child for child, above in enumerate(PARENTS) if above == number and suite.name(JOINT_NAMES[child])]
        for child in children:
            write(child, depth + 1)
        if not children:
            lines.extend([f"{indent}End Site", indent + "{", f"{indent}OFFSET 0 0 {0.1 * suite.unit}", indent + "}"])
        lines.append(indent + "}")
        if joint in suite.extra:
            lines.append(indent + "}")

    write(0, 0)
    rows = np.concatenate(columns, axis=1)
    lines.extend(["MOTION", f"Frames: {len(rows)}", f"Frame Time: {frame_time or f'{1 / fps:.6f}'}"])
    lines.extend(" ".join(f"{value:.5f}" for value in row) for row in rows)
    return "\n".join(lines) + "\n"
