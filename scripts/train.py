"""Train: `python scripts/train.py experiment=demo` (see configs/experiment/ for the others)."""

from d2m.commands import run

if __name__ == "__main__":
    run("train")
