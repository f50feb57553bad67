"""Beats on given times, attacks kept, stereo kept; phrases that begin again."""

import numpy as np
import pytest
from tests_support_songs import drummed

from d2m.metrics.beats import onset_f
from d2m.songs.listening import attacks_s
from d2m.songs.warp import HOP_SAMPLES, Stretch, TimeMap, laid, warped

RATE = 44100
SONG = drummed(110, 14, rate=RATE)
BEATS_S = 0.3 + np.arange(14) * 60 / 110


def test_without_stretching_it_is_the_song():
    same = warped(SONG.waveform, RATE, TimeMap(BEATS_S, BEATS_S), 0.0, 4.0)
    assert np.abs(same - SONG.waveform[:, : 4 * RATE]).max() < 1e-3


@pytest.mark.parametrize("share", [1 / 1.12, 1.12])
def test_attacks_fall_where_they_are_to_and_stay_sharp(share):
    wanted_s = BEATS_S * share
    made = laid(SONG.waveform, RATE, [Stretch(wanted_s, BEATS_S)], float(wanted_s[-1]))
    before, after = attacks_s(SONG.waveform.mean(axis=0), RATE), attacks_s(made.mean(axis=0), RATE)
    inside = wanted_s[(wanted_s < wanted_s[-1] - 0.6)]
    assert np.abs(after[0][:, None] - inside[None]).min(axis=0).max() < 0.006
    strong = before[0][before[0] * share < wanted_s[-1] - 0.6]
    assert onset_f(strong * share, after[0][after[0] < wanted_s[-1] - 0.6], 0.02) > 0.95
    assert np.median(after[1]) > 0.9 * np.median(before[1])


def test_beats_of_an_uneven_grid_are_followed():
    wanted_s = np.cumsum(60 / 110 * (1 + 0.08 * np.sin(np.arange(14))))
    made = laid(SONG.waveform, RATE, [Stretch(wanted_s, BEATS_S)], float(wanted_s[-1]))
    after = attacks_s(made.mean(axis=0), RATE)[0]
    assert np.abs(after[:, None] - wanted_s[None, :-2]).min(axis=0).max() < 0.008


def test_stereo_stays():
    left_only = SONG.waveform * np.array([[1.0], [0.25]], np.float32)
    made = warped(left_only, RATE, TimeMap(BEATS_S * 1.1, BEATS_S), 0.0, 5.0)
    assert made.shape == (2, 5 * RATE)
    for pair in (left_only[:, : 4 * RATE], made):
        share = float(pair[0] @ pair[1] / (pair[0] @ pair[0]))
        assert share == pytest.approx(float(left_only[0] @ left_only[1] / (left_only[0] @ left_only[0])), rel=0.1)


def test_map_spares_attacks_and_keeps_its_ends():
    attacks = np.array([[1.0, 1.01, 2.0], [1.0, 3.0, 2.0]])
    spared = TimeMap(np.array([0.0, 5.5]), np.array([0.0, 5.0])).sparing(attacks, 0.02)
    for attack_s in (1.01, 2.0):
        assert np.diff(spared(attack_s * 1.1 + np.array([-0.019, 0.0, 0.019]))) == pytest.approx(0.019)
    assert spared(np.array([0.0, 5.5])) == pytest.approx([0.0, 5.0])
    assert (np.diff(spared.source_s) > 0).all() and (np.diff(spared.out_s) > 0).all()


def test_phrases_begin_again_without_a_gap_and_ends_are_faded():
    phrase = BEATS_S[:9]
    first = Stretch(np.arange(8) * 0.6, phrase[:8])
    again = Stretch(8 * 0.6 + np.arange(5) * 0.6, phrase[:5])
    made = laid(SONG.waveform, RATE, [first, again], 7.2)
    assert made.shape == (2, round(7.2 * RATE)) and np.abs(made).max() <= 1
    after = attacks_s(made.mean(axis=0), RATE)[0]
    assert np.abs(after[:, None] - np.arange(1, 11) * 0.6).min(axis=0).max() < 0.01
    level = np.sqrt(np.square(made).mean(axis=0)[: 7 * RATE].reshape(-1, RATE // 10).mean(axis=1))
    assert level[:-4].min() > 0.1 * np.median(level)
    assert np.abs(made[:, -1]).max() < 1e-3 and np.abs(made[:, 0]).max() < 1e-3


def test_song_that_ends_is_followed_by_silence():
    made = warped(SONG.waveform[:, :RATE], RATE, TimeMap(BEATS_S, BEATS_S), 0.0, 3.0)
    assert made.shape == (2, 3 * RATE) and np.abs(made[:, RATE + 4 * HOP_SAMPLES :]).max() == 0
