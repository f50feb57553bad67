"""A video file in, a `Dance` out.

video = dance_of_video(Path("dance.mp4"))
video.dance, video.seen_share
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from d2m.core.errors import BadInput
from d2m.core.timeline import MOTION_FPS
from d2m.motion.dance import MIN_SECONDS, Dance
from d2m.motion.features import rotations_to_features
from d2m.motion.inverse_kinematics import TO_Y_UP, motion_of_landmarks, segment_vectors_m
from d2m.motion.landmarks import Landmarks, centred, smooth_world
from d2m.motion.smpl import joint_positions
from d2m.video.pose import find_landmarks
from d2m.video.reader import Frame, VideoInfo, frames, read_info

MIN_SEEN_SHARE = 0.5
"""A dancer has to be found in at least this share of the frames."""

_LANDSCAPE_HEIGHT, _PORTRAIT_HEIGHT = 480, 720
"""Pictures are scaled down to this height before the dancer is looked for."""

_MAX_FPS = 62.0
"""Frames that follow sooner than this are passed over: slow-motion footage has more than a dance needs."""

_LENGTH_TOLERANCE_S = 0.25


@dataclass(frozen=True)
class VideoDance:
    """A dance that was read from a video.

    Args:
        dance: at 60 fps, as long as the video.
        landmarks: what was seen in the frames.
        segment_error_m: mean distance between the bones of the dance and the landmarks' segments, see `segment_error`.
        seen_share: share of frames in which the dancer was found.
        video: what the file is.
    """

    dance: Dance
    landmarks: Landmarks
    segment_error_m: float
    seen_share: float
    video: VideoInfo


def dance_of_video(
    path: str | Path,
    name: str | None = None,
    landmarks: str | Path | None = None,
    model_file: str | Path | None = None,
    max_seconds: float | int | None = None,
    progress: Callable[[float], None] | None = None,
) -> VideoDance:
    """The dance in a video.

    Args:
        path: any file that FFmpeg decodes; see `d2m.video.reader`.
        name: of the dance; None: the file's without its ending.
        landmarks: an `.npz` of landmarks: loaded if it exists (no frame is decoded then), else written.
        model_file: a pose landmarker's `.task` file; None: the model in MediaPipe's package.
        max_seconds: read no further than this; None: the whole clip.
        progress: told the share that is done, 0 to 1.

    Raises:
        BadInput: when the file is missing, empty, not a video, has no pictures or lasts less than 1 s; when nobody is seen
            in more than half of the frames; when MediaPipe is not installed; when the landmarks are another video's.
        BadConfig: when `model_file` is no pose landmarker.
    """
    path, landmarks = Path(path), Path(landmarks) if landmarks else None
    video = read_info(path)
    seconds = min(video.seconds, max_seconds) if max_seconds is not None else video.seconds
    report = progress or (lambda share: None)
    report(0.0)
    if landmarks is not None and landmarks.exists():
        found = Landmarks.load(landmarks).until(seconds)
        if abs(found.seconds - seconds) > _LENGTH_TOLERANCE_S:
            raise BadInput(
                f"{landmarks}: found landmarks of {found.seconds:.2f} s, expected the {seconds:.2f} s of {path}; "
                "remove the file to have them found again."
            )
    else:
        height = _LANDSCAPE_HEIGHT if video.width >= video.height else _PORTRAIT_HEIGHT
        pictures = _at_most(_MAX_FPS, frames(path, height, max_seconds))
        found = find_landmarks(
            pictures,
            (video.width, video.height),
            Path(model_file) if model_file else None,
            lambda time_s: report(min(0.99, time_s / seconds)),
        )
        if landmarks is not None:
            found.save(landmarks)
    dance = dance_of_landmarks(found, name or path.stem, origin=str(path))
    report(1.0)
    return VideoDance(dance, found, segment_error(dance, found), found.seen_share, video)


def dance_of_landmarks(landmarks: Landmarks, name: str = "dance", origin: str | None = None) -> Dance:
    """The dance of a clip's landmarks at 60 fps; its first frame is the clip's.

    Args:
        landmarks: of at least 1 s.
        name: of the dance.
        origin: the file that an error names; None: `name`.

    Raises:
        BadInput: when it is shorter than 1 s, or nobody was seen in more than half of the frames.
    """
    origin = origin or name
    if landmarks.seconds < MIN_SECONDS:
        raise BadInput(
            f"{origin}: found {landmarks.seconds:.2f} s of video, expected at least {MIN_SECONDS:g} s; give a longer clip."
        )
    if landmarks.seen_share < MIN_SEEN_SHARE:
        raise BadInput(
            f"{origin}: found a person in {landmarks.seen_share:.0%} of the frames, expected at least "
            f"{MIN_SEEN_SHARE:.0%}; give a clip that shows one dancer from head to foot."
        )
    world = smooth_world(landmarks)
    motion = motion_of_landmarks(world, landmarks)
    features = rotations_to_features(motion.rotations, motion.translation)
    return Dance(features, name, landmarks=centred(world * TO_Y_UP))


def segment_error(dance: Dance, landmarks: Landmarks) -> float:
    """Mean distance in metres between the dance's segments and those seen, before any smoothing.

    Segments are the vectors between neighbouring landmarks: shoulders, elbows, wrists, hips, knees, ankles, and from the
    middle of the hips to that of the shoulders. Those seen are scaled to the skeleton's lengths, so that the dancer's size
    does not count, and turned to the dance's heading.
    """
    features = dance.features.astype(np.float64)
    rotations = features[:, 3:].reshape(-1, 24, 3, 3)
    joints = joint_positions(rotations, features[:, :3])
    nearest = np.clip(np.round(landmarks.times_s[landmarks.seen] * MOTION_FPS).astype(int), 0, len(joints) - 1)
    made, seen = segment_vectors_m(joints[nearest], landmarks.world[landmarks.seen] * TO_Y_UP)
    flat_made, flat_seen = made[..., 0] + 1j * made[..., 2], seen[..., 0] + 1j * seen[..., 2]
    turn = (flat_made * flat_seen.conj()).sum()
    turned = flat_seen * turn / max(abs(turn), 1e-9)
    seen = np.stack([turned.real, seen[..., 1], turned.imag], axis=-1)
    return float(np.linalg.norm(made - seen, axis=-1).mean())


def _at_most(fps: float, pictures: Iterator[Frame]) -> Iterator[Frame]:
    """Frames that are at least 1 / `fps` apart."""
    next_s = 0.0
    for frame in pictures:
        if frame.time_s >= next_s:
            next_s = frame.time_s + 1 / fps
            yield frame
