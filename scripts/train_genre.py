"""Train the evaluation's genre classifier on reference audio: `python scripts/train_genre.py root=DATA out=FILE`."""

from d2m.commands import run

if __name__ == "__main__":
    run("train_genre")
