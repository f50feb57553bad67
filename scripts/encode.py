"""Encode a data set's music: `python scripts/encode.py dataset=procedural dmae=demo`."""

from pathlib import Path

import hydra
import torch
from omegaconf import DictConfig

from d2m.audio.dmae_weights import load_dmae
from d2m.console import user_errors_exit
from d2m.data.encoding import encode_data_set
from d2m.data.layout import DataSetLayout


@hydra.main(version_base="1.3", config_path="../configs", config_name="encode")
@user_errors_exit()
def main(config: DictConfig) -> None:
    """Encode every split that the data set has."""
    if config.threads:
        torch.set_num_threads(config.threads)
    layout = DataSetLayout(Path(config.root))
    splits = [split for split in config.dataset.splits if layout.split_file(split).exists()] or ["train"]
    names = sorted({name for split in splits for name in layout.names(split)})
    summary = encode_data_set(layout, names, load_dmae(config.dmae.weights))
    print(
        f"{summary.made} sequences encoded, {summary.found} were there already, {len(summary.failed)} could not be read"
    )
    for sentence in summary.failed.values():
        print(f"  {sentence}")


if __name__ == "__main__":
    main()
