"""Times taken in turns, work, memory, and the table, Markdown file and JSON file that a benchmark leaves behind."""

import gc
import json
import multiprocessing
import os
import platform
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from datetime import datetime, timezone
from math import prod
from pathlib import Path
from typing import Any

import torch
from torch.utils.benchmark import Measurement, TaskSpec, Timer, timer
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count

from d2m.core.files import atomic_write, writable_folder
from d2m.models import onednn

Columns = Mapping[str, Callable[[Mapping[str, Any]], str]]
"""Titles of a table after the variant's name, and what stands in each of a row."""

IMPOSSIBLE = "not possible here"


@dataclass(frozen=True)
class Measured:
    """Rows (a `name`, then numbers, or `reason` where a variant cannot run here), their table, sentences, more for the JSON."""

    rows: Sequence[Mapping[str, Any]]
    columns: Columns
    notes: Sequence[str]
    details: Mapping[str, Any]


def in_turns(
    runs: Mapping[str, Callable[[], object]],
    repeats: int,
    warmup: int = 1,
    on_round: Callable[[], object] = lambda: None,
) -> dict[str, Measurement]:
    """Time everything once a round, in an order that moves on by one, so that a loaded machine favours no variant.

    Args:
        runs: what to time, by name.
        repeats: rounds that count, at least 1; warmup: rounds before them.
        on_round: called after each round that counts.
    """
    names, seconds = list(runs), {name: [] for name in runs}
    for number in range(-warmup, repeats):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            started = timer()  # waits for a GPU
            runs[name]()
            seconds[name].append(timer() - started)
        if number >= 0:
            on_round()
    threads = torch.get_num_threads()
    tasks = {name: TaskSpec(stmt=name, setup="", num_threads=threads) for name in names}
    return {name: Measurement(1, seconds[name][warmup:], tasks[name]) for name in names}


def total(parts: Sequence[tuple[Measurement, int]]) -> dict[str, float]:
    """Seconds of parts that are done so and so many times."""
    of = {"median_s": lambda part: part.median, "min_s": lambda part: min(part.times), "max_s": lambda p: max(p.times)}
    return {name: sum(count * value(part) for part, count in parts) for name, value in of.items()}


def counted_flops(run: Callable[[], object]) -> int:
    """Floating-point operations of the matrix products, convolutions and attentions in `run` (2 per multiply-add)."""
    aten = torch.ops.aten
    unknown_to_pytorch: dict[Any, Any] = {
        aten._scaled_dot_product_flash_attention_for_cpu: lambda q, k, v, *_, **__: sdpa_flop_count(q, k, v),
        aten._scaled_dot_product_flash_attention_for_cpu_backward: lambda gradient, q, k, v, *_, **__: (
            sdpa_backward_flop_count(gradient, q, k, v)
        ),
    }
    if onednn.has_onednn():
        unknown_to_pytorch[torch.ops.mkldnn._linear_pointwise] = lambda x, w, *_, **__: 2 * prod(x) * w[0]
    with FlopCounterMode(display=False, custom_mapping=unknown_to_pytorch) as counter:
        run()
    return counter.get_total_flops()


@torch.no_grad()
def matmul_peak(device: torch.device, size: int = 2048) -> dict[str, float]:
    """Operations per second of a large square product: the most that this machine can do.

    Returns:
        `float32`, and `bfloat16` where it is built in: elsewhere one product takes minutes.
    """
    peak = {}
    for dtype in (torch.float32, torch.bfloat16)[: 2 if device.type != "cpu" or onednn.has_bfloat16() else 1]:
        a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
        ways = ["torch.mm(a, b)"] + ["linear(a, b)"] * (dtype == torch.float32)
        scope = {"a": a, "b": b, "linear": onednn.linear}
        timers = [Timer(way, globals=scope, num_threads=torch.get_num_threads()) for way in ways]
        peak[str(dtype).removeprefix("torch.")] = 2 * size**3 / min(one.timeit(3).median for one in timers)
    return peak


def _high_water_mark_mb(make: Callable[..., Callable[[], object]], arguments: tuple, threads: int) -> float:
    torch.set_num_threads(threads)
    run = make(*arguments)
    gc.collect()
    for _ in range(2):
        run()
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024 / 1e6


def peak_memory_alone_mb(make: Callable[..., Callable[[], object]], *arguments: object) -> float | None:
    """Largest resident memory of a fresh process that makes one variant and runs it twice, in 10^6 bytes.

    Args:
        make: a function of a module; `make(*arguments)` returns what runs the variant.
        arguments: anything that can be pickled.

    Returns:
        None where the process was killed, or where the system does not say.
    """
    if not Path("/proc/self/status").is_file():
        return None
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        try:
            return pool.submit(_high_water_mark_mb, make, arguments, torch.get_num_threads()).result()
        except BrokenProcessPool:
            return None


def this_machine(device: torch.device, peak: Mapping[str, float]) -> dict[str, Any]:
    """What the numbers were measured on; `load_average` is that of the last minute, before the run."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return {
        "processor": names[0] if names else platform.processor() or platform.machine(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name(device) if device.type == "cuda" else None,
        "torch_version": torch.__version__,
        "python_version": platform.python_version(),
        "date_utc": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "load_average": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "peak": dict(peak),
    }


def markdown_table(name: str, measured: Measured) -> str:
    """A Markdown table, numbers to the right, columns of one width."""
    cells = [[name, *measured.columns]]
    for row in measured.rows:
        values = [row["reason"]] if "reason" in row else [value(row) for value in measured.columns.values()]
        cells.append([row["name"], *values, *[""] * (len(measured.columns) - len(values))])
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    cells.insert(1, ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])])
    padded = [
        [line[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True))]
        for line in cells
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in padded)


def write_report(folder: str | Path, name: str, machine: Mapping[str, Any], measured: Measured) -> str:
    """Write `NAME.json` and `NAME.md` into `folder`, made where it does not exist; returns the Markdown."""
    folder, peak = writable_folder(folder), machine["peak"]
    low = f"{peak['bfloat16'] / 1e9:.0f} in bfloat16" if "bfloat16" in peak else "bfloat16 is not built in"
    sentence = (
        f"{machine['processor']}, {machine['cores']} cores, {machine['threads']} threads"
        f"{', ' + machine['gpu'] if machine['gpu'] else ''}; torch {machine['torch_version']}; matrix products at best "
        f"{peak['float32'] / 1e9:.0f} GFLOP/s in float32, {low}; "
        f"{machine['date_utc']}, load {machine['load_average']}."
    )
    text = "\n\n".join([markdown_table(name, measured), sentence, *measured.notes]) + "\n"
    content = {"machine": machine, **measured.details, "rows": measured.rows}
    for ending, written in (("json", json.dumps(content, indent=2)), ("md", text)):
        with atomic_write(folder / f"{name}.{ending}") as temporary:
            temporary.write_text(written)
    return text
