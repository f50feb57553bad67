"""The rhythm reader: motion in, the probability of a beat at every moment out, and the genre; any length.

It sees a dance as a camera would: points of the body projected on an upright plane, from several sides one after the other, and
averages what it reads. So two-dimensional recordings of real dancers teach it as well as bodies in three dimensions do, a film's
weakest part (its depth) is never looked at, and where the camera stood does not matter.
"""

from dataclasses import dataclass
from math import pi

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import conv1d, pad

from d2m.core.checkpoint import build, load_checkpoint, load_into, shipped_or_path
from d2m.core.errors import BadConfig
from d2m.core.timeline import MOTION_FPS
from d2m.models.encoders import TemporalEncoder
from d2m.models.heads import GenreClassifier, RhythmHead
from d2m.motion.keypoints import BODY_HEIGHT_M, POINTS
from d2m.motion.smpl import JOINT_NAMES, joint_positions_torch
from d2m.rhythm.grid import BeatReading
from d2m.rhythm.tracking import track_beats

READER_FPS = MOTION_FPS / TemporalEncoder.stride
"""Activations a second."""

MIRRORED_POINTS = [0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11]
"""Left and right exchanged."""

_JOINTS = [JOINT_NAMES.index(name) for name in POINTS]
_LEFT_HIP, _RIGHT_HIP = POINTS.index("left_hip"), POINTS.index("right_hip")
_ANKLES = [POINTS.index("left_ankle"), POINTS.index("right_ankle")]
_SMOOTHING_S = 0.025
_SPEED_M_S, _CHANGE_M_S2 = 1.0, 10.0
"""Divisors of velocities and of their changes."""


def body_points(features: Float[Tensor, "batch time 219"]) -> Float[Tensor, "batch time 13 3"]:
    """The points in metres, Y up, of dances at 60 fps."""
    rotations = features[..., 3:].unflatten(-1, (24, 3, 3))
    return joint_positions_torch(rotations, features[..., :3])[:, :, _JOINTS]


def projected(
    points: Float[Tensor, "batch time 13 3"], yaw_rad: Float[Tensor, " batch"]
) -> Float[Tensor, "batch time 13 2"]:
    """The points on an upright plane that faces `yaw_rad`: to the right, and up."""
    across = torch.stack([yaw_rad.cos(), torch.zeros_like(yaw_rad), -yaw_rad.sin()], dim=-1)
    return torch.stack([(points * across[:, None, None]).sum(-1), points[..., 1]], dim=-1)


def side_views(points: Float[Tensor, "1 time 13 3"], views: int) -> Float[Tensor, "{views} time 13 2"]:
    """A dance seen from sides spread evenly over half a turn."""
    yaws = torch.arange(views, device=points.device) * (pi / views)
    return projected(points.expand(views, -1, -1, -1), yaws)


def _smoothed(x: Float[Tensor, "batch time *part"], deviation_frames: float) -> Float[Tensor, "batch time *part"]:
    reach = int(3 * deviation_frames + 1)
    taps = torch.exp(-0.5 * (torch.arange(-reach, reach + 1, device=x.device) / deviation_frames) ** 2).to(x)
    rows = x.flatten(2).transpose(1, 2)
    rows = pad(rows, (reach, reach), mode="replicate").flatten(0, 1)[:, None]
    smooth = conv1d(rows, (taps / taps.sum())[None, None])
    return smooth[:, 0].unflatten(0, (len(x), -1)).transpose(1, 2).reshape(x.shape)


def point_channels(points: Float[Tensor, "batch time 13 2"]) -> Float[Tensor, "batch 81 time"]:
    """What the encoder looks at, in body heights: where each point is from the hips, how fast it moves, and the hips' height.

    Args:
        points: at 60 fps, up and to the right, in any unit.
    """
    points = _smoothed(points, _SMOOTHING_S * MOTION_FPS)
    height = (points[:, :, 0, 1] - points[:, :, _ANKLES, 1].mean(-1)).quantile(0.8, dim=1).clamp(min=1e-6)
    points = points * (BODY_HEIGHT_M / height)[:, None, None, None]
    hips = points[:, :, [_LEFT_HIP, _RIGHT_HIP]].mean(dim=2)
    (velocity,) = torch.gradient(points, spacing=1 / MOTION_FPS, dim=1)
    speed = velocity.norm(dim=-1)
    (change,) = torch.gradient(speed, spacing=1 / MOTION_FPS, dim=1)
    (hips_velocity,) = torch.gradient(hips, spacing=1 / MOTION_FPS, dim=1)
    rise = hips[..., 1:] - hips[..., 1:].mean(dim=1, keepdim=True)
    channels = [
        (points - hips[:, :, None]).flatten(2), velocity.flatten(2) / _SPEED_M_S, speed / _SPEED_M_S,
        change / _CHANGE_M_S2, 5 * rise, 2 * hips_velocity / _SPEED_M_S,
    ]  # fmt: skip
    return torch.cat(channels, dim=-1).transpose(1, 2)


