"""From a dancer's controls to SMPL: arms and spine by angles, legs by two-bone inverse kinematics to planted feet.

Feet are the balls of the feet in the world. The hip and knee that reach them are solved in closed form: the knee is a
hinge about its x axis, so it can only bend the right way, and a planted foot neither slides nor sinks.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.ndimage import gaussian_filter1d

from d2m.motion.smpl import JOINT_NAMES, REST_OFFSETS_M, matrix_to_axis_angle

BALL_HEIGHT_M = 0.02
"""Height of SMPL's foot joint above the floor that a flat foot stands on."""

_J = {name: index for index, name in enumerate(JOINT_NAMES)}
_ANKLE_HEIGHT_M = BALL_HEIGHT_M - REST_OFFSETS_M[_J["left_foot"], 1]
_LEG_M = float(np.linalg.norm(REST_OFFSETS_M[_J["left_knee"]]) + np.linalg.norm(REST_OFFSETS_M[_J["left_ankle"]]))
STANDING_M = float(_ANKLE_HEIGHT_M + 0.985 * _LEG_M - REST_OFFSETS_M[_J["left_hip"], 1])
"""Height of the pelvis above the floor with legs all but straight."""


@dataclass(frozen=True)
class SmplPoses:
    """A motion as AIST++ stores it.

    Args:
        poses: axis-angle of 24 joints, radians.
        trans: pelvis, metres, Y up, floor at 0.
    """

    poses: Float[np.ndarray, "time 72"]
    trans: Float[np.ndarray, "time 3"]


@dataclass(frozen=True)
class FootPath:
    """One foot in the world.

    Args:
        ball_m: position of the ball of the foot; y is 0 on the floor.
        yaw: heading in radians.
        heel_lift: pitch in radians, positive with the heel up.
    """

    ball_m: Float[np.ndarray, "time 3"]
    yaw: Float[np.ndarray, " time"]
    heel_lift: Float[np.ndarray, " time"]


def rotation(axis: int, angle: Float[np.ndarray, " time"]) -> Float[np.ndarray, "time 3 3"]:
    """Rotation matrices about x (0), y (1) or z (2) by angles in radians."""
    matrix = np.zeros((len(angle), 3, 3))
    i, j = (axis + 1) % 3, (axis + 2) % 3
    matrix[:, axis, axis] = 1
    matrix[:, i, i] = matrix[:, j, j] = np.cos(angle)
    matrix[:, j, i] = np.sin(angle)
    matrix[:, i, j] = -matrix[:, j, i]
    return matrix


def _swing(source: Float[np.ndarray, "*time 3"], target: Float[np.ndarray, "time 3"]) -> Float[np.ndarray, "time 3 3"]:
    """Smallest rotations that take unit vector(s) `source` to unit vectors `target`."""
    source = np.broadcast_to(source, target.shape)
    cross = np.cross(source, target)
    cosine = np.clip((source * target).sum(-1), -0.999, 1)
    skew = np.zeros((len(target), 3, 3))
    skew[:, 0, 1], skew[:, 0, 2], skew[:, 1, 2] = -cross[:, 2], cross[:, 1], -cross[:, 0]
    skew -= skew.transpose(0, 2, 1)
    return np.eye(3) + skew + skew @ skew / (1 + cosine)[:, None, None]


def _apply(matrix: Float[np.ndarray, "time 3 3"], vector: Float[np.ndarray, "*any 3"]) -> Float[np.ndarray, "time 3"]:
    return (matrix @ np.broadcast_to(vector, (len(matrix), 3))[..., None])[..., 0]


def _knee_flexion(
    reach_m: Float[np.ndarray, " time"], thigh: np.ndarray, shin: np.ndarray
) -> Float[np.ndarray, " time"]:
    """Flexion at which hip and ankle are `reach_m` apart, from |thigh + Rx(flexion) shin| = reach, never negative."""
    cosine_part = thigh[1] * shin[1] + thigh[2] * shin[2]
    sine_part = thigh[2] * shin[1] - thigh[1] * shin[2]
    size, phase = np.hypot(cosine_part, sine_part), np.arctan2(sine_part, cosine_part)
    wanted = (reach_m**2 - thigh @ thigh - shin @ shin) / 2 - thigh[0] * shin[0]
    return np.clip(phase + np.arccos(np.clip(wanted / size, -1, 1)), 0.03, 2.6)


