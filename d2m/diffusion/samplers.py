"""Samplers: pure functions from noise to a clean latent, all with one signature

    sampler(denoiser, noise, steps, progress=None, grid="angle") -> x0

`denoiser(x, sigma)` predicts the velocity of `x` at noise levels `sigma` ("batch"); it may be a network, a guided network,
or a formula. The velocity is v for `ddim` and `dpm_solver_pp_2m`, and that of a straight line for `euler` and `heun`: which
samplers understand a network is written at its objective's path (`d2m.diffusion.processes`). `noise` is a standard normal draw. `progress` wraps the iterable of steps (tqdm, for example).
`grid` says where the steps' noise levels lie: a name in `d2m.diffusion.processes.GRIDS`. Levels and factors stay on the CPU in
float64, which not every device has; each goes to the noise's device as a number.
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from d2m.core.errors import BadConfig
from d2m.diffusion import processes as schedule
from d2m.diffusion.processes import ProbabilityPath

Denoiser = Callable[[Tensor, Tensor], Tensor]
Progress = Callable[[Iterable[Any]], Iterable[Any]]


def _velocity_at(denoiser: Denoiser, x: Tensor, sigma: Tensor) -> Tensor:
    return denoiser(x, sigma.to(x).expand(len(x)))


@torch.no_grad()
def ddim(
    denoiser: Denoiser,
    noise: Float[Tensor, "batch channel frame"],
    steps: int,
    progress: Progress | None = None,
    grid: str = "angle",
) -> Float[Tensor, "batch channel frame"]:
    """Deterministic DDIM (Song et al. 2020, equation 12 with eta 0): `steps` network evaluations.

    In angles it is a rotation: x0 and eps are read off (x, v), then mixed again at the next, smaller angle.
    """
    sigmas = schedule.noise_levels(steps, grid)
    x = noise
    indices = range(steps)
    for i in progress(indices) if progress else indices:
        v = _velocity_at(denoiser, x, sigmas[i])
        x0 = schedule.pred_x0(x, v, sigmas[i].to(x))
        eps = schedule.pred_eps(x, v, sigmas[i].to(x))
        x = (schedule.alpha(sigmas[i + 1]) * x0 + schedule.beta(sigmas[i + 1]) * eps).to(x)
    return x


@torch.no_grad()
def dpm_solver_pp_2m(
    denoiser: Denoiser,
    noise: Float[Tensor, "batch channel frame"],
    steps: int,
    progress: Progress | None = None,
    grid: str = "angle",
) -> Float[Tensor, "batch channel frame"]:
    """DPM-Solver++(2M), Lu et al. 2022 (arXiv:2211.01095), algorithm 2: `steps` network evaluations.

    Second-order multistep in data prediction and half-log-SNR lambda. With h_i = lambda_i - lambda_(i-1) and
    r = h_(i-1) / h_i, the denoised estimate is extrapolated, D = (1 + 1/(2r)) x0_i - 1/(2r) x0_(i-1), and
        x_i = beta_i / beta_(i-1) * x_(i-1) + (alpha_i - alpha_(i-1) * beta_i / beta_(i-1)) * D,
    which is the paper's -alpha_i * (exp(-h_i) - 1) written so that it stays finite at both ends, where lambda
    is infinite: at sigma 1 alpha is 0, at sigma 0 beta is 0. The first step and the last one are of first order: nothing
    precedes the first, and the last, of infinite h, would be extrapolated without bound.
    """
    sigmas = schedule.noise_levels(steps, grid)
    # Lambda at sigma 1 is -inf, which would switch the second step's correction off (r = inf). Half a step
    # below it stands in for the first interval's start: the interval's h is then of the size of its neighbours.
    lambdas = schedule.half_log_snr(torch.cat([(sigmas[:1] + sigmas[1:2]) / 2, sigmas[1:]]))
    alphas, betas = schedule.alpha(sigmas), schedule.beta(sigmas)
    x, previous_x0 = noise, None
    indices = range(steps)
    for i in progress(indices) if progress else indices:
        v = _velocity_at(denoiser, x, sigmas[i])
        x0 = schedule.pred_x0(x, v, sigmas[i].to(x))
        estimate = x0
        if previous_x0 is not None and i < steps - 1:
            r = (lambdas[i] - lambdas[i - 1]) / (lambdas[i + 1] - lambdas[i])
            estimate = x0 + (x0 - previous_x0) * (1 / (2 * r)).to(x)
        ratio = betas[i + 1] / betas[i]
        x = ratio.to(x) * x + (alphas[i + 1] - alphas[i] * ratio).to(x) * estimate
        previous_x0 = x0
    return x


@torch.no_grad()
def euler(
    denoiser: Denoiser,
    noise: Float[Tensor, "batch channel frame"],
    steps: int,
    progress: Progress | None = None,
    grid: str = "angle",
    shift: float | int = 1.0,
) -> Float[Tensor, "batch channel frame"]:
    """Euler's method along rectified flow's straight lines (Liu et al. 2022): `steps` network evaluations.

    Args:
        shift: above 1, steps are shorter near the noise and longer near the latent, see `shifted`.
    """
    times = shifted(schedule.noise_levels(steps, grid), shift)
    x = noise
    indices = range(steps)
    for i in progress(indices) if progress else indices:
        x = x - (times[i] - times[i + 1]).to(x) * _velocity_at(denoiser, x, times[i])
    return x


@torch.no_grad()
def heun(
    denoiser: Denoiser,
    noise: Float[Tensor, "batch channel frame"],
    steps: int,
    progress: Progress | None = None,
    grid: str = "angle",
    shift: float | int = 1.0,
) -> Float[Tensor, "batch channel frame"]:
    """`euler` with the mean of the velocities at both ends of a step; the last step is Euler's: 2 `steps` - 1 evaluations.

    At time 0 nothing is left to denoise, and a network answers there what it was least trained for.
    """
    times = shifted(schedule.noise_levels(steps, grid), shift)
    x = noise
    indices = range(steps)
    for i in progress(indices) if progress else indices:
        length = (times[i] - times[i + 1]).to(x)
        velocity = _velocity_at(denoiser, x, times[i])
        if i < steps - 1:
            velocity = (velocity + _velocity_at(denoiser, x - length * velocity, times[i + 1])) / 2
        x = x - length * velocity
    return x


def shifted(times: Float[Tensor, " step"], shift: float | int) -> Float[Tensor, " step"]:
    """Times t moved to s t / (1 + (s - 1) t), ends kept (Esser et al. 2024, arXiv:2403.03206, equation 23).

    Raises:
        BadConfig: for a shift that is not positive.
    """
    if shift <= 0:
        raise BadConfig(f"shift={shift}: expected a number above 0; 1 leaves the steps equally long.")
    return shift * times / (1 + (shift - 1) * times)


SAMPLERS = {"ddim": ddim, "dpm_solver_pp_2m": dpm_solver_pp_2m, "euler": euler, "heun": heun}
"""Samplers by the name that settings call them by."""


def check_understood(path: ProbabilityPath, sampler: str | Callable[..., Any]) -> None:
    """Refuse a sampler that reads a network's answer as something else than what it was taught; strangers pass.

    Args:
        path: of the objective that the network was trained with.
        sampler: a sampler (a `functools.partial` of one will do) or its name.

    Raises:
        BadConfig: for one of `SAMPLERS` that follows another path.
    """
    name = sampler if isinstance(sampler, str) else getattr(getattr(sampler, "func", sampler), "__name__", "")
    if name in SAMPLERS and name not in path.samplers:
        raise BadConfig(
            f"sampler={name}: follows another path out of the noise than this network was trained on "
            f"({type(path).__name__}); use {' or '.join(path.samplers)}."
        )
