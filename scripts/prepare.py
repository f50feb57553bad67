"""Prepare a data set: `python scripts/prepare.py dataset=procedural out=data/procedural`, or AIST++ from your downloads:
`python scripts/prepare.py dataset=aistpp annotations=DIR videos=DIR out=data/aistpp`.
"""

from pathlib import Path

import hydra
from omegaconf import DictConfig

from d2m.core.errors import user_errors_exit
from d2m.core.files import writable_folder
from d2m.core.registry import build_own


@hydra.main(version_base="1.3", config_path="../configs", config_name="prepare")
@user_errors_exit()
def main(config: DictConfig) -> None:
    """Make what is missing of the data set; a second run finds everything made."""
    out = writable_folder(config.out)
    build_own(config.dataset.prepare, root=Path(out), splits=list(config.dataset.splits))
    print(f"data set '{config.dataset.name}' is ready in {out}")


if __name__ == "__main__":
    main()
