"""Windows of moving points and beats, which the rhythm reader learns from: of motions in three dimensions, filmed from anywhere,
and of two-dimensional recordings. No music is needed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from d2m.core.aist_names import genre_index, parse_sequence_name
from d2m.core.errors import BadInput, UserError
from d2m.core.timeline import MOTION_FPS
from d2m.data.datamodule import ResumableSampler, Windows
from d2m.data.dataset import say_left_out
from d2m.models.heads import UNKNOWN_GENRE
from d2m.motion.dance import Dance
from d2m.motion.keypoints import COCO
from d2m.motion.smpl import JOINT_NAMES
from d2m.rhythm.grid import beat_curve
from d2m.rhythm.reader import MIRRORED_POINTS, POINTS, READER_FPS, body_points

BUMP_S = 0.04
"""Standard deviation of the bump around a beat that the reader learns: about a frame of it."""

UNKNOWN_BEAT = -1.0
"""In a curve: beyond the dance's end, where nothing is to be learned."""

_SHORTEST_S = 4.0
LIMBS = {
    "left arm": (3, 5), "right arm": (4, 6), "left foot": (9, 11), "right foot": (10, 12), "arms": (3, 4, 5, 6),
    "feet": (9, 10, 11, 12), "head": (0,),
}  # fmt: skip
"""Points that may be missing together."""


@dataclass(frozen=True)
class BeatSequence:
    """A dance of known beats.

    Args:
        name: of the sequence.
        points: `d2m.rhythm.reader.POINTS` at 60 fps, Y up: metres, or any unit where they have two dimensions.
        beats_s: in seconds.
        genre: class number, 10 where unknown.
    """

    name: str
    points: Float[np.ndarray, "time 13 _"]
    beats_s: Float[np.ndarray, " beat"]
    genre: int

    @property
    def seconds(self) -> float:
        """Length."""
        return len(self.points) / MOTION_FPS


def _genre(name: str) -> int:
    parts = parse_sequence_name(name)
    return UNKNOWN_GENRE if parts is None else genre_index(parts.genre)


def load_recording(path: Path) -> BeatSequence:
    """A dance of a detector: `.npz` with `fps`, `beats` in seconds, and `keypoints2d` (N, 17, 2), COCO's in pixels, y down, or
    `joints` (N, 22 or 24, 3), SMPL's in metres, Y up.

    Raises:
        BadInput: when it is no such file.
    """
    expected = "expected fps, beats, and keypoints2d (N, 17, 2) or joints (N, 22 or 24, 3)"
    try:
        with np.load(path, allow_pickle=False) as file:
            found = {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError) as error:
        raise BadInput(f"{path}: not readable ({error}), {expected} in an .npz; leave the file out.") from error
    if not {"fps", "beats"} <= found.keys() or not {"keypoints2d", "joints"} & found.keys():
        raise BadInput(f"{path}: found {', '.join(sorted(found)) or 'nothing'}, {expected}; leave the file out.")
    if "keypoints2d" in found:
        names = [COCO.index("nose" if name == "head" else name) for name in POINTS]
        points = found["keypoints2d"].astype(float)
        shape, points = points.shape, points[:, names] * np.array([1.0, -1.0]) if points.shape[1:] == (17, 2) else None
    else:
        points = found["joints"].astype(float)
        shape = points.shape
        points = points[:, [JOINT_NAMES.index(name) for name in POINTS]] if shape[1:] in ((22, 3), (24, 3)) else None
    if points is None or not np.isfinite(points).all() or len(points) < 2:
        raise BadInput(f"{path}: found points of shape {shape}, {expected}, all finite; leave the file out.")
    frames = round(len(points) * MOTION_FPS / float(found["fps"]))
    at = np.minimum(np.arange(frames) / MOTION_FPS * float(found["fps"]), len(points) - 1)
    return BeatSequence(
        path.stem, interpolated(points, at).astype(np.float32), found["beats"].astype(float), _genre(path.stem)
    )


def interpolated(
    points: Float[np.ndarray, "time 13 axis"], at: Float[np.ndarray, " frame"]
) -> Float[np.ndarray, "frame 13 axis"]:
    """The points at fractional frames, on straight lines between these."""
    before = np.minimum(at.astype(int), len(points) - 2)
    share = (at - before)[:, None, None]
    return points[before] * (1 - share) + points[before + 1] * share


