"""What the tokens of a folder are: `manifest.json` beside them says which codec made them."""

import dataclasses
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from d2m.audio.codec import CodecFacts
from d2m.core.aist_names import genre_index, parse_sequence_name
from d2m.core.errors import BadInput
from d2m.core.files import save_array, writing
from d2m.core.timeline import Clock
from d2m.data.layout import DataSetLayout
from d2m.models.heads import UNKNOWN_GENRE

TOKENS_VERSION = 1
_NUMBERS = ("sample_rate", "hop_samples", "codebooks", "codebook_size")


def token_folder(layout: DataSetLayout, codec: str) -> Path:
    """`root/tokens/CODEC`."""
    return layout.root / "tokens" / codec


def token_file(layout: DataSetLayout, name: str, codec: str) -> Path:
    """Codes [codebook frame] of a sequence, int16."""
    return token_folder(layout, codec) / f"{name}.npy"


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
        path, again = folder / MANIFEST, f"run scripts/encode.py codec={folder.name}"
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise BadInput(f"{path}: not found, expected the manifest of codec tokens; {again} first.") from error
        except (ValueError, OSError) as error:
            raise BadInput(f"{path}: damaged ({str(error)[:100]}); delete it and {again} again.") from error
        if not isinstance(content, dict) or content.get("version") != TOKENS_VERSION:
            found = content.get("version") if isinstance(content, dict) else type(content).__name__
            raise BadInput(
                f"{path}: found version {found}, expected {TOKENS_VERSION}; delete {folder} and {again} again."
            )
        return _token_manifest_of(content, path, again)

    def save(self, folder: Path) -> Path:
        """Write `folder/manifest.json`, whole or not at all."""
        content = {
            "version": TOKENS_VERSION,
            **self.codec.as_json(),
            **{k: v for k, v in asdict(self).items() if k != "codec"},
        }
        with writing(folder / MANIFEST) as temporary:
            temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        return folder / MANIFEST


def _token_manifest_of(content: dict[str, Any], path: Path, again: str) -> TokenManifest:
    try:
        numbers = {key: int(content[key]) for key in _NUMBERS}
        facts = CodecFacts(name=str(content["name"]), fingerprint=str(content["fingerprint"]), **numbers)
        bandwidth = content["bandwidth"]
        return TokenManifest(
            facts, str(content["source"]), None if bandwidth is None else float(bandwidth), int(content["sequences"])
        )
    except (KeyError, TypeError, ValueError) as error:
        raise BadInput(f"{path}: damaged ({error!r}); delete it and {again} again.") from error


# What an encoded data set holds, in two small files beside its latents.
#
# `manifest.json` says which autoencoder made the latents and how they are scaled; `index.npy` is a table, sorted by name and
# memory-mapped, of the sequences that can be trained on, so that a million of them need not be listed or opened one by one.


INDEX_NAME = "index"
"""The one name that a sequence can not have."""
MANIFEST, INDEX = "manifest.json", f"{INDEX_NAME}.npy"
VERSION = 1

MAX_NAME_BYTES = 64
INDEX_DTYPE = np.dtype(
    [("name", f"S{MAX_NAME_BYTES}"), ("motion_frames", "<i4"), ("latent_frames", "<i4"), ("genre", "i1")]
)
"""A sequence: its name (UTF-8), motion frames at 60 fps, latent frames, and genre (10 where the name tells none)."""


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
        sequences: rows of the index.
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

    @staticmethod
    def load(folder: Path) -> "LatentManifest":
        """Read `folder/manifest.json`.

        Raises:
            BadInput: when it is missing, damaged or of another version.
        """
        path = folder / MANIFEST
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise BadInput(
                f"{path}: not found, expected the manifest of music latents; run scripts/encode.py dmae={folder.name} first."
            ) from error
        except (ValueError, OSError) as error:
            raise _damaged(path, str(error)) from error
        if isinstance(content, dict) and content.get("version", VERSION) != VERSION:
            raise BadInput(
                f"{path}: found version {content['version']}, expected {VERSION}; delete {folder} and "
                f"run scripts/encode.py dmae={folder.name} again."
            )
        return _manifest_of(content, path)

    def save(self, folder: Path) -> Path:
        """Write `folder/manifest.json`, whole or not at all."""
        with writing(folder / MANIFEST) as temporary:
            temporary.write_text(json.dumps(dataclasses.asdict(self), indent=1) + "\n", encoding="utf-8")
        return folder / MANIFEST

    def differences(self, clock: Clock, weights_sha256: str | None = None, latent_channels: int | None = None) -> str:
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

    def check(self, clock: Clock, weights_sha256: str | None = None, latent_channels: int | None = None) -> None:
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


