"""The pictures of a video, upright and on a true time line, one at a time, through PyAV.

A phone's clip is rarely what its header says: the picture lies on its side and a display matrix sets it upright, and the
frames are not evenly spaced. So every frame is turned as the matrix says and carries its own time stamp, counted from the
first picture, as `d2m.audio.soundtrack` counts the sound. Memory does not grow with the length of the clip.

A file may come from a stranger. It is opened as a plain local file, and only as a container that holds its pictures
itself: playlists (HLS, DASH, concat, SDP …) could make the reader open other files or addresses.
"""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import SupportsFloat

import av
import numpy as np
from av.container import InputContainer
from av.stream import Disposition
from jaxtyping import UInt8

from d2m.core.errors import BadInput

MAX_SIDE_PIXELS = 8192
"""Larger pictures are refused before one is decoded."""

_READ_ELSEWHERE = frozenset(
    [
        "alsa",
        "applehttp",
        "asf_stream",
        "concat",
        "concatf",
        "dash",
        "fbdev",
        "hds",
        "hls",
        "image2",
        "image2pipe",
        "imf",
        "kmsgrab",
        "lavfi",
        "oss",
        "rtp",
        "rtsp",
        "sap",
        "sdp",
        "smoothstreaming",
        "svg_pipe",
        "tty",
        "vapoursynth",
        "video4linux2,v4l2",
        "webm_dash_manifest",
    ]
)
"""Demuxers of FFmpeg that open other files, devices or addresses, and the one that takes any text for a picture."""

_MOST_REORDERED = 16
"""Pictures that a decoder of h264 or hevc may hold back."""

_CUT_OFF_SHARE = 0.1
_CUT_OFF_S = 1.0
"""A file is cut off when it ends this much earlier than it declares, both as a share and in seconds."""


@dataclass(frozen=True)
class VideoInfo:
    """What a video is, found without decoding more than one picture.

    Args:
        seconds: from the first picture to the end of the last.
        fps_mean: pictures per second on the mean; phones vary it.
        width, height: in pixels, of the upright picture as it is shown.
        rotation_deg: clockwise turn that sets the stored picture upright: 0, 90, 180 or 270.
        has_sound: whether there is an audio track.
        frames_estimate: count of pictures.
    """

    seconds: float
    fps_mean: float
    width: int
    height: int
    rotation_deg: int
    has_sound: bool
    frames_estimate: int


@dataclass(frozen=True)
class Frame:
    """One picture, upright, and its time after the first picture of the video."""

    picture: UInt8[np.ndarray, "height width 3"]
    time_s: float


@dataclass(frozen=True)
class _Turn:
    """How a stored picture is set upright: quarter turns clockwise, then perhaps mirrored left to right."""

    quarters: int = 0
    is_mirrored: bool = False

    def apply(
        self, picture: UInt8[np.ndarray, "height width 3"]
    ) -> UInt8[np.ndarray, "upright_height upright_width 3"]:
        turned = np.rot90(picture, -self.quarters)
        return np.ascontiguousarray(turned[:, ::-1] if self.is_mirrored else turned)


def read_info(path: str | Path) -> VideoInfo:
    """Length, rate, upright size and rotation of a video.

    Raises:
        BadInput: when the file is missing, empty, not a video, has no pictures, too large ones, or lasts less than 1 s.
    """
    path = Path(path)
    with opened(path) as container:
        stream = _picture_stream(path, container)
        has_sound = bool(container.streams.audio)
        declared_s, count = _declared(stream)
        first = next(_decoded(container, stream), None)
        if first is None:
            raise BadInput(
                f"{path}: found no picture that can be decoded, expected a video; export or record it again."
            )
        turn, (width, height) = _turn_of(first), _shown_size(stream, first)
    if declared_s is None or count is None:
        declared_s, count = _scanned(path)
    if declared_s < 1.0:
        raise BadInput(f"{path}: found {declared_s:.2f} s of video, expected at least 1 s; give a longer clip.")
    if turn.quarters % 2:
        width, height = height, width
    return VideoInfo(declared_s, count / declared_s, width, height, 90 * turn.quarters, has_sound, count)


