"""Genre: the token that asks for one, and the classifier that hears one in the motion."""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from d2m.core.aist_names import GENRES
from d2m.core.errors import BadConfig, BadInput

UNKNOWN_GENRE = len(GENRES)
"""Index of the token for the unknown genre; the genres themselves are 0 to 9 in the order of `d2m.core.aist_names.GENRES`."""


class GenreToken(nn.Module):
    """A learned vector for each genre and one for the unknown genre."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(len(GENRES) + 1, features)

    def forward(self, genre: Int[Tensor, " batch"]) -> Float[Tensor, "batch feature"]:
        """Vectors of the given class numbers (10: unknown)."""
        return self.embedding(genre)

    @property
    def vectors(self) -> Float[Tensor, "10 feature"]:
        """The vectors of the genres in the order of `d2m.core.aist_names.GENRES`, without that of the unknown one."""
        return self.embedding.weight[: len(GENRES)]

    def silence_unknown(self) -> None:
        """Make the unknown genre's vector zero."""
        with torch.no_grad():
            self.embedding.weight[UNKNOWN_GENRE] = 0

    def freeze_to(self, vectors: Float[Tensor, "10 feature"]) -> None:
        """Use the given vectors, zero for the unknown genre, and never train them."""
        with torch.no_grad():
            self.vectors.copy_(vectors)
        self.silence_unknown()
        self.requires_grad_(False)


def read_genre_vectors(path: str | Path, features: int) -> Float[Tensor, "10 {features}"]:
    """Vectors that a user made of the genres' names (a text encoder's, for example), in the order of `d2m.core.aist_names.GENRES`.

    Args:
        path: `.npy` [10, features], or `.safetensors` with one such tensor.
        features: expected width.

    Raises:
        BadConfig: when there is no such file.
        BadInput: when it holds anything else.
    """
    path = Path(path)
    if not path.is_file():
        raise BadConfig(f"genre_vectors={path}: no such file; give a .npy or .safetensors of [10, {features}] numbers.")
    try:
        if path.suffix == ".safetensors":
            found = list(load_file(path).values())
        else:
            found = [torch.from_numpy(np.load(path, allow_pickle=False))]
    except (SafetensorError, ValueError, TypeError, OSError, EOFError) as error:
        raise BadInput(
            f"{path}: not readable ({error}), expected a .npy or .safetensors of [10, {features}]."
        ) from error
    shapes = [list(tensor.shape) for tensor in found]
    if shapes != [[len(GENRES), features]] or not found[0].float().isfinite().all():
        raise BadInput(
            f"{path}: found {shapes or 'nothing'}, expected one table of finite numbers [10, {features}], a row for each of "
            f"{', '.join(GENRES)}; make it of this width."
        )
    return found[0].float()


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
        """Logits in the order of `d2m.core.aist_names.GENRES`."""
        return self.net(torch.cat([x.mean(dim=-1), x.std(dim=-1), x.amax(dim=-1)], dim=-1))


def drop_genre(genre: Int[Tensor, " batch"], probability: float) -> Int[Tensor, " batch"]:
    """The same class numbers, each replaced by the unknown one with the given probability."""
    lost = torch.rand(len(genre), device=genre.device) < probability
    return torch.where(lost, torch.full_like(genre, UNKNOWN_GENRE), genre)


RHYTHM_CURVES = ("beat", "onset")
"""Beat activation (a bump around every true beat) and onset envelope of the audio, both in [0, 1] per latent frame."""


class RhythmHead(nn.Module):
    """Rhythm curves per latent frame, as logits.

    An auxiliary task: it teaches the encoder to hear the beat within a minute of training, and its answer is part of
    what the U-Net is conditioned on.
    """

    def __init__(self, features: int, hidden: int = 64, groups: int = 8, curves: int = len(RHYTHM_CURVES)) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.GroupNorm(groups, features),
            nn.Conv1d(features, hidden, 5, padding=2),
            nn.GELU(),
            nn.Conv1d(hidden, curves, 5, padding=2),
        )

    def forward(self, x: Float[Tensor, "batch feature frame"]) -> Float[Tensor, "batch curve frame"]:
        """Logits of the first curves of `RHYTHM_CURVES`."""
        return self.net(x)
