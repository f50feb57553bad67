"""One sequence of a data set with codec tokens, read and cut."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Integer
from lightning import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from d2m.core.aist_names import genre_index, parse_sequence_name
from d2m.core.errors import BadInput, UserError
from d2m.core.timeline import Clock
from d2m.data.clips import last_starts, left_out_sentence, load_array, say_left_out, too_short_error
from d2m.data.index import TokenManifest, token_file, token_folder
from d2m.data.layout import DataSetLayout, load_landmarks
from d2m.data.sampler import Position, ResumableSampler, accumulated_batches, position_of
from d2m.models.heads import UNKNOWN_GENRE
from d2m.motion.dance import Dance


@dataclass(frozen=True)
class TokenClip:
    """One whole sequence; motion is memory-mapped.

    Args:
        name: of the sequence.
        features: motion, see `d2m.motion.features`.
        codes: of its music.
        rhythm: beat activation and onset envelope per codec frame, in [0, 1], or None.
        genre: class number, 10 where unknown.
        landmarks: see `d2m.video.modality`, or None.
    """

    name: str
    features: Float[np.ndarray, "time 219"]
    codes: Integer[np.ndarray, "codebook frame"]
    rhythm: Float[np.ndarray, "2 frame"] | None
    genre: int
    landmarks: Float[np.ndarray, "time 33 3"] | None = None


def last_start(clip: TokenClip, clock: Clock) -> int:
    """Largest codec frame at which a window may start; negative where the sequence is shorter than a window."""
    return int(last_starts(np.array([len(clip.features)]), np.array([clip.codes.shape[1]]), clock)[0])


def cut_tokens(clip: TokenClip, start: int, clock: Clock) -> dict[str, Tensor | str]:
    """The window that starts with codec frame `start`, copied out of the clip."""
    length = clock.window_motion_frames
    motion = min(clock.latent_frames_to_motion_frames(start), len(clip.features) - length)
    frames = slice(start, start + clock.window_latent_frames)
    row: dict[str, Tensor | str] = {
        "features": torch.from_numpy(np.array(clip.features[motion : motion + length], np.float32)),
        "codes": torch.from_numpy(np.array(clip.codes[:, frames], np.int64)),
        "genre": torch.tensor(clip.genre),
        "name": clip.name,
        "start_s": torch.tensor(clock.latent_frames_to_seconds(start), dtype=torch.float32),
    }
    if clip.landmarks is not None:
        row["landmarks"] = torch.from_numpy(clip.landmarks[motion : motion + length].copy())
    if clip.rhythm is not None:
        row["rhythm"] = torch.from_numpy(np.array(clip.rhythm[:, frames], np.float32))
    return row


def load_codes(
    layout: DataSetLayout, name: str, codec: str, manifest: TokenManifest
) -> Integer[np.ndarray, "codebook frame"]:
    """Codes of one sequence.

    Raises:
        BadInput: when they are missing, damaged, or cannot be this codec's.
    """
    path, facts = token_file(layout, name, codec), manifest.codec
    again = f"run scripts/encode.py codec={codec}"
    try:
        codes = np.load(path, allow_pickle=False)
    except FileNotFoundError as error:
        raise BadInput(f"{path}: not found, expected the codec tokens of '{name}'; {again} first.") from error
    except (ValueError, OSError, EOFError) as error:
        raise BadInput(f"{path}: damaged ({str(error)[:100]}); delete it and {again} again.") from error
    if codes.dtype.kind != "i" or codes.ndim != 2 or len(codes) != facts.codebooks or codes.size == 0:
        raise BadInput(
            f"{path}: found {codes.dtype} of shape {list(codes.shape)}, expected whole numbers [{facts.codebooks}, frame] of "
            f"codec '{codec}'; delete it and {again} again."
        )
    if codes.min() < 0 or codes.max() >= facts.codebook_size:
        raise BadInput(
            f"{path}: found codes from {codes.min()} to {codes.max()}, but codec '{codec}' has {facts.codebook_size} entries; "
            f"these are another codec's, delete them and {again} again."
        )
    return codes


def load_token_clip(
    layout: DataSetLayout, name: str, codec: str, manifest: TokenManifest, landmarks: bool = False
) -> TokenClip:
    """Read one sequence; its motion from `features/` where encoding has put it there, else from its motion file.

    Args:
        layout: of the data set.
        name: of the sequence.
        codec: name that the tokens are filed under.
        manifest: of the tokens.
        landmarks: whether to bring the landmarks, too.

    Raises:
        BadInput: when its tokens are missing or are not this codec's.
    """
    codes, made, rhythm = load_codes(layout, name, codec, manifest), layout.features(name), layout.rhythm(name, codec)
    features = load_array(made, 219, mapped=True) if made.exists() else Dance.load(layout.motion(name)).features
    curves = load_array(rhythm, mapped=True).astype(np.float32) if rhythm.exists() else None
    if curves is not None and curves.shape != (2, codes.shape[1]):
        raise BadInput(
            f"{rhythm}: found {list(curves.shape)}, expected rhythm curves [2, {codes.shape[1]}] on the frames of codec "
            f"'{codec}'; delete it and its tokens, and run scripts/encode.py codec={codec} again."
        )
    parts = parse_sequence_name(name)
    genre = UNKNOWN_GENRE if parts is None else genre_index(parts.genre)
    body = load_landmarks(layout, name, np.asarray(features)) if landmarks else None
    return TokenClip(name, features, codes, curves, genre, body)


# Training and validation windows of motion and codec tokens.


class TokenClipWindows(Dataset):
    """Windows of the clock's length.

    Args:
        clips: each at least a window long.
        clock: of the codec.
        length: windows per epoch, each from a random sequence; None: one at the start of every sequence.
        seed: of the random places; window number n of a seed is always the same one, so that a resumed run goes on exactly.
    """

    def __init__(self, clips: list[TokenClip], clock: Clock, length: int | None = None, seed: int = 0) -> None:
        self.clips, self.clock, self.length, self.seed = clips, clock, length, seed

    def __len__(self) -> int:
        return self.length or len(self.clips)

    def __getitem__(self, index: int) -> dict[str, Tensor | str]:
        """Window number `index`, which may lie past the epoch's length."""
        if self.length is None:
            return cut_tokens(self.clips[index], 0, self.clock)
        rng = np.random.default_rng((self.seed, index))
        clip = self.clips[int(rng.integers(len(self.clips)))]
        return cut_tokens(clip, int(rng.integers(last_start(clip, self.clock) + 1)), self.clock)


