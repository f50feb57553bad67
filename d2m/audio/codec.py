"""A codec: waveform ↔ a few whole numbers a frame, which a language model can predict.

One interface for the codec that ships (`d2m.audio.codec_dmae`) and for EnCodec (`d2m.audio.codec_encodec`).
"""

from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from jaxtyping import Float, Int
from torch import Tensor, nn

from d2m.checkpoint import WEIGHTS
from d2m.clock import Clock
from d2m.errors import BadConfig


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

    def clock(self, window_frames: int = 1) -> Clock:
        """The project's clock with codec frames for latent frames."""
        return Clock(self.sample_rate, self.hop_samples, window_frames)

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
    """

    def __init__(self, name: str, sample_rate: int, hop_samples: int, codebooks: int, codebook_size: int) -> None:
        super().__init__()
        self.name, self.sample_rate, self.hop_samples = name, sample_rate, hop_samples
        self.codebooks, self.codebook_size = codebooks, codebook_size

    @property
    def facts(self) -> CodecFacts:
        """What its tokens are."""
        shape = (self.sample_rate, self.hop_samples, self.codebooks, self.codebook_size)
        return CodecFacts(self.name, *shape, self.fingerprint())

    @abstractmethod
    def encode(self, waveform: Float[Tensor, "batch 1 sample"]) -> Int[Tensor, "batch codebook frame"]:
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
    from d2m.audio.codec_dmae import load_dmae_codec
    from d2m.audio.codec_encodec import HUB, EncodecCodec, is_hub_name

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
