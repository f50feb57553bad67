"""Uploads are untrusted: each is checked, probed by a child process, and copied under a random name.

The name that came with a file is only ever shown. Size and ending are checked first, then the first bytes (so that no
decoder is asked to guess: a playlist named .mp4 can make one read other files), then a child process with little memory
and little time opens it, once. Whatever the file does to the child (fill the memory, never end, crash a decoder), the
page's own process stays alive. Only what the child read is kept: a motion file's dance, a film's pictures encoded
again; the page never opens the upload itself. The child is a copy of a process that has loaded what files need and opened none
(`forkserver`), so that a file is open in a moment and not after the seconds that a new interpreter takes to load it all.
"""

import json
import math
import os
import secrets
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import Any

from d2m.core.errors import BadInput
from d2m.core.parallel import process_context
from d2m.core.timeline import MIN_SECONDS

MEMORY_BYTES = 2 * 2**30
"""What a file may take of the child's address space, beyond what the libraries take that are loaded."""

CPU_SECONDS = 20
"""Processor time in which the child must have opened a file."""

CPU_SECONDS_PER_SECOND = 5
"""Further processor time for a second of a film, in which its pictures are encoded again."""

MAX_LINES = 1080
"""Shorter side of the pictures that are kept, in pixels; larger ones are scaled down."""

MAX_PIXELS = 4096 * 2304
"""A little over 4K; a picture of 30,000 x 30,000 would take gigabytes."""

_MAX_FPS = 250
"""Pictures per second beyond which a file isn't a film; bounds how many packets are counted."""


def convert_motion(path: Path, max_seconds: float | int, said: Mapping[str, Any]) -> dict[str, Any]:
    """Read a motion file and write its dance as `kept_copy` (see `d2m.motion.readers.features`).

    Nothing is written for one that is longer than `max_seconds`.

    Args:
        path: of the file.
        max_seconds: that a dance may last.
        said: of the file, by the names of `d2m.motion.readers.Hints`.

    Returns:
        Its length in `seconds`, and the `decisions` of the reader.

    Raises:
        BadInput: when it is broken, hostile or shorter than 1 s, or where something has to be said of it.
    """
    import numpy as np

    from d2m.motion.dance import Dance
    from d2m.motion.readers import Hints, read_recording

    recording = read_recording(path, Hints(**said))
    if MIN_SECONDS <= recording.seconds <= max_seconds:
        dance = Dance.of_recording(recording, path.stem, str(path))
        seen = {"landmarks": dance.landmarks, "points": dance.points}
        kept: dict[str, Any] = {name: values for name, values in seen.items() if values is not None}
        np.savez(kept_copy(path), features=dance.features, **kept)
    return {"seconds": recording.seconds, "decisions": recording.decisions}


def kept_copy(path: Path) -> Path:
    """Where what was read of an upload is written; an upload of that suffix is replaced."""
    return path.with_suffix(".mp4" if path.suffix in VIDEO_SUFFIXES else ".npz")


def convert_video(path: Path, max_seconds: float | int) -> dict[str, Any]:
    """Encode a video's pictures again, upright and each at its own time, as `kept_copy`; returns its length in `seconds`.

    The length is what it declares, or what its packets last where that is longer; infinity where there are more packets than
    a film of `max_seconds` has. Nothing is written for one that is longer than `max_seconds`.

    Raises:
        BadInput: when it isn't readable, has no pictures, or too large ones.
    """
    from d2m.video.reader import frames, opened, read_info

    info = read_info(path)
    if info.width * info.height > MAX_PIXELS:
        raise BadInput(f"{path}: found pictures of {info.width} × {info.height}, expected at most 4K; make it smaller.")
    times_s: list[float] = []
    with opened(path) as container:
        for count, packet in enumerate(container.demux(container.streams.video[0])):
            if packet.pts is not None and packet.time_base is not None:
                times_s.append(float(packet.pts * packet.time_base))
                if times_s[-1] - times_s[0] > max_seconds:
                    break
            if count > max_seconds * _MAX_FPS:
                return {"seconds": math.inf}
    seconds = max(info.seconds, max(times_s, default=0.0) - min(times_s, default=0.0))
    if MIN_SECONDS <= seconds <= max_seconds:
        from d2m.render.mux import write_timed_video

        _limit_processor_time(CPU_SECONDS + CPU_SECONDS_PER_SECOND * seconds)
        lines = math.ceil(info.height * min(1.0, MAX_LINES / min(info.width, info.height)))
        write_timed_video(frames(path, lines, max_seconds), None, kept_copy(path))
    return {"seconds": seconds}


