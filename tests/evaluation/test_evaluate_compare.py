"""The leaderboard: sorted, with floors and ceilings among the systems, and honest about rows that cannot be compared."""

import json
from copy import deepcopy

import pytest
from tests_support_evaluate import write_folders
from tests_support_runs import script

from d2m.core.errors import BadInput
from d2m.evaluation.comparison import (
    Run,
    differences,
    foot,
    leaderboard_rows,
    load_run,
    standard_run,
    write_leaderboard,
)
from d2m.evaluation.scores import score_folders


@pytest.fixture(scope="module")
def scores(tmp_path_factory) -> dict:
    root = write_folders(tmp_path_factory.mktemp("leaderboard"))
    settings = {"resamples": 50, "progress": False, "genre_classifier": "none"}
    return score_folders(root / "generated", root / "wavs", **settings).to_json()


def with_beat_f(scores: dict, mean: float) -> dict:
    scores = deepcopy(scores)
    scores["summary"]["beat_f"]["70"] |= {"mean": mean, "low": mean - 0.1, "high": mean + 0.1}
    return scores


def test_sorted_by_beat_f_with_floors_and_ceilings_in_place(scores):
    rows = leaderboard_rows([Run("worse", with_beat_f(scores, 0.55)), Run("better", with_beat_f(scores, 0.75))])
    names = [row[0] for row in rows[1:]]
    assert names.index("reference (ceiling)") < names.index("**better**") < names.index("**worse**")
    assert names.index("**worse**") < names.index("random song (floor)") < names.index("silence (floor)")
    assert all(len(row) == len(rows[0]) for row in rows) and rows[names.index("**better**") + 1][-1] == ""


def test_rows_that_differ_say_in_what(scores):
    standard = Run("standard", scores)
    tracker, beats, fewer, tolerance = (deepcopy(scores) for _ in range(4))
    tracker["about"]["settings"]["trackers"][0]["name"] = "madmom"
    beats["clips"][0]["reference_beats_s"][0] += 0.1
    fewer["clips"].pop()
    tolerance["about"]["settings"]["tempo_tolerance"] = 0.04
    assert differences(standard, standard) == []
    assert "another tracker (madmom" in differences(Run("a", tracker), standard)[0]
    assert differences(Run("b", beats), standard) == ["other reference beats in 1 clips"]
    assert differences(Run("c", fewer), standard) == ["other references (2 of 3 in common)"]
    assert differences(Run("d", tolerance), standard) == ["other tolerances"]
    runs = [Run("c", fewer), standard, Run("also", with_beat_f(scores, 0.2))]
    assert standard_run(runs) is standard
    marked = {row[0]: row[-1] for row in leaderboard_rows(runs)}
    assert "2 of 3" in marked["**c** ‡"] and marked["**also**"] == ""


def test_runs_of_other_seeds_or_checkpoints_say_so(scores):
    other, unknown = deepcopy(scores), deepcopy(scores)
    for row in other["clips"]:
        row["seed"] = 1
    other["about"]["settings"]["checkpoints"] = ["0123456789abcdef"]
    told = [line for line in foot([Run("a", scores), Run("b", other)]) if "same seeds" in line]
    assert told == [
        "The runs were not made with the same seeds and checkpoints (a: seed 0; b: seed 1; checkpoint 01234567)."
    ]
    assert not any("same seeds" in line for line in foot([Run("a", scores), Run("b", unknown)]))
    assert scores["about"]["settings"]["checkpoints"] == []


def test_markdown_and_page(scores, tmp_path):
    write_leaderboard([Run("mine & co", scores), Run("theirs", with_beat_f(scores, 0.1))], tmp_path)
    text, page = ((tmp_path / f"leaderboard.{kind}").read_text() for kind in ("md", "html"))
    assert len({line.count("|") for line in text.split("\n\n")[0].splitlines()}) == 1
    assert "mine &amp; co" in page and "http" not in page and page.count("<tr") == text.split("\n\n")[0].count("\n")


def test_unreadable_and_old_scores_are_refused(scores, tmp_path):
    (tmp_path / "scores.json").write_text(json.dumps(scores))
    assert load_run(tmp_path).name == tmp_path.name
    (tmp_path / "scores.json").write_text(json.dumps({"summary": {}}))
    with pytest.raises(BadInput, match="version 1"):
        load_run(tmp_path)
    with pytest.raises(BadInput, match="not readable scores"):
        load_run(tmp_path / "nowhere")


def test_script(scores, tmp_path):
    for name, mean in (("a", 0.4), ("b", 0.6)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "scores.json").write_text(json.dumps(with_beat_f(scores, mean)))
    run = script("compare", f"runs=[{tmp_path}/a,{tmp_path}/b]", f"out={tmp_path}/board")
    assert run.returncode == 0, run.stderr
    assert run.stdout.index("**b**") < run.stdout.index("**a**")
    assert {path.name for path in (tmp_path / "board").iterdir()} == {"leaderboard.md", "leaderboard.html"}
