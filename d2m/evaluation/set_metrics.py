"""What is measured over all clips at once: distances between sets, diversity between seeds, memorization of training songs.

Memorization: each clip becomes 12 chroma channels and one onset channel at 14.4 frames a second. Two clips are slid along
each other in all 12 transpositions, and the largest normalised cross-correlation is their similarity (the idea of cover-song
detection: Ellis & Poliner, ICASSP 2007, with onsets beside chroma). 1 is the same recording; timbre, loudness, transposition
and a shift leave it high; another tempo does not.
"""

import hashlib
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import librosa
import numpy as np
from jaxtyping import Complex, Float, Int
from scipy.fft import next_fast_len

from d2m.core.errors import BadConfig, BadInput, UserError
from d2m.core.files import atomic_write
from d2m.core.music import Music
from d2m.evaluation.clip_scores import ClipScore
from d2m.evaluation.embeddings import (
    MFCC_STATISTICS,
    EmbeddingSet,
    MfccStatistics,
    embed_files,
    first_seconds,
    load_embedder,
    read_embeddings,
)
from d2m.evaluation.references import AUDIO_SUFFIXES, files_by_stem, song_of
from d2m.metrics.distances import frechet_distance, kernel_distance, seed_diversity
from d2m.models.music_genre import HOP_SAMPLES, SAMPLE_RATE, level_log_mel

VERSION = 1
KEYS = 12
FRAME_HOP_SAMPLES = 3 * HOP_SAMPLES
FRAME_S = FRAME_HOP_SAMPLES / SAMPLE_RATE
MIN_OVERLAP = 0.75
"""Share of the shorter clip that must lie on the other: short overlaps correlate by chance."""

_CHROMA_WINDOW_SAMPLES = 4096


@dataclass(frozen=True)
class Nearest:
    """The training clip that a piece is most like.

    Args:
        name: of the training clip.
        similarity: in [-1, 1], 1 for the same music.
        transposition: semitones, 0 to 11, by which the training clip lies above the piece.
        start_s: where the piece starts in the training clip, in seconds (negative: before it).
    """

    name: str
    similarity: float
    transposition: int
    start_s: float


def similarity_features(music: Music) -> Float[np.ndarray, "13 frame"]:
    """12 chroma channels and one onset channel, each group of mean 0 over time and energy 1 a frame on average.

    The chroma of a frame is taken without its mean over the classes (drums raise all alike), near unit length.
    """
    samples = music.mono().resampled(SAMPLE_RATE).waveform[0]
    samples = np.pad(samples, (0, max(0, _CHROMA_WINDOW_SAMPLES - samples.size)))
    spectrum = np.abs(librosa.stft(samples, n_fft=_CHROMA_WINDOW_SAMPLES, hop_length=FRAME_HOP_SAMPLES))
    chroma = _chroma_filters() @ spectrum
    chroma = chroma - chroma.mean(axis=0)
    length = np.linalg.norm(chroma, axis=0)
    chroma = chroma / (length + 0.1 * np.median(length) + 1e-9)
    onset = _onset_strength(level_log_mel(music))
    frames = min(chroma.shape[1], len(onset))
    return np.concatenate([_standardised(chroma[:, :frames]), _standardised(onset[None, :frames])]).astype(np.float32)


@lru_cache(maxsize=1)
def _chroma_filters() -> Float[np.ndarray, "12 bin"]:
    return librosa.filters.chroma(sr=SAMPLE_RATE, n_fft=_CHROMA_WINDOW_SAMPLES, tuning=0.0)


def _onset_strength(log_mel: Float[np.ndarray, "64 frame"]) -> Float[np.ndarray, " third"]:
    """Mean rise of the bands, the largest of each three frames."""
    rise = np.maximum(np.diff(log_mel, axis=1, prepend=log_mel[:, :1]), 0).mean(axis=0)
    return np.pad(rise, (1, -(len(rise) + 1) % 3)).reshape(-1, 3).max(axis=1)


