"""The causal rhythm reader: the probability of a beat from what was seen so far, a step for each frame, with a state in place of a
window.

The offline reader (`d2m.rhythm.reader`) looks seconds ahead; this one sees only the past, and answers `delay_frames` late, which
is known and added to the time of what it says. Its convolutions keep the last frames that they need, as in Fast WaveNet
(Le Paine et al. 2016, arXiv:1611.09482), so that a dance read frame by frame is a dance read whole.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from d2m.core.aist_names import GENRES
from d2m.core.checkpoint import build, load_checkpoint, load_into, shipped_or_path
from d2m.core.errors import BadConfig
from d2m.core.timeline import MOTION_FPS
from d2m.motion.keypoints import BODY_HEIGHT_M, POINTS
from d2m.rhythm.reader import READER_FPS, RhythmRead, body_points, side_views

STRIDE = round(MOTION_FPS / READER_FPS)
"""Frames of motion in a frame of the reader."""

CHANNELS = 4 * len(POINTS) + 2 * len(POINTS) + 3
"""Position and velocity, speed and its change of each point; the hips' height and velocity."""

_HIPS = [POINTS.index("left_hip"), POINTS.index("right_hip")]
_ANKLES = [POINTS.index("left_ankle"), POINTS.index("right_ankle")]
_SMOOTHING_S, _HEIGHT_S, _RISE_S = 0.03, 0.25, 2.0
_SHRINKS_BY_S = 0.97
"""What is left of the height after a second in which the body was lower, as where the camera goes away."""


@dataclass
class ChannelState:
    """What `causal_channels` remembers: one row for each body."""

    points: Float[np.ndarray, "batch 13 2"]
    slower: Float[np.ndarray, "batch 13 2"]
    speed: Float[np.ndarray, "batch 13"]
    standing: Float[np.ndarray, " batch"]
    height: Float[np.ndarray, " batch"]
    level: Float[np.ndarray, "batch 2"]

    @staticmethod
    def of(first: Float[np.ndarray, "batch 13 2"]) -> "ChannelState":
        """Before the first frame: the body stood as it does there."""
        standing = first[:, 0, 1] - first[:, _ANKLES, 1].mean(axis=1)
        return ChannelState(
            first.copy(), first.copy(), np.zeros(first.shape[:2]), standing, np.maximum(standing, 1e-6),
            first[:, _HIPS].mean(axis=1),
        )  # fmt: skip


def causal_channels(
    points: Float[np.ndarray, "batch time 13 2"], state: ChannelState | None = None
) -> tuple[Float[np.ndarray, "batch 81 time"], ChannelState]:
    """What the reader looks at, in body heights, of past frames alone; see `d2m.rhythm.reader.point_channels`.

    Args:
        points: at 60 fps, to the right and up, in any unit.
        state: after the frames before these; None: these are the first.
    """
    points = np.asarray(points, np.float64)
    s = state or ChannelState.of(points[:, 0])
    near, tall, slow = (1 - np.exp(-1 / (seconds * MOTION_FPS)) for seconds in (_SMOOTHING_S, _HEIGHT_S, _RISE_S))
    fade = _SHRINKS_BY_S ** (1 / MOTION_FPS)
    out = np.empty((len(points), points.shape[1], CHANNELS), np.float32)
    for n in range(points.shape[1]):
        first = s.points + near * (points[:, n] - s.points)
        second = s.slower + near * (first - s.slower)  # twice: trembling of single frames is far down
        standing = s.standing + tall * (second[:, 0, 1] - second[:, _ANKLES, 1].mean(axis=1) - s.standing)
        height = np.maximum(np.maximum(standing, s.height * fade), 1e-6)
        scale = (BODY_HEIGHT_M / height)[:, None, None]
        hips = second[:, _HIPS].mean(axis=1)
        level = s.level + slow * (hips - s.level)
        velocity = (second - s.slower) * scale * MOTION_FPS
        speed = np.linalg.norm(velocity, axis=-1)
        out[:, n] = np.concatenate(
            [
                ((second - hips[:, None]) * scale).reshape(len(points), -1), velocity.reshape(len(points), -1), speed,
                (speed - s.speed) * (MOTION_FPS / 10), 5 * (hips - level)[:, 1:] * scale[:, 0],
                2 * velocity[:, _HIPS].mean(axis=1),
            ],
            axis=1,
        )  # fmt: skip
        s = ChannelState(first, second, speed, standing, height, level)
    return out.transpose(0, 2, 1), s


class CausalBlock(nn.Module):
    """Residual block: normalise each frame, dilated convolution over this frame and past ones, GELU, mix channels."""

    def __init__(self, channels: int, dilation: int, dropout: float) -> None:
        super().__init__()
        self.past = 2 * dilation
        self.norm = nn.LayerNorm(channels)
        self.conv = nn.Conv1d(channels, channels, 3, dilation=dilation)
        self.drop = nn.Dropout1d(dropout)
        self.mix = nn.Conv1d(channels, channels, 1)

    def forward(
        self, x: Float[Tensor, "batch channel time"], past: Float[Tensor, "batch channel past"] | None
    ) -> tuple[Float[Tensor, "batch channel time"], Float[Tensor, "batch channel past"]]:
        """The same shape, and what the next frames need of these."""
        seen = self.norm(x.transpose(1, 2)).transpose(1, 2)
        seen = F.pad(seen, (self.past, 0)) if past is None else torch.cat([past, seen], dim=-1)
        return x + self.mix(self.drop(F.gelu(self.conv(seen)))), seen[..., -self.past :]


