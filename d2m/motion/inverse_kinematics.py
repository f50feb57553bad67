"""Landmarks to SMPL: a rotation for each of the 24 joints, so that the built-in skeleton's bones point as the dancer's do.

Pelvis and chest are set by the lines of hips and shoulders, the head by all landmarks of the face. Every limb follows from
the trunk outwards: the smallest rotation, in the parent's frame, that takes the bone from its rest direction to the one
seen (the swing). How a bone turns about itself (the twist) cannot be seen on it, but where elbow or knee is bent the next
bone shows it: these joints are hinges, so the upper bone is twisted until the bend happens about the hinge's axis, as
much as the bend is clear, and evenly through time.
"""

from dataclasses import dataclass
from functools import partial

import numpy as np
from jaxtyping import Float
from scipy.ndimage import gaussian_filter1d, grey_closing
from scipy.spatial.transform import Rotation

from d2m.core.timeline import MOTION_FPS
from d2m.motion.features import SmplMotion
from d2m.motion.landmarks import LANDMARK_NAMES, Landmarks, at_60_fps, smoothed
from d2m.motion.smpl import JOINT_NAMES, PARENTS, REST_OFFSETS_M, joint_positions

TO_Y_UP = np.array([1.0, -1.0, -1.0])
"""MediaPipe's axes (right of the picture, down, away) to the world's (left of a dancer who faces the camera, up, front)."""

FACE_M = np.array([
    (0, 0, 0.11), (0.017, 0.035, 0.085), (0.032, 0.035, 0.08), (0.045, 0.035, 0.07), (-0.017, 0.035, 0.085),
    (-0.032, 0.035, 0.08), (-0.045, 0.035, 0.07), (0.075, 0.01, 0), (-0.075, 0.01, 0), (0.025, -0.035, 0.085),
    (-0.025, -0.035, 0.085),
])  # fmt: skip
"""Landmarks 0 to 10 (nose, eyes, ears, mouth) of a head that looks along z: round figures of a plausible adult."""

_J = {name: index for index, name in enumerate(JOINT_NAMES)}
_L = {name: index for index, name in enumerate(LANDMARK_NAMES)}
_SEGMENTS = (("shoulder", "elbow"), ("elbow", "wrist"), ("hip", "knee"), ("knee", "ankle"))
_TWIST_SMOOTHING_S = 0.15
_TWIST_PRIOR = 0.15
"""Weight of 'no twist' beside what a right-angled bend (weight 1) shows."""

_Vectors = Float[np.ndarray, "time 3"]
_Matrices = Float[np.ndarray, "time 3 3"]


@dataclass(frozen=True)
class Hinge:
    """A limb of two bones with a hinge between them.

    Args:
        joints: where upper bone, lower bone and end piece begin, e.g. hip, knee, ankle.
        axis: of the hinge in the rest pose; a positive turn about it is the bend that the joint can do.
        end_rest: rest direction of the end piece (hand or foot).
    """

    joints: tuple[str, str, str]
    axis: tuple[float, float, float]
    end_rest: tuple[float, float, float]


_ARM_AXIS = {"left": (0.0, -1.0, 0.0), "right": (0.0, 1.0, 0.0)}
LIMBS = [
    limb
    for side, outward in (("left", 1.0), ("right", -1.0))
    for limb in (
        Hinge((f"{side}_shoulder", f"{side}_elbow", f"{side}_wrist"), _ARM_AXIS[side], (outward, 0.0, 0.0)),
        Hinge((f"{side}_hip", f"{side}_knee", f"{side}_ankle"), (1.0, 0.0, 0.0), (0.0, 0.0, 1.0)),
    )
]


