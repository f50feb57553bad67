"""Train the evaluation's genre classifier on reference audio: `python scripts/train_genre.py root=DATA out=FILE`."""

import sys
from pathlib import Path

import hydra
from omegaconf import DictConfig

from d2m.core.errors import BadConfig, require_settings, user_errors_exit
from d2m.core.files import writable_folder

MEANINGS = {"root": "data set or folder of wavs", "out": "FILE.safetensors"}
USAGE = "python scripts/train_genre.py root=data/procedural out=outputs/genre.safetensors"


@hydra.main(version_base="1.3", config_path="../configs", config_name="train_genre")
@user_errors_exit()
def main(config: DictConfig) -> None:
    """Train, print the accuracy of every split, write the weights."""
    require_settings(config, MEANINGS, USAGE)
    import torch

    from d2m.evaluation.genre_training import (
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


if __name__ == "__main__":
    main()
