"""Where libraries keep compiled code and settings on a read-only installation with a read-only home.

numba (behind librosa) refuses to import without a folder for its cache ("no locator available"), and matplotlib warns at
each start. Both are told of a private temporary folder where their own cannot be written.
"""

import importlib.util
import os
import stat
import tempfile
from collections.abc import Iterable, MutableMapping
from pathlib import Path


def ensure_cache_folders(
    environment: MutableMapping[str, str] = os.environ, installed: Iterable[Path] | None = None
) -> None:
    """Set `NUMBA_CACHE_DIR` and `MPLCONFIGDIR` where neither is set and the usual place cannot be written.

    Call it before numba (librosa) or matplotlib is imported; processes started from this one inherit both.

    Args:
        environment: read and changed.
        installed: folders of libraries that numba compiles, beside which it keeps its cache; None: librosa's own.
    """
    if installed is None:
        found = importlib.util.find_spec("librosa")
        installed = [Path(folder) for folder in (found.submodule_search_locations or [])] if found else []
    home = Path(environment.get("HOME") or "~").expanduser()
    caches = Path(environment.get("XDG_CACHE_HOME") or home / ".cache")
    usual = {
        "NUMBA_CACHE_DIR": all(map(_writable, installed)) or _writable(caches / "numba"),
        "MPLCONFIGDIR": _writable(Path(environment.get("XDG_CONFIG_HOME") or home / ".config") / "matplotlib")
        and _writable(caches / "matplotlib"),
    }
    for name, usable in usual.items():
        if not environment.get(name) and not usable:
            environment[name] = str(_private_folder() / name.lower())


def _writable(folder: Path) -> bool:
    """Whether a file can be written there, by trying it; the folder is made where it is missing."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def _private_folder() -> Path:
    """One folder for a user's processes, or a new one where somebody else owns that name: cached code is run."""
    folder = Path(tempfile.gettempdir()) / f"d2m-cache-{os.getuid() if hasattr(os, 'getuid') else 'user'}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        known = folder.lstat()
        private = stat.S_ISDIR(known.st_mode) and not known.st_mode & 0o077
        if private and (not hasattr(os, "getuid") or known.st_uid == os.getuid()):
            return folder
    except OSError:
        pass
    return Path(tempfile.mkdtemp(prefix="d2m-cache-"))
