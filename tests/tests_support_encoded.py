"""Encoded data sets made of random numbers: small whole ones, and the index alone of one with a million sequences.

`python tests/tests_support_encoded.py 1000000` measures how long the data module takes to start on such an index, and what
memory that needs.
"""

import dataclasses
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from d2m.data.datamodule import PairedWindows
from d2m.data.index import INDEX_DTYPE, LatentManifest, index_row, write_index
from d2m.data.layout import DataSetLayout

SAMPLE_RATE, HOP_SAMPLES, CHANNELS = 22050, 512, 4
GENRES = ("gBR", "gHO", "gLH")


def sequence_name(number: int) -> str:
    """A name as AIST++ has them, another one for each number."""
    genre = GENRES[number % len(GENRES)]
    return f"{genre}_sBM_cAll_d{number % 30:02d}_m{genre[1:]}{number % 6}_ch{number:07d}"


def write_encoded(
    root: Path, sequences: int, seconds: float = 8.0, splits: tuple[str, ...] = ("train", "val")
) -> list[str]:
    """Features, latents, rhythm curves, index, manifest and lists of `sequences` sequences; returns their names in order.

    Each is a little longer than the last one. The lists are not sorted, as the index is.
    """
    layout, rng, names = DataSetLayout(root), np.random.default_rng(7), []
    for folder in (root / "splits", root / "features", layout.latent_folder("demo"), root / "rhythm" / "demo"):
        folder.mkdir(parents=True)
    rows, latents = [], []
    for number in rng.permutation(sequences):
        name, length_s = sequence_name(int(number)), seconds + 0.1 * int(number)
        frames, motion_frames = int(length_s * SAMPLE_RATE / HOP_SAMPLES), int(length_s * 60)
        latent = rng.normal(0.2, 0.5, (CHANNELS, frames)).astype(np.float16)
        np.save(layout.features(name), rng.normal(0, 1, (motion_frames, 219)).astype(np.float32))
        np.save(layout.latent(name, "demo"), latent)
        np.save(layout.rhythm(name, "demo"), rng.random((2, frames)).astype(np.float16))
        rows.append(index_row(name, motion_frames, frames))
        latents.append(latent.astype(np.float64))
        names.append(name)
    everything = np.concatenate(latents, axis=1)
    _write_lists(layout, np.array(rows, INDEX_DTYPE), everything.mean(axis=1), everything.std(axis=1))
    for split in splits:
        layout.split_file(split).write_text("\n".join(names) + "\n")
    return names


def write_index_alone(root: Path, sequences: int) -> None:
    """Index, manifest and lists of `sequences` sequences without their files; 100 of them are for validation."""
    layout = DataSetLayout(root)
    for folder in (root / "splits", layout.latent_folder("demo")):
        folder.mkdir(parents=True)
    names = [sequence_name(number) for number in np.random.default_rng(0).permutation(sequences).tolist()]
    rows = np.zeros(sequences, INDEX_DTYPE)
    rows["name"], rows["motion_frames"], rows["latent_frames"], rows["genre"] = names, 720, 516, 3
    _write_lists(layout, rows, np.zeros(CHANNELS), np.ones(CHANNELS))
    layout.split_file("train").write_text("\n".join(names[:-100]) + "\n")
    layout.split_file("val").write_text("\n".join(names[-100:]) + "\n")
    (root / "ignore_list.txt").write_text("\n".join(names[:10]) + "\n")


def _write_lists(layout: DataSetLayout, rows: np.ndarray, mean: np.ndarray, std: np.ndarray) -> None:
    folder = layout.latent_folder("demo")
    write_index(folder, rows)
    scale = (mean.tolist(), std.tolist())
    LatentManifest(1, "demo", "0" * 64, SAMPLE_RATE, HOP_SAMPLES, CHANNELS, *scale, len(rows)).save(folder)


def resident_bytes(kind: str = "VmRSS") -> int:
    """Memory of this process that lies in RAM (Linux); `VmHWM` is its largest value, `RssAnon` leaves mapped files out."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{kind}:")) * 1024


@dataclass(frozen=True)
class StartUp:
    """What starting cost: seconds, of them at work, and bytes by which memory grew, for good and at its highest."""

    took_s: float
    cpu_s: float
    kept_bytes: int
    peak_bytes: int


def start_up(root: Path) -> StartUp:
    """Run the data module's `setup` on mapped clips."""
    data = PairedWindows(str(root), "demo", SAMPLE_RATE, HOP_SAMPLES, in_memory=False)
    Path("/proc/self/clear_refs").write_text("5")  # the highest memory is counted from here
    before, start_s, start_cpu_s = resident_bytes(), time.perf_counter(), time.process_time()
    data.setup("fit")
    took_s, cpu_s = time.perf_counter() - start_s, time.process_time() - start_cpu_s
    return StartUp(took_s, cpu_s, resident_bytes() - before, resident_bytes("VmHWM") - before)


if __name__ == "__main__":
    if sys.argv[1] == "once":
        print(*dataclasses.astuple(start_up(Path(sys.argv[2]))))
        sys.exit()
    with tempfile.TemporaryDirectory() as folder:
        write_index_alone(Path(folder) / "data", int(sys.argv[1]))
        command = [sys.executable, __file__, "once", f"{folder}/data"]
        runs = [[float(n) for n in subprocess.check_output(command, text=True).split()] for _ in range(3)]
    took_s, cpu_s, kept, peak = (statistics.median(column) for column in zip(*runs, strict=True))
    print(
        f"{sys.argv[1]} sequences: setup {took_s:.2f} s (runs {', '.join(f'{run[0]:.2f}' for run in runs)}), CPU {cpu_s:.2f} s"
    )
    print(
        f"memory grows by {kept / 2**20:.1f} MiB, at most by {peak / 2**20:.1f} MiB, pages of the mapped index included"
    )
