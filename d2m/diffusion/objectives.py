"""What a network learns to predict: v at a random noise level, or the constant velocity of rectified flow."""

from dataclasses import dataclass
from typing import ClassVar, Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from d2m.core.errors import BadConfig
from d2m.diffusion import processes as schedule
from d2m.diffusion.processes import LinearPath, ProbabilityPath, TrigonometricVP


@dataclass(frozen=True)
class NoisyExample:
    """One training example: what the network sees, and what it should say."""

    x: Float[Tensor, "batch channel frame"]
    sigma: Float[Tensor, " batch"]
    target: Float[Tensor, "batch channel frame"]


@runtime_checkable
class Objective(Protocol):
    """What a network is trained towards."""

    path: ClassVar[ProbabilityPath]
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
    path: ClassVar[ProbabilityPath] = TrigonometricVP()

    def sigmas(
        self, batch: int, device: torch.device, generator: torch.Generator | None = None
    ) -> Float[Tensor, " batch"]:
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
        return NoisyExample(schedule.add_noise(x0, noise, sigma), sigma, schedule.velocity(x0, noise, sigma))

    def loss(
        self, predicted: Float[Tensor, "batch channel frame"], target: Float[Tensor, "batch channel frame"]
    ) -> Float[Tensor, ""]:
        """Mean squared error over all elements."""
        return F.mse_loss(predicted.float(), target.float())


# Rectified flow: the network learns the constant velocity of straight lines from latents to noise.
#
# Liu et al. (2022, arXiv:2209.03003, equation 1), with time running from the latent (0) to the noise (1) as noise levels do
# everywhere here: x_t = (1 - t) x0 + t eps, and the network answers E[eps - x0 | x_t]. Sampling is that equation backwards
# (`samplers.euler`); lines that hardly bend need few steps.


TIMES = ("uniform", "logit_normal")


@dataclass(frozen=True)
class RectifiedFlowObjective:
    """Mean squared error of eps - x0 at random times.

    Args:
        times: `uniform` in (0, 1), or `logit_normal`, which puts most times in the middle, where the answer is hardest to
            tell (Esser et al. 2024, arXiv:2403.03206, equation 19).
        stratified: one time from each of `batch` equally probable slices, see `VelocityObjective`.
        location, scale: of the normal distribution whose logistic function is `logit_normal`; a location above 0 means
            more noise.

    Raises:
        BadConfig: for an unknown distribution, or a scale that is not positive.
    """

    times: str = "uniform"
    stratified: bool = True
    location: float | int = 0.0
    scale: float | int = 1.0
    path: ClassVar[ProbabilityPath] = LinearPath()

    def __post_init__(self) -> None:
        if self.times not in TIMES:
            raise BadConfig(f"times={self.times}: unknown; expected one of {', '.join(TIMES)}.")
        if self.scale <= 0:
            raise BadConfig(f"scale={self.scale}: expected a deviation above 0 of the logit-normal times.")

    def sigmas(
        self, batch: int, device: torch.device, generator: torch.Generator | None = None
    ) -> Float[Tensor, " batch"]:
        """Times for one batch. The generator, if any, lives on the CPU."""
        uniform = torch.rand(batch, generator=generator, dtype=torch.float64)
        if self.stratified:
            uniform = (torch.randperm(batch, generator=generator) + uniform) / batch
        if self.times == "logit_normal":
            # Quantiles of the distribution, so that slices of equal probability stay what they are.
            uniform = torch.sigmoid(self.location + self.scale * torch.special.ndtri(uniform.clamp(1e-6, 1 - 1e-6)))
        return uniform.float().to(device)

    def example(
        self, x0: Float[Tensor, "batch channel frame"], generator: torch.Generator | None = None
    ) -> NoisyExample:
        """Latents `x0` (standardised to unit variance) on their way to noise, at random times."""
        noise = torch.randn(x0.shape, generator=generator).to(x0) if generator else torch.randn_like(x0)
        sigma = self.sigmas(len(x0), x0.device, generator).to(x0.dtype)
        return NoisyExample(self.path.add_noise(x0, noise, sigma), sigma, noise - x0)

    def loss(
        self, predicted: Float[Tensor, "batch channel frame"], target: Float[Tensor, "batch channel frame"]
    ) -> Float[Tensor, ""]:
        """Mean squared error over all elements."""
        return F.mse_loss(predicted.float(), target.float())
