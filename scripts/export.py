"""Half-precision weights of a training run: `python scripts/export.py run=outputs/train/demo out=demo.safetensors`."""

from d2m.commands import run

if __name__ == "__main__":
    run("export")
