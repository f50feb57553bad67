"""What every pose detector gives, whichever network it runs."""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, UInt8

from d2m.motion.landmarks import LANDMARK_NAMES

Picture = UInt8[np.ndarray, "height width 3"]

_TORSO = [LANDMARK_NAMES.index(f"{side}_{part}") for part in ("shoulder", "hip") for side in ("left", "right")]
_LEAST_VISIBLE = 0.3


@dataclass(frozen=True)
class Detection:
    """One person in one picture; see `Landmarks` for the axes. `world` is 0 where the detector knows the picture only."""

    image: Float[np.ndarray, "33 3"]
    world: Float[np.ndarray, "33 3"]

    def torso(self, size: tuple[int, int]) -> tuple[Float[np.ndarray, " 2"], float]:
        """Middle of the torso and its extent (the larger of height and width, so that no view makes it vanish), in the
        pixels of a picture of `size`."""
        corners = self.image[_TORSO, :2] * np.array(size)
        return corners.mean(axis=0), float(max(np.linalg.norm(corners.max(axis=0) - corners.min(axis=0)), 1e-3))

    def look(self, picture: Picture) -> Float[np.ndarray, " 64"] | None:
        """How often each of 64 colours is in the clothes of the torso, summing to 1; None where it is out of the picture."""
        height, width = picture.shape[:2]
        corners = self.image[_TORSO, :2] * (width, height)
        (left, top), (right, bottom) = corners.min(axis=0), corners.max(axis=0)
        rows, columns = _within(top, bottom, height), _within(left, right, width)
        if rows.size < 3 or columns.size < 2:
            return None
        thirds = picture[np.ix_(rows, columns)].reshape(-1, 3) // 64
        counts = np.bincount(thirds @ np.array([16, 4, 1]), minlength=64)
        return counts / counts.sum()

    def box(self) -> tuple[float, float, float, float]:
        """Left, top, right and bottom of the person in the picture, 0 to 1."""
        points = self.image[self.image[:, 2] >= _LEAST_VISIBLE, :2] if self.image[:, 2].any() else self.image[:, :2]
        points = points if len(points) else self.image[:, :2]
        (left, top), (right, bottom) = points.min(axis=0), points.max(axis=0)
        return float(left), float(top), float(right), float(bottom)


def _within(first: float, last: float, size: int) -> np.ndarray:
    """At most 24 rows or columns of a picture between two places."""
    found = np.arange(max(0, int(first)), min(size, int(last) + 1))
    return found[:: -(-len(found) // 24) or 1]


@runtime_checkable
class Detector(AbstractContextManager, Protocol):
    """Finds people in the pictures of one video, in their order."""

    def people(self, picture: Picture, time_s: float | int) -> list[Detection]:
        """The people in a picture; some detectors find at most one."""
        ...

    def reset(self) -> None:
        """Forget whom it followed: the next picture is searched anew."""
        ...

    def close(self) -> None:
        """Free the network."""
        ...
