"""What ships and what is loaded: safetensors files that carry their config, and `.ckpt` files of a training run.

A checkpoint names the classes that it is built of; only those of `d2m.core.registry` are built, so that a file from the
internet can not run anything else.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from d2m.core import registry
from d2m.core.errors import BadConfig, BadInput
from d2m.core.files import atomic_write

WEIGHTS = Path(__file__).parents[1] / "weights"
"""Weights that ship inside the package."""


@dataclass(frozen=True)
class Checkpoint:
    """Tensors with the config of the module that they belong to.

    Args:
        state: tensors by name.
        config: `_target_` config of the module, and whatever else the writer noted.
        path: where it was read.
        sha256: of the file.
    """

    state: dict[str, Tensor]
    config: dict[str, Any]
    path: Path
    sha256: str


def shipped_or_path(name: str | Path, prefix: str = "") -> Path:
    """Path of a shipped checkpoint (`demo`) or the path itself.

    Raises:
        BadConfig: when neither exists.
    """
    shipped = WEIGHTS / f"{prefix}{name}.safetensors"
    if shipped.exists():
        return shipped
    path = Path(name)
    if path.is_file():
        return path
    names = sorted(p.stem.removeprefix(prefix) for p in WEIGHTS.glob(f"{prefix}*.safetensors"))
    if not prefix:
        names = [n for n in names if not n.startswith(("dmae_", "codec_"))]
    raise BadConfig(
        f"{name}: no such checkpoint; give a path to a .safetensors or .ckpt file, or one of {', '.join(names)}."
    )


def save_checkpoint(
    path: Path, state: dict[str, Tensor], config: dict[str, Any], dtype: torch.dtype = torch.float16
) -> Path:
    """Write tensors (floating ones as `dtype`) and config into one safetensors file, whole or not at all."""
    tensors = {k: (v.to(dtype) if v.is_floating_point() else v).contiguous().clone() for k, v in state.items()}
    with atomic_write(path) as temporary:
        save_file(tensors, temporary, metadata={"config": json.dumps(config)})
    return path


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a safetensors file that `save_checkpoint` wrote, or a `.ckpt` of a training run (with its EMA weights).

    Raises:
        BadInput: when the file is neither.
    """
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    try:
        if path.suffix == ".ckpt":
            content = torch.load(path, map_location="cpu", weights_only=True)
            return Checkpoint(own_weights(content), content["config"], path, digest)
        with safe_open(path, framework="pt") as file:
            config = json.loads((file.metadata() or {})["config"])
            state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a dict
            return Checkpoint(
                {k: v.float() if v.is_floating_point() else v for k, v in state.items()}, config, path, digest
            )
    except (SafetensorError, KeyError, ValueError, OSError, RuntimeError, EOFError) as error:
        raise BadInput(
            f"{path}: not a d2m checkpoint ({type(error).__name__}: {str(error)[:120]}); "
            "expected a .safetensors or .ckpt file that d2m wrote."
        ) from error
    except Exception as error:  # a .ckpt that asks for classes: torch's unpickler has its own error type
        raise BadInput(f"{path}: refused, the file is no plain d2m checkpoint ({type(error).__name__}).") from error


def averaged_weights(checkpoint: Mapping[str, Any]) -> dict[str, Tensor]:
    """The state dict of a training run's checkpoint, with the averaged (EMA) weights where there are some."""
    average = checkpoint.get("callbacks", {}).get("EMA", {}).get("average", {})
    return {**checkpoint["state_dict"], **average}


def own_weights(checkpoint: Mapping[str, Any]) -> dict[str, Tensor]:
    """The averaged weights of the module that the checkpoint's config builds, where it was trained inside another."""
    under = checkpoint["config"].get("weights_under", "")
    return {k.removeprefix(under): v for k, v in averaged_weights(checkpoint).items() if k.startswith(under)}


def build(config: Any, path: Path, wanted: str = "a system, an autoencoder or a codec") -> Any:
    """Build a checkpoint's config of what `d2m.core.registry` allows it to name.

    Raises:
        BadInput: when it names something else, or does not fit this version.
        BadConfig: when a package that it needs cannot be imported.
    """
    if not isinstance(config, Mapping) or "_target_" not in config:
        raise BadInput(f"{path}: names no class to build, expected the file of {wanted}; name another file.")
    try:
        found = registry.build(config, str(path))
    except BadInput:
        raise
    except ImportError as error:
        raise BadConfig(
            f"{path}: needs '{error.name or error}', which cannot be imported ({error}); install it, then try again."
        ) from error
    except Exception as error:
        raise BadInput(f"{path}: the checkpoint's configuration does not fit this version of d2m ({error}).") from error
    if not isinstance(found, nn.Module):
        raise BadInput(f"{path}: describes a {type(found).__name__}, expected {wanted}; name another file.")
    return found


def load_into(module: nn.Module, checkpoint: Checkpoint) -> None:
    """Load a checkpoint's tensors, all of them, into `module`.

    Raises:
        BadInput: when names or shapes differ: a checkpoint of another configuration.
    """
    try:
        module.load_state_dict(checkpoint.state)
    except RuntimeError as error:
        first = str(error).replace("\n", " ").replace("\t", "")[:300]
        raise BadInput(f"{checkpoint.path}: a checkpoint of another configuration ({first}).") from error
