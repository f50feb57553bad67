"""A table of clips: a CSV with `source,start_s,end_s` and, where wanted, `class` and `split`.

A first line that names columns may be there, in any order; without one the columns are in the order above. A source is
an http(s) address or a path, relative to the table's folder. Times are seconds; empty ones mean the film's start and end.
"""

import csv
import math
from collections.abc import Sequence
from pathlib import Path

from d2m.data.videos.clip_list import SPLIT_OF, WantedClip, is_link
from d2m.errors import BadInput

COLUMNS = ("source", "start_s", "end_s", "class", "split")
REQUIRED = COLUMNS[:3]

_ALSO = {
    "path": "source", "url": "source", "path-or-url": "source", "file": "source", "video": "source",
    "start": "start_s", "end": "end_s", "label": "class",
}  # fmt: skip


def clips_in_table(path: Path) -> list[WantedClip]:
    """Clips of a table, in its order, without names.

    Raises:
        BadInput: naming the line, when columns are missing, a time is no time, a start is not before its end, or a split
            is unknown; when the file cannot be read or lists nothing.
    """
    lines = _lines(path)
    if not lines:
        raise BadInput(f"{path}: found no lines, expected {','.join(REQUIRED)} in each; fill the table.")
    header = [_ALSO.get(cell.lower(), cell.lower()) for cell in lines[0][1]]
    has_header = any(cell in COLUMNS for cell in header)
    columns = header if has_header else list(COLUMNS[: max(len(cells) for _, cells in lines)])
    missing = [column for column in REQUIRED if column not in columns]
    if missing:
        found = ",".join(lines[0][1])[:100] if has_header else f"{len(columns)} columns"
        raise BadInput(
            f"{path}: found {found}, expected the columns {','.join(REQUIRED)} (class and split may follow); "
            f"add {', '.join(missing)}."
        )
    clips = [_clip(path, number, columns, cells) for number, cells in lines[int(has_header) :]]
    if not clips:
        raise BadInput(f"{path}: found a header and no clips, expected one a line; fill the table.")
    return clips


def _lines(path: Path) -> list[tuple[int, list[str]]]:
    """Line number and stripped cells of every line that is not empty."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            table = csv.reader(file)
            rows = [(table.line_num, [cell.strip() for cell in cells]) for cells in table]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BadInput(
            f"{path}: not a readable table ({type(error).__name__}), expected comma-separated text in UTF-8; save it again."
        ) from error
    return [(number, cells) for number, cells in rows if any(cells)]


def _clip(path: Path, number: int, columns: Sequence[str], cells: Sequence[str]) -> WantedClip:
    where = f"{path}, line {number}"
    if len(cells) < len(REQUIRED) or len(cells) > len(columns):
        raise BadInput(
            f"{where}: found {len(cells)} cells, expected {','.join(columns)}; put quotes around a cell with a comma in it."
        )
    row = dict(zip(columns, cells, strict=False))
    source = row.get("source", "")
    if not source or ("://" in source and not is_link(source)):
        raise BadInput(f"{where}: found the source '{source}', expected a path or an http(s) address; correct it.")
    start_s, end_s = (_seconds(where, column, row.get(column, "")) for column in ("start_s", "end_s"))
    if end_s is not None and (start_s or 0) >= end_s:
        raise BadInput(
            f"{where}: found start {start_s or 0:g} s and end {end_s:g} s, expected start < end; correct them."
        )
    split = row.get("split", "") or "train"
    if split.lower() not in SPLIT_OF:
        raise BadInput(f"{where}: found split '{split}', expected one of {', '.join(SPLIT_OF)}; correct it.")
    place = source if is_link(source) else str(path.parent / Path(source).expanduser())
    return WantedClip(place, row.get("class", ""), SPLIT_OF[split.lower()], start_s or None, end_s)


def _seconds(where: str, column: str, text: str) -> float | None:
    if not text:
        return None
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise BadInput(f"{where}: found {column} '{text}', expected seconds such as 12.5, or nothing; correct it.")
    return seconds
