"""What the network learns to predict: the velocity v at a random noise level; what every objective must be able to do."""

from dataclasses import dataclass
from typing import ClassVar, Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from d2m.diffusion import schedule
from d2m.diffusion.paths import NoisePath, QuarterCircle


@dataclass(frozen=True)
class NoisyExample:
    """One training example: what the network sees, and what it should say."""

    x: Float[Tensor, "batch channel frame"]
    sigma: Float[Tensor, "batch"]
    target: Float[Tensor, "batch channel frame"]


@runtime_checkable
class Objective(Protocol):
    """What a network is trained towards."""

    path: ClassVar[NoisePath]
    """The way from latent to noise that its examples lie on."""

    def example(
        self, x0: Float[Tensor, "batch channel frame"], generator: torch.Generator | None = None
    ) -> NoisyExample:
        """Training examples made of clean latents."""
        ...

    def loss(
        self, predicted: Float[Tensor, "batch channel frame"], target: Float[Tensor, "batch channel frame"]
    ) -> Float[Tensor, ""]:
        """How far the network's answer is from the target."""
        ...


@dataclass(frozen=True)
class VelocityObjective:
    """Mean squared error of v with sigma ~ U(0, 1) (Salimans & Ho 2022; the published system's objective).

    Args:
        stratified: draw one sigma from each of `batch` equal slices of (0, 1), in random order, instead of
            independently. The marginal distribution is the same and the loss is less noisy, which is
            worth most in short trainings (low-discrepancy times, Kingma et al. 2021, appendix I.1).
    """

    stratified: bool = True
    path: ClassVar[NoisePath] = QuarterCircle()

    def sigmas(
        self, batch: int, device: torch.device, generator: torch.Generator | None = None
    ) -> Float[Tensor, "batch"]:
        """Noise levels for one batch. The generator, if any, lives on the CPU."""
        uniform = torch.rand(batch, generator=generator)
        if self.stratified:
            uniform = (torch.randperm(batch, generator=generator) + uniform) / batch
        return uniform.to(device)

    def example(
        self, x0: Float[Tensor, "batch channel frame"], generator: torch.Generator | None = None
    ) -> NoisyExample:
        """Noise the clean latents `x0` (standardised to unit variance) at random levels."""
        noise = torch.randn(x0.shape, generator=generator).to(x0) if generator else torch.randn_like(x0)
        sigma = self.sigmas(len(x0), x0.device, generator).to(x0.dtype)
        return NoisyExample(schedule.noisy(x0, noise, sigma), sigma, schedule.velocity(x0, noise, sigma))

    def loss(
        self, predicted: Float[Tensor, "batch channel frame"], target: Float[Tensor, "batch channel frame"]
    ) -> Float[Tensor, ""]:
        """Mean squared error over all elements."""
        return F.mse_loss(predicted.float(), target.float())
