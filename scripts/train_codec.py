"""Codebooks of a codec over an autoencoder's latents: `python scripts/train_codec.py root=data/procedural out=FILE`."""

from d2m.commands import run

if __name__ == "__main__":
    run("train_codec")
