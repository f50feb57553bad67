"""How well the beat of a dance is followed while it goes on: the next beat, when it was found, and after a change of tempo."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from tqdm import tqdm

from d2m.core.timeline import MOTION_FPS
from d2m.data.rhythm_windows import interpolated
from d2m.evaluation.rhythm_trials import TOLERANCE_S, TriedDance
from d2m.metrics.beats import beat_f
from d2m.rhythm.causal_reader import CausalRhythmReader
from d2m.rhythm.following import BEGINS, BeatFollower, CommittedBeats, Prediction
from d2m.rhythm.reader import READER_FPS, side_views
from d2m.rhythm.tracking import track_beats

AFTER_BEATS, LOCKED_BEATS, TWO_BARS = 4, 4, 8
"""Scored after so many beats; locked when so many in a row are right; within so many beats."""

SPEEDS = {"as it is": 1.0, "1.1 times as fast half-way": 1.1, "1.1 times as slow half-way": 1 / 1.1}
"""From the dance's half on."""

BLOCK_S, LEAD_S = 0.51, 0.35
"""Music is made in such blocks, each begun so long before it is heard, as `d2m live` does."""


def follow_trial(reader: CausalRhythmReader, dances: Sequence[TriedDance]) -> dict[str, dict[str, Any]]:
    """Every dance of known beats seen frame by frame, from one side, under each of `SPEEDS`: `{speed: {dance: scores}}`.

    Scores, where the speed changes all of them from there on: `beat_f` of the beats that music would be made on, from the fourth beat on;
    `whole_f` of the beats tracked on the same answers afterwards; `next_ms` median error of the next beat, predicted half a beat
    before it, and `next_within` ±70 ms, from the fourth beat on; `locked_beats`, the first beat from which four predictions in a row are right
    (NaN where none is), `made_locked_beats` the same of the beats that music would be made on, `made_locked_in_8` whether that is within
    eight beats.
    """
    found: dict[str, dict[str, Any]] = {kind: {} for kind in SPEEDS}
    for one in tqdm(dances, desc="following", unit="dance"):
        if one.beats_s is None:
            continue
        half = len(one.points) // 2
        half_s = half / MOTION_FPS
        for kind, speed in SPEEDS.items():
            at = np.concatenate([np.arange(half), np.arange(half, len(one.points) - 1, speed)])
            beats_s = np.where(one.beats_s < half_s, one.beats_s, half_s + (one.beats_s - half_s) / speed)
            found[kind][one.name] = _followed(
                reader, interpolated(one.points, at), beats_s, half_s if speed != 1 else 0.0
            )
    return found


def _followed(
    reader: CausalRhythmReader,
    points: Float[np.ndarray, "time 13 axis"],
    beats_s: Float[np.ndarray, " beat"],
    from_s: float,
) -> dict[str, float]:
    seen = torch.from_numpy(points.astype(np.float32))[None]
    seen = seen if seen.shape[-1] == 2 else side_views(seen, 1)
    with torch.no_grad():
        logits, _ = reader.step(seen[:, : seen.shape[1] // 2 * 2])
    answers, follower = logits[0].numpy(), BeatFollower()
    seconds, state, predictions = len(answers) / READER_FPS, follower.begin(), list[Prediction]()
    committed, until_s = None, 0.0
    for number, logit in enumerate(answers):
        state = follower.step(state, float(logit))
        predictions.append(follower.predict(state, reader.delay_s))
        while until_s < (number + 1) / READER_FPS + LEAD_S:
            until_s += BLOCK_S
            if committed is None and predictions[-1].confidence > BEGINS:
                committed = CommittedBeats.around(predictions[-1])
            if committed is not None:
                committed = committed.until(until_s, predictions[-1])
    true_s = beats_s[(beats_s >= from_s) & (beats_s < seconds)]
    errors_s = []
    for before_s, beat_s in pairwise(true_s):
        at = min(round((before_s + beat_s) / 2 * READER_FPS), len(predictions)) - 1
        coming_s = predictions[at].next_s + np.arange(-1, 3) * predictions[at].period_s
        errors_s.append(float(np.abs(coming_s - beat_s).min()))
    scored_s = true_s[AFTER_BEATS] if len(true_s) > AFTER_BEATS else seconds
    late_s = np.array(errors_s[AFTER_BEATS - 1 :])

    def from_fourth(found_s: Float[np.ndarray, " any"]) -> Float[np.ndarray, " some"]:
        return found_s[(found_s >= scored_s - TOLERANCE_S) & (found_s < seconds)]

    whole = track_beats(
        1 / (1 + np.exp(-np.concatenate([answers[reader.delay_frames :], answers[-reader.delay_frames :]]))), READER_FPS
    )
    made_s = np.array([] if committed is None else committed.beats_s)
    made_errors_s = np.abs(made_s[:, None] - true_s).min(axis=0, initial=seconds)
    locked, made_locked = _locked(np.array(errors_s)), _locked(made_errors_s)
    return {
        "beat_f": beat_f(true_s[true_s >= scored_s], from_fourth(made_s), TOLERANCE_S),
        "whole_f": beat_f(true_s[true_s >= scored_s], from_fourth(whole.grid.beats_s), TOLERANCE_S),
        "next_ms": 1000 * float(np.median(late_s)) if len(late_s) else float("nan"),
        "next_within": float((late_s <= TOLERANCE_S).mean()) if len(late_s) else float("nan"),
        "locked_beats": locked, "made_locked_beats": made_locked, "made_locked_in_8": float(made_locked <= TWO_BARS),
    }  # fmt: skip


def _locked(errors_s: Float[np.ndarray, " beat"]) -> float:
    """The first beat from which `LOCKED_BEATS` in a row are right; NaN where there is none."""
    right = errors_s <= TOLERANCE_S
    runs = [n for n in range(len(right) - LOCKED_BEATS + 1) if right[n : n + LOCKED_BEATS].all()]
    return float(runs[0]) if runs else float("nan")
