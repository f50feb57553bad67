"""Directogram, its peaks, and the regular pulse: what is told of a dance's rhythm."""

import math

import pytest
import torch
from tests_support_musicgen import dances

from d2m.models.motion_reader import tempo_phase
from d2m.motion.kinematic_beats import DIRECTIONS, directogram, peaks, positive_flux, rhythm_curve


@pytest.mark.parametrize("inside", [0.02, 0.5, 0.98])
def test_an_angle_falls_into_the_bin_that_holds_it(inside: float) -> None:
    angles = (torch.arange(DIRECTIONS) + inside) * 2 * math.pi / DIRECTIONS
    speed = torch.arange(1.0, DIRECTIONS + 1)
    velocities = torch.stack([speed * angles.cos(), speed * angles.sin(), torch.full_like(angles, 9.0)], dim=-1)
    told = directogram(velocities[None, :, None])  # one joint; a frame for each direction
    torch.testing.assert_close(told[0], speed.diag())


def test_joints_of_one_direction_add_up_and_opposite_ones_do_not_cancel() -> None:
    velocities = torch.tensor([[1.0, 0.1, 0], [2.0, 0.1, 0], [-3.0, 0.1, 0]])[None, None]
    told = directogram(velocities)[0, 0]
    assert told[0] == pytest.approx(math.hypot(1, 0.1) + math.hypot(2, 0.1))
    assert told[4] == pytest.approx(math.hypot(3, 0.1))
    assert told.sum() == pytest.approx(float(velocities.norm(dim=-1).sum()), abs=1e-4)


def test_flux_counts_rises_only_and_is_centred() -> None:
    speed = torch.zeros(1, 21, 2)
    speed[0, :, 0] = (torch.arange(21) / 5 - 2).tanh()  # rises around frame 10
    speed[0, :, 1] = -speed[0, :, 0]  # the other direction loses as much
    flux = positive_flux(speed)[0]
    assert int(flux.argmax()) == 10
    torch.testing.assert_close(flux, flux.flip(0))
    assert float(flux.sum()) == pytest.approx(float(speed[0, -1, 0] - speed[0, 0, 0]), rel=0.05)
    assert positive_flux(speed[:, :1]).tolist() == [[0.0]]


def test_a_plateau_has_one_peak_and_neighbours_are_one_event() -> None:
    curve = torch.zeros(1, 80)
    curve[0, 20:24] = 1.0
    curve[0, 50], curve[0, 53] = 0.9, 0.7
    curve[0, 70] = 0.05  # stands out too little
    assert peaks(curve)[0].nonzero()[:, 0].tolist() == [20, 50]


def test_a_dancer_sets_off_after_every_halt() -> None:
    curve = rhythm_curve(dances(6.0, [90.0, 120.0]))
    for row, bpm in zip(curve, (90.0, 120.0), strict=True):
        found_s = row.nonzero()[:, 0] / 60
        halts_s = torch.arange(1, int(5.8 * bpm / 60) + 1) * 60 / bpm
        apart_s = (found_s[:, None] - halts_s).abs().min(dim=0).values
        assert apart_s.max() < 0.1 and len(found_s) <= len(halts_s) + 2


def test_peaks_lie_as_far_behind_a_halt_backwards_as_forwards() -> None:
    """Sliding to and fro is the same backwards; one-sided differences or windows would move the peaks of one of the two."""
    features = dances(4.0, [120.0])  # halts at every 30th frame
    offsets = []
    for motion, halt in ((features, 0), (features.flip(1), 239 % 30)):
        found = rhythm_curve(motion)[0, 20:-20].nonzero()[:, 0] + 20
        assert len(found) == 7
        offsets.append(((found - halt + 15) % 30 - 15).unique().tolist())
    assert offsets[0] == offsets[1] and len(offsets[0]) == 1 and 0 <= offsets[0][0] <= 2


@pytest.mark.parametrize("trembling", [0.0, 2e-6])
def test_a_body_at_rest_has_no_rhythm(trembling: float) -> None:
    torch.manual_seed(0)
    still = dances(3.0, [120.0])[:, :1].expand(1, 180, 219).clone()
    still[..., :3] += trembling * torch.randn(1, 180, 3)
    curve = rhythm_curve(still)
    assert curve.isfinite().all() and not curve.any()


def test_pulse_of_regular_beats() -> None:
    time_s = (torch.arange(300) + 0.5) / 50
    bpm, first_s = torch.tensor([96.0, 140.0]), torch.tensor([0.21, 0.37])
    from_beat = ((time_s - first_s[:, None]) * bpm[:, None] / 60 + 0.5).remainder(1) - 0.5
    pulse = tempo_phase(torch.exp(-0.5 * (from_beat / 0.08) ** 2), 50)
    torch.testing.assert_close(pulse.bpm, bpm, atol=1.0, rtol=0)
    assert (pulse.strength > 0.4).all()
    for row in range(2):
        beats_s = first_s[row] + torch.arange(5) * 60 / bpm[row]
        told = pulse.features_at(beats_s)[row]
        torch.testing.assert_close(told[1] / told[3], torch.ones(5), atol=0.05, rtol=0)  # cosine 1: on the beat
        assert float(told[0, 0] / told[3, 0]) == pytest.approx(math.log2(float(bpm[row]) / 120), abs=0.02)


def test_no_pulse_is_told_of_a_flat_curve() -> None:
    told = tempo_phase(torch.full((1, 60), 0.3), 50).features_at(torch.arange(3.0))
    assert told.isfinite().all() and told.abs().max() < 1e-3
