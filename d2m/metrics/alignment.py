"""Kinematic alignment: how near the beats of the music lie to the beats of the motion.

Both published readings, because each can be gamed alone: the mean over motion beats (Li et al., ICCV 2021, AIST++)
rewards dense music, the mean over music beats (Siyao et al., CVPR 2022, Bailando) rewards sparse music; their harmonic
mean is high only where neither is gamed. A motion beat is a local minimum of summed joint speed, of the joints in space
(`d2m.motion.kinematic_beats`) or of keypoints in a picture (`image_plane`); sigma is 3 frames at 60 fps, in seconds here.

Convention: with nothing to average over, or nothing to be near to, the score is 0.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float
from scipy.ndimage import minimum_filter1d

from d2m.core.timeline import MOTION_FPS, motion_frames_to_seconds
from d2m.metrics.beat_tracker import track_envelope_beats_s
from d2m.metrics.beats import checked_times, harmonic_mean
from d2m.motion.dance import Dance
from d2m.motion.features import joint_positions_of
from d2m.motion.kinematic_beats import MINIMUM_ORDER_FRAMES, joint_speed, kinematic_beats_s
from d2m.render.skeleton import Camera

SIGMA_S = motion_frames_to_seconds(3)


@dataclass(frozen=True)
class Alignment:
    """Kinematic alignment over motion beats, over music beats, and the harmonic mean of the two, each in [0, 1]."""

    over_motion: float
    over_music: float
    harmonic: float


def _mean_nearness(
    over_s: Float[np.ndarray, " over"], near_s: Float[np.ndarray, " near"], sigma_s: float | int
) -> float:
    """Mean over `over_s` of exp(-d^2 / 2 sigma^2), d being the distance to the nearest of `near_s`."""
    if not (np.isfinite(sigma_s) and sigma_s > 0):
        raise ValueError(f"sigma_s must be positive, found {sigma_s}.")
    if over_s.size == 0 or near_s.size == 0:
        return 0.0
    distance_s = np.abs(over_s[:, None] - near_s[None, :]).min(axis=1)
    return float(np.exp(-(distance_s**2) / (2 * sigma_s**2)).mean())


def alignment(
    motion_beats_s: Float[np.ndarray, " motion"],
    music_beats_s: Float[np.ndarray, " music"],
    sigma_s: float | int = SIGMA_S,
) -> Alignment:
    """Both readings and their harmonic mean, which is 0 where both are.

    Over motion (AIST++) every motion beat asks for a music beat near it, over music (Bailando) the other way round.

    Raises:
        ValueError: for improper times, or a sigma that is not positive.
    """
    motion_beats_s, music_beats_s = checked_times(motion_beats_s), checked_times(music_beats_s)
    over_motion = _mean_nearness(motion_beats_s, music_beats_s, sigma_s)
    over_music = _mean_nearness(music_beats_s, motion_beats_s, sigma_s)
    return Alignment(over_motion, over_music, harmonic_mean(over_motion, over_music))


# Kinematic beats of keypoints in a picture, for the 2-D alignment of DabFusion (arXiv:2405.09266): what moves towards the
# camera stands still in a picture. Keypoints come from a pose estimator, or from a dance through a standing camera.

PICTURE_WIDTH, PICTURE_HEIGHT = 1920, 1080
"""Pixels of AIST's pictures; beats do not depend on the scale."""


def _without_gaps(keypoints: Float[np.ndarray, "time joint 2"]) -> Float[np.ndarray, "time seen 2"]:
    """Missing points (NaN) filled by lines in time; joints that are never seen are left out."""
    frames = np.arange(len(keypoints))
    seen = np.isfinite(keypoints).all(axis=2)
    filled = [
        np.stack([np.interp(frames, frames[there], joint[there, axis]) for axis in range(2)], axis=-1)
        for joint, there in zip(np.moveaxis(keypoints, 1, 0), seen.T, strict=True)
        if there.any()
    ]
    return np.stack(filled, axis=1) if filled else np.zeros((len(keypoints), 0, 2))


