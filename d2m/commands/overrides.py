"""What stands on a command line: keys that do not exist, seeds that are none; said in one sentence, with the key that was meant.

Hydra advises to put a `+` before a key that it does not know, which then changes nothing. Here such a key is refused, but
below what takes arguments of any name: a part with a `_target_` (whoever builds it refuses what it does not take) and
`callbacks`.
"""

import difflib
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from d2m.core.errors import BadConfig, user_errors_exit, whole_number

_TRAINING = ("train", "trial", "train_codec", "train_genre")
"""Commands whose seed has 32 bits, as numpy's generator that Lightning seeds; the others' has 63."""

_FREE = ("callbacks", "compile", "rename")
_OPEN_COMMANDS = ("sample",)
"""Commands that pass keys of their own on to a system, which refuses those that it does not have."""


def run_checked(function: Callable[[DictConfig], None], name: str, folder: Path) -> None:
    """Compose the configuration `name` of `folder` from the process's arguments, check it, and call `function` with it.

    A user's mistake ends the process with one sentence and status 2.
    """

    def task(config: DictConfig) -> None:
        with user_errors_exit():
            check(config, name, HydraConfig.get().overrides.task, folder)
            function(config)

    sys.argv[1:] = [quoted(argument) for argument in sys.argv[1:]]
    before = os.environ.get("HYDRA_FULL_ERROR")
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra raises its errors, in place of printing them with its own advice
    try:
        with user_errors_exit():
            try:
                hydra.main(version_base="1.3", config_path=str(folder), config_name=name)(task)()
            except (HydraException, OmegaConfBaseException) as error:
                raise BadConfig(sentence(error, name, folder)) from error
    finally:
        os.environ.pop("HYDRA_FULL_ERROR") if before is None else os.environ.update(HYDRA_FULL_ERROR=before)


def quoted(argument: str) -> str:
    """`KEY=VALUE` with quotes around the value where it is the name of a file that Hydra's grammar would take apart, such as
    `a=b, c [1].pkl`."""
    key, equals, value = argument.partition("=")
    if not equals or not value or argument.startswith("-") or value[0] in "'\"":
        return argument
    try:
        parsed = OverridesParser.create().parse_override(argument)
        if not parsed.is_sweep_override() and not isinstance(parsed.value(), list | dict):
            return argument
    except (HydraException, OmegaConfBaseException):
        pass
    if not Path(value).exists() and not (key == "out" and value[0] not in "[{("):  # what is written is not there yet
        return argument
    ending = len(value) - len(value.rstrip("\\"))  # only these and quotes are escaped
    return f"{key}='" + value.replace("'", "\\'") + "\\" * ending + "'"


def check(config: DictConfig, name: str, overrides: Sequence[str], folder: Path) -> None:
    """Refuse keys that were added and that nothing reads, and numbers that none of the commands can use.

    Raises:
        BadConfig: naming the key, and the one that is nearest to it.
    """
    known: set[str] | None = None
    for override in overrides:
        key = override.lstrip("+").partition("=")[0]
        if (
            not override.startswith("+")
            or is_group(key, folder)
            or name in _OPEN_COMMANDS
            or _is_below_free(config, key)
        ):
            continue
        known = known_keys(name, overrides, folder) if known is None else known
        if key not in known:
            raise BadConfig(unknown_key(key, known))
    for key, limit in (("seed", 2**32 if name in _TRAINING else 2**63), ("threads", 4096)):
        if isinstance(config, DictConfig) and config.get(key) is not None:
            whole_number(key, config[key], int(key == "threads"), limit)


def unknown_key(key: str, known: set[str]) -> str:
    """The sentence for a key that does not exist."""
    last = key.rpartition(".")[2]
    meant = sorted(one for one in known if one.rpartition(".")[2] == last or one.endswith(f".{key}"))
    if not meant:
        by_last = {one.rpartition(".")[2]: one for one in sorted(known, reverse=True)}
        meant = difflib.get_close_matches(key, sorted(known), 2, 0.75)
        meant = meant or [by_last[one] for one in difflib.get_close_matches(last, sorted(by_last), 2, 0.75)]
    if meant:
        return f"{key}: no such key; {' or '.join(f'{one}=' for one in meant[:3])} is the nearest, say that."
    tops = sorted({one.partition(".")[0] for one in known})
    return (
        f"{key}: no such key, and none is near; there are {', '.join(tops)}."
        if tops
        else f"{key}: no such key; leave it out."
    )


def is_group(key: str, folder: Path) -> bool:
    """Whether a key chooses a file of a folder of configs, and is no value."""
    return key.startswith("hydra") or "@" in key or (folder / key).is_dir()


def known_keys(name: str, overrides: Sequence[str], folder: Path) -> set[str]:
    """Every key of the configuration without what the command line sets, but with the files that it chooses."""
    chosen = [one for one in overrides if is_group(one.lstrip("+~").partition("=")[0], folder)]
    for groups in (chosen, []):
        try:
            with _other_hydra(), hydra.initialize_config_dir(str(folder.resolve()), version_base="1.3"):
                return set(_flat(hydra.compose(name, groups)))
        except (HydraException, OmegaConfBaseException):
            continue  # a choice that does not exist, or is missing
    return set()


def sentence(error: Exception, name: str, folder: Path) -> str:
    """What Hydra found, in one sentence and without its advice."""
    text, overrides = str(error), _arguments()
    missing = re.search(r"Could not find '([^']+)/([^'/]+)'", text) or re.search(r"must specify '([^']+)'()", text)
    if missing:
        group, found = missing.groups()
        options = sorted(path.stem for path in (folder / group).glob("*.yaml"))
        wrong = f"{group}={found}: no such file" if found else f"{group}= is missing"
        return f"{wrong}; choose one of {', '.join(options)}."
    key = re.search(r"Could not override '([^']+)'", text) or re.search(r"Key '([^']+)' is not in struct", text)
    if key:
        full = next((one.partition("=")[0] for one in overrides if one.startswith(f"{key[1]}=")), key[1])
        return unknown_key(full.lstrip("+~"), known_keys(name, overrides, folder))
    already = re.search(r"An item is already at '([^']+)'", text)
    if already:
        return f"+{already[1]}: the key exists already; say {already[1]}= without the plus."
    return f"the command line: {' '.join(text.split())[:240].rstrip('.')}; see configs/{name}.yaml."


def _arguments() -> list[str]:
    return [one for one in sys.argv[1:] if "=" in one and not one.startswith("-")]


def _is_below_free(config: DictConfig, key: str) -> bool:
    parts = key.split(".")
    for length in range(1, len(parts)):
        node = OmegaConf.select(config, ".".join(parts[:length]))
        if parts[0] in _FREE or (isinstance(node, DictConfig) and "_target_" in node):
            return True
    return False


def _flat(config: DictConfig, prefix: str = "") -> Iterator[str]:
    for key in config:
        yield f"{prefix}{key}"
        node = config._get_node(key)
        if isinstance(node, DictConfig) and not (node._is_none() or node._is_missing() or node._is_interpolation()):
            yield from _flat(node, f"{prefix}{key}.")


@contextmanager
def _other_hydra() -> Iterator[None]:
    """Room for a second composition while, or after, Hydra runs."""
    instance = GlobalHydra.instance()
    running = instance.hydra
    instance.hydra = None
    try:
        yield
    finally:
        instance.hydra = running