@dataclass(frozen=True)
class RhythmRead:
    """What was read in a dance.

    Args:
        activation: probability of a beat at the centre of each frame, `READER_FPS` a second.
        genre_probabilities: in the order of `d2m.core.aist_names.GENRES`.
    """

    activation: Float[np.ndarray, " frame"]
    genre_probabilities: Float[Tensor, " 10"]

    def beats(self) -> BeatReading:
        """The beats tracked over the whole dance."""
        return track_beats(self.activation, READER_FPS)


class RhythmReader(nn.Module):
    """Reads beats and genre of a dance of any length.

    Args:
        encoder: of `point_channels`.
        views: sides from which a dance in three dimensions is looked at, spread over half a turn.
        window_s, hop_s: windows that a long dance is read in, and from one to the next.
    """

    def __init__(
        self, encoder: TemporalEncoder, views: int = 4, window_s: float | int = 12.0, hop_s: float | int = 8.0
    ) -> None:
        super().__init__()
        self.encoder, self.views, self.window_s, self.hop_s = encoder, views, window_s, hop_s
        self.rhythm, self.classifier = RhythmHead(encoder.channels, curves=1), GenreClassifier(encoder.channels)

    def forward(
        self, points: Float[Tensor, "batch time 13 2"]
    ) -> tuple[Float[Tensor, "batch frame"], Float[Tensor, "batch 10"]]:
        """Logits of beats and of genres, of windows seen from one side."""
        encoded = self.encoder(point_channels(points))
        return self.rhythm(encoded)[:, 0], self.classifier(encoded)

    @torch.no_grad()
    def read(self, features: Float[Tensor, "time 219"]) -> RhythmRead:
        """Read a whole dance at 60 fps."""
        return self.read_points(side_views(body_points(features[None].float()), self.views))

    @torch.no_grad()
    def read_points(self, points: Float[Tensor, "view time 13 2"]) -> RhythmRead:
        """Read a whole dance at 60 fps seen from some sides; windows and sides are averaged."""
        time, stride = points.shape[1], self.encoder.stride
        if time % stride:
            points, time = torch.cat([points, points[:, -1:]], dim=1), time + 1
        window = min(time, round(self.window_s * MOTION_FPS) // stride * stride)
        last = time - window
        hops = -(-last // (round(self.hop_s * MOTION_FPS) // stride * stride))
        starts = [round(last * k / hops / stride) * stride for k in range(hops + 1)] if hops else [0]
        total = torch.zeros(time // stride, device=points.device)
        weight, genre = torch.zeros(time // stride, device=points.device), torch.zeros(10, device=points.device)
        fade = torch.hann_window(window // stride + 2, periodic=False, device=points.device)[1:-1] + 1e-3
        for start in starts:
            rhythm, logits = self(points[:, start : start + window])
            at = slice(start // stride, (start + window) // stride)
            total[at] += rhythm.float().mean(dim=0) * fade
            weight[at] += fade
            genre += logits.float().mean(dim=0)
        activation = (total / weight).sigmoid().cpu().numpy()
        return RhythmRead(activation, (genre / len(starts)).softmax(dim=-1).cpu())


def load_reader(name_or_path: str) -> RhythmReader:
    """The reader of a checkpoint: of one that was trained alone, or that a system carries; in evaluation mode.

    Args:
        name_or_path: of a shipped checkpoint, or a file.

    Raises:
        BadConfig: when there is no such checkpoint, or it has no reader.
    """
    found = load_checkpoint(shipped_or_path(name_or_path))
    system = build(found.config.get("system"), found.path)
    load_into(system, found)
    reader = getattr(system, "reader", None)
    if not isinstance(reader, RhythmReader):
        raise BadConfig(f"{found.path}: holds no rhythm reader; give a checkpoint of experiment=rhythm_reader.")
    return reader.eval()
