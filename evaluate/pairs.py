"""Which generated file belongs to which reference, beat list and dance: by name, and nothing is dropped in silence."""

import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Float

from d2m.errors import BadInput
from evaluate.beats import checked_times

AUDIO_SUFFIXES = (".wav", ".flac", ".ogg", ".mp3")
DANCE_SUFFIXES = (".pkl", ".npz", ".npy")
_SEED = re.compile(r"_seed(\d+)$")


@dataclass(frozen=True)
class Reference:
    """What is known of one true piece of music: its sound, its true beats, or both."""

    audio: Path | None
    beats: Path | None


@dataclass(frozen=True)
class Pair:
    """One generated file and what it is judged against.

    Args:
        clip: the generated file's name without suffix, unique in a run.
        name: the name shared with the reference (a `_seedK` ending taken off).
        seed: K, or None.
    """

    clip: str
    name: str
    seed: int | None
    generated: Path
    reference: Reference
    dance: Path | None = None


@dataclass(frozen=True)
class Pairing:
    """All pairs, all references (paired or not), and the names that found no partner, by kind."""

    pairs: list[Pair]
    references: dict[str, Reference]
    unpaired: dict[str, list[str]] = field(default_factory=dict)


def files_by_stem(folder: Path, suffixes: tuple[str, ...]) -> dict[str, Path]:
    """Files directly in `folder` by stem, sorted; where two suffixes share a stem, the one listed first wins.

    Raises:
        BadInput: when there is no such folder.
    """
    if not folder.is_dir():
        raise BadInput(f"{folder}: no such folder; give one that exists.")
    found: dict[str, Path] = {}
    for suffix in reversed(suffixes):
        found |= {path.stem: path for path in folder.iterdir() if path.suffix.lower() == suffix and path.is_file()}
    return {stem: found[stem] for stem in sorted(found) if not stem.startswith(".")}


def load_beats_s(path: Path) -> Float[np.ndarray, " beat"]:
    """Read a beat list: one time in seconds a line, first column (mir_eval's layout); `#` starts a comment.

    Raises:
        BadInput: when the file is empty, not numbers, negative, not finite or not sorted.
    """
    try:
        lines = [line.split("#")[0].replace(",", " ").split() for line in path.read_text().splitlines()]
        times_s = checked_times(np.array([float(line[0]) for line in lines if line], dtype=np.float64), "beats")
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise BadInput(f"{path}: not a beat list ({error}); write one time in seconds on each line.") from error
    if times_s.size == 0:
        raise BadInput(f"{path}: found no beats, expected one time in seconds on each line; write at least one.")
    return times_s


def find_references(folder: Path, beats: Path | None = None, true_beats: bool = True) -> dict[str, Reference]:
    """References in `folder`, which holds sounds, beat lists or both, or is the root of a data set with `wavs/`.

    Args:
        beats: folder of true beat lists; by default `folder` itself and a folder `beats` beside it.
        true_beats: False ignores all beat lists of names that have a sound.

    Raises:
        BadInput: when a folder is missing or there is nothing to compare with.
    """
    if not folder.is_dir():
        raise BadInput(f"{folder}: no such folder; give one of reference wavs or beat lists.")
    if (folder / "wavs").is_dir() and not files_by_stem(folder, AUDIO_SUFFIXES):
        folder = folder / "wavs"
    audio = files_by_stem(folder, AUDIO_SUFFIXES)
    lists: dict[str, Path] = {}
    if beats is None and (folder.parent / "beats").is_dir() and folder.name != "beats":
        beats_beside = files_by_stem(folder.parent / "beats", (".txt",))
        lists |= {name: path for name, path in beats_beside.items() if name in audio}
    lists |= files_by_stem(folder, (".txt",))
    if beats is not None:
        lists |= files_by_stem(beats, (".txt",))
    if not audio and not lists:
        raise BadInput(
            f"{folder}: found neither wavs nor beat lists (NAME.txt), expected references; name another folder."
        )
    return {
        name: Reference(audio.get(name), lists.get(name) if true_beats or name not in audio else None)
        for name in sorted(audio | lists)
    }


def find_pairs(
    generated: Path, references: dict[str, Reference], dances: Path | None = None, roundtrip: Path | None = None
) -> Pairing:
    """Pair generated sounds with references and dances by name, a `_seedK` ending aside.

    Raises:
        BadInput: when a folder is missing, holds nothing usable, or nothing has a partner.
    """
    sounds = files_by_stem(generated, AUDIO_SUFFIXES)
    if not sounds:
        raise BadInput(f"{generated}: found no audio files, expected generated wavs; name another folder.")
    dance_files = files_by_stem(dances, DANCE_SUFFIXES) if dances is not None else {}
    pairs, alone = [], []
    for clip, path in sounds.items():
        seed = _SEED.search(clip)
        name = clip if clip in references or seed is None else clip[: seed.start()]
        if name in references:
            seed_number = int(seed[1]) if seed and name != clip else None
            pairs.append(Pair(clip, name, seed_number, path, references[name], dance_files.get(name)))
        else:
            alone.append(clip)
    if not pairs:
        example, other = next(iter(sounds)), next(iter(references))
        raise BadInput(
            f"{generated}: none of {len(sounds)} generated files has a reference of the same name"
            f" (found {example}, references are like {other}); rename the files or name another folder."
        )
    paired = {pair.name for pair in pairs}
    unpaired = {"generated": alone, "reference": [name for name in references if name not in paired]}
    if dances is not None:
        unpaired["without_dance"] = sorted(paired - set(dance_files))
    if roundtrip is not None:
        unpaired["without_roundtrip"] = sorted(paired - set(files_by_stem(roundtrip, AUDIO_SUFFIXES)))
    return Pairing(pairs, references, unpaired)
