"""One clip, judged: everything that is measured between what was heard and the truth about a piece."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from d2m.names import parse_sequence_name, song_tempo_bpm
from evaluate.alignment import alignment_over_motion, alignment_over_music
from evaluate.beats import TOLERANCES_S, beat_scores
from evaluate.motion import Watched
from evaluate.onsets import onset_f
from evaluate.protocols import d2md
from evaluate.sound_distance import log_mel_l1
from evaluate.tempo import fit_tempo_bpm, judge_tempo
from evaluate.trackers import Heard

NOT_MEASURED = float("nan")


@dataclass(frozen=True)
class Truth:
    """What is true of one clip.

    Args:
        name: the reference's name.
        song: what intervals are resampled by: the song code of an AIST++ name, else the name itself.
        genre: genre code of an AIST++ name, else None.
        seconds: length judged: what generated and reference music both have.
        beats_s: reference beats, in seconds.
        beats_from: `"true"` for given beats, `"tracked"` for beats that the tracker heard in the reference.
        tempo_bpm: the tempo that the song code says, else fitted from `beats_s`; None when it cannot be told.
        heard: what the tracker hears in the reference, None where there is only a beat list.
        watched: what the dance shows, None where there is no dance.
    """

    name: str
    song: str
    genre: str | None
    seconds: float
    beats_s: Float[np.ndarray, " beat"]
    beats_from: str
    tempo_bpm: float | int | None
    heard: Heard | None = None
    watched: Watched | None = None

    @staticmethod
    def of(
        name: str,
        seconds: float | int,
        true_beats_s: Float[np.ndarray, " beat"] | None,
        heard: Heard | None,
        watched: Watched | None = None,
    ) -> "Truth":
        """Cut to `seconds` and fill in what the name says.

        Raises:
            ValueError: when there are neither true beats nor a sound to track them in.
        """
        if true_beats_s is None and heard is None:
            raise ValueError(f"{name}: a truth needs beats or a sound.")
        parsed = parse_sequence_name(name)
        heard = heard.until(seconds) if heard else None
        beats_s = true_beats_s if true_beats_s is not None else heard.beats_s if heard else np.zeros(0)
        beats_s = beats_s[beats_s < seconds]
        return Truth(
            name=name,
            song=parsed.song if parsed else name,
            genre=parsed.genre if parsed else None,
            seconds=seconds,
            beats_s=beats_s,
            beats_from="true" if true_beats_s is not None else "tracked",
            tempo_bpm=song_tempo_bpm(parsed.song) if parsed else fit_tempo_bpm(beats_s),
            heard=heard,
            watched=watched,
        )


@dataclass(frozen=True)
class ClipScore:
    """Scores of one clip; NaN marks what could not be measured (no dance, no sound, no tempo).

    Args:
        metrics: `beat_f_70` and the like (tolerance in ms), `beat_precision_70`, `beat_recall_70`,
            `tempo_within_2_percent`, `tempo_octave_errors`, `onset_f`, `alignment_motion`, `alignment_music`,
            `d2md_coverage`, `d2md_hit`, `log_mel_l1`, `genre_accuracy`.
    """

    clip: str
    truth: Truth
    heard: Heard
    tempo_bpm: float | int | None
    metrics: dict[str, float]
    seed: int | None = None
    genre_said: str | None = None


def score_clip(
    truth: Truth, heard: Heard, clip: str = "", seed: int | None = None, genre_said: str | None = None
) -> ClipScore:
    """Judge what was heard against the truth; every system, floor and ceiling goes through here."""
    heard = heard.until(truth.seconds)
    tempo_bpm = fit_tempo_bpm(heard.beats_s)
    metrics = _beat_metrics(truth, heard) | _tempo_metrics(truth, tempo_bpm) | _sound_metrics(truth, heard)
    metrics |= _motion_metrics(truth, heard)
    known = truth.genre is not None and genre_said is not None
    metrics["genre_accuracy"] = float(genre_said == truth.genre) if known else NOT_MEASURED
    return ClipScore(clip or truth.name, truth, heard, tempo_bpm, metrics, seed, genre_said)


def _beat_metrics(truth: Truth, heard: Heard) -> dict[str, float]:
    metrics = {}
    for tolerance_s in TOLERANCES_S:
        score = beat_scores(truth.beats_s, heard.beats_s, tolerance_s)
        milliseconds = round(tolerance_s * 1000)
        metrics[f"beat_f_{milliseconds}"] = score.f
        metrics[f"beat_precision_{milliseconds}"] = score.precision
        metrics[f"beat_recall_{milliseconds}"] = score.recall
    # The protocol tracks both sides; true beats stand in only where the reference has no sound.
    protocol = d2md(truth.heard.beats_s if truth.heard else truth.beats_s, heard.beats_s)
    return metrics | {"d2md_coverage": protocol.coverage, "d2md_hit": protocol.hit}


def _tempo_metrics(truth: Truth, tempo_bpm: float | int | None) -> dict[str, float]:
    if truth.tempo_bpm is None:
        return {"tempo_within_2_percent": NOT_MEASURED, "tempo_octave_errors": NOT_MEASURED}
    verdict = judge_tempo(truth.tempo_bpm, tempo_bpm)
    return {"tempo_within_2_percent": float(verdict.within), "tempo_octave_errors": float(verdict.octave_error)}


def _sound_metrics(truth: Truth, heard: Heard) -> dict[str, float]:
    reference = truth.heard
    onsets, distance = NOT_MEASURED, NOT_MEASURED
    if reference and reference.onsets_s is not None and heard.onsets_s is not None:
        onsets = onset_f(reference.onsets_s, heard.onsets_s)
    if reference and reference.log_mel is not None and heard.log_mel is not None:
        distance = log_mel_l1(reference.log_mel, heard.log_mel)
    return {"onset_f": onsets, "log_mel_l1": distance}


def _motion_metrics(truth: Truth, heard: Heard) -> dict[str, float]:
    if truth.watched is None:
        return {"alignment_motion": NOT_MEASURED, "alignment_music": NOT_MEASURED}
    minima_s = truth.watched.minima_s[truth.watched.minima_s < truth.seconds]
    return {
        "alignment_motion": alignment_over_motion(minima_s, heard.beats_s),
        "alignment_music": alignment_over_music(minima_s, heard.beats_s),
    }


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
