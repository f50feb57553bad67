"""The detected skeleton, drawn over the film's own pictures; joints light up on every beat."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw, ImageFont

from d2m.motion.landmarks import LANDMARK_NAMES, Landmarks
from d2m.video.reader import Frame

Colour = tuple[int, int, int]

_LEFT, _RIGHT, _MIDDLE, _BEAT = (94, 196, 255), (255, 140, 105), (236, 237, 242), (255, 209, 92)
"""As in the stick figure: the dancer's left is blue, the right is orange."""
_EDGE = (12, 13, 20)
_LIMBS = (
    ("shoulder", "elbow"), ("elbow", "wrist"), ("wrist", "index"), ("shoulder", "hip"), ("hip", "knee"), ("knee", "ankle"),
    ("ankle", "heel"), ("heel", "foot_index"), ("ankle", "foot_index"),
)  # fmt: skip
_ACROSS = ("shoulder", "hip")
_JOINTS = ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
_FINE_HEIGHT = 1000
"""Smaller pictures get a skeleton that is drawn twice as large and shrunk: smooth lines."""
_RING_S = 0.3
_LEAST_VISIBLE = 0.4
_NUMBER_S = 0.3
_LONGEST_GAP_S = 0.2
"""Where nobody was seen for longer, nothing is drawn."""


def _number(side: str, part: str) -> int:
    return LANDMARK_NAMES.index(f"{side}_{part}")


_BONES = tuple(
    (_number(side, a), _number(side, b), colour)
    for side, colour in (("left", _LEFT), ("right", _RIGHT))
    for a, b in _LIMBS
) + tuple((_number("left", part), _number("right", part), _MIDDLE) for part in _ACROSS)
_DOTS = tuple(
    (_number(side, part), colour) for side, colour in (("left", _LEFT), ("right", _RIGHT)) for part in _JOINTS
)
_NOSE, _EARS = LANDMARK_NAMES.index("nose"), (_number("left", "ear"), _number("right", "ear"))
_SHOULDERS, _HIPS = [_number(s, "shoulder") for s in ("left", "right")], [_number(s, "hip") for s in ("left", "right")]