def frames(
    path: str | Path, max_height: int | None = None, max_seconds: SupportsFloat | None = None
) -> Iterator[Frame]:
    """The pictures of a video in the order in which they are shown, upright RGB, each with its time.

    A picture that cannot be decoded is passed over; the times of the others do not move. Decoders hand pictures out in the
    order in which they are shown, so where time stamps do not rise in it (AVI has none of its own, and FFmpeg counts
    packets in the order of decoding), the order tells the times.

    Args:
        path: any container and codec that FFmpeg decodes.
        max_height: pictures whose upright height is larger are scaled down to it; None: as they are.
        max_seconds: read no further than this; None: all.

    Raises:
        BadInput: see `read_info`; also when the file ends well before the length that it declares.
    """
    path = Path(path)
    has_times = _has_times(path)
    with opened(path) as container:
        stream = _picture_stream(path, container)
        declared_s, _ = _declared(stream)
        turn: _Turn | None = None
        clock, last_s = _Clock(stream, has_times), 0.0
        for decoded in _decoded(container, stream):
            turn = turn or _turn_of(decoded)
            time_s = clock.time_s(decoded)
            if time_s is None:
                continue
            if max_seconds is not None and time_s >= float(max_seconds):
                return
            last_s = time_s
            yield Frame(_upright(decoded, stream, turn, max_height), time_s)
        if turn is None:
            raise BadInput(
                f"{path}: found no picture that can be decoded, expected a video; export or record it again."
            )
        missing_s = (declared_s or 0.0) - last_s
        if missing_s > _CUT_OFF_S and missing_s > _CUT_OFF_SHARE * (declared_s or 0.0):
            raise BadInput(
                f"{path}: found {last_s:.2f} s of pictures, expected the {declared_s:.2f} s that the file declares; "
                "it is cut off, copy it again."
            )


def opened(path: Path) -> InputContainer:
    """A film's container, of no other kind of file and without any protocol.

    Raises:
        BadInput: when it is no readable video.
    """
    if not path.exists():
        raise BadInput(f"{path}: no such file, expected a video; check the path.")
    if not path.is_file():
        raise BadInput(f"{path}: not a file, expected a video; give the path of a video file.")
    if path.stat().st_size == 0:
        raise BadInput(f"{path}: found 0 bytes, expected a video; record or copy it again.")
    allowed = ",".join(sorted(av.formats_available - _READ_ELSEWHERE))
    try:
        # "file:" so that no name is taken for a protocol, such as "concat:a|b.mp4"
        return av.open(f"file:{path}", options={"format_whitelist": allowed, "protocol_whitelist": "file"})
    except (av.FFmpegError, ValueError, EOFError, OSError) as error:
        raise BadInput(
            f"{path}: not a readable video ({type(error).__name__}), expected mp4, mov, webm, mkv, avi or the like; "
            "it may be damaged or incomplete, export or record it again."
        ) from error


def _picture_stream(path: Path, container: InputContainer) -> av.VideoStream:
    """The first stream of moving pictures; the cover of a song is none."""
    cover = Disposition.attached_pic
    streams = [stream for stream in container.streams.video if not stream.disposition & cover]
    if not streams or streams[0].codec_context is None:
        raise BadInput(f"{path}: found no pictures (only sound or data), expected a video; give a file with a picture.")
    stream, context = streams[0], streams[0].codec_context
    if max(context.width, context.height) > MAX_SIDE_PIXELS:
        raise BadInput(
            f"{path}: found pictures of {context.width} x {context.height}, expected at most {MAX_SIDE_PIXELS} pixels "
            "a side; scale the video down."
        )
    stream.thread_type = "AUTO"
    return stream


def _declared(stream: av.VideoStream) -> tuple[float | None, int | None]:
    """Seconds and count of pictures that the header states, None where it does not."""
    seconds = float(stream.duration * stream.time_base) if stream.duration and stream.time_base else None
    return seconds, stream.frames or None


def _scanned(path: Path) -> tuple[float, int]:
    """Seconds and count of pictures by reading all time stamps without decoding; a browser's webm declares neither."""
    with opened(path) as container:
        stream = _picture_stream(path, container)
        stamps: list[int] = []
        try:
            for packet in container.demux(stream):
                if packet.pts is not None:
                    stamps.append(packet.pts)
        except (av.FFmpegError, EOFError):
            pass  # what can be read is what there is
        if len(stamps) < 2 or stream.time_base is None:
            return 0.0, len(stamps)
        span_s = float((max(stamps) - min(stamps)) * stream.time_base)
        return span_s * len(stamps) / (len(stamps) - 1), len(stamps)


