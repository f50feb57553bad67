"""AIST++ made ready: the official annotations and downloaded videos become `d2m.data.layout`'s folders, with lists and report.

A worker process checks and copies a sequence's motion, takes its music and compares both in length. A sequence is complete when
its motion is there, which is written last.
"""

import io
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import soundfile

from d2m.audio.soundtrack import NoSound, read_soundtrack
from d2m.core.aist_names import grid_beats_s, parse_sequence_name, song_tempo_bpm
from d2m.core.errors import BadConfig, BadInput, UserError
from d2m.core.files import writable_folder
from d2m.core.music import Music
from d2m.core.parallel import parallel_map
from d2m.core.timeline import MOTION_FPS
from d2m.data.aistpp.annotations import (
    TUNING_TRAIN,
    TUNING_VAL,
    Annotations,
    MusicSources,
    TuningSplit,
    find_sources,
    read_annotations,
    shared_songs,
    tuning_split,
)
from d2m.data.layout import OFFICIAL, DataSetLayout
from d2m.data.preparation import (
    ItemResult,
    Preparation,
    full_disk_stops,
    is_made,
    remove_leftovers,
    write_lines,
    write_split,
    write_table,
    write_whole,
)
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
        sources: files with its music, tried in this order; None for a data set without music.
        are_videos: True for videos, False for wavs.
        root: data set to write to.
        length_tolerance_s: by how much music and motion may differ.
    """

    name: str
    motion: Path
    sources: tuple[Path, ...] | None
    are_videos: bool
    root: Path
    length_tolerance_s: float


@dataclass(frozen=True)
class _FoundMusic:
    content: bytes
    notes: tuple[str, ...] = ()


def prepare_sequence(job: SequenceJob) -> ItemResult:
    """Write `wavs/NAME.wav`, `beats/NAME.txt` and then `motions/NAME.pkl` of a sequence, or say why not; without sources no wav.

    Raises:
        FullDisk: when there is no space left.
    """
    layout = DataSetLayout(job.root)
    try:
        seconds = Dance.load(job.motion).seconds
        motion = job.motion.read_bytes()
    except UserError as error:
        return ItemResult(job.name, Reason.BAD_MOTION, str(error))
    if job.sources is None:
        with full_disk_stops(job.root):
            write_beats(layout, job.name, seconds)
            write_whole(layout.motion(job.name), motion)
        return ItemResult(job.name)
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


_COLUMNS = ("name", "split", "genre", "dancer", "song", "tempo_bpm", "seconds")


@dataclass(frozen=True)
class OfficialPreparation(Preparation):
    """The outcome of a run.

    Args:
        annotations: what there was to prepare.
        tuning: songs carved out of train; None where the training list was not read.
        has_music: False where motions and beats alone were asked for.
        warnings: of the data set as a whole.
    """

    annotations: Annotations
    tuning: TuningSplit | None
    has_music: bool = True
    warnings: tuple[str, ...] = ()

    def summary(self) -> list[str]:
        """Lines for the terminal."""
        lines = [
            f"{len(self.ready)} sequences are ready: {len(self.made)} made, {len(self.found)} were there already; "
            f"{len(self.skipped)} left out",
            *self.left_out(Reason, only_counted=[Reason.IGNORE_LIST]),
        ]
        if self.tuning and self.tuning.val_songs:
            lines.append(f"  songs of {TUNING_VAL}, carved out of train: {', '.join(self.tuning.val_songs)}")
        if not self.has_music:
            lines.append(
                "  motions and beats only, as neither videos= nor wavs= is given: enough for experiment=rhythm_reader and to score"
                " beats; for music give one of them and run the same command again"
            )
        return lines + [f"  warning: {warning}" for warning in self.warnings]


def write_lists(root: Path, preparation: OfficialPreparation) -> None:
    """Write the data set's lists: the official splits as they are, the tuning splits, and the ignore list.

    `ignore_list.txt` names what the authors found bad and what could not be prepared, so that every list can be read with
    `DataSetLayout.names`; the authors' own is `ignore_list_official.txt`.
    """
    annotations, ready = preparation.annotations, set(preparation.ready)
    for split in annotations.lists:
        list_file = Path("splits", f"crossmodal_{split}.txt")
        write_whole(root / list_file, (annotations.root / list_file).read_bytes())
    for split, names in _tuning_lists(preparation.tuning).items():
        write_split(root / "splits" / f"{split}.txt", [name for name in names if name in ready])
    write_lines(root / "ignore_list_official.txt", sorted(annotations.ignored))
    write_lines(root / "ignore_list.txt", sorted(annotations.ignored | preparation.skipped.keys()))


def write_report(root: Path, preparation: OfficialPreparation) -> None:
    """Write `prepare_report.json`, `skipped.txt` and `sequences.csv`."""
    annotations, tuning, ready = preparation.annotations, preparation.tuning, set(preparation.ready)
    preparation.write_report(
        root,
        annotations=str(annotations.root),
        splits={
            split: {"listed": len(names), "ready": sum(name in ready for name in names)}
            for split, names in {**annotations.lists, **_tuning_lists(tuning)}.items()
        },
        tuning_val_songs=list(tuning.val_songs) if tuning else [],
        warnings=list(preparation.warnings),
    )
    write_table(root / "sequences.csv", _sequence_rows(DataSetLayout(root), preparation))


def _tuning_lists(tuning: TuningSplit | None) -> dict[str, Sequence[str]]:
    """Names by tuning split; both empty where nothing could be carved out."""
    if tuning is None:
        return {}
    return {TUNING_TRAIN: tuning.train if tuning.val else (), TUNING_VAL: tuning.val}


def _sequence_rows(layout: DataSetLayout, preparation: OfficialPreparation) -> Iterator[Sequence[str]]:
    """One line a ready sequence: what its name says, its official split, and how long its music is, without one its motion."""
    yield _COLUMNS
    for name in preparation.ready:
        parts = parse_sequence_name(name)
        of_name = (
            (parts.genre, parts.dancer, parts.song, f"{song_tempo_bpm(parts.song):g}") if parts else ("", "", "", "")
        )
        wav = layout.wav(name)
        seconds = soundfile.info(wav).duration if wav.exists() else Dance.load(layout.motion(name)).seconds
        yield name, preparation.annotations.split_of(name), *of_name, f"{seconds:.3f}"


_FOLDERS = ("motions", "wavs", "beats", "splits")


def prepare_aistpp(
    root: str | Path,
    annotations: str | Path | None,
    videos: str | Path | None = None,
    wavs: str | Path | None = None,
    splits: Sequence[str] = OFFICIAL,
    unlisted: bool = True,
    length_tolerance_s: int | float = 0.1,
    processes: int | None = 2,
    tuning_seed: int = 0,
) -> OfficialPreparation:
    """Make AIST++ ready in `root`, or what is missing of it; prints a summary.

    A sequence that cannot be used is left out with a reason and the rest goes on. Finished sequences are kept whatever
    happens, and a second run finds them.

    Args:
        root: folder of the data set to write.
        annotations: the official annotation folder, or the one around it.
        videos: folder of the videos, of one camera or more; folders in it are looked through too.
        wavs: in place of `videos`, folder of wavs named like the motions. Without both, motions and beats alone are made ready;
            a later run with one of them adds the music.
        splits: official lists to copy.
        unlisted: also prepare motions that are in none of these lists.
        length_tolerance_s: by how much music and motion of a sequence may differ.
        processes: worker processes; 1 works in this process, None takes every core.
        tuning_seed: which songs are carved out of train (see `d2m.data.aistpp.annotations`).

    Raises:
        BadConfig: for a setting that does not fit, a folder that is not there, or a full disk.
        BadInput: when a folder is not what it should be, or not one sequence could be prepared.
    """
    if not length_tolerance_s >= 0 or (processes is not None and processes < 1):
        raise BadConfig(
            f"length_tolerance_s={length_tolerance_s}, processes={processes}: expected at least 0 s and at least one "
            "process (null for all cores); correct them."
        )
    if annotations is None:
        raise BadConfig("annotations= is not given, expected the folder of AIST++'s annotations; name it.")
    official = read_annotations(annotations, splits)
    sources = find_sources(videos, wavs)
    layout = _own_folder(root, official, sources)
    plan = _plan(official, unlisted)
    found = [name for name in plan if is_made(layout, name, with_music=sources is not None)]
    todo = sorted(set(plan) - set(found))
    with full_disk_stops(layout.root):
        for name in found:  # made by a version that wrote no beats
            if not layout.beats(name).exists():
                write_beats(layout, name, Dance.load(layout.motion(name)).seconds)
        jobs = [_job(name, official, sources, layout, length_tolerance_s) for name in todo]
        try:
            results = parallel_map(prepare_sequence, jobs, processes or os.cpu_count() or 1, "preparing")
        finally:
            remove_leftovers(layout.root, _FOLDERS)
        preparation = _outcome(official, unlisted, found, results, tuning_seed, sources is not None)
        write_lists(layout.root, preparation)
        write_report(layout.root, preparation)
    print("\n".join(preparation.summary()))
    _expect_some(preparation, layout.root)
    return preparation


def _own_folder(root: str | Path, official: Annotations, sources: MusicSources | None) -> DataSetLayout:
    """The folder to write to, which must not be one of those read from."""
    layout = DataSetLayout(writable_folder(root))
    resolved = layout.root.resolve()
    if resolved == official.root.resolve() or (sources and (resolved / "wavs") == sources.folder.resolve()):
        raise BadConfig(f"out={root}: this is a folder that is read from, expected another; name a new one.")
    for folder in _FOLDERS:
        if sources or folder != "wavs":
            writable_folder(layout.root / folder)
    remove_leftovers(layout.root, _FOLDERS)
    return layout


def _plan(official: Annotations, unlisted: bool) -> list[str]:
    """Sequences to prepare: those with a motion that are not ignored."""
    wanted = set(official.motions) if unlisted else set(official.motions) & set(official.listed())
    return sorted(wanted - official.ignored)


def _job(
    name: str,
    official: Annotations,
    sources: MusicSources | None,
    layout: DataSetLayout,
    length_tolerance_s: int | float,
) -> SequenceJob:
    files, videos = (sources.of(name), sources.kind == "video") if sources else (None, False)
    return SequenceJob(name, official.motion(name), files, videos, layout.root, length_tolerance_s)


def _outcome(
    official: Annotations,
    unlisted: bool,
    found: Sequence[str],
    results: Sequence[ItemResult],
    tuning_seed: int,
    has_music: bool,
) -> OfficialPreparation:
    """Everything known after the last job, with the sequences that never became one."""
    skipped, failed = {}, {result.name for result in results if result.reason}
    for name in sorted(official.ignored & {*official.motions, *official.listed()}):
        skipped[name] = ItemResult(name, Reason.IGNORE_LIST, f"{name}: in the authors' ignore_list.txt.")
    for name in official.listed():
        if name not in official.motions and name not in skipped and name not in failed:
            sentence = f"{official.motion(name)}: not found, expected it as a list names it; download it again."
            skipped[name] = ItemResult(name, Reason.NO_MOTION, sentence)
    held_out = [name for split in ("val", "test") for name in official.lists.get(split, ())]
    train = official.lists.get("train")
    return OfficialPreparation(
        official,
        tuning_split(train, held_out, tuning_seed) if train else None,
        has_music,
        tuple(_warnings(official, unlisted)),
        found=tuple(found),
        results=results,
        skipped=skipped,
    )


def _warnings(official: Annotations, unlisted: bool) -> Iterator[str]:
    if not official.has_ignore_list:
        yield f"{official.root / 'ignore_list.txt'}: not found, expected 46 bad sequences; they are not left out."
    both = shared_songs(official.lists.get("train", ()), official.lists.get("test", ()))
    if both:
        yield f"{official.root / 'splits'}: songs {', '.join(both[:6])} are both in train and in test."
    left = len(set(official.motions) - set(official.listed()) - official.ignored)
    if left and not unlisted:
        yield f"{left} sequences are in none of the lists and were left out; dataset.prepare.unlisted=true takes them."


def _expect_some(preparation: OfficialPreparation, root: Path) -> None:
    if not preparation.ready:
        reasons = ", ".join(f"{reason} {count}" for reason, count in preparation.reasons().most_common())
        expected = "music for every motion" if preparation.has_music else "sound motions"
        raise BadInput(
            f"{root}: not one sequence could be prepared ({reasons or 'the lists are empty'}), expected {expected}; check that annotations and videos belong together, skipped.txt has each reason."
        )
