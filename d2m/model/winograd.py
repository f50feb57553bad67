"""Convolutions of kernel 3 with half the multiplications: Winograd's F(4, 3) in one dimension.

Lavin & Gray 2016 (arXiv:1509.09308): four neighbouring outputs need six products per pair of channels instead of twelve. The
products of all frames are six matrix products; what surrounds them is additions (`d2m.model.cpu_loops`). The numbers are
those of the convolution to float32's rounding (a few 1e-6 of the largest value).
"""

import torch
from jaxtyping import Float
from torch import Tensor

TILE = 4
"""Outputs that are made together."""

_KERNEL_TRANSFORM = (
    (-1 / 6, -1 / 6, -1 / 6),
    (-1 / 6, 1 / 6, -1 / 6),
    (1 / 24, 1 / 12, 1 / 6),
    (1 / 24, -1 / 12, 1 / 6),
)
"""G of the paper for the points ±1 and ±2. Those for 0 and infinity are the kernel's own ends: the first one's factor 1/4 is
given to the input instead, so that two matrices of six need no memory."""

_DOUBLING_TRANSFORM = ((1.0, 1.0, 1.0),)
"""What a frame is multiplied by when it is seen three times: see `d2m.model.fast_convolution.doubled`."""


def transformed_kernel(weight: Float[Tensor, "out in 3"]) -> Float[Tensor, "4 out in"]:
    """The inner four matrices that the six products need; computed once for a weight, in double precision."""
    return _transformed(weight, _KERNEL_TRANSFORM)


def doubling_kernel(weight: Float[Tensor, "out in 3"]) -> Float[Tensor, "1 out in"]:
    """The kernel's sum, the one matrix that a convolution of doubled frames needs beside the kernel's ends."""
    return _transformed(weight, _DOUBLING_TRANSFORM)


def _transformed(weight: Tensor, rows: tuple[tuple[float, ...], ...]) -> Tensor:
    transform = torch.tensor(rows, dtype=torch.float64, device=weight.device)
    return torch.stack([torch.tensordot(weight.double(), row, dims=1).to(weight) for row in transform])
