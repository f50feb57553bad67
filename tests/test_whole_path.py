"""From the official annotations and videos to scores, by the commands that a researcher types."""

import json
from pathlib import Path

import pytest
from tests_support_official import TEST, TRAIN, VAL, write_official_tree
from tests_support_runs import TINY, script

from d2m.data.layout import DataSetLayout


def done(name: str, *settings: str) -> None:
    """Run one of the project's scripts to its end."""
    ran = script(name, *settings)
    assert ran.returncode == 0, f"{name}: {ran.stdout[-2000:]}\n{ran.stderr[-2000:]}"


WITHOUT_SCORES = ["data.lead_sheet=false", "system.conditioner.lead_sheet=false"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prepared, encoded, trained for two steps, danced to and scored."""
    folder = tmp_path_factory.mktemp("whole_path")
    tree = write_official_tree(folder, (*TRAIN, *VAL, *TEST), seconds=7.0)
    data, run, music = folder / "data", folder / "run", folder / "music"
    done(
        "prepare",
        "dataset=aistpp",
        f"annotations={tree.annotations}",
        f"videos={tree.videos}",
        f"out={data}",
        "dataset.prepare.processes=1",
    )
    done("encode", "dataset=aistpp", "dmae=demo", f"root={data}", "workers=0", "trainer.accelerator=cpu")
    settings = [f"data.root={data}", f"out={run}", "++data.train_split=tuning_train", "++data.validation=tuning_val"]
    small = ["data.batch_size=2", "++data.in_memory=false", "trainer.max_steps=2", "trainer.val_check_interval=2"]
    done("train", "experiment=demo", *settings, *small, *TINY, "++data.steps_per_epoch=2", *WITHOUT_SCORES)
    dance = data / "motions" / f"{TEST[0]}.pkl"
    done("sample", f"checkpoint={run}/checkpoints/last.ckpt", f"dance={dance}", f"out={music}", "steps=2")
    done("evaluate", f"generated={music}", f"reference={data}/wavs", f"dances={data}/motions", f"out={folder}/scores")
    return folder


def test_every_sequence_got_motion_music_and_latent(folder: Path) -> None:
    layout = DataSetLayout(folder / "data")
    for name in (*TRAIN, *VAL, *TEST):
        assert layout.motion(name).exists() and layout.wav(name).exists() and layout.latent(name, "demo").exists()


def test_tuning_songs_are_in_train_and_never_in_test(folder: Path) -> None:
    layout = DataSetLayout(folder / "data")
    songs = {
        split: {name.split("_")[4] for name in layout.names(split)} for split in ("tuning_train", "tuning_val", "test")
    }
    assert songs["tuning_val"] and not songs["tuning_val"] & (songs["tuning_train"] | songs["test"])
    assert not songs["tuning_train"] & songs["test"]


def test_scores_of_the_test_dance(folder: Path) -> None:
    assert (folder / "music" / f"{TEST[0]}_seed0.wav").exists()
    scores = json.loads((folder / "scores" / "scores.json").read_text())
    assert "reference" in json.dumps(scores["ceilings"]) and (folder / "scores" / "report.html").exists()
    assert set(scores["rhythm"]) == {"read", "heard"}


def test_the_beat_reader_learns_from_sequences_of_sixteen_beats(folder: Path) -> None:
    run, small = folder / "reader", ["system.reader.encoder.channels=16", "system.reader.encoder.dilations=[1,2]"]
    small += ["data.batch_size=2", "+data.steps_per_epoch=1", "trainer.max_steps=1", "trainer.val_check_interval=1"]
    splits = ["data.train_split=tuning_train", "data.validation=tuning_val"]
    done("train", "experiment=rhythm_reader", f"data.root={folder}/data", f"out={run}", *splits, *small, "trainer.accelerator=cpu")  # fmt: skip
    assert "val/read_beat_f" in next(run.glob("csv/*/metrics.csv")).read_text()
