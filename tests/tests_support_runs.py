"""What the tests of whole runs share: tiny settings, scripts in this process and in others, deterministic noise.

A new interpreter takes many seconds of a processor until it has loaded PyTorch and Lightning. Other processes are copies of one
that has loaded them and done nothing else; a copy of this process could wait for ever for a thread that it does not have.
"""

import faulthandler
import io
import multiprocessing
import os
import pickle
import runpy
import signal
import socket
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any
from unittest import mock

import lightning
import torch
from jaxtyping import Float
from lightning_utilities.core.rank_zero import rank_zero_only
from torch import Tensor, nn

from d2m.audio.pretrained import load_dmae
from d2m.data.encode import encode_latents
from d2m.data.layout import DataSetLayout
from d2m.diffusion import processes as schedule
from d2m.diffusion.objectives import NoisyExample, VelocityObjective

ROOT = Path(__file__).parents[1]
TINY = [
    "system.unet.channels=[16,16,16,16]",
    "system.unet.items=[1,1,1,1]",
    "system.unet.modulation_features=16",
    "system.conditioner.encoder.channels=32",
    "system.conditioner.encoder.dilations=[1,2]",
    "trainer.precision=32-true",
    "trainer.log_every_n_steps=1",
    "trainer.accelerator=cpu",
    "~callbacks.beats",
]


def encoded(root: Path) -> Path:
    """The two-clip data set with its latents, made once."""
    layout = DataSetLayout(root)
    if not layout.latent_folder("demo").exists():
        encode_latents(layout, layout.names("train"), load_dmae("demo"))
    return root


def overrides(root: Path, out: Path, *more: str) -> list[str]:
    """Hydra overrides of a tiny run."""
    return ["experiment=demo", f"data.root={root}", f"out={out}", *TINY, *more]


@dataclass(frozen=True)
class Ran:
    """How a script ended, and what it printed; as `subprocess.CompletedProcess`."""

    returncode: int
    stdout: str
    stderr: str


def script(name: str, *settings: str, threads: int = 1) -> Ran:
    """`python scripts/NAME.py SETTINGS` in this process, which has loaded everything already: a start costs many seconds."""
    stdout, stderr, code, before = io.StringIO(), io.StringIO(), 0, torch.get_num_threads()
    with ExitStack() as stack:
        stack.enter_context(mock.patch.object(sys, "argv", [f"{name}.py", *settings]))
        stack.enter_context(mock.patch.object(sys, "path", list(sys.path)))
        stack.enter_context(mock.patch.dict(os.environ))
        stack.callback(torch.set_num_threads, before)
        stack.enter_context(redirect_stdout(stdout))
        stack.enter_context(redirect_stderr(stderr))
        torch.set_num_threads(threads)
        try:
            runpy.run_path(str(ROOT / "scripts" / f"{name}.py"), run_name="__main__")
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
    return Ran(code, stdout.getvalue(), stderr.getvalue())


COPIES = multiprocessing.get_context("forkserver")
COPIES.set_forkserver_preload(["d2m.training.run", "d2m.pipeline", "d2m.data.datamodule", "d2m.data.encode"])

ENDS_WITHIN_S = 400
"""No process of a test takes longer, also on a busy machine; what does waits for something that will not come."""


def apart(function: Callable[..., Any], *arguments: Any) -> BaseProcess:
    """Start a function of a module in another process."""
    process = COPIES.Process(target=_traceable, args=(function, *arguments), daemon=True)
    process.start()
    return process


def _traceable(function: Callable[..., Any], *arguments: Any) -> None:
    faulthandler.register(signal.SIGUSR1)
    function(*arguments)


def ended(process: BaseProcess, within_s: float = ENDS_WITHIN_S) -> int:
    """Wait for a process that was started with `apart`: its exit code.

    Raises:
        TimeoutError: when it does not end, after it has said where it waits; it is killed.
    """
    process.join(within_s)
    if process.exitcode is None:
        os.kill(process.pid or 0, signal.SIGUSR1)
        process.join(2)
        process.kill()
        process.join()
        raise TimeoutError(f"process {process.pid} has not ended within {within_s:.0f} s")
    return process.exitcode


def script_in_ranks(folder: Path, name: str, *settings: str, ranks: int = 2) -> list[Ran]:
    """`torchrun --nproc_per_node=RANKS scripts/NAME.py SETTINGS` without its launcher; what they say, through files in `folder`."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    files = [folder / f"rank{rank}.pkl" for rank in range(ranks)]
    running = [apart(_in_rank, file, rank, ranks, port, name, settings) for rank, file in enumerate(files)]
    deadline_s = time.monotonic() + ENDS_WITHIN_S
    try:
        while any(process.is_alive() for process in running) and not any(process.exitcode for process in running):
            assert time.monotonic() < deadline_s
            time.sleep(0.1)
    finally:
        for process in running:  # where one has failed, the others wait for it
            process.kill()
            process.join()
    return [pickle.loads(file.read_bytes()) for file in files if file.exists()]


def _in_rank(file: Path, rank: int, ranks: int, port: int, name: str, settings: tuple[str, ...]) -> None:
    told = {
        "RANK": rank, "LOCAL_RANK": rank, "GROUP_RANK": 0, "WORLD_SIZE": ranks, "LOCAL_WORLD_SIZE": ranks,
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "TORCHELASTIC_RUN_ID": "test",
        "TORCHELASTIC_USE_AGENT_STORE": False,
    }  # fmt: skip
    os.environ.update({key: str(value) for key, value in told.items()})
    rank_zero_only.rank = rank  # read from there when Lightning is loaded
    ran = script(name, *settings)
    file.write_bytes(pickle.dumps(ran))
    sys.exit(ran.returncode)


@dataclass(frozen=True)
class NoiseOfTheRow(VelocityObjective):
    """Noise and noise level of a row are made of the row itself, so that they do not depend on how a batch is shared out."""

    def example(
        self, x0: Float[Tensor, "batch channel frame"], generator: torch.Generator | None = None
    ) -> NoisyExample:
        """A fixed scramble of the latent, and a level between 0.2 and 0.8."""
        noise = torch.sin(40 * x0.roll(7, dims=-1))
        sigma = 0.5 + 0.3 * torch.sin(x0.sum(dim=(1, 2)))
        return NoisyExample(schedule.add_noise(x0, noise, sigma), sigma, schedule.velocity(x0, noise, sigma))


class WithoutDropout(lightning.Callback):
    """Dropout masks depend on how a batch is shared out: none here."""

    def on_fit_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        for module in pl_module.modules():
            if isinstance(module, nn.Dropout | nn.Dropout1d):
                module.p = 0.0