def _standardised(channels: Float[np.ndarray, "channel frame"]) -> Float[np.ndarray, "channel frame"]:
    centred = channels - channels.mean(axis=1, keepdims=True)
    energy = np.square(centred).sum(axis=0).mean()
    return centred / np.sqrt(energy) if energy > 1e-9 else np.zeros_like(centred)


@dataclass(frozen=True)
class TrainingIndex:
    """Features of all training clips, padded to the longest.

    Args:
        names: of the clips, any strings.
        features: zero beyond each clip's length.
        frames: length of each clip.
        failed: clips that could not be read, and why.
    """

    names: list[str]
    features: Float[np.ndarray, "clip 13 frame"]
    frames: Int[np.ndarray, " clip"]
    failed: dict[str, str] = field(default_factory=dict)
    _spectra: dict[int, "_Spectra"] = field(default_factory=dict, repr=False, compare=False)

    def similarities(self, piece: Float[np.ndarray, "13 query"]) -> Float[np.ndarray, "lag clip 12"]:
        """Similarity with each clip at each lag and transposition; -1 where they overlap too little.

        The mean of two normalised cross-correlations, of chroma and of onsets, over the frames that both clips have. Lag i
        means that the piece's frame 0 lies on the clip's frame `i - query + 1`.
        """
        query = piece.shape[1]
        lags = query + self.features.shape[2] - 1
        size = next_fast_len(lags, real=True) or lags
        if size not in self._spectra:
            self._spectra.clear()
            self._spectra[size] = _Spectra.of(self.features, self.frames, size)
        clips, reversed_piece = (
            self._spectra[size],
            np.asarray(np.fft.rfft(piece[:, ::-1].astype(np.float32), size, axis=-1)),
        )
        rolled = np.stack([np.roll(reversed_piece[:KEYS], key, axis=0) for key in range(KEYS)])
        chroma = np.fft.irfft(clips.chroma @ rolled.transpose(2, 1, 0), size, axis=0)[:lags]
        onset = np.fft.irfft(clips.onset * reversed_piece[KEYS][:, None], size, axis=0)[:lags]
        ones = np.fft.rfft(np.ones(query), size)
        overlap = np.fft.irfft(clips.present * ones[:, None], size, axis=0)[:lags]
        chroma_norm = _norm(piece[:KEYS], clips.chroma_energy, clips.present, size, lags)
        onset_norm = _norm(piece[KEYS:], clips.onset_energy, clips.present, size, lags)
        both = (chroma / chroma_norm[..., None] + (onset / onset_norm)[..., None]) / 2
        enough = overlap > MIN_OVERLAP * np.minimum(query, self.frames) - 0.5
        return np.where(enough[..., None], both, -1).astype(np.float32)

    def nearest(self, piece: Float[np.ndarray, "13 query"]) -> Nearest:
        """The clip of the largest similarity."""
        table = self.similarities(piece)
        lag, clip, key = np.unravel_index(int(table.argmax()), table.shape)
        start_s = (int(lag) - piece.shape[1] + 1) * FRAME_S
        similarity = float(np.clip(table[lag, clip, key], -1, 1))
        return Nearest(self.names[int(clip)], similarity, int(key), float(start_s))


@dataclass(frozen=True)
class _Spectra:
    """Fourier transforms over time of an index, for one transform length; frequency first, as matmul wants it."""

    chroma: Complex[np.ndarray, "bin clip 12"]
    onset: Complex[np.ndarray, "bin clip"]
    chroma_energy: Complex[np.ndarray, "bin clip"]
    onset_energy: Complex[np.ndarray, "bin clip"]
    present: Complex[np.ndarray, "bin clip"]

    @staticmethod
    def of(features: Float[np.ndarray, "clip 13 frame"], frames: Int[np.ndarray, " clip"], size: int) -> "_Spectra":
        chroma, onset = features[:, :KEYS], features[:, KEYS]
        energy = np.square(chroma, dtype=np.float64).sum(axis=1)
        present = (np.arange(features.shape[2]) < frames[:, None]).astype(np.float64)
        return _Spectra(
            chroma=np.ascontiguousarray(np.fft.rfft(chroma, size, axis=-1).transpose(2, 0, 1)),
            onset=np.fft.rfft(onset, size, axis=-1).T,
            chroma_energy=np.fft.rfft(energy, size, axis=-1).T,
            onset_energy=np.fft.rfft(np.square(onset, dtype=np.float64), size, axis=-1).T,
            present=np.fft.rfft(present, size, axis=-1).T,
        )


