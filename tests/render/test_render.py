"""Rendering: films are as long as their dance and sound on time; pictures show the dance; plots put beats where they are."""

import io
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from d2m.core.music import Music
from d2m.motion.dance import Dance
from d2m.render.plots import envelope, spectrogram_pair
from d2m.render.skeleton import Stage, render_dance, save_poster

SIZE = (160, 160)
BEATS_S = np.array([0.5, 1.0, 1.5])


def dance(seconds: float = 2.0, genre: str | None = "gBR") -> Dance:
    """Somebody who raises the left arm and steps forward."""
    frames = round(seconds * 60)
    poses = np.zeros((frames, 72))
    poses[:, 16 * 3 + 2] = np.linspace(-1.2, 1.2, frames)
    trans = np.stack([np.zeros(frames), np.full(frames, 0.95), np.linspace(0, 0.4, frames)], axis=1)
    return Dance.from_smpl(poses, trans, 60, "arm", genre)


def clicks(seconds: float, rate: int = 22050, channels: int = 1) -> Music:
    """Half a second apart, from 0.5 s on."""
    wave = np.zeros((channels, round(seconds * rate)), np.float32)
    for second in np.arange(0.5, seconds - 0.01, 0.5):
        wave[:, round(second * rate)] = 0.9
    return Music(wave, rate)


def click_times_s(stream: io.BytesIO | Path) -> np.ndarray:
    """Times of the loudest sample in the quarter second around each click of the first sound track."""
    with av.open(stream if isinstance(stream, io.BytesIO) else str(stream)) as container:
        frames = list(container.decode(audio=0))
    wave = np.abs(np.concatenate([frame.to_ndarray() for frame in frames], axis=1)[0])
    rate = frames[0].sample_rate
    starts = [second - 0.125 for second in BEATS_S]
    return np.array([s + np.argmax(wave[round(s * rate) : round((s + 0.25) * rate)]) / rate for s in starts])


@pytest.mark.parametrize(("seconds", "music_seconds"), [(2.0, 2.0), (2.0, 3.1), (121 / 60, 1.8)])
def test_film_and_sound_are_as_long_as_the_dance(tmp_path, seconds, music_seconds):
    path = render_dance(dance(seconds), clicks(music_seconds), tmp_path / "a.mp4", "t", BEATS_S, SIZE, progress=False)
    with av.open(str(path)) as film:
        video, audio = film.streams.video[0], film.streams.audio[0]
        assert (video.codec_context.name, audio.codec_context.name) == ("h264", "aac")
        assert (video.width, video.height) == SIZE
        lengths_s = [float(stream.duration * stream.time_base) for stream in (video, audio)]
        assert len(list(film.decode(video=0))) == round(seconds * 30)
    assert abs(lengths_s[0] - lengths_s[1]) <= 0.02
    assert abs(lengths_s[0] - seconds) <= 1 / 30
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


def test_sound_of_a_film_is_on_time(tmp_path):
    path = render_dance(dance(), clicks(2.0), tmp_path / "a.mp4", size=SIZE, progress=False)
    np.testing.assert_allclose(click_times_s(path), BEATS_S, atol=0.003)


def test_silent_film_has_no_sound_track(tmp_path):
    path = render_dance(dance(1.0), None, tmp_path / "a.mp4", size=SIZE, progress=False)
    with av.open(str(path)) as film:
        assert not film.streams.audio


def test_failed_film_leaves_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.setattr(Stage, "draw", lambda self, frame: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        render_dance(dance(1.0), None, tmp_path / "a.mp4", size=SIZE, progress=False)
    assert not list(tmp_path.iterdir())


def test_picture_shows_left_and_right_and_the_movement():
    stage = Stage(dance(), (200, 200), "", ())
    first, last = (stage.draw(frame).astype(int) for frame in (0, 119))
    blue, orange = first[..., 2] - first[..., 0] > 60, first[..., 0] - first[..., 2] > 60
    assert np.nonzero(blue)[1].mean() > 100 > np.nonzero(orange)[1].mean()  # the dancer faces us: left is on the right
    raised = last[..., 2] - last[..., 0] > 60
    assert np.nonzero(raised)[0].min() < np.nonzero(blue)[0].min() - 20


def test_dancer_who_walks_away_stays_in_the_picture():
    walker = dance(8.0)
    features = walker.features.copy()
    features[:, 0] = np.linspace(-6, 6, len(features))
    stage = Stage(Dance(features, "walker"), (200, 200), "", ())
    pelvis = stage.joints[:, 0, 0] / stage.width
    assert pelvis.min() > 0.2 and pelvis.max() < 0.8


def test_beats_are_seen():
    with_beat, without = Stage(dance(), SIZE, "", [1.0]), Stage(dance(), SIZE, "", ())
    yellow = [int((p[..., 0].astype(int) - p[..., 2] > 100).sum()) for p in (with_beat.draw(61), without.draw(61))]
    assert yellow[0] > yellow[1] + 50


def test_poster(tmp_path):
    picture = Image.open(save_poster(dance(genre=None), tmp_path / "a.png", second=99, size=SIZE))
    assert picture.size == SIZE and len(set(picture.getdata())) > 20


def test_envelope_is_the_peak_of_each_part():
    music = Music(np.concatenate([np.full((1, 50), 0.2), np.full((1, 50), -0.7)], axis=1).astype(np.float32), 100)
    np.testing.assert_allclose(envelope(music, 2), [0.2, 0.7], rtol=1e-6)


def test_spectrogram_pair_is_a_png():
    assert Image.open(io.BytesIO(spectrogram_pair(clicks(1.0), clicks(1.0)))).width > 600
