"""One clip, as the worker processes prepare it: its part of the film cut out, its sound taken, its dancer found.

In the cut, pictures keep their times (a phone's are uneven) and sound is placed by its time stamps; both start at the part's
start exactly: decoding begins at the key frame before it. A clip is complete when its motion is there, which is written
last. Landmarks, the slow step, are kept as soon as they are found, also those of clips without a dancer.
"""

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.container import InputContainer, OutputContainer
from av.stream import Stream
from av.video.frame import PictureType
from jaxtyping import Float

from d2m.audio.soundtrack import NoSound, read_soundtrack
from d2m.core.errors import BadInput
from d2m.core.files import save_array
from d2m.core.music import Music
from d2m.data.frames import SmallFrames
from d2m.data.layout import DataSetLayout
from d2m.data.preparation import ItemResult, full_disk_stops, save_motion
from d2m.data.video_clips.clip_list import DeadLink, WantedClip, download
from d2m.motion.dance import MIN_SECONDS
from d2m.motion.features import features_to_smpl
from d2m.motion.landmarks import Landmarks
from d2m.video.reader import VideoInfo, read_info
from d2m.video.video_dance import MIN_SEEN_SHARE, VideoDance, dance_of_video

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


def _write_part(path: Path, film: VideoInfo, start_s: float, end_s: float, target: OutputContainer) -> None:
    with av.open(f"file:{path}", options={"protocol_whitelist": "file"}) as source:
        pictures, sound = source.streams.video[0], source.streams.audio[0] if source.streams.audio else None
        origin_s = _seconds(pictures.start_time, pictures)
        # every stream is made before anything is written
        coder = target.add_stream("libx264", rate=30, options={"crf": "16", "preset": "veryfast"})
        coder.codec_context.time_base, coder.pix_fmt = Fraction(1, _TICKS), "yuv420p"
        coder.width, coder.height = _size(film, pictures)
        if film.rotation_deg:
            coder.set_display_rotation(-film.rotation_deg)
        sound_coder: Any = target.add_stream("pcm_s16le", rate=sound.sample_rate, layout="stereo") if sound else None
        last = -1
        for frame in _pictures(source, pictures, origin_s + start_s, origin_s + end_s):
            stamp = round(max(0.0, float(frame.time or 0) - origin_s - start_s) * _TICKS)
            if stamp <= last:
                continue
            plain = frame.reformat(coder.width, coder.height, "yuv420p", interpolation="AREA")
            plain.pts, plain.time_base, last = stamp, Fraction(1, _TICKS), stamp
            plain.pict_type = PictureType.NONE  # key frames are the coder's own choice
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


def _pictures(source: InputContainer, stream: av.VideoStream, from_s: float, until_s: float) -> Iterator[av.VideoFrame]:
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
    source: InputContainer, stream: av.AudioStream, from_s: float, until_s: float
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


def _decoded(source: InputContainer, stream: Stream) -> Iterator[object]:
    """Frames of a stream from where the container stands; damaged packets are passed over."""
    for packet in source.demux(stream):
        try:
            yield from packet.decode()
        except av.FFmpegError:
            continue


def _seek(source: InputContainer, stream: Stream, time_s: float) -> None:
    """Go to the last key frame at or before a time."""
    base = stream.time_base or Fraction(1, 1_000_000)
    try:
        source.seek(round(max(time_s, 0.0) / base), stream=stream, backward=True)
    except av.FFmpegError:  # a container that cannot seek to it is read from its start
        source.seek(0)


def _seconds(ticks: int | None, stream: Stream) -> float:
    return float(ticks * stream.time_base) if ticks is not None and stream.time_base else 0.0


def _interleaved(wave: Float[np.ndarray, "2 sample"]) -> np.ndarray:
    """16-bit samples, left and right in turns, as the coder takes them."""
    return np.ascontiguousarray((wave.clip(-1, 1) * 32767).round().astype(np.int16).T.reshape(1, -1))


FindDance = Callable[[Path, str, Path], VideoDance]
"""(film, name, landmarks file) → dance; writes the landmarks file, or reads it where it is."""

CUTS_PREFIX = ".cut."
"""Folders of films that are cut; they are gone when a clip is done."""

_SHORTER_S = 0.1


class Reason(str, Enum):
    """Why a clip was left out."""

    DEAD_LINK = "dead link"
    MISSING = "missing file"
    UNREADABLE = "unreadable video"
    TOO_SHORT = "too short"
    NO_SOUND = "no sound"
    NO_DANCER = "no dancer"


class _Refused(Exception):
    """A clip cannot be used; carries the result's reason and sentence."""

    def __init__(self, reason: Reason, error: BadInput | str) -> None:
        super().__init__(str(error))
        self.reason, self.sentence = reason, str(error)


@dataclass(frozen=True)
class FilmJob:
    """What a worker needs to prepare the clips of one film.

    Args:
        clips: parts of one film, in any order.
        root: data set to write to.
        frames: small pictures to keep, None for none.
        find_dance: finds the dancer; has to be picklable for worker processes.
    """

    clips: tuple[WantedClip, ...]
    root: Path
    frames: SmallFrames | None
    find_dance: FindDance


