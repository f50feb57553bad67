"""The landmark front end: a system's condition read from MediaPipe's 33 landmarks instead of from SMPL features.

After the "DanceToMusic" project (2023), which shows a transformer the landmarks less the nose, 96 numbers a frame; the
velocities beside them are ours, as in `d2m.models.encoders.motion_channels`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from math import pi

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from d2m.core.errors import BadConfig
from d2m.core.timeline import MOTION_FPS, PICTURE_FPS
from d2m.models.encoders import SPEED_CHANGE_SCALE_M_S2, VELOCITY_SCALE_M_S, DilatedBlock, TemporalEncoder, resampled
from d2m.models.heads import RHYTHM_CURVES, GenreClassifier, RhythmHead
from d2m.models.motion_reader import BodyReader, MotionRead
from d2m.motion.augmentation import JITTER_SMOOTHING_S, band_limited

SHOWN_LANDMARKS = 32
"""All but the nose."""

LANDMARK_CHANNELS = SHOWN_LANDMARKS * (3 + 3 + 1 + 1)
"""Positions, velocities, and each landmark's speed and rate of change of speed."""

POSITION_SCALE_M = 0.5
"""Fixed divisor of positions: a body reaches about a metre from the middle of its hips."""


def landmark_channels(landmarks: Float[Tensor, "batch time 33 3"]) -> Float[Tensor, "batch 256 time"]:
    """The encoder's input: where the landmarks are, and how fast each of them moves.

    Args:
        landmarks: metres from the middle of the hips, Y up, at 60 fps; at least two frames.
    """
    with torch.autocast(landmarks.device.type, enabled=False):  # in bfloat16 a difference over 1/60 s is noise
        places = landmarks[..., 1:, :].float()
        (velocities,) = torch.gradient(places, spacing=1 / MOTION_FPS, dim=1)
        speeds = velocities.norm(dim=-1)
        (changes,) = torch.gradient(speeds, spacing=1 / MOTION_FPS, dim=1)
    shown = [
        (places / POSITION_SCALE_M).flatten(2),
        (velocities / VELOCITY_SCALE_M_S).flatten(2),
        speeds / VELOCITY_SCALE_M_S,
        changes / SPEED_CHANGE_SCALE_M_S2,
    ]
    return torch.cat(shown, dim=-1).transpose(1, 2)


@dataclass(frozen=True)
class LandmarkAugmentation:
    """Random changes of training windows that leave their music as it is.

    Args:
        yaw: turn each dancer by a random angle about the vertical: music does not know where the camera stood.
        scale: largest change of the dancer's size, as a share of it.
        jitter_m: largest standard deviation of a slow trembling of every landmark, as smoothing leaves it of a
            detector's noise; each window draws its own, from 0 on.
    """

    yaw: bool = True
    scale: float | int = 0.15
    jitter_m: float | int = 0.004

    def changed(self, landmarks: Float[Tensor, "batch time 33 3"]) -> Float[Tensor, "batch time 33 3"]:
        """The same windows, turned, larger or smaller, trembling."""
        batch, options = len(landmarks), {"device": landmarks.device, "dtype": landmarks.dtype}
        if self.yaw:
            angle = 2 * pi * torch.rand(batch, **options)
            cos, sin, zero, one = angle.cos(), angle.sin(), torch.zeros_like(angle), torch.ones_like(angle)
            turn = torch.stack([cos, zero, sin, zero, one, zero, -sin, zero, cos], dim=-1).view(-1, 1, 3, 3)
            landmarks = landmarks @ turn.transpose(-1, -2)
        landmarks = landmarks * (1 + self.scale * (2 * torch.rand(batch, 1, 1, 1, **options) - 1))
        if self.jitter_m > 0:
            white = torch.randn(batch, landmarks.shape[1], landmarks[0, 0].numel(), **options)
            strength = self.jitter_m * torch.rand(batch, 1, 1, 1, **options)
            landmarks = landmarks + strength * band_limited(white, JITTER_SMOOTHING_S).view_as(landmarks)
        return landmarks


class LandmarkReader(BodyReader):
    """Reads landmarks: those seen in a film, or those of a motion's skeleton (see `d2m.video.modality`).

    Args:
        encoder: of `landmark_channels`.
        augmentation: in training; None: none.

    Raises:
        BadConfig: when the encoder has another number of input channels.
    """

    modality = "landmarks"

    def __init__(self, encoder: TemporalEncoder, augmentation: LandmarkAugmentation | None = None) -> None:
        super().__init__(encoder)
        if encoder.inputs != LANDMARK_CHANNELS:
            raise BadConfig(
                f"reader.encoder.inputs={encoder.inputs}: landmarks have {LANDMARK_CHANNELS} channels; set inputs to that."
            )
        self.augmentation = augmentation

    def fit(self, dances: Sequence[np.ndarray]) -> None:
        """Metres need no statistics."""

    def shown(self, body: Float[Tensor, "batch time 33 3"]) -> Float[Tensor, "batch 256 time"]:
        """Positions and velocities."""
        if self.augmentation and self.training:
            body = self.augmentation.changed(body)
        return landmark_channels(body)


