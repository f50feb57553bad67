"""Sampling codes from a frozen MusicGen: step by step with a key-value cache, and piece by piece for any length."""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from d2m.errors import BadConfig
from d2m.model.delay_pattern import delayed, undelayed
from d2m.model.musicgen import FrozenMusicGen, TextCondition


@dataclass(frozen=True)
class SamplingSettings:
    """How codes are drawn where the caller does not say otherwise; the defaults are MusicGen's own.

    Args:
        guidance: classifier-free guidance scale; 1: none, at half the cost.
        top_k: only so many most likely codes are drawn from; 1: always the likeliest.
        temperature: the logits' divisor.
        batch: windows made at once, where windows do not depend on each other.

    The first three come from a user's command line, so they may be anything until they are checked.

    Raises:
        BadConfig: for numbers that mean nothing.
    """

    guidance: Any = 3.0
    top_k: Any = 250
    temperature: Any = 1.0
    batch: int = 8

    def __post_init__(self) -> None:
        for name in ("guidance", "temperature"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < float("inf"):
                raise BadConfig(f"{name}={value}: expected a number greater than 0.")
        for name in ("top_k", "batch"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise BadConfig(f"{name}={value}: expected a whole number of at least 1.")


@dataclass(frozen=True)
class Window:
    """One piece of a long row of frames.

    Args:
        start: its first frame.
        frames: its length.
        known: so many of its first frames are there already.
    """

    start: int
    frames: int
    known: int


def windows_of(total: int, window: int, prefix: int) -> list[Window]:
    """Windows that cover `total` frames, each but the first continuing `prefix` frames of what was there.

    Raises:
        BadConfig: when nothing new fits into a window beside its prefix.
    """
    if not 0 <= prefix < window:
        raise BadConfig(
            f"prefix_seconds: {prefix} frames of prefix in a window of {window} leave nothing to make; use a shorter prefix."
        )
    found = [Window(0, min(window, total), 0)]
    while (done := found[-1].start + found[-1].frames) < total:
        start = done - prefix
        found.append(Window(start, min(window, total - start), prefix))
    return found


@torch.no_grad()
def sampled_codes(
    music: FrozenMusicGen,
    condition: TextCondition,
    frames: int,
    settings: SamplingSettings,
    generator: torch.Generator,
    prefix: Int[Tensor, "batch codebook known"] | None = None,
) -> Int[Tensor, "batch codebook {frames}"]:
    """Codes of `frames` frames for each row of the condition; they begin with `prefix`.

    Continuing in codes loses nothing, where an audio prefix would be encoded anew in every window. Random numbers are drawn on
    the CPU, so that a seed means the same on every device.
    """
    batch, known = len(condition.hidden), 0 if prefix is None else prefix.shape[-1]
    blank = torch.full((batch, music.codebooks, frames), music.pad, dtype=torch.long, device=condition.hidden.device)
    if prefix is not None:
        blank[..., :known] = prefix
    laid = torch.nn.functional.pad(delayed(blank, music.pad), (1, 0), value=music.pad)  # step 0 is the start
    guiding = settings.guidance != 1
    told = condition.with_null() if guiding else condition
    rows, past, fed = torch.arange(music.codebooks, device=laid.device), None, 0
    for step in range(known, laid.shape[-1] - 1):
        read = laid[..., fed : step + 1]
        logits, past = music.logits(torch.cat([read, read]) if guiding else read, told, past, keep=True)
        fed = step + 1
        drawn = _drawn(_guided(logits[:, :, -1].float(), settings.guidance), settings, generator)
        frame = step - rows  # of each codebook, under the delay
        new = (frame >= known) & (frame < frames)
        laid[..., step + 1] = torch.where(new, drawn, laid[..., step + 1])
    return undelayed(laid[..., 1:])


def _guided(logits: Float[Tensor, "rows codebook entry"], scale: float | int) -> Float[Tensor, "batch codebook entry"]:
    if scale == 1:
        return logits
    told, untold = logits.chunk(2)
    return untold + scale * (told - untold)


def _drawn(
    logits: Float[Tensor, "batch codebook entry"], settings: SamplingSettings, generator: torch.Generator
) -> Int[Tensor, "batch codebook"]:
    best, entries = logits.topk(min(settings.top_k, logits.shape[-1]), dim=-1)
    if settings.top_k == 1:
        return entries[..., 0]
    shares = (best / settings.temperature).softmax(dim=-1).cpu()
    choice = torch.multinomial(shares.flatten(0, 1), 1, generator=generator).view(*shares.shape[:2], 1)
    return entries.gather(-1, choice.to(entries.device))[..., 0]
