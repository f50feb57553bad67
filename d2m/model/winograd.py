"""Convolutions of kernel 3 with half the multiplications: Winograd's F(4, 3) in one dimension.

Lavin & Gray 2016 (arXiv:1509.09308): four neighbouring outputs need six products per pair of channels instead of twelve. The
products of all frames are six matrix products; what surrounds them is additions. The numbers are those of the convolution to
float32's rounding (a few 1e-6 of the largest value).
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

TILE = 4
"""Outputs that are made together."""

Product = Callable[[Tensor, Tensor], Tensor]
"""(x [... in], weight [out in]) → [... out]."""

_KERNEL_TRANSFORM = (
    (-1 / 6, -1 / 6, -1 / 6),
    (-1 / 6, 1 / 6, -1 / 6),
    (1 / 24, 1 / 12, 1 / 6),
    (1 / 24, -1 / 12, 1 / 6),
)
"""G of the paper for the points ±1 and ±2. Those for 0 and infinity are the kernel's own ends: the first one's factor 1/4 is
given to the input instead, so that two matrices of six need no memory."""


def transformed_kernel(weight: Float[Tensor, "out in 3"]) -> Float[Tensor, "4 out in"]:
    """The inner four matrices that the six products need; computed once for a weight, in double precision."""
    transform = torch.tensor(_KERNEL_TRANSFORM, dtype=torch.float64, device=weight.device)
    parts = [torch.tensordot(weight.double(), row, dims=1).to(weight) for row in transform]
    return torch.stack(parts)


def transformed_input(x: Float[Tensor, "in frame"]) -> Float[Tensor, "6 in tile"]:
    """Sums of six neighbouring frames each; a tile starts at every fourth frame."""
    channels, frames = x.shape
    tiles = frames // TILE
    padded = x.new_zeros((channels, frames + TILE))
    padded[:, 1 : frames + 1] = x
    phases = (
        padded.view(channels, tiles + 1, TILE).permute(2, 0, 1).contiguous()
    )  # neighbours are then added in whole rows
    d0, d1, d2, d3 = phases[..., :-1]
    d4, d5 = phases[:2, :, 1:]
    out = x.new_empty((6, channels, tiles))
    even, odd = torch.sub(d4, d2, alpha=4), torch.sub(d3, d1, alpha=4)
    torch.add(even, odd, out=out[1]), torch.sub(even, odd, out=out[2])
    even, odd = torch.sub(d4, d2), torch.sub(d3, d1)
    torch.add(even, odd, alpha=2, out=out[3]), torch.sub(even, odd, alpha=2, out=out[4])
    torch.add(d0, torch.sub(d4, d2, alpha=5), alpha=0.25, out=out[0])
    torch.add(torch.sub(d5, d3, alpha=5), d1, alpha=4, out=out[5])
    return out


def winograd_convolution(
    x: Float[Tensor, "batch in frame"],
    weight: Float[Tensor, "out in 3"],
    kernel: Float[Tensor, "4 out in"],
    bias: Float[Tensor, "out"] | None,
    product: Product,
) -> Float[Tensor, "batch out frame"]:
    """`F.conv1d` of kernel 3, stride 1 and padding 1; the frames must be a multiple of 4.

    Args:
        x: the input.
        weight: of the convolution; fastest where [out kernel in] is its order in memory.
        kernel: of `transformed_kernel`.
        bias: of the convolution.
        product: the fastest matrix product at hand.
    """
    out = x.new_empty((len(x), kernel.shape[1], x.shape[2]))
    matrices = (weight[..., 0], *kernel, weight[..., 2])
    for row, wave in zip(x, out, strict=True):
        columns = transformed_input(row)
        m0, m1, m2, m3, m4, m5 = (product(matrices[i], columns[i].t()) for i in range(6))
        inner, inner_difference = m1 + m2, m1.sub_(m2)
        outer, outer_difference = m3 + m4, m3.sub_(m4)
        if bias is not None:
            inner, inner_difference = inner.add_(bias[:, None]), inner_difference.add_(bias[:, None])
        tiles = wave.unflatten(1, (-1, TILE))
        torch.add(m0.add_(inner), outer, out=tiles[..., 0])
        torch.add(inner_difference, outer_difference, alpha=2, out=tiles[..., 1])
        torch.add(inner, outer, alpha=4, out=tiles[..., 2])
        torch.add(inner_difference.add_(m5), outer_difference, alpha=8, out=tiles[..., 3])
    return out
