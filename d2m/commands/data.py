"""Commands that make and encode data sets: prepare, encode, shard, lift."""

from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from d2m.core.errors import BadInput, require_settings
from d2m.core.files import writable_folder
from d2m.core.registry import build_own


def prepare(config: DictConfig) -> None:
    """Make a data set, or bring one into AIST++'s layout; a second run finds everything made.

    `d2m prepare dataset=procedural out=data/procedural`, or from your own downloads
    `d2m prepare dataset=aistpp annotations=DIR videos=DIR out=data/aistpp`.
    """
    out = writable_folder(config.out)
    build_own(config.dataset.prepare, root=Path(out), splits=list(config.dataset.splits))
    print(f"data set '{config.dataset.name}' is ready in {out}")


_MAX_SENTENCES = 50


def encode(config: DictConfig) -> None:
    """Encode every split that the data set has: `d2m encode dataset=procedural dmae=demo`, or `codec=demo` for tokens."""
    import torch
    from lightning import Trainer

    from d2m.audio.codec import load_codec
    from d2m.audio.pretrained import load_dmae
    from d2m.data.encode import encode_latents, encode_tokens
    from d2m.data.layout import DataSetLayout

    if config.threads:
        torch.set_num_threads(config.threads)
    layout = DataSetLayout(Path(config.root))
    splits = [split for split in config.dataset.splits if layout.split_file(split).exists()] or ["train"]
    names = sorted({name for split in splits for name in layout.names(split)})
    made = layout.token_folder(config.codec.name) if config.codec.name else layout.latent_folder(config.dmae.name)
    if (hint := layout.music_hint()) and not made.exists():
        raise BadInput(f"{layout.root}: {hint}encode again.")
    trainer: Trainer = build_own(config.trainer)
    if config.codec.name:
        source, bandwidth = config.codec.source, config.codec.bandwidth
        codec = load_codec(source, bandwidth)
        codec.name = config.codec.name  # what its tokens are filed under
        summary = encode_tokens(layout, names, codec, source, bandwidth, trainer, config.workers)
    else:
        architecture: Any = OmegaConf.to_container(config.dmae.architecture, resolve=True)
        dmae = load_dmae(config.dmae.weights, architecture)
        dmae.name = config.dmae.name  # what its latents are filed under
        summary = encode_latents(layout, names, dmae, trainer, config.batch_size, config.workers)
    if trainer.is_global_zero:
        counts = f"{summary.made} sequences encoded, {summary.found} were there already"
        print(f"{counts}, {len(summary.failed)} could not be encoded")
        for sentence in list(summary.failed.values())[:_MAX_SENTENCES]:
            print(f"  {sentence}")


def shard(config: DictConfig) -> None:
    """Write a split's encoded sequences as tar files (`data.streaming=true` reads them); a second run makes what is missing."""
    from d2m.data.layout import DataSetLayout
    from d2m.data.streaming import write_shards

    layout = DataSetLayout(Path(config.root))
    folder = Path(config.out or layout.root / "shards" / config.dmae.name / config.split)
    summary = write_shards(layout, config.split, config.dmae.name, folder, config.per_shard, config.seed)
    print(f"{folder}: {summary.made} shards written, {summary.found} were there already, {summary.sequences} sequences")
    for sentence in [summary.left_out, *summary.failed]:
        if sentence:
            print(f"  {sentence}")


def lift(config: DictConfig) -> None:
    """Write a data set as a camera would have seen it, beside or into it: `d2m lift root=data/procedural`.

    Or any folder of motions, from the front or the side: `d2m lift motions=DIR camera=side out=DIR`.
    """
    from d2m.data.camera_copies import add_camera_copies, write_camera_copies
    from d2m.data.layout import DataSetLayout
    from d2m.motion.dance import list_dances

    example = "scripts/lift.py root=DIR [split=val out=DIR], or motions=DIR out=DIR"
    noise, whole = build_own(config.noise), config.motions is not None
    require_settings(config, {"out": "folder"} if whole else {"root": "data set to lift"}, example)
    layout = DataSetLayout(Path(config.motions if whole else config.root))
    if config.out:
        paths = list_dances(layout.root) if whole else [layout.motion(name) for name in layout.names(config.split)]
        made = write_camera_copies(paths, Path(config.out), noise, config.seed, config.processes, config.camera)
        print(f"{made} dances lifted into {config.out}, seen from the {config.camera}")
    else:
        split = add_camera_copies(layout, config.split, config.dmae_name, noise, config.seed, config.processes)
        print(f"lifted copies are in {layout.root}; train on them with data.train_split={split}")
