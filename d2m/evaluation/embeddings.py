"""Clip embeddings: what the distances between sets of clips (`distribution`, `diversity`) are measured in.

A distance between sets means nothing without the name of its embedding, so each embedding carries one with a version:
- `mfcc-statistics-1`, the default: statistics of mel-frequency cepstra, computed here, no download;
- `npy:FOLDER`: vectors that a user made with any model (VGGish, CLAP, MERT …), read from `NAME.npy`;
- `clap:FOLDER` and `encodec:FOLDER`: a model in a local folder as its hub page holds it, by the extra `transformers`.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from scipy.fft import dct

from d2m.core.errors import BadConfig, BadInput, UserError
from d2m.core.music import Music
from d2m.models.music_genre import level_log_mel

KINDS = ("clap", "encodec")


@dataclass(frozen=True)
class ClapEmbedder:
    """CLAP's projected audio vector (Wu et al., ICASSP 2023, arXiv:2211.06687), mean over consecutive windows.

    CLAP takes at most some seconds (10 as published) and takes a random excerpt of anything longer; so that the same
    clip always has the same vector, longer clips are cut into windows here.
    """

    name: str
    model: Any
    extractor: Any

    def __call__(self, music: Music) -> Float[np.ndarray, " dimension"]:
        """One vector."""
        samples = music.mono().resampled(int(self.extractor.sampling_rate)).waveform[0]
        window = int(self.extractor.nb_max_samples)
        # A last window shorter than half is left out, unless it is all there is: repeated to full length, it would weigh too much.
        starts = range(0, max(1, len(samples) - window // 2), window)
        windows = [samples[start : start + window] for start in starts]
        return np.mean([self._vector(one) for one in windows], axis=0)

    def _vector(self, window: Float[np.ndarray, " time"]) -> Float[np.ndarray, " dimension"]:
        """One window by itself: in a batch the extractor of the fused models marks a random one as long."""
        inputs = self.extractor(window, sampling_rate=int(self.extractor.sampling_rate), return_tensors="pt")
        with torch.inference_mode():
            features = self.model.get_audio_features(**inputs)
        return getattr(features, "pooler_output", features)[0].double().numpy()  # a plain tensor before transformers 5


@dataclass(frozen=True)
class EncodecEmbedder:
    """EnCodec's encoder output before quantisation (Défossez et al., 2022, arXiv:2210.13438), mean over time."""

    name: str
    model: Any

    def __call__(self, music: Music) -> Float[np.ndarray, " dimension"]:
        """One vector."""
        channels = int(self.model.config.audio_channels)
        mono = music.mono().resampled(int(self.model.config.sampling_rate)).waveform
        stereo = music.waveform.shape[0] == 2 and channels == 2
        samples = music.resampled(int(self.model.config.sampling_rate)).waveform if stereo else mono
        batch = torch.from_numpy(np.broadcast_to(samples, (channels, samples.shape[1])).copy())[None]
        with torch.inference_mode():
            return self.model.encoder(batch)[0].mean(dim=-1).double().numpy()


def load_local_model(folder: Path) -> ClapEmbedder | EncodecEmbedder:
    """The embedder of a model folder, told by `model_type` in its `config.json`.

    Raises:
        BadInput: when the folder holds no model of a known kind, or it can't be loaded.
        BadConfig: when `transformers` is not installed.
    """
    try:
        kind = json.loads((folder / "config.json").read_text()).get("model_type")
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, AttributeError) as error:
        raise BadInput(f"{folder}: found no readable config.json, expected a CLAP or EnCodec model folder.") from error
    if kind not in KINDS:
        raise BadInput(f"{folder}: found a model of type '{kind}', expected one of {', '.join(KINDS)}.")
    try:
        from transformers import AutoFeatureExtractor, ClapModel, EncodecModel  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise BadConfig(
            f"{folder}: this embedding needs the package transformers, which is not installed; "
            "run `pip install transformers`, or choose another embedding."
        ) from error
    name = f"{kind}:{folder.name}"
    try:
        if kind == "clap":
            extractor = AutoFeatureExtractor.from_pretrained(folder, local_files_only=True)
            return ClapEmbedder(name, ClapModel.from_pretrained(folder, local_files_only=True).eval(), extractor)
        return EncodecEmbedder(name, EncodecModel.from_pretrained(folder, local_files_only=True).eval())
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise BadInput(f"{folder}: transformers can't load this model ({str(error).splitlines()[0]}).") from error


MFCC_COEFFICIENTS = 20
MFCC_STATISTICS = "mfcc-statistics-1"
"""The number is raised whenever a constant of this module changes: distances of two versions can't be compared."""


@runtime_checkable
class ClipEmbedder(Protocol):
    """Anything with a name that turns a clip into one vector."""

    @property
    def name(self) -> str:
        """Name with version, printed beside every distance."""
        ...

    def __call__(self, music: Music) -> Float[np.ndarray, " dimension"]:
        """The clip's vector."""
        ...


@dataclass(frozen=True)
class EmbeddingSet:
    """Vectors of a set of clips in one embedding.

    Args:
        embedding: name of the embedding.
        names: clip of each row; with per-frame vectors a name stands once per frame.
        vectors: one row per clip (or frame).
        failed: clips without a vector, and why.
    """

    embedding: str
    names: list[str]
    vectors: Float[np.ndarray, "row dimension"]
    failed: dict[str, str] = field(default_factory=dict)

    def of(self, names: Sequence[str]) -> Float[np.ndarray, "row dimension"]:
        """Rows of the clips in `names`, in that order; clips that have none are left out."""
        rows: dict[str, list[int]] = {}
        for row, name in enumerate(self.names):
            rows.setdefault(name, []).append(row)
        return self.vectors[[row for name in names for row in rows.get(name, [])]]