def _limit_processor_time(seconds: float) -> None:
    with suppress(ImportError):  # not on Windows
        import resource

        resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(seconds), resource.getrlimit(resource.RLIMIT_CPU)[1]))


def _limit_this_process(max_seconds: float) -> None:
    with suppress(ImportError):
        import resource

        at_most = math.ceil(CPU_SECONDS + CPU_SECONDS_PER_SECOND * max_seconds)
        taken = Path("/proc/self/statm")  # Linux only
        pages = int(taken.read_text().split()[0]) if taken.is_file() else 0
        memory = pages * resource.getpagesize() + MEMORY_BYTES
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
        resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, at_most))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


VIDEO_SUFFIXES = (
    ".mp4", ".mov", ".m4v", ".3gp", ".webm", ".mkv", ".avi", ".mpg", ".mpeg", ".ts", ".ogv", ".flv", ".wmv",
)  # fmt: skip
"""Endings of videos that are opened."""

_VIDEO_SIGNATURES = (
    (0, b"\x1a\x45\xdf\xa3"), (0, b"RIFF"), (0, b"\x00\x00\x01\xba"), (0, b"\x00\x00\x01\xb3"), (0, b"G"), (0, b"OggS"),
    (0, b"FLV"), (0, b"\x30\x26\xb2\x75"), (4, b"ftyp"), (4, b"moov"), (4, b"mdat"), (4, b"wide"), (4, b"free"),
    (4, b"skip"),
)  # fmt: skip
"""Offset and first bytes: Matroska and WebM, AVI, MPEG program and elementary streams, transport streams, Ogg, Flash,
ASF, and the boxes with which an mp4 or QuickTime file may begin."""

_PACKET_BYTES = 188
"""A transport stream has the sync byte `G` at every packet."""

_SHOWN_CHARACTERS = 60
_MAX_ANSWER = 2**20
_BUSY = 10
"""A child that waits for others is not hostile: so many seconds may pass for each second of its processor time."""

_OPENING_TIMEOUT_S = _BUSY * CPU_SECONDS


@dataclass(frozen=True)
class UploadLimits:
    """What the page takes.

    Args:
        max_mb: size of the file.
        max_seconds: length of the dance.
    """

    max_mb: float | int = 200
    max_seconds: float | int = 60


@dataclass(frozen=True)
class Upload:
    """A checked upload.

    Args:
        path: what was read of it, under a random name: a film's pictures as `.mp4`, a motion file's dance as `.npz`.
        shown_name: what the user called it, fit to be shown, never a path.
        seconds: length.
        is_motion: a motion file, not a video.
        decisions: what a motion file does not say and was decided, or said by the user.
        person: who is followed in a video, see `d2m.video.video_dance.dance_of_video`.
    """

    path: Path
    shown_name: str
    seconds: float
    is_motion: bool
    decisions: tuple[str, ...] = ()
    person: int | None = None


def shown_name_of(name: str) -> str:
    """The last part of a user's file name, printable and short, with its ending; only for showing."""
    last = name.replace("\\", "/").rsplit("/", 1)[-1]
    printable = "".join(character for character in last if character.isprintable()).strip()
    if len(printable) > _SHOWN_CHARACTERS:  # the ending says what it is
        ending = Path(printable).suffix[:12]
        printable = f"{printable[: _SHOWN_CHARACTERS - len(ending) - 1]}…{ending}"
    return printable or "your file"


def gone(shown: str) -> BadInput:
    """What is said of a file that was removed."""
    return BadInput(f"{shown}: is no longer on the server, as uploads are removed after a while; upload it again.")


