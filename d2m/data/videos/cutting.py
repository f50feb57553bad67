"""A part of a film as a film of its own, so that pictures, sound and dancer are read from it as from any other.

Pictures keep their times (a phone's are uneven), sound is placed by its time stamps; both start at the part's start. The
cut is exact: decoding begins at the key frame before it, and what is not wanted is thrown away.
"""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from jaxtyping import Float

from d2m.errors import BadInput
from d2m.video.reader import VideoInfo, read_info

MAX_HEIGHT = 720
"""Taller pictures are scaled down: a dancer is looked for in less."""

_TICKS = 90_000
_SOUND_LEAD_S = 0.5
"""Sound is sought this much before the part: a decoder needs a few frames to get going."""


def cut_film(path: Path, start_s: float, end_s: float | None, out: Path) -> VideoInfo:
    """Write the part [start_s, end_s) of a film to `out`, a .mov with 16-bit sound.

    Args:
        path: any film that `d2m.video.reader` reads.
        start_s, end_s: after its first picture; None: to its end. What lies beyond its end is not there.

    Returns:
        What `out` is.

    Raises:
        BadInput: when the film cannot be read, or less than 1 s of it lies in the part.
    """
    film = read_info(path)  # refuses what is no film of its own (playlists, images) before it is opened here
    end_s = film.seconds if end_s is None else min(end_s, film.seconds)
    if end_s - start_s < 1.0:
        raise BadInput(
            f"{path}: found {film.seconds:.2f} s of video, of which {max(end_s - start_s, 0.0):.2f} s lie in the part that "
            f"starts at {start_s:g} s, expected at least 1 s; correct start_s and end_s."
        )
    try:
        with av.open(str(out), "w", format="mov") as target:
            _write_part(path, film, start_s, end_s, target)
        return read_info(out)
    except (av.FFmpegError, ValueError, EOFError) as error:
        raise BadInput(
            f"{path}: {start_s:g} to {end_s:g} s cannot be read ({type(error).__name__}); it is damaged or incomplete."
        ) from error


def _write_part(
    path: Path, film: VideoInfo, start_s: float, end_s: float, target: av.container.OutputContainer
) -> None:
    with av.open(f"file:{path}", options={"protocol_whitelist": "file"}) as source:
        pictures, sound = source.streams.video[0], source.streams.audio[0] if source.streams.audio else None
        origin_s = _seconds(pictures.start_time, pictures)
        # every stream is made before anything is written
        coder = target.add_stream("libx264", rate=30, options={"crf": "16", "preset": "veryfast"})
        coder.codec_context.time_base, coder.pix_fmt = Fraction(1, _TICKS), "yuv420p"
        coder.width, coder.height = _size(film, pictures)
        if film.rotation_deg:
            coder.set_display_rotation(-film.rotation_deg)
        sound_coder = target.add_stream("pcm_s16le", rate=sound.sample_rate, layout="stereo") if sound else None
        last = -1
        for frame in _pictures(source, pictures, origin_s + start_s, origin_s + end_s):
            stamp = round(max(0.0, float(frame.time or 0) - origin_s - start_s) * _TICKS)
            if stamp <= last:
                continue
            plain = frame.reformat(coder.width, coder.height, "yuv420p", interpolation="AREA")
            plain.pts, plain.time_base, last = stamp, Fraction(1, _TICKS), stamp
            plain.pict_type = av.video.frame.PictureType.NONE  # key frames are the coder's own choice
            target.mux(coder.encode(plain))
        target.mux(coder.encode())
        if sound is not None and sound_coder is not None:
            wave = _sound(source, sound, origin_s + start_s, origin_s + end_s)
            frame = av.AudioFrame.from_ndarray(_interleaved(wave), "s16", "stereo")
            frame.sample_rate, frame.pts, frame.time_base = sound.sample_rate, 0, Fraction(1, sound.sample_rate)
            target.mux(sound_coder.encode(frame))
            target.mux(sound_coder.encode())


def _size(film: VideoInfo, pictures: av.VideoStream) -> tuple[int, int]:
    """Width and height as stored, with square pixels, even, and no taller than `MAX_HEIGHT` when upright."""
    shape = film.width, film.height
    width, height = shape if film.rotation_deg % 180 == 0 else shape[::-1]
    scale = min(1.0, MAX_HEIGHT / film.height)
    return max(2, 2 * round(width * scale / 2)), max(2, 2 * round(height * scale / 2))


def _pictures(
    source: av.container.InputContainer, stream: av.VideoStream, from_s: float, until_s: float
) -> Iterator[av.VideoFrame]:
    """The picture that is shown at `from_s` and those that follow before `until_s`, of the container's time."""
    _seek(source, stream, from_s)
    shown: av.VideoFrame | None = None
    for frame in _decoded(source, stream):
        if not isinstance(frame, av.VideoFrame) or frame.time is None:
            continue
        if frame.time >= until_s:
            break
        if frame.time > from_s and shown is not None:
            yield shown
        shown = frame
    if shown is not None:
        yield shown


def _sound(
    source: av.container.InputContainer, stream: av.AudioStream, from_s: float, until_s: float
) -> Float[np.ndarray, "2 sample"]:
    """Sound between two times of the container's; silence where there is none."""
    rate = stream.sample_rate
    wave = np.zeros((2, round((until_s - from_s) * rate)), np.float32)
    to_float = av.AudioResampler(format="fltp", layout="mono" if stream.channels == 1 else "stereo", rate=rate)
    _seek(source, stream, from_s - _SOUND_LEAD_S)
    for frame in _decoded(source, stream):
        if not isinstance(frame, av.AudioFrame) or frame.time is None:
            continue
        if frame.time >= until_s:
            break
        first = round((frame.time - from_s) * rate)
        part = np.concatenate([piece.to_ndarray() for piece in to_float.resample(frame)], axis=1)
        part = part[:, max(0, -first) : max(0, wave.shape[1] - first)]
        wave[:, max(0, first) : max(0, first) + part.shape[1]] = part
    return wave


def _decoded(source: av.container.InputContainer, stream: av.stream.Stream) -> Iterator[object]:
    """Frames of a stream from where the container stands; damaged packets are passed over."""
    for packet in source.demux(stream):
        try:
            yield from packet.decode()
        except av.FFmpegError:
            continue


def _seek(source: av.container.InputContainer, stream: av.stream.Stream, time_s: float) -> None:
    """Go to the last key frame at or before a time."""
    base = stream.time_base or Fraction(1, 1_000_000)
    try:
        source.seek(round(max(time_s, 0.0) / base), stream=stream, backward=True)
    except av.FFmpegError:  # a container that cannot seek to it is read from its start
        source.seek(0)


def _seconds(ticks: int | None, stream: av.stream.Stream) -> float:
    return float(ticks * stream.time_base) if ticks is not None and stream.time_base else 0.0


def _interleaved(wave: Float[np.ndarray, "2 sample"]) -> np.ndarray:
    """16-bit samples, left and right in turns, as the coder takes them."""
    return np.ascontiguousarray((wave.clip(-1, 1) * 32767).round().astype(np.int16).T.reshape(1, -1))
