import numpy as np
import pytest
import torch

from d2m.motion.features import STD_FLOOR, Normalizer


def dances() -> list[np.ndarray]:
    generator = np.random.default_rng(0)
    made = [(3 + 2 * generator.normal(size=(frames, 219))).astype(np.float32) for frames in (100, 300)]
    for dance in made:
        dance[:, 5] = 0.25
    return made


def test_fitted_features_have_mean_0_and_deviation_1():
    normalized = Normalizer().fit(dances())(torch.as_tensor(np.concatenate(dances())))
    others = [i for i in range(219) if i != 5]
    assert torch.allclose(normalized.mean(0), torch.zeros(219), atol=1e-4)
    assert torch.allclose(normalized[:, others].std(0, correction=0), torch.ones(218), atol=1e-4)


def test_a_constant_feature_does_not_blow_up():
    normalizer = Normalizer().fit(dances())
    features = torch.full((1, 219), 0.35)
    assert torch.isclose(normalizer(features)[0, 5], torch.tensor(0.1 / STD_FLOOR))


def test_state_dict_carries_it_and_unfitted_changes_nothing():
    fitted, fresh = Normalizer().fit(dances()), Normalizer()
    features = torch.as_tensor(dances()[0])[None]
    assert torch.equal(fresh(features), features)
    fresh.load_state_dict(fitted.state_dict())
    assert torch.equal(fresh(features), fitted(features))
    assert not list(fresh.parameters())


def test_nothing_to_fit_on():
    with pytest.raises(ValueError, match="at least one frame"):
        Normalizer().fit([])
