"""The codec that ships: the demo autoencoder's latents, quantised frame by frame, and its one-pass decoder.

Only the codebooks are weights of its own; what determines its codes is the autoencoder's encoder and them.
"""

import hashlib
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from d2m.audio.codec import Codec
from d2m.audio.coding import decode_piece, encode_pieces
from d2m.audio.dmae_hash import weights_sha256
from d2m.audio.dmae_weights import load_dmae
from d2m.audio.residual_quantiser import ResidualQuantiser
from d2m.checkpoint import build, load_checkpoint, load_into, save_checkpoint, shipped_or_path
from d2m.errors import BadInput

TARGET = "d2m.audio.codec_dmae.DmaeCodec"
PREFIX = "codec_"
"""Of the names of shipped codecs' files."""


class DmaeCodec(Codec):
    """Residual vector quantisation of an autoencoder's latents.

    Args:
        name: what its tokens are filed under.
        dmae: name or path of the autoencoder; it needs a one-pass decoder.
        dmae_sha256: of the encoder that the codebooks were made for; None: whichever is found.
        codebooks, codebook_size: of the quantiser.

    Raises:
        BadInput: when the autoencoder is another one than the codebooks were made for, or has no one-pass decoder.
    """

    def __init__(
        self,
        name: str = "demo",
        dmae: str = "demo",
        dmae_sha256: str | None = None,
        codebooks: int = 4,
        codebook_size: int = 1024,
    ) -> None:
        autoencoder = load_dmae(dmae)
        clock, self._dmae_name = autoencoder.clock, dmae
        super().__init__(name, clock.sample_rate, clock.latent_hop_samples, codebooks, codebook_size)
        self.dmae, self._dmae_sha256 = autoencoder, weights_sha256(autoencoder)
        if dmae_sha256 not in (None, self._dmae_sha256):
            raise BadInput(
                f"codec '{name}': made for the encoder {dmae_sha256[:12]}, but autoencoder '{dmae}' has "
                f"{self._dmae_sha256[:12]}; name the autoencoder that it was made for, or train the codec again."
            )
        if autoencoder.onepass is None or autoencoder.in_channels != 1:
            raise BadInput(
                f"codec '{name}': autoencoder '{dmae}' has no one-pass decoder of mono sound; name another one."
            )
        self.quantiser = ResidualQuantiser(codebooks, codebook_size, autoencoder.latent_channels)
        self.eval().requires_grad_(False)

    @property
    def config(self) -> dict[str, Any]:
        """The `_target_` config that builds it."""
        return {
            "_target_": TARGET, "name": self.name, "dmae": self._dmae_name, "dmae_sha256": self._dmae_sha256,
            "codebooks": self.codebooks, "codebook_size": self.codebook_size,
        }  # fmt: skip

    def encode(self, waveform: Float[Tensor, "batch 1 sample"]) -> Int[Tensor, "batch codebook frame"]:
        """Codes of pieces of any length, in windows of the autoencoder's training length."""
        return self.codes_of(torch.stack(encode_pieces(self.dmae, list(waveform))))

    def codes_of(self, latent: Float[Tensor, "batch latent_channel frame"]) -> Int[Tensor, "batch codebook frame"]:
        """Codes of the autoencoder's latents."""
        return self.quantiser.encode(latent)

    def latent_of(self, codes: Int[Tensor, "batch codebook frame"]) -> Float[Tensor, "batch latent_channel frame"]:
        """The latents that codes stand for, within the autoencoder's range."""
        return self.quantiser.decode(codes).clamp(-1, 1)

    def decode(
        self, codes: Int[Tensor, "batch codebook frame"], seed: int = 0
    ) -> Float[Tensor, "batch channel sample"]:
        """Waveforms by the one-pass decoder; `seed` fixes the noise that it makes textures of."""
        pieces = [decode_piece(self.dmae, latent, "onepass", seed=seed) for latent in self.latent_of(codes)]
        return torch.stack(pieces)

    def fingerprint(self) -> str:
        """SHA-256 of the encoder's fingerprint and the codebooks in half precision, as they ship."""
        digest = hashlib.sha256(self._dmae_sha256.encode())
        digest.update(self.quantiser.entries.cpu().half().contiguous().numpy().astype("<f2").tobytes())
        return digest.hexdigest()


def save_dmae_codec(codec: DmaeCodec, path: Path) -> Path:
    """Write the codebooks in half precision, with the config that finds the rest again."""
    return save_checkpoint(path, codec.quantiser.state_dict(), codec.config)


def load_dmae_codec(name_or_path: str | Path = "demo") -> DmaeCodec:
    """The shipped codec of that name, or one from a file.

    Raises:
        BadConfig: when there is none.
        BadInput: when the file holds something else.
    """
    checkpoint = load_checkpoint(shipped_or_path(name_or_path, PREFIX))
    if checkpoint.config.get("_target_") != TARGET:
        raise BadInput(f"{checkpoint.path}: holds no codec, expected a file of scripts/train_codec.py; name one.")
    codec = build(checkpoint.config, checkpoint.path)
    load_into(codec.quantiser, checkpoint)
    return codec
