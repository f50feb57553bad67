"""MusicGen's delay pattern (arXiv:2306.05284, section 2.2): codebook k of a frame is predicted k steps after codebook 0.

K codebooks of T frames become K rows of T + K - 1 steps. Cutting that to T steps, as is often done, loses the last k codes
of codebook k, and a model trained so never learns to end.
"""

import torch
from jaxtyping import Int
from torch import Tensor


def delayed(codes: Int[Tensor, "batch codebook frame"], pad: int) -> Int[Tensor, "batch codebook step"]:
    """Row k moved k steps to the right, `pad` around it; every code is kept."""
    batch, codebooks, frames = codes.shape
    laid = codes.new_full((batch, codebooks, frames + codebooks - 1), pad)
    for k in range(codebooks):
        laid[:, k, k : k + frames] = codes[:, k]
    return laid


def undelayed(laid: Int[Tensor, "batch codebook step"]) -> Int[Tensor, "batch codebook frame"]:
    """The codes that `delayed` laid out."""
    codebooks = laid.shape[1]
    frames = laid.shape[2] - codebooks + 1
    return torch.stack([laid[:, k, k : k + frames] for k in range(codebooks)], dim=1)


def shifted_right(labels: Int[Tensor, "batch codebook step"], start: int) -> Int[Tensor, "batch codebook step"]:
    """What the decoder reads while it predicts `labels`: each step's predecessor, `start` before the first."""
    first = torch.full_like(labels[..., :1], start)
    return torch.cat([first, labels[..., :-1]], dim=-1)
