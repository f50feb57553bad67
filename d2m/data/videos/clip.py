"""One clip: its part of the film cut, its sound taken, its dancer found; what the worker processes do.

Each clip is complete when its motion is there, which is written last. Landmarks, the slow step, are kept as soon as they
are found, also those of clips without a dancer, so that a second run asks nobody again.
"""

import pickle
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import numpy as np

from d2m.audio.soundtrack import NoSound, read_soundtrack
from d2m.dance import MIN_SECONDS, Dance
from d2m.data.aistpp.sequence import full_disk_stops
from d2m.data.array_files import save_array
from d2m.data.layout import DataSetLayout
from d2m.data.videos.clip_list import WantedClip
from d2m.data.videos.cutting import cut_film
from d2m.data.videos.download import DeadLink, download
from d2m.data.videos.small_frames import SmallFrames
from d2m.errors import BadInput
from d2m.files import written_whole
from d2m.motion.features import features_to_smpl
from d2m.music import Music
from d2m.video.dance import MIN_SEEN_SHARE, VideoDance, dance_of_video
from d2m.video.landmarks import Landmarks
from d2m.video.reader import read_info

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


@dataclass(frozen=True)
class ClipResult:
    """What became of a clip.

    Args:
        name: of the clip.
        reason: None where it was made, else why not.
        sentence: what was found, expected and can be done, where it was not made.
        notes: what is odd about a clip that was made.
        seen_share: share of frames in which the dancer was found, where it was made.
    """

    name: str
    reason: Reason | None = None
    sentence: str = ""
    notes: tuple[str, ...] = ()
    seen_share: float | None = None


def prepare_film(job: FilmJob) -> list[ClipResult]:
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
            return [ClipResult(clip.name, Reason.DEAD_LINK, str(error)) for clip in job.clips]
        if not film.is_file():
            sentence = f"{film}: no such file, expected a video; correct its path."
            return [ClipResult(clip.name, Reason.MISSING, sentence) for clip in job.clips]
        return [_prepare_clip(job, clip, film) for clip in job.clips]


def _prepare_clip(job: FilmJob, clip: WantedClip, film: Path) -> ClipResult:
    try:
        with tempfile.TemporaryDirectory(prefix=CUTS_PREFIX, dir=job.root) as folder:
            notes: tuple[str, ...] = ()
            if clip.is_cut:
                film, notes = _cut(clip, film, Path(folder, f"{clip.name}.mov"))
            return _write_clip(job, clip, film, notes)
    except _Refused as refused:
        return ClipResult(clip.name, refused.reason, refused.sentence)


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


def _write_clip(job: FilmJob, clip: WantedClip, film: Path, notes: tuple[str, ...]) -> ClipResult:
    layout = DataSetLayout(job.root)
    music, pictures = _sound_and_pictures(job, clip, film)
    video = _dance(job, clip, film)
    dance = video.dance
    if job.frames is not None and pictures is not None:
        save_array(layout.pictures(clip.name), _as_long_as(pictures, job.frames.count(dance.seconds)))
    length = round(dance.seconds * music.sample_rate)
    missing_s = dance.seconds - music.seconds
    if missing_s > _SHORTER_S:
        notes = (*notes, f"{clip.source}: its sound ends {missing_s:.2f} s before its pictures.")
    Music(music.waveform[:, :length], music.sample_rate).save(layout.wav(clip.name))
    _write_motion(layout.motion(clip.name), dance)
    return ClipResult(clip.name, notes=notes, seen_share=video.seen_share)


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
    seen = DataSetLayout(job.root).landmarks(clip.name)
    if seen.exists():
        try:
            Landmarks.load(seen)
        except BadInput:
            seen.unlink()  # a power failure can empty a file
    try:
        return job.find_dance(film, clip.name, seen)
    except BadInput as error:
        is_nobody = seen.exists() and Landmarks.load(seen).seen_share < MIN_SEEN_SHARE
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


def _write_motion(path: Path, dance: Dance) -> None:
    motion = features_to_smpl(dance.features.astype(np.float64))
    content = {
        "smpl_poses": motion.poses.astype(np.float32), "smpl_trans": motion.translation.astype(np.float32),
        "smpl_scaling": np.ones(1, np.float32), "smpl_loss": np.zeros(1, np.float32),
    }  # fmt: skip
    with written_whole(path) as temporary:
        temporary.write_bytes(pickle.dumps(content, protocol=4))


def find_dance(film: Path, name: str, landmarks: Path, model_file: Path | None = None) -> VideoDance:
    """The dancer of a film, by MediaPipe where no landmarks are kept; see `d2m.video.dance.dance_of_video`."""
    return dance_of_video(film, name, landmarks, model_file)
