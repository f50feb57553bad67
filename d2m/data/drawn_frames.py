"""Small pictures of motions that nobody filmed: the dancer drawn as a camera 4 m in front would see the body.

So that a system that looks at pictures can be trained and tried on the embedded data set. Drawn limbs on an even ground are
easier to read than a film.
"""

from collections.abc import Sequence
from functools import partial

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw

from d2m.dance import Dance
from d2m.data.array_files import save_array
from d2m.data.layout import DataSetLayout
from d2m.data.spreading import spread
from d2m.data.videos.small_frames import SmallFrames, claim_frames, has_frames
from d2m.files import writable_folder
from d2m.video.landmarks import LANDMARK_NAMES
from d2m.video.synthetic import landmarks_of

_L = {name: index for index, name in enumerate(LANDMARK_NAMES)}
_LIMBS = [
    [_L[f"{side}_{part}"] for part in parts]
    for side in ("left", "right")
    for parts in (("shoulder", "elbow", "wrist", "index"), ("hip", "knee", "ankle", "foot_index"))
]
_TRUNK = [_L["left_shoulder"], _L["right_shoulder"], _L["right_hip"], _L["left_hip"]]
_GROUND, _BODY = 210, 50
_DETAIL = 4
"""Drawn this many times larger, then averaged down."""

_LIMB_WIDTH, _HEAD_RADIUS = 0.03, 0.04
"""As shares of the picture's side."""


def drawn_frames(
    features: Float[np.ndarray, "time 219"], small: SmallFrames
) -> UInt8[np.ndarray, "picture size size"]:
    """The pictures of a motion: picture i is drawn at i / fps seconds.

    Args:
        features: at 60 fps.
        small: their size and rate.
    """
    seen = landmarks_of(features, small.fps)
    side = small.size * _DETAIL
    pictures = np.stack([_drawn(points[:, :2] * side, side) for points in seen.image])
    cells = pictures.reshape(len(pictures), small.size, _DETAIL, small.size, _DETAIL)
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
    spread(partial(_draw_one, layout, small), todo, processes, "drawing")
    return len(todo)


def _draw_one(layout: DataSetLayout, small: SmallFrames, name: str) -> None:
    save_array(layout.pictures(name), drawn_frames(Dance.load(layout.motion(name)).features, small))
