"""The façade with the shipped weights: any length, seeds, genres, batches with bad files, and checkpoints that are none."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from tests_support_runs import script

from d2m.core.aist_names import GENRES
from d2m.core.checkpoint import load_checkpoint, save_checkpoint, shipped_or_path
from d2m.core.errors import BadConfig, BadInput
from d2m.metrics.audio_quality import clipped_share, loudness_lufs
from d2m.metrics.beat_tracker import track_beats_s
from d2m.metrics.beats import beat_f
from d2m.motion.dance import Dance
from d2m.pipeline import Dance2Music, generate_all
from d2m.rhythm.reader import body_points, side_views


@pytest.fixture(scope="module")
def model() -> Dance2Music:
    return Dance2Music.load("demo")


@pytest.fixture(scope="module")
def dance(two_clips: Path) -> Dance:
    return Dance.load(two_clips / "motions" / "gHO_sBM_cAll_d20_mHO5_ch02.pkl")


@pytest.mark.parametrize("frames", [60, 127, 356, 357, 480])
def test_music_is_exactly_as_long_as_the_dance(model: Dance2Music, dance: Dance, frames: int) -> None:
    music = model(Dance(dance.features[:frames], "cut"), steps=2)
    assert music.waveform.shape == (2, round(frames * 44100 / 60))
    assert np.isfinite(music.waveform).all() and np.abs(music.waveform).max() > 0.01


def test_seed_decides(model: Dance2Music, dance: Dance) -> None:
    first, again, other = (model(dance, seed=s, steps=3).waveform for s in (0, 0, 1))
    assert np.array_equal(first, again) and not np.allclose(first, other, atol=1e-3)


def test_music_is_not_cut_off_at_full_scale(model: Dance2Music, dance: Dance) -> None:
    """Not even where a decoder's latents are stronger than music's ever are."""
    music = model(dance, steps=4, guidance=8.0)
    assert clipped_share(music.waveform) == 0 and loudness_lufs(music) < -13.9


def test_music_follows_a_held_out_dance(model: Dance2Music, two_clips: Path) -> None:
    name = "gBR_sBM_cAll_d04_mBR0_ch02"
    true_s = np.loadtxt(two_clips / "beats" / f"{name}.txt")
    heard_s = track_beats_s(model(Dance.load(two_clips / "motions" / f"{name}.pkl")))
    assert beat_f(true_s, heard_s, 0.07) >= 0.7
    assert beat_f(true_s + 0.375, heard_s, 0.07) <= 0.3  # half a beat off: the score is not given away


def test_beats_of_a_body_in_a_picture_are_read_from_its_points(model: Dance2Music, dance: Dance) -> None:
    """Whatever the motion that was made of them does: here it stands still."""
    points = side_views(body_points(torch.from_numpy(dance.features)[None]), 1)
    still = replace(dance, features=np.repeat(dance.features[:1], len(dance.features), axis=0))
    _, record = model.generate(replace(still, points=points[0].numpy()), steps=1)
    reader = model.music_generator.system.reader  # pyright: ignore[reportAttributeAccessIssue]
    assert record.beats is not None
    seen_s = reader.read_points(points).beats().grid.within(dance.seconds)
    assert np.allclose(record.beats["beats_s"], seen_s, atol=2e-3)


def test_genre_is_predicted_and_can_be_told(model: Dance2Music, dance: Dance) -> None:
    predicted = model.generate(dance, steps=1)[1]
    assert predicted.genre_predicted and predicted.genre == "gHO"
    told = model.generate(dance, genre="gBR", steps=1)[1]
    assert told.genre == "gBR" and not told.genre_predicted
    with pytest.raises(BadConfig, match="expected one of"):
        model(dance, genre="gXX")
    assert len(GENRES) == 10


def test_a_setting_that_the_system_does_not_have_is_refused(model: Dance2Music, dance: Dance) -> None:
    with pytest.raises(BadConfig, match="temperature=0.5: LatentDiffusion has no such setting; it takes .*steps"):
        model(dance, temperature=0.5)
    record = model.generate(dance, steps=1, guidance=None)[1]
    used = {"steps": 1, "guidance": model.system.generation.guidance, "decoder": "onepass"}
    assert record.settings.pop("key") and record.settings.pop("energy") == "dance"
    assert record.settings == {**used, "device": "cpu", "precision": "exact"}
    assert record.as_json()["steps"] == 1 and "settings" not in record.as_json()


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("guidance_interval", 0.5, "expected two noise levels"),
        ("guidance_interval", "ab", "expected two noise levels"),
        ("guidance_interval", [0.8, 0.2], "expected two noise levels"),
        ("guidance_rescale", "much", "expected a number"),
        ("sampler", ["ddim"], "expected a name"),
        ("sampler", "leapfrog", "unknown; expected one of ddim"),
        ("sampler", "euler", "follows another path"),
        ("grid", "square", "unknown; expected one of angle"),
        ("decoder_steps", 2.5, "decoder_steps=2.5"),
    ],
)
def test_settings_of_the_sampler_that_mean_nothing_are_one_sentence(
    model: Dance2Music, dance: Dance, name: str, value: object, said: str
) -> None:
    with pytest.raises(BadConfig, match=said):
        model(dance, **{name: value})


def test_in_a_folder_of_many_the_good_ones_are_made(model: Dance2Music, two_clips: Path, tmp_path: Path) -> None:
    bad = tmp_path / "broken.npy"
    bad.write_bytes(b"")
    good = two_clips / "motions" / "gBR_sBM_cAll_d04_mBR0_ch02.pkl"
    result = generate_all(model, [bad, good], tmp_path / "out", steps=1)
    assert list(result.wavs) == [good] and "broken.npy" in result.failed[bad]
    record = json.loads((tmp_path / "out" / f"{good.stem}_seed0.json").read_text())
    assert record["seed"] == 0 and record["config"]["system"] and len(record["checkpoint_sha256"]) == 64
    assert sorted(p.suffix for p in (tmp_path / "out").iterdir()) == [".json", ".wav"]


def test_missing_checkpoint_names_what_there_is() -> None:
    with pytest.raises(BadConfig, match="demo"):
        Dance2Music.load("nowhere.safetensors")


def test_checkpoint_of_another_configuration(tmp_path: Path) -> None:
    shipped = load_checkpoint(shipped_or_path("demo"))
    state = dict(shipped.state)
    state.pop(next(iter(state)))
    path = save_checkpoint(tmp_path / "other.safetensors", state, shipped.config)
    with pytest.raises(BadInput, match="another configuration"):
        Dance2Music.load(path)


def test_checkpoint_cannot_run_foreign_code(tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    system = {"_target_": "pathlib.Path.touch", "_args_": [str(marker)]}
    path = tmp_path / "evil.safetensors"
    save_file({"x": torch.zeros(1)}, path, metadata={"config": json.dumps({"system": system, "dmae": "demo"})})
    with pytest.raises(BadInput, match="pathlib"):
        Dance2Music.load(path)
    assert not marker.exists()


def test_not_a_checkpoint(tmp_path: Path) -> None:
    for name in ("text.safetensors", "text.ckpt"):
        (tmp_path / name).write_text("hello")
        with pytest.raises(BadInput, match=name):
            Dance2Music.load(tmp_path / name)


def test_script_ends_with_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    result = script("sample", f"dance={tmp_path / 'empty'}", f"out={tmp_path / 'out'}")
    assert result.returncode == 2
    assert result.stderr.startswith("error: ") and result.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()
