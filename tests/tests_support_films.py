"""Films for the tests of rendering: real encodings with uneven times, rotation, sound, in several containers."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from d2m.core.music import Music

TIME_BASE = Fraction(1, 90_000)
CLICKS_S = np.array([0.25, 1.0, 1.75])


def clicks(seconds: float = 3.0, rate: int = 22050) -> Music:
    """Single samples at `CLICKS_S`."""
    wave = np.zeros((1, round(seconds * rate)), np.float32)
    wave[0, np.round(CLICKS_S * rate).astype(int)] = 0.9
    return Music(wave, rate)


def write_film(
    path: Path,
    codec: str = "libx264",
    size: tuple[int, int] = (160, 96),
    pictures: int = 60,
    uneven: bool = True,
    rotation: int = 0,
    first_pts: int = 0,
    trimmed_pts: int = 0,
    has_sound: bool = True,
) -> Path:
    """Two seconds of a white corner on a ground that grows greener; `first_pts`, `trimmed_pts` in 1/90,000 s."""
    random, base = np.random.default_rng(0), TIME_BASE if uneven else Fraction(1, 30)
    with av.open(str(path), "w") as film:
        stream = film.add_stream(codec, rate=30)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        stream.codec_context.time_base = base
        if rotation:
            stream.set_display_rotation(rotation)
        sound = film.add_stream("aac", rate=44100, layout="mono") if has_sound and path.suffix == ".mp4" else None
        pts = first_pts
        for number in range(pictures + 1):
            frame = None
            if number < pictures:
                picture = np.zeros((size[1], size[0], 3), np.uint8)
                picture[: size[1] // 2, : size[0] // 3], picture[..., 1] = 255, number * 4
                frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
                frame.pts, frame.time_base = pts, base
                pts += int(3000 + random.integers(-600, 600)) if uneven else 1
            for packet in stream.encode(frame):
                packet.pts, packet.dts = packet.pts - trimmed_pts, packet.dts - trimmed_pts
                film.mux(packet)
        if sound is not None:
            noise = random.normal(0, 0.3, (1, 88_200)).astype(np.float32)
            frame = av.AudioFrame.from_ndarray(noise, "fltp", "mono")
            frame.sample_rate, frame.pts = 44100, 0
            film.mux(sound.encode(frame))
            film.mux(sound.encode())
    return path


def decoded(path: Path) -> tuple[np.ndarray, list[av.VideoFrame]]:
    """Times of the pictures after the first, in seconds, and the pictures."""
    with av.open(str(path)) as film:
        frames = list(film.decode(video=0))
    return np.array([frame.time - frames[0].time for frame in frames]), frames


def heard(path: Path) -> tuple[np.ndarray, float]:
    """Times of the samples beyond 0.4, counted from the first picture, and the declared seconds of the sound."""
    with av.open(str(path)) as film:
        start_s = next(film.decode(video=0)).time
    with av.open(str(path)) as film:
        assert len(film.streams.audio) == 1
        sound = film.streams.audio[0]
        frames = list(film.decode(sound))
        wave = np.abs(np.concatenate([frame.to_ndarray() for frame in frames], axis=1)[0])
        times_s = frames[0].time - start_s + np.flatnonzero(wave > 0.4) / frames[0].sample_rate
        return times_s, float(sound.duration * sound.time_base)
