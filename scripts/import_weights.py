"""Published weights into a checkpoint of ours, which every other script reads.

    python scripts/import_weights.py unet=FILE encoder=FILE [system=published_fused] [dmae.weights=FOLDER] out=FILE

Keys: configs/import_weights.yaml.
"""

from pathlib import Path
from typing import Any

import hydra
from omegaconf import DictConfig, OmegaConf

from d2m.core.checkpoint import build, save_checkpoint
from d2m.core.errors import BadConfig, require_settings, user_errors_exit

MEANINGS = {
    "unet": "the published U-Net's state dict",
    "encoder": "the published motion encoder's state dict",
    "out": "the file to write",
}


@hydra.main(version_base="1.3", config_path="../configs", config_name="import_weights")
@user_errors_exit()
def main(config: DictConfig) -> None:
    """Build the system, fill it with the files' weights, write it with its configuration."""
    require_settings(config, MEANINGS, "python scripts/import_weights.py unet=FILE encoder=FILE out=FILE")
    import torch

    from d2m.models.published_weights import load_published

    out = Path(config.out)
    if out.suffix != ".safetensors":
        raise BadConfig(f"out={out}: expected a name that ends in .safetensors.")
    described: dict[str, Any] = OmegaConf.to_container(config.system, resolve=True)  # pyright: ignore
    system = build(described, out)
    rename: dict[str, str] = OmegaConf.to_container(config.rename) if config.rename else {}  # pyright: ignore
    load_published(system, config.unet, config.encoder, rename)
    system.conditioner.prepare()
    weights = str(config.dmae.weights)
    noted = {"system": described, "dmae": str(Path(weights).resolve()) if Path(weights).exists() else config.dmae.name}
    save_checkpoint(out, system.state_dict(), noted, torch.float16 if config.half else torch.float32)
    print(f"wrote {out} ({out.stat().st_size / 1e6:.1f} MB)")


if __name__ == "__main__":
    main()
