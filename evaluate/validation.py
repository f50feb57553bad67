"""The headline score in the form that a training run's validation takes."""

from jaxtyping import Float
from numpy import ndarray

from d2m.music import Music
from evaluate.beats import beat_f
from evaluate.trackers import track_beats_s


def heard_beat_f(music: Music, beats_s: Float[ndarray, " beat"], tolerance_s: float = 0.07) -> float:
    """One-to-one F-measure between true beats and those that the tracker hears in `music`."""
    return beat_f(beats_s, track_beats_s(music), tolerance_s)
