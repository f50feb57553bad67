"""A causal transformer over codec tokens in the delay pattern, told about the motion.

After MusicGen (Copet et al., arXiv:2306.05284): embeddings of a step's codes are summed, each codebook has a head of its own.
Positions are rotary (Su et al., arXiv:2104.09864), in steps for tokens and in frames for motion, so that only distances count.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from d2m.errors import BadConfig
from d2m.model.genre import UNKNOWN_GENRE, GenreToken
from d2m.model.token_steps import TokenSteps

CONDITIONINGS = ("aligned", "cross", "both")


@dataclass(frozen=True)
class TokenCondition:
    """What the decoder is told of a window.

    Args:
        aligned: added to the tokens' embeddings, step by step; None where conditioning is by cross-attention alone.
        memory: what cross-attention looks at, frame by frame; None without.
    """

    aligned: Float[Tensor, "batch step feature"] | None
    memory: Float[Tensor, "batch frame feature"] | None

    def joined(self, other: "TokenCondition") -> "TokenCondition":
        """Both batches in one."""
        pairs = ((self.aligned, other.aligned), (self.memory, other.memory))
        return TokenCondition(*(None if a is None or b is None else torch.cat([a, b]) for a, b in pairs))


def rotary(
    x: Float[Tensor, "batch head place feature"], positions: Float[Tensor, "place"]
) -> Float[Tensor, "batch head place feature"]:
    """Each pair of features turned by an angle proportional to its position (equation 34 of arXiv:2104.09864)."""
    half = x.shape[-1] // 2
    frequencies = 10_000 ** (-torch.arange(half, device=x.device) / half)
    angle = positions[:, None] * frequencies
    cos, sin = angle.cos().to(x), angle.sin().to(x)
    first, second = x[..., :half], x[..., half:]
    return torch.cat([first * cos - second * sin, first * sin + second * cos], dim=-1)


class KeyValueCache:
    """Keys and values of the steps so far, for all layers; one cache for one window.

    Args:
        layers: of the decoder.
        steps: that fit in.
    """

    def __init__(self, layers: int, steps: int) -> None:
        self.steps, self.length = steps, 0
        self._kept: list[tuple[Tensor, Tensor] | None] = [None] * layers
        self.memory: list[tuple[Tensor, Tensor] | None] = [None] * layers
        """Keys and values of cross-attention, which do not change from step to step."""

    def appended(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """All keys and values of a layer, the new ones behind the kept ones."""
        kept = self._kept[layer]
        if kept is None:
            shape = (*keys.shape[:2], self.steps, keys.shape[3])
            kept = self._kept[layer] = (keys.new_empty(shape), values.new_empty(shape))
        end = self.length + keys.shape[2]
        for store, new in zip(kept, (keys, values), strict=True):
            store[:, :, self.length : end] = new
        return kept[0][:, :, :end], kept[1][:, :, :end]


class DecoderLayer(nn.Module):
    """Pre-norm: causal self-attention, cross-attention where asked for, perceptron."""

    def __init__(self, features: int, heads: int, hidden: int, cross: bool, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.norm, self.to_qkv = nn.LayerNorm(features), nn.Linear(features, 3 * features, bias=False)
        self.out = nn.Linear(features, features)
        if cross:
            self.cross_norm, self.to_q = nn.LayerNorm(features), nn.Linear(features, features, bias=False)
            self.to_kv, self.cross_out = nn.Linear(features, 2 * features, bias=False), nn.Linear(features, features)
        self.cross, self.dropout = cross, nn.Dropout(dropout)
        self.mlp = nn.Sequential(
            nn.LayerNorm(features), nn.Linear(features, hidden), nn.GELU(), nn.Linear(hidden, features)
        )

    def forward(
        self,
        x: Float[Tensor, "batch step feature"],
        positions: Float[Tensor, "step"],
        memory: Float[Tensor, "batch frame feature"] | None,
        number: int,
        cache: KeyValueCache | None,
    ) -> Float[Tensor, "batch step feature"]:
        """The steps after this layer; `number` is its own, under which the cache keeps its keys and values."""
        x = x + self.dropout(self.out(self._self_attention(self.norm(x), positions, number, cache)))
        if self.cross and memory is not None:
            mixed = self._cross_attention(self.cross_norm(x), positions, memory, number, cache)
            x = x + self.dropout(self.cross_out(mixed))
        return x + self.dropout(self.mlp(x))

    def _self_attention(self, x: Tensor, positions: Tensor, number: int, cache: KeyValueCache | None) -> Tensor:
        q, k, v = (self._split(part) for part in self.to_qkv(x).chunk(3, dim=-1))
        q, k = rotary(q, positions), rotary(k, positions)
        if cache is None:
            return self._joined(F.scaled_dot_product_attention(q, k, v, is_causal=True))
        k, v = cache.appended(number, k, v)
        if q.shape[2] == 1:  # the last step sees all
            return self._joined(F.scaled_dot_product_attention(q, k, v))
        return self._joined(
            F.scaled_dot_product_attention(q, k, v, attn_mask=_causal(q.shape[2], k.shape[2], q.device))
        )

    def _cross_attention(
        self, x: Tensor, positions: Tensor, memory: Tensor, number: int, cache: KeyValueCache | None
    ) -> Tensor:
        kept = cache.memory[number] if cache else None
        if kept is None:
            k, v = (self._split(part) for part in self.to_kv(memory).chunk(2, dim=-1))
            kept = rotary(k, torch.arange(memory.shape[1], device=memory.device, dtype=torch.float32)), v
            if cache:
                cache.memory[number] = kept
        q = rotary(self._split(self.to_q(x)), positions)
        return self._joined(F.scaled_dot_product_attention(q, *kept))

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def _joined(self, x: Tensor) -> Tensor:
        return x.transpose(1, 2).flatten(2)


def _causal(queries: int, keys: int, device: torch.device) -> Bool[Tensor, "query key"]:
    """The last `queries` of `keys` steps see themselves and what is before them."""
    return torch.ones(queries, keys, dtype=torch.bool, device=device).tril(keys - queries)


class TokenDecoder(nn.Module):
    """Logits of every codebook's next token.

    Args:
        codebooks, codebook_size: of the codec.
        told_channels: what is told of the motion at each frame (`MotionReader.channels`).
        features: width.
        layers, heads: of the transformer; a head's width (features / heads) must be even.
        hidden: of the perceptrons; None: four times the width.
        conditioning: `aligned` adds to step s what the motion does at the frames that it predicts, frame s - k for
            codebook k; `cross` lets every step look at all frames; or `both`.
        dropout: of the layers' updates.
    """

    def __init__(
        self,
        codebooks: int,
        codebook_size: int,
        told_channels: int,
        features: int = 192,
        layers: int = 4,
        heads: int = 4,
        hidden: int | None = None,
        conditioning: str = "aligned",
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        if conditioning not in CONDITIONINGS:
            raise BadConfig(f"conditioning={conditioning}: unknown; expected one of {', '.join(CONDITIONINGS)}.")
        if features % heads or features // heads % 2:
            raise BadConfig(f"features={features}: must be heads={heads} times an even number.")
        self.steps, self.conditioning = TokenSteps(codebooks, codebook_size), conditioning
        self.embeddings = nn.ModuleList(nn.Embedding(self.steps.vocabulary, features) for _ in range(codebooks))
        self.genre = GenreToken(features)
        self.null = nn.Parameter(torch.zeros(told_channels))
        cross = conditioning != "aligned"
        # tap k of this convolution is what codebook k's frame, k steps back, adds to a step
        self.align = nn.Conv1d(told_channels, features, codebooks) if conditioning != "cross" else None
        # normalised: a reader's features have any scale, and attention to large ones hardly learns
        self.recall = nn.Sequential(nn.LayerNorm(told_channels), nn.Linear(told_channels, features)) if cross else None
        hidden = hidden or 4 * features
        self.layers = nn.ModuleList(DecoderLayer(features, heads, hidden, cross, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(features)
        self.heads = nn.ModuleList(nn.Linear(features, codebook_size) for _ in range(codebooks))
        for embedding in self.embeddings:
            nn.init.normal_(embedding.weight, std=0.5 / codebooks**0.5)

    def condition(
        self,
        told: Float[Tensor, "batch told frame"],
        genre: Int[Tensor, "batch"],
        dropped: Bool[Tensor, "batch"] | None = None,
    ) -> TokenCondition:
        """What the decoder is told; of rows in `dropped`, neither motion nor genre."""
        if dropped is not None:
            told = torch.where(dropped[:, None, None], self.null[:, None], told)
            genre = torch.where(dropped, UNKNOWN_GENRE, genre)
        token, books = self.genre(genre)[:, None], self.steps.codebooks
        aligned = memory = None
        if self.align is not None:
            # Conv1d's tap j meets padded frame s + j, so codebook k's weights lie in tap K - 1 - k
            aligned = self.align(F.pad(told, (books - 1, books - 1))).transpose(1, 2) + token
        if self.recall is not None:
            memory = self.recall(told.transpose(1, 2)) + token
        return TokenCondition(aligned, memory)

    def forward(
        self,
        tokens: Int[Tensor, "batch codebook step"],
        condition: TokenCondition,
        cache: KeyValueCache | None = None,
    ) -> Float[Tensor, "batch codebook step entry"]:
        """Logits; the steps of `tokens` follow those in the cache, whose length they then add to."""
        done, steps = (cache.length if cache else 0), tokens.shape[-1]
        if cache and done + steps > cache.steps:
            raise ValueError(f"a cache of {cache.steps} steps cannot hold {done + steps}.")
        parts = [embedding(tokens[:, book]) for book, embedding in enumerate(self.embeddings)]
        x = torch.stack(parts).sum(dim=0)
        if condition.aligned is not None:
            x = x + condition.aligned[:, done : done + steps]
        positions = torch.arange(done, done + steps, device=x.device, dtype=torch.float32)
        for number, layer in enumerate(self.layers):
            x = layer(x, positions, condition.memory, number, cache)
        if cache:
            cache.length += steps
        x = self.norm(x)
        return torch.stack([head(x) for head in self.heads], dim=1)

    def cache(self, frames: int) -> KeyValueCache:
        """An empty cache for a window of `frames` frames."""
        return KeyValueCache(len(self.layers), self.steps.count(frames))
