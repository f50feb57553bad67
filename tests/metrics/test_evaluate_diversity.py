"""Between-seed diversity: hand-worked distances, invariances, and what is not measurable."""

import numpy as np
import pytest

from d2m.metrics.distances import seed_diversity

REFERENCES = np.array([[0.0, 0.0], [0.0, 1.0], [4.0, 0.0]])
SONGS = ["a", "a", "b"]


def test_hand_worked_values():
    vectors = np.array([[0.0, 0.0], [3.0, 4.0], [1.0, 1.0], [1.0, 1.0], [9.0, 9.0]])
    found = seed_diversity(vectors, ["x", "x", "y", "y", "z"], REFERENCES, SONGS)
    assert found.per_dance == {"x": 5.0, "y": 0.0}
    assert found.between_seeds == 2.5 and found.same_share == 0.5 and (found.dances, found.clips) == (2, 4)
    assert found.between_references == pytest.approx((4 + np.sqrt(17)) / 2)  # the pair of song a doesn't count
    assert found.relative == pytest.approx(2.5 / found.between_references)
    assert "per_dance" not in found.to_json() and found.to_json()["relative"] == found.relative


def test_mean_over_dances_not_over_pairs():
    """A dance with three seeds weighs as much as one with two."""
    vectors = np.array([[0.0], [1.0], [2.0], [0.0], [10.0]])
    found = seed_diversity(vectors, ["x", "x", "x", "y", "y"], np.zeros((0, 1)), [])
    assert found.between_seeds == pytest.approx(((1 + 1 + 2) / 3 + 10) / 2)
    assert found.between_references is None and found.relative is None


def test_order_and_scale_do_not_matter():
    rng = np.random.default_rng(0)
    vectors, dances = rng.normal(size=(9, 4)), list("aaabbbccc")
    order = rng.permutation(9)
    one = seed_diversity(vectors, dances, rng.normal(size=(3, 4)) * 0 + REFERENCES[:, [0, 1, 0, 1]], SONGS)
    other = seed_diversity(
        7 * vectors[order], [dances[i] for i in order], 7 * REFERENCES[:, [0, 1, 0, 1]], SONGS
    )  # fmt: skip
    assert one.relative == pytest.approx(other.relative) and one.same_share == 0


def test_a_seed_that_changes_nothing_has_diversity_zero():
    found = seed_diversity(np.ones((4, 2)), list("xxyy"), REFERENCES, SONGS)
    assert found.between_seeds == 0 and found.relative == 0 and found.same_share == 1


def test_single_seeds_and_equal_references_are_not_measurable():
    alone = seed_diversity(np.ones((2, 2)), ["x", "y"], REFERENCES, SONGS)
    assert alone.between_seeds is None and alone.relative is None and alone.dances == 0
    assert seed_diversity(np.zeros((0, 0)), [], np.zeros((0, 0)), []).to_json()["between_seeds"] is None
    equal = seed_diversity(np.eye(2), ["x", "x"], np.ones((2, 2)), ["a", "b"])
    assert equal.between_references == 0 and equal.relative is None


def test_bad_input_raises():
    with pytest.raises(ValueError, match="dance for each clip"):
        seed_diversity(np.eye(2), ["x"], REFERENCES, SONGS)
    with pytest.raises(ValueError, match="finite"):
        seed_diversity(np.full((2, 2), np.nan), ["x", "x"], REFERENCES, SONGS)
