"""The skeleton is drawn where the landmarks are, and only there; films keep their times while it is drawn."""

import numpy as np
from tests_support_films import CLICKS_S, clicks, decoded, heard

from d2m.motion.landmarks import LANDMARK_NAMES, Landmarks
from d2m.render.mux import write_timed_video
from d2m.render.overlay import Overlay, with_skeleton
from d2m.video.reader import Frame

GREY = np.full((201, 301, 3), 120, np.uint8)


def standing(times_s: np.ndarray, shift: float = 0.0) -> Landmarks:
    """Somebody who stands in the middle and moves to the right by `shift` picture widths in every frame."""
    rows = {"shoulder": 0.3, "elbow": 0.42, "wrist": 0.52, "hip": 0.55, "knee": 0.72, "ankle": 0.88, "ear": 0.2}
    image = np.zeros((len(times_s), 33, 3))
    image[..., 2] = 1
    for number, name in enumerate(LANDMARK_NAMES):
        part = name.split("_")[-1]
        row = rows.get(part, 0.92 if "foot" in name or part == "heel" else 0.54 if "index" in name else 0.2)
        side = 0.06 if "left" in name else -0.06 if "right" in name else 0.0
        image[:, number, 0] = 0.5 + side + shift * np.arange(len(times_s))
        image[:, number, 1] = row
    return Landmarks(image, np.zeros((len(times_s), 33, 3)), times_s, np.ones(len(times_s), bool), (301, 201))


def changed(picture: np.ndarray) -> np.ndarray:
    return np.abs(picture.astype(int) - 120).max(axis=-1) > 20


def test_skeleton_is_where_the_dancer_is_left_blue_right_orange():
    picture = Overlay(standing(np.arange(3) / 30)).draw(GREY, 0.0)
    rows, columns = np.nonzero(changed(picture))
    assert abs(columns.mean() / 301 - 0.5) < 0.03 and rows.min() > 0.12 * 201 and rows.max() < 0.99 * 201
    assert columns.min() > 0.38 * 301 and columns.max() < 0.62 * 301
    redder = picture[..., 0].astype(int) - picture[..., 2]
    assert np.nonzero(redder < -60)[1].mean() > 155 > 145 > np.nonzero(redder > 60)[1].mean()
    assert (GREY == 120).all()


def test_between_frames_the_skeleton_is_between():
    overlay = Overlay(standing(np.array([0.0, 0.1]), shift=0.1))
    middle = overlay.landmarks_at(0.05)
    np.testing.assert_allclose(middle[0, 0], 0.55)
    assert overlay.landmarks_at(0.25) is not None and overlay.landmarks_at(0.35) is None


def test_nothing_is_drawn_where_nobody_was_seen_or_hardly():
    landmarks = standing(np.arange(60) / 30)
    landmarks.seen[20:40] = False
    overlay = Overlay(landmarks)
    assert overlay.draw(GREY, 1.0) is GREY and changed(overlay.draw(GREY, 0.1)).any()
    landmarks.image[..., 2] = 0.1
    assert not changed(Overlay(landmarks).draw(GREY, 0.1)).any()


def test_dancer_outside_the_picture():
    landmarks = standing(np.arange(3) / 30)
    landmarks.image[..., 0] += 3
    assert not changed(Overlay(landmarks).draw(GREY, 0.0)).any()


def test_joints_light_up_on_the_beat():
    overlay = Overlay(standing(np.arange(60) / 30), beats_s=[1.0])
    lit, dark = (changed(overlay.draw(GREY, time_s)).sum() for time_s in (1.0, 0.9))
    assert lit > 1.02 * dark


def test_film_keeps_uneven_times_and_an_odd_size(tmp_path):
    times_s = np.cumsum(np.random.default_rng(0).uniform(0.02, 0.05, 60)) - 0.02
    times_s -= times_s[0]
    frames = with_skeleton((Frame(GREY, float(t)) for t in times_s), standing(times_s))
    path = write_timed_video(frames, clicks(), tmp_path / "a.mp4")
    after_s, pictures = decoded(path)
    np.testing.assert_allclose(after_s, times_s, atol=1e-4)
    assert (pictures[0].width, pictures[0].height) == (302, 202)
    assert abs(pictures[0].to_ndarray(format="rgb24")[5, 5].astype(int) - 120).max() < 6
    click_s, sound_s = heard(path)
    assert np.abs(click_s[:, None] - CLICKS_S).min(axis=0).max() < 0.005
    assert abs(sound_s - times_s[-1] - 0.035) < 0.02
