"""A dance is scored while it goes on."""

import pickle
from pathlib import Path

import numpy as np
import torch

from d2m.data.synthetic.dances import choreograph
from d2m.evaluation.live_trials import SPEEDS, follow_trial
from d2m.evaluation.rhythm_trials import TriedDance, load_tried
from d2m.rhythm.causal_reader import CausalRhythmReader, ReaderState, load_causal_reader


class Knows(CausalRhythmReader):
    """Answers as if it saw the beats: half a second from each to the next, from 0.25 s on."""

    def step(self, points: torch.Tensor, state: ReaderState | None = None) -> tuple[torch.Tensor, ReaderState]:
        at_s = (torch.arange(points.shape[1] // 2) + 0.5) / 30 - self.delay_s
        turn = ((at_s - 0.25) / 0.5).remainder(1)
        off_s = torch.minimum(turn, 1 - turn) * 0.5
        return (-2 + 4 * torch.exp(-0.5 * (off_s / 0.04) ** 2))[None], ReaderState()


def test_known_beats_are_followed_and_others_are_not() -> None:
    points, beats_s = np.random.default_rng(0).normal(size=(1200, 13, 2)), np.arange(0.25, 20, 0.5)
    dances = [
        TriedDance("right", points, beats_s),
        TriedDance("late", points, beats_s + 0.2),
        TriedDance("none", points, None),
    ]
    found = follow_trial(Knows(channels=16, dilations=(1,)), dances)
    right, late = found["as it is"]["right"], found["as it is"]["late"]
    assert right["beat_f"] > 0.95 and right["whole_f"] > 0.95 and right["next_ms"] < 20 and right["next_within"] > 0.95
    assert right["locked_beats"] < 8 and right.keys() == late.keys() and "none" not in found["as it is"]
    assert late["beat_f"] < 0.1 and late["next_ms"] > 100 and np.isnan(late["locked_beats"])
    changed = found["1.1 times as fast half-way"]["right"]  # it does not see the change
    assert changed["beat_f"] < right["beat_f"] and changed["made_locked_in_8"] == 0
    assert right["made_locked_beats"] <= 8 and right["made_locked_in_8"] == 1 and np.isnan(late["made_locked_beats"])


def test_a_change_of_tempo_is_followed_by_the_music_within_two_bars() -> None:
    """The reader says where beats are in its points, which are a second's share here; nothing else is between it and the music."""

    class Sees(CausalRhythmReader):
        def step(self, points: torch.Tensor, state: ReaderState | None = None) -> tuple[torch.Tensor, ReaderState]:
            turn = points[0, 1::2, 0, 1].remainder(1)
            off = torch.minimum(turn, 1 - turn)
            logits = -2 + 4 * torch.exp(-0.5 * (off / 0.08) ** 2)
            return torch.cat([logits[:1].expand(self.delay_frames), logits])[None, : len(logits)], ReaderState()

    beats_s, at = np.arange(0.25, 24, 0.5), np.arange(1440) / 60
    points = np.zeros((1440, 13, 2)) + ((at - 0.25) / 0.5)[:, None, None]
    found = follow_trial(Sees(channels=16, dilations=(1,)), [TriedDance("a", points, beats_s)])
    assert found.keys() == SPEEDS.keys()
    for kind in list(SPEEDS)[1:]:
        scores = found[kind]["a"]
        assert scores["made_locked_in_8"] == 1 and scores["locked_beats"] <= 6 and scores["beat_f"] > 0.7, (
            kind,
            scores,
        )


def test_the_shipped_one_follows_a_made_dance(tmp_path: Path) -> None:
    beats_s = np.arange(0.25, 16, 0.55)
    poses = choreograph("gLO", beats_s, 0, 14.0, dancer=3, seed=2)
    content = {"smpl_poses": poses.poses, "smpl_trans": poses.trans, "smpl_scaling": np.ones(1, np.float32)}
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(content))
    (tmp_path / "a.txt").write_text("\n".join(f"{beat:.3f}" for beat in beats_s))
    found = follow_trial(load_causal_reader("causal_rhythm_reader"), [load_tried(tmp_path / "a.pkl", tmp_path)])
    scores = found["as it is"]["a"]
    assert scores["beat_f"] > 0.6 and scores["next_ms"] < 70 and scores["locked_beats"] < 12
