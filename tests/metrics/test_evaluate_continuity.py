"""Continuity and drift of beats on lists whose answers are known."""

import numpy as np
import pytest

from d2m.metrics.beats import FEWEST_BEATS, Continuity, beat_drift, continuity

REFERENCE_S = np.arange(0.3, 60, 0.5)
NOTHING = Continuity(0.0, 0.0, 0.0, 0.0)


def test_same_beats_are_continuous_from_the_first_on():
    assert continuity(REFERENCE_S, REFERENCE_S) == Continuity(1.0, 1.0, 1.0, 1.0)
    assert continuity(REFERENCE_S[:8], REFERENCE_S[:8]).cml_t == 1.0  # all before 5 s


def test_half_tempo_and_off_beat_are_right_at_another_level_only():
    for other_s in (REFERENCE_S[::2], REFERENCE_S[:-1] + 0.25):
        score = continuity(REFERENCE_S, other_s)
        assert score.cml_t == score.cml_c == 0 and score.aml_t >= 0.95


def test_one_stumble_breaks_the_stretch_but_not_the_total():
    stumbled_s = REFERENCE_S.copy()
    stumbled_s[60] += 0.2
    score = continuity(REFERENCE_S, stumbled_s)
    assert score.cml_c == pytest.approx(0.5, abs=0.02) and score.cml_t >= 0.97


def test_too_few_beats_have_no_continuity():
    assert continuity(REFERENCE_S, REFERENCE_S[:1]) == continuity(np.zeros(0), REFERENCE_S) == NOTHING
    assert continuity(np.array([1.0, 1.0]), REFERENCE_S) == NOTHING
    with pytest.raises(ValueError):
        continuity(REFERENCE_S, REFERENCE_S[::-1])


@pytest.mark.parametrize("ms_per_second", [-12.0, -1.0, 0.0, 0.5, 3.0, 20.0])
def test_drift_is_told_in_sign_and_size(ms_per_second):
    drifting_s = 0.3 + (REFERENCE_S - 0.3) * (1 + ms_per_second / 1000)
    drift = beat_drift(REFERENCE_S, drifting_s)
    assert drift.ms_per_second == pytest.approx(ms_per_second, rel=0.03, abs=0.001)  # per second of either list
    assert drift.coherence > 0.999


def test_drift_unwraps_past_whole_beats():
    drifting_s = REFERENCE_S * 1.03  # 1.8 s late at the end, more than three beats
    assert beat_drift(REFERENCE_S, drifting_s).ms_per_second == pytest.approx(30, rel=0.05)


def test_drift_survives_other_levels_jitter_missing_and_stray_beats():
    rng = np.random.default_rng(0)
    drifting_s = 0.3 + (REFERENCE_S - 0.3) * 1.004
    jittered_s = np.sort(np.round(drifting_s * 22050 / 512) * 512 / 22050 + rng.normal(0, 0.01, drifting_s.size))
    for beats_s in (
        drifting_s[::2],
        np.sort(np.concatenate([drifting_s, drifting_s + 0.251])),
        jittered_s,
        np.delete(drifting_s, rng.choice(drifting_s.size, 30, replace=False)),
        np.sort(np.concatenate([drifting_s, rng.uniform(0, 60, 12)])),
    ):
        assert beat_drift(REFERENCE_S, beats_s).ms_per_second == pytest.approx(4, abs=0.4)


def test_constant_lateness_is_offset_and_no_drift():
    drift = beat_drift(REFERENCE_S, REFERENCE_S + 0.06)
    assert drift.offset_ms == pytest.approx(60) and drift.ms_per_second == pytest.approx(0, abs=1e-6)
    assert beat_drift(REFERENCE_S, REFERENCE_S - 0.06).offset_ms == pytest.approx(-60)


def test_drift_of_few_or_unrelated_beats_is_not_measured():
    assert np.isnan(beat_drift(REFERENCE_S, REFERENCE_S[: FEWEST_BEATS - 1]).ms_per_second)
    assert np.isnan(beat_drift(np.zeros(0), REFERENCE_S).ms_per_second)
    apart = beat_drift(REFERENCE_S, REFERENCE_S + 100)
    assert np.isnan(apart.offset_ms) and apart.beats == 0
    noise_s = np.sort(np.random.default_rng(1).uniform(0, 60, 120))
    unrelated = beat_drift(REFERENCE_S, noise_s)
    assert np.isnan(unrelated.ms_per_second) and unrelated.coherence < 0.5
    with pytest.raises(ValueError):
        beat_drift(REFERENCE_S, np.array([np.nan]))
