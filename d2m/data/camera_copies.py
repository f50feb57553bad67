"""Camera copies of a data set: every dance goes through simulated landmarks and the inverse kinematics of `d2m.video`.

For training a model that does not care where motion came from, and for measuring what inverse kinematics costs.
"""

import os
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from math import pi
from pathlib import Path

import numpy as np
import torch

from d2m.core.errors import BadConfig
from d2m.core.files import atomic_write, writable_folder
from d2m.core.parallel import parallel_map
from d2m.data.layout import DataSetLayout
from d2m.motion.augmentation import turned
from d2m.motion.dance import Dance
from d2m.motion.landmarks import Landmarks
from d2m.video.modality import landmarks_of
from d2m.video.video_dance import dance_of_landmarks

COPY_OFFSET = 50
"""A camera copy's choreography is numbered this much higher: `..._ch01` becomes `..._ch51`."""

_LINKED = (("wavs", ".wav"), ("beats", ".txt"))


@dataclass(frozen=True)
class CameraNoise:
    """What is wrong with simulated landmarks.

    Args:
        least_m, most_m: standard deviation of each coordinate, white in time; drawn evenly for each dance.
        dropped: share of frames in which nobody is seen.
        uneven_s: standard deviation of the frames' times.
        fps: of the camera.
        depth: noise along the camera's axis, which a detector guesses, over that across it.
    """

    least_m: float | int = 0.01
    most_m: float | int = 0.01
    dropped: float | int = 0.05
    uneven_s: float | int = 0.003
    fps: float | int = 30.0
    depth: float | int = 1.0


CAMERAS_RAD = {"front": 0.0, "side": pi / 2}
"""By which angle about the vertical axis the dance is turned before a camera that stands in front of it."""


def simulated_landmarks(dance: Dance, noise: CameraNoise, seed: int, camera: str = "front") -> Landmarks:
    """What a detector finds in a video of the dance.

    Args:
        camera: one of `CAMERAS_RAD`; `side` sees the dancer's left side where the front one sees the face.
    """
    level = float(np.random.default_rng(seed).uniform(noise.least_m, noise.most_m))
    features = torch.from_numpy(np.asarray(dance.features, dtype=np.float64))[None]
    seen = turned(features, torch.tensor([CAMERAS_RAD[camera]], dtype=torch.float64))[0].numpy()
    return landmarks_of(seen, noise.fps, level, noise.dropped, seed, noise.uneven_s, depth=noise.depth)


def camera_copy(dance: Dance, noise: CameraNoise, seed: int) -> Dance:
    """The dance as it comes back from a video of it, exactly as long as before."""
    return _as_long_as(dance, dance_of_landmarks(simulated_landmarks(dance, noise, seed), dance.name))


def _as_long_as(dance: Dance, copy: Dance) -> Dance:
    index = np.minimum(np.arange(len(dance.features)), len(copy.features) - 1)
    landmarks = None if copy.landmarks is None else copy.landmarks[index]
    return Dance(copy.features[index], dance.name, dance.genre, landmarks)


def copy_name(name: str) -> str:
    """Name of a sequence's camera copy."""
    return re.sub(r"_ch(\d+)$", lambda found: f"_ch{int(found[1]) + COPY_OFFSET:02d}", name)


def write_camera_copies(
    motions: Sequence[Path],
    out: Path,
    noise: CameraNoise,
    seed: int = 0,
    processes: int = 2,
    camera: str = "front",
) -> int:
    """Write camera copies of motion files, and the landmarks that they were made of, into the data set `out` under their own
    names; what is there is kept. Music and beats of a data set whose `motions/` they are in are linked, not copied; where the
    two data sets are moved, they are moved together.

    Args:
        camera: one of `CAMERAS_RAD`.

    Returns:
        How many were made.

    Raises:
        BadConfig: for an unknown camera, or when `out` holds the motions, which would be replaced.
    """
    if camera not in CAMERAS_RAD:
        raise BadConfig(f"camera={camera}: expected one of {', '.join(CAMERAS_RAD)}.")
    target = DataSetLayout(writable_folder(out))
    if any(target.root.resolve() in (path.resolve().parent, path.resolve().parent.parent) for path in motions):
        raise BadConfig(f"out={out}: is the data set itself; name another folder.")
    todo = [path for path in motions if not (target.root / "motions" / f"{path.stem}.npy").exists()]
    parallel_map(partial(_write_one, target, noise, seed, camera), todo, processes, "lifting")
    return len(todo)


def add_camera_copies(
    layout: DataSetLayout, split: str, dmae: str, noise: CameraNoise, seed: int = 0, processes: int = 2
) -> str:
    """Add a camera copy of every sequence of a split to an encoded data set, and the split `SPLIT_lifted` of both.

    A copy has motion features of its own; its latent, rhythm curves and score are relative links, so that the data set can be moved.

    Returns:
        The new split's name.
    """
    names = layout.names(split)
    todo = [name for name in names if not layout.features(copy_name(name)).exists()]
    parallel_map(partial(_write_copy, layout, dmae, noise, seed), todo, processes, "lifting")
    with atomic_write(layout.root / "splits" / f"{split}_lifted.txt") as temporary:
        temporary.write_text("".join(f"{name}\n{copy_name(name)}\n" for name in names))
    return f"{split}_lifted"


def _write_copy(layout: DataSetLayout, dmae: str, noise: CameraNoise, seed: int, name: str) -> None:
    copy = copy_name(name)
    for source, link in (
        (layout.latent(name, dmae), layout.latent(copy, dmae)),
        (layout.rhythm(name, dmae), layout.rhythm(copy, dmae)),
        (layout.score(name), layout.score(copy)),
    ):
        _link(source, link)
    dance = camera_copy(Dance.load(layout.motion(name)), noise, zlib.crc32(f"{seed}/{name}".encode()))
    with atomic_write(layout.features(copy)) as temporary:
        np.save(temporary, dance.features)


def _link(source: Path, link: Path) -> None:
    """A relative link to a file that is there, so that both can be moved; a dead link in its place is replaced."""
    if source.exists() and not link.exists():
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        os.symlink(os.path.relpath(source.parent.resolve() / source.name, link.parent.resolve()), link)


def _write_one(target: DataSetLayout, noise: CameraNoise, seed: int, camera: str, motion: Path) -> None:
    dance, name = Dance.load(motion), motion.stem
    landmarks = simulated_landmarks(dance, noise, zlib.crc32(f"{seed}/{name}".encode()), camera)
    for folder, suffix in _LINKED if motion.absolute().parent.name == "motions" else ():
        source = motion.absolute().parents[1] / folder / f"{name}{suffix}"
        _link(source, target.root / folder / f"{name}{suffix}")
    landmarks.save(target.landmarks(name))
    with atomic_write(target.root / "motions" / f"{name}.npy") as temporary:
        np.save(temporary, _as_long_as(dance, dance_of_landmarks(landmarks, name)).features)
