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

import numpy as np
import torch
import torch.nn.functional as F
from a_unet import Packed
from torch import Tensor, nn

from d2m.models.fast_convolution import (
    array,
    doubled_convolution,
    doubling_kernel,
    group_norm_affine,
    is_long,
    long_convolution,
    norms,
    product,
    short_convolution,
    transformed_kernel,
)

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
        looped: whether the compiled loops are used (`d2m.models.fast_convolution`).
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

    def convolved(self, input: Tensor, affine: np.ndarray | None = None, residual: Tensor | None = None) -> Tensor:
        """What `forward` gives; see `d2m.models.fast_convolution` for what can be done before and behind it."""
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


# a-unet's blocks for generation on a CPU: what surrounds a matrix product is done in one pass, by assigning the class.
#
# As with the fast layers (`d2m.models.fast_network`), parameters, names and owners stay the same, and a block does what it did
# before where the fast path does not apply: with gradients, on other devices, in other precisions, while compiling.


class FastConvBlock(nn.Sequential):
    """Group norm, SiLU and a convolution, and the sum with what runs past them."""

    def forward(self, input: Tensor, residual: Tensor | None = None) -> Tensor:
        """[batch in frame] → [batch out frame]; `residual` is added."""
        norm, convolution = self[0], self[2]
        if convolution.is_fast(input):
            return convolution.convolved(input, group_norm_affine(input, norm), residual)
        out = super().forward(input)
        return out if residual is None else out + residual


class FastResnetBlock(nn.Module):
    """Two convolution blocks and what runs past them; the second one adds it."""

    def forward(self, x: Tensor) -> Tensor:
        """[batch in frame] → [batch out frame]."""
        first, second = self.blocks[0].blocks
        return second(first(x), self.blocks[1](x))


class FastDoubling(nn.Sequential):
    """Every frame said twice, then a convolution."""

    def forward(self, input: Tensor) -> Tensor:
        """[batch in frame] → [batch out 2*frame]."""
        convolution = self[1]
        return convolution.convolved_doubled(input) if convolution.is_fast(input) else super().forward(input)


class FastModulation(Packed):
    """Every frame normalised over its channels, scaled and shifted by the noise level's features, without transposing."""

    def forward(self, x: Tensor, *told: Any) -> Tensor:
        """[batch channel frame] → same shape."""
        if torch.is_grad_enabled() or not is_plain_float32(x):
            return super().forward(x, *told)
        select = self.blocks[0]
        to_scale_shift, norm = select.block.blocks[0], select.block.blocks[1]
        scale, shift = to_scale_shift(select.args_fn(x, *told)[1]).chunk(2, dim=1)
        out = torch.empty_like(x, memory_format=torch.contiguous_format)
        norms().layer_norm(array(x), array(1 + scale), array(shift), norm.eps, out.numpy())
        return out


def _are(modules: Any, *types: type) -> bool:
    modules = list(modules)
    return len(modules) == len(types) and all(type(m) is t for m, t in zip(modules, types, strict=True))


def _is_conv_block(block: nn.Module) -> bool:
    return type(block) is nn.Sequential and _are(block, nn.GroupNorm, nn.SiLU, FastConv1d)


def _is_resnet_block(block: nn.Module) -> bool:
    parts = list(getattr(block, "blocks", ()))
    return (
        type(block).__qualname__.startswith("Module.")  # a-unet makes a class for every such block
        and len(parts) == 2
        and isinstance(parts[1], nn.Identity | nn.Conv1d)
        and _are(getattr(parts[0], "blocks", ()), FastConvBlock, FastConvBlock)
    )


def _is_doubling(block: nn.Module) -> bool:
    if type(block) is not nn.Sequential or not _are(block, nn.Upsample, FastConv1d):
        return False
    upsample, convolution = block[0], block[1]
    usual = (convolution.kernel_size, convolution.stride, convolution.padding) == ((3,), (1,), (1,))
    return usual and (upsample.scale_factor, upsample.mode) == (2.0, "nearest")


def _is_modulation(block: nn.Module) -> bool:
    if type(block) is not Packed or len(block.blocks) != 1:
        return False
    parts = list(getattr(getattr(block.blocks[0], "block", None), "blocks", ()))
    return len(parts) == 2 and isinstance(parts[0], nn.Sequential) and type(parts[1]) is nn.LayerNorm


