"""Genre: the token that asks for one, and the classifier that hears one in the motion."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from d2m.names import GENRES

UNKNOWN_GENRE = len(GENRES)
"""Index of the token for "genre not told"; the genres themselves are 0 to 9 in the order of `d2m.names.GENRES`."""


class GenreToken(nn.Module):
    """A learned vector for each genre and one for the unknown genre."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(len(GENRES) + 1, features)

    def forward(self, genre: Int[Tensor, "batch"]) -> Float[Tensor, "batch feature"]:
        """Vectors of the given class numbers (10: unknown)."""
        return self.embedding(genre)


class GenreClassifier(nn.Module):
    """Genre logits from a sequence of features: mean, deviation and maximum over time, then a small perceptron."""

    def __init__(self, features: int, hidden: int = 128, dropout: float = 0.1) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.LayerNorm(3 * features),
            nn.Linear(3 * features, hidden),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, len(GENRES)),
        )

    def forward(self, x: Float[Tensor, "batch feature time"]) -> Float[Tensor, "batch 10"]:
        """Logits in the order of `d2m.names.GENRES`."""
        return self.net(torch.cat([x.mean(dim=-1), x.std(dim=-1), x.amax(dim=-1)], dim=-1))


def forgotten(genre: Int[Tensor, "batch"], probability: float) -> Int[Tensor, "batch"]:
    """The same class numbers, each replaced by the unknown one with the given probability."""
    lost = torch.rand(len(genre), device=genre.device) < probability
    return torch.where(lost, torch.full_like(genre, UNKNOWN_GENRE), genre)


def unknown_genres(batch: int, device: torch.device) -> Int[Tensor, "batch"]:
    """`batch` times the unknown genre."""
    return torch.full((batch,), UNKNOWN_GENRE, dtype=torch.long, device=device)
