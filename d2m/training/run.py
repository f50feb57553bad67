"""Whether a run's folder may be gone on with: same settings, a whole checkpoint that fits; said in one sentence if not."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import yaml
from lightning import LightningModule, Trainer
from lightning.fabric.utilities.rank_zero import rank_zero_only
from lightning.pytorch.callbacks import LearningRateMonitor, TQDMProgressBar
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from lightning.pytorch.strategies import ModelParallelStrategy
from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn
from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method
from torch.utils import _pytree as pytree

from d2m.core.checkpoint import load_checkpoint, load_into, shipped_or_path
from d2m.core.errors import BadConfig, BadInput
from d2m.core.files import atomic_write, writable_folder
from d2m.core.registry import build_own
from d2m.models.conditioner import Condition, Conditioned
from d2m.models.device import has_bfloat16
from d2m.training.checkpointing import BestCheckpoint, LastCheckpoint, StepSeeds, StopRequest, WholeFileIO

FREE_SETTINGS = {"data.root", "data.in_memory", "data.workers"}
"""Settings of system and data that change nothing about the result, and may change between a run and its resumption."""


def plain(config: DictConfig) -> dict[str, Any]:
    """A config as the plain values that it has after being written as YAML and read again."""
    return yaml.safe_load(OmegaConf.to_yaml(config, resolve=True))


def differences(before: Mapping[str, Any], now: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Every setting of which two configs disagree, as `system.unet.factors was [1, 2], is [1, 4]`."""
    found = []
    for key in sorted(set(before) | set(now)):
        name, old, new = f"{prefix}{key}", before.get(key), now.get(key)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            found += differences(old, new, f"{name}.")
        elif old != new and name not in FREE_SETTINGS:
            found.append(f"{name} was {old}, is {new}")
    return found


def check_same_settings(out: Path, config: DictConfig) -> None:
    """Compare the config that `out` was made with to the present one; trainer, callbacks and logging may differ.

    Raises:
        BadInput: naming up to three settings of system, data or seed that differ, or when `config.yaml` cannot be read.
    """
    path = out / "config.yaml"
    if not path.exists():
        return
    try:
        before = plain(OmegaConf.load(path))  # pyright: ignore[reportArgumentType]
        now = plain(config)
        old, new = ({key: run.get(key) for key in ("system", "data", "seed")} for run in (before, now))
        found = differences(old, new)
    except (yaml.YAMLError, AttributeError, OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path}: not the config of a training run ({type(error).__name__}); {_WAYS_OUT}.") from error
    if found:
        more = f" and {len(found) - 3} more" if len(found) > 3 else ""
        raise BadInput(f"{out}: a run with other settings ({'; '.join(found[:3])}{more}); {_WAYS_OUT}.")


