"""Whole pieces through an autoencoder that was trained on short crops: overlapping windows, their edges thrown away.

An encoder's normalisation and a decoder's convolutions look at their whole input, so every frame is computed inside a
window of the training length, and windows are joined where neighbours overlap.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import torch
from jaxtyping import Float
from torch import Tensor

from d2m.audio.autoencoder import DMAE
from d2m.core.errors import BadConfig
from d2m.core.timeline import Timeline

MARGIN_FRAMES = 32
"""Latent frames at a window's inner edges that are not used; more than the decoders' receptive field."""


@dataclass(frozen=True)
class _Span:
    """Latent frames `start:stop` are seen, `keep_from:keep_to` of the piece are taken from them."""

    start: int
    stop: int
    keep_from: int
    keep_to: int


def _spans(frames: int, window: int) -> Iterator[_Span]:
    if frames <= window:
        yield _Span(0, frames, 0, frames)
        return
    if window <= 2 * MARGIN_FRAMES:
        raise BadConfig(
            f"the autoencoder's window has {window} latent frames; music longer than it needs more than {2 * MARGIN_FRAMES}, "
            "so train one on longer crops."
        )
    hop, taken, start = window - 2 * MARGIN_FRAMES, 0, 0
    while taken < frames:
        start = min(start, frames - window)
        stop = start + window
        keep_to = frames if stop == frames else stop - MARGIN_FRAMES
        yield _Span(start, stop, taken, keep_to)
        taken, start = keep_to, start + hop


@dataclass(frozen=True)
class _Window:
    """A window of one of several pieces, and the part of that piece's latent that it fills."""

    waveform: Float[Tensor, "channel sample"]
    kept: slice
    latent: Float[Tensor, "latent_channel kept"]


def count_windows(samples: int, clock: Timeline) -> int:
    """Windows that a piece of this length is encoded in."""
    return len(list(_spans(clock.samples_to_latent_frames(samples), clock.window_latent_frames)))


def encode_in_chunks(dmae: DMAE, waveform: Float[Tensor, "channel sample"]) -> Float[Tensor, "latent_channel frame"]:
    """Latent of a piece of any length."""
    return encode_all_in_chunks(dmae, [waveform], batch_size=1)[0]


@torch.no_grad()
def encode_all_in_chunks(
    dmae: DMAE, waveforms: Sequence[Float[Tensor, "channel _"]], batch_size: int = 8
) -> list[Float[Tensor, "latent_channel _"]]:
    """Latents of pieces of any lengths, in float32 on the CPU; windows of several pieces share a batch.

    Args:
        dmae: the autoencoder, on whatever device computes.
        waveforms: [channel sample] each, at its sample rate.
        batch_size: windows at a time.
    """
    device = next(dmae.parameters()).device
    latents, windows = [], []
    for waveform in waveforms:
        latent = torch.empty(dmae.latent_channels, dmae.clock.samples_to_latent_frames(waveform.shape[-1]))
        latents.append(latent)
        windows += _windows(waveform, latent, dmae.clock)
    windows.sort(key=lambda window: -window.waveform.shape[1])  # a batch is of one length
    for _, same in groupby(windows, key=lambda window: window.waveform.shape[1]):
        waiting = list(same)
        batches = -(-len(waiting) // batch_size)
        for batch in (waiting[number::batches] for number in range(batches)):  # of even sizes
            parts = dmae.encode(torch.stack([window.waveform for window in batch]).to(device)).float().cpu()
            for window, part in zip(batch, parts, strict=True):
                window.latent.copy_(part[:, window.kept])
    return latents


def _windows(waveform: Tensor, latent: Tensor, clock: Timeline) -> Iterator[_Window]:
    """Windows of a piece, its end padded with silence to a whole latent frame; they are views, not copies."""
    hop, frames = clock.latent_hop_samples, latent.shape[1]
    padded = torch.nn.functional.pad(waveform, (0, frames * hop - waveform.shape[-1]))
    for span in _spans(frames, clock.window_latent_frames):
        kept = slice(span.keep_from - span.start, span.keep_to - span.start)
        yield _Window(padded[:, span.start * hop : span.stop * hop], kept, latent[:, span.keep_from : span.keep_to])


@torch.no_grad()
def decode_in_chunks(
    dmae: DMAE,
    latent: Float[Tensor, "latent_channel frame"],
    decoder: str = "onepass",
    steps: int | None = None,
    seed: int = 0,
    ramp_frames: int = 4,
    first_frame: int = 0,
) -> Float[Tensor, "channel sample"]:
    """Waveform of a latent of any length, exactly `frame * hop` samples, in float32 on the CPU.

    Args:
        dmae: the autoencoder.
        latent: [latent_channel frame].
        decoder: `onepass` or `diffusion`.
        steps: evaluations of the diffusion decoder; None: the autoencoder's own `decoder_steps`.
        seed: of the decoder's noise.
        ramp_frames: length of the cross-fade between windows.
        first_frame: number of the latent's first frame in its piece, where it is a part of one.
    """
    generator = torch.Generator().manual_seed(seed)
    hop, frames = dmae.clock.latent_hop_samples, latent.shape[1]
    out = torch.zeros(dmae.in_channels, frames * hop)
    for span in _spans(frames, dmae.clock.window_latent_frames):
        part = latent[None, :, span.start : span.stop]
        if decoder == "onepass":
            made = dmae.decode_onepass(part, generator, first_frame + span.start)
        else:
            made = dmae.decode(part, steps, generator)
        wave = made[0].float().cpu()
        begin = max(span.keep_from - (ramp_frames if span.keep_from else 0), 0)
        piece = wave[:, (begin - span.start) * hop : (span.keep_to - span.start) * hop].clone()
        if begin < span.keep_from:
            ramp = torch.linspace(0, 1, (span.keep_from - begin) * hop)
            piece[:, : len(ramp)] *= ramp
            out[:, begin * hop : span.keep_from * hop] *= 1 - ramp
        out[:, begin * hop : span.keep_to * hop] += piece
    return out
