"""What a benchmark leaves behind: the machine it ran on, a table to read, a Markdown file and a JSON file."""

import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch

from benchmark.flops import MatmulPeak
from d2m.core.files import atomic_write, writable_folder


@runtime_checkable
class Row(Protocol):
    """A line of a table: a dataclass that can say its cells by column title."""

    def cells(self) -> dict[str, str]:
        """Text by column title."""
        ...


@dataclass(frozen=True)
class ImpossibleRow:
    """A variant that this machine cannot run."""

    name: str
    reason: str = "not possible here"

    def cells(self) -> dict[str, str]:
        """The reason, in every cell but the first."""
        return {"": self.reason}


@dataclass(frozen=True)
class Measured:
    """What a benchmark found: rows of one kind, sentences below their table, and more for the JSON file."""

    rows: Sequence[Row]
    notes: Sequence[str]
    details: Mapping[str, Any]


@dataclass(frozen=True)
class Machine:
    """What the numbers were measured on.

    Args:
        cores: logical cores that this process may use. load_average: of the last minute, before the run.
        peak: best matrix product.
    """

    processor: str
    cores: int
    threads: int
    gpu: str | None
    memory_gb: float | None
    torch_version: str
    python_version: str
    date_utc: str
    load_average: float | None
    peak: MatmulPeak

    def sentence(self) -> str:
        """The machine in one line."""
        gpu = f", {self.gpu}" if self.gpu else ""
        load = "" if self.load_average is None else f", load {self.load_average:.1f}"
        return (
            f"{self.processor}, {self.cores} cores, {self.threads} threads{gpu}; torch {self.torch_version}; matrix products "
            f"at best {self.peak.float32 / 1e9:.0f} GFLOP/s in float32, {self.peak.bfloat16 / 1e9:.0f} in bfloat16; "
            f"{self.date_utc}{load}"
        )


def this_machine(device: torch.device, peak: MatmulPeak) -> Machine:
    """Describe the machine that this runs on."""
    return Machine(
        processor=_processor(),
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        threads=torch.get_num_threads(),
        gpu=torch.cuda.get_device_name(device) if device.type == "cuda" else None,
        memory_gb=_memory_gb(),
        torch_version=torch.__version__,
        python_version=platform.python_version(),
        date_utc=datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        load_average=round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        peak=peak,
    )


def markdown_table(rows: Sequence[Row]) -> str:
    """A Markdown table, numbers to the right, columns of one width."""
    cells = [row.cells() for row in rows]
    titles = list(cells[0])  # of the stock packages, which run everywhere
    for number, row in enumerate(rows):
        if isinstance(row, ImpossibleRow):
            cells[number] = dict.fromkeys(titles, "") | {titles[0]: row.name, titles[1]: row.reason}
    widths = [max(len(title), *(len(line[title]) for line in cells)) for title in titles]
    lines = [
        " | ".join(title.ljust(width) for title, width in zip(titles, widths, strict=True)),
        " | ".join(("-" * width) if i == 0 else ("-" * (width - 1) + ":") for i, width in enumerate(widths)),
    ]
    for line in cells:
        first, *rest = zip(titles, widths, strict=True)
        texts = [line[first[0]].ljust(first[1]), *(line[title].rjust(width) for title, width in rest)]
        lines.append(" | ".join(texts))
    return "\n".join(f"| {line} |" for line in lines)


def write_report(folder: str | Path, name: str, machine: Machine, measured: Measured) -> str:
    """Write `NAME.json` and `NAME.md` into `folder`, made where it does not exist; returns the Markdown."""
    folder = writable_folder(folder)
    text = "\n\n".join([markdown_table(measured.rows), machine.sentence() + ".", *measured.notes]) + "\n"
    rows = [asdict(row) for row in measured.rows]  # pyright: ignore[reportArgumentType, reportCallIssue]
    content = {"machine": asdict(machine), **measured.details, "rows": rows}
    with atomic_write(folder / f"{name}.json") as temporary:
        temporary.write_text(json.dumps(content, indent=2))
    with atomic_write(folder / f"{name}.md") as temporary:
        temporary.write_text(text)
    return text


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        names = [
            line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if line.startswith("model name")
        ]
        if names:
            return names[0]
    return platform.processor() or platform.machine()


def _memory_gb() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1)
    except (AttributeError, ValueError, OSError):
        return None
