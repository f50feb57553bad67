"""Score a folder of generated music beside its floors and ceilings; compare several."""

from d2m.commands import run

if __name__ == "__main__":
    run("evaluate")