def take_in(
    source: Path, folder: Path, limits: UploadLimits, name: str | None = None, said: Mapping[str, Any] | None = None
) -> Upload:
    """Check a file and write what a child process reads of it into `folder` under a random name.

    Args:
        source: where the server has put what was sent.
        folder: of what is kept; made where it doesn't exist.
        limits: of size and length.
        name: what the user called it; None: the name of `source`.
        said: of the file by the user, by the names of `d2m.motion.readers.Hints`; of a video only `person` counts.

    Raises:
        BadInput: one sentence that names the file as the user does.
    """
    from d2m.motion.readers import SUFFIX_LIST, SUFFIXES

    shown = shown_name_of(name or source.name)
    suffix = Path(shown).suffix.lower()
    if suffix not in (*SUFFIXES, *VIDEO_SUFFIXES):
        raise BadInput(
            f"{shown}: found a '{suffix[:12]}' file, expected a video ({', '.join(VIDEO_SUFFIXES[:5])} …) "
            f"or a dance ({SUFFIX_LIST}); convert it to one of these."
        )
    if not source.is_file():
        raise gone(shown)
    size = source.stat().st_size
    if size == 0:
        raise BadInput(f"{shown}: the file is empty (0 bytes); record or export it again.")
    if size > limits.max_mb * 1e6:
        raise BadInput(
            f"{shown}: found {size / 1e6:.0f} MB, expected at most {limits.max_mb:g} MB; cut the clip or make it smaller."
        )
    is_motion = suffix not in VIDEO_SUFFIXES
    if not is_motion and not _begins_like_a_video(source):
        raise BadInput(f"{shown}: is called a video, but its content is none; check that it plays on your computer.")
    folder.mkdir(parents=True, exist_ok=True)
    copy = folder / f"{secrets.token_hex(16)}{suffix}"
    try:
        shutil.copyfile(source, copy)
        answer = _probe(copy, shown, limits.max_seconds, said or {})
        seconds = answer["seconds"]
        _expect_length(shown, seconds, limits.max_seconds)
    except BaseException:
        for left in folder.glob(f"*{copy.stem}*"):
            left.unlink(missing_ok=True)
        raise
    if copy != kept_copy(copy):
        copy.unlink()
    person = (said or {}).get("person") if not is_motion else None
    return Upload(kept_copy(copy), shown, seconds, is_motion, tuple(answer.get("decisions", ())), person)


def _begins_like_a_video(path: Path) -> bool:
    with path.open("rb") as file:
        head = file.read(4 * _PACKET_BYTES)
    found = [(at, signature) for at, signature in _VIDEO_SIGNATURES if head[at : at + len(signature)] == signature]
    if found == [(0, b"G")]:
        return len(head) == 4 * _PACKET_BYTES and head[::_PACKET_BYTES] == b"GGGG"
    return bool(found)


@lru_cache(maxsize=1)
def _loaded() -> BaseContext:
    """Where children come from: a process with what files need, and one thread, as threads take address space."""
    context = process_context("d2m.motion.dance", "d2m.video.reader", "d2m.render.mux")
    threads = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL")}
    before = {name: os.environ.get(name) for name in threads}
    os.environ.update(threads)
    try:
        if context.get_start_method() == "forkserver":
            forkserver.ensure_running()
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
    return context


def _probe(path: Path, shown: str, max_seconds: float | int, said: Mapping[str, Any]) -> dict[str, Any]:
    """What a child process says of the file at `path`, of which it writes what is kept; see `convert_motion`."""
    context = _loaded()
    answers, child_end = context.Pipe(duplex=False)
    arguments = (child_end, path, max_seconds, dict(said))
    child = context.Process(target=_open, args=arguments, daemon=True)  # pyright: ignore[reportAttributeAccessIssue]
    encoding_s = _BUSY * CPU_SECONDS_PER_SECOND * max_seconds if path.suffix in VIDEO_SUFFIXES else 0.0
    child.start()
    child_end.close()
    try:
        answer = json.loads(answers.recv_bytes(_MAX_ANSWER)) if answers.poll(_OPENING_TIMEOUT_S + encoding_s) else None
    except (EOFError, OSError, ValueError):  # it was killed, by its limits or by the file; what it says is not trusted
        answer = None
    finally:
        answers.close()
        child.kill()
        child.join()
    if answer is None:
        raise BadInput(
            f"{shown}: took more memory or time to open than a dance does; do not trust this file, or export it again."
        )
    if "error" in answer:
        raise BadInput(answer["error"].replace(str(path), shown))
    return answer


def _open(answers: Connection, path: Path, max_seconds: float | int, said: Mapping[str, Any]) -> None:
    """What the child does, with no more memory and time than a dance needs, and nothing to print on."""
    _limit_this_process(max_seconds)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(nowhere, stream)
    try:
        is_video = path.suffix in VIDEO_SUFFIXES
        answer = convert_video(path, max_seconds) if is_video else convert_motion(path, max_seconds, said)
    except BadInput as bad_input:
        answer = {"error": str(bad_input)}
    except Exception as unexpected:
        answer = {"error": f"{path}: cannot be read ({type(unexpected).__name__}); export or record it again."}
    answers.send_bytes(json.dumps(answer).encode())


def _expect_length(shown: str, seconds: float, max_seconds: float | int) -> None:
    if seconds < MIN_SECONDS:
        raise BadInput(f"{shown}: found {seconds:.2f} s, expected at least {MIN_SECONDS:g} s; give a longer dance.")
    if seconds > max_seconds:
        raise BadInput(f"{shown}: is longer than the {max_seconds:g} s that this page takes; cut it and try again.")
