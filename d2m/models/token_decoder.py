"""MusicGen's delay pattern (arXiv:2306.05284, section 2.2): codebook k of a frame is predicted k steps after codebook 0.

K codebooks of T frames become K rows of T + K - 1 steps. Cutting that to T steps, as is often done, loses the last k codes
of codebook k, and a model trained so never learns to end.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from d2m.core.errors import BadConfig
from d2m.models.heads import UNKNOWN_GENRE, GenreToken


def delayed(codes: Int[Tensor, "batch codebook frame"], pad: int) -> Int[Tensor, "batch codebook step"]:
    """Row k moved k steps to the right, `pad` around it; every code is kept."""
    batch, codebooks, frames = codes.shape
    laid = codes.new_full((batch, codebooks, frames + codebooks - 1), pad)
    for k in range(codebooks):
        laid[:, k, k : k + frames] = codes[:, k]
    return laid


def undelayed(laid: Int[Tensor, "batch codebook step"]) -> Int[Tensor, "batch codebook frame"]:
    """The codes that `delayed` laid out."""
    codebooks = laid.shape[1]
    frames = laid.shape[2] - codebooks + 1
    return torch.stack([laid[:, k, k : k + frames] for k in range(codebooks)], dim=1)


def shifted_right(labels: Int[Tensor, "batch codebook step"], start: int) -> Int[Tensor, "batch codebook step"]:
    """What the decoder reads while it predicts `labels`: each step's predecessor, `start` before the first."""
    first = torch.full_like(labels[..., :1], start)
    return torch.cat([first, labels[..., :-1]], dim=-1)


@dataclass(frozen=True)
class TokenSteps:
    """Codes of frames ↔ tokens of steps.

    Args:
        codebooks: numbers of a frame.
        codebook_size: entries of each; the two ids after them are BOS and PAD, so that neither is a code.
    """

    codebooks: int
    codebook_size: int

    @property
    def bos(self) -> int:
        """The token before the first step, in every codebook."""
        return self.codebook_size

    @property
    def pad(self) -> int:
        """The token where a codebook has no frame: before its first and after its last."""
        return self.codebook_size + 1

    @property
    def vocabulary(self) -> int:
        """Codes, BOS and PAD."""
        return self.codebook_size + 2

    def count(self, frames: int) -> int:
        """Steps that `frames` frames take."""
        return frames + self.codebooks - 1

    def delayed(self, codes: Int[Tensor, "batch codebook frame"]) -> Int[Tensor, "batch codebook step"]:
        """Step s of codebook k is the code of frame s - k, or PAD."""
        return delayed(codes, self.pad)

    def restored(self, steps: Int[Tensor, "batch codebook step"]) -> Int[Tensor, "batch codebook frame"]:
        """The inverse of `delayed`."""
        return undelayed(steps)

    def inputs(self, steps: Int[Tensor, "batch codebook step"]) -> Int[Tensor, "batch codebook step"]:
        """What a decoder is fed with so that its output number s predicts step s: BOS, then all steps but the last."""
        return shifted_right(steps, self.bos)

    def known(self, prompt_frames: int, frames: int) -> Bool[Tensor, "codebook step"]:
        """Where a step of a window needs no prediction, because its frame lies in the prompt or it is PAD."""
        frame = torch.arange(self.count(frames))[None] - torch.arange(self.codebooks)[:, None]
        return (frame < prompt_frames) | (frame >= frames)


# A causal transformer over codec tokens in the delay pattern, conditioned on the motion. After MusicGen (Copet et al., arXiv:2306.05284): embeddings of a step's codes are summed, each codebook has a head of its own.
# Positions are rotary (Su et al., arXiv:2104.09864), in steps for tokens and in frames for motion, so that only distances count.


CONDITIONINGS = ("aligned", "cross", "both")


@dataclass(frozen=True)
class TokenCondition:
    """What the decoder is conditioned on in a window.

    Args:
        aligned: added to the tokens' embeddings, step by step; None where conditioning is by cross-attention alone.
        memory: what cross-attention attends to, frame by frame; None without.
    """

    aligned: Float[Tensor, "batch step feature"] | None
    memory: Float[Tensor, "batch frame feature"] | None

    def joined(self, other: "TokenCondition") -> "TokenCondition":
        """Both batches in one."""
        pairs = ((self.aligned, other.aligned), (self.memory, other.memory))
        return TokenCondition(*(None if a is None or b is None else torch.cat([a, b]) for a, b in pairs))


