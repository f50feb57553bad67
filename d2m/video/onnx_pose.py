"""A user's own pose network in ONNX, by onnxruntime: RTMPose's layout (Jiang et al., 2023, arXiv:2303.07399).

One input (1, 3, height, width): a person cut out of the picture, its colours less a mean over a deviation. Two outputs, SimCC
(Li et al., ECCV 2022): for every keypoint the likelihood of each of 2 · width columns, and of each of 2 · height rows. Keypoints
begin with the 17 of COCO; with 26 (Halpe) or 133 (COCO-WholeBody) of them there are feet too.

Such a network wants to know where the person is. It is shown the whole picture first, then what it found in it.
"""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from PIL import Image

from d2m.core.errors import BadConfig, BadInput
from d2m.motion.landmarks import LANDMARK_NAMES, LANDMARKS
from d2m.video.detection import Detection, Picture

_MEAN, _DEVIATION = np.array([123.675, 116.28, 103.53]), np.array([58.395, 57.12, 57.375])
_BINS_PER_PIXEL = 2
_AROUND = 1.25
"""A person is cut out with this much room."""
_SURE = 0.3
"""Mean likelihood of the body's keypoints below which nobody is there."""
_LOOKS = 3
"""How often a new picture is looked at, nearer each time."""

_COCO = (
    "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow", "right_elbow",
    "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle",
)  # fmt: skip
_FEET = {
    17: {},
    26: {"left_foot_index": 20, "right_foot_index": 21, "left_heel": 24, "right_heel": 25},
    133: {"left_foot_index": 17, "left_heel": 19, "right_foot_index": 20, "right_heel": 22},
}
"""Big toes and heels by count of keypoints."""

_NEAR = {
    "eye_inner": "eye", "eye_outer": "eye", "pinky": "wrist", "index": "wrist", "thumb": "wrist", "heel": "ankle",
    "foot_index": "ankle",
}  # fmt: skip
"""Landmarks that the network may lack, and the keypoint at whose place they are then taken to be."""


class OnnxDetector(AbstractContextManager):
    """RTMPose on one person; see `d2m.video.detection.Detector`. It knows the picture only: `Detection.world` is 0.

    Args:
        model_file: the network.
        session: what runs it, with `get_inputs`, `get_outputs` and `run` of onnxruntime; None: an `InferenceSession` of the
            file.
        is_still: whether every picture is searched anew.

    Raises:
        BadInput: when onnxruntime is not installed.
        BadConfig: when the file is missing, is no ONNX network, or has another layout.
    """

    def __init__(self, model_file: Path, session: Any = None, is_still: bool = False) -> None:
        self._session: Any = _session(model_file) if session is None else session
        self._is_still = is_still
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        shape = list(inputs[0].shape) if len(inputs) == 1 else []
        if (
            len(shape) != 4
            or shape[1] != 3
            or not all(isinstance(side, int) for side in shape[2:])
            or len(outputs) != 2
        ):
            raise BadConfig(
                f"{model_file}: found inputs {[list(one.shape) for one in inputs]} and {len(outputs)} outputs, expected one "
                "picture (1, 3, height, width) and SimCC's two outputs; give a network of RTMPose."
            )
        self._input, self._file = inputs[0].name, model_file
        self._height, self._width = shape[2:]
        self.reset()

    def reset(self) -> None:
        """Forget where the person was."""
        self._box: tuple[float, float, float, float] | None = None

    def close(self) -> None:
        """Free the network."""
        self._session = None

    def __exit__(self, *error: object) -> None:
        self.close()

    def people(self, picture: Picture, time_s: float | int) -> list[Detection]:
        """The person followed, or the only one."""
        height, width = picture.shape[:2]
        box = self._box or (0.0, 0.0, float(width), float(height))
        points, likely = self._keypoints(picture, box)
        for _ in range(0 if self._box else _LOOKS - 1):
            if likely[5:17].mean() < _SURE:
                break
            points, likely = self._keypoints(picture, _around(points, likely))
        if likely[5:17].mean() < _SURE:
            self.reset()
            return []
        self._box = None if self._is_still else _around(points, likely)
        return [Detection(_landmarks(points / (width, height), likely), np.zeros((LANDMARKS, 3)))]

    def _keypoints(
        self, picture: Picture, box: tuple[float, float, float, float]
    ) -> tuple[Float[np.ndarray, "point 2"], Float[np.ndarray, " point"]]:
        """Keypoints in the picture's pixels and their likelihoods."""
        left, top, right, bottom = box
        middle = np.array([left + right, top + bottom]) / 2
        # as wide as the network's picture is beside its height
        tall = _AROUND * max(bottom - top, (right - left) * self._height / self._width, 8.0)
        extent = np.array([tall * self._width / self._height, tall])
        corner = middle - extent / 2
        part = Image.fromarray(picture).transform(
            (self._width, self._height),
            Image.Transform.EXTENT,
            (*corner.tolist(), *(corner + extent).tolist()),
            Image.Resampling.BILINEAR,
        )
        shown = (np.asarray(part, np.float32) - _MEAN) / _DEVIATION
        columns, rows = self._session.run(None, {self._input: shown.transpose(2, 0, 1)[None].astype(np.float32)})
        if columns.ndim != 3 or columns.shape[:2] != rows.shape[:2] or columns.shape[1] not in _FEET:
            raise BadConfig(
                f"{self._file}: found outputs of shape {columns.shape} and {rows.shape}, expected (1, K, columns) and "
                f"(1, K, rows) with K of {', '.join(map(str, _FEET))} keypoints; give a network of RTMPose for bodies."
            )
        found = np.stack([columns[0].argmax(axis=-1), rows[0].argmax(axis=-1)], axis=-1) / _BINS_PER_PIXEL
        likely = np.clip(np.minimum(columns[0].max(axis=-1), rows[0].max(axis=-1)), 0, 1)
        return corner + found / (self._width, self._height) * extent, likely.astype(np.float64)


def _around(
    points: Float[np.ndarray, "point 2"], likely: Float[np.ndarray, " point"]
) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of the keypoints that are likely."""
    known = points[likely >= _SURE]
    (left, top), (right, bottom) = known.min(axis=0).tolist(), known.max(axis=0).tolist()
    return left, top, right, bottom


def _landmarks(points: Float[np.ndarray, "point 2"], likely: Float[np.ndarray, " point"]) -> Float[np.ndarray, "33 3"]:
    """MediaPipe's landmarks, those that the network lacks at the keypoint next to them."""
    number = {name: index for index, name in enumerate(_COCO)} | _FEET[len(points)]
    found = np.zeros((LANDMARKS, 3))
    for index, name in enumerate(LANDMARK_NAMES):
        side, _, part = name.partition("_")
        source = number.get(
            name, number.get(f"{side}_{_NEAR.get(part, '')}", number["nose"])
        )  # a mouth is near the nose
        found[index] = *points[source], likely[source]
    return found


def _session(model_file: Path) -> Any:
    if not model_file.is_file():
        raise BadConfig(f"{model_file}: no such file, expected a pose network (.onnx); check the path.")
    try:
        import onnxruntime  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise BadInput(
            f"onnxruntime: not installed, expected for {model_file.name}; run: pip install 'd2m[onnx]'."
        ) from error
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors only
    try:
        return onnxruntime.InferenceSession(str(model_file), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its errors have no base class of their own
        reason = " ".join(str(error).split())[:200]
        raise BadConfig(f"{model_file}: not an ONNX network ({reason}); download it again.") from error
