"""Beat scores: reference and estimated beats are matched one to one, in seconds, and nothing is trimmed.

The F-measure is that of Dixon (2001) and Davies, Degara & Plumbley (2009), counted by mir_eval (Raffel et al., 2014).
`mir_eval.beat.evaluate` drops everything before 5 s, which leaves almost nothing of a 6 s clip, so only its matching is
used here.

Conventions: times are sorted, finite and not negative; when either list is empty, all scores are 0 (as in mir_eval).
"""

from dataclasses import dataclass

import mir_eval
import numpy as np
from jaxtyping import Float

TOLERANCES_S = (0.05, 0.07, 0.1, 0.2)
"""Half widths of the matching window that every report prints; 0.07 is the headline."""


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
