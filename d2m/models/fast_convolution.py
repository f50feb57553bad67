"""Convolutions of kernel 3 with half the multiplications: Winograd's F(4, 3) in one dimension.

Lavin & Gray 2016 (arXiv:1509.09308): four neighbouring outputs need six products per pair of channels instead of twelve. The
products of all frames are six matrix products; what surrounds them is additions (`d2m.models.cpu_loops`). The numbers are
those of the convolution to float32's rounding (a few 1e-6 of the largest value).
"""

from collections.abc import Sequence
from functools import cache
from importlib import import_module
from types import ModuleType

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

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
"""What a frame is multiplied by when it is seen three times: see `d2m.models.fast_convolution.doubled`."""


def transformed_kernel(weight: Float[Tensor, "out in 3"]) -> Float[Tensor, "4 out in"]:
    """The inner four matrices that the six products need; computed once for a weight, in double precision."""
    return _transformed(weight, _KERNEL_TRANSFORM)


def doubling_kernel(weight: Float[Tensor, "out in 3"]) -> Float[Tensor, "1 out in"]:
    """The kernel's sum, the one matrix that a convolution of doubled frames needs beside the kernel's ends."""
    return _transformed(weight, _DOUBLING_TRANSFORM)


def _transformed(weight: Tensor, rows: tuple[tuple[float, ...], ...]) -> Tensor:
    transform = torch.tensor(rows, dtype=torch.float64, device=weight.device)
    return torch.stack([torch.tensordot(weight.double(), row, dims=1).to(weight) for row in transform])


# Convolutions on a CPU as matrix products through oneDNN, with norm and activation before them and a sum behind them.
#
# PyTorch packs the weights of a convolution anew at every call and goes through memory once for every operation around it.
# Here a loop (`d2m.models.cpu_loops`) writes the matrix that the product reads, a second one what the product gave: short
# inputs become one product of patches, long ones Winograd's six (`d2m.models.fast_convolution`), doubled ones three. With weights in
# bfloat16 the products are in bfloat16, what is around them in float32.


LONG_FRAMES, LONG_ROW = 128, 64
"""Convolutions of kernel 3 from so many frames on, all rows together, in rows of so many, are done with half the
multiplications; below, to read the larger transformed weights costs more than they save, or to keep them too much memory."""

FRAMES_AT_ONCE = 4096
"""Rows of a batch go together up to so many frames, so that what stands between the products stays in the cache."""

_NOTHING = np.empty((0, 0, 0), dtype=np.float32)


