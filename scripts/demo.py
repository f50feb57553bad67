"""The whole path: held-out dances in, music, videos, scores and a report out. `make demo` runs it."""

from d2m.commands import run

if __name__ == "__main__":
    run("demo")
