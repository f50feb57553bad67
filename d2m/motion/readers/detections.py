"""What detectors of people write, whatever they call it: for every frame the people in it, each with points.

Known are MediaPipe's landmarks as its APIs' fields are written out, OpenPose's files (one a frame), COCO's list of results and
AlphaPose's, MMPose's `instance_info`, and plain nested lists. A frame is a list of people, or one, or nobody.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.optimize import linear_sum_assignment

from d2m.core.errors import BadInput
from d2m.motion.readers.content import load_json

_FRAMES = ("frames", "instance_info", "annotations", "poses", "results", "data")
_PEOPLE = ("people", "instances", "persons", "predictions", "bodies")
_POINTS = (
    "keypoints", "pose_keypoints_2d", "pose_keypoints", "landmarks", "pose_landmarks", "poseLandmarks", "joints", "pose", "image",
)  # fmt: skip
_WORLD = ("world_landmarks", "pose_world_landmarks", "poseWorldLandmarks", "worldLandmarks", "keypoints3D", "world")
_SCORES = ("keypoint_scores", "scores", "visibility")
_IDS = ("track_id", "idx", "person_id")
_TIMES_S = {"time_s": 1.0, "time": 1.0, "timestamp_ms": 0.001, "timestampMs": 0.001}

_PASSERS_BY = 0.2
"""Somebody seen in a smaller share of the frames than this is not asked about beside one who is seen in most."""

_JUMP = 1.0
"""Nobody moves by more than this share of the body's size from a frame to the next."""

_MOST_PEOPLE = 20
"""The largest that are followed in a frame."""

_LONGEST_ABSENCE = 90
"""Frames after which somebody who comes back is somebody else."""

_DEEPEST = 5
"""Lists in lists around a person's points."""


@dataclass(frozen=True)
class Person:
    """Somebody in a frame.

    Args:
        points: x, y and score in the picture, and where it is told z between; NaN where a point is not there.
        world: in metres from the hips, MediaPipe's axes; None where it is not told.
        name: of the person from frame to frame; None where the detector does not follow people.
    """

    points: Float[np.ndarray, "point axis"]
    world: Float[np.ndarray, "point 3"] | None = None
    name: int | None = None


@dataclass(frozen=True)
class Detections:
    """Everybody in every frame.

    Args:
        frames: people of each.
        about: what the file says of the whole, such as `fps`, `width` and `height`.
        times_s: of the frames, where the file tells them.
    """

    frames: list[list[Person]]
    about: Mapping[str, Any]
    times_s: Float[np.ndarray, " frame"] | None = None


def _numbers(value: Any) -> Float[np.ndarray, "..."] | None:
    if isinstance(value, list) and value and all(isinstance(one, Mapping) for one in value):
        axes = [axis for axis in ("x", "y", "z") if all(axis in one for one in value)]
        if axes[:2] != ["x", "y"]:
            return None
        scores = [next((one[key] for key in ("visibility", "score", "confidence") if key in one), 1.0) for one in value]
        value = [[*(one[axis] for axis in axes), score] for one, score in zip(value, scores, strict=True)]
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        return None
    return array if array.size else None


def _points(value: Any, scores: Any = None) -> Float[np.ndarray, "point axis"] | None:
    """(points, 2 to 4): x, y, maybe z, score."""
    array = _numbers(value)
    if array is None:
        return None
    if array.ndim == 1:
        width = 3 if array.size % 3 == 0 and array.size != 66 else 4 if array.size == 132 else 2
        if array.size % width:
            return None
        array = array.reshape(-1, width)
    if array.ndim != 2 or not 2 <= array.shape[1] <= 4 or not 13 <= len(array) <= 200:
        return None
    given = _numbers(scores)
    if given is not None and given.size == len(array):
        array = np.concatenate([array, given.reshape(-1, 1)], axis=1)
    elif array.shape[1] == 2:
        array = np.concatenate([array, np.ones((len(array), 1))], axis=1)
    return array


def _person(value: Any) -> Person | None:
    if not isinstance(value, Mapping):
        found = _points(value)
        return None if found is None else Person(found)
    world = next((array for key in _WORLD if (array := _points(_only(value.get(key)))) is not None), None)
    scores = next((value[key] for key in _SCORES if key in value), None)
    points = next((array for key in _POINTS if (array := _points(_only(value.get(key)), scores)) is not None), None)
    if points is None:
        if world is None:
            return None
        points = np.full((len(world), 3), np.nan)
    name = next((_whole(value[key]) for key in _IDS if key in value), None)
    return Person(points, None if world is None else world[:, :3], name)


