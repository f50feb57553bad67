"""Small grey pictures of a clip at an even rate: what a system that looks at pixels is conditioned on.

root/frames/NAME.npy is uint8 [frame size size]; frame i is what the film shows i / fps seconds after its first picture.
root/frames/manifest.json says size and fps, which are the same for all clips. Of a motion that nobody filmed they are drawn, as a
camera 4 m in front would see the body; drawn limbs on an even ground are easier to read than a film.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw

from d2m.core.errors import BadConfig, BadInput
from d2m.core.files import array_shape, save_array, writable_folder
from d2m.core.parallel import parallel_map
from d2m.core.timeline import PICTURE_FPS
from d2m.data.layout import DataSetLayout
from d2m.data.preparation import claim_folder
from d2m.motion.dance import Dance
from d2m.motion.landmarks import LANDMARK_NAMES
from d2m.video.modality import landmarks_of
from d2m.video.reader import frames

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
"""Rec. ITU-R BT.601."""

_DETAIL = 4
"""Pictures are read this many times larger before they are averaged down."""


@dataclass(frozen=True)
class SmallFrames:
    """How small pictures are made.

    Args:
        size: pixels a side; the whole picture is fitted in, whatever its aspect, so that nothing is cut off.
        fps: pictures a second.
    """

    size: int = 32
    fps: int = 15

    @staticmethod
    def of(setting: Any) -> "SmallFrames | None":
        """From `{size: 32, fps: 15}`; None from null, false or `off`.

        Raises:
            BadConfig: for anything else.
        """
        if setting is None or setting is False or setting == "off":
            return None
        values = {"size": 32, "fps": 15, **setting} if isinstance(setting, Mapping) else {}
        if set(values) != {"size", "fps"} or any(type(value) is not int or value < 1 for value in values.values()):
            raise BadConfig(f"frames={setting}: expected {{size: 32, fps: 15}} in whole numbers, or off; correct it.")
        if values["size"] < 4 or values["size"] > 512 or values["fps"] > 60:
            raise BadConfig(f"frames={setting}: expected a size of 4 to 512 pixels and at most 60 fps; correct it.")
        return SmallFrames(**values)

    def count(self, seconds: float | int) -> int:
        """Pictures of a clip of this length."""
        return max(1, math.ceil(seconds * self.fps - 1e-6))

    def read(self, film: Path, seconds: float | int) -> UInt8[np.ndarray, "frame size size"]:
        """The pictures of a film's first `seconds`; after its last one, that is repeated.

        Raises:
            BadInput: see `d2m.video.reader.frames`.
        """
        pictures: list[np.ndarray] = []
        shown: np.ndarray | None = None
        count = self.count(seconds)
        for frame in frames(film, self.size * _DETAIL):
            while shown is not None and len(pictures) < count and len(pictures) / self.fps < frame.time_s - 1e-6:
                pictures.append(self._small(shown))
            shown = frame.picture
        last = self._small(shown) if shown is not None else np.zeros((self.size, self.size), np.uint8)
        return np.stack([*pictures, *[last] * (count - len(pictures))])

    def _small(self, picture: UInt8[np.ndarray, "height width 3"]) -> UInt8[np.ndarray, "size size"]:
        grey: Float[np.ndarray, "height width"] = picture.astype(np.float32) @ _LUMA
        mean = torch.nn.functional.adaptive_avg_pool2d(torch.from_numpy(grey)[None], self.size)[0]
        return mean.round().clamp(0, 255).to(torch.uint8).numpy()


def has_frames(root: Path, name: str, wanted: SmallFrames | None) -> bool:
    """Whether a clip has its small pictures, or none are wanted."""
    path = DataSetLayout(root).pictures(name)
    if wanted is None:
        return True
    try:
        return path.exists() and array_shape(path)[1:] == (wanted.size, wanted.size)
    except BadInput:
        return False


def claim_frames(root: Path, wanted: SmallFrames) -> None:
    """Note in the folder what its pictures are; see `claim_folder`."""
    claim_folder(root / "frames" / "manifest.json", asdict(wanted))


def picture_size(layout: DataSetLayout) -> int:
    """Pixels a side of a data set's small pictures.

    Raises:
        BadConfig: when there are none, or they have another rate than 15 a second.
    """
    path = layout.root / "frames" / "manifest.json"
    try:
        found = json.loads(path.read_text())
        size, fps = int(found["size"]), found["fps"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadConfig(
            f"{path}: not found or damaged, expected what scripts/prepare.py notes of a data set's small pictures; prepare it "
            "with dataset.frames={size: 32, fps: 15}."
        ) from error
    if fps != PICTURE_FPS:
        raise BadConfig(
            f"{path}: found fps {fps}, expected {PICTURE_FPS}; prepare the data set with dataset.frames.fps={PICTURE_FPS}."
        )
    return size


_L = {name: index for index, name in enumerate(LANDMARK_NAMES)}
_LIMBS = [
    [_L[f"{side}_{part}"] for part in parts]
    for side in ("left", "right")
    for parts in (("shoulder", "elbow", "wrist", "index"), ("hip", "knee", "ankle", "foot_index"))
]
_TRUNK = [_L["left_shoulder"], _L["right_shoulder"], _L["right_hip"], _L["left_hip"]]
_GROUND, _BODY = 210, 50
_DRAWN_DETAIL = 4
"""Drawn this many times larger, then averaged down."""

_LIMB_WIDTH, _HEAD_RADIUS = 0.03, 0.04
"""As shares of the picture's side."""


