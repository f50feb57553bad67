"""When in the beat each part of the body moves, by genre.

Dancers seldom stop on the beat. The pelvis sinks and rises with a phase that a genre's dancers agree upon; feet fly
between beats and land about on them; hands set off on the beat and are ahead of the feet; trunk and head go their own
way. `PHASES` says so in beats. Where it was measured: the 2-D dances of AIST++ that training may see (house, middle
hip-hop and krump, eight advanced sequences) and a waack dance, by `scripts/dance_statistics.py`, and notes on real
dancers for the others. Where nothing is known, or only the test split's dancers told it, the phase is `ANY`: another one in each dance.
"""

from dataclasses import dataclass
from math import inf

import numpy as np
from jaxtyping import Float

from d2m.core.aist_names import genre_index

Real = int | float

ANY = inf
"""Spread of a phase of which nothing is known: it is drawn from the whole period, once per dance."""

PARTS = ("hands", "feet", "trunk")

_SHARES = (0.4, 0.7, 0.6)
"""Of a phase's spread: between dancers, between dances of a dancer, between phrases of a dance; their squares add to 1."""

_PHRASE_SPREAD_OF_ANY = 0.06


@dataclass(frozen=True)
class Phase:
    """When a part is fastest on its way from one beat's key to the next.

    Args:
        fastest: 0 at the beat before and 1 at the beat of the key; above 1 is after it. Steps in half beats scale with it.
        spread: standard deviation in beats, or `ANY`.
    """

    fastest: Real
    spread: Real


@dataclass(frozen=True)
class Pulse:
    """One sinusoid of the bounce: the pelvis sinks and rises.

    Args:
        period: in beats.
        lowest: beats after the beat at which the pelvis is lowest.
        spread: standard deviation of `lowest` in beats, or `ANY`.
        depth_m: metres from the middle to the lowest point.
    """

    period: Real
    lowest: Real
    spread: Real
    depth_m: Real


@dataclass(frozen=True)
class GenrePhases:
    """How a genre lies in the beat.

    Args:
        bounce: pulses of the pelvis, the strongest first.
        hands, feet, trunk: phases of keys; `trunk` has the head too.
        flow: share of movements that pass through their keys instead of resting on them.
        arm_swing_deg: how far the arms rise with the bounce.
        steps: chance of a step on the spot where a move leaves the feet alone.
        half_steps: chance of a phrase to have those steps twice a beat.
        stride_m: how far such a step goes at most, to the side and to the front.
        travel_m: how far the dancer goes in half a phrase at most.
    """

    bounce: tuple[Pulse, ...]
    hands: Phase
    feet: Phase
    trunk: Phase
    flow: Real
    arm_swing_deg: Real
    steps: Real
    half_steps: Real
    stride_m: Real
    travel_m: Real


PHASES: dict[str, GenrePhases] = {
    # pelvis: period, lowest, spread, depth          hands             feet              trunk, head      flow  arms  steps half stride travel
    "gHO": GenrePhases((Pulse(1, 0.14, 0.04, 0.056), Pulse(0.5, 0.45, 0.10, 0.006)),
                       Phase(0.20, 0.08), Phase(0.67, 0.06), Phase(0.43, 0.12), 0.7, 6, 0.9, 0.4, 0.40, 0.45),
    "gMH": GenrePhases((Pulse(0.5, 0.00, 0.02, 0.040), Pulse(1, 0.00, 0.18, 0.048)),
                       Phase(0.25, 0.20), Phase(0.50, 0.08), Phase(1.02, 0.15), 0.6, 9, 0.9, 0.7, 0.48, 0.45),
    "gLH": GenrePhases((Pulse(0.5, 0.45, 0.02, 0.040), Pulse(1, 0.00, 0.18, 0.032)),
                       Phase(0.30, 0.15), Phase(0.50, 0.08), Phase(1.00, 0.15), 0.5, 8, 0.6, 0.5, 0.36, 0.35),
    "gLO": GenrePhases((Pulse(0.5, 0.46, 0.02, 0.036), Pulse(1, 0.00, 0.20, 0.018)),
                       Phase(0.32, 0.10), Phase(0.52, 0.08), Phase(0.44, 0.12), 0.3, 6, 0.6, 0.5, 0.24, 0.35),
    "gKR": GenrePhases((Pulse(1, 0.06, 0.18, 0.036), Pulse(0.5, 0.37, 0.05, 0.010)),
                       Phase(0.40, 0.08), Phase(0.60, 0.08), Phase(0.58, 0.06), 0.3, 6, 0.5, 0.2, 0.34, 0.25),
    "gPO": GenrePhases((Pulse(1, 0.00, 0.12, 0.016), Pulse(0.5, 0.45, 0.08, 0.008)),
                       Phase(0.31, 0.10), Phase(0.47, 0.10), Phase(0.35, 0.10), 0.2, 2, 0.2, 0.1, 0.12, 0.12),
    "gWA": GenrePhases((Pulse(1, 0.52, ANY, 0.020), Pulse(2, 0.50, ANY, 0.012)),
                       Phase(0.65, 0.18), Phase(0.55, 0.10), Phase(0.58, 0.15), 0.6, 5, 0.5, 0.2, 0.14, 0.20),
    "gJS": GenrePhases((Pulse(1, 0.50, ANY, 0.024), Pulse(0.5, 0.00, ANY, 0.008)),
                       Phase(0.40, ANY), Phase(0.55, 0.10), Phase(0.50, ANY), 0.6, 5, 0.4, 0.2, 0.20, 0.35),
    "gBR": GenrePhases((Pulse(1, 0.10, 0.15, 0.036), Pulse(0.5, 0.45, 0.08, 0.014)),
                       Phase(0.30, ANY), Phase(0.58, 0.10), Phase(0.50, 0.25), 0.5, 10, 0.7, 0.4, 0.28, 0.35),
    "gJB": GenrePhases((Pulse(1, 0.30, ANY, 0.022), Pulse(2, 0.50, ANY, 0.018)),
                       Phase(0.40, ANY), Phase(0.55, 0.10), Phase(0.50, ANY), 0.8, 4, 0.3, 0.1, 0.20, 0.45),
}  # fmt: skip


