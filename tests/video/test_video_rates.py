"""A dance has the same beats at every frame rate of its film, even or not, whoever encoded it."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from tests_support_video import landmarks_of

from d2m.data.synthetic.dances import choreograph
from d2m.data.synthetic.songs import Song, render_song
from d2m.motion.dance import Dance
from d2m.motion.landmarks import Landmarks, smooth_world
from d2m.rhythm.grid import BeatReading
from d2m.rhythm.reader import RhythmReader, load_reader
from d2m.video.video_dance import dance_of_landmarks

SECONDS, FINE_FPS = 8.0, 480


@pytest.fixture(scope="module")
def dance() -> Dance:
    song = render_song(Song("mHO5"), SECONDS)
    made = choreograph("gHO", song.beats_s, 0, SECONDS, dancer=4, seed=3)
    return Dance.from_smpl(made.poses, made.trans)


@pytest.fixture(scope="module")
def reader() -> RhythmReader:
    return load_reader("demo")


def filmed(fine: Landmarks, times_s: np.ndarray) -> Landmarks:
    """The frames of a film that are nearest to some times."""
    chosen = np.unique(np.clip(np.round(times_s * FINE_FPS).astype(int), 0, len(fine.times_s) - 1))
    arrays = (fine.image[chosen], fine.world[chosen], fine.times_s[chosen], fine.seen[chosen])
    return replace(fine, **dict(zip(("image", "world", "times_s", "seen"), arrays, strict=True)))


def uneven_s() -> np.ndarray:
    """Frames 8 to 60 a second, as a phone in the dark takes them."""
    steps_s = 1 / np.exp(np.random.default_rng(7).uniform(np.log(8), np.log(60), 500))
    times_s = np.concatenate([[0.0], np.cumsum(steps_s)])
    return times_s[times_s < SECONDS]


def read(reader: RhythmReader, landmarks: Landmarks) -> BeatReading:
    return reader.read(torch.from_numpy(dance_of_landmarks(landmarks).features)).beats()


@pytest.fixture(scope="module")
def at_60(dance: Dance, reader: RhythmReader) -> BeatReading:
    fine = landmarks_of(dance.features, fps=FINE_FPS, noise_m=0.003)
    return read(reader, filmed(fine, np.arange(0, SECONDS, 1 / 60)))


@pytest.mark.parametrize(("fps", "limit_s"), [(10, 0.03), (23.976, 0.02), ("uneven", 0.02), ("encoded again", 0.02)])
def test_beats_do_not_move_with_the_frame_rate(
    dance: Dance, reader: RhythmReader, at_60: BeatReading, fps: float | str, limit_s: float
) -> None:
    seed = 1 if fps == "encoded again" else 0  # a detector's errors are others in other pixels
    fine = landmarks_of(dance.features, fps=FINE_FPS, noise_m=0.003, seed=seed)
    times_s = uneven_s() if fps == "uneven" else np.arange(0, SECONDS, 1 / (fps if not isinstance(fps, str) else 60))
    found = read(reader, filmed(fine, times_s))
    assert at_60.confidence > 0.3
    moved_s = np.abs(found.grid.within(SECONDS)[:, None] - at_60.grid.beats_s).min(axis=1)
    assert moved_s.max() < limit_s and abs(found.grid.bpm / at_60.grid.bpm - 1) < 0.02


def test_a_frame_rate_is_no_rhythm() -> None:
    """Of a hand that goes round evenly at 12 frames a second, no frame is heard: its speed stays even."""
    times_s = np.arange(0, 4, 1 / 12)
    world = np.zeros((len(times_s), 33, 3))
    angle = 2 * np.pi * 0.8 * times_s[:, None]
    world[:, :, 0], world[:, :, 1] = 0.5 * np.cos(angle), 0.5 * np.sin(angle)
    shape = (len(times_s), 33, 3)
    landmarks = Landmarks(np.ones(shape), world, times_s, np.ones(len(times_s), bool), (640, 480))
    speed = np.linalg.norm(np.diff(smooth_world(landmarks), axis=0), axis=-1)[20:-20, 0] * 60
    assert speed.std() < 0.01 * speed.mean()
