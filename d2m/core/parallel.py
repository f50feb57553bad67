"""One piece of work for many names, spread over processes."""

import multiprocessing
from collections.abc import Callable, Sequence

from tqdm import tqdm


def spread(work: Callable[[str], None], todo: Sequence[str], processes: int, doing: str) -> None:
    """Do the work for every name, with a progress bar.

    Args:
        work: picklable.
        todo: names.
        processes: 1 works in this process.
        doing: what the bar says.
    """
    with tqdm(total=len(todo), desc=doing, unit="dance", disable=not todo) as progress:
        if processes == 1 or len(todo) < 2:
            for name in todo:
                work(name)
                progress.update()
            return
        with multiprocessing.get_context("spawn").Pool(min(processes, len(todo))) as pool:
            for _ in pool.imap_unordered(work, todo):
                progress.update()
