"""The clips that the user's folder or table asks for."""

from collections.abc import Sequence
from pathlib import Path

from d2m.data.videos.clip_list import SPLITS, WantedClip, clips_in_folder, named, with_validation
from d2m.data.videos.clip_table import clips_in_table
from d2m.errors import BadConfig, BadInput


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
