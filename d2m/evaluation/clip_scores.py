"""Scores of one clip: everything that is measured between an analysis and its reference; baselines and toplines."""

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace

import numpy as np

from d2m.core.aist_names import parse_sequence_name
from d2m.evaluation.analysis import AudioAnalysis
from d2m.evaluation.genre_classifier import kl_divergence
from d2m.evaluation.records import GivenBeats
from d2m.evaluation.references import Reference, ScoredLength, song_of
from d2m.metrics.alignment import alignment
from d2m.metrics.audio_quality import log_mel_frames, log_mel_l1
from d2m.metrics.beats import (
    TOLERANCES_S,
    beat_drift,
    beat_scores,
    compare_tempo,
    continuity,
    fit_tempo_bpm,
    interval_deviation_ms,
    onset_f,
)
from d2m.metrics.protocols import ProtocolScores, score_protocols
from d2m.metrics.registry import METRICS

NOT_MEASURED = float("nan")
_SILENT_LOG_MEL = float(np.log(1e-3))


@dataclass(frozen=True)
class ClipScore:
    """Scores of one clip.

    Args:
        metrics: by the keys of `d2m.metrics.registry.METRICS`; NaN marks what could not be measured (no dance, no
            sound, no tempo).
        protocols: the clip under all published protocols.
        length: how much of the file was judged, None for baselines.
        predicted_genre: genre that the generator read out of the motion, None where it says none.
        given: the beats that the music was made to, None where nothing says them.
    """

    clip: str
    reference: Reference
    analysis: AudioAnalysis
    tempo_bpm: float | int | None
    metrics: dict[str, float]
    protocols: ProtocolScores
    seed: int | None = None
    predicted_genre: str | None = None
    length: ScoredLength | None = None
    notes: list[str] = field(default_factory=list)
    given: GivenBeats | None = None

    @property
    def protocol_metrics(self) -> dict[str, float]:
        """`d2mgan_coverage` and the like."""
        return {
            f"{protocol}_{column}": value
            for protocol, columns in asdict(self.protocols).items()
            for column, value in columns.items()
        }


def score_clip(
    reference: Reference,
    analysis: AudioAnalysis,
    clip: str = "",
    seed: int | None = None,
    predicted_genre: str | None = None,
    length: ScoredLength | None = None,
    notes: list[str] | None = None,
) -> ClipScore:
    """Score an analysis against its reference; every system, baseline and topline goes through here."""
    analysis = analysis.until(reference.seconds)
    tempo_bpm = fit_tempo_bpm(analysis.beats_s)
    known = reference.genre is not None and predicted_genre is not None
    metrics = (
        dict.fromkeys(METRICS, NOT_MEASURED)
        | beat_metrics(reference, analysis)
        | _tempo_metrics(reference, tempo_bpm)
        | _sequence_metrics(reference, analysis)
        | _motion_metrics(reference, analysis)
        | _audio_metrics(reference, analysis)
        | _genre_metrics(reference, analysis)
        | {"motion_genre_accuracy": float(predicted_genre == reference.genre) if known else NOT_MEASURED}
    )
    protocols = score_protocols(reference.protocol_events(), analysis.protocol_events(reference.seconds))
    return ClipScore(
        clip or reference.name,
        reference,
        analysis,
        tempo_bpm,
        metrics,
        protocols,
        seed,
        predicted_genre,
        length,
        list(notes or []),
    )


def beat_metrics(reference: Reference, analysis: AudioAnalysis) -> dict[str, float]:
    """Beat F, precision and recall at all tolerances."""
    metrics = {}
    for tolerance_s in TOLERANCES_S:
        score = beat_scores(reference.beats_s, analysis.beats_s, tolerance_s)
        milliseconds = round(tolerance_s * 1000)
        metrics[f"beat_f_{milliseconds}"] = score.f
        metrics[f"beat_precision_{milliseconds}"] = score.precision
        metrics[f"beat_recall_{milliseconds}"] = score.recall
    return metrics


def _tempo_metrics(reference: Reference, tempo_bpm: float | int | None) -> dict[str, float]:
    if reference.tempo_bpm is None:
        return {}
    verdict = compare_tempo(reference.tempo_bpm, tempo_bpm)
    return {
        "tempo_within_2_percent": float(verdict.within),
        "tempo_octave_errors": float(verdict.octave_error),
        "tempo_related": float(verdict.related),
    }


