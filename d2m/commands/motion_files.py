"""`d2m inspect FILE…` and `d2m convert IN OUT`: what motion files are, and the same dances in another format."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from d2m.core.errors import BadConfig, UserError


def inspect(options: argparse.Namespace) -> int:
    """Tell what files are, a bad one in a sentence; with `figure`, draw the one dance. Returns the exit status."""
    from d2m.motion.dance import list_dances
    from d2m.motion.readers import Hints

    paths = [path for asked in options.files for path in list_dances(asked)]
    if options.figure and len(paths) != 1:
        raise BadConfig(f"--figure {options.figure}: shows one dance, found {len(paths)} files; name one.")
    hints, told = Hints(options.fps, options.up, options.person), list[dict[str, Any]]()
    for path in paths:
        try:
            told.append(described(path, hints))
        except UserError as error:
            told.append({"file": str(path), "error": str(error)})
        if not options.json:
            _print(told[-1])
    if options.json:
        print(json.dumps(told, indent=2, allow_nan=False))
    bad = any("error" in one for one in told)
    if options.figure and not bad:
        _draw(paths[0], hints, options.figure)
    return 2 if bad else 0


def described(path: Path, hints: Any) -> dict[str, Any]:
    """Format, frames, rate (per second), seconds, the file's up axis, the body's height in metres, share of missing frames, decisions.

    The height is that of the skeleton at its tallest: the 95th percentile of highest less lowest joint.

    Raises:
        BadInput: when the file cannot be read, or does not say enough.
    """
    import numpy as np

    from d2m.motion.readers import read_recording
    from d2m.motion.smpl import joint_positions

    recording = read_recording(path, hints)
    heights = joint_positions(recording.motion.rotations, recording.motion.translation)[..., 1]
    return {
        "file": str(path),
        "format": recording.format,
        "frames": len(heights),
        "fps": recording.fps,
        "seconds": round(recording.seconds, 4),
        "up": recording.up,
        "height_m": round(float(np.percentile(np.ptp(heights, axis=1), 95)), 3),
        "missing": round(recording.missing, 4),
        "decisions": list(recording.decisions),
    }


def _print(one: dict[str, Any]) -> None:
    if "error" in one:
        print(f"error: {one['error']}", file=sys.stderr)
        return
    print(
        f"{one['file']}: {one['format']}, {one['frames']} frames at {one['fps']:g} fps, {one['seconds']:.2f} s, "
        f"{one['up'].upper()} up, {one['height_m']:.2f} m tall, {one['missing']:.0%} of the frames missing"
    )
    for decision in one["decisions"]:
        print(f"  {decision}")


def _draw(path: Path, hints: Any, figure: Path) -> None:
    from d2m.motion.dance import Dance
    from d2m.render.plots import dance_pictures, write_poster

    dance = Dance.load(path, hints.fps, hints.up, hints.person)
    write_poster(dance_pictures(dance, dance.name), dance.seconds, figure)


def convert(options: argparse.Namespace) -> int:
    """Write a dance in another format; returns the exit status.

    Raises:
        BadInput: when it cannot be read, or does not say enough.
        BadConfig: for an output that cannot be written.
    """
    from d2m.motion.readers import Hints, read_recording
    from d2m.motion.writers import WRITERS, write_recording

    out = options.out
    if out.suffix.lower() not in WRITERS:
        raise BadConfig(f"{out}: cannot write a '{out.suffix}' motion file, expected {', '.join(WRITERS)}.")
    if out.exists() and (out.is_dir() or (options.source.exists() and out.samefile(options.source))):
        raise BadConfig(f"{out}: is {'a folder' if out.is_dir() else 'the file itself'}; name another output.")
    if out.exists() and not options.force:
        raise BadConfig(f"{out}: exists already; name another output, or say --force to overwrite it.")
    recording = read_recording(options.source, Hints(options.fps, options.up, options.person))
    write_recording(recording, out)
    print(f"{out}: {recording.seconds:.2f} s, from {recording.format}")
    for decision in recording.decisions:
        print(f"  {decision}")
    return 0
