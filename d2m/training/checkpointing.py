"""What a run keeps and how it stops: random numbers by step, checkpoints written whole, signals that end it cleanly."""

import os
import random
import signal
import sys
import threading
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.plugins.io import TorchCheckpointIO
from lightning.pytorch.trainer.states import TrainerFn

from d2m.core.checkpoint import averaged_weights
from d2m.core.errors import BadConfig
from d2m.core.files import atomic_write
from d2m.training.ema import EMA


def seed_step(seed: int, step: int, batch: int, rank: int) -> None:
    """Seed Python, NumPy and PyTorch (every device) for one batch; the four numbers are mixed by `SeedSequence`."""
    for_numpy, for_python, for_torch = np.random.SeedSequence((seed, step, batch, rank)).generate_state(3)
    np.random.seed(int(for_numpy))
    random.seed(int(for_python))
    torch.manual_seed(int(for_torch))


class StepSeeds(lightning.Callback):
    """Seeds all random numbers of a training batch from (run's seed, optimiser step, batch of the epoch, rank).

    Noise, noise levels, augmentation and dropout of a step are then the same whether the run was killed before it or not, and
    different on every rank; nothing has to be stored, gathered from ranks or restored in the right moment. Which
    windows a batch holds is decided elsewhere, by their number (`d2m.data`).

    Args:
        seed: of the run.
    """

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed

    def on_train_batch_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """After the batch was drawn, before it is used."""
        seed_step(self.seed, trainer.global_step, batch_idx, trainer.global_rank)


class StopRequest:
    """Remembers that a signal asked the training to stop; the second Ctrl-C interrupts at once.

    SIGINT is Ctrl-C, SIGTERM is what most clusters send first. A SLURM job that `sbatch --signal=SIGUSR1@120` warns before its
    time is up is put back into the queue by Lightning, and SLURM then ends it by SIGTERM.

    Args:
        every_n_steps: in a training of several processes they agree on stopping only every so many steps, because
            it costs a message.
    """

    SIGNALS = (signal.SIGINT, signal.SIGTERM)

    def __init__(self, every_n_steps: int = 20) -> None:
        self.every_n_steps = every_n_steps
        self.signal: int | None = None
        self._before: dict[int, Any] = {}

    def listen(self) -> None:
        """Take over the signals, in the main thread (elsewhere Python does not allow it)."""
        if threading.current_thread() is threading.main_thread() and not self._before:
            self._before = {number: signal.signal(number, self._remember) for number in self.SIGNALS}

    def restore(self) -> None:
        """Give the signals back."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def _remember(self, number: int, frame: Any) -> None:
        if self.signal is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.signal = number

    def agreed(self, trainer: lightning.Trainer) -> bool:
        """Whether to stop after this step; the same answer in every process."""
        if trainer.world_size == 1:
            return self.signal is not None
        if trainer.global_step % self.every_n_steps:
            return False
        return trainer.strategy.reduce_boolean_decision(self.signal is not None, all=False)


def write_checkpoint(content: dict[str, Any], path: Path) -> None:
    """Write `content` whole and onto the disk before it takes the name `path`; a previous file stays until then.

    Raises:
        BadConfig: when it cannot be written (a full disk).
    """
    try:
        with atomic_write(path) as temporary, open(temporary, "wb") as file:
            torch.save(content, file)
            file.flush()
            os.fsync(file.fileno())
    except (OSError, RuntimeError) as error:  # PyTorch's zip writer hides the reason in a RuntimeError
        cause = error if isinstance(error, OSError) else error.__context__
        reason = cause.strerror if isinstance(cause, OSError) else str(error).splitlines()[0][:120]
        kept = "the previous checkpoint is untouched" if path.exists() else "there is no earlier one"
        raise BadConfig(
            f"{path}: the checkpoint of step {content.get('global_step')} could not be written ({reason}), {kept}; "
            "free some space and run the same command again."
        ) from error


class WholeFileIO(TorchCheckpointIO):
    """Lightning's checkpoint files, written whole or not at all, without a second copy in memory."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """See `write_checkpoint`."""
        write_checkpoint(checkpoint, Path(path))


