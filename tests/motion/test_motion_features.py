import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation, Slerp

from d2m.motion.features import (
    SmplMotion,
    features_to_smpl,
    joint_positions_of,
    joint_velocities_torch,
    resample_motion,
    smpl_to_features,
)
from d2m.motion.smpl import axis_angle_to_matrix


def random_smpl(frames: int = 50, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    return generator.normal(scale=0.7, size=(frames, 72)), generator.normal(size=(frames, 3))


def turning(fps: float, frames: int) -> SmplMotion:
    """All joints turn about fixed axes at constant speed, and the pelvis walks at constant velocity."""
    time_s = np.arange(frames) / fps
    axes = Rotation.random(24, random_state=3).as_rotvec()
    poses = time_s[:, None, None] * axes
    return SmplMotion(axis_angle_to_matrix(poses), time_s[:, None] * np.array([1.0, 0.0, -2.0]))


def test_smpl_round_trip():
    poses, trans = random_smpl()
    features = smpl_to_features(poses, trans, 92.5)
    motion = features_to_smpl(features)
    assert features.shape == (50, 219) and features.dtype == np.float32
    assert np.abs(motion.poses - poses).max() < 1e-5
    assert np.abs(motion.translation * 92.5 - trans).max() < 1e-5
    assert np.abs(smpl_to_features(motion.poses, motion.translation) - features).max() < 1e-5


def test_layout_is_translation_over_scaling_then_rows():
    poses, trans = np.zeros((1, 72)), np.array([[1.0, 2.0, 3.0]])
    poses[0, 3:6] = [0, 0, np.pi / 2]
    features = smpl_to_features(poses, trans, 2.0)[0]
    assert np.allclose(features[:3], [0.5, 1.0, 1.5])
    assert np.allclose(features[3:12], np.eye(3).ravel())
    assert np.allclose(features[12:21], [0, -1, 0, 1, 0, 0, 0, 0, 1], atol=1e-7)


def test_velocities_are_central_differences_of_the_positions():
    features = np.stack([smpl_to_features(*random_smpl(20, seed)) for seed in (1, 2)])
    velocities = joint_velocities_torch(torch.as_tensor(features), 60)
    assert velocities.shape == (2, 20, 72)
    for clip, velocity in zip(features, velocities, strict=True):
        expected = np.gradient(joint_positions_of(clip.astype(np.float64)), 1 / 60, axis=0).reshape(20, 72)
        assert np.allclose(velocity.numpy(), expected, atol=1e-3)


def test_velocity_of_a_walk_is_in_metres_per_second():
    walk = np.zeros((30, 3))
    walk[:, 2] = 1.5 * np.arange(30) / 60
    velocities = joint_velocities_torch(torch.as_tensor(smpl_to_features(np.zeros((30, 72)), walk))[None], 60)
    assert torch.allclose(velocities.unflatten(-1, (24, 3)), torch.tensor([0, 0, 1.5]), atol=1e-4)


def test_velocities_have_no_gradient_and_ignore_autocast():
    features = torch.as_tensor(smpl_to_features(*random_smpl(20)))[None].requires_grad_()
    plain = joint_velocities_torch(features, 60)
    with torch.autocast("cpu", torch.bfloat16):
        cast = joint_velocities_torch(features, 60)
    assert not plain.requires_grad and torch.equal(plain, cast)


@pytest.mark.parametrize("fps", [24, 30, 50, 59.94, 100, 120])
def test_resampling_a_constant_turn_is_exact(fps):
    frames = round(2 * fps)
    resampled, expected = resample_motion(turning(fps, frames), fps), turning(60, round(frames * 60 / fps))
    assert resampled.rotations.shape == expected.rotations.shape
    inside = np.arange(len(expected.translation)) / 60 <= (frames - 1) / fps  # past the last frame the pose is held
    assert inside.sum() >= len(inside) - 3
    assert np.allclose(resampled.rotations[inside], expected.rotations[inside], atol=1e-9)
    assert np.allclose(resampled.translation[inside], expected.translation[inside], atol=1e-9)
    assert np.allclose(resampled.translation[~inside], resampled.translation[-1])


def test_resampling_agrees_with_scipys_slerp_and_yields_rotations():
    poses, trans = random_smpl(10)
    motion = SmplMotion(axis_angle_to_matrix(poses.reshape(-1, 24, 3)), trans)
    resampled = resample_motion(motion, 25)
    times_s = np.minimum(np.arange(24) / 60, 9 / 25)
    for joint in (0, 16):
        slerp = Slerp(np.arange(10) / 25, Rotation.from_matrix(motion.rotations[:, joint]))
        assert np.allclose(resampled.rotations[:, joint], slerp(times_s).as_matrix(), atol=1e-9)
    gram = resampled.rotations @ resampled.rotations.swapaxes(-1, -2)
    assert np.allclose(gram, np.eye(3), atol=1e-9)


def test_60_fps_and_a_single_frame():
    motion = turning(60, 10)
    assert resample_motion(motion, 60) is motion
    held = resample_motion(turning(1, 1), 1)
    assert held.rotations.shape == (60, 24, 3, 3) and np.allclose(held.rotations, np.eye(3))
