"""The jobs of the page: settings are checked, uploads taken in, takes made one job at a time, old files removed."""

import atexit
import math
import os
import secrets
import shutil
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import IO, Any

from d2m.clip_pipeline import Clip, ClipRequest, is_dance_file, make_clip, write_take
from d2m.core.aist_names import GENRE_TITLES, GENRES
from d2m.core.errors import BadConfig, UserError
from d2m.motion.readers import Hints
from d2m.motion.readers.recording import LEAST_FPS, MOST_FPS
from d2m.pipeline import Dance2Music
from d2m.rhythm.grid import BeatGrid
from d2m.web.beats import shown_beats
from d2m.web.uploads import Upload, UploadLimits, gone, take_in

try:
    import fcntl
except ImportError:  # Windows: folders of killed pages stay in the temporary folder
    fcntl = None

_FOLDER_PREFIX = "d2m-page-"
_LOCK_FILE = "lock"
_STARTING_S = 60.0
"""A folder without a lock that is older than this belongs to a page that ended while it started."""


class PageFolder:
    """The page's temporary folder with three parts; old files in it are removed regularly, and all of it at the end.

    `served` is what the browser may fetch (uploads come in there, results go out), and in it `examples`, which stay as long
    as the page; `work` holds the checked copies, which nobody can fetch. The file `lock` is locked while the process
    lives, so that the next start removes the folder of a page that was killed.

    Args:
        keep_minutes: age at which an upload or a result is removed.
        max_total_mb: beyond this, the oldest files go earlier.
    """

    def __init__(self, keep_minutes: float | int = 30, max_total_mb: float | int = 4000) -> None:
        remove_abandoned_folders()
        self.path = Path(tempfile.mkdtemp(prefix=_FOLDER_PREFIX)).resolve()
        self._lock = _locked(self.path / _LOCK_FILE)
        self.served, self.work = self.path / "served", self.path / "work"
        self.examples = self.served / "examples"
        for room in (self.served, self.work, self.examples):
            room.mkdir()
        self.keep_s, self.max_total_bytes = keep_minutes * 60, max_total_mb * 1e6
        self._closed = threading.Event()
        self._sweeper = threading.Thread(target=self._sweep_now_and_then, name="d2m-page-sweeper", daemon=True)
        self._sweeper.start()
        atexit.register(self.close)

    def new_result(self) -> Path:
        """A new folder for one request's results, under a name that can't be guessed."""
        folder = self.served / secrets.token_hex(16)
        folder.mkdir()
        return folder

    def sweep(self) -> int:
        """Remove uploads and results that are too old, then the oldest of too many; return how many files went."""
        found = []
        for path in self._removable():
            try:
                status = path.lstat()
            except FileNotFoundError:
                continue
            if path.is_file() or path.is_symlink():
                found.append((status.st_mtime, status.st_size, path))
        total, removed, oldest_kept_s = sum(size for _, size, _ in found), 0, time.time() - self.keep_s
        for modified_s, size, path in sorted(found):
            if modified_s >= oldest_kept_s and total <= self.max_total_bytes:
                break
            path.unlink(missing_ok=True)
            total, removed = total - size, removed + 1
        self._remove_old_empty_folders(oldest_kept_s)
        return removed

    def _removable(self) -> list[Path]:
        """Everything in the folder but the examples."""
        found = [path for room in (self.served, self.work) for path in room.rglob("*")]
        return [path for path in found if not path.is_relative_to(self.examples)]

    def _remove_old_empty_folders(self, oldest_kept_s: float) -> None:
        for folder in [path for path in self._removable() if path.is_dir()]:
            try:
                if folder.stat().st_mtime < oldest_kept_s:
                    folder.rmdir()
            except OSError:  # not empty, or already gone
                continue

    def _sweep_now_and_then(self) -> None:
        while not self._closed.wait(min(60.0, self.keep_s / 4)):
            self.sweep()

    def close(self) -> None:
        """Stop sweeping and remove the whole folder; may be called twice."""
        self._closed.set()
        self._lock.close()
        shutil.rmtree(self.path, ignore_errors=True)
        atexit.unregister(self.close)


