"""A video file in, a `Dance` out.

video = dance_of_video(Path("dance.mp4"))
video.dance, video.seen_share
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from d2m.core.errors import BadInput
from d2m.core.timeline import MOTION_FPS
from d2m.motion.dance import MIN_SECONDS, Dance
from d2m.motion.features import rotations_to_features
from d2m.motion.inverse_kinematics import TO_Y_UP, motion_of_landmarks, segment_vectors_m
from d2m.motion.keypoints import seen_points
from d2m.motion.landmarks import Landmarks, centred, smooth_world
from d2m.motion.smpl import joint_positions
from d2m.video.people import MOST_PEOPLE, marks
from d2m.video.pose import find_landmarks, find_people
from d2m.video.reader import Frame, VideoInfo, frames, read_info

MIN_SEEN_SHARE = 0.5
"""A dancer has to be found in at least this share of the frames."""

_LANDSCAPE_HEIGHT, _PORTRAIT_HEIGHT = 480, 720
"""Pictures are scaled down to this height before the dancer is looked for."""

_MAX_FPS = 62.0
"""Frames that follow sooner than this are passed over: slow-motion footage has more than a dance needs."""

_LENGTH_TOLERANCE_S = 0.25

_LOOK_ROUND_S, _LOOK_ROUND_FPS = 6.0, 2.0
"""So much of a film is searched for people, in so many pictures a second, before one of them is followed."""


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
    person: int | None = None,
) -> VideoDance:
    """The dance in a video.

    Of several people the dancer is followed: who is large, in the middle, moves, and stays in the film's first seconds.

    Args:
        path: any file that FFmpeg decodes; see `d2m.video.reader`.
        name: of the dance; None: the file's without its ending.
        landmarks: an `.npz` of landmarks: loaded if it exists (no frame is decoded then), else written. What is found on the
            way is kept beside it, so that a run that was cut off goes on.
        model_file: a pose landmarker's `.task` file, or RTMPose's `.onnx`; None: the model in MediaPipe's package.
        max_seconds: read no further than this; None: the whole clip.
        progress: told the share that is done, 0 to 1.
        person: 2, 3 … follow somebody else than the dancer, see `Landmarks.people`; None: the dancer, who is number 1.

    Raises:
        BadInput: when the film has no such person; when the file is missing, empty, not a video, has no pictures or lasts less than 1 s; when nobody is seen
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
        found = _watched(path, video, landmarks, Path(model_file) if model_file else None, max_seconds, person, report)
    dance = dance_of_landmarks(found, name or path.stem, origin=str(path))
    report(1.0)
    return VideoDance(dance, found, segment_error(dance, found), found.seen_share, video)


def _watched(
    path: Path,
    video: VideoInfo,
    landmarks: Path | None,
    model_file: Path | None,
    max_seconds: float | int | None,
    person: int | None,
    report: Callable[[float], None],
) -> Landmarks:
    """Look for the dancer in all pictures; saved as `landmarks`, and what is found so far beside it."""
    size = (video.width, video.height)
    height = _LANDSCAPE_HEIGHT if video.width >= video.height else _PORTRAIT_HEIGHT
    seconds = min(video.seconds, max_seconds) if max_seconds is not None else video.seconds
    first_s = min(seconds, _LOOK_ROUND_S)
    people = find_people(_at_most(_LOOK_ROUND_FPS, frames(path, height, first_s)), size, model_file)
    if not 1 <= (person or 1) <= max(1, len(people)):
        raise BadInput(f"{path}: found {len(people)} people, expected number {person} among them; give another number.")
    dancer = people[(person or 1) - 1].followed(size, people) if people else None
    part = landmarks.with_name(f"{landmarks.name}.part") if landmarks else None
    begun = Landmarks.load(part) if part and part.exists() else None
    found = find_landmarks(
        _at_most(_MAX_FPS, frames(path, height, max_seconds)),
        size,
        model_file,
        lambda time_s: report(min(0.99, time_s / seconds)),
        dancer,
        begun,
        (lambda so_far: so_far.save(part)) if part else None,
    )
    found = replace(found, people=marks(people))
    if landmarks is not None and part is not None:
        found.save(landmarks)
        part.unlink(missing_ok=True)
    return found


