import pickle
from pathlib import Path

import numpy as np
import pytest

from d2m.core.errors import BadConfig, BadInput
from d2m.motion.dance import Dance, list_dances
from d2m.motion.features import features_to_smpl, smpl_to_features


def write_aistpp(path: Path, frames: int = 90) -> Path:
    content = {"smpl_poses": np.zeros((frames, 72)), "smpl_trans": np.zeros((frames, 3)), "smpl_scaling": np.ones(1)}
    path.write_bytes(pickle.dumps(content))
    return path


def write_amass(path: Path, frames: int, fps: float) -> Path:
    np.savez(path, poses=np.zeros((frames, 72)), trans=np.zeros((frames, 3)), mocap_framerate=fps)
    return path


def test_name_and_genre_come_from_an_aistpp_name(tmp_path):
    dance = Dance.load(write_aistpp(tmp_path / "gBR_sBM_cAll_d04_mBR0_ch02.pkl"))
    assert (dance.name, dance.genre, dance.seconds) == ("gBR_sBM_cAll_d04_mBR0_ch02", "gBR", 1.5)
    assert dance.features.shape == (90, 219) and dance.features.dtype == np.float32
    assert Dance.load(str(write_aistpp(tmp_path / "my dance.pkl"))).genre is None


@pytest.mark.parametrize("fps", [24, 29.97, 30, 60, 100, 120, 250])
def test_duration_survives_any_frame_rate(tmp_path, fps):
    frames = round(3.7 * fps)
    dance = Dance.load(write_amass(tmp_path / "a.npz", frames, fps))
    assert len(dance.features) == round(frames * 60 / fps)
    assert abs(dance.seconds - frames / fps) <= 0.5 / 60


def test_features_load_unchanged(tmp_path):
    poses = np.random.default_rng(0).normal(scale=0.3, size=(70, 72))
    features = smpl_to_features(poses, np.ones((70, 3)))
    np.save(tmp_path / "a.npy", features)
    assert np.array_equal(Dance.load(tmp_path / "a.npy").features, features)


def test_one_second_is_the_shortest(tmp_path):
    assert Dance.load(write_aistpp(tmp_path / "a.pkl", 60)).seconds == 1
    with pytest.raises(BadInput, match=r"a\.pkl: found 0\.98 s \(59 frames at 60 fps\), expected at least 1 s"):
        Dance.load(write_aistpp(tmp_path / "a.pkl", 59))
    assert Dance.load(write_amass(tmp_path / "a.npz", 30, 30)).seconds == 1
    with pytest.raises(BadInput, match=r"29 frames at 30 fps"):
        Dance.load(write_amass(tmp_path / "a.npz", 29, 30))


def test_from_smpl():
    poses, trans = np.random.default_rng(0).normal(scale=0.3, size=(45, 72)), np.ones((45, 3))
    dance = Dance.from_smpl(poses, trans, 30, "mine", "gPO")
    assert (dance.name, dance.genre, dance.seconds) == ("mine", "gPO", 1.5)
    assert np.allclose(features_to_smpl(dance.features).poses[::2], poses, atol=1e-5)
    with pytest.raises(BadInput, match=r"mine: found 0\.50 s"):
        Dance.from_smpl(poses, trans, 90, "mine")
    poses[0, 0] = np.nan
    with pytest.raises(BadInput, match="mine: found NaN"):
        Dance.from_smpl(poses, trans, 30, "mine")


def test_listing_a_file_a_folder_and_a_glob(tmp_path):
    for name in ("b.pkl", "a.npz", "c.NPY", "notes.txt", ".b.tmp.pkl"):
        (tmp_path / name).touch()
    (tmp_path / "folder.pkl").mkdir()
    (tmp_path / "folder.pkl" / "d.pkl").touch()

    def names(pattern: str | Path) -> list[str]:
        return [path.name for path in list_dances(pattern)]

    assert names(tmp_path) == names(str(tmp_path)) == ["a.npz", "b.pkl", "c.NPY"]
    assert names(tmp_path / "*.pkl") == ["b.pkl"]
    assert names(tmp_path / "*") == ["a.npz", "b.pkl", "c.NPY"]
    assert sorted(names(tmp_path / "**" / "*.pkl")) == ["b.pkl", "d.pkl"]
    with pytest.raises(BadInput, match=r"found a '\.txt' file"):  # at once, before a model is loaded
        list_dances(tmp_path / "notes.txt")


def test_a_file_whose_name_looks_like_a_glob(tmp_path):
    (tmp_path / "take[1].pkl").touch()
    assert list_dances(tmp_path / "take[1].pkl") == [tmp_path / "take[1].pkl"]


def test_nothing_to_list(tmp_path):
    with pytest.raises(BadConfig, match="the folder holds no dances"):
        list_dances(tmp_path)
    with pytest.raises(BadConfig, match="no such file or folder"):
        list_dances(tmp_path / "missing.pkl")
    (tmp_path / "notes.txt").touch()
    with pytest.raises(BadConfig, match="holds no dances"):
        list_dances(tmp_path / "*.txt")
