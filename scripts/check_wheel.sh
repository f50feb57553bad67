#!/usr/bin/env bash
# Builds the wheel, installs it into a fresh environment in another folder, and makes music there.
# Usage: scripts/check_wheel.sh [PYTHON]; WHEEL_DEPS=fresh installs the requirements too, otherwise PYTHON's own are used.
set -euo pipefail
python=$(realpath -s "${1:-.venv/bin/python}")
source=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/source" "$work/elsewhere"
cp -r "$source"/{d2m,configs,setup.py,pyproject.toml,requirements.txt,README.md,LICENSE} "$work/source"
unset PYTHONPATH
"$python" -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir "$work/dist" "$work/source"
"$python" -m venv "$work/venv"
here="$work/venv/bin/python"
if [ "${WHEEL_DEPS:-}" = fresh ]; then
    "$here" -m pip install --quiet "$work"/dist/*.whl
else
    "$here" -m pip install --quiet --no-deps --no-index "$work"/dist/*.whl
    # The packages of PYTHON stand behind those of the fresh environment; its editable d2m is not among them.
    site=$("$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
    echo "$site" > "$("$here" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/borrowed.pth"
fi
cd "$work/elsewhere"
"$here" - <<'PY'
import importlib.util, pathlib, d2m
from d2m.commands import config_folder
assert "venv" in d2m.__file__, d2m.__file__
assert config_folder().parent == pathlib.Path(d2m.__file__).parent, config_folder()
found = importlib.util.find_spec("evaluate")
assert found is None, f"a package evaluate is installed: {found}"
import numpy as np
from d2m.data.synthetic.dances import choreograph
dance = choreograph("gHO", np.arange(0.5, 4.0, 0.5), 0, 4.0, dancer=4, seed=1)
np.savez("dance.npz", poses=dance.poses, trans=dance.trans, mocap_framerate=60)
PY
"$work/venv/bin/d2m" sample checkpoint=demo_fast dance=dance.npz out=music steps=2
test -s music/dance_seed0.wav
echo "the wheel works: d2m sample made music outside the checkout, and import evaluate fails"
