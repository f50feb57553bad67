"""Files of detectors: MediaPipe's 33 landmarks, and keypoints in a picture of COCO, OpenPose, Halpe and whole bodies.

Landmarks go the way of a film's (smoothed, solved for rotations, set on the floor), so that they move as the film's dancer does.
Keypoints have two dimensions; see `d2m.motion.keypoints`. Of both the beats are read in the picture, where there is one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from d2m.core.errors import BadInput
from d2m.core.timeline import MOTION_FPS
from d2m.motion.inverse_kinematics import TO_Y_UP, motion_of_landmarks
from d2m.motion.keypoints import (
    BODY_HEIGHT_M,
    LAYOUTS,
    POINTS,
    body_points,
    in_metres,
    motion_of_points,
    seen_points,
    smooth_points,
)
from d2m.motion.landmarks import LANDMARK_NAMES, LANDMARKS, Landmarks, centred, smooth_world
from d2m.motion.readers.detections import Detections, Person, detections_in, one_person, whole_recording
from d2m.motion.readers.gaps import MOST_MISSING, gaps_said, without_gaps
from d2m.motion.readers.recording import Hints, Recording, frame_rate

_KEYS = (
    "keypoints2d", "keypoints_2d", "keypoints", "pose2d", "poses2d", "pose_2d", "landmarks", "pose_landmarks", "points", "image",
    "array",
)  # fmt: skip
_WORLD_KEYS = ("world", "world_landmarks", "pose_world_landmarks")
_SCORES = ("scores", "keypoint_scores", "confidence", "visibility")

_L = {name: index for index, name in enumerate(LANDMARK_NAMES)}
_HIPS = [_L["left_hip"], _L["right_hip"]]
_FEET = [_L[f"{side}_{part}"] for side in ("left", "right") for part in ("heel", "foot_index")]
_WORLD_M = 0.05
"""World landmarks have the middle of the hips this near to their origin."""

_LARGEST_SCORE = 1.5
_USUAL_SIDES = (1920, 1080)


@dataclass(frozen=True)
class _Seen:
    """One person's points through a file: `points` x, y, (z,) score; `world` metres; NaN where not seen."""

    points: Float[np.ndarray, "time point axis"] | None
    world: Float[np.ndarray, "time 33 3"] | None
    about: Mapping[str, Any]
    times_s: Float[np.ndarray, " time"] | None
    said: tuple[str, ...]


def _array(values: Any) -> Float[np.ndarray, "..."] | None:
    """(people or cameras, frames, points, 2 to 4) of a layout that is known."""
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "iuf" or values.size == 0:
        return None
    if values.ndim == 3:
        values = values[None]
    if values.ndim != 4 or not 2 <= values.shape[3] <= 4 or values.shape[2] not in LAYOUTS:
        return None
    return values.astype(np.float64)


def _arrays(content: Any) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Points and world landmarks of an array or a mapping of arrays."""
    named = content if isinstance(content, Mapping) else {"array": content}
    points = next((found for key in _KEYS if (found := _array(named.get(key))) is not None), None)
    world = next((found for key in _WORLD_KEYS if (found := _array(named.get(key))) is not None), None)
    if points is not None and points.shape[2] != LANDMARKS and points.shape[3] == 3 and not _are_scores(points[..., 2]):
        return None, None  # three dimensions
    if points is not None and points.shape[2] == LANDMARKS and points.shape[3] == 3 and _is_world(points):
        return None, points
    if points is not None and points.shape[3] == 2:
        scores = next((np.asarray(named[key]) for key in _SCORES if key in named), None)
        fits = scores is not None and scores.size == points[..., 0].size and scores.dtype.kind in "iuf"
        column = scores.reshape(points.shape[:3]) if fits and scores is not None else np.ones(points.shape[:3])
        points = np.concatenate([points, column[..., None]], axis=-1)
    return points, world


def _are_scores(values: np.ndarray) -> bool:
    known = values[np.isfinite(values)]
    return bool(known.size and known.min() >= 0 and known.max() <= _LARGEST_SCORE)


def _is_world(points: np.ndarray) -> bool:
    middle = points[..., _HIPS, :3].mean(axis=-2)
    return bool(np.nanmax(np.abs(middle), initial=0.0) < _WORLD_M)


def _count(content: Any) -> int:
    """Points of each body; 0 where this is nothing of a detector's."""
    if isinstance(content, np.ndarray) or (
        isinstance(content, Mapping) and any(isinstance(v, np.ndarray) for v in content.values())
    ):
        points, world = _arrays(content)
        return next((found.shape[2] for found in (world, points) if found is not None), 0)
    found = detections_in(content)
    counts = {len(person.points) for people in found.frames for person in people} if found else set()
    return counts.pop() if len(counts) == 1 else 0


