"""Small grey pictures of a clip at an even rate: what a system that looks at pixels is conditioned on.

root/frames/NAME.npy is uint8 [frame size size]; frame i is what the film shows i / fps seconds after its first picture.
root/frames/manifest.json says size and fps, which are the same for all clips.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8

from d2m.data.array_files import array_shape
from d2m.data.layout import DataSetLayout
from d2m.errors import BadConfig, BadInput
from d2m.files import written_whole
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
    """Note in the folder what its pictures are.

    Raises:
        BadConfig: when it holds pictures of another size or rate.
    """
    path = root / "frames" / "manifest.json"
    if not path.exists():
        with written_whole(path) as temporary:
            temporary.write_text(json.dumps(asdict(wanted)) + "\n")
        return
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        found = "something unreadable"
    if found != asdict(wanted):
        raise BadConfig(f"{path}: found {found}, expected {asdict(wanted)}; delete this folder or choose another out=.")
