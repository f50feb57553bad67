"""a-unet's blocks for generation on a CPU: what surrounds a matrix product is done in one pass, by assigning the class.

As with the fast layers (`d2m.model.fast_layers`), parameters, names and owners stay the same, and a block does what it did
before where the fast path does not apply: with gradients, on other devices, in other precisions, while compiling.
"""

from typing import Any

import torch
from a_unet import Packed
from torch import Tensor, nn

from d2m.model.fast_convolution import array, group_norm_affine, norms
from d2m.model.fast_layers import FastConv1d, is_plain_float32


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
