"""The motion reader: features of a moment at that moment, at any frame rate."""

import numpy as np
import torch

from d2m.models.encoders import TemporalEncoder, resampled
from d2m.models.motion_reader import MotionReader
from d2m.motion.augmentation import MotionAugmentation


def reader(**settings) -> MotionReader:
    torch.manual_seed(0)
    return MotionReader(TemporalEncoder(16, [1, 2], attention_blocks=0, dropout=0.0), **settings).eval()


def motion(seconds: float = 4.0) -> torch.Tensor:
    """Standing still, but for a jump of the whole body at half time."""
    frames = round(seconds * 60)
    features = torch.zeros(1, frames, 219)
    features[..., 3:] = torch.eye(3).flatten().repeat(24)
    features[:, frames // 2 :, 1] = 0.3
    return features


def test_a_move_is_read_when_it_happens_at_any_frame_rate() -> None:
    for rate in (43.07, 50, 75):
        read = reader()(motion(), int(4 * rate), rate)
        assert read.cond.shape == (1, 18, int(4 * rate)) and read.rhythm_logits.shape == (1, 2, int(4 * rate))
        step = (
            read.cond.diff(dim=-1).abs().sum(dim=1)[0]
        )  # normalisation looks at the whole window, so steps are compared
        assert abs((int(step.argmax()) + 1) / rate - 2.0) < 0.15


def test_after_the_windows_end_the_last_frame_holds() -> None:
    positions = reader().positions(100, 50)
    told = reader().encoder(torch.randn(1, 339, 60))
    held = resampled(told, positions)
    assert torch.equal(held[..., 60], held[..., 99]) and not torch.equal(held[..., 20], held[..., 99])


def test_only_training_augments_and_the_normaliser_is_in_the_state() -> None:
    augmented = reader(augmentation=MotionAugmentation(yaw=True, still_probability=0.0, noise=0.1))
    assert torch.equal(augmented(motion(), 50, 50).cond, augmented(motion(), 50, 50).cond)
    augmented.train()
    assert not torch.equal(augmented(motion(), 50, 50).cond, augmented(motion(), 50, 50).cond)
    augmented.fit([np.random.default_rng(0).normal(2.0, size=(50, 219)).astype(np.float32)])
    other = reader()
    other.load_state_dict(augmented.state_dict())
    assert 1.0 < float(other.normalizer.mean.mean()) < 3.0
