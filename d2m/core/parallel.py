"""A map over processes."""

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from tqdm import tqdm

from d2m.core.errors import BadConfig

Job = TypeVar("Job")
Result = TypeVar("Result")
_QUEUED_PER_PROCESS = 4


def parallel_map(
    work: Callable[[Job], Result], jobs: Sequence[Job], processes: int, doing: str, unit: str = "dance"
) -> list[Result]:
    """Do the work for every job, with a progress bar.

    An error or an interruption stops it: jobs that run are ended in order, and those not yet begun are dropped.

    Args:
        work: picklable, as are its jobs and results.
        jobs: what `work` is called with.
        processes: 1 works in this process.
        doing: what the bar says.
        unit: what the bar counts.

    Returns:
        The results, in the order in which they were ready.

    Raises:
        BadConfig: when a process dies.
    """
    alone = processes == 1 or len(jobs) < 2
    results = map(work, jobs) if alone else _in_processes(work, jobs, min(processes, len(jobs)))
    return list(tqdm(results, total=len(jobs), desc=doing, unit=unit, disable=not jobs))


def _in_processes(work: Callable[[Job], Result], jobs: Sequence[Job], processes: int) -> Iterator[Result]:
    """Few jobs are queued at a time, so that an error stops the map soon."""
    todo, running = iter(jobs), set[Future[Result]]()
    pool = ProcessPoolExecutor(processes, multiprocessing.get_context("spawn"), initializer=_start_worker)
    try:
        while True:
            while len(running) < processes * _QUEUED_PER_PROCESS and (job := next(todo, None)) is not None:
                running.add(pool.submit(work, job))
            if not running:
                return
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                yield future.result()
    except BrokenProcessPool as error:
        raise BadConfig(
            "a worker process died, perhaps for want of memory; what is finished is kept: run the same command again "
            "with processes=1 (dataset.prepare.processes=1 of scripts/prepare.py)."
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _start_worker() -> None:
    """Workers share the cores among themselves, and leave an interruption to the parent, which lets them end their job."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ["OMP_NUM_THREADS"] = "1"  # read by PyTorch when the work imports it
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