def prepare_film(job: FilmJob) -> list[ItemResult]:
    """Fetch a film where it is behind a link, and write the files of its clips, or say why not.

    Raises:
        FullDisk: when there is no space left.
        BadConfig: when a file cannot be written for another reason, or yt-dlp or MediaPipe are not installed.
    """
    source = job.clips[0].source
    with full_disk_stops(job.root):
        try:
            film = download(source, job.root / "downloads") if job.clips[0].is_link else Path(source)
        except DeadLink as error:
            return [ItemResult(clip.name, Reason.DEAD_LINK, str(error)) for clip in job.clips]
        if not film.is_file():
            sentence = f"{film}: no such file, expected a video; correct its path."
            return [ItemResult(clip.name, Reason.MISSING, sentence) for clip in job.clips]
        return [_prepare_clip(job, clip, film) for clip in job.clips]


def _prepare_clip(job: FilmJob, clip: WantedClip, film: Path) -> ItemResult:
    try:
        with tempfile.TemporaryDirectory(prefix=CUTS_PREFIX, dir=job.root) as folder:
            notes: tuple[str, ...] = ()
            if clip.is_cut:
                film, notes = _cut(clip, film, Path(folder, f"{clip.name}.mov"))
            return _write_clip(job, clip, film, notes)
    except _Refused as refused:
        return ItemResult(clip.name, refused.reason, refused.sentence)


def _cut(clip: WantedClip, film: Path, out: Path) -> tuple[Path, tuple[str, ...]]:
    start_s = clip.start_s or 0.0
    try:
        whole_s = read_info(film).seconds
    except BadInput as error:
        raise _Refused(_unreadable(error), error) from error
    if min(whole_s, whole_s if clip.end_s is None else clip.end_s) - start_s < MIN_SECONDS:
        end = "its end" if clip.end_s is None else f"{clip.end_s:g} s"
        raise _Refused(
            Reason.TOO_SHORT,
            f"{clip.source}: found {whole_s:.2f} s of video, expected at least {MIN_SECONDS:g} s of it from {start_s:g} s "
            f"to {end}; correct start_s and end_s.",
        )
    try:
        cut_film(film, start_s, clip.end_s, out)
    except BadInput as error:
        raise _Refused(Reason.UNREADABLE, error) from error
    if clip.end_s is not None and whole_s < clip.end_s - _SHORTER_S:
        return out, (f"{clip.source}: ends at {whole_s:.2f} s, before the {clip.end_s:g} s that were asked for.",)
    return out, ()


def _write_clip(job: FilmJob, clip: WantedClip, film: Path, notes: tuple[str, ...]) -> ItemResult:
    layout = DataSetLayout(job.root)
    music, pictures = _sound_and_pictures(job, clip, film)
    dance = _dance(job, clip, film).dance
    if job.frames is not None and pictures is not None:
        save_array(layout.pictures(clip.name), _as_long_as(pictures, job.frames.count(dance.seconds)))
    length = round(dance.seconds * music.sample_rate)
    missing_s = dance.seconds - music.seconds
    if missing_s > _SHORTER_S:
        notes = (*notes, f"{clip.source}: its sound ends {missing_s:.2f} s before its pictures.")
    Music(music.waveform[:, :length], music.sample_rate).save(layout.wav(clip.name))
    motion = features_to_smpl(dance.features.astype(np.float64))
    save_motion(layout.motion(clip.name), motion.poses.astype(np.float32), motion.translation.astype(np.float32))
    return ItemResult(clip.name, notes=notes)


def _sound_and_pictures(job: FilmJob, clip: WantedClip, film: Path) -> tuple[Music, np.ndarray | None]:
    """What can be had without looking for a dancer, so that most of what is no use is out before the slow step."""
    try:
        seconds = read_info(film).seconds
        music = read_soundtrack(film).music
        pictures = job.frames.read(film, seconds) if job.frames else None
    except NoSound as error:
        raise _Refused(Reason.NO_SOUND, _of_source(error, film, clip)) from error
    except BadInput as error:
        raise _Refused(_unreadable(error), _of_source(error, film, clip)) from error
    if music.seconds < MIN_SECONDS:
        raise _Refused(
            Reason.NO_SOUND,
            f"{clip.source}: found {music.seconds:.2f} s of sound, expected at least {MIN_SECONDS:g} s; give the video "
            "with all of its sound.",
        )
    return music, pictures


def _dance(job: FilmJob, clip: WantedClip, film: Path) -> VideoDance:
    kept = DataSetLayout(job.root).landmarks(clip.name)
    if kept.exists():
        try:
            Landmarks.load(kept)
        except BadInput:
            kept.unlink()  # a power failure can empty a file
    try:
        return job.find_dance(film, clip.name, kept)
    except BadInput as error:
        is_nobody = kept.exists() and Landmarks.load(kept).seen_share < MIN_SEEN_SHARE
        reason = Reason.NO_DANCER if is_nobody else Reason.UNREADABLE
        raise _Refused(reason, _of_source(error, film, clip)) from error


def _unreadable(error: BadInput) -> Reason:
    """`read_info` refuses short films and damaged ones with the same kind of error."""
    return Reason.TOO_SHORT if "expected at least 1 s" in str(error) else Reason.UNREADABLE


def _of_source(error: BadInput, film: Path, clip: WantedClip) -> str:
    """The sentence about what the user gave, not about a film that was cut out of it or fetched."""
    part = f" from {clip.start_s or 0:g} s" if clip.is_cut else ""
    return str(error).replace(str(film), f"{clip.source}{part}")


def _as_long_as(pictures: np.ndarray, count: int) -> np.ndarray:
    return pictures[np.minimum(np.arange(count), len(pictures) - 1)]


def find_dance(film: Path, name: str, landmarks: Path, model_file: Path | None = None) -> VideoDance:
    """The dancer of a film, by MediaPipe where no landmarks are kept; see `d2m.video.video_dance.dance_of_video`."""
    return dance_of_video(film, name, landmarks, model_file)
