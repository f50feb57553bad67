"""Beats as a person corrects them: moved, doubled, halved, continued, written down and read again."""

import json
from pathlib import Path

import numpy as np
import pytest

from d2m.core.errors import BadConfig, BadInput
from d2m.rhythm.grid import BeatGrid, beat_curve

DRIFTING = BeatGrid(np.cumsum(np.linspace(0.5, 0.6, 40)))


@pytest.mark.parametrize("bpm", [40, 87.5, 120, 240])
@pytest.mark.parametrize("first_s", [-3.0, 0.0, 0.3, 11.0, 40.0])
def test_regular_beats_go_through_the_first_and_over_the_whole(bpm: float, first_s: float) -> None:
    grid = BeatGrid.regular(bpm, first_s, 10.0)
    assert grid.bpm == pytest.approx(bpm) and grid.beats_s[0] <= 0 and grid.beats_s[-1] >= 10
    turns = (grid.beats_s - first_s) * bpm / 60
    np.testing.assert_allclose(turns, np.round(turns), atol=1e-9)


@pytest.mark.parametrize("bpm", [39, 241, 0, -5, float("nan"), float("inf")])
def test_what_is_no_tempo_is_refused(bpm: float) -> None:
    with pytest.raises(BadConfig, match="expected 40 to 240 BPM"):
        BeatGrid.regular(bpm, 0, 10)


@pytest.mark.parametrize(
    ("beats_s", "said"),
    [
        ([], "at least two times"), ([1.0], "at least two times"), ([0.0, 1.0, 1.0], "that rise"), ([0.0, 2.0, 1.0], "that rise"),
        ([0.0, float("nan"), 1.0], "that rise"), ([0.0, 0.1, 0.2], "found 600 BPM, expected 40 to 240"), ([0, 2.0, 4.0], "found 30 BPM"),
    ],
)  # fmt: skip
def test_what_is_no_beats_is_refused(beats_s: list[float], said: str) -> None:
    with pytest.raises(BadConfig, match=said):
        BeatGrid(np.array(beats_s, float))


@pytest.mark.parametrize("beats", [-1.5, -0.25, 0, 0.5, 1, 3.75])
def test_shifting_back_gives_the_same_and_by_one_is_the_next_beat(beats: float) -> None:
    grid = DRIFTING.shifted(beats)
    assert len(grid.beats_s) == len(DRIFTING.beats_s)
    regular = BeatGrid.regular(100, 0.2, 20)
    np.testing.assert_allclose(regular.shifted(beats).shifted(-beats).beats_s, regular.beats_s, atol=1e-9)
    np.testing.assert_allclose(DRIFTING.shifted(1).beats_s[:-1], DRIFTING.beats_s[1:])
    np.testing.assert_allclose(DRIFTING.shifted(0.5).beats_s[:-1], (DRIFTING.beats_s[1:] + DRIFTING.beats_s[:-1]) / 2)


def test_doubled_and_halved_are_opposites() -> None:
    np.testing.assert_array_equal(DRIFTING.doubled().halved().beats_s, DRIFTING.beats_s)
    np.testing.assert_allclose(DRIFTING.doubled().halved(1).beats_s, DRIFTING.shifted(0.5).beats_s[:-1])
    assert DRIFTING.doubled().bpm == pytest.approx(2 * DRIFTING.bpm, rel=0.01)
    assert DRIFTING.halved().bpm == pytest.approx(DRIFTING.bpm / 2, rel=0.01)
    with pytest.raises(BadConfig, match="expected 40 to 240"):
        BeatGrid.regular(130, 0, 10).doubled()


@pytest.mark.parametrize(("beats_s", "seconds"), [([5, 5.5, 6], 9.0), ([0.1, 0.7], 0.5), ([-3, -2.4, -1.8], 4.0)])
def test_covering_keeps_the_beats_and_goes_on_to_both_ends(beats_s: list[float], seconds: float) -> None:
    grid = BeatGrid(np.array(beats_s, float)).covering(seconds)
    step = beats_s[1] - beats_s[0]
    assert grid.beats_s[0] <= 0 and grid.beats_s[-1] >= seconds
    np.testing.assert_allclose(np.diff(grid.beats_s), step)
    assert all(np.abs(grid.beats_s - beat).min() < 1e-9 for beat in beats_s)
    np.testing.assert_array_equal(grid.covering(seconds).beats_s, grid.beats_s)


def test_within_is_the_dance_itself() -> None:
    grid = BeatGrid.regular(120, 0, 4)
    assert grid.within(2).tolist() == [0, 0.5, 1, 1.5] and BeatGrid.regular(60, 0.3333333, 4).rounded_s(2) == [
        0.333,
        1.333,
    ]


