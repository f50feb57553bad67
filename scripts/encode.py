"""Encode a data set's music: `python scripts/encode.py dataset=procedural dmae=demo`, or with `codec=demo` into tokens."""

from d2m.commands import run

if __name__ == "__main__":
    run("encode")
