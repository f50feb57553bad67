"""Every subcommand of `d2m` that is configured by Hydra, and where the configs are. `scripts/NAME.py` runs the same functions.

Nothing heavy is imported before a command has been chosen: `d2m --help` answers at once.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path


@dataclass(frozen=True)
class Command:
    """A subcommand: the room of its function, the function (also its config's name), and one line of help."""

    module: str
    name: str
    help: str


COMMANDS = {
    command.name: command
    for command in (
        Command("data", "prepare", "make or bring a data set into AIST++'s layout"),
        Command("data", "encode", "encode a data set's music into latents or codec tokens"),
        Command("data", "shard", "write an encoded data set as tar files for streaming"),
        Command("data", "lift", "copy a data set as a camera would have seen it"),
        Command("training", "train", "train a system: experiment=NAME"),
        Command("training", "train_codec", "fit a codec's codebooks over an autoencoder's latents"),
        Command("training", "train_genre", "train the evaluation's genre classifier"),
        Command("training", "export", "write the weights of a training run"),
        Command("training", "import_weights", "turn the published system's weights into a checkpoint"),
        Command("generation", "sample", "music for many dances"),
        Command("generation", "demo", "the whole path on held-out dances: music, films, scores, report"),
        Command("generation", "trial", "train a system within its budget and score it"),
        Command("generation", "pareto", "quality against network evaluations"),
        Command("evaluation", "evaluate", "score a folder of generated music"),
        Command("evaluation", "evaluate_dmae", "score what an autoencoder keeps of music"),
        Command("evaluation", "evaluate_editing", "score edited songs"),
        Command("evaluation", "evaluate_rhythm", "how steadily beats are read, and how well given ones are obeyed"),
        Command("evaluation", "compare", "a leaderboard of several evaluations"),
        Command("evaluation", "dance_statistics", "how real and synthetic dances lie in the beat"),
    )
}


def config_folder() -> Path:
    """The folder of YAML files: `d2m/configs` of an installed wheel, `configs` at the top of a checkout."""
    package = Path(__file__).parents[1]
    installed = package / "configs"
    return installed if installed.is_dir() else package.parent / "configs"


def run(name: str, arguments: Sequence[str] | None = None) -> None:
    """Compose the command's config from `KEY=VALUE` arguments and call its function.

    Args:
        name: a key of `COMMANDS`.
        arguments: Hydra's overrides and flags (`--config-dir DIR` adds a folder of configs); default: the process's own.

    A user's mistake ends the process with one sentence and status 2.
    """
    from omegaconf import DictConfig

    from d2m.commands.overrides import run_checked  # Hydra is slow to import, and `d2m --help` needs none

    def command(config: DictConfig) -> None:
        getattr(import_module(f"d2m.commands.{COMMANDS[name].module}"), name)(config)

    if arguments is not None:
        sys.argv = [f"d2m {name}", *arguments]
    run_checked(command, name, config_folder())
