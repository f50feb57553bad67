"""Joint positions → SMPL rotations, so that the built-in skeleton's bones point as the recorded ones do.

Where a recording's skeleton is the built-in one, its joints come back where they were; another's limbs point the same way, and
its path is scaled by the legs, so that feet that stand do not slide. Nothing of this filters over time but the twist of
upper arms and thighs, which positions do not show (`d2m.motion.inverse_kinematics`).
"""

from dataclasses import replace

import numpy as np
from jaxtyping import Bool, Float
from scipy.spatial.transform import Rotation

from d2m.motion.features import SmplMotion
from d2m.motion.inverse_kinematics import LIMBS, frame_across, frame_by_up, place_limb, share_turn, swing, unit
from d2m.motion.smpl import JOINT_NAMES, PARENTS, REST_OFFSETS_M, joint_positions

BODY_HEIGHT_M = 1.7
"""Of the built-in skeleton with the top of its skull."""

NEEDED = tuple(
    f"{side}_{joint}" for side in ("left", "right") for joint in ("hip", "knee", "ankle", "shoulder", "elbow", "wrist")
)
"""Joints without which there is no body."""

_J = {name: index for index, name in enumerate(JOINT_NAMES)}
_REST_M = joint_positions(np.tile(np.eye(3), (1, 24, 1, 1)), np.zeros((1, 3)))[0]
_LEGS = [("hip", "knee"), ("knee", "ankle")]
_BONES = [*_LEGS, ("shoulder", "elbow"), ("elbow", "wrist")]
_STEADY = 0.1
"""Bones of a body differ by less than this share of their length from their middle one."""

_UNITS_M = {"m": 1.0, "cm": 0.01, "mm": 0.001, "inches": 0.0254, "feet": 0.3048}
_SHORTEST_M, _TALLEST_M = 1.2, 2.1

_Joints = Float[np.ndarray, "time 24 3"]
_Matrices = Float[np.ndarray, "time 3 3"]


def known_joints(joints: _Joints) -> Bool[np.ndarray, " 24"]:
    """Joints that the recording has; the others are NaN throughout."""
    return np.asarray(~np.isnan(joints[..., 0]).all(axis=0))


def _bone_lengths(joints: _Joints, bones: list[tuple[str, str]]) -> Float[np.ndarray, "time bone"]:
    pairs = [(f"{side}_{a}", f"{side}_{b}") for side in ("left", "right") for a, b in bones]
    return np.stack([np.linalg.norm(joints[:, _J[b]] - joints[:, _J[a]], axis=-1) for a, b in pairs], axis=1)


def is_a_body(joints: _Joints) -> bool:
    """Whether these are positions of a body: its bones keep their lengths, and none is of length 0."""
    lengths = _bone_lengths(joints, _BONES)
    middle = np.median(lengths, axis=0)
    return bool((middle > 0).all() and (np.median(np.abs(lengths - middle), axis=0) < _STEADY * middle).all())


def body_height(joints: _Joints) -> float:
    """Height of the body in the recording's unit: its legs and its trunk beside those of the built-in skeleton."""

    def measure(of: _Joints) -> float:
        trunk = _middle(of, "shoulder") - _middle(of, "hip")
        return float(np.median(_bone_lengths(of, _LEGS), axis=0).sum() / 2 + np.median(np.linalg.norm(trunk, axis=-1)))

    return BODY_HEIGHT_M * measure(joints) / measure(_REST_M[None])


def unit_said(joints: _Joints) -> str:
    """What unit makes the body a person's height, in words; the motion is scaled to the built-in body in any case."""
    height = body_height(joints)
    for name, metres in _UNITS_M.items():
        if _SHORTEST_M <= height * metres <= _TALLEST_M:
            return f"lengths in {name}, a body {height * metres:.2f} m tall"
    return f"lengths of no usual unit, a body {height:.3g} tall taken for {BODY_HEIGHT_M} m"


def motion_of_joints(joints: _Joints, fps: float | int) -> SmplMotion:
    """The motion whose joints these are.

    Args:
        joints: positions in SMPL's order, Y up, in any unit; NaN throughout where the recording has no such joint (`NEEDED`
            ones it has).
        fps: frames per second.
    """
    known = known_joints(joints)
    local = np.broadcast_to(np.eye(3), (len(joints), 24, 3, 3)).copy()
    pelvis, chest = _pelvis(joints, known), _chest(joints, known)
    _place_spine(local, joints, known, pelvis, chest)
    for side in ("left", "right"):
        collar, shoulder = _J[f"{side}_collar"], _J[f"{side}_shoulder"]
        if known[collar]:
            seen = unit(joints[:, shoulder] - joints[:, collar])
            local[:, collar] = swing(unit(REST_OFFSETS_M[shoulder]), _into(chest, seen))
    for limb in LIMBS:
        upper, lower, end = (_J[joint] for joint in limb.joints)
        tip = next(joint for joint, parent in enumerate(PARENTS) if parent == end)
        parent = pelvis if PARENTS[upper] == 0 else chest @ local[:, PARENTS[upper]]
        bones = (
            unit(joints[:, lower] - joints[:, upper]),
            unit(joints[:, end] - joints[:, lower]),
            unit(joints[:, tip] - joints[:, end]) if known[tip] else None,
        )
        place_limb(local, parent, replace(limb, end_rest=tuple(unit(REST_OFFSETS_M[tip]))), bones, fps)
    return SmplMotion(local, pelvis_places(joints, pelvis))


