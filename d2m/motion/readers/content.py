"""What a motion file holds, by its suffix: arrays, text, and dicts and lists of them. Nothing of a file is ever run."""

import io
import json
import zipfile
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from d2m.core.errors import BadInput
from d2m.core.safe_pickle import load_safe_pickle, refuse_bomb, unpickled

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


def load_numpy(path: Path) -> Any:
    """What `numpy.load` finds, without running a pickle and without taking more memory than the file fills: an array, or the
    dict of an npz; one object without axes, such as a dict, is read safely. Arrays of objects in an npz become None.

    Raises:
        BadInput: when the file is broken, hostile, or larger than `MAX_INFLATED_BYTES`, also once inflated.
    """
    try:
        refuse_bomb(path, path.stat().st_size)
        raw = path.read_bytes()
        if not raw.startswith(b"PK"):
            return _array(path, raw)
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            refuse_bomb(path, sum(member.file_size for member in archive.infolist()))
            members = [name for name in archive.namelist() if name.endswith(".npy")]
            if not members:
                raise ValueError("no arrays in it")
            return {name.removesuffix(".npy"): _array(path, archive.read(name)) for name in members}
    except BadInput:
        raise
    except Exception as error:  # a broken zip or header can raise anything
        raise BadInput(
            f"{path}: not a readable {path.suffix} file ({type(error).__name__}); download or export it again."
        ) from error


def _array(path: Path, raw: bytes) -> Any:
    """The array that an npy's bytes hold; `numpy.load` would first take the memory that the header asks for."""
    file = io.BytesIO(raw)
    version = np.lib.format.read_magic(file)
    read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, is_fortran, dtype = read_header(file)
    if dtype.hasobject:
        return unpickled(path, file.read())
    data = file.read()
    if min(shape, default=0) < 0 or prod(shape) * dtype.itemsize != len(data):
        raise ValueError("a header that does not fit the numbers")
    return np.frombuffer(bytearray(data), dtype).reshape(shape, order="F" if is_fortran else "C")


LOADERS = {
    **dict.fromkeys((".pkl", ".pickle", ".joblib", ".pt", ".pth"), load_safe_pickle),
    ".npz": load_numpy,
    ".npy": load_numpy,
    ".json": load_json,
    ".bvh": load_text,
}
"""Loader of each suffix that a row of the table of formats may name."""
