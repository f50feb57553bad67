"""Exact fast paths on a CPU: linear layers and convolutions through oneDNN, under unchanged parameter names.

On a CPU PyTorch sends float32 matrix products to MKL, which leaves AVX-512 unused on other makers' processors, and packs the
weights of a convolution anew at every call, which for a few frames of many channels costs more than the convolution.
A layer becomes fast by assigning its class, so that its parameters, its name and whoever holds it stay the same (a-unet's
modules close over their blocks: they cannot be replaced), and it falls back to PyTorch's own path where the fast one does
not apply: on other devices, under autocast, in another precision, while compiling.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from d2m.model.fast_convolution import (
    doubled_convolution,
    is_long,
    long_convolution,
    product,
    short_convolution,
)
from d2m.model.winograd import doubling_kernel, transformed_kernel

WIDE_CHANNELS = 128
"""Narrower convolutions stay with PyTorch: their weights are small."""

SHORT_FRAMES = 64
"""Without the compiled loops, longer convolutions stay with PyTorch: packing the weights is a small part of their work."""


def has_onednn() -> bool:
    """Whether this build of PyTorch has oneDNN and its linear operator."""
    return torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


_HAS_ONEDNN = has_onednn()


class _Product(torch.autograd.Function):
    """`product` with its gradients, which are products too."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        return product(x, weight, bias)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        rows, inputs = gradient.reshape(-1, gradient.shape[-1]), x.reshape(-1, x.shape[-1])
        to_x, to_weight, to_bias = ctx.needs_input_grad
        return (
            product(rows, weight.t()).view(x.shape) if to_x else None,
            product(rows.t(), inputs.t()) if to_weight else None,
            rows.sum(dim=0) if to_bias else None,
        )


def is_plain_float32(x: Tensor) -> bool:
    """Whether oneDNN's float32 path applies to `x`."""
    return (
        _HAS_ONEDNN
        and x.device.type == "cpu"
        and x.dtype == torch.float32
        and not torch.is_autocast_enabled("cpu")
        and not torch.compiler.is_compiling()
    )


def _fast(x: Tensor, weight: Tensor) -> bool:
    return weight.dtype == torch.float32 and is_plain_float32(x)


class FastLinear(nn.Linear):
    """`nn.Linear`, forwards and backwards through oneDNN where that is faster."""

    def forward(self, input: Tensor) -> Tensor:
        """[... in] → [... out]."""
        if input.dtype != self.weight.dtype and self.weight.dtype == torch.bfloat16:
            return super().forward(input.to(self.weight)).to(input)
        if not _fast(input, self.weight) or input.numel() == 0:
            return super().forward(input)
        if torch.is_grad_enabled():
            return _Product.apply(input, self.weight, self.bias)
        return product(input, self.weight, self.bias)


