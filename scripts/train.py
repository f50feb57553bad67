"""Train: `python scripts/train.py experiment=demo` (see configs/experiment/ for the others)."""

import hydra
import torch
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from lightning import seed_everything
from omegaconf import DictConfig

from d2m.core.errors import user_errors_exit
from d2m.training.run import fit


@hydra.main(version_base="1.3", config_path="../configs", config_name="train")
def main(config: DictConfig) -> None:
    """Build what the config names and fit it, from the last checkpoint where there is one."""
    with user_errors_exit():
        run = HydraConfig.get()
        if run.mode == RunMode.MULTIRUN:  # runs of a sweep must not share a folder
            config.out = f"{config.out}/{run.job.num}"
        seed_everything(config.seed, workers=True, verbose=False)
        if config.threads:
            torch.set_num_threads(config.threads)
        fit(config)


if __name__ == "__main__":
    main()
