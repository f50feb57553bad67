"""Reading and writing an autoencoder's weights, each weight once.

The stock class holds every U-Net weight three times (`net`, `diffusion.net`, `sampler.net`); files hold only the first.
"""

from pathlib import Path
from typing import Any

from torch import Tensor

from d2m.audio.dmae import DMAE
from d2m.checkpoint import Checkpoint, build, load_checkpoint, load_into, save_checkpoint, shipped_or_path

_COPIES = ("autoencoder.diffusion.net.", "autoencoder.sampler.net.")


def folded(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The state dict without the second and third copy of the U-Net."""
    return {key: value for key, value in state.items() if not key.startswith(_COPIES)}


def unfolded(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The folded state dict with all three copies, as `DMAE.load_state_dict` expects it."""
    copies = {
        key.replace("autoencoder.net.", copy, 1): value
        for key, value in state.items()
        if key.startswith("autoencoder.net.")
        for copy in _COPIES
    }
    return {**state, **copies}


def save_dmae(dmae: DMAE, config: dict[str, Any], path: Path) -> Path:
    """Write `dmae` in half precision; `config` is the `_target_` config that builds it."""
    return save_checkpoint(path, folded(dmae.state_dict()), config)


def load_dmae(name_or_path: str | Path = "demo") -> DMAE:
    """A frozen autoencoder in evaluation mode: `demo`, which ships, or a file that `save_dmae` wrote.

    Raises:
        BadConfig: when there is no such autoencoder.
        BadInput: when the file is not one.
    """
    checkpoint = load_checkpoint(shipped_or_path(name_or_path, prefix="dmae_"))
    dmae = build(checkpoint.config, checkpoint.path)
    load_into(dmae, Checkpoint(unfolded(checkpoint.state), checkpoint.config, checkpoint.path, checkpoint.sha256))
    return dmae.eval().requires_grad_(False)
