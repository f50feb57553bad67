"""Posters: four moments side by side, or a loop; the right moments, from pictures that come one at a time."""

import numpy as np
import pytest
from PIL import Image

from d2m.core.errors import BadConfig
from d2m.motion.dance import Dance
from d2m.render.plots import dance_pictures, poster_times_s, write_poster
from d2m.video.reader import Frame


def brighter(seconds: float, fps: float = 25.0):
    """Pictures whose grey level tells their time: 20 a second."""
    for number in range(int(seconds * fps)):
        yield Frame(np.full((90, 160, 3), min(255, round(20 * number / fps)), np.uint8), number / fps)


def test_png_shows_four_moments(tmp_path):
    sheet = Image.open(write_poster(brighter(8), 8, tmp_path / "a.png", height=45))
    assert sheet.size == (4 * 80 + 3 * 6, 45)
    levels = [sheet.getpixel((40 + 86 * moment, 20))[0] for moment in range(4)]
    np.testing.assert_allclose(levels, [20, 60, 100, 140], atol=2)


def test_gif_is_four_seconds_of_the_middle(tmp_path):
    loop = Image.open(write_poster(brighter(10), 10, tmp_path / "a.gif"))
    assert loop.info["loop"] == 0
    levels, shown_ms = [], 0
    for frame in range(loop.n_frames):  # like pictures that follow each other are one
        loop.seek(frame)
        shown_ms += loop.info["duration"]
        levels.append(loop.convert("RGB").getpixel((10, 10))[0])
    assert shown_ms == 4000 and levels == sorted(levels)
    np.testing.assert_allclose([levels[0], levels[-1]], [60, 140], atol=12)


def test_only_the_chosen_pictures_are_drawn(tmp_path):
    drawn = []
    write_poster(brighter(8), 8, tmp_path / "a.png", drawn=lambda frame: drawn.append(frame.time_s) or frame)
    np.testing.assert_allclose(drawn, poster_times_s(8, False), atol=0.05)


def test_clip_that_ends_early_repeats_its_last_picture(tmp_path):
    assert Image.open(write_poster(brighter(1), 8, tmp_path / "a.png")).size[0] == 4 * 160 + 18


def test_poster_of_a_dance(tmp_path):
    poses, trans = np.zeros((120, 72)), np.tile([0, 0.95, 0], (120, 1))
    dance = Dance.from_smpl(poses, trans, 60, "still")
    picture = Image.open(write_poster(dance_pictures(dance, size=(120, 120)), 2.0, tmp_path / "a.png"))
    assert picture.size == (4 * 120 + 18, 120) and len(picture.getcolors(100_000)) > 50


def test_other_suffix_and_no_pictures_are_refused(tmp_path):
    with pytest.raises(BadConfig, match=r"\.png or \.gif"):
        write_poster(brighter(2), 2, tmp_path / "a.jpg")
    with pytest.raises(BadConfig, match="at least one picture"):
        write_poster(iter(()), 2, tmp_path / "a.png")
    assert not list(tmp_path.iterdir())
