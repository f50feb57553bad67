"""Prepare a data set: `python scripts/prepare.py dataset=procedural out=data/procedural`, or AIST++ from your downloads:"""

from d2m.commands import run

if __name__ == "__main__":
    run("prepare")