def rotary(
    x: Float[Tensor, "batch head place feature"], positions: Float[Tensor, " place"]
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
        positions: Float[Tensor, " step"],
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
        cond_channels: of the motion's features at each frame (`MotionReader.channels`).
        features: width.
        layers, heads: of the transformer; a head's width (features / heads) must be even.
        hidden: of the perceptrons; None: four times the width.
        conditioning: `aligned` adds to step s what the motion does at the frames that it predicts, frame s - k for
            codebook k; `cross` lets every step attend to all frames; or `both`.
        dropout: of the layers' updates.
    """

    def __init__(
        self,
        codebooks: int,
        codebook_size: int,
        cond_channels: int,
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
        self.null = nn.Parameter(torch.zeros(cond_channels))
        cross = conditioning != "aligned"
        # tap k of this convolution is what codebook k's frame, k steps back, adds to a step
        self.align = nn.Conv1d(cond_channels, features, codebooks) if conditioning != "cross" else None
        # normalised: a reader's features have any scale, and attention to large ones hardly learns
        self.recall = nn.Sequential(nn.LayerNorm(cond_channels), nn.Linear(cond_channels, features)) if cross else None
        hidden = hidden or 4 * features
        self.layers = nn.ModuleList(DecoderLayer(features, heads, hidden, cross, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(features)
        self.heads = nn.ModuleList(nn.Linear(features, codebook_size) for _ in range(codebooks))
        for embedding in self.embeddings:
            nn.init.normal_(embedding.get_parameter("weight"), std=0.5 / codebooks**0.5)

    def condition(
        self,
        motion: Float[Tensor, "batch channel frame"],
        genre: Int[Tensor, " batch"],
        dropped: Bool[Tensor, " batch"] | None = None,
    ) -> TokenCondition:
        """The condition of motion features and genres; rows in `dropped` have neither."""
        if dropped is not None:
            motion = torch.where(dropped[:, None, None], self.null[:, None], motion)
            genre = torch.where(dropped, UNKNOWN_GENRE, genre)
        token, books = self.genre(genre)[:, None], self.steps.codebooks
        aligned = memory = None
        if self.align is not None:
            # Conv1d's tap j meets padded frame s + j, so codebook k's weights lie in tap K - 1 - k
            aligned = self.align(F.pad(motion, (books - 1, books - 1))).transpose(1, 2) + token
        if self.recall is not None:
            memory = self.recall(motion.transpose(1, 2)) + token
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


# Codes drawn from a token decoder, step by step, with classifier-free guidance and a prompt of earlier frames.


@dataclass(frozen=True)
class SamplingSettings:
    """How tokens are drawn.

    Args:
        temperature: divides the logits; 0 takes the likeliest token.
        top_k: only so many of the likeliest tokens are drawn from; 0: all.
        guidance: how far the logits go from those without condition to those with it (1) and beyond (Ho & Salimans 2022).

    Raises:
        BadConfig: for a negative number.
    """

    temperature: float | int = 1.0
    top_k: int = 100
    guidance: float | int = 1.0

    def __post_init__(self) -> None:
        for name in ("temperature", "top_k", "guidance"):
            if not float(getattr(self, name)) >= 0:
                raise BadConfig(f"{name}={getattr(self, name)}: expected a number of 0 or more.")


@torch.no_grad()
def sampled_codes(
    decoder: TokenDecoder,
    condition: TokenCondition,
    null: TokenCondition | None,
    prompt: Int[Tensor, "batch codebook prompt"],
    frames: int,
    settings: SamplingSettings,
    generator: torch.Generator,
    progress: Callable[[Iterable[int]], Iterable[int]] | None = None,
) -> Int[Tensor, "batch codebook {frames}"]:
    """Codes of a window of `frames` frames that begins with the frames of `prompt`.

    Args:
        decoder: in evaluation mode.
        condition: of the window.
        null: the same without condition, for guidance; None: no guidance.
        prompt: codes of the window's first frames, of which there may be none.
        frames: of the whole window.
        settings: of the drawing.
        generator: of the random numbers, on the CPU.
        progress: wraps the iteration over steps.
    """
    pattern, batch, both = decoder.steps, len(prompt), condition if null is None else condition.joined(null)
    known, rest = pattern.known(prompt.shape[-1], frames), frames - prompt.shape[-1]
    filled = torch.cat([prompt, prompt.new_zeros(*prompt.shape[:2], rest)], dim=-1)
    steps, cache = pattern.delayed(filled), decoder.cache(frames)
    inputs = pattern.inputs(steps)
    given = min(prompt.shape[-1], steps.shape[-1] - 1)  # the first step that a prediction is wanted for
    fed, first = inputs[..., : given + 1], range(given, steps.shape[-1])
    for step in first if progress is None else progress(first):
        rows = fed if null is None else torch.cat([fed, fed])
        logits = decoder(rows, both, cache)[:, :, -1]
        if null is not None:
            with_it, without = logits[:batch], logits[batch:]
            logits = without + float(settings.guidance) * (with_it - without)
        drawn = drawn_tokens(logits.float().cpu(), settings, generator).to(steps)
        steps[..., step] = torch.where(known[:, step].to(steps.device), steps[..., step], drawn)
        fed = steps[..., step : step + 1]
    return pattern.restored(steps)


def drawn_tokens(
    logits: Float[Tensor, "batch codebook entry"], settings: SamplingSettings, generator: torch.Generator
) -> Int[Tensor, "batch codebook"]:
    """One token of each codebook."""
    if settings.temperature == 0 or settings.top_k == 1:
        return logits.argmax(dim=-1)
    logits = logits / settings.temperature
    if 0 < settings.top_k < logits.shape[-1]:
        least = logits.topk(settings.top_k, dim=-1).values[..., -1:]
        logits = logits.masked_fill(logits < least, -torch.inf)
    flat = torch.multinomial(logits.softmax(dim=-1).flatten(0, 1), 1, generator=generator)
    return flat.view(logits.shape[:-1])
