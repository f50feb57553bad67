"""Landmarks come back from a file as they were; other files are refused with a sentence."""

from pathlib import Path

import numpy as np
import pytest

from d2m.core.errors import BadInput
from d2m.motion.landmarks import LANDMARKS, Landmarks


def some(frames: int = 40) -> Landmarks:
    random = np.random.default_rng(0)
    seen = random.random(frames) > 0.2
    shape = (frames, LANDMARKS, 3)
    return Landmarks(random.random(shape), random.normal(size=shape), np.arange(frames) / 30, seen, (640, 360))


def test_round_trip(tmp_path: Path) -> None:
    before = some()
    after = Landmarks.load(before.save(tmp_path / "a clip's landmarks.npz"))
    assert np.allclose(after.image, before.image, atol=1e-6) and np.allclose(after.world, before.world, atol=1e-6)
    assert np.array_equal(after.times_s, before.times_s) and np.array_equal(after.seen, before.seen)
    assert after.size == (640, 360)


def test_the_name_is_kept_whatever_its_ending(tmp_path: Path) -> None:
    path = some().save(tmp_path / "dance.landmarks")
    assert path.exists() and [p.name for p in tmp_path.iterdir()] == ["dance.landmarks"]


def test_length_and_share() -> None:
    landmarks = some(45)
    assert landmarks.seconds == pytest.approx(1.5)
    assert landmarks.seen_share == pytest.approx(landmarks.seen.mean())
    assert len(landmarks.until(1.0).times_s) == 30


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04" + bytes(100)])
def test_other_files(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.npz").write_bytes(content)
    with pytest.raises(BadInput, match=r"x\.npz: not landmarks that d2m saved"):
        Landmarks.load(tmp_path / "x.npz")


def test_missing_and_other_arrays(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no such file"):
        Landmarks.load(tmp_path / "none.npz")
    np.savez(tmp_path / "x.npz", poses=np.zeros((4, 72)))
    with pytest.raises(BadInput, match="not landmarks"):
        Landmarks.load(tmp_path / "x.npz")
    np.savez(tmp_path / "pickled.npz", image=np.array([{}], dtype=object))
    with pytest.raises(BadInput, match="not landmarks"):
        Landmarks.load(tmp_path / "pickled.npz")


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        ("world", np.zeros((40, 17, 3)), "'world' of shape"),
        ("image", np.full((40, 33, 3), np.nan), "NaN"),
        ("times_s", np.zeros(40), "do not rise"),
        ("seen", np.ones(40), "'seen'"),
        ("d2m_landmarks", np.int64(9), "version 9"),
    ],
)
def test_wrong_contents(tmp_path: Path, key: str, value: np.ndarray, sentence: str) -> None:
    arrays = dict(np.load(some().save(tmp_path / "good.npz")))
    np.savez(tmp_path / "bad.npz", **{**arrays, key: value})
    with pytest.raises(BadInput, match=sentence):
        Landmarks.load(tmp_path / "bad.npz")
