"""A leaderboard of several evaluations: `python scripts/compare.py runs=[outputs/scores/a,outputs/scores/b] out=DIR`.

Writes leaderboard.md and leaderboard.html, sorted by beat F at 70 ms, and marks runs that cannot be compared (other
references, another tracker, other tolerances).
"""

from pathlib import Path

import hydra
from omegaconf import DictConfig, ListConfig

from d2m.core.errors import require_settings, user_errors_exit
from d2m.core.files import writable_folder

MEANINGS = {"runs": "out folders of scripts/evaluate.py", "out": "folder"}
USAGE = "python scripts/compare.py runs=[DIR,DIR] out=DIR"


@hydra.main(version_base="1.3", config_path="../configs", config_name="compare")
@user_errors_exit()
def main(config: DictConfig) -> None:
    """Read, sort, write."""
    require_settings(config, MEANINGS, USAGE)
    from d2m.evaluation.comparison import load_run, write_leaderboard
    from d2m.evaluation.runs import unique_names

    paths = [Path(path) for path in (config.runs if isinstance(config.runs, ListConfig) else [config.runs])]
    folders = [path.parent if path.is_file() else path for path in paths]
    runs = [load_run(path, name) for path, name in zip(paths, unique_names(folders), strict=True)]
    written = write_leaderboard(runs, writable_folder(config.out))
    print(written[0].read_text(encoding="utf-8"))
    print("wrote " + " and ".join(str(path) for path in written))


if __name__ == "__main__":
    main()
