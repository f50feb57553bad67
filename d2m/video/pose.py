"""Frames to landmarks: one person through the whole clip, by whichever detector there is."""

import time
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from d2m.core.errors import BadInput
from d2m.motion.landmarks import LANDMARK_NAMES, LANDMARKS, Landmarks
from d2m.video.detection import Detection, Detector, Picture
from d2m.video.mediapipe_pose import MediaPipeDetector
from d2m.video.onnx_pose import OnnxDetector
from d2m.video.people import Person, SamePerson, painted_over, people_in
from d2m.video.reader import Frame

_KEPT_EVERY_S = 60.0
"""What was found is kept so often while the work goes on, in seconds of the clock on the wall."""

_SEARCHES = 2
"""In a picture, for a detector that finds one person at a time."""

_BODY_HEIGHT_M = 1.45
"""From the ankles to the nose, by which a picture without depth is scaled."""
_TALL_SHARE = 0.8
_DEPTH_M = {"nose": -0.1, "ear": 0.0, "eye": -0.08, "mouth": -0.08, "foot_index": -0.12, "heel": 0.05}
"""Where parts of somebody who faces the camera are in front of or behind the body's plane."""

_TILES = 18, 32
_CUT_REMEMBERS = 12
_ALIKE = 0.6
"""Two pictures of a shot are correlated more than this, however the light changes …"""
_USUAL_TIMES = 4.0
"""… and after a cut they are this many times less so than usual, so that a shaking camera cuts nothing."""
_FLAT = 4.0
"""A picture whose shades deviate by less than this, of 255, is black or white, and belongs to no shot."""


def open_detector(model_file: Path | None = None, is_still: bool = False) -> Any:
    """A `d2m.video.detection.Detector`: a user's `.onnx` by onnxruntime, else MediaPipe.

    Args:
        model_file: `.onnx`, or a pose landmarker's `.task`; None: the model of MediaPipe's package.
        is_still: whether every picture is searched anew, and nobody followed.

    Raises:
        BadConfig: when the file is none.
        BadInput: when the package that runs it is not installed.
    """
    if model_file is not None and model_file.suffix.lower() == ".onnx":
        return OnnxDetector(model_file, is_still=is_still)
    return MediaPipeDetector(model_file, is_still)


def find_people(frames: Iterable[Frame], size: tuple[int, int], model_file: Path | None = None) -> list[Person]:
    """The people in some pictures of a film's beginning, see `d2m.video.people.people_in`."""
    with open_detector(model_file, is_still=True) as detector:
        return people_in(frames, size, detector)


def find_landmarks(
    frames: Iterable[Frame],
    size: tuple[int, int],
    model_file: Path | None = None,
    on_frame: Callable[[float], None] | None = None,
    dancer: SamePerson | None = None,
    begun: Landmarks | None = None,
    keep: Callable[[Landmarks], object] | None = None,
) -> Landmarks:
    """The landmarks of one person in the frames of a video.

    Where somebody else is found, too far away or of another size or look, the frame counts as not seen and the search is
    repeated near the place where the person was. After a cut the person may be anywhere.

    Args:
        frames: in their order; a few hundred pixels are enough.
        size: width and height of the upright picture.
        model_file: see `open_detector`.
        on_frame: told the time in seconds of every frame that is done.
        dancer: who is followed; None: the first one found.
        begun: what an earlier run has found in the first of these frames, which are not searched again.
        keep: given what is found so far, now and then.

    Raises:
        BadConfig: see `open_detector`.
        BadInput: when there is no frame, or the detector's package is not installed.
    """
    same, cuts, done = dancer or SamePerson(size), CutFinder(), _Found(size, begun)
    kept_at_s = time.monotonic()
    with open_detector(model_file) as detector:
        for frame in frames:
            if cuts.is_cut(frame.picture):
                done.cuts_s.append(frame.time_s)
                detector.reset()
                same.cut()
            earlier = done.earlier(frame.time_s)
            if earlier is not None:
                same.choose([earlier] if earlier.image.any() else [], frame.time_s)
                continue
            done.add(frame.time_s, one_person(detector, same, frame, is_lost=done.is_lost))
            if on_frame:
                on_frame(frame.time_s)
            if keep and time.monotonic() - kept_at_s > _KEPT_EVERY_S:
                keep(done.landmarks())
                kept_at_s = time.monotonic()
    if not done.times_s:
        raise BadInput("The video has no frames, expected at least 1 s of a dance; record or export it again.")
    return done.landmarks()