def product(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`F.linear` through oneDNN, without a gradient; `x` [... in], `weight` [out in] of any strides, `bias` [out]."""
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")


def loops() -> ModuleType:
    """`d2m.models.cpu_loops`, on as many threads as PyTorch uses."""
    return _compiled("cpu_loops")


def norms() -> ModuleType:
    """`d2m.models.cpu_loops`, on as many threads as PyTorch uses."""
    return _compiled("norm_loops")


@cache
def _imported(name: str) -> ModuleType:
    return import_module(f"d2m.model.{name}")  # numba comes with it, which a small network does not need


def _compiled(name: str) -> ModuleType:
    _imported("compiled").use_threads(torch.get_num_threads())
    return _imported(name)


def array(tensor: Tensor) -> np.ndarray:
    """The tensor's own memory, in C order; bfloat16 as uint16."""
    tensor = (tensor.detach() if tensor.requires_grad else tensor).contiguous()
    return tensor.view(torch.uint16).numpy() if tensor.dtype == torch.bfloat16 else tensor.numpy()


def group_norm_affine(x: Tensor, norm: nn.GroupNorm) -> np.ndarray:
    """Factor and offset of every row and channel, [batch channel 2]."""
    return norms().group_norm_affine(array(x), array(norm.weight), array(norm.bias), norm.num_groups, norm.eps)


def is_long(layer: nn.Conv1d, x: Tensor) -> bool:
    """Whether Winograd applies and pays."""
    usual = layer.kernel_size == (3,) and layer.stride == (1,) and layer.padding == (1,)
    exact = layer.weight.dtype == torch.float32  # the sums of Winograd would lose what bfloat16 has left
    long = x.shape[0] * x.shape[2] >= LONG_FRAMES and x.shape[2] >= LONG_ROW
    return exact and usual and long and x.shape[2] % TILE == 0


def long_convolution(
    x: Float[Tensor, "batch in frame"],
    weight: Float[Tensor, "out in 3"],
    kernel: Float[Tensor, "4 out in"],
    bias: Tensor | None,
    affine: np.ndarray | None = None,
    residual: Tensor | None = None,
) -> Float[Tensor, "batch out frame"]:
    """`F.conv1d` of kernel 3, stride 1 and padding 1; the frames must be a multiple of 4.

    Args:
        x: the input.
        weight: of the convolution; kernel: its `transformed_kernel`; bias: of the convolution.
        affine: [batch channel 2], factor and offset of the input's channels, with SiLU behind; None: the input as it is.
        residual: [batch out frame], added.
    """
    out = x.new_empty((len(x), kernel.shape[1], x.shape[2]))
    matrices, offset = (weight[..., 0], *kernel, weight[..., 2]), _offset(bias, kernel.shape[1])
    for rows in _rows(x):
        part = array(x[rows])
        columns = x.new_empty((6, x.shape[1], part.shape[0] * part.shape[2] // TILE))
        scale = _NOTHING if affine is None else affine[rows]
        loops().winograd_columns(part, scale, affine is not None, columns.numpy())
        products = [array(product(matrices[i], columns[i].t())) for i in range(6)]
        added = _NOTHING if residual is None else array(residual[rows])
        loops().winograd_outputs(*products, offset, added, out[rows].numpy())
    return out


def short_convolution(
    x: Float[Tensor, "batch in frame"],
    layer: nn.Conv1d,
    affine: np.ndarray | None = None,
    residual: Tensor | None = None,
) -> Float[Tensor, "batch out frame_out"]:
    """`F.conv1d` with the layer's kernel, stride and padding as one product; `affine` and `residual` as above."""
    kernel, stride, padding = layer.kernel_size[0], layer.stride[0], int(layer.padding[0])
    length = (x.shape[2] + 2 * padding - kernel) // stride + 1
    out = x.new_empty((len(x), layer.out_channels, length))
    weight, offset = layer.weight.transpose(1, 2).flatten(1), _offset(layer.bias, layer.out_channels)
    for rows in _rows(x):
        part = array(x[rows])
        seen = weight.new_empty((weight.shape[1], part.shape[0] * length))
        scale = _NOTHING if affine is None else affine[rows]
        loops().patches(part, scale, affine is not None, kernel, stride, padding, array(seen))
        added = _NOTHING if residual is None else array(residual[rows])
        loops().outputs(array(product(weight, seen.t())), offset, added, out[rows].numpy())
    return out


def doubled_convolution(
    x: Float[Tensor, "batch in frame"],
    weight: Float[Tensor, "out in 3"],
    kernel: Float[Tensor, "1 out in"],
    bias: Tensor | None,
) -> Float[Tensor, "batch out 2*frame"]:
    """`F.conv1d` of kernel 3 and padding 1 on every frame said twice, with three products a frame instead of six.

    The two outputs of frame i are w0 x[i-1] + (w1 + w2) x[i] and (w0 + w1) x[i] + w2 x[i+1]: both hold (w0 + w1 + w2) x[i],
    and beside it w0 (x[i-1] - x[i]) or w2 (x[i+1] - x[i]).

    Args:
        x: the input, before it is doubled.
        weight: of the convolution; kernel: its `doubling_kernel`; bias: of the convolution.
    """
    out = x.new_empty((len(x), kernel.shape[1], 2 * x.shape[2]))
    matrices, offset = (weight[..., 0], kernel[0], weight[..., 2]), _offset(bias, kernel.shape[1])
    for rows in _rows(x):
        part = array(x[rows])
        columns = weight.new_empty((3, x.shape[1], part.shape[0] * part.shape[2]))
        loops().doubling_columns(part, array(columns))
        products = [array(product(matrices[i], columns[i].t())) for i in range(3)]
        loops().doubling_outputs(*products, offset, out[rows].numpy())
    return out


def _rows(x: Tensor) -> Sequence[slice]:
    together = max(1, FRAMES_AT_ONCE // x.shape[2])
    return [slice(first, first + together) for first in range(0, len(x), together)]


def _offset(bias: Tensor | None, channels: int) -> np.ndarray:
    return np.zeros(channels, np.float32) if bias is None else array(bias.float())
