"""State dicts in the layout of the published system (Dance2Music-Diffusion, EURASIP JASMP 2024:48), in and out.

The U-Net's file is the state dict of an `audio_diffusion_pytorch.DiffusionModel`, which holds every weight three times:
`net.*`, `diffusion.net.*`, `sampler.net.*` (756 keys each at the published size). The encoder's has `pos_embedding`,
`cls_token`, `transformer.*` and `mlp_head.*`. What the fusion block of the 64 x 768 variant is called in a published file
is not known here: it is `fusion.conv.*` and `fusion.linear.*`, and `rename` brings other names to these.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from d2m.core.checkpoint import build, load_checkpoint, load_into
from d2m.core.errors import BadConfig
from d2m.core.external_weights import Mismatch, copies_folded, read_tensors, renamed, without_prefixes
from d2m.core.files import atomic_write, writable_folder
from d2m.models.conditioner import PublishedConditioner

UNET_COPIES = ("diffusion.net.", "sampler.net.")
FUSION = "fusion."
_ADVICE = (
    "357 tokens of 219 are system=published, the fusion block's 64 tokens of 768 system=published_fused; other names of the "
    "same weights are brought to these with rename={old prefix: new prefix}"
)


if TYPE_CHECKING:

    class Conditioned(Protocol):
        """A system with a U-Net and a conditioner, as `d2m.systems.latent_diffusion.LatentDiffusion`."""

        unet: nn.Module
        conditioner: nn.Module

else:
    Conditioned = nn.Module  # from Python 3.12 on, isinstance finds no submodule of a module


def load_published(
    system: Conditioned,
    unet: str | Path | None = None,
    encoder: str | Path | None = None,
    rename: Mapping[str, str] | None = None,
) -> None:
    """Load published weights into a system of the same layout; all of them, or none where a file does not fit.

    Args:
        system: built from `system=published` or `published_fused`, or of the same parts at other sizes.
        unet, encoder: .safetensors, .pt, .pth, .ckpt or .bin; None: those weights stay.
        rename: prefixes of names in the files, and what they are called here.

    Raises:
        BadConfig: when a file is missing, the system has another conditioner, or a prefix to rename is in no file.
        BadInput: when a file is unreadable or of another layout: what is missing, unexpected, of another shape.
    """
    conditioner = _published(system)
    files = {Path(path): without_prefixes(read_tensors(path)) for path in (unet, encoder) if path is not None}
    for old in rename or {}:
        if not any(key.startswith(old) for state in files.values() for key in state):
            raise BadConfig(
                f"rename: no weight in {' or '.join(map(str, files))} is called '{old}…'; name a prefix of one."
            )
    states = {path: renamed(state, rename or {}) for path, state in files.items()}
    loaded: list[tuple[nn.Module, dict[str, Tensor]]] = []
    if unet is not None:
        state = copies_folded(states[Path(unet)], "net.", UNET_COPIES, unet)
        Mismatch.between(state, system.unet.state_dict()).refuse(unet, "the published U-Net", _ADVICE)
        loaded.append((system.unet, state))
    if encoder is not None:
        state = states[Path(encoder)]
        Mismatch.between(state, published_encoder_state(system)).refuse(encoder, "the published encoder", _ADVICE)
        loaded.append((conditioner.encoder, {k: v for k, v in state.items() if not k.startswith(FUSION)}))
        if conditioner.fusion is not None:
            fusion = {k.removeprefix(FUSION): v for k, v in state.items() if k.startswith(FUSION)}
            loaded.append((conditioner.fusion, fusion))
    for module, state in loaded:
        module.load_state_dict(state)


def published_unet_state(system: Conditioned) -> dict[str, Tensor]:
    """The U-Net under the names that `DiffusionModel.load_state_dict` expects; the three copies share memory."""
    once = system.unet.state_dict()
    return {prefix + key: tensor for prefix in ("", "diffusion.", "sampler.") for key, tensor in once.items()}


def published_encoder_state(system: Conditioned) -> dict[str, Tensor]:
    """The motion encoder (and fusion block); without a genre token, which is no part of the published file."""
    conditioner = _published(system)
    state = dict(conditioner.encoder.state_dict())
    if conditioner.fusion is not None:
        state |= {FUSION + key: tensor for key, tensor in conditioner.fusion.state_dict().items()}
    return state


def export_published(checkpoint: Path, folder: str | Path) -> list[Path]:
    """`write_published` of the system in a checkpoint of ours."""
    found = load_checkpoint(checkpoint)
    system = build(found.config["system"], checkpoint)
    load_into(system, found)
    return write_published(system, folder)


def write_published(system: Conditioned, folder: str | Path) -> list[Path]:
    """Write `unet.pt` and `encoder.pt`, and `genre_vectors.safetensors` where the system has a genre token.

    Raises:
        BadConfig: when the system has another conditioner, or sees normalised motion or standardised latents: the
            published layout has no room for means and deviations.
    """
    conditioner = _published(system)
    if conditioner.normalised or getattr(system, "standardise_latents", False):
        raise BadConfig(
            f"{folder}: not written, since this system normalises motion or standardises latents and the published layout has "
            "no room for their means; use layout=d2m, or train with system.standardise_latents=false and "
            "system.conditioner.normalised=false."
        )
    folder = writable_folder(folder)
    written = []
    for name, state in (("unet.pt", published_unet_state(system)), ("encoder.pt", published_encoder_state(system))):
        with atomic_write(folder / name) as temporary:
            torch.save(state, temporary)
        written.append(folder / name)
    if conditioner.genre_token is not None:
        with atomic_write(folder / "genre_vectors.safetensors") as temporary:
            save_file({"genre_vectors": conditioner.genre_token.vectors.detach().contiguous()}, temporary)
        written.append(folder / "genre_vectors.safetensors")
    return written


def _published(system: Conditioned) -> PublishedConditioner:
    conditioner = system.conditioner
    if not isinstance(conditioner, PublishedConditioner):
        raise BadConfig(
            f"the published layout has room for a PublishedConditioner only, not for a {type(conditioner).__name__}; use a "
            "system such as system=published."
        )
    return conditioner
