"""Videos made ready: clips in Kinetics' layout or in a table become `d2m.data.layout`'s folders, with lists, labels, report."""

import os
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import soundfile

from d2m.core.aist_names import genre_index
from d2m.core.errors import BadConfig, BadInput
from d2m.core.files import writable_folder
from d2m.core.parallel import parallel_map
from d2m.data.frames import SmallFrames, claim_frames, has_frames
from d2m.data.layout import DataSetLayout
from d2m.data.preparation import (
    Preparation,
    full_disk_stops,
    is_made,
    remove_leftovers,
    write_lines,
    write_split,
    write_table,
)
from d2m.data.video_clips.clip import CUTS_PREFIX, FilmJob, FindDance, Reason, find_dance, prepare_film
from d2m.data.video_clips.clip_list import SPLITS, WantedClip, downloaded, limited, require_downloader, wanted_clips
from d2m.video.pose import open_detector

_COLUMNS = ("name", "class", "split", "genre", "seconds", "source")


@dataclass(frozen=True)
class ClipPreparation(Preparation):
    """The outcome of a run.

    Args:
        source: folder or table of the clips.
        clips: those that there were to prepare, by name.
        genres: genre code by class, where it is known.
    """

    source: Path
    clips: Mapping[str, WantedClip]
    genres: Mapping[str, str]

    def of_split(self, split: str) -> list[str]:
        """Clips of a split that can be used now, sorted."""
        return [name for name in self.ready if self.clips[name].split == split]

    def summary(self) -> list[str]:
        """Lines for the terminal."""
        splits = ", ".join(f"{split} {len(names)}" for split in SPLITS if (names := self.of_split(split)))
        lines = [
            f"{len(self.ready)} clips are ready ({splits or 'none'}): {len(self.made)} made, {len(self.found)} were there "
            f"already; {len(self.skipped)} left out",
            *self.left_out(Reason),
        ]
        if self.ready and not self.of_split("val"):
            lines.append("  warning: no clip is in val, which training needs; add films to valid, or set val_share")
        return lines


def write_lists(root: Path, preparation: ClipPreparation) -> None:
    """Write `splits/crossmodal_SPLIT.txt` of the clips that are ready, an empty ignore list, and `labels.csv`."""
    for split in SPLITS:
        write_split(root / "splits" / f"crossmodal_{split}.txt", preparation.of_split(split))
    write_lines(root / "ignore_list.txt", [])
    write_table(root / "labels.csv", _label_rows(DataSetLayout(root), preparation))


def write_report(root: Path, preparation: ClipPreparation) -> None:
    """Write `prepare_report.json` and `skipped.txt`."""
    preparation.write_report(
        root,
        source=str(preparation.source),
        listed=len(preparation.clips),
        splits={
            split: {"listed": listed, "ready": len(preparation.of_split(split))}
            for split in SPLITS
            if (listed := sum(clip.split == split for clip in preparation.clips.values()))
        },
        classes=dict(sorted(Counter(preparation.clips[name].label for name in preparation.ready).items())),
    )


def _label_rows(layout: DataSetLayout, preparation: ClipPreparation) -> Iterator[Sequence[str]]:
    """One line a ready clip: class as given, split, genre where the class has one, length, where it came from."""
    yield _COLUMNS
    for name in preparation.ready:
        clip = preparation.clips[name]
        seconds = soundfile.info(layout.wav(name)).duration
        genre = preparation.genres.get(clip.label, "")
        yield name, clip.label, clip.split, genre, f"{seconds:.3f}", clip.source


_WRITTEN = ("motions", "wavs", "splits", "landmarks", "frames")


