"""One clip, judged: everything that is measured between what was heard and the truth about a piece."""

import json
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from d2m.core.aist_names import parse_sequence_name
from d2m.evaluation.analysis import AudioAnalysis
from d2m.evaluation.references import JudgedLength, Reference, song_of
from d2m.metrics.alignment import alignment
from d2m.metrics.audio_quality import log_mel_frames, log_mel_l1
from d2m.metrics.beats import TOLERANCES_S, beat_drift, beat_scores, continuity, onset_f
from d2m.metrics.protocols import ProtocolScores, score_protocols
from d2m.metrics.registry import METRICS
from d2m.metrics.tempo import fit_tempo_bpm, judge_tempo

NOT_MEASURED = float("nan")
_SILENT_LOG_MEL = float(np.log(1e-3))
_SOUND = ("loudness_lufs", "clipped_share", "silent_share", "dc_offset", "stereo_correlation")


@dataclass(frozen=True)
class ClipScore:
    """Scores of one clip.

    Args:
        metrics: by the keys of `d2m.metrics.registry.METRICS`; NaN marks what could not be measured (no dance, no
            sound, no tempo).
        protocols: the clip under all published protocols.
        length: what was judged of the file, None for floors.
        genre_said: genre that the generator read out of the motion, None where it says none.
    """

    clip: str
    truth: Reference
    heard: AudioAnalysis
    tempo_bpm: float | int | None
    metrics: dict[str, float]
    protocols: ProtocolScores
    seed: int | None = None
    genre_said: str | None = None
    length: JudgedLength | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def protocol_metrics(self) -> dict[str, float]:
        """`d2mgan_coverage` and the like."""
        return {
            f"{protocol}_{column}": value
            for protocol, columns in asdict(self.protocols).items()
            for column, value in columns.items()
        }


def score_clip(
    truth: Reference,
    heard: AudioAnalysis,
    clip: str = "",
    seed: int | None = None,
    genre_said: str | None = None,
    length: JudgedLength | None = None,
    notes: list[str] | None = None,
) -> ClipScore:
    """Evaluator what was heard against the truth; every system, floor and ceiling goes through here."""
    heard = heard.until(truth.seconds)
    tempo_bpm = fit_tempo_bpm(heard.beats_s)
    known = truth.genre is not None and genre_said is not None
    metrics = (
        dict.fromkeys(METRICS, NOT_MEASURED)
        | beat_metrics(truth, heard)
        | _tempo_metrics(truth, tempo_bpm)
        | _sequence_metrics(truth, heard)
        | _motion_metrics(truth, heard)
        | _sound_metrics(truth, heard)
        | _genre_metrics(truth, heard)
        | {"motion_genre_accuracy": float(genre_said == truth.genre) if known else NOT_MEASURED}
    )
    protocols = score_protocols(truth.protocol_events(), heard.protocol_events(truth.seconds))
    return ClipScore(
        clip or truth.name, truth, heard, tempo_bpm, metrics, protocols, seed, genre_said, length, list(notes or [])
    )


def beat_metrics(truth: Reference, heard: AudioAnalysis) -> dict[str, float]:
    """Beat F, precision and recall at all tolerances."""
    metrics = {}
    for tolerance_s in TOLERANCES_S:
        score = beat_scores(truth.beats_s, heard.beats_s, tolerance_s)
        milliseconds = round(tolerance_s * 1000)
        metrics[f"beat_f_{milliseconds}"] = score.f
        metrics[f"beat_precision_{milliseconds}"] = score.precision
        metrics[f"beat_recall_{milliseconds}"] = score.recall
    return metrics


def _tempo_metrics(truth: Reference, tempo_bpm: float | int | None) -> dict[str, float]:
    if truth.tempo_bpm is None:
        return {}
    verdict = judge_tempo(truth.tempo_bpm, tempo_bpm)
    return {"tempo_within_2_percent": float(verdict.within), "tempo_octave_errors": float(verdict.octave_error)}


def _sequence_metrics(truth: Reference, heard: AudioAnalysis) -> dict[str, float]:
    steady = continuity(truth.beats_s, heard.beats_s)
    drift = abs(beat_drift(truth.beats_s, heard.beats_s).ms_per_second)  # signed, a system's slides would cancel out
    return {"continuity_cmlt": steady.cml_t, "continuity_amlt": steady.aml_t, "drift_ms_per_second": drift}


def _motion_metrics(truth: Reference, heard: AudioAnalysis) -> dict[str, float]:
    if truth.motion_beats is None:
        return {}
    minima_s = truth.motion_beats.minima_s[truth.motion_beats.minima_s < truth.seconds]
    both = alignment(minima_s, heard.beats_s)
    metrics = {
        "alignment_motion": both.over_motion,
        "alignment_music": both.over_music,
        "alignment_harmonic": both.harmonic,
    }
    if (seen_s := truth.motion_beats.picture_minima_s) is not None:
        metrics["alignment_image_plane"] = alignment(seen_s[seen_s < truth.seconds], heard.beats_s).harmonic
    return metrics


