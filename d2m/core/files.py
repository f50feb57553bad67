"""Files are written whole or not at all: everything goes to a temporary name and is renamed."""

import io
import json
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from d2m.core.errors import BadConfig, BadInput


def writable_folder(folder: str | Path) -> Path:
    """Make `folder` (with its parents) and check that a file can be written there.

    Raises:
        BadConfig: when the folder cannot be made or written.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise BadConfig(f"{folder}: cannot write here ({error.strerror}); name another output folder.") from error
    return folder


@contextmanager
def atomic_write(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it to `path` on success, remove it on any error.

    The temporary name keeps the suffix, because writers of audio and video choose the format by it.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.stem[:60]}.", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all."""
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, content: Any) -> None:
    """Write `content` as JSON whole or not at all.

    Raises:
        ValueError: for NaN or an infinity, which JSON cannot say.
    """
    write_text(path, json.dumps(content, indent=1, allow_nan=False) + "\n")


# Arrays on disk: written whole or not at all, looked at without being read, swept up after runs that were killed.


_ABANDONED_AFTER_S = 600.0
"""A temporary file is renamed well within a second; one this old belongs to no running process."""


@contextmanager
def writing(path: Path) -> Iterator[Path]:
    """`d2m.core.files.atomic_write` for long runs.

    Raises:
        BadConfig: when the disk refuses.
    """
    try:
        with atomic_write(path) as temporary:
            yield temporary
    except OSError as error:
        raise BadConfig(
            f"{path}: cannot be written ({error.strerror or error}); "
            "what is finished is kept, make room and run the command again."
        ) from error


def save_array(path: Path, array: np.ndarray) -> Path:
    """Write an array as .npy.

    Raises:
        BadConfig: when the disk refuses.
    """
    buffer = io.BytesIO()  # numpy's own errors on a full disk do not say so
    np.save(buffer, array, allow_pickle=False)
    with writing(path) as temporary:
        temporary.write_bytes(buffer.getvalue())
    return path


def array_shape(path: Path) -> tuple[int, ...]:
    """Shape of a stored array, from its header and its file's length.

    Raises:
        BadInput: when the file is damaged.
    """
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False).shape
    except (ValueError, OSError, EOFError) as error:
        raise BadInput(f"{path}: damaged ({str(error)[:120]}); delete it and run scripts/encode.py again.") from error


def stored_names(folder: Path) -> set[str]:
    """Names of the .npy files of a folder, without their ending; none where there is no such folder."""
    if not folder.exists():
        return set()
    with os.scandir(folder) as entries:
        return {entry.name[:-4] for entry in entries if entry.name.endswith(".npy") and entry.name[0] != "."}


def sweep(folder: Path) -> None:
    """Remove the temporary files that killed runs left in a folder."""
    if folder.exists():
        for path in folder.glob(".*.npy"):
            try:
                if time.time() - path.stat().st_mtime > _ABANDONED_AFTER_S:
                    path.unlink()
            except FileNotFoundError:  # another run was quicker
                continue
