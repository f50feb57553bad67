"""Where the landmarks of films are kept when nobody names a file, so that a second run, or one that was cut off, is fast.

`$D2M_CACHE`, else `d2m` in the user's cache folder; nothing is kept where that cannot be written.
"""

import hashlib
import os
from contextlib import suppress
from pathlib import Path

from d2m.core.errors import BadConfig
from d2m.core.files import writable_folder

_ENDS_BYTES = 1 << 20
_MOST_FILES = 64
_MADE_BY = "2"
"""Changes whenever other landmarks are found in the same pictures."""


def cache_folder() -> Path | None:
    """The folder; None where it cannot be written."""
    home = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA") or Path("~").expanduser() / ".cache"
    folder = Path(os.environ.get("D2M_CACHE") or Path(home) / "d2m") / "landmarks"
    try:
        return writable_folder(folder)
    except BadConfig:
        return None


def landmark_file(film: Path, model_file: Path | None = None, person: int | None = None) -> Path | None:
    """The file for a film's landmarks, by its content (length, beginning and end) and all that they depend on.

    The oldest files go where there are too many.

    Args:
        film: that exists.
        model_file: of the detector; person: who is followed; see `d2m.video.video_dance.dance_of_video`.

    Returns:
        The file, which may not exist yet; None where none can be kept.
    """
    folder = cache_folder()
    if folder is None:
        return None
    model = _fingerprint(model_file) if model_file is not None and model_file.is_file() else model_file
    told = hashlib.sha256(f"{_MADE_BY} {person} {model} {_fingerprint(film)}".encode())
    found = folder / f"{told.hexdigest()[:32]}.npz"
    with suppress(OSError):
        others = sorted(
            (path for path in folder.glob("*.npz*") if path != found), key=lambda path: path.stat().st_mtime
        )
        for old in others[: -_MOST_FILES or None]:
            old.unlink(missing_ok=True)
    return found


def _fingerprint(path: Path) -> str:
    told = hashlib.sha256(str(path.stat().st_size).encode())
    with path.open("rb") as file:
        told.update(file.read(_ENDS_BYTES))
        file.seek(max(0, path.stat().st_size - _ENDS_BYTES))
        told.update(file.read(_ENDS_BYTES))
    return told.hexdigest()
