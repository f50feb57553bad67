import numpy as np

from d2m.motion.features import smpl_to_features
from d2m.motion.kinematic_beats import joint_speed, kinematic_beats_s


def arm_swing(times_s: np.ndarray, swing_s: float = 0.5) -> np.ndarray:
    """The left arm swings to and fro; it rests, for an instant, every `swing_s` seconds from 0."""
    poses = np.zeros((len(times_s), 72))
    poses[:, 16 * 3 + 2] = 0.6 * np.cos(np.pi * times_s / swing_s)
    return smpl_to_features(poses, np.zeros((len(times_s), 3)))


def test_beats_are_where_the_arm_rests():
    beats_s = kinematic_beats_s(arm_swing(np.arange(240) / 60))
    inner = beats_s[(beats_s > 0.2) & (beats_s < 3.8)]
    assert np.allclose(inner, np.arange(0.5, 3.6, 0.5), atol=1e-6)


def test_beats_of_a_later_start_are_earlier():
    beats_s = kinematic_beats_s(arm_swing(np.arange(240) / 60 + 0.2))
    inner = beats_s[(beats_s > 0.2) & (beats_s < 3.6)]
    assert np.allclose(inner, np.arange(0.3, 3.4, 0.5), atol=1e-6)


def test_speed_is_summed_over_joints_in_metres_per_second():
    walk = np.zeros((30, 3))
    walk[:, 0] = 0.5 * np.arange(30) / 60
    assert np.allclose(joint_speed(smpl_to_features(np.zeros((30, 72)), walk)), 24 * 0.5, atol=1e-3)


def test_no_beats_without_movement_or_frames():
    still = smpl_to_features(np.zeros((90, 72)), np.zeros((90, 3)))
    assert kinematic_beats_s(still).shape == (0,)
    assert kinematic_beats_s(still[:1]).shape == (0,)
    assert kinematic_beats_s(still[:0]).shape == (0,)
