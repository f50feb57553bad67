"""The denoising U-Net, built from a-unet's blocks. Beside the autoencoder, the only place that knows a-unet.

With the published arguments it has the layout, the parameter count and the state-dict keys (under `net.`) of
`audio_diffusion_pytorch.UNetV0` with classifier-free guidance, so that published weights fit.

Never `copy.deepcopy` it: a-unet's modules close over the original blocks, and the copy would run the original's weights.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import prod
from typing import Any

import torch
from a_unet import Attention, FixedEmbedding, Module, Packed, T, TimeConditioningPlugin
from a_unet.apex import InjectChannelsItem, ModulationItem, ResnetItem, SelectX, SelectXE, SkipModulate, XBlock, XUNet
from jaxtyping import Float
from torch import Tensor, nn

from d2m.models.conditioner import Condition
from d2m.models.encoders import attend
from d2m.models.onednn import use_onednn

_BLOCK_TENSORS = 24
"""Tensors of a level's size that may be alive at once."""


class FusedAttentionBase(nn.Module):
    """a-unet's attention kernel, same keys, on PyTorch's fused attention."""

    def __init__(self, features: int, head_features: int, num_heads: int) -> None:
        super().__init__()
        self.heads = num_heads
        self.blocks = nn.ModuleList([nn.Linear(head_features * num_heads, features, bias=False)])

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """[batch token heads * head_features] each → [batch token features]."""
        return self.blocks[0](attend(q, k, v, self.heads))


_FusedAttention = T(Attention)(attention_base_t=FusedAttentionBase)


def SelfAttentionItem(channels: int, attention_features: int, attention_heads: int, **_: Any) -> nn.Module:
    """a-unet item: self-attention over the frames of a level."""
    item: Any = SelectX(_FusedAttention)
    return Packed(item(features=channels, head_features=attention_features, num_heads=attention_heads))


class CrossAttention(Attention):
    """a-unet's cross-attention, same keys, to tokens or to keys and values made of them before.

    Attributes:
        number: which of the U-Net's cross-attentions this one is.
    """

    number = 0

    def __init__(self, **arguments: Any) -> None:
        super().__init__(attention_base_t=FusedAttentionBase, **arguments)

    def keys_values(self, tokens: Tensor) -> Tensor:
        """[batch token features] → keys and values side by side, [batch token 2 * heads * head_features]."""
        return self.to_kv(self.norm_context(tokens))

    def forward(self, x: Tensor, context: Tensor | tuple[Tensor, ...]) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        """[batch frame features] → the same; `context`: tokens, or keys and values for every cross-attention."""
        both = context[self.number] if isinstance(context, tuple) else self.keys_values(context)
        k, v = both.chunk(2, dim=-1)
        return x + self.attention(self.to_q(self.norm(x)), k, v)


def CrossAttentionItem(
    channels: int, attention_features: int, attention_heads: int, embedding_features: int, **_: Any
) -> nn.Module:
    """a-unet item: attention from the frames of a level to the condition's tokens."""
    item: Any = SelectXE(CrossAttention)
    return Packed(
        item(
            features=channels,
            head_features=attention_features,
            num_heads=attention_heads,
            context_features=embedding_features,
        )
    )


class FrameModulationItem(nn.Module):
    """a-unet item: every frame scaled and shifted by what the context says at that frame (FiLM, Perez et al. 2018).

    The projection starts at zero, so that the item starts as the identity.
    """

    def __init__(self, channels: int, context_channels: int, depth: int, **_: Any) -> None:
        super().__init__()
        self.depth = depth
        self.to_scale_shift = nn.Conv1d(context_channels, 2 * channels, 1)
        nn.init.zeros_(self.to_scale_shift.weight)
        nn.init.zeros_(self.to_scale_shift.bias)  # pyright: ignore[reportArgumentType]

    def forward(self, x: Tensor, features: Tensor, embedding: Tensor | None, channels: Sequence[Tensor]) -> Tensor:
        """[batch channel frame] → same shape."""
        scale, shift = self.to_scale_shift(channels[self.depth]).chunk(2, dim=1)
        return torch.addcmul(x + shift, x, scale)


