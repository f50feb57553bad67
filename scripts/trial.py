"""Train a system within its budget and score it on held-out dances: `python scripts/trial.py what=wavenet`.

Writes music, scores and trial.json into `out`, and prints a row; `beside=[DIR,...]` puts earlier trials into the same table.
"""

from pathlib import Path

import hydra
import torch
from omegaconf import DictConfig, OmegaConf

from d2m.core.errors import user_errors_exit
from d2m.core.files import atomic_write


@hydra.main(version_base="1.3", config_path="../configs", config_name="trial")
@user_errors_exit()
def main(config: DictConfig) -> None:
    """Run, then print the table."""
    from d2m.evaluation.trials import Trial, load_trial, run_trial, trial_table

    if config.threads:
        torch.set_num_threads(config.threads)
    name = config.name or config.what or config.checkpoint or "trial"
    out = Path(config.out or f"outputs/trials/{Path(str(name)).stem}")
    settings = OmegaConf.to_container(config.settings, resolve=True)
    assert isinstance(settings, dict)
    overrides = [*config.train, *([f"threads={config.threads}"] if config.threads else [])]
    trial = Trial(
        name=str(name),
        out=out,
        roots={str(split): Path(root) for split, root in config.roots.items()},
        experiment=config.what,
        overrides=overrides,
        checkpoint=config.checkpoint,
        settings={str(key): value for key, value in settings.items()},
        seed=config.seed,
        clips=config.clips,
    )
    table = trial_table([*(load_trial(Path(folder)) for folder in config.beside), run_trial(trial)])
    for file, text in (("table.md", table), ("config.yaml", OmegaConf.to_yaml(config, resolve=True))):
        with atomic_write(out / file) as temporary:
            temporary.write_text(text)
    print("\n" + table)


if __name__ == "__main__":
    main()
