"""Shards for streaming: `python scripts/shard.py root=data/procedural dmae=demo` (train with data.streaming=true)."""

from pathlib import Path

import hydra
from omegaconf import DictConfig

from d2m.core.errors import user_errors_exit
from d2m.data.layout import DataSetLayout
from d2m.data.streaming import write_shards


@hydra.main(version_base="1.3", config_path="../configs", config_name="shard")
@user_errors_exit()
def main(config: DictConfig) -> None:
    """Write a split's encoded sequences as tar files; a second run makes what is missing."""
    layout = DataSetLayout(Path(config.root))
    folder = Path(config.out or layout.root / "shards" / config.dmae.name / config.split)
    summary = write_shards(layout, config.split, config.dmae.name, folder, config.per_shard, config.seed)
    print(f"{folder}: {summary.made} shards written, {summary.found} were there already, {summary.sequences} sequences")
    for sentence in [summary.left_out, *summary.failed]:
        if sentence:
            print(f"  {sentence}")


if __name__ == "__main__":
    main()
