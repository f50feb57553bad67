"""The rhythm reader: invariances that it has by construction, any length, its training windows, and a run of a few steps."""

import numpy as np
import pytest
import torch
from torch.nn.functional import softplus

from d2m.core.errors import BadInput
from d2m.data.rhythm_windows import COCO, UNKNOWN_BEAT, BeatSequence, augmented_window, load_recording
from d2m.models.encoders import TemporalEncoder
from d2m.motion.augmentation import turned
from d2m.rhythm.reader import POINTS, READER_FPS, RhythmReader, body_points, point_channels, side_views
from d2m.systems.rhythm_reading import RhythmReading


def small_reader() -> RhythmReader:
    torch.manual_seed(0)
    return RhythmReader(TemporalEncoder(channels=16, dilations=(1, 2), attention_blocks=1, heads=2, inputs=81)).eval()


def dance(frames: int) -> torch.Tensor:
    features = torch.zeros(frames, 219)
    features[:, 3:] = torch.eye(3).flatten().repeat(24)
    features[:, 1] = 1 + 0.05 * torch.sin(torch.arange(frames) / 60 * 2 * torch.pi * 2)
    return features


@pytest.mark.parametrize("frames", [60, 61, 719, 721, 2500])
def test_a_dance_of_any_length_is_read_to_its_end(frames: int) -> None:
    read = small_reader().read(dance(frames))
    assert len(read.activation) == -(-frames // 2)
    assert np.isfinite(read.activation).all() and float(read.genre_probabilities.sum()) == pytest.approx(1, abs=1e-5)


def test_where_the_camera_stands_does_not_matter_much_and_half_a_turn_of_four_views_not_at_all() -> None:
    reader, features = small_reader(), dance(600)
    features[:, 0] = 0.3 * torch.sin(torch.arange(600) / 20)
    reference = reader.read(features).activation
    quarter = reader.read(turned(features[None], torch.tensor([torch.pi / 4]))[0]).activation
    # the same four sides, one of them seen from behind: left and right are exchanged in one view of four
    assert np.abs(quarter - reference).max() < 0.05


def test_size_and_place_of_the_points_do_not_matter() -> None:
    points = side_views(body_points(dance(300)[None]), 4)
    moved = point_channels(points * 217.0 + torch.tensor([960.0, 300.0]))
    assert torch.allclose(moved, point_channels(points), atol=2e-3)


def test_a_window_keeps_the_beats_on_the_motion() -> None:
    """A point that jumps on the beat jumps where the curve of a stretched, mirrored window has its bumps."""
    points = np.zeros((1800, 13, 3), np.float32)
    points[:, 0, 1], points[:, -2:, 1] = 1.6, 0.1
    beats_s = np.arange(0.3, 30, 0.6)
    for beat in beats_s:
        points[round(beat * 60) :, 5, 1] = 1.0 + 0.5 * (points[round(beat * 60) - 1, 5, 1] < 1.2)
    sequence = BeatSequence("x", points, beats_s, 3)
    for seed in range(20):
        seen, curve = augmented_window(sequence, 10.0, np.random.default_rng(seed))
        assert seen.shape == (600, 13, 2) and curve.shape == (round(10 * READER_FPS),)
        heights = np.abs(np.diff(seen[:, 5:7, 1], axis=0)).max(axis=1)
        jumps = np.flatnonzero(heights > 0.2)
        assert len(jumps) >= 8 or heights.max() < 0.1  # the hand may be the one that is not seen
        assert (curve[np.clip(jumps // 2, 0, 299)] > 0.3).mean() > 0.9 if len(jumps) else True


@pytest.mark.parametrize("seconds", [4, 7.1, 12])
def test_a_dance_shorter_than_a_window_is_learned_at_all_speeds_to_its_end_only(seconds: float) -> None:
    """AIST++'s basic sequences last 16 beats: 7.1 to 12 s."""
    frames = round(60 * seconds)
    points = np.zeros((frames, 13, 3), np.float32)
    points[:, 0, 1] = 1.6 + 0.1 * np.sin(np.arange(frames))  # never stands still
    sequence = BeatSequence("x", points, np.arange(0.047, seconds, 0.45), 3)
    lengths = set[int]()
    for seed in range(30):
        seen, curve = augmented_window(sequence, 10.0, np.random.default_rng(seed))
        assert seen.shape == (600, 13, 2) and curve.shape == (300,)
        known = int((curve >= 0).sum())
        assert (curve[:known] >= 0).all() and (curve[known:] == UNKNOWN_BEAT).all() and curve[:known].max() > 0.3
        if seconds > 10:
            assert known == 300
        else:
            lengths.add(known)
            assert min(300, seconds * 30 / 1.31) <= known <= min(300, seconds * 30 / 0.74)
    assert seconds > 10 or len(lengths) > 5


def test_nothing_is_learned_beyond_a_dances_end() -> None:
    system = RhythmReading(small_reader())
    batch = {"points": body_points(dance(240)[None])[..., :2], "genre": torch.tensor([3])}
    beats = torch.zeros(1, 120)
    beats[:, 80:] = UNKNOWN_BEAT
    expected = system.compute_losses(batch | {"beats": beats}, training=False)["rhythm"]
    logits, _ = system.reader(batch["points"])
    assert float(expected.detach()) == pytest.approx(float(softplus(logits[:, :80]).mean().detach()), abs=1e-6)


def test_recordings_are_read_and_bad_ones_refused(tmp_path) -> None:
    seen = np.random.default_rng(0).normal(500, 50, (90, 17, 2))
    np.savez(tmp_path / "gHO_sFM_cAll_d19_mHO1_ch02.npz", keypoints2d=seen, fps=30.0, beats=np.array([0.1, 0.6]))
    found = load_recording(tmp_path / "gHO_sFM_cAll_d19_mHO1_ch02.npz")
    assert found.points.shape == (180, len(POINTS), 2) and found.genre == 7
    assert found.points[0, POINTS.index("left_knee"), 1] == pytest.approx(
        -seen[0, COCO.index("left_knee"), 1], rel=1e-5
    )
    for name, content in {
        "no_beats": {"keypoints2d": seen, "fps": 30.0},
        "no_points": {"beats": np.array([0.1, 0.6]), "fps": 30.0},
        "shape": {"keypoints2d": seen[:, :5], "fps": 30.0, "beats": np.array([0.1])},
        "nan": {"keypoints2d": seen * np.nan, "fps": 30.0, "beats": np.array([0.1])},
    }.items():
        np.savez(tmp_path / f"{name}.npz", **content)
        with pytest.raises(BadInput, match=f"{name}.npz"):
            load_recording(tmp_path / f"{name}.npz")
    (tmp_path / "text.npz").write_text("no archive")
    with pytest.raises(BadInput, match=r"text\.npz"):
        load_recording(tmp_path / "text.npz")
