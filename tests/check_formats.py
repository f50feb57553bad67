"""Beats read from the same dances written as every layout: `python tests/check_formats.py FOLDER_OF_MOTIONS`, a table in Markdown.

Beside the same motion as an AIST++ pickle: the share of its beats that have one within 20 ms in the other, both ways, and the
largest difference between matched ones. `python tests/check_formats.py --music MOTION`: the music made for one dance in several layouts.
"""

import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from tests_support_formats import FPS, layouts, save

from d2m.motion.dance import Dance, list_dances
from d2m.motion.features import SmplMotion, motion_at
from d2m.motion.readers import Recording, read_recording
from d2m.motion.writers import write_recording
from d2m.pipeline import Dance2Music
from d2m.rhythm.reader import load_reader

MUSIC_OF = ("edge", "amass Z up", "smpl-x 165", "motion-x", "sixes, columns", "wham", "gvhmr", "tram")
READER, NEAR_S = load_reader("rhythm_reader"), 0.02


class Reading:
    """Beats of one dance in several files; features that differ by less than 1e-5 are read once."""

    def __init__(self) -> None:
        self.read: list[tuple[np.ndarray, np.ndarray]] = []

    def beats_s(self, path: Path, hints: dict) -> np.ndarray:
        """Times of the beats read from a file."""
        dance = Dance.load(path, **hints)
        for features, beats in self.read:
            if features.shape == dance.features.shape and np.abs(features - dance.features).max() < 1e-5:
                return beats
        beats = np.array(READER.read(torch.from_numpy(dance.features)).beats().grid.within(dance.seconds))
        self.read.append((dance.features, beats))
        return beats


def at_30_fps(path: Path) -> SmplMotion:
    """A dance at the layouts' rate, its hands straight, as most formats have none."""
    recording = read_recording(path)
    times = np.arange(round(recording.seconds * FPS)) / FPS * recording.fps
    motion = motion_at(recording.motion, times)
    motion.rotations[:, 22:] = np.eye(3)
    return motion


def same_music(path: Path, made: Path) -> dict[str, tuple[float, bool]]:
    """Music of one seed for a dance in several layouts, beside that for its AIST++ pickle.

    Returns:
        Of every layout, the largest difference between samples (full scale is 1), and whether the beats are the same to 1 ms.
    """
    model, motion = Dance2Music.load("demo_fast"), at_30_fps(path)
    true = Dance.load(write_recording(Recording(motion, FPS, ""), made / "dance.pkl"))
    (music, record), found = model.generate(true, seed=0), {}
    written = layouts(motion)
    for name in MUSIC_OF:
        file, content, hints = written[name]
        dance = replace(Dance.load(save(made / file, content), **hints), name=true.name)
        other, its = model.generate(dance, seed=0)
        beats = [np.array(one.as_json()["beats"]["beats_s"]) for one in (record, its)]
        apart = float(np.abs(other.waveform - music.waveform).max())
        found[name] = apart, len(beats[0]) == len(beats[1]) and bool((np.abs(beats[0] - beats[1]) < 1e-3).all())
    return found


def main(folder: str) -> None:
    """Print the table."""
    torch.set_num_threads(1)
    found: dict[str, list[tuple[int, int, float]]] = {}
    paths = list_dances(folder)
    with tempfile.TemporaryDirectory() as made:
        for path in paths:
            motion, reading = at_30_fps(path), Reading()
            true = reading.beats_s(write_recording(Recording(motion, FPS, ""), Path(made) / "true.pkl"), {})
            for name, (file, content, hints) in layouts(motion).items():
                read = reading.beats_s(save(Path(made) / file, content), hints)
                apart = np.abs(true[:, None] - read[None])
                near = int((apart.min(axis=1) < NEAR_S).sum() + (apart.min(axis=0) < NEAR_S).sum())
                worst = float(apart.min(axis=1).max()) * 1000
                found.setdefault(name, []).append((near, len(true) + len(read), worst))
            ends = [rows[-1] for rows in found.values()]
            equal = sum(near for near, _, _ in ends) / sum(count for _, count, _ in ends)
            far = {name: round(rows[-1][2], 1) for name, rows in found.items() if rows[-1][2] > 1}
            told = f"{len(true)} beats, {equal:.1%} equal, more than 1 ms apart: {far or 'none'}"
            print(f"{path.stem}: {told}", file=sys.stderr, flush=True)
    print(
        f"| layout | beats equal within {NEAR_S * 1000:.0f} ms | largest difference (ms), {len(paths)} dances |\n|---|---|---|"
    )
    for name, rows in found.items():
        near, all_beats = sum(row[0] for row in rows), sum(row[1] for row in rows)
        print(f"| {name} | {near / all_beats:.1%} | {max(row[2] for row in rows):.1f} |")


if __name__ == "__main__":
    if sys.argv[1] == "--music":
        with tempfile.TemporaryDirectory() as written:
            for layout, (apart, is_same) in same_music(Path(sys.argv[2]), Path(written)).items():
                print(f"{layout}: samples at most {apart:.2g} apart, {'the same' if is_same else 'other'} beats")
    else:
        main(sys.argv[1])
