"""Which windows a process sees at which step, right with several processes, gradient accumulation and resume.

Window number n of a seed is always the same window (`d2m.data.dataset.ClipWindows`), so the numbers are all that has to be
right: batch k of a run consists of windows k·B·W to (k+1)·B·W, of which process r takes the r-th B, for W processes of
batch size B. One process of batch size B·W sees the same batches, and a resumed run goes on with the next one.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from lightning import Trainer
from torch.utils.data import DistributedSampler


@dataclass(frozen=True)
class Position:
    """Where a run has got to.

    Args:
        batches: batches that each process has had; with gradient accumulation several make a step.
        process: number of this process.
        processes: processes that share a batch.
    """

    batches: int = 0
    process: int = 0
    processes: int = 1


def position_of(trainer: Trainer | None) -> Position:
    """Position of a Lightning run, from the steps it has completed; its start where there is no trainer."""
    if trainer is None:
        return Position()
    done = trainer.global_step * accumulated_batches(trainer)
    return Position(done, trainer.global_rank, trainer.world_size)


def accumulated_batches(trainer: Trainer | None) -> int:
    """Batches whose gradients make one step."""
    return 1 if trainer is None else int(trainer.accumulate_grad_batches)


class ResumableSampler(DistributedSampler):
    """Window numbers of one epoch, counted on from where the run is when the epoch (or a resumed part of it) begins.

    It is a `DistributedSampler` so that Lightning takes it as it is: any other sampler it would wrap in one, which would
    share out numbers that are shared out already.

    Args:
        batch_size: windows in a process's batch.
        batches: batches in an epoch.
        position: called at the start of an epoch.
    """

    def __init__(self, batch_size: int, batches: int, position: Callable[[], Position]) -> None:
        # the base class would ask torch.distributed, which may not have started, for what `position` says
        self.batch_size, self.batches, self.position = batch_size, batches, position

    def __len__(self) -> int:
        return self.batch_size * self.batches

    def __iter__(self) -> Iterator[int]:
        at = self.position()
        for batch in range(at.batches, at.batches + self.batches):
            first = (batch * at.processes + at.process) * self.batch_size
            yield from range(first, first + self.batch_size)

    def set_epoch(self, epoch: int) -> None:
        """Nothing depends on the epoch's number."""
