"""Work and peak: floating-point operations of a run, and how many a second this machine can do at best."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmark.timing import synchronise
from d2m.models.onednn import has_onednn, linear


@dataclass(frozen=True)
class MatmulPeak:
    """Best rate of a large square matrix product on this machine, operations per second."""

    float32: float
    bfloat16: float


def counted_flops(run: Callable[[], object]) -> int:
    """Floating-point operations of the matrix products, convolutions and attentions in `run` (2 per multiply-add)."""
    with FlopCounterMode(display=False, custom_mapping=_unknown_to_pytorch()) as counter:
        run()
    return counter.get_total_flops()


def _unknown_to_pytorch() -> dict[Any, Callable[..., int]]:
    """Operators of ours, or of CPUs, that PyTorch's counter does not know, by their shapes."""

    def linear(x: Sequence[int], weight: Sequence[int], *_: Any, **__: Any) -> int:
        return 2 * prod(x) * weight[0]

    def attention(q: Sequence[int], k: Sequence[int], v: Sequence[int], *_: Any, **__: Any) -> int:
        return 2 * prod(q[:-1]) * k[-2] * (q[-1] + v[-1])

    def attention_backward(gradient: Sequence[int], q: Sequence[int], k: Sequence[int], *rest: Any, **__: Any) -> int:
        return 5 * 2 * prod(q) * k[-2]  # the scores once more, and the gradients of all four products' factors

    known = {
        torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: attention,
        torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: attention_backward,
    }
    return {**known, torch.ops.mkldnn._linear_pointwise: linear} if has_onednn() else known


@torch.no_grad()
def matmul_peak(device: torch.device, size: int = 2048, tries: int = 5) -> MatmulPeak:
    """Measure it: the best of some tries, in float32 by the better of PyTorch's product and oneDNN's."""
    rates = {}
    for dtype in (torch.float32, torch.bfloat16):
        a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
        ways: list[Callable[[], object]] = [lambda a=a, b=b: a @ b]
        if dtype == torch.float32 and device.type == "cpu" and has_onednn():
            ways.append(lambda a=a, b=b: linear(a, b))
        best = min(_fastest_s(way, device, tries) for way in ways)
        rates[dtype] = 2 * size**3 / best
    return MatmulPeak(rates[torch.float32], rates[torch.bfloat16])


def _fastest_s(run: Callable[[], object], device: torch.device, tries: int) -> float:
    run()
    seconds = []
    for _ in range(tries):
        synchronise(device)
        started = time.perf_counter()
        run()
        synchronise(device)
        seconds.append(time.perf_counter() - started)
    return min(seconds)
