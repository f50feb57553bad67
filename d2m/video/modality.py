"""What of a dance a system is shown: its features, its landmarks (seen, or those of its skeleton), small pictures of a film."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from d2m.core.errors import BadInput
from d2m.motion.dance import Dance
from d2m.motion.features import features_to_smpl
from d2m.motion.inverse_kinematics import FACE_M, TO_Y_UP
from d2m.motion.landmarks import LANDMARK_NAMES, Landmarks, centred, smooth_world
from d2m.motion.smpl import JOINT_NAMES, forward_kinematics

J = {name: index for index, name in enumerate(JOINT_NAMES)}
L = {name: index for index, name in enumerate(LANDMARK_NAMES)}
CAMERA_M = np.array([0.0, 1.1, 4.0])
SAME_NAMES = ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")


def points_of(features: Float[np.ndarray, "time 219"]) -> Float[np.ndarray, "time 33 3"]:
    """The 33 landmarks of a dance in its own world (Y up, metres)."""
    motion = features_to_smpl(features.astype(np.float64))
    joints, turns = forward_kinematics(motion.rotations, motion.translation)
    points = np.zeros((len(features), len(LANDMARK_NAMES), 3))

    def put(name: str, joint: str, offset_m: Sequence[float | int]) -> None:
        points[:, L[name]] = joints[:, J[joint]] + turns[:, J[joint]] @ np.array(offset_m)

    for index, offset in enumerate(FACE_M):
        put(LANDMARK_NAMES[index], "head", (offset[0], offset[1] + 0.05, offset[2]))
    for side, out in (("left", 1.0), ("right", -1.0)):
        for name in SAME_NAMES:
            put(f"{side}_{name}", f"{side}_{name}", (0, 0, 0))
        put(f"{side}_pinky", f"{side}_wrist", (out * 0.08, 0, -0.03))
        put(f"{side}_index", f"{side}_wrist", (out * 0.09, 0, 0.03))
        put(f"{side}_thumb", f"{side}_wrist", (out * 0.04, 0, 0.05))
        put(f"{side}_heel", f"{side}_ankle", (0, -0.06, -0.05))
        put(f"{side}_foot_index", f"{side}_ankle", (out * 0.01, -0.06, 0.17))
    return points


def landmarks_of(
    features: Float[np.ndarray, "time 219"],
    fps: float | int = 30.0,
    noise_m: float | int = 0.0,
    dropped: float | int = 0.0,
    seed: int = 0,
    uneven_s: float | int = 0.0,
    size: tuple[int, int] = (1280, 720),
    depth: float | int = 1.0,
) -> Landmarks:
    """What a camera 4 m in front of the dance would give.

    Args:
        features: at 60 fps.
        fps: of the camera; uneven_s: standard deviation of its frames' times.
        noise_m: standard deviation of each coordinate, white in time, the same in the picture.
        dropped: share of frames in which nobody is seen.
        depth: noise along the camera's axis over that across it.
    """
    random = np.random.default_rng(seed)
    times_s = np.arange(int(len(features) / 60 * fps)) / fps
    times_s[1:] += np.clip(random.normal(0, uneven_s, len(times_s) - 1), -0.4 / fps, 0.4 / fps) if uneven_s else 0
    points = points_of(features)
    before = np.minimum((times_s * 60).astype(int), len(points) - 1)
    share = (times_s * 60 - before)[:, None, None]
    points = (1 - share) * points[before] + share * points[np.minimum(before + 1, len(points) - 1)]
    middle = points[:, [L["left_hip"], L["right_hip"]]].mean(axis=1, keepdims=True)
    world = (points - middle) * TO_Y_UP + random.normal(0, noise_m, points.shape) * np.array([1.0, 1.0, depth])
    seen_from = (points + random.normal(0, noise_m, points.shape) - CAMERA_M) * TO_Y_UP
    focal = float(max(size))
    pixels = seen_from[..., :2] / seen_from[..., 2:] * focal + np.array(size) / 2
    image = np.concatenate([pixels / np.array(size), np.ones((*pixels.shape[:2], 1))], axis=-1)
    seen = random.random(len(times_s)) >= dropped
    image[~seen], world[~seen] = 0, 0
    return Landmarks(image, world, times_s, seen, size)


MODALITIES = ("features", "landmarks", "frames")
"""[time 219] and [time 33 3] at 60 fps; [picture height width] in [0, 1] at 15 fps."""


def modality_of(dance: Dance, modality: str) -> Float[np.ndarray, " time *part"]:
    """A dance as a system reads it, float32.

    Args:
        dance: with pictures, where they are asked for.
        modality: one of `MODALITIES`.

    Raises:
        BadInput: when there are no pictures.
    """
    if modality == "landmarks":
        return skeleton_landmarks(dance.features) if dance.landmarks is None else dance.landmarks.astype(np.float32)
    if modality == "frames":
        if dance.pictures is None:
            raise BadInput(
                f"{dance.name}: found motion only, but this checkpoint looks at pictures; give a video, or a motion of a data "
                "set that scripts/prepare.py has made of videos with frames."
            )
        return dance.pictures.astype(np.float32) / 255
    return dance.features


def skeleton_landmarks(features: Float[np.ndarray, "time 219"]) -> Float[np.ndarray, "time 33 3"]:
    """Where MediaPipe's landmarks are on the skeleton of a motion: metres from the middle of the hips, Y up."""
    return centred(points_of(np.asarray(features)))


def seen_landmarks(landmarks: Landmarks, frames: int) -> Float[np.ndarray, "{frames} 33 3"]:
    """What was seen in a film, smoothed, `frames` frames of it at 60 fps; metres from the middle of the hips, Y up."""
    points = centred(smooth_world(landmarks) * TO_Y_UP)
    return points[np.minimum(np.arange(frames), len(points) - 1)]