def prepare_videos(
    root: str | Path,
    clips: str | Path | None,
    splits: Sequence[str] = SPLITS,
    frames: Any = None,
    genres: Mapping[str, str] | None = None,
    val_share: float | int = 0.1,
    processes: int | None = 2,
    limit: int | None = None,
    model_file: str | Path | None = None,
    finder: FindDance | None = None,
) -> ClipPreparation:
    """Make clips ready in `root`, or what is missing of them; prints a summary.

    A clip without sound or dancer, a dead link, a damaged film is left out with a reason and the rest goes on. Finished
    clips are kept whatever happens, and a second run finds them; landmarks and downloads are kept, too.

    Args:
        root: folder of the data set to write.
        clips: folder in Kinetics' layout, or a table (see `d2m.data.video_clips.clip_list`).
        splits: which to prepare, of train, val and test.
        frames: small grey pictures to keep, `{size: 32, fps: 15}`; None or `off` for none.
        genres: genre code by class, such as `{breakdancing: gBR}`, noted in `labels.csv`. Training takes a genre from an
            AIST++ name only, which also says song and tempo, so these clips are of unknown genre there.
        val_share: share of the films that become val where none are.
        processes: worker processes; 1 works in this process, None takes every core.
        limit: prepare at most so many clips, spread over all; more of them the next time.
        model_file: a pose landmarker's `.task` file; None: the model in MediaPipe's package.
        finder: finds the dancer of a film in place of MediaPipe.

    Raises:
        BadConfig: for a setting that does not fit, a folder that is not there, an extra that is not installed, a full disk.
        BadInput: when there is nothing to prepare, a table is not one, or not one clip could be used.
    """
    if (processes is not None and processes < 1) or (limit is not None and limit < 1):
        raise BadConfig(
            f"processes={processes}, limit={limit}: expected at least one process (null for all cores) and at least one "
            "clip (null for all); correct them."
        )
    small, genre_of = SmallFrames.of(frames), _genres(genres or {})
    wanted = limited(wanted_clips(clips, splits, val_share), limit)
    layout = _own_folder(root, Path(str(clips)))
    if small is not None:
        claim_frames(layout.root, small)
    found = [clip.name for clip in wanted if is_made(layout, clip.name) and has_frames(layout.root, clip.name, small)]
    todo = [clip for clip in wanted if clip.name not in set(found)]
    _require_extras(
        layout.root, todo, None if finder else partial(open_detector, Path(model_file) if model_file else None)
    )
    finder = finder or partial(find_dance, model_file=Path(model_file) if model_file else None)
    with full_disk_stops(layout.root):
        jobs = [FilmJob(tuple(part), layout.root, small, finder) for part in _by_film(todo)]
        try:
            ended = parallel_map(prepare_film, jobs, processes or os.cpu_count() or 1, "preparing", "film")
        finally:
            _remove_leftovers(layout.root)
        preparation = ClipPreparation(
            Path(str(clips)),
            {clip.name: clip for clip in wanted},
            {clip.label: genre for clip in wanted if (genre := genre_of.get(_plain(clip.label)))},
            found=tuple(found),
            results=[result for film in ended for result in film],
        )
        write_lists(layout.root, preparation)
        write_report(layout.root, preparation)
    print("\n".join(preparation.summary()))
    _expect_some(preparation, layout.root)
    return preparation


def _genres(genres: Mapping[str, str]) -> dict[str, str]:
    """Genre code by class, however the class is written."""
    for label, genre in genres.items():
        try:
            genre_index(genre)
        except ValueError as error:
            raise BadConfig(f"genres: class '{label}': {error}") from error
    return {_plain(str(label)): genre for label, genre in genres.items()}


def _plain(label: str) -> str:
    return label.lower().replace("_", " ").strip()


def _own_folder(root: str | Path, clips: Path) -> DataSetLayout:
    """The folder to write to, which must not be the one read from."""
    layout = DataSetLayout(writable_folder(root))
    if layout.root.resolve() == clips.resolve():
        raise BadConfig(f"out={root}: this is the folder of the clips, expected another; name a new one.")
    for folder in ("motions", "wavs", "splits"):
        writable_folder(layout.root / folder)
    _remove_leftovers(layout.root)
    return layout


def _remove_leftovers(root: Path) -> None:
    """Delete what a run that was killed left half done; such names start with a dot. A download is continued instead."""
    for path in root.glob(f"{CUTS_PREFIX}*"):
        shutil.rmtree(path, ignore_errors=True)
    remove_leftovers(root, _WRITTEN)


def _require_extras(root: Path, todo: Sequence[WantedClip], detector: Any) -> None:
    """Stop before any work where yt-dlp or MediaPipe will be needed and is not installed."""
    if any(clip.is_link and downloaded(clip.source, root / "downloads") is None for clip in todo):
        require_downloader()
    if detector and not all(DataSetLayout(root).landmarks(clip.name).exists() for clip in todo):
        with detector():
            pass


def _by_film(todo: Sequence[WantedClip]) -> list[list[WantedClip]]:
    """Clips of one link together, so that it is fetched once; of a file, each by itself."""
    films: dict[str, list[WantedClip]] = {}
    for clip in todo:
        films.setdefault(clip.source if clip.is_link else clip.name, []).append(clip)
    return list(films.values())


def _expect_some(preparation: ClipPreparation, root: Path) -> None:
    if not preparation.ready:
        reasons = ", ".join(f"{reason} {count}" for reason, count in preparation.reasons().most_common())
        raise BadInput(
            f"{preparation.source}: found nothing usable ({reasons}), expected clips of at least 1 s with sound that show "
            f"one dancer from head to foot; {root / 'skipped.txt'} has each reason."
        )