def is_landmarks(path: Path, content: Any) -> bool:
    """33 points of each body, in a picture or in the world."""
    return _count(content) == LANDMARKS


def is_keypoints(path: Path, content: Any) -> bool:
    """Points of each body of a layout that is known, in a picture."""
    return _count(content) in LAYOUTS


def _seen(path: Path, content: Any, hints: Hints) -> _Seen:
    """The one person in a file.

    Raises:
        BadInput: when there is nobody, or several and nobody says which.
    """
    points, world = (
        _arrays(content)
        if isinstance(content, np.ndarray) or any(isinstance(value, np.ndarray) for value in _values(content))
        else (None, None)
    )
    if points is None and world is None:
        found = detections_in(content)
        found = whole_recording(path, found if found is not None else Detections([], {}))
        line, said = one_person(path, found, hints.person)
        return _of_line(line, found, said)
    people = max(len(one) for one in (points, world) if one is not None)
    number = hints.person if hints.person is not None else 1
    if people > 1 and hints.person is None:
        raise BadInput(f"{path}: found {people} people or cameras, expected one; say which with person=1 to {people}.")
    if not 1 <= number <= people:
        raise BadInput(f"{path}: found {people} people, expected person=1 to {people}, found person={number}.")
    about = {str(key): value for key, value in _items(content) if np.asarray(value).size == 1}
    times = content.get("times_s") if isinstance(content, Mapping) else None
    size = np.asarray(content["size"]).ravel() if isinstance(content, Mapping) and "size" in content else np.zeros(0)
    if size.size == 2:  # of landmarks that d2m kept
        about |= {"width": size[0], "height": size[1]}
    return _Seen(
        None if points is None else points[number - 1],
        None if world is None else world[number - 1][..., :3],
        about,
        np.asarray(times, np.float64) if times is not None else None,
        (f"person {number} of {people} as asked",) if people > 1 else (),
    )


def _values(content: Any) -> list[Any]:
    return list(content.values()) if isinstance(content, Mapping) else []


def _items(content: Any) -> list[tuple[Any, Any]]:
    return list(content.items()) if isinstance(content, Mapping) else []


def _of_line(line: list[Person | None], found: Detections, said: tuple[str, ...]) -> _Seen:
    first = next(person for person in line if person is not None)
    points = np.full((len(line), *first.points.shape), np.nan)
    world = np.full((len(line), LANDMARKS, 3), np.nan)
    for number, person in enumerate(line):
        if person is not None and person.points.shape == first.points.shape:
            points[number] = person.points
        if person is not None and person.world is not None and len(person.world) == LANDMARKS:
            world[number] = person.world
    about = {key.lower(): value for key, value in found.about.items()}
    if np.isnan(world).all() and len(first.points) == LANDMARKS and _is_world(points):
        return _Seen(None, points[..., :3], about, found.times_s, said)
    return _Seen(
        None if np.isnan(points).all() else points, None if np.isnan(world).all() else world, about, found.times_s, said
    )


def _sides(points: Float[np.ndarray, "time point axis"], about: Mapping[str, Any]) -> tuple[tuple[int, int], bool, str]:
    """Width and height of the picture, whether coordinates are shares of them, and what was decided."""
    are_shares = bool(np.nanmax(np.abs(points[..., :2]), initial=0.0) < 5)
    try:
        width, height = int(np.asarray(about["width"]).item()), int(np.asarray(about["height"]).item())
        if 0 < width < 100_000 and 0 < height < 100_000:
            return (width, height), are_shares, ""
    except (KeyError, TypeError, ValueError):
        pass
    said = "a picture whose sides are not told, taken for 16:9" if are_shares else ""
    return _USUAL_SIDES, are_shares, said


def read_landmarks(path: Path, content: Any, hints: Hints) -> Recording:
    """The motion of MediaPipe's landmarks, at 60 fps; in a picture, in the world, or both.

    Raises:
        BadInput: when they are broken, nobody is in most frames, there are several, or the rate has to be told.
    """
    seen = _seen(path, content, hints)
    one = seen.world if seen.world is not None else seen.points
    if one is None:
        raise BadInput(f"{path}: found nobody in the frames, expected a dancer; check the file.")
    times_s, said = _times(path, seen, hints, len(one))
    image, world, size, decided = _both(seen)
    known = np.isfinite(world).all(axis=(1, 2)) & (world != 0).any(axis=(1, 2))
    if known.mean() < MOST_MISSING or known.sum() < 2:
        raise BadInput(
            f"{path}: found a person in {known.mean():.0%} of the frames, expected at least {MOST_MISSING:.0%}; give a recording "
            "that shows one dancer from head to foot."
        )
    image, world = np.where(known[:, None, None], image, 0.0), np.where(known[:, None, None], world, 0.0)
    if not np.isfinite(image).all() or np.abs(world).max() > 100:
        raise BadInput(
            f"{path}: found landmarks that are no body's, expected metres or shares of a picture; export them again."
        )
    landmarks = Landmarks(image, world, times_s, known, size)
    smooth = smooth_world(landmarks)
    motion = motion_of_landmarks(smooth, landmarks)
    rate = f"{1 / np.median(np.diff(times_s)):.4g} fps brought to 60, smoothed as a film's landmarks are"
    missing = 1 - landmarks.seen_share
    points = None if seen.points is None else seen_points(landmarks)
    return Recording(
        motion, float(MOTION_FPS), "mediapipe33", (*said, rate, *seen.said, *decided, *gaps_said(missing)), missing,
        landmarks=centred(smooth * TO_Y_UP), points=points,
    )  # fmt: skip


