"""Exact fast paths on a CPU: linear layers and convolutions through oneDNN, under unchanged parameter names.

On a CPU PyTorch sends float32 matrix products to MKL, which leaves AVX-512 unused on other makers' processors, and packs the
weights of a convolution anew at every call, which for a few frames of many channels costs more than the convolution.
A layer becomes fast by assigning its class, so that its parameters, its name and whoever holds it stay the same (a-unet's
modules close over their blocks: they cannot be replaced), and it falls back to PyTorch's own path where the fast one does
not apply: on other devices, under autocast, in another precision, while compiling.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from d2m.model.winograd import TILE, transformed_kernel, winograd_convolution

Mode = Literal["exact", "bf16"]

SHORT_FRAMES = 64
"""Longer convolutions stay with PyTorch: there the packing of the weights is a small part of the work."""

WIDE_CHANNELS = 256
"""Narrower ones too: their weights are small."""

LONG_FRAMES = 256
"""Convolutions of kernel 3 from this length on are done with half the multiplications (d2m/model/winograd.py); below it the
larger transformed weights cost more than they save."""


def has_onednn() -> bool:
    """Whether this build of PyTorch has oneDNN and its linear operator."""
    return torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


_HAS_ONEDNN = has_onednn()


def product(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`F.linear` through oneDNN, without a gradient; `x` [... in], `weight` [out in] of any strides, `bias` [out]."""
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")


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


def _fast(x: Tensor, weight: Tensor) -> bool:
    """Whether oneDNN's float32 path applies."""
    return (
        _HAS_ONEDNN
        and x.device.type == "cpu"
        and x.dtype == weight.dtype == torch.float32
        and not torch.is_autocast_enabled("cpu")
        and not torch.compiler.is_compiling()
    )


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
    """`nn.Conv1d` that does a short convolution as one matrix product, a long one by Winograd; without a gradient only.

    Its weight keeps its shape [out in kernel] and lies in memory as [out kernel in], ready for the product.

    Attributes:
        transformed: the kernel as Winograd needs it, made at the first long input, with what tells whether it still fits.
    """

    transformed: tuple[tuple[int, int], Tensor] | None = None

    def forward(self, input: Tensor) -> Tensor:
        """[batch in frame] → [batch out frame]."""
        if input.dtype != self.weight.dtype and self.weight.dtype == torch.bfloat16:
            return self._forward(input.to(self.weight)).to(input)
        return self._forward(input)

    def _forward(self, input: Tensor) -> Tensor:
        if torch.is_grad_enabled() or not _fast(input, self.weight):
            return super().forward(input)
        if self._is_long(input.shape[-1]):
            return winograd_convolution(input, self.weight, self._transformed(), self.bias, product)
        if input.shape[-1] > SHORT_FRAMES:
            return self._pointwise(input) if self._is_pointwise() else super().forward(input)
        kernel, stride, padding = self.kernel_size[0], self.stride[0], int(self.padding[0])
        frames = F.pad(input.transpose(1, 2), (0, 0, padding, padding)).contiguous()
        batch, length, channels = frames.shape
        patches = frames.as_strided(
            (batch, (length - kernel) // stride + 1, kernel * channels), (length * channels, stride * channels, 1)
        )
        return product(patches, self.weight.transpose(1, 2).flatten(1), self.bias).transpose(1, 2)

    def _is_pointwise(self) -> bool:
        return self.kernel_size == (1,) and self.stride == (1,) and self.padding == (0,)

    def _pointwise(self, input: Tensor) -> Tensor:
        """One product a row of the batch, written as it is wanted: PyTorch takes a slow path here."""
        out = torch.stack([product(self.weight[..., 0], row.t()) for row in input])
        return out if self.bias is None else out.add_(self.bias[:, None])

    def _is_long(self, frames: int) -> bool:
        usual = self.kernel_size == (3,) and self.stride == (1,) and self.padding == (1,)
        return usual and frames >= LONG_FRAMES and frames % TILE == 0

    def _transformed(self) -> Tensor:
        made_of = (self.weight.data_ptr(), 0 if self.weight.is_inference() else self.weight._version)
        if self.transformed is None or self.transformed[0] != made_of:
            self.transformed = (made_of, transformed_kernel(self.weight))
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


def _has_separate_frames(layer: nn.Module) -> bool:
    return (
        _HAS_ONEDNN
        and type(layer) is nn.ConvTranspose1d
        and layer.weight.device.type == "cpu"
        and layer.kernel_size == layer.stride
        and (layer.groups, layer.dilation, layer.padding, layer.output_padding) == (1, (1,), (0,), (0,))
    )


def _is_short_convolution(layer: nn.Module) -> bool:
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


@torch.no_grad()
def use_fast_convolutions(module: nn.Module) -> None:
    """Make every convolution in `module` fast that can be, for generation; `use_stock_layers` undoes it."""
    for layer in module.modules():
        if _has_separate_frames(layer):
            layer.__class__ = FastConvTranspose1d
        if _is_short_convolution(layer):
            layer.__class__ = FastConv1d
            layer.weight.data = layer.weight.data.transpose(1, 2).contiguous().transpose(1, 2)


@torch.no_grad()
def use_bfloat16(module: nn.Module, keep: Callable[[str], bool] | None = None) -> None:
    """Weights of the fast layers in `module` in bfloat16, for good; `keep`: names of layers that stay in float32."""
    for name, layer in module.named_modules():
        if type(layer) in (FastLinear, FastConv1d) and not (keep and keep(name)):
            layer.to(torch.bfloat16)
            layer.weight.data = layer.weight.data.contiguous()  # as PyTorch's own convolution wants it


@torch.no_grad()
def use_stock_layers(module: nn.Module) -> None:
    """PyTorch's own layers again, weights laid out as PyTorch lays them out."""
    for layer in module.modules():
        if type(layer) is FastLinear:
            layer.__class__ = nn.Linear
        elif type(layer) is FastConvTranspose1d:
            layer.__class__ = nn.ConvTranspose1d
        elif type(layer) is FastConv1d:
            _forget(layer)
            layer.__class__ = nn.Conv1d
            layer.weight.data = layer.weight.data.contiguous()


def _forget(layer: FastConv1d) -> None:
    vars(layer).pop("transformed", None)


@contextmanager
def fast_inference(
    module: nn.Module, mode: Mode = "exact", keep: Callable[[str], bool] | None = None
) -> Iterator[None]:
    """Generate faster within the block; afterwards the module is as it was.

    Args:
        module: a U-Net, or anything made of linear layers and convolutions.
        mode: `exact`: the same numbers to float32's rounding. `bf16`: weights in bfloat16, half the memory traffic, for
            numbers that differ in the third digit; activations between layers stay in float32.
        keep: with `bf16`, names of layers whose weights stay in float32.
    """
    layers = [
        (name, layer, type(layer))
        for name, layer in module.named_modules()
        if isinstance(layer, nn.Linear | nn.Conv1d | nn.ConvTranspose1d)
    ]
    weights = {parameter: parameter.data for parameter in module.parameters()} if mode == "bf16" else {}
    use_fast_linear(module)
    use_fast_convolutions(module)
    if mode == "bf16":
        use_bfloat16(module, keep)
    try:
        yield
    finally:
        for parameter, data in weights.items():
            parameter.data = data
        for _, layer, was in layers:
            if was is nn.Conv1d and type(layer) is FastConv1d:
                _forget(layer)
            layer.__class__ = was
            if was is nn.Conv1d:
                layer.weight.data = layer.weight.data.contiguous()
