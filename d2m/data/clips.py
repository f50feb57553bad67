"""Paired windows of motion and music latent, cut on the one clock."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils.data import Dataset
from tqdm import tqdm

from d2m.clock import Clock
from d2m.dance import Dance
from d2m.data.layout import DataSetLayout
from d2m.errors import BadInput
from d2m.model.genre import UNKNOWN_GENRE
from d2m.names import genre_index


@dataclass(frozen=True)
class Clip:
    """One whole sequence in memory.

    Args:
        name: of the sequence.
        features: motion, see `d2m.motion.features`.
        latent: of its music.
        rhythm: beat activation and onset envelope per latent frame, in [0, 1], or None.
        genre: class number, 10 where unknown.
    """

    name: str
    features: Float[np.ndarray, "time 219"]
    latent: Float[np.ndarray, "channel frame"]
    rhythm: Float[np.ndarray, "2 frame"] | None
    genre: int


def load_clip(layout: DataSetLayout, name: str, dmae: str) -> Clip:
    """Read one sequence.

    Raises:
        BadInput: when its latent is missing or is not one.
    """
    path = layout.latent(name, dmae)
    if not path.exists():
        raise BadInput(
            f"{path}: not found, expected the music latent of '{name}'; run scripts/encode.py dmae={dmae} first."
        )
    latent = np.load(path, allow_pickle=False).astype(np.float32)
    if latent.ndim != 2:
        raise BadInput(f"{path}: found an array of shape {latent.shape}, expected [channel, frame]; encode it again.")
    dance = Dance.load(layout.motion(name))
    rhythm_path = layout.rhythm(name, dmae)
    rhythm = np.load(rhythm_path, allow_pickle=False).astype(np.float32) if rhythm_path.exists() else None
    genre = UNKNOWN_GENRE if dance.genre is None else genre_index(dance.genre)
    return Clip(name, dance.features, latent, rhythm, genre)


class ClipWindows(Dataset):
    """Windows of the clock's length, from sequences held in memory.

    Args:
        layout: the data set.
        names: its sequences to use; those shorter than a window are left out and counted in `too_short`.
        dmae: autoencoder whose latents are used.
        clock: of that autoencoder.
        length: windows per epoch, each at a random place of a random sequence; None: one at the start of every sequence.
        seed: of the random places; window number n of a seed is always the same one, so that a resumed run goes on exactly.
    """

    def __init__(
        self,
        layout: DataSetLayout,
        names: list[str],
        dmae: str,
        clock: Clock,
        length: int | None = None,
        seed: int = 0,
    ) -> None:
        self.clock, self.length, self.seed = clock, length, seed
        loaded = [load_clip(layout, name, dmae) for name in tqdm(names, desc="reading clips", disable=len(names) < 50)]
        self.clips = [clip for clip in loaded if self._last_start(clip) >= 0]
        self.too_short = len(loaded) - len(self.clips)
        if not self.clips:
            raise BadInput(
                f"{layout.root}: found no sequence of at least {clock.window_seconds:.2f} s; use longer dances."
            )

    def _last_start(self, clip: Clip) -> int:
        """Largest latent frame at which a window may start: both music and motion must reach its end."""
        spare_motion = len(clip.features) - self.clock.window_motion_frames
        by_motion = int(spare_motion / 60 * self.clock.latent_rate) if spare_motion >= 0 else -1
        return min(clip.latent.shape[1] - self.clock.window_latent_frames, by_motion)

    def __len__(self) -> int:
        return self.length or len(self.clips)

    def __getitem__(self, index: int) -> dict[str, Tensor | str]:
        """A batch row as `LatentDiffusion` expects it, and the sequence's `name` and the window's `start_s`."""
        if self.length is None:
            return self.window(self.clips[index], 0)
        rng = np.random.default_rng((self.seed, index))
        clip = self.clips[int(rng.integers(len(self.clips)))]
        return self.window(clip, int(rng.integers(self._last_start(clip) + 1)))

    def window(self, clip: Clip, start: int) -> dict[str, Tensor | str]:
        """The window that starts with latent frame `start`."""
        motion = min(
            self.clock.latent_frames_to_motion_frames(start), len(clip.features) - self.clock.window_motion_frames
        )
        frames = slice(start, start + self.clock.window_latent_frames)
        row: dict[str, Tensor | str] = {
            "features": torch.from_numpy(clip.features[motion : motion + self.clock.window_motion_frames]),
            "latent": torch.from_numpy(clip.latent[:, frames]),
            "genre": torch.tensor(clip.genre),
            "name": clip.name,
        }
        if clip.rhythm is not None:
            row["rhythm"] = torch.from_numpy(clip.rhythm[:, frames])
        return row
