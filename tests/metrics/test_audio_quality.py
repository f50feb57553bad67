"""Loudness, clipping, silence, DC, peaks, stereo: known signals have known values, and nothing is ever undefined."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from d2m.core.music import Music
from d2m.metrics.audio_quality import (
    check_audio_quality,
    clipped_share,
    constant_q,
    constant_q_similarity,
    dc_offset,
    loudness_lufs,
    sample_peak_dbfs,
    silent_share,
    stereo_correlation,
    stereo_width,
    true_peak_dbtp,
)

RATE = 48000


def sine(hertz: float, seconds: float = 2.0, amplitude: float = 1.0, phase: float = 0.0) -> np.ndarray:
    times = np.arange(round(seconds * RATE)) / RATE
    return (amplitude * np.sin(2 * np.pi * hertz * times + phase)).astype(np.float32)


def test_loudness_is_calibrated_as_bs1770_says():
    """A 997 Hz sine at full scale in one channel reads -3.01 LKFS; in both, 3.01 more."""
    tone, nothing = sine(997), np.zeros(2 * RATE, np.float32)
    assert loudness_lufs(Music(np.stack([tone, nothing]), RATE)) == pytest.approx(-3.01, abs=0.1)
    assert loudness_lufs(Music(np.stack([tone, tone]), RATE)) == pytest.approx(0.0, abs=0.1)
    assert loudness_lufs(Music(tone[None], RATE), dual_mono=False) == pytest.approx(-3.01, abs=0.1)


def test_loudness_follows_the_gain_and_mono_reads_as_it_plays():
    mono = Music(sine(440)[None], RATE)
    quiet = Music(mono.waveform * 0.1, RATE)
    assert loudness_lufs(mono) - loudness_lufs(quiet) == pytest.approx(20, abs=0.01)
    assert loudness_lufs(mono) == pytest.approx(loudness_lufs(Music(np.repeat(mono.waveform, 2, axis=0), RATE)))


def test_loudness_of_silence_and_of_short_clips_is_defined():
    assert loudness_lufs(Music(np.zeros((2, RATE), np.float32), RATE)) == -70
    assert loudness_lufs(Music(np.full((1, RATE), 1e-6, np.float32), RATE)) == -70
    assert math.isnan(loudness_lufs(Music(sine(440, seconds=0.39)[None], RATE)))
    assert np.isfinite(loudness_lufs(Music(sine(440, seconds=0.4)[None], RATE)))


def test_clipping_needs_three_neighbours_at_full_scale():
    waveform = np.zeros((1, 100), np.float32)
    waveform[0, [10, 20, 21]] = 1
    assert clipped_share(waveform) == 0
    waveform[0, 30:33], waveform[0, 50:54] = 1, -1
    assert clipped_share(waveform) == pytest.approx(7 / 100)
    waveform[0, 60:63] = [1, -1, 1]  # full scale, but no flat top
    assert clipped_share(waveform) == pytest.approx(7 / 100)


def test_an_overdriven_tone_is_clipped_and_a_full_scale_one_is_not():
    assert clipped_share(sine(100)[None]) < 0.03
    assert clipped_share(np.clip(3 * sine(100), -1, 1)[None]) == pytest.approx(
        1 - 2 / np.pi * math.asin(1 / 3), abs=0.01
    )


def test_silence_share_counts_frames():
    waveform = np.zeros((1, RATE), np.float32)
    waveform[0, : RATE // 4] = sine(440, 0.25)
    assert silent_share(Music(waveform, RATE)) == pytest.approx(0.75)
    assert silent_share(Music(waveform * 1e-4, RATE)) == 1


def test_dc_and_stereo():
    left, right = sine(300), sine(300, phase=np.pi / 2)
    assert dc_offset(np.stack([left + 0.25, left])) == pytest.approx(0.25, abs=1e-4)
    assert stereo_correlation(np.stack([left, 0.3 * left + 0.1])) == pytest.approx(1)
    assert stereo_correlation(np.stack([left, -left])) == pytest.approx(-1)
    assert stereo_correlation(np.stack([left, right])) == pytest.approx(0, abs=1e-3)
    assert stereo_correlation(left[None]) == 1 and stereo_correlation(np.zeros((2, 9), np.float32)) == 1
    assert stereo_correlation(np.stack([left, np.zeros_like(left)])) == 0


def test_true_peak_sees_between_the_samples():
    """A quarter-rate sine sampled at 45° has samples at -3.01 dB and peaks at 0 dB."""
    waveform = sine(RATE / 4, phase=np.pi / 4)[None] * 0.5
    assert sample_peak_dbfs(waveform) == pytest.approx(-9.03, abs=0.01)
    assert true_peak_dbtp(waveform) == pytest.approx(-6.02, abs=0.5)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 999), st.integers(1, 3), st.integers(0, 5000), st.sampled_from([0.0, 1e-8, 0.1, 1.0, 3.0]))
def test_every_clip_has_every_number(seed, channels, samples, level):
    waveform = (np.random.default_rng(seed).normal(size=(channels, samples)) * level).astype(np.float32)
    metrics = check_audio_quality(Music(waveform, 8000)).metrics
    assert set(metrics) == {
        "loudness_lufs", "clipped_share", "silent_share", "dc_offset", "stereo_correlation", "sample_peak_dbfs",
        "true_peak_dbtp",
    }  # fmt: skip
    loudness = metrics.pop("loudness_lufs")
    assert math.isnan(loudness) == (samples < 0.4 * 8000) and (math.isnan(loudness) or loudness >= -70)
    assert all(np.isfinite(value) for value in metrics.values())
    assert 0 <= metrics["clipped_share"] <= 1 and 0 <= metrics["silent_share"] <= 1
    assert -1 <= metrics["stereo_correlation"] <= 1 and metrics["true_peak_dbtp"] >= metrics["sample_peak_dbfs"] >= -120


def test_constant_q_tells_semitones() -> None:
    def tone(hz: float, rate: int = 22050) -> Music:
        return Music(0.3 * np.sin(2 * np.pi * hz * np.arange(2 * rate) / rate, dtype=np.float32)[None], rate)

    low = constant_q(tone(65.4))
    assert low.shape[0] == 168 and constant_q_similarity(low, low).whole == pytest.approx(1.0, abs=1e-4)
    same, next_to_it = (constant_q_similarity(low, constant_q(tone(hz))) for hz in (65.4, 69.3))
    assert same.low > 0.999 and next_to_it.low < 0.9 and next_to_it.low < next_to_it.whole + 0.2
    louder = constant_q_similarity(low, 2 * low)
    assert louder.low > 0.95
    assert np.isnan(constant_q_similarity(low, np.zeros_like(low)).low)


def test_stereo_width() -> None:
    left = np.random.default_rng(0).normal(size=1000).astype(np.float32)
    assert stereo_width(left[None]) == 0.0 and stereo_width(np.stack([left, left])) == pytest.approx(0.0, abs=1e-6)
    assert stereo_width(np.stack([left, 0 * left])) == pytest.approx(1.0, abs=1e-5)
    assert stereo_width(np.zeros((2, 0), np.float32)) == 0.0
