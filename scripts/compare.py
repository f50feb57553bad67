"""A leaderboard of several evaluations: `python scripts/compare.py runs=[outputs/scores/a,outputs/scores/b] out=DIR`."""

from d2m.commands import run

if __name__ == "__main__":
    run("compare")
