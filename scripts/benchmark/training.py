"""What a training step of the published model costs: the published script's, with stock packages, against ours.

All variants work on the same weights and the same state of the optimiser, so that memory holds one model; each step is a
whole one: forward, backward, both parts' weights updated.
"""

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from benchmark.measure import IMPOSSIBLE, Measured, counted_flops, in_turns, peak_memory_alone_mb, total
from benchmark.stock import MASK_PROBABILITY, StockSystem
from d2m.diffusion import processes as schedule
from d2m.models import onednn
from d2m.models.conditioner import MotionWindow
from d2m.systems.latent_diffusion import LatentDiffusion
from d2m.systems.training_system import genre_loss

Step = Callable[[], Tensor]


@dataclass(frozen=True)
class TrainingSetup:
    """What is trained and on what.

    Args:
        system: the published system's configuration (`configs/system/published.yaml`).
        batch, motion_frames, latent_frames: shape of a batch.
        device: `cpu`, `cuda` …
        compile: whether ours is also measured with `torch.compile`.
    """

    system: Mapping[str, Any]
    batch: int = 6
    motion_frames: int = 356
    latent_frames: int = 256
    device: str = "cpu"
    compile: bool = False


class TrainingWorkbench:
    """The variants' steps, by name: `stock fp32` first, then ours.

    Args:
        setup: what is trained.
        only: build this variant alone (to measure its memory); None: all of them, sharing weights and state.
    """

    def __init__(self, setup: TrainingSetup, only: str | None = None) -> None:
        torch.manual_seed(0)
        self.setup, self.device = setup, torch.device(setup.device)
        generator = torch.Generator().manual_seed(0)
        latent_shape = (setup.batch, setup.system["unet"]["in_channels"], setup.latent_frames)
        batch = {
            "features": torch.randn((setup.batch, setup.motion_frames, 219), generator=generator),
            "latent": torch.rand(latent_shape, generator=generator).mul(2).sub(1),
            "genre": torch.randint(0, 10, (setup.batch,), generator=generator),
        }
        self.batch = {name: tensor.to(self.device) for name, tensor in batch.items()}
        self.steps: dict[str, Step] = {}
        if only is None or only.startswith("stock"):
            self._add_stock()
        if only is None or only.startswith("ours"):
            self._add_ours(shared=only is None)
        self.steps = {name: step for name, step in self.steps.items() if only in (None, name)}

    def _add_stock(self) -> None:
        system = self.setup.system
        with (
            torch.device("meta") if self.device.type == "meta" else nullcontext()
        ):  # no numbers for what is only counted
            stock = StockSystem(system["unet"], system["conditioner"]["encoder"])
        self.stock = stock.to(self.device)
        self.stock_optimizers = self.stock.optimizers()
        self.steps["stock fp32"] = partial(self._stock_step, None)
        if self.device.type == "cuda":  # as the published script was run: accelerate's fp16
            self.steps["stock fp16"] = partial(self._stock_step, torch.amp.GradScaler("cuda"))

    def _add_ours(self, shared: bool) -> None:
        ours: LatentDiffusion = instantiate(OmegaConf.create(dict(self.setup.system))).to(self.device)
        if shared:  # the same parameters, not copies of them
            ours.unet.load_state_dict(self.stock.unet_state(keep_vars=True), assign=True)
            ours.conditioner.get_submodule("encoder").load_state_dict(
                self.stock.encoder.state_dict(keep_vars=True), assign=True
            )
        self.ours, self.optimizer = ours.train(), ours.optimization.optimizer(ours.conditioner, ours.unet)
        if shared and self.device.type == "cpu":  # on a GPU the two keep their step counts on different devices
            for optimizer in self.stock_optimizers:
                optimizer.register_step_post_hook(lambda one, *_: self.optimizer.state.update(one.state))
        self.steps["ours fp32"] = partial(self._our_step, False)
        if self.device.type != "cpu" or onednn.has_bfloat16():
            self.steps["ours bf16"] = partial(self._our_step, True)
            if self.setup.compile:
                self.compiled = torch.compile(ours.unet.forward)
                self.steps["ours bf16 compiled"] = partial(self._our_step, True, True)

    def agreement(self, seed: int = 1) -> dict[str, float]:
        """Ours and the stock packages with the same weights, noise and dropped rows, without dropout.

        Returns:
            `stock_loss`, `our_loss` and `gradient_difference`: the norm of the gradients' difference over that of the stock's.
        """
        for system in (self.stock, self.ours):
            system.eval()
        losses, gradients = [], []
        for loss_of in (self._stock_loss, self._our_loss_on_stock_draws):
            self.stock.zero_grad()
            torch.manual_seed(seed)
            loss = loss_of()
            loss.backward()
            losses.append(float(loss.detach()))
            gradients.append([None if p.grad is None else p.grad.double() for p in self.stock.parameters()])
        pairs = list(zip(*gradients, strict=True))
        if any((a is None) != (b is None) for a, b in pairs):
            raise RuntimeError("a weight that learns in one system does not learn in the other.")
        apart = sum(float((a - b).square().sum()) for a, b in pairs if a is not None) ** 0.5
        size = sum(float(a.square().sum()) for a, _ in pairs if a is not None) ** 0.5
        self.stock.zero_grad()
        for system in (self.stock, self.ours):
            system.train()
        return {"stock_loss": losses[0], "our_loss": losses[1], "gradient_difference": apart / size}

    def _stock_loss(self) -> Tensor:
        return self.stock.loss(self.batch["features"], self.batch["latent"], self.batch["genre"])

    def _stock_step(self, scaler: Any) -> Tensor:
        for optimizer in self.stock_optimizers:
            optimizer.zero_grad()
        with torch.autocast("cuda", torch.float16) if scaler else nullcontext():
            loss = self._stock_loss()
        (scaler.scale(loss) if scaler else loss).backward()
        for optimizer in self.stock_optimizers:
            scaler.step(optimizer) if scaler else optimizer.step()
        if scaler:
            scaler.update()
        return loss.detach()

    def _our_step(self, low: bool, compiled: bool = False) -> Tensor:
        self.optimizer.zero_grad()
        if compiled:
            self.ours.unet.forward = self.compiled  # of this object, before that of its class
        with torch.autocast(self.device.type, torch.bfloat16, enabled=low):
            loss = self.ours.compute_losses(self.batch, training=True)["loss"]
        if compiled:
            del self.ours.unet.forward
        loss.backward()
        self.optimizer.step()
        return loss.detach()

    def _our_loss_on_stock_draws(self) -> Tensor:
        """Our loss with noise levels, noise and dropped rows drawn as the stock classes draw them, in their order."""
        ours, latent = self.ours, self.batch["latent"]
        motion = MotionWindow(self.batch["features"], self.batch["features"])
        conditioned = ours.conditioner(motion, self.batch["genre"])
        sigma = torch.rand(len(latent), device=self.device)
        noise = torch.randn_like(latent)
        shares = torch.full((len(latent), 1, 1), MASK_PROBABILITY, device=self.device)
        dropped = torch.bernoulli(shares).bool().flatten()
        condition = conditioned.condition.replaced(dropped, ours.conditioner.uncond(conditioned.condition))
        predicted = ours.unet(schedule.add_noise(latent, noise, sigma), sigma, condition)
        velocity = F.mse_loss(predicted, schedule.velocity(latent, noise, sigma))
        weights = ours.loss_weights
        return weights.velocity * velocity + weights.genre * genre_loss(conditioned.genre_logits, self.batch["genre"])


