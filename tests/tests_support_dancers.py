"""Small films with sound: a dancer is a white block that moves, or the photograph of a person that MediaPipe finds."""

from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from jaxtyping import Float, UInt8
from tests_support_video import landmarks_of, portrait

from d2m.data.synthetic.dances import choreograph
from d2m.data.synthetic.songs import Song, render_song
from d2m.motion.dance import Dance
from d2m.motion.landmarks import Landmarks
from d2m.video.reader import frames, read_info
from d2m.video.video_dance import VideoDance, dance_of_video

RATE = 44100
BLOCK = 20
"""Side of the white block in pixels; its left edge at second t is at `block_left(t)`."""

GROUND = 40


def block_left(time_s: float) -> int:
    """Where the block is: it moves to the right by 8 pixels a second."""
    return 8 + round(8 * time_s)


def block_pictures(seconds: float, fps: int = 30, has_dancer: bool = True) -> list[UInt8[np.ndarray, "64 96 3"]]:
    """A dark ground, and the block where there is a dancer."""
    pictures = []
    for number in range(round(seconds * fps)):
        picture = np.full((64, 96, 3), GROUND, np.uint8)
        if has_dancer:
            left = block_left(number / fps)
            picture[22 : 22 + BLOCK, left : left + BLOCK] = 250
        pictures.append(picture)
    return pictures


def person_pictures(seconds: float, fps: int = 10) -> list[UInt8[np.ndarray, "300 400 3"]]:
    """The photograph, gliding to and fro."""
    photo, pictures = portrait(270), []
    for number in range(round(seconds * fps)):
        picture = np.full((300, 400, 3), 90, np.uint8)
        left = 80 + round(40 * np.sin(2 * np.pi * number / fps))
        picture[20:290, left : left + photo.shape[1]] = photo
        pictures.append(picture)
    return pictures


def sweep(seconds: float) -> Float[np.ndarray, " sample"]:
    """A tone that rises from 200 Hz by 400 Hz a second, so that any part of it says where it is from."""
    time_s = np.arange(round(seconds * RATE)) / RATE
    return (0.5 * np.sin(2 * np.pi * (200 * time_s + 200 * time_s**2))).astype(np.float32)


def song(seconds: float, code: str = "mBR0") -> Float[np.ndarray, " sample"]:
    """A song of the embedded data set."""
    made = render_song(Song(code), seconds)
    positions = np.arange(round(seconds * RATE)) * made.sample_rate / RATE
    return np.interp(positions, np.arange(made.waveform.shape[1]), made.waveform.mean(axis=0)).astype(np.float32)


def write_film(
    path: Path,
    pictures: list[UInt8[np.ndarray, "height width 3"]],
    wave: Float[np.ndarray, " sample"] | None,
    fps: int = 30,
    clockwise_deg: int = 0,
) -> Path:
    """Write an .mp4, .mkv, .mov, .webm or .avi; `wave` is its sound at 44.1 kHz, None for no audio track."""
    path.parent.mkdir(parents=True, exist_ok=True)
    codecs = {".webm": ("libvpx", "libopus"), ".avi": ("mpeg4", "mp3")}.get(path.suffix, ("libx264", "aac"))
    rate = 48000 if codecs[1] == "libopus" else RATE
    with av.open(str(path), "w") as film:
        options = {"g": "30", "preset": "ultrafast"} if codecs[0] == "libx264" else {}
        stream = film.add_stream(codecs[0], rate=fps, options=options)
        stream.height, stream.width, stream.pix_fmt = *pictures[0].shape[:2], "yuv420p"
        if clockwise_deg:
            stream.set_display_rotation(-clockwise_deg)
        sound = film.add_stream(codecs[1], rate=rate, layout="mono") if wave is not None else None
        for number, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, fps)
            film.mux(stream.encode(frame))
        film.mux(stream.encode())
        if sound is not None and wave is not None:
            frame = av.AudioFrame.from_ndarray(wave[None], "fltp", "mono")
            frame.sample_rate, frame.pts, frame.time_base = RATE, 0, Fraction(1, RATE)
            coder_frames = av.AudioResampler(sound.codec_context.format.name, "mono", rate).resample(frame)
            for part in coder_frames:
                film.mux(sound.encode(part))
            film.mux(sound.encode())
    return path


def truth(seconds: float = 6.0) -> Dance:
    """The dance that every block dances."""
    made = choreograph("gHO", np.arange(0, seconds, 0.5), 0, seconds, dancer=4, seed=3)
    return Dance.from_smpl(made.poses, made.trans)


@dataclass
class BlockFinder:
    """Stands in for MediaPipe: reads the film's real pictures, sees a dancer where there is something white.

    From the landmarks file on, everything is real: a dance is made of them, or refused.
    """

    asked: list[str] = field(default_factory=list)

    def __call__(self, film: Path, name: str, landmarks: Path) -> VideoDance:
        if not landmarks.exists():
            self.asked.append(name)
            info, pictures = read_info(film), list(frames(film))
            known = landmarks_of(truth().features, fps=round(info.fps_mean))
            seen = np.array([frame.picture.max() > 200 for frame in pictures])
            place = np.minimum(np.arange(len(pictures)), len(known.seen) - 1)
            image, world = known.image[place] * seen[:, None, None], known.world[place] * seen[:, None, None]
            times_s = np.array([frame.time_s for frame in pictures])
            Landmarks(image, world, times_s, seen, (info.width, info.height)).save(landmarks)
        return dance_of_video(film, name, landmarks)
