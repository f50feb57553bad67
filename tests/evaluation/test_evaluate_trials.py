"""Trials: a checkpoint, or an experiment trained for it, heard on held-out splits, in one table."""

import json
from pathlib import Path

import pytest
from tests_support_runs import script

from d2m.core.errors import BadConfig, BadInput
from d2m.data.camera_copies import CameraNoise, write_camera_copies
from d2m.evaluation.trials import Trial, load_trial, run_trial, trial_table

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def trial(two_clips: Path, tmp_path_factory: pytest.TempPathFactory) -> Trial:
    out = tmp_path_factory.mktemp("trial") / "demo"
    return Trial("demo", out, {"held_out": two_clips}, checkpoint="demo", settings={"steps": 2, "guidance": 1})


def test_a_row_has_every_figure_and_is_not_made_twice(trial: Trial, capsys: pytest.CaptureFixture) -> None:
    result = run_trial(trial)
    row = result["splits"]["held_out"]
    assert result["system"] == "LatentDiffusion" and result["parameters"] > 1e6 and row["clips"] == 2
    assert row["beat_f_70"]["mean"] > 0.6 and row["genre_accuracy"]["mean"] == 1.0 and row["seconds_per_clip"] > 0
    music = sorted((trial.out / "held_out" / "music").glob("*.wav"))
    made = [path.stat().st_mtime_ns for path in music]
    capsys.readouterr()
    assert run_trial(trial) == result == load_trial(trial.out)
    assert [path.stat().st_mtime_ns for path in music] == made
    lines = trial_table([result, result]).splitlines()
    assert len(lines) == 4 and "`demo` | `held_out`" in lines[2] and " M " in lines[2]


def test_another_checkpoint_in_the_same_folder_is_heard_itself(trial: Trial) -> None:
    first = run_trial(trial)
    second = run_trial(Trial("demo_fast", trial.out, trial.roots, checkpoint="demo_fast"))
    assert second["checkpoint_sha256"] != first["checkpoint_sha256"]
    record = json.loads(next((trial.out / "held_out" / "music").glob("*.json")).read_text())
    assert record["checkpoint_sha256"] == second["checkpoint_sha256"]


def test_a_lifted_data_set_has_motions_of_another_suffix(trial: Trial, two_clips: Path, tmp_path: Path) -> None:
    motions = sorted((two_clips / "motions").iterdir())
    write_camera_copies(motions, tmp_path / "lifted", CameraNoise(), processes=1)
    result = run_trial(
        Trial("demo", tmp_path / "out", {"lifted": tmp_path / "lifted"}, checkpoint="demo_fast", clips=1)
    )
    assert result["splits"]["lifted"]["clips"] == 1 and result["splits"]["lifted"]["beat_f_70"]["mean"] > 0.5


def test_mistakes(trial: Trial, tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match="name one of what= and checkpoint="):
        run_trial(Trial("none", tmp_path / "none", trial.roots))
    with pytest.raises(BadInput, match="nowhere: no data set; make it with"):
        run_trial(Trial("lost", tmp_path / "lost", {"test": tmp_path / "nowhere"}, checkpoint="demo"))
    with pytest.raises(BadInput, match="no_such: training ended with status 2"):
        run_trial(Trial("no_such", tmp_path / "no_such", trial.roots, experiment="no_such"))
    assert json.loads((tmp_path / "no_such" / "training.json").read_text())["finished"] is False
    with pytest.raises(BadInput, match="run scripts/trial.py"):
        load_trial(tmp_path)


def test_the_script_says_it_in_one_sentence(tmp_path: Path) -> None:
    result = script("trial", f"out={tmp_path}")
    assert result.returncode == 2 and result.stderr.startswith("error: a trial trains an experiment")
