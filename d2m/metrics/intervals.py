"""Bootstrap intervals, resampled by song.

Clips of one song share its tempo and its arrangement, so they are not independent; resampling clips would make
intervals too narrow. Songs are drawn with replacement instead, each with all its clips (the cluster bootstrap of
Davison & Hinkley, 1997, section 3.8), and the percentile interval is read off.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

RESAMPLES = 2000
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Interval:
    """A mean over clips with its confidence interval.

    Args:
        mean: None when there is no clip to average.
        low, high: None when there are fewer than two songs: one song says nothing about the spread between songs.
        clips: number of clips behind the mean.
        songs: number of songs behind the interval.
    """

    mean: float | None
    low: float | None
    high: float | None
    clips: int
    songs: int

    def to_json(self) -> dict[str, float | int | None]:
        """`{mean, low, high, clips, songs}`."""
        return {"mean": self.mean, "low": self.low, "high": self.high, "clips": self.clips, "songs": self.songs}


def bootstrap_mean(
    values: Float[np.ndarray, " clip"],
    songs: Sequence[str],
    resamples: int = RESAMPLES,
    confidence: float = CONFIDENCE,
    seed: int = 0,
) -> Interval:
    """Mean of `values` and its percentile bootstrap interval over songs; the same seed gives the same interval.

    Args:
        values: one score per clip; NaN (not measurable) is left out.
        songs: the song of each clip.

    Raises:
        ValueError: when lengths differ, or the numbers of resamples or confidence make no sense.
    """
    if len(values) != len(songs):
        raise ValueError(f"found {len(values)} values for {len(songs)} songs; they must be as many.")
    if resamples < 1 or not 0 < confidence < 1:
        raise ValueError(f"needs resamples >= 1 and 0 < confidence < 1, found {resamples} and {confidence}.")
    measured = ~np.isnan(values)
    if not measured.any():
        return Interval(None, None, None, clips=0, songs=0)
    kept = np.asarray(values, dtype=np.float64)[measured]
    names, song_of_clip = np.unique(np.asarray(songs, dtype=str)[measured], return_inverse=True)
    mean = float(kept.mean())
    if len(names) < 2:
        return Interval(mean, None, None, clips=len(kept), songs=len(names))
    sums = np.bincount(song_of_clip, weights=kept)
    counts = np.bincount(song_of_clip)
    drawn = np.random.default_rng(seed).integers(len(names), size=(resamples, len(names)))
    means = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(mean, float(low), float(high), clips=len(kept), songs=len(names))
