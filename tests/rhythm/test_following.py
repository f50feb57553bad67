"""The beats to come are predicted from what was read so far."""

import numpy as np
import pytest
from jaxtyping import Float

from d2m.core.errors import BadConfig
from d2m.rhythm.following import BeatFollower, CommittedBeats, Following, Prediction
from d2m.rhythm.reader import READER_FPS


def answers(beats_s: Float[np.ndarray, " beat"], seconds: float, noise: float = 0.7) -> Float[np.ndarray, " frame"]:
    """Log-odds that a reader might give for these beats."""
    at_s = (np.arange(round(seconds * READER_FPS)) + 0.5) / READER_FPS
    nearest = np.abs(at_s[:, None] - beats_s[None]).min(axis=1)
    return -2 + 3 * np.exp(-0.5 * (nearest / 0.04) ** 2) + np.random.default_rng(0).normal(size=len(at_s)) * noise


def followed(follower: BeatFollower, logits: Float[np.ndarray, " frame"], state: Following | None = None) -> list:
    """The prediction after each answer."""
    state, found = state or follower.begin(), []
    for logit in logits:
        state = follower.step(state, float(logit))
        found.append((state, follower.predict(state)))
    return found


def error_s(predicted: Prediction, beats_s: Float[np.ndarray, " beat"]) -> float:
    return float(np.abs(beats_s - predicted.next_s).min())


@pytest.mark.parametrize("bpm", [78, 104, 131, 152])
def test_the_next_beat_is_predicted_after_a_few(bpm: int) -> None:
    beats_s = 0.21 + np.arange(80) * 60 / bpm
    found = followed(BeatFollower(), answers(beats_s, 14))
    late = [one for _, one in found[round(8 * READER_FPS) :]]
    assert np.median([error_s(one, beats_s) for one in late]) < 0.02
    assert 60 / late[-1].period_s == pytest.approx(bpm, rel=0.02)
    assert late[-1].confidence > 0.6 and late[-1].deviation_s < 0.06
    np.testing.assert_allclose(np.diff(late[-1].beats_s(4)), late[-1].period_s)


def test_a_new_tempo_is_followed_within_two_bars() -> None:
    before = np.arange(0, 12, 0.5)
    after = 12 + np.arange(60) * 0.45
    beats_s = np.concatenate([before, after])
    found = [one for _, one in followed(BeatFollower(), answers(beats_s, 22))]
    relocked = found[round((12 + 8 * 0.45) * READER_FPS) :]
    assert np.median([error_s(one, beats_s) for one in relocked]) < 0.05
    assert found[-1].period_s == pytest.approx(0.45, rel=0.03)


def test_stillness_is_bridged_and_says_that_it_is_less_sure() -> None:
    beats_s = np.arange(0, 60, 0.55)
    logits = answers(beats_s, 20)
    logits[round(12 * READER_FPS) : round(16 * READER_FPS)] = -2.0
    found = followed(BeatFollower(), logits)
    sure, unsure = found[round(12 * READER_FPS) - 1][1], found[round(14.5 * READER_FPS)][1]
    assert error_s(unsure, beats_s) < 0.12 and unsure.deviation_s > sure.deviation_s
    assert error_s(found[-1][1], beats_s) < 0.05


def test_a_late_answer_is_taken_back() -> None:
    follower, beats_s = BeatFollower(), np.arange(0, 60, 0.5)
    state = followed(follower, answers(beats_s + 0.1, 10))[-1][0]
    assert error_s(follower.predict(state, delay_s=0.1), beats_s) < 0.02


def test_a_known_tempo_is_kept() -> None:
    beats_s = np.arange(0, 60, 0.5)
    for bpm in (100, 120):
        found = followed(BeatFollower(tempo_bpm=bpm), answers(beats_s, 10))[-1][1]
        assert 60 / found.period_s == pytest.approx(bpm, rel=0.05)
    assert error_s(found, beats_s) < 0.05
    with pytest.raises(BadConfig, match="tempo=300: expected 60 to 200 BPM"):
        BeatFollower(tempo_bpm=300)


def test_committed_beats_never_jump_where_predictions_tremble() -> None:
    rng, beats = np.random.default_rng(0), CommittedBeats.around(Prediction(1.0, 0.5, 0.02, 0.9))
    for now_s in np.arange(1, 20, 0.3):
        next_s = np.ceil(now_s / 0.5) * 0.5 + rng.normal() * 0.02
        beats = beats.until(now_s + 1, Prediction(float(next_s), 0.5, 0.02, 0.9))
    steps_s = np.diff(beats.beats_s)
    assert steps_s.min() > 0.4 and steps_s.max() < 0.6
    grid = beats.grid(4.0, 6.0)
    assert grid.bpm == pytest.approx(120, rel=0.05) and grid.beats_s[0] <= 0 and grid.beats_s[-1] >= 6


def test_committed_beats_go_over_where_predictions_stay_elsewhere() -> None:
    """Half a beat off: after two beats of patience, without a beat too many; an unsure prediction changes nothing."""
    beats = CommittedBeats.around(Prediction(1.0, 0.5, 0.02, 0.9)).until(4.0, Prediction(1.0, 0.5, 0.02, 0.9))
    unsure = beats.until(9.0, Prediction(4.25, 0.5, 0.2, 0.1))
    np.testing.assert_allclose(np.array(unsure.beats_s) % 0.5, 0, atol=1e-9)
    sure = np.array(beats.until(9.0, Prediction(4.25, 0.5, 0.02, 0.9)).beats_s)
    assert np.isclose(sure[-3:] % 0.5, 0.25).all()
    assert np.diff(sure).min() >= 0.25 - 1e-9 and np.diff(sure).max() <= 0.75 + 1e-9


def test_beats_after_what_is_made_are_not_decided_by_it() -> None:
    """What was planned beyond a block leaves no trace; a beat that ought to have been before it comes as soon as it can."""
    beats = CommittedBeats.around(Prediction(1.0, 0.5, 0.02, 0.9)).until(2.8, Prediction(1.0, 0.5, 0.02, 0.9))
    assert beats.beats_s[-1] == 2.5 and beats.until_s == 2.8
    faster = beats.until(3.3, Prediction(2.95, 0.45, 0.02, 0.9))
    np.testing.assert_allclose(faster.beats_s[-1], 2.95)
    assert beats.until(3.0, Prediction(2.7, 0.35, 0.02, 0.9)).beats_s[-1] == 2.8
