"""A film gets new sound: its packets, times and rotation stay; what an mp4 cannot hold is encoded again, on time."""

import logging

import av
import numpy as np
import pytest
from tests_support_films import CLICKS_S, clicks, decoded, heard, write_film

from d2m.core.errors import BadInput
from d2m.render.mux import film_with_music


def packets(path):
    with av.open(str(path)) as film:
        return [bytes(packet) for packet in film.demux(film.streams.video[0]) if packet.size]


@pytest.mark.parametrize(
    "film",
    [
        {"name": "phone.mp4", "rotation": 90},
        {"name": "late.mp4", "first_pts": 45_000},
        {"name": "hevc.mov", "codec": "libx265"},
        {"name": "b 'é=,\".mkv", "first_pts": 45_000},
        {"name": "12:30.mp4", "uneven": False},
    ],
    ids=lambda film: film["name"],
)
def test_pictures_are_copied_and_the_sound_is_on_time(tmp_path, caplog, film):
    source = write_film(tmp_path / film.pop("name"), **film)
    with caplog.at_level(logging.WARNING):
        out = film_with_music(source, clicks(), tmp_path / "out.mp4")
    assert not caplog.messages
    if source.suffix != ".mov":
        assert packets(out) == packets(source)
    (before_s, before), (after_s, after) = decoded(source), decoded(out)
    np.testing.assert_allclose(after_s, before_s, atol=1e-3 if source.suffix == ".mkv" else 1e-5)
    assert [frame.rotation for frame in after[:2]] == [frame.rotation for frame in before[:2]]
    if "rotation" in film:
        assert after[0].rotation == 90
    click_s, sound_s = heard(out)
    assert np.abs(click_s[:, None] - CLICKS_S).min(axis=0).max() < 0.005  # every click is there …
    assert np.abs(click_s[:, None] - CLICKS_S).min(axis=1).max() < 0.005  # … and nothing of the old sound
    assert abs(sound_s - (after_s[-1] + 1 / 30)) < 0.02


def test_pictures_before_the_cut_of_an_edit_list_stay_hidden(tmp_path):
    source = write_film(tmp_path / "cut.mp4", trimmed_pts=30_000, has_sound=False)
    out = film_with_music(source, clicks(), tmp_path / "out.mp4")
    before_s, after_s = decoded(source)[0], decoded(out)[0]
    assert len(before_s) < 60
    np.testing.assert_allclose(after_s, before_s, atol=1e-5)
    assert np.abs(heard(out)[0] - CLICKS_S[0]).min() < 0.005


@pytest.fixture(autouse=True)
def log_as_imported():
    """Hydra, run in a test before, switches off the loggers that it finds (`disable_existing_loggers`)."""
    logging.getLogger("d2m.render.mux").disabled = False


def test_no_picture_of_an_avi_with_b_pictures_is_lost(tmp_path, caplog):
    source = write_film(tmp_path / "b.avi", uneven=False, has_sound=False)
    with caplog.at_level(logging.WARNING):
        out = film_with_music(source, clicks(), tmp_path / "out.mp4")
    assert "encoded again" in caplog.text
    times_s, pictures = decoded(out)
    np.testing.assert_allclose(times_s, np.arange(60) / 30, atol=1e-3)
    green = [picture.to_ndarray(format="rgb24")[-5, -5, 1].astype(int) for picture in pictures]
    assert np.corrcoef(green, np.arange(60))[0, 1] > 0.999 and (np.diff(green) > 0).mean() > 0.9


@pytest.mark.parametrize(("name", "codec"), [("a.webm", "libvpx-vp9"), ("a.avi", "mpeg4"), ("a.ts", "libx264")])
def test_what_an_mp4_cannot_hold_is_encoded_again(tmp_path, caplog, name, codec):
    source = write_film(tmp_path / name, codec, uneven=name != "a.avi")
    with caplog.at_level(logging.WARNING):
        out = film_with_music(source, clicks(), tmp_path / "out.mp4")
    assert len(caplog.messages) == 1 and name in caplog.messages[0] and "encoded again" in caplog.messages[0]
    (before_s, before), (after_s, after) = decoded(source), decoded(out)
    np.testing.assert_allclose(after_s, before_s, atol=1e-3)
    pair = [frames[40].to_ndarray(format="rgb24").astype(float) for frames in (before, after)]
    assert np.abs(pair[0] - pair[1]).mean() < 12
    click_s, sound_s = heard(out)
    assert np.abs(click_s[:, None] - CLICKS_S).min(axis=0).max() < 0.005
    assert abs(sound_s - (after_s[-1] + 1 / 30)) < 0.02


def test_short_music_is_followed_by_silence(tmp_path):
    source = write_film(tmp_path / "a.mp4")
    out = film_with_music(source, clicks(1.9), tmp_path / "out.mp4")
    assert abs(heard(out)[1] - decoded(out)[0][-1] - 1 / 30) < 0.02


def test_what_is_no_film_leaves_nothing(tmp_path):
    (tmp_path / "a.mp4").write_text("not a film")
    with pytest.raises(BadInput, match=r"a\.mp4"):
        film_with_music(tmp_path / "a.mp4", clicks(), tmp_path / "out.mp4")
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]