class FastConv1d(nn.Conv1d):
    """`nn.Conv1d` as matrix products, without a gradient only.

    Its weight keeps its shape [out in kernel] and lies in memory as [out kernel in], ready for the one product of a short
    input, and from the first long one on as [kernel out in].

    Attributes:
        looped: whether the compiled loops are used (`d2m.model.fast_convolution`).
        transformed: matrices made of the weight at their first use, with what tells whether they still fit.
    """

    looped = False
    transformed: tuple[object, Tensor] | None = None

    def forward(self, input: Tensor) -> Tensor:
        """[batch in frame] → [batch out frame]."""
        if self.is_fast(input):
            return self.convolved(input)
        if not torch.is_grad_enabled() and _fast(input, self.weight) and input.numel() > 0:
            return self._without_loops(input)
        if self.weight.dtype == torch.bfloat16 != input.dtype:
            return super().forward(input.to(self.weight)).to(input)
        return super().forward(input)

    def is_fast(self, input: Tensor) -> bool:
        """Whether `convolved` and `convolved_doubled` can be used."""
        return self.looped and not torch.is_grad_enabled() and is_plain_float32(input) and input.numel() > 0

    def convolved(
        self, input: Tensor, affine: np.ndarray | None = None, residual: Tensor | None = None
    ) -> Tensor:
        """What `forward` gives; see `d2m.model.fast_convolution` for what can be done before and behind it."""
        if is_long(self, input):
            self._lay_out_by_tap()
            kernel = self._transformed(transformed_kernel)
            return long_convolution(input, self.weight, kernel, self.bias, affine, residual)
        return short_convolution(input, self, affine, residual)

    def convolved_doubled(self, input: Tensor) -> Tensor:
        """What `forward` gives of an input whose frames are each said twice; `input` is not yet doubled."""
        self._lay_out_by_tap()
        return doubled_convolution(input, self.weight, self._transformed(doubling_kernel), self.bias)

    def _without_loops(self, input: Tensor) -> Tensor:
        """One product, where that is faster than PyTorch's convolution."""
        kernel, stride, padding = self.kernel_size[0], self.stride[0], int(self.padding[0])
        if input.shape[2] > SHORT_FRAMES:
            if (kernel, stride, padding) != (1, 1, 0):
                return super().forward(input)
            out = torch.stack([product(self.weight[..., 0], row.t()) for row in input])
            return out if self.bias is None else out.add_(self.bias[:, None])
        frames = F.pad(input.transpose(1, 2), (0, 0, padding, padding)).contiguous()
        batch, length, channels = frames.shape
        patches = frames.as_strided(
            (batch, (length - kernel) // stride + 1, kernel * channels), (length * channels, stride * channels, 1)
        )
        return product(patches, self.weight.transpose(1, 2).flatten(1), self.bias).transpose(1, 2)

    def _lay_out_by_tap(self) -> None:
        if not self.weight[..., 0].is_contiguous():
            self.weight.data = self.weight.data.permute(2, 0, 1).contiguous().permute(1, 2, 0)

    def _transformed(self, transform: Callable[[Tensor], Tensor]) -> Tensor:
        made_of = (transform, self.weight.data_ptr(), 0 if self.weight.is_inference() else self.weight._version)
        if self.transformed is None or self.transformed[0] != made_of:
            self.transformed = (made_of, transform(self.weight))
        return self.transformed[1]


class FastConvTranspose1d(nn.ConvTranspose1d):
    """`nn.ConvTranspose1d` whose frames do not overlap (kernel = stride): one matrix product; without a gradient only.

    PyTorch's own takes ten times as long for the many frames and two channels of a waveform.
    """

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        """[batch in frame] → [batch out frame * stride]."""
        if torch.is_grad_enabled() or output_size is not None or not _fast(input, self.weight):
            return super().forward(input, output_size)
        batch, _, frames = input.shape
        samples = product(input.transpose(1, 2), self.weight.flatten(1).t())
        out = samples.view(batch, frames, self.out_channels, -1).transpose(1, 2).flatten(2)
        return out if self.bias is None else out.add_(self.bias[:, None])


def has_separate_frames(layer: nn.Module) -> bool:
    """Whether `FastConvTranspose1d` takes the layer."""
    return (
        _HAS_ONEDNN
        and type(layer) is nn.ConvTranspose1d
        and layer.weight.device.type == "cpu"
        and layer.kernel_size == layer.stride
        and (layer.groups, layer.dilation, layer.padding, layer.output_padding) == (1, (1,), (0,), (0,))
    )


def is_wide_convolution(layer: nn.Module) -> bool:
    """Whether `FastConv1d` takes the layer."""
    return (
        _HAS_ONEDNN
        and type(layer) is nn.Conv1d
        and layer.weight.device.type == "cpu"
        and layer.groups == 1
        and layer.dilation == (1,)
        and layer.padding_mode == "zeros"
        and not isinstance(layer.padding, str)
        and min(layer.in_channels, layer.out_channels) >= WIDE_CHANNELS
    )


def use_fast_linear(module: nn.Module) -> None:
    """Make every plain linear layer in `module` a `FastLinear`: same numbers to rounding, for training and generation."""
    for layer in module.modules():
        if type(layer) is nn.Linear:
            layer.__class__ = FastLinear
