"""A data set as a camera would have seen it: `python scripts/lift.py root=data/procedural` (see configs/lift.yaml)."""

from d2m.commands import run

if __name__ == "__main__":
    run("lift")
