"""From a video file to a dance; landmarks that were saved stand in for the detector, which sees nobody in a drawing."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tests_support_video import drawn, landmarks_of, points_of, write_clip

from d2m.core.errors import BadInput
from d2m.data.synthetic.dances import choreograph
from d2m.data.synthetic.songs import Song, render_song
from d2m.motion.dance import Dance
from d2m.motion.features import joint_positions_of, rotations_to_features
from d2m.motion.keypoints import body_points, in_metres
from d2m.motion.landmarks import Landmarks
from d2m.pipeline import Dance2Music, dance_reading
from d2m.video.reader import Frame
from d2m.video.video_dance import _MAX_FPS, _at_most, dance_of_landmarks, dance_of_video

SECONDS = 4.0


@pytest.fixture(scope="module")
def dance() -> Dance:
    song = render_song(Song("mHO5"), SECONDS)
    made = choreograph("gHO", song.beats_s, 0, SECONDS, dancer=4, seed=3)
    return Dance.from_smpl(made.poses, made.trans)


@pytest.fixture(scope="module")
def filmed(dance: Dance, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A phone's clip, stored on its side with uneven frames, and its landmarks in a file."""
    folder = tmp_path_factory.mktemp("filmed")
    landmarks = landmarks_of(dance.features, fps=29.7, noise_m=0.005, dropped=0.05, uneven_s=0.004, size=(240, 320))
    pictures = [np.rot90(drawn(landmarks, number)) for number in range(len(landmarks.times_s))]
    clip = write_clip(folder / "my dance = 'ü'.mp4", pictures, landmarks.times_s, clockwise_deg=90)
    return clip, landmarks.save(folder / "seen.npz")


def test_a_filmed_dance(dance: Dance, filmed: tuple[Path, Path]) -> None:
    clip, saved = filmed
    shares: list[float] = []
    video = dance_of_video(clip, landmarks=saved, progress=shares.append)
    assert video.dance.name == "my dance = 'ü'" and video.dance.features.dtype == np.float32
    assert abs(video.dance.seconds - video.video.seconds) < 0.05 and abs(video.dance.seconds - SECONDS) < 0.05
    assert (video.video.width, video.video.height, video.video.rotation_deg) == (240, 320, 90)
    assert 0.9 < video.seen_share < 1 and 0 < video.segment_error_m < 0.04
    assert shares[0] == 0 and shares[-1] == 1


def test_beats_are_read_from_the_picture(dance: Dance) -> None:
    """What is lifted is off by up to 100 ms on real dances; the points of the picture are where they were."""
    found = dance_of_landmarks(landmarks_of(dance.features)).points
    assert found is not None
    at_60 = landmarks_of(dance.features, fps=60.0)
    true = in_metres(body_points(at_60.image[..., :2] * np.array(at_60.size)))
    apart = np.linalg.norm(found - true, axis=-1)
    assert apart.mean() < 0.005 and np.percentile(apart, 99) < 0.03


def test_the_film_s_points_are_what_a_system_reads(dance: Dance) -> None:
    model = Dance2Music.load("demo", settings={"steps": 1})
    film = dance_of_landmarks(landmarks_of(dance.features))
    assert film.points is not None
    read = dance_reading(model.music_generator, film)
    expected = model.music_generator.read_seen(torch.from_numpy(film.points).float())
    assert read is not None and expected is not None and read.beats is not None and expected.beats is not None
    assert np.array_equal(read.beats.activation, expected.beats.activation)
    flat = dance_reading(model.music_generator, replace(film, points=None))
    assert flat is not None and flat.beats is not None
    assert not np.array_equal(flat.beats.activation, expected.beats.activation)


def test_where_the_time_line_is_cut(filmed: tuple[Path, Path]) -> None:
    clip, saved = filmed
    video = dance_of_video(clip, name="first", landmarks=saved, max_seconds=2.0)
    assert video.dance.name == "first" and video.dance.seconds == pytest.approx(2.0, abs=0.05)


def test_landmarks_of_another_video(filmed: tuple[Path, Path], tmp_path: Path) -> None:
    clip, saved = filmed
    other = Landmarks.load(saved).until(2.5).save(tmp_path / "other.npz")
    with pytest.raises(BadInput, match=r"other\.npz: found landmarks of 2\.5"):
        dance_of_video(clip, landmarks=other)


