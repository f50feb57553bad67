"""Beats found in curves of beat probabilities: exact where these are, steady, and honest where there are none."""

import numpy as np
import pytest

from d2m.core.errors import BadConfig
from d2m.rhythm.grid import BeatGrid, beat_curve
from d2m.rhythm.tracking import LEAST_CONFIDENCE, TempoPrior, track_beats

RATE = 30.0


def nearest_s(found: np.ndarray, true: np.ndarray) -> np.ndarray:
    return np.abs(found[:, None] - true[None]).min(axis=1)


@pytest.mark.parametrize("bpm", [70, 85.5, 100, 120, 140, 163])
@pytest.mark.parametrize("phase", [0.0, 0.37, 0.8])
@pytest.mark.parametrize("rate", [30.0, 43.066])
def test_a_clear_curve_gives_its_beats(bpm: float, phase: float, rate: float) -> None:
    true, seconds = BeatGrid.regular(bpm, phase * 60 / bpm, 12), 12
    read = track_beats(true.curve(int(seconds * rate), rate), rate)
    assert read.grid.bpm == pytest.approx(bpm, rel=0.005)
    found_s = read.grid.within(seconds)
    inside_s = found_s[(found_s > 0.5) & (found_s < seconds - 0.5)]  # the outermost bumps may be cut in two
    assert nearest_s(inside_s, true.beats_s).max() < 0.01 and nearest_s(found_s, true.beats_s).max() < 0.02
    assert abs(len(found_s) - len(true.within(seconds))) <= 1
    assert read.confidence > 0.7 and read.frame_rate == rate


def test_beats_are_found_in_noise() -> None:
    rng = np.random.default_rng(0)
    true = BeatGrid.regular(108, 0.2, 20)
    curve = 0.35 * true.curve(600, RATE) + 0.3 * rng.random(600)
    curve[(np.arange(600) // 90) % 4 == 2] = 0.2  # and of three seconds in twelve nothing is known
    read = track_beats(curve, RATE)
    assert read.grid.bpm == pytest.approx(108, rel=0.01)
    assert np.median(nearest_s(read.grid.within(20), true.beats_s)) < 0.02


def test_slow_drift_is_followed() -> None:
    intervals_s = 0.5 * 1.1 ** np.linspace(0, 1, 120)  # 10 % slower within a minute
    true_s = np.cumsum(intervals_s)
    seconds = true_s[-1]
    read = track_beats(beat_curve(true_s, int(seconds * RATE), RATE), RATE)
    found_s = read.grid.within(seconds)
    assert np.quantile(nearest_s(found_s, true_s), 0.95) < 0.02 and abs(len(found_s) - len(true_s)) <= 2
    assert np.median(np.diff(found_s)[-20:]) == pytest.approx(np.median(intervals_s[-20:]), rel=0.01)


@pytest.mark.parametrize("level", [0.0, 0.2, 1.0])
@pytest.mark.parametrize("frames", [30, 60, 400])
def test_nothing_to_read_gives_the_prior(level: float, frames: int) -> None:
    read = track_beats(np.full(frames, level), RATE)
    assert read.confidence < LEAST_CONFIDENCE / 10
    assert read.grid.bpm == pytest.approx(TempoPrior().centre_bpm, rel=0.08)
    assert read.grid.beats_s[0] <= 0 and read.grid.beats_s[-1] >= frames / RATE


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("frames", [1, 2, 20, 31, 150])
def test_any_curve_gives_beats_over_all_of_it(frames: int, seed: int) -> None:
    curve = np.random.default_rng(seed).random(frames) ** (3 * seed)
    read = track_beats(curve, RATE)
    seconds = frames / RATE
    for grid in (read.grid, *(one.grid for one in read.alternatives)):
        assert grid.beats_s[0] <= 0 and grid.beats_s[-1] >= seconds and 40 <= grid.bpm <= 240
    assert 0 <= read.confidence <= 1


def test_alternatives_are_what_a_person_would_try_the_best_first() -> None:
    read = track_beats(BeatGrid.regular(100, 0.3, 15).curve(450, RATE), RATE)
    by_name = {one.name: one for one in read.alternatives}
    assert set(by_name) == {"half", "half_shifted", "double", "shifted"}
    scores = [one.score for one in read.alternatives]
    assert scores == sorted(scores, reverse=True) and read.score > scores[0]
    for name, factor in (("half", 0.5), ("half_shifted", 0.5), ("double", 2), ("shifted", 1)):
        assert by_name[name].grid.bpm == pytest.approx(100 * factor, rel=0.01)
    assert nearest_s(by_name["shifted"].grid.within(15), read.grid.beats_s).min() > 0.25
    assert nearest_s(by_name["half"].grid.within(15), read.grid.beats_s).max() < 0.02
    assert nearest_s(by_name["half"].grid.within(15), by_name["half_shifted"].grid.beats_s).min() > 0.5
    assert read.alternatives[-1].name == "shifted"  # all of its beats lie where none can be


def test_of_the_halves_the_one_on_the_stronger_beats_comes_first() -> None:
    strong = BeatGrid.regular(50, 0.3, 15)
    read = track_beats(0.3 * BeatGrid.regular(100, 0.3, 15).curve(450, RATE) + 0.6 * strong.curve(450, RATE), RATE)
    first, other = (one.grid for one in read.alternatives if one.name.startswith("half"))
    assert nearest_s(first.within(15), strong.beats_s).max() < 0.02
    assert nearest_s(other.within(15), strong.beats_s).min() > 0.5


@pytest.mark.parametrize("bpm", [60, 93, 118, 200])
def test_a_tempo_that_is_told_is_kept_at_the_best_phase(bpm: float) -> None:
    true = BeatGrid.regular(bpm, 0.13, 10)
    read = track_beats(true.curve(300, RATE), RATE, bpm)
    assert read.grid.bpm == pytest.approx(bpm, rel=1e-6)
    assert nearest_s(read.grid.within(10), true.beats_s).max() < 0.01
    other = track_beats(BeatGrid.regular(100, 0.3, 10).curve(300, RATE), RATE, bpm).grid  # the curve has another
    np.testing.assert_allclose(np.diff(other.beats_s), 60 / bpm, rtol=1e-6)


@pytest.mark.parametrize("bpm", [39.9, 240.1, float("nan")])
def test_a_tempo_that_is_none_is_refused(bpm: float) -> None:
    with pytest.raises(BadConfig, match="expected 40 to 240 BPM"):
        track_beats(np.ones(100), RATE, bpm)


def test_seven_minutes_stay_steady() -> None:
    rng, seconds = np.random.default_rng(1), 420
    true = BeatGrid.regular(112, 0.2, seconds)
    late_s = true.beats_s + rng.normal(0, 0.02, len(true.beats_s))  # a dancer's own unsteadiness
    curve = 0.6 * beat_curve(late_s, int(seconds * RATE), RATE) + 0.2 * rng.random(int(seconds * RATE))
    found_s = track_beats(curve, RATE).grid.within(seconds)
    assert abs(len(found_s) - len(true.within(seconds))) <= 1
    assert nearest_s(found_s, true.beats_s).max() < 0.06 and nearest_s(found_s, true.beats_s).mean() < 0.01
    assert np.diff(found_s).std() < 0.01
