"""Residual vector quantisation: a vector as the sum of one entry from each of several codebooks.

Zeghidour et al., SoundStream (arXiv:2107.03312), section III-C: every codebook quantises what the ones before it left.
"""

import hashlib
import json
import re
from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.nn.functional import pad

from d2m.audio.chunked_coding import decode_in_chunks, encode_all_in_chunks
from d2m.audio.pretrained import load_dmae, weights_sha256
from d2m.core.checkpoint import WEIGHTS, build, load_checkpoint, load_into, save_checkpoint, shipped_or_path
from d2m.core.errors import BadConfig, BadInput
from d2m.core.registry import current_name
from d2m.core.timeline import Timeline

_CHUNK_FRAMES = 8192
"""Frames whose distances to a codebook are in memory at once."""


class ResidualQuantiser(nn.Module):
    """Codebooks for the frames of a latent.

    Args:
        codebooks: how many.
        codebook_size: entries of each.
        channels: of the latent.
    """

    entries: Tensor

    def __init__(self, codebooks: int, codebook_size: int, channels: int) -> None:
        super().__init__()
        self.register_buffer("entries", torch.zeros(codebooks, codebook_size, channels))

    def encode(self, latent: Float[Tensor, "batch channel frame"]) -> Int[Tensor, "batch codebook frame"]:
        """The nearest entry of each codebook in turn (greedy)."""
        rest, codes = latent.transpose(1, 2).flatten(0, 1).to(self.entries), []
        for book in self.entries:
            chosen = nearest(rest, book)
            rest = rest - book[chosen]
            codes.append(chosen)
        return torch.stack(codes).unflatten(1, (len(latent), -1)).transpose(0, 1)

    def decode(self, codes: Int[Tensor, "batch codebook frame"]) -> Float[Tensor, "batch channel frame"]:
        """Sum of the entries."""
        parts = [book[codes[:, number]] for number, book in enumerate(self.entries)]
        return torch.stack(parts).sum(dim=0).transpose(1, 2)

    @torch.no_grad()
    def fit(self, frames: Float[Tensor, "frame channel"], iterations: int = 25, seed: int = 0) -> list[float]:
        """Take the codebooks from training frames by k-means on what the earlier ones left.

        Returns:
            share of the frames' variance that is left after each codebook.
        """
        generator = torch.Generator().manual_seed(seed)
        total, rest, left = float((frames - frames.mean(dim=0)).square().mean()), frames, []
        for number in range(len(self.entries)):
            book = k_means(rest, self.entries.shape[1], iterations, generator)
            book = book.half().to(self.entries)  # as they ship: later codebooks mend the rounding of earlier ones
            self.entries[number] = book
            rest = rest - book[nearest(rest, book)]
            left.append(float(rest.square().mean()) / total)
        return left


def nearest(frames: Float[Tensor, "frame channel"], book: Float[Tensor, "entry channel"]) -> Int[Tensor, " frame"]:
    """Number of the entry with the smallest Euclidean distance to each frame."""
    half_squares = 0.5 * book.square().sum(dim=1)
    return torch.cat([(half_squares - part @ book.T).argmin(dim=1) for part in frames.split(_CHUNK_FRAMES)])


def k_means(
    frames: Float[Tensor, "frame channel"], entries: int, iterations: int, generator: torch.Generator
) -> Float[Tensor, "{entries} channel"]:
    """Lloyd's algorithm from random frames; an entry that no frame is nearest to is put on a random frame."""
    if len(frames) < entries:
        raise ValueError(f"{entries} entries need at least as many frames, not {len(frames)}.")
    book = frames[torch.randperm(len(frames), generator=generator)[:entries]].clone()
    for _ in range(iterations):
        chosen = nearest(frames, book)
        counts = torch.bincount(chosen, minlength=entries)
        book = torch.zeros_like(book).index_add_(0, chosen, frames) / counts.clamp(min=1)[:, None]
        unused = (counts == 0).nonzero()[:, 0]
        book[unused] = frames[torch.randint(len(frames), (len(unused),), generator=generator)]
    return book


