"""What there is of AIST++ (Li et al., ICCV 2021): its annotation folder, files with its music, songs carved out to tune on.

    motions/NAME.pkl   splits/crossmodal_{train,val,test}.txt   ignore_list.txt

Music comes from one of the videos of a sequence's nine cameras, or from a wav named like its motion. The official val and test
lists are over the same ten songs and the same dancers, so whoever tunes on val knows the test songs. Instead one song of
each genre leaves the training list: `tuning_train` and `tuning_val` part it by song.
"""

import os
import zlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from d2m.core.aist_names import GENRES, SequenceName, parse_sequence_name
from d2m.core.errors import BadConfig, BadInput, UserError
from d2m.core.safe_pickle import load_safe_pickle
from d2m.data.layout import OFFICIAL

TUNING_TRAIN, TUNING_VAL = "tuning_train", "tuning_val"


@dataclass(frozen=True)
class TuningSplit:
    """The two parts of a training list, in its order, and the songs of the second."""

    train: tuple[str, ...]
    val: tuple[str, ...]
    val_songs: tuple[str, ...]


def song_of(name: str) -> str | None:
    """Code of the song that a sequence is danced to, None where the name does not say."""
    parts = parse_sequence_name(name)
    return parts.song if parts else None


def shared_songs(one: Iterable[str], other: Iterable[str]) -> list[str]:
    """Songs that both of two lists of sequences have, sorted."""
    songs = [{song for name in names if (song := song_of(name))} for names in (one, other)]
    return sorted(songs[0] & songs[1])


def tuning_split(train: Sequence[str], held_out: Collection[str] = (), seed: int = 0) -> TuningSplit:
    """Carve one song of each genre out of a training list.

    A genre keeps at least one song for training; where that leaves no genre to take from (a small data set), one song of
    all is taken, and none where there is only one.

    Args:
        train: sequence names of the official training list.
        held_out: sequence names of the official val and test lists; their songs are never chosen.
        seed: which songs; the same for the same list and seed on any machine.
    """
    parsed = [parts for name in train if (parts := parse_sequence_name(name))]
    held_out_songs = {song_of(name) for name in held_out}
    by_genre = {genre: _songs(parsed, genre) for genre in GENRES}
    chosen = [_pick(songs, held_out_songs, seed) for songs in by_genre.values() if len(songs) > 1]
    every_song = sorted({song for songs in by_genre.values() for song in songs})
    if not chosen and len(every_song) > 1:
        chosen = [_pick(every_song, held_out_songs, seed)]
    val_songs = tuple(sorted(song for song in chosen if song))
    in_val = {name: song_of(name) in val_songs for name in train}
    return TuningSplit(
        tuple(name for name in train if not in_val[name]), tuple(name for name in train if in_val[name]), val_songs
    )


def _songs(sequences: Sequence[SequenceName], genre: str) -> list[str]:
    return sorted({parts.song for parts in sequences if parts.genre == genre})


def _pick(songs: Sequence[str], held_out: Collection[str | None], seed: int) -> str | None:
    """One of `songs` that is not held out, or None; another genre's songs don't change the choice."""
    free = [song for song in songs if song not in held_out]
    if not free:
        return None
    rng = np.random.default_rng([seed, zlib.crc32(" ".join(free).encode())])
    return free[int(rng.integers(len(free)))]


_LOOKED_INTO = 5
"""Motions read before anything is made, to tell another version of the annotations from single bad files."""


@dataclass(frozen=True)
class Annotations:
    """What an annotation folder holds.

    Args:
        root: the folder with `motions` and `splits`.
        motions: names of the sequences that have a motion, sorted.
        lists: sequence names by official split, as the files have them.
        ignored: sequences that the authors found bad.
        has_ignore_list: False where the file is missing, as in early copies.
    """

    root: Path
    motions: tuple[str, ...]
    lists: Mapping[str, tuple[str, ...]]
    ignored: frozenset[str]
    has_ignore_list: bool

    def motion(self, name: str) -> Path:
        """Pickle of a sequence."""
        return self.root / "motions" / f"{name}.pkl"

    def split_of(self, name: str) -> str:
        """Official split of a sequence, empty where it is in none."""
        return next((split for split, names in self.lists.items() if name in names), "")

    def listed(self) -> list[str]:
        """Names in any of the lists, sorted."""
        return sorted({name for names in self.lists.values() for name in names})


def read_annotations(folder: str | Path, splits: Sequence[str] = OFFICIAL) -> Annotations:
    """Read the official folder, given itself or its parent (as an archive unpacks).

    Args:
        folder: what the user downloaded.
        splits: official splits whose lists are read.

    Raises:
        BadConfig: when the folder does not exist or a split is none of the official ones.
        BadInput: when it is not the annotation folder, or of another version; the sentence says what was found.
    """
    unknown = [split for split in splits if split not in OFFICIAL]
    if unknown or not splits:
        raise BadConfig(f"splits {list(splits)}: expected some of {', '.join(OFFICIAL)}; correct the list.")
    root = _annotation_root(Path(folder))
    motions = tuple(sorted(path.stem for path in (root / "motions").glob("*.pkl") if path.name[0] != "."))
    if not motions:
        raise BadInput(f"{root / 'motions'}: found no .pkl files, expected 1,408 motions; unpack the archive again.")
    ignore_list = root / "ignore_list.txt"
    annotations = Annotations(
        root,
        motions,
        {split: _names(root / "splits" / f"crossmodal_{split}.txt") for split in splits},
        frozenset(_names(ignore_list)) if ignore_list.exists() else frozenset(),
        ignore_list.exists(),
    )
    _expect_smpl(annotations)
    return annotations


