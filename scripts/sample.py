"""Music for dances: `python scripts/sample.py checkpoint=demo dance=FILE|FOLDER|GLOB out=DIR`."""

import sys
from pathlib import Path
from typing import Any

import hydra
import torch
from omegaconf import DictConfig, OmegaConf

from d2m.core.aist_names import GENRES
from d2m.core.errors import BadConfig, require_settings, user_errors_exit
from d2m.core.files import writable_folder
from d2m.motion.dance import list_dances
from d2m.pipeline import Dance2Music, generate_all

NOT_SETTINGS = (
    "checkpoint",
    "dance",
    "out",
    "genre",
    "seed",
    "autoencoder",
    "threads",
    "device",
    "precision",
    "compile",
)
USAGE = "python scripts/sample.py dance=FILE|FOLDER|GLOB out=DIR"


@hydra.main(version_base="1.3", config_path="../configs", config_name="sample")
@user_errors_exit()
def main(config: DictConfig) -> None:
    """Make music for every dance that `dance=` names."""
    require_settings(config, {"dance": "a dance file, folder or glob", "out": "the folder for the music"}, USAGE)
    if config.threads:
        torch.set_num_threads(config.threads)
    if config.genre is not None and config.genre not in GENRES:
        raise BadConfig(f"genre={config.genre}: unknown; expected one of {', '.join(GENRES)}.")
    paths = list_dances(config.dance)
    model = Dance2Music.load(config.checkpoint, config.autoencoder, config.device, config.precision, config.compile)
    out = writable_folder(config.out)
    asked: Any = OmegaConf.to_container(config, resolve=True)
    settings = {key: value for key, value in asked.items() if key not in NOT_SETTINGS and value is not None}
    result = generate_all(model, paths, Path(out), config.seed, config.genre, **settings)
    print(f"{len(result.wavs)} of {len(paths)} dances have music in {out}")
    for sentence in result.failed.values():
        print(f"error: {sentence}", file=sys.stderr)
    if result.failed:
        sys.exit(2)


if __name__ == "__main__":
    main()
