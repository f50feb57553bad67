"""Distillation of a trained system into one that needs a few network evaluations, guidance folded in."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from lightning import LightningModule
from torch import Tensor

from d2m.core.checkpoint import build, load_checkpoint, load_into, shipped_or_path
from d2m.core.errors import BadConfig
from d2m.diffusion import processes as schedule
from d2m.diffusion.distillation import random_jumps, rollout_velocity, teacher_rollout
from d2m.diffusion.processes import TrigonometricVP
from d2m.systems.latent_diffusion import LatentDiffusion
from d2m.systems.training_system import OptimizerSettings

DDIM = {"_target_": "d2m.diffusion.samplers.ddim", "_partial_": True}


class Distillation(LightningModule):
    """Trains the U-Net of a copy of the teacher; the conditioner stays the teacher's.

    The teacher is guided as it is in generation: with its own rescaling, interval and grid of noise levels, which is the
    student's grid too. The checkpoints of a run are those of a `LatentDiffusion` that samples with DDIM in `student_steps` steps at guidance 1.

    Args:
        teacher: a shipped checkpoint's name, or a path.
        student_steps: network evaluations of the student.
        teacher_steps: DDIM steps of the teacher to each of the student's; their product should be a number of steps with
            which the teacher is good.
        guidance: of the teacher; None: its own.
        optimization: of the student.

    Raises:
        BadConfig: for a teacher that was not trained to predict v.
    """

    def __init__(
        self,
        teacher: str,
        student_steps: int = 4,
        teacher_steps: int = 4,
        guidance: float | None = None,
        optimization: OptimizerSettings | None = None,
    ) -> None:
        super().__init__()
        found = load_checkpoint(shipped_or_path(teacher))
        config = found.config["system"]
        master = build(config, found.path)
        load_into(master, found)
        if not isinstance(master.objective.path, TrigonometricVP):
            raise BadConfig(
                f"teacher={teacher}: trained with {type(master.objective).__name__}, but a student learns the rotations of "
                "v-prediction; name a teacher trained with VelocityObjective."
            )
        student_config = {
            **config,
            "sampler": DDIM,
            "generation": {**config["generation"], "steps": student_steps, "guidance": 1.0},
        }
        self.student: LatentDiffusion = build(student_config, found.path)
        load_into(self.student, found)
        self.student.conditioner.requires_grad_(False)
        # In a tuple, so that the teacher's weights are no part of this module, its optimiser and its checkpoints.
        self._teacher: tuple[LatentDiffusion] = (master.eval().requires_grad_(False),)
        self.student_steps, self.teacher_steps = student_steps, teacher_steps
        self.guidance = master.generation.guidance if guidance is None else guidance
        self.optimization = optimization or OptimizerSettings(lr=1e-4, warmup_steps=50)
        self.config: dict[str, Any] = {}
        noted = {key: value for key, value in found.config.items() if key in ("generator", "dmae", "dmae_sha256")}
        self.student_config = {"system": student_config, **noted, "weights_under": "student."}

    @property
    def teacher(self) -> LatentDiffusion:
        """The teacher, where the student is."""
        return self._teacher[0].to(self.device)

    def fit_statistics(self, dances: Any, latents: Any) -> None:
        """Nothing to fit: normaliser and latent scale are the teacher's."""

    def loss(self, batch: Mapping[str, Any], training: bool, generator: torch.Generator | None = None) -> Tensor:
        """Mean squared error of the student's velocity against the one that lands where the teacher lands."""
        teacher = self.teacher
        with torch.no_grad():
            teacher.conditioner.train(
                training
            )  # so that parts are exchanged and dropped as in the teacher's own training
            condition = teacher.conditioned_on(batch, training).condition
            teacher.conditioner.eval()
            latent = teacher.standardised(batch["latent"])
            asked = teacher.generation
            jump = random_jumps(
                len(latent), self.student_steps, latent.device, generator, asked.grid, self.teacher_steps
            )
            noise = torch.randn(latent.shape, generator=generator).to(latent)
            x = schedule.add_noise(latent, noise, jump.sigma)
            uncond = teacher.conditioner.uncond(condition)
            denoiser = teacher.guided(condition, uncond, replace(asked, guidance=self.guidance))
            target = rollout_velocity(x, teacher_rollout(denoiser, x, jump, self.teacher_steps), jump)
        predicted = self.student.unet(x, jump.sigma, condition)
        return torch.nn.functional.mse_loss(predicted.float(), target.float())

    def training_step(self, batch: Mapping[str, Any], batch_idx: int) -> Tensor:
        """Loss of one batch."""
        loss = self.loss(batch, training=True)
        self.log("train/loss", loss.detach(), batch_size=len(batch["latent"]), prog_bar=True)
        return loss

    def validation_step(self, batch: Mapping[str, Any], batch_idx: int) -> None:
        """The same at noise that is the same at every validation."""
        loss = self.loss(batch, training=False, generator=torch.Generator().manual_seed(batch_idx))
        self.log("val/loss", loss, batch_size=len(batch["latent"]))

    def configure_optimizers(self) -> dict[str, Any]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """AdamW over the student's U-Net."""
        optimizer = self.optimization.optimizer(self.student.conditioner, self.student.unet)
        share = partial(self.optimization.lr_share, total_steps=self.optimization.steps_of(self.trainer))
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, share)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """A checkpoint carries the student's configuration."""
        checkpoint["config"] = self.student_config