def step_alone(setup: TrainingSetup, name: str) -> Step:
    """One variant and nothing else, to measure its memory."""
    return TrainingWorkbench(setup, only=name).steps[name]


def step_flops(setup: TrainingSetup) -> int:
    """Floating-point operations of a stock step, counted on tensors without storage."""
    return counted_flops(step_alone(replace(setup, device="meta", compile=False), "stock fp32"))


COLUMNS = {
    "median ms": lambda row: f"{row['step']['median_s'] * 1e3:.0f}",
    "min": lambda row: f"{row['step']['min_s'] * 1e3:.0f}",
    "max": lambda row: f"{row['step']['max_s'] * 1e3:.0f}",
    "speed-up": lambda row: f"{row['speedup']:.2f}×",
    "samples/s": lambda row: f"{row['samples_per_s']:.2f}",
    "peak memory GB": lambda row: f"{row['peak_memory_mb'] / 1e3:.2f}" if row["peak_memory_mb"] else "",
    "GFLOP": lambda row: f"{row['flops'] / 1e9:.0f}",
    "share of peak": lambda row: f"{row['share_of_peak']:.0%}",
}


def measure_training(
    setup: TrainingSetup,
    repeats: int,
    peak: Mapping[str, float],
    check: bool = True,
    memory: bool = True,
    on_round: Callable[[], object] = lambda: None,
) -> tuple[list[dict[str, Any]], dict[str, float] | None]:
    """Time all variants in turns; the rows, and the workbench's `agreement` where it was asked for by `check`.

    Args:
        setup: what is trained.
        repeats: rounds.
        peak: of this machine.
        check: whether loss and gradient are compared first.
        memory: whether memory is measured, on a CPU each variant alone in a process.
        on_round: see `in_turns`.
    """
    bench, flops = TrainingWorkbench(setup), step_flops(setup)
    agreement = bench.agreement() if check else None
    for step in bench.steps.values():  # the stock step comes first and makes the optimiser's state
        step()
    timed = in_turns(bench.steps, repeats, 0, on_round)
    memory_mb: dict[str, float | None] = dict.fromkeys(timed)
    if memory and bench.device.type == "cuda":
        for name, step in bench.steps.items():
            torch.cuda.reset_peak_memory_stats(bench.device)
            step()
            memory_mb[name] = torch.cuda.max_memory_allocated(bench.device) / 1e6
    del bench, step
    if memory and setup.device == "cpu":
        memory_mb = {name: peak_memory_alone_mb(step_alone, setup, name) for name in timed}
    rows: list[dict[str, Any]] = []
    for name, time in timed.items():
        seconds, best = time.median, peak["float32" if name.endswith("fp32") else "bfloat16"]
        rows.append({
            "name": name, "step": total([(time, 1)]), "speedup": timed["stock fp32"].median / seconds,
            "samples_per_s": setup.batch / seconds, "peak_memory_mb": memory_mb[name], "flops": flops,
            "share_of_peak": flops / seconds / best,
        })  # fmt: skip
    if "ours bf16" not in timed:
        rows.append({"name": "ours bf16", "reason": IMPOSSIBLE})
    return rows, agreement


def benchmark(config: DictConfig, peak: Mapping[str, float], on_round: Callable[[], object]) -> Measured:
    """Measure what configs/benchmark.yaml asks for."""
    system: Any = OmegaConf.to_container(config.system, resolve=True)
    setup = TrainingSetup(system, batch=config.batch or 6, device=config.device, compile=config.compile)
    rows, agreement = measure_training(setup, config.repeats, peak, config.check, config.memory, on_round)
    notes = [
        f"One training step of batch {setup.batch}: forward, backward, update. Variants took turns, {config.repeats} rounds, "
        "on the same weights; memory: each alone in a process. The stock rows have two AdamW and attention spelled out, as "
        "the published script has."
    ]
    if agreement:
        notes.append(
            f"Same weights, noise and dropped rows, in float32: loss {agreement['stock_loss']:.6f} (stock) and "
            f"{agreement['our_loss']:.6f} (ours); gradients differ by {agreement['gradient_difference']:.1e} of their norm."
        )
    return Measured(rows, COLUMNS, notes, {"setup": asdict(setup), "repeats": config.repeats, "agreement": agreement})