def test_the_dancer_stands_on_the_floor_and_faces_the_front(dance: Dance) -> None:
    found = dance_of_landmarks(landmarks_of(dance.features))
    joints = joint_positions_of(found.features.astype(np.float64))
    lowest = joints[..., 1].min(axis=1)
    assert abs(np.median(lowest) - 0.02) < 0.02 and lowest.min() > -0.03
    ahead = found.features[:, 3:12].reshape(-1, 3, 3)[:, :, 2].mean(axis=0)
    assert abs(ahead[0]) < 1e-3 < ahead[2]
    assert np.abs(found.features[:, [0, 2]].mean(axis=0)).max() < 1e-3


def test_turning_the_camera_changes_nothing(dance: Dance) -> None:
    """The dancer filmed from 50 degrees aside: the same rotations, but for the picture's part in the path."""
    turn = np.radians(50)
    matrix = np.array([[np.cos(turn), 0, np.sin(turn)], [0, 1, 0], [-np.sin(turn), 0, np.cos(turn)]])
    features = dance.features.astype(np.float64)
    rotations = features[:, 3:].reshape(-1, 24, 3, 3).copy()
    rotations[:, 0] = matrix @ rotations[:, 0]
    turned = rotations_to_features(rotations, features[:, :3] @ matrix.T)
    a, b = dance_of_landmarks(landmarks_of(dance.features)), dance_of_landmarks(landmarks_of(turned))
    assert np.abs(a.features[:, 3:] - b.features[:, 3:]).max() < 0.02
    assert np.abs(a.features[:, 1] - b.features[:, 1]).max() < 0.1


def test_a_jump_leaves_the_floor() -> None:
    height = np.zeros(180)
    height[80:104] = 0.3 * np.sin(np.pi * np.arange(24) / 24)
    rotations = np.tile(np.eye(3), (180, 24, 1, 1))
    path = np.stack([np.zeros(180), 0.9 + height, np.zeros(180)], axis=-1)
    found = dance_of_landmarks(landmarks_of(rotations_to_features(rotations, path), noise_m=0.003)).features[:, 1]
    assert 0.1 < found[92] - np.median(found) < 0.32 and np.abs(found[:60] - np.median(found)).max() < 0.03


def test_a_walk_to_the_left_of_the_dancer_goes_there(dance: Dance) -> None:
    features = dance.features.copy()
    features[:, 0] += np.linspace(0, 1.5, len(features), dtype=np.float32)
    found = dance_of_landmarks(landmarks_of(features)).features[:, 0]
    assert 0.8 < found[-30:].mean() - found[:30].mean() < 2.2


def test_nobody_in_most_frames(dance: Dance) -> None:
    landmarks = landmarks_of(dance.features)
    landmarks.seen[: int(0.6 * len(landmarks.seen))] = False
    with pytest.raises(BadInput, match=r"found a person in 40% of the frames, expected at least 50%"):
        dance_of_landmarks(landmarks, "clip")
    landmarks.seen[:] = False
    with pytest.raises(BadInput, match="0% of the frames"):
        dance_of_landmarks(landmarks)


def test_too_short(dance: Dance) -> None:
    with pytest.raises(BadInput, match="at least 1 s"):
        dance_of_landmarks(landmarks_of(dance.features).until(0.9))


def test_one_seen_frame_is_enough_for_the_maths(dance: Dance) -> None:
    landmarks = landmarks_of(dance.features[:90])
    world = points_of(dance.features[:1])[0]
    assert world.shape == (33, 3)
    landmarks.seen[:] = False
    landmarks.seen[0] = True
    from d2m.motion.landmarks import smooth_world

    assert np.isfinite(smooth_world(landmarks)).all()


def test_a_drawing_shows_nobody(filmed: tuple[Path, Path], tmp_path: Path) -> None:
    pytest.importorskip("mediapipe")
    saved = tmp_path / "landmarks.npz"
    with pytest.raises(BadInput, match="of the frames, expected at least 50%"):
        dance_of_video(filmed[0], landmarks=saved, max_seconds=1.2)
    assert Landmarks.load(saved).seen_share < 0.5  # the slow step is not repeated when the same clip comes again


@pytest.mark.parametrize(("fps", "kept"), [(59.94, 240), (60, 240), (120, 240), (240, 240), (30, 120)])
def test_no_frame_of_60_a_second_is_passed_over_for_its_rounded_time(fps: float, kept: int) -> None:
    """Matroska rounds times to milliseconds, so that some frames of a film of 60 a second are 16 ms apart."""
    picture, times_s = np.zeros((2, 2, 3), np.uint8), np.round(np.arange(4 * fps) / fps, 3)
    found = list(_at_most(_MAX_FPS, iter([Frame(picture, float(time_s)) for time_s in times_s])))
    assert abs(len(found) - kept) <= 12
