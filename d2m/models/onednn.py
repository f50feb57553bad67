"""What oneDNN does on this CPU: float32 linear layers that are faster than MKL's, and whether it has bfloat16.

PyTorch sends float32 matrix products on a CPU to MKL, which leaves AVX-512 unused on other makers' processors. oneDNN's own
linear operator does not; it is used wherever it is there and applies, under unchanged modules and parameter names.
"""

from functools import cache, partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@cache
def has_onednn() -> bool:
    """Whether this build of PyTorch has oneDNN and its linear operator."""
    return torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


@cache
def has_bfloat16() -> bool:
    """Whether oneDNN does a product in bfloat16 on this processor; without AVX-512 or AMX it refuses to."""
    if not has_onednn():
        return False
    x, weight = (torch.ones(size, 64, dtype=torch.bfloat16) for size in (8, 32))
    try:
        return bool((_product(x, weight, None) == 64).all())
    except RuntimeError:  # could not create a primitive descriptor
        return False


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`F.linear`: x [... in], weight [out in], bias [out] → [... out]; through oneDNN, gradients too, where that applies."""
    applies = (
        has_onednn()
        and x.device.type == "cpu"
        and x.dtype == weight.dtype == torch.float32
        and x.numel() > 0
        and not torch.is_autocast_enabled("cpu")
        and not torch.compiler.is_compiling()
    )
    if not applies:
        return F.linear(x, weight, bias)
    return _Linear.apply(x, weight, bias) if torch.is_grad_enabled() else _product(x, weight, bias)


class Linear(nn.Linear):
    """`nn.Linear` through `linear`."""

    def forward(self, input: Tensor) -> Tensor:
        """[... in] → [... out]."""
        return linear(input, self.weight, self.bias)


def use_onednn(module: nn.Module) -> None:
    """Let every plain linear layer in `module` go through `linear`; the layers, their names and their owners stay.

    For networks of other packages, whose layers cannot be built as `Linear` nor replaced.
    """
    for layer in module.modules():
        if type(layer) is nn.Linear:
            layer.forward = partial(_forward, layer)


def _forward(layer: nn.Linear, input: Tensor) -> Tensor:
    return linear(input, layer.weight, layer.bias)


def _product(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")


class _Linear(torch.autograd.Function):
    """`_product` with its gradients, which are products too."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        return _product(x, weight, bias)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *grad_outputs: Any) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        (gradient,), (x, weight) = grad_outputs, ctx.saved_tensors
        rows, inputs = gradient.reshape(-1, gradient.shape[-1]), x.reshape(-1, x.shape[-1])
        to_x, to_weight, to_bias = ctx.needs_input_grad
        return (
            _product(rows, weight.t(), None).view(x.shape) if to_x else None,
            _product(rows.t(), inputs.t(), None) if to_weight else None,
            rows.sum(dim=0) if to_bias else None,
        )