@dataclass
class ReaderState:
    """What the reader remembers of a dance.

    Args:
        channels: of the front end; None before the first frame.
        convolutions: the last frames that each of them needs.
        genre_logits: summed over the frames so far.
        frames: of the reader, so far.
    """

    channels: ChannelState | None = None
    convolutions: list[Tensor | None] = field(default_factory=list)
    genre_logits: Tensor | None = None
    frames: int = 0


class CausalRhythmReader(nn.Module):
    """Reads the beats of a dance while it goes on.

    Args:
        channels: width.
        dilations: one block each, in frames of 1/30 s.
        delay_frames: the answer about a moment is given so many frames after it.
        dropout: within the blocks.
        channel_dropout: of input channels, for a whole window.
        views: sides from which a whole dance in three dimensions is looked at.
    """

    def __init__(
        self,
        channels: int = 96,
        dilations: Sequence[int] = (1, 2, 4, 8, 16, 32, 1, 2, 4, 8, 16),
        delay_frames: int = 4,
        dropout: float | int = 0.1,
        channel_dropout: float | int = 0.1,
        views: int = 2,
    ) -> None:
        super().__init__()
        self.delay_frames, self.views = delay_frames, views
        self.channel_dropout = nn.Dropout1d(channel_dropout)
        self.stem = nn.Conv1d(CHANNELS, channels, STRIDE, stride=STRIDE)
        self.blocks = nn.ModuleList(CausalBlock(channels, dilation, dropout) for dilation in dilations)
        self.norm = nn.LayerNorm(channels)
        self.beat, self.genre = nn.Linear(channels, 1), nn.Linear(channels, len(GENRES))

    @property
    def delay_s(self) -> float:
        """How late an answer is."""
        return self.delay_frames / READER_FPS

    def step(
        self, points: Float[Tensor, "batch time 13 2"], state: ReaderState | None = None
    ) -> tuple[Float[Tensor, "batch frame"], ReaderState]:
        """Logits of beats for each two frames of motion, each about the moment `delay_s` before; any even count at once.

        Args:
            points: the next frames at 60 fps, to the right and up.
            state: after the frames before; None: these are the first.
        """
        state = state or ReaderState()
        seen, remembered = causal_channels(points.cpu().numpy(), state.channels)
        x = self.stem(self.channel_dropout(torch.from_numpy(seen).to(self.stem.weight)))
        kept: list[Tensor | None] = []
        for block, past in zip(self.blocks, state.convolutions or [None] * len(self.blocks), strict=True):
            x, rest = block(x, past)
            kept.append(rest)
        x = self.norm(x.transpose(1, 2))
        genre = self.genre(x).sum(dim=1)
        genre = genre if state.genre_logits is None else genre + state.genre_logits
        return self.beat(x)[..., 0], ReaderState(remembered, kept, genre, state.frames + x.shape[1])

    def forward(
        self, points: Float[Tensor, "batch time 13 2"]
    ) -> tuple[Float[Tensor, "batch frame"], Float[Tensor, "batch 10"]]:
        """Logits of beats, each at its own moment (the last `delay_frames` are the last answer), and of genres, of windows."""
        late, state = self.step(points)
        assert state.genre_logits is not None
        held = late[:, -1:].expand(-1, self.delay_frames)
        return torch.cat([late[:, self.delay_frames :], held], dim=1), state.genre_logits / state.frames

    @torch.no_grad()
    def read(self, features: Float[Tensor, "time 219"]) -> RhythmRead:
        """Read a whole dance at 60 fps."""
        return self.read_points(side_views(body_points(features[None].float()), self.views))

    @torch.no_grad()
    def read_points(self, points: Float[Tensor, "view time 13 2"]) -> RhythmRead:
        """Read a whole dance at 60 fps seen from some sides, which are averaged."""
        logits, genre = self(points[:, : points.shape[1] // STRIDE * STRIDE])
        return RhythmRead(
            logits.float().mean(dim=0).sigmoid().cpu().numpy(), genre.float().mean(dim=0).softmax(dim=-1).cpu()
        )


def load_causal_reader(name_or_path: str) -> CausalRhythmReader:
    """The reader of a checkpoint of `experiment=causal_rhythm_reader`, in evaluation mode.

    Args:
        name_or_path: of a shipped checkpoint, or a file.

    Raises:
        BadConfig: when there is no such checkpoint, or it has no causal reader.
    """
    found = load_checkpoint(shipped_or_path(name_or_path))
    system = build(found.config.get("system"), found.path)
    load_into(system, found)
    reader = getattr(system, "reader", None)
    if not isinstance(reader, CausalRhythmReader):
        raise BadConfig(
            f"{found.path}: holds no causal rhythm reader; give a checkpoint of experiment=causal_rhythm_reader."
        )
    return reader.eval()
