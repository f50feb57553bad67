"""Properties of the metrics that hold for any list of times."""

from dataclasses import astuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from d2m.metrics.alignment import alignment
from d2m.metrics.beats import (
    TOLERANCES_S,
    beat_drift,
    beat_f,
    beat_scores,
    compare_tempo,
    continuity,
    fit_tempo_bpm,
    onset_f,
)
from d2m.metrics.protocols import ProtocolEvents, d2md, d2mgan, inversion, loris, score_protocols, summarize_clips

SECONDS = 6.0
quick = settings(max_examples=60, deadline=None)


def times(fewest: int = 0) -> st.SearchStrategy[np.ndarray]:
    """Rising event times within six seconds."""
    moment = st.floats(0, SECONDS - 0.001, allow_nan=False)
    return st.lists(moment, min_size=fewest, max_size=25, unique=True).map(lambda found: np.array(sorted(found), float))


def pulses() -> st.SearchStrategy[np.ndarray]:
    """A steady beat between 50 and 140 BPM with any phase."""
    return st.tuples(st.floats(0.43, 1.2), st.floats(0, 0.999)).map(
        lambda drawn: np.arange(drawn[0] * drawn[1], SECONDS, drawn[0])
    )


@quick
@given(times(fewest=1))
def test_identical_lists_are_perfect(events_s):
    assert all(beat_f(events_s, events_s, tolerance_s) == 1 for tolerance_s in TOLERANCES_S)
    assert onset_f(events_s, events_s) == 1
    assert astuple(alignment(events_s, events_s)) == (1, 1, 1)
    assert astuple(d2mgan(events_s, events_s, SECONDS)) == (1, 1)
    assert astuple(loris(events_s, events_s, SECONDS, SECONDS)) == (1, 1)
    assert astuple(inversion(events_s, events_s, SECONDS, 120, 120)) == (1, 1, 1, 0)
    assert d2md(events_s, events_s).coverage == 1 and d2md(events_s, events_s).hit >= 1


@quick
@given(times(), times(), st.sampled_from(TOLERANCES_S))
def test_f_is_symmetric_and_precision_is_the_other_ways_recall(first_s, second_s, tolerance_s):
    there, back = beat_scores(first_s, second_s, tolerance_s), beat_scores(second_s, first_s, tolerance_s)
    assert there.f == pytest.approx(back.f)
    assert (there.precision, there.recall) == (back.recall, back.precision)
    assert inversion(first_s, second_s, SECONDS, 120, 120).f1 == inversion(second_s, first_s, SECONDS, 120, 120).f1


@quick
@given(pulses(), st.sampled_from(TOLERANCES_S))
def test_a_shift_within_the_tolerance_is_forgiven_and_one_beyond_it_is_not(beats_s, tolerance_s):
    assert beat_f(beats_s, beats_s + 0.98 * tolerance_s, tolerance_s) == 1
    assert beat_f(beats_s, beats_s + 1.02 * tolerance_s, tolerance_s) == 0
    assert onset_f(beats_s, beats_s + 0.051) == 0


@quick
@given(times(), times())
def test_scores_stay_in_range(reference_s, generated_s):
    scores = [
        *astuple(beat_scores(reference_s, generated_s)),
        *astuple(alignment(reference_s, generated_s)),
        *astuple(continuity(reference_s, generated_s)),
        *astuple(loris(reference_s, generated_s, SECONDS, SECONDS)),
        *astuple(inversion(reference_s, generated_s, SECONDS, 120, 120))[:3],
    ]
    assert all(0 <= score <= 1 for score in scores)
    binned = d2mgan(reference_s, generated_s, SECONDS)
    assert np.isnan(binned.hit) if reference_s.size == 0 else 0 <= binned.hit <= min(1, binned.coverage)
    drift = beat_drift(reference_s, generated_s)
    assert np.isnan(drift.coherence) or 0 <= drift.coherence <= 1 + 1e-9


@quick
@given(times(), times())
def test_wider_tolerances_never_score_less(reference_s, generated_s):
    by_tolerance = [beat_f(reference_s, generated_s, tolerance_s) for tolerance_s in TOLERANCES_S]
    assert by_tolerance == sorted(by_tolerance)


@quick
@given(st.lists(st.tuples(times(), times()), min_size=1, max_size=6), st.randoms())
def test_the_order_of_clips_changes_nothing(pairs, random):
    clips = [
        score_protocols(*(ProtocolEvents.of_times(events_s, SECONDS) for events_s in (reference_s, generated_s)))
        for reference_s, generated_s in pairs
    ]
    shuffled = list(clips)
    random.shuffle(shuffled)
    before, after = summarize_clips(clips), summarize_clips(shuffled)
    for name, columns in before.items():
        for column, value in columns.items():
            assert after[name][column] == pytest.approx(value, nan_ok=True), (name, column)


@quick
@given(pulses())
def test_tempo_and_its_octaves(beats_s):
    bpm = fit_tempo_bpm(beats_s)
    assert bpm is not None and bpm == pytest.approx(60 / np.diff(beats_s).mean(), rel=1e-6)
    assert compare_tempo(bpm, bpm * 1.019).within and not compare_tempo(bpm, bpm * 1.021).within
    assert compare_tempo(bpm, 2 * bpm).octave_error and compare_tempo(bpm, bpm / 2).octave_error


@quick
@given(times(fewest=1), times(fewest=1))
def test_alignment_turns_round_with_its_arguments(motion_s, music_s):
    there, back = alignment(motion_s, music_s), alignment(music_s, motion_s)
    assert (there.over_motion, there.over_music) == (back.over_music, back.over_motion)
    low, high = sorted((there.over_motion, there.over_music))
    assert low - 1e-12 <= there.harmonic <= high + 1e-12
