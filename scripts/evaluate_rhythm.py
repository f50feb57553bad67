"""Beats read and obeyed: `python scripts/evaluate_rhythm.py dances=DIR [beats=DIR] out=DIR [checkpoint=demo]`."""

from d2m.commands import run

if __name__ == "__main__":
    run("evaluate_rhythm")
