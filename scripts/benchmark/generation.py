"""What 5.94 s of music costs at the published size: the published recipe with stock packages against ours.

The published recipe: the encoder once, 50 DDIM steps with both guidance passes one after the other, 50 steps of the
autoencoder's diffusion decoder. Weights are random: they do not change the time.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from benchmark.measure import IMPOSSIBLE, Measured, counted_flops, in_turns, peak_memory_alone_mb, total
from benchmark.stock import StockSystem
from d2m.audio.autoencoder import DMAE
from d2m.audio.chunked_coding import count_windows, decode_in_chunks
from d2m.core.errors import BadConfig
from d2m.core.timeline import MOTION_FPS, seconds_to_motion_frames
from d2m.diffusion.samplers import Denoiser
from d2m.models import onednn
from d2m.models.device import DeviceConfig, Precision, prefers_bfloat16
from d2m.models.heads import UNKNOWN_GENRE
from d2m.systems.interface import LatentRequest
from d2m.systems.latent_diffusion import LatentDiffusion

STOCK = "published recipe, stock packages"
PARTS = ("once", "step", "decoder_step")


@dataclass(frozen=True)
class Recipe:
    """One of our ways of generating.

    Args:
        precision: of the networks.
        sampler: of `d2m.diffusion.samplers`.
        steps: of the latent; guided: whether each takes two evaluations.
        decoder_steps: of the diffusion decoder; 0: the one-pass decoder, one evaluation.
    """

    precision: Precision
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
        fast_steps, distilled_steps: of the latent, of ours fast and ours distilled; fast_mode: their precision.
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
    fast_mode: Precision = "exact"
    compile: bool = False

    def recipes(self) -> dict[str, Recipe]:
        """Ours, by name."""
        return {
            "ours exact": Recipe("exact", "ddim", self.steps, True, self.steps),
            "ours bf16": Recipe("bf16", "ddim", self.steps, True, self.steps),
            "ours fast": Recipe(self.fast_mode, "dpm_solver_pp_2m", self.fast_steps, True, 0),
            "ours distilled": Recipe(self.fast_mode, "ddim", self.distilled_steps, False, 0),
        }


class Generation:
    """One way of generating, in parts that can be timed alone.

    Attributes:
        counts: how often the music needs each of `PARTS`.
        evaluations: of networks in all (windows, both halves of the guidance).
    """

    counts: dict[str, int]
    evaluations: int

    def __init__(self, setup: GenerationSetup) -> None:
        torch.manual_seed(0)
        self.setup, self.device = setup, torch.device(setup.device)
        dmae: DMAE = instantiate(OmegaConf.create(dict(setup.dmae)), _convert_="all")
        self.dmae, clock = dmae.to(self.device).eval().requires_grad_(False), dmae.clock
        asked, clip = seconds_to_motion_frames(float(setup.seconds or 0)), clock.window_motion_frames
        self.motion_frames = clip if asked < clip + MOTION_FPS / 2 else asked  # 6 s is a clip
        self.seconds = clock.window_seconds if self.motion_frames == clip else self.motion_frames / MOTION_FPS
        self.frames = clock.samples_to_latent_frames(round(self.seconds * clock.sample_rate))
        generator = torch.Generator().manual_seed(0)
        shapes = (
            (setup.batch, self.motion_frames, 219),
            (setup.batch, setup.system["unet"]["in_channels"], clock.window_latent_frames),
            (setup.batch, dmae.in_channels, clock.window_samples),
        )
        drawn = [torch.randn(shape, generator=generator).to(self.device) for shape in shapes]
        self.features, self.noise, self.wave_noise = drawn
        self.sigma = torch.full((setup.batch,), 0.5, device=self.device)

    def once(self) -> object:
        """What is done once, before the first step."""
        raise NotImplementedError

    def step(self) -> Tensor:
        """One step of the latent, guided where the recipe is."""
        raise NotImplementedError

    @torch.no_grad()
    def decoder_step(self) -> Tensor:
        """One step of the diffusion decoder for one window: the stock network, ours as well as theirs."""
        return self.dmae.autoencoder.net(self.wave_noise, self.sigma, **self.dmae.condition(self.noise.clamp(-1, 1)))

    def clip(self) -> Tensor:
        """The whole waveform, [batch channel sample]."""
        raise NotImplementedError

    def flops(self) -> int:
        """Of the whole."""
        return sum(count * counted_flops(getattr(self, part)) for part, count in self.counts.items())

    def parts(self) -> None:
        """Every part once, for the memory that it takes."""
        for part in PARTS:
            getattr(self, part)()


class StockGeneration(Generation):
    """The published recipe. A longer dance is generated clip by clip, each for itself."""

    def __init__(self, setup: GenerationSetup) -> None:
        super().__init__(setup)
        system = StockSystem(setup.system["unet"], setup.system["conditioner"]["encoder"])
        self.system = system.to(self.device).eval().requires_grad_(False)
        self.clips = -(-self.motion_frames // self.dmae.clock.window_motion_frames)
        calls = setup.steps * self.clips
        self.counts, self.evaluations = {"once": 1, "step": calls, "decoder_step": calls}, 3 * calls
        self.once()

    @torch.no_grad()
    def once(self) -> object:
        """The motion's tokens, of every clip."""
        length = self.dmae.clock.window_motion_frames
        self.tokens = []
        for part in self.features.split(length, dim=1):
            missing = part[:, -1:].expand(-1, length - part.shape[1], -1)
            self.tokens.append(self.system.encoder(torch.cat([part, missing], dim=1))[0])
        return self.tokens

    @torch.no_grad()
    def step(self) -> Tensor:
        """Two passes."""
        condition = {"embedding": self.tokens[0], "embedding_scale": self.setup.guidance}
        return self.system.diffusion.net(self.noise, self.sigma, **condition)

    def latents(self, steps: int) -> list[Tensor]:
        """Tokens, then the stock sampler, clip after clip."""
        self.once()
        return [self.system.sample(tokens, self.noise, steps, self.setup.guidance) for tokens in self.tokens]

    @torch.no_grad()
    def clip(self) -> Tensor:
        """Every clip decoded by the diffusion decoder."""
        steps = self.setup.steps
        return torch.cat([self.dmae.decode(latent.clamp(-1, 1), steps) for latent in self.latents(steps)], dim=2)


