"""Quality against network evaluations: `python scripts/pareto.py checkpoint=demo root=data/val out=DIR`."""

from d2m.commands import run

if __name__ == "__main__":
    run("pareto")