class TokenWindows(LightningDataModule):
    """Windows of motion and codec tokens, encoded by `scripts/encode.py codec=NAME`.

    Args:
        root: data set in AIST++'s layout.
        codec: name that the tokens are filed under.
        window_seconds: of a window; rounded to whole codec frames.
        batch_size: windows in a batch of one process.
        steps_per_epoch: optimiser steps that Lightning calls an epoch.
        train_split, validation: splits used; songs for validation are carved out of train, never the test songs.
        seed: of the random windows.
        workers: processes that read training windows.
        landmarks: bring MediaPipe's landmarks along: those of `root/landmarks`, else those of the motion's skeleton.
    """

    def __init__(
        self,
        root: str,
        codec: str = "demo",
        window_seconds: float | int = 5.944,
        batch_size: int = 16,
        steps_per_epoch: int = 500,
        train_split: str = "train",
        validation: str = "val",
        seed: int = 0,
        workers: int = 0,
        landmarks: bool = False,
    ) -> None:
        super().__init__()
        self.layout, self.codec, self.window_seconds = DataSetLayout(Path(root)), codec, window_seconds
        self.batch_size, self.steps_per_epoch, self.workers, self.seed = batch_size, steps_per_epoch, workers, seed
        self.train_split, self.validation, self.landmarks = train_split, validation, landmarks

    @property
    def made_with(self) -> dict[str, Any]:
        """What finds the codec again, for a checkpoint's config."""
        manifest = self.manifest
        bandwidth = {} if manifest.bandwidth is None else {"codec_bandwidth": manifest.bandwidth}
        return {"codec": manifest.source, **bandwidth, "codec_sha256": manifest.codec.fingerprint}

    @property
    def manifest(self) -> TokenManifest:
        """Of the tokens.

        Raises:
            BadInput: when they are missing.
        """
        return TokenManifest.load(token_folder(self.layout, self.codec))

    def setup(self, stage: str | None = None) -> None:
        """Read both splits' tokens into memory, and map their motion.

        Raises:
            BadInput: when tokens are missing or another codec's, or no sequence can be used.
        """
        if hasattr(self, "train"):
            return
        facts = self.manifest.codec
        self.clock = facts.clock(max(1, round(self.window_seconds * facts.frame_rate)))
        windows = self.batch_size * self.steps_per_epoch
        self.train = TokenClipWindows(self._clips(self.train_split), self.clock, windows, self.seed)
        self.val = TokenClipWindows(self._clips(self.validation), self.clock)

    def fit_statistics_of(self, system: Any) -> None:
        """Fit a system's motion reader on the training split, after asking it whether these are its codec's tokens.

        Raises:
            BadConfig: when the system is made for another codec's.
        """
        if hasattr(system, "check_codec"):
            system.check_codec(self.manifest.codec)
        system.reader.fit([clip.features for clip in self.train.clips])

    def train_dataloader(self) -> DataLoader:
        """Random windows, the same whatever the number of processes and `workers`."""
        numbers = ResumableSampler(
            self.batch_size, self.steps_per_epoch * accumulated_batches(self.trainer), self.position
        )
        return DataLoader(self.train, self.batch_size, sampler=numbers, num_workers=self.workers, **self._options())

    def val_dataloader(self) -> DataLoader:
        """The first window of every validation sequence."""
        return DataLoader(self.val, self.batch_size, **self._options())

    def position(self) -> Position:
        """Where the run has got to."""
        return position_of(self.trainer)

    def _options(self) -> dict[str, Any]:
        # a generator of its own: without one a loader takes a number from PyTorch's at every start, also where a resumed
        # run has none
        return {"generator": torch.Generator(), "pin_memory": torch.cuda.is_available()}

    def _clips(self, split: str) -> list[TokenClip]:
        manifest, names, clips, failed, short = self.manifest, self.layout.names(split), [], [], 0
        for name in tqdm(names, desc=f"reading split '{split}'", disable=len(names) < 50):
            try:
                clip = load_token_clip(self.layout, name, self.codec, manifest, self.landmarks)
            except UserError as error:
                failed.append(str(error))
                continue
            if last_start(clip, self.clock) < 0:
                short += 1
            else:
                clips.append(clip)
        if not clips:
            raise BadInput(failed[0]) if failed else too_short_error(self.layout, self.clock)
        without = [clip.name for clip in clips if clip.rhythm is None]
        if without and len(without) < len(clips):
            raise BadInput(
                f"{self.layout.rhythm(without[0], self.codec)}: not found, but other sequences have their rhythm curves; "
                f"run scripts/encode.py codec={self.codec} again."
            )
        first = failed[0] if failed else ""
        left_out = left_out_sentence(split, len(names), short, len(failed), first, self.clock)
        if left_out:
            say_left_out(left_out)
        return clips
