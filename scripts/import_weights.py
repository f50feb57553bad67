"""Published weights into a checkpoint of ours, which every other script reads."""

from d2m.commands import run

if __name__ == "__main__":
    run("import_weights")
