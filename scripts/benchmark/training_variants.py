"""One training step of the published model, the published script's with stock packages, and ours.

In one process all variants work on the same weights and the same state of the optimiser, so that memory holds one model;
each step is a whole one: forward, backward, both parts' weights updated.
"""

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from hydra.utils import instantiate
from omegaconf import OmegaConf
from torch import Tensor

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


@dataclass(frozen=True)
class Agreement:
    """How far ours is from the stock packages with the same weights, noise and dropped rows, without dropout.

    Args:
        stock_loss, our_loss: both losses.
        gradient_difference: norm of the difference of the gradients over the norm of the stock gradient.
    """

    stock_loss: float
    our_loss: float
    gradient_difference: float


class TrainingWorkbench:
    """The variants' steps, by name: `stock fp32` first, then ours.

    Args:
        setup: what is trained.
        only: build this variant alone (to measure its memory); None: all of them, sharing weights and state.
    """

    def __init__(self, setup: TrainingSetup, only: str | None = None) -> None:
        torch.manual_seed(0)
        self.setup, self.device = setup, torch.device(setup.device)
        self.batch = self._batch()
        self.stock = self._stock() if only is None or only.startswith("stock") else None
        self.ours = self._ours() if only is None or only.startswith("ours") else None
        self.steps = {name: step for name, step in self._steps().items() if only in (None, name)}

    def agreement(self, seed: int = 1) -> Agreement:
        """Loss and gradient of both on the same draws."""
        assert self.stock is not None and self.ours is not None
        self.stock.eval(), self.ours.eval()
        losses, gradients = [], []
        for loss_of in (self._stock_loss, self._our_loss_on_stock_draws):
            self._forget_gradients()
            torch.manual_seed(seed)
            loss = loss_of()
            loss.backward()
            losses.append(float(loss.detach()))
            gradients.append([None if p.grad is None else p.grad.clone() for p in self.stock.parameters()])
        pairs = [(a, b) for a, b in zip(*gradients, strict=True) if a is not None and b is not None]
        if any((a is None) != (b is None) for a, b in zip(*gradients, strict=True)):
            raise RuntimeError("a weight that learns in one system does not learn in the other.")
        apart = sum(float((a - b).double().square().sum()) for a, b in pairs) ** 0.5
        size = sum(float(a.double().square().sum()) for a, _ in pairs) ** 0.5
        self._forget_gradients()
        self.stock.train(), self.ours.train()
        return Agreement(*losses, apart / size)

    def _batch(self) -> dict[str, Tensor]:
        setup, generator = self.setup, torch.Generator().manual_seed(0)
        latent_shape = (setup.batch, setup.system["unet"]["in_channels"], setup.latent_frames)
        return {
            "features": torch.randn((setup.batch, setup.motion_frames, 219), generator=generator).to(self.device),
            "latent": torch.rand(latent_shape, generator=generator).mul(2).sub(1).to(self.device),
            "genre": torch.randint(0, 10, (setup.batch,), generator=generator).to(self.device),
        }

    def _stock(self) -> StockSystem:
        system = self.setup.system
        return StockSystem(system["unet"], system["conditioner"]["encoder"]).to(self.device)

    def _ours(self) -> LatentDiffusion:
        ours: LatentDiffusion = instantiate(OmegaConf.create(dict(self.setup.system))).to(self.device)
        if self.stock is not None:  # the same parameters, not copies of them
            ours.unet.load_state_dict(self.stock.unet_state(keep_vars=True), assign=True)
            ours.conditioner.encoder.load_state_dict(self.stock.encoder.state_dict(keep_vars=True), assign=True)
        return ours.train()

    def _steps(self) -> dict[str, Step]:
        steps: dict[str, Step] = {}
        stock_optimizers: list[torch.optim.Optimizer] = []
        if self.stock is not None:
            stock_optimizers = self.stock.optimizers()
            steps["stock fp32"] = partial(self._stock_step, stock_optimizers, None)
            if self.device.type == "cuda":  # as the published script was run: accelerate's fp16
                steps["stock fp16"] = partial(self._stock_step, stock_optimizers, torch.amp.GradScaler("cuda"))
        if self.ours is not None:
            ours = self.ours
            optimizer = ours.optimization.optimizer(ours.conditioner, ours.unet)
            network = torch.compile(ours.unet.forward) if self.setup.compile else None
            for name, low, compiled in (("fp32", False, None), ("bf16", True, None), ("bf16 compiled", True, network)):
                possible = not low or self.device.type != "cpu" or onednn.has_bfloat16()
                if possible and (compiled is not None or "compiled" not in name):
                    steps[f"ours {name}"] = partial(self._our_step, optimizer, low, compiled, stock_optimizers)
        return steps

    def _stock_loss(self) -> Tensor:
        assert self.stock is not None
        return self.stock.loss(self.batch["features"], self.batch["latent"], self.batch["genre"])

    def _stock_step(self, optimizers: list[torch.optim.Optimizer], scaler: Any) -> Tensor:
        for optimizer in optimizers:
            optimizer.zero_grad()
        with torch.autocast("cuda", torch.float16) if scaler else nullcontext():
            loss = self._stock_loss()
        (scaler.scale(loss) if scaler else loss).backward()
        for optimizer in optimizers:
            scaler.step(optimizer) if scaler else optimizer.step()
        if scaler:
            scaler.update()
        return loss.detach()

    def _our_step(
        self, optimizer: torch.optim.Optimizer, low: bool, network: Any, lenders: list[torch.optim.Optimizer]
    ) -> Tensor:
        assert self.ours is not None
        if lenders and self.device.type == "cpu" and not optimizer.state:
            for lender in lenders:  # on a GPU the two implementations keep their step counts on different devices
                optimizer.state.update(lender.state)
        optimizer.zero_grad()
        with torch.autocast(self.device.type, torch.bfloat16, enabled=low):
            loss = self._our_loss(network)
        loss.backward()
        optimizer.step()
        return loss.detach()

    def _our_loss(self, network: Any) -> Tensor:
        assert self.ours is not None
        if network is None:
            return self.ours.compute_losses(self.batch, training=True)["loss"]
        unet = self.ours.unet
        unet.forward = network  # of this object, before that of its class
        try:
            return self.ours.compute_losses(self.batch, training=True)["loss"]
        finally:
            del unet.forward

    def _our_loss_on_stock_draws(self) -> Tensor:
        """Our loss with noise levels, noise and dropped rows drawn as the stock classes draw them, in their order."""
        assert self.ours is not None
        ours, latent = self.ours, self.batch["latent"]
        motion = MotionWindow(self.batch["features"], self.batch["features"])
        conditioned = ours.conditioner(motion, self.batch["genre"])
        sigma = torch.rand(len(latent), device=self.device)
        noise = torch.randn_like(latent)
        dropped = (
            torch.bernoulli(torch.full((len(latent), 1, 1), MASK_PROBABILITY, device=self.device)).bool().flatten()
        )
        condition = conditioned.condition.replaced(dropped, ours.conditioner.uncond(conditioned.condition))
        predicted = ours.unet(schedule.add_noise(latent, noise, sigma), sigma, condition)
        velocity = F.mse_loss(predicted, schedule.velocity(latent, noise, sigma))
        weights = ours.loss_weights
        return weights.velocity * velocity + weights.genre * genre_loss(conditioned.genre_logits, self.batch["genre"])

    def _forget_gradients(self) -> None:
        assert self.stock is not None
        for parameter in self.stock.parameters():
            parameter.grad = None


def step_alone(setup: TrainingSetup, name: str) -> Step:
    """One variant and nothing else, to measure its memory."""
    return TrainingWorkbench(setup, only=name).steps[name]
