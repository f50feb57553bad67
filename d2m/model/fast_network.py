"""A network's layers and blocks made fast for generation, and back again; or in bfloat16."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from torch import nn

from d2m.model.fast_blocks import use_fast_blocks, use_stock_blocks
from d2m.model.fast_layers import (
    FastConv1d,
    FastConvTranspose1d,
    FastLinear,
    has_separate_frames,
    is_wide_convolution,
    use_fast_linear,
)

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