def _whole(value: Any) -> int | None:
    """A detector's number of a person; -1 says that it does not follow people."""
    value = value[0] if isinstance(value, list) and len(value) == 1 else value
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _only(value: Any) -> Any:
    """The one person of a list of one: MediaPipe's tasks give landmarks as a list of people."""
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def _people(value: Any, depth: int = 0) -> list[Person] | None:
    """Those in a frame; None where this is no frame."""
    if value is None or value == [] or value == {}:
        return []
    if depth > _DEEPEST:
        return None
    if (one := _person(value)) is not None:
        return [one]
    if isinstance(value, Mapping):
        inner = next((value[key] for key in (*_PEOPLE, *_POINTS) if key in value), None)
        if inner is None:
            return [] if value.keys() & {*_WORLD, *_TIMES_S, "frame", "frame_id"} else None
        return _people(inner, depth + 1)
    if isinstance(value, list):
        if len(value) == 1:
            return _people(value[0], depth + 1)
        found = [_person(one) for one in value]
        return None if None in found else [one for one in found if one is not None]
    return None


def detections_in(content: Any) -> Detections | None:
    """What a JSON file holds; None where it is something else."""
    about = (
        {str(key): value for key, value in content.items() if not isinstance(value, list | dict)}
        if isinstance(content, Mapping)
        else {}
    )
    rows = content
    if isinstance(content, Mapping):
        for part in ("video", "meta", "info", "metadata"):
            if isinstance(content.get(part), Mapping):
                about = {**content[part], **about}
        rows = next((content[key] for key in _FRAMES if isinstance(content.get(key), list) and content[key]), None)
        if rows is None:
            rows = (
                [content] if _people(content) is not None and content.keys() & {*_PEOPLE, *_POINTS, *_WORLD} else None
            )
    if not isinstance(rows, list) or not rows:
        return None
    if all(isinstance(row, Mapping) and "image_id" in row for row in rows):
        return _by_picture(rows, about)
    frames = [_people(row) for row in rows]
    if any(frame is None for frame in frames) or not any(frames):
        return None
    times = [_time_s(row) for row in rows]
    times_s = np.array(times, dtype=np.float64) if len(times) > 1 and None not in times else None
    if times_s is not None and not (np.diff(times_s) > 0).all():
        times_s = None
    return Detections([frame for frame in frames if frame is not None], about, times_s)


def _time_s(row: Any) -> float | None:
    if not isinstance(row, Mapping):
        return None
    for key, seconds in _TIMES_S.items():
        if isinstance(row.get(key), int | float) and not isinstance(row[key], bool):
            return float(row[key]) * seconds
    return None


def _by_picture(rows: list[Any], about: Mapping[str, Any]) -> Detections | None:
    """COCO's results and annotations: a row a person, `image_id` a number or a file's name that holds one."""
    pictures: dict[int, list[Person]] = {}
    for row in rows:
        number = re.findall(r"\d+", str(row["image_id"]))
        person = _person(row)
        if not number or person is None or len(number[-1]) > 15:
            return None
        pictures.setdefault(int(number[-1]), []).append(person)
    first, last = min(pictures), max(pictures)
    if last - first >= 100 * len(pictures):
        return None
    return Detections([pictures.get(number, []) for number in range(first, last + 1)], about)


# A file a frame.


_NUMBERED = re.compile(r"^(?P<name>.*?)[_-]?(?P<number>\d{4,15})(?P<rest>\D*)\.json$", re.IGNORECASE)


def frames_beside(path: Path) -> list[tuple[int, Path]]:
    """Files of the same recording with their numbers, in order, where the name is one of those of a file a frame."""
    own = _NUMBERED.match(path.name)
    if own is None:
        return []
    found = []
    for other in path.parent.glob("*.json"):
        match = _NUMBERED.match(other.name)
        if match and (match["name"], match["rest"]) == (own["name"], own["rest"]):
            found.append((int(match["number"]), other))
    return sorted(found)


def first_frames(paths: list[Path]) -> list[Path]:
    """Paths without those of later frames, where there is a file a frame."""
    kept, seen = [], set()
    for path in sorted(paths):
        match = _NUMBERED.match(path.name)
        recording = (path.parent, match["name"], match["rest"]) if match else path
        if recording not in seen:
            seen.add(recording)
            kept.append(path)
    return kept