def solve_inverse_kinematics(world: Float[np.ndarray, "time 33 3"]) -> Float[np.ndarray, "time 24 3 3"]:
    """SMPL rotations of landmarks: the pelvis's in the world, the others' in their parent's frame.

    Args:
        world: smooth world landmarks at 60 fps, MediaPipe's axes, metres.
    """
    points = world * TO_Y_UP
    local = np.broadcast_to(np.eye(3), (len(points), len(JOINT_NAMES), 3, 3)).copy()
    pelvis, chest, head = _trunk(points)
    share_turn(local, pelvis, chest, ("spine1", "spine2", "spine3"))
    local[:, 0] = pelvis
    share_turn(local, chest, head, ("neck", "head"))
    for limb in LIMBS:
        place_limb(local, chest if "shoulder" in limb.joints[0] else pelvis, limb, _bones(points, limb))
    return local


def segment_vectors_m(
    joints: Float[np.ndarray, "time 24 3"], points: Float[np.ndarray, "time 33 3"]
) -> tuple[Float[np.ndarray, "time 9 3"], Float[np.ndarray, "time 9 3"]]:
    """Trunk and limbs as vectors: those of the skeleton, and the landmarks' scaled to the same lengths.

    Args:
        joints: SMPL's, metres.
        points: landmarks, Y up.
    """
    pairs = [(f"{side}_{a}", f"{side}_{b}") for side in ("left", "right") for a, b in _SEGMENTS]
    made = [joints[:, _J[b]] - joints[:, _J[a]] for a, b in pairs]
    seen = [points[:, _L[b]] - points[:, _L[a]] for a, b in pairs]
    shoulders, hips = (
        (joints[:, _J[f"left_{what}"]] + joints[:, _J[f"right_{what}"]]) / 2 for what in ("shoulder", "hip")
    )
    skeleton = np.stack([*made, shoulders - hips], axis=1)
    landmarks = unit(np.stack([*seen, _middle(points, "shoulder") - _middle(points, "hip")], axis=1))
    return skeleton, landmarks * np.linalg.norm(skeleton, axis=-1, keepdims=True)


