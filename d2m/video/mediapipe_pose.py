"""MediaPipe Pose, without its noise on the terminal.

MediaPipe follows one person from frame to frame and looks for the most prominent one when it has lost them. Its own
smoothing is off: it is causal and delays the motion, and it believes in 30 frames a second. `d2m.motion.landmarks` smooths
later, in both directions of time.
"""

import logging
import os
import sys
import warnings
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from d2m.core.errors import BadConfig, BadInput
from d2m.video.detection import Detection

_PEOPLE = 4
_NOBODY = np.zeros((64, 64, 3), np.uint8)

_FIRST_WITHOUT = (3, 13)
"""The first version of Python for which there is no MediaPipe that brings its weights."""


class MediaPipeDetector(AbstractContextManager):
    """MediaPipe Pose for the frames of one video, in their order; see `d2m.video.detection.Detector`.

    Args:
        model_file: a `.task` file of MediaPipe's pose landmarker; None: the model in MediaPipe's own package
            (complexity 1), which needs no file.
        is_still: whether every picture is searched anew, and nobody followed.

    Raises:
        BadInput: when MediaPipe is not installed.
        BadConfig: when it holds no model, or the file is none.
    """

    def __init__(self, model_file: Path | None = None, is_still: bool = False) -> None:
        self._mediapipe = _mediapipe()
        self._model_file, self._is_still = model_file, is_still
        self._network: Any = None
        self.reset()

    def reset(self) -> None:
        """Forget whom it followed: the next picture is searched anew."""
        self.close()
        self._is_new = True
        with _quiet_stderr():
            if self._model_file is None:
                self._network = self._from_package()
                self._network.process(_NOBODY)  # its threads have said all that they say when this returns
            else:
                self._network = self._from_file(self._model_file)

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
        return (
            self._network.detect(wrapped)
            if self._is_still
            else self._network.detect_for_video(wrapped, round(time_s * 1000))
        )

    def close(self) -> None:
        """Free the network."""
        if self._network is not None:
            with _quiet_stderr():
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
        return solutions.pose.Pose(
            static_image_mode=self._is_still, model_complexity=1, smooth_landmarks=False, min_tracking_confidence=0.5
        )

    def _from_file(self, model_file: Path) -> Any:
        if not model_file.is_file():
            raise BadConfig(f"{model_file}: no such file, expected a pose landmarker's .task file; check the path.")
        try:
            from mediapipe.tasks.python import BaseOptions, vision

            options = vision.PoseLandmarkerOptions(
                base_options=BaseOptions(model_asset_path=str(model_file)),
                running_mode=vision.RunningMode.IMAGE if self._is_still else vision.RunningMode.VIDEO,
                num_poses=_PEOPLE,
            )
            return vision.PoseLandmarker.create_from_options(options)
        except (RuntimeError, ValueError, OSError) as error:
            reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
            raise BadConfig(
                f"{model_file}: not a pose landmarker's .task file ({reason}); download it again."
            ) from error


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
        python = ".".join(map(str, sys.version_info[:2]))
        raise BadInput(
            "mediapipe: not installed, expected for reading a dance from a video; run: pip install 'd2m[pose]'."
            if sys.version_info < _FIRST_WITHOUT
            else f"mediapipe: there is none for Python {python}, expected for reading a dance from a video; use Python 3.10 to "
            "3.12, or name an RTMPose model with --pose-model FILE.onnx after pip install 'd2m[onnx]'."
        ) from error
    return mediapipe
