"""EnCodec (Défossez et al., 2022, arXiv:2210.13438) through the package `transformers`, from a local folder or the hub."""

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from safetensors import SafetensorError
from torch import Tensor
from torch.nn.functional import pad

from d2m.audio.codec import Codec
from d2m.errors import BadConfig, BadInput

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
