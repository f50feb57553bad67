"""One training run: builds data, system, callbacks and trainer from the config, logs, checkpoints, resumes."""

from pathlib import Path
from typing import Any

import hydra
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import LearningRateMonitor, ModelCheckpoint, TQDMProgressBar
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from omegaconf import DictConfig, OmegaConf

from d2m.files import writable_folder, written_whole


def fit(config: DictConfig) -> LightningModule:
    """Train `config.system` on `config.data`; everything it writes goes under `config.out`.

    Writes `config.yaml`, `checkpoints/last.ckpt` (the run goes on from it when started again with `resume=true`),
    `csv/` and `tensorboard/`.
    """
    data = hydra.utils.instantiate(config.data, _convert_="all")
    data.setup("fit")
    out = writable_folder(config.out)
    with written_whole(out / "config.yaml") as temporary:
        OmegaConf.save(config, temporary, resolve=True)
    system = hydra.utils.instantiate(config.system, _convert_="all")
    if hasattr(data, "fit_statistics_of"):  # normaliser and latent scale come from the training split
        data.fit_statistics_of(system)
    if hasattr(system, "config"):  # checkpoints carry what rebuilds the system
        system.config = {"system": OmegaConf.to_container(config.system, resolve=True), "dmae": data.dmae}
    checkpoints = ModelCheckpoint(out / "checkpoints", save_last=True, every_n_train_steps=500, save_on_exception=True)
    callbacks: list[Any] = [checkpoints, TQDMProgressBar(refresh_rate=20), LearningRateMonitor("step")]
    callbacks += [hydra.utils.instantiate(callback) for callback in config.get("callbacks", {}).values()]
    loggers = [CSVLogger(out, name="csv"), TensorBoardLogger(out, name="tensorboard")]
    trainer: Trainer = hydra.utils.instantiate(
        config.trainer, callbacks=callbacks, logger=loggers, default_root_dir=str(out)
    )
    last = out / "checkpoints" / "last.ckpt"
    resume = str(last) if config.resume and last.exists() else None
    if resume:
        print(f"resuming from {Path(resume)}")
    trainer.fit(system, data, ckpt_path=resume, weights_only=True)
    return system
