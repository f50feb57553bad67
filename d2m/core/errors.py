"""The errors that a user can mend: one sentence each, with file, finding, expectation and remedy."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from omegaconf import DictConfig, OmegaConf


class UserError(Exception):
    """Something that the user gave is not usable; `str(error)` is one sentence for the terminal.

    Scripts print it without a traceback and exit with status 2.
    """


class BadInput(UserError):
    """A file's content is not what was expected (wrong width, NaN, hostile pickle, empty …)."""


class BadConfig(UserError):
    """A setting names something that does not exist or does not fit (unknown genre, missing checkpoint …)."""


# How the scripts talk: a user's mistake is one sentence on stderr and status 2, never a traceback.


@contextmanager
def user_errors_exit() -> Iterator[None]:
    """Turn a `UserError` into `error: sentence` on stderr and exit status 2; any other error passes as it is.

    Works as a decorator too: `@hydra.main(...)` above `@user_errors_exit()` above `def main(config)`.
    """
    try:
        yield
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("error: interrupted; files already finished are kept.", file=sys.stderr)
        sys.exit(130)


def whole_number(name: str, value: Any, least: int = 0, below: int = 2**63) -> int:
    """`value`, where it is a whole number in [least, below).

    Raises:
        BadConfig: for anything else.
    """
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value < below:
        found = str(value) if len(str(value)) <= 40 else f"a number of {len(str(value))} digits"
        raise BadConfig(f"{name}={found}: expected a whole number from {least} to {below - 1}.")
    return int(value)


def require_settings(config: DictConfig, meanings: Mapping[str, str], usage: str) -> None:
    """Check that the mandatory settings (`???` in the YAML) were given.

    Args:
        config: the composed configuration.
        meanings: for each mandatory key, what it is, as in `{"generated": "the folder of generated wavs"}`.
        usage: a command line that works.

    Raises:
        BadConfig: naming every missing key, its meaning, and the usage.
    """
    missing = [key for key in meanings if OmegaConf.is_missing(config, key) or config.get(key) in (None, "")]
    if missing:
        wanted = ", ".join(f"{key}= ({meanings[key]})" for key in missing)
        raise BadConfig(f"missing {wanted}; the command is: {usage}")
