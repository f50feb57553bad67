"""Where music is made and in what numbers: on a CPU or a GPU, in float32 or in bfloat16."""

import os
import shutil
import sys
import sysconfig
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import nn

from d2m.core.errors import BadConfig
from d2m.models.onednn import has_bfloat16

CPU = torch.device("cpu")

Precision = Literal["exact", "bf16"]

PRECISIONS = ("exact", "bf16", "auto")

_DEVICES = "cpu, cuda, cuda:N, mps or auto"

_FASTER = 1.2
"""bfloat16 has to be this much faster before it is chosen: it changes the third digit."""

_UNKNOWN_FREE_BYTES = 4 * 2**30

_PROBE = (512, 1024, 1024)
"""Sizes of the matrix product that is timed on a CPU: about those of a wide level."""


@dataclass(frozen=True)
class DeviceConfig:
    """Where and how networks run.

    Args:
        device: that they are moved to.
        precision: `exact`, float32; or `bf16`, autocast to bfloat16; the weights themselves stay in float32.
        compiled: by `torch.compile`, on a GPU with CUDA graphs.
    """

    device: torch.device = CPU
    precision: Precision = "exact"
    compiled: bool = False

    @contextmanager
    def running(self) -> Iterator[None]:
        """What the networks run in; without gradients."""
        low = self.precision == "bf16"
        with torch.no_grad(), torch.autocast(self.device.type, torch.bfloat16) if low else nullcontext():
            yield

    def free_bytes(self) -> int:
        """The device's memory that nobody uses now."""
        if self.device.type == "cuda":
            return torch.cuda.mem_get_info(self.device)[0]
        try:
            return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        except (ValueError, OSError, AttributeError):  # not on every system
            return _UNKNOWN_FREE_BYTES

    def place(self, network: nn.Module) -> None:
        """Move a network there, once."""
        network.to(self.device)
        # autocast keeps a weight's rounded copy from one step to the next only where the weight could have a gradient
        network.requires_grad_(self.precision == "bf16" and self.device.type == "cpu")
        if self.compiled:
            network.compile(mode="reduce-overhead" if self.device.type == "cuda" else None)


def choose_device(
    device: str = "cpu", precision: str = "exact", compiled: bool = False, has_bfloat16_on_cpu: bool = True
) -> DeviceConfig:
    """A device configuration from settings.

    Args:
        device: `cpu`, `cuda`, `cuda:N`, `mps` (Apple's GPU), or `auto`: a CUDA GPU where there is one.
        precision: `exact`, `bf16`, or `auto`: bfloat16 where it is measured to be faster here, which another machine may see
            differently.
        compiled: see `DeviceConfig`.
        has_bfloat16_on_cpu: whether what is run can use it there.

    What this machine cannot do (bfloat16 on a CPU without it, compiling without a compiler) is left out, with a line on
    standard error.

    Raises:
        BadConfig: for what is unknown or not there.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        where = torch.device(device)
    except RuntimeError as error:
        raise BadConfig(f"device={device}: unknown; expected {_DEVICES}.") from error
    if where.type not in ("cpu", "cuda", "mps"):
        raise BadConfig(f"device={device}: unknown; expected {_DEVICES}.")
    if where.type == "mps" and not torch.backends.mps.is_available():
        raise BadConfig(f"device={device}: this machine or this PyTorch has no Apple GPU; say device=cpu.")
    if where.type == "mps" and precision != "exact":
        raise BadConfig(f"precision={precision}: on device=mps networks run in float32; leave it out.")
    if where.type == "cuda" and (where.index or 0) >= torch.cuda.device_count():
        raise BadConfig(f"device={device}: this PyTorch sees {torch.cuda.device_count()} GPUs; say device=cpu.")
    if precision not in PRECISIONS:
        raise BadConfig(f"precision={precision}: unknown; expected {', '.join(PRECISIONS)}.")
    can = where.type != "cpu" or has_bfloat16_on_cpu
    if precision == "auto":
        precision = "bf16" if can and prefers_bfloat16(where) else "exact"
    if precision == "bf16" and where.type == "cpu" and has_bfloat16_on_cpu and not has_bfloat16():
        _say("precision=bf16: this processor has no bfloat16; float32 (precision=exact) is used instead.")
        precision = "exact"
    if compiled and not has_compiler():
        _say("compile=true: no C++ compiler with Python's headers is found here; the networks run uncompiled.")
        compiled = False
    return DeviceConfig(where, "bf16" if precision == "bf16" else "exact", compiled)


def has_compiler() -> bool:
    """Whether `torch.compile` finds what it needs on this machine: a C++ compiler and Python's headers."""
    header = Path(sysconfig.get_paths()["include"]) / "Python.h"
    names = [os.environ["CXX"]] if os.environ.get("CXX") else ["g++", "clang++", "c++", "cl"]
    return header.is_file() and any(shutil.which(name) for name in names)


def _say(line: str) -> None:
    print(f"note: {line}", file=sys.stderr)


def prefers_bfloat16(device: torch.device) -> bool:
    """Whether bfloat16 is worth it: on a GPU where it is built in, on a CPU where a matrix product is measured to be faster."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if not has_bfloat16():
        return False
    rows, inner, columns = _PROBE
    seconds = {torch.float32: float("inf"), torch.bfloat16: float("inf")}
    pairs = {kind: (torch.ones(rows, inner, dtype=kind), torch.ones(inner, columns, dtype=kind)) for kind in seconds}
    for _ in range(6):  # in turns, the fastest of each; the first ones load the kernels
        for kind, (left, right) in pairs.items():
            started = time.perf_counter()
            torch.mm(left, right)
            seconds[kind] = min(seconds[kind], time.perf_counter() - started)
    return seconds[torch.float32] > _FASTER * seconds[torch.bfloat16]
