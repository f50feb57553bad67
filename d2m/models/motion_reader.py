"""What systems without a U-Net read from a dance: features at any frame rate, rhythm, genre, and the pulse in numbers."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import log2, pi

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from d2m.core.timeline import MOTION_FPS
from d2m.models.encoders import TemporalEncoder, motion_channels, resampled
from d2m.models.heads import RHYTHM_CURVES, GenreClassifier, RhythmHead
from d2m.motion.augmentation import MotionAugmentation
from d2m.motion.features import Normalizer

LOWEST_BPM, HIGHEST_BPM, STEP_BPM = 50.0, 220.0, 0.5

MIDDLE_BPM = 120.0
"""The tempo that is encoded as 0; twice as fast is 1."""

PULSE_NUMBERS = 4
"""Tempo, cosine and sine of the phase, strength."""


@dataclass(frozen=True)
class TempoPhase:
    """One pulse for each window.

    Args:
        bpm: tempo.
        turn_at_start: phase at the window's start in turns from 0 to 1; a beat falls where the phase is a whole number.
        strength: how much of the curve follows the pulse, from 0 (nothing, or a flat curve) to 1.
    """

    bpm: Float[Tensor, " batch"]
    turn_at_start: Float[Tensor, " batch"]
    strength: Float[Tensor, " batch"]

    def features_at(self, seconds: Float[Tensor, " word"]) -> Float[Tensor, "batch 4 word"]:
        """Octaves above 120 BPM, cosine and sine of the phase, and strength, at moments of the window.

        All but the strength are scaled by it, so that where there is no pulse all are zero.
        """
        phase = 2 * pi * (self.turn_at_start[:, None] + self.bpm[:, None] / 60 * seconds[None])
        tempo = (self.bpm.log2() - log2(MIDDLE_BPM))[:, None].expand_as(phase)
        strength = self.strength[:, None].expand_as(phase)
        return torch.stack([tempo * strength, phase.cos() * strength, phase.sin() * strength, strength], dim=1)


@torch.no_grad()
def tempo_phase(activation: Float[Tensor, "batch frame"], frame_rate: float | int) -> TempoPhase:
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
    return TempoPhase(searched[best], (-lag / (2 * pi)).remainder(1), strength)


def with_beats(
    cond: Float[Tensor, "*batch cond frame"], curve: Float[Tensor, "*batch frame"]
) -> Float[Tensor, "*batch cond frame"]:
    """A condition (`MotionRead.cond`) with a curve of beats in the place of the probabilities that were read."""
    cond = cond.clone()
    cond[..., -len(RHYTHM_CURVES), :] = curve.to(cond)
    return cond


@dataclass(frozen=True)
class MotionRead:
    """What was read from windows of motion.

    Args:
        cond: at every asked frame: encoder features, then the rhythm curves as probabilities (detached, so that they keep
            meaning the rhythm).
        pooled: mean of the encoder's features over the window.
        rhythm_logits: in the order of `d2m.models.heads.RHYTHM_CURVES`, at the asked frames.
        genre_logits: in the order of `d2m.core.aist_names.GENRES`.
    """

    cond: Float[Tensor, "batch cond frame"]
    pooled: Float[Tensor, "batch channel"]
    rhythm_logits: Float[Tensor, "batch 2 frame"]
    genre_logits: Float[Tensor, "batch 10"]

    def on_beats(self, curve: Float[Tensor, "batch frame"]) -> "MotionRead":
        """The same with a curve of beats in the place of the one that was read; accents stay those of the motion."""
        logits = self.rhythm_logits.clone()
        logits[:, 0] = curve.to(logits).logit(eps=1e-4)
        return replace(self, cond=with_beats(self.cond, curve), rhythm_logits=logits)


class BodyReader(nn.Module, ABC):
    """A moving body at 60 fps → features at any frame rate, each knowing the seconds around it.

    Args:
        encoder: of what a front end shows it, → features at 30 Hz.
    """

    modality, fps = "features", MOTION_FPS
    """Key of a batch and view of a dance (`d2m.video.modality`) that this reader takes, and its frames a second."""

    def __init__(self, encoder: TemporalEncoder) -> None:
        super().__init__()
        self.encoder = encoder
        self.rhythm, self.classifier = RhythmHead(encoder.channels), GenreClassifier(encoder.channels)

    @property
    def channels(self) -> int:
        """Channels of `MotionRead.cond`."""
        return self.encoder.channels + len(RHYTHM_CURVES)

    @abstractmethod
    def fit(self, dances: Sequence[np.ndarray]) -> None:
        """Take what statistics it needs from training dances, [time 219] arrays of features."""

    @abstractmethod
    def shown(self, body: Float[Tensor, "batch time *part"]) -> Float[Tensor, "batch input time"]:
        """What the encoder looks at; augmented first in training mode."""

    def forward(self, body: Float[Tensor, "batch time *part"], frames: int, frame_rate: float | int) -> MotionRead:
        """Read un-normalised windows; `frames` frames are asked for, `frame_rate` a second, the first one's start at 0 s.

        Frame k is read at its centre, (k + 1/2) / frame_rate; after the window's end the last frame holds.
        """
        encoded = self.encoder(self.shown(body))
        aligned = resampled(encoded, self.positions(frames, frame_rate).to(encoded.device))
        rhythm = self.rhythm(aligned)
        cond = torch.cat([aligned, rhythm.detach().sigmoid().to(aligned)], dim=1)
        return MotionRead(cond, encoded.mean(dim=-1), rhythm, self.classifier(encoded))

    def positions(self, frames: int, frame_rate: float | int) -> Float[Tensor, " frame"]:
        """Fractional encoder frame at the centre of each asked frame."""
        second = (torch.arange(frames, dtype=torch.float64) + 0.5) / frame_rate
        stride = self.encoder.stride
        return ((second * MOTION_FPS - (stride - 1) / 2) / stride).float()


class MotionReader(BodyReader):
    """Reads the 219 features of a motion.

    Args:
        encoder: of `d2m.models.encoders.motion_channels`.
        normalizer: of the features; fitted by `fit`, or loaded with a checkpoint.
        augmentation: of the motion in training; None: none.
    """

    def __init__(
        self,
        encoder: TemporalEncoder,
        normalizer: Normalizer | None = None,
        augmentation: MotionAugmentation | None = None,
    ) -> None:
        super().__init__(encoder)
        self.normalizer, self.augmentation = normalizer or Normalizer(), augmentation

    def fit(self, dances: Sequence[np.ndarray]) -> None:
        """Take the normaliser's statistics from training dances ([time 219] arrays)."""
        self.normalizer.fit(dances)

    def shown(self, body: Float[Tensor, "batch time 219"]) -> Float[Tensor, "batch 339 time"]:
        """Features, normalised, with the joints' velocities."""
        augmentation = self.augmentation if self.training else None
        features = augmentation.moved(body) if augmentation else body
        normalised = self.normalizer(features)
        if augmentation:
            normalised = augmentation.noisy(normalised)
        return motion_channels(features, normalised)
