"""A dance read frame by frame is a dance read whole, and nothing that comes later is known."""

import numpy as np
import pytest
import torch

from d2m.core.errors import BadConfig
from d2m.rhythm.causal_reader import CausalRhythmReader, load_causal_reader
from d2m.systems.rhythm_reading import RhythmReading


def small(**settings: object) -> CausalRhythmReader:
    torch.manual_seed(0)
    return CausalRhythmReader(channels=16, dilations=(1, 2, 4), **settings).eval()


def moving(frames: int, bodies: int = 2) -> torch.Tensor:
    """Points that wander about an upright body."""
    generator = torch.Generator().manual_seed(1)
    points = torch.randn(bodies, frames, 13, 2, generator=generator).cumsum(1) * 0.01
    points[..., 1] += torch.linspace(1.5, 0, 13)
    return points


@pytest.mark.parametrize("at_once", [2, 6, 38])
def test_frame_by_frame_is_the_whole(at_once: int) -> None:
    reader, points, state, parts = small(), moving(114), None, []
    with torch.no_grad():
        whole, end = reader.step(points)
        for first in range(0, 114, at_once):
            logits, state = reader.step(points[:, first : first + at_once], state)
            parts.append(logits)
    assert torch.allclose(torch.cat(parts, dim=1), whole, atol=1e-5)
    assert state is not None and state.frames == end.frames == 57
    assert torch.allclose(state.genre_logits, end.genre_logits, atol=1e-4)


def test_nothing_is_known_of_what_comes() -> None:
    reader, points = small(), moving(120)
    other = points.clone()
    other[:, 80:] += 1.0
    with torch.no_grad():
        first, second = reader.step(points)[0], reader.step(other)[0]
    assert torch.equal(first[:, :40], second[:, :40]) and not torch.allclose(first[:, 40:], second[:, 40:])


def test_windows_are_answered_at_their_own_time() -> None:
    """The answer about a moment, which comes late, stands at that moment; size and place of the body do not matter."""
    reader, points = small(delay_frames=3), moving(60)
    with torch.no_grad():
        late, (logits, genre) = reader.step(points)[0], reader(points)
        moved, _ = reader(points * 300 + 40)
    assert torch.equal(logits[:, :-3], late[:, 3:]) and genre.shape == (2, 10)
    assert torch.allclose(moved, logits, atol=1e-3)


def test_a_teacher_is_half_of_what_is_to_be_said() -> None:
    """Half are the true beats; the teacher is no part of the weights."""
    points, beats = moving(120), torch.rand(2, 60, generator=torch.Generator().manual_seed(2))
    batch = {"points": points, "beats": beats, "genre": torch.tensor([0, 1])}
    alone, taught = (RhythmReading(small(), teacher=teacher) for teacher in (None, "rhythm_reader"))
    for system in (alone, taught):
        system.setup("fit")
    assert alone.state_dict().keys() == taught.state_dict().keys()
    (teacher,) = taught._teaching
    with torch.no_grad():
        said = teacher(points)[0].sigmoid()
        logits = taught.reader(points)[0]
        wanted = torch.nn.functional.binary_cross_entropy_with_logits(logits, (beats + said) / 2)
        assert torch.allclose(taught.compute_losses(batch, False)["rhythm"], wanted, atol=1e-6)
        assert not torch.allclose(alone.compute_losses(batch, False)["rhythm"], wanted, atol=1e-6)


def test_the_shipped_one_reads_and_others_are_refused() -> None:
    reader = load_causal_reader("causal_rhythm_reader")
    read = reader.read_points(moving(240, 1))
    assert read.activation.shape == (120,) and np.isfinite(read.activation).all()
    with pytest.raises(BadConfig, match="holds no causal rhythm reader"):
        load_causal_reader("rhythm_reader")
