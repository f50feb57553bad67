"""How the classifier of `d2m.models.music_genre` judges generated music, and how it is trained on reference audio.

For music of your own train your own by `scripts/train_genre.py`; always print its accuracy on the references beside that on
the generated clips.
"""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from tqdm import tqdm

from d2m.core.aist_names import GENRES, parse_sequence_name
from d2m.core.checkpoint import save_checkpoint
from d2m.core.errors import BadInput, UserError
from d2m.core.files import atomic_write
from d2m.core.music import Music
from d2m.data.layout import DataSetLayout
from d2m.evaluation.analysis import GenreGuess, GenreReader
from d2m.models.music_genre import FEATURES, MEL_BANDS, WINDOW_FRAMES, GenreClassifier, GenreNetwork, level_log_mel

KL_EPSILON = 1e-6


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


# Training on anybody's reference audio: a data set in AIST++'s layout, or wavs with a table `name,genre,split`.
#
# Songs of another split are never trained on. There is no early stopping, so no split was looked at before it is measured.


SPLITS = ("train", "val", "test", "retimed")


@dataclass(frozen=True)
class Example:
    """One labelled clip."""

    name: str
    wav: Path
    genre: str
    split: str


@dataclass(frozen=True)
class GenreTraining:
    """How the classifier is trained: Adam with a one-cycle rate on random excerpts of 5.9 s.

    Args:
        steps, batch: about a minute on one CPU core with the defaults.
        gain: standard deviation, in log-magnitude units, of a random smooth equalisation of each excerpt; it stands for
            recordings and decoders that colour the sound.
        noise: largest standard deviation of the noise added to mel magnitudes, whose floor is 0.01.
        channels: width of the network.
    """

    steps: int = 1200
    batch: int = 48
    rate: float = 2e-3
    weight_decay: float = 1e-2
    gain: float = 0.5
    noise: float = 0.03
    channels: int = 64
    seed: int = 0


def examples_of_data_set(root: Path) -> list[Example]:
    """Clips of a data set in AIST++'s layout, all splits that it has.

    Raises:
        BadInput: when there is no training split, or a name says no genre.
    """
    layout, examples = DataSetLayout(root), []
    for split in SPLITS:
        if split != "train" and not layout.split_file(split).exists():
            continue
        for name in layout.names(split):
            parts = parse_sequence_name(name)
            if parts is None:
                raise BadInput(f"{layout.split_file(split)}: '{name}' is no AIST++ name; give labels=FILE.csv instead.")
            examples.append(Example(name, layout.wav(name), parts.genre, split))
    return examples


def examples_of_table(folder: Path, table: Path) -> list[Example]:
    """Clips of a folder by a table with the columns `name`, `genre` and `split` (`train` or any other word).

    Raises:
        BadInput: when the table lacks a column or has no training clip.
    """
    try:
        with table.open(newline="") as file:
            rows = list(csv.DictReader(file))
        examples = [Example(row["name"], folder / f"{row['name']}.wav", row["genre"], row["split"]) for row in rows]
    except (OSError, KeyError, UnicodeDecodeError, csv.Error) as error:
        raise BadInput(f"{table}: no table of labels ({error}); expected the columns name,genre,split.") from error
    if not any(example.split == "train" for example in examples):
        raise BadInput(f"{table}: found no row whose split is 'train'; mark the clips to train on.")
    return examples


def classes_of(examples: Sequence[Example]) -> tuple[str, ...]:
    """Class names: the published order where all are AIST++ genres, else sorted."""
    found = {example.genre for example in examples}
    return GENRES if found <= set(GENRES) else tuple(sorted(found))


def log_mels(
    examples: Sequence[Example], cache: Path
) -> tuple[dict[str, Float[np.ndarray, "64 frame"]], dict[str, str]]:
    """Spectrograms by clip, half precision in `cache` between runs, and the clips that could not be read.

    Raises:
        BadInput: when none could be read.
    """
    mels, failed = {}, {}
    for example in tqdm(examples, desc="mel features", unit="clip", mininterval=1):
        path = cache / f"{example.name}.npy"
        try:
            mel = _remembered(example.wav, path)
            mels[example.name] = _listened(example.wav, path) if mel is None else mel
        except (UserError, OSError) as error:
            failed[example.name] = str(error)
    if not mels:
        raise BadInput(f"none of {len(examples)} clips could be read ({next(iter(failed.values()), 'no clip')}).")
    return mels, failed


def _remembered(wav: Path, path: Path) -> Float[np.ndarray, "64 frame"] | None:
    """The cached spectrogram; None where there is none, or one older than the wav, or one that can't be read."""
    try:
        return np.asarray(np.load(path)) if path.stat().st_mtime >= wav.stat().st_mtime else None
    except (OSError, ValueError, EOFError):
        return None