class CutFinder:
    """Finds the first picture of another shot.

    Every picture is compared with the one before it, both shrunk to a few hundred grey tiles without their mean and contrast:
    a dancer moves few of them, and a flash of light moves them all alike.
    """

    def __init__(self) -> None:
        self._last: Float[np.ndarray, " tile"] | None = None
        self._usual: deque[float] = deque(maxlen=_CUT_REMEMBERS)

    def is_cut(self, picture: Picture) -> bool:
        """Whether a picture is the first of another shot; to be asked for every picture in its order."""
        tiles = _tiles(picture)
        if tiles is None:
            return False
        last, self._last = self._last, tiles
        if last is None:
            return False
        unlike = float(1 - last @ tiles)
        usual = float(np.median(self._usual)) if self._usual else 0.0
        if unlike > max(1 - _ALIKE, _USUAL_TIMES * usual):
            self._usual.clear()
            return True
        self._usual.append(unlike)
        return False


def _tiles(picture: Picture) -> Float[np.ndarray, " tile"] | None:
    """Grey tiles of mean 0 and length 1; None for a picture of one shade."""
    height, width = picture.shape[:2]
    rows, columns = min(_TILES[0], height), min(_TILES[1], width)
    grey = picture[: height // rows * rows, : width // columns * columns, 1].astype(np.float32)
    tiles = grey.reshape(rows, height // rows, columns, width // columns).mean(axis=(1, 3)).ravel()
    tiles = tiles.astype(np.float64) - tiles.mean()
    return None if tiles.std() < _FLAT else tiles / np.linalg.norm(tiles)


class _Found:
    """What was found so far, in 800 bytes a frame."""

    def __init__(self, size: tuple[int, int], begun: Landmarks | None) -> None:
        self.size, self.begun = size, begun
        self.times_s: list[float] = [] if begun is None else begun.times_s.tolist()
        rows = [] if begun is None else np.concatenate([begun.image, begun.world], axis=-1).astype(np.float32)
        self._rows = list(rows)
        self._seen: list[bool] = [] if begun is None else begun.seen.tolist()
        self.cuts_s: list[float] = []

    @property
    def is_lost(self) -> bool:
        """Whether nobody was found in the last frame."""
        return bool(self._seen) and not self._seen[-1]

    def earlier(self, time_s: float) -> Detection | None:
        """What an earlier run has found at this time; None where it had not come so far."""
        begun = self.begun
        if begun is None or not len(begun.times_s) or time_s > begun.times_s[-1]:
            return None
        number = int(np.abs(begun.times_s - time_s).argmin())
        return Detection(begun.image[number].astype(np.float64), begun.world[number].astype(np.float64))

    def add(self, time_s: float, person: Detection | None) -> None:
        """One more frame."""
        nothing = np.zeros((LANDMARKS, 6), np.float32)
        row = nothing if person is None else np.concatenate([person.image, person.world], axis=-1, dtype=np.float32)
        self.times_s.append(time_s)
        self._rows.append(row)
        self._seen.append(person is not None)

    def landmarks(self) -> Landmarks:
        """All frames so far."""
        rows, seen = np.stack(self._rows), np.array(self._seen)
        image, world = rows[..., :3].astype(np.float64), rows[..., 3:].astype(np.float64)
        if seen.any() and not world.any():
            world[seen] = flat_world(image[seen], self.size)
        return Landmarks(image, world, np.array(self.times_s), seen, self.size, tuple(self.cuts_s))


def flat_world(image: Float[np.ndarray, "frame 33 3"], size: tuple[int, int]) -> Float[np.ndarray, "frame 33 3"]:
    """World landmarks of a detector that knows no depth: the body in a plane, scaled by its height when it stands.

    Args:
        image: see `Landmarks`, of frames in which somebody is seen.
        size: of the picture in pixels.
    """
    pixels = image[..., :2] * np.array(size)
    names = {name: index for index, name in enumerate(LANDMARK_NAMES)}
    ankles, hips = ([names[f"{side}_{part}"] for side in ("left", "right")] for part in ("ankle", "hip"))
    height = float(np.quantile(pixels[:, ankles, 1].mean(axis=1) - pixels[:, names["nose"], 1], _TALL_SHARE))
    world = np.zeros((*pixels.shape[:2], 3))
    world[..., :2] = (pixels - pixels[:, hips].mean(axis=1, keepdims=True)) * (_BODY_HEIGHT_M / max(height, 1.0))
    for name, index in names.items():
        world[:, index, 2] = next((depth_m for part, depth_m in _DEPTH_M.items() if part in name), 0.0)
    return world


def one_person(detector: Detector, same: SamePerson, frame: Frame, is_lost: bool) -> Detection | None:
    """The person followed; after a loss only near the place where they were. Who is found in their place is painted over."""
    picture = same.surroundings(frame.picture, frame.time_s) if is_lost else frame.picture
    for _ in range(_SEARCHES):
        people = detector.people(picture, frame.time_s)
        person = same.choose(people, frame.time_s, frame.picture)
        if person is not None or not people:
            return person
        detector.reset()  # it follows somebody else
        picture = painted_over(picture, people)
    return None
