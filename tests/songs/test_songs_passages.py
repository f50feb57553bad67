"""The passage of the right tempo, energy and genre is chosen; short songs are repeated by phrases."""

import numpy as np
import pytest

from d2m.rhythm.grid import BeatGrid
from d2m.songs.listening import Song
from d2m.songs.passages import DanceBars, at_level, nearest_tempo, passages


def song(
    bpm: float, beats: int = 96, downbeat: int | None = 1, energy: list[float] | None = None, **more: float
) -> Song:
    bars = np.repeat(np.array(energy or [0.0] * 99, float), 4)[: beats - (downbeat or 0)]
    levels = tuple([0.0] * (beats - len(bars)) + bars.tolist())
    return Song(
        beats * 60 / bpm + 1,
        tuple((0.5 + np.arange(beats) * 60 / bpm).tolist()),
        1.0,
        downbeat,
        energy_db=levels,
        genre=more,
    )


def dance(bpm: float = 120, bars: int = 4, energy: list[float] | None = None, **genre: float) -> DanceBars:
    beats_s = 0.1 + np.arange(bars * 4) * 60 / bpm
    curve = np.array(energy or [0.0, 1.0, 2.0, 1.0][:bars] + [0.0] * (bars - 4))
    return DanceBars(beats_s, 0, curve, float(beats_s[-1] + 60 / bpm), genre=genre)


def test_energy_chooses_the_passage_and_bars_fall_on_bars():
    found = passages({"a": song(118, energy=[5, 5, 0, 1, 2, 1, 5, 5, 5, 5] * 3)}, dance())
    assert found[0].start in (1 + 4 * 2, 1 + 4 * 12) and found[0].scores["energy"] == pytest.approx(1)
    (laid,) = found[0].laid_under(dance())
    assert laid.out_s[0] == 0.1 and laid.source_s[0] == pytest.approx(0.5 + 9 * 60 / 118)
    starts_s = [one.beats_s[one.start] for one in found]
    assert min(np.abs(np.subtract.outer(starts_s, starts_s))[np.triu_indices(len(starts_s), 1)], default=99) > 15


def test_genre_and_stretch_decide_between_songs():
    songs = {"near": song(121, gHO=1.0), "far": song(133, gHO=1.0), "other": song(120, gHO=0.0)}
    assert [one.song for one in passages(songs, dance(gHO=1.0))][:1] == ["near"]
    best = {}
    for one in passages(songs, dance(gHO=1.0)):
        best.setdefault(one.song, one.scores["total"])
    assert best["near"] > best["far"] > best["other"]


@pytest.mark.parametrize(("bpm", "level"), [(60, "double"), (236, "half"), (110, "")])
def test_half_and_double_count(bpm, level):
    found = passages({"a": song(bpm)}, dance())
    assert found and {one.level for one in found} == {level}
    assert found[0].stretch == pytest.approx(bpm * {"double": 2, "half": 0.5, "": 1}[level] / 120)
    levelled = at_level(song(bpm), level)
    assert np.median(np.diff(levelled.beats_s)) == pytest.approx(0.5, rel=0.13)
    assert len(levelled.energy_db) == len(levelled.beats_s)


@pytest.mark.parametrize("bpm", [104, 137, 80])
def test_no_song_near_the_tempo(bpm):
    songs = {"a": song(bpm), "b": song(bpm + 500)}
    assert not passages(songs, dance())
    name, near_bpm, share = nearest_tempo(songs, 120)
    assert name == "a" and near_bpm == pytest.approx(bpm if bpm > 90 else 160, rel=0.01)
    assert share == pytest.approx(near_bpm / 120 - 1)


@pytest.mark.parametrize(("beats", "phrase"), [(40, 32), (20, 16), (12, 8)])
def test_short_song_is_repeated_by_phrases(beats, phrase):
    long = dance(bars=14)
    best = passages({"a": song(120, beats)}, long)[0]
    assert best.phrase == phrase
    stretches = best.laid_under(long)
    starts = [int(np.searchsorted(long.beats_s, one.out_s[0])) for one in stretches]
    assert starts == list(range(0, 56, phrase))
    assert all(one.source_s[0] == best.beats_s[best.start] for one in stretches)
    assert all(len(one.out_s) == len(one.source_s) for one in stretches)
    assert best.as_json(long)["repeated_after_beats"] == phrase


def test_downbeat_of_a_dance_is_where_it_moves_most():
    features = np.zeros((720, 219), np.float32)
    features[:, 3:] = np.tile(np.eye(3).reshape(-1), 24)
    grid = BeatGrid.regular(120, 0.25, 12)
    for beat_s in 0.25 + 0.5 * np.arange(2, 24, 4):
        features[round(beat_s * 60) : round(beat_s * 60) + 28, 0] += np.linspace(0, 1, 28)
        features[round(beat_s * 60) + 28 :, 0] += 1
    found = DanceBars.of(features, grid, None)
    assert (found.beats_s[found.downbeat] - 0.25) / 0.5 % 4 == pytest.approx(2) and found.downbeat_confidence > 0.5
    still = DanceBars.of(np.zeros((720, 219), np.float32), grid, None)
    assert still.downbeat_confidence == 0 and still.beats_s[still.downbeat] >= 0