def _times(path: Path, seen: _Seen, hints: Hints, frames: int) -> tuple[Float[np.ndarray, " time"], tuple[str, ...]]:
    times_s = seen.times_s
    usable = (
        times_s is not None
        and times_s.shape == (frames,)
        and np.isfinite(times_s).all()
        and (np.diff(times_s) > 0).all()
    )
    if (
        times_s is not None
        and usable
        and hints.fps is None
        and frames > 1
        and 1 <= frames / (times_s[-1] - times_s[0]) <= 1000
    ):
        return times_s - times_s[0], ()
    rate, said = frame_rate(path, seen.about, hints)
    return np.arange(frames) / rate, said


def _both(seen: _Seen) -> tuple[np.ndarray, np.ndarray, tuple[int, int], tuple[str, ...]]:
    """Landmarks in the picture and in the world: what is not told of the one follows from the other.

    Where there is no picture the feet stay on the floor, and the dancer in the middle. Where there is no world, the picture is the
    world, as large as makes the body of usual height.
    """
    if seen.points is None:
        world = np.asarray(seen.world)
        image = np.ones((len(world), LANDMARKS, 3))
        image[..., 0] = 0.5 + world[..., 0] / 4
        image[..., 1] = 0.9 + (world[..., 1] - world[:, _FEET, 1].max(axis=1, keepdims=True)) / 4
        return image, world, (1000, 1000), ("no picture: where the dancer goes is not told",)
    size, are_shares, said = _sides(seen.points, seen.about)
    sides = np.array(size)
    pixels = seen.points[..., :2] * (sides if are_shares else 1)
    image = np.concatenate([pixels / sides, seen.points[..., -1:]], axis=-1)
    if seen.world is not None:
        return image, seen.world, size, (said,) * bool(said)
    depth = np.zeros(pixels[..., :1].shape)
    if seen.points.shape[2] == 4:
        depth = seen.points[..., 2:3] * (sides[0] if are_shares else 1)
    flat = np.concatenate([pixels, depth], axis=-1)
    ankles = pixels[:, [_L["left_ankle"], _L["right_ankle"]], 1].mean(axis=1)
    height = float(np.nanquantile(ankles - pixels[:, _L["nose"], 1], 0.8))
    world = (flat - flat[:, _HIPS].mean(axis=1, keepdims=True)) * BODY_HEIGHT_M / max(height, 1e-6)
    return image, world, size, ("no world landmarks: sizes and depth are the picture's", *((said,) * bool(said)))


def read_keypoints(path: Path, content: Any, hints: Hints) -> Recording:
    """The motion of keypoints in a picture, at 60 fps, and the points that the beats are read from.

    Raises:
        BadInput: when a point is missing in most frames, there are several people, or the rate has to be told.
    """
    seen = _seen(path, content, hints)
    if seen.points is None:
        raise BadInput(f"{path}: found nobody in the frames, expected a dancer; check the file.")
    rate, said = frame_rate(path, seen.about, hints)
    xy, score = seen.points[..., :2], seen.points[..., -1]
    lost = ~np.isfinite(xy).all(axis=-1) | (xy == 0).all(axis=-1) | ~(score > 0)
    size, are_shares, decided = _sides(xy, seen.about)
    pixels = np.where(lost[..., None], np.nan, xy * (np.array(size) if are_shares else 1))
    points, missing = without_gaps(body_points(pixels), list(range(len(POINTS))), path)
    height = np.ptp(points[..., 1], axis=1)
    if not (np.median(height) > 0 and np.abs(points).max() < 1e7):
        raise BadInput(f"{path}: found points that are no body's, expected keypoints in pixels; export them again.")
    smooth = smooth_points(in_metres(points), rate)
    name = {18: "openpose18", 25: "openpose25"}.get(seen.points.shape[1], "coco17")
    decisions = (
        *said,
        f"{rate:.4g} fps brought to 60, two dimensions: depth is not seen",
        *seen.said,
        *((decided,) * bool(decided)),
    )
    return Recording(
        motion_of_points(smooth), float(MOTION_FPS), name, (*decisions, *gaps_said(missing)), missing, points=smooth
    )
