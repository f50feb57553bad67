"""The picture under the player: the wave where the sound is, a mark at every beat."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from d2m.core.music import Music
from d2m.web.jobs import DANCE, MUSIC, draw_waveform, envelope, save_waveform


def a_late_burst() -> Music:
    """Two seconds, silent but for the third quarter."""
    wave = np.zeros((2, 16000), np.float32)
    wave[:, 8000:12000] = 0.25 * np.sin(np.arange(4000) / 3)
    return Music(wave, 8000)


def test_the_envelope_shows_where_the_sound_is() -> None:
    low, high = envelope(a_late_burst(), 40)
    loud = high - low > 0.5
    assert loud[21:29].all() and not loud[:19].any() and not loud[31:].any()
    assert np.isclose(max(high.max(), -low.min()), 1.0)


def test_silence_and_no_beats_are_drawn_too(tmp_path: Path) -> None:
    path = save_waveform(Music(np.zeros((1, 8000), np.float32), 8000), [], [], tmp_path / "silence.png")
    assert Image.open(path).size[0] > 600


def test_every_beat_has_its_mark_and_those_past_the_end_have_none() -> None:
    axis = Figure().subplots()
    draw_waveform(axis, a_late_burst(), [0.5, 1.0, 1.5, 9.0], np.array([0.25, 1.9]))
    lines = [segment[0][0] for segment in axis.collections[1].get_segments()]
    assert lines == [0.5, 1.0, 1.5]
    assert list(axis.lines[0].get_xdata()) == [0.25, 1.9]
    assert axis.get_xlim() == (0.0, 2.0)


def test_the_picture_holds_both_colours(tmp_path: Path) -> None:
    path = save_waveform(a_late_burst(), [0.5, 1.0], [0.75], tmp_path / "wave.png")
    pixels = np.asarray(Image.open(path).convert("RGB")).reshape(-1, 3)
    for colour in (MUSIC, DANCE):
        wanted = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
        assert (np.abs(pixels.astype(int) - wanted).max(axis=1) < 12).sum() > 50
    assert list(tmp_path.iterdir()) == [path]
