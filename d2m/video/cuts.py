"""Cuts: the first picture of another shot."""

from collections import deque

import numpy as np
from jaxtyping import Float

from d2m.video.detection import Picture

_ROWS, _COLUMNS = 18, 32
_REMEMBERED = 12
_ALIKE = 0.6
"""Two pictures of a shot are correlated more than this, however the light changes …"""
_USUAL_TIMES = 4.0
"""… and after a cut they are this many times less so than usual, so that a shaking camera cuts nothing."""
_FLAT = 4.0
"""A picture whose shades deviate by less than this, of 255, is black or white, and belongs to no shot."""


class CutFinder:
    """Compares every picture with the one before it, both shrunk to a few hundred grey tiles without their mean and contrast:
    a dancer moves few of them, and a flash of light moves them all alike."""

    def __init__(self) -> None:
        self._last: Float[np.ndarray, " tile"] | None = None
        self._usual: deque[float] = deque(maxlen=_REMEMBERED)

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
    rows, columns = min(_ROWS, height), min(_COLUMNS, width)
    grey = picture[: height // rows * rows, : width // columns * columns, 1].astype(np.float32)
    tiles = grey.reshape(rows, height // rows, columns, width // columns).mean(axis=(1, 3)).ravel()
    tiles = tiles.astype(np.float64) - tiles.mean()
    return None if tiles.std() < _FLAT else tiles / np.linalg.norm(tiles)
