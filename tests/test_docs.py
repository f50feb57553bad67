"""The documents: every command's script, config group and key exists, every local link leads somewhere, the notebook runs."""

import json
import re
import shlex
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from d2m.cli import clip_parser, convert_parser, inspect_parser, live_parser, serve_parser
from d2m.commands import COMMANDS, config_folder
from d2m.core.checkpoint import WEIGHTS

ROOT = Path(__file__).parents[1]
PAGES = [
    ROOT / "README.md",
    ROOT / "ARCHITECTURE.md",
    ROOT / "data" / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]


def commands(page: Path) -> list[str]:
    """Lines of the page's command blocks, continued lines joined, that start a script or `d2m`."""
    blocks = re.findall(r"^```(\w*)\n(.*?)^```", page.read_text(), re.S | re.M)
    lines = [
        line.strip()
        for kind, block in blocks
        if kind in ("", "bash", "sh")
        for line in block.replace("\\\n", " ").splitlines()
    ]
    return [line for line in lines if re.search(r"scripts/\w+\.py|^d2m ", line)]


PARSERS = {"serve": serve_parser, "inspect": inspect_parser, "convert": convert_parser, "live": live_parser}
CASES = [(page, line) for page in PAGES for line in commands(page)]


def plain(token: str) -> str:
    """One setting out of `[optional=value]` and `key=A|B`."""
    if token.startswith("[") and token.endswith("]"):
        token = token[1:-1]
    key, equals, value = token.partition("=")
    return key + equals + value.split("|")[0]


@pytest.mark.parametrize(("page", "line"), CASES, ids=[f"{p.stem}-{n}" for n, (p, _) in enumerate(CASES)])
def test_every_command_exists(page: Path, line: str) -> None:
    tokens = [plain(token) for token in shlex.split(line, comments=True)]
    script = re.search(r"scripts/(\w+)\.py", line)
    name = script.group(1) if script else tokens[1].replace("-", "_")
    if not script and name not in COMMANDS:
        options = {text for action in PARSERS.get(name, clip_parser)()._actions for text in action.option_strings}
        assert {token.strip("[]") for token in tokens if token.strip("[]").startswith("-")} <= options
        return
    if script:
        assert (ROOT / "scripts" / f"{name}.py").is_file()
    start = next(i for i, token in enumerate(tokens) if token.endswith(f"{name}.py") or token.replace("-", "_") == name)
    given = [token for token in tokens[start + 1 :] if "=" in token and not token.startswith("-")]
    is_sweep = "-m" in tokens
    overrides = []
    for setting in given:
        key, _, value = setting.partition("=")
        if key.startswith("hydra/"):
            assert (config_folder() / key / f"{value}.yaml").is_file()
            continue
        if is_sweep and not value.startswith("["):
            value = value.split(",")[0]
        overrides.append(f"{key}={'demo' if key == 'experiment' and value.isupper() else value}")
    if name == "train" and not any(setting.startswith("experiment=") for setting in overrides):
        overrides.append("experiment=demo")
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        compose(name, overrides)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text()):
        assert link.startswith("http") or (page.parent / link).exists(), link


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_named_modules_exist(page: Path) -> None:
    for path in re.findall(r"`((?:d2m|configs|scripts|tests)/[\w/]+(?:\.py|\.yaml|/))`", page.read_text()):
        if "NAME" not in path and "COMMAND" not in path:
            assert (ROOT / path).exists(), path


def test_readme_is_short_and_every_weight_file_has_a_card() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 160
    assert {path.stem for path in WEIGHTS.glob("*.safetensors")} == {
        p.stem for p in (ROOT / "docs" / "cards").glob("*.md")
    }


def test_notebook_runs() -> None:
    cells = json.loads((ROOT / "docs" / "first_music.ipynb").read_text())["cells"]
    names: dict[str, object] = {}
    for cell in cells:
        if cell["cell_type"] == "code":
            exec("".join(cell["source"]), names)
    score = names["score"]
    assert isinstance(score, float) and score > 0.7
