"""A body seen in a picture: the points that detectors of two dimensions have in common, and a motion made of them.

Depth is not seen. Hips and shoulders get the depth that their narrowing shows, so that the trunk turns as the dancer does; limbs
stay in the plane of the picture. So the music's beats are read from the points themselves (`d2m.rhythm.reader` looks at every
dance from the side), and the motion is what a generator is shown beside them.
"""

from typing import Final

import numpy as np
from jaxtyping import Float
from scipy.ndimage import gaussian_filter1d

from d2m.core.timeline import MOTION_FPS
from d2m.motion.features import SmplMotion, resample_points
from d2m.motion.joints import motion_of_joints
from d2m.motion.landmarks import (
    LANDMARK_NAMES,
    Landmarks,
    adaptively_smoothed,
    join_at,
    noise_of,
    smoothed_by_shots,
    without_spikes,
)
from d2m.motion.smpl import JOINT_NAMES

POINTS = (
    "head", "left_shoulder", "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist",
    "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle",
)  # fmt: skip
"""Points of the body that every recording has: those of COCO, with one for the head, by the names of SMPL's joints."""

COCO = (
    "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow", "right_elbow",
    "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle",
)  # fmt: skip
"""COCO's 17 keypoints; the nose stands for the head."""

_OPENPOSE_BODY = (
    "nose", "neck", "right_shoulder", "right_elbow", "right_wrist", "left_shoulder", "left_elbow", "left_wrist",
)  # fmt: skip
_OPENPOSE_LEGS = ("right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle")

LAYOUTS: Final[dict[int, tuple[str, ...]]] = {
    17: COCO,
    18: (*_OPENPOSE_BODY, *_OPENPOSE_LEGS, "right_eye", "left_eye", "right_ear", "left_ear"),
    25: (*_OPENPOSE_BODY, "middle_hip", *_OPENPOSE_LEGS, "right_eye", "left_eye", "right_ear", "left_ear"),
    26: COCO,
    33: LANDMARK_NAMES,
    133: COCO,
    136: COCO,
}
"""Count of keypoints → names of the first ones: COCO, OpenPose's two bodies, MediaPipe, Halpe and whole bodies, which begin as COCO."""

BODY_HEIGHT_M = 1.45
"""From the ankles to the head's joint."""

_TURNING_S = 0.1
"""Smoothing of how far the trunk is turned."""


def body_points(keypoints: Float[np.ndarray, "time keypoint 2"]) -> Float[np.ndarray, "time 13 2"]:
    """`POINTS` of a layout's keypoints in a picture (y down), to the right and up, in the picture's unit; NaN where not seen.

    The head is where the nose is, and the middle of eyes and ears in frames that do not show it.
    """
    names = LAYOUTS[keypoints.shape[1]]
    points = keypoints[:, _columns(names)] * np.array([1.0, -1.0])
    others = [number for number, name in enumerate(names) if name.endswith(("_eye", "_ear"))]
    if others:
        face = np.ma.masked_invalid(keypoints[:, others]).mean(axis=1).filled(np.nan) * np.array([1.0, -1.0])
        points[:, 0] = np.where(np.isnan(points[:, 0]), face, points[:, 0])
    return points


def _columns(names: tuple[str, ...]) -> list[int]:
    return [names.index("nose" if name == "head" else name) for name in POINTS]


def in_metres(points: Float[np.ndarray, "time 13 2"]) -> Float[np.ndarray, "time 13 2"]:
    """Points at any scale as those of a body of usual height; it stands upright for a fifth of the time, its ankles mostly above
    0, and its hips in the middle on the mean."""
    ankles = points[:, [POINTS.index("left_ankle"), POINTS.index("right_ankle")]]
    height = np.quantile(points[:, 0, 1] - ankles[..., 1].mean(axis=1), 0.8)
    reach = np.ptp(points[..., 1], axis=1).max()
    hips = points[:, [POINTS.index("left_hip"), POINTS.index("right_hip")], 0]
    origin = np.array([hips.mean(), np.quantile(ankles[..., 1], 0.02)])
    return (points - origin) * BODY_HEIGHT_M / max(float(height), 0.3 * float(reach), 1e-9)


def smooth_points(points: Float[np.ndarray, "time 13 2"], fps: float | int) -> Float[np.ndarray, "frame 13 2"]:
    """Points in metres at 60 fps: slips of single frames mended, and smoothed as a film's landmarks are."""
    frames = round(len(points) * MOTION_FPS / fps)
    noise = noise_of(points) * np.sqrt(MOTION_FPS / fps)
    return adaptively_smoothed(
        resample_points(without_spikes(points, np.arange(len(points)) / fps), fps, frames), noise
    )


def seen_points(landmarks: Landmarks) -> Float[np.ndarray, "time 13 2"]:
    """Points at 60 fps of somebody whose landmarks in a picture are known, in metres, smoothed as `smooth_world` does; every shot
    has its own scale, since another camera is nearer or farther."""
    pixels, points = (
        landmarks.image[..., :2] * np.array(landmarks.size),
        np.zeros((len(landmarks.times_s), len(POINTS), 2)),
    )
    for of_frames, _ in landmarks.shots():
        seen = landmarks.seen[of_frames]
        points[of_frames][seen] = in_metres(body_points(pixels[of_frames][seen]))
    made = smoothed_by_shots(landmarks, points, landmarks.outside()[:, _columns(LANDMARK_NAMES)])
    for _, of_moments in landmarks.shots()[1:]:
        join_at(made, of_moments.start)
    return made


def motion_of_points(points: Float[np.ndarray, "time 13 2"]) -> SmplMotion:
    """A motion in the plane of the picture, at 60 fps.

    Args:
        points: to the right and up, metres, 60 fps.
    """
    joints = np.full((len(points), 24, 3), np.nan)
    for number, name in enumerate(POINTS):
        joints[:, JOINT_NAMES.index(name), :2] = points[:, number]
        joints[:, JOINT_NAMES.index(name), 2] = 0.0
    for part, below in (("hip", ("knee", "ankle")), ("shoulder", ("elbow", "wrist"))):
        left, right = (joints[:, JOINT_NAMES.index(f"{side}_{part}")] for side in ("left", "right"))
        seen = np.linalg.norm((left - right)[:, :2], axis=-1)
        depth = np.sqrt(np.maximum(np.quantile(seen, 0.9) ** 2 - seen**2, 0.0))
        depth = gaussian_filter1d(depth, _TURNING_S * MOTION_FPS)
        for side, sign in (("left", 0.5), ("right", -0.5)):
            for name in (part, *below):
                joints[:, JOINT_NAMES.index(f"{side}_{name}"), 2] = sign * depth
    joints[:, JOINT_NAMES.index("head")] = np.nan
    return motion_of_joints(joints, MOTION_FPS)
