"""Positions of joints, as arrays, fields and HumanML3D's features: the motion that has them."""

from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from tests_support_skeletons import Z_UP, swaying

from d2m.core.errors import BadInput
from d2m.motion.features import SmplMotion
from d2m.motion.joints import NEEDED, body_height, motion_of_joints
from d2m.motion.keypoints import COCO
from d2m.motion.readers import Hints, Recording, read_recording
from d2m.motion.smpl import JOINT_NAMES, joint_positions

FPS = 30.0
MOTION = swaying()
JOINTS = joint_positions(MOTION.rotations, MOTION.translation)


def apart_m(motion: SmplMotion, truth: np.ndarray = JOINTS) -> np.ndarray:
    return np.linalg.norm(joint_positions(motion.rotations, motion.translation) - truth, axis=-1)[:, :22]


def read(tmp_path: Path, content: np.ndarray | dict, hints: Hints = Hints(fps=FPS)) -> Recording:  # noqa: B008
    path = tmp_path / ("joints.npz" if isinstance(content, dict) else "joints.npy")
    np.savez(path, **content) if isinstance(content, dict) else np.save(path, content)
    return read_recording(path, hints)


def humanml3d(joints: np.ndarray) -> np.ndarray:
    """The numbers that tell where joints are, as the data set's paper defines them; those of rotations and contact are 0."""
    across = joints[:, 1] - joints[:, 2] + joints[:, 16] - joints[:, 17]
    ahead = np.cross(across, [0, 1, 0])
    half = -np.unwrap(np.arctan2(ahead[:, 0], ahead[:, 2])) / 2
    half -= half[0]
    to_front = Rotation.from_rotvec(np.stack([0 * half, 2 * half, 0 * half], axis=-1)).as_matrix()
    floor = joints[:, 0] * [1, 0, 1]
    local = np.einsum("tab,tjb->tja", to_front, joints - floor[:, None])
    steps = np.einsum("tab,tb->ta", to_front[1:], np.diff(floor, axis=0))
    columns = [
        np.diff(half)[:, None],
        steps[:, [0, 2]],
        joints[:-1, 0, 1:2],
        local[:-1, 1:22].reshape(-1, 63),
        np.zeros((len(half) - 1, 196)),
    ]
    return np.concatenate(columns, axis=1)


@pytest.mark.parametrize(
    "content",
    [
        JOINTS,
        JOINTS[:, :22],
        JOINTS[:, :22].reshape(len(JOINTS), 66),
        JOINTS.reshape(len(JOINTS), 72),
        JOINTS[None],
        np.concatenate([JOINTS[:, :22], np.ones((len(JOINTS), 30, 3))], axis=1),
        {"joints": JOINTS, "fps": FPS},
        {"positions": JOINTS[:, :22] * 100, "mocap_framerate": FPS},
    ],
    ids=["24", "22", "66", "72", "one person", "hands", "field", "centimetres"],
)  # fmt: skip
def test_joints_come_back(tmp_path: Path, content: np.ndarray | dict) -> None:
    recording = read(tmp_path, content)
    assert recording.format == "joints" and recording.fps == FPS and recording.missing == 0
    assert apart_m(recording.motion).max() < 1e-4


def test_coco_in_space_is_near(tmp_path: Path) -> None:
    points = np.stack(
        [JOINTS[:, JOINT_NAMES.index({"nose": "head"}.get(n, n) if n in ("nose", *NEEDED) else "head")] for n in COCO],
        axis=1,
    )
    assert (
        apart_m(read(tmp_path, {"keypoints3d": points * 100}).motion)[:, [JOINT_NAMES.index(n) for n in NEEDED]].max()
        < 0.15
    )


def test_z_up_is_turned_and_said(tmp_path: Path) -> None:
    recording = read(tmp_path, JOINTS @ Z_UP.T)
    assert apart_m(recording.motion).max() < 1e-4 and "Z up, as the body shows" in recording.decisions
    lying = read(tmp_path, JOINTS @ Z_UP.T, Hints(fps=FPS, up="y"))
    assert apart_m(lying.motion, JOINTS @ Z_UP.T).max() < 1e-4 and "Y up, as asked" in lying.decisions


def test_the_rate_is_asked_for(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"does not tell its frame rate.*fps="):
        read(tmp_path, JOINTS, Hints())


