"""Which clips there are to prepare: from folders in Kinetics' layout or from a table, with a name for each."""

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from d2m.data.aistpp.sources import VIDEO_SUFFIXES
from d2m.data.latent_index import INDEX_NAME, MAX_NAME_BYTES
from d2m.errors import BadConfig, BadInput

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
