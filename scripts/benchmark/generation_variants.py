"""Ways of generating 5.94 s of music at the published size, and the first of them: the published recipe, stock packages.

The published recipe: the encoder once, 50 DDIM steps with both guidance passes one after the other, 50 steps of the
autoencoder's diffusion decoder. Weights are random: they do not change the time.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from torch import Tensor

from benchmark.flops import counted_flops
from benchmark.stock import StockSystem
from d2m.audio.autoencoder import DMAE
from d2m.core.timeline import MOTION_FPS, seconds_to_motion_frames
from d2m.models.device import Precision as Mode

STOCK = "published recipe, stock packages"


@dataclass(frozen=True)
class Recipe:
    """One of our ways of generating a clip.

    Args:
        mode: numbers of the networks: `exact` is float32; `bf16` is bfloat16 weights on a CPU, autocast on a GPU.
        sampler: of `d2m.diffusion.samplers`.
        steps: of the latent.
        guided: whether every step is guided, at the cost of two evaluations.
        decoder_steps: of the diffusion decoder; 0: the one-pass decoder, one evaluation.
    """

    mode: Mode
    sampler: str
    steps: int
    guided: bool
    decoder_steps: int


@dataclass(frozen=True)
class GenerationSetup:
    """What is generated and how.

    Args:
        system: the published system's configuration; dmae: the autoencoder's `architecture`, with a one-pass decoder.
        batch: clips at once; 1 for a dance longer than a clip.
        seconds: of a dance; None: one clip, a window of the system (5.94 s).
        steps: of the latent, and of the decoder.
        guidance: scale, not 1.
        device: `cpu`, `cuda` …
        fast_steps, distilled_steps: of the latent, of ours fast and ours distilled.
        fast_mode: numbers of these two; None: what a step is faster in (`benchmark.generation` measures it).
        compile: whether our networks go through `torch.compile`; on a GPU with CUDA graphs.
    """

    system: Mapping[str, Any]
    dmae: Mapping[str, Any]
    batch: int = 1
    seconds: float | int | None = None
    steps: int = 50
    guidance: float | int = 9.0
    device: str = "cpu"
    fast_steps: int = 12
    distilled_steps: int = 4
    fast_mode: Mode | None = None
    compile: bool = False

    def recipes(self) -> dict[str, Recipe]:
        """Ours, by name."""
        fast = self.fast_mode or "exact"
        return {
            "ours exact": Recipe("exact", "ddim", self.steps, True, self.steps),
            "ours bf16": Recipe("bf16", "ddim", self.steps, True, self.steps),
            "ours fast": Recipe(fast, "dpm_solver_pp_2m", self.fast_steps, True, 0),
            "ours distilled": Recipe(fast, "ddim", self.distilled_steps, False, 0),
        }


@dataclass(frozen=True)
class Counts:
    """How often a clip or a dance needs each of the timed parts, and network evaluations in all (windows, both halves)."""

    steps: int
    decoder_steps: int
    evaluations: int


class Generation(ABC):
    """One way of generating, in parts that can be timed alone."""

    counts: Counts

    def __init__(self, setup: GenerationSetup, dmae: DMAE) -> None:
        self.setup, self.device, self.dmae = setup, torch.device(setup.device), dmae
        clock, generator = dmae.clock, torch.Generator().manual_seed(0)
        asked, clip_frames = seconds_to_motion_frames(float(setup.seconds or 0)), clock.window_motion_frames
        self.motion_frames = clip_frames if asked < clip_frames + MOTION_FPS / 2 else asked  # 6 s is a clip
        self.seconds = clock.window_seconds if self.motion_frames == clip_frames else self.motion_frames / MOTION_FPS
        self.frames = clock.samples_to_latent_frames(round(self.seconds * clock.sample_rate))
        channels, frames = setup.system["unet"]["in_channels"], clock.window_latent_frames
        self.features = torch.randn((setup.batch, self.motion_frames, 219), generator=generator).to(self.device)
        self.noise = torch.randn((setup.batch, channels, frames), generator=generator).to(self.device)
        shape = (setup.batch, self.dmae.in_channels, clock.window_samples)
        self.wave_noise = torch.randn(shape, generator=generator).to(self.device)
        self.sigma = torch.full((setup.batch,), 0.5, device=self.device)

    @abstractmethod
    def once(self) -> object:
        """What is done once, before the first step."""

    @abstractmethod
    def step(self) -> Tensor:
        """One step of the latent, guided where the recipe is."""

    @torch.no_grad()
    def decoder_step(self) -> Tensor:
        """One step of the decoder for one window."""
        channels = [None] * self.dmae.inject_depth + [self.noise.clamp(-1, 1)]
        return self.dmae.autoencoder.net(self.wave_noise, self.sigma, channels=channels)

    @abstractmethod
    def latent(self, steps: int) -> Tensor:
        """The whole latent, [batch channel frame]."""

    @abstractmethod
    def clip(self) -> Tensor:
        """The whole waveform, [batch channel sample]."""

    def flops(self) -> int:
        """Of the whole."""
        once, step, decoder_step = (counted_flops(part) for part in (self.once, self.step, self.decoder_step))
        return once + self.counts.steps * step + self.counts.decoder_steps * decoder_step

    def parts(self) -> None:
        """Every part once, for the memory that it takes."""
        self.once(), self.step(), self.decoder_step()


class StockGeneration(Generation):
    """The published recipe. A longer dance is generated clip by clip, each for itself."""

    def __init__(self, setup: GenerationSetup) -> None:
        torch.manual_seed(0)
        dmae: DMAE = instantiate(OmegaConf.create(dict(setup.dmae)), _convert_="all")
        super().__init__(setup, dmae.to(setup.device).eval().requires_grad_(False))
        system = StockSystem(setup.system["unet"], setup.system["conditioner"]["encoder"])
        self.system = system.to(self.device).eval().requires_grad_(False)
        self.clips = -(-self.motion_frames // self.dmae.clock.window_motion_frames)
        calls = setup.steps * self.clips
        self.counts = Counts(calls, calls, 3 * calls)
        self.once()

    @torch.no_grad()
    def once(self) -> object:
        """The motion's tokens, of every clip."""
        length = self.dmae.clock.window_motion_frames
        self.tokens = []
        for start in range(0, self.motion_frames, length):
            part = self.features[:, start : start + length]
            missing = part[:, -1:].expand(-1, length - part.shape[1], -1)
            self.tokens.append(self.system.encoder(torch.cat([part, missing], dim=1))[0])
        return self.tokens

    @torch.no_grad()
    def step(self) -> Tensor:
        """Two passes."""
        return self.system.diffusion.net(
            self.noise, self.sigma, embedding=self.tokens[0], embedding_scale=self.setup.guidance
        )

    def latent(self, steps: int) -> Tensor:
        """Tokens, then the stock sampler, clip after clip."""
        self.once()
        clips = [self.system.sample(tokens, self.noise, steps, self.setup.guidance) for tokens in self.tokens]
        return torch.cat(clips, dim=2)

    @torch.no_grad()
    def clip(self) -> Tensor:
        """Every clip decoded by the diffusion decoder."""
        clips = self.latent(self.setup.steps).clamp(-1, 1).split(self.noise.shape[2], dim=2)
        return torch.cat([self.dmae.decode(latent, self.setup.steps) for latent in clips], dim=2)
