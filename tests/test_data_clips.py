"""Encoding and windows: motion, latent and rhythm are cut on one clock."""

from pathlib import Path

import numpy as np
import pytest
import torch

from d2m.audio.dmae_weights import load_dmae
from d2m.clock import Clock
from d2m.data.clips import ClipWindows, load_clip
from d2m.data.encoding import beat_activation, encode_data_set
from d2m.data.layout import DataSetLayout
from d2m.errors import BadInput

CLOCK = Clock(22050, 512)


@pytest.fixture(scope="module")
def encoded(two_clips: Path) -> DataSetLayout:
    layout = DataSetLayout(two_clips)
    summary = encode_data_set(layout, layout.names("train"), load_dmae("demo"))
    assert (summary.made + summary.found, summary.failed) == (2, {})
    return layout


def test_a_second_run_finds_everything_made(encoded: DataSetLayout) -> None:
    summary = encode_data_set(encoded, encoded.names("train"), load_dmae("demo"))
    assert (summary.made, summary.found) == (0, 2)


def test_beat_activation_peaks_on_beats() -> None:
    activation = beat_activation(np.array([1.0, 2.0]), 200, CLOCK)
    times = (np.arange(200) + 0.5) / CLOCK.latent_rate
    assert activation[np.abs(times - 1.0).argmin()] > 0.9 and activation[np.abs(times - 1.5).argmin()] < 1e-3


def test_window_is_cut_on_one_clock(encoded: DataSetLayout) -> None:
    windows = ClipWindows(encoded, encoded.names("train"), "demo", CLOCK)
    clip = windows.clips[0]
    row = windows.window(clip, 43)
    assert torch.equal(row["latent"], torch.from_numpy(clip.latent[:, 43 : 43 + 256]))
    assert torch.equal(row["rhythm"], torch.from_numpy(clip.rhythm[:, 43 : 43 + 256]))
    start = CLOCK.latent_frames_to_motion_frames(43)  # 0.998 s, frame 60
    assert start == 60 and torch.equal(row["features"], torch.from_numpy(clip.features[60 : 60 + 356]))


def test_random_windows_stay_inside(encoded: DataSetLayout) -> None:
    windows = ClipWindows(encoded, encoded.names("train"), "demo", CLOCK, length=40)
    for index in range(len(windows)):
        row = windows[index]
        assert row["features"].shape == (356, 219) and row["latent"].shape == (32, 256)


def test_missing_latent_says_what_to_do(two_clips: Path) -> None:
    with pytest.raises(BadInput, match=r"run scripts/encode\.py"):
        load_clip(DataSetLayout(two_clips), "gBR_sBM_cAll_d04_mBR0_ch02", "nobody")


def test_missing_split_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"run scripts/prepare\.py"):
        DataSetLayout(tmp_path).names("train")
