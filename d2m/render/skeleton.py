"""The camera of the stick figure: a pinhole that follows the dancer slowly, a little above the floor."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import gaussian_filter1d
from tqdm import tqdm

from d2m.core.aist_names import GENRE_TITLES
from d2m.core.files import atomic_write
from d2m.core.music import Music
from d2m.core.timeline import MOTION_FPS
from d2m.motion.dance import Dance
from d2m.motion.features import joint_positions_of
from d2m.motion.smpl import JOINT_NAMES, PARENTS
from d2m.render.mux import write_video

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


# A dance as a stick figure on a floor, drawn with Pillow: depth, shadow, trails, and a ring on every beat.


Colour = tuple[int, int, int]

_LEFT, _RIGHT, _MIDDLE, _TORSO = (94, 196, 255), (255, 140, 105), (236, 237, 242), (92, 96, 116)
_SKY, _GROUND, _LINE, _SHADOW, _BEAT = (17, 18, 26), (27, 29, 41), (62, 66, 90), (9, 10, 15), (255, 209, 92)
_SCALE = 2  # drawn twice as large and shrunk: smooth lines
_RING_S, _TRAIL_S = 0.4, 0.3
_TRAILED = (10, 11, 22, 23)
_THICK = ("hip", "knee", "ankle", "spine", "shoulder", "elbow")
_WIDTH_M = tuple(0.062 if any(part in name for part in _THICK) else 0.045 for name in JOINT_NAMES)
"""Thickness of the bone that ends in each joint."""
_CIRCLE = np.stack([np.cos(np.linspace(0, 2 * np.pi, 49)), np.zeros(49), np.sin(np.linspace(0, 2 * np.pi, 49))], axis=1)


class Stage:
    """Everything that is seen of one dance; `draw` gives the picture of a motion frame.

    Args:
        dance: what is drawn.
        size: picture (width, height) in pixels.
        title: written at the top, above the genre.
        beats_s: times of the rings, and of the ticks of the timeline.
    """

    def __init__(
        self,
        dance: Dance,
        size: tuple[int, int],
        title: str,
        beats_s: Sequence[float | int] | Float[np.ndarray, " beat"],
    ) -> None:
        self.seconds = dance.seconds
        self.beats_s = np.asarray(beats_s, dtype=np.float64)
        self.width, self.height = size[0] * _SCALE, size[1] * _SCALE
        self.positions = joint_positions_of(dance.features)
        self.camera = Camera.following(self.positions, self.width, self.height)
        on_floor = self.positions * [1, 0, 1] + [0, self.camera.floor_m, 0]
        self.joints = self.camera.project(self.positions, self.camera.aim_m)
        self.shadow = self.camera.project(on_floor, self.camera.aim_m)
        self.backdrop = self._backdrop(title, GENRE_TITLES.get(dance.genre or "", ""))

    def draw(self, frame: int) -> UInt8[np.ndarray, "height width 3"]:
        """The picture of one motion frame (60 fps)."""
        second = frame / MOTION_FPS
        since_s = second - self.beats_s[self.beats_s <= second + 1e-6].max(initial=-10.0)
        glow = float(np.clip(1 - since_s / _RING_S, 0, 1))
        image = self.backdrop.copy()
        brush = ImageDraw.Draw(image)
        self._floor(brush, frame, glow)
        if glow > 0:
            self._ring(brush, frame, glow)
        for joint in range(1, 24):
            self._bone(brush, self.shadow[frame], joint, _SHADOW)
        self._trails(brush, frame)
        self._body(brush, frame)
        self._timeline(brush, second, glow)
        return np.asarray(image.reduce(_SCALE))

    def _backdrop(self, title: str, genre: str) -> Image.Image:
        """What does not move: sky, titles and the timeline's ticks."""
        image = Image.new("RGB", (self.width, self.height), _SKY)
        brush = ImageDraw.Draw(image)
        brush.rectangle((0, self.height * 0.64, self.width, self.height), fill=_mix(_SKY, _GROUND, 0.5))
        left = 14 * _SCALE
        brush.text((left, 11 * _SCALE), title, font=ImageFont.load_default(size=13 * _SCALE), fill=(222, 224, 232))
        brush.text((left, 29 * _SCALE), genre, font=ImageFont.load_default(size=11 * _SCALE), fill=(150, 154, 172))
        y = self.height - 14 * _SCALE
        brush.line((left, y, self.width - left, y), fill=_LINE, width=_SCALE)
        for x in (self._timeline_x(beat_s) for beat_s in self.beats_s if beat_s <= self.seconds):
            brush.line((x, y - 4 * _SCALE, x, y), fill=_mix(_SKY, _BEAT, 0.6), width=_SCALE)
        return image

    def _timeline_x(self, second: float) -> float:
        left = 14 * _SCALE
        return left + (self.width - 2 * left) * min(second / self.seconds, 1.0)

    def _timeline(self, brush: ImageDraw.ImageDraw, second: float, glow: float) -> None:
        x, y, radius = self._timeline_x(second), self.height - 14 * _SCALE, (3 + 3 * glow) * _SCALE
        brush.line((14 * _SCALE, y, x, y), fill=_mix(_LINE, _BEAT, 0.7), width=2 * _SCALE)
        brush.ellipse((x - radius, y - radius, x + radius, y + radius), fill=_BEAT)

    def _floor(self, brush: ImageDraw.ImageDraw, frame: int, glow: float) -> None:
        """A grid of half metres that stands still in the world and fades with distance."""
        (x, z), height = np.round(self.camera.aim_m[frame] * 2) / 2, self.camera.floor_m
        steps = np.arange(-3.5, 2.01, 0.5)
        across = [[(x - 5, height, z + step), (x + 5, height, z + step)] for step in steps]
        along = [
            [(x + side, height, z + step), (x + side, height, z + step + 0.5)]
            for side in np.arange(-4, 4.01, 0.5)
            for step in steps[:-1]
        ]
        ends = self.camera.project_at(np.array(across + along).reshape(-1, 3), frame).reshape(-1, 2, 3)
        fades = np.clip((8.4 - ends[:, :, 2].mean(axis=1)) / 4.5, 0, 1)
        colours = _mixes(_mix(_SKY, _GROUND, 0.5), _mix(_LINE, _BEAT, 0.22 * glow), fades)
        for line, colour in zip(ends[:, :, :2].reshape(-1, 4).tolist(), colours, strict=True):
            brush.line(line, fill=colour, width=_SCALE)

    def _ring(self, brush: ImageDraw.ImageDraw, frame: int, glow: float) -> None:
        """A circle that runs outwards from the dancer's feet while it fades."""
        pelvis = self.positions[frame, 0]
        centre = np.array([pelvis[0], self.camera.floor_m, pelvis[2]])
        points = self.camera.project_at(centre + _CIRCLE * (0.35 + 0.55 * (1 - glow)), frame)
        path = [(float(column), float(row)) for column, row, _ in points]
        brush.line(path, fill=_mix(_GROUND, _BEAT, glow), width=int((1 + 3 * glow) * _SCALE), joint="curve")

    def _trails(self, brush: ImageDraw.ImageDraw, frame: int) -> None:
        """Where hands and feet were: long where they are fast, nothing where they rest."""
        first = max(frame - round(_TRAIL_S * MOTION_FPS), 0)
        shares = np.arange(1, frame - first + 1) / max(frame - first, 1)
        paths = {joint: self.joints[first : frame + 1, joint, :2] for joint in _TRAILED}
        colours = {joint: _mixes(_GROUND, _side(joint), 0.5 * shares) for joint in _TRAILED}
        for past, share in enumerate(shares):
            for joint, path in paths.items():
                line = path[past : past + 2].ravel().tolist()
                brush.line(line, fill=colours[joint][past], width=max(1, int(5 * share * _SCALE)))

    def _bone(self, brush: ImageDraw.ImageDraw, joints: Float[np.ndarray, "24 3"], joint: int, colour: Colour) -> None:
        a, b = joints[PARENTS[joint]], joints[joint]
        radius = max(0.5 * _WIDTH_M[joint] * FOCAL * self.height / b[2], 1.0)
        brush.line((a[0], a[1], b[0], b[1]), fill=colour, width=round(2 * radius))
        for column, row in ((a[0], a[1]), (b[0], b[1])):
            brush.ellipse((column - radius, row - radius, column + radius, row + radius), fill=colour)

    def _body(self, brush: ImageDraw.ImageDraw, frame: int) -> None:
        """Bones and trunk from the furthest to the nearest; what is further than the pelvis is darker."""
        joints = self.joints[frame]
        depths = {joint: float(joints[joint, 2] + joints[PARENTS[joint], 2]) / 2 for joint in range(1, 24)}
        trunk_depth = max(depths[joint] for joint in (1, 2, 3, 6, 9, 12, 13, 14)) + 0.01  # behind its own bones
        for joint, depth in sorted([*depths.items(), (0, trunk_depth)], key=lambda item: -item[1]):
            light = float(np.clip(0.95 - 0.55 * (depth - joints[0, 2]), 0.5, 1.0))
            if joint == 0:
                self._trunk(brush, joints, light)
            elif joint == 15:
                self._head(brush, joints, light)
            else:
                self._bone(brush, joints, joint, _mix(_SKY, _side(joint), light))

    def _trunk(self, brush: ImageDraw.ImageDraw, joints: Float[np.ndarray, "24 3"], light: float) -> None:
        """Shoulders and hips as one surface, darker when the dancer's back is seen."""
        corners = [(float(joints[joint, 0]), float(joints[joint, 1])) for joint in (16, 17, 2, 1)]
        front = joints[16, 0] + joints[1, 0] > joints[17, 0] + joints[2, 0]
        brush.polygon(corners, fill=_mix(_SKY, _TORSO, light * (0.85 if front else 0.45)))

    def _head(self, brush: ImageDraw.ImageDraw, joints: Float[np.ndarray, "24 3"], light: float) -> None:
        self._bone(brush, joints, 15, _mix(_SKY, _MIDDLE, light))
        radius = 0.1 * FOCAL * self.height / joints[15, 2]
        up = joints[15, :2] - joints[12, :2]
        column, row = joints[15, :2] + 0.35 * radius * up / max(float(np.hypot(*up)), 1e-6)
        brush.ellipse((column - radius, row - radius, column + radius, row + radius), fill=_mix(_SKY, _MIDDLE, light))


