"""Recorded motion is brought within what a network has seen."""

import torch

from d2m.motion.features import LARGEST_FEATURE, within_bounds


def test_windows_of_a_training_dance_stay_and_larger_ones_shrink() -> None:
    window = 0.7 * torch.randn(3, 356, 219, generator=torch.Generator().manual_seed(0)).clamp(-3, 3)
    assert torch.equal(within_bounds(window), window)
    large = within_bounds(2.5 * window)
    rms = large.square().mean(dim=(1, 2)).sqrt()
    assert torch.allclose(rms, torch.ones(3), atol=0.02) and torch.allclose(
        large, window / window.std(dim=(1, 2), keepdim=True), atol=0.3
    )
    window[0, 5, 7] = 38.0
    bound = within_bounds(window)
    assert float(bound.max()) <= LARGEST_FEATURE and torch.equal(bound[1:], window[1:])
