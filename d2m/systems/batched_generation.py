"""Many dances at once: their windows share the batches that the U-Net is asked for."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from d2m.diffusion.windows import joined_plans
from d2m.model.genre import UNKNOWN_GENRE, unknown_genres
from d2m.motion.features import FEATURE_WIDTH
from d2m.systems.generation import evaluating
from d2m.systems.latent_diffusion import KEYS_VALUES_BYTES, LatentDiffusion

LARGEST_BATCH = 32
"""Windows at once; more gain no time."""

_SHARE_OF_FREE_MEMORY = 4


@dataclass(frozen=True)
class AskedLatent:
    """One of several latents that are made together.

    Args:
        features: of the dance, on the system's device.
        genre: class number; None: not told.
        frames: of the latent.
        seed: of its noise.
    """

    features: Float[Tensor, "time 219"]
    genre: int | None
    frames: int
    seed: int = 0


@torch.no_grad()
def generate_together(
    system: LatentDiffusion,
    asked: Sequence[AskedLatent],
    steps: int | None = None,
    guidance: float | None = None,
    batch: int | None = None,
) -> list[Float[Tensor, "channel _"]]:
    """Latents of several dances, each as `LatentDiffusion.generate_long` makes it.

    Args:
        system: on any device.
        asked: the dances.
        steps, guidance: None: the system's own.
        batch: windows denoised at once; None: the system's own.
    """
    plans = [system.window_plan(one.frames) for one in asked]
    windows = [system.motion_windows(one.features, plan) for one, plan in zip(asked, plans, strict=True)]
    genres = [UNKNOWN_GENRE if one.genre is None else one.genre for one in asked]
    told = [genre for genre, rows in zip(genres, windows, strict=True) for _ in rows]
    noise = [
        torch.randn(1, system.unet.in_channels, plan.total_frames, generator=torch.Generator().manual_seed(one.seed))
        for one, plan in zip(asked, plans, strict=True)
    ]
    with evaluating(system):
        denoiser = system.windows_denoiser(torch.cat(windows), told, joined_plans(plans), guidance, batch)
        latent = system.sampled(denoiser, torch.cat(noise, dim=-1).to(windows[0]), steps)
    pieces = system.restored(latent)[0].split([plan.total_frames for plan in plans], dim=-1)
    return [piece[:, : one.frames] for piece, one in zip(pieces, asked, strict=True)]


@torch.no_grad()
def fitting_batch(system: LatentDiffusion, free_bytes: int) -> int:
    """Windows that may be denoised at once: as many as memory holds with their keys and values, up to `LARGEST_BATCH`.

    Args:
        system: on any device.
        free_bytes: of that device's memory; at most a quarter is taken.
    """
    device = system.latent_mean.device
    still = torch.zeros(1, system.clock.window_motion_frames, FEATURE_WIDTH, device=device)
    with evaluating(system):
        condition = system.conditioned(still, unknown_genres(1, device), training=False).condition
    kept = 2 * system.unet.keys_values_bytes(condition)  # guidance joins both halves
    row = kept + 2 * system.unet.activation_bytes(system.clock.window_latent_frames)
    fitting = [free_bytes // _SHARE_OF_FREE_MEMORY // max(row, 1), LARGEST_BATCH]
    fitting += [KEYS_VALUES_BYTES // kept] if kept else []
    return max(1, min(fitting))
