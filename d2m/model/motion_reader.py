"""What every system but the published one reads from a dance: features at any frame rate, the rhythm and the genre.

The pieces are those of `d2m.model.condition.AlignedConditioner`; here they stand without a U-Net.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from d2m.clock import MOTION_FPS
from d2m.model.augmentation import MotionAugmentation
from d2m.model.genre import GenreClassifier
from d2m.model.motion_encoder import TemporalEncoder, motion_channels, resampled
from d2m.model.rhythm import RHYTHM_CURVES, RhythmHead
from d2m.motion.normalize import Normalizer


@dataclass(frozen=True)
class MotionRead:
    """What was read from windows of motion.

    Args:
        told: at every asked frame: encoder features, then the rhythm curves as probabilities (detached, so that they keep
            meaning the rhythm).
        pooled: mean of the encoder's features over the window.
        rhythm_logits: in the order of `d2m.model.rhythm.RHYTHM_CURVES`, at the asked frames.
        genre_logits: in the order of `d2m.names.GENRES`.
    """

    told: Float[Tensor, "batch told frame"]
    pooled: Float[Tensor, "batch channel"]
    rhythm_logits: Float[Tensor, "batch 2 frame"]
    genre_logits: Float[Tensor, "batch 10"]


class BodyReader(nn.Module, ABC):
    """A moving body at 60 fps → features at any frame rate, each knowing the seconds around it.

    Args:
        encoder: of what a front end shows it, → features at 30 Hz.
    """

    reads, fps = "features", MOTION_FPS
    """Key of a batch and view of a dance (`d2m.video.view`) that this reader takes, and its frames a second."""

    def __init__(self, encoder: TemporalEncoder) -> None:
        super().__init__()
        self.encoder = encoder
        self.rhythm, self.classifier = RhythmHead(encoder.channels), GenreClassifier(encoder.channels)

    @property
    def channels(self) -> int:
        """Channels of `MotionRead.told`."""
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
        told = torch.cat([aligned, rhythm.detach().sigmoid().to(aligned)], dim=1)
        return MotionRead(told, encoded.mean(dim=-1), rhythm, self.classifier(encoded))

    def positions(self, frames: int, frame_rate: float | int) -> Float[Tensor, "frame"]:
        """Fractional encoder frame at the centre of each asked frame."""
        second = (torch.arange(frames, dtype=torch.float64) + 0.5) / frame_rate
        stride = self.encoder.stride
        return ((second * MOTION_FPS - (stride - 1) / 2) / stride).float()


class MotionReader(BodyReader):
    """Reads the 219 features of a motion.

    Args:
        encoder: of `d2m.model.motion_encoder.motion_channels`.
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
