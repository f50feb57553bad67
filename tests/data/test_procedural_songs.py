"""The procedural music is music: a tracker finds its true beats in every genre, and its level is sane."""

import numpy as np
import pytest

from d2m.core.aist_names import GENRES
from d2m.core.music import Music
from d2m.data.synthetic.songs import RETIMED_BPM, Song, render_song, song_list
from d2m.metrics.beat_tracker import track_beats_s
from d2m.metrics.beats import beat_f


@pytest.mark.parametrize("genre", GENRES)
def test_a_tracker_finds_the_true_beats(genre: str) -> None:
    scores = []
    for song in [s for s in song_list()["retimed"] if s.genre == genre][::2]:
        rendered = render_song(song, 12.0)
        heard = track_beats_s(Music(rendered.waveform, rendered.sample_rate))
        scores.append(beat_f(rendered.beats_s, heard, 0.07))
    assert np.mean(scores) >= 0.8


@pytest.mark.parametrize("genre", GENRES)
def test_level_and_clipping(genre: str) -> None:
    wave = render_song(Song(f"m{genre[1:]}1"), 8.0).waveform
    assert wave.shape == (2, 352800) and np.isfinite(wave).all()
    assert 0.8 <= np.abs(wave).max() <= 0.9
    assert 0.05 <= np.sqrt(np.mean(wave**2)) <= 0.4 and abs(wave.mean()) < 0.02
    assert np.abs(wave[0] - wave[1]).max() > 0.01  # stereo


def test_a_song_is_fixed_by_its_code() -> None:
    first, again = (render_song(Song("mPO3"), 4.0).waveform for _ in range(2))
    assert np.array_equal(first, again)
    assert not np.allclose(first[:, :1000], render_song(Song("mPO1"), 4.0).waveform[:, :1000])


def test_held_out_songs_and_tempi_are_not_in_training() -> None:
    songs = song_list()
    trained = {song.code for song in songs["train"]}
    assert not trained & {song.code for split in ("val", "test", "retimed") for song in songs[split]}
    assert not {song.bpm for song in songs["train"]} & set(RETIMED_BPM)
