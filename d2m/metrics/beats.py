"""Beat scores: reference and estimated beats are matched one to one, in seconds, and nothing is trimmed.

The F-measure is that of Dixon (2001) and Davies, Degara & Plumbley (2009), counted by mir_eval (Raffel et al., 2014).
`mir_eval.beat.evaluate` drops everything before 5 s, which leaves almost nothing of a 6 s clip, so only its matching is
used here.

Conventions: times are sorted, finite and not negative; when either list is empty, all scores are 0 (as in mir_eval).
"""

from dataclasses import dataclass
from pathlib import Path

import mir_eval
import numpy as np
from jaxtyping import Float

from d2m.core.errors import BadInput

TOLERANCES_S = (0.05, 0.07, 0.1, 0.2)
"""Half widths of the matching window that every report prints; 0.07 is the headline."""

LONGEST_BEATS_S = 3600
SLOWEST_INTERVAL_S = 30
"""A beat list beyond either is not in seconds; taken as seconds it would be scored over hours, in gigabytes of memory."""


@dataclass(frozen=True)
class MatchScore:
    """Precision, recall and F-measure of matched events, each in [0, 1]."""

    precision: float
    recall: float
    f: float


def checked_times(times_s: Float[np.ndarray, " event"], what: str = "times") -> Float[np.ndarray, " event"]:
    """`times_s` as float64, when they are a proper list of event times.

    Raises:
        ValueError: when they are not one-dimensional, finite, non-negative and sorted.
    """
    times_s = np.asarray(times_s, dtype=np.float64)
    if times_s.ndim != 1:
        raise ValueError(f"{what} must be one-dimensional, found shape {times_s.shape}.")
    if not np.isfinite(times_s).all():
        raise ValueError(f"{what} must be finite, found NaN or infinity.")
    if times_s.size and times_s.min() < 0:
        raise ValueError(f"{what} must not be negative, found {times_s.min()} s.")
    if (np.diff(times_s) < 0).any():
        raise ValueError(f"{what} must be sorted.")
    return times_s


def load_beats_s(path: Path) -> Float[np.ndarray, " beat"]:
    """Read a beat list: one time in seconds a line, first column (mir_eval's layout); `#` starts a comment.

    Raises:
        BadInput: when the file is empty, not numbers, negative, not finite, not sorted, or cannot be in seconds: longer
            than an hour or with half of the beats over `SLOWEST_INTERVAL_S` apart, as a list in milliseconds is.
    """
    try:
        lines = [line.split("#")[0].replace(",", " ").split() for line in path.read_text().splitlines()]
        times_s = checked_times(np.array([float(line[0]) for line in lines if line], dtype=np.float64), "beats")
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise BadInput(f"{path}: not a beat list ({error}); write one time in seconds on each line.") from error
    if times_s.size == 0:
        raise BadInput(f"{path}: found no beats, expected one time in seconds on each line; write at least one.")
    interval_s = float(np.median(np.diff(times_s))) if times_s.size > 1 else 0.0
    if times_s[-1] > LONGEST_BEATS_S or interval_s > SLOWEST_INTERVAL_S:
        raise BadInput(
            f"{path}: found a last beat at {times_s[-1]:g} and an interval of {interval_s:g}, expected seconds (at most"
            f" {LONGEST_BEATS_S} in all, {SLOWEST_INTERVAL_S} between beats); these look like milliseconds: divide by 1000."
        )
    return times_s


def match_events(
    reference_s: Float[np.ndarray, " reference"], estimated_s: Float[np.ndarray, " estimated"], tolerance_s: float
) -> MatchScore:
    """Largest one-to-one matching of events that lie within `tolerance_s` of each other.

    Args:
        reference_s: true times in seconds.
        estimated_s: judged times in seconds.
        tolerance_s: largest distance in seconds at which two events match.

    Raises:
        ValueError: for improper times, or a tolerance that is not positive.
    """
    reference_s = checked_times(reference_s, "reference times")
    estimated_s = checked_times(estimated_s, "estimated times")
    if not (np.isfinite(tolerance_s) and tolerance_s > 0):
        raise ValueError(f"tolerance_s must be positive, found {tolerance_s}.")
    if reference_s.size == 0 or estimated_s.size == 0:
        return MatchScore(0.0, 0.0, 0.0)
    matched = len(mir_eval.util.match_events(reference_s, estimated_s, tolerance_s))
    precision, recall = matched / len(estimated_s), matched / len(reference_s)
    f = 2 * precision * recall / (precision + recall) if matched else 0.0
    return MatchScore(precision, recall, f)