def pelvis_places(joints: _Joints, pelvis: _Matrices) -> Float[np.ndarray, "time 3"]:
    """Where the built-in skeleton's pelvis is, so that its hips are the recorded ones, in metres of its own legs.

    Args:
        joints: see `motion_of_joints`.
        pelvis: its global rotations.
    """
    scale = float(_bone_lengths(_REST_M[None], _LEGS).sum() / np.median(_bone_lengths(joints, _LEGS), axis=0).sum())
    hips = (_REST_M[_J["left_hip"]] + _REST_M[_J["right_hip"]]) / 2
    return scale * _middle(joints, "hip") - pelvis @ hips


def _middle(joints: _Joints, what: str) -> Float[np.ndarray, "time 3"]:
    return (joints[:, _J[f"left_{what}"]] + joints[:, _J[f"right_{what}"]]) / 2


def _across(joints: _Joints, what: str) -> Float[np.ndarray, "time 3"]:
    return joints[:, _J[f"left_{what}"]] - joints[:, _J[f"right_{what}"]]


def _into(frame: _Matrices, vectors: Float[np.ndarray, "time 3"]) -> Float[np.ndarray, "time 3"]:
    return (frame.swapaxes(1, 2) @ vectors[..., None])[..., 0]


def _pelvis(joints: _Joints, known: Bool[np.ndarray, " 24"]) -> _Matrices:
    """Global rotations: across the hips exactly, up as nearly as can be."""

    def frame(of: _Joints) -> _Matrices:
        top = of[:, _J["spine1"]] if known[_J["spine1"]] else _middle(of, "shoulder")
        return frame_across(_across(of, "hip"), top - _middle(of, "hip"))

    return frame(joints) @ frame(_REST_M[None]).swapaxes(1, 2)


def _chest(joints: _Joints, known: Bool[np.ndarray, " 24"]) -> _Matrices:
    """Global rotations: along the upper trunk exactly, across it as nearly as can be."""
    ends = "collar" if known[[_J["left_collar"], _J["right_collar"]]].all() else "shoulder"
    whole = known[[_J["spine3"], _J["neck"]]].all()

    def frame(of: _Joints) -> _Matrices:
        up = of[:, _J["neck"]] - of[:, _J["spine3"]] if whole else _middle(of, "shoulder") - _middle(of, "hip")
        return frame_by_up(_across(of, ends), up)

    return frame(joints) @ frame(_REST_M[None]).swapaxes(1, 2)


def _place_spine(
    local: Float[np.ndarray, "time 24 3 3"],
    joints: _Joints,
    known: Bool[np.ndarray, " 24"],
    pelvis: _Matrices,
    chest: _Matrices,
) -> None:
    """Write pelvis, spine, neck: the turn from pelvis to chest shared evenly, then bent to where the next joint is seen."""
    local[:, 0] = pelvis
    if not known[[_J["spine1"], _J["spine2"], _J["spine3"]]].all():
        share_turn(local, pelvis, chest, ("spine1", "spine2", "spine3"))
    else:
        arc = Rotation.from_matrix(pelvis.swapaxes(1, 2) @ chest).as_rotvec()
        world = pelvis
        for share, joint, above in ((1 / 3, "spine1", "spine2"), (2 / 3, "spine2", "spine3")):
            guess = pelvis @ Rotation.from_rotvec(share * arc).as_matrix()
            bent = guess @ swing(
                unit(REST_OFFSETS_M[_J[above]]), _into(guess, unit(joints[:, _J[above]] - joints[:, _J[joint]]))
            )
            local[:, _J[joint]] = world.swapaxes(1, 2) @ bent
            world = bent
        local[:, _J["spine3"]] = world.swapaxes(1, 2) @ chest
    if known[[_J["neck"], _J["head"]]].all():
        seen = unit(joints[:, _J["head"]] - joints[:, _J["neck"]])
        local[:, _J["neck"]] = swing(unit(REST_OFFSETS_M[_J["head"]]), _into(chest, seen))