def _sequence_metrics(reference: Reference, analysis: AudioAnalysis) -> dict[str, float]:
    steady = continuity(reference.beats_s, analysis.beats_s)
    drift = abs(
        beat_drift(reference.beats_s, analysis.beats_s).ms_per_second
    )  # signed, a system's slides would cancel out
    return {
        "continuity_cmlt": steady.cml_t, "continuity_amlt": steady.aml_t, "drift_ms_per_second": drift,
        "drift_ms": drift * reference.seconds, "interval_deviation_ms": interval_deviation_ms(analysis.beats_s),
    }  # fmt: skip


def _motion_metrics(reference: Reference, analysis: AudioAnalysis) -> dict[str, float]:
    if reference.motion_beats is None:
        return {}
    minima_s = reference.motion_beats.minima_s[reference.motion_beats.minima_s < reference.seconds]
    both = alignment(minima_s, analysis.beats_s)
    metrics = {
        "alignment_motion": both.over_motion,
        "alignment_music": both.over_music,
        "alignment_harmonic": both.harmonic,
    }
    if (picture_s := reference.motion_beats.picture_minima_s) is not None:
        metrics["alignment_image_plane"] = alignment(
            picture_s[picture_s < reference.seconds], analysis.beats_s
        ).harmonic
    return metrics


def _audio_metrics(reference: Reference, analysis: AudioAnalysis) -> dict[str, float]:
    own = reference.analysis
    metrics = (
        {key: value for key, value in analysis.quality.metrics.items() if key in METRICS} if analysis.quality else {}
    )
    metrics |= asdict(analysis.harmony) if analysis.harmony else {}
    if own and own.onsets_s is not None and analysis.onsets_s is not None:
        metrics["onset_f"] = onset_f(own.onsets_s, analysis.onsets_s)
    if own and own.log_mel is not None and analysis.log_mel is not None:
        # Only what is judged: the song of a floor may be shorter than the reference, which is cut to it.
        compared = own.log_mel[:, : log_mel_frames(reference.seconds)]
        # What a short output lacks is silence, or stopping early would bring it nearer to the reference.
        missing = max(0, compared.shape[1] - analysis.log_mel.shape[1])
        filled = np.pad(analysis.log_mel, ((0, 0), (0, missing)), constant_values=_SILENT_LOG_MEL)
        metrics["log_mel_l1"] = log_mel_l1(compared, filled)
    return metrics


def _genre_metrics(reference: Reference, analysis: AudioAnalysis) -> dict[str, float]:
    if analysis.genre is None:
        return {}
    metrics = {}
    if reference.genre is not None:
        metrics["genre_accuracy"] = float(analysis.genre.genre == reference.genre)
    if reference.analysis and reference.analysis.genre:
        metrics["genre_kl"] = kl_divergence(reference.analysis.genre.probabilities, analysis.genre.probabilities)
    return metrics


# Baselines (floors in the report) ignore the dance; toplines (ceilings) cannot be beaten by a generator. All go through
# `score_clip`. Another piece may be shorter than the clip; then both are scored over what they have in common, because a floor
# that is low for a length that nobody chose would flatter the system.


RANDOM_SONGS = 5
"""Other songs, and phases of a metronome, drawn per clip: one draw would make the floor itself a matter of luck."""

METRONOME_BPM = 120


def metronome(bpm: float | int, seconds: float | int, phase: float | int = 0) -> AudioAnalysis:
    """Clicks at `bpm`, the first after `phase` of a period; each is a beat and an onset."""
    clicks_s = np.arange(phase * 60 / bpm, seconds, 60 / bpm)
    return AudioAnalysis(clicks_s, clicks_s)


def _rng(name: str, seed: int) -> np.random.Generator:
    """Depends on `seed` and `name` only, not on the order of work."""
    return np.random.default_rng([seed, zlib.crc32(name.encode())])


def draw_other_songs(name: str, pool: Sequence[str], count: int, seed: int = 0, same_genre: bool = False) -> list[str]:
    """Up to `count` names from `pool` whose song differs from that of `name`, at most one per song.

    The draw depends on `seed` and `name` only, not on the order of work. With `same_genre` only songs of its genre.
    """
    parsed = parse_sequence_name(name)
    drawn: dict[str, str] = {}
    for other in _rng(name, seed).permutation(sorted(pool)):
        other_parsed = parse_sequence_name(str(other))
        if same_genre and not (parsed and other_parsed and parsed.genre == other_parsed.genre):
            continue
        if song_of(str(other)) != song_of(name):
            drawn.setdefault(song_of(str(other)), str(other))
    return list(drawn.values())[:count]


