"""Metrics in seconds: identical 1, disjoint 0, empty defined, beyond the tolerance 0, invalid raises."""

import numpy as np
import pytest

from d2m.metrics.alignment import SIGMA_S, alignment
from d2m.metrics.beats import (
    TOLERANCES_S,
    beat_f,
    beat_scores,
    compare_tempo,
    fit_tempo_bpm,
    interval_deviation_ms,
    onset_f,
)
from d2m.metrics.intervals import bootstrap_mean
from d2m.metrics.protocols import D2MD_TOLERANCE_S, d2md

BEATS_S = np.arange(0.25, 6.0, 0.5)
NONE = np.zeros(0)


@pytest.mark.parametrize("tolerance_s", TOLERANCES_S)
def test_beat_f_identical_disjoint_empty_and_shifted(tolerance_s):
    assert beat_f(BEATS_S, BEATS_S, tolerance_s) == 1.0
    assert beat_f(BEATS_S, BEATS_S + 0.25, tolerance_s) == 0.0
    assert beat_f(BEATS_S, BEATS_S + tolerance_s - 0.002, tolerance_s) == 1.0
    assert beat_f(BEATS_S, BEATS_S + tolerance_s + 0.002, tolerance_s) == 0.0
    assert (
        beat_f(BEATS_S, NONE, tolerance_s) == beat_f(NONE, BEATS_S, tolerance_s) == beat_f(NONE, NONE, tolerance_s) == 0
    )


def test_beats_before_five_seconds_count():
    assert beat_f(BEATS_S[:4], BEATS_S[:4]) == 1.0


def test_matching_is_one_to_one():
    twice = np.sort(np.concatenate([BEATS_S, BEATS_S + 0.01]))
    score = beat_scores(BEATS_S, twice, 0.07)
    assert (score.recall, score.precision) == (1.0, 0.5)
    assert score.f == pytest.approx(2 / 3)
    half = beat_scores(BEATS_S, BEATS_S[::2], 0.07)
    assert (half.recall, half.precision) == (0.5, 1.0)


@pytest.mark.parametrize(
    "bad", [np.array([1.0, np.nan]), np.array([1.0, np.inf]), np.array([2.0, 1.0]), np.array([-0.1, 1.0])]
)
@pytest.mark.parametrize("metric", [beat_f, onset_f, d2md, alignment])
def test_improper_times_raise(metric, bad):
    with pytest.raises(ValueError):
        metric(BEATS_S, bad)
    with pytest.raises(ValueError):
        metric(bad, BEATS_S)


@pytest.mark.parametrize("tolerance_s", [0.0, -0.07, float("nan")])
def test_improper_tolerance_raises(tolerance_s):
    with pytest.raises(ValueError):
        beat_f(BEATS_S, BEATS_S, tolerance_s)


def test_onset_f_is_strict_to_50_ms():
    assert onset_f(BEATS_S, BEATS_S + 0.049) == 1.0
    assert onset_f(BEATS_S, BEATS_S + 0.051) == 0.0
    assert onset_f(NONE, BEATS_S) == 0.0


@pytest.mark.parametrize("bpm", [87.0, 113.0, 127.0])
def test_tempo_survives_frames_missed_beats_and_a_stray_one(bpm):
    beats_s = np.arange(0.2, 8.0, 60 / bpm)
    frames_s = np.round(beats_s * 22050 / 512) * 512 / 22050
    with_gap = np.delete(frames_s, 4)
    assert fit_tempo_bpm(frames_s) == pytest.approx(bpm, rel=0.01)
    assert fit_tempo_bpm(with_gap) == pytest.approx(bpm, rel=0.01)
    stray = np.sort(np.append(frames_s, frames_s[6] + 0.02))
    assert fit_tempo_bpm(stray) == pytest.approx(bpm, rel=0.02)


def test_tempo_is_not_bent_by_the_last_two_beats():
    beats_s = np.concatenate([np.arange(10) * 0.75, 9 * 0.75 + np.array([0.604, 1.208])])
    assert fit_tempo_bpm(beats_s) == pytest.approx(80, rel=0.005)


def test_tempo_of_too_few_beats_is_none_and_wrong():
    assert fit_tempo_bpm(BEATS_S[:2]) is None
    assert compare_tempo(120, None) == compare_tempo(120, 100)
    assert not compare_tempo(120, None).within


def test_tempo_verdict_keeps_octaves_apart():
    assert compare_tempo(120, 122).within and not compare_tempo(120, 123).within
    for bpm in (60.0, 240.0, 61.0):
        assert compare_tempo(120, bpm).octave_error and not compare_tempo(120, bpm).within
    assert not compare_tempo(120, 90).octave_error
    with pytest.raises(ValueError):
        compare_tempo(0, 120)


