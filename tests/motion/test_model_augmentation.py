"""What augmentation may change, and what it leaves: shapes, rotations, places of joints."""

import numpy as np
import pytest
import torch

from d2m.data.synthetic.dances import choreograph
from d2m.data.synthetic.songs import Song, render_song
from d2m.motion.augmentation import MotionAugmentation, blurred, mirrored, perturbed
from d2m.motion.dance import Dance
from d2m.motion.features import joint_positions_of
from d2m.motion.smpl import JOINT_NAMES


@pytest.fixture(scope="module")
def features() -> torch.Tensor:
    song = render_song(Song("mBR0"), 4.0)
    dances = [choreograph("gBR", song.beats_s, 0, 4.0, dancer=4, seed=seed) for seed in (1, 2)]
    return torch.from_numpy(np.stack([Dance.from_smpl(d.poses, d.trans).features for d in dances]))


def rotations(features: torch.Tensor) -> torch.Tensor:
    return features[..., 3:].unflatten(-1, (24, 3, 3))


def are_rotations(features: torch.Tensor) -> bool:
    matrices = rotations(features)
    orthonormal = torch.allclose(matrices @ matrices.transpose(-1, -2), torch.eye(3).expand_as(matrices), atol=1e-4)
    return orthonormal and bool((torch.linalg.det(matrices) > 0.99).all())


def test_a_mirror_exchanges_left_and_right(features: torch.Tensor) -> None:
    seen = mirrored(features)
    assert are_rotations(seen) and torch.equal(mirrored(seen), features)
    before, after = joint_positions_of(features[0].numpy()), joint_positions_of(seen[0].numpy())
    swap = [
        JOINT_NAMES.index(n.replace("left", "?").replace("right", "left").replace("?", "right")) for n in JOINT_NAMES
    ]
    assert np.allclose(after, before[:, swap] * np.array([-1, 1, 1]), atol=1e-4)


def test_a_turn_about_a_limb_moves_no_joint(features: torch.Tensor) -> None:
    torch.manual_seed(0)
    twisted = MotionAugmentation(yaw=False, still_probability=0, twist_deg=60).moved(features)
    assert are_rotations(twisted) and (twisted - features).abs().max() > 0.2
    for before, after in zip(features, twisted, strict=True):
        assert np.allclose(joint_positions_of(before.numpy()), joint_positions_of(after.numpy()), atol=1e-3)


def test_jitter_does_not_add_up_along_a_limb(features: torch.Tensor) -> None:
    turns = torch.zeros(*features.shape[:2], 24, 3)
    turns[:, :, JOINT_NAMES.index("pelvis")] = 0.1
    moved = perturbed(features, turns)
    assert are_rotations(moved)
    before, after = joint_positions_of(features[0].numpy()), joint_positions_of(moved[0].numpy())
    elbow, wrist = JOINT_NAMES.index("left_elbow"), JOINT_NAMES.index("left_wrist")
    assert np.allclose(before[:, wrist] - before[:, elbow], after[:, wrist] - after[:, elbow], atol=1e-4)
    assert np.abs(before - after).max() < 0.06  # only hips and the foot of the spine were moved


def test_jitter_trembles_like_a_lifted_video(features: torch.Tensor) -> None:
    torch.manual_seed(0)
    moved = MotionAugmentation(yaw=False, still_probability=0, jitter_deg=4).moved(features)
    assert are_rotations(moved)
    off = [joint_positions_of(a.numpy()) - joint_positions_of(b.numpy()) for a, b in zip(moved, features, strict=True)]
    speed = np.sqrt(np.mean([np.square(np.diff(o, axis=0) * 60).sum(-1).mean() for o in off]))
    assert 0.05 < speed < 1.0


def test_blurring_blunts_and_shifts_nothing(features: torch.Tensor) -> None:
    smooth = blurred(features, 0.05)
    assert are_rotations(smooth) and torch.allclose(blurred(features, 0.0), features, atol=1e-3)
    before, after = (np.diff(joint_positions_of(f[0].numpy()), axis=0) for f in (features, smooth))
    assert np.square(after).sum() < np.square(before).sum()
    assert np.corrcoef(before.ravel(), after.ravel())[0, 1] > 0.8


def test_the_whole_of_it(features: torch.Tensor) -> None:
    augmentation = MotionAugmentation(mirror_probability=0.5, jitter_deg=6, twist_deg=30, blur_s=0.04)
    torch.manual_seed(0)
    a = augmentation.moved(features)
    torch.manual_seed(0)
    assert torch.equal(a, augmentation.moved(features)) and a.shape == features.shape and are_rotations(a)
    plain = MotionAugmentation(yaw=False, still_probability=0, noise=0)
    assert torch.equal(plain.moved(features), features)