@dataclass(frozen=True)
class MfccStatistics:
    """Mean and standard deviation over time of mel-frequency cepstral coefficients: timbre and how it moves.

    Coefficients 1 to 20 (Davis & Mermelstein, 1980: orthonormal DCT-II of the log-mel spectrum) give 20 means and 20
    standard deviations. Coefficient 0, the level, is left out: `d2m.metrics.audio_quality` measures loudness by itself. Silence is
    the zero vector.
    """

    name: str = MFCC_STATISTICS
    dimensions: int = 2 * MFCC_COEFFICIENTS

    def __call__(self, music: Music) -> Float[np.ndarray, " dimension"]:
        """Forty numbers in log-magnitude units."""
        return mfcc_statistics(level_log_mel(music))


def mfcc_statistics(log_mel: Float[np.ndarray, "64 frame"]) -> Float[np.ndarray, " 40"]:
    """The `mfcc-statistics-1` vector of a spectrogram made by `level_log_mel`."""
    cepstra = np.asarray(dct(log_mel.astype(np.float64), type=2, norm="ortho", axis=0))[1 : MFCC_COEFFICIENTS + 1]
    return np.concatenate([cepstra.mean(axis=1), cepstra.std(axis=1)])


def embed_files(files: Mapping[str, Path], embedder: ClipEmbedder, seconds: float | int | None = None) -> EmbeddingSet:
    """Embed sound files by name; one that can't be read is listed in `failed` and the rest goes on.

    Args:
        seconds: cut each clip to its first `seconds`, so that sets of different lengths are compared fairly.
    """
    names, rows, failed = [], [], {}
    for name, path in files.items():
        try:
            vector = embedder(first_seconds(Music.load(path), seconds))
        except UserError as error:
            failed[name] = str(error)
            continue
        names.append(name)
        rows.append(np.asarray(vector, dtype=np.float64))
    return EmbeddingSet(embedder.name, names, np.stack(rows) if rows else np.zeros((0, 0)), failed)


def first_seconds(music: Music, seconds: float | int | None) -> Music:
    """The first `seconds` of a clip, all of it for None; at least one sample stays."""
    if seconds is None:
        return music
    return Music(music.waveform[:, : max(1, round(seconds * music.sample_rate))], music.sample_rate)


def read_embeddings(folder: Path, names: Sequence[str], pooling: str = "mean") -> EmbeddingSet:
    """Read vectors that a user brings: `FOLDER/NAME.npy` of shape [embedding] or [time embedding].

    Args:
        names: clips wanted.
        pooling: `"mean"` averages a clip's frames to one vector; `"frames"` makes each frame a row, as the Fréchet Audio
            Distance of Kilgour et al. (2019) does with VGGish.

    Raises:
        BadInput: when the folder is missing, or no clip has a usable file; single bad files are listed in `failed`.
        BadConfig: for another `pooling`.
    """
    if pooling not in ("mean", "frames"):
        raise BadConfig(f"pooling={pooling}: no such pooling; give 'mean' (one vector a clip) or 'frames'.")
    if not folder.is_dir():
        raise BadInput(f"{folder}: no such folder; give one of embeddings NAME.npy.")
    kept, rows, failed = [], [], {}
    for name, vectors in _read_all(folder, names, failed):
        if rows and vectors.shape[1] != rows[0].shape[1]:
            failed[name] = (
                f"{folder / (name + '.npy')}: found {vectors.shape[1]} dimensions, expected {rows[0].shape[1]} as in "
                f"{kept[0]}.npy; make all embeddings with one model."
            )
            continue
        rows.append(vectors.mean(axis=0, keepdims=True) if pooling == "mean" else vectors)
        kept += [name] * len(rows[-1])
    if not rows:
        reason = next(iter(failed.values()), "no clip was asked for")
        raise BadInput(f"{folder}: found no usable embedding NAME.npy of {len(names)} clips ({reason}).")
    return EmbeddingSet(f"npy:{folder.name} ({pooling} over time)", kept, np.concatenate(rows), failed)


def _read_all(
    folder: Path, names: Sequence[str], failed: dict[str, str]
) -> Iterator[tuple[str, Float[np.ndarray, "time dimension"]]]:
    """Name and vectors of each usable file; the others go to `failed`."""
    for name in names:
        path = folder / f"{name}.npy"
        try:
            vectors = np.load(path, allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            failed[name] = f"{path}: not a readable .npy file ({error}); write one embedding per clip."
            continue
        if not isinstance(vectors, np.ndarray) or vectors.ndim not in (1, 2) or vectors.size == 0:
            shape = getattr(vectors, "shape", "an archive")
            failed[name] = f"{path}: found shape {shape}, expected [embedding] or [time embedding]; export it again."
        elif vectors.dtype.kind not in "fiu" or not np.isfinite(vectors).all():
            failed[name] = (
                f"{path}: found {vectors.dtype} with NaN or no numbers, expected finite floats; export it again."
            )
        else:
            yield name, np.atleast_2d(vectors).astype(np.float64)


def load_embedder(embedding: str | Path = MFCC_STATISTICS) -> ClipEmbedder:
    """The embedder that a name or a model's local folder means.

    Raises:
        BadConfig: when it is neither, or its package is not installed.
    """
    if str(embedding) == MFCC_STATISTICS:
        return MfccStatistics()
    if not Path(embedding).is_dir():
        raise BadConfig(
            f"{embedding}: no such embedding; give {MFCC_STATISTICS} or a local folder with a CLAP or EnCodec model."
        )

    return load_local_model(Path(embedding))
