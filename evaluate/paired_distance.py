"""Which of two sets of clips lies nearer to the same references, clip by clip of the same dances: paired kernel distances.

Two kernel distances (`evaluate.distribution.kernel_distance`) to the same few references move together when a song is left
out; their difference moves much less, and so tells settings apart whose own intervals overlap.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from scipy.spatial.distance import cdist
from scipy.stats import t as student_t

from evaluate.bootstrap import Interval
from evaluate.distribution import MIN_CLIPS, median_bandwidth, unbiased_mmd2

MIN_SONGS = 3


def kernel_distance_difference(
    ours: Float[np.ndarray, "clip dimension"],
    theirs: Float[np.ndarray, "clip dimension"],
    reference: Float[np.ndarray, "reference dimension"],
    songs: Sequence[str],
    reference_songs: Sequence[str],
    bandwidth: float | int | None = None,
) -> Interval:
    """Squared maximum mean discrepancy of `ours` to the references less that of `theirs`; negative where ours are nearer.

    Both are the unbiased estimate (Gretton et al., 2012, equation 3) with one kernel, whose bandwidth is by default the
    median distance within the references. The 95 % interval is the jackknife over songs of the difference itself
    (Arvesen, 1969) with Student's t: a song is left out of all three sets at once.

    Args:
        ours, theirs: row k of both is of the same dance.
        reference: real clips.
        songs: of the rows of `ours` and `theirs`.
        reference_songs: of the rows of `reference`.
        bandwidth: of the Gaussian kernel.

    Returns:
        Mean None with under two clips or references, interval None with under three songs that can be left out.

    Raises:
        ValueError: when values are not finite, or numbers of rows and songs differ.
    """
    if not len(ours) == len(theirs) == len(songs) or len(reference) != len(reference_songs):
        raise ValueError(
            f"found {len(ours)} and {len(theirs)} rows of {len(songs)} songs and {len(reference)} references of"
            f" {len(reference_songs)}; expected as many of each."
        )
    if not all(np.isfinite(rows).all() for rows in (ours, theirs, reference)):
        raise ValueError("embeddings must be finite.")
    if min(len(ours), len(reference)) < MIN_CLIPS:
        return Interval(None, None, None, clips=len(ours), songs=len(set(songs)))
    width = float(bandwidth) if bandwidth is not None else median_bandwidth(reference)
    kernels = [_kernel(np.concatenate([rows, reference]), width) for rows in (ours, theirs)]
    song_of_row = np.array([*songs, *reference_songs])
    is_generated = np.arange(len(song_of_row)) < len(ours)

    def difference(kept: np.ndarray) -> float:
        first, second = (unbiased_mmd2(kernel[np.ix_(kept, kept)], is_generated[kept]) for kernel in kernels)
        return first - second

    value = difference(np.full(len(song_of_row), True))
    left_out = np.array([difference(song_of_row != song) for song in sorted(set(songs))])
    left_out = left_out[~np.isnan(left_out)]
    count = len(left_out)
    if count < MIN_SONGS:
        return Interval(value, None, None, clips=len(ours), songs=len(set(songs)))
    error = np.sqrt((count - 1) / count * np.square(left_out - left_out.mean()).sum())
    half = float(student_t.ppf(0.975, count - 1) * error)
    return Interval(value, value - half, value + half, clips=len(ours), songs=len(set(songs)))


def _kernel(rows: Float[np.ndarray, "row dimension"], width: float) -> Float[np.ndarray, "row row"]:
    """Gaussian kernel with a diagonal of 0, as `unbiased_mmd2` expects it."""
    kernel = np.exp(-cdist(rows, rows, "sqeuclidean") / (2 * width**2))
    np.fill_diagonal(kernel, 0)
    return kernel
