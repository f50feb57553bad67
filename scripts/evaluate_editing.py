"""Evaluator edited songs: `python scripts/evaluate_editing.py edited=DIR reference=DIR [songs=DIR] [generated=DIR] out=DIR`."""

import sys
from pathlib import Path

import hydra
from omegaconf import DictConfig

from d2m.core.errors import require_settings, user_errors_exit

MEANINGS = {
    "edited": "folder of edited wavs",
    "reference": "folder of the new dances' true beats, or a data set's root",
    "out": "folder",
}
USAGE = "python scripts/evaluate_editing.py edited=DIR reference=DIR out=DIR"


@hydra.main(version_base="1.3", config_path="../configs", config_name="evaluate_editing")
@user_errors_exit()
def main(config: DictConfig) -> None:
    """Evaluate as the configuration says; status 2 when some clips could not be judged."""
    require_settings(config, MEANINGS, USAGE)
    from d2m.evaluation.editing_scores import EditEvaluation, editing_table, evaluate_editing

    def path(value: str | None) -> Path | None:
        return None if value is None else Path(value)

    content = evaluate_editing(
        EditEvaluation(
            Path(config.edited),
            Path(config.reference),
            Path(config.out),
            path(config.songs),
            path(config.generated),
            config.autoencoder,
            config.resamples,
            config.seed,
        )
    )
    print(editing_table(content))
    for sentence in content["failed"].values():
        print(f"error: {sentence}", file=sys.stderr)
    if content["failed"]:
        sys.exit(2)


if __name__ == "__main__":
    main()
