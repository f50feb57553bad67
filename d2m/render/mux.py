"""Frames and music into an mp4 (h264, aac), music alone into an m4a, through PyAV; no system FFmpeg is needed."""

import io
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from jaxtyping import UInt8

from d2m.files import written_whole
from d2m.music import Music

_AAC_RATE = 44100


def write_video(
    frames: Iterable[UInt8[np.ndarray, "height width 3"]],
    fps: int,
    size: tuple[int, int],
    music: Music | None,
    path: Path,
) -> Path:
    """Write an mp4, whole or not at all.

    Args:
        frames: RGB pictures.
        fps: of the pictures.
        size: (width, height), both even.
        music: sound track, cut or padded with silence by the caller to the pictures' duration; None for a silent film.
        path: ends in `.mp4`.
    """
    with written_whole(path) as temporary, av.open(str(temporary), "w", options={"movflags": "faststart"}) as container:
        video = container.add_stream("libx264", rate=fps, options={"crf": "23", "preset": "veryfast"})
        video.width, video.height, video.pix_fmt = size[0], size[1], "yuv420p"
        sound = container.add_stream("aac", rate=_AAC_RATE, layout="stereo") if music else None
        for picture in frames:
            container.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(video.encode())
        if sound is not None and music is not None:
            _write_sound(container, sound, music)
    return path


def encode_m4a(music: Music, bit_rate: int = 96_000) -> bytes:
    """The content of an m4a file (aac), which every browser plays in time: its edit list hides the encoder's delay.

    Args:
        music: one or two channels are kept.
        bit_rate: bits per second.
    """
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        layout = "mono" if len(music.waveform) == 1 else "stereo"
        stream = container.add_stream("aac", rate=_AAC_RATE, layout=layout)
        stream.bit_rate = bit_rate
        _write_sound(container, stream, music)
    return buffer.getvalue()


def _write_sound(container: av.container.OutputContainer, stream: av.AudioStream, music: Music) -> None:
    """Encode in frames of 1,024 samples; the container's edit list hides the encoder's priming samples."""
    layout = stream.layout.name
    wave = np.clip(music.resampled(_AAC_RATE).waveform, -1, 1).astype(np.float32)
    wave = np.repeat(wave, 2, axis=0) if layout == "stereo" and len(wave) == 1 else wave[:2]
    for start in range(0, wave.shape[1], 1024):
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(wave[:, start : start + 1024]), "fltp", layout)
        frame.sample_rate, frame.pts, frame.time_base = _AAC_RATE, start, Fraction(1, _AAC_RATE)
        container.mux(stream.encode(frame))
    container.mux(stream.encode())
