"""Training of the rhythm reader alone, on motions and beats: the fast check of a data set, and the start of every other system."""

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from d2m.core.timeline import MOTION_FPS
from d2m.metrics.beats import beat_f
from d2m.rhythm.causal_reader import CausalRhythmReader
from d2m.rhythm.grid import BeatGrid
from d2m.rhythm.reader import RhythmReader, load_reader, side_views
from d2m.systems.training_system import LossWeights, OptimizerSettings, TrainedSystem, genre_accuracy, genre_loss

TOLERANCE_S, SAME_TEMPO = 0.07, 0.02


class RhythmReading(TrainedSystem):
    """A rhythm reader in training.

    A batch is a dict: `points` [batch time 13 2] at 60 fps, `beats` [batch frame] in [0, 1], or negative where
    nothing is known, `genre` Int[batch]. It is validated on whole dances: `val/read_beat_f`, one-to-one beat F at ±70 ms of the tracked beats, and `val/tempo`, the share of
    dances whose tempo is right within 2 %.

    Args:
        reader: to be trained.
        teacher: a reader that sees the whole window, by a shipped checkpoint's name or a path: half of what `reader` is to say are the
            true beats, half the teacher's answer. None: the true beats alone.
        optimization: settings of the optimiser.
        loss_weights: of which `genre` and `rhythm` are used.
    """

    def __init__(
        self,
        reader: RhythmReader | CausalRhythmReader,
        optimization: OptimizerSettings | None = None,
        loss_weights: LossWeights | None = None,
        teacher: str | None = None,
    ) -> None:
        super().__init__(optimization)
        self.reader, self.loss_weights, self.teacher = reader, loss_weights or LossWeights(), teacher
        self._teaching: list[RhythmReader] = []  # no part of this system's weights

    def setup(self, stage: str) -> None:
        """Load the teacher."""
        if stage == "fit" and self.teacher is not None:
            self._teaching = [load_reader(self.teacher).requires_grad_(False)]

    def compute_losses(
        self, batch: Mapping[str, Any], training: bool, generator: torch.Generator | None = None
    ) -> dict[str, Tensor]:
        """Cross-entropy of beats and genre."""
        logits, genre = self.reader(batch["points"])
        known, wanted = batch["beats"] >= 0, batch["beats"]
        for teacher in self._teaching:
            with torch.no_grad():
                wanted = (wanted + teacher.to(logits.device)(batch["points"])[0].sigmoid()) / 2
        beats = F.binary_cross_entropy_with_logits(logits.float()[known], wanted[known])
        parts = {"rhythm": beats, "genre": genre_loss(genre, batch["genre"])}
        weighted = [getattr(self.loss_weights, name) * part for name, part in parts.items()]
        return {**parts, "loss": torch.stack(weighted).sum(), "genre_accuracy": genre_accuracy(genre, batch["genre"])}

    def optimized(self) -> tuple[nn.Module, nn.Module]:
        """The reader; nothing makes music."""
        return self.reader, nn.Identity()

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        """Read a whole dance, `points` [time 13 2|3], `beats_s`, `genre`, and score it."""
        points, seconds = batch["points"][None], len(batch["points"]) / MOTION_FPS
        read = self.reader.read_points(points if points.shape[-1] == 2 else side_views(points, self.reader.views))
        beats = read.beats()
        true_s = batch["beats_s"].cpu().numpy()
        true_s = true_s[true_s < seconds]
        same_tempo = abs(beats.grid.bpm / BeatGrid(true_s).bpm - 1) <= SAME_TEMPO
        scores = {
            "val/read_beat_f": beat_f(true_s, beats.grid.within(seconds), TOLERANCE_S),
            "val/tempo": float(same_tempo),
            "val/genre_accuracy": float(int(read.genre_probabilities.argmax()) == int(batch["genre"])),
        }
        self.log_dict(scores, batch_size=1, prog_bar=True)
