"""Residual vector quantisation: a vector as the sum of one entry from each of several codebooks.

Zeghidour et al., SoundStream (arXiv:2107.03312), section III-C: every codebook quantises what the ones before it left.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

_CHUNK_FRAMES = 8192
"""Frames whose distances to a codebook are in memory at once."""


class ResidualQuantiser(nn.Module):
    """Codebooks for the frames of a latent.

    Args:
        codebooks: how many.
        codebook_size: entries of each.
        channels: of the latent.
    """

    entries: Tensor

    def __init__(self, codebooks: int, codebook_size: int, channels: int) -> None:
        super().__init__()
        self.register_buffer("entries", torch.zeros(codebooks, codebook_size, channels))

    def encode(self, latent: Float[Tensor, "batch channel frame"]) -> Int[Tensor, "batch codebook frame"]:
        """The nearest entry of each codebook in turn (greedy)."""
        rest, codes = latent.transpose(1, 2).flatten(0, 1).to(self.entries), []
        for book in self.entries:
            chosen = nearest(rest, book)
            rest = rest - book[chosen]
            codes.append(chosen)
        return torch.stack(codes).unflatten(1, (len(latent), -1)).transpose(0, 1)

    def decode(self, codes: Int[Tensor, "batch codebook frame"]) -> Float[Tensor, "batch channel frame"]:
        """Sum of the entries."""
        parts = [book[codes[:, number]] for number, book in enumerate(self.entries)]
        return torch.stack(parts).sum(dim=0).transpose(1, 2)

    @torch.no_grad()
    def fit(self, frames: Float[Tensor, "frame channel"], iterations: int = 25, seed: int = 0) -> list[float]:
        """Take the codebooks from training frames by k-means on what the earlier ones left.

        Returns:
            share of the frames' variance that is left after each codebook.
        """
        generator = torch.Generator().manual_seed(seed)
        total, rest, left = float((frames - frames.mean(dim=0)).square().mean()), frames, []
        for number in range(len(self.entries)):
            book = k_means(rest, self.entries.shape[1], iterations, generator)
            book = book.half().to(self.entries)  # as they ship: later codebooks mend the rounding of earlier ones
            self.entries[number] = book
            rest = rest - book[nearest(rest, book)]
            left.append(float(rest.square().mean()) / total)
        return left


def nearest(frames: Float[Tensor, "frame channel"], book: Float[Tensor, "entry channel"]) -> Int[Tensor, "frame"]:
    """Number of the entry with the smallest Euclidean distance to each frame."""
    half_squares = 0.5 * book.square().sum(dim=1)
    return torch.cat([(half_squares - part @ book.T).argmin(dim=1) for part in frames.split(_CHUNK_FRAMES)])


def k_means(
    frames: Float[Tensor, "frame channel"], entries: int, iterations: int, generator: torch.Generator
) -> Float[Tensor, "{entries} channel"]:
    """Lloyd's algorithm from random frames; an entry that no frame is nearest to is put on a random frame."""
    if len(frames) < entries:
        raise ValueError(f"{entries} entries need at least as many frames, not {len(frames)}.")
    book = frames[torch.randperm(len(frames), generator=generator)[:entries]].clone()
    for _ in range(iterations):
        chosen = nearest(frames, book)
        counts = torch.bincount(chosen, minlength=entries)
        book = torch.zeros_like(book).index_add_(0, chosen, frames) / counts.clamp(min=1)[:, None]
        unused = (counts == 0).nonzero()[:, 0]
        book[unused] = frames[torch.randint(len(frames), (len(unused),), generator=generator)]
    return book
