"""The published system as its own scripts run it: stock packages, two optimisers, attention spelled out.

Dance2Music-Diffusion (EURASIP JASMP 2024:48): `audio_diffusion_pytorch.DiffusionModel` with `UNetV0`, told by the tokens of
a plain ViT. Everything the benchmark is compared with stands here; nothing else in the project uses it.
"""

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from d2m.audio.torchaudio_cpu import ensure_torchaudio
from d2m.core.aist_names import GENRES
from d2m.motion.features import FEATURE_WIDTH

ensure_torchaudio()  # audio_diffusion_pytorch imports torchaudio
from audio_diffusion_pytorch import DiffusionModel, UNetV0, VDiffusion, VSampler  # noqa: E402

MASK_PROBABILITY = 0.2
"""Share of training rows whose tokens are replaced by the null tokens."""

VELOCITY_WEIGHT = 0.1
"""The published loss is 0.1 * L_v + CE(genre)."""

_UNET_SETTINGS = (
    *("in_channels", "channels", "factors", "items", "attentions", "cross_attentions"),
    *("attention_features", "attention_heads", "embedding_features", "embedding_max_length"),
    *("modulation_features", "resnet_groups"),
)
_ENCODER_SETTINGS = ("frames", "depth", "heads", "head_features", "hidden", "dropout")


class PlainAttention(nn.Module):
    """Multi-head self-attention as a product, a softmax and a product."""

    def __init__(self, features: int, heads: int, head_features: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.scale = heads, head_features**-0.5
        self.norm = nn.LayerNorm(features)
        self.dropout = nn.Dropout(dropout)
        self.to_qkv = nn.Linear(features, 3 * heads * head_features, bias=False)
        self.to_out = nn.Sequential(nn.Linear(heads * head_features, features), nn.Dropout(dropout))

    def forward(self, x: Float[Tensor, "batch token feature"]) -> Float[Tensor, "batch token feature"]:
        """The update to add to `x`."""
        batch, tokens, _ = x.shape
        q, k, v = (
            part.view(batch, tokens, self.heads, -1).transpose(1, 2)
            for part in self.to_qkv(self.norm(x)).chunk(3, dim=-1)
        )
        weights = self.dropout((q @ k.transpose(-1, -2) * self.scale).softmax(dim=-1))
        return self.to_out((weights @ v).transpose(1, 2).flatten(2))


class PlainTransformer(nn.Module):
    """Pre-norm transformer; keys as in the published ViT."""

    def __init__(self, depth: int, heads: int, head_features: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(FEATURE_WIDTH)
        self.layers = nn.ModuleList(
            nn.ModuleList([PlainAttention(FEATURE_WIDTH, heads, head_features, dropout), _perceptron(hidden, dropout)])
            for _ in range(depth)
        )

    def forward(self, x: Float[Tensor, "batch token feature"]) -> Float[Tensor, "batch token feature"]:
        """Tokens of the same shape, normalised."""
        for layer in self.layers:
            for block in layer.children():
                x = x + block(x)
        return self.norm(x)


class _Perceptron(nn.Module):
    def __init__(self, hidden: int, dropout: float) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.LayerNorm(FEATURE_WIDTH), nn.Linear(FEATURE_WIDTH, hidden), nn.GELU(), nn.Dropout(dropout),
            nn.Linear(hidden, FEATURE_WIDTH), nn.Dropout(dropout),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


def _perceptron(hidden: int, dropout: float) -> nn.Module:
    return _Perceptron(hidden, dropout)


class PlainViT(nn.Module):
    """The published motion encoder without fused attention: tokens, and genre logits from their mean."""

    def __init__(
        self, frames: int, depth: int, heads: int, head_features: int, hidden: int, dropout: float = 0.1
    ) -> None:
        super().__init__()
        self.pos_embedding = nn.Parameter(torch.randn(1, frames + 1, FEATURE_WIDTH))
        self.cls_token = nn.Parameter(torch.randn(1, 1, FEATURE_WIDTH))
        self.dropout = nn.Dropout(dropout)
        self.transformer = PlainTransformer(depth, heads, head_features, hidden, dropout)
        self.mlp_head = nn.Linear(FEATURE_WIDTH, len(GENRES))

    def forward(self, features: Float[Tensor, "batch time 219"]) -> tuple[Tensor, Tensor]:
        """Tokens [batch time + 1, 219] and genre logits [batch 10]."""
        tokens = torch.cat([self.cls_token.expand(len(features), -1, -1), features], dim=1) + self.pos_embedding
        tokens = self.transformer(self.dropout(tokens))
        return tokens, self.mlp_head(tokens.mean(dim=1))


class StockSystem(nn.Module):
    """Encoder and diffusion model of the published system.

    Args:
        unet: the arguments of `d2m.models.unet.ConditionedUNet`, of which the published ones are used.
        encoder: the arguments of `d2m.models.encoders.MotionViT`.
    """

    def __init__(self, unet: Mapping[str, Any], encoder: Mapping[str, Any]) -> None:
        super().__init__()
        self.encoder = PlainViT(**{key: encoder[key] for key in _ENCODER_SETTINGS if key in encoder})
        self.diffusion = DiffusionModel(
            net_t=UNetV0, diffusion_t=VDiffusion, sampler_t=VSampler, use_embedding_cfg=True,
            **{key: unet[key] for key in _UNET_SETTINGS if key in unet},
        )  # fmt: skip

    def loss(
        self,
        features: Float[Tensor, "batch time 219"],
        latent: Float[Tensor, "batch channel frame"],
        genre: Int[Tensor, " batch"],
    ) -> Float[Tensor, ""]:
        """0.1 * L_v + CE(genre), one call of the stock training forward."""
        tokens, logits = self.encoder(features)
        velocity = self.diffusion(latent, embedding=tokens, embedding_mask_proba=MASK_PROBABILITY)
        return VELOCITY_WEIGHT * velocity + F.cross_entropy(logits, genre)

    def optimizers(self) -> list[torch.optim.Optimizer]:
        """AdamW of the U-Net and AdamW of the encoder, with PyTorch's default implementation."""
        unet, encoder = self.diffusion.parameters(), self.encoder.parameters()
        return [
            torch.optim.AdamW(unet, lr=1e-4, betas=(0.95, 0.99), weight_decay=1e-3, eps=1e-6),
            torch.optim.AdamW(encoder, lr=1e-3, betas=(0.5, 0.9)),
        ]

    @torch.no_grad()
    def sample(
        self, tokens: Float[Tensor, "batch token 219"], noise: Float[Tensor, "batch channel frame"],
        steps: int = 50, guidance: float = 9.0,
    ) -> Float[Tensor, "batch channel frame"]:  # fmt: skip
        """DDIM with both guidance passes one after the other, as the stock plugin runs them."""
        return self.diffusion.sample(noise, embedding=tokens, embedding_scale=guidance, num_steps=steps)

    def unet_state(self, keep_vars: bool = False) -> dict[str, Tensor]:
        """The U-Net's weights once, under `ConditionedUNet`'s keys (the stock class lists each of them three times)."""
        state = self.diffusion.state_dict(keep_vars=keep_vars)
        return {key: value for key, value in state.items() if key.startswith("net.")}
