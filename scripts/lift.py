"""A data set as a camera would have seen it: `python scripts/lift.py root=data/procedural` (see configs/lift.yaml)."""

from pathlib import Path

import hydra
from omegaconf import DictConfig

from d2m.core.errors import require_settings, user_errors_exit
from d2m.core.registry import build_own
from d2m.data.camera_copies import add_lifted_copies, write_lifted
from d2m.data.layout import DataSetLayout


@hydra.main(version_base="1.3", config_path="../configs", config_name="lift")
@user_errors_exit()
def main(config: DictConfig) -> None:
    """Write lifted dances beside or into the data set."""
    require_settings(config, {"root": "data set to lift"}, "scripts/lift.py root=DIR [split=val out=DIR]")
    layout, noise = DataSetLayout(Path(config.root)), build_own(config.noise)
    if config.out:
        made = write_lifted(layout, layout.names(config.split), Path(config.out), noise, config.seed, config.processes)
        print(f"{made} dances lifted into {config.out}")
    else:
        split = add_lifted_copies(layout, config.split, config.dmae_name, noise, config.seed, config.processes)
        print(f"lifted copies are in {layout.root}; train on them with data.train_split={split}")


if __name__ == "__main__":
    main()
