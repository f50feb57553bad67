"""Where a data set's files lie (AIST++'s own folder layout, for all data sets), and their readers."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from d2m.core.aist_names import grid_beats_s
from d2m.core.errors import BadInput
from d2m.metrics.beats import load_beats_s
from d2m.motion.dance import Dance
from d2m.motion.landmarks import Landmarks
from d2m.motion.readers import Hints
from d2m.video.modality import seen_landmarks, skeleton_landmarks

OFFICIAL = ("train", "val", "test")
"""AIST++'s own splits, whose lists are called `crossmodal_SPLIT.txt`."""


@dataclass(frozen=True)
class DataSetLayout:
    """Paths inside a data set.

    root/motions/NAME.pkl   root/wavs/NAME.wav   root/beats/NAME.txt   root/features/NAME.npy
    root/latents/DMAE/NAME.npy   root/tokens/CODEC/NAME.npy (each with a manifest.json: `d2m.data.manifest`)
    root/rhythm/{DMAE,CODEC}/NAME.npy
    root/landmarks/NAME.npz   root/frames/NAME.npy (and manifest.json), where a data set is made of films
    root/splits/crossmodal_{train,val,test}.txt (others: SPLIT.txt)    root/ignore_list.txt
    """

    root: Path

    def motion(self, name: str) -> Path:
        """SMPL motion of a sequence."""
        return self.root / "motions" / f"{name}.pkl"

    def wav(self, name: str) -> Path:
        """Music of a sequence, starting with its motion."""
        return self.root / "wavs" / f"{name}.wav"

    def music_hint(self) -> str:
        """What must come before encoding where there is no music at all; empty where there is some."""
        if next((self.root / "wavs").glob("[!.]*.wav"), None) is not None:
            return ""
        return f"there is no music in {self.root / 'wavs'}: run scripts/prepare.py with the music (of AIST++, videos= or wavs=), then "

    def beats(self, name: str) -> Path:
        """True beat times, one in seconds a line."""
        return self.root / "beats" / f"{name}.txt"

    def score(self, name: str) -> Path:
        """Key, chords and energy of what a sequence's band plays, where that is known."""
        return self.root / "scores" / f"{name}.json"

    def reference_beats_s(self, name: str, seconds: float | int) -> Float[np.ndarray, " beat"] | None:
        """True beat times of a sequence in seconds: its list's, else AIST++'s by rule; None where neither is known.

        Args:
            seconds: length of the sequence; the rule's beats end before.

        Raises:
            BadInput: when the list is not one in seconds, see `load_beats_s`.
        """
        path = self.beats(name)
        return load_beats_s(path) if path.exists() else grid_beats_s(name, seconds)

    def features(self, name: str) -> Path:
        """Motion features [time 219] of a sequence at 60 fps, float32."""
        return self.root / "features" / f"{name}.npy"

    def latent_folder(self, dmae: str) -> Path:
        """Latents of the autoencoder `dmae`, with their manifest and index."""
        return self.root / "latents" / dmae

    def latent(self, name: str, dmae: str) -> Path:
        """Music latent [latent_channel frame] of a sequence under the autoencoder `dmae`."""
        return self.latent_folder(dmae) / f"{name}.npy"

    def token_folder(self, codec: str) -> Path:
        """Tokens of a codec, with their manifest."""
        return self.root / "tokens" / codec

    def tokens(self, name: str, codec: str) -> Path:
        """Codes [codebook frame] of a sequence, int16."""
        return self.token_folder(codec) / f"{name}.npy"

    def rhythm(self, name: str, coder: str) -> Path:
        """Rhythm curves [2 frame] of a sequence's music on the frames of an autoencoder or codec."""
        return self.root / "rhythm" / coder / f"{name}.npy"

    def landmarks(self, name: str) -> Path:
        """MediaPipe's landmarks of a film's sequence (`d2m.motion.landmarks`)."""
        return self.root / "landmarks" / f"{name}.npz"

    def pictures(self, name: str) -> Path:
        """Small video frames of a sequence: uint8 [frame height width], grey, 15 a second, the first at 0 s."""
        return self.root / "frames" / f"{name}.npy"

    def split_file(self, split: str) -> Path:
        """List of a split's sequence names."""
        other = self.root / "splits" / f"{split}.txt"
        return other if other.exists() or split not in OFFICIAL else self.root / "splits" / f"crossmodal_{split}.txt"

    def listed(self, split: str) -> Path:
        """List of a split that exists.

        Raises:
            BadInput: when the split has none.
        """
        path = self.split_file(split)
        if not path.exists():
            raise BadInput(
                f"{path}: not found, expected the list of split '{split}'; "
                f"run scripts/prepare.py for this data set or correct root={self.root}."
            )
        return path

    def names(self, split: str) -> list[str]:
        """Sequence names of a split, those of the ignore list left out.

        Raises:
            BadInput: when the split has no list, or an empty one.
        """
        path = self.listed(split)
        ignored_file = self.root / "ignore_list.txt"
        ignored = set(ignored_file.read_text().split()) if ignored_file.exists() else set()
        names = [name for name in path.read_text().split() if name not in ignored]
        if not names:
            raise BadInput(f"{path}: found no sequence names, expected one a line; prepare the data set again.")
        return names


