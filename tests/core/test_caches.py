"""A read-only installation and home: caches go to a private temporary folder, before librosa is imported."""

import os
import subprocess
import sys
from pathlib import Path

from d2m.core.caches import ensure_cache_folders

NOWHERE = Path("/proc/none")  # cannot be made, by root either
_IMPORT = """
from pathlib import Path
{prepare}
from numba.core import caching
def refuse(self): raise OSError("read-only")
caching.InTreeCacheLocator.ensure_cache_path = refuse  # as beside a library on a read-only disk
import librosa.util
librosa.util.frame
"""
_PREPARE = "from d2m.core.caches import ensure_cache_folders; ensure_cache_folders(installed=[Path('/proc/none')])"


def run_without_home(code: str) -> subprocess.CompletedProcess:
    left_out = ("NUMBA_CACHE_DIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "MPLCONFIGDIR")
    environment = {key: value for key, value in os.environ.items() if key not in left_out} | {"HOME": str(NOWHERE)}
    return subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)


def test_librosa_is_imported_without_a_writable_place():
    before = run_without_home(_IMPORT.format(prepare=""))
    assert before.returncode and "no locator available" in before.stderr
    after = run_without_home(_IMPORT.format(prepare=_PREPARE))
    assert after.returncode == 0, after.stderr


def test_what_is_set_or_writable_stays(tmp_path):
    ours = {"HOME": str(tmp_path)}
    ensure_cache_folders(ours, [NOWHERE])
    assert ours == {"HOME": str(tmp_path)}
    no_cache = {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(NOWHERE)}  # matplotlib writes settings and a cache
    ensure_cache_folders(no_cache, [])
    assert no_cache["MPLCONFIGDIR"].endswith("mplconfigdir")
    told = {"HOME": str(NOWHERE), "NUMBA_CACHE_DIR": "/there", "MPLCONFIGDIR": "/here"}
    ensure_cache_folders(told, [NOWHERE])
    assert (told["NUMBA_CACHE_DIR"], told["MPLCONFIGDIR"]) == ("/there", "/here")


def test_the_temporary_folder_is_private(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    found = {"HOME": str(NOWHERE)}
    ensure_cache_folders(found, [NOWHERE])
    folder = Path(found["NUMBA_CACHE_DIR"]).parent
    assert folder.parent == tmp_path and not folder.stat().st_mode & 0o077
    folder.chmod(0o777)  # somebody else could put code there
    again = {"HOME": str(NOWHERE)}
    ensure_cache_folders(again, [NOWHERE])
    assert Path(again["NUMBA_CACHE_DIR"]).parent != folder
