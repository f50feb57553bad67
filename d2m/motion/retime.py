"""Regular beats of a dance, and the dance played at another tempo. No system is known here.

Music at another tempo than the dance's own cannot be had by telling a tempo beside the motion: conditionings tie the beat to
the motion at that very moment, and writing another beat grid into the rhythm curves changed nothing (0 of 30 pieces took the
tempo asked for). A dance played at another speed, repeated after whole beats where it ends too early, has that tempo for
every conditioning, and its music follows.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from d2m.core.errors import BadConfig
from d2m.core.timeline import MOTION_FPS
from d2m.motion.features import features_to_smpl, resample_motion, rotations_to_features

LOWEST_BPM, HIGHEST_BPM = 40.0, 240.0
"""Tempi that may be asked for."""

SAME_TEMPO = 0.02
"""An asked tempo this near (relative) to the dance's own, its half or its double is taken as exactly that."""

_SEARCHED_BPM = np.arange(50.0, 220.0, 0.25)
_BAR_BEATS = 4


@dataclass(frozen=True)
class BeatGrid:
    """Regular beats: tempo, and time of the first one."""

    bpm: float
    first_s: float

    @property
    def period_s(self) -> float:
        """Seconds from beat to beat."""
        return 60 / self.bpm


def regular_beats(activation: Float[np.ndarray, " frame"], frame_rate: float | int) -> BeatGrid:
    """The beats that fit a curve of beat probabilities best: its strongest frequency, and that frequency's phase.

    Args:
        activation: probability of a beat at the centre of each frame.
        frame_rate: frames per second.
    """
    time_s = (np.arange(len(activation)) + 0.5) / frame_rate
    weighted = (activation - activation.mean()) * np.hanning(len(activation) + 2)[1:-1]
    waves = np.exp(-2j * np.pi * np.outer(_SEARCHED_BPM / 60, time_s)) @ weighted
    best = int(np.abs(waves).argmax())
    period_s = 60 / _SEARCHED_BPM[best]
    return BeatGrid(float(_SEARCHED_BPM[best]), float(-np.angle(waves[best]) / (2 * np.pi) % 1 * period_s))


def retiming_speed(own_bpm: float, asked_bpm: float | int) -> float:
    """How many times faster a dance of `own_bpm` must be played to have the tempo asked for.

    Exactly 1, 1/2 or 2 where the tempo asked for is that near: then the music still meets the dance's own beats.

    Raises:
        BadConfig: for a tempo that is no tempo of music.
    """
    if not LOWEST_BPM <= asked_bpm <= HIGHEST_BPM:
        raise BadConfig(f"tempo {asked_bpm:g} BPM: expected a tempo from {LOWEST_BPM:g} to {HIGHEST_BPM:g} BPM.")
    ratio = asked_bpm / own_bpm
    return next((whole for whole in (1.0, 0.5, 2.0) if abs(ratio / whole - 1) <= SAME_TEMPO), ratio)


def retimed(
    features: Float[np.ndarray, "time 219"], speed: float | int, grid: BeatGrid
) -> Float[np.ndarray, "time 219"]:
    """The dance played `speed` times faster, as long as before, with its first beat where it was.

    Where the dance ends too early, or begins too late, it is repeated after whole bars, or whole beats if it is short.
    """
    if speed == 1:
        return features
    motion = resample_motion(features_to_smpl(features), MOTION_FPS * speed)
    played = rotations_to_features(motion.rotations, motion.translation)
    beat_frames = grid.period_s / speed * MOTION_FPS
    beats = int(len(played) / beat_frames)
    beats -= beats % _BAR_BEATS if beats >= 2 * _BAR_BEATS else 0
    loop_frames = beats * beat_frames if beats else float(len(played))
    shift_frames = grid.first_s * MOTION_FPS * (1 - 1 / speed)
    frames = np.mod(np.arange(len(features)) - shift_frames, loop_frames)
    return played[np.clip(np.round(frames).astype(int), 0, len(played) - 1)].astype(features.dtype)