def load_array(
    path: Path, what: str, shape: tuple[int | str, ...], kind: type[np.generic], again: str, mapped: bool = False
) -> np.ndarray:
    """An array from a `.npy` file of a data set.

    Args:
        path: the file.
        what: it holds, for the error's sentence.
        shape: expected; an axis of any size is a name.
        kind: of numbers.
        again: the command that makes it.
        mapped: memory-map it; what is written into the array does not reach the file.

    Raises:
        BadInput: when it is missing, damaged or another array.
    """
    try:
        array = np.load(path, mmap_mode="c" if mapped else None, allow_pickle=False)
    except FileNotFoundError as error:
        raise BadInput(f"{path}: not found, expected {what}; {again}.") from error
    except (ValueError, OSError, EOFError) as error:
        raise BadInput(f"{path}: damaged ({str(error)[:100]}); delete it and {again}.") from error
    wrong = [size for size, found in zip(shape, array.shape, strict=False) if size != found and isinstance(size, int)]
    if wrong or array.ndim != len(shape) or not np.issubdtype(array.dtype, kind):
        raise BadInput(
            f"{path}: found {array.dtype} of shape {list(array.shape)}, expected {what} [{', '.join(map(str, shape))}]; "
            f"delete it and {again}."
        )
    return np.asarray(array)


def load_latent(
    layout: DataSetLayout, name: str, dmae: str, channels: int | str = "channel", mapped: bool = False
) -> Float[np.ndarray, "channel frame"]:
    """Music latent of a sequence; see `load_array`."""
    path, what = layout.latent(name, dmae), f"the music latent of '{name}'"
    hint = "" if path.exists() else layout.music_hint()
    return load_array(path, what, (channels, "frame"), np.floating, f"{hint}run scripts/encode.py dmae={dmae}", mapped)


def load_features(layout: DataSetLayout, name: str, mapped: bool = False) -> Float[np.ndarray, "time 219"]:
    """Motion from `features/` where encoding has put it there, else from the motion file; see `load_array`."""
    path = layout.features(name)
    if not path.exists():
        return Dance.load(layout.motion(name)).features
    return load_array(path, "motion features", ("time", 219), np.floating, "run scripts/encode.py again", mapped)


def load_dance(path: str | Path, modality: str = "features", hints: Hints = Hints()) -> Dance:  # noqa: B008 (frozen)
    """A dance, with its landmarks or its pictures where they are what is read and its data set has them.

    Args:
        path: see `Dance.load`; of a data set, a file in its folder `motions`.
        modality: one of `d2m.video.modality.MODALITIES`.
        hints: what the user says of the file.

    Raises:
        BadInput: when a file cannot be used.
    """
    path, dance = Path(path), Dance.load(path, hints.fps, hints.up, hints.person)
    layout = DataSetLayout(path.absolute().parent.parent)
    if path.absolute().parent != layout.root / "motions":
        return dance
    if modality == "landmarks" and layout.landmarks(dance.name).exists():
        return replace(dance, landmarks=load_landmarks(layout, dance.name, dance.features))
    if modality == "frames" and layout.pictures(dance.name).exists():
        return replace(dance, pictures=load_pictures(layout, dance.name))
    return dance


def load_landmarks(
    layout: DataSetLayout, name: str, features: Float[np.ndarray, "time 219"]
) -> Float[np.ndarray, "time 33 3"]:
    """Landmarks of a sequence, frame by frame with its motion: those of its film, else those of its skeleton.

    Raises:
        BadInput: when the film's are damaged.
    """
    path = layout.landmarks(name)
    if path.exists():
        return seen_landmarks(Landmarks.load(path), len(features))
    return skeleton_landmarks(features)


def load_pictures(layout: DataSetLayout, name: str) -> UInt8[np.ndarray, "picture height width"]:
    """Small pictures of a sequence.

    Raises:
        BadInput: when they are missing or damaged.
    """
    again = "run scripts/prepare.py for this data set again, or use frames=false"
    what = f"the small video frames of '{name}'"
    return load_array(layout.pictures(name), what, ("frame", "height", "width"), np.uint8, again)
