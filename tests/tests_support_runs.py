"""What the tests of whole training runs share: tiny settings, commands that start real processes, deterministic noise."""

import io
import os
import runpy
import sys
from contextlib import ExitStack, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import lightning
import torch
from jaxtyping import Float
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


def command(launcher: list[str], settings: list[str]) -> list[str]:
    """A real training process: `python [launcher] scripts/train.py settings`, on one thread."""
    return [sys.executable, *launcher, str(ROOT / "scripts" / "train.py"), *settings, "threads=1"]


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


def environment() -> dict[str, str]:
    """For training processes: they find this module, and share few cores."""
    paths = [str(ROOT / "tests"), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


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