class OurGeneration(Generation):
    """Ours.

    Args:
        setup: what is generated.
        name: of the recipe.
        stock: whose weights are used, the same and not copies; None: random ones.
    """

    def __init__(self, setup: GenerationSetup, name: str, stock: StockGeneration | None = None) -> None:
        super().__init__(setup)
        self.recipe = setup.recipes()[name]
        system: LatentDiffusion = instantiate(OmegaConf.create(dict(setup.system)))
        if stock is not None:
            system.unet.load_state_dict(stock.system.unet_state(), assign=True)
            system.conditioner.get_submodule("encoder").load_state_dict(stock.system.encoder.state_dict(), assign=True)
            self.dmae.load_state_dict(stock.dmae.state_dict(), assign=True)
        self.system = system.to(self.device).eval()
        self.device_config = DeviceConfig(self.device, self.recipe.precision, setup.compile)
        for network in (self.system.unet, self.dmae.diffusion_network, self.dmae.onepass):
            if network is not None:
                self.device_config.place(network)
                network.requires_grad_()  # weights are shared, and bf16 needs it, see `DeviceConfig.place`
        clock, guidance = self.dmae.clock, setup.guidance if self.recipe.guided else 1.0
        self.settings = replace(
            system.generation, steps=self.recipe.steps, guidance=guidance, sampler=self.recipe.sampler,
            batch=max(setup.batch, system.generation.batch),
        )  # fmt: skip
        plan = system.window_plan(self.frames)
        self.windows, shape = len(plan.starts), (self.noise.shape[1], plan.total_frames)
        drawn = torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(self.device)
        noises = [drawn] if self.windows > 1 else list(self.noise)
        self.requests = [
            LatentRequest(features, self.frames, UNKNOWN_GENRE, noise=noise)
            for features, noise in zip(self.features, noises, strict=True)
        ]
        self.joined_noise = torch.cat(noises, dim=-1)[None]
        calls = count_windows(self.frames * clock.latent_hop_samples, clock) * (self.recipe.decoder_steps or 1)
        self.counts = {"once": 1, "step": self.recipe.steps, "decoder_step": calls}
        self.evaluations = self.recipe.steps * (1 + self.recipe.guided) * self.windows + calls
        self.once()

    @torch.no_grad()
    def once(self) -> Denoiser:
        """The denoiser: what is read of every window, with keys and values where the system keeps them."""
        with self.device_config.running():
            read = self.system.read(self.requests, self.settings)
            self.denoiser = self.system.denoiser(read, [UNKNOWN_GENRE] * len(self.requests), self.settings)
        return self.denoiser

    @torch.no_grad()
    def step(self) -> Tensor:
        """One step of all windows, both halves of the guidance in one batch."""
        with self.device_config.running():
            return self.denoiser(self.joined_noise, self.sigma[:1])

    @torch.no_grad()
    def decoder_step(self) -> Tensor:
        """One step of the diffusion decoder, or the one-pass decoder, for one window."""
        with self.device_config.running():
            return super().decoder_step() if self.recipe.decoder_steps else self.dmae.decode_onepass(self.noise)

    @torch.no_grad()
    def latent(self, steps: int) -> Tensor:
        """By the system itself."""
        with self.device_config.running():
            made = self.system.generate_latents(self.requests, replace(self.settings, steps=steps))
        return torch.stack([one.latent for one in made]).float()

    @torch.no_grad()
    def clip(self) -> Tensor:
        """Sampled and decoded."""
        latent, steps = self.latent(self.recipe.steps).clamp(-1, 1), self.recipe.decoder_steps
        with self.device_config.running():
            if self.windows > 1:
                return decode_in_chunks(self.dmae, latent[0], "diffusion" if steps else "onepass", steps or 1)[None]
            return self.dmae.decode(latent, steps) if steps else self.dmae.decode_onepass(latent)


