"""Published beat protocols, as their authors' code counts them. Compatibility columns, never the headline.

"Beat coverage score" names different quantities in different papers, so each protocol carries its own name here.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from evaluate.beats import checked_times
from evaluate.trackers import TRACKER_HOP_SAMPLES, TRACKER_SAMPLE_RATE

D2MD_TOLERANCE_S = 5 * TRACKER_HOP_SAMPLES / TRACKER_SAMPLE_RATE
"""Five frames of librosa's beat tracker, 116 ms."""


@dataclass(frozen=True)
class CoverageAndHit:
    """Coverage (can exceed 1) and hit of one clip; NaN where the reference has no beats."""

    coverage: float
    hit: float


def d2md(reference_s: Float[np.ndarray, " reference"], generated_s: Float[np.ndarray, " generated"]) -> CoverageAndHit:
    """The `d2md` protocol (Dance2Music-Diffusion, EURASIP JASMP 2024:48): beats by `librosa.beat.beat_track`.

    Coverage is |S| / |G|; hit is the number of pairs within five tracker frames, divided by |G|. All pairs are
    counted, so that one beat may be hit twice and hit is not bounded by 1. Both are NaN for an empty reference,
    where the published code divides by zero; such clips are left out of means.

    Args:
        reference_s: beats G of the reference, in seconds.
        generated_s: beats S of the generated music, in seconds.

    Raises:
        ValueError: for improper times.
    """
    reference_s, generated_s = checked_times(reference_s), checked_times(generated_s)
    if reference_s.size == 0:
        return CoverageAndHit(float("nan"), float("nan"))
    # Times are whole frames divided by the frame rate: the margin keeps a distance of exactly five frames inside.
    close = np.abs(reference_s[:, None] - generated_s[None, :]) <= D2MD_TOLERANCE_S + 1e-6
    return CoverageAndHit(generated_s.size / reference_s.size, float(close.sum()) / reference_s.size)
