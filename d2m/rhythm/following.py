"""Beat following: tempo and phase of what is danced now, forward only, and the beats to come.

A bar pointer (Whiteley, Cemgil & Godsill, ISMIR 2006) of one beat, filtered and not smoothed: the hidden state is the tempo and
how far the beat has gone; each frame it goes on by the tempo, the tempo moves a little, and the reader's answer weighs the states
near a beat. What was read of the past is all there is, so the answer has an uncertainty, and later beats are predicted.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from d2m.core.errors import BadConfig
from d2m.rhythm.grid import BEAT_WIDTH_S, BeatGrid
from d2m.rhythm.reader import READER_FPS
from d2m.rhythm.tracking import TempoPrior

LOWEST_BPM, HIGHEST_BPM, STEP = 60.0, 200.0, 0.015
"""Tempi that are followed, and from one to the next as a logarithm."""

PHASES = 64
_BEATS_MOVE, _BEGINS_AGAIN, _STRONGEST = 0.3, 0.01, 3.0
"""Chance from beat to beat that the tempo goes to a neighbour; chance a frame that everything begins anew; bound of log-odds."""

_JUMPS, _JUMP = 0.15, 0.08
"""Chance from beat to beat that the tempo is another from here on, the beat's phase going on; mean size as a logarithm."""

_COUNTS = 1.4
"""Times that a beat's evidence counts."""

BEGINS, SURE = 0.3, 0.15
"""Confidence from which music begins, and from which a prediction moves its beats."""

_LEVEL_S = 5.0
"""Over which the reader's answers have their level."""


@dataclass(frozen=True)
class Following:
    """What is believed after some frames.

    Args:
        belief: probability of each tempo and share of the beat gone.
        frames: of the reader, so far.
        mean, square: of the log-odds so far, of the last seconds.
    """

    belief: Float[np.ndarray, "tempo phase"]
    frames: int = 0
    mean: float = 0.0
    square: float = 0.0


@dataclass(frozen=True)
class Prediction:
    """The beats to come.

    Args:
        next_s: the next beat after the frame that was read last, on the dance's clock.
        period_s: from it to the one after.
        deviation_s: standard deviation of where it is.
        confidence: from 0 (nothing was read) to 1.
    """

    next_s: float
    period_s: float
    deviation_s: float
    confidence: float

    def beats_s(self, count: int) -> Float[np.ndarray, " beat"]:
        """The next beats."""
        return self.next_s + np.arange(count) * self.period_s


