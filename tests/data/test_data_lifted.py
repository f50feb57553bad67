"""Dances as a camera would have seen them: as long as before, under their own names or as copies beside the originals."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests_support_runs import encoded, script

from d2m.core.errors import BadConfig
from d2m.data.camera_copies import (
    CameraNoise,
    add_camera_copies,
    camera_copy,
    copy_name,
    simulated_landmarks,
    write_camera_copies,
)
from d2m.data.layout import DataSetLayout, load_dance
from d2m.motion.dance import Dance
from d2m.motion.features import joint_positions_of
from d2m.motion.landmarks import Landmarks
from d2m.video.modality import skeleton_landmarks

QUIET = CameraNoise(0.0, 0.0, dropped=0.0, uneven_s=0.0)


@pytest.fixture(scope="module")
def layout(two_clips: Path) -> DataSetLayout:
    return DataSetLayout(encoded(two_clips))


def test_a_quiet_camera_sees_the_same_dance(layout: DataSetLayout) -> None:
    dance = Dance.load(layout.motion(layout.names("train")[0]))
    back = camera_copy(dance, QUIET, 0)
    assert back.features.shape == dance.features.shape and back.genre == dance.genre
    heights = [joint_positions_of(d.features)[:, 15, 1] for d in (dance, back)]  # the head goes up and down
    assert np.corrcoef(heights[0] - heights[0].mean(), heights[1] - heights[1].mean())[0, 1] > 0.8


def test_noise_is_the_same_for_the_same_seed(layout: DataSetLayout) -> None:
    dance = Dance.load(layout.motion(layout.names("train")[0]))
    first, again, other = (camera_copy(dance, CameraNoise(), seed).features for seed in (1, 1, 2))
    assert np.array_equal(first, again) and not np.array_equal(first, other)


def test_another_data_set_keeps_names_music_and_beats(layout: DataSetLayout, tmp_path: Path) -> None:
    names = layout.names("train")
    motions = [layout.motion(name) for name in names]
    assert write_camera_copies(motions, tmp_path, QUIET, processes=1) == 2
    assert write_camera_copies(motions, tmp_path, QUIET, processes=1) == 0
    for name in names:
        assert Dance.load(tmp_path / "motions" / f"{name}.npy").genre == name[:3]
        seen = load_dance(tmp_path / "motions" / f"{name}.npy", "landmarks")
        truth = skeleton_landmarks(Dance.load(layout.motion(name)).features)
        assert seen.landmarks is not None and seen.landmarks.shape == truth.shape
        assert np.abs(seen.landmarks - truth).mean() < 0.01  # those that the motion was lifted from
        assert (tmp_path / "wavs" / f"{name}.wav").exists() and (tmp_path / "beats" / f"{name}.txt").exists()
    with pytest.raises(BadConfig, match="is the data set itself"):
        write_camera_copies(motions, layout.root, QUIET)
    with pytest.raises(BadConfig, match="camera=above: expected one of front, side"):
        write_camera_copies(motions, tmp_path, QUIET, camera="above")


def test_any_folder_of_motions_is_seen_from_two_sides(layout: DataSetLayout, tmp_path: Path) -> None:
    """No data set's folders around it, and no links; the points lie a quarter turn round, and lifted they are the same dance."""
    (tmp_path / "mine").mkdir()
    name = layout.names("train")[0]
    shutil.copy(layout.motion(name), tmp_path / "mine" / f"{name}.pkl")
    shutil.copytree(layout.root / "beats", tmp_path / "beats")  # another's: not beside a folder `motions`
    quiet = ["noise.least_m=0", "noise.most_m=0", "noise.dropped=0", "noise.uneven_s=0", "processes=1"]
    joints = {}
    for camera in ("front", "side"):
        run = script("lift", f"motions={tmp_path / 'mine'}", f"out={tmp_path / camera}", f"camera={camera}", *quiet)
        assert run.returncode == 0 and f"1 dances lifted into {tmp_path / camera}, seen from the {camera}" in run.stdout
        assert sorted(path.name for path in (tmp_path / camera).iterdir()) == ["landmarks", "motions"]
        joints[camera] = joint_positions_of(Dance.load(tmp_path / camera / "motions" / f"{name}.npy").features)
    front, side = (Landmarks.load(tmp_path / c / "landmarks" / f"{name}.npz").world for c in ("front", "side"))
    assert np.allclose(side[..., 0], -front[..., 2], atol=1e-4) and np.allclose(side[..., 2], front[..., 0], atol=1e-4)
    hands = [found[:, 20] - found[:, 21] for found in joints.values()]
    assert np.abs(hands[0] - hands[1]).mean() < 0.05
    run = script("lift", f"motions={tmp_path / 'mine'}")
    assert run.returncode == 2 and run.stderr.startswith("error: missing out=")


def test_noise_in_depth_is_along_the_camera_axis(layout: DataSetLayout) -> None:
    dance = Dance.load(layout.motion(layout.names("train")[0]))
    exact = simulated_landmarks(dance, QUIET, 0).world
    deep = simulated_landmarks(dance, replace(QUIET, least_m=0.01, most_m=0.01, depth=3.0), 0).world
    assert np.std(deep - exact, axis=(0, 1)) == pytest.approx([0.01, 0.01, 0.03], rel=0.1)


def test_copies_share_the_latent_and_make_a_split(layout: DataSetLayout) -> None:
    split = add_camera_copies(layout, "train", "demo", QUIET, processes=1)
    names, both = layout.names("train"), layout.names(split)
    assert split == "train_lifted" and len(both) == 2 * len(names)
    for name in names:
        copy = copy_name(name)
        assert copy in both and copy.endswith(f"_ch{int(name[-2:]) + 50}")
        assert np.array_equal(np.load(layout.latent(copy, "demo")), np.load(layout.latent(name, "demo")))
        assert layout.score(copy).read_text() == layout.score(name).read_text()
        assert not np.array_equal(np.load(layout.features(copy)), np.load(layout.features(name)))


def test_a_data_set_with_copies_can_be_moved(layout: DataSetLayout, tmp_path: Path) -> None:
    names, split = layout.names("train"), add_camera_copies(layout, "train", "demo", QUIET, processes=1)
    shutil.copytree(layout.root, tmp_path / "here" / "data", symlinks=True)
    here = DataSetLayout(tmp_path / "here" / "data")
    motions = [here.motion(name) for name in names]
    write_camera_copies(motions, tmp_path / "here" / "lifted", QUIET, processes=1)
    (tmp_path / "here").rename(tmp_path / "there")
    moved, seen = DataSetLayout(tmp_path / "there" / "data"), DataSetLayout(tmp_path / "there" / "lifted")
    for copy in moved.names(split):
        assert moved.root.resolve() in moved.latent(copy, "demo").resolve(strict=True).parents
        assert moved.root.resolve() in moved.rhythm(copy, "demo").resolve(strict=True).parents
    for name in names:
        assert moved.root.resolve() in seen.wav(name).resolve(strict=True).parents
        assert seen.beats(name).exists()