# The small-pixel front end: a WaveNet's condition read from little grey video frames instead of from a skeleton.


class FrameReader(nn.Module):
    """Pictures at 15 fps → features at any frame rate, with rhythm and genre: as `d2m.models.motion_reader.MotionReader`.

    It looks at each picture and at its change since the one before, which is where a small picture shows movement best;
    convolutions halve the picture until little is left, and blocks over time let a frame know the seconds around it.

    Args:
        channels: of the features, divisible by 8.
        stages: halvings of the picture, each with twice the channels of the one before, the first with 16.
        dilations: of the blocks over time, in frames of 1/15 s.
        dropout: within them.
    """

    modality, fps = "frames", PICTURE_FPS
    """See `d2m.models.motion_reader.BodyReader`."""

    def __init__(
        self,
        channels: int = 64,
        stages: int = 3,
        dilations: Sequence[int] = (1, 2, 4, 8, 1, 2, 4),
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        self.width = channels
        layers: list[nn.Module] = []
        wide = [2, *(16 * 2**stage for stage in range(stages))]
        for narrow, wider in pairwise(wide):
            layers += [nn.Conv2d(narrow, wider, 3, stride=2, padding=1), nn.GroupNorm(8, wider), nn.GELU()]
        self.look = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(16 * wide[-1], channels))
        self.blocks = nn.Sequential(*(DilatedBlock(channels, dilation, dropout) for dilation in dilations))
        self.rhythm, self.classifier = RhythmHead(channels), GenreClassifier(channels)

    @property
    def channels(self) -> int:
        """Channels of `MotionRead.cond`."""
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
        second = (torch.arange(frames, dtype=torch.float64) + 0.5) / frame_rate
        aligned = resampled(encoded, (second * PICTURE_FPS).float().to(pictures.device))
        rhythm = self.rhythm(aligned)
        cond = torch.cat([aligned, rhythm.detach().sigmoid().to(aligned)], dim=1)
        return MotionRead(cond, encoded.mean(dim=-1), rhythm, self.classifier(encoded))


# A dance of any length read in windows as long as those that the reader was trained on.


@dataclass(frozen=True)
class WholeRead:
    """What was read from a whole dance.

    Args:
        cond: at every asked frame, see `d2m.models.motion_reader.MotionRead`; the rhythm curves are its last channels.
        genre: probability of each genre, averaged over the windows.
    """

    cond: Float[Tensor, "cond frame"]
    genre: Float[Tensor, " 10"]


@torch.no_grad()
def read_whole(
    reader: BodyReader | FrameReader,
    dance: Float[Tensor, " time *part"],
    frames: int,
    frame_rate: Fraction,
    window_seconds: float | int,
) -> WholeRead:
    """Read a dance in half-overlapping windows; each frame is taken from the window in whose middle it lies most.

    Args:
        reader: in evaluation mode.
        dance: what the reader reads: un-normalised features or landmarks at 60 fps, or pictures at 15 fps.
        frames: asked for; where the dance ends before, its last frame is held.
        frame_rate: frames a second.
        window_seconds: length of a window; a shorter dance is read as one.
    """
    ratio = frame_rate / reader.fps
    # the fewest frames of the dance that last a whole number of those asked for, so
    # that windows are never out of step
    grid = ratio.denominator
    window = min(len(dance), max(1, round(window_seconds * reader.fps / grid)) * grid)
    last = (len(dance) - window) // grid * grid
    step = max(1, window // 2 // grid) * grid
    starts = [*range(0, last, step), last]
    own = max(1, int(window * ratio))
    centrality = torch.minimum(torch.arange(own), torch.arange(own).flip(0)).to(dance.device)
    total = int(last * ratio) + own
    cond = dance.new_zeros(reader.channels, total)
    best = torch.full((total,), -1, device=dance.device)
    genres = []
    for start in starts:
        read = reader(dance[None, start : start + window], own, float(frame_rate))
        first = int(start * ratio)
        place = slice(first, first + own)
        better = centrality > best[place]
        cond[:, place] = torch.where(better, read.cond[0].float(), cond[:, place])
        best[place] = torch.where(better, centrality, best[place])
        genres.append(read.genre_logits.float().softmax(dim=-1))
    held = cond[:, -1:].expand(-1, max(0, frames - total))
    return WholeRead(torch.cat([cond, held], dim=-1)[:, :frames], torch.cat(genres).mean(dim=0))
