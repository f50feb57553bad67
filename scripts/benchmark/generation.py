"""What 5.94 s of music costs at the published size: the published recipe with stock packages against ours."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf

from benchmark.flops import MatmulPeak
from benchmark.generation_ours import OurGeneration, OurNetworks, parts_alone
from benchmark.generation_variants import STOCK, Counts, Generation, GenerationSetup, StockGeneration
from benchmark.report import ImpossibleRow, Measured
from benchmark.timing import Timing, interleaved, peak_memory_alone_mb
from d2m.core.errors import BadConfig
from d2m.models import onednn
from d2m.models.device import Precision as Mode


@dataclass(frozen=True)
class GenerationRow:
    """A variant. `clip`: seconds for the batch; `whole`: timed as a whole, or a sum of its parts' times.

    Args:
        evaluations: network evaluations for a clip; guidance takes two a step, in one call or in two.
        once, latent_step, decoder_step: its parts, where they were timed.
        flops: of the batch; share_of_peak: their rate as a share of the best matrix product in the variant's precision.
    """

    name: str
    clip: Timing
    whole: bool
    speedup: float
    times_real_time: float
    evaluations: int
    once: Timing | None
    latent_step: Timing | None
    decoder_step: Timing | None
    peak_memory_mb: float | None
    flops: int
    share_of_peak: float

    def cells(self) -> dict[str, str]:
        """The row of the printed table."""
        parts = [f"{part.median_s * 1e3:.0f}" if part else "" for part in (self.latent_step, self.decoder_step)]
        return {
            "generation": self.name,
            "median s": f"{self.clip.median_s:.2f}",
            "min": f"{self.clip.min_s:.2f}",
            "max": f"{self.clip.max_s:.2f}",
            "speed-up": f"{self.speedup:.2f}×",
            "× real time": f"{self.times_real_time:.2f}",
            "evaluations": str(self.evaluations),
            "latent step ms": parts[0],
            "decoder step ms": parts[1],
            "peak memory GB": "" if self.peak_memory_mb is None else f"{self.peak_memory_mb / 1e3:.2f}",
            "TFLOP": f"{self.flops / 1e12:.2f}",
            "share of peak": f"{self.share_of_peak:.0%}",
        }


@dataclass(frozen=True)
class GenerationResult:
    """All rows, and the largest difference of our exact latents from the stock packages' after two steps (or None).

    `scale` is the largest value of the stock latents, `fast_mode` what ours fast and ours distilled ran in.
    """

    rows: list[GenerationRow | ImpossibleRow]
    difference: float | None
    scale: float | None
    clip_seconds: float
    fast_mode: Mode


def measure_generation(
    setup: GenerationSetup,
    repeats: int,
    peak: MatmulPeak,
    full: bool = False,
    check: bool = True,
    memory: bool = True,
    on_round: Callable[[int], None] | None = None,
) -> GenerationResult:
    """Time all variants in turns.

    Args:
        setup: what is generated.
        repeats: rounds.
        peak: of this machine.
        full: time whole clips, instead of single steps times their number.
        check: whether two steps of both are compared (clips only).
        memory: whether each variant's memory is measured, alone in a process; on a CPU only.
        on_round: see `interleaved`.

    Raises:
        BadConfig: for several clips of a dance longer than a clip.
    """
    stock = StockGeneration(setup)
    if setup.batch > 1 and stock.clips > 1:
        raise BadConfig(f"batch={setup.batch}: dances longer than a clip are generated one at a time; say batch=1.")
    possible = setup.device != "cpu" or onednn.has_bfloat16()
    modes: tuple[Mode, ...] = ("exact", "bf16") if possible else ("exact",)
    if not possible:
        setup = replace(setup, fast_mode="exact")
    networks = {mode: OurNetworks(setup, mode, stock) for mode in modes}
    setup = replace(setup, fast_mode=setup.fast_mode or _faster_mode(setup, networks))
    ours = {
        name: OurGeneration(setup, recipe, networks[recipe.mode])
        for name, recipe in setup.recipes().items()
        if recipe.mode in networks
    }
    variants: dict[str, Generation] = {STOCK: stock, **ours}
    difference = scale = None
    if check and stock.clips == 1:
        wanted, found = stock.latent(2), ours["ours exact"].latent(2)
        difference, scale = float((wanted - found).abs().max()), float(wanted.abs().max())
    parts = ("clip",) if full else ("once", "step", "decoder_step")
    jobs = {f"{name}/{part}": getattr(variant, part) for name, variant in variants.items() for part in parts}
    timings = interleaved(jobs, repeats, stock.device, 1, on_round)
    counts = {name: variant.counts for name, variant in variants.items()}
    flops = {name: variant.flops() for name, variant in variants.items()}
    seconds = stock.seconds
    del stock, networks, ours, variants, jobs
    recipes, first = setup.recipes(), None
    rows: list[GenerationRow | ImpossibleRow] = []
    for name in (STOCK, *recipes):
        if name not in counts:
            rows.append(ImpossibleRow(name))
            continue
        count = counts[name]
        once, step, decoder_step = (timings.get(f"{name}/{part}") for part in ("once", "step", "decoder_step"))
        clip = timings.get(f"{name}/clip") or _whole(once, step, decoder_step, count)
        slowest = first = first or clip  # the stock packages'
        low = name != STOCK and setup.recipes()[name].mode == "bf16"
        best = peak.bfloat16 if low else peak.float32
        alone = peak_memory_alone_mb(parts_alone, setup, name) if memory and setup.device == "cpu" else None
        rows.append(
            GenerationRow(
                name, clip, full, slowest.median_s / clip.median_s, setup.batch * seconds / clip.median_s, count.evaluations,
                once, step, decoder_step, alone, flops[name], flops[name] / clip.median_s / best,
            )
        )  # fmt: skip
    return GenerationResult(rows, difference, scale, seconds, setup.recipes()["ours fast"].mode)


def _faster_mode(setup: GenerationSetup, networks: Mapping[Mode, OurNetworks]) -> Mode:
    """Numbers in which a guided step takes less time; the median of three."""
    steps = {
        mode: OurGeneration(setup, replace(setup.recipes()["ours fast"], mode=mode), network).step
        for mode, network in networks.items()
    }
    timings = interleaved(steps, 3, torch.device(setup.device))
    return min(networks, key=lambda mode: timings[mode].median_s)


def _whole(once: Timing | None, step: Timing | None, decoder_step: Timing | None, counts: Counts) -> Timing:
    assert once and step and decoder_step
    return once.plus(step.times(counts.steps)).plus(decoder_step.times(counts.decoder_steps))


def benchmark(config: DictConfig, peak: MatmulPeak, on_round: Callable[[int], None]) -> Measured:
    """Measure what configs/benchmark.yaml asks for."""
    system: Any = OmegaConf.to_container(config.system, resolve=True)
    dmae: Any = OmegaConf.to_container(config.dmae.architecture, resolve=True)
    setup = GenerationSetup(
        system, dmae, config.batch or 1, config.seconds, config.steps, config.guidance, config.device, config.fast_steps,
        config.distilled_steps, None if config.fast_mode == "auto" else config.fast_mode, bool(config.compile),
    )  # fmt: skip
    result = measure_generation(setup, config.repeats, peak, config.full, config.check, config.memory, on_round)
    how = "from beginning to end" if config.full else "by parts (single steps, times their number)"
    notes = [
        f"{setup.batch} of {result.clip_seconds:.2f} s. Published recipe, ours exact and ours bf16: {config.steps} DDIM steps "
        f"of the latent with guidance {config.guidance:g}, then {config.steps} of autoencoder {config.dmae.name}'s diffusion "
        f"decoder. Ours fast: {setup.fast_steps} guided DPM-Solver++(2M) steps, one-pass decoder; ours distilled: "
        f"{setup.distilled_steps} steps without guidance, one-pass decoder; both {result.fast_mode}. Random weights. Timed "
        f"{how}, in turns, {config.repeats} rounds; memory: each variant alone in a process; FLOPs: of matrix products, "
        "convolutions and attentions, as done."
    ]
    if result.difference is not None:
        notes.append(
            f"Latents after two steps with the same weights: ours exact differs from the stock packages by at most "
            f"{result.difference:.1e} (largest value {result.scale:.1e})."
        )
    details = {key: getattr(result, key) for key in ("difference", "scale", "clip_seconds", "fast_mode")}
    return Measured(result.rows, notes, {"setup": asdict(setup), "repeats": config.repeats, **details})