def _damaged(path: Path, reason: str) -> BadInput:
    return BadInput(
        f"{path}: damaged ({reason[:120]}); delete it and run scripts/encode.py dmae={path.parent.name} again."
    )


def _manifest_of(content: Any, path: Path) -> LatentManifest:
    wanted = {field.name for field in dataclasses.fields(LatentManifest)}
    if not isinstance(content, dict) or not wanted <= set(content):
        missing = sorted(wanted - set(content)) if isinstance(content, dict) else sorted(wanted)
        raise _damaged(path, f"without {', '.join(missing)}")
    try:
        numbers = {
            key: int(content[key])
            for key in ("version", "sample_rate", "latent_hop_samples", "latent_channels", "sequences")
        }
        scales = {key: [float(value) for value in content[key]] for key in ("latent_mean", "latent_std")}
        names = {key: str(content[key]) for key in ("dmae", "weights_sha256")}
    except (TypeError, ValueError) as error:
        raise _damaged(path, str(error)) from error
    if {len(scale) for scale in scales.values()} != {numbers["latent_channels"]}:
        raise _damaged(path, f"expected a mean and a deviation for each of {numbers['latent_channels']} channels")
    return LatentManifest(**numbers, **scales, **names)


def index_row(name: str, motion_frames: int, latent_frames: int) -> np.void:
    """A row of the index; the genre is the name's.

    Raises:
        BadInput: when the name is longer than an index can hold.
    """
    return np.array((_key(name), motion_frames, latent_frames, _genre(name)), dtype=INDEX_DTYPE)[()]


def _key(name: str) -> bytes:
    key = name.encode("utf-8")
    if len(key) > MAX_NAME_BYTES:
        raise BadInput(f"'{name}': a name of {len(key)} bytes, expected at most {MAX_NAME_BYTES}; rename the sequence.")
    return key


def _genre(name: str) -> int:
    parts = parse_sequence_name(name)
    return UNKNOWN_GENRE if parts is None else genre_index(parts.genre)


def write_index(folder: Path, rows: np.ndarray) -> Path:
    """Write rows of `INDEX_DTYPE`, in any order, as `folder/index.npy` sorted by name.

    Raises:
        ValueError: when a name is there twice or the rows are of another dtype.
    """
    if rows.dtype != INDEX_DTYPE or rows.ndim != 1:
        raise ValueError(f"expected a vector of {INDEX_DTYPE}, found {rows.dtype} of shape {rows.shape}.")
    rows = rows[np.argsort(rows["name"], kind="stable")]
    if len(rows) > 1 and (rows["name"][1:] == rows["name"][:-1]).any():
        raise ValueError("a name is in the index twice.")
    return save_array(folder / INDEX, rows)


def open_index(folder: Path) -> np.memmap:
    """The index of a folder, memory-mapped and read-only.

    Raises:
        BadInput: when it is missing, empty or damaged.
    """
    path = folder / INDEX
    try:
        index = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError as error:
        raise BadInput(
            f"{path}: not found, expected the index of music latents; run scripts/encode.py dmae={folder.name} first."
        ) from error
    except (ValueError, OSError, EOFError) as error:
        raise _damaged(path, str(error)) from error
    if index.dtype != INDEX_DTYPE or index.ndim != 1:
        raise _damaged(path, f"found {index.dtype} of shape {index.shape}")
    return index
