"""What `scores.json` holds of clips: means with intervals over all, by genre, by tempo and by tracker, and what was set."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from typing import Any

import numpy as np

from d2m.core.aist_names import FIRST_BEAT_S, GENRE_TITLES
from d2m.evaluation.analysis import AudioAnalysis
from d2m.evaluation.clip_scores import RANDOM_SONGS, ClipScore, beat_metrics
from d2m.evaluation.references import Reference
from d2m.metrics.alignment import SIGMA_S
from d2m.metrics.beat_tracker import tracker_spread
from d2m.metrics.beats import ONSET_TOLERANCE_S, TEMPO_TOLERANCE, TOLERANCES_S, compare_tempo, fit_tempo_bpm
from d2m.metrics.intervals import CONFIDENCE, bootstrap_mean
from d2m.metrics.protocols import D2MD_TOLERANCE_S, PROTOCOLS, summarize_clips
from d2m.metrics.registry import HEADLINE, METRICS

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
    ruled = sum(reference.beats_from == "rule" for reference in references)
    if ruled:
        notes.append(
            f"{ruled} of {len(references)} references have no beat list: theirs are by AIST++'s rule, {FIRST_BEAT_S:g} s +"
            " k · 60 / BPM with the tempo that the song's name says."
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


def clip_json(
    score: ClipScore, protocols: Sequence[str], read: ClipScore | None = None, heard: ClipScore | None = None
) -> dict[str, Any]:
    """One row of `clips`: what the clip is, its scores (None where not measured), and its event times in seconds.

    Args:
        read, heard: the clip in `d2m.evaluation.clip_scores.read_and_heard`.
    """
    reference, analysis, length, given = score.reference, score.analysis, score.length, score.given
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
        "genre_said": score.predicted_genre,
        "seed": score.seed,
        "seconds": plain_number(length.generated_seconds if length else reference.seconds, 4),
        "reference_seconds": plain_number(length.reference_seconds if length else reference.seconds, 4),
        "judged_seconds": plain_number(reference.seconds, 4),
        "tempo_bpm": plain_number(score.tempo_bpm, 3),
        "reference_tempo_bpm": plain_number(reference.tempo_bpm, 3),
        "reference_beats_from": reference.beats_from,
        "given_beats_from": given.source if given else None,
        "given_shift": given.shift if given else None,
        "read_confidence": given.confidence if given else None,
        f"read_{HEADLINE}": plain_number(read.metrics[HEADLINE]) if read else None,
        f"heard_{HEADLINE}": plain_number(heard.metrics[HEADLINE]) if heard else None,
        "metrics": {key: plain_number(value) for key, value in (score.metrics | chosen).items()},
        "notes": list(score.notes),
        "beats_s": times(analysis.beats_s),
        "reference_beats_s": times(reference.beats_s),
        "given_beats_s": times(given.beats_s if given else None),
        "kinematic_beats_s": times(minima_s),
    }


# The same by genre, by tempo and by tracker: where a system is good, and how much of a score belongs to the tracker.


def genre_rows(
    system: Sequence[ClipScore],
    baselines: Mapping[str, Sequence[ClipScore]],
    toplines: Mapping[str, Sequence[ClipScore]],
    rhythm: Mapping[str, Sequence[ClipScore]],
) -> dict[str, Any]:
    """Per genre code: title, number of clips, plain means of all metrics, the headline of its floor and ceiling, of the beats
    read and of those heard (None where not measured).
    """
    genres = {}
    for genre in sorted({row.reference.genre for row in system if row.reference.genre}):

        def headline(rows: Sequence[ClipScore], genre: str = genre) -> float | None:
            return mean_metrics([row for row in rows if row.reference.genre == genre])[HEADLINE]

        rows = [row for row in system if row.reference.genre == genre]
        genres[genre] = {
            "title": GENRE_TITLES[genre],
            "clips": len(rows),
            **mean_metrics(rows),
            f"random_song_{HEADLINE}": headline(baselines.get("random_song", [])),
            f"reference_{HEADLINE}": headline(toplines.get("reference", [])),
            **{f"{name}_{HEADLINE}": headline(rhythm.get(name, [])) for name in ("read", "heard")},
        }
    return genres


def tempo_rows(system: Sequence[ClipScore], toplines: Mapping[str, Sequence[ClipScore]]) -> list[dict[str, Any]]:
    """Per song of known tempo, slowest first: plain means of all metrics, and the ceiling's headline."""
    songs = {row.reference.song: row.reference.tempo_bpm for row in system if row.reference.tempo_bpm is not None}
    table = []
    for song, tempo_bpm in sorted(songs.items(), key=lambda item: (item[1] or 0, item[0])):
        rows = [row for row in system if row.reference.song == song]
        topline = [row for row in toplines.get("reference", []) if row.reference.song == song]
        table.append(
            {
                "tempo_bpm": plain_number(tempo_bpm, 3),
                "song": song,
                "genre": rows[0].reference.genre,
                "clips": len(rows),
                **mean_metrics(rows),
                f"reference_{HEADLINE}": mean_metrics(topline)[HEADLINE],
            }
        )
    return table


def _metrics(reference: Reference, analysis: AudioAnalysis) -> dict[str, float]:
    metrics = beat_metrics(reference, analysis)
    if reference.tempo_bpm is not None:
        metrics["tempo_within_2_percent"] = float(
            compare_tempo(reference.tempo_bpm, fit_tempo_bpm(analysis.beats_s)).within
        )
    return metrics


def _means(rows: Sequence[dict[str, float]]) -> dict[str, float | None]:
    keys = dict.fromkeys(key for row in rows for key in row)
    return {key: plain_number(float(np.mean([row[key] for row in rows if key in row]))) for key in keys}


def tracker_table(system: Sequence[ClipScore], trackers: Sequence[str]) -> dict[str, Any]:
    """Beat scores and tempo by tracker, and with two or more the `spread` of beat F at 70 ms.

    Where a reference has no true beats, each tracker is scored against its own beats in the reference.
    `reference_beat_f_70` is the ceiling under the same tracker.
    """
    table: dict[str, Any] = {}
    for name in trackers:
        pairs = [(score.reference.by(name), score.analysis.by(name)) for score in system]
        table[name] = _means([_metrics(reference, analysis) for reference, analysis in pairs])
        topline = [
            beat_metrics(reference, reference.analysis)[HEADLINE] for reference, _ in pairs if reference.analysis
        ]
        table[name][f"reference_{HEADLINE}"] = plain_number(float(np.mean(topline))) if topline else None
    if len(trackers) > 1:
        spread = tracker_spread({name: table[name][HEADLINE] for name in trackers})
        table["spread"] = {
            "low": plain_number(spread.low),
            "high": plain_number(spread.high),
            "width": plain_number(spread.width),
        }
    return table
