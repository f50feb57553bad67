"""One sequence of AIST++: its motion checked and copied, its music extracted, both compared in length.

This is what the worker processes do; each job is complete when its motion is there, which is written last.
"""

import io
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import soundfile

from d2m.audio.soundtrack import NoSound, read_soundtrack
from d2m.core.aist_names import grid_beats_s
from d2m.core.errors import BadInput, UserError
from d2m.core.music import Music
from d2m.core.timeline import MOTION_FPS
from d2m.data.layout import DataSetLayout
from d2m.data.preparation import ItemResult, full_disk_stops, write_whole
from d2m.motion.dance import Dance

_FPS_TOLERANCE = 1.0
"""A video of 59.94 pictures a second counts as one of 60."""


class Reason(str, Enum):
    """Why a sequence was left out."""

    IGNORE_LIST = "ignore list"
    NO_MOTION = "no motion file"
    BAD_MOTION = "corrupt motion"
    NO_MUSIC_FILE = "missing video or wav"
    NO_SOUND = "no audio track"
    BAD_MUSIC_FILE = "corrupt video or wav"
    LENGTH_MISMATCH = "length mismatch"


class LengthMismatch(BadInput):
    """Music and motion of a sequence are not equally long."""


@dataclass(frozen=True)
class SequenceJob:
    """What a worker needs to prepare one sequence.

    Args:
        name: of the sequence.
        motion: its pickle in the annotation folder.
        sources: files with its music, tried in this order.
        are_videos: True for videos, False for wavs.
        root: data set to write to.
        length_tolerance_s: by how much music and motion may differ.
    """

    name: str
    motion: Path
    sources: tuple[Path, ...]
    are_videos: bool
    root: Path
    length_tolerance_s: float


@dataclass(frozen=True)
class _FoundMusic:
    content: bytes
    notes: tuple[str, ...] = ()


def prepare_sequence(job: SequenceJob) -> ItemResult:
    """Write `wavs/NAME.wav`, `beats/NAME.txt` and then `motions/NAME.pkl` of a sequence, or say why not.

    Raises:
        FullDisk: when there is no space left.
    """
    layout = DataSetLayout(job.root)
    try:
        seconds = Dance.load(job.motion).seconds
        motion = job.motion.read_bytes()
    except UserError as error:
        return ItemResult(job.name, Reason.BAD_MOTION, str(error))
    if not job.sources:
        kind = "video of any camera" if job.are_videos else "wav of this name"
        sentence = f"{job.name}: found no {kind}, expected one; download it and run the same command again."
        return ItemResult(job.name, Reason.NO_MUSIC_FILE, sentence)
    failures: list[UserError] = []
    for source in job.sources:
        try:
            music = _music_of(source, job, seconds)
        except UserError as error:
            failures.append(error)
            continue
        with full_disk_stops(job.root):
            write_whole(layout.wav(job.name), music.content)
            write_beats(layout, job.name, seconds)
            write_whole(layout.motion(job.name), motion)
        return ItemResult(job.name, notes=(*map(str, failures), *music.notes))
    return _failed(job.name, failures)


def write_beats(layout: DataSetLayout, name: str, seconds: float) -> None:
    """Write `beats/NAME.txt` by the grid rule (`d2m.core.aist_names.grid_beats_s`), where the name is of an AIST song."""
    beats_s, path = grid_beats_s(name, seconds), layout.beats(name)
    if beats_s is None:
        return
    content = "".join(f"{beat:.6f}\n" for beat in beats_s).encode()
    if not path.exists() or path.read_bytes() != content:
        write_whole(path, content)


def _failed(name: str, failures: list[UserError]) -> ItemResult:
    """Why none of a sequence's files could be used: the first one's reason."""
    first = failures[0]
    reason = Reason.BAD_MUSIC_FILE
    if isinstance(first, NoSound):
        reason = Reason.NO_SOUND
    elif isinstance(first, LengthMismatch):
        reason = Reason.LENGTH_MISMATCH
    others = f" (and {len(failures) - 1} other cameras could not be used either)" if len(failures) > 1 else ""
    return ItemResult(name, reason, f"{first}{others}")


def _music_of(source: Path, job: SequenceJob, seconds: float) -> _FoundMusic:
    """The content of the wav to write: as long as the motion, or shorter by no more than the tolerance."""
    notes: tuple[str, ...] = ()
    if job.are_videos:
        soundtrack = read_soundtrack(source)
        music, fps = soundtrack.music, soundtrack.video_fps
        if fps is None or abs(fps - MOTION_FPS) > _FPS_TOLERANCE:
            notes = (f"{source}: found {fps or 0:g} pictures a second, expected 60; its sound was taken all the same.",)
    else:
        music = Music.load(source)
    off_s = music.seconds - seconds
    if abs(off_s) > job.length_tolerance_s:
        raise LengthMismatch(
            f"{source}: found {music.seconds:.2f} s of sound for {seconds:.2f} s of motion, expected them to agree "
            f"within {job.length_tolerance_s:g} s; give the sequence's own sound, or allow more with "
            "dataset.prepare.length_tolerance_s."
        )
    if off_s <= 0 and not job.are_videos:
        return _FoundMusic(source.read_bytes())
    return _FoundMusic(_wav(Music(music.waveform[:, : round(seconds * music.sample_rate)], music.sample_rate)), notes)


def _wav(music: Music) -> bytes:
    """A 16-bit wav file in memory, so that a full disk shows as the system's error and not as libsndfile's."""
    buffer = io.BytesIO()
    soundfile.write(
        buffer, music.waveform.clip(-1, 1).T, music.sample_rate, format="WAV", subtype="PCM_16"
    )  # fmt: skip
    return buffer.getvalue()
