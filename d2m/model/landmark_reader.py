"""The landmark front end: what a system is told read from MediaPipe's 33 landmarks instead of from SMPL features.

After the "DanceToMusic" project (2023), which shows a transformer the landmarks less the nose, 96 numbers a frame; the
velocities beside them are ours, as in `d2m.model.motion_encoder.motion_channels`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import pi

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from d2m.clock import MOTION_FPS
from d2m.errors import BadConfig
from d2m.model.augmentation import JITTER_SMOOTHING_S, band_limited
from d2m.model.motion_encoder import SPEED_CHANGE_SCALE_M_S2, VELOCITY_SCALE_M_S, TemporalEncoder
from d2m.model.motion_reader import BodyReader

SHOWN_LANDMARKS = 32
"""All but the nose."""

LANDMARK_CHANNELS = SHOWN_LANDMARKS * (3 + 3 + 1 + 1)
"""Positions, velocities, and each landmark's speed and rate of change of speed."""

POSITION_SCALE_M = 0.5
"""Fixed divisor of positions: a body reaches about a metre from the middle of its hips."""


def landmark_channels(landmarks: Float[Tensor, "batch time 33 3"]) -> Float[Tensor, "batch 256 time"]:
    """What the encoder looks at: where the landmarks are, and how fast each of them moves.

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
    """Reads landmarks: those seen in a film, or those of a motion's skeleton (see `d2m.video.view`).

    Args:
        encoder: of `landmark_channels`.
        augmentation: in training; None: none.

    Raises:
        BadConfig: when the encoder looks at another number of channels.
    """

    reads = "landmarks"

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
