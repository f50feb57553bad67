"""Half-precision weights of a training run: `python scripts/export.py run=outputs/train/demo out=demo.safetensors`.

With `layout=published`, `out` is a folder for `unet.pt` and `encoder.pt` in the published system's layout.
"""

from pathlib import Path
from typing import Any

import hydra
from omegaconf import DictConfig, OmegaConf

from d2m.core.checkpoint import averaged_weights, load_checkpoint, own_weights, save_checkpoint, shipped_or_path
from d2m.core.errors import BadConfig, require_settings, user_errors_exit


@hydra.main(version_base="1.3", config_path="../configs", config_name="export")
@user_errors_exit()
def main(config: DictConfig) -> None:
    """Write the last checkpoint's (averaged) weights with the config that rebuilds their module."""
    import torch

    from d2m.audio.pretrained import folded
    from d2m.models.published_weights import export_published

    require_settings(
        config, {"run": "a training run's folder", "out": "the file to write"}, "scripts/export.py run=DIR out=FILE"
    )
    if config.layout not in ("d2m", "published"):
        raise BadConfig(f"layout={config.layout}: unknown; expected d2m (one file) or published (a folder).")
    last = Path(config.run) / "checkpoints" / "last.ckpt"
    if not last.exists():
        raise BadConfig(f"{last}: not found, expected the checkpoint of a training run; name the run's folder.")
    if config.layout == "published":
        print("wrote " + ", ".join(map(str, export_published(last, config.out))))
        return
    system: dict[str, Any] = dict(OmegaConf.load(Path(config.run) / "config.yaml").system)
    content = torch.load(last, map_location="cpu", weights_only=True)
    if "dmae" in system:
        state = {k.removeprefix("dmae."): v for k, v in averaged_weights(content).items() if k.startswith("dmae.")}
        described: dict[str, Any] = OmegaConf.to_container(system["dmae"], resolve=True)  # pyright: ignore
        if described["_target_"].endswith("load_dmae"):  # a run that went on from an exported autoencoder
            described = load_checkpoint(shipped_or_path(described["name_or_path"], prefix="dmae_")).config
        save_checkpoint(Path(config.out), folded(state), described)
    else:
        save_checkpoint(Path(config.out), own_weights(content), content["config"])
    print(f"wrote {config.out} ({Path(config.out).stat().st_size / 1e6:.1f} MB)")


if __name__ == "__main__":
    main()