def dances_of_group(
    path: str | Path,
    landmarks: str | Path | None = None,
    model_file: str | Path | None = None,
    max_seconds: float | int | None = None,
    progress: Callable[[float], None] | None = None,
) -> list[VideoDance]:
    """The dances of everybody in a video, the dancer's first; who is seen too seldom is left out.

    Args:
        path, landmarks, model_file, max_seconds, progress: see `dance_of_video`; landmarks of the second person are kept in
            `NAME.person2.npz`, and so on.

    Raises:
        BadInput: see `dance_of_video`, of the dancer.
    """
    first = landmarks and Path(landmarks)
    report = progress or (lambda share: None)
    group = [dance_of_video(path, None, first, model_file, max_seconds, lambda share: report(share / MOST_PEOPLE))]
    people = int(group[0].landmarks.people[:, 1].max(initial=1))
    for number in range(2, people + 1):
        own = first and first.with_name(f"{first.stem}.person{number}{first.suffix}")
        done = (number - 1) / people
        try:
            group.append(
                dance_of_video(
                    path, None, own, model_file, max_seconds, lambda s, done=done: report(done + s / people), number
                )
            )
        except BadInput:  # seen too seldom
            continue
    report(1.0)
    return group


def dance_of_landmarks(landmarks: Landmarks, name: str = "dance", origin: str | None = None) -> Dance:
    """The dance of a clip's landmarks at 60 fps; its first frame is the clip's. Beats are read from its points in the picture.

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
    return Dance(features, name, landmarks=centred(world * TO_Y_UP), points=seen_points(landmarks))


def segment_error(dance: Dance, landmarks: Landmarks) -> float:
    """Mean distance in metres between the dance's segments and those seen, before any smoothing; NaN where none is seen.

    Segments are the vectors between neighbouring landmarks: shoulders, elbows, wrists, hips, knees, ankles, and from the
    middle of the hips to that of the shoulders. Those seen are scaled to the skeleton's lengths, so that the dancer's size
    does not count, and turned to the dance's heading, in each shot by itself. What is out of the picture is left out.
    """
    features = dance.features.astype(np.float64)
    rotations = features[:, 3:].reshape(-1, 24, 3, 3)
    joints = joint_positions(rotations, features[:, :3])
    world = np.where(landmarks.outside()[..., None], np.nan, landmarks.world) * TO_Y_UP
    distances = []
    for frames_of_shot, _ in landmarks.shots():
        is_seen = landmarks.seen[frames_of_shot]
        times_s, points = landmarks.times_s[frames_of_shot][is_seen], world[frames_of_shot][is_seen]
        nearest = np.clip(np.round(times_s * MOTION_FPS).astype(int), 0, len(joints) - 1)
        made, seen = segment_vectors_m(joints[nearest], points)
        flat_made, flat_seen = made[..., 0] + 1j * made[..., 2], seen[..., 0] + 1j * seen[..., 2]
        turn = np.nansum(flat_made * flat_seen.conj())
        turned = flat_seen * turn / max(abs(turn), 1e-9)
        seen = np.stack([turned.real, seen[..., 1], turned.imag], axis=-1)
        distances.append(np.linalg.norm(made - seen, axis=-1).ravel())
    known = np.concatenate(distances)
    return float(known[np.isfinite(known)].mean()) if np.isfinite(known).any() else float("nan")


def _at_most(fps: float, pictures: Iterator[Frame]) -> Iterator[Frame]:
    """About `fps` frames a second; one that comes a little early, as in files that round their times, is kept."""
    next_s = 0.0
    for frame in pictures:
        if frame.time_s >= next_s - 0.1 / fps:
            next_s = max(next_s, frame.time_s - 0.5 / fps) + 1 / fps
            yield frame