# One interface for the codec that ships and for EnCodec.


@dataclass(frozen=True)
class CodecFacts:
    """What tokens of a codec are, without the codec.

    Args:
        name: what its tokens are filed under.
        sample_rate: samples per second that it is fed and returns.
        hop_samples: samples per frame.
        codebooks: numbers of a frame.
        codebook_size: each of them lies in [0, codebook_size).
        fingerprint: SHA-256 of what determines the codes.
    """

    name: str
    sample_rate: int
    hop_samples: int
    codebooks: int
    codebook_size: int
    fingerprint: str

    @property
    def frame_rate(self) -> float:
        """Frames per second."""
        return self.sample_rate / self.hop_samples

    def clock(self, window_frames: int = 1) -> Timeline:
        """The project's clock with codec frames for latent frames."""
        return Timeline(self.sample_rate, self.hop_samples, window_frames)

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    def shape_differences(self, sample_rate: int, hop_samples: int, codebooks: int, codebook_size: int) -> str:
        """How these tokens differ in shape from others; empty where they do not."""
        pairs = (
            (self.sample_rate, sample_rate, "Hz"),
            (self.hop_samples, hop_samples, "samples a frame"),
            (self.codebooks, codebooks, "codebooks"),
            (self.codebook_size, codebook_size, "entries a codebook"),
        )
        return "; ".join(f"{own} {what}, not {other}" for own, other, what in pairs if own != other)

    def differences(self, other: "CodecFacts") -> str:
        """How these tokens differ from those of `other`; empty where they do not. Names may differ."""
        found = self.shape_differences(other.sample_rate, other.hop_samples, other.codebooks, other.codebook_size)
        if not found and self.fingerprint != other.fingerprint:
            return f"weights {self.fingerprint[:12]}, not {other.fingerprint[:12]}"
        return found


class Codec(nn.Module, ABC):
    """A frozen codec in evaluation mode.

    Args:
        name: what its tokens are filed under.
        sample_rate: samples per second that it is fed and returns.
        hop_samples: samples per frame.
        codebooks: numbers of a frame.
        codebook_size: each of them lies in [0, codebook_size).
        channels: of the sound that it is fed and returns.
    """

    def __init__(
        self, name: str, sample_rate: int, hop_samples: int, codebooks: int, codebook_size: int, channels: int = 1
    ) -> None:
        super().__init__()
        self.channels = channels
        self.name, self.sample_rate, self.hop_samples = name, sample_rate, hop_samples
        self.codebooks, self.codebook_size = codebooks, codebook_size

    @property
    def facts(self) -> CodecFacts:
        """What its tokens are."""
        shape = (self.sample_rate, self.hop_samples, self.codebooks, self.codebook_size)
        return CodecFacts(self.name, *shape, self.fingerprint())

    @abstractmethod
    def encode(self, waveform: Float[Tensor, "batch channel sample"]) -> Int[Tensor, "batch codebook frame"]:
        """Codes of pieces of any length, one frame per started hop; the end is padded with silence."""

    @abstractmethod
    def decode(
        self, codes: Int[Tensor, "batch codebook frame"], seed: int = 0
    ) -> Float[Tensor, "batch channel sample"]:
        """Waveforms of exactly `frame * hop_samples` samples; `seed` fixes the texture where a decoder draws one."""

    @abstractmethod
    def fingerprint(self) -> str:
        """SHA-256 of what determines the codes: two codecs of one fingerprint give the same codes for the same sound."""


