import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation
from smplx.lbs import batch_rigid_transform

from d2m.core.errors import BadConfig
from d2m.motion.smpl import (
    JOINT_NAMES,
    PARENTS,
    REST_OFFSETS_M,
    axis_angle_to_matrix,
    forward_kinematics,
    joint_positions,
    joint_positions_torch,
    matrix_to_axis_angle,
    rest_offsets_from_body_model,
)


def random_rotations(frames: int, seed: int = 0) -> np.ndarray:
    return Rotation.random(frames * 24, random_state=seed).as_matrix().reshape(frames, 24, 3, 3)


def upright(frames: int = 1) -> np.ndarray:
    return np.tile(np.eye(3), (frames, 24, 1, 1))


def test_rotations_round_trip_and_agree_with_rodrigues():
    poses = np.random.default_rng(0).normal(scale=0.5, size=(5, 24, 3))
    matrices = axis_angle_to_matrix(poses)
    assert np.allclose(matrix_to_axis_angle(matrices), poses, atol=1e-9)
    quarter_turn_about_y = axis_angle_to_matrix(np.array([[0, np.pi / 2, 0]]))
    assert np.allclose(quarter_turn_about_y @ [0, 0, 1], [[1, 0, 0]])


def test_tree_is_smpls_and_the_body_is_a_symmetric_adult():
    assert len(JOINT_NAMES) == len(PARENTS) == 24
    assert all(parent < joint for joint, parent in enumerate(PARENTS))
    names = {JOINT_NAMES[joint]: JOINT_NAMES[parent] for joint, parent in enumerate(PARENTS) if parent >= 0}
    assert names["left_collar"] == "spine3" and names["right_hand"] == "right_wrist" and names["head"] == "neck"
    body = joint_positions(upright(), np.zeros((1, 3)))[0]
    at = dict(zip(JOINT_NAMES, body, strict=True))
    assert 1.5 < at["head"][1] - at["left_foot"][1] < 1.6  # the skull and the sole add the rest of 1.7 m
    assert at["left_hand"][0] > 0.7 and abs(at["left_hand"][1] - at["left_shoulder"][1]) < 0.05  # T-pose along x
    for joint, position in at.items():
        assert np.allclose(at[joint.replace("left_", "right_")][1:], position[1:])
        assert np.isclose(at[joint.replace("left_", "right_")][0], -position[0]) or "right_" in joint


def test_kinematics_agree_with_smplx():
    rotations, translation = random_rotations(7), np.random.default_rng(1).normal(size=(7, 3))
    rest = joint_positions(upright(), np.zeros((1, 3)))[0]
    expected, _ = batch_rigid_transform(
        torch.as_tensor(rotations), torch.as_tensor(rest).expand(7, 24, 3), torch.tensor(PARENTS), dtype=torch.float64
    )
    expected = expected.numpy() + translation[:, None]
    assert np.allclose(joint_positions(rotations, translation), expected, atol=1e-12)
    batched = joint_positions_torch(torch.as_tensor(rotations)[None], torch.as_tensor(translation)[None])
    assert np.allclose(batched[0].numpy(), expected, atol=1e-12)


def test_bones_keep_their_length_and_children_follow():
    positions = joint_positions(random_rotations(3), np.ones((3, 3)))
    assert np.allclose(positions[:, 0], 1)
    bones = positions[:, 1:] - positions[:, list(PARENTS[1:])]
    assert np.allclose(np.linalg.norm(bones, axis=-1), np.linalg.norm(REST_OFFSETS_M[1:], axis=-1))
    bent = upright()
    bent[0, JOINT_NAMES.index("left_elbow")] = axis_angle_to_matrix(np.array([0.0, 0.0, np.pi / 2]))
    moved = np.abs(joint_positions(bent, np.zeros((1, 3))) - joint_positions(upright(), np.zeros((1, 3)))).max(-1)[0]
    assert {JOINT_NAMES[j] for j in np.flatnonzero(moved > 1e-9)} == {"left_wrist", "left_hand"}


def test_another_skeleton_can_be_used():
    taller = joint_positions(upright(), np.zeros((1, 3)), 2 * REST_OFFSETS_M)
    assert np.allclose(taller, 2 * joint_positions(upright(), np.zeros((1, 3))))


def test_missing_body_model_is_said(tmp_path):
    with pytest.raises(BadConfig, match="not a readable SMPL body model"):
        rest_offsets_from_body_model(tmp_path)


def test_global_rotations_are_products_along_the_tree():
    rotations = axis_angle_to_matrix(np.random.default_rng(0).normal(size=(5, 24, 3)))
    positions, world = forward_kinematics(rotations, np.zeros((5, 3)))
    knee, hip = JOINT_NAMES.index("left_knee"), JOINT_NAMES.index("left_hip")
    np.testing.assert_allclose(world[:, knee], rotations[:, 0] @ rotations[:, hip] @ rotations[:, knee], atol=1e-12)
    np.testing.assert_array_equal(positions, joint_positions(rotations, np.zeros((5, 3))))
