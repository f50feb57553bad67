"""The stock class holds every U-Net weight three times (`net`, `diffusion.net`, `sampler.net`); files hold the first only."""

import hashlib
import importlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from d2m.audio.autoencoder import DMAE
from d2m.core.checkpoint import WEIGHTS, Checkpoint, build, load_checkpoint, load_into, save_checkpoint, shipped_or_path
from d2m.core.errors import BadConfig, BadInput
from d2m.core.external_weights import TORCH_SUFFIXES, Mismatch, copies_folded, read_tensors, renamed, without_prefixes

_COPIES = ("autoencoder.diffusion.net.", "autoencoder.sampler.net.")


def folded(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state dict without the second and third copy of the U-Net."""
    return {key: value for key, value in state.items() if not key.startswith(_COPIES)}


def unfolded(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The folded state dict with all three copies, as `DMAE.load_state_dict` expects it."""
    copies = {
        key.replace("autoencoder.net.", copy, 1): value
        for key, value in state.items()
        if key.startswith("autoencoder.net.")
        for copy in _COPIES
    }
    return {**state, **copies}


# A fingerprint of what makes an autoencoder's latents, the same however its weights were shipped.


def weights_sha256(dmae: DMAE) -> str:
    """SHA-256 of the encoder's weights: names in order, shapes, and values in half precision.

    The decoders are left out, because latents stay what they are when only a decoder is trained further; buffers (windows,
    filter banks) because they are computed when the network is built. In half precision a file of either precision, a hub
    folder and a training checkpoint of the same weights give the same fingerprint.
    """
    digest = hashlib.sha256()
    for name, weight in sorted(dmae.encoder.named_parameters()):
        values = weight.detach().to("cpu", torch.float16).contiguous().numpy()
        digest.update(f"{name} {values.shape}\n".encode())
        digest.update(values.astype("<f2").tobytes())
    return digest.hexdigest()


# The published autoencoders (archinetai/archisound), as in configs/dmae/: for folders of weights without a config.


PUBLISHED_REPOSITORIES = {"atc32_v3": "archinetai/dmae1d-ATC32-v3", "atc64_v2": "archinetai/dmae1d-ATC64-v2"}
"""Hub repository of each."""

_COMMON: dict[str, Any] = {
    "_target_": "d2m.audio.autoencoder.DMAE", "in_channels": 2, "filters": 128, "window_length": 64, "inject_depth": 4,
}  # fmt: skip

PUBLISHED_ARCHITECTURES: dict[str, dict[str, Any]] = {
    "atc32_v3": {
        **_COMMON,
        "name": "atc32_v3",
        "sample_rate": 48000,
        "encoder": {
            "_target_": "d2m.audio.autoencoder.mel_encoder", "sample_rate": 48000, "in_channels": 2, "channels": 512,
            "multipliers": [1, 1], "factors": [2], "num_blocks": [12], "out_channels": 32, "mel_channels": 80,
        },
        "stride": 32,
        "channels": [256, 512, 512, 512, 512],
        "factors": [1, 2, 2, 2, 2],
        "items": [1, 2, 2, 2, 4],
    },
    "atc64_v2": {
        **_COMMON,
        "name": "atc64_v2",
        "sample_rate": 44100,  # nominal 48 kHz; the published pipeline feeds 44.1 kHz
        "encoder": {
            "_target_": "d2m.audio.autoencoder.magnitude_encoder", "in_channels": 2, "channels": 512, "multipliers": [1, 1, 1],
            "factors": [2, 2], "num_blocks": [4, 8], "stft_num_fft": 1023, "stft_hop_length": 256, "out_channels": 32,
        },
        "stride": 64,
        "channels": [256, 512, 512, 512, 1024, 1024, 1024],
        "factors": [1, 2, 2, 2, 2, 2, 2],
        "items": [1, 2, 2, 2, 2, 2, 2],
    },
}  # fmt: skip
"""`_target_` config of each, by name."""

_FIRST_CONVOLUTION = "encoder.to_in.block.block1.project.weight"
_INPUT_CHANNELS = {2 * 80: "atc32_v3", 2 * 512: "atc64_v2"}
"""Spectrogram bins of both waveform channels: 80 mel bands, or 1023 // 2 + 1 frequencies."""


def recognised(state: Mapping[str, Tensor]) -> str | None:
    """Which published autoencoder these weights (under our names) are of, by what its encoder looks at; None: neither."""
    first = state.get(f"autoencoder.{_FIRST_CONVOLUTION}")
    return None if first is None or first.ndim != 3 else _INPUT_CHANNELS.get(first.shape[1])


# Autoencoder weights in the layout of the hub. State-dict keys there are `model.{net,diffusion.net,sampler.net}.…` and `model.encoder.…`; here they are
# `autoencoder.net.…` and `autoencoder.encoder.…`, each weight once.


WEIGHT_FILES = ("model.safetensors", "pytorch_model.safetensors", "pytorch_model.bin", "model.pt", "pytorch_model.pt")
"""File names looked for first; otherwise the folder's only weights file."""

_OURS = "autoencoder."
_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")


def weights_file(folder: Path) -> Path:
    """The weights file in a downloaded hub folder.

    Raises:
        BadConfig: when there is none, or more than one that could be meant.
    """
    for name in WEIGHT_FILES:
        if (folder / name).is_file():
            return folder / name
    found = sorted(p for p in folder.iterdir() if p.suffix in (".safetensors", *TORCH_SUFFIXES) and p.is_file())
    if len(found) != 1:
        names = ", ".join(p.name for p in found) or "none"
        raise BadConfig(
            f"{folder}: found {names}, expected one weights file such as {WEIGHT_FILES[0]} or {WEIGHT_FILES[2]}; name the file."
        )
    return found[0]


def hub_state(path: Path) -> dict[str, Tensor]:
    """A hub file's weights, once each, under the names of `d2m.audio.autoencoder.DMAE`.

    Raises:
        BadInput: when it is unreadable, or its copies of the U-Net differ.
    """
    state = renamed(without_prefixes(read_tensors(path)), {"model.": "", _OURS: ""})
    folded = copies_folded(state, "net.", ("diffusion.net.", "sampler.net."), path)
    return {_OURS + key: tensor for key, tensor in folded.items()}


def load_hub_weights(path: Path, architecture: Mapping[str, Any] | None = None) -> DMAE:
    """An autoencoder from a hub folder, or from the weights file in it.

    What is computed and not learned (windows, mel filters) may be missing in the file, and more of it may be there.

    Args:
        path: folder or file.
        architecture: `_target_` config of the autoencoder; None: recognised by the weights' shapes.

    Raises:
        BadConfig: when the folder has no weights file.
        BadInput: when the file is unreadable, of an unknown autoencoder, or does not fit the architecture.
    """
    file = weights_file(path) if path.is_dir() else path
    state = hub_state(file)
    name = recognised(state)
    if architecture is None and name is None:
        raise BadInput(
            f"{file}: not the weights of {' or '.join(PUBLISHED_ARCHITECTURES)} (found {', '.join(list(state)[:2])}, …); give "
            "the architecture of these weights, or the weights of one of those."
        )
    config = dict(architecture) if architecture is not None else PUBLISHED_ARCHITECTURES[name or ""]
    dmae = build(config, file)
    expected = folded(dmae.state_dict())
    mismatch = Mismatch.between(state, expected).without(computed)
    hint = f"they look like those of {name}" if name else "they are of none of the published autoencoders"
    mismatch.refuse(file, f"autoencoder '{config.get('name')}'", f"use the dmae= that these weights are of ({hint})")
    dmae.load_state_dict(unfolded({**expected, **{key: state[key] for key in expected if key in state}}))
    return dmae


def computed(name: str) -> bool:
    """Whether a tensor of this name is computed and not learned: the window of an STFT, a mel filterbank."""
    return name.endswith((".window", ".fb"))


def is_repository(name: str) -> bool:
    """Whether a name has the form owner/name of a hub repository (and is no file that is there)."""
    return bool(_REPOSITORY.fullmatch(name)) and not name.endswith((".safetensors", *TORCH_SUFFIXES))


def downloaded(repository: str) -> Path:
    """Folder of a hub repository's files, downloaded where they are not yet in the hub library's cache.

    Raises:
        BadConfig: when the hub's library is not installed, or the hub or the repository is out of reach.
    """
    remedy = (
        f"or download the folder of {repository} by hand and give dmae.weights=FOLDER (autoencoder=FOLDER to sample)"
    )
    try:
        hub = importlib.import_module("huggingface_hub")
    except ImportError as error:
        raise BadConfig(
            f"{repository}: neither a file nor a folder here, and to fetch it from the hub huggingface_hub is not installed; "
            f"`pip install huggingface_hub`, {remedy}."
        ) from error
    try:
        return Path(hub.snapshot_download(repository, allow_patterns=["*.json", "*.safetensors", "*.bin", "*.pt"]))
    except Exception as error:  # the hub library and its HTTP client have dozens of error types
        short = " ".join(str(error).split())[:120]
        raise BadConfig(
            f"{repository}: neither a file nor a folder here, and the hub does not give it ({type(error).__name__}: {short}); "
            f"check the name and the network, {remedy}."
        ) from error


# Reading and writing an autoencoder's weights: those that ship, files of ours, and folders from the hub.


def save_dmae(dmae: DMAE, config: dict[str, Any], path: Path) -> Path:
    """Write `dmae` in half precision; `config` is the `_target_` config that builds it."""
    return save_checkpoint(path, folded(dmae.state_dict()), config)


def load_dmae(name_or_path: str | Path = "demo", architecture: Mapping[str, Any] | None = None) -> DMAE:
    """A frozen autoencoder in evaluation mode.

    Args:
        name_or_path: `demo`, which ships; a file that `save_dmae` wrote; a folder downloaded from the hub (or the weights
            file in it); a hub repository such as `archinetai/dmae1d-ATC64-v2`; `atc32_v3` or `atc64_v2` for the published
            ones' repositories.
        architecture: `_target_` config for hub weights; None: which of the published ones it is shows in the weights.

    Raises:
        BadConfig: when there is no such autoencoder, or the hub is out of reach.
        BadInput: when the file is not one, or of another architecture (what is missing, unexpected, of another shape).
    """
    name, path = str(name_or_path), Path(name_or_path)
    if not (WEIGHTS / f"dmae_{name}.safetensors").exists():
        repository = PUBLISHED_REPOSITORIES.get(name, name)
        if not path.exists() and is_repository(repository):
            path = downloaded(repository)
        if path.is_dir() or _holds_bare_tensors(path):
            return load_hub_weights(path, architecture).eval().requires_grad_(False)
    checkpoint = load_checkpoint(shipped_or_path(name_or_path, prefix="dmae_"))
    dmae = build(checkpoint.config, checkpoint.path, "an autoencoder")
    if not isinstance(dmae, DMAE):
        raise BadInput(f"{checkpoint.path}: holds a {type(dmae).__name__}, expected an autoencoder; name another file.")
    load_into(dmae, Checkpoint(unfolded(checkpoint.state), checkpoint.config, checkpoint.path, checkpoint.sha256))
    return dmae.eval().requires_grad_(False)


def _holds_bare_tensors(path: Path) -> bool:
    """Whether a weights file lacks the config that ours carry."""
    if not path.is_file() or path.suffix != ".safetensors":
        return path.is_file() and path.suffix in TORCH_SUFFIXES
    try:
        with safe_open(path, framework="pt") as file:
            return "config" not in (file.metadata() or {})
    except (SafetensorError, OSError):
        return False  # whoever reads it next says what is wrong with it