def _null_tokens_plugin(net_t: Callable[..., nn.Module], max_length: int) -> Callable[..., nn.Module]:
    """a-unet plugin: rows marked as dropped get learned null tokens. Keys as in a-unet's ClassifierFreeGuidancePlugin."""

    def build(embedding_features: int, **kwargs: Any) -> nn.Module:
        null_tokens = FixedEmbedding(max_length=max_length, features=embedding_features)
        net = net_t(embedding_features=embedding_features, **kwargs)

        def forward(x: Tensor, embedding: Tensor | tuple[Tensor, ...], dropped: Tensor, **inputs: Any) -> Tensor:
            if not isinstance(embedding, tuple):
                embedding = torch.where(dropped[:, None, None], null_tokens(embedding).to(embedding), embedding)
            return net(x, embedding=embedding, **inputs)

        return Module([null_tokens, net], forward)

    return build


class ConditionedUNet(nn.Module):
    """Predicts v of a noisy latent from a `Condition`.

    Args:
        in_channels: latent channels.
        channels, factors, items: width, downsampling factor and number of items of each level.
        attentions, cross_attentions: self- and cross-attentions per item at each level.
        context_channels: channels of the condition's `levels` at each level; empty: no context by level.
        frame_modulation: whether level context also modulates frame by frame, beside channel injection.
        input_channels: channels of the condition's `input_channels`.
        attention_features, attention_heads: width of a head, number of heads.
        embedding_features, embedding_max_length: width and largest number of the condition's tokens; 0: no tokens.
        modulation_features: width of the time features, to which the condition's `features` are added.
        resnet_groups: groups of the group normalisation; divides every level's channels.
    """

    def __init__(
        self,
        in_channels: int,
        channels: Sequence[int],
        factors: Sequence[int],
        items: Sequence[int],
        attentions: Sequence[int] = (),
        cross_attentions: Sequence[int] = (),
        context_channels: Sequence[int] = (),
        frame_modulation: bool = True,
        input_channels: int = 0,
        attention_features: int = 64,
        attention_heads: int = 8,
        embedding_features: int = 0,
        embedding_max_length: int = 0,
        modulation_features: int = 1024,
        resnet_groups: int = 8,
    ) -> None:
        super().__init__()
        self.in_channels, self.reduction = in_channels, prod(factors)
        shares = [prod(factors[: level + 1]) for level in range(len(factors))]
        self._levels = list(zip(channels, shares, strict=True))
        self.uses_tokens, self.uses_levels = embedding_features > 0, bool(context_channels)
        none = [0] * len(channels)
        levels = zip(
            channels,
            factors,
            items,
            attentions or none,
            cross_attentions or none,
            context_channels or none,
            strict=True,
        )
        net_t: Any = _null_tokens_plugin(XUNet, embedding_max_length) if self.uses_tokens else XUNet
        self.net = TimeConditioningPlugin(net_t)(
            dim=1,
            in_channels=in_channels + input_channels,
            out_channels=in_channels,
            blocks=[_level(*level, frame_modulation=frame_modulation) for level in levels],
            skip_t=SkipModulate,
            attention_features=attention_features,
            attention_heads=attention_heads,
            **({"embedding_features": embedding_features} if self.uses_tokens else {}),
            modulation_features=modulation_features,
            resnet_groups=resnet_groups,
        )
        for number, attention in enumerate(self._cross_attentions()):
            attention.number = number
        blocks: Any = self.net.blocks
        self._null_embedding: list[nn.Module] = (
            [blocks[2].blocks[0]] if self.uses_tokens else []
        )  # not registered twice
        self._null_keys_values: tuple[Any, tuple[Tensor, ...]] | None = None
        use_onednn(self)

    def forward(
        self, x: Float[Tensor, "batch channel frame"], sigma: Float[Tensor, " batch"], condition: Condition
    ) -> Float[Tensor, "batch channel frame"]:
        """v of `x` at noise levels `sigma` in [0, 1]; the frames must be a multiple of all factors' product."""
        if x.shape[-1] % self.reduction:
            raise ValueError(f"the U-Net needs a multiple of {self.reduction} latent frames, not {x.shape[-1]}.")
        inputs = {}
        if self.uses_tokens:
            inputs = {"embedding": condition.keys_values or condition.tokens, "dropped": condition.is_uncond}
        if self.uses_levels:
            inputs["channels"] = condition.levels
        if condition.input_channels is not None:
            x = torch.cat([x, condition.input_channels.to(x)], dim=1)
        return self.net(x, time=sigma, features=condition.features, **inputs)

    @torch.no_grad()
    def prepared(self, condition: Condition) -> Condition:
        """The condition with the keys and values of every cross-attention, which are then not made again at every step.

        Those of a condition that is dropped altogether are kept for the next time, as long as the weights stay as they are.
        """
        if not self.uses_tokens or condition.tokens is None or condition.keys_values is not None:
            return condition
        tokens, rows = condition.tokens, len(condition.is_uncond)
        null = self._null_embedding[0](tokens[:1]).to(tokens)
        if not condition.is_uncond.all():
            tokens = torch.where(condition.is_uncond[:, None, None], null, tokens)
            return replace(condition, keys_values=self._keys_values(tokens))
        found = (*null.shape, null.dtype, null.device, self._fingerprint())
        if self._null_keys_values is None or self._null_keys_values[0] != found:
            self._null_keys_values = (found, self._keys_values(null))
        both = tuple(part.expand(rows, -1, -1) for part in self._null_keys_values[1])
        return replace(condition, keys_values=both)

    def keys_values_bytes(self, condition: Condition) -> int:
        """Memory that `prepared` adds to a row of the condition."""
        if not self.uses_tokens or condition.tokens is None:
            return 0
        widths = sum(attention.to_kv.out_features for attention in self._cross_attentions())
        return condition.tokens.shape[1] * widths * condition.tokens.element_size()

    def activation_bytes(self, frames: int) -> int:
        """Memory that a row of `frames` frames needs at once, roughly: what waits for the way up, and a block's own tensors."""
        sizes = [width * (frames // share) for width, share in self._levels]
        return 4 * (sum(sizes) + _BLOCK_TENSORS * max(sizes))

    def _cross_attentions(self) -> list[CrossAttention]:
        return [module for module in self.modules() if isinstance(module, CrossAttention)]

    def _keys_values(self, tokens: Tensor) -> tuple[Tensor, ...]:
        return tuple(attention.keys_values(tokens) for attention in self._cross_attentions())

    def _fingerprint(self) -> tuple[float, ...]:
        """Changes with the weights that make keys and values, however they are changed (version counters miss `.data`)."""
        weights = [*self._null_embedding[0].parameters()]
        for attention in self._cross_attentions():
            weights += [*attention.norm_context.parameters(), attention.to_kv.weight]
        return tuple(torch.stack([weight.detach().cpu().sum(dtype=torch.float64) for weight in weights]).tolist())


def _level(
    channels: int,
    factor: int,
    items: int,
    attentions: int,
    cross_attentions: int,
    context_channels: int,
    frame_modulation: bool,
) -> Any:
    """One U-Net level: per item a residual block, modulation by time, by context, then attention."""
    item: list[Any] = [ResnetItem, ModulationItem]
    if context_channels:
        item += [InjectChannelsItem] + [FrameModulationItem] * frame_modulation
    item += [SelfAttentionItem] * attentions + [CrossAttentionItem] * cross_attentions
    return XBlock(channels=channels, factor=factor, context_channels=context_channels, items=item * items)