def _decoded(container: InputContainer, stream: av.VideoStream) -> Iterator[av.VideoFrame]:
    """Pictures as stored; packets that are damaged are passed over."""
    try:
        for packet in container.demux(stream):
            try:
                decoded = packet.decode()
            except av.FFmpegError:
                continue
            for frame in decoded:
                if isinstance(frame, av.VideoFrame) and max(frame.width, frame.height) <= MAX_SIDE_PIXELS:
                    yield frame
    except (av.FFmpegError, EOFError):
        return  # the file breaks off; `frames` compares with the length that it declares


class _Clock:
    """Seconds of pictures after the first one, rising, as a decoder hands the pictures out.

    Args:
        stream: that they are of.
        has_times: whether its time stamps rise; else the times at which the pictures are decoded, which are as far apart,
            or else its rate, tell when they are shown.
    """

    def __init__(self, stream: av.VideoStream, has_times: bool) -> None:
        rate = stream.average_rate or stream.guessed_rate
        self.between_s = 1 / float(rate) if rate else 1 / 30
        self.unit_s, self.has_times = float(stream.time_base or 1 / 90_000), has_times
        self._offset_s, self._last_s, self._last_stamp_s = 0.0, -math.inf, -math.inf

    def time_s(self, frame: av.VideoFrame) -> float | None:
        """When it is shown; None for a second picture of the same moment."""
        stamp = frame.pts if self.has_times else frame.dts
        stamp_s = self._last_stamp_s + self.between_s if stamp is None else stamp * self.unit_s
        if math.isinf(stamp_s):  # of the first picture, which has none
            stamp_s = 0.0
        if math.isinf(self._last_s):
            self._offset_s = stamp_s
        elif stamp_s == self._last_stamp_s and self.has_times:
            return None
        elif stamp_s <= self._last_stamp_s:  # they begin anew, as where two recordings were joined
            self._offset_s = stamp_s - (self._last_s + self.between_s)
        self._last_s, self._last_stamp_s = stamp_s - self._offset_s, stamp_s
        return self._last_s


def _has_times(path: Path) -> bool:
    """Whether the time stamps of the first pictures rise, as far as pictures are shown in another order than stored."""
    with opened(path) as container:
        decoded = itertools.islice(_decoded(container, _picture_stream(path, container)), _MOST_REORDERED + 1)
        stamps = [frame.pts for frame in decoded]
    known = [stamp for stamp in stamps if stamp is not None]
    return all(earlier <= later for earlier, later in itertools.pairwise(known))


def _turn_of(frame: av.VideoFrame) -> _Turn:
    """From the display matrix [a b u; c d v; x y w] (16.16 fixed point), which takes stored (p, q) to shown (p', q')."""
    side_data = frame.side_data.get("DISPLAYMATRIX")
    if side_data is None:
        return _Turn()
    a, b, _, c, d = np.frombuffer(bytes(side_data), np.int32)[:5] / 65536
    is_mirrored = bool(a * d - b * c < 0)
    clockwise = math.degrees(math.atan2(-b if is_mirrored else b, -a if is_mirrored else a))
    return _Turn(round(clockwise / 90) % 4, is_mirrored)


def _shown_size(stream: av.VideoStream, frame: av.VideoFrame) -> tuple[int, int]:
    """Width and height as stored, the width corrected where pixels are not square."""
    aspect = stream.sample_aspect_ratio
    stretch = float(aspect) if aspect and 0.1 < float(aspect) < 10 else 1.0
    return max(1, round(frame.width * stretch)), frame.height


def _upright(
    frame: av.VideoFrame, stream: av.VideoStream, turn: _Turn, max_height: int | None
) -> UInt8[np.ndarray, "height width 3"]:
    width, height = _shown_size(stream, frame)
    upright_height = width if turn.quarters % 2 else height
    scale = min(1.0, max_height / upright_height) if max_height else 1.0
    size = max(2, round(width * scale)), max(2, round(height * scale))
    # scaled before it is turned and turned into RGB: a large picture is touched once
    rgb = frame.reformat(width=size[0], height=size[1], format="rgb24", interpolation="AREA" if scale < 1 else None)
    return turn.apply(rgb.to_ndarray())