def drawn_frames(features: Float[np.ndarray, "time 219"], small: SmallFrames) -> UInt8[np.ndarray, "picture size size"]:
    """The pictures of a motion: picture i is drawn at i / fps seconds.

    Args:
        features: at 60 fps.
        small: their size and rate.
    """
    seen = landmarks_of(features, small.fps)
    side = small.size * _DRAWN_DETAIL
    pictures = np.stack([_drawn(points[:, :2] * side, side) for points in seen.image])
    cells = pictures.reshape(len(pictures), small.size, _DRAWN_DETAIL, small.size, _DRAWN_DETAIL)
    means = cells.mean(axis=(2, 4), dtype=np.float32).round().astype(np.uint8)
    return means[np.minimum(np.arange(small.count(len(features) / 60)), len(means) - 1)]


def _drawn(places: Float[np.ndarray, "33 2"], side: int) -> UInt8[np.ndarray, "side side"]:
    picture = Image.new("L", (side, side), _GROUND)
    pencil, width = ImageDraw.Draw(picture), max(1, round(_LIMB_WIDTH * side))
    pencil.polygon([tuple(place) for place in places[_TRUNK]], fill=_BODY, outline=_BODY)
    for limb in _LIMBS:
        pencil.line([tuple(place) for place in places[limb]], fill=_BODY, width=width, joint="curve")
    x, y = places[: _L["mouth_right"] + 1].mean(axis=0)
    neck = tuple(places[[_L["left_shoulder"], _L["right_shoulder"]]].mean(axis=0))
    pencil.line([neck, (x, y)], fill=_BODY, width=width)
    radius = _HEAD_RADIUS * side
    pencil.ellipse([x - radius, y - radius, x + radius, y + radius], fill=_BODY)
    return np.asarray(picture)


def draw_data_set(layout: DataSetLayout, names: Sequence[str], small: SmallFrames, processes: int = 2) -> int:
    """Draw the pictures of the named sequences that have none yet into `root/frames`.

    Returns:
        How many were drawn.

    Raises:
        BadConfig: when the folder holds pictures of another size or rate.
    """
    writable_folder(layout.root / "frames")
    claim_frames(layout.root, small)
    todo = [name for name in names if not has_frames(layout.root, name, small)]
    parallel_map(partial(_draw_one, layout, small), todo, processes, "drawing")
    return len(todo)


def _draw_one(layout: DataSetLayout, small: SmallFrames, name: str) -> None:
    save_array(layout.pictures(name), drawn_frames(Dance.load(layout.motion(name)).features, small))
