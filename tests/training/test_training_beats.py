"""Validation by beats: what is logged, what is said where nothing can be, and which monitors are refused at the start."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from test_training_run import config_for
from tests_support_runs import encoded

from d2m.core.errors import BadConfig, BadInput
from d2m.data.layout import DataSetLayout
from d2m.training.callbacks import BeatValidation
from d2m.training.run import fit

NAME = "gBR_sBM_cAll_d04_mBR0_ch01"
RATE, FRAMES = 50.0, 300


class Reads:
    """A system that reads beats every 0.75 s, as at 80 BPM, from `first_s` on."""

    device = torch.device("cpu")

    def __init__(self, first_s: float | None) -> None:
        self.first_s, self.logged = first_s, {}

    def read_rhythm(self, batch):
        if self.first_s is None:
            return None
        centres = (torch.arange(FRAMES) + 0.5) / RATE
        phase = 2 * torch.pi * (centres - self.first_s) / 0.75
        return torch.stack([4 * phase.cos(), phase])[None].repeat(2, 1, 1), RATE

    def log(self, name, value, **_) -> None:
        self.logged[name] = value


def validate(callback: BeatValidation, system: Reads, layout: DataSetLayout, start_s: float = 0.0):
    strategy = SimpleNamespace(reduce=lambda counted, reduce_op: counted)
    trainer = SimpleNamespace(
        datamodule=SimpleNamespace(layout=layout, validation="val"), strategy=strategy, is_global_zero=True,
        sanity_checking=False,
    )  # fmt: skip
    batch = {"name": [NAME, "somebody"], "start_s": torch.tensor([start_s, 0.0])}
    callback.on_validation_epoch_start(trainer, system)
    callback.on_validation_batch_end(trainer, system, None, batch, 0)
    callback.on_validation_epoch_end(trainer, system)
    return system.logged


@pytest.fixture
def layout(tmp_path, two_clips) -> DataSetLayout:
    for folder in ("splits", "motions"):
        (tmp_path / folder).mkdir()
    (tmp_path / "splits" / "val.txt").write_text(f"{NAME}\n")
    motion = next((two_clips / "motions").glob("gBR*"))
    (tmp_path / "motions" / f"{NAME}.pkl").write_bytes(motion.read_bytes())
    return DataSetLayout(tmp_path)


@pytest.mark.parametrize("start_s", [0.0, 1.5])
def test_read_beats_are_scored_against_the_grid_of_aist(layout, start_s):
    right, callback = Reads(0.047), BeatValidation()
    assert validate(callback, right, layout, start_s)["val/read_beat_f"] > 0.93  # one beat on the window's very edge
    assert callback.promised == {"val/read_beat_f"}
    assert validate(BeatValidation(), Reads(0.047 + 0.375), layout, start_s)["val/read_beat_f"] == 0


def test_a_beat_list_in_milliseconds_is_refused_before_anything_is_scored_by_it(layout):
    layout.beats(NAME).parent.mkdir()
    layout.beats(NAME).write_text("".join(f"{47 + 750 * beat}\n" for beat in range(8)))
    with pytest.raises(BadInput, match="look like milliseconds: divide by 1000"):
        validate(BeatValidation(), Reads(0.047), layout)


def test_where_nothing_can_be_measured_it_is_said_once(layout, capsys):
    callback = BeatValidation()
    for _ in range(2):
        assert validate(callback, Reads(None), layout) == {}
    assert (
        capsys.readouterr().out.count("reads no rhythm with these settings and callbacks.beats.dmae names no auto") == 1
    )
    (layout.root / "splits" / "val.txt").write_text("somebody\n")
    callback = BeatValidation()
    for _ in range(2):
        validate(callback, Reads(None), layout)
    assert capsys.readouterr().out.count("split 'val' has no sequence of known beats") == 1 and not callback.promised


def test_a_monitor_of_beats_is_known_before_the_first_step(two_clips, tmp_path):
    root = encoded(two_clips)
    common = ["trainer.max_steps=2", "callbacks.beats.clips=1", "callbacks.beats.steps=1", "checkpoint.mode=max"]
    with pytest.raises(BadConfig, match=r"found no value 'val/beat', expected one of val/beat_f, .*val/read_beat_f"):
        fit(config_for("demo", root, tmp_path / "none", *common, "checkpoint.monitor=val/beat"))
    assert not (tmp_path / "none" / "checkpoints").exists()  # not one step was made
    settings = [*common, "callbacks.beats.dmae=null", "checkpoint.monitor=val/read_beat_f"]
    fit(config_for("demo", root, tmp_path / "read", *settings))
    best = torch.load(tmp_path / "read" / "checkpoints" / "best.ckpt", weights_only=True)
    assert set(best["score"]) == {"val/read_beat_f"} and 0 <= best["score"]["val/read_beat_f"] <= 1
    with pytest.raises(BadConfig, match="trainer.limit_val_batches=0 validates nothing"):
        fit(config_for("demo", root, tmp_path / "off", *common, "+trainer.limit_val_batches=0"))


def test_beats_of_the_grid_end_with_the_motion(layout):
    beats_s = layout.reference_beats_s(NAME, 3.0)
    np.testing.assert_allclose(beats_s, 0.047 + 0.75 * np.arange(4))