def _side(joint: int) -> Colour:
    """The dancer's left is blue and the right is orange."""
    name = JOINT_NAMES[joint]
    return _LEFT if name.startswith("left") else _RIGHT if name.startswith("right") else _MIDDLE


def _mixes(under: Colour, over: Colour, shares: Float[np.ndarray, " share"]) -> list[Colour]:
    """`_mix` for each share."""
    mixed = np.round(np.array(under) + np.subtract(over, under) * shares[:, None]).astype(int)
    return [(red, green, blue) for red, green, blue in mixed.tolist()]


def _mix(under: Colour, over: Colour, share: float) -> Colour:
    """`over` at an opacity of `share` on `under`."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(under, over, strict=True))
    return (red, green, blue)


def render_dance(
    dance: Dance,
    music: Music | None,
    path: Path,
    title: str = "",
    beats_s: Sequence[float | int] | Float[np.ndarray, " beat"] = (),
    size: tuple[int, int] = (480, 480),
    fps: int = 30,
    progress: bool = True,
) -> Path:
    """Write an mp4 of a dance with its music, as long as the dance (to a picture's length).

    Args:
        dance: what is drawn.
        music: sound track; cut or padded to the pictures' duration. None for a silent film.
        path: ends in `.mp4`.
        title: written into the picture, above the genre.
        beats_s: times of the rings on the floor.
        size: (width, height), both even.
        fps: pictures per second, at most 60.
        progress: show a bar.
    """
    stage = Stage(dance, size, title, beats_s)
    pictures = max(round(dance.seconds * fps), 1)

    def drawn() -> Iterator[UInt8[np.ndarray, "height width 3"]]:
        for picture in tqdm(range(pictures), desc=f"drawing {path.stem}", unit="frame", disable=not progress):
            yield stage.draw(min(round(picture * MOTION_FPS / fps), len(dance.features) - 1))

    return write_video(drawn(), fps, size, music, path)


def save_poster(
    dance: Dance, path: Path, second: float | int = 1.0, title: str = "", size: tuple[int, int] = (480, 480)
) -> Path:
    """Write the picture of one moment as PNG.

    Args:
        dance: what is drawn.
        path: ends in `.png`.
        second: the moment, clipped to the dance.
        title: written into the picture.
        size: (width, height).
    """
    frame = int(np.clip(round(second * MOTION_FPS), 0, len(dance.features) - 1))
    with atomic_write(path) as temporary:
        Image.fromarray(Stage(dance, size, title, ()).draw(frame)).save(temporary)
    return path