def _annotation_root(folder: Path) -> Path:
    """`folder` or the one folder in it that has motions and splits."""
    if not folder.is_dir():
        raise BadConfig(f"annotations={folder}: no such folder; give the unpacked AIST++ annotations.")
    candidates = [folder, *sorted(path for path in folder.iterdir() if path.is_dir())]
    for candidate in candidates:
        if (candidate / "motions").is_dir() and (candidate / "splits").is_dir():
            return candidate
    found = sorted(path.name for path in folder.iterdir())
    if folder.name == "motions":
        hint = "this is only a part of it: give the folder above."
    elif any((candidate / "motions").is_dir() for candidate in candidates):
        hint = "the lists are missing: download the whole release."
    elif any(name.startswith("keypoints") for name in found):
        hint = "these are keypoints without SMPL motions, another version: download the one with motions."
    else:
        hint = "download AIST++'s annotations and unpack them."
    raise BadInput(
        f"{folder}: found {', '.join(found[:6]) or 'an empty folder'}, expected the folders motions and splits; {hint}"
    )


def _names(path: Path) -> tuple[str, ...]:
    """Sequence names of a list file, one a line, each once."""
    try:
        return tuple(dict.fromkeys(path.read_text().split()))
    except FileNotFoundError as error:
        raise BadInput(
            f"{path}: not found, expected a list of sequence names; the annotations are incomplete or of another "
            "version, download the official release."
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(
            f"{path}: not a readable list of sequence names ({type(error).__name__}); download it again."
        ) from error


def _expect_smpl(annotations: Annotations) -> None:
    """Stop where every motion looked into is a sound pickle without `smpl_poses`: then all 1,408 will be."""
    names = annotations.motions
    sample = names[:: -(-len(names) // _LOOKED_INTO)]
    other: list[str] = []
    for name in sample:
        try:
            content = load_safe_pickle(annotations.motion(name))
        except UserError:
            continue  # a single bad file: reported with its sequence
        if not isinstance(content, dict):
            continue
        if "smpl_poses" in content:
            return
        other = sorted(content)
    if other:
        raise BadInput(
            f"{annotations.root / 'motions'}: found pickles with {', '.join(other)[:200]}, expected smpl_poses and "
            "smpl_trans; these annotations are of another version, download the official release."
        )


VIDEO_SUFFIXES = (".mp4", ".mov", ".mkv", ".avi", ".webm")
WAV_SUFFIXES = (".wav",)


@dataclass(frozen=True)
class MusicSources:
    """Files that carry the music of sequences.

    Args:
        folder: where they were found.
        kind: `video` or `wav`.
        by_sequence: paths by sequence name (camera `cAll`), the one to be tried first in front.
    """

    folder: Path
    kind: str
    by_sequence: Mapping[str, tuple[Path, ...]]

    def of(self, name: str) -> tuple[Path, ...]:
        """Files of a sequence, none where there is none."""
        return self.by_sequence.get(_all_cameras(name), ())


def find_sources(videos: str | Path | None, wavs: str | Path | None) -> MusicSources | None:
    """Look through the folder, and the folders in it, that the user gave as `videos` or as `wavs`; None where neither is given.

    Raises:
        BadConfig: when both are given, or the folder does not exist.
        BadInput: when it holds no such file, or songs where the sound of each sequence is needed.
    """
    if videos is not None and wavs is not None:
        raise BadConfig("found both of videos= and wavs=, expected one of them; say where the music comes from.")
    if videos is not None:
        return _indexed(Path(videos), "video", VIDEO_SUFFIXES)
    if wavs is None:
        return None
    sources = _indexed(Path(wavs), "wav", WAV_SUFFIXES)
    _refuse_songs(sources)
    return sources


def _indexed(folder: Path, kind: str, suffixes: tuple[str, ...]) -> MusicSources:
    if not folder.is_dir():
        raise BadConfig(f"{kind}s={folder}: no such folder; give the one with the {kind}s of AIST.")
    found: dict[str, list[Path]] = {}
    for parent, _, files in os.walk(folder, followlinks=True):
        for file in files:
            path = Path(parent, file)
            if path.suffix.lower() in suffixes and file[0] != ".":
                found.setdefault(_all_cameras(path.stem), []).append(path)
    if not found:
        raise BadInput(f"{kind}s={folder}: found no {', '.join(suffixes)} file; check the folder.")
    return MusicSources(folder, kind, {name: tuple(sorted(paths, key=_turn)) for name, paths in found.items()})


def _all_cameras(stem: str) -> str:
    """The name of a sequence, whichever camera a file of it names; any other stem as it is."""
    parts = parse_sequence_name(stem)
    return str(replace(parts, camera="cAll")) if parts and str(parts) == stem else stem


def _turn(path: Path) -> tuple[bool, str, str]:
    """Order in which the cameras of a sequence are tried: cAll, then by number."""
    parts = parse_sequence_name(path.stem)
    return (parts is None or parts.camera != "cAll", path.stem, str(path))


def _refuse_songs(sources: MusicSources) -> None:
    """AIST's songs (mBR0.wav) are the wrong wavs: they don't say where in the song a sequence starts."""
    if any(parse_sequence_name(name) for name in sources.by_sequence):
        return
    songs = _song_files(sources.by_sequence)
    if songs:
        raise BadInput(
            f"wavs={sources.folder}: found songs ({', '.join(songs[:3])}), expected one wav a sequence; a song does not "
            "say where a dance starts in it, so give videos= instead."
        )


def _song_files(names: Iterable[str]) -> list[str]:
    return sorted(f"{name}.wav" for name in names if len(name) == 4 and name[0] == "m" and name[1:3].isupper())