def random_song_scores(
    references: Sequence[Reference], drawn: Mapping[str, Sequence[str]], analysis_of: Callable[[str], AudioAnalysis]
) -> list[ClipScore]:
    """Each reference against the music of other clips, over the length that both have.

    Args:
        drawn: for each reference's name, the names of other clips.
        analysis_of: the analysis of a clip of that name.
    """
    scores = []
    for reference in references:
        for other in drawn[reference.name]:
            analysis = analysis_of(other)
            scores.append(score_clip(reference.until(analysis.seconds or reference.seconds), analysis, clip=other))
    return scores


def shuffled_pair_scores(
    references: Sequence[Reference], system: Sequence[ClipScore], seed: int = 0
) -> list[ClipScore]:
    """Each reference against the system's music for dances to other songs: the score of a system that ignores motion.

    Empty when all music was made for one song.
    """
    made: dict[str, list[ClipScore]] = {}
    for score in system:
        made.setdefault(score.reference.name, []).append(score)
    drawn = {
        reference.name: draw_other_songs(reference.name, list(made), RANDOM_SONGS, seed) for reference in references
    }
    return random_song_scores(references, drawn, lambda name: made[name][0].analysis)


def metronome_scores(reference: Reference, bpm: float | int, seed: int = 0) -> list[ClipScore]:
    """A metronome at several random phases."""
    phases = _rng(reference.name, seed).random(RANDOM_SONGS)
    return [score_clip(reference, metronome(bpm, reference.seconds, float(phase))) for phase in phases]


def plain_baselines(references: Sequence[Reference], seed: int = 0) -> dict[str, list[ClipScore]]:
    """`metronome_120`, `metronome_reference_tempo`, `silence`; with dances `motion_speed`, `motion_minima`."""
    nothing = np.zeros(0)
    baselines = {
        "metronome_120": [
            score for reference in references for score in metronome_scores(reference, METRONOME_BPM, seed)
        ],
        "metronome_reference_tempo": [
            score
            for reference in references
            if reference.tempo_bpm
            for score in metronome_scores(reference, reference.tempo_bpm, seed)
        ],
        "silence": [score_clip(reference, AudioAnalysis(nothing, nothing)) for reference in references],
    }
    motion_beats = [
        (reference, reference.motion_beats) for reference in references if reference.motion_beats is not None
    ]
    if motion_beats:
        baselines["motion_speed"] = [
            score_clip(reference, AudioAnalysis(motion.speed_beats_s, motion.speed_beats_s))
            for reference, motion in motion_beats
        ]
        baselines["motion_minima"] = [
            score_clip(reference, AudioAnalysis(motion.minima_s, motion.minima_s)) for reference, motion in motion_beats
        ]
    return baselines


def reference_topline(references: Sequence[Reference]) -> list[ClipScore]:
    """The reference's own sound through the same tracker, judged against its beats."""
    return [score_clip(reference, reference.analysis) for reference in references if reference.analysis is not None]


# Where sync is lost: already in what was read from the motion, or only between these beats and the music.


def read_and_heard(system: Sequence[ClipScore]) -> dict[str, list[ClipScore]]:
    """`read`: beats read from the motion, before any music, against the true ones; `heard`: those that the tracker hears in
    the music against the ones that it was given, whoever gave them. Without clips that say what they were given.
    """
    rows: dict[str, list[ClipScore]] = {"read": [], "heard": []}
    for score in system:
        given = score.given
        if given is None:
            continue
        bare = replace(score.reference, analysis=None)
        if given.are_read:
            said = AudioAnalysis(given.beats_s)
            rows["read"].append(score_clip(bare, said, score.clip, score.seed, score.predicted_genre))
        beats_s = given.beats_s[given.beats_s < bare.seconds]
        asked = replace(bare, beats_s=beats_s, tempo_bpm=fit_tempo_bpm(beats_s), motion_beats=None)
        rows["heard"].append(score_clip(asked, AudioAnalysis(score.analysis.beats_s), score.clip, score.seed))
    return {name: scores for name, scores in rows.items() if scores}