class LastCheckpoint(Checkpoint):
    """Keeps `last.ckpt`: every so many optimiser steps, at the end, and when asked to stop.

    It is only ever written right after an optimiser step, never within one nor between accumulated gradients: weights, average,
    moments and counters then belong together, and the run that goes on from it is the run that was never stopped.
    After an error within a step the checkpoint before it stays.

    Args:
        folder: where it is kept.
        every_n_steps: optimiser steps from one to the next.
        stop: tells that the training was asked to stop.
    """

    def __init__(self, folder: Path, every_n_steps: int = 500, stop: StopRequest | None = None) -> None:
        self.path, self.every_n_steps, self.stop = folder / "last.ckpt", every_n_steps, stop
        self._step = 0

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Count from where the trainer begins; remove what a killed run had begun to write."""
        self._step = trainer.global_step
        if trainer.is_global_zero:
            for part in self.path.parent.glob(".*.ckpt"):
                part.unlink(missing_ok=True)
        if self.stop:
            self.stop.listen()

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save after an optimiser step, where it is time to."""
        if trainer.global_step == self._step:
            return
        self._step = trainer.global_step
        asked = self.stop is not None and self.stop.agreed(trainer)
        if asked or self._step % self.every_n_steps == 0 or self._finishes(trainer):
            trainer.save_checkpoint(self.path)
        if asked:
            self._leave(trainer)

    @staticmethod
    def _finishes(trainer: lightning.Trainer) -> bool:
        last_epoch = trainer.max_epochs is not None and trainer.current_epoch + 1 == trainer.max_epochs
        last_batch = trainer.fit_loop.epoch_loop._num_ready_batches_reached()
        return trainer.should_stop or trainer.global_step == trainer.max_steps or (last_epoch and last_batch)

    def _leave(self, trainer: lightning.Trainer) -> None:
        assert self.stop is not None
        if trainer.is_global_zero:
            print(
                f"stopped after step {self._step}; {self.path} is written, the same command goes on from there.",
                file=sys.stderr,
            )
        raise SystemExit(128 + (self.stop.signal or 15))

    def on_train_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Signals mean again what they meant before: here, as Lightning restores its own before it calls `teardown`."""
        if self.stop:
            self.stop.restore()

    def on_exception(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, exception: BaseException
    ) -> None:
        """The same, after an error."""
        if self.stop:
            self.stop.restore()


class BestCheckpoint(Checkpoint):
    """Keeps `best.ckpt`: the averaged weights and the config, without optimiser, of the best validation so far.

    Args:
        folder: where it is kept.
        monitor: logged value that decides, `val/loss` or `val/beat_f`.
        mode: `min` or `max`: which is better.
    """

    def __init__(self, folder: Path, monitor: str = "val/loss", mode: str = "min") -> None:
        if mode not in ("min", "max"):
            raise BadConfig(f"checkpoint.mode: found '{mode}', expected min or max.")
        self.path, self.monitor, self.mode = folder / "best.ckpt", monitor, mode
        self.score: float | None = None

    def state_dict(self) -> dict[str, Any]:
        """The best value so far; a resumed run goes on from it."""
        return {"monitor": self.monitor, "mode": self.mode, "score": self.score}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Values of another quantity are not comparable and are forgotten."""
        if (state_dict["monitor"], state_dict["mode"]) == (self.monitor, self.mode):
            self.score = state_dict["score"]

    def on_validation_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Write where the validation was better than all before; rank 0 decides for all.

        Raises:
            BadConfig: in the sanity check before training, when no validation will log the monitored value.
        """
        if trainer.state.fn != TrainerFn.FITTING:
            return
        metrics, callbacks = trainer.callback_metrics, getattr(trainer, "callbacks", [])
        promised = {name for callback in callbacks for name in getattr(callback, "promised", ())}
        known = {name for name in metrics if name.startswith("val/")} | promised
        if self.monitor not in (known if trainer.sanity_checking else metrics):
            listed = ", ".join(sorted(known))
            raise BadConfig(f"checkpoint.monitor: found no value '{self.monitor}', expected one of {listed}.")
        if trainer.sanity_checking:
            return
        score = float(metrics[self.monitor])
        better = self.score is None or (score < self.score if self.mode == "min" else score > self.score)
        if not trainer.strategy.broadcast(better):
            return
        self.score = score
        state = trainer.strategy.lightning_module_state_dict()
        averages = [callback.full_average() for callback in callbacks if isinstance(callback, EMA)]
        if not trainer.is_global_zero:
            return
        average = {"EMA": {"average": averages[0]}} if averages else {}
        content = {"state_dict": averaged_weights({"state_dict": state, "callbacks": average})}
        content |= {"global_step": trainer.global_step, "score": {self.monitor: score}}
        pl_module.on_save_checkpoint(content)
        write_checkpoint(content, self.path)