def _listened(wav: Path, path: Path) -> Float[np.ndarray, "64 frame"]:
    mel = level_log_mel(Music.load(wav)).astype(np.float16)
    with atomic_write(path) as temporary:
        np.save(temporary, mel)
    return mel


def train_genre_classifier(
    examples: Sequence[Example], mels: dict[str, Float[np.ndarray, "64 frame"]], settings: GenreTraining
) -> GenreClassifier:
    """Train on the split `train` and measure every other split; the same seed gives the same network on one machine.

    Raises:
        BadInput: when fewer than two genres have a training clip.
    """
    genres = classes_of(examples)
    usable = [example for example in examples if example.name in mels]
    training = [example for example in usable if example.split == "train"]
    if len({example.genre for example in training}) < 2:
        raise BadInput(f"found training clips of fewer than two genres among {len(examples)}; label more of them.")
    torch.manual_seed(settings.seed)
    rng = np.random.default_rng(settings.seed)
    network = GenreNetwork(len(genres), settings.channels)
    _fit(network, _Excerpts(training, mels, genres, settings, rng), settings)
    classifier = GenreClassifier(network.eval(), genres, {})
    accuracy = {
        split: measured_accuracy(classifier, usable, mels, split) for split in sorted({e.split for e in usable})
    }
    return GenreClassifier(network, genres, accuracy)


class _Excerpts:
    """Random excerpts, every genre as often as any other, equalised and dirtied at random."""

    def __init__(
        self,
        examples: Sequence[Example],
        mels: dict[str, Float[np.ndarray, "64 frame"]],
        genres: tuple[str, ...],
        settings: GenreTraining,
        rng: np.random.Generator,
    ) -> None:
        self.by_genre = {genre: [mels[e.name] for e in examples if e.genre == genre] for genre in genres}
        self.with_clips = [number for number, genre in enumerate(genres) if self.by_genre[genre]]
        self.genres, self.settings, self.rng = genres, settings, rng

    def draw(self) -> tuple[Float[Tensor, "batch 64 frame"], Int[Tensor, " batch"]]:
        """One batch with its labels."""
        labels = self.rng.choice(self.with_clips, size=self.settings.batch)
        excerpts = np.stack([self._excerpt(self.genres[label]) for label in labels])
        return torch.from_numpy(excerpts), torch.from_numpy(labels)

    def _excerpt(self, genre: str) -> Float[np.ndarray, "64 frame"]:
        clips = self.by_genre[genre]
        mel = clips[self.rng.integers(len(clips))]
        start = self.rng.integers(mel.shape[1])
        excerpt = np.take(mel, np.arange(start, start + WINDOW_FRAMES), axis=1, mode="wrap").astype(np.float32)
        nodes = self.rng.normal(0, self.settings.gain, size=6)
        curve = np.interp(np.linspace(0, 5, MEL_BANDS), np.arange(6), nodes).astype(np.float32)
        noise = np.abs(self.rng.normal(size=excerpt.shape)) * self.rng.uniform(0, self.settings.noise)
        return np.log(np.exp(excerpt + curve[:, None]) + noise.astype(np.float32)).astype(np.float32)


def _fit(network: GenreNetwork, excerpts: _Excerpts, settings: GenreTraining) -> None:
    optimizer = torch.optim.AdamW(network.parameters(), lr=settings.rate, weight_decay=settings.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, settings.rate, total_steps=settings.steps)
    loss_of = nn.CrossEntropyLoss(label_smoothing=0.05)
    network.train()
    for _ in tqdm(range(settings.steps), desc="genre classifier", unit="step", mininterval=1):
        excerpt, labels = excerpts.draw()
        loss = loss_of(network(excerpt), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()


def measured_accuracy(
    classifier: GenreClassifier, examples: Sequence[Example], mels: dict[str, Float[np.ndarray, "64 frame"]], split: str
) -> float:
    """Share of a split's clips that are said right, each heard whole; NaN for a split without clips."""
    right = [
        classifier.genres[int(classifier.probabilities_of(mels[e.name].astype(np.float32)).argmax())] == e.genre
        for e in examples
        if e.split == split
    ]
    return float(np.mean(right)) if right else float("nan")


def save_genre_classifier(classifier: GenreClassifier, path: Path, note: str = "") -> Path:
    """Write the weights, half precision, with class names and measured accuracy, whole or not at all."""
    config = {
        "genre_classifier": {
            "features": FEATURES,
            "genres": list(classifier.genres),
            "channels": classifier.network.head.in_features // 2,
            "accuracy": classifier.accuracy,
            "note": note,
        }
    }
    return save_checkpoint(path, classifier.network.state_dict(), config)