def _sound_metrics(truth: Reference, heard: AudioAnalysis) -> dict[str, float]:
    reference = truth.heard
    metrics = {key: value for key, value in heard.sound.metrics.items() if key in _SOUND} if heard.sound else {}
    if reference and reference.onsets_s is not None and heard.onsets_s is not None:
        metrics["onset_f"] = onset_f(reference.onsets_s, heard.onsets_s)
    if reference and reference.log_mel is not None and heard.log_mel is not None:
        # Only what is judged: the song of a floor may be shorter than the reference, which is cut to it.
        judged = reference.log_mel[:, : log_mel_frames(truth.seconds)]
        # What a short output lacks is silence, or stopping early would bring it nearer to the reference.
        missing = max(0, judged.shape[1] - heard.log_mel.shape[1])
        filled = np.pad(heard.log_mel, ((0, 0), (0, missing)), constant_values=_SILENT_LOG_MEL)
        metrics["log_mel_l1"] = log_mel_l1(judged, filled)
    return metrics


def _genre_metrics(truth: Reference, heard: AudioAnalysis) -> dict[str, float]:
    if heard.genre is None:
        return {}
    metrics = {}
    if truth.genre is not None:
        metrics["genre_accuracy"] = float(heard.genre.genre == truth.genre)
    if truth.heard and truth.heard.genre:
        from d2m.evaluation.genre_classifier import kl_divergence

        metrics["genre_kl"] = kl_divergence(truth.heard.genre.probabilities, heard.genre.probabilities)
    return metrics


def genre_said(generated: Path) -> str | None:
    """The genre in `NAME.json` beside a generated sound, None when there is no such file or field.

    Music whose file says `"genre_predicted": false` was told its genre, so there is nothing to judge.
    """
    try:
        said = json.loads(generated.with_suffix(".json").read_text())
    except (OSError, UnicodeDecodeError, json.JSONDecodeError):
        return None
    if not isinstance(said, dict) or said.get("genre_predicted") is False:
        return None
    genre = said.get("genre")
    return genre if isinstance(genre, str) else None


def checkpoints_of(sounds: Iterable[Path]) -> list[str]:
    """SHA-256 of the checkpoints named by `NAME.json` beside the generated sounds, each once; empty where none is."""
    found = set()
    for path in sounds:
        with suppress(OSError, UnicodeDecodeError, json.JSONDecodeError):
            said = json.loads(path.with_suffix(".json").read_text())
            sha256 = said.get("checkpoint_sha256") if isinstance(said, dict) else None
            found |= {sha256} if isinstance(sha256, str) else set()
    return sorted(found)


# Floors and ceilings, judged by the same `score_clip` as the system.
#
# Floors ignore the dance: another song, the system's music for another dance, a metronome, silence, or a tracker that
# sees only how fast the body moves. Ceilings cannot be beaten by a generator: the reference through the same
# tracker, and through the autoencoder. A score between the floors says that nothing was learned.
#
# Another piece may be shorter than the clip; then both are judged over what they have in common, because a floor that is
# low for a length that nobody chose would flatter the system.


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
    truths: Sequence[Reference], drawn: Mapping[str, Sequence[str]], hear_other: Callable[[str], AudioAnalysis]
) -> list[ClipScore]:
    """Each truth judged on the music of other clips, over the length that both have.

    Args:
        drawn: for each truth's name, the names of other clips.
        hear_other: what is heard in a clip of that name.
    """
    scores = []
    for truth in truths:
        for other in drawn[truth.name]:
            heard = hear_other(other)
            scores.append(score_clip(truth.until(heard.seconds or truth.seconds), heard, clip=other))
    return scores


def shuffled_pair_scores(truths: Sequence[Reference], system: Sequence[ClipScore], seed: int = 0) -> list[ClipScore]:
    """Each truth judged on the system's own music for dances to other songs: what a deaf but musical system scores.

    Empty when all music was made for one song.
    """
    made: dict[str, list[ClipScore]] = {}
    for score in system:
        made.setdefault(score.truth.name, []).append(score)
    drawn = {truth.name: draw_other_songs(truth.name, list(made), RANDOM_SONGS, seed) for truth in truths}
    return random_song_scores(truths, drawn, lambda name: made[name][0].heard)


def metronome_scores(truth: Reference, bpm: float | int, seed: int = 0) -> list[ClipScore]:
    """A metronome at several random phases."""
    phases = _rng(truth.name, seed).random(RANDOM_SONGS)
    return [score_clip(truth, metronome(bpm, truth.seconds, float(phase))) for phase in phases]


def plain_floors(truths: Sequence[Reference], seed: int = 0) -> dict[str, list[ClipScore]]:
    """`metronome_120`, `metronome_reference_tempo`, `silence`; with dances `motion_speed`, `motion_minima`."""
    nothing = np.zeros(0)
    floors = {
        "metronome_120": [score for truth in truths for score in metronome_scores(truth, METRONOME_BPM, seed)],
        "metronome_reference_tempo": [
            score for truth in truths if truth.tempo_bpm for score in metronome_scores(truth, truth.tempo_bpm, seed)
        ],
        "silence": [score_clip(truth, AudioAnalysis(nothing, nothing)) for truth in truths],
    }
    motion_beats = [(truth, truth.motion_beats) for truth in truths if truth.motion_beats is not None]
    if motion_beats:
        floors["motion_speed"] = [
            score_clip(truth, AudioAnalysis(seen.speed_beats_s, seen.speed_beats_s)) for truth, seen in motion_beats
        ]
        floors["motion_minima"] = [
            score_clip(truth, AudioAnalysis(seen.minima_s, seen.minima_s)) for truth, seen in motion_beats
        ]
    return floors


def reference_ceiling(truths: Sequence[Reference]) -> list[ClipScore]:
    """The reference's own sound through the same tracker, judged against its beats."""
    return [score_clip(truth, truth.heard) for truth in truths if truth.heard is not None]
