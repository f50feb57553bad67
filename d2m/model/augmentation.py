"""Motion augmentation: what may change in a dance without changing its music."""

from dataclasses import dataclass
from math import pi

import torch
from jaxtyping import Float
from torch import Tensor


def turned(
    features: Float[Tensor, "batch time 219"], yaw_rad: Float[Tensor, "batch"]
) -> Float[Tensor, "batch time 219"]:
    """The whole dance turned about the vertical axis (Y): translation and root rotation, each row by its angle."""
    cos, sin, zero, one = yaw_rad.cos(), yaw_rad.sin(), torch.zeros_like(yaw_rad), torch.ones_like(yaw_rad)
    turn = torch.stack([cos, zero, sin, zero, one, zero, -sin, zero, cos], dim=-1).view(-1, 1, 3, 3)
    translation = (turn @ features[..., :3, None]).squeeze(-1)
    root = turn @ features[..., 3:12].unflatten(-1, (3, 3))
    return torch.cat([translation, root.flatten(-2), features[..., 12:]], dim=-1)


@dataclass(frozen=True)
class MotionAugmentation:
    """Random changes of training windows.

    Args:
        yaw: turn each dance by a random angle about the vertical: music does not know where the camera stood.
        still_probability: of holding a dance's translation at its first frame (footage often lacks the path).
        noise: standard deviation of noise on the normalised features; not on the raw ones, where a centimetre
            from frame to frame would be a velocity of half a metre a second.
    """

    yaw: bool = True
    still_probability: float = 0.1
    noise: float = 0.02

    def moved(self, features: Float[Tensor, "batch time 219"]) -> Float[Tensor, "batch time 219"]:
        """Un-normalised features, turned and perhaps held in place."""
        batch = len(features)
        if self.yaw:
            features = turned(features, 2 * pi * torch.rand(batch, device=features.device))
        if self.still_probability > 0:
            still = torch.rand(batch, 1, 1, device=features.device) < self.still_probability
            translation = torch.where(still, features[:, :1, :3], features[..., :3])
            features = torch.cat([translation, features[..., 3:]], dim=-1)
        return features

    def noisy(self, normalised: Float[Tensor, "batch time 219"]) -> Float[Tensor, "batch time 219"]:
        """Normalised features with a little noise."""
        return normalised + self.noise * torch.randn_like(normalised) if self.noise > 0 else normalised
