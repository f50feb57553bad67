"""Beats of music are heard where they are; the alignment of a take is the published one."""

import numpy as np
import pytest

from d2m.core.music import Music
from d2m.metrics.alignment import alignment
from d2m.metrics.beat_tracker import heard_tempo_bpm, music_beats_s


def test_clicks_are_heard():
    rate, wave = 22050, np.zeros((1, 22050 * 8), np.float32)
    for second in np.arange(0.25, 8, 0.5):
        start = round(second * rate)
        wave[0, start : start + 400] = np.random.default_rng(0).normal(0, 0.3, 400)
    beats_s = music_beats_s(Music(wave, rate))
    assert len(beats_s) >= 14
    assert np.abs((beats_s - 0.25 + 0.25) % 0.5 - 0.25).max() < 0.06
    assert heard_tempo_bpm(beats_s) == pytest.approx(120, rel=0.03)


def test_silence_has_no_beats():
    assert music_beats_s(Music(np.zeros((1, 22050), np.float32), 22050)).size == 0
    assert heard_tempo_bpm(np.array([1.0, 2.0])) is None


def test_alignment_of_the_same_beats_and_of_none():
    beats_s = np.arange(5) / 2
    assert alignment(beats_s, beats_s).harmonic == pytest.approx(1)
    assert alignment(beats_s, beats_s + 0.25).harmonic < 1e-5
    assert alignment(beats_s, np.zeros(0)).harmonic == alignment(np.zeros(0), beats_s).harmonic == 0
