"""Commands around training: train, train_codec, train_genre, export, import_weights."""

import sys
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from d2m.core.errors import BadConfig, require_settings
from d2m.core.files import writable_folder


def train(config: DictConfig) -> None:
    """Build what the config names and fit it, from the last checkpoint where there is one: `d2m train experiment=demo`."""
    import torch
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode
    from lightning import seed_everything

    from d2m.training.run import fit

    run = HydraConfig.get()
    if run.mode == RunMode.MULTIRUN:  # runs of a sweep must not share a folder
        config.out = f"{config.out}/{run.job.num}"
    seed_everything(config.seed, workers=True, verbose=False)
    if config.threads:
        torch.set_num_threads(config.threads)
    fit(config)


def train_codec(config: DictConfig) -> None:
    """Fit codebooks over an autoencoder's latents, write them, print the variance that each leaves."""
    import torch

    from d2m.data import encode

    if config.threads:
        torch.set_num_threads(config.threads)
    left = encode.train_codec(
        config.root, config.out, config.name, config.dmae, config.split, config.codebooks, config.codebook_size,
        config.frames, config.iterations, config.seed,
    )  # fmt: skip
    print("variance left after each codebook: " + ", ".join(f"{share:.1%}" for share in left))
    print(f"written: {config.out}")


def train_genre(config: DictConfig) -> None:
    """Train the evaluation's genre classifier on reference audio, print the accuracy of every split, write the weights."""
    require_settings(
        config,
        {"root": "data set or folder of wavs", "out": "FILE.safetensors"},
        "python scripts/train_genre.py root=data/procedural out=outputs/genre.safetensors",
    )
    import torch

    from d2m.evaluation.genre_classifier import (
        GenreTraining,
        examples_of_data_set,
        examples_of_table,
        log_mels,
        save_genre_classifier,
        train_genre_classifier,
    )

    root, out = Path(config.root), Path(config.out)
    if out.suffix != ".safetensors":
        raise BadConfig(f"out={out}: expected a file that ends in .safetensors.")
    writable_folder(out.parent)
    torch.set_num_threads(config.threads)
    examples = examples_of_table(root, Path(config.labels)) if config.labels else examples_of_data_set(root)
    mels, failed = log_mels(examples, writable_folder(config.cache))
    classifier = train_genre_classifier(examples, mels, GenreTraining(**config.training))
    for sentence in failed.values():
        print(f"left out: {sentence}", file=sys.stderr)
    for split, accuracy in classifier.accuracy.items():
        clips = sum(example.split == split and example.name in mels for example in examples)
        print(f"{split:8} {accuracy:.3f} of {clips} clips")
    save_genre_classifier(classifier, out, note=f"trained on {root.name}")
    print(f"wrote {out} ({out.stat().st_size} bytes)")


def export(config: DictConfig) -> None:
    """Write the (averaged) weights of a run's last checkpoint in half precision, with the config that rebuilds their module.

    With `layout=published`, `out` is a folder for `unet.pt` and `encoder.pt` in the published system's layout.
    """
    import torch

    from d2m.audio.pretrained import folded
    from d2m.core.checkpoint import averaged_weights, load_checkpoint, own_weights, save_checkpoint, shipped_or_path
    from d2m.models.published_weights import export_published

    require_settings(
        config, {"run": "a training run's folder", "out": "the file to write"}, "scripts/export.py run=DIR out=FILE"
    )
    if config.layout not in ("d2m", "published"):
        raise BadConfig(f"layout={config.layout}: unknown; expected d2m (one file) or published (a folder).")
    last = Path(config.run) / "checkpoints" / "last.ckpt"
    if not last.exists():
        raise BadConfig(f"{last}: not found, expected the checkpoint of a training run; name the run's folder.")
    if config.layout == "published":
        print("wrote " + ", ".join(map(str, export_published(last, config.out))))
        return
    system: dict[str, Any] = dict(OmegaConf.load(Path(config.run) / "config.yaml").system)
    content = torch.load(last, map_location="cpu", weights_only=True)
    if "dmae" in system:
        state = {k.removeprefix("dmae."): v for k, v in averaged_weights(content).items() if k.startswith("dmae.")}
        described: dict[str, Any] = OmegaConf.to_container(system["dmae"], resolve=True)  # pyright: ignore
        if described["_target_"].endswith("load_dmae"):  # a run that went on from an exported autoencoder
            described = load_checkpoint(shipped_or_path(described["name_or_path"], prefix="dmae_")).config
        save_checkpoint(Path(config.out), folded(state), described)
    else:
        save_checkpoint(Path(config.out), own_weights(content), content["config"])
    print(f"wrote {config.out} ({Path(config.out).stat().st_size / 1e6:.1f} MB)")


def import_weights(config: DictConfig) -> None:
    """Build the system, fill it with the published files' weights, write it with its configuration.

    The fingerprint of an autoencoder that is on this computer is noted with it, as training does.
    """
    from d2m.core.checkpoint import WEIGHTS, build, save_checkpoint

    require_settings(
        config,
        {
            "unet": "the published U-Net's state dict",
            "encoder": "the published motion encoder's state dict",
            "out": "the file to write",
        },
        "python scripts/import_weights.py unet=FILE encoder=FILE out=FILE",
    )
    import torch

    from d2m.audio.pretrained import load_dmae, weights_sha256
    from d2m.models.published_weights import load_published

    out = Path(config.out)
    if out.suffix != ".safetensors":
        raise BadConfig(f"out={out}: expected a name that ends in .safetensors.")
    described: dict[str, Any] = OmegaConf.to_container(config.system, resolve=True)  # pyright: ignore
    system = build(described, out)
    rename: dict[str, str] = OmegaConf.to_container(config.rename) if config.rename else {}  # pyright: ignore
    load_published(system, config.unet, config.encoder, rename)
    system.conditioner.prepare()
    weights = str(config.dmae.weights)
    noted = {"system": described, "dmae": str(Path(weights).resolve()) if Path(weights).exists() else config.dmae.name}
    if Path(weights).exists() or (WEIGHTS / f"dmae_{weights}.safetensors").exists():  # nothing is fetched to be noted
        dmae = load_dmae(weights, OmegaConf.to_container(config.dmae.architecture, resolve=True))  # pyright: ignore
        noted["dmae_sha256"] = weights_sha256(dmae)
    save_checkpoint(out, system.state_dict(), noted, torch.float16 if config.half else torch.float32)
    print(f"wrote {out} ({out.stat().st_size / 1e6:.1f} MB)")
