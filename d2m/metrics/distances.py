"""Distances between two sets of clips, each clip a vector of a named embedding.

- Fréchet distance between Gaussians fitted to both sets (Dowson & Landau, 1982; for audio Kilgour et al., Interspeech
  2019, arXiv:1812.08466). Biased upwards for few clips, and with fewer clips than dimensions its covariance has no full
  rank: the value then carries a warning, and `str()` never prints one without the other.
- Kernel distance: unbiased squared maximum mean discrepancy (Gretton et al., JMLR 13, 2012, equation 3) with a Gaussian
  kernel, which as the Kernel Audio Distance is due to Chung et al. (2025, arXiv:2502.15602). Unbiased at any number of
  clips, so it may be negative; read this one for small test sets.
Neither value can be compared across embeddings.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.spatial.distance import cdist, pdist
from scipy.stats import t as student_t

from d2m.metrics.intervals import Interval

KAD_SCALE = 100.0
"""The published toolkit (kadtk) prints 100 times the squared discrepancy."""

MIN_CLIPS = 2
MIN_SONGS = 3


@dataclass(frozen=True)
class FrechetDistance:
    """A Fréchet distance with what is needed to judge it.

    Args:
        value: squared Fréchet distance, as FAD is reported; None when a set has fewer than two clips.
        clips: rows of the smaller set.
        dimensions: of the embedding.
        warning: what is wrong with the value, None when nothing is.
    """

    value: float | None
    clips: int
    dimensions: int
    warning: str | None

    def __str__(self) -> str:
        number = "not measured" if self.value is None else f"{self.value:.3f}"
        return f"{number} ({self.warning})" if self.warning else number

    def to_json(self) -> dict[str, float | int | str | None]:
        """`{value, clips, dimensions, warning}`."""
        return {"value": self.value, "clips": self.clips, "dimensions": self.dimensions, "warning": self.warning}


@dataclass(frozen=True)
class KernelDistance:
    """An unbiased kernel distance.

    Args:
        value: squared maximum mean discrepancy; None when a set has fewer than two clips.
        low, high: 95 % jackknife interval over songs; None when there are fewer than three.
        p_value: share of random relabellings with at least this value: 1 / (permutations + 1) at best.
        bandwidth: of the Gaussian kernel.
        generated, reference: rows of each set.
    """

    value: float | None
    low: float | None
    high: float | None
    p_value: float | None
    bandwidth: float | None
    generated: int
    reference: int

    @property
    def kad(self) -> float | None:
        """The value as the published toolkit prints it: times 100."""
        return None if self.value is None else KAD_SCALE * self.value

    def to_json(self) -> dict[str, float | int | None]:
        """All fields, and `kad`."""
        return {**self.__dict__, "kad": self.kad}


def frechet_distance(
    generated: Float[np.ndarray, "generated dimension"], reference: Float[np.ndarray, "reference dimension"]
) -> FrechetDistance:
    """`|m1 - m2|² + tr(C1 + C2 - 2 (C1 C2)^½)`, equation 1 of Kilgour et al. (2019); covariances divide by n - 1.

    The trace of the root is the sum of the roots of the eigenvalues of `C1^½ C2 C1^½`, which is symmetric and so needs no
    complex root. It is 0 for one set against itself, and symmetric.

    Raises:
        ValueError: for values that are not finite.
    """
    first, second = _checked(generated), _checked(reference)
    clips, dimensions = min(len(first), len(second)), generated.shape[1]
    if clips < MIN_CLIPS:
        return FrechetDistance(None, clips, dimensions, f"{clips} clips, at least two on each side are needed")
    covariance, other = (np.atleast_2d(np.cov(rows, rowvar=False)) for rows in (first, second))
    values, vectors = np.linalg.eigh(covariance)
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    overlap = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ other @ root), 0)).sum()
    shift = float(np.square(first.mean(axis=0) - second.mean(axis=0)).sum())
    value = max(0.0, shift + float(np.trace(covariance) + np.trace(other) - 2 * overlap))
    warning = None
    if clips <= dimensions:
        warning = f"{clips} clips for {dimensions} dimensions: too few for a covariance, read the kernel distance"
    return FrechetDistance(value, clips, dimensions, warning)


def median_bandwidth(vectors: Float[np.ndarray, "row dimension"]) -> float:
    """Median Euclidean distance between the rows, 1 where that is 0 or there are fewer than two rows."""
    if len(vectors) < MIN_CLIPS:
        return 1.0
    return float(np.median(pdist(vectors))) or 1.0


def kernel_distance(
    generated: Float[np.ndarray, "generated dimension"],
    reference: Float[np.ndarray, "reference dimension"],
    generated_songs: Sequence[str] | None = None,
    reference_songs: Sequence[str] | None = None,
    bandwidth: float | int | None = None,
    permutations: int = 1000,
    seed: int = 0,
) -> KernelDistance:
    """Kernel Audio Distance with a jackknife interval and a permutation test.

    The kernel is `exp(-|x - y|² / 2 b²)`, b by default the median distance within the *reference*, so that all systems
    judged by one reference share a kernel. The interval leaves out one song at a time, on both sides (by default each clip
    is a song of its own): the jackknife for U-statistics (Arvesen, 1969) with Student's t. A bootstrap would pair copies
    of one clip, whose similarity of 1 shifts the value. The permutation test (Gretton et al., 2012, section 4) relabels
    whole songs; where a song is on both sides, it swaps the two labels.

    Raises:
        ValueError: when values are not finite, or songs and rows differ in number.
    """
    first, second = _checked(generated), _checked(reference)
    songs = [list(given) if given is not None else [f"{side}{i}" for i in range(len(rows))]
             for side, given, rows in (("g", generated_songs, first), ("r", reference_songs, second))]  # fmt: skip
    if [len(side) for side in songs] != [len(first), len(second)]:
        raise ValueError(f"found {[len(side) for side in songs]} songs for {[len(first), len(second)]} rows.")
    if min(len(first), len(second)) < MIN_CLIPS:
        return KernelDistance(None, None, None, None, None, len(first), len(second))
    width = float(bandwidth) if bandwidth is not None else median_bandwidth(second)
    rows = np.concatenate([first, second])
    kernel = _kernel(rows, width)
    is_generated = np.arange(len(rows)) < len(first)
    value = unbiased_mmd2(kernel, is_generated)
    song_of_row = np.unique(songs[0] + songs[1], return_inverse=True)[1]
    left_out = [song_of_row != song for song in range(int(song_of_row.max()) + 1)]
    error = _jackknife_half_width([unbiased_mmd2(kernel[np.ix_(kept, kept)], is_generated[kept]) for kept in left_out])
    low, high = (None, None) if error is None else (value - error, value + error)
    p_value = _p_value(kernel, is_generated, song_of_row, value, permutations, np.random.default_rng(seed))
    return KernelDistance(value, low, high, p_value, width, len(first), len(second))


def unbiased_mmd2(kernel: Float[np.ndarray, "row row"], is_generated: Bool[np.ndarray, " row"]) -> float:
    """Equation 3 of Gretton et al. (2012) from a kernel matrix whose diagonal is 0; NaN with under two rows on a side."""
    first, second = is_generated.astype(np.float64), (~is_generated).astype(np.float64)
    m, n = first.sum(), second.sum()
    if min(m, n) < MIN_CLIPS:
        return float("nan")
    one, other = first @ kernel, second @ kernel
    return float(one @ first / (m * (m - 1)) + other @ second / (n * (n - 1)) - 2 * (one @ second) / (m * n))


def _kernel(rows: Float[np.ndarray, "row dimension"], width: float) -> Float[np.ndarray, "row row"]:
    """Gaussian kernel with a diagonal of 0, as `unbiased_mmd2` expects it."""
    kernel = np.exp(-cdist(rows, rows, "sqeuclidean") / (2 * width**2))
    np.fill_diagonal(kernel, 0)
    return kernel


def _jackknife_half_width(left_out: Sequence[float]) -> float | None:
    """Half of the 95 % interval (Arvesen, 1969, with Student's t) of values that leave one song out each, NaN aside.

    None when fewer than three songs can be left out.
    """
    values = np.array(left_out)
    values = values[~np.isnan(values)]
    songs = len(values)
    if songs < MIN_SONGS:
        return None
    error = np.sqrt((songs - 1) / songs * np.square(values - values.mean()).sum())
    return float(student_t.ppf(0.975, songs - 1) * error)


def _p_value(
    kernel: Float[np.ndarray, "row row"],
    is_generated: Bool[np.ndarray, " row"],
    song_of_row: Int[np.ndarray, " row"],
    value: float,
    permutations: int,
    rng: np.random.Generator,
) -> float:
    """Share of relabellings (the actual labelling among them) that are at least as far apart.

    Each song's clips keep together where a song stands on one side only; a song on both sides is a matched pair, whose
    two labels are swapped as a whole.
    """
    paired = set(song_of_row[is_generated]) & set(song_of_row[~is_generated])
    as_far = 1
    for _ in range(permutations):
        as_far += unbiased_mmd2(kernel, _relabelled(is_generated, song_of_row, paired, rng)) >= value - 1e-12
    return as_far / (permutations + 1)


def _relabelled(
    is_generated: Bool[np.ndarray, " row"], song_of_row: Int[np.ndarray, " row"], paired: set, rng: np.random.Generator
) -> Bool[np.ndarray, " row"]:
    if paired:
        flips = rng.random(int(song_of_row.max()) + 1) < 0.5
        unpaired = [song for song in range(len(flips)) if song not in paired]
        flips[unpaired] = False
        return is_generated ^ flips[song_of_row]
    side = np.zeros(int(song_of_row.max()) + 1, dtype=bool)
    side[song_of_row] = is_generated
    return rng.permutation(side)[song_of_row]


def _checked(rows: Float[np.ndarray, "row dimension"]) -> Float[np.ndarray, "row dimension"]:
    if not np.isfinite(rows).all():
        raise ValueError("embeddings must be finite.")
    return rows.astype(np.float64)


# Paired kernel distances: two distances to the same few references move together when a song is left out; their difference
# moves much less, and so tells settings apart whose own intervals overlap.


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
    ours, theirs, reference = (_checked(rows) for rows in (ours, theirs, reference))
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
    half = _jackknife_half_width([difference(song_of_row != song) for song in sorted(set(songs))])
    if half is None:
        return Interval(value, None, None, clips=len(ours), songs=len(set(songs)))
    return Interval(value, value - half, value + half, clips=len(ours), songs=len(set(songs)))


# Does another seed give other music? The yardstick is the distance between references of different songs: 1 means that two seeds differ as much as two songs,
# 0 that the seed changes nothing. High is not good by itself (noise is diverse): read it beside accuracy and beat F.


SAME = 1e-6
"""Clips nearer than this count as the same music."""


@dataclass(frozen=True)
class Diversity:
    """Between-seed diversity of a system.

    Args:
        between_seeds: mean over dances of the mean pairwise distance between seeds; None without two seeds of a dance.
        between_references: mean distance between references of different songs; None without two songs.
        relative: the first over the second; None when either is missing or the second is 0.
        same_share: share of the pairs of seeds that are the same music; None like `between_seeds`.
        per_dance: mean pairwise distance by dance, to be resampled by song.
        dances, clips: how many dances had two seeds, and their clips.
    """

    between_seeds: float | None
    between_references: float | None
    relative: float | None
    same_share: float | None
    per_dance: dict[str, float]
    dances: int
    clips: int

    def to_json(self) -> dict[str, float | int | None]:
        """All fields but `per_dance`."""
        return {key: value for key, value in self.__dict__.items() if key != "per_dance"}


def seed_diversity(
    vectors: Float[np.ndarray, "clip dimension"],
    dances: Sequence[str],
    reference_vectors: Float[np.ndarray, "reference dimension"],
    reference_songs: Sequence[str],
) -> Diversity:
    """Mean pairwise Euclidean distances between clips of one dance, against those between songs.

    Args:
        vectors: embedding of each generated clip (`d2m.evaluation.embeddings`).
        dances: dance of each clip: clips of one dance differ by seed alone.
        reference_vectors, reference_songs: references and their songs; pairs of one song don't count.

    Raises:
        ValueError: when names and rows differ in number, or a value is not finite.
    """
    if len(vectors) != len(dances) or len(reference_vectors) != len(reference_songs):
        raise ValueError("seed_diversity needs a dance for each clip and a song for each reference.")
    if not (np.isfinite(vectors).all() and np.isfinite(reference_vectors).all()):
        raise ValueError("embeddings must be finite.")
    rows: dict[str, list[int]] = {}
    for row, dance in enumerate(dances):
        rows.setdefault(dance, []).append(row)
    several = {dance: pdist(vectors[found]) for dance, found in rows.items() if len(found) > 1}
    per_dance = {dance: float(distances.mean()) for dance, distances in several.items()}
    between_seeds = float(np.mean(list(per_dance.values()))) if per_dance else None
    between_references = _between_songs(reference_vectors, reference_songs)
    return Diversity(
        between_seeds=between_seeds,
        between_references=between_references,
        relative=between_seeds / between_references if between_seeds is not None and between_references else None,
        same_share=float(np.mean(np.concatenate(list(several.values())) < SAME)) if several else None,
        per_dance=per_dance,
        dances=len(several),
        clips=sum(len(rows[dance]) for dance in several),
    )


def _between_songs(vectors: Float[np.ndarray, "reference dimension"], songs: Sequence[str]) -> float | None:
    if len(set(songs)) < 2:
        return None
    names = np.asarray(songs)
    return float(cdist(vectors, vectors)[names[:, None] != names[None, :]].mean())
