"""What of a dance a system is shown: its 219 features, its landmarks, or small pictures of the film.

A motion without a film has landmarks, too: those of its skeleton. Pictures have to be brought.
"""

import numpy as np
from jaxtyping import Float

from d2m.dance import Dance
from d2m.errors import BadInput
from d2m.video.landmarks import LANDMARK_NAMES, Landmarks
from d2m.video.lift import TO_Y_UP
from d2m.video.smoothing import smooth_world
from d2m.video.synthetic import points_of

VIEWS = ("features", "landmarks", "frames")
"""[time 219] and [time 33 3] at 60 fps; [picture height width] in [0, 1] at 15 fps."""

_HIPS = [LANDMARK_NAMES.index("left_hip"), LANDMARK_NAMES.index("right_hip")]


def view(dance: Dance, reads: str) -> Float[np.ndarray, "time *part"]:
    """A dance as a system reads it, float32.

    Args:
        dance: with pictures, where they are asked for.
        reads: one of `VIEWS`.

    Raises:
        BadInput: when there are no pictures.
    """
    if reads == "landmarks":
        return skeleton_landmarks(dance.features) if dance.landmarks is None else dance.landmarks.astype(np.float32)
    if reads == "frames":
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


def centred(points: Float[np.ndarray, "time 33 3"]) -> Float[np.ndarray, "time 33 3"]:
    """Landmarks with the middle of the hips in the origin, float32."""
    return (points - points[:, _HIPS].mean(axis=1, keepdims=True)).astype(np.float32)
