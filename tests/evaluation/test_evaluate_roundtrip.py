"""A round trip is as long as what went in, mono or stereo, and repeats with its seed."""

import numpy as np
import pytest
import torch

from d2m.audio.autoencoder import DMAE, mel_encoder
from d2m.core.errors import BadConfig
from d2m.core.music import Music
from d2m.evaluation.runs import round_trip, round_trip_folder


def tiny_dmae(in_channels: int) -> DMAE:
    torch.manual_seed(0)
    encoder = mel_encoder(
        22050, in_channels=in_channels, channels=16, multipliers=[1, 1], factors=[2], num_blocks=[1],
        out_channels=4, mel_channels=16,
    )  # fmt: skip
    return DMAE(
        "tiny", 22050, in_channels, encoder, filters=8, window_length=64, stride=32, channels=[8] * 5,
        factors=[1, 2, 2, 2, 2], items=[1] * 5, inject_depth=4, modulation_features=16,
    ).eval()  # fmt: skip


@pytest.mark.parametrize(("in_channels", "channels"), [(1, 2), (2, 1), (2, 2)])
def test_length_rate_and_seed(in_channels, channels):
    waveform = np.random.default_rng(0).normal(size=(channels, 20001)).astype(np.float32) * 0.1
    dmae = tiny_dmae(in_channels)
    again = [round_trip(Music(waveform, 22050), dmae, steps=1, seed=seed) for seed in (0, 0, 1)]
    assert again[0].waveform.shape == (in_channels, 20001) and again[0].sample_rate == 22050
    assert np.array_equal(again[0].waveform, again[1].waveform)
    assert not np.array_equal(again[0].waveform, again[2].waveform)
    with pytest.raises(BadConfig, match="unknown decoder"):
        round_trip(Music(waveform, 22050), dmae, decoder="magic")


def test_folder_gets_one_file_for_each_paired_reference(tmp_path):
    music = Music(np.random.default_rng(0).normal(size=(1, 12000)).astype(np.float32) * 0.1, 22050)
    for path in ("generated/a_seed0.wav", "generated/a_seed1.wav", "generated/c.wav", "wavs/a.wav", "wavs/b.wav"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        music.save(tmp_path / path)
    (tmp_path / "wavs" / "c.wav").write_bytes(b"junk")
    out = round_trip_folder(tiny_dmae(1), tmp_path / "generated", tmp_path / "wavs", tmp_path / "out", "diffusion")
    assert [path.name for path in out.iterdir()] == ["a.wav"]