class BeatFollower:
    """Follows the beats of a reader's answers, `READER_FPS` a second.

    Args:
        prior: on the tempo.
        tempo_bpm: where it is known: only the phase is then followed, and the tempo within 4 %.

    Raises:
        BadConfig: for a tempo that is not followed.
    """

    def __init__(self, prior: TempoPrior | None = None, tempo_bpm: float | int | None = None) -> None:
        prior = prior or TempoPrior()
        self.bpm = np.exp(np.arange(np.log(LOWEST_BPM), np.log(HIGHEST_BPM), STEP))
        log_prior = -0.5 * (np.log2(self.bpm / prior.centre_bpm) / prior.octaves) ** 2
        if tempo_bpm is not None:
            if not LOWEST_BPM <= tempo_bpm <= HIGHEST_BPM:
                raise BadConfig(
                    f"tempo={tempo_bpm:g}: expected {LOWEST_BPM:g} to {HIGHEST_BPM:g} BPM; give another tempo."
                )
            log_prior = -0.5 * (np.log(self.bpm / float(tempo_bpm)) / 0.02) ** 2
        self._begin = np.exp(log_prior)[:, None].repeat(PHASES, axis=1)
        self._begin /= self._begin.sum()
        weight = prior.weight if tempo_bpm is None else 20.0
        self._prior = np.exp(weight / READER_FPS * np.maximum(log_prior, -20))[:, None]
        self._step = self.bpm / 60 / READER_FPS * PHASES
        period_s = 60 / self.bpm[:, None]
        turn = (np.arange(PHASES) + 0.5) / PHASES
        from_beat_s = np.minimum(turn, 1 - turn) * period_s
        bump = np.exp(-0.5 * (from_beat_s / BEAT_WIDTH_S) ** 2)
        self._bump = _COUNTS * bump / (BEAT_WIDTH_S * np.sqrt(2 * np.pi) * READER_FPS)
        whole = np.floor(self._step).astype(int)
        self._source = (np.arange(PHASES) - whole[:, None]) % PHASES
        self._share = (self._step - whole)[:, None]
        jumps = np.exp(-np.abs(np.log(self.bpm[:, None] / self.bpm)) / _JUMP)
        np.fill_diagonal(jumps, 0.0)
        self._jumps = jumps / jumps.sum(axis=0)

    def begin(self) -> Following:
        """Before the first frame."""
        return Following(self._begin.copy())

    def step(self, state: Following, logit: float) -> Following:
        """After one more answer of the reader."""
        belief = state.belief
        rows = np.arange(len(belief))[:, None]
        moved = belief[rows, self._source]
        moved = (1 - self._share) * moved + self._share * belief[rows, (self._source - 1) % PHASES]
        beats = moved * (self._step / PHASES)[:, None]
        leaving, jumping = _BEATS_MOVE * beats, _JUMPS * beats
        moved = moved - leaving - jumping + self._jumps @ jumping
        moved[1:] += leaving[:-1] / 2
        moved[:-1] += leaving[1:] / 2
        moved[[0, -1]] += leaving[[0, -1]] / 2
        moved = (1 - _BEGINS_AGAIN) * moved + _BEGINS_AGAIN * self._begin
        share = max(1 / (state.frames + 1), 1 / (_LEVEL_S * READER_FPS))
        mean = state.mean + share * (logit - state.mean)
        square = state.square + share * (logit**2 - state.square)
        level = mean + 0.5 * np.sqrt(max(square - mean**2, 1e-6))
        evidence = float(np.clip(logit - level, -_STRONGEST, _STRONGEST))
        moved = moved * np.exp(evidence * self._bump) * self._prior
        return Following(moved / moved.sum(), state.frames + 1, mean, square)

    def predict(self, state: Following, delay_s: float | int = 0.0) -> Prediction:
        """The beats to come after the last frame.

        Args:
            state: so far.
            delay_s: how late the reader's answers are.
        """
        tempo = state.belief.sum(axis=1)
        best = int(np.convolve(tempo, np.ones(5), mode="same").argmax())
        near = slice(max(best - 3, 0), best + 4)
        mass = state.belief[near]
        bpm = float(np.exp((mass.sum(axis=1) * np.log(self.bpm[near])).sum() / mass.sum()))
        angle = 2 * np.pi * (np.arange(PHASES) + 0.5) / PHASES
        mean = (mass.sum(axis=0) * np.exp(1j * angle)).sum() / mass.sum()
        turn, period_s = float(np.angle(mean) / (2 * np.pi) % 1), 60 / bpm
        spread = float(np.sqrt(-2 * np.log(np.clip(abs(mean), 1e-9, 1)))) / (2 * np.pi)
        now_s = (state.frames - 0.5) / READER_FPS - float(delay_s)  # what the last answer was about
        return Prediction(now_s + (1 - turn) * period_s, period_s, spread * period_s, float(mass.sum() * abs(mean)))


@dataclass(frozen=True)
class CommittedBeats:
    """The beats that music was made on, and how they go on: they follow predictions without leaving out or doubling a beat.

    Args:
        beats_s: so far, rising; at least two.
        disagreed: how many beats in a row were far from the predicted ones.
        until_s: music is made up to there, so no further beat is before it.
    """

    beats_s: tuple[float, ...]
    disagreed: int = 0
    until_s: float = float("-inf")

    MOST_CORRECTED, FAR, PATIENCE = 0.2, 0.25, 1

    @staticmethod
    def around(prediction: Prediction) -> "CommittedBeats":
        """Two beats before the next one."""
        first_s = prediction.next_s - 2 * prediction.period_s
        return CommittedBeats((first_s, first_s + prediction.period_s))

    def until(self, time_s: float | int, prediction: Prediction) -> "CommittedBeats":
        """With the beats before `time_s`, up to where music is made on them; beats after it are not decided by it.

        Each is a period after the last, moved towards the nearest predicted one by at most a fifth of it. Where predictions
        are sure and more than a quarter of a period away for the second time, the next beat is the predicted one, half a period to one
        and a half after the last.
        """
        beats_s, disagreed = list(self.beats_s), self.disagreed
        period_s = prediction.period_s
        while True:
            expected_s = beats_s[-1] + period_s
            error_s = (prediction.next_s - expected_s + period_s / 2) % period_s - period_s / 2
            sure = prediction.confidence > SURE
            far = disagreed + 1 if sure and abs(error_s) > self.FAR * period_s else 0
            if far > self.PATIENCE:
                far = 0
            elif sure:
                most_s = self.MOST_CORRECTED * period_s
                error_s = float(np.clip(error_s, -most_s, most_s))
            else:
                error_s = 0.0
            beat_s = max(float(expected_s + error_s), self.until_s)
            if beat_s >= time_s:
                return CommittedBeats(tuple(beats_s), disagreed, max(self.until_s, float(time_s)))
            beats_s.append(beat_s)
            disagreed = far

    def grid(self, from_s: float | int, seconds: float | int) -> BeatGrid:
        """The beats of a stretch of `seconds`, on its own clock, going on before and after."""
        return BeatGrid(np.array(self.beats_s[-64:]) - float(from_s)).covering(seconds)
