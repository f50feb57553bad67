"""Validation by beats: how well the beat is read from held-out dances, and met by music made for them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import lightning
import numpy as np
import torch
from jaxtyping import Float

from d2m.audio.autoencoder import DMAE
from d2m.audio.pretrained import load_dmae
from d2m.core.aist_names import genre_index
from d2m.core.music import Music
from d2m.metrics.beat_tracker import track_beats_s
from d2m.metrics.beats import beat_f
from d2m.models.heads import UNKNOWN_GENRE
from d2m.motion.dance import Dance
from d2m.rhythm.tracking import track_beats
from d2m.systems.interface import LatentRequest

TOLERANCE_S = 0.07


def tracked_beat_f(music: Music, beats_s: Float[np.ndarray, " beat"], tolerance_s: float = TOLERANCE_S) -> float:
    """One-to-one F-measure between true beats and those that the tracker finds in `music`."""
    return beat_f(beats_s, track_beats_s(music), tolerance_s)


heard_beat_f = tracked_beat_f
"""Its name in older configurations."""


def evenly_spread(names: Sequence[str], count: int) -> list[str]:
    """At most `count` of `names`, evenly spread, first and last among them."""
    indices = np.linspace(0, len(names) - 1, min(count, len(names))).astype(int)
    return [names[int(index)] for index in np.unique(indices)]


class BeatValidation(lightning.Callback):
    """Logs beat F-measures (one-to-one, ± 70 ms, in [0, 1]) of the validation split's dances of known beats.

    `val/read_beat_f`: of the regular beats that fit what the rhythm head reads in each validation window; of systems whose
    `read_rhythm` answers. `val/beat_f`: of what the tracker finds in music that is generated for some of the dances, one
    window each; of systems that generate latents, where an autoencoder is named. Weights are the averaged ones (EMA).
    Where neither can be measured, one line says so at the first validation.

    Args:
        dmae: frozen autoencoder, or what `load_dmae` finds it by; its one-pass decoder makes the sound, its diffusion decoder
            where it has no other. None: no music is made.
        clips: validation dances that music is made for, spread evenly over the split; those of unknown beats or shorter than
            a window are passed over.
        steps: sampling steps.
        score: (music, true beat times in seconds) to the number that is logged as `val/beat_f`.
    """

    def __init__(
        self,
        dmae: DMAE | str | None = None,
        clips: int = 10,
        steps: int = 12,
        score: Callable[[Music, np.ndarray], float] = tracked_beat_f,
    ) -> None:
        self.dmae = load_dmae(dmae) if isinstance(dmae, str) else dmae
        self.clips, self.steps, self.score = clips, steps, score
        self.promised: set[str] = set()
        """Names of the values that every validation after the sanity check will log."""
        self._kept: list[tuple[Dance, np.ndarray]] | None = None
        self._read: list[float] = []
        self._reads = self._said = False

    # Beats read from the motion

    def on_validation_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        """Count anew."""
        self._read = []

    @torch.no_grad()
    def on_validation_batch_end(
        self,
        trainer: Any,
        pl_module: Any,
        outputs: Any,
        batch: Mapping[str, Any],
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Read the beats of a batch's windows and score them."""
        read = pl_module.read_rhythm(batch) if hasattr(pl_module, "read_rhythm") else None
        if read is None:
            return
        self._reads = True
        logits, rate = read
        seconds = logits.shape[-1] / rate
        curves = logits[:, 0].float().sigmoid().cpu().numpy()
        for name, start_s, curve in zip(batch["name"], batch["start_s"].tolist(), curves, strict=True):
            true_s = trainer.datamodule.layout.reference_beats_s(name, start_s + seconds)  # pyright: ignore
            if true_s is None:
                continue
            read_s = track_beats(curve, rate).grid.within(seconds)
            true_s = true_s[(true_s >= start_s) & (true_s < start_s + seconds)] - start_s
            self._read.append(beat_f(true_s, read_s, TOLERANCE_S))

    # Beats of music made for the motion

    def _chosen(self, data: Any) -> list[tuple[Dance, np.ndarray]]:
        """Dances long enough for a window, with their beat times in seconds; read at the first validation, then kept."""
        if self._kept is None:
            layout, found = data.layout, list[tuple[Dance, np.ndarray]]()
            names = [
                name
                for name in evenly_spread(layout.names(data.validation), 8 * self.clips)
                if layout.reference_beats_s(name, 1) is not None
            ]
            for name in evenly_spread(names, self.clips) if names else ():
                dance = Dance.load(layout.motion(name))
                if self.dmae is None or len(dance.features) >= self.dmae.clock.window_motion_frames:
                    found.append((dance, layout.reference_beats_s(name, dance.seconds)))
            self._kept = found
        return self._kept

    @torch.no_grad()
    def on_validation_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Log both values; with several processes each takes its share of the dances."""
        chosen = self._chosen(trainer.datamodule)  # pyright: ignore
        makes_music = self.dmae is not None and hasattr(pl_module, "generate_latents")
        if chosen:
            self.promised |= {"val/read_beat_f"} if self._reads else set()
            self.promised |= {"val/beat_f"} if makes_music else set()
        if not self.promised:
            self._say(trainer, pl_module, bool(chosen))
        self._log_mean(trainer, pl_module, "val/read_beat_f", self._read)
        if chosen and makes_music and not trainer.sanity_checking:
            self._log_mean(trainer, pl_module, "val/beat_f", self._music_scores(trainer, pl_module, chosen))

    def _say(self, trainer: Any, system: Any, known: bool) -> None:
        """Why nothing is measured, once."""
        if self._said or not trainer.is_global_zero:
            return
        self._said = True
        reason = (
            f"{type(system).__name__} reads no rhythm with these settings and callbacks.beats.dmae names no autoencoder"
            if known
            else f"split '{trainer.datamodule.validation}' has no sequence of known beats (beats/NAME.txt, or a song of "  # pyright: ignore
            "AIST++ in its name)"
        )
        print(f"beat validation: {reason}, so there will be neither val/read_beat_f nor val/beat_f.")

    @staticmethod
    def _log_mean(trainer: Any, system: Any, name: str, scores: list[float]) -> None:
        """The mean over all processes, of which some may have no scores."""
        counted = torch.tensor([sum(scores), len(scores)], dtype=torch.float32, device=system.device)
        total, count = trainer.strategy.reduce(counted, reduce_op="sum").tolist()
        if count:
            system.log(name, total / count, prog_bar=True, rank_zero_only=False)

    def _music_scores(self, trainer: Any, system: Any, chosen: list[tuple[Dance, np.ndarray]]) -> list[float]:
        """Of this process's share. One without a share generates all the same (sharded weights need everyone)."""
        assert self.dmae is not None
        clock = self.dmae.clock
        frames, mine = clock.window_motion_frames, slice(trainer.global_rank, None, trainer.world_size)
        shape = (len(chosen), system.unet.in_channels, clock.window_latent_frames)
        noise = torch.randn(shape, generator=torch.Generator().manual_seed(0))
        share = chosen[mine] or chosen[:1]
        noise = noise[mine] if chosen[mine] else noise[:1]
        requests = [
            LatentRequest(
                torch.from_numpy(dance.features[:frames]).to(system.device),
                clock.window_latent_frames,
                UNKNOWN_GENRE if dance.genre is None else genre_index(dance.genre),
                noise=row.to(system.device),
            )
            for (dance, _), row in zip(share, noise, strict=True)
        ]
        settings = replace(system.generation, steps=self.steps, batch=len(requests))  # as many batches in every process
        latents = [one.latent.float().cpu() for one in system.generate_latents(requests, settings)]
        if not chosen[mine]:
            return []
        decode = self.dmae.decode if self.dmae.onepass is None else self.dmae.decode_onepass
        scores = []
        for (_, beats_s), row in zip(share, latents, strict=True):
            wave = decode(row[None], generator=torch.Generator().manual_seed(0))[0].numpy()
            scores.append(float(self.score(Music(wave, clock.sample_rate), beats_s[beats_s < clock.window_seconds])))
        return scores
