"""The index of a folder of songs: every file is listened to once, and what was heard is kept beside them.

It is one JSON file, `.d2m_songs.json` in the folder, or in the user's cache where the folder cannot be written. A song is
listened to again when its size or time of change differ. It is written every few seconds, so that a run that was stopped goes on.
"""

import hashlib
import json
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tqdm import tqdm

from d2m.audio.soundtrack import read_song
from d2m.core.errors import BadConfig, BadInput
from d2m.core.files import atomic_write
from d2m.models.music_genre import GenreClassifier
from d2m.songs.listening import SAMPLE_RATE, Song, listen

INDEX_NAME = ".d2m_songs.json"
VERSION = 1
"""Of what is heard in a song; raised whenever the same sound may give something else."""

SUFFIXES = frozenset({
    ".aac", ".ac3", ".aif", ".aiff", ".amr", ".ape", ".au", ".caf", ".dts", ".flac", ".m4a", ".m4b", ".m4p", ".mka", ".mkv", ".mov", ".mp2",
    ".mp3", ".mp4", ".mpc", ".oga", ".ogg", ".opus", ".spx", ".tta", ".wav", ".webm", ".wma", ".wv",
})  # fmt: skip
"""Files that are looked into; what FFmpeg does not read of them is reported."""

LONGEST_S = 900
"""No more than the first quarter of an hour of a file is listened to."""

_SAVED_EVERY_S = 10.0
_SHOWN = 5


@dataclass
class SongIndex:
    """What is known of the songs of a folder.

    Args:
        folder: of the songs.
        songs: usable ones, by path below the folder.
        refused: a sentence for each file that cannot be used.
    """

    folder: Path
    songs: dict[str, Song] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)


def song_files(folder: str | Path) -> list[Path]:
    """Files in a folder, and in those below it, that may be songs, sorted; hidden ones are left out.

    Raises:
        BadConfig: when there is no such folder, or none in it.
    """
    folder = Path(folder).expanduser()
    if not folder.is_dir():
        raise BadConfig(f"songs={folder}: no such folder; name the folder of your music.")
    found = [
        Path(parent) / name
        for parent, folders, names in os.walk(folder, onerror=None)
        if not folders.sort()
        for name in sorted(names)
        if Path(name).suffix.lower() in SUFFIXES and not name.startswith(".")
    ]
    found = [path for path in found if not any(part.startswith(".") for part in path.relative_to(folder).parts)]
    if not found:
        raise BadConfig(f"songs={folder}: found no music files (wav, mp3, m4a, flac, ogg, …); name another folder.")
    return found


def index_songs(
    folder: str | Path, classifier: GenreClassifier | None = None, progress: bool | None = None
) -> SongIndex:
    """Listen to every song of a folder that is not known yet.

    Args:
        folder: looked into with all folders below it.
        classifier: of genres; None: the shipped one.
        progress: whether to show a bar; None: where there is a terminal.

    Raises:
        BadConfig: when there is no such folder, it has no music files, or none of them can be used.
    """
    folder = Path(folder).expanduser()
    files, classifier = song_files(folder), classifier or GenreClassifier.load()
    made_by = f"{VERSION}-{classifier.weights_sha256[:12]}"
    at, known = _known(folder, made_by)
    entries: dict[str, dict[str, Any]] = {}
    todo: list[tuple[str, Path, list[int]]] = []
    for path in files:
        name = path.relative_to(folder).as_posix()
        try:
            found = path.stat()
        except OSError:  # a dangling link
            continue
        stamp = [found.st_size, found.st_mtime_ns]
        if known.get(name, {}).get("stamp") == stamp:
            entries[name] = known[name]
        else:
            todo.append((name, path, stamp))
    saved, cost = time.monotonic(), 0.0
    hidden = None if progress is None else not progress
    bar = tqdm(todo, desc="listening to your songs", unit="song", disable=hidden if todo else True)
    try:
        for name, path, stamp in bar:
            entries[name] = {"stamp": stamp, **_heard(path, classifier).as_json()}
            if time.monotonic() - saved > max(_SAVED_EVERY_S, 20 * cost):
                started = time.monotonic()
                at = _save(at, folder, made_by, entries)
                saved, cost = time.monotonic(), time.monotonic() - started
    finally:
        if todo or entries.keys() != known.keys():
            _save(at, folder, made_by, entries)
    index = _read(folder, entries)
    for sentence in [index.refused[name] for name, _, _ in todo if name in index.refused]:
        print(f"left out: {sentence}", file=sys.stderr)
    if not index.songs:
        reasons = list(index.refused.values())
        more = f", and {len(reasons) - 1} more" if len(reasons) > 1 else ""
        raise BadConfig(f"songs={folder}: none of {len(files)} files can be used ({reasons[0].rstrip('.') if reasons else 'unreadable'}{more}); add music with a beat.")  # fmt: skip
    return index


def _heard(path: Path, classifier: GenreClassifier) -> Song:
    try:
        return listen(read_song(path, SAMPLE_RATE, until_s=LONGEST_S), classifier)
    except BadInput as error:
        return Song(0.0, problem=str(error).removeprefix(f"{path}: ").rstrip("."))


def _read(folder: Path, entries: Mapping[str, Mapping[str, Any]]) -> SongIndex:
    index = SongIndex(folder)
    for name, entry in entries.items():
        song = Song.from_json(dict(entry))
        if song.problem:
            index.refused[name] = f"{folder / name}: {song.problem}."
        else:
            index.songs[name] = song
    return index


def _cached(folder: Path) -> Path:
    """The index of a folder that cannot be written."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    digest = hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:16]
    return Path(home) / "d2m" / f"songs_{digest}.json"


def _known(folder: Path, made_by: str) -> tuple[Path, dict[str, dict[str, Any]]]:
    """Where the index is or will be, and the songs in it that are of this version; none where it is damaged."""
    for at in (folder / INDEX_NAME, _cached(folder)):
        try:
            content = json.loads(at.read_text(encoding="utf-8"))
            if content["made_by"] == made_by:
                songs = content["songs"]
                for entry in songs.values():
                    Song.from_json(entry)
                return at, songs
        except (OSError, ValueError, LookupError, TypeError, AttributeError):
            continue
    return folder / INDEX_NAME, {}


def _save(at: Path, folder: Path, made_by: str, entries: dict[str, dict[str, Any]]) -> Path:
    """Write the index, whole or not at all; returns where."""
    text = json.dumps({"made_by": made_by, "songs": entries}, ensure_ascii=False, separators=(",", ":"))
    for place in dict.fromkeys((at, _cached(folder))):
        try:
            with atomic_write(place) as temporary:
                temporary.write_text(text, encoding="utf-8")
            return place
        except OSError:
            continue
    return at  # nowhere to write: it is made anew the next time
