"""What every system but the published one reads from motion: features at any frame rate, the rhythm and the genre.

The pieces are those of `d2m.model.condition.AlignedConditioner`; here they stand without a U-Net.
"""

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


class MotionReader(nn.Module):
    """Motion at 60 fps → features at any frame rate, each knowing the seconds around it.

    Args:
        encoder: motion → features at 30 Hz.
        normalizer: of the features; fitted by `fit`, or loaded with a checkpoint.
        augmentation: of the motion in training; None: none.
    """

    def __init__(
        self,
        encoder: TemporalEncoder,
        normalizer: Normalizer | None = None,
        augmentation: MotionAugmentation | None = None,
    ) -> None:
        super().__init__()
        self.encoder, self.normalizer, self.augmentation = encoder, normalizer or Normalizer(), augmentation
        self.rhythm, self.classifier = RhythmHead(encoder.channels), GenreClassifier(encoder.channels)

    @property
    def channels(self) -> int:
        """Channels of `MotionRead.told`."""
        return self.encoder.channels + len(RHYTHM_CURVES)

    def fit(self, dances: Sequence[np.ndarray]) -> None:
        """Take the normaliser's statistics from training dances ([time 219] arrays)."""
        self.normalizer.fit(dances)

    def forward(self, features: Float[Tensor, "batch time 219"], frames: int, frame_rate: float | int) -> MotionRead:
        """Read un-normalised windows; `frames` frames are asked for, `frame_rate` a second, the first one's start at 0 s.

        In training mode the motion is augmented first. Frame k is read at its centre, (k + 1/2) / frame_rate; after the
        window's end the last frame holds.
        """
        augmentation = self.augmentation if self.training else None
        if augmentation:
            features = augmentation.moved(features)
        normalised = self.normalizer(features)
        if augmentation:
            normalised = augmentation.noisy(normalised)
        encoded = self.encoder(motion_channels(features, normalised))
        aligned = resampled(encoded, self.positions(frames, frame_rate).to(encoded.device))
        rhythm = self.rhythm(aligned)
        told = torch.cat([aligned, rhythm.detach().sigmoid().to(aligned)], dim=1)
        return MotionRead(told, encoded.mean(dim=-1), rhythm, self.classifier(encoded))

    def positions(self, frames: int, frame_rate: float | int) -> Float[Tensor, "frame"]:
        """Fractional encoder frame at the centre of each asked frame."""
        second = (torch.arange(frames, dtype=torch.float64) + 0.5) / frame_rate
        stride = self.encoder.stride
        return ((second * MOTION_FPS - (stride - 1) / 2) / stride).float()
