"""A training that notes which windows it sees, and a system that notes its statistics."""

from pathlib import Path
from typing import Any

import lightning
import torch
from tests_support_encoded import HOP_SAMPLES, SAMPLE_RATE
from torch import nn

from d2m.data.datamodule import PairedWindows
from d2m.motion.features import Normalizer

Seen = tuple[str, float]


class Recorder(lightning.LightningModule):
    """Notes the windows of every batch; trains one number so that there are steps."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))
        self.seen: list[Seen] = []

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> torch.Tensor:
        self.seen += list(zip(batch["name"], batch["start_s"].tolist(), strict=True))
        return self.weight * batch["latent"].mean()

    def validation_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        assert set(batch["start_s"].tolist()) == {0.0}

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 0.1)


def module(root: Path, **options: Any) -> PairedWindows:
    return PairedWindows(
        str(root), "demo", SAMPLE_RATE, HOP_SAMPLES, **{"batch_size": 2, "steps_per_epoch": 3, "seed": 5, **options}
    )


def train(data: PairedWindows, steps: int, checkpoint: Path, resume: bool = False, **options: Any) -> list[Seen]:
    """Windows seen in the steps up to `steps`; leaves a checkpoint."""
    recorder = Recorder()
    trainer = lightning.Trainer(
        max_steps=steps, accelerator="cpu", devices=1, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, num_sanity_val_steps=1, val_check_interval=2, **options,
    )  # fmt: skip
    trainer.fit(recorder, data, ckpt_path=str(checkpoint) if resume else None, weights_only=True)
    trainer.save_checkpoint(checkpoint)
    return recorder.seen


class Statistics:
    """What a data module tells a system."""

    def __init__(self) -> None:
        self.normalizer = Normalizer()

    def fit_statistics(self, dances: list, latents: list[torch.Tensor]) -> None:
        self.normalizer.fit(dances)
        frames = torch.cat(latents, dim=-1)
        self.set_latent_statistics(frames.mean(dim=-1), frames.std(dim=-1))

    def set_latent_statistics(self, mean: torch.Tensor, std: torch.Tensor) -> None:
        self.mean, self.std = mean, std
