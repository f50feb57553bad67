"""Rhythm of real and synthetic dances side by side: `python scripts/dance_statistics.py out=DIR [real=DIR]`."""

from d2m.commands import run

if __name__ == "__main__":
    run("dance_statistics")
