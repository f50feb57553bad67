"""Frames to landmarks: MediaPipe Pose, on the same person through the whole clip.

MediaPipe follows one person from frame to frame and looks for the most prominent one when it has lost them. Its own
smoothing is off: it is causal and delays the motion, and it believes in 30 frames a second. `d2m.motion.landmarks` smooths
later, in both directions of time.
"""

import logging
import os
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from d2m.core.errors import BadConfig, BadInput
from d2m.motion.landmarks import LANDMARKS, Landmarks
from d2m.video.reader import Frame

SAME_PERSON_TORSOS = 1.5
"""A dancer's middle may move this many torso lengths between two frames and still be the same person …"""

SAME_PERSON_TORSOS_PER_S = 3.0
"""… and this many more in every second in which nobody was seen."""

SAME_PERSON_SCALE = 2.5
"""Nor may the torso look this many times larger or smaller; more after a second in which nobody was seen."""

_TORSO = [11, 12, 23, 24]
_PEOPLE = 4


@dataclass(frozen=True)
class Detection:
    """One person in one picture; see `Landmarks` for the axes."""

    image: Float[np.ndarray, "33 3"]
    world: Float[np.ndarray, "33 3"]


@dataclass
class SamePerson:
    """Picks, among the people in a picture, the one seen before, by where the torso is and how large.

    Args:
        size: width and height of the picture in pixels, whichever scale.
    """

    size: tuple[int, int]
    _middle: np.ndarray | None = field(default=None, init=False)
    _torso: float = field(default=0.0, init=False)
    _time_s: float = field(default=0.0, init=False)

    def choose(self, people: list[Detection], time_s: float | int) -> Detection | None:
        """The person seen before, who is remembered at the new place; the largest one at first; None when they are not here."""
        measured = [(person, *self._measure(person)) for person in people]
        if self._middle is None:
            measured = sorted(measured, key=lambda entry: -entry[2])
        else:
            known, limit, reach = self._middle, SAME_PERSON_SCALE * (1 + time_s - self._time_s), self._reach(time_s)
            measured = sorted(measured, key=lambda entry: float(np.linalg.norm(entry[1] - known)))
            measured = [
                entry
                for entry in measured
                if np.linalg.norm(entry[1] - known) <= reach and 1 / limit < entry[2] / self._torso < limit
            ]
        if not measured:
            return None
        person, middle, torso = measured[0]
        # the size is followed slowly: a torso seen from the side is no smaller person
        self._torso = torso if self._middle is None else 0.9 * self._torso + 0.1 * torso
        self._middle, self._time_s = middle, float(time_s)
        return person

    def surroundings(
        self, picture: UInt8[np.ndarray, "height width 3"], time_s: float
    ) -> UInt8[np.ndarray, "height width 3"]:
        """The picture with everything grey that is too far away for the person, so that nobody else is found."""
        if self._middle is None:
            return picture
        scale = picture.shape[1] / self.size[0]
        x, y = self._middle * scale
        reach = (self._reach(time_s) + 2.5 * self._torso) * scale  # from the middle to raised hands and to the feet
        left, right = max(0, int(x - reach)), min(picture.shape[1], int(x + reach) + 1)
        top, bottom = max(0, int(y - reach)), min(picture.shape[0], int(y + reach) + 1)
        blanked = np.full_like(picture, 127)
        blanked[top:bottom, left:right] = picture[top:bottom, left:right]
        return blanked

    def _reach(self, time_s: float) -> float:
        return self._torso * (SAME_PERSON_TORSOS + SAME_PERSON_TORSOS_PER_S * (time_s - self._time_s))

    def _measure(self, detection: Detection) -> tuple[np.ndarray, float]:
        """Middle of the torso and its extent (the larger of height and width, so that no view makes it vanish), pixels."""
        corners = detection.image[_TORSO, :2] * np.array(self.size)
        return corners.mean(axis=0), float(max(np.linalg.norm(corners.max(axis=0) - corners.min(axis=0)), 1e-3))


