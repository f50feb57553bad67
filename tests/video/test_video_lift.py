"""Lifted landmarks stand as the dancer stands: on dances whose joints are known, with and without noise."""

import numpy as np
import pytest
from tests_support_video import J, landmarks_of, points_of

from d2m.data.synthetic.dances import choreograph
from d2m.data.synthetic.songs import Song, render_song
from d2m.motion.dance import Dance
from d2m.motion.features import joint_positions_of, rotations_to_features
from d2m.motion.inverse_kinematics import TO_Y_UP, segment_vectors_m, solve_inverse_kinematics
from d2m.motion.kinematic_beats import joint_speed
from d2m.motion.landmarks import adaptively_smoothed, at_60_fps, smooth_world, smoothed, without_spikes
from d2m.motion.smpl import joint_positions
from d2m.video.video_dance import dance_of_landmarks, segment_error

TRUNK_AND_LEGS = [J[n] for n in J if any(part in n for part in ("pelvis", "spine", "hip", "knee", "ankle"))]


@pytest.fixture(scope="module", params=["gBR", "gLO"])
def dance(request: pytest.FixtureRequest) -> Dance:
    song = render_song(Song("mBR0"), 6.0)
    made = choreograph(request.param, song.beats_s, 0, 6.0, dancer=4, seed=1)
    return Dance.from_smpl(made.poses, made.trans)


def turns_deg(features: np.ndarray) -> np.ndarray:
    """Rotation of each joint from frame to frame."""
    rotations = features[:, 3:].reshape(-1, 24, 3, 3).astype(np.float64)
    cosine = (np.einsum("tjab,tjab->tj", rotations[:-1], rotations[1:]) - 1) / 2
    return np.degrees(np.arccos(np.clip(cosine, -1, 1)))


def still(world: np.ndarray) -> np.ndarray:
    """A pose held for 30 frames."""
    return np.repeat(world[None], 30, axis=0)


def test_rotations_are_rotations(dance: Dance) -> None:
    rotations = solve_inverse_kinematics(points_of(dance.features) * TO_Y_UP)
    assert np.allclose(rotations @ rotations.swapaxes(-1, -2), np.eye(3), atol=1e-9)
    assert np.allclose(np.linalg.det(rotations), 1)


def test_limbs_point_as_seen(dance: Dance) -> None:
    points = points_of(dance.features)
    rotations = solve_inverse_kinematics(points * TO_Y_UP)
    made, seen = segment_vectors_m(joint_positions(rotations, np.zeros((len(rotations), 3))), points)
    limbs = np.linalg.norm(made - seen, axis=-1)[:, :8]  # all but the trunk, which bends as a whole
    assert limbs.max() < 0.002


def test_joints_come_near_the_dancer_s(dance: Dance) -> None:
    true = joint_positions_of(dance.features.astype(np.float64))
    rotations = solve_inverse_kinematics(points_of(dance.features) * TO_Y_UP)
    found = joint_positions(rotations, np.zeros((len(rotations), 3)))
    error = np.linalg.norm(found - (true - true[:, :1]), axis=-1)
    assert error.mean() < 0.04


def test_a_t_pose_is_the_rest_pose() -> None:
    features = rotations_to_features(np.tile(np.eye(3), (30, 24, 1, 1)), np.zeros((30, 3)))
    assert np.allclose(solve_inverse_kinematics(points_of(features) * TO_Y_UP), np.eye(3), atol=0.1)


@pytest.mark.parametrize("bend_deg", [20.0, 60.0, 120.0])
def test_a_bent_elbow_and_knee_turn_about_their_hinges(bend_deg: float) -> None:
    rotations = np.tile(np.eye(3), (60, 24, 1, 1))
    bend = np.radians(bend_deg)
    about_x = np.array([[1, 0, 0], [0, np.cos(bend), -np.sin(bend)], [0, np.sin(bend), np.cos(bend)]])
    about_y = np.array([[np.cos(bend), 0, np.sin(bend)], [0, 1, 0], [-np.sin(bend), 0, np.cos(bend)]])
    rotations[:, J["left_knee"]] = about_x
    rotations[:, J["right_elbow"]] = about_y  # a right forearm comes forward by a positive turn about y
    found = solve_inverse_kinematics(points_of(rotations_to_features(rotations, np.zeros((60, 3)))) * TO_Y_UP)
    for joint in ("left_knee", "left_hip", "right_elbow", "right_shoulder"):
        cosine = (np.einsum("tab,tab->t", found[:, J[joint]], rotations[:, J[joint]]) - 1) / 2
        assert np.degrees(np.arccos(np.clip(cosine, -1, 1))).max() < 8


