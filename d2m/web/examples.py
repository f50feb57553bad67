"""Dances to try the page with: made from nothing by the procedural choreographer, shown as stick figures."""

import pickle
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from d2m.core.aist_names import GENRE_TITLES
from d2m.data.synthetic.dances import choreograph
from d2m.motion.dance import Dance
from d2m.render.skeleton import save_poster

_SECONDS = 8.0
_CHOICES = (("gBR", 96.0), ("gHO", 122.0), ("gWA", 108.0), ("gJB", 88.0))
"""Genre and tempo in BPM that each example is danced to."""

_POSTER_S = 2.4
_POSTER_PIXELS = (320, 320)


@dataclass(frozen=True)
class ExampleDance:
    """One example.

    Args:
        path: an AIST++-style `.pkl`.
        poster: a picture of one moment.
        title: shown below the picture.
    """

    path: Path
    poster: Path
    title: str


def write_examples(folder: Path) -> list[ExampleDance]:
    """Write the example dances and their pictures into `folder`."""
    return [_write_example(folder, number, genre, bpm) for number, (genre, bpm) in enumerate(_CHOICES)]


def _write_example(folder: Path, number: int, genre: str, bpm: float) -> ExampleDance:
    beats_s = np.arange(0, _SECONDS + 1, 60 / bpm)
    poses = choreograph(genre, beats_s, 0, _SECONDS, dancer=30 + number, seed=40 + number)
    path = folder / f"{GENRE_TITLES[genre].replace(' ', '_')}.pkl"
    content = {"smpl_poses": poses.poses, "smpl_trans": poses.trans, "smpl_scaling": np.ones(1, np.float32)}
    path.write_bytes(pickle.dumps(content))
    poster = save_poster(Dance.load(path), path.with_suffix(".png"), _POSTER_S, size=_POSTER_PIXELS)
    return ExampleDance(path, poster, GENRE_TITLES[genre])
