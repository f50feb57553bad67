"""Train a system within its budget and score it on held-out dances: `python scripts/trial.py what=wavenet`."""

from d2m.commands import run

if __name__ == "__main__":
    run("trial")
