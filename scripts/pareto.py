"""Quality against network evaluations: `python scripts/pareto.py checkpoint=demo root=data/val out=DIR`.

Generates a split's dances under every setting of configs/pareto.yaml, scores them, and writes pareto.json, pareto.csv,
pareto.md and pareto.png into `out`. Run again, it goes on where it stopped.
"""

from pathlib import Path

import hydra
import torch
from omegaconf import DictConfig, OmegaConf

from d2m.core.errors import BadConfig, require_settings, user_errors_exit

MEANINGS = {"root": "a data set", "out": "folder"}
USAGE = "python scripts/pareto.py checkpoint=demo root=data/val out=DIR"


@hydra.main(version_base="1.3", config_path="../configs", config_name="pareto")
@user_errors_exit()
def main(config: DictConfig) -> None:
    """Make, score, report."""
    require_settings(config, MEANINGS, USAGE)
    from d2m.evaluation.pareto import Setting, Sweep, run_sweep
    from d2m.evaluation.pareto_report import write_pareto

    if config.threads:
        torch.set_num_threads(config.threads)
    asked = OmegaConf.to_container(config.settings, resolve=True)
    assert isinstance(asked, list)
    known = set(Setting.__dataclass_fields__)
    for setting in asked:
        if not isinstance(setting, dict) or set(setting) - known:
            raise BadConfig(f"settings: found {setting}, expected some of {{{', '.join(sorted(known))}}}.")
    settings, out = [Setting(**setting) for setting in asked], Path(config.out)
    chosen = {key: config[key] for key in ("checkpoint", "split", "clips", "seed")}
    rows = run_sweep(Sweep(settings=settings, root=Path(config.root), out=out, more=list(config.more), **chosen))
    print("\n" + write_pareto(rows, out))
    print(f"wrote {out / 'pareto.json'}, .csv, .md and .png")


if __name__ == "__main__":
    main()
