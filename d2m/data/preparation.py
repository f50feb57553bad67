"""Preparing a data set: what became of each of its items, the report of it, and files that are whole or not there."""

import csv
import errno
import io
import json
import pickle
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from jaxtyping import Float

from d2m.core.errors import BadConfig
from d2m.core.files import atomic_write
from d2m.data.layout import DataSetLayout

VERSION = 1
_SHOWN = 5


class FullDisk(BadConfig):
    """No space is left; whoever catches it stops, as every further file would fail."""


def write_whole(path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    with atomic_write(path) as temporary:
        temporary.write_bytes(content)


@contextmanager
def full_disk_stops(folder: Path) -> Iterator[None]:
    """Turn the system's "no space left" (or a used up quota) into one sentence.

    Raises:
        FullDisk: in its place.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise FullDisk(
            f"{folder}: no space left on this disk; what is finished is kept: make room and run the same command again."
        ) from error


def write_lines(path: Path, lines: Iterable[str]) -> None:
    """Write a text file whole or not at all."""
    write_whole(path, "".join(f"{line}\n" for line in lines).encode())


def write_split(path: Path, names: Sequence[str]) -> None:
    """Write the list of a split; a split without sequences has none."""
    if names:
        write_lines(path, names)
    else:
        path.unlink(missing_ok=True)


def write_table(path: Path, rows: Iterable[Sequence[str]]) -> None:
    """Write a CSV file whole or not at all; the first row names the columns."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    write_whole(path, text.getvalue().encode())


def save_motion(path: Path, poses: Float[np.ndarray, "time 72"], translation: Float[np.ndarray, "time 3"]) -> None:
    """Write SMPL poses in radians and pelvis positions in metres as AIST++ does, whole or not at all."""
    content = {
        "smpl_poses": poses, "smpl_trans": translation,
        "smpl_scaling": np.ones(1, np.float32), "smpl_loss": np.zeros(1, np.float32),
    }  # fmt: skip
    write_whole(path, pickle.dumps(content, protocol=4))


def claim_folder(path: Path, settings: Mapping[str, object]) -> None:
    """Note in a JSON file what a folder's files are made with; a folder made with something else is refused.

    Raises:
        BadConfig: when it is another one's.
    """
    if not path.exists():
        write_whole(path, (json.dumps(settings, indent=2) + "\n").encode())
        return
    try:
        found = json.loads(path.read_text())
        differing = {name: found.get(name) for name, value in settings.items() if found.get(name) != value}
    except (OSError, ValueError, AttributeError):
        differing = dict.fromkeys(settings)
    if differing:
        wanted = {name: settings[name] for name in differing}
        raise BadConfig(f"{path}: found {differing}, expected {wanted}; delete this folder or choose another out=.")


def remove_leftovers(root: Path, folders: Iterable[str]) -> None:
    """Delete the temporary files of a run that was killed; their names start with a dot."""
    for folder in folders:
        for path in (root / folder).glob(".*.*"):
            if path.suffix in (".pkl", ".wav", ".txt", ".npz", ".npy", ".json"):
                path.unlink(missing_ok=True)


def is_made(layout: DataSetLayout, name: str, with_music: bool = True) -> bool:
    """Whether motion and, where it is asked for, music are there and, as a power failure can empty a file, hold something."""
    try:
        moves = layout.motion(name).stat().st_size > 0
        return moves and (not with_music or soundfile.info(layout.wav(name)).frames > 0)
    except (OSError, soundfile.SoundFileError):
        return False


@dataclass(frozen=True)
class ItemResult:
    """What became of an item that was to be prepared.

    Args:
        name: of the sequence or clip.
        reason: None where it was made, else why not; its value is what the reports say.
        sentence: what was found, expected and can be done, where it was not made.
        notes: what is odd about one that was made, such as that another camera was taken.
    """

    name: str
    reason: Enum | None = None
    sentence: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Preparation:
    """The outcome of a run.

    Args:
        found: items that were there already.
        results: of this run's items.
        skipped: items left out, with reason and sentence, by name; those of `results` join them.
    """

    found: tuple[str, ...]
    results: Sequence[ItemResult]
    skipped: dict[str, ItemResult] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.skipped.update((result.name, result) for result in self.results if result.reason)

    @property
    def made(self) -> tuple[str, ...]:
        """Items made in this run, sorted."""
        return tuple(sorted(result.name for result in self.results if not result.reason))

    @property
    def notes(self) -> Mapping[str, tuple[str, ...]]:
        """Oddities of items that were made, by name."""
        return {result.name: result.notes for result in self.results if result.notes and not result.reason}

    @property
    def ready(self) -> list[str]:
        """Items that can be used now, sorted."""
        return sorted({*self.made, *self.found})

    def reasons(self) -> Counter[str]:
        """How many items were left out for which reason."""
        return Counter(result.reason.value for result in self.skipped.values() if result.reason)

    def left_out(self, reasons: Iterable[Enum], only_counted: Collection[Enum] = ()) -> list[str]:
        """Lines for the terminal: how many were left out, the first sentences of each reason, and whether there are notes."""
        lines = []
        for reason in reasons:
            results = [self.skipped[name] for name in sorted(self.skipped) if self.skipped[name].reason is reason]
            lines += [f"  {reason.value}: {len(results)}"] * bool(results)
            if reason not in only_counted:
                lines += [f"    {result.sentence}" for result in results[:_SHOWN]]
                lines += [f"    and {len(results) - _SHOWN} more"] * (len(results) > _SHOWN)
        if self.notes:
            lines.append(f"  {len(self.notes)} were made although something was odd; prepare_report.json says what")
        return lines

    def write_report(self, root: Path, **more: Any) -> None:
        """Write `prepare_report.json`, with `more` in it, and `skipped.txt` (name, reason, sentence; tabs)."""
        skipped = {
            name: {"reason": result.reason.value if result.reason else "", "sentence": result.sentence}
            for name, result in sorted(self.skipped.items())
        }
        report = {
            "version": VERSION, **more,
            "ready": len(self.ready), "made": len(self.made), "found": len(self.found),
            "left_out": dict(self.reasons()),
            "notes": {name: list(notes) for name, notes in sorted(self.notes.items())},
            "skipped": skipped,
        }  # fmt: skip
        write_whole(root / "prepare_report.json", (json.dumps(report, indent=2) + "\n").encode())
        lines = [f"{name}\t{result['reason']}\t{result['sentence']}" for name, result in skipped.items()]
        write_lines(root / "skipped.txt", lines)
