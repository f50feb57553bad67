"""Schedule and objective: identities between x, v, x0 and noise."""

import pytest
import torch

from d2m.diffusion import processes as schedule
from d2m.diffusion.objectives import VelocityObjective


def test_signal_and_noise_amplitudes_keep_the_variance():
    sigma = torch.linspace(0, 1, 11)
    torch.testing.assert_close(schedule.alpha(sigma) ** 2 + schedule.beta(sigma) ** 2, torch.ones(11))
    assert schedule.alpha(torch.tensor(0.0)) == 1 and schedule.beta(torch.tensor(1.0)) == 1


def test_half_log_snr_is_the_log_ratio_with_infinite_ends():
    sigma = torch.tensor([0.25, 0.5, 0.75])
    expected = torch.log(schedule.alpha(sigma) / schedule.beta(sigma))
    torch.testing.assert_close(schedule.half_log_snr(sigma), expected, atol=1e-6, rtol=1e-5)
    ends = schedule.half_log_snr(torch.tensor([0.0, 1.0]))
    assert ends[0] == torch.inf and ends[1] == -torch.inf


def test_velocity_gives_back_latent_and_noise():
    x0, noise, sigma = torch.randn(3, 4, 5), torch.randn(3, 4, 5), torch.tensor([0.1, 0.5, 0.9])
    x, v = schedule.add_noise(x0, noise, sigma), schedule.velocity(x0, noise, sigma)
    for i in range(3):
        torch.testing.assert_close(schedule.pred_x0(x[i], v[i], sigma[i]), x0[i], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(schedule.pred_eps(x[i], v[i], sigma[i]), noise[i], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("stratified", [True, False])
def test_noise_levels_cover_the_unit_interval(stratified):
    sigmas = VelocityObjective(stratified).sigmas(1000, torch.device("cpu"), torch.Generator().manual_seed(0))
    assert sigmas.min() >= 0 and sigmas.max() < 1
    assert sigmas.mean().item() == pytest.approx(0.5, abs=0.03)
    if stratified:
        assert len(torch.unique((sigmas * 1000).long())) > 990


def test_an_example_is_repeatable_from_a_generator_and_the_perfect_answer_costs_nothing():
    x0, objective = torch.randn(8, 4, 16), VelocityObjective()
    first, second = (objective.example(x0, torch.Generator().manual_seed(3)) for _ in range(2))
    torch.testing.assert_close(first.x, second.x)
    assert objective.loss(first.target, second.target) == 0
    assert objective.loss(torch.zeros_like(first.target), first.target) > 0.5