def test_nothing_jumps_from_frame_to_frame_under_noise(dance: Dance) -> None:
    found = dance_of_landmarks(landmarks_of(dance.features, noise_m=0.015, dropped=0.05))
    assert np.percentile(turns_deg(found.features)[:, TRUNK_AND_LEGS], 99) < 25


def test_an_arm_through_the_back_of_its_rest_direction_stays_finite() -> None:
    angle = np.linspace(0.9 * np.pi, 1.1 * np.pi, 60)
    rotations = np.tile(np.eye(3), (60, 24, 1, 1))
    turn = rotations[:, J["left_shoulder"]]
    turn[:, 0, 0], turn[:, 0, 2] = np.cos(angle), np.sin(angle)
    turn[:, 2, 0], turn[:, 2, 2] = -np.sin(angle), np.cos(angle)
    found = solve_inverse_kinematics(points_of(rotations_to_features(rotations, np.zeros((60, 3)))) * TO_Y_UP)
    assert np.isfinite(found).all() and np.allclose(np.linalg.det(found), 1)


def test_smoothing_shifts_nothing_in_time(dance: Dance) -> None:
    true = joint_speed(dance.features)
    found = joint_speed(dance_of_landmarks(landmarks_of(dance.features, noise_m=0.005, uneven_s=0.003)).features)
    count = min(len(true), len(found))
    shifts = range(-6, 7)
    agreement = [np.corrcoef(true[10 : count - 10], np.roll(found[:count], s)[10 : count - 10])[0, 1] for s in shifts]
    assert abs(shifts[int(np.argmax(agreement))]) <= 1 and max(agreement) > 0.9


def test_missing_frames_are_bridged_at_their_own_time(dance: Dance) -> None:
    whole, gaps = landmarks_of(dance.features), landmarks_of(dance.features, dropped=0.2)
    assert 0.1 < 1 - gaps.seen_share < 0.3
    a, b = smooth_world(whole), smooth_world(gaps)
    assert a.shape == b.shape == (len(dance.features), 33, 3)
    assert np.linalg.norm(a - b, axis=-1).mean() < 0.01


def test_ends_without_a_person_are_held(dance: Dance) -> None:
    landmarks = landmarks_of(dance.features)
    landmarks.seen[:10], landmarks.seen[-10:] = False, False
    world = at_60_fps(landmarks, landmarks.world)
    assert np.allclose(world[0], landmarks.world[10]) and np.allclose(world[-1], landmarks.world[-11])


def test_a_slip_of_one_frame_is_mended() -> None:
    path = np.linspace(0, 1, 30)[:, None, None] * np.ones((30, 2, 3))
    slipped = path.copy()
    slipped[12, 0] += 0.5
    assert np.allclose(without_spikes(slipped, np.arange(30) / 30), path)
    fast = path.copy()
    fast[12, 0] += 0.25
    assert np.array_equal(without_spikes(fast, np.arange(30) / 10), fast)  # at 10 a second hands do that


def test_smoothing_keeps_parabolas_and_removes_noise() -> None:
    time_s = np.arange(120) / 60
    path = np.stack([time_s, time_s**2, 1 - time_s], axis=-1)[:, None]
    assert np.allclose(smoothed(path, 0.2), path) and np.allclose(adaptively_smoothed(path, np.full(1, 0.01)), path)
    noisy = path + np.random.default_rng(0).normal(0, 0.02, path.shape)
    assert np.abs(adaptively_smoothed(noisy, np.full(1, 0.02)) - path).mean() < 0.4 * np.abs(noisy - path).mean()
    assert np.array_equal(smoothed(path[:2], 0.2), path[:2])


def test_segment_error_counts_noise_not_size(dance: Dance) -> None:
    clean, noisy = landmarks_of(dance.features), landmarks_of(dance.features, noise_m=0.02)
    clean_m = segment_error(dance_of_landmarks(clean), clean)
    assert clean_m < 0.02 < segment_error(dance_of_landmarks(noisy), noisy) < 0.06
    clean.world[...] *= 0.8
    assert segment_error(dance_of_landmarks(clean), clean) == pytest.approx(clean_m, abs=0.002)
