"""Landmarks and videos made on the spot: a dance projected as MediaPipe would see it, and clips as phones write them."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import matplotlib
import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw

from d2m.motion.landmarks import Landmarks
from d2m.video.modality import J, L, landmarks_of, points_of

__all__ = ["J", "L", "drawn", "landmarks_of", "marked", "points_of", "portrait", "write_clip"]
BONES = [("shoulder", "elbow"), ("elbow", "wrist"), ("hip", "knee"), ("knee", "ankle"), ("shoulder", "hip")]


def drawn(landmarks: Landmarks, frame: int) -> UInt8[np.ndarray, "height width 3"]:
    """A stick figure of one frame's landmarks."""
    picture = Image.new("RGB", landmarks.size, (235, 235, 230))
    pencil = ImageDraw.Draw(picture)
    places = landmarks.image[frame, :, :2] * np.array(landmarks.size)
    for side in ("left", "right"):
        for a, b in BONES:
            pencil.line([tuple(places[L[f"{side}_{a}"]]), tuple(places[L[f"{side}_{b}"]])], fill=(30, 30, 60), width=8)
    return np.array(picture)


def marked(width: int, height: int, number: int = 0) -> UInt8[np.ndarray, "height width 3"]:
    """A dark picture whose upper left quarter is red and whose upper right is green; blue grows with the number."""
    picture = np.full((height, width, 3), 20, np.uint8)
    picture[: height // 2, : width // 2, 0] = 230
    picture[: height // 2, width // 2 :, 1] = 230
    picture[..., 2] = min(20 + number, 250)
    return picture


def portrait(size: int = 480) -> UInt8[np.ndarray, "height width 3"]:
    """The photograph of a person that matplotlib brings along."""
    file = Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg"
    with Image.open(file) as picture:
        return np.array(picture.convert("RGB").resize((size * 512 // 600, size)))


def write_clip(
    path: Path,
    pictures: Sequence[UInt8[np.ndarray, "height width 3"]],
    times_s: Sequence[float] | Float[np.ndarray, " frame"],
    clockwise_deg: int = 0,
    has_sound: bool = False,
    is_mirrored: bool = False,
    codec: str | None = None,
) -> Path:
    """Write a real clip whose frames are shown at `times_s`; the container is that of the suffix.

    Args:
        clockwise_deg: what the display matrix tells players to turn the stored pictures by.
        is_mirrored: whether it also tells them to mirror, as front cameras do.
        codec: None: one that is usual in such files.
    """
    ticks = 90_000
    with av.open(str(path), "w") as container:
        codec = codec or {".webm": "libvpx", ".avi": "mpeg4"}.get(path.suffix, "libx264")
        stream = container.add_stream(codec, rate=30)
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        if path.suffix != ".avi":
            stream.codec_context.time_base = Fraction(1, ticks)
        if clockwise_deg or is_mirrored:
            stream.set_display_rotation(-clockwise_deg, hflip=is_mirrored)
        sound = container.add_stream("aac", rate=44100, layout="mono") if has_sound else None
        for number, (picture, time_s) in enumerate(zip(pictures, times_s, strict=True)):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            frame.pts = number if path.suffix == ".avi" else round(time_s * ticks)
            frame.time_base = Fraction(1, 30 if path.suffix == ".avi" else ticks)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
        if sound is not None:
            wave = np.zeros((1, 1024), np.float32)
            for block in range(int(times_s[-1] * 44100 / 1024)):
                samples = av.AudioFrame.from_ndarray(wave, format="fltp", layout="mono")
                samples.sample_rate, samples.pts = 44100, block * 1024
                container.mux(sound.encode(samples))
            container.mux(sound.encode())
    return path
