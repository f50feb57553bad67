"""Phases of dances made to have known ones."""

import numpy as np

from d2m.metrics.dance_rhythm import SeenDance, minima_offsets, phases, read_by_rules, speed_spectrum

FPS = 30
BEATS_S = 0.3 + np.arange(36) * 0.5


def bouncing(lowest: float, period: float, drift: float = 0.0) -> SeenDance:
    """A body of 17 COCO points that sinks `lowest` beats after each `period` and else stands still."""
    time_s = np.arange(round(18.5 * FPS)) / FPS
    beat = (time_s - BEATS_S[0]) / 0.5
    points = np.zeros((len(time_s), 17, 2))
    points[:, 0, 1] = 160.0
    points[:, :, 0] += drift * time_s[:, None]
    points[:, 11:13, 1] = (90 - 5 * np.cos(2 * np.pi * (beat - lowest) / period))[:, None]
    return SeenDance.of_points("gHO", points, FPS, BEATS_S, coco=True)


def test_a_bounce_is_found_with_its_phase_and_period() -> None:
    for lowest, period in ((0.1, 1), (0.0, 0.5), (1.4, 2)):
        found = phases([bouncing(lowest, period), bouncing(lowest, period, 20.0)])["pelvis height"]
        true = found[f"{period:g}"]
        assert true["agreement"] > 0.99 and true["strength"] > 0.95 and true["clips"] == 8
        off = (true["phase_beats"] - lowest - period / 2) % period
        assert min(off, period - off) < 0.02
        others = [each["strength"] for name, each in found.items() if name != f"{period:g}"]
        assert max(others) < 0.1


def test_dancers_who_disagree_have_no_common_phase() -> None:
    found = phases([bouncing(lowest, 1) for lowest in (0.0, 0.25, 0.5, 0.75)])["pelvis height"]["1"]
    assert found["agreement"] < 0.05 and found["strength"] > 0.95


def test_amplitudes_are_those_of_a_body_of_common_height() -> None:
    tall = phases([bouncing(0.0, 1)])["pelvis height"]["1"]["amplitude"]
    assert abs(tall - 5 / 160 * 1.5) < 0.002


def test_rules_read_a_body_that_rests_on_beats() -> None:
    rules = read_by_rules([bouncing(0.0, 2)])  # lowest and highest on beats: at rest there
    assert rules["minima_beat_f"] > 0.9 and rules["minima_near_beats"] > 0.9 and rules["minima_per_beat"] > 0.9
    assert sum(minima_offsets([bouncing(0.0, 2)])[5:7]) > 0.9
    assert read_by_rules([bouncing(0.5, 2)])["minima_near_beats"] < 0.1
    assert 0.25 < rules["near_beats_by_chance"] < 0.3


def test_power_is_where_the_speed_is() -> None:
    spectrum = speed_spectrum([bouncing(0.0, 1)])
    assert max(spectrum, key=lambda band: spectrum[band]) == "2.4-4.5 Hz", "a bounce at 2 Hz is fast twice in a period"
    assert abs(sum(spectrum.values()) - 1) < 1e-6
