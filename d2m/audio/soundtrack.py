"""The sound of a video file as `Music` that starts with the picture, through PyAV; no picture is decoded.

A container keeps its own time for each stream. An AAC track begins with priming samples, which mp4's edit list hides, and
may start before or after the first picture. So each decoded frame of sound is put where its time stamp says, counted from
the start of the picture, never simply one after the other from zero.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.stream import Discard, Stream
from jaxtyping import Float

from d2m.core.errors import BadInput
from d2m.core.music import Music

_SILENCE = 1e-4
"""A track whose largest sample is below this (-80 dB) carries no music."""

_GAP_S = 0.005
"""A frame of sound this much later than the end of the one before leaves a gap, which becomes silence."""

_MISSING_END_S = 0.1
"""A track may end this much before the length that its file declares; AAC's last frame is shorter than that."""


class NoSound(BadInput):
    """The video is readable but has no audio track, or a silent one."""


@dataclass(frozen=True)
class Soundtrack:
    """Sound of a video.

    Args:
        music: starts with the first picture.
        video_fps: pictures a second, None where the file has no pictures.
    """

    music: Music
    video_fps: float | None


def read_soundtrack(path: str | Path) -> Soundtrack:
    """Read the first audio track of a video file at its own sample rate.

    Args:
        path: any container that FFmpeg reads (mp4, mov, mkv, …). What sounds before the first picture is cut off, a later
            start becomes silence, one channel becomes two, and more than two are mixed down to two.

    Raises:
        NoSound: when there is no audio track, or only silence on it.
        BadInput: when the file is missing, not a video, damaged, or ends before the length that it declares.
    """
    path = Path(path)
    if not path.exists():
        raise BadInput(f"{path}: no such file, expected a video; check the path.")
    try:
        track = _decoded(path)
    except (av.FFmpegError, ValueError, EOFError) as error:
        raise BadInput(
            f"{path}: not a readable video ({type(error).__name__}); it is damaged or incomplete, download it again."
        ) from error
    if track is None:
        raise NoSound(f"{path}: found no audio track, expected the video with its sound; give one that has it.")
    waveform, rate = track.waveform, track.sample_rate
    if track.declared_end_s is not None:
        if waveform.shape[1] < (track.declared_end_s - _MISSING_END_S) * rate:
            raise BadInput(
                f"{path}: found {waveform.shape[1] / rate:.2f} s of sound, expected the {track.declared_end_s:.2f} s "
                "that the file declares; it is cut off, download it again."
            )
        waveform = waveform[:, : round(track.declared_end_s * rate)]
    if not waveform.size or np.abs(waveform).max() < _SILENCE:
        raise NoSound(f"{path}: found an audio track of silence, expected music; give the video with its sound.")
    return Soundtrack(Music(waveform, rate), track.video_fps)


def read_song(path: str | Path, sample_rate: int, until_s: float | int | None = None) -> Music:
    """Read any file with sound that FFmpeg reads, from the start of its first audio track, as stereo at a sample rate.

    A packet that cannot be decoded is left out, as players do.

    Args:
        until_s: read no further; None: to the end.

    Raises:
        BadInput: when it has no sound, is damaged or protected.
    """
    parts, samples = list[np.ndarray](), 0
    enough = None if until_s is None else round(until_s * sample_rate)
    try:
        with av.open(str(path)) as container:
            if not container.streams.audio:
                raise NoSound(f"{path}: found no audio track, expected music.")
            audio = container.streams.audio[0]
            resampler = av.AudioResampler(format="fltp", layout="stereo", rate=sample_rate)
            for packet in container.demux(audio):
                try:
                    frames = packet.decode()
                except av.FFmpegError:
                    frames = []
                for frame in frames if packet.size else [*frames, None]:  # an empty packet is the last one
                    for part in resampler.resample(frame):
                        parts.append(part.to_ndarray())
                        samples += parts[-1].shape[1]
                if enough is not None and samples >= enough:
                    break
    except (av.FFmpegError, ValueError, EOFError, OSError) as error:
        raise BadInput(
            f"{path}: cannot be read ({type(error).__name__}), expected music that is whole and not copy-protected."
        ) from error
    if not parts:
        raise BadInput(f"{path}: no sound of it can be decoded, expected music that is whole and not copy-protected.")
    waveform = np.concatenate(parts, axis=1)[:, :enough]
    if not np.isfinite(waveform).all():
        raise BadInput(f"{path}: found NaN or infinite samples, expected music; export it again.")
    return Music(np.ascontiguousarray(waveform, np.float32), sample_rate)


@dataclass(frozen=True)
class _Track:
    """Sound as decoded, and when it should end after the first picture; None where the container does not say."""

    waveform: Float[np.ndarray, "2 sample"]
    sample_rate: int
    video_fps: float | None
    declared_end_s: float | None


def _decoded(path: Path) -> _Track | None:
    """The first audio track of a file, None where there is none."""
    with av.open(str(path)) as container:
        if not container.streams.audio:
            return None
        audio = container.streams.audio[0]
        video = container.streams.video[0] if container.streams.video else None
        origin_s = _seconds(video.start_time, video) if video else 0.0
        start_s = _seconds(audio.start_time, audio) - origin_s
        end_s = start_s + _seconds(audio.duration, audio) if audio.duration else None
        fps = float(video.average_rate) if video and video.average_rate else None
        _pass_over_others(container, audio)
        return _Track(_placed(container, audio, origin_s), audio.sample_rate, fps, end_s)


def _seconds(ticks: int | None, stream: Stream) -> float:
    """A stream's time stamp in seconds; 0 where the container has none."""
    return float(ticks * stream.time_base) if ticks is not None and stream.time_base else 0.0


def _pass_over_others(container: InputContainer, audio: av.AudioStream) -> None:
    """Let the demuxer leave the pictures' data in the file unread."""
    for stream in container.streams:
        if stream.index != audio.index:
            stream.discard = Discard.all


def _placed(container: InputContainer, audio: av.AudioStream, origin_s: float) -> Float[np.ndarray, "2 sample"]:
    """All sound of a stream, sample 0 being at `origin_s` of the container's time."""
    parts: list[np.ndarray] = []
    rate, position = audio.sample_rate, 0
    for start_s, wave in _frames(container, audio):
        first = position if start_s is None else round((start_s - origin_s) * rate)
        if not parts and first < 0:
            wave, first = wave[:, -first:], 0
            if not wave.size:
                continue
        if first > position + (_GAP_S * rate if parts else 0):
            parts.append(np.zeros((2, first - position), np.float32))
            position = first
        parts.append(wave)
        position += wave.shape[1]
    return np.concatenate(parts, axis=1) if parts else np.zeros((2, 0), np.float32)


def _frames(
    container: InputContainer, audio: av.AudioStream
) -> Iterator[tuple[float | None, Float[np.ndarray, "2 sample"]]]:
    """Start in seconds (None where it has no time stamp) and samples of each decoded frame of sound."""
    layout = "mono" if audio.channels == 1 else "stereo"
    to_float = av.AudioResampler(format="fltp", layout=layout, rate=audio.sample_rate)
    for frame in container.decode(audio):
        start_s = frame.time
        wave = np.concatenate([part.to_ndarray() for part in to_float.resample(frame)], axis=1)
        yield start_s, np.repeat(wave, 2, axis=0) if len(wave) == 1 else wave
