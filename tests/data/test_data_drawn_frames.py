"""Small pictures of motions that nobody filmed: drawn where and when the body is, once, by the embedded data set's preparation."""

import json
from pathlib import Path

import numpy as np
import pytest
from tests_support_motion import swinging_features

from d2m.core.errors import BadConfig
from d2m.data.frames import SmallFrames, draw_data_set, drawn_frames
from d2m.data.layout import DataSetLayout
from d2m.data.synthetic.write import write_data_set

GROUND = 210


def standing(frames: int = 120) -> np.ndarray:
    features = swinging_features(1).numpy()[:1]
    features[:, :3] = 0, 0.9, 0
    features[:, 3:] = np.tile(np.eye(3, dtype=np.float32).flatten(), 24)
    return np.repeat(features, frames, axis=0)


def test_the_dancer_stands_in_the_middle_of_an_even_ground() -> None:
    pictures = drawn_frames(standing(130), SmallFrames(32, 15))
    assert pictures.shape == (33, 32, 32) and pictures.dtype == np.uint8  # 2.17 s, begun pictures count
    assert (pictures == pictures[0]).all()
    rows, columns = np.nonzero(pictures[0] < GROUND - 40)
    assert 18 < np.ptp(rows) < 30 and abs(columns.mean() - 15.5) < 1  # the rest pose has its arms spread
    assert (pictures[0][:, [0, -1]] == GROUND).all()


def test_a_move_is_drawn_when_and_where_it_happens() -> None:
    features = standing()
    features[60:, 0] = 0.5  # to the right of the camera's picture: x is the camera's own
    pictures = drawn_frames(features, SmallFrames(32, 15)).astype(float)
    changed = np.abs(np.diff(pictures, axis=0)).sum(axis=(1, 2)) > 0
    assert list(np.flatnonzero(changed)) == [14]  # picture 15 is what is there at 1 s
    middle = [(np.arange(32) * (GROUND - picture).sum(axis=0)).sum() / (GROUND - picture).sum() for picture in pictures]
    assert 3 < middle[-1] - middle[0] < 6  # half a metre at 4 m is an eighth of the picture


def test_preparation_draws_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {"splits": ["test"], "processes": 1, "seconds": 1.0, "frames": {"size": 16, "fps": 15}}
    layout = write_data_set(tmp_path / "data", **settings)
    names = layout.names("test")
    assert all(np.load(layout.pictures(name)).shape == (15, 16, 16) for name in names)
    assert json.loads((layout.root / "frames" / "manifest.json").read_text()) == {"size": 16, "fps": 15}
    layout.pictures(names[3]).unlink()
    kept = {name: layout.pictures(name).stat().st_mtime_ns for name in names if name != names[3]}
    assert draw_data_set(layout, names, SmallFrames(16, 15), processes=1) == 1
    assert {name: layout.pictures(name).stat().st_mtime_ns for name in kept} == kept
    with pytest.raises(BadConfig, match=r"found \{'size': 16\}, expected \{'size': 32\}"):
        draw_data_set(layout, names, SmallFrames(32, 15), processes=1)


def test_no_pictures_unless_asked_for(tmp_path: Path) -> None:
    layout = write_data_set(tmp_path / "data", splits=["test"], processes=1, seconds=1.0)
    assert isinstance(layout, DataSetLayout) and not (layout.root / "frames").exists()
    with pytest.raises(BadConfig, match="frames=small: expected"):
        write_data_set(tmp_path / "data", splits=["test"], processes=1, seconds=1.0, frames="small")
