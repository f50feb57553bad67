"""The codebooks of a codec from an encoded data set's training latents."""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from d2m.audio.codec_dmae import DmaeCodec, save_dmae_codec
from d2m.clock import Clock
from d2m.data.clips import load_array
from d2m.data.latent_index import MANIFEST, LatentManifest
from d2m.data.layout import DataSetLayout
from d2m.errors import BadConfig


def train_codec(
    root: str | Path,
    out: str | Path,
    name: str = "demo",
    dmae: str = "demo",
    split: str = "train",
    codebooks: int = 4,
    codebook_size: int = 1024,
    frames: int = 150_000,
    iterations: int = 20,
    seed: int = 0,
) -> list[float]:
    """Fit the codebooks of `d2m.audio.codec_dmae.DmaeCodec` and write them to `out`.

    Args:
        root: data set whose music is encoded with `dmae`.
        out: `.safetensors` file to write.
        name: of the codec.
        dmae: the autoencoder.
        split: whose songs are used.
        codebooks, codebook_size: of the quantiser.
        frames: latent frames that k-means sees, drawn evenly from all of them.
        iterations: of k-means, for each codebook.
        seed: the same one gives the same file.

    Returns:
        share of the latents' variance that is left after each codebook.

    Raises:
        BadInput: when the latents are missing or another autoencoder's.
        BadConfig: when `out` names no .safetensors file, or there are fewer frames than entries.
    """
    out = Path(out)
    if out.suffix != ".safetensors":
        raise BadConfig(f"out={out}: expected the name of a .safetensors file to write.")
    codec = DmaeCodec(name, dmae, None, codebooks, codebook_size)
    layout = DataSetLayout(Path(root))
    clock = Clock(codec.sample_rate, codec.hop_samples)
    folder = layout.latent_folder(dmae)
    if (folder / MANIFEST).exists():  # data sets encoded before there were manifests have none
        LatentManifest.load(folder).check(clock, codec.config["dmae_sha256"])
    drawn = training_frames(layout, split, dmae, frames, seed)
    if len(drawn) < codebook_size:
        raise BadConfig(
            f"codebook_size={codebook_size}: the data set has only {len(drawn)} latent frames; choose fewer."
        )
    left = codec.quantiser.fit(drawn, iterations, seed)
    save_dmae_codec(codec, out)
    return left


def training_frames(
    layout: DataSetLayout, split: str, dmae: str, frames: int, seed: int
) -> Float[Tensor, "frame channel"]:
    """At most `frames` frames of a split's latents, the same for a seed.

    Raises:
        BadInput: when a latent is missing.
    """
    generator, names, parts = np.random.default_rng(seed), layout.names(split), []
    share = -(-frames // len(names))
    for name in names:
        latent = load_array(layout.latent(name, dmae), mapped=True)
        chosen = generator.permutation(latent.shape[1])[:share]
        parts.append(np.asarray(latent[:, np.sort(chosen)], np.float32).T)
    return torch.from_numpy(np.concatenate(parts)[:frames])