def _draw(rng: np.random.Generator, spread: Real, share: Real) -> float:
    """A deviation that is no larger than twice its standard deviation."""
    return float(np.clip(rng.normal(), -2, 2)) * float(spread) * float(share)


class Timing:
    """Phases of one dance: the genre's, as this dancer has them, today, phrase by phrase.

    Args:
        genre: code such as gBR.
        dancer: number of the dancer, who is always a little early or late in the same parts.
        rng: of the dance.
    """

    def __init__(self, genre: str, dancer: int, rng: np.random.Generator) -> None:
        self.phases = PHASES[genre]
        own = np.random.default_rng([78, genre_index(genre), dancer])
        self._parts = {part: self._of_dance(getattr(self.phases, part).spread, 1.0, own, rng) for part in PARTS}
        self._pulses = [self._of_dance(pulse.spread, pulse.period, own, rng) for pulse in self.phases.bounce]
        self.new_phrase(rng)

    @staticmethod
    def _of_dance(spread: Real, period: Real, own: np.random.Generator, rng: np.random.Generator) -> float:
        if spread == ANY:
            return float(rng.uniform(-0.5, 0.5)) * float(period)
        return _draw(own, spread, _SHARES[0]) + _draw(rng, spread, _SHARES[1])

    def new_phrase(self, rng: np.random.Generator) -> None:
        """Draw the phases of another phrase: `fastest` by part, and `lowest` in beats by pulse."""
        self.fastest: dict[str, float] = {}
        for part in PARTS:
            phase = getattr(self.phases, part)
            spread, share = (_PHRASE_SPREAD_OF_ANY, 1.0) if phase.spread == ANY else (phase.spread, _SHARES[2])
            self.fastest[part] = phase.fastest + self._parts[part] + _draw(rng, spread, share)
        self.lowest: list[float] = []
        for pulse, deviation in zip(self.phases.bounce, self._pulses, strict=True):
            spread, share = (_PHRASE_SPREAD_OF_ANY, 1.0) if pulse.spread == ANY else (pulse.spread, _SHARES[2])
            self.lowest.append(pulse.lowest + deviation + _draw(rng, spread, share))

    @property
    def sunk(self) -> float:
        """Beats after the beat, from -0.5 to 0.5, at which the strongest pulse with a period of a beat or less is lowest."""
        number = next(n for n, pulse in enumerate(self.phases.bounce) if pulse.period <= 1)
        period = self.phases.bounce[number].period
        return (self.lowest[number] + period / 2) % period - period / 2


def sink_m(
    phases: GenrePhases, beat: Float[np.ndarray, " time"], lowest: Float[np.ndarray, "pulse time"]
) -> Float[np.ndarray, "pulse time"]:
    """How far below its middle the pelvis is, pulse by pulse: metres at beat numbers, with the phases that hold there."""
    pulses = phases.bounce
    period = np.array([[float(pulse.period)] for pulse in pulses])
    depth_m = np.array([[float(pulse.depth_m)] for pulse in pulses])
    return depth_m * np.cos(2 * np.pi * (beat - lowest) / period)
