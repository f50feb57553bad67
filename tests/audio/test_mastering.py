"""Generated music is written without distortion: its level and its peaks have bounds, and quiet music is left alone."""

import numpy as np
import pytest

from d2m.audio.mastering import CEILING, LOUDNESS_LUFS, limit, loudness_lufs, playable
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
    assert LOUDNESS_LUFS - 1 < loudness_lufs(both, RATE) < LOUDNESS_LUFS + 0.1
    assert np.corrcoef(written[0], loud[0])[0, 1] > 0.99  # the same music


def test_quiet_music_and_silence_stay_as_they_are() -> None:
    noise = np.float32(0.02) * np.random.default_rng(0).standard_normal((2, RATE)).astype(np.float32)
    for wave in (noise, np.zeros((2, RATE), np.float32), np.zeros((1, 40), np.float32)):
        assert np.array_equal(playable(wave, RATE), wave)
