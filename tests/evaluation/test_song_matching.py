"""Ranks of a dance's own music: the right one first, ties in the middle, other copies of the song no rivals, chance beside."""

import numpy as np
import pytest
import torch

from d2m.evaluation.analysis import AudioAnalysis, GenreGuess
from d2m.evaluation.song_matching import SeenDance, beats_fit, energy_fit, matching, rank_of
from d2m.evaluation.tables import retrieval_line
from d2m.rhythm.grid import beat_curve
from d2m.rhythm.reader import READER_FPS

SECONDS = 12
PERIODS_S = {"a": 0.5, "b": 0.6, "c": 0.68, "d": 0.45}


def beats(song: str, first_s: float = 0.2) -> np.ndarray:
    return np.arange(first_s, SECONDS, PERIODS_S[song])


def seen(song: str) -> SeenDance:
    genre = np.roll(torch.eye(10, dtype=torch.double)[0].numpy(), "abcd".index(song))
    curve = beat_curve(beats(song), round(SECONDS * READER_FPS), READER_FPS)
    return SeenDance(song, curve, np.sin(np.arange(SECONDS) + PERIODS_S[song] * 20), genre)


def piece(song: str) -> AudioAnalysis:
    level = np.repeat(seen(song).speed, 43)[None].repeat(3, 0)
    return AudioAnalysis(beats(song), log_mel=level, genre=GenreGuess("", seen(song).genre))


def test_true_piece_is_first_by_every_term():
    found = matching({song: seen(song) for song in "abcd"}, {song: piece(song) for song in "abcd"}, 200, 0)
    assert found is not None
    for term in ("beats", "energy", "genre", "all"):
        assert found[term]["auc"]["mean"] == 1 and found[term]["mean_rank"] == 1 and found[term]["first"] == 1
    assert found["candidates"] == 4 and found["chance"] == {"auc": 0.5, "mean_rank": 2.5, "first": 0.25}
    assert "AUC by beats 1.00" in retrieval_line("generated", found)


def test_pieces_that_are_all_alike_are_chance():
    alike = {song: piece("a") for song in "abcd"}
    found = matching({song: seen(song) for song in "abcd"}, alike, 200, 0)
    assert found is not None and found["all"]["auc"]["mean"] == 0.5 and found["all"]["mean_rank"] == 2.5


def test_other_copies_of_the_song_are_no_rivals():
    dances = {"a1": seen("a"), "a2": seen("a"), "b1": seen("b")}
    found = matching(dances, {clip: piece(clip[0]) for clip in dances}, 200, 0)
    assert found is not None and found["all"]["auc"]["mean"] == 1
    assert found["candidates"] == pytest.approx((2 + 2 + 3) / 3)
    assert matching({"a1": seen("a"), "a2": seen("a")}, {"a1": piece("a"), "a2": piece("a")}, 200, 0) is None


def test_ties_are_ranked_in_the_middle():
    assert rank_of(np.array([1.0, 1, 1, 0]), 0, [1, 2, 3]).rank == 2
    assert rank_of(np.array([1.0, 1, 1, 0]), 0, [1, 2, 3]).auc == pytest.approx(2 / 3)
    assert np.isnan(rank_of(np.array([1.0]), 0, []).auc)


def test_lists_of_beats_are_ranked_by_beats_alone():
    found = matching({song: seen(song) for song in "abc"}, {song: AudioAnalysis(beats(song)) for song in "abc"}, 200, 0)
    assert found is not None and not {"energy", "genre"} & found.keys()
    assert found["all"]["auc"]["mean"] == 1 and "energy" not in retrieval_line("reference", found)


def test_fits_of_nothing_are_zero():
    assert beats_fit(np.zeros(0), seen("a")) == 0 and energy_fit(None, seen("a")) == 0
    assert energy_fit(np.zeros((3, 500)), seen("a")) == 0
    assert beats_fit(beats("a"), seen("a")) > 0.8 > 0 > beats_fit(beats("a", 0.45), seen("a"))