def beat_scores(
    reference_s: Float[np.ndarray, " reference"],
    estimated_s: Float[np.ndarray, " estimated"],
    tolerance_s: float | int = 0.07,
) -> MatchScore:
    """Precision, recall and F-measure of beats within ±`tolerance_s`; see `match_events`."""
    return match_events(reference_s, estimated_s, tolerance_s)


def beat_f(
    reference_s: Float[np.ndarray, " reference"],
    estimated_s: Float[np.ndarray, " estimated"],
    tolerance_s: float | int = 0.07,
) -> float:
    """One-to-one beat F-measure within ±`tolerance_s`, the headline score; see `match_events`."""
    return match_events(reference_s, estimated_s, tolerance_s).f


def harmonic_mean(first: float, second: float) -> float:
    """2ab / (a + b), and 0 where both are 0."""
    return 2 * first * second / (first + second) if first + second > 0 else 0.0


# Onset F-measure (MIREX, as in mir_eval): one-to-one within ±50 ms. It sees the drum pattern, which beat F does not.


ONSET_TOLERANCE_S = 0.05


def onset_f(
    reference_s: Float[np.ndarray, " reference"],
    estimated_s: Float[np.ndarray, " estimated"],
    tolerance_s: float | int = ONSET_TOLERANCE_S,
) -> float:
    """F-measure of onsets matched one to one within ±`tolerance_s`; 0 when either list is empty.

    Raises:
        ValueError: for improper times, or a tolerance that is not positive.
    """
    return match_events(reference_s, estimated_s, tolerance_s).f


# Continuity (Hainsworth 2004; Klapuri, Eronen & Astola 2006; Davies, Degara & Plumbley 2009) as mir_eval counts it: a beat is right when it lies within 17.5 % of the interval of a reference beat and its own interval differs
# by less than 17.5 %. CML asks for the reference's metrical level, AML also allows the off-beat, half and double tempo;
# `_c` is the longest unbroken stretch, `_t` the total, each as a share of the longer of the two lists.
#
# mir_eval's own `evaluate` drops beats before 5 s; nothing is trimmed here.


@dataclass(frozen=True)
class Continuity:
    """Correct (`cml`) and any (`aml`) metrical level, longest stretch (`_c`) and total (`_t`), each in [0, 1]."""

    cml_c: float
    cml_t: float
    aml_c: float
    aml_t: float


def continuity(
    reference_s: Float[np.ndarray, " reference"], estimated_s: Float[np.ndarray, " estimated"]
) -> Continuity:
    """Continuity of estimated beats; all 0 when either list has fewer than two different times (as in mir_eval).

    Raises:
        ValueError: for improper times.
    """
    reference_s = np.unique(checked_times(reference_s, "reference times"))
    estimated_s = np.unique(checked_times(estimated_s, "estimated times"))
    if min(reference_s.size, estimated_s.size) < 2:
        return Continuity(0.0, 0.0, 0.0, 0.0)
    return Continuity(*(float(score) for score in mir_eval.beat.continuity(reference_s, estimated_s)))


# Beat-phase drift, in ms per second: a piece that is a fifth of a percent too slow sounds right anywhere and is a whole beat
# late after some minutes. The phases of one beat list in the other are unwrapped by the slope that gathers them best (the
# maximum of a periodogram: Rife & Boorstyn, 1974); the median of all pairwise slopes (Theil 1950; Sen 1968) is the drift.
# Missing, stray and doubled beats are outliers to both steps.


FEWEST_BEATS = 6
"""With fewer beats to compare there is no drift to speak of."""

LEAST_COHERENCE = 0.5
"""Below this the beats follow no common line: the drift is not measured."""

_MOST_PHASES = 1000
"""Longer lists are thinned to about this many, because the pairs of slopes grow with the square."""


@dataclass(frozen=True)
class Drift:
    """Slide of the generated beats against the reference's; NaN where it cannot be told.

    Args:
        ms_per_second: positive when the generated music falls behind.
        offset_ms: how late it is halfway, within half a period of the denser list.
        coherence: length of the mean phase vector around the line, 1 for beats that follow it exactly; below
            `LEAST_COHERENCE` the two lists have too little to do with each other, and the others are NaN.
        beats: beats compared; below `FEWEST_BEATS` the others are NaN.
    """

    ms_per_second: float
    offset_ms: float
    coherence: float
    beats: int


