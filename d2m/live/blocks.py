"""Music in blocks, each made as the continuation of the last seconds.

A latent diffusion system makes windows; here the end of one is made, after all that was made before. At every noise level the known part is
what it is with that much noise (Lugmayr et al. 2022, RePaint, arXiv:2201.09865, without going back up), so the rest is made to go
on from it. The window reaches a little beyond the block, so that the block's end is decoded with something after it.
"""

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from d2m.audio.mastering import playable
from d2m.core.errors import BadConfig
from d2m.core.lead_sheet import LeadSheet
from d2m.diffusion.multidiffusion import WindowPlan
from d2m.diffusion.processes import noise_levels
from d2m.models.conditioner import Condition
from d2m.pipeline import Dance2Music
from d2m.rhythm.grid import BeatGrid
from d2m.systems.latent_diffusion import LatentDiffusion
from d2m.systems.latent_generator import LatentGenerator

_BEYOND, _BEFORE, _FADE = 12, 48, 4
"""Latent frames made beyond a block; decoded before it; over which it is faded in."""

_SEEN = 128
"""Latent frames at a window's end that the network sees, the block's and what is beyond included; it costs half of a whole window."""


@dataclass(frozen=True)
class MusicSoFar:
    """What the next block goes on from.

    Args:
        latent: the last frames made, as the network sees them; empty before the first block.
        noise: of the window that was made last.
        tail: sound beyond the last block, faded into the next.
        blocks: made so far.
    """

    latent: Float[Tensor, "channel past"]
    noise: Float[Tensor, "channel window"]
    tail: Float[Tensor, "audio _"]
    blocks: int = 0