def image_plane_speed(
    keypoints: Float[np.ndarray, "time joint 2"], fps: float | int = MOTION_FPS
) -> Float[np.ndarray, " time"]:
    """Summed speed of all keypoints in picture units per second (central differences); zeros for a single frame.

    Args:
        keypoints: columns and rows, NaN where a point was not seen.
        fps: frames per second of `keypoints`.

    Raises:
        ValueError: when fps is not positive.
    """
    if not (np.isfinite(fps) and fps > 0):
        raise ValueError(f"fps must be positive, found {fps}.")
    if len(keypoints) < 2:
        return np.zeros(len(keypoints))
    velocities = np.gradient(_without_gaps(np.asarray(keypoints, dtype=np.float64)), 1 / fps, axis=0)
    return np.linalg.norm(velocities, axis=-1).sum(axis=-1)


def image_plane_beats_s(
    keypoints: Float[np.ndarray, "time joint 2"], fps: float | int = MOTION_FPS
) -> Float[np.ndarray, " beat"]:
    """Kinematic beats of keypoints, in seconds, rising; may be empty.

    A beat is slower than everything within a sixth of a second on either side: AIST++'s 10 frames at 60 fps. Unlike
    there, a halt between two frames of equal speed is one beat, because video has fewer frames.

    Raises:
        ValueError: when fps is not positive.
    """
    speed = image_plane_speed(keypoints, fps)
    if not speed.any():
        return np.zeros(0)
    order = max(1, round(MINIMUM_ORDER_FRAMES * fps / MOTION_FPS))
    lowest = np.flatnonzero(speed == minimum_filter1d(speed, 2 * order + 1, mode="nearest"))
    runs = np.split(lowest, np.flatnonzero(np.diff(lowest) > 1) + 1)
    # A halt may lie between two frames of equal speed; three are no longer a moment. The ends are never minima.
    halts = [run.mean() for run in runs if len(run) <= 2 and run[0] > 0 and run[-1] < len(speed) - 1]
    return np.array(halts, dtype=np.float64) / fps


def keypoints_of(features: Float[np.ndarray, "time 219"]) -> Float[np.ndarray, "time 24 2"]:
    """A dance's 24 joints as a standing camera in front of it sees them: pixel columns and rows at 60 fps."""
    positions = np.asarray(joint_positions_of(features), dtype=np.float64)
    if len(positions) == 0:
        return np.zeros((0, 24, 2))
    following = Camera.following(positions, PICTURE_WIDTH, PICTURE_HEIGHT)
    standing_m = np.repeat(following.aim_m.mean(axis=0, keepdims=True), len(positions), axis=0)
    return following.project(positions, standing_m)[..., :2]


# Beats that a dance alone shows, which are also baselines: a generator must know more about the music.


@dataclass(frozen=True)
class MotionBeats:
    """Beats of a dance.

    Args:
        minima_s: kinematic beats, local minima of summed joint speed, in seconds.
        speed_beats_s: beats tracked on joint speed by the tracker that is also used on the music, in seconds.
        picture_minima_s: kinematic beats of the joints as a standing camera sees them, in seconds.
        seconds: length of the dance, None where it is not known.
    """

    minima_s: Float[np.ndarray, " minimum"]
    speed_beats_s: Float[np.ndarray, " beat"]
    picture_minima_s: Float[np.ndarray, " seen"] | None = None
    seconds: float | None = None


def speed_drop(speed: Float[np.ndarray, " time"]) -> Float[np.ndarray, " time"]:
    """Onset envelope of a dance: how fast the summed joint speed falls, zero where it rises.

    A move arrives by braking, so the fall of speed is to motion what the rise of energy is to sound. Of several simple
    envelopes (speed inverted, smoothed, made local, its rise) this one gave beats away best on procedural dances: a
    baseline should be as high as it can be made without learning.
    """
    return np.maximum(0.0, -np.diff(speed, prepend=speed[:1]))


def motion_beats_of(path: Path) -> MotionBeats:
    """Beats of a dance file.

    Raises:
        BadInput: when the file is not a usable dance.
    """
    features = Dance.load(path).features
    speed = np.asarray(joint_speed(features), dtype=np.float64)
    return MotionBeats(
        minima_s=np.asarray(kinematic_beats_s(features), dtype=np.float64),
        speed_beats_s=track_envelope_beats_s(speed_drop(speed), frame_rate=MOTION_FPS),
        picture_minima_s=image_plane_beats_s(keypoints_of(features)),
        seconds=len(features) / MOTION_FPS,
    )
