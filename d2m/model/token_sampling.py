"""Codes drawn from a token decoder, step by step, with classifier-free guidance and a prompt of earlier frames."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from d2m.errors import BadConfig
from d2m.model.token_decoder import TokenCondition, TokenDecoder


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
    pattern, batch, told = decoder.steps, len(prompt), condition if null is None else condition.joined(null)
    known, rest = pattern.known(prompt.shape[-1], frames), frames - prompt.shape[-1]
    filled = torch.cat([prompt, prompt.new_zeros(*prompt.shape[:2], rest)], dim=-1)
    steps, cache = pattern.delayed(filled), decoder.cache(frames)
    inputs = pattern.inputs(steps)
    given = min(prompt.shape[-1], steps.shape[-1] - 1)  # the first step that a prediction is wanted for
    fed, first = inputs[..., : given + 1], range(given, steps.shape[-1])
    for step in first if progress is None else progress(first):
        rows = fed if null is None else torch.cat([fed, fed])
        logits = decoder(rows, told, cache)[:, :, -1]
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