class Overlay:
    """Draws the skeleton of one clip.

    Args:
        landmarks: of the clip.
        beats_s: times at which the joints light up.
    """

    def __init__(self, landmarks: Landmarks, beats_s: Sequence[float | int] | Float[np.ndarray, " beat"] = ()) -> None:
        self.beats_s = np.asarray(beats_s, dtype=np.float64)
        self.cuts_s = np.array(landmarks.cuts_s, dtype=np.float64)
        several = len(np.unique(landmarks.people[:, 1])) > 1
        self.people = landmarks.people if several else landmarks.people[:0]
        self.times_s = landmarks.times_s[landmarks.seen]
        self.image = landmarks.image[landmarks.seen]

    def landmarks_at(self, time_s: float | int) -> Float[np.ndarray, "33 3"] | None:
        """The landmarks at a moment, on the straight line between the frames before and after; None where none was seen."""
        after = int(np.searchsorted(self.times_s, time_s))
        near = [i for i in (after - 1, after) if 0 <= i < len(self.times_s)]
        near = [i for i in near if abs(self.times_s[i] - time_s) <= _LONGEST_GAP_S and not self._is_cut(i, time_s)]
        if not near:
            return None
        first, last = near[0], near[-1]
        span_s = self.times_s[last] - self.times_s[first]
        share = (time_s - self.times_s[first]) / span_s if span_s > 0 else 0.0
        return self.image[first] + (self.image[last] - self.image[first]) * float(np.clip(share, 0, 1))

    def _is_cut(self, index: int, time_s: float | int) -> bool:
        """Whether a cut lies between a frame that was seen and a moment."""
        shots = np.searchsorted(self.cuts_s, [self.times_s[index] + 1e-6, float(time_s) + 1e-6])
        return bool(shots[0] != shots[1])

    def _numbered(
        self, picture: UInt8[np.ndarray, "height width 3"], time_s: float | int
    ) -> UInt8[np.ndarray, "height width 3"]:
        """The picture with the number of everybody who was found about this time, above the head."""
        near = self.people[np.abs(self.people[:, 0] - time_s) <= _NUMBER_S]
        if not len(near):
            return picture
        image, (height, width) = Image.fromarray(picture), picture.shape[:2]
        brush, size = ImageDraw.Draw(image), max(12, height // 14)
        for number in np.unique(near[:, 1]):
            own = near[near[:, 1] == number]
            _, _, x, y = own[np.abs(own[:, 0] - time_s).argmin()]
            at = (float(x) * width, max(0.0, float(y) * height - 0.4 * size))
            brush.text(at, f"{number:.0f}", fill=_BEAT, stroke_width=2, stroke_fill=_EDGE, anchor="mb",
                       font=ImageFont.load_default(size))  # fmt: skip
        return np.asarray(image)

    def draw(
        self, picture: UInt8[np.ndarray, "height width 3"], time_s: float | int
    ) -> UInt8[np.ndarray, "height width 3"]:
        """The picture with the skeleton over it; only the part around the dancer is touched."""
        picture = self._numbered(picture, time_s)
        seen = self.landmarks_at(time_s)
        if seen is None:
            return picture
        height, width = picture.shape[:2]
        points = seen[:, :2] * [width, height]
        torso = float(np.linalg.norm(points[_SHOULDERS].mean(axis=0) - points[_HIPS].mean(axis=0)))
        thick = float(np.clip(0.055 * torso, 1.5, 0.012 * height + 2))
        shown = points[seen[:, 2] >= _LEAST_VISIBLE]
        if len(shown) < 2:
            return picture
        margin = 0.4 * torso + 6 * thick
        left, top = np.maximum(np.floor(shown.min(axis=0) - margin), 0).astype(int)
        right, bottom = np.minimum(np.ceil(shown.max(axis=0) + margin), [width, height]).astype(int)
        if right <= left or bottom <= top:
            return picture
        scale = 2 if height < _FINE_HEIGHT else 1
        layer = Image.new("RGBA", ((right - left) * scale, (bottom - top) * scale), (0, 0, 0, 0))
        self._figure(ImageDraw.Draw(layer), (points - [left, top]) * scale, seen[:, 2], thick * scale, time_s)
        part = Image.fromarray(picture[top:bottom, left:right])
        small = layer.reduce(scale)
        part.paste(small, (0, 0), small)
        drawn = picture.copy()
        drawn[top:bottom, left:right] = np.asarray(part)
        return drawn

    def drawn(self, frame: Frame) -> Frame:
        """The frame with the skeleton over its picture."""
        return Frame(self.draw(frame.picture, frame.time_s), frame.time_s)

    def _figure(
        self,
        brush: ImageDraw.ImageDraw,
        points: Float[np.ndarray, "33 2"],
        visible: Float[np.ndarray, " 33"],
        thick: float,
        time_s: float | int,
    ) -> None:
        since_s = float(time_s) - self.beats_s[self.beats_s <= time_s + 1e-6].max(initial=-10.0)
        glow = float(np.clip(1 - since_s / _RING_S, 0, 1))
        bones = [(points[a], points[b], colour) for a, b, colour in _BONES if min(visible[[a, b]]) >= _LEAST_VISIBLE]
        if min(visible[[*_SHOULDERS, _NOSE]]) >= _LEAST_VISIBLE:
            bones.append((points[_SHOULDERS].mean(axis=0), points[list(_EARS)].mean(axis=0), _MIDDLE))
        for wider, edge in ((0.45 * thick, _EDGE), (0.0, None)):  # a dark edge, so that it is seen on any ground
            for a, b, colour in bones:
                _line(brush, a, b, thick + 2 * wider, edge or colour)
            for joint, colour in _DOTS:
                if visible[joint] >= _LEAST_VISIBLE:
                    lit = tuple(round(c + (g - c) * glow) for c, g in zip(colour, _BEAT, strict=True))
                    _dot(brush, points[joint], thick * (0.85 + 0.75 * glow) + wider, edge or lit)


def _line(
    brush: ImageDraw.ImageDraw,
    a: Float[np.ndarray, " 2"],
    b: Float[np.ndarray, " 2"],
    width: float,
    colour: tuple[int, ...],
) -> None:
    brush.line((float(a[0]), float(a[1]), float(b[0]), float(b[1])), fill=(*colour, 235), width=max(1, round(width)))
    for end in (a, b):
        _dot(brush, end, width / 2, colour)


def _dot(brush: ImageDraw.ImageDraw, at: Float[np.ndarray, " 2"], radius: float, colour: tuple[int, ...]) -> None:
    x, y = float(at[0]), float(at[1])
    brush.ellipse((x - radius, y - radius, x + radius, y + radius), fill=(*colour, 235))


def with_skeleton(
    pictures: Iterable[Frame], landmarks: Landmarks, beats_s: Sequence[float | int] | Float[np.ndarray, " beat"] = ()
) -> Iterator[Frame]:
    """The pictures, one at a time, each with the skeleton of its moment."""
    overlay = Overlay(landmarks, beats_s)
    return map(overlay.drawn, pictures)
