"""Which clips there are to prepare, from folders in Kinetics' layout or from a table, with a name for each; links are fetched.

A table is a CSV with `source,start_s,end_s` and, where wanted, `class` and `split`; a first line may name the columns, in any
order. A source is an http(s) address or a path, relative to the table's folder. Times are seconds; empty ones mean the film's
start and end. Films behind links are fetched by yt-dlp (extra `[download]`) into a folder and kept there.
"""

import csv
import hashlib
import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from d2m.core.errors import BadConfig, BadInput
from d2m.data.aistpp.annotations import VIDEO_SUFFIXES
from d2m.data.manifest import INDEX_NAME, MAX_NAME_BYTES

SPLIT_OF = {
    "train": "train", "training": "train", "valid": "val", "val": "val", "validate": "val", "validation": "val",
    "test": "test",
}  # fmt: skip
"""What a split may be called, in a folder's name or in a table, and what it is called here."""

SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class WantedClip:
    """A clip that is to be prepared.

    Args:
        source: a film's path, or an http(s) address.
        label: its class as given, empty where there is none.
        split: train, val or test.
        start_s, end_s: the part of the film; None: from its start, to its end.
        name: what its files are called; unique, letters, digits, `_`, `-` and `.` only.
    """

    source: str
    label: str
    split: str
    start_s: float | None = None
    end_s: float | None = None
    name: str = ""

    @property
    def is_link(self) -> bool:
        """Whether the film has to be fetched first."""
        return is_link(self.source)

    @property
    def is_cut(self) -> bool:
        """Whether it is only a part of its film."""
        return self.start_s is not None or self.end_s is not None


def is_link(source: str) -> bool:
    """Whether a source is an http(s) address."""
    return re.match(r"https?://", source, re.IGNORECASE) is not None


def limited(clips: Sequence[WantedClip], limit: int | None) -> list[WantedClip]:
    """At most `limit` clips, in their order, of every split its share; a larger limit holds those of a smaller one."""
    places: dict[str, float] = {}
    for split in SPLITS:
        names = sorted((clip.name for clip in clips if clip.split == split), key=_digest)
        places |= {name: rank / len(names) for rank, name in enumerate(names)}
    kept = {clip.name for clip in sorted(clips, key=lambda clip: places[clip.name])[:limit]}
    return [clip for clip in clips if clip.name in kept]


def clips_in_folder(root: Path) -> list[WantedClip]:
    """Clips of `root/{train,valid,…}/CLASS/FILE`, Kinetics' layout, sorted, without names.

    Raises:
        BadInput: when there is no such folder in `root`, or no film in them.
    """
    folders = sorted(path for path in root.iterdir() if path.is_dir() and path.name.lower() in SPLIT_OF)
    clips = [
        WantedClip(str(film), film.parent.name, SPLIT_OF[folder.name.lower()])
        for folder in folders
        for film in sorted(folder.glob("*/*"))
        if film.suffix.lower() in VIDEO_SUFFIXES and film.name[0] != "." and film.is_file()
    ]
    if clips:
        return clips
    if not folders:
        found = ", ".join(sorted(path.name for path in root.iterdir())[:6]) or "an empty folder"
        raise BadInput(
            f"root={root}: found {found}, expected the folders train and valid with a folder of films for each class; "
            "give the folder that holds them, or a .csv table."
        )
    raise BadInput(
        f"root={root}: found no {', '.join(VIDEO_SUFFIXES)} file in {', '.join(path.name for path in folders)}, expected "
        f"{folders[0].name}/CLASS/FILE.mp4; check the folder."
    )


def named(clips: Iterable[WantedClip]) -> list[WantedClip]:
    """The clips, each once and with its name: `CLASS-FILE` and, of a part, `-STARTms-ENDms`.

    Where two would be called the same, on file systems that do not tell a from A, both get a digest of what they are.
    """
    unique = list(dict.fromkeys(clips))
    stems = [_stem(clip) for clip in unique]
    count = Counter(stem.lower() for stem in stems)
    return [
        replace(clip, name=_with_digest(stem, clip) if _needs_digest(stem, count[stem.lower()]) else stem)
        for clip, stem in zip(unique, stems, strict=True)
    ]


def with_validation(clips: Sequence[WantedClip], share: float | int) -> list[WantedClip]:
    """The clips, a share of the films moved from train to val where no clip is in val yet.

    Whole films move, by a digest of their source, so that parts of a film stay together and more clips change little.

    Raises:
        BadConfig: when `share` is not in [0, 1).
    """
    if not 0 <= share < 1:
        raise BadConfig(f"val_share={share}: expected at least 0 and less than 1, such as 0.1; correct it.")
    films = sorted({clip.source for clip in clips if clip.split == "train"}, key=_digest)
    if any(clip.split == "val" for clip in clips) or len(films) < 2 or not share:
        return list(clips)
    moved = set(films[: max(1, round(share * len(films)))])
    return [replace(clip, split="val") if clip.split == "train" and clip.source in moved else clip for clip in clips]


def _stem(clip: WantedClip) -> str:
    film = clip.source.split("?")[0].rstrip("/").rsplit("/", 1)[-1] if clip.is_link else Path(clip.source).name
    parts = [clip.label, re.sub(r"\.\w{1,5}$", "", film)]
    if clip.is_link and "?" in clip.source:  # watch?v=ID: what tells films apart stands behind the mark
        parts.append(re.sub(r"\w+=", "", clip.source.split("?", 1)[1]))
    if clip.is_cut:
        end = "end" if clip.end_s is None else f"{round(clip.end_s * 1000)}"
        parts += [f"{round((clip.start_s or 0) * 1000)}", end]
    return "-".join(safe for part in parts if (safe := _safe(part)))


