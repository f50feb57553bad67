"""The one clock gives the published lengths."""

import pytest

from d2m.core.timeline import Timeline, motion_frames_to_seconds, seconds_to_motion_frames


@pytest.mark.parametrize("clock", [Timeline(44100, 1024), Timeline(22050, 512)])
def test_published_window(clock: Timeline) -> None:
    assert clock.window_seconds == pytest.approx(5.944, abs=1e-3)
    assert clock.window_motion_frames == 356
    assert clock.window_samples == 256 * clock.latent_hop_samples


def test_latent_and_motion_frames_meet() -> None:
    clock = Timeline(22050, 512)
    for frame in (0, 1, 43, 255, 4000):
        second = clock.latent_frames_to_seconds(frame)
        assert abs(motion_frames_to_seconds(clock.latent_frames_to_motion_frames(frame)) - second) <= 0.5 / 60 + 1e-9
    assert clock.samples_to_latent_frames(513) == 2
    assert seconds_to_motion_frames(2.0) == 120