def _norm(
    piece: Float[np.ndarray, "channel query"],
    energy: Complex[np.ndarray, "bin clip"],
    present: Complex[np.ndarray, "bin clip"],
    size: int,
    lags: int,
) -> Float[np.ndarray, "lag clip"]:
    """Root of the product of both energies over the overlap; infinite where one is silent, so that nothing correlates."""
    own = np.square(piece[:, ::-1], dtype=np.float64).sum(axis=0)
    mine = np.fft.irfft(present * np.fft.rfft(own, size)[:, None], size, axis=0)[:lags]
    theirs = np.fft.irfft(energy * np.fft.rfft(np.ones(len(own)), size)[:, None], size, axis=0)[:lags]
    product = np.maximum(mine, 0) * np.maximum(theirs, 0)
    return np.where(product > 1e-6, np.sqrt(np.maximum(product, 1e-6)), np.inf)


def build_index(files: Mapping[str, Path], cache: Path | None = None) -> TrainingIndex:
    """Index of training sounds by name, made once: a `cache` (.npz) is used while the same files stand behind it.

    Raises:
        BadInput: when there is no readable file; single bad ones are listed in `failed`.
    """
    stamp = _stamp(files)
    if cache is not None and (found := _cached(cache, stamp)) is not None:
        return found
    names, rows, failed = [], [], {}
    for name, path in files.items():
        try:
            rows.append(similarity_features(Music.load(path)))
            names.append(name)
        except UserError as error:
            failed[name] = str(error)
    if not rows:
        raise BadInput(f"none of {len(files)} training sounds could be read; name the folder of the training music.")
    frames = np.array([row.shape[1] for row in rows])
    features = np.stack([np.pad(row, ((0, 0), (0, frames.max() - row.shape[1]))) for row in rows])
    if cache is not None and not failed:
        with atomic_write(cache) as temporary, temporary.open("wb") as file:
            np.savez(file, stamp=stamp, names=np.array(names), features=features.astype(np.float16), frames=frames)
    return TrainingIndex(names, features.astype(np.float16).astype(np.float32), frames, failed)


def _stamp(files: Mapping[str, Path]) -> str:
    states = [
        (name, path.stat().st_size, path.stat().st_mtime_ns) if path.exists() else name for name, path in files.items()
    ]
    return hashlib.sha256(repr((VERSION, states)).encode()).hexdigest()


def _cached(cache: Path, stamp: str) -> TrainingIndex | None:
    try:
        with np.load(cache, allow_pickle=False) as file:
            if str(file["stamp"]) != stamp:
                return None
            return TrainingIndex([str(n) for n in file["names"]], file["features"].astype(np.float32), file["frames"])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None


# Songs of one style resemble each other, so a similarity says nothing alone. It is read against a null distribution: how near
# do *held-out references*, which nobody could have copied, come to the training songs?