def _safe(text: str) -> str:
    """ASCII letters, digits, `_`, `-` and inner `.`; accents are dropped, anything else becomes `_`."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", plain).strip(".-")


def _needs_digest(stem: str, count: int) -> bool:
    return count > 1 or not re.search(r"[A-Za-z0-9]", stem) or stem == INDEX_NAME or len(stem) > MAX_NAME_BYTES


def _with_digest(stem: str, clip: WantedClip) -> str:
    digest = _digest(f"{clip.source}|{clip.label}|{clip.split}|{clip.start_s}|{clip.end_s}")[:10]
    return f"{stem[: MAX_NAME_BYTES - 11]}-{digest}".lstrip("-")


def _digest(text: str) -> str:
    return hashlib.sha1(text.encode()).hexdigest()


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


def wanted_clips(
    source: str | Path | None, splits: Sequence[str] = SPLITS, val_share: float | int = 0.1
) -> list[WantedClip]:
    """Named clips of a folder in Kinetics' layout, or of a .csv table.

    Args:
        source: what the user gave.
        splits: clips of others are left aside.
        val_share: share of the films that become val where none are.

    Raises:
        BadConfig: when `source` is missing, neither folder nor table, or a split is unknown.
        BadInput: when it lists no clip; see `clips_in_folder` and `clips_in_table`.
    """
    unknown = [split for split in splits if split not in SPLITS]
    if unknown or not splits:
        raise BadConfig(f"splits {list(splits)}: expected some of {', '.join(SPLITS)}; correct the list.")
    if source is None:
        raise BadConfig("root= is not given, expected the folder of the clips or a .csv table of them; name it.")
    path = Path(source).expanduser()
    if not path.exists():
        raise BadConfig(f"root={path}: no such folder or table; give the folder of the clips, or a .csv table of them.")
    if path.is_file() and path.suffix.lower() != ".csv":
        raise BadConfig(f"root={path}: found a {path.suffix or 'nameless'} file, expected a folder or a .csv table.")
    clips = clips_in_folder(path) if path.is_dir() else clips_in_table(path)
    kept = [clip for clip in named(with_validation(clips, val_share)) if clip.split in splits]
    if not kept:
        raise BadInput(
            f"root={path}: found no clip of {', '.join(splits)}, expected some; correct root= or the splits."
        )
    return kept


_TIMEOUT_S = 20
_RETRIES = 2


class DeadLink(BadInput):
    """A link leads to no film."""


class _Quiet:
    """What yt-dlp would print; its errors are raised besides."""

    def debug(self, message: str) -> None: ...

    def info(self, message: str) -> None: ...

    def warning(self, message: str) -> None: ...

    def error(self, message: str) -> None: ...


def downloaded(link: str, folder: Path) -> Path | None:
    """The film that was fetched from a link before, None where there is none."""
    films = [
        path for path in folder.glob(f"{_download_stem(link)}.*") if not re.search(r"\.(part|ytdl|temp)", path.name)
    ]
    return next((path for path in sorted(films) if path.stat().st_size), None)


def download(link: str, folder: Path) -> Path:
    """Fetch the film of a link unless it is there; a transfer that broke off is continued.

    One file with picture and sound is asked for, at most 720 pixels high, as nothing here joins two.

    Raises:
        DeadLink: when nothing comes.
        BadConfig: when yt-dlp is not installed.
    """
    found = downloaded(link, folder)
    if found is not None:
        return found
    library = require_downloader()
    options: dict[str, Any] = {
        # yt-dlp reads % in its template: those of the folder's name are doubled
        "outtmpl": {"default": f"{str(folder.resolve()).replace('%', '%%')}/{_download_stem(link)}.%(ext)s"},
        "format": "b[height<=?720]/b", "noplaylist": True, "playlist_items": "1", "fixup": "never",
        "quiet": True, "noprogress": True, "logger": _Quiet(), "color": "never", "cachedir": False,
        "socket_timeout": _TIMEOUT_S, "retries": _RETRIES, "extractor_retries": 1,
    }  # fmt: skip
    try:
        with library.YoutubeDL(options) as downloader:
            downloader.extract_info(link, download=True)
    except (library.utils.YoutubeDLError, OSError) as error:
        raise DeadLink(f"{link}: no film came ({_first_line(error)}), expected one; correct the link.") from error
    found = downloaded(link, folder)
    if found is None:
        raise DeadLink(f"{link}: no film came (an empty answer), expected one; correct the link.")
    return found


def require_downloader() -> Any:
    """yt-dlp's module.

    Raises:
        BadConfig: when it is not installed.
    """
    try:
        import yt_dlp
        import yt_dlp.utils
    except ImportError as error:
        raise BadConfig(
            'yt-dlp: not installed, expected for films behind links; run: pip install -e ".[download]", or give paths.'
        ) from error
    return yt_dlp


def _download_stem(link: str) -> str:
    return hashlib.sha1(link.encode()).hexdigest()[:16]


def _first_line(error: BaseException) -> str:
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(error)).strip() or type(error).__name__
    return text.splitlines()[0].removeprefix("ERROR: ")[:160].rstrip(".; ")
