"""The normaliser of motion features: fitted on the training dances, stored in the checkpoint."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from d2m.motion.features import FEATURE_WIDTH

STD_FLOOR = 0.05
"""Smallest divisor: a joint that hardly moves in training must not blow up when a user's dancer moves it."""


class Normalizer(nn.Module):
    """Features minus their mean, over their standard deviation; mean and deviation are buffers of the state dict.

    Before `fit` (or before a checkpoint is loaded) it changes nothing.
    """

    mean: Tensor
    std: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(FEATURE_WIDTH))
        self.register_buffer("std", torch.ones(FEATURE_WIDTH))

    def fit(self, dances: Sequence[Float[np.ndarray, "_ 219"]], std_floor: float = STD_FLOOR) -> "Normalizer":
        """Take mean and deviation over all frames of the training dances; returns itself.

        Raises:
            ValueError: when there is no frame to fit on.
        """
        frames = sum(len(dance) for dance in dances)
        if frames == 0:
            raise ValueError("a normaliser needs at least one frame of motion.")
        mean = sum(dance.sum(axis=0, dtype=np.float64) for dance in dances) / frames
        variance = sum(np.square(dance - mean).sum(axis=0) for dance in dances) / frames
        self.mean.copy_(torch.as_tensor(mean))
        self.std.copy_(torch.as_tensor(np.maximum(np.sqrt(variance), std_floor)))
        return self

    def forward(self, features: Float[Tensor, "*batch 219"]) -> Float[Tensor, "*batch 219"]:
        """Normalised features."""
        return (features - self.mean) / self.std
