"""A second device on machines that have none: PyTorch's `meta`, which has shapes and places but no numbers.

What mixes tensors of two devices fails there as it does on a GPU, and float64 as it does on Apple's. What has to read a number waits for a GPU and fails here:
the few places where that is meant are answered for.
"""

from contextlib import contextmanager, nullcontext
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from d2m.models.device import DeviceConfig

ELSEWHERE = DeviceConfig(torch.device("meta"), "bf16")


_MAY_MIX = {torch.Tensor.__getitem__, torch.Tensor.to}
"""What takes tensors of two devices on a GPU, too: an index on the CPU, a tensor to move another one to."""


class _Answered(TorchFunctionMode):
    """Copies to the CPU bring random numbers; the inverse STFT, which checks its window, only a shape.

    `meta` lets its tensors be written into those of the CPU, which a GPU does not: refused here.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is torch.Tensor.cpu and args[0].is_meta:
            shape, kind = args[0].shape, args[0].dtype
            return torch.rand(shape, dtype=kind) if kind.is_floating_point else torch.zeros(shape, dtype=kind)
        if func is torch.istft and args[0].is_meta:
            assert kwargs["window"].is_meta
            return torch.empty(*args[0].shape[:-2], kwargs["length"], device="meta")
        if func is torch.Tensor.__format__ and args[0].is_meta:  # a progress bar of audio-diffusion-pytorch
            return "?"
        if func is torch.Tensor.__bool__ and args[0].is_meta:  # transformers asks this of its masks
            return True
        tensors = [one for one in (*args, *kwargs.values()) if isinstance(one, Tensor) and one.dim()]
        if len({one.is_meta for one in tensors}) == 2 and func not in _MAY_MIX:
            raise RuntimeError(f"{func.__name__}: expected all tensors on the same device.")
        answer = func(*args, **kwargs)
        for one in answer if isinstance(answer, tuple | list) else (answer,):
            if isinstance(one, Tensor) and one.is_meta and one.dtype == torch.float64:
                raise TypeError(f"{func.__name__}: Apple's GPU has no float64; calculate on the CPU.")
        return answer


@contextmanager
def without_numbers():
    """Within it, networks on `ELSEWHERE` can make music of no meaning."""
    autocast = torch.autocast

    def known(kind: str, *arguments: Any, **named: Any) -> Any:
        return nullcontext() if kind == "meta" else autocast(kind, *arguments, **named)

    with _Answered(), mock.patch.object(torch, "autocast", known):
        yield


def is_there(module: torch.nn.Module) -> bool:
    """Whether all of a module's tensors have been moved."""
    tensors: list[Tensor] = [*module.parameters(), *module.buffers()]
    return all(tensor.is_meta for tensor in tensors)
