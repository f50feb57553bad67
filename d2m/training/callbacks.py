"""Validation by ear: music for held-out dances, judged by a score that the config brings."""

from collections.abc import Callable
from typing import Any

import lightning
import numpy as np
import torch

from d2m.audio.dmae import DMAE
from d2m.data.clips import Clip
from d2m.music import Music


class BeatValidation(lightning.Callback):
    """Generates one window for each of some validation dances, decodes it and logs the mean score as `val/beat_f`.

    The averaged (EMA) weights are still lent to the model while it runs.

    Args:
        score: (music, true beat times in seconds) to a number; the honest beat F of the evaluation package.
        dmae: frozen autoencoder that makes sound of the latents.
        clips: validation dances used, spread evenly over the split; those without true beats are passed over.
        steps: sampling steps.
    """

    def __init__(self, score: Callable[[Music, np.ndarray], float], dmae: DMAE, clips: int = 10, steps: int = 12) -> None:
        self.score, self.dmae, self.clips, self.steps = score, dmae, clips, steps

    def _chosen(self, data: Any) -> list[tuple[Clip, np.ndarray]]:
        found = [clip for clip in data.val.clips if data.layout.beats(clip.name).exists()]
        picked = [found[i] for i in np.unique(np.linspace(0, len(found) - 1, min(self.clips, len(found))).astype(int))]
        return [(clip, np.loadtxt(data.layout.beats(clip.name), ndmin=1)) for clip in picked]

    @torch.no_grad()
    def on_validation_epoch_end(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Generate, decode, score, log."""
        chosen = [] if trainer.sanity_checking else self._chosen(trainer.datamodule)  # pyright: ignore
        if not chosen:
            return
        clock = self.dmae.clock
        frames = clock.window_motion_frames
        features = torch.stack([torch.from_numpy(clip.features[:frames]) for clip, _ in chosen]).to(pl_module.device)
        genre = torch.tensor([clip.genre for clip, _ in chosen], device=pl_module.device)
        latent = pl_module.generate(features, genre, self.steps, generator=torch.Generator().manual_seed(0)).float().cpu()
        scores = []
        for (_, beats_s), row in zip(chosen, latent, strict=True):
            wave = self.dmae.decode_onepass(row[None], torch.Generator().manual_seed(0))[0].numpy()
            scores.append(self.score(Music(wave, clock.sample_rate), beats_s[beats_s < clock.window_seconds]))
        pl_module.log("val/beat_f", float(np.mean(scores)), prog_bar=True)
