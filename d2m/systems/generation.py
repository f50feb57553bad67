"""How a system generates where the caller does not say otherwise."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from torch import nn

from d2m.diffusion.schedule import GRIDS
from d2m.errors import BadConfig


@dataclass(frozen=True)
class GenerationSettings:
    """How latents are generated where the caller does not say otherwise.

    Args:
        steps: sampling steps.
        guidance: classifier-free guidance scale.
        guidance_rescale: see `d2m.diffusion.guidance.guided`.
        guidance_interval: (low, high), noise levels in [0, 1] between which guidance is on; outside it a step costs one
            network evaluation in place of two. None: it is always on.
        grid: where the steps' noise levels lie, see `d2m.diffusion.schedule.GRIDS`.
        overlap_frames: least overlap of the windows of a long latent.
        batch: windows denoised at once.
        latent_bound: generated latents are limited to this magnitude (1 for an autoencoder that ends in tanh).

    Raises:
        BadConfig: for an interval that is none, or an unknown grid.
    """

    steps: int = 20
    guidance: float | int = 2.0
    guidance_rescale: float | int = 0.0
    overlap_frames: int = 96
    batch: int = 8
    latent_bound: float | int | None = None
    guidance_interval: Sequence[float | int] | None = None
    grid: str = "angle"

    def __post_init__(self) -> None:
        if self.grid not in GRIDS:
            raise BadConfig(f"grid={self.grid}: unknown; expected one of {', '.join(GRIDS)}.")
        interval = self.guidance_interval
        if interval is not None and not (len(interval) == 2 and 0 <= interval[0] < interval[1] <= 1):
            raise BadConfig(
                f"guidance_interval={list(interval)}: expected two noise levels, 0 <= low < high <= 1; for none say null."
            )


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Dropout off, and back as it was."""
    was_training = module.training
    module.eval()
    try:
        yield
    finally:
        module.train(was_training)
