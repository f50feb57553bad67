"""What is beside the arrays of an encoded data set: `manifest.json` says which autoencoder or codec made them."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

from d2m.audio.codec import CodecFacts
from d2m.core.errors import BadInput
from d2m.core.files import writing
from d2m.core.timeline import Timeline
from d2m.data.layout import DataSetLayout

MANIFEST = "manifest.json"
VERSION = 1

INDEX_NAME = "index"
"""The one name that a sequence can not have: older versions wrote `index.npy` among the latents."""
MAX_NAME_BYTES = 64


T = TypeVar("T")


def read_manifest(path: Path, what: str, again: str, parse: Callable[[dict[str, Any]], T]) -> T:
    """A manifest from its JSON file.

    Args:
        path: the file.
        what: it is, for the error's sentence.
        again: the command that makes what it describes.
        parse: takes the manifest from the content.

    Raises:
        BadInput: when it is missing, damaged or of another version.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        version = content.get("version", VERSION)
        if version == VERSION:
            return parse(content)
    except FileNotFoundError as error:
        raise BadInput(f"{path}: not found, expected {what}; {again} first.") from error
    except (ValueError, TypeError, KeyError, AttributeError, OSError) as error:
        raise BadInput(f"{path}: damaged ({repr(error)[:120]}); delete it and {again} again.") from error
    raise BadInput(f"{path}: found version {version}, expected {VERSION}; delete {path.parent} and {again} again.")


def write_manifest(path: Path, content: dict[str, Any]) -> None:
    """Write a manifest, whole or not at all."""
    with writing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


@dataclass(frozen=True)
class LatentManifest:
    """What made the latents of a folder.

    Args:
        version: of this file's format.
        dmae: name that the latents are filed under.
        weights_sha256: of the autoencoder's encoder, see `d2m.audio.pretrained`.
        sample_rate: samples per second that it was fed.
        latent_hop_samples: samples per latent frame.
        latent_channels: channels of a latent.
        latent_mean, latent_std: of every channel over the training split.
        sequences: that can be trained on.
    """

    version: int
    dmae: str
    weights_sha256: str
    sample_rate: int
    latent_hop_samples: int
    latent_channels: int
    latent_mean: list[float]
    latent_std: list[float]
    sequences: int

    def __post_init__(self) -> None:
        if not len(self.latent_mean) == len(self.latent_std) == self.latent_channels:
            raise ValueError(f"expected a mean and a deviation for each of {self.latent_channels} channels")

    @staticmethod
    def load(folder: Path) -> "LatentManifest":
        """Read `folder/manifest.json`.

        Raises:
            BadInput: when it is missing, damaged or of another version.
        """
        again = f"{DataSetLayout(folder.absolute().parents[1]).music_hint()}run scripts/encode.py dmae={folder.name}"
        return read_manifest(folder / MANIFEST, "the manifest of music latents", again, LatentManifest._parse)

    @staticmethod
    def _parse(content: dict[str, Any]) -> "LatentManifest":
        return LatentManifest(
            int(content["version"]),
            str(content["dmae"]),
            str(content["weights_sha256"]),
            int(content["sample_rate"]),
            int(content["latent_hop_samples"]),
            int(content["latent_channels"]),
            [float(value) for value in content["latent_mean"]],
            [float(value) for value in content["latent_std"]],
            int(content["sequences"]),
        )

    def save(self, folder: Path) -> None:
        """Write `folder/manifest.json`, whole or not at all."""
        write_manifest(folder / MANIFEST, asdict(self))

    @property
    def clock(self) -> Timeline:
        """Of the autoencoder."""
        return Timeline(self.sample_rate, self.latent_hop_samples)

    def differences(
        self, clock: Timeline, weights_sha256: str | None = None, latent_channels: int | None = None
    ) -> str:
        """How an autoencoder differs from the one that made the latents; empty where it does not."""
        found = []
        if self.sample_rate != clock.sample_rate:
            found.append(f"{self.sample_rate} Hz, not {clock.sample_rate} Hz")
        if self.latent_hop_samples != clock.latent_hop_samples:
            found.append(f"a latent hop of {self.latent_hop_samples} samples, not {clock.latent_hop_samples}")
        if latent_channels is not None and self.latent_channels != latent_channels:
            found.append(f"{self.latent_channels} latent channels, not {latent_channels}")
        if weights_sha256 is not None and self.weights_sha256 != weights_sha256:
            found.append(f"weights {self.weights_sha256[:12]}, not {weights_sha256[:12]}")
        return "; ".join(found)

    def check(self, clock: Timeline, weights_sha256: str | None = None, latent_channels: int | None = None) -> None:
        """Refuse to train on latents of another autoencoder; what is None is not compared.

        Raises:
            BadInput: with all that differs.
        """
        different = self.differences(clock, weights_sha256, latent_channels)
        if different:
            raise BadInput(
                f"the latents filed under '{self.dmae}' were made by another autoencoder ({different}); "
                "name that autoencoder, or encode the data set with this one under another dmae.name= first."
            )


@dataclass(frozen=True)
class TokenManifest:
    """What made the tokens of a folder.

    Args:
        codec: what the tokens are.
        source: what `d2m.audio.codec.load_codec` finds the codec by.
        bandwidth: of an EnCodec in kbit/s, else None.
        sequences: that are there.
    """

    codec: CodecFacts
    source: str
    bandwidth: float | None
    sequences: int

    @staticmethod
    def load(folder: Path) -> "TokenManifest":
        """Read `folder/manifest.json`.

        Raises:
            BadInput: when it is missing, damaged or of another version.
        """
        again = f"{DataSetLayout(folder.absolute().parents[1]).music_hint()}run scripts/encode.py codec={folder.name}"
        return read_manifest(folder / MANIFEST, "the manifest of codec tokens", again, TokenManifest._parse)

    @staticmethod
    def _parse(content: dict[str, Any]) -> "TokenManifest":
        numbers = ("sample_rate", "hop_samples", "codebooks", "codebook_size")
        facts = CodecFacts(
            name=str(content["name"]),
            fingerprint=str(content["fingerprint"]),
            **{key: int(content[key]) for key in numbers},
        )
        bandwidth = content["bandwidth"]
        bandwidth = None if bandwidth is None else float(bandwidth)
        return TokenManifest(facts, str(content["source"]), bandwidth, int(content["sequences"]))

    def save(self, folder: Path) -> None:
        """Write `folder/manifest.json`, whole or not at all."""
        own = {"source": self.source, "bandwidth": self.bandwidth, "sequences": self.sequences}
        write_manifest(folder / MANIFEST, {"version": VERSION, **self.codec.as_json(), **own})