@dataclass(frozen=True)
class Memorization:
    """Nearest training clip of every piece, with the null distribution.

    Args:
        nearest: by piece.
        p_values: by piece: `(1 + null clips at least as similar) / (1 + null clips)`; small means memorised.
        null: similarities of held-out references to their nearest training clip, sorted.
        failed: pieces that could not be read, and why.
    """

    nearest: dict[str, Nearest]
    p_values: dict[str, float]
    null: Float[np.ndarray, " held_out"]
    failed: dict[str, str] = field(default_factory=dict)

    def flagged(self, level: float = 0.05) -> list[str]:
        """Clips with a p-value of at most `level`, most similar first; some share `level` of honest pieces is among them."""
        found = [name for name, p_value in self.p_values.items() if p_value <= level]
        return sorted(found, key=lambda name: -self.nearest[name].similarity)

    def to_json(self) -> dict[str, object]:
        """Numbers for `scores.json`: means and extremes, the clips beside them."""
        similarities = [nearest.similarity for nearest in self.nearest.values()]
        return {
            "mean_similarity": float(np.mean(similarities)) if similarities else None,
            "largest_similarity": max(similarities, default=None),
            "null_mean": float(self.null.mean()) if self.null.size else None,
            "null_95": float(np.quantile(self.null, 0.95)) if self.null.size else None,
            "flagged": self.flagged(),
            "clips": {
                name: {**nearest.__dict__, "p_value": self.p_values[name]} for name, nearest in self.nearest.items()
            },
        }


def find_memorized(
    pieces: Mapping[str, Path], index: TrainingIndex, held_out: Mapping[str, Path], seconds: float | int | None = None
) -> Memorization:
    """Nearest training clip of each piece, judged by how near held-out references come.

    Args:
        held_out: references of songs that are not in the index; without any, p-values are 1.
        seconds: cut pieces and held-out references alike: shorter clips come nearer by chance.
    """
    failed: dict[str, str] = {}
    null = _nearest_of(held_out, index, seconds, failed)
    similarities = np.sort(np.array([nearest.similarity for nearest in null.values()], dtype=np.float64))
    nearest = _nearest_of(pieces, index, seconds, failed)
    p_values = {name: p_value(found.similarity, similarities) for name, found in nearest.items()}
    return Memorization(nearest, p_values, similarities, failed)


def p_value(similarity: float, null: Float[np.ndarray, " held_out"]) -> float:
    """`(1 + null similarities at least as large) / (1 + their number)` (Davison & Hinkley, 1997, equation 4.11)."""
    return float((1 + (null >= similarity).sum()) / (1 + len(null)))


def _nearest_of(
    sounds: Mapping[str, Path], index: TrainingIndex, seconds: float | int | None, failed: dict[str, str]
) -> dict[str, Nearest]:
    found = {}
    for name, path in sounds.items():
        try:
            found[name] = index.nearest(similarity_features(first_seconds(Music.load(path), seconds)))
        except UserError as error:
            failed[name] = str(error)
    return found


NO_EMBEDDING = "none"


@dataclass(frozen=True)
class SetMetrics:
    """The files behind an evaluation, by name.

    Args:
        system: one score per generated clip.
        through_dmae: scores of the references through the autoencoder, empty where there are none.
        generated: sound file of each clip in `system`.
        references: sound file of each of their references that has one.
        folder: the generated files' folder, whose name an embedding folder may have.
    """

    system: Sequence[ClipScore]
    through_dmae: Sequence[ClipScore]
    generated: Mapping[str, Path]
    references: Mapping[str, Path]
    folder: Path

    @property
    def shortest_s(self) -> float:
        """The shortest length that is judged."""
        return float(min(score.reference.seconds for score in self.system))

    @property
    def songs(self) -> dict[str, str]:
        """Song of each generated clip."""
        return {score.clip: score.reference.song for score in self.system}


@dataclass(frozen=True)
class EmbeddedSets:
    """Vectors of the generated clips, of the references, of the references through the autoencoder, and of floors."""

    generated: EmbeddingSet
    reference: EmbeddingSet
    through_dmae: EmbeddingSet | None = None
    baselines: Mapping[str, EmbeddingSet] = field(default_factory=dict)


