"""A session on virtual time: samples against the clock, edges of blocks, the clapping figure, what is written."""

import json
from dataclasses import replace
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from d2m.core.music import Music
from d2m.core.timeline import Timeline
from d2m.live.blocks import BlockGenerator, MusicSoFar
from d2m.live.report import CLAPS_BPM, Spent, TimedLive, clapping, edge_strengths, repeated, replay, write_report
from d2m.metrics.beat_tracker import Tracker
from d2m.motion.keypoints import POINTS
from d2m.rhythm.causal_reader import CausalRhythmReader, ReaderState, causal_channels


class Hum(BlockGenerator):
    """A low tone that goes on from block to block, in place of music."""

    def __init__(self) -> None:
        self.clock, self.frames, self.dmae, self.seed = Timeline(22050, 512), 22, SimpleNamespace(in_channels=1), 0

    def begin(self) -> MusicSoFar:
        return MusicSoFar(torch.zeros(1, 0), torch.zeros(1, 8), torch.zeros(1, 0))

    def next(self, state: MusicSoFar, features: Any, grid: Any, genre: int) -> tuple[MusicSoFar, np.ndarray]:
        at = np.arange(self.samples) + state.blocks * self.samples
        return replace(state, blocks=state.blocks + 1), np.sin(2 * np.pi * 200 * at / 22050)[None]


class Claps(CausalRhythmReader):
    """Knows when the figure claps."""

    def step(self, points: torch.Tensor, state: ReaderState | None = None) -> tuple[torch.Tensor, ReaderState]:
        state = state or ReaderState()
        _, channels = causal_channels(points.numpy(), state.channels)
        at_s = (state.frames + torch.arange(points.shape[1] // 2) + 0.5) / 30 - self.delay_s
        turn = (at_s * CLAPS_BPM / 60).remainder(1)
        logits = -2 + 4 * torch.exp(-0.5 * (torch.minimum(turn, 1 - turn) / 0.08) ** 2)
        return logits[None], ReaderState(channels, [], torch.zeros(1, 10), state.frames + len(at_s))


class Deaf(Tracker):
    """Hears no beats."""

    name, version, licence = "deaf", "1", "MIT"

    @property
    def settings(self) -> dict[str, str | int | float | bool]:
        return {}

    def track(self, music: Music) -> np.ndarray:
        return np.zeros(0)


@pytest.fixture
def live(monkeypatch: pytest.MonkeyPatch) -> TimedLive:
    """Whose stages take no time on the virtual clock, however busy the machine is."""
    monkeypatch.setattr(Spent, "last_s", lambda *_: 0.0)
    performer = TimedLive(Hum(), Claps(channels=16, dilations=(1,)), "gHO")
    performer.spent = Spent()
    return performer


def test_sound_keeps_to_the_clock_and_blocks_join(live: TimedLive) -> None:
    played = replay(live, clapping()[0], 8.0)
    assert played.state.heard == played.sound.shape[1] and played.state.missed == 0 and len(played.memory_mb) == 10
    assert played.state.beats is not None and played.passed_over == 0
    late_s = np.array(played.state.beats.beats_s[-4:]) * CLAPS_BPM / 60
    assert np.abs(late_s - late_s.round()).max() < 0.1
    block = live.generator.samples
    edges = np.arange(8 * block, played.sound.shape[1] - block, block, dtype=float)
    found = edge_strengths(played.sound, edges, np.array([]))
    assert found["edge_db_95"] < found["elsewhere_db_95"] + 3
    clicking = played.sound.copy()
    clicking[:, edges.astype(int)] += 0.3
    assert edge_strengths(clicking, edges, np.array([]))["edge_db_median"] > found["elsewhere_db_95"] + 10


def test_blocks_that_take_too_long_are_missed_and_do_not_move_the_rest(
    live: TimedLive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live.spent, "last_s", lambda *stages: 0.7 if "block" in stages else 0.0)
    played = replay(live, clapping()[0], 8.0)
    assert played.state.heard == played.sound.shape[1] and played.state.missed > 0.1 * played.sound.shape[1]
    loud = np.abs(played.sound[0, -6 * live.generator.samples :]) > 0.01
    assert 0.2 < loud.mean() < 0.95, "a block takes 0.7 s and lasts 0.51 s: there are gaps, and music between them"
    monkeypatch.setattr(live.spent, "last_s", lambda *stages: 0.0 if "block" in stages else 0.1)
    assert replay(live, clapping()[0], 3.0).passed_over > 30


def test_the_figure_claps_when_it_says() -> None:
    figure, claps_s, begins_s = clapping()
    frames = [sight.frame for sight in figure]
    wrists = [POINTS.index("left_wrist"), POINTS.index("right_wrist")]
    apart = np.array([np.ptp(frame.points[wrists, 0]) for frame in frames if frame.points is not None])
    times_s = np.array([frame.time_s for frame in frames])
    for clap_s in claps_s[2:20]:
        near = np.abs(times_s - clap_s) < 0.2
        assert abs(times_s[near][apart[near].argmin()] - clap_s) < 0.04
    for begin_s in begins_s:
        assert np.ptp(apart[(times_s > begin_s - 2.0) & (times_s < begin_s)]) == 0
        assert np.ptp(apart[(times_s > begin_s) & (times_s < begin_s + 0.3)]) > 0.3


def test_what_is_written(live: TimedLive, tmp_path: Path) -> None:
    told = write_report(live, lambda: islice(clapping()[0], 60), 5.0, tmp_path / "out", Deaf())
    found = json.loads((tmp_path / "out" / "latency.json").read_text())
    assert found["session"]["samples_off_the_clock"] == 0 and found["stages"]["follower"]["times"] > 100
    assert 0 < found["claps"]["reaction_ms_median"] < 400 and abs(found["claps"]["beats_made_ms"]["median"]) < 70
    assert (tmp_path / "out" / "latency.png").read_bytes().startswith(b"\x89PNG") and "claps: loudness follows" in told
    times_s = [sight.frame.time_s for sight in repeated(lambda: islice(clapping()[0], 60), 5.0)]
    assert times_s[-1] > 5 and np.allclose(np.diff(times_s), 1 / 30)
