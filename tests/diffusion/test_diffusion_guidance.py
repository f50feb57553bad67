"""Guidance and window blending, with formulas in place of networks."""

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from d2m.core.errors import BadConfig
from d2m.diffusion.guidance import guided
from d2m.diffusion.multidiffusion import multidiffusion, plan_windows, taper
from d2m.systems.interface import GenerationSettings


@dataclass
class Offset:
    value: Tensor

    def joined(self, other):
        return Offset(torch.cat([self.value, other.value]))


class CountingNetwork:
    def __init__(self):
        self.rows = []

    def __call__(self, x, sigma, condition):
        self.rows.append(len(x))
        assert len(sigma) == len(x) == len(condition.value)
        return x + condition.value[:, None, None]


X, SIGMA = torch.randn(2, 3, 4), torch.tensor([0.5, 0.5])
TOLD, NULL = Offset(torch.tensor([1.0, 2.0])), Offset(torch.zeros(2))


def test_scale_one_is_a_single_conditional_pass():
    network = CountingNetwork()
    answer = guided(network, TOLD, NULL, 1.0)(X, SIGMA)
    torch.testing.assert_close(answer, CountingNetwork()(X, SIGMA, TOLD))
    assert network.rows == [2]


def test_scale_zero_is_a_single_unconditional_pass():
    network = CountingNetwork()
    torch.testing.assert_close(guided(network, TOLD, NULL, 0)(X, SIGMA), CountingNetwork()(X, SIGMA, NULL))
    assert network.rows == [2]


@pytest.mark.parametrize("scale", [0.5, 2.0, 9.0])
def test_it_extrapolates_from_both_halves_in_one_batch(scale):
    network = CountingNetwork()
    answer = guided(network, TOLD, NULL, scale)(X, SIGMA)
    torch.testing.assert_close(answer, X + scale * TOLD.value[:, None, None])
    assert network.rows == [4]


def test_full_rescale_gives_back_the_conditional_deviation():
    def network(x, sigma, condition):
        return x * (1 + condition.value[:, None, None])

    answer = guided(network, TOLD, NULL, 9.0, rescale=1.0)(X, SIGMA)
    torch.testing.assert_close(answer.std(dim=(1, 2)), network(X, SIGMA, TOLD).std(dim=(1, 2)))


@pytest.mark.parametrize(
    ("level", "is_guided"), [(0.2, False), (0.3, False), (0.31, True), (0.8, True), (0.81, False), (1.0, False)]
)
def test_outside_the_interval_only_the_conditional_network_runs(level, is_guided):
    network, sigma = CountingNetwork(), torch.full((2,), level, dtype=torch.float64)
    answer = guided(network, TOLD, NULL, 3.0, interval=(0.3, 0.8))(X, sigma)
    torch.testing.assert_close(answer, X + (3.0 if is_guided else 1.0) * TOLD.value[:, None, None])
    assert network.rows == ([4] if is_guided else [2])


def test_rows_in_and_outside_the_interval_may_share_a_batch():
    answer = guided(CountingNetwork(), TOLD, NULL, 3.0, interval=[0.3, 0.8])(X, torch.tensor([0.5, 0.9]))
    torch.testing.assert_close(answer, X + torch.tensor([3.0, 2.0])[:, None, None])


def test_the_whole_range_is_no_interval():
    for level in (1e-3, 0.5, 1.0):
        sigma = torch.full((2,), level)
        everywhere = guided(CountingNetwork(), TOLD, NULL, 3.0, 0.5, (0, 1))(X, sigma)
        assert torch.equal(everywhere, guided(CountingNetwork(), TOLD, NULL, 3.0, 0.5)(X, sigma))


@pytest.mark.parametrize("wrong", [(0.5, 0.5), (0.8, 0.3), (-0.1, 0.5), (0.2, 1.1), (0.2,), (0.1, 0.2, 0.3)])
def test_settings_refuse_what_is_no_interval(wrong):
    with pytest.raises(BadConfig, match="guidance_interval"):
        GenerationSettings(guidance_interval=wrong)


@pytest.mark.parametrize("total", [10, 64, 65, 100, 500, 1001])
@pytest.mark.parametrize("overlap", [0, 16, 63])
def test_windows_cover_everything_and_overlap_enough(total, overlap):
    plan = plan_windows(total, 64, overlap, misfit=lambda start: (start * 1.39) % 1)
    assert plan.starts[0] == 0 and plan.starts[-1] + 64 == plan.total_frames == max(total, 64)
    steps = [b - a for a, b in zip(plan.starts, plan.starts[1:], strict=False)]
    assert all(0 < step <= 64 - overlap for step in steps)


def test_blending_consistent_windows_changes_nothing():
    plan = plan_windows(300, 64, 24)
    x = torch.randn(1, 3, 300)
    calls = []

    def windows(rows, sigma, which):
        calls.append(len(rows))
        return 2 * rows

    torch.testing.assert_close(multidiffusion(windows, plan, 4, 24)(x, torch.tensor([0.5])), 2 * x)
    assert sum(calls) == len(plan.starts) and max(calls) <= 4


def test_blending_crosses_over_smoothly():
    plan = plan_windows(100, 64, 20)
    v = multidiffusion(
        lambda rows, sigma, which: torch.ones_like(rows) * torch.arange(len(rows))[:, None, None], plan, 8, 16
    )
    ramp = v(torch.zeros(1, 1, 100), torch.tensor([0.5]))[0, 0]
    assert ramp[0] == 0 and ramp[-1] == len(plan.starts) - 1
    assert ramp.diff().abs().max() < 0.2
    assert taper(64, 16).min() > 0
