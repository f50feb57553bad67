"""Score a folder of generated music beside its floors and ceilings; compare several.

    python scripts/evaluate.py generated=DIR reference=DIR [dances=DIR] [protocols=all] [trackers=[librosa]] out=DIR
    python scripts/evaluate.py generated=[A,B] reference=DIR out=DIR

Prints tables and writes scores.json, clips.csv, table.md, config.yaml and report.html into `out` (for several systems
into `out/NAME`, and comparison.json and comparison.md into `out`). Works on anybody's wavs. Keys: configs/evaluate.yaml.
"""

from pathlib import Path

import hydra
from omegaconf import DictConfig, ListConfig, OmegaConf

from d2m.core.errors import BadInput, require_settings, user_errors_exit
from d2m.core.files import atomic_write

MEANINGS = {"generated": "folder of generated wavs", "reference": "folder of reference wavs or beats", "out": "folder"}
USAGE = "python scripts/evaluate.py generated=DIR reference=DIR out=DIR"
NOT_SETTINGS = ("generated", "reference", "out", "autoencoder", "decoder", "report")


@hydra.main(version_base="1.3", config_path="../configs", config_name="evaluate")
@user_errors_exit()
def main(config: DictConfig) -> None:
    """Evaluate as the configuration says; status 2 when some files could not be used."""
    require_settings(config, MEANINGS, USAGE)
    from d2m.evaluation.runs import Evaluation, evaluate_all

    generated = config.generated if isinstance(config.generated, ListConfig) else [config.generated]
    plain = OmegaConf.to_container(config, resolve=True)
    assert isinstance(plain, dict)
    evaluation = Evaluation(
        generated=[Path(folder) for folder in generated],
        reference=Path(config.reference),
        out=Path(config.out),
        settings={str(key): value for key, value in plain.items() if key not in NOT_SETTINGS},
        autoencoder=config.autoencoder,
        decoder=config.decoder,
        report=config.report,
    )
    found = evaluate_all(evaluation)
    with atomic_write(evaluation.out / "config.yaml") as temporary:
        temporary.write_text(OmegaConf.to_yaml(config))
    failed = sum(len(scores.failed) for scores in found.values())
    bad = {sentence for scores in found.values() for sentence in scores.bad_files}
    if bad:
        raise BadInput(
            f"{len(bad)} files could not be used and {failed} clips failed (named above); the rest is scored."
        )


if __name__ == "__main__":
    main()
