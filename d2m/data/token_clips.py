"""One sequence of a data set with codec tokens, read and cut."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Integer
from torch import Tensor

from d2m.clock import Clock
from d2m.dance import Dance
from d2m.data.clips import last_starts, load_array
from d2m.data.layout import DataSetLayout
from d2m.data.seen_dance import load_landmarks
from d2m.data.token_manifest import TokenManifest, token_file
from d2m.errors import BadInput
from d2m.model.genre import UNKNOWN_GENRE
from d2m.names import genre_index, parse_sequence_name


@dataclass(frozen=True)
class TokenClip:
    """One whole sequence; motion is memory-mapped.

    Args:
        name: of the sequence.
        features: motion, see `d2m.motion.features`.
        codes: of its music.
        rhythm: beat activation and onset envelope per codec frame, in [0, 1], or None.
        genre: class number, 10 where unknown.
        landmarks: see `d2m.video.view`, or None.
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
