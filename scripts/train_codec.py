"""Codebooks of a codec over an autoencoder's latents: `python scripts/train_codec.py root=data/procedural out=FILE`."""

import hydra
import torch
from omegaconf import DictConfig

from d2m.core.errors import user_errors_exit
from d2m.data.encode_tokens import train_codec


@hydra.main(version_base="1.3", config_path="../configs", config_name="train_codec")
@user_errors_exit()
def main(config: DictConfig) -> None:
    """Fit and write the codebooks; print what each leaves."""
    if config.threads:
        torch.set_num_threads(config.threads)
    left = train_codec(
        config.root, config.out, config.name, config.dmae, config.split, config.codebooks, config.codebook_size,
        config.frames, config.iterations, config.seed,
    )  # fmt: skip
    print("variance left after each codebook: " + ", ".join(f"{share:.1%}" for share in left))
    print(f"written: {config.out}")


if __name__ == "__main__":
    main()
