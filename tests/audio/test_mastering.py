"""Generated music is written without distortion: its level and its peaks have bounds, and quiet music is left alone."""

import tracemalloc

import numpy as np
import pytest

from d2m.audio.mastering import CEILING, LOUDNESS_LUFS, integrated_lufs, limit, playable
from d2m.metrics.audio_quality import clipped_share

RATE = 22050


def test_the_limiter_keeps_peaks_between_samples_and_leaves_quiet_music_alone() -> None:
    time_s = np.arange(RATE) / RATE
    loud = np.stack([1.3 * np.sin(2 * np.pi * RATE / 4 * time_s + np.pi / 4)] * 2).astype(
        np.float32
    )  # peaks lie between samples
    limited = limit(loud, RATE)
    assert np.abs(limited).max() < 0.75 * CEILING
    quiet = 0.1 * loud
    assert np.array_equal(limit(quiet, RATE), quiet)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("gain", [0.9, 4.0])
def test_loud_music_comes_out_at_the_level_and_unclipped(channels: int, gain: float) -> None:
    time_s = np.arange(4 * RATE) / RATE
    beats = np.exp(-12 * (time_s % 0.5)) * np.sin(2 * np.pi * 90 * time_s) + 0.3 * np.sin(2 * np.pi * 440 * time_s)
    loud = np.float32(gain) * np.stack([beats] * channels).astype(np.float32)
    assert clipped_share(loud.clip(-1, 1)) > 0.001 or gain < 1
    written = playable(loud, RATE)
    assert written.shape == loud.shape and written.dtype == np.float32
    assert np.abs(written).max() <= CEILING + 1e-4 and clipped_share(written) == 0
    both = np.repeat(written, 2, axis=0)[:2]
    assert LOUDNESS_LUFS - 1 < integrated_lufs(both, RATE) < LOUDNESS_LUFS + 0.1
    assert np.corrcoef(written[0], loud[0])[0, 1] > 0.99  # the same music


def test_a_long_piece_is_limited_as_if_it_were_looked_at_as_a_whole() -> None:
    rate, random = 8000, np.random.default_rng(0)
    wave = (0.03 * random.standard_normal((2, 150 * rate))).astype(np.float32)
    wave[:, random.integers(0, 150 * rate, 400)] = 2.0
    edges = 60 * rate // 128 * 128 * np.arange(1, 3)
    wave[:, np.concatenate([edges - 3, edges + 2])] = 2.0
    written = playable(wave, rate)
    assert np.allclose(written, limit(wave, rate), atol=1e-6) and np.abs(written).max() <= CEILING + 1e-4


def test_a_long_piece_takes_little_memory() -> None:
    """Beyond the copy that comes out."""
    wave = np.tile(np.sin(np.arange(200 * RATE, dtype=np.float32) / 9), (2, 1))
    tracemalloc.start()
    playable(wave, RATE)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < wave.nbytes + 70e6


def test_quiet_music_and_silence_stay_as_they_are() -> None:
    noise = np.float32(0.02) * np.random.default_rng(0).standard_normal((2, RATE)).astype(np.float32)
    for wave in (noise, np.zeros((2, RATE), np.float32), np.zeros((1, 40), np.float32)):
        assert np.array_equal(playable(wave, RATE), wave)