@pytest.mark.parametrize("rate", [12.5, 43.07, 100])
def test_curve_is_one_at_beats_and_nothing_between(rate: float) -> None:
    grid = BeatGrid.regular(100, 0.5 / rate, 6)
    curve = grid.curve(int(6 * rate), rate)
    centre_s = (np.arange(len(curve)) + 0.5) / rate
    distance = np.abs(centre_s[:, None] - grid.beats_s[None]).min(axis=1)
    np.testing.assert_allclose(curve, np.exp(-0.5 * (distance / 0.03) ** 2))
    assert curve[0] == pytest.approx(1) and curve[distance > 0.15].max() < 1e-4
    assert not beat_curve(np.zeros(0), 10, rate).any() and beat_curve(np.zeros(1), 10, rate).shape == (10,)


def written(tmp_path: Path, beats_s: object, name: str = "beats.txt") -> Path:
    path = tmp_path / name
    path.write_text(beats_s if isinstance(beats_s, str) else "\n".join(f"{beat:.4f}" for beat in np.asarray(beats_s)))
    return path


def test_a_list_is_read_with_its_drift_and_goes_on_to_both_ends(tmp_path: Path) -> None:
    grid = BeatGrid.load(written(tmp_path, DRIFTING.beats_s[4:]), DRIFTING.beats_s[-1] + 0.7)
    assert grid.beats_s[0] <= 0 and grid.beats_s[-1] >= DRIFTING.beats_s[-1] + 0.7
    assert all(np.abs(grid.beats_s - beat).min() < 1e-4 for beat in DRIFTING.beats_s[4:])
    assert BeatGrid.load(str(written(tmp_path, "0.5 # one\n\n1.0, down\n1.5")), 2).bpm == 120


def test_a_record_of_music_is_a_list_too(tmp_path: Path) -> None:
    record = {"seed": 0, "beats": {"bpm": 120.0, "beats_s": [0.25, 0.75, 1.25]}}
    grid = BeatGrid.load(written(tmp_path, json.dumps(record), "dance_seed0.json"), 1.5)
    np.testing.assert_allclose(grid.within(1.5), [0.25, 0.75, 1.25])


@pytest.mark.parametrize(
    ("content", "name", "said"),
    [
        ("0 1 2", "beats.txt", "at least two times"),
        ("0\n1\n0.5\n2", "beats.txt", "sorted"),
        ("0\n1\n1\n2", "beats.txt", "that rise"),
        ("0\n0.5\n1", "beats.txt", r"its last beat is at 1\.00 s, expected beats up to the dance's end at 8\.00 s"),
        ("100\n100.5\n101", "beats.txt", r"its first beat is at 100\.00 s"),
        (np.arange(0, 9, 0.2), "beats.txt", "found 300 BPM, expected 40 to 240"),
        (np.arange(0, 9, 2.0), "beats.txt", "found 30 BPM, expected 40 to 240"),
        ("", "beats.txt", "found no beats"),
        ("one\ntwo", "beats.txt", "not a beat list"),
        ("nan\n1", "beats.txt", "not a beat list"),
        ("-1\n1", "beats.txt", "not a beat list"),
        (np.arange(0, 9000, 500.0), "beats.txt", "milliseconds"),
        ("[1, 2]", "beats.json", "expected a record of music"),
        ("{", "beats.json", "expected a record of music"),
        ('{"beats": null}', "beats.json", "expected a record of music"),
        ('{"beats": {"beats_s": [[1], 2]}}', "beats.json", "expected a record of music"),
        ('{"beats": {"beats_s": []}}', "beats.json", "at least two times"),
        ('{"beats": {"beats_s": [3, 2, 1]}}', "beats.json", "sorted"),
    ],
)
def test_bad_lists_are_one_sentence(tmp_path: Path, content: object, name: str, said: str) -> None:
    path = written(tmp_path, content, name)
    with pytest.raises(BadInput, match=said) as caught:
        BeatGrid.load(path, 8)
    assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)


def test_a_list_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"none\.txt: no such file"):
        BeatGrid.load(tmp_path / "none.txt", 8)


def test_beats_that_stumble_at_the_start_do_not_fill_memory(tmp_path: Path) -> None:
    """The interval of the first ones goes on to the front, but never a shorter one than a tempo has."""
    stumbling = np.concatenate([5 + np.arange(9) * 1e-4, 6 + np.arange(30) * 0.5])
    assert len(BeatGrid.load(written(tmp_path, stumbling), 20).beats_s) < 100