def unit(vectors: Float[np.ndarray, "*time 3"]) -> Float[np.ndarray, "*time 3"]:
    """Vectors of length 1; of length 0 where they have none."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-9)


def _middle(points: Float[np.ndarray, "time 33 3"], what: str) -> _Vectors:
    return (points[:, _L[f"left_{what}"]] + points[:, _L[f"right_{what}"]]) / 2


def frame_across(
    across: Float[np.ndarray, "*time 3"], up: Float[np.ndarray, "*time 3"]
) -> Float[np.ndarray, "*time 3 3"]:
    """Axes as columns: x exactly along `across`, y as near to `up` as it can be."""
    x = unit(across)
    z = unit(np.cross(x, up))
    return np.stack([x, np.cross(z, x), z], axis=-1)


def frame_by_up(across: _Vectors, up: _Vectors) -> _Matrices:
    """Axes as columns: y exactly along `up`, x as near to `across` as it can be."""
    y = unit(up)
    z = unit(np.cross(across, y))
    return np.stack([np.cross(y, z), y, z], axis=-1)


def _trunk(points: Float[np.ndarray, "time 33 3"]) -> tuple[_Matrices, _Matrices, _Matrices]:
    """Pelvis, chest and head in the world."""
    up = _middle(points, "shoulder") - _middle(points, "hip")
    hips = points[:, _L["left_hip"]] - points[:, _L["right_hip"]]
    shoulders = points[:, _L["left_shoulder"]] - points[:, _L["right_shoulder"]]
    rest_up = np.array([[0.0, *_rest_spine()[1:]]])
    across = np.array([[1.0, 0.0, 0.0]])
    rest_pelvis, rest_chest = frame_across(across, rest_up)[0], frame_by_up(across, rest_up)[0]
    pelvis, chest = frame_across(hips, up) @ rest_pelvis.T, frame_by_up(shoulders, up) @ rest_chest.T
    return pelvis, chest, _best_rotation(FACE_M, points[:, : len(FACE_M)])


def _rest_spine() -> Float[np.ndarray, " 3"]:
    """From the middle of the hips to the middle of the shoulders in the rest pose."""

    def position(joint: int) -> np.ndarray:
        return REST_OFFSETS_M[joint] + (position(PARENTS[joint]) if PARENTS[joint] >= 0 else 0.0)

    return position(_J["left_shoulder"]) - position(_J["left_hip"])


def _best_rotation(shape: Float[np.ndarray, "point 3"], points: Float[np.ndarray, "time point 3"]) -> _Matrices:
    """The rotations that bring `shape` nearest to `points` (Kabsch, 1976)."""
    centred = points - points.mean(axis=1, keepdims=True)
    u, _, v = np.linalg.svd(centred.swapaxes(1, 2) @ (shape - shape.mean(axis=0)))
    u[:, :, 2] *= np.sign(np.linalg.det(u @ v))[:, None]
    return u @ v


def share_turn(
    local: Float[np.ndarray, "time 24 3 3"], lower: _Matrices, upper: _Matrices, joints: tuple[str, ...]
) -> None:
    """Divide the turn from `lower` to `upper` evenly among joints."""
    arc = Rotation.from_matrix(lower.swapaxes(1, 2) @ upper).as_rotvec() / len(joints)
    local[:, [_J[joint] for joint in joints]] = Rotation.from_rotvec(arc).as_matrix()[:, None]


def _bones(points: Float[np.ndarray, "time 33 3"], limb: Hinge) -> tuple[_Vectors, _Vectors, _Vectors]:
    """Directions of upper bone, lower bone and hand or foot."""
    upper, lower, end = (points[:, _L[joint]] for joint in limb.joints)
    side, part = limb.joints[2].split("_")
    if part == "wrist":
        tip = (points[:, _L[f"{side}_index"]] + points[:, _L[f"{side}_pinky"]]) / 2 - end
    else:  # from the heel, which is the longer and steadier line
        tip = points[:, _L[f"{side}_foot_index"]] - points[:, _L[f"{side}_heel"]]
    return unit(lower - upper), unit(end - lower), unit(tip)


def place_limb(
    local: Float[np.ndarray, "time 24 3 3"],
    parent: _Matrices,
    limb: Hinge,
    bones: tuple[_Vectors, _Vectors, _Vectors | None],
    fps: float | int = MOTION_FPS,
) -> None:
    """Write the three rotations of a limb whose parent stands in the world as `parent`.

    Args:
        local: of all joints; those of the limb are written.
        parent: global rotations of what the limb hangs on (a landmark's collar does not turn: the chest).
        limb: see `Hinge`.
        bones: directions in the world of upper bone, lower bone, and end piece; an end piece not seen does not turn.
        fps: frames per second.
    """
    upper, lower, end = (_J[joint] for joint in limb.joints)
    upper_rest, lower_rest = unit(REST_OFFSETS_M[lower]), unit(REST_OFFSETS_M[end])
    seen = _into(parent, bones[0])
    swung = swing(upper_rest, seen)
    twist = _twist(swung, upper_rest, lower_rest, _into(parent, bones[1]), np.array(limb.axis), fps)
    local[:, upper] = swung @ Rotation.from_rotvec(twist[:, None] * upper_rest).as_matrix()
    stands = parent @ local[:, upper]
    local[:, lower] = swing(lower_rest, _into(stands, bones[1]))
    if bones[2] is None:
        return
    stands = stands @ local[:, lower]
    local[:, end] = swing(np.array(limb.end_rest), _into(stands, bones[2]))


def _into(frame: _Matrices, vectors: _Vectors) -> _Vectors:
    """World vectors as seen from a rotated frame."""
    return (frame.swapaxes(1, 2) @ vectors[..., None])[..., 0]


def swing(rest: Float[np.ndarray, " 3"], seen: _Vectors) -> _Matrices:
    """The smallest rotations that take unit vector `rest` to unit vectors `seen`.

    Just before the opposite direction, where the axis is lost, it stays finite; there it is a rotation no more, so the
    columns are made orthonormal again.
    """
    cross, cosine = np.cross(rest, seen), seen @ rest
    skew = np.zeros((len(seen), 3, 3))
    skew[:, 2, 1], skew[:, 0, 2], skew[:, 1, 0] = cross.T
    skew -= skew.swapaxes(1, 2)
    turn = np.eye(3) + skew + skew @ skew / np.maximum(1 + cosine, 1e-3)[:, None, None]
    u, _, v = np.linalg.svd(turn)
    u[:, :, 2] *= np.sign(np.linalg.det(u @ v))[:, None]
    return u @ v


def _twist(
    swung: _Matrices,
    upper_rest: np.ndarray,
    lower_rest: np.ndarray,
    lower_seen: _Vectors,
    axis: np.ndarray,
    fps: float | int,
) -> Float[np.ndarray, " time"]:
    """Turn of the upper bone about itself, radians, that lets its hinge do the bend that is seen.

    Seen from the swung bone, the lower bone leaves it in some direction; a bent hinge would send it at right angles to
    the axis. The angle between the two is the twist. As points of the unit circle the angles of all frames are averaged
    over time, each with the sine of its bend squared as weight beside a constant vote for none: no jumps by a full turn.
    """
    bend_rest = unit(np.cross(axis, upper_rest))
    side = np.cross(upper_rest, bend_rest)
    lower = _into(swung, lower_seen)
    x, y = lower @ bend_rest, lower @ side
    votes = (x + 1j * y) * np.hypot(x, y)
    width = _TWIST_SMOOTHING_S * fps
    smooth = gaussian_filter1d(votes.real, width) + 1j * gaussian_filter1d(votes.imag, width)
    return np.angle(smooth + _TWIST_PRIOR)


# Where the pelvis is in the room: the world landmarks have it in their origin, so it is found again from feet and picture.
#
# Height: the lowest foot stands on the floor, but for jumps, which the picture shows. Path over the floor: a foot that
# stands does not slide, which gives every step; what would drift over seconds is taken from the picture instead, to the left
# and right only, as depth cannot be told well from one camera.


BALL_HEIGHT_M = 0.02
"""Height of SMPL's foot joint above the floor that a flat foot stands on."""

_SOLES = [_J["left_foot"], _J["right_foot"], _J["left_ankle"], _J["right_ankle"]]
_SOLE_HEIGHTS_M = np.array([BALL_HEIGHT_M] * 2 + [BALL_HEIGHT_M - REST_OFFSETS_M[_J["left_foot"], 1]] * 2)
_CONTACT_M = 0.03
"""A sole this much higher than the lowest one carries less than half as much of the stance."""

_DRIFT_S = 0.7
"""Standard deviation of the window below which the feet, and above which the picture, give the path."""

_PICTURE_S = 0.18
"""Smoothing of places in the picture."""

_MOSTLY = 0.5
"""Share of the frames with no ankle in the picture, above which feet are not looked at."""

_JUMP_S = 0.8
_JUMP_M = 0.05
"""Jumps are shorter than this; what rises less than this is noise."""


def pelvis_path(
    rotations: Float[np.ndarray, "time 24 3 3"], world: Float[np.ndarray, "time 33 3"], landmarks: Landmarks
) -> Float[np.ndarray, "time 3"]:
    """Position of the pelvis in metres, Y up, the floor at 0, the clip's mean over the origin.

    Args:
        rotations: what `solve_inverse_kinematics` made of `world`.
        world: smooth world landmarks at 60 fps.
        landmarks: those of the frames, for their place in the picture.
    """
    joints = joint_positions(rotations, np.zeros((len(rotations), 3)))
    soles = joints[:, _SOLES]
    heights = soles[..., 1] - _SOLE_HEIGHTS_M
    place, jump = _in_picture(landmarks)
    path, slow = _planted(soles, heights), partial(gaussian_filter1d, sigma=_DRIFT_S * MOTION_FPS, axis=0)
    path, slow_place = path - slow(path), slow(place)
    path[:, 0] += slow_place[:, 0]
    path[:, 1] = smoothed(-heights.min(axis=1), 0.1) + jump
    if (
        landmarks.outside_share("ankle") > _MOSTLY
    ):  # no foot is seen to stand: the picture tells how the hips rise and fall
        path[:, 1] = path[:, 1].mean() + place[:, 1] - slow_place[:, 1]
    path[:, [0, 2]] -= path[:, [0, 2]].mean(axis=0)
    return path


def _planted(
    soles: Float[np.ndarray, "time sole 3"], heights: Float[np.ndarray, "time sole"]
) -> Float[np.ndarray, "time 3"]:
    """The path over the floor on which the soles that carry stand still; each counts by how near the floor it is."""
    weights = np.exp(-(((heights - heights.min(axis=1, keepdims=True)) / _CONTACT_M) ** 2))
    weights /= weights.sum(axis=1, keepdims=True)
    steps = np.diff(soles, axis=0)
    between = (weights[1:] + weights[:-1])[..., None] / 2
    return np.concatenate([np.zeros((1, 3)), -(between * steps).sum(axis=1).cumsum(axis=0)])


def _in_picture(landmarks: Landmarks) -> tuple[Float[np.ndarray, "time 2"], Float[np.ndarray, " time"]]:
    """Where the hips are to the right and up, and how high above the floor the lower foot is in a jump; metres, without steps
    at cuts.

    The scale is that of a distant camera (weak perspective): the factor that best takes world landmarks to the picture's.
    """
    pixels = at_60_fps(landmarks, landmarks.image[..., :2]) * np.array(landmarks.size)
    lengths = at_60_fps(landmarks, landmarks.world)[..., :2]
    place, jump, last = np.zeros((len(pixels), 2)), np.zeros(len(pixels)), np.zeros(2)
    hips = [_L["left_hip"], _L["right_hip"]]
    feet = [_L[f"{side}_{part}"] for side in ("left", "right") for part in ("heel", "foot_index")]
    for _, shot in landmarks.shots():
        places = smoothed(pixels[shot], _PICTURE_S)
        middle = places[:, hips].mean(axis=1)
        offsets = places - middle[:, None]
        scale = (offsets * lengths[shot]).sum(axis=(1, 2)) / np.maximum((lengths[shot] ** 2).sum(axis=(1, 2)), 1e-6)
        scale = np.maximum(gaussian_filter1d(scale, MOTION_FPS), 1e-3)
        low = places[:, feet, 1].max(axis=1) / scale
        rise = grey_closing(low, round(_JUMP_S * MOTION_FPS)) - low
        jump[shot] = smoothed(np.maximum(rise - _JUMP_M, 0.0), 0.1)
        here = middle / scale[:, None] * (1, -1)
        place[shot] = here + (last - here[0] if shot.start else 0.0)
        last = place[shot][-1]
    return place, jump


def motion_of_landmarks(world: Float[np.ndarray, "time 33 3"], landmarks: Landmarks) -> SmplMotion:
    """The motion at 60 fps of a clip's landmarks, turned so that it faces the front on the mean.

    Args:
        world: what `smooth_world` made of `landmarks`.
        landmarks: of which somebody is seen in some frames.
    """
    rotations = solve_inverse_kinematics(world)
    return SmplMotion(*_facing_front(rotations, pelvis_path(rotations, world, landmarks)))


def _facing_front(
    rotations: Float[np.ndarray, "time 24 3 3"], translation: Float[np.ndarray, "time 3"]
) -> tuple[Float[np.ndarray, "time 24 3 3"], Float[np.ndarray, "time 3"]]:
    """The whole dance turned so that the pelvis looks to the front (z) on the mean."""
    ahead = rotations[:, 0, :, 2].mean(axis=0)
    length = np.hypot(ahead[0], ahead[2])
    if length < 1e-6:
        return rotations, translation
    sine, cosine = ahead[0] / length, ahead[2] / length
    turn = np.array([[cosine, 0, -sine], [0, 1, 0], [sine, 0, cosine]])
    turned = rotations.copy()
    turned[:, 0] = turn @ rotations[:, 0]
    return turned, translation @ turn.T
