"""Encode a data set's music: `python scripts/encode.py dataset=procedural dmae=demo`, or with `codec=demo` into tokens."""

from pathlib import Path

import hydra
import torch
from lightning import Trainer
from omegaconf import DictConfig, OmegaConf

from d2m.audio.codec import load_codec
from d2m.audio.pretrained import load_dmae
from d2m.core.errors import user_errors_exit
from d2m.core.registry import build_own
from d2m.data.encode import EncodingSummary, encode_with_trainer
from d2m.data.encode_tokens import encode_tokens
from d2m.data.layout import DataSetLayout

MAX_SENTENCES = 50


@hydra.main(version_base="1.3", config_path="../configs", config_name="encode")
@user_errors_exit()
def main(config: DictConfig) -> None:
    """Encode every split that the data set has."""
    if config.threads:
        torch.set_num_threads(config.threads)
    layout = DataSetLayout(Path(config.root))
    splits = [split for split in config.dataset.splits if layout.split_file(split).exists()] or ["train"]
    names = sorted({name for split in splits for name in layout.names(split)})
    if config.codec.name:
        codec = load_codec(config.codec.source, config.codec.bandwidth)
        codec.name = config.codec.name  # what its tokens are filed under
        codec.to("cuda" if torch.cuda.is_available() else "cpu")
        report(encode_tokens(layout, names, codec, config.codec.source, config.codec.bandwidth, config.workers))
        return
    dmae = load_dmae(config.dmae.weights, OmegaConf.to_container(config.dmae.architecture, resolve=True))
    dmae.name = config.dmae.name  # what its latents are filed under
    trainer: Trainer = build_own(config.trainer)
    summary = encode_with_trainer(layout, names, dmae, trainer, config.batch_size, config.workers)
    if trainer.is_global_zero:
        report(summary)


def report(summary: EncodingSummary) -> None:
    """Print the counts, and why a sequence was left out."""
    print(
        f"{summary.made} sequences encoded, {summary.found} were there already, {len(summary.failed)} could not be encoded"
    )
    for sentence in list(summary.failed.values())[:MAX_SENTENCES]:
        print(f"  {sentence}")
    if len(summary.failed) > MAX_SENTENCES:
        print(f"  and {len(summary.failed) - MAX_SENTENCES} more")


if __name__ == "__main__":
    main()
