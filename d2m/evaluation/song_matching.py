"""Reverse check: does a dance find its own music among others? Ranks of the true piece, and the area under the curve.

Every dance is laid on every piece, both from their start, and three things are looked at: whether the beats heard in the piece
lie where the rhythm reader sees beats in the dance, whether both are strong at the same time, and whether both are of one genre.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from scipy.stats import rankdata

from d2m.core.aist_names import GENRES
from d2m.core.timeline import MOTION_FPS
from d2m.evaluation.analysis import AudioAnalysis
from d2m.evaluation.clip_scores import ClipScore
from d2m.metrics.audio_quality import MEL_HOP_SAMPLES, MEL_SAMPLE_RATE
from d2m.metrics.intervals import bootstrap_mean
from d2m.motion.dance import Dance
from d2m.motion.kinematic_beats import joint_speed
from d2m.rhythm.reader import READER_FPS, RhythmRead, RhythmReader

TERMS = ("beats", "energy", "genre")
_STEP_S = 1.0
_FEWEST_STEPS = 4


@dataclass(frozen=True)
class SeenDance:
    """What is seen in a dance.

    Args:
        song: that it was danced to, see `d2m.evaluation.references.song_of`.
        activation: probability of a beat, `READER_FPS` a second.
        speed: logarithm of the mean joint speed of each second.
        genre: probabilities in the order of `d2m.core.aist_names.GENRES`.
    """

    song: str
    activation: Float[np.ndarray, " frame"]
    speed: Float[np.ndarray, " second"]
    genre: Float[np.ndarray, " 10"]

    @staticmethod
    def of(dance: Dance, read: RhythmRead, song: str) -> "SeenDance":
        """A dance as the rhythm reader reads it."""
        speed = np.log(_steps(joint_speed(dance.features), MOTION_FPS) + 1e-3)
        return SeenDance(song, read.activation, speed, read.genre_probabilities.double().numpy())


def _steps(curve: Float[np.ndarray, " time"], rate: float | int) -> Float[np.ndarray, " second"]:
    """Mean of each whole second."""
    step = round(_STEP_S * rate)
    return np.asarray(curve[: len(curve) // step * step], np.float64).reshape(-1, step).mean(axis=1)


def beats_fit(beats_s: Float[np.ndarray, " beat"], dance: SeenDance) -> float:
    """Mean activation of the dance on the beats less that half-way between them, -1 to 1; 0 without two beats."""
    seconds = len(dance.activation) / READER_FPS
    beats_s = beats_s[beats_s < seconds]
    if len(beats_s) < 2:
        return 0.0
    centre_s = (np.arange(len(dance.activation)) + 0.5) / READER_FPS
    on, off = (np.interp(at, centre_s, dance.activation).mean() for at in (beats_s, (beats_s[1:] + beats_s[:-1]) / 2))
    return float(on - off)


def energy_fit(log_mel: Float[np.ndarray, "mel frame"] | None, dance: SeenDance) -> float:
    """Correlation of the piece's level with the dance's speed from second to second; 0 where there is nothing to correlate."""
    if log_mel is None:
        return 0.0
    level = _steps(log_mel.mean(axis=0), MEL_SAMPLE_RATE / MEL_HOP_SAMPLES)
    length = min(len(level), len(dance.speed))
    pair = np.stack([level[:length], dance.speed[:length]])
    if length < _FEWEST_STEPS or pair.std(axis=1).min() < 1e-6:
        return 0.0
    return float(np.corrcoef(pair)[0, 1])


def fits(dance: SeenDance, pieces: Sequence[AudioAnalysis]) -> dict[str, Float[np.ndarray, " piece"]]:
    """How well each piece fits the dance by each of `TERMS`, and by `all`: the sum of the terms, each standardised over the pieces.

    Terms that can be told of no piece are left out: bare lists of beats have `beats` alone. A piece that lacks what others have has 0.
    """
    heard = [piece.genre.probabilities if piece.genre else np.zeros(len(GENRES)) for piece in pieces]
    found = {
        "beats": np.array([beats_fit(piece.beats_s, dance) for piece in pieces]),
        "energy": np.array([energy_fit(piece.log_mel, dance) for piece in pieces]),
        "genre": np.array([float(one @ dance.genre) if len(one) == len(GENRES) else 0.0 for one in heard]),
    }
    if all(piece.log_mel is None for piece in pieces):
        del found["energy"]
    if all(piece.genre is None for piece in pieces):
        del found["genre"]
    standardised = [(term - term.mean()) / term.std() for term in found.values() if term.std() > 1e-9]
    return found | {"all": np.sum(standardised, axis=0) if standardised else np.zeros(len(pieces))}


@dataclass(frozen=True)
class Rank:
    """Where the true piece stands.

    Args:
        rank: 1 is first; among pieces that fit equally well the mean of their places.
        auc: share of the other pieces that fit worse, those that fit equally well counting half.
        candidates: pieces that were ranked, the true one included.
    """

    rank: float
    auc: float
    candidates: int


def rank_of(scores: Float[np.ndarray, " piece"], own: int, rivals: Sequence[int]) -> Rank:
    """Rank of the piece number `own` among itself and the `rivals`."""
    chosen = np.array([scores[own], *(scores[rival] for rival in rivals)])
    rank = float(rankdata(-chosen.round(9))[0])
    return Rank(rank, 1 - (rank - 1) / len(rivals) if rivals else float("nan"), len(chosen))


def matching(
    dances: Mapping[str, SeenDance], pieces: Mapping[str, AudioAnalysis], resamples: int, seed: int
) -> dict[str, Any] | None:
    """Ranks of each dance's own piece, by term and by all of them; None where there are fewer than two songs.

    Other pieces of the dance's song are no rivals: they are right as well.

    Args:
        dances: by clip.
        pieces: by the same clips.
    """
    clips = [clip for clip in pieces if clip in dances]
    songs = [dances[clip].song for clip in clips]
    if len(set(songs)) < 2:
        return None
    ranks: dict[str, list[Rank]] = {}
    for own, clip in enumerate(clips):
        rivals = [number for number, song in enumerate(songs) if song != songs[own]]
        for term, scores in fits(dances[clip], [pieces[name] for name in clips]).items():
            ranks.setdefault(term, []).append(rank_of(scores, own, rivals))
    candidates = float(np.mean([rank.candidates for rank in ranks["all"]]))
    rows = {term: _summary(found, songs, resamples, seed) for term, found in ranks.items()}
    chance = {
        "auc": 0.5,
        "mean_rank": (candidates + 1) / 2,
        "first": float(np.mean([1 / rank.candidates for rank in ranks["all"]])),
    }
    return {"dances": len(clips), "songs": len(set(songs)), "candidates": candidates, "chance": chance, **rows}


def dances_find_music(
    scores: Sequence[ClipScore], dances: Mapping[str, Path], reader: RhythmReader, resamples: int, seed: int
) -> dict[str, Any]:
    """`generated`: which of the generated pieces each dance finds; `reference`: which of the true ones. See `matching`.

    Args:
        scores: of the system's clips.
        dances: the dance of each clip that has one; each must have been read once.
        reader: of the dances' beats and genre.
    """
    seen = dict[Path, RhythmRead]()
    found, generated, reference = dict[str, SeenDance](), dict[str, AudioAnalysis](), dict[str, AudioAnalysis]()
    for score in scores:
        path = dances.get(score.clip)
        if path is None or score.reference.motion_beats is None:
            continue
        dance = Dance.load(path)
        if path not in seen:
            seen[path] = reader.read(torch.from_numpy(dance.features))
        found[score.clip] = SeenDance.of(dance, seen[path], score.reference.song)
        generated[score.clip] = score.analysis
        reference[score.clip] = score.reference.analysis or AudioAnalysis(score.reference.beats_s)
    return {
        "generated": matching(found, generated, resamples, seed),
        "reference": matching(found, reference, resamples, seed),
    }


def _summary(ranks: Sequence[Rank], songs: Sequence[str], resamples: int, seed: int) -> dict[str, Any]:
    auc = bootstrap_mean(np.array([one.auc for one in ranks]), songs, resamples=resamples, seed=seed)
    places = np.array([one.rank for one in ranks])
    return {
        "auc": auc.to_json(),
        "mean_rank": float(places.mean()),
        "median_rank": float(np.median(places)),
        "first": float((places == 1).mean()),
    }
