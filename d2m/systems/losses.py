"""The auxiliary losses on the motion encoder, and the weights of all parts of the loss."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from d2m.model.genre import UNKNOWN_GENRE


@dataclass(frozen=True)
class LossWeights:
    """Weights of the parts of the loss.

    The published system has velocity 0.1 and genre 1, and no rhythm head.

    Args:
        velocity, genre, rhythm: factor of each part.
        beat_pos_weight: how much more a frame with a beat counts than one without: most frames have none.
    """

    velocity: float = 1.0
    genre: float = 0.1
    rhythm: float = 0.5
    beat_pos_weight: float = 3.0


def genre_loss(logits: Float[Tensor, "batch 10"], genre: Int[Tensor, "batch"]) -> Float[Tensor, ""]:
    """Mean cross-entropy of the rows whose genre is known; 0 where none is."""
    known = (genre != UNKNOWN_GENRE).float()
    losses = F.cross_entropy(logits.float(), genre.clamp(max=UNKNOWN_GENRE - 1), reduction="none")
    return (losses * known).sum() / known.sum().clamp(min=1)


def rhythm_loss(
    logits: Float[Tensor, "batch 2 frame"], curves: Float[Tensor, "batch 2 frame"], beat_pos_weight: float
) -> Float[Tensor, ""]:
    """Binary cross-entropy against curves in [0, 1]: beat activation, onset envelope."""
    weight = torch.tensor([beat_pos_weight, 1.0], device=logits.device)[:, None]
    return F.binary_cross_entropy_with_logits(logits.float(), curves.float(), pos_weight=weight)
