"""The averaged weights: what they are, when they are lent, and that every checkpoint can give them back."""

import lightning
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

from d2m.core.errors import BadInput
from d2m.training.ema import EMA


class Line(lightning.LightningModule):
    """One weight that every step lowers by 1; notes what it is at validation."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.validated: list[float] = []

    def training_step(self, batch: torch.Tensor, batch_idx: int) -> torch.Tensor:
        return self.weight.sum()

    def validation_step(self, batch: torch.Tensor, batch_idx: int) -> None:
        self.validated.append(float(self.weight.detach()))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 1.0)


def train(ema: EMA, steps: int, **options) -> tuple[Line, lightning.Trainer]:
    line, numbers = Line(), DataLoader(torch.zeros(6, 1))
    trainer = lightning.Trainer(
        max_steps=steps, accelerator="cpu", devices=1, logger=False, enable_checkpointing=False, callbacks=[ema],
        enable_progress_bar=False, enable_model_summary=False, num_sanity_val_steps=0, **options,
    )  # fmt: skip
    trainer.fit(line, numbers, numbers)
    return line, trainer


def averaged(decay: float, weights: list[float]) -> float:
    """The definition: the n-th update keeps min(decay, (1 + n) / (10 + n)) of the average."""
    average = 0.0
    for number, weight in enumerate(weights, start=1):
        keep = min(decay, (1 + number) / (10 + number))
        average = keep * average + (1 - keep) * weight
    return average


@pytest.mark.parametrize("decay", [0.3, 0.999])
def test_the_average_is_its_definition_and_is_lent_to_validation(decay: float) -> None:
    ema = EMA(decay)
    line, _ = train(ema, 6, val_check_interval=6)
    expected = averaged(decay, [-1, -2, -3, -4, -5, -6])
    assert float(ema.average["weight"]) == pytest.approx(expected, abs=1e-6)
    assert line.validated == pytest.approx([expected] * 6, abs=1e-6)
    assert float(line.weight) == -6 and not ema.swapped


def test_accumulated_gradients_make_one_update() -> None:
    ema = EMA(0.3)
    train(ema, 2, accumulate_grad_batches=3)
    assert ema.updates == 2
    assert float(ema.average["weight"]) == pytest.approx(averaged(0.3, [-1, -2]), abs=1e-6)


def test_a_checkpoint_made_while_the_average_is_lent_is_an_ordinary_one() -> None:
    ema = EMA(0.3)
    line, trainer = train(ema, 3, limit_val_batches=0)
    average = float(ema.average["weight"])
    ema.swap(line)
    assert float(line.weight) == pytest.approx(average)
    checkpoint = {"state_dict": {"weight": line.weight.detach().clone()}, "callbacks": {"EMA": ema.state_dict()}}
    ema.on_save_checkpoint(trainer, line, checkpoint)
    assert float(checkpoint["state_dict"]["weight"]) == -3
    assert float(checkpoint["callbacks"]["EMA"]["average"]["weight"]) == pytest.approx(average)


def test_the_average_of_another_system_is_refused() -> None:
    ema = EMA()
    ema.load_state_dict({"updates": 3, "average": {"other": torch.zeros(1)}})
    with pytest.raises(BadInput, match=r"'other' is only in one of them.*resume=false"):
        train(ema, 1, limit_val_batches=0)
