"""Beat tracking on a curve of beat probabilities: a tempo and a phase that drift slowly over the whole dance.

A hidden Markov model in the manner of the bar pointer (Whiteley, Cemgil & Godsill, ISMIR 2006), with a state for each beat
as in the efficient state space of Krebs, Böck & Widmer (ISMIR 2015): the hidden state is the time of a beat and the tempo
there; the next beat lies one period later, give or take a few hundredths of a second; the tempo moves by small steps. A beat's
evidence is the log-odds of the activation around it. The best path is found by Viterbi's algorithm (1967).
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.ndimage import gaussian_filter1d

from d2m.core.errors import BadConfig
from d2m.rhythm.grid import BEAT_WIDTH_S, HIGHEST_BPM, LOWEST_BPM, Alternative, BeatGrid, BeatReading

STEPS_PER_S = 100
"""Beats are tracked on hundredths of a second, and then smoothed."""

LEAST_CONFIDENCE = 0.1
"""Below this confidence no beat could be read, as where somebody walks or stands."""


@dataclass(frozen=True)
class TempoPrior:
    """Which tempi dances have, and how they move: log-normal around a centre.

    Args:
        centre_bpm, octaves: centre and standard deviation of the tempo; songs that are danced to at 80 to 135 BPM lie within one.
        weight: of the prior beside the evidence that a second of the activation brings (moments that follow each other are
            no independent witnesses, so a long dance does not outvote the prior).
        drift: cost of a change of tempo by one step (1.5 %) from beat to beat.
        jitter_s: standard deviation of a beat's time around one period after the beat before.
    """

    centre_bpm: float = 105.0
    octaves: float = 0.35
    weight: float = 0.3
    drift: float = 4.0
    jitter_s: float = 0.015


_TEMPI_BPM = np.exp(np.arange(np.log(LOWEST_BPM), np.log(HIGHEST_BPM), 0.015))
_FARTHEST = 3
"""Hundredths of a second that a beat may be early or late."""


def beat_evidence(activation: Float[np.ndarray, " frame"], frame_rate: float | int) -> Float[np.ndarray, " step"]:
    """Log-odds of a beat against the activation's own level (half a deviation above its mean), averaged over the width of a
    beat, on hundredths of a second."""
    probability = np.clip(np.asarray(activation, float), 1e-3, 1 - 1e-3)
    logits = np.log(probability / (1 - probability))
    steps = int(np.ceil(len(activation) / frame_rate * STEPS_PER_S))
    centre_s = (np.arange(len(activation)) + 0.5) / frame_rate
    fine = np.interp((np.arange(steps) + 0.5) / STEPS_PER_S, centre_s, logits)
    fine = gaussian_filter1d(fine, BEAT_WIDTH_S * STEPS_PER_S, mode="nearest")
    return fine - float(logits.mean() + 0.5 * logits.std())


def track_beats(
    activation: Float[np.ndarray, " frame"],
    frame_rate: float | int,
    tempo_bpm: float | int | None = None,
    prior: TempoPrior | None = None,
) -> BeatReading:
    """The beats that fit a curve of beat probabilities best.

    Args:
        activation: probability of a beat at the centre of each frame.
        frame_rate: frames a second.
        tempo_bpm: the tempo, where it is known: only the phase is then looked for; None: both are.
        prior: on the tempo.

    Raises:
        BadConfig: for a tempo outside 40 to 240 BPM.
    """
    prior, seconds = prior or TempoPrior(), len(activation) / frame_rate
    evidence = beat_evidence(activation, frame_rate)
    if tempo_bpm is not None:
        grid = _regular(evidence, tempo_bpm, seconds)
    else:
        path = _viterbi(evidence, prior)
        try:
            grid = BeatGrid(smoothed_beats(path) if len(path) > 2 else path[:1]).covering(seconds)
        except BadConfig:  # hardly any beats, or no tempo of music
            grid = _regular(evidence, prior.centre_bpm, seconds)
    score = grid_score(grid, evidence, prior)
    others = [("double", grid.doubled), ("shifted", lambda: grid.shifted(0.5))]
    others += [("half", grid.halved), ("half_shifted", lambda: grid.halved(1))] if len(grid.beats_s) > 4 else []
    alternatives = []
    for name, make in others:
        try:
            made = make().covering(seconds)
        except BadConfig:  # no tempo of music
            continue
        alternatives.append(Alternative(name, made, grid_score(made, evidence, prior)))
    alternatives.sort(key=lambda one: -one.score)
    return BeatReading(
        grid, _confidence(grid, activation, frame_rate), score, tuple(alternatives), activation, float(frame_rate)
    )


def grid_score(grid: BeatGrid, evidence: Float[np.ndarray, " step"], prior: TempoPrior) -> float:
    """Evidence of the beats and of the tempo, per second."""
    seconds = len(evidence) / STEPS_PER_S
    at = grid.within(seconds) * STEPS_PER_S - 0.5
    found = float(np.interp(at, np.arange(len(evidence)), evidence).sum()) if len(at) else 0.0
    return found / seconds + prior.weight * float(_log_prior(np.array([grid.bpm]), prior)[0])


def _log_prior(bpm: Float[np.ndarray, " tempo"], prior: TempoPrior) -> Float[np.ndarray, " tempo"]:
    return -0.5 * (np.log2(bpm / prior.centre_bpm) / prior.octaves) ** 2


def _regular(evidence: Float[np.ndarray, " step"], bpm: float | int, seconds: float) -> BeatGrid:
    """Beats of one tempo, at the phase with the most evidence."""
    BeatGrid.regular(bpm, 0.0, seconds)  # refuses what is no tempo
    period_s = 60 / float(bpm)
    phases = np.arange(0, period_s, 0.5 / STEPS_PER_S)
    times = np.arange(0, seconds, period_s)
    at = (phases[:, None] + times[None]) * STEPS_PER_S - 0.5
    found = np.interp(at, np.arange(len(evidence)), evidence, right=0.0).sum(axis=1)
    return BeatGrid.regular(bpm, float(phases[int(found.argmax())]), seconds)


def _viterbi(evidence: Float[np.ndarray, " step"], prior: TempoPrior) -> Float[np.ndarray, " beat"]:
    """Times in seconds of the beats of the best path; fewer than three where the dance is too short."""
    steps, period = len(evidence), 60 / _TEMPI_BPM * STEPS_PER_S
    delays = np.arange(-_FARTHEST, _FARTHEST + 1)
    late = -0.5 * (((np.round(period)[:, None] + delays) - period[:, None]) / (prior.jitter_s * STEPS_PER_S)) ** 2
    prior_by_beat = prior.weight * _log_prior(_TEMPI_BPM, prior) * period / STEPS_PER_S
    lag = np.round(period).astype(int)[:, None] + delays  # [tempo delay]
    tempi, pad = len(_TEMPI_BPM), int(lag.max()) + 1
    at_once = int(lag.min())  # steps of which none can be the beat before another
    # best[t]: of paths with a beat at t at each tempo; arrived[t]: the same after the tempo's step, for the next beat
    arrived = np.full((steps + pad, tempi), -np.inf)
    came = np.zeros((steps, tempi), np.int16)
    moved = np.zeros((steps + pad, tempi), np.int8)
    best = np.full((steps, tempi), -np.inf)
    rows = np.arange(tempi)[:, None]
    for start in range(0, steps, at_once):
        t = np.arange(start, min(start + at_once, steps))
        before = arrived[t[:, None, None] - lag + pad, rows] + late
        value, which = before.max(axis=2), before.argmax(axis=2)
        begins = (t[:, None] < period) & (value <= 0)  # a path may begin with this beat
        came[t] = np.where(begins, -1, which)
        stay = best[t] = np.where(begins, 0.0, value) + evidence[t, None] + prior_by_beat
        up, down = (np.full_like(stay, -np.inf) for _ in range(2))
        up[:, 1:], down[:, :-1] = stay[:, :-1] - prior.drift, stay[:, 1:] - prior.drift
        options = np.stack([up, stay, down])
        moved[t + pad] = options.argmax(axis=0) - 1
        arrived[t + pad] = options.max(axis=0)
    last = np.where(np.arange(steps)[:, None] >= steps - period[None], best, -np.inf)
    t, tempo = np.unravel_index(int(last.argmax()), last.shape)
    beats = [int(t)]
    while came[t, tempo] >= 0:
        t = t - lag[tempo, came[t, tempo]]
        if t < 0:
            break
        tempo = tempo + moved[t + pad, tempo]
        beats.append(int(t))
    return (np.array(beats[::-1]) + 0.5) / STEPS_PER_S


def smoothed_beats(beats_s: Float[np.ndarray, " beat"], reach: int = 8) -> Float[np.ndarray, " beat"]:
    """Each beat on the straight line through the beats around it, near ones counting most (tricube weights, as in LOESS)."""
    numbers = np.arange(len(beats_s))
    weights = np.clip(1 - (np.abs(numbers[:, None] - numbers[None]) / (reach + 1)) ** 3, 0, None) ** 3
    total = weights.sum(axis=1)
    mean_n, mean_s = weights @ numbers / total, weights @ beats_s / total
    offset = numbers[None] - mean_n[:, None]
    slope = (weights * offset * (beats_s[None] - mean_s[:, None])).sum(axis=1) / (weights * offset**2).sum(axis=1)
    return mean_s + slope * (numbers - mean_n)


def _confidence(grid: BeatGrid, activation: Float[np.ndarray, " frame"], frame_rate: float | int) -> float:
    """Mean activation on the beats less that half-way between them, from 0 to 1."""
    centre_s, seconds = (np.arange(len(activation)) + 0.5) / frame_rate, len(activation) / frame_rate
    on, off = (
        float(np.interp(beats_s, centre_s, activation).mean()) if len(beats_s) else 0.0
        for beats_s in (grid.within(seconds), grid.shifted(0.5).within(seconds))
    )
    return float(np.clip(on - off, 0, 1))
