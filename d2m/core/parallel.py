"""A map over processes, and how processes are started."""

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from multiprocessing.context import BaseContext
from typing import TypeVar

from tqdm import tqdm

from d2m.core.errors import BadConfig

Job = TypeVar("Job")
Result = TypeVar("Result")
_QUEUED_PER_PROCESS = 4


def process_context(*modules: str) -> BaseContext:
    """How processes are started: on Linux as copies of one that has loaded `modules` and done nothing.

    A copy of a process that has worked would wait for ever for threads that it does not have. The first call of a process decides
    what its copies have loaded; the rest each loads itself.
    """
    if sys.platform != "linux":
        return multiprocessing.get_context("spawn")
    copies = multiprocessing.get_context("forkserver")
    copies.set_forkserver_preload(list(modules))
    return copies


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
    module = (work.func if isinstance(work, partial) else work).__module__
    pool = ProcessPoolExecutor(processes, process_context(module), initializer=_start_worker)
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
