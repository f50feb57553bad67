"""What a training step of the published model costs: the published script's, with stock packages, against ours."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf

from benchmark.flops import MatmulPeak, counted_flops
from benchmark.report import ImpossibleRow, Measured
from benchmark.timing import Timing, interleaved, peak_memory_alone_mb, peak_memory_mb
from benchmark.training_variants import Agreement, TrainingSetup, TrainingWorkbench, step_alone


@dataclass(frozen=True)
class TrainingRow:
    """A variant's step. `share_of_peak`: its rate as a share of the best measured matrix product in its precision."""

    name: str
    step: Timing
    speedup: float
    samples_per_s: float
    peak_memory_mb: float | None
    flops: int
    share_of_peak: float

    def cells(self) -> dict[str, str]:
        """The row of the printed table."""
        memory = "" if self.peak_memory_mb is None else f"{self.peak_memory_mb / 1e3:.2f}"
        return {
            "training step": self.name,
            "median ms": f"{self.step.median_s * 1e3:.0f}",
            "min": f"{self.step.min_s * 1e3:.0f}",
            "max": f"{self.step.max_s * 1e3:.0f}",
            "speed-up": f"{self.speedup:.2f}×",
            "samples/s": f"{self.samples_per_s:.2f}",
            "peak memory GB": memory,
            "GFLOP": f"{self.flops / 1e9:.0f}",
            "share of peak": f"{self.share_of_peak:.0%}",
        }


@dataclass(frozen=True)
class TrainingResult:
    """All rows, and where both were compared how far apart they are."""

    rows: list[TrainingRow | ImpossibleRow]
    agreement: Agreement | None


def step_flops(setup: TrainingSetup) -> int:
    """Floating-point operations of a stock step, counted on tensors without storage."""
    return counted_flops(step_alone(replace(setup, device="meta", compile=False), "stock fp32"))


def measure_training(
    setup: TrainingSetup,
    repeats: int,
    peak: MatmulPeak,
    check: bool = True,
    memory: bool = True,
    on_round: Callable[[int], None] | None = None,
) -> TrainingResult:
    """Time all variants in turns, on a CPU each alone in a process for its memory too.

    Args:
        setup: what is trained.
        repeats: rounds.
        peak: of this machine.
        check: whether loss and gradient are compared first.
        memory: whether memory is measured.
        on_round: see `interleaved`.
    """
    bench = TrainingWorkbench(setup)
    agreement = bench.agreement() if check else None
    for step in bench.steps.values():  # the stock step comes first and makes the optimiser's state
        step()
    timings = interleaved(bench.steps, repeats, bench.device, 0, on_round)
    peaks: dict[str, float | None] = dict.fromkeys(timings)
    if memory and bench.device.type == "cuda":
        for name, step in bench.steps.items():
            torch.cuda.reset_peak_memory_stats(bench.device)
            step()
            peaks[name] = peak_memory_mb(bench.device)
    del bench
    if memory and setup.device == "cpu":
        peaks = {name: peak_memory_alone_mb(step_alone, setup, name) for name in timings}
    flops, first = step_flops(setup), next(iter(timings.values()))
    rows: list[TrainingRow | ImpossibleRow] = [
        TrainingRow(
            name, timing, first.median_s / timing.median_s, setup.batch / timing.median_s, peaks[name], flops,
            flops / timing.median_s / (peak.float32 if name.endswith("fp32") else peak.bfloat16),
        )
        for name, timing in timings.items()
    ]  # fmt: skip
    if "ours bf16" not in timings:
        rows.append(ImpossibleRow("ours bf16"))
    return TrainingResult(rows, agreement)


def benchmark(config: DictConfig, peak: MatmulPeak, on_round: Callable[[int], None]) -> Measured:
    """Measure what configs/benchmark.yaml asks for."""
    system: Any = OmegaConf.to_container(config.system, resolve=True)
    setup = TrainingSetup(system, batch=config.batch or 6, device=config.device, compile=config.compile)
    result = measure_training(setup, config.repeats, peak, config.check, config.memory, on_round)
    notes = [
        f"One training step of batch {setup.batch}: forward, backward, update. Variants took turns, {config.repeats} rounds, "
        "on the same weights; memory: each alone in a process. The stock rows have two AdamW and attention spelled out, as "
        "the published script has."
    ]
    if result.agreement:
        found = result.agreement
        notes.append(
            f"Same weights, noise and dropped rows, in float32: loss {found.stock_loss:.6f} (stock) and {found.our_loss:.6f} "
            f"(ours); gradients differ by {found.gradient_difference:.1e} of their norm."
        )
    agreement = asdict(result.agreement) if result.agreement else None
    return Measured(result.rows, notes, {"setup": asdict(setup), "repeats": config.repeats, "agreement": agreement})
