"""Which genre does a piece of music sound like? A small classifier on mel features, trained on reference audio.

The shipped weights know the ten genres of the embedded data set (`scripts/train_genre.py` made them and prints their
accuracy on songs that they never heard). For other music train your own by the same command: a classifier's word counts
only for the kind of music that it was trained on, so always print its accuracy on the references beside that on the
generated clips.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from d2m.core.checkpoint import WEIGHTS, load_checkpoint
from d2m.core.errors import BadInput
from d2m.core.music import Music
from d2m.evaluation.analysis import GenreGuess, GenreReader
from d2m.evaluation.embeddings import MEL_BANDS, level_log_mel

SHIPPED_WEIGHTS = WEIGHTS / "genre.safetensors"
WINDOW_FRAMES = 256
"""Frames that the network hears at once: 5.9 s."""

KL_EPSILON = 1e-6
FEATURES = "level-log-mel-64"
"""Name of the input, noted in the weights."""


class GenreNetwork(nn.Module):
    """Four strided convolutions over time, mean and maximum over what is left, one linear layer.

    Args:
        genres: number of classes.
        channels: of each convolution.
        dropout: on the pooled vector.
    """

    def __init__(self, genres: int, channels: int = 64, dropout: float = 0.3) -> None:
        super().__init__()
        self.input_norm = nn.BatchNorm1d(MEL_BANDS)
        widths = [MEL_BANDS, channels, channels, channels, channels]
        self.blocks = nn.Sequential(
            *[
                nn.Sequential(
                    nn.Conv1d(inside, outside, kernel_size=5, stride=2, padding=2), nn.BatchNorm1d(outside), nn.GELU()
                )
                for inside, outside in pairwise(widths)
            ]
        )
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(2 * channels, genres)

    def forward(self, log_mel: Float[Tensor, "batch 64 frame"]) -> Float[Tensor, "batch genre"]:
        """Logits."""
        hidden = self.blocks(self.input_norm(log_mel))
        return self.head(self.dropout(torch.cat([hidden.mean(dim=-1), hidden.amax(dim=-1)], dim=-1)))


@dataclass(frozen=True)
class GenreClassifier:
    """A trained network with the names of its classes.

    Args:
        genres: class names, in the order of the network's outputs.
        accuracy: what training measured on held-out songs, by split.
        weights_sha256: of the file, to be printed beside a score; empty for a network not yet saved.
    """

    network: GenreNetwork
    genres: tuple[str, ...]
    accuracy: dict[str, float]
    weights_sha256: str = ""

    @staticmethod
    def load(path: str | Path | None = None) -> "GenreClassifier":
        """Read weights that `scripts/train_genre.py` wrote, by default the shipped ones.

        Raises:
            BadInput: when the file is missing or something else.
        """
        path = SHIPPED_WEIGHTS if path is None else Path(path)
        if not path.is_file():
            raise BadInput(
                f"{path}: no genre classifier here; train one with scripts/train_genre.py root=DATA out={path}."
            )
        checkpoint = load_checkpoint(path)
        config = checkpoint.config.get("genre_classifier", {})
        try:
            if config["features"] != FEATURES:
                raise BadInput(
                    f"{path}: hears '{config['features']}', expected '{FEATURES}'; train the classifier again."
                )
            network = GenreNetwork(len(config["genres"]), config["channels"])
            network.load_state_dict(checkpoint.state)
        except (KeyError, RuntimeError, TypeError) as error:
            raise BadInput(f"{path}: no genre classifier; give a file that scripts/train_genre.py wrote.") from error
        return GenreClassifier(network.eval(), tuple(config["genres"]), dict(config["accuracy"]), checkpoint.sha256)

    def probabilities(self, music: Music) -> Float[np.ndarray, " genre"]:
        """Class probabilities of a clip of any length; a silent clip gets what the network says of silence."""
        return self.probabilities_of(level_log_mel(music))

    def probabilities_of(self, log_mel: Float[np.ndarray, "64 frame"]) -> Float[np.ndarray, " genre"]:
        """The same from a spectrogram made by `level_log_mel`: mean over windows of 5.9 s that overlap by half."""
        with torch.inference_mode():
            logits = self.network(torch.from_numpy(_windows(log_mel)))
            return torch.softmax(logits.double(), dim=-1).mean(dim=0).numpy()

    def genre(self, music: Music) -> str:
        """The most probable class."""
        return self.genres[int(self.probabilities(music).argmax())]


def _windows(log_mel: Float[np.ndarray, "64 frame"]) -> Float[np.ndarray, "window 64 256"]:
    """Windows that cover the clip, the last one aligned to its end; a shorter clip is repeated until it fills one."""
    frames = log_mel.shape[1]
    if frames < WINDOW_FRAMES:
        return np.take(log_mel, np.arange(WINDOW_FRAMES), axis=1, mode="wrap")[None]
    count = int(np.ceil((frames - WINDOW_FRAMES) / (WINDOW_FRAMES // 2))) + 1
    starts = np.linspace(0, frames - WINDOW_FRAMES, count).round().astype(int)
    return np.stack([log_mel[:, start : start + WINDOW_FRAMES] for start in starts])


def kl_divergence(
    reference: Float[np.ndarray, " genre"], generated: Float[np.ndarray, " same_genre"], epsilon: float = KL_EPSILON
) -> float:
    """Kullback-Leibler divergence `sum p_ref log(p_ref / p_gen)` between two clips' class probabilities, in nats.

    Direction as text-to-music papers report it (the reference first). Probabilities are raised to at least `epsilon` and
    brought back to sum 1, so that the value is finite (at most about 13.8 for 1e-6), never negative, and 0 for equal ones.

    Raises:
        ValueError: when they are not probabilities over the same classes.
    """
    pair = []
    for probabilities in (reference, generated):
        if probabilities.shape != reference.shape or not np.isclose(probabilities.sum(), 1, atol=1e-3):
            raise ValueError("kl_divergence needs two vectors of probabilities over the same classes.")
        raised = np.maximum(probabilities.astype(np.float64), epsilon)
        pair.append(raised / raised.sum())
    return float(np.sum(pair[0] * np.log(pair[0] / pair[1])))


def genre_accuracy(said: Sequence[str], true: Sequence[str]) -> float:
    """Share of clips whose said genre is the true one; NaN for no clip.

    Raises:
        ValueError: when the lists differ in length.
    """
    if len(said) != len(true):
        raise ValueError(f"found {len(said)} said genres for {len(true)} true ones; they must be as many.")
    return float(np.mean([one == other for one, other in zip(said, true, strict=True)])) if said else float("nan")


# The genre classifier as a listener: loaded once, asked about each piece's spectrogram.


NO_CLASSIFIER = "none"


def load_genre_reader(weights: str | Path | None = None) -> tuple[GenreReader, dict[str, object]] | None:
    """A reader and what to print about it; None for `none`.

    Args:
        weights: file that `scripts/train_genre.py` wrote; None takes the shipped one, trained on the embedded data set.

    Raises:
        BadInput: when the file is missing or something else.
    """
    if str(weights) == NO_CLASSIFIER:
        return None

    classifier = GenreClassifier.load(weights)

    def read(level_mel: Float[np.ndarray, "64 frame"]) -> GenreGuess:
        probabilities = classifier.probabilities_of(level_mel)
        return GenreGuess(classifier.genres[int(probabilities.argmax())], probabilities)

    about = {"weights": str(weights or "shipped"), "sha256": classifier.weights_sha256, "accuracy": classifier.accuracy}
    return read, about
