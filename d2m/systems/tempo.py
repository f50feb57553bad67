"""The beats that a latent diffusion system reads in a dance."""

import numpy as np
import torch
from jaxtyping import Float

from d2m.clock import MOTION_FPS
from d2m.errors import BadConfig
from d2m.model.condition import MotionWindow
from d2m.model.genre import unknown_genres
from d2m.systems.beat_grid import BeatGrid, regular_beats
from d2m.systems.latent_diffusion import LatentDiffusion


def beat_activation(
    system: LatentDiffusion, features: Float[np.ndarray, "time 219"]
) -> Float[np.ndarray, " frame"] | None:
    """Probability of a beat at the centre of each latent frame, as the rhythm head reads it; None without such a head."""
    motion = torch.from_numpy(features).to(system.device)
    frames = max(1, int(len(motion) / MOTION_FPS * system.clock.latent_rate))
    plan = system.window_plan(frames)
    total, count = np.zeros(plan.total_frames), np.zeros(plan.total_frames)
    for start, window in zip(plan.starts, system.motion_windows(motion, plan), strict=True):
        with torch.no_grad():
            seen = MotionWindow(window[None], system.normalizer(window[None]))
            logits = system.conditioner(seen, unknown_genres(1, window.device)).rhythm_logits
        if logits is None:
            return None
        total[start : start + plan.window_frames] += logits[0, 0].float().sigmoid().cpu().numpy()
        count[start : start + plan.window_frames] += 1
    return (total / count)[:frames]


def dance_beat_grid(system: LatentDiffusion, features: Float[np.ndarray, "time 219"]) -> BeatGrid:
    """The regular beats that fit a dance best.

    Raises:
        BadConfig: when the system reads no rhythm from motion.
    """
    curve = beat_activation(system, features)
    if curve is None:
        raise BadConfig("this checkpoint does not read a beat from motion, so no tempo can be asked for; leave it out.")
    return regular_beats(curve, system.clock.latent_rate)