def _ankle_m(foot: FootPath, side: str) -> tuple[Float[np.ndarray, "time 3"], Float[np.ndarray, "time 3 3"]]:
    """Ankle position and the foot's rotation in the world."""
    turned = rotation(1, foot.yaw) @ rotation(0, foot.heel_lift)
    ball = foot.ball_m + np.array([0, BALL_HEIGHT_M, 0])
    return ball - _apply(turned, REST_OFFSETS_M[_J[f"{side}_foot"]]), turned


def _leg(
    local: Float[np.ndarray, "time 24 3 3"], pelvis_m: Float[np.ndarray, "time 3"], foot: FootPath, side: str
) -> None:
    """Write hip, knee, ankle and toes of one side into `local`, whose pelvis is already set."""
    pelvis, (ankle, foot_turn) = local[:, 0], _ankle_m(foot, side)
    thigh, shin = REST_OFFSETS_M[_J[f"{side}_knee"]], REST_OFFSETS_M[_J[f"{side}_ankle"]]
    hip = pelvis_m + _apply(pelvis, REST_OFFSETS_M[_J[f"{side}_hip"]])
    to_ankle = _apply(pelvis.transpose(0, 2, 1), ankle - hip)
    reach = np.linalg.norm(to_ankle, axis=-1)
    knee = rotation(0, _knee_flexion(reach, thigh, shin))
    straight = thigh + _apply(knee, shin)
    straight /= np.linalg.norm(straight, axis=-1, keepdims=True)
    down = np.array([0.0, -1.0, 0.0])
    forward = _apply(pelvis.transpose(0, 2, 1), foot_turn[:, :, 2])  # the knee looks where the toes look, mostly
    outward = np.clip(np.arctan2(forward[:, 0], np.maximum(forward[:, 2], 0.2)), -0.9, 0.9) * 0.7
    to_down = _swing(down, straight).transpose(0, 2, 1)
    local[:, _J[f"{side}_hip"]] = _swing(down, to_ankle / reach[:, None]) @ rotation(1, outward) @ to_down
    local[:, _J[f"{side}_knee"]] = knee
    shin_turn = pelvis @ local[:, _J[f"{side}_hip"]] @ knee
    local[:, _J[f"{side}_ankle"]] = shin_turn.transpose(0, 2, 1) @ foot_turn
    bend = np.clip(foot.heel_lift, 0, 0.9) * np.exp(-foot.ball_m[:, 1] / 0.05)  # toes stay flat while they carry
    local[:, _J[f"{side}_foot"]] = rotation(0, -bend)


def _arm(local: Float[np.ndarray, "time 24 3 3"], controls: dict[str, np.ndarray], side: str) -> None:
    """Write collar, shoulder, elbow and wrist of one side; the right is the left seen in a mirror."""
    value = {name: controls[f"{side}_{name}"] for name in ("raise", "front", "roll", "elbow", "wrist", "shrug")}
    sign = 1.0 if side == "left" else -1.0
    lift = value["shrug"] + 0.25 * np.maximum(value["raise"], 0)  # the shoulder blade helps above the horizontal
    local[:, _J[f"{side}_collar"]] = rotation(2, sign * lift)
    local[:, _J[f"{side}_shoulder"]] = (
        rotation(1, -sign * value["front"]) @ rotation(2, sign * (value["raise"] - lift)) @ rotation(0, value["roll"])
    )
    local[:, _J[f"{side}_elbow"]] = rotation(1, -sign * value["elbow"])
    local[:, _J[f"{side}_wrist"]] = rotation(2, -sign * value["wrist"])


