"""What is installed: every direct import declared, thin scripts, configs and weights found, and a start without PyTorch."""

import ast
import re
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from d2m.cli import main
from d2m.commands import COMMANDS, config_folder

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
# The package itself; llvmlite comes with numba and has no bounds of its own.
UNDECLARED = {"benchmark", "d2m", "llvmlite"}


def imported(folder: str) -> set[str]:
    """Top-level names of everything that the modules of a folder import, function bodies included."""
    names: set[str] = set()
    for path in (ROOT / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                names.add(node.module.split(".")[0])
    return names - set(sys.stdlib_module_names)


def declared() -> set[str]:
    """Names of the distributions in requirements.txt and in the extras."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = [line for line in (ROOT / "requirements.txt").read_text().splitlines() if line and line[0] != "#"]
    lines += [line for extra in project["optional-dependencies"].values() for line in extra]
    return {re.split(r"[^\w.-]", line)[0].lower().replace("_", "-") for line in lines}


def test_every_direct_import_is_declared() -> None:
    distributions = packages_distributions()
    missing = []
    for name in sorted((imported("d2m") | imported("scripts")) - UNDECLARED):
        known = {found.lower().replace("_", "-") for found in distributions.get(name, [name])}
        if not known & declared():
            missing.append(name)
    assert not missing


@pytest.mark.parametrize("name", COMMANDS)
def test_script_is_thin_and_names_its_command(name: str) -> None:
    text = (ROOT / "scripts" / f"{name}.py").read_text()
    assert f'run("{name}")' in text and len(text.splitlines()) < 10
    assert (config_folder() / f"{name}.yaml").is_file()


def test_help_lists_the_commands_without_loading_torch() -> None:
    code = "import sys; from d2m.cli import main\ntry: main(['--help'])\nfinally: assert 'torch' not in sys.modules"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert shown.returncode == 0, shown.stderr
    for name in ("make", "serve", *COMMANDS):
        assert name in shown.stdout


def test_command_takes_hydra_keys_and_a_config_folder_of_ones_own(tmp_path, monkeypatch, capsys) -> None:
    (tmp_path / "dataset").mkdir()
    (tmp_path / "dataset" / "mine.yaml").write_text("name: mine\nsplits: [train]\n")
    monkeypatch.setattr(sys, "argv", ["d2m"])
    arguments = ["prepare", "--config-dir", str(tmp_path), "dataset=mine", "out=elsewhere", "--cfg", "job"]
    assert main(arguments) == 0
    shown = capsys.readouterr().out
    assert "name: mine" in shown and "out: elsewhere" in shown


def test_missing_keys_of_a_command_are_one_sentence(monkeypatch, capsys) -> None:
    monkeypatch.setattr(sys, "argv", ["d2m"])
    with pytest.raises(SystemExit) as stopped:
        main(["import-weights"])
    assert stopped.value.code == 2
    assert capsys.readouterr().err.startswith("error: missing unet=")
