"""Which genre does a piece of music sound like? A small network on mel features; `scripts/train_genre.py` trains it.

The shipped weights know the ten genres of the embedded data set (their accuracy on songs that they never heard is noted in
them). A classifier's word counts only for the kind of music that it was trained on.
"""

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import librosa
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from d2m.core.checkpoint import WEIGHTS, load_checkpoint
from d2m.core.errors import BadInput
from d2m.core.music import Music

SAMPLE_RATE = 22050
HOP_SAMPLES = 512
WINDOW_SAMPLES = 2048
MEL_BANDS = 64
LEVEL = 0.1
"""Root mean square that every clip is brought to before the mel spectrogram, so that loudness plays no part."""

_MEL_FLOOR = 1e-2
_SILENT = 1e-6

SHIPPED_WEIGHTS = WEIGHTS / "genre.safetensors"
WINDOW_FRAMES = 256
"""Frames that the network hears at once: 5.9 s."""

FEATURES = "level-log-mel-64"
"""Name of the input, noted in the weights."""


def level_log_mel(music: Music) -> Float[np.ndarray, "64 frame"]:
    """Natural log of a 64-band mel magnitude spectrogram of the mono mix, whatever its loudness.

    22,050 Hz, Hann window of 2,048 samples, hop 512. The clip is first brought to a root mean square of 0.1; magnitudes
    are floored at 0.01, so that digital silence is a constant -4.6.
    """
    samples = music.mono().resampled(SAMPLE_RATE).waveform[0]
    level = float(np.sqrt(np.mean(np.square(samples, dtype=np.float64)))) if samples.size else 0.0
    if level > _SILENT:
        samples = samples * np.float32(LEVEL / level)
    samples = np.pad(samples, (0, max(0, WINDOW_SAMPLES - samples.size)))
    mel = librosa.feature.melspectrogram(
        y=samples, sr=SAMPLE_RATE, n_fft=WINDOW_SAMPLES, hop_length=HOP_SAMPLES, n_mels=MEL_BANDS, power=1.0
    )
    return np.log(np.maximum(mel, _MEL_FLOOR)).astype(np.float32)


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
