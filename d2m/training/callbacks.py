"""Validation by ear: music for held-out dances, judged by a score that the config brings."""

from collections.abc import Callable, Sequence
from typing import Any

import lightning
import numpy as np
import torch
from jaxtyping import Float

from d2m.audio.autoencoder import DMAE
from d2m.core.aist_names import genre_index
from d2m.core.music import Music
from d2m.metrics.beat_tracker import track_beats_s
from d2m.metrics.beats import beat_f
from d2m.models.heads import UNKNOWN_GENRE
from d2m.motion.dance import Dance


def spread(names: Sequence[str], count: int) -> list[str]:
    """At most `count` of `names`, evenly spaced, first and last among them."""
    indices = np.linspace(0, len(names) - 1, min(count, len(names))).astype(int)
    return [names[index] for index in np.unique(indices)]


class BeatValidation(lightning.Callback):
    """Generates one window for each of some validation dances, decodes it and logs the mean score as `val/beat_f`.

    The averaged (EMA) weights are still lent to the model while it runs.

    Args:
        score: (music, true beat times in seconds) to a number; the honest beat F of the evaluation package.
        dmae: frozen autoencoder that makes sound of the latents.
        clips: validation dances used, spread evenly over the split; those without true beats or shorter than a window
            are passed over.
        steps: sampling steps.
    """

    def __init__(
        self, score: Callable[[Music, np.ndarray], float], dmae: DMAE, clips: int = 10, steps: int = 12
    ) -> None:
        self.score, self.dmae, self.clips, self.steps = score, dmae, clips, steps
        self._kept: list[tuple[Dance, np.ndarray]] | None = None

    def _chosen(self, data: Any) -> list[tuple[Dance, np.ndarray]]:
        """Dances long enough for a window, with their beat times in seconds; read at the first validation, then kept."""
        if self._kept is None:
            layout, shortest = data.layout, self.dmae.clock.window_motion_frames
            candidates = spread(layout.names(data.validation), 8 * self.clips)
            found: list[tuple[Dance, np.ndarray]] = []
            for name in spread([name for name in candidates if layout.beats(name).exists()], self.clips):
                dance = Dance.load(layout.motion(name))
                if len(dance.features) >= shortest:
                    found.append((dance, np.loadtxt(layout.beats(name), ndmin=1)))
            self._kept = found
        return self._kept

    @torch.no_grad()
    def on_validation_epoch_end(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Generate, decode, score, log; with several processes each takes its share of the dances."""
        chosen = [] if trainer.sanity_checking else self._chosen(trainer.datamodule)  # pyright: ignore
        if not chosen:
            return
        # A process without a share generates all the same (sharded weights need everyone) and counts nothing.
        clock, unet = self.dmae.clock, pl_module.unet
        noise = torch.randn(
            len(chosen), unet.in_channels, clock.window_latent_frames, generator=torch.Generator().manual_seed(0)
        )
        mine = slice(trainer.global_rank, None, trainer.world_size)
        share = chosen[mine]
        scores = self._scores(pl_module, share or chosen[:1], noise[mine] if share else noise[:1])
        told = torch.tensor([sum(scores), len(scores)] if share else [0.0, 0.0], device=pl_module.device)
        total, count = trainer.strategy.reduce(told, reduce_op="sum").tolist()
        pl_module.log("val/beat_f", total / count, prog_bar=True, rank_zero_only=False)

    def _scores(self, system: Any, chosen: list[tuple[Dance, np.ndarray]], noise: torch.Tensor) -> list[float]:
        clock = self.dmae.clock
        frames = clock.window_motion_frames
        features = torch.stack([torch.from_numpy(dance.features[:frames]) for dance, _ in chosen]).to(system.device)
        numbers = [UNKNOWN_GENRE if dance.genre is None else genre_index(dance.genre) for dance, _ in chosen]
        genre = torch.tensor(numbers, device=system.device)
        latent = system.generate(features, genre, self.steps, noise=noise.to(system.device)).float().cpu()
        scores = []
        for (_, beats_s), row in zip(chosen, latent, strict=True):
            wave = self.dmae.decode_onepass(row[None], torch.Generator().manual_seed(0))[0].numpy()
            scores.append(float(self.score(Music(wave, clock.sample_rate), beats_s[beats_s < clock.window_seconds])))
        return scores


def heard_beat_f(music: Music, beats_s: Float[np.ndarray, " beat"], tolerance_s: float = 0.07) -> float:
    """One-to-one F-measure between true beats and those that the tracker finds in `music`."""
    return beat_f(beats_s, track_beats_s(music), tolerance_s)
