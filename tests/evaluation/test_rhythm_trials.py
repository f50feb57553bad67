"""Trials of reading and obeying, with a reader and a musician whose beats are known."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from d2m.commands import run
from d2m.core.errors import BadConfig, BadInput
from d2m.core.music import Music
from d2m.evaluation.rhythm_trials import (
    CHANGES,
    OBEYED,
    TriedDance,
    chosen,
    clicks,
    load_tried,
    obey_trial,
    read_trial,
    summary,
)
from d2m.metrics.beat_tracker import Tracker
from d2m.models.encoders import TemporalEncoder
from d2m.motion.dance import Dance
from d2m.pipeline import Dance2Music
from d2m.rhythm.grid import BeatGrid, beat_curve
from d2m.rhythm.reader import RhythmRead, RhythmReader

SECONDS = 12
NAME = "gHO_sBM_cAll_d20_mHO5_ch02"


class Nods(RhythmReader):
    """Reads a beat where the head is high, whoever else is hidden, from whatever side."""

    def __init__(self) -> None:
        super().__init__(TemporalEncoder(channels=16, dilations=(1,), attention_blocks=0, heads=2, inputs=81))

    def read_points(self, points: torch.Tensor) -> RhythmRead:
        nods = points[0, : len(points[0]) // 2 * 2, 0, 1].numpy().reshape(-1, 2).mean(axis=1) - 1.6
        return RhythmRead(np.clip(10 * nods, 0, 1), torch.eye(10)[7])


class Clicks(Tracker):
    """Hears what is loud."""

    name, version, licence = "clicks", "1", ""

    @property
    def settings(self) -> dict[str, str | int | float | bool]:
        return {}

    def track(self, music: Music) -> np.ndarray:
        loud = np.flatnonzero(np.abs(music.waveform[0]) > 0.3) / music.sample_rate
        return loud[np.diff(loud, prepend=-1) > 0.1]


def nodding(beats_s: np.ndarray, axes: int) -> np.ndarray:
    points = np.zeros((60 * SECONDS, 13, axes), np.float32)
    points[:, 0, 1], points[:, -2:, 1] = 1.6 + 0.1 * beat_curve(beats_s, 60 * SECONDS, 60), 0.1
    return points


@pytest.mark.parametrize("axes", [2, 3])
def test_changes_keep_the_beat_where_it_was(axes: int) -> None:
    beats_s = BeatGrid.regular(100, 0.2, SECONDS).within(SECONDS)
    table = read_trial(Nods(), [TriedDance(NAME, nodding(beats_s, axes), beats_s)])
    assert set(table) == set(CHANGES)
    for change, dances in table.items():
        scores = dances[NAME]
        if change == "0.7 times as fast":  # 70 BPM; told apart from 140 by the reader's prior, not by the change
            continue
        assert scores["beat_f"] > 0.95 and scores["same_f"] > 0.95 and scores["tempo"] == scores["genre"] == 1, change
        assert (
            scores["moved_ms"] < 15 and scores["interval_deviation_ms"] < 15 and abs(scores["drift_ms_per_second"]) < 2
        )


def test_beats_that_are_not_known_are_compared_with_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    few = {name: CHANGES[name] for name in ("as it is", "mirrored")}
    monkeypatch.setattr("d2m.evaluation.rhythm_trials.CHANGES", few)
    beats_s = BeatGrid.regular(100, 0.2, SECONDS).within(SECONDS)
    scores = read_trial(Nods(), [TriedDance("dance", nodding(beats_s, 2), None)])["mirrored"]["dance"]
    assert np.isnan([scores["beat_f"], scores["tempo"], scores["genre"]]).all() and scores["same_f"] == 1


def test_music_that_obeys_is_told_from_music_of_the_dance(monkeypatch: pytest.MonkeyPatch) -> None:
    own_s = BeatGrid.regular(100, 0.2, SECONDS).within(SECONDS)
    still = Dance.from_smpl(np.zeros((60 * SECONDS, 72)), np.zeros((60 * SECONDS, 3)), 60, "still")
    dances = [TriedDance(f"dance{k}", nodding(own_s, 3), own_s, still) for k in range(5)]
    songs, model = {one.name: one.name for one in dances}, Dance2Music.__new__(Dance2Music)
    given: list[BeatGrid] = []

    def obeying(self: Any, dance: Dance, seed: int, beats: BeatGrid) -> Music:
        given.append(beats)
        return clicks(beats.within(SECONDS), SECONDS)

    monkeypatch.setattr(Dance2Music, "__call__", obeying)
    found = obey_trial(model, dances, tracker=Clicks())
    table = summary(found, songs)
    assert {round(grid.bpm) for grid in given} == {80, 90, 110, 125, 100} and len(found) == len(OBEYED)
    assert (
        table["all"]["beat_f"]["mean"] == table["all"]["clicks_f"]["mean"] == 1 and table["all"]["beat_f"]["songs"] == 5
    )
    assert table["all"]["own_f"]["mean"] < 0.5 and table["shift 0.5 beat"]["own_f"]["mean"] == 0
    assert table["all"]["interval_deviation_ms"]["mean"] < 1 and table["all"]["reference_f"]["mean"] is None
    monkeypatch.setattr(Dance2Music, "__call__", lambda *_, **__: clicks(own_s, SECONDS))
    table = summary(obey_trial(model, dances, tracker=Clicks()), songs)
    assert table["all"]["own_f"]["mean"] == 1 and table["all"]["beat_f"]["mean"] < 0.5


def test_the_command_tries_a_folder_and_says_what_it_left_out(two_clips: Path, tmp_path: Path, capsys: Any) -> None:
    rng = np.random.default_rng(0)
    (tmp_path / "dances").mkdir()
    seen = {"keypoints2d": rng.normal(size=(150, 17, 2)), "fps": 30.0, "beats": np.arange(0.1, 5, 0.5)}
    np.savez(tmp_path / "dances" / "nobody.npz", **seen)  # of no genre that is known
    np.savez(tmp_path / "dances" / "short.npz", **seen | {"keypoints2d": seen["keypoints2d"][:60]})
    settings = [f"dances={tmp_path / 'dances'}", f"out={tmp_path / 'out'}", "checkpoint=rhythm_reader", "parts=[read]"]
    with pytest.raises(SystemExit) as stopped:
        run("evaluate_rhythm", settings)
    shown = capsys.readouterr()
    assert stopped.value.code == 2 and "short.npz: found 2.0 s, expected at least 4 s" in shown.err
    written = json.loads((tmp_path / "out" / "rhythm.json").read_text())
    assert set(written["read"]["summary"]) == set(CHANGES) and list(written["read"]["dances"]["mirrored"]) == ["nobody"]
    assert written["read"]["dances"]["mirrored"]["nobody"]["genre"] is None
    assert "as it is" in shown.out and "| mirrored |" in (tmp_path / "out" / "rhythm.md").read_text()
    assert "most: null" in (tmp_path / "out" / "config.yaml").read_text()
    with pytest.raises(SystemExit):
        run("evaluate_rhythm", [*settings, "parts=[reed]"])
    assert "parts=['reed']: expected some of read, obey and follow" in capsys.readouterr().err
    motion = two_clips / "motions" / "gBR_sBM_cAll_d04_mBR0_ch02.pkl"
    tried = load_tried(motion, two_clips / "beats", two_clips / "wavs")
    assert (
        tried.wav is not None and tried.dance is not None and tried.song == "mBR0" and tried.points.shape[1:] == (13, 3)
    )
    (tmp_path / f"{motion.stem}.txt").write_text("0.5")
    with pytest.raises(BadInput, match="fewer than two of its beats"):
        load_tried(motion, tmp_path)


def test_dances_are_chosen_evenly() -> None:
    paths = [Path(str(k)) for k in range(10)]
    assert chosen(paths, 4) == [paths[k] for k in (0, 3, 6, 9)] and chosen(paths, 20) == chosen(paths, None) == paths
    with pytest.raises(BadConfig, match="most=0"):
        chosen(paths, 0)
