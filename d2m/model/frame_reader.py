"""The small-pixel front end: what a WaveNet is told read from little grey video frames instead of from a skeleton."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from d2m.clock import PICTURE_FPS
from d2m.model.genre import GenreClassifier
from d2m.model.motion_encoder import DilatedBlock, resampled
from d2m.model.motion_reader import MotionRead
from d2m.model.rhythm import RHYTHM_CURVES, RhythmHead


class FrameReader(nn.Module):
    """Pictures at 15 fps → features at any frame rate, with rhythm and genre: as `d2m.model.motion_reader.MotionReader`.

    It looks at each picture and at its change since the one before, which is where a small picture shows movement best;
    convolutions halve the picture until little is left, and blocks over time let a frame know the seconds around it.

    Args:
        channels: of the features, divisible by 8.
        stages: halvings of the picture, each with twice the channels of the one before, the first with 16.
        dilations: of the blocks over time, in frames of 1/15 s.
        dropout: within them.
    """

    reads, fps = "frames", PICTURE_FPS
    """See `d2m.model.motion_reader.BodyReader`."""

    def __init__(
        self,
        channels: int = 64,
        stages: int = 3,
        dilations: Sequence[int] = (1, 2, 4, 8, 1, 2, 4),
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        self.width = channels
        looks: list[nn.Module] = []
        wide = [2, *(16 * 2**stage for stage in range(stages))]
        for narrow, wider in pairwise(wide):
            looks += [nn.Conv2d(narrow, wider, 3, stride=2, padding=1), nn.GroupNorm(8, wider), nn.GELU()]
        self.look = nn.Sequential(*looks, nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(16 * wide[-1], channels))
        self.blocks = nn.Sequential(*(DilatedBlock(channels, dilation, dropout) for dilation in dilations))
        self.rhythm, self.classifier = RhythmHead(channels), GenreClassifier(channels)

    @property
    def channels(self) -> int:
        """Channels of `MotionRead.told`."""
        return self.width + len(RHYTHM_CURVES)

    def fit(self, dances: Sequence[np.ndarray]) -> None:
        """Pictures need no statistics of the motion."""

    def forward(
        self, pictures: Float[Tensor, "batch picture height width"], frames: int, frame_rate: float | int
    ) -> MotionRead:
        """Read windows of grey pictures in [0, 1]; `frames` frames are asked for, `frame_rate` a second.

        Picture k is what was there at k / 15 s. Frame k is read at its centre; after the last picture, it holds.
        """
        change = torch.diff(pictures, dim=1, prepend=pictures[:, :1])
        seen = torch.stack([pictures - 0.5, 4 * change], dim=2)
        encoded = self.look(seen.flatten(0, 1)).unflatten(0, pictures.shape[:2]).transpose(1, 2)
        encoded = self.blocks(encoded)
        second = (torch.arange(frames, dtype=torch.float64, device=pictures.device) + 0.5) / frame_rate
        aligned = resampled(encoded, (second * PICTURE_FPS).float())
        rhythm = self.rhythm(aligned)
        told = torch.cat([aligned, rhythm.detach().sigmoid().to(aligned)], dim=1)
        return MotionRead(told, encoded.mean(dim=-1), rhythm, self.classifier(encoded))
