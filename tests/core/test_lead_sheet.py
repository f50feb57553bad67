"""Keys and chords as they are written, and as curves over time."""

import json
from pathlib import Path

import numpy as np
import pytest

from d2m.core.errors import BadConfig, BadInput
from d2m.core.lead_sheet import CURVES, LeadSheet


@pytest.mark.parametrize(
    ("name", "tonic", "mode", "written"),
    [
        ("Am", 9, "minor", "Am"),
        ("C", 0, "major", "C"),
        ("F#m", 6, "minor", "F#m"),
        ("Gb", 6, "major", "F#"),
        ("D dorian", 2, "dorian", "D dorian"),
        ("Cb", 11, "major", "B"),
    ],
)
def test_a_key_is_read_as_musicians_write_it(name: str, tonic: int, mode: str, written: str) -> None:
    sheet = LeadSheet.of(key=name)
    assert (sheet.tonic, sheet.mode, sheet.key) == (tonic, mode, written)


@pytest.mark.parametrize("asked", [{"key": "H"}, {"key": "A min"}, {"key": ""}, {"chords": "Am X"}, {"chords": "Am7b"}])
def test_what_is_no_key_or_chord_is_named(asked: dict) -> None:
    with pytest.raises(BadConfig, match="|".join(asked)):
        LeadSheet.of(**asked)


@pytest.mark.parametrize("energy", [-0.1, 1.1, float("nan"), "loud", [], [0.5, 2]])
def test_energy_lies_between_0_and_1(energy: object) -> None:
    with pytest.raises(BadConfig, match="energy"):
        LeadSheet.of(energy=energy)


def test_what_is_not_told_is_0() -> None:
    assert not LeadSheet().curves(7, 43.0).any()
    told = LeadSheet.of(key="Am").curves(7, 43.0)
    assert told.shape == (CURVES, 7) and not told[12:].any()
    assert np.flatnonzero(told[:12, 3]).tolist() == [0, 2, 4, 5, 7, 9, 11]  # the white keys


def test_chords_change_at_the_bars_and_begin_again() -> None:
    beats_s = np.arange(-3, 20) * 0.5 - 0.1  # the first one that is not before 0 is at 0.4
    sheet = LeadSheet.of(key="C", chords="Am, F", energy=0).timed(beats_s)
    told = sheet.curves(100, 10.0)  # frame k is at (k + 1/2) / 10
    roots = {tuple(np.flatnonzero(frame)) for frame in told[12:24].T}
    assert roots == {(), (0, 4, 9), (0, 5, 9)}
    is_am = told[12 + 4] > 0
    assert not told[12:24, :4].any() and is_am[4:24].all() and not is_am[24:44].any() and is_am[44:64].all()
    assert set(told[24]) == {-2.0}  # as far from the middle again as a network is told four times of


def test_an_energy_of_each_second_goes_over_into_the_next() -> None:
    told = LeadSheet.of(energy=[0.5, 0.5, 0.75]).curves(40, 10.0)[24]
    assert not told[:15].any() and np.allclose(told[25:], 1.0) and (np.diff(told[14:26]) > 0).all()


def test_a_score_of_the_embedded_data_set_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    bars = [{"start_s": -1.0, "chord": [9, "m7"], "energy": 0.4}, {"start_s": 1.0, "chord": [7, "7"], "energy": 0.9}]
    path.write_text(json.dumps({"key": [0, "major"], "bars": bars}))
    told = LeadSheet.load(path).curves(20, 10.0)
    assert np.flatnonzero(told[12:24, 0]).tolist() == [0, 4, 7, 9] and np.flatnonzero(told[12:24, 19]).tolist() == [
        2,
        5,
        7,
        11,
    ]
    assert told[24, 9] == np.float32(0.4) and told[24, 10] == np.float32(0.9)


@pytest.mark.parametrize("text", ["", "{}", '{"key": [0, "loud"], "bars": []}', '{"key": [0, "major"], "bars": [{}]}'])
def test_a_damaged_score_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(BadInput, match=r"a\.json"):
        LeadSheet.load(path)


def test_keys_are_drawn_by_the_seed_and_differ() -> None:
    drawn = [LeadSheet.drawn([seed, 5]).key for seed in range(60)]
    assert drawn == [LeadSheet.drawn([seed, 5]).key for seed in range(60)]
    assert len(set(drawn)) > 15
