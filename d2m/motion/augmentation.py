"""Motion augmentation: what may change in a dance without changing its music."""

from dataclasses import dataclass
from math import ceil, pi, radians

import torch
from jaxtyping import Float
from smplx.lbs import batch_rodrigues
from torch import Tensor
from torch.nn.functional import conv1d, pad

from d2m.core.timeline import MOTION_FPS
from d2m.motion.smpl import JOINT_NAMES, PARENTS, REST_OFFSETS_M

JITTER_SMOOTHING_S = 0.03
"""Standard deviation in time of jitter: what is left of a detector's noise when a video's landmarks have been smoothed."""

TWIST_SMOOTHING_S = 0.3
"""The same of twist, which a lift guesses and follows slowly."""

_SIDES = {"left": "right", "right": "left"}
_MIRRORED = [JOINT_NAMES.index("_".join(_SIDES.get(part, part) for part in name.split("_"))) for name in JOINT_NAMES]
_MIRROR_SIGNS = (1.0, -1.0, -1.0, -1.0, 1.0, 1.0, -1.0, 1.0, 1.0)
"""A rotation matrix row by row between two mirrors x → -x."""

_LIMB_CHILD = {"shoulder": "elbow", "elbow": "wrist", "hip": "knee", "knee": "ankle"}


def _limb_axes() -> Float[Tensor, "24 3"]:
    """Rest direction of the bones of arms and legs, zero for other joints."""
    axes = torch.zeros(len(JOINT_NAMES), 3)
    for index, name in enumerate(JOINT_NAMES):
        side, _, part = name.partition("_")
        if part in _LIMB_CHILD:
            offset = torch.tensor(REST_OFFSETS_M[JOINT_NAMES.index(f"{side}_{_LIMB_CHILD[part]}")], dtype=torch.float32)
            axes[index] = offset / offset.norm()
    return axes


def turned(
    features: Float[Tensor, "batch time 219"], yaw_rad: Float[Tensor, " batch"]
) -> Float[Tensor, "batch time 219"]:
    """The whole dance turned about the vertical axis (Y): translation and root rotation, each row by its angle."""
    cos, sin, zero, one = yaw_rad.cos(), yaw_rad.sin(), torch.zeros_like(yaw_rad), torch.ones_like(yaw_rad)
    turn = torch.stack([cos, zero, sin, zero, one, zero, -sin, zero, cos], dim=-1).view(-1, 1, 3, 3)
    translation = (turn @ features[..., :3, None]).squeeze(-1)
    root = turn @ features[..., 3:12].unflatten(-1, (3, 3))
    return torch.cat([translation, root.flatten(-2), features[..., 12:]], dim=-1)


def mirrored(features: Float[Tensor, "batch time 219"]) -> Float[Tensor, "batch time 219"]:
    """The dance in a mirror: x changes its sign, left and right joints change places."""
    signs = torch.tensor(_MIRROR_SIGNS, device=features.device, dtype=features.dtype)
    rotations = features[..., 3:].unflatten(-1, (len(JOINT_NAMES), 9))[..., _MIRRORED, :] * signs
    return torch.cat([features[..., :3] * signs[[1, 0, 0]], rotations.flatten(-2)], dim=-1)


def perturbed(
    features: Float[Tensor, "batch time 219"], turns_rad: Float[Tensor, "batch time 24 3"]
) -> Float[Tensor, "batch time 219"]:
    """Each joint turned in the world by an axis-angle vector given in its own frame; its children stay as they stand.

    So errors do not add up along a limb, as they do not where each bone was seen for itself; and a turn about the bone
    moves nothing.
    """
    flat = batch_rodrigues(turns_rad.reshape(-1, 3))  # pyright: ignore[reportArgumentType]
    turns = flat.reshape(*turns_rad.shape, 3)
    parents = list(PARENTS)
    above = torch.cat([torch.eye(3).to(turns).expand_as(turns[:, :, :1]), turns[:, :, parents[1:]]], dim=2)
    rotations = above.transpose(-1, -2) @ features[..., 3:].unflatten(-1, (24, 3, 3)) @ turns
    return torch.cat([features[..., :3], rotations.flatten(-3)], dim=-1)


def blurred(features: Float[Tensor, "batch time 219"], deviation_s: float) -> Float[Tensor, "batch time 219"]:
    """The motion smoothed by a Gaussian in time, as smoothing of a noisy recording blunts its accents."""
    smooth = _smoothed(features, deviation_s)
    columns = smooth[..., 3:].unflatten(-1, (24, 3, 3)).transpose(-1, -2)
    x = torch.nn.functional.normalize(columns[..., 0, :], dim=-1)
    y = torch.nn.functional.normalize(columns[..., 1, :] - (x * columns[..., 1, :]).sum(-1, keepdim=True) * x, dim=-1)
    rotations = torch.stack([x, y, torch.linalg.cross(x, y)], dim=-1)
    return torch.cat([smooth[..., :3], rotations.flatten(-3)], dim=-1)