def parts_alone(setup: GenerationSetup, name: str) -> Callable[[], None]:
    """One variant and nothing else, to measure its memory."""
    return (StockGeneration(setup) if name == STOCK else OurGeneration(setup, name)).parts


COLUMNS = {
    "median s": lambda row: f"{row['clip']['median_s']:.2f}",
    "min": lambda row: f"{row['clip']['min_s']:.2f}",
    "max": lambda row: f"{row['clip']['max_s']:.2f}",
    "speed-up": lambda row: f"{row['speedup']:.2f}×",
    "× real time": lambda row: f"{row['times_real_time']:.2f}",
    "evaluations": lambda row: str(row["evaluations"]),
    "latent step ms": lambda row: f"{row['step']['median_s'] * 1e3:.0f}" if "step" in row else "",
    "decoder step ms": lambda row: f"{row['decoder_step']['median_s'] * 1e3:.0f}" if "decoder_step" in row else "",
    "peak memory GB": lambda row: f"{row['peak_memory_mb'] / 1e3:.2f}" if row["peak_memory_mb"] else "",
    "TFLOP": lambda row: f"{row['flops'] / 1e12:.2f}",
    "share of peak": lambda row: f"{row['share_of_peak']:.0%}",
}


def measure_generation(
    setup: GenerationSetup,
    repeats: int,
    peak: Mapping[str, float],
    full: bool = False,
    check: bool = True,
    memory: bool = True,
    on_round: Callable[[], object] = lambda: None,
) -> tuple[list[dict[str, Any]], dict[str, float] | None]:
    """Time all variants in turns.

    Args:
        setup: what is generated.
        repeats: rounds.
        peak: of this machine.
        full: time whole clips, instead of single parts times their number.
        check: whether two steps of ours exact and the stock packages are compared (clips only).
        memory: whether each variant's memory is measured, alone in a process; on a CPU only.
        on_round: see `in_turns`.

    Returns:
        the rows; the largest `difference` of our latents from the stock packages' and these' `scale`, or None.

    Raises:
        BadConfig: for several clips of a dance longer than a clip.
    """
    stock, recipes = StockGeneration(setup), setup.recipes()
    if setup.batch > 1 and stock.clips > 1:
        raise BadConfig(f"batch={setup.batch}: dances longer than a clip are generated one at a time; say batch=1.")
    low = setup.device != "cpu" or onednn.has_bfloat16()
    possible = [name for name, recipe in recipes.items() if low or recipe.precision == "exact"]
    ours = {name: OurGeneration(setup, name, stock) for name in possible}
    variants: dict[str, Generation] = {STOCK: stock, **ours}
    agreement = None
    if check and stock.clips == 1:
        wanted, found = stock.latents(2)[0], ours["ours exact"].latent(2)
        agreement = {"difference": float((wanted - found).abs().max()), "scale": float(wanted.abs().max())}
    parts = ("clip",) if full else PARTS
    jobs = {f"{name}/{part}": getattr(variant, part) for name, variant in variants.items() for part in parts}
    # an outer context, or autocast would round the weights again at every timed step, as it does not while it samples
    with torch.autocast(setup.device, enabled=False):
        timed = in_turns(jobs, repeats, on_round=on_round)
    rows: list[dict[str, Any]] = []
    for name in (STOCK, *recipes):
        if name not in variants:
            rows.append({"name": name, "reason": IMPOSSIBLE})
            continue
        made = variants[name]
        clip = total([(timed[f"{name}/{part}"], 1 if full else made.counts[part]) for part in parts])
        best = peak["bfloat16" if name != STOCK and recipes[name].precision == "bf16" else "float32"]
        flops, first = made.flops(), rows[0]["clip"] if rows else clip
        rows.append({
            "name": name, "clip": clip, "whole": full, "speedup": first["median_s"] / clip["median_s"],
            "times_real_time": setup.batch * made.seconds / clip["median_s"], "evaluations": made.evaluations,
            **({} if full else {part: total([(timed[f"{name}/{part}"], 1)]) for part in PARTS}),
            "flops": flops, "share_of_peak": flops / clip["median_s"] / best, "peak_memory_mb": None,
        })  # fmt: skip
    del stock, ours, variants, jobs, made
    for row in rows if memory and setup.device == "cpu" else []:
        if "reason" not in row:
            row["peak_memory_mb"] = peak_memory_alone_mb(parts_alone, setup, row["name"])
    return rows, agreement


