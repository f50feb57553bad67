"""Onset F-measure: does the music have its strokes where the reference has them?

The definition is MIREX's, as in mir_eval: one-to-one matching within ±50 ms. It sees the drum pattern, which beat F
does not: once beats are right, compare models on this.
"""

import numpy as np
from jaxtyping import Float

from evaluate.beats import match_events

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
