"""Two systems on the same clips: paired differences, intervals by song, wins; and several folders in one run."""

import json

import numpy as np
import pytest
from tests_support_evaluate import SECONDS, SONGS, beats_of, clicks, write_folders

from d2m.core.errors import BadInput
from d2m.evaluation.analysis import AudioAnalysis
from d2m.evaluation.clip_scores import ClipScore, score_clip
from d2m.evaluation.comparison import compare, comparison_markdown, write_comparison
from d2m.evaluation.references import Reference
from d2m.evaluation.runs import Evaluation, evaluate_all, unique_names


def scored(shifts_s: dict[str, float], seeds: int = 1) -> list[ClipScore]:
    """One clip per name and seed, every beat late by so much; a name's tempo is its own."""
    scores = []
    for name, shift_s in shifts_s.items():
        beats_s = np.arange(0.2, 12.0, 0.45 + 0.01 * (sum(name.encode()) % 9))
        reference = Reference.of(name, 12.5, beats_s, None)
        for seed in range(seeds):
            scores.append(score_clip(reference, AudioAnalysis(beats_s + shift_s), f"{name}_seed{seed}", seed))
    return scores


GOOD = {f"gBR_sBM_cAll_d04_mBR{number}_ch02": 0.0 for number in range(6)}
MIXED = {name: (0.0 if number % 2 else 0.15) for number, name in enumerate(GOOD)}


def test_a_system_against_itself_differs_by_nothing():
    comparison = compare(("a", scored(MIXED)), ("b", scored(MIXED)))
    for found in comparison.differences.values():
        assert (found.difference, found.low, found.high) == (0, 0, 0) and not found.certain
        assert (found.wins, found.ties, found.losses) == (0, 6, 0)


def test_better_clips_are_wins_whichever_way_is_better():
    comparison = compare(("mixed", scored(MIXED)), ("good", scored(GOOD)))
    found = comparison.differences["beat_f_70"]
    assert (found.wins, found.ties, found.losses) == (3, 3, 0)
    assert found.difference == pytest.approx(0.5) and found.second == 1 and found.low is not None
    back = compare(("good", scored(GOOD)), ("mixed", scored(MIXED))).differences["beat_f_70"]
    assert back.difference == pytest.approx(-0.5) and (back.wins, back.losses) == (0, 3)
    assert (back.low, back.high) == pytest.approx((-found.high, -found.low), abs=1e-9)


def test_less_is_better_where_it_is():
    octave = scored(GOOD)
    for score in octave:
        score.metrics["tempo_octave_errors"] = 1.0
    found = compare(("octave", octave), ("good", scored(GOOD))).differences["tempo_octave_errors"]
    assert (found.wins, found.ties, found.losses) == (6, 0, 0) and found.difference == -1


def test_pairing_cancels_what_makes_clips_hard():
    """A small constant gain on clips of very different difficulty is certain, though both intervals overlap widely."""
    rng = np.random.default_rng(0)
    first, second = scored(GOOD), scored(GOOD)
    for one, other in zip(first, second, strict=True):
        one.metrics["onset_f"] = float(rng.random() * 0.8)
        other.metrics["onset_f"] = one.metrics["onset_f"] + 0.05
    found = compare(("a", first), ("b", second)).differences["onset_f"]
    assert found.certain and found.low == pytest.approx(0.05) and found.wins == 6


def test_seeds_are_averaged_and_only_common_references_count():
    two_seeds = scored(GOOD, seeds=2)
    fewer = scored(dict(list(GOOD.items())[:4]))
    comparison = compare(("two", two_seeds), ("fewer", fewer))
    assert comparison.differences["beat_f_70"].clips == 4 and comparison.only_second == []
    assert comparison.only_first == list(GOOD)[4:]
    assert "2 references have music by two alone" in comparison_markdown(comparison)


def test_metrics_that_nobody_measured_are_left_out_and_one_song_has_no_interval():
    one_song = {f"gBR_sBM_cAll_d0{dancer}_mBR0_ch02": 0.0 for dancer in (4, 5)}
    comparison = compare(("a", scored(one_song)), ("b", scored(one_song)))
    assert "onset_f" not in comparison.differences and comparison.differences["beat_f_70"].low is None


def test_written_comparison_of_three(tmp_path):
    systems = {"a": scored(GOOD), "b": scored(MIXED), "c": scored(GOOD)}
    write_comparison(systems, tmp_path, resamples=100)
    content = json.loads((tmp_path / "comparison.json").read_text())
    assert [(pair["first"], pair["second"]) for pair in content["pairs"]] == [("a", "b"), ("a", "c"), ("b", "c")]
    row = content["pairs"][0]["metrics"]["beat_f_70"]
    assert row["better"] == "higher" and row["losses"] == 3 and {"difference", "low", "high", "clips"} <= set(row)
    assert "wins / ties / loses" in (tmp_path / "comparison.md").read_text()


def test_names_of_systems_are_unique(tmp_path):
    folders = [tmp_path / "x" / "music", tmp_path / "y" / "music", tmp_path / "z"]
    assert unique_names(folders) == ["x_music", "y_music", f"{tmp_path.name}_z"]
    assert unique_names(folders[1:]) == ["music", "z"]
    with pytest.raises(BadInput, match="twice"):
        unique_names([tmp_path / "x", tmp_path / "x"])


def test_two_folders_are_scored_and_compared(tmp_path, capsys):
    root = write_folders(tmp_path)
    for name, (bpm, start_s) in SONGS.items():
        (tmp_path / "other").mkdir(exist_ok=True)
        clicks(tmp_path / "other" / f"{name}.wav", beats_of(bpm, start_s), SECONDS)
    settings = {"resamples": 50, "genre_classifier": "none", "progress": False}
    folders = [root / "generated", root / "other"]
    evaluate_all(Evaluation(folders, root / "wavs", tmp_path / "out", settings, report=False))
    written = {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.*")}
    each = {f"{name}/{file}" for name in ("generated", "other") for file in ("scores.json", "clips.csv", "table.md")}
    assert written == each | {"comparison.json", "comparison.md"}
    pair = json.loads((tmp_path / "out" / "comparison.json").read_text())["pairs"][0]
    assert (pair["first"], pair["second"]) == ("generated", "other") and pair["metrics"]["beat_f_70"]["wins"] == 1
    assert "== other" in capsys.readouterr().out
