"""Encoding and windows: motion, latent and rhythm are cut on one clock."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from tests_support_encoded import write_encoded

from d2m.audio.pretrained import load_dmae
from d2m.core.errors import BadInput
from d2m.core.music import Music
from d2m.core.timeline import Timeline
from d2m.data.dataset import Clip, ClipWindows, LatentGrid, MappedClips, Split, load_clip, load_split
from d2m.data.encode import encode_latents, onset_envelope, rhythm_curves
from d2m.data.layout import DataSetLayout
from d2m.rhythm.grid import beat_curve

CLOCK = Timeline(44100, 1024)
GRID = LatentGrid(CLOCK)


def of_split(layout: DataSetLayout, in_memory: bool = True) -> Split:
    load = partial(load_clip, layout, dmae="demo", mapped=not in_memory)
    return load_split(layout, "train", GRID, load, "dmae=demo", in_memory)


@pytest.fixture(scope="module")
def encoded(two_clips: Path) -> DataSetLayout:
    layout = DataSetLayout(two_clips)
    summary = encode_latents(layout, layout.names("train"), load_dmae("demo"))
    assert (summary.made + summary.found, summary.failed) == (2, {})
    return layout


def test_a_second_run_finds_everything_made(encoded: DataSetLayout) -> None:
    summary = encode_latents(encoded, encoded.names("train"), load_dmae("demo"))
    assert (summary.made, summary.found) == (0, 2)


def test_beat_curve_peaks_on_beats() -> None:
    activation = beat_curve(np.array([1.0, 2.0]), 200, CLOCK.latent_rate)
    times = (np.arange(200) + 0.5) / CLOCK.latent_rate
    assert activation[np.abs(times - 1.0).argmin()] > 0.9 and activation[np.abs(times - 1.5).argmin()] < 1e-3


def test_both_rhythm_curves_have_one_time() -> None:
    """Clicks anywhere in a latent frame: beats peak at once, onsets less than a frame later (librosa's own lag, measured).

    Taken at librosa's frame centres, which are the latent frames' starts, onsets would be 1.25 frames late.
    """
    rate, hop, frames, rng = CLOCK.sample_rate, CLOCK.latent_hop_samples, 400, np.random.default_rng(0)
    at = np.arange(20, 380, 23) * hop + rng.integers(hop, size=16)
    wave = np.zeros((1, frames * hop), np.float32)
    for start in at:
        wave[0, start : start + 300] = rng.normal(0, 0.3, 300)
    curves = beat_curve(at / rate, frames, CLOCK.latent_rate), onset_envelope(Music(wave, rate), frames, CLOCK)
    late = [
        np.mean([at_frame - 4 + curve[at_frame - 4 : at_frame + 6].argmax() + 0.5 - start / hop
                 for start, at_frame in zip(at, at // hop, strict=True)])
        for curve in curves
    ]  # fmt: skip
    assert abs(late[0]) < 0.1 and 0 < late[1] < 0.9, late


def test_aist_needs_no_tracker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Labels of a song that trackers take for off-beat come from the rule; a beat list of its own wins."""
    monkeypatch.setattr("d2m.data.encode.track_beats_s", lambda music: pytest.fail("tracked"))
    layout, name = DataSetLayout(tmp_path), "gHO_sBM_cAll_d20_mHO5_ch02"
    noise = np.random.default_rng(0).normal(0, 0.1, (1, 22050 * 4)).astype(np.float32)
    curve = rhythm_curves(layout, name, Music(noise, 22050), 172, CLOCK)[0]
    np.testing.assert_allclose(curve, beat_curve(0.047 + 60 / 135 * np.arange(9), 172, CLOCK.latent_rate))
    layout.beats(name).parent.mkdir()
    layout.beats(name).write_text("1.0\n")
    assert rhythm_curves(layout, name, Music(noise, 22050), 172, CLOCK)[0].sum() < 5


def test_window_is_cut_on_one_clock(encoded: DataSetLayout) -> None:
    clip = load_clip(encoded, "gBR_sBM_cAll_d04_mBR0_ch02", "demo")
    row = GRID.cut(clip, 43)
    assert clip.rhythm is not None and clip.genre == 3
    assert torch.equal(row["latent"], torch.from_numpy(clip.music[:, 43 : 43 + 256]))
    assert torch.equal(row["rhythm"], torch.from_numpy(clip.rhythm[:, 43 : 43 + 256]).float())
    start = CLOCK.latent_frames_to_motion_frames(43)  # 0.998 s, frame 60
    assert start == 60 and torch.equal(row["features"], torch.from_numpy(clip.features[60 : 60 + 356]))
    assert abs(float(row["start_s"]) - 43 * 1024 / 44100) < 1e-6


def test_motion_comes_from_features_where_encoding_has_left_them(encoded: DataSetLayout, tmp_path: Path) -> None:
    name = "gBR_sBM_cAll_d04_mBR0_ch02"
    kept = encoded.features(name).rename(tmp_path / "kept.npy")
    from_pickle = load_clip(encoded, name, "demo")
    np.save(encoded.features(name), from_pickle.features[:400] + 1)
    changed = load_clip(encoded, name, "demo")
    kept.rename(encoded.features(name))
    assert np.array_equal(changed.features, from_pickle.features[:400] + 1)


@pytest.mark.parametrize(("motion", "latent", "last"), [(355, 999, -1), (356, 256, 0), (416, 999, 43), (416, 270, 14)])
def test_last_start_needs_both_music_and_motion(motion: int, latent: int, last: int) -> None:
    clip = Clip("a", np.zeros((motion, 219), np.float32), np.zeros((4, latent), np.float32), None, 10)
    assert GRID.last_start(clip) == last


@pytest.fixture(scope="module")
def random_numbers(tmp_path_factory: pytest.TempPathFactory) -> DataSetLayout:
    root = tmp_path_factory.mktemp("encoded") / "data"
    write_encoded(root, 6, seconds=5.8)  # two shorter than a window
    return DataSetLayout(root)


def test_random_windows_stay_inside_and_move(random_numbers: DataSetLayout) -> None:
    clips = of_split(random_numbers).clips
    windows = ClipWindows(clips, GRID, length=40, seed=1)
    rows = [windows[number] for number in range(60)]  # past the epoch's length too
    assert all(row["features"].shape == (356, 219) and row["latent"].shape == (4, 256) for row in rows)
    assert len({row["name"] for row in rows}) == 4 and len({float(row["start_s"]) for row in rows}) > 5
    at_start = ClipWindows(clips, GRID, length=40, seed=1, random_start=False)
    assert {float(at_start[number]["start_s"]) for number in range(40)} == {0.0}


def test_mapped_and_loaded_windows_are_the_same(random_numbers: DataSetLayout) -> None:
    loaded = of_split(random_numbers)
    mapped = of_split(random_numbers, in_memory=False)
    assert isinstance(mapped.clips, MappedClips) and isinstance(mapped.clips[0].music.base, np.memmap)
    assert loaded.left_out == mapped.left_out and "2 of 6 sequences left out: 2 shorter than 5.94 s" in loaded.left_out
    of_loaded, of_mapped = (ClipWindows(split.clips, GRID, 20, seed=3) for split in (loaded, mapped))
    for number in range(20):
        one, other = of_loaded[number], of_mapped[number]
        assert one.keys() == other.keys() and one["name"] == other["name"]
        for key in ("features", "latent", "rhythm", "genre", "start_s"):
            assert torch.equal(one[key], other[key]) and one[key].dtype == other[key].dtype


def test_writing_into_a_mapped_clip_leaves_the_file(random_numbers: DataSetLayout) -> None:
    clip = of_split(random_numbers, in_memory=False).clips[0]
    before = random_numbers.latent(clip.name, "demo").read_bytes()
    clip.music[:] = 0
    assert random_numbers.latent(clip.name, "demo").read_bytes() == before


def test_sequences_not_encoded_are_left_out_and_said(tmp_path: Path) -> None:
    root = tmp_path / "data"
    names = write_encoded(root, 4)
    layout = DataSetLayout(root)
    with layout.split_file("train").open("a") as file:
        file.write("gBR_sBM_cAll_d04_mBR0_ch99\n" + "x" * 70)
    layout.latent(names[0], "demo").write_bytes(b"\x93NUMPY broken")
    loaded = of_split(layout)
    assert len(loaded.clips) == 3 and "3 of 6" in loaded.left_out and "damaged" in loaded.left_out
    mapped = of_split(layout, in_memory=False)
    assert len(mapped.clips) == 3 and mapped.left_out == loaded.left_out


@pytest.mark.parametrize("shorter", [False, True])
def test_a_sequence_that_is_damaged_or_cut_after_the_start_is_replaced(tmp_path: Path, shorter: bool) -> None:
    names = write_encoded(tmp_path / "data", 4)
    layout = DataSetLayout(tmp_path / "data")
    windows = ClipWindows(of_split(layout, in_memory=False).clips, GRID, length=30)
    layout.latent(names[0], "demo").write_bytes(b"\x93NUMPY broken")
    if shorter:
        np.save(layout.latent(names[0], "demo"), np.zeros((4, 200), np.float16))
        np.save(layout.rhythm(names[0], "demo"), np.zeros((2, 200), np.float16))
    with pytest.warns(UserWarning, match="left out: .*shorter than a window" if shorter else "left out: .*damaged"):
        used = {windows[number]["name"] for number in range(30)}
    assert used == set(names[1:])


def test_rhythm_curves_of_another_length_are_refused(tmp_path: Path) -> None:
    names = write_encoded(tmp_path / "data", 1)
    layout = DataSetLayout(tmp_path / "data")
    np.save(layout.rhythm(names[0], "demo"), np.zeros((2, 20), np.float16))
    with pytest.raises(BadInput, match=r"found float16 of shape \[2, 20\], expected rhythm curves \[2, \d+\]"):
        load_clip(layout, names[0], "demo")


def test_a_split_follows_its_list_and_the_ignore_list(tmp_path: Path) -> None:
    names = write_encoded(tmp_path / "data", 4)
    layout = DataSetLayout(tmp_path / "data")
    (layout.root / "ignore_list.txt").write_text(f"{names[1]}\n")
    (layout.latent_folder("demo") / "index.npy").write_bytes(b"of an older version")
    for in_memory in (True, False):
        split = of_split(layout, in_memory)
        assert [clip.name for clip in split.clips] == [names[0], *names[2:]] and split.left_out == ""


def test_missing_latent_says_what_to_do(two_clips: Path) -> None:
    with pytest.raises(BadInput, match=r"run scripts/encode\.py"):
        load_clip(DataSetLayout(two_clips), "gBR_sBM_cAll_d04_mBR0_ch02", "nobody")


def test_missing_split_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"run scripts/prepare\.py"):
        DataSetLayout(tmp_path).names("train")
