"""Music at an asked tempo: the dance is played faster or slower, and the music follows."""

from pathlib import Path

import hydra
import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

from d2m.core.checkpoint import save_checkpoint
from d2m.core.errors import BadConfig
from d2m.metrics.beat_tracker import track_beats_s
from d2m.metrics.beats import fit_tempo_bpm
from d2m.motion.dance import Dance
from d2m.motion.kinematic_beats import joint_speed
from d2m.motion.retime import BeatGrid, retimed, retiming_speed
from d2m.pipeline import Dance2Music

CONFIGS = Path(__file__).parents[2] / "configs" / "system"


@pytest.fixture(scope="module")
def model() -> Dance2Music:
    return Dance2Music.load("demo")


def swinging(seconds: float = 6.0, hertz: float = 1.0) -> Dance:
    """Both arms swing; they rest twice in every swing."""
    frames = round(seconds * 60)
    poses, trans = np.zeros((frames, 72)), np.tile([0, 0.95, 0], (frames, 1))
    for joint, side in ((16, 1), (17, -1)):
        poses[:, 3 * joint + 2] = side * np.cos(2 * np.pi * hertz * np.arange(frames) / 60)
    return Dance.from_smpl(poses, trans, 60, "swing")


def strongest_hertz(features: np.ndarray) -> float:
    speed = joint_speed(features)
    power = np.abs(np.fft.rfft(speed - speed.mean(), 8 * len(speed)))
    return float(np.fft.rfftfreq(8 * len(speed), 1 / 60)[power.argmax()])


@pytest.mark.parametrize(("asked", "speed"), [(121, 1), (60, 0.5), (238, 2), (119, 1), (132, 1.1), (96, 0.8)])
def test_simple_ratios_are_kept_exactly(asked, speed):
    assert retiming_speed(120.0, asked) == pytest.approx(speed)


@pytest.mark.parametrize("asked", [0, -5, 39, 241, float("nan"), float("inf")])
def test_what_is_no_tempo_is_refused(asked):
    with pytest.raises(BadConfig, match="expected a tempo from 40 to 240"):
        retiming_speed(120.0, asked)


@pytest.mark.parametrize("speed", [0.5, 0.8, 1.25, 2.0])
def test_played_dance_is_as_long_and_as_fast_as_told(speed):
    dance = swinging()
    played = retimed(dance.features, speed, BeatGrid(120.0, 0.0))
    assert played.shape == dance.features.shape and played.dtype == dance.features.dtype
    assert strongest_hertz(played) == pytest.approx(2 * speed, rel=0.03)


@pytest.mark.parametrize("speed", [0.5, 2.0])
def test_first_beat_stays_where_it_was(speed):
    dance, grid = swinging(), BeatGrid(120.0, 0.5)
    played = retimed(dance.features, speed, grid)
    np.testing.assert_allclose(played[30, 3:], dance.features[30, 3:], atol=0.06)
    assert retimed(dance.features, 1, grid) is dance.features


def test_tempo_of_a_dance_is_read_from_it(model, two_clips):
    for name, bpm in (("gBR_sBM_cAll_d04_mBR0_ch02", 80), ("gHO_sBM_cAll_d20_mHO5_ch02", 135)):
        dance = Dance.load(two_clips / "motions" / f"{name}.pkl")
        grid = model.music_generator.read(torch.from_numpy(dance.features)).beats
        assert grid.bpm == pytest.approx(bpm, rel=0.02) and 0 <= grid.first_s < grid.period_s


@pytest.mark.parametrize("asked", [100, 88])
def test_music_has_the_tempo_asked_for(model, two_clips, asked):
    dance = Dance.load(two_clips / "motions" / "gBR_sBM_cAll_d04_mBR0_ch02.pkl")
    music, record = model.generate(dance, tempo_bpm=asked)
    assert music.seconds == pytest.approx(dance.seconds, abs=1e-3)
    assert fit_tempo_bpm(track_beats_s(music)) == pytest.approx(asked, rel=0.05)
    assert (record.tempo_asked_bpm, record.dance_tempo_bpm) == (asked, pytest.approx(80, rel=0.02))


def test_own_tempo_changes_nothing(model, two_clips):
    dance = Dance.load(two_clips / "motions" / "gBR_sBM_cAll_d04_mBR0_ch02.pkl")
    np.testing.assert_array_equal(
        model.generate(dance, steps=2, tempo_bpm=80)[0].waveform, model.generate(dance, steps=2)[0].waveform
    )


def test_a_system_that_reads_no_beat_says_so(tmp_path):
    config = OmegaConf.load(CONFIGS / "published_small.yaml")
    config.unet.update(channels=[16] * 4, items=[1] * 4, modulation_features=16)
    path, published = tmp_path / "published.safetensors", hydra.utils.instantiate(config)
    stored = OmegaConf.to_container(config, resolve=True)
    save_checkpoint(path, published.state_dict(), {"system": stored, "dmae": "demo"})
    with pytest.raises(BadConfig, match="no tempo can be asked for"):
        Dance2Music.load(path)(swinging(2.0), tempo_bpm=90)
