"""Real and synthetic dances side by side: files are read, and the command writes a table and a picture."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from d2m.commands import run
from d2m.core.errors import BadInput
from d2m.evaluation.dance_statistics import dance_statistics, load_seen

NAME = "gHO_sFM_cAll_d19_mHO0_ch01"


def save_seen(path: Path, **changed: np.ndarray) -> Path:
    rng = np.random.default_rng(0)
    points = np.cumsum(rng.normal(size=(600, 17, 2)), axis=0)
    points[:, 0, 1] -= 500  # rows count downwards: the nose is above
    content: dict[str, Any] = {
        "keypoints2d": points.astype(np.float32),
        "fps": np.float64(30),
        "beats": np.arange(36) * 0.5 + 0.05,
    }
    kept: dict[str, Any] = {key: value for key, value in (content | changed).items() if value.size}
    np.savez(path, **kept)
    return path


def test_keypoints_of_a_picture_stand_upright(tmp_path: Path) -> None:
    seen = load_seen(save_seen(tmp_path / f"{NAME}.npz"))
    assert seen.genre == "gHO" and seen.points_m.shape == (600, 13, 2) and seen.fps == 30
    height_m = np.median(seen.points_m[:, 0, 1] - seen.points_m[:, 3:5, 1].mean(axis=1))
    assert abs(height_m - 1.5) < 1e-6


def test_joints_in_space_are_seen_from_the_front(tmp_path: Path) -> None:
    joints = np.zeros((600, 22, 3), np.float32)
    joints[:, 15, 1] = 1.6
    path = save_seen(tmp_path / f"{NAME}.npz", keypoints2d=np.zeros(0), joints=joints)
    assert load_seen(path).points_m.shape == (600, 13, 2)


def test_files_that_say_too_little_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="AIST"):
        load_seen(save_seen(tmp_path / "holiday.npz"))
    with pytest.raises(BadInput, match="expected keypoints2d or joints, fps and beats"):
        load_seen(save_seen(tmp_path / f"{NAME}.npz", beats=np.zeros(0)))
    broken = tmp_path / f"{NAME}.npz"
    broken.write_bytes(b"none")
    with pytest.raises(BadInput, match="not a readable npz"):
        load_seen(broken)


def test_a_set_without_dances_has_no_rows(tmp_path: Path) -> None:
    table = dance_statistics({"real": [], "synthetic": [load_seen(save_seen(tmp_path / f"{NAME}.npz"))]})
    assert table["real"] == {} and set(table["synthetic"]) == {"all", "gHO"}


def test_the_command_writes_a_table_and_a_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "seen").mkdir()
    save_seen(tmp_path / "seen" / f"{NAME}.npz")
    settings = [f"out={tmp_path / 'out'}", f"real={tmp_path / 'seen'}", "per_genre=1", "seconds=13"]
    run("dance_statistics", settings)
    table = json.loads((tmp_path / "out" / "dance_statistics.json").read_text())
    assert table["real"]["all"]["dances"] == 1 and table["synthetic"]["all"]["dances"] == 10
    assert set(table["synthetic"]["gHO"]["phases"]["feet"]) == {"0.5", "1", "2"}
    assert (tmp_path / "out" / "dance_statistics.png").read_bytes()[:4] == b"\x89PNG"
    assert "synthetic  gHO" in capsys.readouterr().out