def benchmark(config: DictConfig, peak: Mapping[str, float], on_round: Callable[[], object]) -> Measured:
    """Measure what configs/benchmark.yaml asks for."""
    system: Any = OmegaConf.to_container(config.system, resolve=True)
    dmae: Any = OmegaConf.to_container(config.dmae.architecture, resolve=True)
    auto = "bf16" if prefers_bfloat16(torch.device(config.device)) else "exact"
    setup = GenerationSetup(
        system, dmae, config.batch or 1, config.seconds, config.steps, config.guidance, config.device, config.fast_steps,
        config.distilled_steps, auto if config.fast_mode == "auto" else config.fast_mode, bool(config.compile),
    )  # fmt: skip
    rows, agreement = measure_generation(
        setup, config.repeats, peak, config.full, config.check, config.memory, on_round
    )
    how = "from beginning to end" if config.full else "by parts (single steps, times their number)"
    notes = [
        f"{setup.batch} of {config.seconds or 'about 6'} s. Published recipe, ours exact and ours bf16: {config.steps} DDIM "
        f"steps of the latent with guidance {config.guidance:g}, then {config.steps} of autoencoder {config.dmae.name}'s "
        f"diffusion decoder. Ours fast: {setup.fast_steps} guided DPM-Solver++(2M) steps, one-pass decoder; ours distilled: "
        f"{setup.distilled_steps} steps without guidance, one-pass decoder; both {setup.fast_mode}. Random weights. Timed "
        f"{how}, in turns, {config.repeats} rounds; memory: each variant alone in a process; FLOPs: of matrix products, "
        "convolutions and attentions, as done."
    ]
    if agreement:
        notes.append(
            f"Latents after two steps with the same weights: ours exact differs from the stock packages by at most "
            f"{agreement['difference']:.1e} (largest value {agreement['scale']:.1e})."
        )
    return Measured(rows, COLUMNS, notes, {"setup": asdict(setup), "repeats": config.repeats, **(agreement or {})})
