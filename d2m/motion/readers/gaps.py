"""Points that a detector or a capture lost, put on the line between the frames in which they were seen."""

from pathlib import Path

import numpy as np
from jaxtyping import Float

from d2m.core.errors import BadInput

MOST_MISSING = 0.5
"""A body that is seen in a smaller share of the frames than this is no recording of a dance."""


def without_gaps(
    values: Float[np.ndarray, "time point axis"], needed: list[int], path: Path
) -> tuple[Float[np.ndarray, "time point axis"], float]:
    """Points without NaN, and the share of needed ones that were missing.

    Where a point is lost it is put on the straight line between the frames that have it, and held at both ends. Points that are
    not needed and lost for most of the time become NaN throughout.

    Raises:
        BadInput: when a needed point is missing in most frames.
    """
    lost = np.asarray(np.isnan(values).any(axis=-1))
    shares = lost.mean(axis=0)
    if shares[needed].max() > MOST_MISSING:
        raise BadInput(
            f"{path}: found a body of which points are missing in {shares[needed].max():.0%} of the frames, expected at most "
            f"{MOST_MISSING:.0%}; give a recording that shows one dancer from head to foot."
        )
    filled, frames = values.copy(), np.arange(len(values))
    for point in np.flatnonzero(lost.any(axis=0)):
        known = ~lost[:, point]
        if shares[point] > MOST_MISSING:
            filled[:, point] = np.nan
            continue
        for axis in range(values.shape[-1]):
            filled[:, point, axis] = np.interp(frames, frames[known], values[known, point, axis])
    return filled, float(shares[needed].mean())


def gaps_said(missing: float) -> tuple[str, ...]:
    """What was filled, in words; nothing where nothing was."""
    return (f"{missing:.1%} of the points were missing and are put on the line between their neighbours",) * (
        missing > 0
    )