def test_alignment_reads_density_both_ways():
    assert alignment(BEATS_S, BEATS_S).over_motion == alignment(BEATS_S, BEATS_S).over_music == 1.0
    dense = np.arange(0, 6, 0.125)
    assert alignment(BEATS_S, dense).over_motion == 1.0 > alignment(BEATS_S, dense).over_music
    sparse = BEATS_S[:1]
    assert alignment(BEATS_S, sparse).over_music == 1.0 > alignment(BEATS_S, sparse).over_motion
    assert alignment(BEATS_S, NONE).over_motion == alignment(NONE, BEATS_S).over_music == 0.0


def test_alignment_is_a_gaussian_of_three_frames():
    assert pytest.approx(0.05) == SIGMA_S
    assert alignment(np.array([1.0]), np.array([1.05])).over_motion == pytest.approx(np.exp(-0.5))


def test_d2md_counts_all_pairs_and_can_exceed_one():
    same = d2md(BEATS_S, BEATS_S)
    assert (same.coverage, same.hit) == (1.0, 1.0)
    twice = d2md(BEATS_S, np.sort(np.concatenate([BEATS_S, BEATS_S + 0.1])))
    assert (twice.coverage, twice.hit) == (2.0, 2.0)
    frame_s = D2MD_TOLERANCE_S / 5
    five, six = d2md(BEATS_S, BEATS_S + 5 * frame_s), d2md(BEATS_S, BEATS_S + 6 * frame_s)
    assert (five.hit, six.hit) == (1.0, 0.0)
    assert d2md(BEATS_S, NONE).coverage == 0.0
    assert np.isnan(d2md(NONE, BEATS_S).coverage)


def test_bootstrap_resamples_songs_not_clips():
    values = np.repeat([0.0, 1.0, 0.5, 0.25], 50)
    songs = np.repeat(["a", "b", "c", "d"], 50).tolist()
    by_song = bootstrap_mean(values, songs)
    by_clip = bootstrap_mean(values, [str(i) for i in range(200)])
    assert by_song.mean == by_clip.mean == pytest.approx(0.4375)
    assert by_song.high - by_song.low > 3 * (by_clip.high - by_clip.low)
    assert by_song == bootstrap_mean(values, songs)
    graded = np.linspace(0, 1, 200)
    names = [str(i % 40) for i in range(200)]
    assert bootstrap_mean(graded, names).low != bootstrap_mean(graded, names, seed=1).low


def test_bootstrap_covers_the_mean_of_known_data():
    rng = np.random.default_rng(0)
    interval = bootstrap_mean(rng.normal(size=400), [str(i) for i in range(400)])
    half_width = (interval.high - interval.low) / 2
    assert half_width == pytest.approx(1.96 / 20, rel=0.15)


def test_bootstrap_leaves_out_what_was_not_measured():
    interval = bootstrap_mean(np.array([0.2, np.nan, 0.4]), ["a", "b", "c"])
    assert (interval.mean, interval.clips, interval.songs) == (pytest.approx(0.3), 2, 2)
    nothing = bootstrap_mean(np.array([np.nan]), ["a"])
    assert nothing.mean is None and nothing.low is None
    one_song = bootstrap_mean(np.array([0.2, 0.4]), ["a", "a"])
    assert one_song.mean == pytest.approx(0.3) and one_song.low is None
    with pytest.raises(ValueError):
        bootstrap_mean(np.array([0.2]), [])


def test_times_that_are_no_beats_have_no_tempo():
    assert fit_tempo_bpm(np.array([0.0, 5e-324, 1e-310, 1.0])) is None


def test_related_tempi_are_those_of_the_metrical_levels():
    for factor in (1, 2, 1 / 2, 3, 1 / 3, 3 / 2, 2 / 3):
        assert compare_tempo(120, 120 * factor * 1.039).related and not compare_tempo(120, 120 * factor * 1.045).related
    assert not compare_tempo(120, 150).related and not compare_tempo(120, None).related


def test_interval_deviation_is_that_of_the_beats_and_not_of_missed_or_stray_ones():
    rng = np.random.default_rng(0)
    jitter_s = rng.normal(0, 0.01, 840)
    beats_s = 1 + np.arange(840) * 0.5  # seven minutes
    assert interval_deviation_ms(beats_s) == pytest.approx(0, abs=1e-6)
    assert interval_deviation_ms(beats_s + jitter_s) == pytest.approx(14.1, abs=1.0)  # two beats bound an interval
    assert interval_deviation_ms(np.delete(beats_s, [5, 6, 100])) == pytest.approx(0, abs=1e-6)
    assert interval_deviation_ms(np.sort(np.append(beats_s, 60.1))) == pytest.approx(0, abs=1e-6)
    assert np.isnan(interval_deviation_ms(beats_s[:2]))
