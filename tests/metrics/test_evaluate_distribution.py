"""Distances between sets of clips: analytic values, direct sums, and warnings that can't be overlooked."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from d2m.metrics.distances import frechet_distance, kernel_distance, median_bandwidth


def normal(rows: int, dimensions: int, seed: int, shift: float = 0.0, scale: float = 1.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(rows, dimensions)) * scale + shift


def whitened(rows: int, dimensions: int, seed: int = 0) -> np.ndarray:
    """Rows whose sample mean is exactly 0 and sample covariance exactly the identity."""
    values = normal(rows, dimensions, seed)
    values -= values.mean(axis=0)
    return values @ np.linalg.inv(np.linalg.cholesky(np.cov(values, rowvar=False)).T)


def test_frechet_of_gaussians_has_its_closed_form():
    base = whitened(200, 3)
    scales, shift = np.array([1.0, 2.0, 3.0]), np.array([0.5, 0.0, -1.0])
    measured = frechet_distance(base * scales + shift, whitened(150, 3, seed=1))
    assert measured.value == pytest.approx(float((shift**2).sum() + ((scales - 1) ** 2).sum()), abs=1e-9)
    assert measured.warning is None and (measured.clips, measured.dimensions) == (150, 3)


def test_frechet_with_covariances_that_do_not_commute():
    a, b = np.array([[2.0, 0.8], [0.8, 1.0]]), np.array([[1.0, -0.3], [-0.3, 3.0]])
    first, second = (whitened(50, 2, seed) @ np.linalg.cholesky(c).T for seed, c in ((0, a), (1, b)))
    # For 2 × 2 matrices tr(M^½) = sqrt(tr M + 2 sqrt(det M)).
    product = a @ b
    root_trace = math.sqrt(np.trace(product) + 2 * math.sqrt(np.linalg.det(product)))
    expected = np.trace(a) + np.trace(b) - 2 * root_trace
    assert frechet_distance(first, second).value == pytest.approx(expected, abs=1e-9)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000), st.integers(2, 12), st.integers(2, 12), st.integers(1, 5))
def test_frechet_is_a_distance(seed, rows, other_rows, dimensions):
    first, second = normal(rows, dimensions, seed), normal(other_rows, dimensions, seed + 1, shift=0.3)
    there, back = frechet_distance(first, second).value, frechet_distance(second, first).value
    assert there is not None and there >= 0 and there == pytest.approx(back, abs=1e-6)
    assert frechet_distance(first, first[::-1].copy()).value == pytest.approx(0, abs=1e-6)


def test_frechet_of_too_few_clips_says_so_wherever_it_is_printed():
    few = frechet_distance(normal(10, 40, 0), normal(60, 40, 1))
    assert few.value is not None and few.warning is not None
    assert "10 clips for 40 dimensions" in str(few) and few.to_json()["warning"] == few.warning
    assert frechet_distance(normal(40, 40, 0), normal(60, 40, 1)).warning  # n - 1 < dimensions
    assert frechet_distance(normal(41, 40, 0), normal(60, 40, 1)).warning is None
    for rows in (0, 1):
        none = frechet_distance(normal(rows, 4, 0), normal(9, 4, 1))
        assert none.value is None and "not measured" in str(none)


def test_kernel_distance_equals_the_direct_sum():
    x, y, width = normal(5, 3, 0), normal(7, 3, 1, shift=0.5), 1.7

    def kernel(a, b):
        return math.exp(-float(((a - b) ** 2).sum()) / (2 * width**2))

    xx = sum(kernel(x[i], x[j]) for i in range(5) for j in range(5) if i != j) / (5 * 4)
    yy = sum(kernel(y[i], y[j]) for i in range(7) for j in range(7) if i != j) / (7 * 6)
    xy = sum(kernel(a, b) for a in x for b in y) / (5 * 7)
    measured = kernel_distance(x, y, bandwidth=width, permutations=5)
    assert measured.value == pytest.approx(xx + yy - 2 * xy, abs=1e-12)
    assert measured.kad == pytest.approx(100 * (xx + yy - 2 * xy), abs=1e-9)


def test_kernel_bandwidth_is_the_median_within_the_reference():
    reference = np.array([[0.0], [1.0], [3.0]])  # distances 1, 2, 3
    assert median_bandwidth(reference) == 2
    assert kernel_distance(normal(4, 1, 0), reference, permutations=5).bandwidth == 2
    assert median_bandwidth(np.zeros((4, 2))) == 1 and median_bandwidth(np.zeros((1, 2))) == 1


def test_kernel_distance_is_unbiased_at_any_number_of_clips():
    """Mean about 0 between samples of one distribution, for 4 clips as for 16, and often negative."""
    for rows in (4, 16):
        values = np.array(
            [
                kernel_distance(normal(rows, 4, 2 * s), normal(rows, 4, 2 * s + 1), bandwidth=2, permutations=1).value
                for s in range(300)
            ],
            dtype=float,
        )
        assert abs(values.mean()) < 4 * values.std() / math.sqrt(len(values))
        assert (values < 0).mean() > 0.3


def test_kernel_distance_does_not_depend_on_the_order_of_clips():
    x, y = normal(6, 3, 0), normal(8, 3, 1)
    shuffled = np.random.default_rng(0).permutation(6)
    songs = list("aabbcc")
    one = kernel_distance(x, y, songs, list("defghijk"), permutations=5)
    other = kernel_distance(x[shuffled], y[::-1].copy(), [songs[i] for i in shuffled], list("kjihgfed"), permutations=5)
    for field in ("value", "low", "high", "bandwidth"):
        assert getattr(one, field) == pytest.approx(getattr(other, field), abs=1e-12)


def test_kernel_distance_tells_a_difference_from_none():
    same = kernel_distance(normal(30, 5, 0), normal(30, 5, 1), permutations=200)
    far = kernel_distance(normal(30, 5, 0, shift=1.0), normal(30, 5, 1), permutations=200)
    assert same.low is not None and same.high is not None and same.low < 0 < same.high
    assert same.p_value is not None and same.p_value > 0.05
    assert far.low is not None and far.low > 0 and far.p_value == pytest.approx(1 / 201)


def test_matched_songs_are_swapped_as_a_whole():
    """Where songs are on both sides, whole songs change sides: two songs allow four labellings, two of them as far."""
    x, songs = normal(6, 2, 0), list("aaabbb")
    matched = kernel_distance(x, x + 5, songs, songs, permutations=400)
    assert matched.p_value is not None and 0.4 < matched.p_value < 0.6
    assert kernel_distance(x, x + 5, permutations=400).p_value == pytest.approx(1 / 401, abs=0.01)


def test_kernel_distance_of_almost_nothing_is_defined():
    assert kernel_distance(normal(1, 3, 0), normal(9, 3, 1)).value is None
    assert kernel_distance(normal(0, 3, 0), normal(9, 3, 1)).kad is None
    one_song = kernel_distance(normal(4, 3, 0), normal(4, 3, 1), list("aaaa"), list("bbbb"), permutations=5)
    assert one_song.value is not None and one_song.low is None
    same_clip = kernel_distance(np.ones((3, 2)), np.ones((4, 2)), permutations=5)
    assert same_clip.value == pytest.approx(0, abs=1e-12)


def test_bad_input_raises():
    broken = normal(3, 2, 0)
    broken[0, 0] = np.nan
    for function in (frechet_distance, kernel_distance):
        with pytest.raises(ValueError, match="finite"):
            function(broken, normal(3, 2, 1))
    with pytest.raises(ValueError, match="songs"):
        kernel_distance(normal(3, 2, 0), normal(3, 2, 1), ["a"], ["b"])