def _set(scores: Mapping[str, Any], embedding: str = MFCC_STATISTICS) -> EmbeddingSet:
    known = {
        name: analysis.timbre
        for name, analysis in scores.items()
        if analysis is not None and analysis.timbre is not None
    }
    rows = np.stack(list(known.values())) if known else np.zeros((0, 0))
    return EmbeddingSet(embedding, list(known), rows)


def check_embedding(embedding: str | Path | None) -> str:
    """The embedding as it is noted in the results, before any work is done with it.

    Raises:
        BadConfig: when it is no known name and no folder.
    """
    if embedding is None or str(embedding) == NO_EMBEDDING:
        return NO_EMBEDDING
    if str(embedding) != MFCC_STATISTICS and not Path(embedding).is_dir():
        raise BadConfig(
            f"embedding={embedding}: no such embedding; give {MFCC_STATISTICS}, {NO_EMBEDDING}, a local model's folder, or"
            " a folder with generated/NAME.npy and reference/NAME.npy."
        )
    return str(embedding)


def _noise_baselines(sets: SetMetrics) -> dict[str, EmbeddingSet]:
    """White noise and silence, one clip of the judged length for each reference that has a sound."""
    vectors: dict[str, list[np.ndarray]] = {"white_noise": [], "silence": []}
    rng, lengths = np.random.default_rng(0), {}
    for score in sets.system:
        if score.reference.analysis and score.reference.analysis.timbre is not None:
            lengths[score.reference.name] = score.reference.seconds
    for seconds in lengths.values():
        noise = rng.normal(size=(1, max(1, round(seconds * SAMPLE_RATE)))).astype(np.float32)
        for name, waveform in (("white_noise", noise), ("silence", np.zeros_like(noise))):
            vectors[name].append(MfccStatistics()(Music(waveform, SAMPLE_RATE)))
    return {
        name: EmbeddingSet(MFCC_STATISTICS, list(lengths), np.stack(rows)) for name, rows in vectors.items() if rows
    }


def embed_sets(sets: SetMetrics, embedding: str | Path | None) -> EmbeddedSets | None:
    """Vectors in the embedding that is named; None for `none`.

    Args:
        embedding: `mfcc-statistics-1`; a local model's folder (with `config.json`); or a folder of vectors
            `generated/CLIP.npy` (or `FOLDER/CLIP.npy`, FOLDER being the generated folder's name) and
            `reference/NAME.npy`.

    Raises:
        BadConfig, BadInput: when it is none of these, or holds nothing usable.
    """
    if check_embedding(embedding) == NO_EMBEDDING or embedding is None:
        return None
    if str(embedding) == MFCC_STATISTICS:
        return EmbeddedSets(
            _set({score.clip: score.analysis for score in sets.system}),
            _set({score.reference.name: score.reference.analysis for score in sets.system}),
            _set({score.reference.name: score.analysis for score in sets.through_dmae}) if sets.through_dmae else None,
            _noise_baselines(sets),
        )
    folder = Path(embedding)
    if not (folder / "config.json").is_file():
        made = folder / sets.folder.name
        names = list(dict.fromkeys(score.reference.name for score in sets.system))
        generated = read_embeddings(made if made.is_dir() else folder / "generated", [s.clip for s in sets.system])
        return EmbeddedSets(generated, read_embeddings(folder / "reference", names))
    embedder, seconds = load_embedder(folder), sets.shortest_s
    return EmbeddedSets(embed_files(sets.generated, embedder, seconds), embed_files(sets.references, embedder, seconds))


