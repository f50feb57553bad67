"""One training run: builds data, system, callbacks and trainer from the config, logs, checkpoints, resumes."""

from pathlib import Path
from typing import Any

import hydra
from lightning import LightningModule, Trainer
from lightning.fabric.utilities.rank_zero import rank_zero_only
from lightning.pytorch.callbacks import LearningRateMonitor, TQDMProgressBar
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from omegaconf import DictConfig, OmegaConf

from d2m.checkpoint import load_checkpoint, load_into, shipped_or_path
from d2m.errors import BadConfig
from d2m.files import writable_folder, written_whole
from d2m.training.checkpoints import BestCheckpoint, LastCheckpoint, WholeFileIO
from d2m.training.random_state import StepSeeds
from d2m.training.resume import check_fits, check_same_settings, set_aside
from d2m.training.sharding import ShardedStrategy
from d2m.training.stopping import StopRequest


def fit(config: DictConfig) -> LightningModule:
    """Train `config.system` on `config.data`; everything it writes goes under `config.out`.

    Writes `config.yaml`, `checkpoints/last.ckpt` (the run goes on from it when started again with `resume=true`),
    `checkpoints/best.ckpt`, `csv/` and `tensorboard/`.

    Raises:
        BadInput, BadConfig: when the folder holds a run that cannot be gone on with, or something cannot be written.
    """
    out = Path(config.out)
    last = _last_checkpoint(out, config)
    data = hydra.utils.instantiate(config.data, _convert_="all")
    data.setup("fit")
    system = _system(config, data)
    if last:
        check_fits(last, system)
        print(f"resuming from {last}")
    elif config.init_from:
        load_into(system, load_checkpoint(shipped_or_path(config.init_from)))
        print(f"starting from the weights of {config.init_from}")
    if rank_zero_only.rank == 0:
        with written_whole(writable_folder(out) / "config.yaml") as temporary:
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
    system = hydra.utils.instantiate(config.system, _convert_="all")
    if hasattr(data, "fit_statistics_of"):  # normaliser and latent scale come from the training split
        data.fit_statistics_of(system)
    if hasattr(system, "config"):  # checkpoints carry what rebuilds the system
        system.config = {"system": OmegaConf.to_container(config.system, resolve=True), **data.made_with}
    return system


def _trainer(config: DictConfig, out: Path) -> Trainer:
    settings, folder = config.checkpoint, out / "checkpoints"
    callbacks: list[Any] = [StepSeeds(config.seed), LearningRateMonitor("step")]
    if config.trainer.get("enable_progress_bar", True):
        callbacks += [TQDMProgressBar(refresh_rate=20)]
    callbacks += [hydra.utils.instantiate(callback) for callback in config.get("callbacks", {}).values()]
    callbacks += [LastCheckpoint(folder, settings.every_n_steps, StopRequest())]
    if settings.monitor:
        callbacks += [BestCheckpoint(folder, settings.monitor, settings.mode)]
    loggers = [CSVLogger(out, name="csv", flush_logs_every_n_steps=1), TensorBoardLogger(out, name="tensorboard")]
    sharded = {"strategy": ShardedStrategy()} if config.trainer.get("strategy") == "fsdp" else {}
    return hydra.utils.instantiate(
        config.trainer,
        **sharded,
        callbacks=callbacks,
        logger=loggers,
        plugins=[WholeFileIO()],
        default_root_dir=str(out),
    )
