"""The camera of the stick figure: a pinhole that follows the dancer slowly, a little above the floor."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.ndimage import gaussian_filter1d

from d2m.clock import MOTION_FPS

_DISTANCE_M = 4.6
_TILT_RAD = 0.16
_AIM_HEIGHT_M = 0.98
FOCAL = 1.82
"""Focal length in picture heights: a standing adult fills about two thirds of the picture."""
_FOLLOW_S = 0.8
"""Standard deviation of the smoothing of the pelvis's path: steps move the dancer, not the room."""


@dataclass(frozen=True)
class Camera:
    """Where the camera looks at each motion frame.

    Args:
        aim_m: point followed on the ground, x and z.
        floor_m: height of the floor.
        width, height: of the picture, in pixels.
    """

    aim_m: Float[np.ndarray, "time 2"]
    floor_m: float
    width: int
    height: int

    @staticmethod
    def following(positions: Float[np.ndarray, "time 24 3"], width: int, height: int) -> "Camera":
        """A camera for joint positions in metres, Y up; the floor is where the lower foot mostly is."""
        aim_m = gaussian_filter1d(positions[:, 0, [0, 2]], _FOLLOW_S * MOTION_FPS, axis=0, mode="nearest")
        return Camera(aim_m, float(np.percentile(positions[..., 1].min(axis=1), 20)), width, height)

    def project(
        self, points: Float[np.ndarray, "frame point 3"], aim_m: Float[np.ndarray, "frame 2"]
    ) -> Float[np.ndarray, "frame point 3"]:
        """Pixel column, pixel row and distance in metres of points, each frame seen with its own aim."""
        centre = np.stack([aim_m[:, 0], np.full(len(aim_m), self.floor_m + _AIM_HEIGHT_M), aim_m[:, 1]], axis=1)
        x, y, z = np.moveaxis(points - centre[:, None, :], -1, 0)
        y, z = y * np.cos(_TILT_RAD) - z * np.sin(_TILT_RAD), y * np.sin(_TILT_RAD) + z * np.cos(_TILT_RAD)
        distance = np.maximum(_DISTANCE_M - z, 0.3)
        focal = FOCAL * self.height
        column = self.width / 2 + focal * x / distance
        return np.stack([column, self.height * 0.5 - focal * y / distance, distance], axis=-1)

    def project_at(self, points: Float[np.ndarray, "point 3"], frame: int) -> Float[np.ndarray, "point 3"]:
        """The same for the points of one motion frame."""
        return self.project(points[None], self.aim_m[frame : frame + 1])[0]