def distribution(embedded: EmbeddedSets, songs: Mapping[str, str], seed: int) -> dict[str, Any] | None:
    """Fréchet and kernel distance between generated clips and references, with floors and ceilings.

    `ceilings.reference_halves` is the distance between the references of every other song and the rest: what two honest
    sets of this size and kind score. None where either side has no sound.
    """
    generated, reference = embedded.generated, embedded.reference
    if not len(generated.vectors) or not len(reference.vectors):
        return None
    if generated.vectors.shape[1] != reference.vectors.shape[1]:
        raise BadInput(
            f"embeddings of generated clips have {generated.vectors.shape[1]} numbers, those of references"
            f" {reference.vectors.shape[1]}; make all with one model."
        )
    reference_songs = [song_of(name) for name in reference.names]
    order = {song: number for number, song in enumerate(sorted(set(reference_songs)))}
    half = np.array([order[song] % 2 == 0 for song in reference_songs])
    toplines = {}
    if 2 <= half.sum() <= len(half) - 2:
        names = np.array(reference_songs)
        toplines["reference_halves"] = _distances(
            reference.vectors[half], reference.vectors[~half], list(names[half]), list(names[~half]), seed
        )
    others = dict(embedded.baselines)
    if embedded.through_dmae is not None and len(embedded.through_dmae.vectors):
        others["reference_through_dmae"] = embedded.through_dmae
    found = {
        name: _distances(made.vectors, reference.vectors, [song_of(n) for n in made.names], reference_songs, seed)
        for name, made in others.items()
    }
    toplines |= {name: row for name, row in found.items() if name not in embedded.baselines}
    return {
        "embedding": generated.embedding,
        **_distances(
            generated.vectors, reference.vectors, [songs[name] for name in generated.names], reference_songs, seed
        ),
        "floors": {name: row for name, row in found.items() if name in embedded.baselines},
        "ceilings": toplines,
        "failed": {**generated.failed, **reference.failed},
    }


def _distances(
    generated: Float[np.ndarray, "generated dimension"],
    reference: Float[np.ndarray, "reference dimension"],
    generated_songs: Sequence[str],
    reference_songs: Sequence[str],
    seed: int,
) -> dict[str, Any]:
    kernel = kernel_distance(
        generated,
        reference,
        [str(song) for song in generated_songs],
        [str(song) for song in reference_songs],
        seed=seed,
    )
    return {"frechet": frechet_distance(generated, reference).to_json(), "kernel": kernel.to_json()}


def diversity(embedded: EmbeddedSets, system: Sequence[ClipScore]) -> dict[str, Any] | None:
    """Between-seed diversity; None where no dance has two pieces, or clips have no vector."""
    dance_of = {score.clip: score.reference.name for score in system}
    dances = [dance_of[name] for name in embedded.generated.names]
    if len(set(dances)) == len(dances) or not len(embedded.reference.vectors):
        return None
    songs = [song_of(name) for name in embedded.reference.names]
    found = seed_diversity(embedded.generated.vectors, dances, embedded.reference.vectors, songs)
    return {"embedding": embedded.generated.embedding, **found.to_json()}


def training_songs(training: Path) -> dict[str, Path]:
    """Sounds of the training set by name; `training` is their folder, or a data set's root with `wavs/`.

    Raises:
        BadInput: when there are none.
    """
    folder = training / "wavs" if (training / "wavs").is_dir() else training
    files = files_by_stem(folder, AUDIO_SUFFIXES)
    if not files:
        raise BadInput(f"{folder}: found no audio files, expected the songs of the training set; name another folder.")
    return files


def memorization(sets: SetMetrics, files: Mapping[str, Path], cache: Path | None = None) -> dict[str, Any]:
    """Nearest training song of every clip, judged by how near references of other songs come.

    All are cut to the shortest judged length. References of songs that are themselves among the training `files` are no
    yardstick.

    Raises:
        BadInput: when none of `files` is a readable sound.
    """
    known = {song_of(name) for name in files}
    held_out = {name: path for name, path in sets.references.items() if song_of(name) not in known}
    index = build_index(files, cache)
    found = find_memorized(sets.generated, index, held_out, sets.shortest_s)
    warning = None
    if not held_out:
        warning = "no reference is of a song outside the training set, so nothing says how near honest music comes"
    return {
        "warning": warning,
        "training_clips": len(index.names),
        "held_out": len(held_out),
        "seconds": round(sets.shortest_s, 3),
        **found.to_json(),
        "failed": {**index.failed, **found.failed},
    }