def is_recording(path: Path) -> bool:
    """Whether a JSON file holds detections; many others may stand in a folder."""
    try:
        return detections_in(load_json(path)) is not None
    except BadInput:
        return False


def whole_recording(path: Path, found: Detections) -> Detections:
    """The detections of a file and, where it is that of one frame, of those beside it.

    Raises:
        BadInput: when another frame's file is broken.
    """
    if len(found.frames) > 1:
        return found
    beside = frames_beside(path)
    frames: dict[int, list[Person]] = {}
    for number, other in beside:
        more = found if other == path else detections_in(load_json(other))
        frames[number] = more.frames[0] if more and more.frames else []
    if len(frames) < 2:
        return found
    first, last = min(frames), max(frames)
    if last - first >= 100 * len(frames):
        raise BadInput(
            f"{path}: found frames {first} to {last} of which most are missing, expected a recording; check the folder."
        )
    return Detections([frames.get(number, []) for number in range(first, last + 1)], found.about)


# Who is who.


def one_person(path: Path, found: Detections, person: int | None) -> tuple[list[Person | None], tuple[str, ...]]:
    """One person through the frames, None where not seen, and what was decided.

    People are numbered from 1: the one that is seen longest first.

    Raises:
        BadInput: when there are several and nobody says which.
    """
    count, lines = len(found.frames), _followed(found.frames)
    if not lines:
        raise BadInput(f"{path}: found nobody in the frames, expected a dancer; check the file.")
    shares = [len(line) / count for line in lines]
    seen = [number for number, share in enumerate(shares) if share >= _PASSERS_BY] or [0]
    if person is not None:
        if not 1 <= person <= len(lines):
            raise BadInput(
                f"{path}: found {len(lines)} people, expected person=1 to {len(lines)}, found person={person}."
            )
        return _whole_line(lines[person - 1], count), (f"person {person} of {len(lines)} as asked",)
    if len(seen) > 1:
        told = ", ".join(f"{number + 1} in {shares[number]:.0%} of the frames" for number in seen[:6])
        raise BadInput(
            f"{path}: found {len(seen)} people ({told}), expected one; say which with person=1 to {len(seen)}."
        )
    others = (f"person 1 of {len(lines)}, who is in {shares[0]:.0%} of the frames",) if len(lines) > 1 else ()
    return _whole_line(lines[0], count), others


def _whole_line(line: dict[int, Person], count: int) -> list[Person | None]:
    return [line.get(number) for number in range(count)]


def _followed(frames: list[list[Person]]) -> list[dict[int, Person]]:
    """Frame → person for everybody, who is seen longest first: by the detector's own numbers, else by the nearest."""
    lines: list[dict[int, Person]] = []
    if all(person.name is not None for people in frames for person in people):
        named: dict[int | None, dict[int, Person]] = {}
        for number, people in enumerate(frames):
            for person in people:
                named.setdefault(person.name, {})[number] = person
        lines = list(named.values())
    else:
        for number, people in enumerate(frames):
            largest = sorted(((_place(person), person) for person in people), key=lambda one: -one[0][1])[:_MOST_PEOPLE]
            recent = [line for line in lines if number - next(reversed(line)) <= _LONGEST_ABSENCE] or lines[-1:]
            taken = set()
            if recent and largest:
                last = [_place(line[next(reversed(line))]) for line in recent]
                cost = np.array([[np.linalg.norm(at - was) / size for was, size in last] for (at, _), _ in largest])
                for mine, line in zip(*linear_sum_assignment(cost), strict=True):
                    if cost[mine, line] <= _JUMP or (len(largest) == 1 and len(lines) == 1):
                        recent[line][number] = largest[mine][1]
                        taken.add(mine)
            lines.extend({number: person} for mine, (_, person) in enumerate(largest) if mine not in taken)
    return sorted(lines, key=lambda line: -len(line))


def _place(person: Person) -> tuple[Float[np.ndarray, " 2"], float]:
    """Where somebody is, and how large."""
    xy = person.points[:, :2][np.isfinite(person.points[:, :2]).all(axis=1) & (person.points[:, :2] != 0).any(axis=1)]
    if not len(xy):
        return np.zeros(2), 1.0
    return xy.mean(axis=0), max(float(np.ptp(xy, axis=0).max()), 1e-6)
