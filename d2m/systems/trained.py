"""What every system that `d2m.training.run.fit` trains from its own loss has in common: logging, optimiser, checkpoints."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import partial
from typing import Any

import lightning
import torch
from torch import Tensor, nn

from d2m.errors import BadConfig
from d2m.systems.optimization import OptimizerSettings


def shown(batch: Mapping[str, Any], reads: str) -> Tensor:
    """The view of the dance that a system's reader reads (`d2m.video.view`).

    Raises:
        BadConfig: when the data do not bring it.
    """
    if reads not in batch:
        raise BadConfig(f"data.{reads}=false: this system reads {reads}; set data.{reads}=true.")
    return batch[reads]


class TrainedSystem(lightning.LightningModule, ABC):
    """A system trained by the sum of some losses.

    Args:
        optimization: settings of the optimiser.
    """

    def __init__(self, optimization: OptimizerSettings | None = None) -> None:
        super().__init__()
        self.optimization = optimization or OptimizerSettings()
        self.config: dict[str, Any] = {}
        """The configuration that this system was built from; whoever builds it puts it here, checkpoints carry it."""

    @abstractmethod
    def loss_parts(
        self, batch: Mapping[str, Any], training: bool, generator: torch.Generator | None = None
    ) -> dict[str, Tensor]:
        """Every part of the loss, unweighted, the weighted sum as `loss`, and what else is worth logging.

        Args:
            batch: rows of the system's data.
            training: whether things are dropped and augmented.
            generator: of what is drawn; None: PyTorch's own.
        """

    @abstractmethod
    def optimized(self) -> tuple[nn.Module, nn.Module]:
        """What reads the motion and what makes the music: each has its own settings of the optimiser."""

    def training_step(self, batch: Mapping[str, Any], batch_idx: int) -> Tensor:
        """Loss of one batch; logs its parts."""
        parts = self.loss_parts(batch, training=True)
        logged = {f"train/{name}": part.detach() for name, part in parts.items()}
        self.log_dict(logged, batch_size=len(batch["features"]), prog_bar=False)
        self.log("loss", parts["loss"].detach(), prog_bar=True, logger=False)
        return parts["loss"]

    def validation_step(self, batch: Mapping[str, Any], batch_idx: int) -> None:
        """Logs the loss; what is drawn is the same at every validation."""
        parts = self.loss_parts(batch, training=False, generator=torch.Generator().manual_seed(batch_idx))
        self.log_dict({f"val/{name}": part for name, part in parts.items()}, batch_size=len(batch["features"]))

    def configure_optimizers(self) -> dict[str, Any]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """AdamW and its schedule, one learning rate per step."""
        optimizer = self.optimization.optimizer(*self.optimized())
        total = self.optimization.total_steps or int(self.trainer.estimated_stepping_batches)
        share = partial(self.optimization.lr_share, total_steps=total)
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, share)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Limit the gradient's norm here: Lightning's own clipping refuses a fused AdamW under mixed precision."""
        if self.optimization.gradient_norm_limit:
            torch.nn.utils.clip_grad_norm_(self.parameters(), self.optimization.gradient_norm_limit)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """A checkpoint carries the configuration that rebuilds its system."""
        checkpoint["config"] = self.config
