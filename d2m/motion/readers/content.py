"""What a motion file holds, by its suffix: arrays, text, and dicts and lists of them. Nothing of a file is ever run."""

import json
from pathlib import Path
from typing import Any

from d2m.core.errors import BadInput
from d2m.core.numpy_files import load_numpy
from d2m.core.safe_pickle import load_safe_pickle

MAX_TEXT_BYTES = 2**28
"""An hour of BVH at 120 frames per second takes 0.25 GB."""


def load_text(path: Path) -> str:
    """The text of a file.

    Raises:
        BadInput: when it is larger than `MAX_TEXT_BYTES` or no text.
    """
    if path.stat().st_size > MAX_TEXT_BYTES:
        raise BadInput(f"{path}: found {path.stat().st_size / 1e6:.0f} MB of text, expected at most 256; cut the file.")
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadInput(f"{path}: not a readable {path.suffix} file (no text); download or export it again.") from error


def load_json(path: Path) -> Any:
    """What a JSON file says.

    Raises:
        BadInput: when it is none.
    """
    try:
        return json.loads(load_text(path))
    except (ValueError, RecursionError) as error:
        raise BadInput(
            f"{path}: not a readable .json file ({type(error).__name__}); download or export it again."
        ) from error


LOADERS = {
    **dict.fromkeys((".pkl", ".pickle", ".joblib", ".pt", ".pth"), load_safe_pickle),
    ".npz": load_numpy,
    ".npy": load_numpy,
    ".json": load_json,
    ".bvh": load_text,
}
"""Loader of each suffix that a row of the table of formats may name."""
