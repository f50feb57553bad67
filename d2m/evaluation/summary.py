"""What a reader of the numbers must know: versions, settings, the protocols' papers and defects, and notes."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from typing import Any

import numpy as np

from d2m.evaluation.clip_scores import RANDOM_SONGS, ClipScore
from d2m.evaluation.references import Reference
from d2m.metrics.alignment import SIGMA_S
from d2m.metrics.beats import ONSET_TOLERANCE_S, TOLERANCES_S
from d2m.metrics.intervals import CONFIDENCE, bootstrap_mean
from d2m.metrics.protocols import D2MD_TOLERANCE_S, PROTOCOLS, summarize_clips
from d2m.metrics.registry import METRICS
from d2m.metrics.tempo import TEMPO_TOLERANCE

_LENGTH_NOTES = {
    "short": "end before what is judged: what is missing counts as missed (protocol loris cuts the reference instead, by"
    " its definition)",
    "long": "are longer than what is judged and cut",
    "ends_with_dance": "are judged over their dance, which ends before the reference",
    "other_format": "have another sample rate or number of channels than their reference (see each clip's notes)",
}
_LIBRARIES = ("librosa", "mir_eval", "numpy", "scipy", "soundfile", "pyloudnorm")


def versions() -> dict[str, str]:
    """Installed versions of the libraries that numbers depend on."""
    return {name: version(name) for name in _LIBRARIES}


def about_protocols(names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Title, paper, definition, known defect and saturation of published protocols."""
    left_out = ("name", "columns")
    return {
        name: {key: value for key, value in asdict(PROTOCOLS[name]).items() if key not in left_out} for name in names
    }


def notes_on(
    references: Sequence[Reference], baselines: Mapping[str, Sequence[ClipScore]], system: Sequence[ClipScore]
) -> list[str]:
    """Sentences on what makes these scores less than they seem: tracked references, one song, other lengths."""
    notes = []
    tracked = sum(reference.beats_from == "tracked" for reference in references)
    if tracked:
        notes.append(
            f"{tracked} of {len(references)} references have no true beats: theirs are tracked, and the ceiling"
            " `reference` is 1 for them by construction."
        )
    if "random_song" not in baselines:
        notes.append("there is only one song, so the floors random_song and shuffled_pairs could not be made.")
    if len({score.reference.song for score in system}) < 2:
        notes.append("there is only one song, so no interval over songs can be given.")
    mute = sum(score.analysis.beats_s.size == 0 for score in system)
    if mute:
        notes.append(f"in {mute} of {len(system)} generated clips the tracker hears no beat.")
    lengths = [score.length for score in system if score.length]
    for kind, what in _LENGTH_NOTES.items():
        count = sum(bool(getattr(length, kind)) for length in lengths)
        if count:
            notes.append(f"{count} of {len(system)} generated clips {what}.")
    return notes


def measuring_settings(seed: int, resamples: int) -> dict[str, Any]:
    """Tolerances and resampling, for the record."""
    return {
        "beat_tolerances_s": list(TOLERANCES_S),
        "onset_tolerance_s": ONSET_TOLERANCE_S,
        "tempo_tolerance": TEMPO_TOLERANCE,
        "alignment_sigma_s": SIGMA_S,
        "d2md_tolerance_s": D2MD_TOLERANCE_S,
        "bootstrap": {"resamples": resamples, "confidence": CONFIDENCE, "resampled_by": "song", "seed": seed},
        "random_songs_per_clip": RANDOM_SONGS,
    }


# Means and intervals over clips, in the shape that `scores.json` has.


def summarize(scores: Sequence[ClipScore], resamples: int, seed: int) -> dict[str, Any]:
    """Every metric's mean over clips with its interval over songs, each `{mean, low, high, clips, songs}`.

    `mean` is None where nothing could be measured.
    """
    songs = [score.reference.song for score in scores]
    summary: dict[str, Any] = {}
    for key, metric in METRICS.items():
        values = np.array([score.metrics[key] for score in scores], dtype=np.float64)
        interval = bootstrap_mean(values, songs, resamples=resamples, seed=seed).to_json()
        stem, *tolerance = metric.path
        if tolerance:
            summary.setdefault(stem, {})[tolerance[0]] = interval
        else:
            summary[stem] = interval
    return summary


def value_in(summary: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """`{mean, low, high, clips, songs}` of a metric in what `summarize` made; empty where it is missing."""
    found: Any = summary
    for part in METRICS[key].path:
        found = (found or {}).get(part)
    return found or {}


def summarize_protocols(scores: Sequence[ClipScore], protocols: Sequence[str]) -> dict[str, dict[str, float | None]]:
    """The chosen published protocols as their authors report them; None where undefined."""
    values = summarize_clips([score.protocols for score in scores])
    return {
        protocol: {column: plain_number(value) for column, value in values[protocol].items()} for protocol in protocols
    }


def system_json(scores: Sequence[ClipScore], protocols: Sequence[str], resamples: int, seed: int) -> dict[str, Any]:
    """Summary and protocols of one floor or ceiling."""
    return summarize(scores, resamples, seed) | {"protocols": summarize_protocols(scores, protocols)}


def mean_metrics(scores: Sequence[ClipScore]) -> dict[str, float | None]:
    """Plain means of all metrics, by the keys of `METRICS`; None where nothing was measured."""
    means = {}
    for key in METRICS:
        values = [score.metrics[key] for score in scores if not math.isnan(score.metrics[key])]
        means[key] = plain_number(float(np.mean(values))) if values else None
    return means


def plain_number(value: float | None, digits: int = 6) -> float | None:
    """Rounded for a file; None for NaN, which JSON cannot say."""
    return None if value is None or not math.isfinite(value) else round(float(value), digits)


def clip_json(score: ClipScore, protocols: Sequence[str]) -> dict[str, Any]:
    """One row of `clips`: what the clip is, its scores (None where not measured), and its event times in seconds."""
    reference, analysis, length = score.reference, score.analysis, score.length
    minima_s = (
        reference.motion_beats.minima_s[reference.motion_beats.minima_s < reference.seconds]
        if reference.motion_beats
        else None
    )
    chosen = {
        key: value for key, value in score.protocol_metrics.items() if key.split("_", 1)[0] in protocols
    }  # fmt: skip

    def times(values: np.ndarray | None) -> list[float] | None:
        return None if values is None else [round(float(value), 4) for value in values]

    return {
        "clip": score.clip,
        "name": reference.name,
        "song": reference.song,
        "genre": reference.genre,
        "genre_heard": analysis.genre.genre if analysis.genre else None,
        "genre_said": score.genre_said,
        "seed": score.seed,
        "seconds": plain_number(length.generated_seconds if length else reference.seconds, 4),
        "reference_seconds": plain_number(length.reference_seconds if length else reference.seconds, 4),
        "judged_seconds": plain_number(reference.seconds, 4),
        "tempo_bpm": plain_number(score.tempo_bpm, 3),
        "reference_tempo_bpm": plain_number(reference.tempo_bpm, 3),
        "reference_beats_from": reference.beats_from,
        "metrics": {key: plain_number(value) for key, value in (score.metrics | chosen).items()},
        "notes": list(score.notes),
        "beats_s": times(analysis.beats_s),
        "reference_beats_s": times(reference.beats_s),
        "kinematic_beats_s": times(minima_s),
    }
