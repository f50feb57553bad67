"""How PyTorch's threads wait is set before PyTorch is loaded, whatever a user starts."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
STARTED = sorted([*(ROOT / "scripts").glob("*.py"), ROOT / "d2m" / "__main__.py"])
EARLY = {"torch", "lightning", "torchaudio", "audio_diffusion_pytorch", "transformers", "librosa"}


@pytest.mark.parametrize("path", STARTED, ids=lambda path: path.name)
def test_d2m_is_imported_before_pytorch(path: Path) -> None:
    names: list[str] = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names += [alias.name.split(".")[0] for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names.append((node.module or "").split(".")[0])
    assert "d2m" in names, path
    assert not EARLY & set(names[: names.index("d2m")]), path


def test_importing_d2m_sets_it_without_pytorch() -> None:
    code = "import d2m, os, sys; print(os.environ['OMP_WAIT_POLICY'], 'torch' in sys.modules)"
    for given, wanted in ((None, "PASSIVE False"), ("ACTIVE", "ACTIVE False")):
        env = {key: value for key, value in os.environ.items() if key != "OMP_WAIT_POLICY"}
        env |= {"OMP_WAIT_POLICY": given} if given else {}
        done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, cwd=ROOT)
        assert done.stdout.strip() == wanted, done.stderr