def augmented_window(
    sequence: BeatSequence, window_s: float | int, rng: np.random.Generator
) -> tuple[Float[np.ndarray, "time 13 2"], Float[np.ndarray, " frame"]]:
    """A random window as some camera would see it, and its beats' curve.

    Where a dance is shorter, the window goes on with its last frame, and the curve with -1: nothing is known there. Played 0.75 to 1.3 times faster, filmed from any side by a camera near or far, low or high, mirrored, wider or narrower,
    trembling as a detector's points do, a limb frozen as one out of the picture is.
    """
    frames = round(window_s * MOTION_FPS) // 2 * 2
    speed = float(np.exp(rng.uniform(np.log(0.75), np.log(1.3)))) if rng.random() < 0.7 else 1.0
    last = len(sequence.points) - 1
    if last >= frames:
        speed = min(speed, last / frames)
    first = rng.uniform(0, max(0.0, last - speed * frames))
    at = first + np.arange(frames) * speed
    points = interpolated(sequence.points, np.minimum(at, last))
    if points.shape[-1] == 3:
        points = _filmed(points, rng)
    if rng.random() < 0.5:
        points = points[:, MIRRORED_POINTS] * np.array([-1.0, 1.0])
    size = float(points[..., 1].max() - points[..., 1].min())
    points = points * np.array([rng.uniform(0.85, 1.15), 1.0])
    if rng.random() < 0.5:
        white = rng.normal(size=points.shape)
        points = points + size * rng.uniform(0, 0.01) * (white + np.roll(white, 1, 0) + np.roll(white, 2, 0)) / 3**0.5
    if rng.random() < 0.3:
        points = without_limb(points, tuple(LIMBS.values())[int(rng.integers(len(LIMBS)))])
    beats_s = (sequence.beats_s * MOTION_FPS - first) / speed / MOTION_FPS
    curve = np.where(at[::2] <= last, beat_curve(beats_s, frames // 2, READER_FPS, BUMP_S), UNKNOWN_BEAT)
    return points.astype(np.float32), curve.astype(np.float32)


def _filmed(points: Float[np.ndarray, "time 13 3"], rng: np.random.Generator) -> Float[np.ndarray, "time 13 2"]:
    """Seen from a random side; half of the time by a camera of some pitch and distance in place of a flat projection."""
    yaw = rng.uniform(0, 2 * np.pi)
    x = points[..., 0] * np.cos(yaw) - points[..., 2] * np.sin(yaw)
    away, y = points[..., 0] * np.sin(yaw) + points[..., 2] * np.cos(yaw), points[..., 1]
    if rng.random() < 0.5:
        distance_m, pitch = rng.uniform(2.5, 8), rng.uniform(-0.1, 0.2)
        y, away = (y - 1) * np.cos(pitch) - away * np.sin(pitch), (y - 1) * np.sin(pitch) + away * np.cos(pitch)
        larger = distance_m / (distance_m + np.clip(away - away.mean(), -1.8, 3))
        x, y = x * larger, y * larger
    return np.stack([x, y], axis=-1)


def without_limb(points: Float[np.ndarray, "time 13 axis"], lost: Sequence[int]) -> Float[np.ndarray, "time 13 axis"]:
    """Points that are not seen: they go with the hips, where they are on the mean."""
    points, which = points.copy(), list(lost)
    hips = points[:, 7:9].mean(axis=1, keepdims=True)
    points[:, which] = hips + (points[:, which] - hips).mean(axis=0, keepdims=True)
    return points


class WholeDances(Dataset):
    """Validation batches: one whole dance each."""

    def __init__(self, sequences: Sequence[BeatSequence]) -> None:
        self.sequences = sequences

    def __len__(self) -> int:
        return len(self.sequences)

    def __getitem__(self, number: int) -> dict[str, Tensor | str]:
        one = self.sequences[number]
        points, beats_s = torch.from_numpy(one.points), torch.from_numpy(one.beats_s)
        return {"points": points, "beats_s": beats_s, "genre": torch.tensor(one.genre), "name": one.name}


class AugmentedWindows(Dataset):
    """Numbered random windows, each fixed by seed and number.

    Args:
        groups: sequences of several kinds; shares: how often one of each kind is taken.
        windows: how many there are.
        window_s: length.
        seed: of all.
    """

    def __init__(
        self,
        groups: Sequence[Sequence[BeatSequence]],
        shares: Sequence[float],
        windows: int,
        window_s: float,
        seed: int,
    ) -> None:
        self.groups, self.shares, self.windows, self.window_s, self.seed = groups, shares, windows, window_s, seed

    def __len__(self) -> int:
        return self.windows

    def __getitem__(self, number: int) -> dict[str, Tensor]:
        rng = np.random.default_rng([self.seed, number])
        group = self.groups[int(rng.choice(len(self.groups), p=np.array(self.shares)))]
        sequence = group[int(rng.integers(len(group)))]
        points, beats = augmented_window(sequence, self.window_s, rng)
        return {
            "points": torch.from_numpy(points),
            "beats": torch.from_numpy(beats),
            "genre": torch.tensor(sequence.genre),
        }


class RhythmWindows(Windows):
    """Motions of a data set, and recordings of dancers beside them, with their beats.

    Args:
        root: data set in AIST++'s layout; of each sequence its motion and its beats are needed (a list, or AIST++'s rule).
        recordings: folder of `load_recording`'s files; None: none.
        leave_out: names of recordings that are not to be trained on.
        recordings_share: share of the windows that are cut out of recordings.
        window_s: length of a training window; shorter dances, from 4 s on, fill a part of it.
        settings: see `Windows`.
    """

    def __init__(
        self,
        root: str,
        recordings: str | None = None,
        leave_out: Sequence[str] = (),
        recordings_share: float | int = 0.3,
        window_s: float | int = 10.0,
        **settings: Any,
    ) -> None:
        super().__init__(root, **settings)
        self.recordings = None if recordings is None else Path(recordings)
        self.leave_out, self.recordings_share, self.window_s = leave_out, recordings_share, window_s

    def setup(self, stage: str | None = None) -> None:
        """Read motions and beats.

        Raises:
            BadInput: when no sequence can be used.
        """
        if hasattr(self, "train"):
            return
        groups, shares = [self._sequences(self.train_split)], [1.0]
        if self.recordings is not None:
            groups.append(self._recordings(self.recordings))
            shares = [1 - self.recordings_share, self.recordings_share]
        windows = self.batch_size * self.steps_per_epoch
        self.train = AugmentedWindows(groups, shares, windows, self.window_s, self.seed)
        self.val = self._sequences(self.validation)

    def _sequences(self, split: str) -> list[BeatSequence]:
        names, found, failed = self.layout.names(split), list[BeatSequence](), list[str]()
        for name in tqdm(names, desc=f"reading split '{split}'", disable=len(names) < 50):
            try:
                dance = Dance.load(self.layout.motion(name))
                beats_s = self.layout.reference_beats_s(name, dance.seconds)
            except UserError as error:
                failed.append(str(error))
                continue
            if beats_s is None or len(beats_s) < 2 or dance.seconds < _SHORTEST_S:
                unknown = beats_s is None or len(beats_s) < 2
                failed.append(f"{name}: {'its beats are not known' if unknown else f'shorter than {_SHORTEST_S:g} s'}")
                continue
            points = body_points(torch.from_numpy(dance.features)[None])[0].numpy()
            found.append(BeatSequence(name, points, beats_s, _genre(name)))
        if not found:
            raise BadInput(
                f"{self.layout.root}: no sequence of split '{split}' can be used ({failed[0] if failed else 'it is empty'})."
            )
        if failed:
            say_left_out(f"split '{split}': {len(failed)} of {len(names)} sequences left out (first: {failed[0]})")
        return found

    def _recordings(self, folder: Path) -> list[BeatSequence]:
        paths = [path for path in sorted(folder.rglob("*.npz")) if path.stem not in self.leave_out]
        found = [sequence for sequence in map(load_recording, paths) if sequence.seconds >= _SHORTEST_S]
        if not found:
            raise BadInput(
                f"{folder}: found no recording (.npz) of known beats; leave recordings= out, or name their folder."
            )
        return found

    def fit_statistics_of(self, system: Any) -> None:
        """Nothing to fit: points are scaled by the body's height."""

    def train_dataloader(self) -> DataLoader:
        """Random windows; a resumed run goes on with the next."""
        numbers = ResumableSampler(self.batch_size, self._epoch_batches(), self.position)
        return DataLoader(self.train, self.batch_size, sampler=numbers, num_workers=self.workers, **self._options())

    def val_dataloader(self) -> DataLoader:
        """Whole dances, one by one."""
        return DataLoader(WholeDances(self.val), batch_size=None, **self._options())