def load_codec(name_or_path: str | Path = "demo", bandwidth: float | int | None = None) -> Codec:
    """A frozen codec in evaluation mode.

    Args:
        name_or_path: `demo`, which ships; a `.safetensors` file of scripts/train_codec.py; a local folder with an EnCodec
            model; `encodec_24khz`, `encodec_32khz` or another hub repository such as `facebook/encodec_24khz`.
        bandwidth: of EnCodec, in kbit/s; None: the model's lowest.

    Raises:
        BadConfig: when there is no such codec, or a package is missing.
        BadInput: when the file or folder holds something else.
    """

    name, path = str(name_or_path), Path(name_or_path)
    if (WEIGHTS / f"codec_{name}.safetensors").exists() or path.is_file():
        if bandwidth is not None:
            raise BadConfig(f"bandwidth={bandwidth}: only EnCodec has a choice of it, not codec {name}; leave it out.")
        return load_dmae_codec(name_or_path)
    if path.is_dir() or is_hub_name(name):
        return EncodecCodec(HUB.get(name, name), bandwidth, name=name if name in HUB else None)
    shipped = sorted(p.stem.removeprefix("codec_") for p in WEIGHTS.glob("codec_*.safetensors"))
    raise BadConfig(
        f"{name}: no such codec; give one of {', '.join([*shipped, *HUB])}, a file of scripts/train_codec.py, or the folder or "
        "hub repository of an EnCodec model."
    )


# The codec that ships: the demo autoencoder's latents, quantised frame by frame, and its one-pass decoder.


TARGET = "d2m.audio.codec.DmaeCodec"
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
        super().__init__(
            name, clock.sample_rate, clock.latent_hop_samples, codebooks, codebook_size, autoencoder.in_channels
        )
        self.dmae, self._dmae_sha256 = autoencoder, weights_sha256(autoencoder)
        if dmae_sha256 not in (None, self._dmae_sha256):
            raise BadInput(
                f"codec '{name}': made for the encoder {dmae_sha256[:12]}, but autoencoder '{dmae}' has "
                f"{self._dmae_sha256[:12]}; name the autoencoder that it was made for, or train the codec again."
            )
        if autoencoder.onepass is None:
            raise BadInput(f"codec '{name}': autoencoder '{dmae}' has no one-pass decoder; name another one.")
        self.quantiser = ResidualQuantiser(codebooks, codebook_size, autoencoder.latent_channels)
        self.eval().requires_grad_(False)

    @property
    def config(self) -> dict[str, Any]:
        """The `_target_` config that builds it."""
        return {
            "_target_": TARGET, "name": self.name, "dmae": self._dmae_name, "dmae_sha256": self._dmae_sha256,
            "codebooks": self.codebooks, "codebook_size": self.codebook_size,
        }  # fmt: skip

    def encode(self, waveform: Float[Tensor, "batch channel sample"]) -> Int[Tensor, "batch codebook frame"]:
        """Codes of pieces of any length, in windows of the autoencoder's training length."""
        return self.codes_of(torch.stack(encode_all_in_chunks(self.dmae, list(waveform))))

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
        pieces = [decode_in_chunks(self.dmae, latent, "onepass", seed=seed) for latent in self.latent_of(codes)]
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
    if current_name(str(checkpoint.config.get("_target_"))) != TARGET:
        raise BadInput(f"{checkpoint.path}: holds no codec, expected a file of scripts/train_codec.py; name one.")
    codec = build(checkpoint.config, checkpoint.path)
    load_into(codec.quantiser, checkpoint)
    return codec


# EnCodec (Défossez et al., 2022, arXiv:2210.13438) through the package `transformers`, from a local folder or the hub.


HUB = {"encodec_24khz": "facebook/encodec_24khz", "encodec_32khz": "facebook/encodec_32khz"}
"""Short names of the published mono models."""

_REPOSITORY = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")


def is_hub_name(name: str) -> bool:
    """Whether a name is a hub repository's, or short for one."""
    return name in HUB or bool(_REPOSITORY.fullmatch(name))