def _spine(local: Float[np.ndarray, "time 24 3 3"], controls: dict[str, np.ndarray]) -> None:
    """Share bends of the trunk among the three spine joints, and the head's between neck and head."""
    third = {name: controls[name] / 3 for name in ("hunch", "side", "twist")}
    bend = rotation(1, third["twist"]) @ rotation(2, -third["side"]) @ rotation(0, third["hunch"])
    chest = rotation(0, -controls["chest"])
    local[:, _J["spine1"]] = bend @ rotation(2, -controls["slide"])
    local[:, _J["spine2"]] = bend @ rotation(0, 0.6 * controls["chest"]) @ rotation(2, controls["slide"])
    local[:, _J["spine3"]] = bend @ chest
    up_again = 0.6 * (controls["lean"] + controls["hunch"]) - 0.3 * controls["chest"]  # eyes seek the horizon
    for joint in ("neck", "head"):
        local[:, _J[joint]] = (
            rotation(1, controls["look"] / 2)
            @ rotation(2, -controls["cock"] / 2)
            @ rotation(0, (controls["nod"] - up_again) / 2)
        )


def _pelvis_m(controls: dict[str, np.ndarray], feet: tuple[FootPath, FootPath]) -> Float[np.ndarray, "time 3"]:
    """Pelvis over the feet that carry the weight, swayed and dipped, no higher than the legs can reach."""
    weights = np.stack([np.exp(-foot.ball_m[:, 1] / 0.05) + 0.04 for foot in feet])
    carried = (
        sum(w[:, None] * foot.ball_m[:, ::2] for w, foot in zip(weights, feet, strict=True)) / weights.sum(0)[:, None]
    )
    home = np.stack([controls["go_x"], controls["go_z"]], axis=1)
    ground = gaussian_filter1d(home + 0.62 * (carried - home), 5.0, axis=0, mode="nearest")
    sine, cosine = np.sin(controls["turn"]), np.cos(controls["turn"])
    behind = controls["shift"] - 0.07 - 0.10 * np.sin(controls["lean"]) - 0.12 * controls["dip"]  # over heels, not toes
    pelvis = np.empty((len(ground), 3))
    pelvis[:, 0] = ground[:, 0] + cosine * controls["sway"] + sine * behind
    pelvis[:, 2] = ground[:, 1] - sine * controls["sway"] + cosine * behind
    top = STANDING_M - 0.02 - controls["dip"]
    hips = np.stack([cosine, -sine], axis=1) * REST_OFFSETS_M[_J["left_hip"], 0]
    for sign, foot, side in zip((1, -1), feet, ("left", "right"), strict=True):
        ankle = _ankle_m(foot, side)[0]
        across = np.linalg.norm(pelvis[:, ::2] + sign * hips - ankle[:, ::2], axis=1)
        reach = (
            ankle[:, 1]
            + np.sqrt(np.maximum((0.98 * _LEG_M) ** 2 - across**2, 0.04))
            - REST_OFFSETS_M[_J["left_hip"], 1]
        )
        top = np.minimum(top, reach + 4 * np.maximum(foot.ball_m[:, 1] - 0.1, 0))  # a foot in the air binds nobody
    pelvis[:, 1] = np.minimum(top, gaussian_filter1d(top, 2.0, mode="nearest"))
    return pelvis


def pose_body(controls: dict[str, np.ndarray], left: FootPath, right: FootPath) -> SmplPoses:
    """Solve a whole body.

    Args:
        controls: a [time] array for each of `moves.CHANNELS`, radians and metres.
        left, right: the feet.
    """
    frames = len(controls["dip"])
    local = np.broadcast_to(np.eye(3), (frames, 24, 3, 3)).copy()
    local[:, 0] = rotation(1, controls["turn"]) @ rotation(2, -controls["tilt"]) @ rotation(0, controls["lean"])
    pelvis_m = _pelvis_m(controls, (left, right))
    _spine(local, controls)
    for side, foot in (("left", left), ("right", right)):
        _arm(local, controls, side)
        _leg(local, pelvis_m, foot, side)
    poses = matrix_to_axis_angle(local).reshape(frames, 72)
    return SmplPoses(poses.astype(np.float32), pelvis_m.astype(np.float32))
