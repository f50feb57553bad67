"""A dance file with what its data set knows beside the motion: landmarks and small pictures of the film."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from d2m.dance import Dance
from d2m.data.layout import DataSetLayout
from d2m.errors import BadInput
from d2m.video.landmarks import Landmarks
from d2m.video.view import seen_landmarks, skeleton_landmarks


def load_dance(path: str | Path, reads: str = "features") -> Dance:
    """A dance, with its landmarks or its pictures where they are what is read and its data set has them.

    Args:
        path: see `Dance.load`; of a data set, a file in its folder `motions`.
        reads: one of `d2m.video.view.VIEWS`.

    Raises:
        BadInput: when a file cannot be used.
    """
    path, dance = Path(path), Dance.load(path)
    layout = DataSetLayout(path.absolute().parent.parent)
    if path.absolute().parent != layout.root / "motions":
        return dance
    if reads == "landmarks" and layout.landmarks(dance.name).exists():
        return replace(dance, landmarks=load_landmarks(layout, dance.name, dance.features))
    if reads == "frames" and layout.pictures(dance.name).exists():
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
    path = layout.pictures(name)
    again = "run scripts/prepare.py for this data set again, or use frames=false"
    try:
        pictures = np.load(path, allow_pickle=False)
    except FileNotFoundError as error:
        raise BadInput(f"{path}: not found, expected the small video frames of '{name}'; {again}.") from error
    except (ValueError, OSError, EOFError) as error:
        raise BadInput(f"{path}: damaged ({str(error)[:100]}); {again}.") from error
    if pictures.ndim != 3 or pictures.dtype != np.uint8:
        raise BadInput(
            f"{path}: found an array of shape {pictures.shape} and type {pictures.dtype}, expected grey pictures "
            f"[frame height width] of type uint8; {again}."
        )
    return pictures