def use_fast_blocks(module: nn.Module) -> None:
    """Make every block in `module` fast that can be; its convolutions are fast already."""
    for block in list(module.modules()):
        if _is_conv_block(block):
            block.__class__ = FastConvBlock
        elif _is_doubling(block):
            block.__class__ = FastDoubling
        elif _is_modulation(block):
            block.__class__ = FastModulation
    for block in list(module.modules()):
        if _is_resnet_block(block):
            block.stock_class = type(block)
            block.__class__ = FastResnetBlock


def use_stock_blocks(module: nn.Module) -> None:
    """a-unet's own blocks again."""
    for block in list(module.modules()):
        if type(block) in (FastConvBlock, FastDoubling):
            block.__class__ = nn.Sequential
        elif type(block) is FastModulation:
            block.__class__ = Packed
        elif type(block) is FastResnetBlock:
            block.__class__ = vars(block).pop("stock_class")


# A network's layers and blocks made fast for generation, and back again; or in bfloat16.


Mode = Literal["exact", "bf16"]

LARGE_PARAMETERS = 20_000_000
"""Smaller networks do without the compiled loops: to load these takes longer than they save in one dance."""


@torch.no_grad()
def use_fast_layers(module: nn.Module, large: int = LARGE_PARAMETERS) -> None:
    """Make every layer and block in `module` fast that can be, for generation; `use_stock_layers` undoes it.

    Args:
        module: a network.
        large: number of parameters from which on the compiled loops are used.
    """
    use_fast_linear(module)
    looped = sum(parameter.numel() for parameter in module.parameters()) >= large
    for layer in module.modules():
        if has_separate_frames(layer):
            layer.__class__ = FastConvTranspose1d
        if is_wide_convolution(layer):
            layer.__class__ = FastConv1d
            layer.looped = looped
            layer.weight.data = layer.weight.data.transpose(1, 2).contiguous().transpose(1, 2)
    if looped:
        use_fast_blocks(module)


@torch.no_grad()
def use_bfloat16(module: nn.Module, keep: Callable[[str], bool] | None = None) -> None:
    """Weights of the fast layers in `module` in bfloat16, for good; `keep`: names of layers that stay in float32."""
    for name, layer in module.named_modules():
        if type(layer) in (FastLinear, FastConv1d) and not (keep and keep(name)):
            layer.to(torch.bfloat16)
            if isinstance(layer, FastConv1d) and not layer.looped:
                layer.weight.data = layer.weight.data.contiguous()  # as PyTorch's own convolution wants it


@torch.no_grad()
def use_stock_layers(module: nn.Module) -> None:
    """PyTorch's own layers and a-unet's own blocks again, weights laid out as PyTorch lays them out."""
    use_stock_blocks(module)
    for layer in module.modules():
        if type(layer) is FastLinear:
            layer.__class__ = nn.Linear
        elif type(layer) is FastConvTranspose1d:
            layer.__class__ = nn.ConvTranspose1d
        elif type(layer) is FastConv1d:
            _forget(layer)
            layer.__class__ = nn.Conv1d
            layer.weight.data = layer.weight.data.contiguous()


def _forget(layer: nn.Module) -> None:
    for name in ("transformed", "looped", "stock_class"):
        vars(layer).pop(name, None)


@contextmanager
def fast_inference(
    module: nn.Module,
    mode: Mode = "exact",
    keep: Callable[[str], bool] | None = None,
    large: int = LARGE_PARAMETERS,
) -> Iterator[None]:
    """Generate faster within the block; afterwards the module is as it was.

    Args:
        module: a U-Net, or anything made of linear layers and convolutions.
        mode: `exact`: the same numbers to float32's rounding. `bf16`: weights in bfloat16, half the memory traffic, for
            numbers that differ in the third digit; activations between layers stay in float32.
        keep: with `bf16`, names of layers whose weights stay in float32.
        large: see `use_fast_layers`.
    """
    classes = [(part, type(part)) for part in module.modules()]
    weights = {parameter: parameter.data for parameter in module.parameters()} if mode == "bf16" else {}
    use_fast_layers(module, large)
    if mode == "bf16":
        use_bfloat16(module, keep)
    try:
        yield
    finally:
        for parameter, data in weights.items():
            parameter.data = data
        for part, was in classes:
            if type(part) is not was:
                _forget(part)
                part.__class__ = was
            if was is nn.Conv1d:
                part.weight.data = part.weight.data.contiguous()
