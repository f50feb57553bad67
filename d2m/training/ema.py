"""Exponential moving average of the weights, by swapping parameters.

Never by a deep copy: a-unet's modules close over the original blocks, and a copied model would silently run the
original's weights.
"""

from typing import Any

import lightning
import torch
from torch import Tensor
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor, distribute_tensor

from d2m.core.errors import BadInput


class EMA(lightning.Callback):
    """Averages the weights during training and lends the average to validation, test and prediction.

    The average is part of the callback's state in every checkpoint, so that a resumed training goes on exactly; a checkpoint's
    `state_dict` always holds the trained weights. `d2m.core.checkpoint.averaged_weights` reads the average from a checkpoint.

    Args:
        decay: weight of the old average after the first steps.
        warmup: the decay at step n is at most (1 + n) / (warmup + n), so that a short training is not averaged
            with its random start.
    """

    def __init__(self, decay: float = 0.999, warmup: float = 10.0) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"an EMA decay lies in [0, 1), not at {decay}.")
        self.decay, self.warmup = decay, warmup
        self.updates = 0
        self.average: dict[str, Tensor] = {}
        self.swapped = False
        self._last_step = 0

    @property
    def state_key(self) -> str:
        """One name in checkpoints, whatever the settings."""
        return "EMA"

    def state_dict(self) -> dict[str, Any]:
        """The average (while it is swapped into the model, the model holds it: see `on_save_checkpoint`)."""
        return {"updates": self.updates, "average": self.full_average()}

    def full_average(self) -> dict[str, Tensor]:
        """The average by parameter name; sharded over processes, it is gathered (all of them must call this)."""
        return {name: _gathered(weight) for name, weight in self.average.items()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.updates = state_dict["updates"]
        self.average = {name: weight.clone() for name, weight in state_dict["average"].items()}

    def on_fit_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Start from the model's weights, or go on where the checkpoint stopped."""
        parameters = _parameters(pl_module)
        if not self.average:
            self.average = {name: weight.detach().clone() for name, weight in parameters.items()}
        self._place(parameters)

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Steps are counted from where the trainer resumes (sharded weights are only loaded after `on_fit_start`)."""
        self._place(_parameters(pl_module))
        self._last_step = trainer.global_step

    def _place(self, parameters: dict[str, torch.nn.Parameter]) -> None:
        """Bring the average to where each parameter lives: its device, and its shards."""
        unknown = sorted(set(self.average) ^ set(parameters))
        if unknown:
            raise BadInput(
                f"the averaged weights of the checkpoint do not belong to this system ('{unknown[0]}' is only in one of "
                "them); go on with the old settings or start afresh with resume=false."
            )
        for name, parameter in parameters.items():
            average = self.average[name]
            if isinstance(parameter, DTensor) and not isinstance(average, DTensor):
                average = distribute_tensor(
                    average.to(parameter.device), parameter.device_mesh, parameter.placements, src_data_rank=None
                )
            self.average[name] = average.to(parameter.device)

    @torch.no_grad()
    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Average once for every optimiser step (not while gradients only accumulate)."""
        if trainer.global_step == self._last_step:
            return
        self._last_step = trainer.global_step
        self.updates += 1
        share = 1 - min(self.decay, (1 + self.updates) / (self.warmup + self.updates))
        parameters = _parameters(pl_module)
        names = list(self.average)
        own = [_own_shard(self.average[name]) for name in names]
        torch._foreach_lerp_(own, [_own_shard(parameters[name]) for name in names], share)

    @torch.no_grad()
    def swap(self, module: torch.nn.Module) -> None:
        """Exchange the module's weights and the average, in place."""
        parameters = _parameters(module)
        for name, average in self.average.items():
            own, other = _own_shard(parameters[name]), _own_shard(average)
            trained = own.clone()
            own.copy_(other)
            other.copy_(trained)
        self.swapped = not self.swapped

    def _lend(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        if self.average and not self.swapped:
            self.swap(pl_module)

    def _take_back(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        if self.swapped:
            self.swap(pl_module)

    on_validation_start = on_test_start = on_predict_start = _lend
    on_validation_end = on_test_end = on_predict_end = _take_back

    def on_exception(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, exception: BaseException
    ) -> None:
        """An interrupted validation gives the weights back before anything is saved."""
        self._take_back(trainer, pl_module)

    def on_save_checkpoint(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Saved in the middle of validation, weights and average are put in their usual places."""
        if not self.swapped:
            return
        saved = checkpoint["callbacks"][self.state_key]["average"] if "callbacks" in checkpoint else {}
        for name, trained in self.average.items():
            saved[name] = checkpoint["state_dict"][name]
            checkpoint["state_dict"][name] = trained


def _gathered(weight: Tensor) -> Tensor:
    return weight.full_tensor() if isinstance(weight, DTensor) else weight


def _own_shard(weight: Tensor) -> Tensor:
    """What this process holds of a weight: a view of it."""
    weight = weight.detach()
    return weight.to_local() if isinstance(weight, DTensor) else weight


def _parameters(module: torch.nn.Module) -> dict[str, torch.nn.Parameter]:
    """Parameters by name; those that FSDP2 has gathered for a forward pass are given back to their shards first."""
    for part in module.modules():
        if isinstance(part, FSDPModule):
            part.reshard()
    return dict(module.named_parameters())