def remove_abandoned_folders() -> list[Path]:
    """Remove this user's folders of pages that run no longer, such as killed ones, and return them."""
    if fcntl is None:
        return []
    removed = []
    for folder in Path(tempfile.gettempdir()).glob(f"{_FOLDER_PREFIX}*"):
        try:
            if folder.is_symlink() or folder.stat().st_uid != os.getuid() or not _is_abandoned(folder):
                continue
        except FileNotFoundError:  # another start was quicker
            continue
        shutil.rmtree(folder, ignore_errors=True)
        removed.append(folder)
    return removed


def _locked(path: Path) -> IO[bytes]:
    """A new file that stays locked until it is closed or this process ends, however it ends."""
    unfinished = path.with_suffix(".new")
    file = unfinished.open("wb")
    if fcntl is not None:
        fcntl.flock(file, fcntl.LOCK_EX)
    unfinished.rename(path)  # so that nobody sees it unlocked
    return file


def _is_abandoned(folder: Path) -> bool:
    try:
        with (folder / _LOCK_FILE).open("rb") as file:
            if fcntl is None:
                return True
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
    except FileNotFoundError:
        return time.time() - folder.stat().st_mtime > _STARTING_S
    except OSError:  # locked by a page that runs, or not ours to open
        return False


MAX_TAKES = 4
TEMPO_RANGE_BPM = (40.0, 240.0)
MAX_SEED = 2**31 - 1

Progress = Callable[[str, float], Any]


@dataclass(frozen=True)
class PageSettings:
    """What was chosen on the page, checked.

    Args:
        genre: code such as `gHO`; None: the model chooses.
        tempo_bpm: None: the dance says.
        seed: of the first take; the others count on.
        takes: how many are made.
        overlay: draw the skeleton over a video.
        beats: as corrected on the page, in place of a tempo; None: the dance says.
    """

    genre: str | None
    tempo_bpm: float | None
    seed: int
    takes: int
    overlay: bool
    beats: BeatGrid | None = None

    @staticmethod
    def checked(genre: Any, tempo_bpm: Any, seed: Any, takes: Any, overlay: Any) -> "PageSettings":
        """Settings from whatever the browser sent.

        Raises:
            BadConfig: one sentence that names the setting.
        """
        if genre not in (None, "", *GENRES):
            raise BadConfig(f"Genre: found '{str(genre)[:20]}', expected one of the list; choose again.")
        bpm = None if tempo_bpm in (None, "", 0) else _number(tempo_bpm, "Tempo", "BPM", *TEMPO_RANGE_BPM)
        whole = [_number(seed, "Seed", "", 0, MAX_SEED), _number(takes, "Takes", "", 1, MAX_TAKES)]
        return PageSettings(genre or None, bpm, int(whole[0]), int(whole[1]), bool(overlay))


def hints_from(fps: Any, up: Any, person: Any) -> Hints:
    """What is said of a file, from whatever the browser sent.

    Raises:
        BadConfig: one sentence that names the field.
    """
    rate = None if fps in (None, "") else _number(fps, "Frames a second", "", LEAST_FPS, MOST_FPS)
    number = None if person in (None, "") else int(_number(person, "Person", "", 0, MAX_SEED))
    return Hints(rate, up or None, number)


def _number(value: Any, name: str, unit: str, low: float | int, high: float | int) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not low <= number <= high:
        raise BadConfig(f"{name}: found '{str(value)[:20]}', expected {low:g} to {high:g} {unit}".rstrip() + ".")
    return number


@dataclass(frozen=True)
class TakeFiles:
    """One take, ready to be shown.

    Args:
        label: one short line for the choice between takes.
        facts: one longer line below the player.
        video, music: mp4 and wav in a folder that the browser may fetch from.
        beats: what the browser draws, see `d2m.web.beats.shown_beats`.
    """

    label: str
    facts: str
    video: Path
    music: Path
    beats: dict[str, Any]