def check_fits(path: Path, system: nn.Module) -> None:
    """Check that a checkpoint is whole and has exactly the tensors of `system`.

    Raises:
        BadInput: when it is truncated, no training checkpoint, or of another configuration.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        state, _ = content["state_dict"], content["optimizer_states"]
    except Exception as error:  # torch's readers have many error types, its unpickler one of its own
        raise BadInput(
            f"{path}: damaged or no checkpoint of a training run ({type(error).__name__}: {_first_line(error)}); "
            f"put a whole one in its place, or {_WAYS_OUT}."
        ) from error
    found = misfits(state, system.state_dict())
    if found:
        more = f" and {len(found) - 2} more" if len(found) > 2 else ""
        raise BadInput(f"{path}: a checkpoint of another configuration ({'; '.join(found[:2])}{more}); {_WAYS_OUT}.")


def misfits(state: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> list[str]:
    """Tensors of a checkpoint that are missing, unexpected or of another shape, one phrase each."""
    found = [f"{name} is missing" for name in expected if name not in state]
    found += [f"{name} is unexpected" for name in state if name not in expected]
    for name in expected:
        if name in state and state[name].shape != expected[name].shape:
            found.append(f"{name} is {list(state[name].shape)}, expected {list(expected[name].shape)}")
    return found


def set_aside(folder: Path) -> Path | None:
    """Rename a folder of earlier checkpoints, so that a run started afresh overwrites none of them."""
    if not folder.is_dir() or not any(folder.iterdir()):
        return None
    number = 1
    while (aside := folder.with_name(f"{folder.name}.before-{number}")).exists():
        number += 1
    return folder.rename(aside)


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [""])[0][:120]


_WAYS_OUT = "go on with the old settings, name another out=, or start afresh with resume=false"


# Weights, gradients, moments and average shared out over the processes (`trainer.strategy=fsdp`), by PyTorch's FSDP2.


class ShardedStrategy(ModelParallelStrategy):
    """`fully_shard` of a system's conditioner and U-Net; checkpoints are single files, as of one process.

    Lightning's own `fsdp` is the older FSDP1: it flattens parameters, by which weight decay could no longer tell a matrix
    from a bias. FSDP2 keeps every parameter's shape, so that optimiser, gradient limit and average are those
    of one process.
    """

    def __init__(self, process_group_backend: str | None = None) -> None:
        super().__init__(
            tensor_parallel_size=1, save_distributed_checkpoint=False, process_group_backend=process_group_backend
        )

    def setup_environment(self) -> None:
        """All processes share the data; the module learns how it is sharded."""
        self._data_parallel_size = self.num_nodes * self.num_processes
        module: Any = self.lightning_module
        if not hasattr(module, "unet") or not hasattr(module, "conditioner"):
            raise BadConfig(f"trainer.strategy: {type(module).__name__} cannot be sharded; use trainer.strategy=ddp.")
        module.configure_model = self._shard
        super().setup_environment()

    def _shard(self) -> None:
        module: Any = self.lightning_module
        mesh = self.device_mesh["data_parallel"]
        for kind in (
            Condition,
            Conditioned,
        ):  # FSDP2 must find the tensors in them, to gather weights for the backward pass
            if kind not in pytree.SUPPORTED_NODES:
                pytree.register_dataclass(kind)
        # its null condition is a view of its weights: they stay gathered until the backward pass is over
        fully_shard(module.conditioner, mesh=mesh, reshard_after_forward=False)
        fully_shard(module.unet, mesh=mesh, reshard_after_forward=True)
        for method in ("read", "with_genre", "cfg_dropout", "uncond"):  # they use parameters as `forward` does
            register_fsdp_forward_method(module.conditioner, method)


# One training run: builds data, system, callbacks and trainer from the config, logs, checkpoints, resumes.


def fit(config: DictConfig) -> LightningModule:
    """Train `config.system` on `config.data`; everything it writes goes under `config.out`.

    Writes `config.yaml`, `checkpoints/last.ckpt` (the run goes on from it when started again with `resume=true`),
    `checkpoints/best.ckpt`, `csv/` and `tensorboard/`.

    Raises:
        BadInput, BadConfig: when the folder holds a run that cannot be gone on with, or something cannot be written.
    """
    out = Path(config.out)
    last = _last_checkpoint(out, config)
    data = build_own(config.data)
    data.setup("fit")
    system = _system(config, data)
    if last:
        check_fits(last, system)
        print(f"resuming from {last}")
    elif config.init_from:
        found = load_checkpoint(shipped_or_path(config.init_from))
        # an earlier system had no rhythm reader of its own: this one's comes from system.reader_weights
        own = {name: tensor for name, tensor in system.state_dict().items() if name.startswith("reader.")}
        load_into(system, replace(found, state={**own, **found.state}))
        print(f"starting from the weights of {config.init_from}")
    if rank_zero_only.rank == 0:
        with atomic_write(writable_folder(out) / "config.yaml") as temporary:
            OmegaConf.save(config, temporary, resolve=True)
    if config.compile:
        compile_network(system, OmegaConf.to_container(config.compile) if config.compile is not True else {})
    trainer = _trainer(config, out)
    trainer.fit(system, data, ckpt_path=str(last) if last else None, weights_only=True)
    return system


def compile_network(system: Any, options: Any) -> None:
    """`torch.compile` the U-Net in place: names in the state dict stay as they are.

    Raises:
        BadConfig: for a system without U-Net.
    """
    if not hasattr(system, "unet"):
        raise BadConfig(f"compile: {type(system).__name__} has no U-Net to compile; use compile=false.")
    system.unet.compile(**options)


def _last_checkpoint(out: Path, config: DictConfig) -> Path | None:
    """The checkpoint to go on from, or None; with `resume=false`, earlier checkpoints are set aside."""
    if config.resume:
        check_same_settings(out, config)
        last = out / "checkpoints" / "last.ckpt"
        return last if last.exists() else None
    aside = set_aside(out / "checkpoints") if rank_zero_only.rank == 0 else None
    if aside:
        print(f"starting afresh; the earlier checkpoints are now in {aside}")
    return None


def _system(config: DictConfig, data: Any) -> LightningModule:
    system = build_own(config.system)
    if hasattr(data, "fit_statistics_of"):  # normaliser and latent scale come from the training split
        data.fit_statistics_of(system)
    if hasattr(system, "config"):  # checkpoints carry what rebuilds the system
        parts = [name for name in ("system", "generator") if name in config]
        system.config = {name: OmegaConf.to_container(config[name], resolve=True) for name in parts} | data.made_with
    return system


def training_precision(config: DictConfig) -> str:
    """The precision asked for, or float32 where training is on a processor that has no bfloat16: emulated, it takes 8 times as
    long."""
    asked = str(config.trainer.get("precision", "32-true"))
    accelerator = config.trainer.get("accelerator", "auto")
    on_cpu = accelerator == "cpu" or (accelerator == "auto" and not torch.cuda.is_available())
    if not (asked.startswith("bf16") and on_cpu) or has_bfloat16():
        return asked
    if rank_zero_only.rank == 0:
        print(f"note: trainer.precision={asked}, but this processor has no bfloat16; training in float32.")
    return "32-true"


def _trainer(config: DictConfig, out: Path) -> Trainer:
    settings, folder = config.checkpoint, out / "checkpoints"
    callbacks: list[Any] = [StepSeeds(config.seed), LearningRateMonitor("step")]
    if config.trainer.get("enable_progress_bar", True):
        callbacks += [TQDMProgressBar(refresh_rate=20)]
    callbacks += [build_own(callback) for callback in config.get("callbacks", {}).values() if callback]
    callbacks += [LastCheckpoint(folder, settings.every_n_steps, StopRequest())]
    if settings.monitor and config.trainer.get("limit_val_batches") == 0:
        raise BadConfig(
            f"checkpoint.monitor: there will be no '{settings.monitor}', since trainer.limit_val_batches=0 validates nothing; "
            "use checkpoint.monitor=null."
        )
    if settings.monitor:
        callbacks += [BestCheckpoint(folder, settings.monitor, settings.mode)]
    loggers = [CSVLogger(out, name="csv", flush_logs_every_n_steps=1), TensorBoardLogger(out, name="tensorboard")]
    sharded = {"strategy": ShardedStrategy()} if config.trainer.get("strategy") == "fsdp" else {}
    return build_own(
        config.trainer,
        **sharded,
        precision=training_precision(config),
        callbacks=callbacks,
        logger=loggers,
        plugins=[WholeFileIO()],
        default_root_dir=str(out),
    )
