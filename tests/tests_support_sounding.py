"""Small data sets of motion and sound made of random numbers: no songs are rendered, so they cost nothing."""

from pathlib import Path

import numpy as np

from d2m.core.music import Music
from d2m.data.layout import DataSetLayout
from d2m.motion.features import rotations_to_features
from d2m.motion.smpl import axis_angle_to_matrix

NAMES = ("gBR_sBM_cAll_d04_mBR0_ch02", "gHO_sBM_cAll_d20_mHO5_ch02", "my_own_dance")


def moving(frames: int, seed: int) -> np.ndarray:
    """Features [time 219] of a body whose joints swing."""
    rng = np.random.default_rng(seed)
    swing = np.sin(np.arange(frames)[:, None, None] / 60 * rng.uniform(2, 9, (24, 3)) + rng.uniform(0, 6, (24, 3)))
    features = rotations_to_features(axis_angle_to_matrix(0.4 * swing), 0.1 * swing[:, 0])
    return np.asarray(features, np.float32)


def write_sounding(root: Path, seconds: tuple[float, ...] = (3.0, 4.0, 5.0), sample_rate: int = 8000) -> DataSetLayout:
    """Features, wavs and beats of up to three sequences, all of them in every split; the last one has no AIST++ name."""
    layout = DataSetLayout(root)
    for folder in ("features", "wavs", "beats", "splits", "frames"):
        (root / folder).mkdir(parents=True)
    names = NAMES[: len(seconds)]
    for number, (name, length_s) in enumerate(zip(names, seconds, strict=True)):
        np.save(layout.features(name), moving(round(length_s * 60), number))
        time_s = np.arange(round(length_s * sample_rate)) / sample_rate
        beats_s = np.arange(0.25, length_s, 0.5)
        clicks = sum(np.exp(-60 * (time_s - at)) * (time_s >= at) for at in beats_s)
        wave = 0.5 * np.sin(2 * np.pi * (220 + 110 * number) * time_s) * clicks
        Music(wave[None].astype(np.float32), sample_rate).save(layout.wav(name))
        np.savetxt(layout.beats(name), beats_s)
    for split in ("train", "val"):
        layout.split_file(split).write_text("\n".join(names) + "\n")
    return layout
