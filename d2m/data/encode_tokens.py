"""Codec tokens of a whole data set before training, with rhythm curves on the codec's frames and motion features."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils.data import DataLoader
from tqdm import tqdm

from d2m.audio.codec import Codec, DmaeCodec, save_dmae_codec
from d2m.core.errors import BadConfig, BadInput
from d2m.core.files import array_shape, save_array, stored_names, sweep
from d2m.core.timeline import Clock
from d2m.data.dataset import load_array
from d2m.data.encode import EncodeItem, EncodeItems, EncodingSummary, Target
from d2m.data.index import MANIFEST, LatentManifest, TokenManifest, token_file, token_folder
from d2m.data.layout import DataSetLayout


@dataclass(frozen=True)
class TokenTarget(Target):
    """Where tokens go; `dmae` is the codec's name."""

    def _has_music(self, name: str) -> bool:
        return token_file(self.layout, name, self.dmae).exists() and self.layout.rhythm(name, self.dmae).exists()


def encode_tokens(
    layout: DataSetLayout,
    names: list[str],
    codec: Codec,
    source: str | None = None,
    bandwidth: float | int | None = None,
    workers: int = 0,
) -> EncodingSummary:
    """Write `tokens/CODEC/NAME.npy`, `rhythm/CODEC/NAME.npy` and `features/NAME.npy` of every sequence that lacks them.

    Sequences are written one by one, so that a run that was killed goes on where it was.

    Args:
        layout: the data set.
        names: sequences.
        codec: frozen, on the device that computes.
        source, bandwidth: what `load_codec` finds this codec by again; None: its name.
        workers: processes that load and resample; 0 does it in this one.

    Returns:
        how many were made and found, and a sentence for each that cannot be encoded.

    Raises:
        BadInput: when the folder holds another codec's tokens.
        BadConfig: when a file cannot be written.
    """
    folder = _claimed(layout, codec, source or codec.name, bandwidth)
    clock = codec.facts.clock()
    pieces = EncodeItems(TokenTarget(layout, codec.name, clock, in_channels=1), sorted(set(names)))
    loader = DataLoader(pieces, batch_size=None, num_workers=min(workers, len(pieces)))
    failed, made = {}, 0
    for piece in tqdm(loader, desc=f"tokens of {codec.name}", unit="song", disable=len(pieces) == 0):
        if piece.failure is not None:
            failed[piece.name] = piece.failure
            continue
        _write(piece, layout, codec)
        made += 1
    sweep(folder)
    _manifest(codec, source or codec.name, bandwidth, len(stored_names(folder))).save(folder)
    return EncodingSummary(made, pieces.found, failed)


def _write(piece: EncodeItem, layout: DataSetLayout, codec: Codec) -> None:
    if piece.features is not None:
        save_array(layout.features(piece.name), piece.features.astype(np.float32))
    if piece.waveform is None or piece.rhythm is None:
        return
    rhythm = layout.rhythm(piece.name, codec.name)
    # an autoencoder of the codec's name and clock has the same curves, which are then left as they are
    if not rhythm.exists() or array_shape(rhythm) != piece.rhythm.shape:
        save_array(rhythm, piece.rhythm.astype(np.float16))
    device = next(codec.parameters()).device
    codes = codec.encode(torch.from_numpy(piece.waveform)[None].to(device))[0]
    save_array(token_file(layout, piece.name, codec.name), codes.cpu().numpy().astype(np.int16))


def _claimed(layout: DataSetLayout, codec: Codec, source: str, bandwidth: float | int | None):
    """The tokens' folder, with a manifest that says whose they are, so that two codecs' are never mixed."""
    folder = token_folder(layout, codec.name)
    if (folder / MANIFEST).exists():
        different = TokenManifest.load(folder).codec.differences(codec.facts)
        if different:
            raise BadInput(
                f"{folder}: holds tokens of another codec ({different}); "
                "delete the folder, or file these tokens under another name with codec.name=."
            )
    elif stored_names(folder):
        raise BadInput(
            f"{folder}: holds tokens without a {MANIFEST}, so nothing tells whose they are; delete the folder."
        )
    else:
        _manifest(codec, source, bandwidth, 0).save(folder)
    return folder


def _manifest(codec: Codec, source: str, bandwidth: float | int | None, sequences: int) -> TokenManifest:
    return TokenManifest(codec.facts, source, None if bandwidth is None else float(bandwidth), sequences)


# The codebooks of a codec from an encoded data set's training latents.


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
    """Fit the codebooks of `d2m.audio.codec.DmaeCodec` and write them to `out`.

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
