"""Motion encoders: ours, convolutional and exact in time, and the published ViT over frames; their attention blocks."""

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from d2m.core.aist_names import GENRES
from d2m.core.timeline import MOTION_FPS
from d2m.models.onednn import Linear
from d2m.motion.features import FEATURE_WIDTH, joint_velocities_torch


def attend(
    q: Float[Tensor, "batch query feature"],
    k: Float[Tensor, "batch key feature"],
    v: Float[Tensor, "batch key feature"],
    heads: int,
) -> Float[Tensor, "batch query feature"]:
    """Multi-head scaled dot-product attention (Vaswani et al. 2017, equation 1), heads side by side in the features."""
    q, k, v = (rearrange(t, "b n (h d) -> b h n d", h=heads) for t in (q, k, v))
    if q.device.type == "cpu" and q.dtype == torch.bfloat16:
        # PyTorch's fused kernel in bfloat16 on a CPU is up to four times slower backwards than the equation itself.
        mixed = (q * q.shape[-1] ** -0.5 @ k.transpose(-1, -2)).softmax(dim=-1) @ v
    else:
        mixed = F.scaled_dot_product_attention(q, k, v)
    return rearrange(mixed, "b h n d -> b n (h d)")


class SelfAttention(nn.Module):
    """Pre-norm multi-head self-attention without bias in its projections to query, key and value.

    Args:
        features: width of the tokens.
        heads: number of heads.
        head_features: width of a head; heads * head_features need not be `features`.
        dropout: of the output.
    """

    def __init__(self, features: int, heads: int, head_features: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(features)
        self.to_qkv = Linear(features, 3 * heads * head_features, bias=False)
        self.to_out = nn.Sequential(Linear(heads * head_features, features), nn.Dropout(dropout))

    def forward(self, x: Float[Tensor, "batch token feature"]) -> Float[Tensor, "batch token feature"]:
        """The update to add to `x`."""
        q, k, v = self.to_qkv(self.norm(x)).chunk(3, dim=-1)
        return self.to_out(attend(q, k, v, self.heads))


class FeedForward(nn.Module):
    """Pre-norm two-layer perceptron with GELU."""

    def __init__(self, features: int, hidden: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.LayerNorm(features),
            Linear(features, hidden),
            nn.GELU(),
            nn.Dropout(dropout),
            Linear(hidden, features),
            nn.Dropout(dropout),
        )

    def forward(self, x: Float[Tensor, "batch token feature"]) -> Float[Tensor, "batch token feature"]:
        """The update to add to `x`."""
        return self.net(x)


class Transformer(nn.Module):
    """Pre-norm transformer encoder with a final layer norm (Dosovitskiy et al. 2021; keys as in the published ViT)."""

    def __init__(
        self, features: int, depth: int, heads: int, head_features: int, hidden: int, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(features)
        self.layers = nn.ModuleList(
            nn.ModuleList(
                [SelfAttention(features, heads, head_features, dropout), FeedForward(features, hidden, dropout)]
            )
            for _ in range(depth)
        )

    def forward(self, x: Float[Tensor, "batch token feature"]) -> Float[Tensor, "batch token feature"]:
        """Tokens of the same shape, normalised."""
        for layer in self.layers:
            for block in layer.children():
                x = x + block(x)
        return self.norm(x)


JOINTS = 24
MOTION_CHANNELS = FEATURE_WIDTH + 3 * JOINTS + 2 * JOINTS
"""Features, joint velocities, and each joint's speed and rate of change of speed."""

VELOCITY_SCALE_M_S = 1.0
"""Fixed divisor of velocities: joints of a dancer move at about a metre a second."""

SPEED_CHANGE_SCALE_M_S2 = 10.0
"""Fixed divisor of the rate of change of speed: a move starts or ends in about a tenth of a second."""


def motion_channels(
    features: Float[Tensor, "batch time 219"], normalised: Float[Tensor, "batch time 219"]
) -> Float[Tensor, "batch 339 time"]:
    """What the encoder looks at: poses, and how fast each joint moves through the room.

    A trial without joint velocities lost half of the tempo accuracy: where a joint is in the room follows
    from a product of rotations along the body, which a small network would first have to learn.

    Args:
        features: un-normalised, for the forward kinematics; at least two frames at 60 fps.
        normalised: the same, normalised.
    """
    velocities = joint_velocities_torch(features, MOTION_FPS) / VELOCITY_SCALE_M_S
    speeds = velocities.unflatten(-1, (JOINTS, 3)).norm(dim=-1)
    (changes,) = torch.gradient(speeds, spacing=1 / MOTION_FPS, dim=1)
    changes = changes * (VELOCITY_SCALE_M_S / SPEED_CHANGE_SCALE_M_S2)
    return torch.cat([normalised, velocities, speeds, changes], dim=-1).transpose(1, 2)


class DilatedBlock(nn.Module):
    """Residual block: normalise, dilated convolution over time, GELU, mix channels."""

    def __init__(self, channels: int, dilation: int, dropout: float) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.GroupNorm(8, channels),
            nn.Conv1d(channels, channels, 3, padding=dilation, dilation=dilation),
            nn.GELU(),
            nn.Dropout1d(dropout),  # whole channels, whose masks cost nothing to draw
            nn.Conv1d(channels, channels, 1),
        )

    def forward(self, x: Float[Tensor, "batch channel time"]) -> Float[Tensor, "batch channel time"]:
        """Same shape."""
        return x + self.net(x)


class TemporalEncoder(nn.Module):
    """Motion at 60 fps → features at 30 Hz, each knowing the seconds around it.

    Convolutions keep what shifts in time shifting with it; the attention blocks, which have no positions of their own, let
    a frame compare itself with the whole window (is this accent one of a regular row?).

    Args:
        channels: width, divisible by 8.
        dilations: one block each, in frames of 1/30 s; [1, 2, 4, 8, 16, 1, 2, 4] sees 2.6 s.
        attention_blocks: self-attention + perceptron blocks at the end.
        heads: of the self-attention.
        dropout: within all blocks.
        channel_dropout: probability that an input channel is dropped for a whole window, against relying on one joint.
        inputs: channels that it looks at; those of `motion_channels`, unless another front end brings its own.
    """

    stride = 2

    def __init__(
        self,
        channels: int = 128,
        dilations: tuple[int, ...] | list[int] = (1, 2, 4, 8, 16, 1, 2, 4),
        attention_blocks: int = 1,
        heads: int = 4,
        dropout: float = 0.1,
        channel_dropout: float = 0.0,
        inputs: int = MOTION_CHANNELS,
    ) -> None:
        super().__init__()
        self.channels, self.inputs = channels, inputs
        self.channel_dropout = nn.Dropout1d(channel_dropout)
        self.stem = nn.Conv1d(inputs, channels, 2 * self.stride, stride=self.stride, padding=self.stride // 2)
        self.blocks = nn.ModuleList(DilatedBlock(channels, dilation, dropout) for dilation in dilations)
        self.attention = nn.ModuleList()
        for _ in range(attention_blocks):
            self.attention.append(SelfAttention(channels, heads, channels // heads, dropout))
            self.attention.append(FeedForward(channels, 2 * channels, dropout))

    def forward(self, x: Float[Tensor, "batch input time"]) -> Float[Tensor, "batch channel half"]:
        """Features at 30 Hz; frame k is centred between motion frames 2k and 2k + 1 (see `frame_time_s`)."""
        x = self.stem(self.channel_dropout(x))
        for block in self.blocks:
            x = block(x)
        x = x.transpose(1, 2)
        for block in self.attention:
            x = x + block(x)
        return x.transpose(1, 2)

    @classmethod
    def frame_time_s(cls, frame: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Time of encoder frame number `frame` after motion frame 0: the centre of the stem's kernel."""
        return (cls.stride * frame + (cls.stride - 1) / 2) / MOTION_FPS


def resampled(
    x: Float[Tensor, "batch channel source"], position: Float[Tensor, " frame"]
) -> Float[Tensor, "batch channel frame"]:
    """Linear interpolation of `x` at fractional source positions; beyond an end, the end's value."""
    position = position.clamp(0, x.shape[-1] - 1)
    left = position.floor().long().clamp(max=max(x.shape[-1] - 2, 0))
    right = (left + 1).clamp(max=x.shape[-1] - 1)
    return torch.lerp(x[..., left], x[..., right], (position - left).to(x.dtype))


class MotionViT(nn.Module):
    """The published motion encoder: class token + 356 frames of width 219 through a ViT (Dance2Music-Diffusion, 2024).

    State-dict keys are the published ones. 6,822,748 parameters at the default sizes.

    Args:
        frames: frames of a window; fewer are accepted, more are not.
        depth, heads, head_features, hidden, dropout: of the transformer.
        pool: what the genre head reads, `mean` of all tokens or the class token `cls`; both are published.
    """

    def __init__(
        self,
        frames: int = 356,
        depth: int = 6,
        heads: int = 12,
        head_features: int = 64,
        hidden: int = 1024,
        dropout: float = 0.1,
        pool: str = "mean",
    ) -> None:
        super().__init__()
        if pool not in ("mean", "cls"):
            raise ValueError(f"pool={pool}: unknown; expected mean or cls.")
        self.frames, self.pool = frames, pool
        self.pos_embedding = nn.Parameter(torch.randn(1, frames + 1, FEATURE_WIDTH))
        self.cls_token = nn.Parameter(torch.randn(1, 1, FEATURE_WIDTH))
        self.dropout = nn.Dropout(dropout)
        self.transformer = Transformer(FEATURE_WIDTH, depth, heads, head_features, hidden, dropout)
        self.mlp_head = nn.Linear(FEATURE_WIDTH, len(GENRES))

    def forward(self, features: Float[Tensor, "batch time 219"]) -> Float[Tensor, "batch token 219"]:
        """One token for the class and one for each frame."""
        if features.shape[1] > self.frames:
            raise ValueError(f"the motion ViT has positions for {self.frames} frames, not {features.shape[1]}.")
        tokens = torch.cat([self.cls_token.expand(len(features), -1, -1), features], dim=1)
        return self.transformer(self.dropout(tokens + self.pos_embedding[:, : tokens.shape[1]]))

    def genre_logits(self, tokens: Float[Tensor, "batch token 219"]) -> Float[Tensor, "batch 10"]:
        """Genre read from the mean of all tokens, or from the class token."""
        return self.mlp_head(tokens[:, 0] if self.pool == "cls" else tokens.mean(dim=1))


class TokenFusion(nn.Module):
    """The paper's fusion block: time as channels, 357 tokens of 219 → 64 tokens of 768."""

    def __init__(self, tokens_in: int = 357, tokens_out: int = 64, features_out: int = 768) -> None:
        super().__init__()
        self.conv = nn.Conv1d(tokens_in, tokens_out, 3, padding=1)
        self.linear = nn.Linear(FEATURE_WIDTH, features_out)

    def forward(self, tokens: Float[Tensor, "batch token 219"]) -> Float[Tensor, "batch fused feature"]:
        """Fewer, wider tokens."""
        return self.linear(F.gelu(self.conv(tokens)))
