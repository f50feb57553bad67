"""Kinematic beats of keypoints in a picture."""

import numpy as np
import pytest

from d2m.data.synthetic.dances import choreograph
from d2m.metrics.alignment import (
    alignment,
    image_plane_beats_s,
    image_plane_speed,
    keypoints_of,
)
from d2m.motion.features import smpl_to_features
from d2m.motion.kinematic_beats import kinematic_beats_s


def swing(fps: int, seconds: float = 6.0, joints: int = 5) -> np.ndarray:
    """Points that swing to and fro with a halt every half second."""
    phase = np.cos(2 * np.pi * np.arange(round(seconds * fps)) / fps)
    return np.stack([100 * phase[:, None] * np.arange(1, joints + 1), np.zeros((phase.size, joints))], axis=-1)


@pytest.mark.parametrize("fps", [25, 30, 60])
def test_halts_are_beats_at_any_frame_rate(fps):
    beats_s = image_plane_beats_s(swing(fps), fps)
    halts_s = np.arange(0.5, 5.9, 0.5)
    assert np.abs(beats_s[:, None] - halts_s).min(axis=0).max() <= 0.5 / fps + 1e-9
    score = alignment(image_plane_beats_s(swing(fps), fps), halts_s)
    assert score.over_music > 0.9 and score.over_motion > 0.9 and score.harmonic > 0.9


def test_scale_and_missing_points_do_not_matter():
    whole = image_plane_beats_s(swing(60))
    assert np.array_equal(image_plane_beats_s(0.001 * swing(60)), whole)
    gaps = swing(60)
    gaps[100:104, 2] = np.nan
    gaps[:, 4] = np.nan
    assert len(image_plane_beats_s(gaps)) == len(whole)


def test_nothing_to_see_is_no_beat():
    for keypoints in (np.zeros((0, 3, 2)), np.zeros((1, 3, 2)), np.zeros((50, 3, 2)), np.full((50, 3, 2), np.nan)):
        assert image_plane_beats_s(keypoints).size == 0
        assert image_plane_speed(keypoints).shape == (len(keypoints),)
    assert alignment(image_plane_beats_s(np.zeros((50, 3, 2))), np.array([0.5])).harmonic == 0
    with pytest.raises(ValueError):
        image_plane_beats_s(swing(60), 0)


def test_a_dance_through_the_camera_keeps_most_of_its_beats():
    dance = choreograph("gBR", np.arange(0.3, 8, 0.5), 0, 8.0, dancer=4, seed=0)
    features = smpl_to_features(dance.poses, dance.trans)
    keypoints = keypoints_of(features)
    assert keypoints.shape == (len(features), 24, 2) and np.isfinite(keypoints).all()
    in_space_s, in_picture_s = kinematic_beats_s(features), image_plane_beats_s(keypoints)
    assert alignment(in_space_s, in_picture_s).harmonic > 0.6
    assert keypoints_of(features[:0]).shape == (0, 24, 2)
