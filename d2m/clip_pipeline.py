"""A clip in, the same clip with music out: the façade behind the command `d2m` and the web page.

clip = make_clip(ClipRequest(Path("dance.mp4"), takes=4), Dance2Music.load("demo"))
write_take(clip, clip.takes[0], Path("out.mp4"))
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from d2m.core.errors import BadConfig
from d2m.core.music import Music
from d2m.data.frames import SmallFrames
from d2m.data.layout import load_dance
from d2m.metrics.alignment import alignment
from d2m.metrics.beat_tracker import track_beats_s
from d2m.metrics.beats import fit_tempo_bpm
from d2m.motion.dance import Dance
from d2m.motion.kinematic_beats import kinematic_beats_s
from d2m.motion.landmarks import Landmarks
from d2m.motion.readers import SUFFIXES, Hints
from d2m.pipeline import Dance2Music, dance_reading
from d2m.render.mux import film_seconds, film_with_music, write_timed_video
from d2m.render.overlay import Overlay, with_skeleton
from d2m.render.plots import dance_pictures, write_poster
from d2m.render.skeleton import render_dance
from d2m.rhythm.choice import BeatChoice
from d2m.rhythm.grid import BeatGrid
from d2m.rhythm.tracking import track_beats
from d2m.systems.interface import MusicGenerator
from d2m.video.reader import frames
from d2m.video.video_dance import dance_of_video, dances_of_group

OUTPUT_SUFFIXES = (".mp4", ".wav")

Report = Callable[[str, float], None]
"""Told the stage (`watching`, `composing`, `listening`) and the share of it that is done, 0 to 1."""

_PICTURE_SIZE = (640, 640)
_LONGEST_DIFFERENCE_S = 0.25


@dataclass(frozen=True)
class ClipRequest:
    """What is asked for.

    Args:
        source: a video, or a motion file (see `d2m.motion.readers`).
        genre: such as `gHO`; None: what the model reads from the motion.
        seed: of the first take; the others follow it.
        tempo_bpm: see `Dance2Music.generate`; None: the dance's own.
        takes: how many pieces are made.
        overlay: whether the skeleton will be drawn over the film, for those who pass requests on; `write_take` has its own.
        landmarks: file of a video's landmarks: loaded if it exists, else written.
        model_file: pose model for a video; None: MediaPipe's own.
        max_seconds: read no more of a video than this.
        beats, shift_beats: see `Dance2Music.generate`; None: the dance's own beats.
        hints: what the user says of a motion file; `person` also of a film, see `d2m.video.video_dance.dance_of_video`.
        group: whether the beats are those of everybody in a film, and not of the dancer alone.
    """

    source: Path
    genre: str | None = None
    seed: int = 0
    tempo_bpm: float | int | None = None
    takes: int = 1
    overlay: bool = False
    landmarks: Path | None = None
    model_file: Path | None = None
    max_seconds: float | int | None = None
    beats: BeatGrid | str | Path | None = None
    shift_beats: float | int = 0
    hints: Hints = Hints()  # noqa: RUF009 (frozen)
    group: bool = False


@dataclass(frozen=True)
class Take:
    """One piece of music for the clip.

    Args:
        seed: that makes it again.
        music: as long as the dance.
        alignment: how near its beats lie to the dance's, 0 to 1 (see `d2m.metrics.alignment`).
        beats_s: times of the beats heard in it.
        genre: code of the genre that it was made for, and `genre_probability`, what the model gives that genre.
        dance_tempo_bpm: tempo that the model read from the dance.
        beats, warning: the beats that it was made on, see `d2m.pipeline.GenerationRecord`.
        settings: what it was made with.
    """

    seed: int
    music: Music
    alignment: float
    beats_s: Float[np.ndarray, " beat"]
    genre: str
    genre_probability: float
    dance_tempo_bpm: float | None = None
    beats: dict[str, Any] | None = None
    warning: str | None = None
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def tempo_bpm(self) -> float | None:
        """Tempo heard; None where there are hardly any beats."""
        return fit_tempo_bpm(self.beats_s)


@dataclass(frozen=True)
class Clip:
    """A dance with its takes, best first: by alignment, or as the model ranks them.

    Args:
        dance: what was danced.
        takes: best first.
        kinematic_beats_s: times at which the dancer comes to rest.
        source: the file.
        landmarks: what was seen in a video; None for a dance file.
        seen_share, segment_error_m: how well a video was read (see `d2m.video.video_dance.VideoDance`).
        group_beats: those of everybody in a film, where they were asked for.
    """

    dance: Dance
    takes: list[Take]
    kinematic_beats_s: Float[np.ndarray, " beat"]
    source: Path
    landmarks: Landmarks | None = None
    seen_share: float | None = None
    segment_error_m: float | None = None
    group_beats: BeatGrid | None = None


def make_clip(request: ClipRequest, model: Dance2Music, progress: Report | None = None) -> Clip:
    """Watch a clip and make its takes.

    Args:
        request: what is asked for.
        model: makes the music.
        progress: told how far it is.

    Raises:
        BadInput: when the source is not usable.
        BadConfig: for an unknown genre, beats that cannot be asked for, or no takes.
    """
    report = progress or (lambda stage, share: None)
    if request.takes < 1:
        raise BadConfig(f"takes {request.takes}: expected at least 1.")
    if not is_dance_file(request.source) and (request.hints.fps is not None or request.hints.up is not None):
        raise BadConfig(
            f"{request.source}: fps and up are said of motion files, and this is a film: its pictures have times of their own and it"
            " is seen upright; leave them out."
        )
    report("watching", 0.0)
    BeatChoice(request.beats, request.tempo_bpm, request.shift_beats)  # refused before a film is watched
    clip = _watched(request, model.music_generator, partial(report, "watching"))
    report("watching", 1.0)
    takes = [_composed(clip, request, number, model, report) for number in range(request.takes)]
    report("composing", 1.0)
    scored = []
    for number, take in enumerate(takes):
        report("listening", number / len(takes))
        beats_s = track_beats_s(take.music)
        aligned = alignment(clip.kinematic_beats_s, beats_s).harmonic
        scored.append(replace(take, beats_s=beats_s, alignment=aligned))
    report("listening", 1.0)
    ranked = scored if model.music_generator.seeds_are_ranks else sorted(scored, key=lambda take: -take.alignment)
    return replace(clip, takes=ranked)


def is_dance_file(path: Path) -> bool:
    """Whether a file holds motion, and not pictures."""
    return path.suffix.lower() in SUFFIXES


def _watched(request: ClipRequest, music_generator: MusicGenerator, report: Callable[[float], None]) -> Clip:
    if is_dance_file(request.source):
        dance = load_dance(request.source, music_generator.modality, request.hints)
        return Clip(dance, [], kinematic_beats_s(dance.features), request.source)
    asked = (request.landmarks, request.model_file, request.max_seconds, report)
    if request.group:
        seen, *others = dances_of_group(request.source, *asked)
        beats = _of_all([seen.dance, *(other.dance for other in others)], music_generator) if others else None
    else:
        seen, beats = dance_of_video(request.source, None, *asked, request.hints.person), None
    dance, beats_s = seen.dance, kinematic_beats_s(seen.dance.features)
    if music_generator.modality == "frames":
        small = SmallFrames(music_generator.picture_size)
        dance = replace(dance, pictures=small.read(request.source, dance.seconds))
    return Clip(dance, [], beats_s, request.source, seen.landmarks, seen.seen_share, seen.segment_error_m, beats)


def _of_all(dances: list[Dance], music_generator: MusicGenerator) -> BeatGrid | None:
    """The beats of several dancers: tracked on the median of what is read in each; None where the system reads none."""
    read = [dance_reading(music_generator, dance) for dance in dances]
    beats = [one.beats for one in read if one is not None]
    if not beats:
        return None
    frames = min(len(one.activation) for one in beats)
    median = np.median([one.activation[:frames] for one in beats], axis=0)
    return track_beats(median, beats[0].frame_rate).grid


def _composed(clip: Clip, request: ClipRequest, number: int, model: Dance2Music, report: Report) -> Take:
    def counted(steps: Iterable[Any]) -> Iterator[Any]:
        all_steps = list(steps)
        for done, step in enumerate(all_steps):
            report("composing", (number + done / len(all_steps)) / request.takes)
            yield step

    seed = request.seed + number
    beats = clip.group_beats if request.beats is None and request.tempo_bpm is None else request.beats
    asked = (request.tempo_bpm, beats, request.shift_beats)
    music, record = model.generate(clip.dance, seed, request.genre, counted, *asked)
    return Take(
        record.seed, music, 0.0, np.zeros(0), record.genre, record.genre_probability, record.dance_tempo_bpm, record.beats,
        record.warning, record.settings,
    )  # fmt: skip


def write_take(clip: Clip, take: Take, out: Path, overlay: bool = False, title: str | None = None) -> Path:
    """Write a take, whole or not at all.

    Args:
        clip: that it was made for.
        take: what is heard.
        out: `.wav` for the music alone; `.mp4` for the original pictures, untouched where an mp4 can hold them (see
            `d2m.render.mux`), or for a dance file's stick figure.
        overlay: draw the skeleton over the pictures.
        title: written over a stick figure; None: the dance's name.

    Raises:
        BadConfig: for another suffix, or where `out` is the source itself.
    """
    suffix = out.suffix.lower()
    if suffix not in OUTPUT_SUFFIXES:
        raise BadConfig(f"{out}: cannot write '{suffix}' files, expected {' or '.join(OUTPUT_SUFFIXES)}.")
    if out.exists() and out.samefile(clip.source):
        raise BadConfig(f"{out}: this is the clip itself, which is never overwritten; name another output.")
    if suffix == ".wav":
        return (take.music if clip.landmarks is None else _as_long_as_film(take.music, clip)).save(out)
    if clip.landmarks is None:
        dance = replace(clip.dance, genre=take.genre)
        title = clip.dance.name if title is None else title
        return render_dance(dance, take.music, out, title, take.beats_s, _PICTURE_SIZE, progress=False)
    if overlay:
        drawn = with_skeleton(frames(clip.source), clip.landmarks, take.beats_s)
        return write_timed_video(drawn, take.music, out)
    return film_with_music(clip.source, take.music, out)


def _as_long_as_film(music: Music, clip: Clip) -> Music:
    """Music cut, or followed by silence, to the film's pictures: the dance is a whole number of its own 60 fps frames."""
    samples = round(film_seconds(clip.source) * music.sample_rate)
    if abs(samples / music.sample_rate - music.seconds) > _LONGEST_DIFFERENCE_S:  # the film was not read to its end
        return music
    padded = np.pad(music.waveform, ((0, 0), (0, max(0, samples - music.waveform.shape[1]))))
    return Music(padded[:, :samples], music.sample_rate)


def write_clip_poster(clip: Clip, take: Take, out: Path) -> Path:
    """Write a PNG or GIF of the clip: the film with its skeleton, or the stick figure (see `d2m.render.plots`)."""
    if clip.landmarks is None:
        dance = replace(clip.dance, genre=take.genre)
        return write_poster(dance_pictures(dance, clip.dance.name, take.beats_s), clip.dance.seconds, out)
    overlay = Overlay(clip.landmarks, take.beats_s)
    return write_poster(frames(clip.source, max_height=720), clip.dance.seconds, out, drawn=overlay.drawn)
