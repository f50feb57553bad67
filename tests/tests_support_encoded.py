"""Small encoded data sets made of random numbers."""

from pathlib import Path

import numpy as np

from d2m.data.layout import DataSetLayout
from d2m.data.manifest import LatentManifest

SAMPLE_RATE, HOP_SAMPLES, CHANNELS = 22050, 512, 4
GENRES = ("gBR", "gHO", "gLH")


def sequence_name(number: int) -> str:
    """A name as AIST++ has them, another one for each number."""
    genre = GENRES[number % len(GENRES)]
    return f"{genre}_sBM_cAll_d{number % 30:02d}_m{genre[1:]}{number % 6}_ch{number:07d}"


def write_encoded(
    root: Path, sequences: int, seconds: float = 8.0, splits: tuple[str, ...] = ("train", "val")
) -> list[str]:
    """Features, latents, rhythm curves, manifest and unsorted lists of `sequences` sequences; returns their names in order.

    Each is a little longer than the last one.
    """
    layout, rng, names = DataSetLayout(root), np.random.default_rng(7), []
    for folder in (root / "splits", root / "features", layout.latent_folder("demo"), root / "rhythm" / "demo"):
        folder.mkdir(parents=True)
    latents = []
    for number in rng.permutation(sequences):
        name, length_s = sequence_name(int(number)), seconds + 0.1 * int(number)
        frames, motion_frames = int(length_s * SAMPLE_RATE / HOP_SAMPLES), int(length_s * 60)
        latent = rng.normal(0.2, 0.5, (CHANNELS, frames)).astype(np.float16)
        np.save(layout.features(name), rng.normal(0, 1, (motion_frames, 219)).astype(np.float32))
        np.save(layout.latent(name, "demo"), latent)
        np.save(layout.rhythm(name, "demo"), rng.random((2, frames)).astype(np.float16))
        latents.append(latent.astype(np.float64))
        names.append(name)
    everything = np.concatenate(latents, axis=1)
    scale = (everything.mean(axis=1).tolist(), everything.std(axis=1).tolist())
    manifest = LatentManifest(1, "demo", "0" * 64, SAMPLE_RATE, HOP_SAMPLES, CHANNELS, *scale, sequences)
    manifest.save(layout.latent_folder("demo"))
    for split in splits:
        layout.split_file(split).write_text("\n".join(names) + "\n")
    return names
