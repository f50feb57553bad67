"""What is measured over all clips at once: distances between sets, diversity between seeds, copied training songs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from d2m.core.errors import BadConfig, BadInput
from d2m.core.music import Music
from d2m.evaluation.clip_scores import ClipScore
from d2m.evaluation.embeddings import (
    MFCC_STATISTICS,
    SAMPLE_RATE,
    EmbeddingSet,
    MfccStatistics,
    embed_files,
    load_embedder,
    read_embeddings,
)
from d2m.evaluation.memorization import build_index, find_memorized
from d2m.evaluation.references import AUDIO_SUFFIXES, files_by_stem, song_of
from d2m.metrics.distances import frechet_distance, kernel_distance, seed_diversity

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
