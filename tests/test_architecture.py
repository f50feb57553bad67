"""The rooms of the house and their floors: imports go down, never up; modules stay small and named by what they hold."""

import ast
import functools
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FLOORS = [
    {"core"},
    {"motion"},
    {"diffusion", "audio", "video"},
    {"render"},
    {"metrics"},
    {"models"},
    {"rhythm"},
    {"songs"},
    {"systems"},
    {"data", "training"},
    {"pipeline"},
    {"evaluation"},
    {"clip_pipeline"},
    {"web", "live"},
    {"commands"},
    {"cli", "__main__"},
]
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
MODULES = sorted((ROOT / "d2m").rglob("*.py"))


@functools.cache
def nodes_of(path: Path) -> list[ast.AST]:
    """Everything in a file's syntax tree."""
    return list(ast.walk(ast.parse(path.read_text())))


@functools.cache
def imported(path: Path) -> list[str]:
    """Full names of the modules that a file imports, wherever in the file."""
    nodes = nodes_of(path)
    direct = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    return direct + [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)]


def test_imports_go_down() -> None:
    for path in MODULES:
        parts = path.relative_to(ROOT / "d2m").with_suffix("").parts
        for name in imported(path) if parts[0] != "__init__" else ():
            assert not name.startswith("evaluate"), f"{path.name} imports {name}: d2m never imports evaluate"
            assert not name.startswith("d2m.") or FLOOR[name.split(".")[1]] <= FLOOR[parts[0]], (
                f"{path} imports {name}, which is a floor above"
            )


LATE = {"cli", "commands", "evaluation", "web"}
"""Rooms that import parts of d2m in a function, since these take seconds or an extra and are not always needed."""


def dotted(path: Path) -> str:
    """Full name of a module."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def test_no_import_inside_a_function() -> None:
    for path in MODULES:
        functions = [node for node in nodes_of(path) if isinstance(node, ast.FunctionDef)]
        inner = {
            node.module
            for function in functions
            for node in ast.walk(function)
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("d2m")
        }
        assert not inner or dotted(path).split(".")[1] in LATE, f"{path} imports {inner} inside a function"


def test_no_circles() -> None:
    """Not even through imports inside functions: the modules can be put in an order."""
    names = {dotted(path) for path in MODULES}
    edges = {dotted(path): {name for name in imported(path) if name in names} - {dotted(path)} for path in MODULES}
    try:
        list(TopologicalSorter(edges).static_order())
    except CycleError as error:
        pytest.fail(f"modules import each other: {' → '.join(error.args[1])}")


@functools.cache
def defined(path: Path) -> set[str]:
    """Names that a module has: defined, assigned or imported at its top, also under a condition."""
    names: set[str] = set()
    for node in nodes_of(path):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names |= {(alias.asname or alias.name).split(".")[0] for alias in node.names}
    return names


def test_every_import_finds_its_name() -> None:
    """Also inside functions, where nothing else notices before somebody calls them."""
    known = {dotted(path): path for path in MODULES}
    for path in [*MODULES, *(ROOT / "scripts").rglob("*.py")]:
        for node in nodes_of(path):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "d2m":
                assert node.module in known, f"{path} imports from {node.module}, which is no module"
                names = {alias.name for alias in node.names}
                inner = {name for name in names if f"{node.module}.{name}" in known}
                missing = names - inner - defined(known[node.module])
                assert not missing, f"{path} imports {missing} from {node.module}, which has none"


def test_diffusion_knows_no_network() -> None:
    for path in (ROOT / "d2m" / "diffusion").glob("*.py"):
        assert not [name for name in imported(path) if name.startswith(("d2m.models", "a_unet"))], path


def test_modules_are_small_and_named() -> None:
    for path in MODULES:
        assert path.stem not in {"utils", "util", "helpers", "misc", "common"}, path
        assert len(path.read_text().splitlines()) <= 600, path


SHARED_BY_SYSTEMS = {"interface", "training_system"}
FAMILIES = {
    "latent_diffusion": {"latent_generator", "editing", "distillation"},
    "autoencoder": {"stereo_autoencoder"},
    "rhythm_reading": set(),
    "codec_transformer": set(),
    "wavenet": set(),
    "textual_inversion": set(),
    "retrieval": set(),
}
FAMILY = {module: name for name, others in FAMILIES.items() for module in {name, *others}}


def imported_systems(path: Path) -> set[str]:
    """Modules of `d2m.systems` that a file imports."""
    return {name.split(".")[2] for name in imported(path) if name.startswith("d2m.systems.")}


def test_no_system_imports_another() -> None:
    for path in (ROOT / "d2m" / "systems").glob("*.py"):
        if path.stem in SHARED_BY_SYSTEMS | {"__init__"}:
            assert imported_systems(path) <= SHARED_BY_SYSTEMS, path
        else:
            families = {FAMILY[module] for module in imported_systems(path) - SHARED_BY_SYSTEMS}
            assert families <= {FAMILY[path.stem]}, path


def test_facade_training_and_scripts_know_no_system_by_name() -> None:
    facade = [ROOT / "d2m" / f"{name}.py" for name in ("pipeline", "clip_pipeline", "cli")]
    scripts = [ROOT / "d2m" / "commands" / f"{name}.py" for name in ("training", "generation")]
    evaluation = [path for path in (ROOT / "d2m" / "evaluation").rglob("*.py")]
    for path in [*facade, *scripts, *evaluation, *(ROOT / "d2m" / "training").glob("*.py")]:
        assert imported_systems(path) <= {"interface"}, path
