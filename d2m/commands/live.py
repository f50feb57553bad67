"""`d2m live`: music while somebody dances."""

import argparse
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from d2m.core.errors import BadConfig, BadInput

_SAY_EVERY_S, _SHORTEST_S, _LONGEST_S = 0.5, 5.0, 3600.0


def live(options: argparse.Namespace) -> None:
    """Follow a camera or a file, play or record the music or report how it goes.

    The code of a genre typed on a terminal holds from the next block on. What was recorded before a device went away is kept.

    Raises:
        BadInput: when there is no such file or camera, or a device goes away.
        BadConfig: when nothing could be heard, or the record exists.
    """
    from d2m.motion.readers import SUFFIXES

    is_film = options.file is not None and options.file.suffix.lower() not in SUFFIXES
    if options.file is not None and not options.file.is_file():
        raise BadInput(f"--file {options.file}: no such file; give a film or a motion file.")
    if options.virtual and options.file is None:
        raise BadConfig("--virtual: a camera shows what goes on now; give --file, or leave it out.")
    record = options.record
    if record is not None and record.suffix.lower() not in (".wav", ".mp4"):
        raise BadConfig(f"--record {record}: expected .wav or .mp4.")
    if record is not None and record.suffix.lower() == ".mp4" and options.file is not None and not is_film:
        raise BadConfig(f"--record {record}: a motion file has no pictures; record a .wav.")
    if record is not None and record.exists() and not options.force:
        raise BadConfig(f"--record {record}: exists; give another name, or --force.")
    report: Path | None = options.report
    if report is not None and options.file is None:
        raise BadConfig(f"--report {report}: is made of a file, on virtual time; give --file in place of --camera.")
    if report is not None and record is not None:
        raise BadConfig(f"--report {report}: keeps no sound; leave --record out, or record without a report.")
    if not _SHORTEST_S <= options.seconds <= _LONGEST_S:
        raise BadConfig(f"--seconds {options.seconds:g}: expected {_SHORTEST_S:g} to {_LONGEST_S:g}.")
    if options.virtual and record is None and report is None:
        raise BadConfig("--virtual: nothing would be heard; add --record FILE.wav, or --report DIR.")
    player = None if options.virtual or report is not None else _sound_card()
    if player is None and record is None and report is None:
        raise BadConfig(
            "no loudspeaker can be used: pip install 'd2m[live]' (sounddevice, with the system's PortAudio), or add --record FILE.wav."
        )

    from d2m.live.blocks import BlockGenerator
    from d2m.live.performance import Live
    from d2m.live.report import TimedLive, write_report
    from d2m.live.session import Sight, of_camera, of_dance, of_film, play_in_real_time, play_virtually
    from d2m.motion.dance import Dance
    from d2m.pipeline import Dance2Music
    from d2m.rhythm.causal_reader import load_causal_reader

    generator = BlockGenerator(Dance2Music.load(options.checkpoint), seed=options.seed, key=options.key)
    settings = (generator, load_causal_reader(options.reader), options.genre, options.tempo, options.shift)
    if report is not None:
        file = Path(str(options.file))
        dance = None if is_film else Dance.load(file)

        def danced() -> Iterator[Sight]:
            return of_film(file, options.pose_model) if dance is None else of_dance(dance)

        print(write_report(TimedLive(*settings), danced, options.seconds, report))
        return
    performer = Live(*settings)
    started_s = None
    if options.file is None:
        started_s = time.monotonic()
        source = of_camera(options.camera, options.pose_model, started_s)
    elif is_film:
        source = of_film(options.file, options.pose_model)
    else:
        source = of_dance(Dance.load(options.file))
    said_s = [0.0]

    def told(status: str) -> None:
        if time.monotonic() - said_s[0] > _SAY_EVERY_S:
            said_s[0] = time.monotonic()
            print(f"\r{status:<120}", end="", file=sys.stderr, flush=True)

    if not options.virtual and sys.stdin is not None and sys.stdin.isatty():
        threading.Thread(target=choose_typed, args=(sys.stdin, performer), daemon=True, name="d2m-keyboard").start()

    keep = record is not None and record.suffix.lower() == ".mp4"
    with ExitStack() as stack:
        stack.callback(print, file=sys.stderr)
        if options.virtual:
            recording = play_virtually(performer, source, keep, told)
        else:
            recording = play_in_real_time(performer, source, player, keep, record is not None, told, started_s)
    if record is not None and recording.sounds:
        recording.save(record)
        print(f"{record}: {recording.music().seconds:.1f} s, {len(recording.as_json()['beats']['beats_s'])} beats")
    if recording.ended_by:
        raise recording.ended_by


def choose_typed(lines: Iterable[str], live: Any) -> None:
    """Change the genre of a `d2m.live.performance.Live` to each code that is typed; an empty line: as read."""
    for line in lines:
        try:
            live.choose_genre(line.strip() or None)
        except BadConfig as error:
            print(error, file=sys.stderr)


def _sound_card() -> Any:
    """The module sounddevice with a device to play on; None where there is none."""
    with suppress(ImportError, OSError):  # without PortAudio it raises OSError
        import sounddevice

        with suppress(Exception):
            sounddevice.check_output_settings()
            return sounddevice
    return None