class BlockGenerator:
    """Makes blocks of music with a latent diffusion system.

    Args:
        model: a checkpoint of latent diffusion, best one of few steps.
        seconds: length of a block, rounded to latent frames.
        seed: of the noise, and of the key where none is named.
        key: such as `Am`, for a system that is told one; it holds for the whole piece.

    Raises:
        BadConfig: for a checkpoint that makes no latents, or takes no beats or no key, and for a key that is none.
    """

    def __init__(self, model: Dance2Music, seconds: float | int = 0.5, seed: int = 0, key: str | None = None) -> None:
        made_by = model.music_generator
        if not isinstance(made_by, LatentGenerator) or made_by.system.reader is None:
            raise BadConfig(
                f"checkpoint={model.checkpoint.path.name}: live music needs a latent diffusion system that takes beats; use "
                "demo_fast, or one trained with experiment=aligned."
            )
        self.system: LatentDiffusion = made_by.system
        self.generator, self.dmae, self.seed = made_by, made_by.dmae, seed
        self.clock = self.dmae.clock
        self.frames = max(1, round(float(seconds) * self.clock.latent_rate))
        given = {name: value for name, value in model.settings.items() if name in ("steps", "guidance", "grid")}
        self.settings = replace(self.system.generation, **given)
        takes_key = self.system.conditioner.takes_lead_sheet
        if key is not None and not takes_key:
            raise BadConfig(f"key={key}: this checkpoint takes no key; leave it out.")
        self.sheet = (LeadSheet.drawn(seed) if key is None else LeadSheet.of(key)) if takes_key else None

    @property
    def seconds(self) -> float:
        """Length of a block."""
        return self.clock.latent_frames_to_seconds(self.frames)

    @property
    def samples(self) -> int:
        """Samples of a block."""
        return self.frames * self.clock.latent_hop_samples

    def begin(self) -> MusicSoFar:
        """Before the first block."""
        channels, window = self.system.unet.in_channels, min(_SEEN, self.clock.window_latent_frames)
        generator = torch.Generator().manual_seed(self.seed)
        return MusicSoFar(
            torch.zeros(channels, 0),
            torch.randn(channels, window, generator=generator),
            torch.zeros(self.dmae.in_channels, 0),
        )

    @property
    def window_s(self) -> tuple[float, float]:
        """Where the window of a block begins and ends, seen from the block's beginning."""
        after = self.clock.latent_frames_to_seconds(self.frames + _BEYOND)
        return after - self.clock.window_seconds, after

    @torch.no_grad()
    def next(
        self,
        state: MusicSoFar,
        features: Float[np.ndarray, "time 219"],
        grid: BeatGrid,
        genre: int,
    ) -> tuple[MusicSoFar, Float[np.ndarray, "audio sample"]]:
        """One more block.

        Args:
            state: after the blocks before.
            features: what is known of the dance at 60 fps from the window's beginning; it is held to the window's end.
            grid: beats on the window's own clock.
            genre: number of the genre; it may differ from block to block.
        """
        system, window = self.system, min(_SEEN, self.clock.window_latent_frames)
        index = np.minimum(np.arange(self.clock.window_motion_frames), len(features) - 1)
        motion = system.motion_window(torch.from_numpy(np.asarray(features[index], np.float32))[None], training=False)
        plan = WindowPlan(self.clock.window_latent_frames, self.clock.window_latent_frames, (0,))
        sheet = None
        if self.sheet is not None:
            sheet = torch.from_numpy(self.sheet.curves(plan.total_frames, self.clock.latent_rate)).float()[None]
        read = system.conditioner.read(motion, system.beat_windows(grid, plan), sheet)
        told = _ending(system.conditioner.with_genre(read.condition, torch.tensor([genre])), window / plan.total_frames)
        denoiser = system.guided(*system.prepared(told), self.settings)
        known = state.latent[:, -(window - self.frames - _BEYOND) :]
        place = slice(window - self.frames - _BEYOND - known.shape[1], window - self.frames - _BEYOND)
        path, levels = system.objective.path, noise_levels(self.settings.steps, self.settings.grid)
        x = state.noise[None].clone()
        for level, until in pairwise(levels):
            at = level.to(x).expand(1)
            x[..., place] = path.add_noise(known[None], state.noise[None, :, place], at)
            a, b = path.step(level, until)
            x = a.to(x) * x - b.to(x) * denoiser(x, at)
        x[..., place] = known
        latent = x[0, :, place.start : place.stop + self.frames]
        sound = self._decoded(x[0, :, : place.stop + self.frames + _BEYOND], state)
        generator = torch.Generator().manual_seed((self.seed + 1_000_003 * (state.blocks + 1)) % 2**63)
        noise = torch.cat(
            [state.noise[:, self.frames :], torch.randn(len(state.noise), self.frames, generator=generator)], dim=1
        )
        made, tail = sound[:, : self.samples], sound[:, self.samples :]
        return MusicSoFar(latent, noise, tail, state.blocks + 1), made.numpy()

    def _decoded(self, latent: Float[Tensor, "channel _"], state: MusicSoFar) -> Float[Tensor, "audio sample"]:
        """The block and its tail, faded in from the tail of the block before."""
        hop, first = self.clock.latent_hop_samples, latent.shape[1] - self.frames - _BEYOND
        before = min(first, _BEFORE)
        seen, begins = latent[:, first - before :], state.blocks * self.frames - before
        wave = self.generator.decoded(self.system.restored(seen[None])[0], self.settings, self.seed, begins)
        wave = torch.from_numpy(playable(wave.numpy(), self.clock.sample_rate))
        block = wave[:, -(self.frames + _BEYOND) * hop :].clone()
        fade = min(_FADE * hop, state.tail.shape[1])
        if fade:
            ramp = torch.linspace(0, 1, fade)
            block[:, :fade] = block[:, :fade] * ramp + state.tail[:, :fade] * (1 - ramp)
        return block[:, : (self.frames + _FADE) * hop]


def _ending(condition: Condition, share: float) -> Condition:
    """The last share of a window that a condition speaks of."""

    def last(part: Tensor) -> Tensor:
        return part[..., -round(part.shape[-1] * share) :]

    levels, channels = condition.levels, condition.input_channels
    return replace(
        condition,
        levels=None if levels is None else tuple(map(last, levels)),
        input_channels=None if channels is None else last(channels),
    )
