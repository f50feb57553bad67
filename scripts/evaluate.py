"""Score a folder of generated music beside its floors and ceilings.

    python scripts/evaluate.py generated=DIR reference=DIR [dances=DIR] out=DIR

Prints a table and writes scores.json, clips.csv, config.yaml and report.html into `out`. Keys: configs/evaluate.yaml.
"""

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])  # this file's own name would hide the package `evaluate`

import hydra  # noqa: E402
from omegaconf import DictConfig, OmegaConf  # noqa: E402

from d2m.console import require_settings, user_errors_exit  # noqa: E402
from d2m.errors import BadInput  # noqa: E402
from d2m.files import writable_folder, written_whole  # noqa: E402

MEANINGS = {"generated": "folder of generated wavs", "reference": "folder of reference wavs or beats", "out": "folder"}
USAGE = "python scripts/evaluate.py generated=DIR reference=DIR out=DIR"


@hydra.main(version_base="1.3", config_path="../configs", config_name="evaluate")
@user_errors_exit()
def main(config: DictConfig) -> None:
    """Evaluate as the configuration says; status 2 when some files could not be used."""
    require_settings(config, MEANINGS, USAGE)
    from evaluate.pairs import find_pairs, find_references
    from evaluate.scores import score_folders
    from evaluate.tables import genre_table, leftovers, summary_table

    find_pairs(Path(config.generated), find_references(Path(config.reference)))  # ends here before anything is written
    out = writable_folder(config.out)
    keys = ("generated", "reference", "dances", "beats", "roundtrip", "true_beats", "seed", "resamples", "workers")
    settings = {key: config[key] for key in keys}
    if config.autoencoder:
        from d2m.audio.dmae_weights import load_dmae  # torch is imported only when it is needed
        from evaluate.roundtrip import round_trip_folder

        folders = (config.generated, config.reference, out / "roundtrip")
        settings["roundtrip"] = round_trip_folder(load_dmae(config.autoencoder), *folders, config.decoder)
    scores = score_folders(**settings)
    scores.write(out)
    with written_whole(out / "config.yaml") as temporary:
        temporary.write_text(OmegaConf.to_yaml(config))
    table = scores.to_json()
    if config.report:
        from evaluate.report import write_report

        write_report(table, dict(scores.audio), out, dict(scores.dances) or None)
    print("\n\n".join(part for part in (leftovers(table), genre_table(table), summary_table(table)) if part))
    print(f"\nwrote {out / 'scores.json'}" + (f" and {out / 'report.html'}" if config.report else ""))
    if scores.bad_files:
        raise BadInput(f"{len(scores.bad_files)} files could not be used (named above); the rest is scored.")


if __name__ == "__main__":
    main()
