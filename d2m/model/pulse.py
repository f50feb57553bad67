"""The regular pulse of windows of motion: tempo, phase and strength, told as numbers that change smoothly."""

from dataclasses import dataclass
from math import log2, pi

import torch
from jaxtyping import Float
from torch import Tensor

LOWEST_BPM, HIGHEST_BPM, STEP_BPM = 50.0, 220.0, 0.5

MIDDLE_BPM = 120.0
"""The tempo that is told as 0; twice as fast is 1."""

PULSE_NUMBERS = 4
"""Tempo, cosine and sine of the phase, strength."""


@dataclass(frozen=True)
class Pulse:
    """One pulse for each window.

    Args:
        bpm: tempo.
        turn_at_start: phase at the window's start in turns from 0 to 1; a beat falls where the phase is a whole number.
        strength: how much of the curve follows the pulse, from 0 (nothing, or a flat curve) to 1.
    """

    bpm: Float[Tensor, "batch"]
    turn_at_start: Float[Tensor, "batch"]
    strength: Float[Tensor, "batch"]

    def told_at(self, seconds: Float[Tensor, "word"]) -> Float[Tensor, "batch 4 word"]:
        """Octaves above 120 BPM, cosine and sine of the phase, and strength, at moments of the window.

        All but the strength are scaled by it, so that where there is no pulse none is told.
        """
        phase = 2 * pi * (self.turn_at_start[:, None] + self.bpm[:, None] / 60 * seconds[None])
        tempo = (self.bpm.log2() - log2(MIDDLE_BPM))[:, None].expand_as(phase)
        strength = self.strength[:, None].expand_as(phase)
        return torch.stack([tempo * strength, phase.cos() * strength, phase.sin() * strength, strength], dim=1)


@torch.no_grad()
def regular_pulse(activation: Float[Tensor, "batch frame"], frame_rate: float | int) -> Pulse:
    """The pulse that fits a curve of beat probabilities best: its strongest frequency from 50 to 220 BPM. No gradient.

    Args:
        activation: probability of a beat at the centre of each frame.
        frame_rate: frames a second.
    """
    curve = activation.float()
    frames = curve.shape[1]
    seconds = (torch.arange(frames, device=curve.device) + 0.5) / frame_rate
    taper = torch.hann_window(frames + 2, periodic=False, device=curve.device)[1:-1]
    weighted = (curve - curve.mean(dim=1, keepdim=True)) * taper
    searched = torch.arange(LOWEST_BPM, HIGHEST_BPM, STEP_BPM, device=curve.device)
    angle = 2 * pi * searched[:, None] / 60 * seconds[None]
    with torch.autocast(curve.device.type, enabled=False):  # in half precision neighbouring tempi are one
        cosine, sine = weighted @ angle.cos().T, weighted @ angle.sin().T
    power, best = torch.hypot(cosine, sine).max(dim=1)
    # a beat lies where cos(2π f t - lag) is largest, so the phase at the start is minus the lag
    lag = torch.atan2(sine.gather(1, best[:, None]), cosine.gather(1, best[:, None]))[:, 0]
    strength = power / weighted.abs().sum(dim=1).clamp(min=1e-6)
    return Pulse(searched[best], (-lag / (2 * pi)).remainder(1), strength)
