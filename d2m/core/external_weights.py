"""Weights files that others wrote: read without running them, brought to our names, checked against a module.

Safetensors files and torch files (`.pt`, `.pth`, `.ckpt`, `.bin`) are read; a torch file's pickle may hold tensors only.
"""

import pickle
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from d2m.core.errors import BadConfig, BadInput

TORCH_SUFFIXES = (".pt", ".pth", ".ckpt", ".bin")
WRAPPERS = ("state_dict", "model_state_dict", "model")
"""Keys under which training scripts put the state dict when they save more than it."""

WRAPPER_PREFIXES = ("module.", "_orig_mod.", "model.")
"""What DataParallel, torch.compile and a wrapping class put before every name."""


def read_tensors(path: str | Path) -> dict[str, Tensor]:
    """The state dict in a safetensors or torch file, on the CPU.

    Raises:
        BadConfig: when there is no such file.
        BadInput: when it is neither, or holds anything but tensors.
    """
    path = Path(path)
    if not path.is_file():
        raise BadConfig(f"{path}: no such file, expected weights (.safetensors, {', '.join(TORCH_SUFFIXES)}).")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise BadInput(
            f"{path}: refused, the file holds more than tensors ({_short(error)}), expected a state dict; save "
            "`model.state_dict()` instead of the model."
        ) from error
    except (SafetensorError, RuntimeError, ValueError, OSError, EOFError, KeyError) as error:
        raise BadInput(
            f"{path}: cannot be read as weights ({_short(error)}), expected a .safetensors or torch file; get it again."
        ) from error
    return _unwrapped(content, path)


def without_prefixes(state: Mapping[str, Tensor], prefixes: Sequence[str] = WRAPPER_PREFIXES) -> dict[str, Tensor]:
    """The same tensors without what a wrapper put before all of their names."""
    found = dict(state)
    while found and (common := next((p for p in prefixes if all(k.startswith(p) for k in found)), None)):
        found = {key.removeprefix(common): tensor for key, tensor in found.items()}
    return found


def renamed(state: Mapping[str, Tensor], rename: Mapping[str, str]) -> dict[str, Tensor]:
    """The same tensors, each name that starts with a key of `rename` starting with its value instead (the longest wins)."""
    olds = sorted(rename, key=len, reverse=True)
    result = {}
    for key, tensor in state.items():
        old = next((old for old in olds if key.startswith(old)), None)
        result[key if old is None else rename[old] + key.removeprefix(old)] = tensor
    return result


def copies_folded(state: Mapping[str, Tensor], kept: str, copies: Sequence[str], path: str | Path) -> dict[str, Tensor]:
    """Each weight once, under the prefix `kept`, where a file may hold it under `kept` and any of `copies` besides.

    Raises:
        BadInput: when copies of a weight differ, so that nobody can say which one is meant.
    """
    result = {key: tensor for key, tensor in state.items() if not key.startswith(tuple(copies))}
    differing: list[str] = []
    for copy in copies:
        for key, tensor in state.items():
            if key.startswith(copy):
                first = result.setdefault(kept + key.removeprefix(copy), tensor)
                if not _same(first, tensor):
                    differing.append(key)
    if differing:
        raise BadInput(
            f"{path}: {len(differing)} weights differ from their copies under '{kept}' ({_some(differing)}), expected equal "
            "copies; remove all copies but the one that you mean."
        )
    return result


@dataclass(frozen=True)
class Mismatch:
    """How a state dict differs from the one expected; all empty: not at all."""

    missing: list[str]
    unexpected: list[str]
    reshaped: list[str]

    @staticmethod
    def between(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> "Mismatch":
        """Compare names and shapes."""
        return Mismatch(
            [key for key in expected if key not in found],
            [key for key in found if key not in expected],
            [
                f"{key} is {list(found[key].shape)} instead of {list(tensor.shape)}"
                for key, tensor in expected.items()
                if key in found and found[key].shape != tensor.shape
            ],
        )

    def without(self, tolerated: Callable[[str], bool]) -> "Mismatch":
        """The same, missing and unexpected names left out that `tolerated` allows."""
        missing, unexpected = ([k for k in keys if not tolerated(k)] for keys in (self.missing, self.unexpected))
        return Mismatch(missing, unexpected, self.reshaped)

    def __bool__(self) -> bool:
        return bool(self.missing or self.unexpected or self.reshaped)

    def refuse(self, path: str | Path, wanted: str, advice: str) -> None:
        """Say in one sentence what is missing, unexpected and of another shape, where anything is.

        Raises:
            BadInput: unless the mismatch is empty.
        """
        named = (("missing", self.missing), ("unexpected", self.unexpected), ("of another shape", self.reshaped))
        parts = [f"{len(keys)} {title} ({_some(keys)})" for title, keys in named if keys]
        if parts:
            raise BadInput(f"{path}: expected the weights of {wanted}, found {', '.join(parts)}; {advice}.")


def _unwrapped(content: Any, path: Path) -> dict[str, Tensor]:
    for wrapper in WRAPPERS:
        if isinstance(content, dict) and isinstance(content.get(wrapper), dict):
            content = content[wrapper]
    if not isinstance(content, dict) or not content or not all(isinstance(v, Tensor) for v in content.values()):
        raise BadInput(
            f"{path}: found {_described(content)}, expected a state dict (names and tensors); save `model.state_dict()`."
        )
    return dict(content)


def _described(content: Any) -> str:
    if not isinstance(content, dict):
        return f"a {type(content).__name__}"
    others = [f"{key!s} ({type(value).__name__})" for key, value in content.items() if not isinstance(value, Tensor)]
    return f"a dict with {_some(others)}" if others else "an empty dict"


def _same(one: Tensor, other: Tensor) -> bool:
    shared = one.data_ptr() == other.data_ptr() and one.numel() > 0 and one.shape == other.shape
    return (shared and one.stride() == other.stride()) or torch.equal(one, other)


def _some(names: Sequence[str], number: int = 3) -> str:
    return ", ".join(names[:number]) + (", …" if len(names) > number else "")


def _short(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:100]}"