def test_gaps_are_filled_and_said(tmp_path: Path) -> None:
    gaps = JOINTS.copy()
    gaps[10:13] = np.nan
    gaps[30] = 0
    recording = read(tmp_path, gaps)
    assert recording.missing == pytest.approx(4 / 60)
    assert any("6.7% of the points were missing" in said for said in recording.decisions)
    assert apart_m(recording.motion).max() < 0.05
    gaps[:40] = np.nan
    with pytest.raises(BadInput, match="missing in 67% of the frames"):
        read(tmp_path, gaps)


def test_a_body_of_another_build_points_the_same_way() -> None:
    """Limbs longer and shorter, hips narrower: the directions of all bones stay, and feet that stand do not slide."""
    built = JOINTS.copy()
    built[:, [18, 20, 22]] += 0.1 * (JOINTS[:, [18]] - JOINTS[:, [16]])
    found = motion_of_joints(np.where(np.arange(24)[:, None] < 22, built * 0.8, np.nan), FPS)
    placed = joint_positions(found.rotations, found.translation)
    for a, b in ((1, 4), (4, 7), (16, 18), (18, 20), (17, 19)):
        bone, seen = placed[:, b] - placed[:, a], built[:, b] - built[:, a]
        cosine = (bone * seen).sum(-1) / np.linalg.norm(bone, axis=-1) / np.linalg.norm(seen, axis=-1)
        assert cosine.min() > 1 - 1e-9
    assert body_height(built * 0.8) == pytest.approx(0.8 * body_height(JOINTS))
    assert np.abs(placed[:, 7] - JOINTS[:, 7]).max() < 1e-6


@pytest.mark.parametrize("rate", [20.0, 30.0])
def test_humanml3d_s_features(tmp_path: Path, rate: float) -> None:
    features = humanml3d(JOINTS)
    recording = read(tmp_path, features, Hints(fps=None if rate == 20 else rate))
    assert recording.format == "humanml3d" and recording.fps == rate
    # It begins over the origin and faces the front.
    across = JOINTS[0, 1] - JOINTS[0, 2] + JOINTS[0, 16] - JOINTS[0, 17]
    ahead = np.cross(across, [0, 1, 0])
    turn = Rotation.from_rotvec([0, -np.arctan2(ahead[0], ahead[2]), 0]).as_matrix()
    expected = JOINTS[:-1] - JOINTS[0, 0] * [1, 0, 1]
    found = joint_positions(recording.motion.rotations, recording.motion.translation)[:, :22]
    moved = found - found[0, 0] * [1, 0, 1]
    angle = Rotation.align_vectors(moved.reshape(-1, 3), (expected[:, :22] @ turn.T).reshape(-1, 3))[0]
    assert (
        np.linalg.norm(
            moved - angle.apply((expected[:, :22] @ turn.T).reshape(-1, 3)).reshape(moved.shape), axis=-1
        ).max()
        < 1e-6
    )
    assert np.abs(angle.as_rotvec()[[0, 2]]).max() < 1e-6


def test_rotations_of_the_same_width_are_no_positions(tmp_path: Path) -> None:
    assert read(tmp_path, MOTION.poses).format != "joints"


def test_normalised_features_are_told_from_others(tmp_path: Path) -> None:
    features = humanml3d(JOINTS)
    normalised = (features - features.mean(axis=0)) / np.maximum(features.std(axis=0), 1e-3)
    with pytest.raises(BadInput, match=r"not normalised.*Std\.npy"):
        read(tmp_path, normalised, Hints())


@pytest.mark.parametrize(
    "content",
    [
        np.random.default_rng(0).normal(size=(60, 22, 3)),
        np.zeros((60, 24, 3)),
        np.full((60, 22, 3), np.nan),
        np.full((60, 22, 3), 1e300),
        np.full((60, 263), np.inf),
        JOINTS[:, :, :2],
        JOINTS[:, :21],
        {"joints": np.array(["a"])},
    ],
    ids=["noise", "zeros", "nan", "huge", "infinite", "flat", "21", "text"],
)
def test_what_is_no_body_gets_one_sentence(tmp_path: Path, content: np.ndarray | dict) -> None:
    with pytest.raises(BadInput, match=r"joints\.np[yz]: ") as error:
        read(tmp_path, content)
    assert "\n" not in str(error.value) and len(str(error.value)) < 600
