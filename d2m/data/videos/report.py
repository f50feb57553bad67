"""What was prepared and what was not: lists and labels for the data set, a report, a summary for the terminal."""

import csv
import io
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import soundfile

from d2m.data.aistpp.sequence import write_whole
from d2m.data.layout import DataSetLayout
from d2m.data.videos.clip import ClipResult, Reason
from d2m.data.videos.clip_list import SPLITS, WantedClip

VERSION = 1
_SHOWN = 5
_COLUMNS = ("name", "class", "split", "genre", "seconds", "source")


@dataclass(frozen=True)
class Preparation:
    """The outcome of a run.

    Args:
        source: folder or table of the clips.
        clips: those that there were to prepare, by name.
        genres: genre code by class, where it is known.
        made: clips made in this run.
        found: clips that were there already.
        skipped: those left out, with reason and sentence.
        notes: oddities of clips that were made, by name.
    """

    source: Path
    clips: Mapping[str, WantedClip]
    genres: Mapping[str, str]
    made: tuple[str, ...]
    found: tuple[str, ...]
    skipped: Mapping[str, ClipResult]
    notes: Mapping[str, tuple[str, ...]]

    @property
    def ready(self) -> list[str]:
        """Clips that can be used now, sorted."""
        return sorted({*self.made, *self.found})

    def of_split(self, split: str) -> list[str]:
        """Clips of a split that can be used now, sorted."""
        return [name for name in self.ready if self.clips[name].split == split]

    def reasons(self) -> Counter[str]:
        """How many clips were left out for which reason."""
        return Counter(result.reason.value for result in self.skipped.values() if result.reason)

    def summary(self) -> list[str]:
        """Lines for the terminal."""
        splits = ", ".join(f"{split} {len(names)}" for split in SPLITS if (names := self.of_split(split)))
        lines = [
            f"{len(self.ready)} clips are ready ({splits or 'none'}): {len(self.made)} made, {len(self.found)} were there "
            f"already; {len(self.skipped)} left out"
        ]
        for reason in Reason:
            results = [self.skipped[name] for name in sorted(self.skipped) if self.skipped[name].reason is reason]
            if results:
                lines.append(f"  {reason.value}: {len(results)}")
                lines += [f"    {result.sentence}" for result in results[:_SHOWN]]
                lines += [f"    and {len(results) - _SHOWN} more"] * (len(results) > _SHOWN)
        if self.notes:
            lines.append(f"  {len(self.notes)} were made although something was odd; prepare_report.json says what")
        if self.ready and not self.of_split("val"):
            lines.append("  warning: no clip is in val, which training needs; add films to valid, or set val_share")
        return lines


def write_lists(root: Path, preparation: Preparation) -> None:
    """Write `splits/crossmodal_SPLIT.txt` of the clips that are ready, an empty ignore list, and `labels.csv`."""
    for split in SPLITS:
        path, names = root / "splits" / f"crossmodal_{split}.txt", preparation.of_split(split)
        if names:
            _write_lines(path, names)
        else:
            path.unlink(missing_ok=True)
    _write_lines(root / "ignore_list.txt", [])
    write_whole(root / "labels.csv", _labels(DataSetLayout(root), preparation).encode())


def write_report(root: Path, preparation: Preparation) -> None:
    """Write `prepare_report.json` and `skipped.txt` (name, reason, sentence; tabs)."""
    skipped = [preparation.skipped[name] for name in sorted(preparation.skipped)]
    report = {
        "version": VERSION,
        "source": str(preparation.source),
        "listed": len(preparation.clips), "ready": len(preparation.ready),
        "made": len(preparation.made), "found": len(preparation.found),
        "left_out": dict(preparation.reasons()),
        "splits": {
            split: {"listed": listed, "ready": len(preparation.of_split(split))}
            for split in SPLITS
            if (listed := sum(clip.split == split for clip in preparation.clips.values()))
        },
        "classes": dict(sorted(Counter(preparation.clips[name].label for name in preparation.ready).items())),
        "notes": {name: list(preparation.notes[name]) for name in sorted(preparation.notes)},
        "skipped": {
            result.name: {"reason": result.reason.value if result.reason else "", "sentence": result.sentence}
            for result in skipped
        },
    }  # fmt: skip
    write_whole(root / "prepare_report.json", (json.dumps(report, indent=2) + "\n").encode())
    lines = [f"{result.name}\t{result.reason.value if result.reason else ''}\t{result.sentence}" for result in skipped]
    _write_lines(root / "skipped.txt", lines)


def _labels(layout: DataSetLayout, preparation: Preparation) -> str:
    """One line a ready clip: class as given, split, genre where the class has one, length, where it came from."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(_COLUMNS)
    for name in preparation.ready:
        clip = preparation.clips[name]
        seconds = soundfile.info(layout.wav(name)).duration
        genre = preparation.genres.get(clip.label, "")
        table.writerow((name, clip.label, clip.split, genre, f"{seconds:.3f}", clip.source))
    return text.getvalue()


def _write_lines(path: Path, lines: Iterable[str]) -> None:
    write_whole(path, "".join(f"{line}\n" for line in lines).encode())
