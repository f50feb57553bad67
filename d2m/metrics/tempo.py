"""Tempo from beat times, and whether it is right within 2 %.

A tracker's own tempo is a lag of its autocorrelation: at 43 frames a second neighbouring lags near 120 BPM lie 5 %
apart. A line fitted through the beat times knows the period to a few tenths of a percent, so that is what is judged.
The tracker also bends its first and last beats towards the ends of a clip, hence a robust line (Theil 1950; Sen 1968).
Octave errors (half or double tempo) are counted apart from plain errors and never as correct (Gouyon et al., 2006,
call the strict count accuracy 1).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.stats import theilslopes

from d2m.metrics.beats import checked_times

TEMPO_TOLERANCE = 0.02
"""Relative deviation that still counts as the same tempo."""

OCTAVES = (0.5, 2.0)

_NEAR_S = 0.03
"""Beats this near the line are always kept: a little more than one frame of the tracker."""

_NEAR_DEVIATIONS = 3.7
"""Median absolute deviations still kept: 2.5 standard deviations of a normal distribution."""


@dataclass(frozen=True)
class TempoVerdict:
    """Whether an estimated tempo is right, or wrong by half or double."""

    within: bool
    octave_error: bool


def fit_tempo_bpm(beats_s: Float[np.ndarray, " beat"]) -> float | None:
    """Tempo in BPM of a line through numbered beat times; None for fewer than three beats.

    Beats are numbered by rounding the time since the last numbered beat to whole median intervals: a missed beat skips
    a number, and a stray one less than half an interval later gets none. The line is the median of the slopes between
    all pairs of beats; least squares over the beats near it then refine it.

    Raises:
        ValueError: for improper times.
    """
    beats_s = np.unique(checked_times(beats_s, "beat times"))
    if len(beats_s) < 3:
        return None
    numbers, kept_s = _numbered(beats_s, float(np.median(np.diff(beats_s))))
    if len(kept_s) < 3:
        return None
    fit: Any = theilslopes(kept_s, numbers)
    period_s, start_s = fit.slope, fit.intercept
    residual_s = np.abs(kept_s - start_s - period_s * numbers)
    near = residual_s <= max(_NEAR_S, _NEAR_DEVIATIONS * float(np.median(residual_s)))
    if near.sum() >= 3:
        period_s, start_s = np.polyfit(numbers[near], kept_s[near], 1)
    return float(60 / period_s)


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


def judge_tempo(
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
        return TempoVerdict(within=False, octave_error=False)
    ratio = estimated_bpm / reference_bpm
    within = abs(ratio - 1) <= tolerance
    octave_error = any(abs(ratio / octave - 1) <= tolerance for octave in OCTAVES)
    return TempoVerdict(within=within, octave_error=octave_error)