def beat_drift(reference_s: Float[np.ndarray, " reference"], generated_s: Float[np.ndarray, " generated"]) -> Drift:
    """Drift of generated beats against reference beats.

    The sparser list is read in the denser one, so that half and double tempo do no harm. Slopes of up to half a period
    per beat of the sparser list can be told; a tempo that is wrong by more is no drift, and the coherence stays high
    only where the beats still lock in some ratio.

    Args:
        reference_s: beat times of the reference, in seconds.
        generated_s: beat times of the generated music, in seconds.

    Raises:
        ValueError: for improper times.
    """
    reference_s = np.unique(checked_times(reference_s, "reference times"))
    generated_s = np.unique(checked_times(generated_s, "generated times"))
    if min(reference_s.size, generated_s.size) < FEWEST_BEATS:
        return Drift(float("nan"), float("nan"), float("nan"), 0)
    swapped = np.median(np.diff(generated_s)) < np.median(np.diff(reference_s))
    sparse_s, dense_s = (reference_s, generated_s) if swapped else (generated_s, reference_s)
    inside = (sparse_s >= dense_s[0]) & (sparse_s <= dense_s[-1])
    at_s = sparse_s[inside]
    if at_s.size < FEWEST_BEATS:
        return Drift(float("nan"), float("nan"), float("nan"), int(at_s.size))
    beats = int(at_s.size)
    at_s = at_s[:: -(-at_s.size // _MOST_PHASES)]
    period_s = float(np.median(np.diff(dense_s)))
    phases = np.interp(at_s, dense_s, np.arange(dense_s.size)) % 1
    slope, start, coherence = _phase_line(at_s - at_s.mean(), phases, float(np.median(np.diff(sparse_s))))
    if coherence < LEAST_COHERENCE:
        return Drift(float("nan"), float("nan"), coherence, beats)
    late = -1 if swapped else 1  # the phase is that of the sparser list, which is the reference when swapped
    return Drift(
        ms_per_second=late * 1000 * period_s * slope,
        offset_ms=late * 1000 * period_s * start,
        coherence=coherence,
        beats=beats,
    )


def _phase_line(
    at_s: Float[np.ndarray, " beat"], phases: Float[np.ndarray, " beat"], interval_s: float
) -> tuple[float, float, float]:
    """Slope (periods per second), phase at 0 s in [-0.5, 0.5), and coherence of a line through circular phases."""
    length_s = float(np.ptp(at_s))
    steps = int(np.ceil(0.5 / interval_s * 8 * length_s))
    slopes = np.arange(-steps, steps + 1) / (8 * length_s)
    slopes = slopes[np.argsort(np.abs(slopes), kind="stable")]  # of equal slopes the least
    vectors = np.exp(2j * np.pi * phases)
    gathered = np.concatenate(
        [np.abs(np.exp(-2j * np.pi * np.outer(part, at_s)) @ vectors) for part in np.array_split(slopes, 64)]
    )
    slope = float(slopes[int(np.argmax(np.round(gathered, 9)))])
    mean_vector = np.mean(vectors * np.exp(-2j * np.pi * slope * at_s))
    centre = float(np.angle(mean_vector)) / (2 * np.pi)
    around = (phases - centre - slope * at_s + 0.5) % 1 - 0.5
    rest, start = _median_line(at_s, around)
    left = around - start - rest * at_s
    coherence = float(np.abs(np.mean(np.exp(2j * np.pi * left))))
    return slope + rest, (centre + start + 0.5) % 1 - 0.5, coherence


# Tempo of beat times, how steady they are, and whether the tempo is right within 2 %.
#
# A line fitted through the beat times knows the period to a few tenths of a percent, a tracker's autocorrelation only to 5 %.
# Trackers bend the first and last beats of a clip, hence a robust line (Theil 1950; Sen 1968). Octave errors (half or
# double tempo) are counted apart and never as correct (accuracy 1 of Gouyon et al., 2006); a tempo that is related is on one
# of the metrical levels that a listener may tap, within 4 % (their accuracy 2, with 3/2 and 2/3 for swing and waltz added).


TEMPO_TOLERANCE = 0.02
"""Relative deviation that still counts as the same tempo."""

OCTAVES = (0.5, 2.0)

METRICAL_FACTORS = (1.0, 2.0, 1 / 2, 3.0, 1 / 3, 3 / 2, 2 / 3)
"""Times the true tempo: what counts as related to it."""

RELATED_TOLERANCE = 0.04
"""Relative deviation from one of these that still counts."""

_NEAR_S = 0.03
"""Beats this near the line are always kept: a little more than one frame of the tracker."""

_SHORTEST_INTERVAL_S = 1e-3
"""Times that are nearer than this, in the median, are no beats and have no tempo."""

_NEAR_DEVIATIONS = 3.7
"""Median absolute deviations still kept: 2.5 standard deviations of a normal distribution."""


@dataclass(frozen=True)
class TempoVerdict:
    """Whether an estimated tempo is right, wrong by half or double, or right up to one of `METRICAL_FACTORS`."""

    within: bool
    octave_error: bool
    related: bool


def fit_tempo_bpm(beats_s: Float[np.ndarray, " beat"]) -> float | None:
    """Tempo in BPM of a line through numbered beat times; None for fewer than three beats, or intervals under a millisecond.

    Beats are numbered by rounding the time since the last numbered beat to whole median intervals: a missed beat skips
    a number, and a stray one less than half an interval later gets none. The line is the median of the slopes between
    all pairs of beats; least squares over the beats near it then refine it.

    Raises:
        ValueError: for improper times.
    """
    beats_s = np.unique(checked_times(beats_s, "beat times"))
    if len(beats_s) < 3:
        return None
    interval_s = float(np.median(np.diff(beats_s)))
    if interval_s < _SHORTEST_INTERVAL_S:
        return None
    numbers, kept_s = _numbered(beats_s, interval_s)
    if len(kept_s) < 3:
        return None
    period_s, start_s = _median_line(numbers, kept_s)
    residual_s = np.abs(kept_s - start_s - period_s * numbers)
    near = residual_s <= max(_NEAR_S, _NEAR_DEVIATIONS * float(np.median(residual_s)))
    if near.sum() >= 3:
        period_s, start_s = np.polyfit(numbers[near], kept_s[near], 1)
    return float(60 / period_s)


def _median_line(at: Float[np.ndarray, " point"], values: Float[np.ndarray, " point"]) -> tuple[float, float]:
    """Slope, the median of those between all pairs of points, and intercept (Theil 1950; Sen 1968)."""
    first, second = np.triu_indices(len(at), 1)
    apart = at[second] > at[first]
    rises, runs = (values[second] - values[first])[apart], (at[second] - at[first])[apart]
    slope = float(np.median(rises / runs)) if apart.any() else 0.0
    return slope, float(np.median(values) - slope * np.median(at))


def _numbered(
    beats_s: Float[np.ndarray, " beat"], interval_s: float
) -> tuple[Float[np.ndarray, " kept"], Float[np.ndarray, " kept"]]:
    """Beat numbers and the times of the beats that have one."""
    numbers, kept_s = [0.0], [float(beats_s[0])]
    for beat_s in beats_s[1:]:
        steps = round((beat_s - kept_s[-1]) / interval_s)
        if steps > 0:
            numbers.append(numbers[-1] + steps)
            kept_s.append(float(beat_s))
    return np.array(numbers), np.array(kept_s)


def interval_deviation_ms(beats_s: Float[np.ndarray, " beat"]) -> float:
    """Standard deviation of the time from beat to beat in milliseconds, of beats numbered as `fit_tempo_bpm` does.

    The gap of a missed beat is divided by its beats, stray beats are left out. NaN for fewer than three beats.

    Raises:
        ValueError: for improper times.
    """
    beats_s = np.unique(checked_times(beats_s, "beat times"))
    if len(beats_s) < 3 or (interval_s := float(np.median(np.diff(beats_s)))) < _SHORTEST_INTERVAL_S:
        return float("nan")
    numbers, kept_s = _numbered(beats_s, interval_s)
    return float(1000 * np.std(np.diff(kept_s) / np.diff(numbers))) if len(kept_s) > 2 else float("nan")


def compare_tempo(
    reference_bpm: float | int, estimated_bpm: float | int | None, tolerance: float | int = TEMPO_TOLERANCE
) -> TempoVerdict:
    """Compare an estimated tempo (None: none could be told, which is wrong) with the reference.

    Raises:
        ValueError: when a tempo is not positive and finite.
    """
    for bpm in (reference_bpm, estimated_bpm):
        if bpm is not None and not (np.isfinite(bpm) and bpm > 0):
            raise ValueError(f"a tempo must be positive, found {bpm} BPM.")
    if estimated_bpm is None:
        return TempoVerdict(within=False, octave_error=False, related=False)
    ratio = estimated_bpm / reference_bpm
    within = abs(ratio - 1) <= tolerance
    octave_error = any(abs(ratio / octave - 1) <= tolerance for octave in OCTAVES)
    related = any(abs(ratio / factor - 1) <= RELATED_TOLERANCE for factor in METRICAL_FACTORS)
    return TempoVerdict(within=within, octave_error=octave_error, related=related)