class EncodecCodec(Codec):
    """A mono EnCodec.

    Args:
        folder: local folder with `config.json` and weights, or a hub repository.
        bandwidth: kbit/s, which fixes how many codebooks are used; None: the lowest that the model has.
        name: what its tokens are filed under; None: the folder's name.

    Raises:
        BadInput: when the folder holds a model of another kind, or one that is not mono.
        BadConfig: when `transformers` is missing, the hub is out of reach, or the bandwidth is none of the model's.
    """

    def __init__(self, folder: str | Path, bandwidth: float | int | None = None, name: str | None = None) -> None:
        model = _loaded(folder)
        config = model.config
        if config.audio_channels != 1 or config.normalize or config.chunk_length is not None:
            raise BadInput(
                f"{folder}: an EnCodec for {config.audio_channels} channels{', normalised' if config.normalize else ''}"
                f"{', in chunks' if config.chunk_length else ''}, expected a mono one that takes whole pieces as they are, such "
                f"as {HUB['encodec_24khz']}; name that."
            )
        known = sorted(float(value) for value in config.target_bandwidths)
        bandwidth = known[0] if bandwidth is None else float(bandwidth)
        if bandwidth not in known:
            raise BadConfig(
                f"bandwidth={bandwidth:g}: {folder} has {', '.join(f'{value:g}' for value in known)} kbit/s; choose one."
            )
        codebooks = int(model.quantizer.get_num_quantizers_for_bandwidth(bandwidth))
        hop = int(torch.tensor(config.upsampling_ratios).prod())
        own = name or f"{Path(folder).name}"
        super().__init__(own, int(config.sampling_rate), hop, codebooks, int(config.codebook_size))
        self.model, self.bandwidth = model, bandwidth
        self.eval().requires_grad_(False)

    @torch.no_grad()
    def encode(self, waveform: Float[Tensor, "batch 1 sample"]) -> Int[Tensor, "batch codebook frame"]:
        """Codes of whole pieces."""
        padded = pad(waveform, (0, -waveform.shape[-1] % self.hop_samples))
        return self.model.encode(padded, bandwidth=self.bandwidth).audio_codes[0]

    @torch.no_grad()
    def decode(
        self, codes: Int[Tensor, "batch codebook frame"], seed: int = 0
    ) -> Float[Tensor, "batch channel sample"]:
        """Waveforms; nothing is random in this decoder, so `seed` changes nothing."""
        wave = self.model.decode(codes[None], [None]).audio_values
        return wave[..., : codes.shape[-1] * self.hop_samples]

    def fingerprint(self) -> str:
        """SHA-256 of the encoder's weights and of the codebooks in use, in half precision and in the order of their names."""
        digest = hashlib.sha256()
        state = self.model.state_dict()
        for key in sorted(state):
            layer = re.match(r"quantizer\.layers\.(\d+)\.codebook\.embed$", key)
            if key.startswith("encoder.") or (layer and int(layer[1]) < self.codebooks):
                values = state[key].detach().to("cpu", torch.float16).contiguous().numpy()
                digest.update(f"{values.shape}\n".encode())
                digest.update(values.astype("<f2").tobytes())
        return digest.hexdigest()


def _loaded(folder: str | Path) -> Any:
    local = Path(folder).is_dir()
    if local:
        _check_kind(Path(folder))
    try:
        from transformers import EncodecModel  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise BadConfig(
            f'codec {folder}: EnCodec needs the package transformers, which is not installed; run pip install -e ".[codec]".'
        ) from error
    try:
        return EncodecModel.from_pretrained(str(folder), local_files_only=local)
    except (OSError, ValueError, RuntimeError, KeyError, SafetensorError) as error:
        reason = str(error).splitlines()[0][:160]
        if local:
            raise BadInput(f"{folder}: transformers cannot load this EnCodec ({reason}); download it again.") from error
        raise BadConfig(
            f"codec {folder}: not found on the hub, or the hub is out of reach ({reason}); "
            "download the model's folder elsewhere and name it."
        ) from error


def _check_kind(folder: Path) -> None:
    try:
        kind = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("model_type")
    except (OSError, ValueError, AttributeError) as error:
        raise BadInput(
            f"{folder}: found no readable config.json, expected the folder of an EnCodec model; download it again."
        ) from error
    if kind != "encodec":
        raise BadInput(
            f"{folder}: found a model of type '{kind}', expected 'encodec'; name the folder of an EnCodec model."
        )