@dataclass(frozen=True)
class MotionAugmentation:
    """Random changes of training windows.

    Args:
        yaw: turn each dance by a random angle about the vertical: music does not know where the camera stood.
        still_probability: of holding a dance's translation at its first frame (footage often lacks the path).
        noise: standard deviation of noise on the normalised features; not on the raw ones, where a centimetre
            from frame to frame would be a velocity of half a metre a second.
        mirror_probability: of showing a dance in a mirror, left and right exchanged.
        jitter_deg: largest standard deviation of every joint's slow trembling; each window draws its own, from 0 on.
        twist_deg: the same for turns of limbs about themselves, which move no joint; a lift from video guesses them.
        blur_s: largest standard deviation of smoothing in time; each batch draws its own, from 0 on.
    """

    yaw: bool = True
    still_probability: float | int = 0.1
    noise: float | int = 0.02
    mirror_probability: float | int = 0.0
    jitter_deg: float | int = 0.0
    twist_deg: float | int = 0.0
    blur_s: float | int = 0.0

    def moved(self, features: Float[Tensor, "batch time 219"]) -> Float[Tensor, "batch time 219"]:
        """Un-normalised features, turned, mirrored, blunted, trembling, and perhaps held in place."""
        batch = len(features)
        if self.yaw:
            features = turned(features, 2 * pi * torch.rand(batch, device=features.device))
        if self.mirror_probability > 0:
            in_mirror = torch.rand(batch, 1, 1, device=features.device) < self.mirror_probability
            features = torch.where(in_mirror, mirrored(features), features)
        if self.blur_s > 0:
            features = blurred(features, self.blur_s * float(torch.rand(())))
        if self.jitter_deg > 0 or self.twist_deg > 0:
            features = perturbed(features, self._turns_rad(features))
        if self.still_probability > 0:
            still = torch.rand(batch, 1, 1, device=features.device) < self.still_probability
            translation = torch.where(still, features[:, :1, :3], features[..., :3])
            features = torch.cat([translation, features[..., 3:]], dim=-1)
        return features

    def noisy(self, normalised: Float[Tensor, "batch time 219"]) -> Float[Tensor, "batch time 219"]:
        """Normalised features with a little noise."""
        return normalised + self.noise * torch.randn_like(normalised) if self.noise > 0 else normalised

    def _turns_rad(self, features: Float[Tensor, "batch time 219"]) -> Float[Tensor, "batch time 24 3"]:
        """Jitter and twist of every joint, each window with a strength of its own."""
        batch, time, joints = len(features), features.shape[1], len(JOINT_NAMES)
        options = {"device": features.device, "dtype": features.dtype}
        jitter = band_limited(torch.randn(batch, time, 3 * joints, **options), JITTER_SMOOTHING_S)
        axes = _limb_axes().to(features)
        limbs = axes.any(dim=-1).nonzero()[:, 0]
        twist = band_limited(torch.randn(batch, time, len(limbs), **options), TWIST_SMOOTHING_S)
        strength = torch.rand(2, batch, 1, 1, 1, **options)
        turns = radians(self.jitter_deg) * strength[0] * jitter.unflatten(-1, (joints, 3))
        turns[:, :, limbs] += radians(self.twist_deg) * strength[1] * twist[..., None] * axes[limbs]
        return turns


def _gaussian(deviation_s: float) -> Float[Tensor, " tap"]:
    deviation = max(deviation_s * MOTION_FPS, 1e-3)
    reach = ceil(3 * deviation)
    taps = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / deviation) ** 2)
    return taps / taps.sum()


def _smoothed(values: Float[Tensor, "batch time channel"], deviation_s: float) -> Float[Tensor, "batch time channel"]:
    """Along time by a Gaussian; the ends are held."""
    taps = _gaussian(deviation_s).to(values)
    rows = values.transpose(1, 2).flatten(0, 1)[:, None]
    smooth = conv1d(pad(rows, (len(taps) // 2, len(taps) // 2), mode="replicate"), taps[None, None])
    return smooth[:, 0].unflatten(0, (values.shape[0], values.shape[2])).transpose(1, 2)


def band_limited(white: Float[Tensor, "batch time channel"], deviation_s: float) -> Float[Tensor, "batch time channel"]:
    """White noise smoothed along time, of unit variance again."""
    return _smoothed(white, deviation_s) / _gaussian(deviation_s).norm().to(white)
