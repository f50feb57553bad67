"""Means and intervals over clips, in the shape that `scores.json` has."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from evaluate.beats import TOLERANCES_S
from evaluate.bootstrap import Interval, bootstrap_mean
from evaluate.clips import ClipScore

TOLERANCES_MS = tuple(round(tolerance_s * 1000) for tolerance_s in TOLERANCES_S)


def summarize(scores: Sequence[ClipScore], resamples: int, seed: int) -> dict[str, Any]:
    """Every metric's mean over clips with its interval over songs, each `{mean, low, high, clips, songs}`.

    `mean` is None where nothing could be measured.
    """
    songs = [score.truth.song for score in scores]

    def mean_of(metric: str) -> dict[str, float | int | None]:
        values = np.array([score.metrics[metric] for score in scores], dtype=np.float64)
        interval: Interval = bootstrap_mean(values, songs, resamples=resamples, seed=seed)
        return interval.to_json()

    return {
        "beat_f": {str(tolerance): mean_of(f"beat_f_{tolerance}") for tolerance in TOLERANCES_MS},
        "beat_precision": {str(tolerance): mean_of(f"beat_precision_{tolerance}") for tolerance in TOLERANCES_MS},
        "beat_recall": {str(tolerance): mean_of(f"beat_recall_{tolerance}") for tolerance in TOLERANCES_MS},
        "tempo": {
            "within_2_percent": mean_of("tempo_within_2_percent"),
            "octave_errors": mean_of("tempo_octave_errors"),
        },
        "onset_f": mean_of("onset_f"),
        "alignment": {"motion": mean_of("alignment_motion"), "music": mean_of("alignment_music")},
        "genre_accuracy": mean_of("genre_accuracy"),
        "log_mel_l1": mean_of("log_mel_l1"),
    }


def summarize_protocols(scores: Sequence[ClipScore]) -> dict[str, Any]:
    """Published protocols: plain means over clips, as their authors report them."""

    def mean_of(metric: str) -> float | None:
        values = np.array([score.metrics[metric] for score in scores], dtype=np.float64)
        return float(np.nanmean(values)) if (~np.isnan(values)).any() else None

    return {"d2md": {"coverage": mean_of("d2md_coverage"), "hit": mean_of("d2md_hit")}}


def system_json(scores: Sequence[ClipScore], resamples: int, seed: int) -> dict[str, Any]:
    """Summary and protocols of one floor or ceiling."""
    return summarize(scores, resamples, seed) | {"protocols": summarize_protocols(scores)}


def _number(value: float | None, digits: int = 6) -> float | None:
    return None if value is None or np.isnan(value) else round(float(value), digits)


def clip_json(score: ClipScore) -> dict[str, Any]:
    """One row of `clips`: what the clip is, its scores (None where not measured), and its event times in seconds."""
    truth, heard = score.truth, score.heard
    minima_s = truth.watched.minima_s[truth.watched.minima_s < truth.seconds] if truth.watched else None

    def times(values: np.ndarray | None) -> list[float] | None:
        return None if values is None else [round(float(value), 4) for value in values]

    return {
        "name": score.clip,
        "reference": truth.name,
        "seed": score.seed,
        "song": truth.song,
        "genre": truth.genre,
        "genre_said": score.genre_said,
        "seconds": round(truth.seconds, 4),
        "tempo_bpm": _number(score.tempo_bpm, 3),
        "reference_tempo_bpm": _number(truth.tempo_bpm, 3),
        "reference_beats_from": truth.beats_from,
        **{metric: _number(value) for metric, value in score.metrics.items()},
        "generated_beats_s": times(heard.beats_s),
        "reference_beats_s": times(truth.beats_s),
        "kinematic_beats_s": times(minima_s),
    }
