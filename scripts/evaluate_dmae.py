"""What an autoencoder keeps of held-out music: `python scripts/evaluate_dmae.py dmae=demo root=data/procedural`."""

from d2m.commands import run

if __name__ == "__main__":
    run("evaluate_dmae")
