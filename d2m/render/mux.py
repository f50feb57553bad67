"""Frames and music into an mp4 (h264, aac) through PyAV; no system FFmpeg is needed."""

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer, OutputContainer
from av.stream import Disposition
from jaxtyping import UInt8

from d2m.core.files import atomic_write
from d2m.core.music import Music
from d2m.video.reader import Frame, frames, read_info

_AAC_RATE = 44100
_AAC_FRAME = 1024
_TIME_BASE = Fraction(1, 90_000)


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
        music: sound track, cut or padded with silence to the pictures' duration; None for a silent film.
        path: ends in `.mp4`.
    """
    with (
        atomic_write(path) as temporary,
        av.open(f"file:{temporary}", "w", options={"movflags": "faststart"}) as container,
    ):
        video = container.add_stream("libx264", rate=fps, options={"crf": "23", "preset": "veryfast"})
        video.width, video.height, video.pix_fmt = size[0], size[1], "yuv420p"
        sound = SoundTrack(container, music) if music else None
        number = 0
        for number, picture in enumerate(frames, start=1):
            container.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            if sound:
                sound.write_until(number / fps)
        container.mux(video.encode())
        if sound:
            sound.finish(number / fps)
    return path


def write_timed_video(pictures: Iterable[Frame], music: Music | None, path: Path) -> Path:
    """Write an mp4 whose pictures keep their own, perhaps uneven times; whole or not at all.

    Args:
        pictures: all of one size; an odd width or height is made even by repeating the last column or row.
        music: sound track, cut or padded with silence to the pictures' duration; None for a silent film.
        path: ends in `.mp4`.
    """
    with atomic_write(path) as temporary, av.open(f"file:{temporary}", "w", options={"movflags": "faststart"}) as film:
        video = film.add_stream("libx264", rate=30, options={"crf": "20", "preset": "veryfast"})
        video.codec_context.time_base, video.pix_fmt = _TIME_BASE, "yuv420p"
        # HD players take untagged pictures for BT.709: converted and tagged as that, colours stay as they were
        video.codec_context.color_primaries = video.codec_context.color_trc = video.codec_context.colorspace = 1
        sound, last_s, lasts_s = SoundTrack(film, music) if music else None, 0.0, 1 / 30
        for number, picture in enumerate(pictures):
            frame = _even_yuv(picture)
            if number == 0:
                video.width, video.height = frame.width, frame.height
            film.mux(video.encode(frame))
            if sound:
                sound.write_until(picture.time_s)
            lasts_s = picture.time_s - last_s if picture.time_s > last_s else lasts_s
            last_s = picture.time_s
        for packet in video.encode():
            packet.duration = round(
                lasts_s / packet.time_base
            )  # the last picture is shown as long as the one before it
            film.mux(packet)
        if sound:
            sound.finish(last_s + lasts_s)
    return path


def _even_yuv(picture: Frame) -> av.VideoFrame:
    rgb = picture.picture
    height, width = rgb.shape[:2]
    if height % 2 or width % 2:
        rgb = np.pad(rgb, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    frame = av.VideoFrame.from_ndarray(rgb, format="rgb24").reformat(format="yuv420p", dst_colorspace="ITU709")
    frame.pts, frame.time_base = round(picture.time_s / _TIME_BASE), _TIME_BASE
    return frame


class SoundTrack:
    """The aac track of a film, written piece by piece beside the pictures, so that a player finds both together.

    The container's edit list hides the encoder's priming samples: the first sample is heard with the first picture.

    Args:
        container: being written; all its streams must be added before anything is written.
        music: starts with the film; after its end there is silence.
    """

    def __init__(self, container: OutputContainer, music: Music) -> None:
        self.container = container
        self.stream = container.add_stream("aac", rate=_AAC_RATE, layout="stereo")
        self.wave, self.written = music.resampled(_AAC_RATE).waveform[:2], 0

    def write_until(self, second: float | int) -> None:
        """Write whole aac frames up to a time of the film."""
        while (self.written + _AAC_FRAME) / _AAC_RATE <= second:
            self._write(_AAC_FRAME)

    def finish(self, second: float | int) -> None:
        """Write the rest up to the film's end, to the sample."""
        self.write_until(second)
        rest = round(second * _AAC_RATE) - self.written
        if rest > 0:
            self._write(rest)
        self.container.mux(self.stream.encode())

    def _write(self, samples: int) -> None:
        piece = np.clip(self.wave[:, self.written : self.written + samples], -1, 1).astype(np.float32)
        piece = np.pad(piece, ((0, 0), (0, samples - piece.shape[1])))
        frame = av.AudioFrame.from_ndarray(np.repeat(piece, 2 // len(piece), axis=0), "fltp", "stereo")
        frame.sample_rate, frame.pts, frame.time_base = _AAC_RATE, self.written, Fraction(1, _AAC_RATE)
        self.container.mux(self.stream.encode(frame))
        self.written += samples


# A film with music: its own packets beside an aac track, so that picture quality, time stamps and the display matrix that
# turns a phone's clip upright stay; any old sound is left out. Where mp4 players would not show the codec, or the container
# has no proper time stamps, the pictures are encoded again as h264, upright, each at its own time.

log = logging.getLogger(__name__)

COPIED_CODECS = ("h264", "hevc", "av1", "libdav1d")
"""What players of mp4 files show."""

COPIED_CONTAINERS = ("mp4", "mov", "matroska")
"""Containers whose packets say when they are decoded and when they are shown."""


_MOST_REORDERED = 16
"""Pictures that h264 and hevc may hold back."""


class NotCopied(Exception):
    """These packets cannot be put into an mp4 as they are; `str(error)` says why."""


@dataclass(frozen=True)
class _Source:
    """An open film and the time stamp of its first picture, in units of its stream."""

    container: InputContainer
    stream: av.VideoStream
    first_pts: int


def film_with_music(source: Path, music: Music, path: Path) -> Path:
    """Write the film's pictures with music that starts with the first picture and ends with the last.

    Args:
        source: any video that `d2m.video.reader` reads.
        music: cut, or followed by silence, to the pictures' duration.
        path: ends in `.mp4`; another file than `source`.

    Raises:
        BadInput: when the source is no video.
    """
    read_info(source)  # refuses what is no video, and playlists that would make FFmpeg open other files
    try:
        return _copied(source, music, path)
    except (NotCopied, av.FFmpegError) as error:
        why = str(error) if isinstance(error, NotCopied) else "its packets do not fit an mp4"
        log.warning("%s: the pictures are encoded again as h264, because %s.", source.name, why)
    return write_timed_video(frames(source), music, path)


def film_seconds(source: Path) -> float:
    """Length of a film's pictures as `film_with_music` writes them: from the first picture to the end of the last.

    Raises:
        BadInput: when the source is no video.
    """
    declared_s = read_info(source).seconds
    try:
        with _opened(source) as container:
            first_pts: int | None = _first_pts(container)
    except (NotCopied, av.FFmpegError):
        first_pts = None  # the pictures are encoded again, each at its own time
    with _opened(source) as container:
        stream = _pictures_of(container)
        packets = (packet for packet in container.demux(stream) if packet.pts is not None and packet.size)
        if first_pts is not None:
            return max((_end_s(packet, stream, first_pts) for packet in packets), default=declared_s)
        times_s = sorted(float(packet.pts * packet.time_base) for packet in packets if packet.pts is not None)
    return times_s[-1] - times_s[0] + times_s[-1] - times_s[-2] if len(times_s) > 1 else declared_s


def _end_s(packet: av.Packet, stream: av.VideoStream, first_pts: int) -> float:
    """When a picture goes, in seconds after the first picture came."""
    assert packet.pts is not None
    lasts = packet.duration or 1 / float(stream.average_rate or 30) / float(packet.time_base)
    return float((packet.pts - first_pts + lasts) * packet.time_base)


def _copied(source: Path, music: Music, path: Path) -> Path:
    with _opened(source) as container:
        first_pts = _first_pts(container)
    with _opened(source) as container:  # anew: after a seek, matroska no longer tells when packets are decoded
        first = _Source(container, _pictures_of(container), first_pts)
        with (
            atomic_write(path) as temporary,
            av.open(f"file:{temporary}", "w", format="mp4", options={"movflags": "faststart"}) as film,
        ):
            _copy(first, film, music)
    return path


def _opened(source: Path) -> InputContainer:
    return av.open(f"file:{source}", options={"protocol_whitelist": "file"})


def _pictures_of(container: InputContainer) -> av.VideoStream:
    """The first stream of moving pictures; the cover of a song is none."""
    return next(s for s in container.streams.video if not s.disposition & Disposition.attached_pic)


def _first_pts(container: InputContainer) -> int:
    """Check that the stream can be copied, and decode up to its first picture: packets before it are never shown."""
    stream = _pictures_of(container)
    codec = stream.codec_context.name if stream.codec_context else "unknown"
    if not any(name in container.format.name.split(",") for name in COPIED_CONTAINERS):
        raise NotCopied(f"a file of type {container.format.name} has no proper time stamps")
    if codec not in COPIED_CODECS:
        raise NotCopied(f"few players show {codec} in an mp4")
    first = next(container.decode(stream))
    if first.pts is None:
        raise NotCopied("its pictures have no time stamps")
    return first.pts


def _copy(source: _Source, film: OutputContainer, music: Music) -> None:
    pictures = film.add_stream_from_template(source.stream, opaque=True)
    if pictures.codec_context.name == "hevc":
        pictures.codec_context.codec_tag = "hvc1"  # the only one of the two tags that Apple's players take
    sound = SoundTrack(film, music)
    end_s = 0.0
    for packet in _with_decoding_times(source.container.demux(source.stream)):
        assert packet.pts is not None and packet.dts is not None
        end_s = max(end_s, _end_s(packet, source.stream, source.first_pts))
        packet.pts, packet.dts = packet.pts - source.first_pts, packet.dts - source.first_pts
        decoded_s = float(packet.dts * packet.time_base)
        packet.stream = pictures
        film.mux(packet)
        sound.write_until(decoded_s)
    sound.finish(end_s)


def _with_decoding_times(packets: Iterator[av.Packet]) -> Iterator[av.Packet]:
    """All packets that hold something; matroska does not say when the first few are decoded, so just before the next."""
    waiting: list[av.Packet] = []
    for packet in packets:
        if packet.size == 0:
            continue  # the end
        if packet.pts is None or (packet.dts is None and len(waiting) >= _MOST_REORDERED):
            raise NotCopied("its packets have no time stamps")
        if packet.dts is None:
            waiting.append(packet)
            continue
        for number, earlier in enumerate(waiting):
            earlier.dts = packet.dts - (len(waiting) - number) * (packet.duration or 1)
            yield earlier
        waiting.clear()
        yield packet
    if waiting:
        raise NotCopied("its packets have no time stamps")
