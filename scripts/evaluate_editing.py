"""Evaluator edited songs: `python scripts/evaluate_editing.py edited=DIR reference=DIR [songs=DIR] [generated=DIR] out=DIR`."""

from d2m.commands import run

if __name__ == "__main__":
    run("evaluate_editing")
