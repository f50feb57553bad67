"""Timing that a loaded machine cannot bend to one side: variants take turns, and medians are compared."""

import gc
import multiprocessing
import resource
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path

import torch


@dataclass(frozen=True)
class Timing:
    """Wall-clock seconds of repeated runs."""

    median_s: float
    min_s: float
    max_s: float
    runs: int

    @staticmethod
    def of(seconds: list[float]) -> "Timing":
        """Summary of at least one run."""
        return Timing(statistics.median(seconds), min(seconds), max(seconds), len(seconds))

    def times(self, count: int) -> "Timing":
        """What `count` such runs one after the other would take."""
        return Timing(self.median_s * count, self.min_s * count, self.max_s * count, self.runs)

    def plus(self, other: "Timing") -> "Timing":
        """This followed by the other."""
        return Timing(
            self.median_s + other.median_s,
            self.min_s + other.min_s,
            self.max_s + other.max_s,
            min(self.runs, other.runs),
        )


def synchronise(device: torch.device) -> None:
    """Wait until the device has done what it was asked; nothing on a CPU."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def interleaved(
    variants: Mapping[str, Callable[[], object]],
    repeats: int,
    device: torch.device | None = None,
    warmup: int = 1,
    on_round: Callable[[int], None] | None = None,
) -> dict[str, Timing]:
    """Time every variant once a round, in an order that moves on by one each round.

    Args:
        variants: what to time, by name.
        repeats: rounds that count, at least 1.
        device: waited for before and after every run.
        warmup: rounds before them that do not count.
        on_round: called after every round with its number, from 1 (warm-up rounds not counted).
    """
    if repeats < 1:
        raise ValueError(f"timing needs at least one round, not {repeats}.")
    device, names = device or torch.device("cpu"), list(variants)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for number in range(-warmup, repeats):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            synchronise(device)
            started = time.perf_counter()
            variants[name]()
            synchronise(device)
            if number >= 0:
                seconds[name].append(time.perf_counter() - started)
        if on_round and number >= 0:
            on_round(number + 1)
    return {name: Timing.of(runs) for name, runs in seconds.items()}


def peak_memory_mb(device: torch.device | None = None) -> float:
    """High-water mark of this process's resident memory, or of the GPU's allocations, in 10^6 bytes."""
    if device is not None and device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    status = Path("/proc/self/status")
    if status.is_file():  # getrusage would count what the parent held when this process was forked off
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024 / 1e6
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def _measured(make: Callable[..., Callable[[], object]], arguments: tuple, runs: int, threads: int) -> float:
    torch.set_num_threads(threads)
    run = make(*arguments)
    gc.collect()
    for _ in range(runs):
        run()
    return peak_memory_mb()


def peak_memory_alone_mb(make: Callable[..., Callable[[], object]], *arguments: object, runs: int = 2) -> float | None:
    """Peak resident memory of a fresh process that builds one variant and runs it.

    Args:
        make: a function of a module; `make(*arguments)` builds the variant and returns what runs it once.
        arguments: anything that can be pickled.
        runs: how often it is run.

    Returns:
        10^6 bytes, or None where the process was killed.
    """
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        try:
            return pool.submit(_measured, make, arguments, runs, torch.get_num_threads()).result()
        except BrokenProcessPool:
            return None
