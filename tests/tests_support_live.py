"""What the tests of live music share: frames of somebody who stands."""

import numpy as np

from d2m.live.performance import LiveFrame

SECONDS = 7.0
"""Length of the dance in `tests/live`."""


def still(seconds: float, from_s: float = 0.0) -> list[LiveFrame]:
    """Frames of somebody who stands, 30 a second."""
    points = np.stack([np.zeros(13), np.linspace(1.5, 0, 13)], axis=1)
    return [LiveFrame(from_s + n / 30, points) for n in range(round(seconds * 30))]