class JobQueue:
    """Runs all jobs of the page with one loaded model, one after the other; who makes music at another place takes its `turn`.

    Args:
        model: loaded once.
        folder: the page's own.
        limits: of uploads.
    """

    def __init__(self, model: Dance2Music, folder: PageFolder, limits: UploadLimits) -> None:
        self.model, self.folder, self.limits = model, folder, limits
        self.turn = threading.Lock()
        self._taken_in: dict[tuple[Path, Hints], Upload] = {}
        self._opening: dict[Path, threading.Lock] = {}

    def take_in(self, sent: Path, name: str | None = None, hints: Hints = Hints()) -> Upload:  # noqa: B008 (frozen)
        """What is kept of a file that was sent; it is opened once, also where it is asked for twice at a time.

        A motion file is read again where something else is said of it; a film's pictures stay the same.

        Raises:
            BadInput: see `d2m.web.uploads.take_in`; also for a path outside the page's own folder.
        """
        if not sent.resolve().is_relative_to(self.folder.path):
            raise BadConfig("This file was not uploaded here; upload it, or choose an example.")
        told = hints if is_dance_file(Path(name or sent.name)) else Hints()
        with self._opening.setdefault(sent, threading.Lock()):
            known = self._taken_in.get((sent, told))
            if known is None or not known.path.is_file():
                known = self._taken_in[sent, told] = take_in(sent, self.folder.work, self.limits, name, asdict(told))
                self._forget_removed()
        return known if known.is_motion else replace(known, person=hints.person)

    def _forget_removed(self) -> None:
        for (sent, told), upload in list(self._taken_in.items()):
            if not upload.path.is_file():
                self._taken_in.pop((sent, told), None)
                if all(other != sent for other, _ in self._taken_in):
                    self._opening.pop(sent, None)

    def run(self, upload: Upload, settings: PageSettings, progress: Progress) -> list[TakeFiles]:
        """Make the takes, best first, with all their files.

        Raises:
            UserError: one sentence, when the clip or the settings are of no use.
        """
        if self.turn.locked():
            progress("waiting for its turn", 0.0)
        with self.turn, _named_as_shown(upload):
            started = time.perf_counter()
            if not upload.path.is_file():
                raise gone(upload.shown_name)
            request = ClipRequest(
                upload.path,
                genre=settings.genre,
                seed=settings.seed,
                tempo_bpm=settings.tempo_bpm if settings.beats is None else None,
                beats=settings.beats,
                takes=settings.takes,
                overlay=settings.overlay,
                landmarks=None if upload.is_motion else upload.path.with_suffix(f".person{upload.person or 1}.npz"),
                max_seconds=self.limits.max_seconds,
                hints=Hints(person=upload.person),
            )
            clip = make_clip(request, self.model, progress)
            folder = self.folder.new_result()
            return [
                self._write(clip, number, upload, settings, folder, started, progress)
                for number in range(len(clip.takes))
            ]

    def _write(
        self,
        clip: Clip,
        number: int,
        upload: Upload,
        settings: PageSettings,
        folder: Path,
        started: float,
        progress: Progress,
    ) -> TakeFiles:
        take = clip.takes[number]
        progress(f"writing take {number + 1} of {len(clip.takes)}", number / len(clip.takes))
        stem = f"d2m_take{number + 1}_seed{take.seed}"
        video = write_take(clip, take, folder / f"{stem}.mp4", settings.overlay, title=Path(upload.shown_name).stem)
        music = write_take(clip, take, folder / f"{stem}.wav")
        beats = shown_beats(folder.name, take.music, take.beats, take.beats_s, clip.kinematic_beats_s)
        genre = GENRE_TITLES.get(take.genre, take.genre)
        origin = "read from the motion" if settings.genre is None else "chosen; by the motion"
        tempo = f"{take.tempo_bpm:.0f} BPM · " if take.tempo_bpm else ""
        facts = (
            f"{genre} ({origin}, {take.genre_probability:.0%}) · {tempo}seed {take.seed} · alignment {take.alignment:.2f} · "
            f"{take.music.seconds:.1f} s of music in {time.perf_counter() - started:.1f} s"
        )
        return TakeFiles(f"{number + 1}: seed {take.seed}, alignment {take.alignment:.2f}", facts, video, music, beats)


@contextmanager
def _named_as_shown(upload: Upload) -> Iterator[None]:
    """Let errors name the file as the user does, and not our copy of it."""
    try:
        yield
    except UserError as error:
        raise type(error)(str(error).replace(str(upload.path), upload.shown_name)) from error


def what_went_wrong(error: Exception) -> str:
    """What the page says about an error; one that is ours goes to the log with its traceback."""
    if isinstance(error, UserError):
        return str(error)
    traceback.print_exception(error, file=sys.stderr)
    return f"Something went wrong on the server ({type(error).__name__}); its log says more."