class PoseDetector(AbstractContextManager):
    """MediaPipe Pose for the frames of one video, in their order.

    Args:
        model_file: a `.task` file of MediaPipe's pose landmarker; None: the model in MediaPipe's own package
            (complexity 1), which needs no file.

    Raises:
        BadInput: when MediaPipe is not installed.
        BadConfig: when it holds no model, or the file is none.
    """

    def __init__(self, model_file: Path | None = None) -> None:
        self._mediapipe = _mediapipe()
        self._model_file = model_file
        self._network: Any = None
        self.reset()

    def reset(self) -> None:
        """Forget whom it followed: the next picture is searched anew."""
        self.close()
        self._is_new = True
        with _quiet_stderr():
            self._network = self._from_package() if self._model_file is None else self._from_file(self._model_file)

    def people(self, picture: UInt8[np.ndarray, "height width 3"], time_s: float | int) -> list[Detection]:
        """The people in a picture: at most one by the model of the package, perhaps several by a `.task` file."""
        with _quiet_stderr() if self._is_new else nullcontext():
            found = self._found(picture, time_s)
        self._is_new = False
        if self._model_file is None:
            image, world = found.pose_landmarks, found.pose_world_landmarks
            return [Detection(_array(image.landmark, True), _array(world.landmark, False))] if image and world else []
        pairs = zip(found.pose_landmarks, found.pose_world_landmarks, strict=True)
        return [Detection(_array(image, True), _array(world, False)) for image, world in pairs]

    def _found(self, picture: UInt8[np.ndarray, "height width 3"], time_s: float | int) -> Any:
        if self._model_file is None:
            return self._network.process(picture)
        wrapped = self._mediapipe.Image(image_format=self._mediapipe.ImageFormat.SRGB, data=picture)
        return self._network.detect_for_video(wrapped, round(time_s * 1000))

    def close(self) -> None:
        """Free the network."""
        if self._network is not None:
            self._network.close()
            self._network = None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _from_package(self) -> Any:
        solutions = getattr(self._mediapipe, "solutions", None)
        if solutions is None:  # versions after 0.10.14 carry no weights
            raise BadConfig(
                f"mediapipe {self._mediapipe.__version__}: holds no pose model, expected 0.10.14; install d2m[pose], or "
                "name a pose landmarker's .task file."
            )
        return solutions.pose.Pose(model_complexity=1, smooth_landmarks=False, min_tracking_confidence=0.5)

    def _from_file(self, model_file: Path) -> Any:
        if not model_file.is_file():
            raise BadConfig(f"{model_file}: no such file, expected a pose landmarker's .task file; check the path.")
        try:
            from mediapipe.tasks.python import BaseOptions, vision

            options = vision.PoseLandmarkerOptions(
                base_options=BaseOptions(model_asset_path=str(model_file)),
                running_mode=vision.RunningMode.VIDEO,
                num_poses=_PEOPLE,
            )
            return vision.PoseLandmarker.create_from_options(options)
        except (RuntimeError, ValueError, OSError) as error:
            reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
            raise BadConfig(
                f"{model_file}: not a pose landmarker's .task file ({reason}); download it again."
            ) from error


def find_landmarks(
    frames: Iterable[Frame],
    size: tuple[int, int],
    model_file: Path | None = None,
    on_frame: Callable[[float], None] | None = None,
) -> Landmarks:
    """The landmarks of one person in the frames of a video.

    The person is the first one found. Where somebody else is found, too far away or of another size, the frame counts as
    not seen and the search is repeated near the place where the person was.

    Args:
        frames: in their order; a few hundred pixels are enough.
        size: width and height of the upright picture.
        model_file: see `PoseDetector`.
        on_frame: told the time in seconds of every frame that is done.

    Raises:
        BadConfig: see `PoseDetector`.
        BadInput: when there is no frame, or MediaPipe is not installed.
    """
    same, found, times_s = SamePerson(size), [], []
    with PoseDetector(model_file) as detector:
        for frame in frames:
            found.append(_person(detector, same, frame, is_lost=bool(found) and found[-1] is None))
            times_s.append(frame.time_s)
            if on_frame:
                on_frame(frame.time_s)
    if not found:
        raise BadInput("The video has no frames, expected at least 1 s of a dance; record or export it again.")
    nothing = np.zeros((LANDMARKS, 3))
    image = np.stack([nothing if person is None else person.image for person in found])
    world = np.stack([nothing if person is None else person.world for person in found])
    seen = np.array([person is not None for person in found])
    return Landmarks(image, world, np.array(times_s), seen, size)


def _person(detector: PoseDetector, same: SamePerson, frame: Frame, is_lost: bool) -> Detection | None:
    """The person followed; after a loss or a change of person only near the place where they were."""
    picture = same.surroundings(frame.picture, frame.time_s) if is_lost else frame.picture
    people = detector.people(picture, frame.time_s)
    person = same.choose(people, frame.time_s)
    if person is None and people:
        detector.reset()  # it follows somebody else
    return person


def _array(landmarks: Iterable[Any], is_image: bool) -> Float[np.ndarray, "33 3"]:
    return np.array([(mark.x, mark.y, mark.visibility if is_image else mark.z) for mark in landmarks], dtype=np.float64)


@contextmanager
def _quiet_stderr() -> Iterator[None]:
    """Drop what MediaPipe's C++ code writes to file descriptor 2 (OpenGL, TensorFlow Lite, absl); Python's errors still pass.

    Only around the making of a network and its first picture, when it writes: what others write meanwhile is lost.
    """
    try:
        sys.stderr.flush()
        kept = os.dup(2)
    except (OSError, AttributeError, ValueError):  # there is no stderr
        yield
        return
    try:
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, 2)
        os.close(nothing)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _mediapipe() -> Any:
    """The package, with its log kept quiet.

    Raises:
        BadInput: when it is not installed.
    """
    os.environ.setdefault("GLOG_minloglevel", "2")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    warnings.filterwarnings("ignore", message=r"SymbolDatabase\.GetPrototype", module=r"google\.protobuf")
    try:
        with _quiet_stderr():
            import mediapipe
        logging.getLogger("absl").setLevel(logging.ERROR)
    except ImportError as error:
        raise BadInput(
            "mediapipe: not installed, expected for reading a dance from a video; run: pip install 'd2m[pose]'."
        ) from error
    return mediapipe
