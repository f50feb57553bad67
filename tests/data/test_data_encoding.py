"""Encoding of a data set: batches equal single pieces, ranks share the work, what exists is left, bad files are reported."""

import copy
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning import Trainer
from tests_support_runs import script_in_ranks

from d2m.audio.autoencoder import DMAE
from d2m.audio.chunked_coding import encode_all_in_chunks, encode_in_chunks
from d2m.audio.pretrained import load_dmae, weights_sha256
from d2m.core.errors import BadConfig, BadInput
from d2m.core.music import Music
from d2m.core.timeline import Timeline
from d2m.data.encode import MAX_SCALE_SEQUENCES, EncodeItems, Target, encode_latents, latent_scale
from d2m.data.layout import DataSetLayout
from d2m.data.manifest import LatentManifest
from d2m.motion.dance import Dance

BREAK, HOUSE = "gBR_sBM_cAll_d04_mBR0_ch02", "gHO_sBM_cAll_d20_mHO5_ch02"


@pytest.fixture(scope="module")
def dmae() -> DMAE:
    return load_dmae("demo")


@pytest.fixture
def layout(two_clips: Path, tmp_path: Path) -> DataSetLayout:
    """A fresh, not encoded copy of the two clips."""
    for folder in ("motions", "wavs", "beats", "splits"):
        shutil.copytree(two_clips / folder, tmp_path / folder)
    return DataSetLayout(tmp_path)


def a_trainer() -> Trainer:
    return Trainer(
        accelerator="cpu", devices=1, logger=False, enable_checkpointing=False, enable_progress_bar=False,
        use_distributed_sampler=False,
    )  # fmt: skip


def encode_here(layout: DataSetLayout, names: list[str], dmae: DMAE):
    return encode_latents(layout, names, dmae)


def encode_through_lightning(layout: DataSetLayout, names: list[str], dmae: DMAE):
    return encode_latents(layout, names, dmae, a_trainer(), workers=0)


def test_batches_of_several_pieces_equal_single_pieces(dmae: DMAE) -> None:
    torch.manual_seed(0)
    window = dmae.clock.window_samples
    pieces = [0.1 * torch.randn(2, samples) for samples in (window, window // 2, 2 * window + 77, window + 1)]
    batched = encode_all_in_chunks(dmae, pieces, batch_size=3)
    for piece, latent in zip(pieces, batched, strict=True):
        assert latent.shape == (96, dmae.clock.samples_to_latent_frames(piece.shape[1]))
        assert torch.allclose(latent, encode_in_chunks(dmae, piece), atol=1e-5)
    for number in (0, 1):  # no longer than a window: the encoder's own answer
        assert torch.allclose(batched[number], dmae.encode(pieces[number][None])[0], atol=1e-5)


@pytest.mark.parametrize("encode", [encode_here, encode_through_lightning])
def test_what_a_data_set_holds_afterwards(encode: Callable, layout: DataSetLayout, dmae: DMAE) -> None:
    summary = encode(layout, [HOUSE, BREAK], dmae)
    assert (summary.made, summary.found, summary.failed) == (2, 0, {})
    latents = []
    for name in (BREAK, HOUSE):
        waveform = torch.from_numpy(Music.load(layout.wav(name)).waveform)
        latents.append(np.load(layout.latent(name, "demo")))
        assert latents[-1].dtype == np.float16
        assert np.allclose(latents[-1], encode_in_chunks(dmae, waveform).numpy(), atol=1e-3)  # half precision
        rhythm = np.load(layout.rhythm(name, "demo"))
        assert rhythm.dtype == np.float16 and rhythm.shape == (2, latents[-1].shape[1])
        features = np.load(layout.features(name))
        assert features.dtype == np.float32
        np.testing.assert_array_equal(features, Dance.load(layout.motion(name)).features)
    folder = layout.latent_folder("demo")
    manifest = LatentManifest.load(folder)
    manifest.check(dmae.clock, weights_sha256(dmae), dmae.latent_channels)
    assert (manifest.dmae, manifest.sequences) == ("demo", 2)
    together = np.concatenate(latents, axis=1).astype(np.float64)
    assert np.allclose(manifest.latent_mean, together.mean(axis=1), atol=1e-6)
    assert np.allclose(manifest.latent_std, together.std(axis=1), atol=1e-6)


@pytest.mark.parametrize("encode", [encode_here, encode_through_lightning])
def test_a_second_run_makes_only_what_is_missing(encode: Callable, layout: DataSetLayout, dmae: DMAE) -> None:
    encode(layout, [BREAK, HOUSE], dmae)
    written = layout.latent(BREAK, "demo").stat().st_mtime_ns
    layout.features(BREAK).unlink()
    layout.wav(BREAK).unlink()  # its music is not needed again
    summary = encode(layout, [BREAK, HOUSE], dmae)
    assert (summary.made, summary.found, summary.failed) == (1, 1, {})
    assert layout.features(BREAK).exists() and layout.latent(BREAK, "demo").stat().st_mtime_ns == written
    summary = encode(layout, [BREAK, HOUSE], dmae)
    assert (summary.made, summary.found, summary.failed) == (0, 2, {})


def damage_wav(layout: DataSetLayout) -> None:
    layout.wav(BREAK).write_bytes(b"RIFF no music")


def damage_motion(layout: DataSetLayout) -> None:
    layout.motion(BREAK).write_bytes(layout.motion(BREAK).read_bytes()[:1000])


def damage_beats(layout: DataSetLayout) -> None:
    layout.beats(BREAK).write_text("1.0\nsoon\n")


def write_beats_in_milliseconds(layout: DataSetLayout) -> None:
    layout.beats(BREAK).write_text("".join(f"{47 + 750 * beat}\n" for beat in range(11)))


def shorten_wav(layout: DataSetLayout) -> None:
    Music(np.zeros((1, 1000), np.float32), 22050).save(layout.wav(BREAK))


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (damage_wav, "not a readable audio file"),
        (damage_motion, rf"{BREAK}\.pkl"),
        (damage_beats, "not a beat list"),
        (write_beats_in_milliseconds, "look like milliseconds: divide by 1000"),
        (shorten_wav, "found 0.05 s of music"),
    ],
)
def test_a_bad_file_is_reported_and_the_rest_goes_on(
    damage: Callable[[DataSetLayout], None], sentence: str, layout: DataSetLayout, dmae: DMAE
) -> None:
    damage(layout)
    summary = encode_latents(layout, [BREAK, HOUSE], dmae)
    assert summary.made == 1 and list(summary.failed) == [BREAK]
    with pytest.raises(BadInput, match=sentence):
        raise BadInput(summary.failed[BREAK])
    assert not layout.latent(BREAK, "demo").exists()
    assert LatentManifest.load(layout.latent_folder("demo")).sequences == 1


def test_a_damaged_latent_is_not_counted(layout: DataSetLayout, dmae: DMAE) -> None:
    encode_latents(layout, [BREAK, HOUSE], dmae)
    layout.latent(BREAK, "demo").write_bytes(layout.latent(BREAK, "demo").read_bytes()[:300])
    np.save(layout.features(HOUSE), np.zeros((480, 7), np.float32))
    summary = encode_latents(layout, [BREAK, HOUSE], dmae)
    assert "damaged" in summary.failed[BREAK] and "expected motion features [time, 219]" in summary.failed[HOUSE]
    assert LatentManifest.load(layout.latent_folder("demo")).sequences == 0


def test_another_autoencoder_is_refused_in_the_same_folder(layout: DataSetLayout, dmae: DMAE) -> None:
    encode_latents(layout, [BREAK], dmae)
    other = copy.deepcopy(dmae)
    next(other.encoder.parameters()).mul_(1.01)
    with pytest.raises(BadInput, match=r"another autoencoder \(weights .*dmae\.name="):
        encode_latents(layout, [BREAK, HOUSE], other)
    assert not layout.latent(HOUSE, "demo").exists()
    other.name = "other"
    assert encode_latents(layout, [BREAK], other).made == 1


def test_latents_of_another_autoencoder_without_a_manifest_are_noticed(layout: DataSetLayout, dmae: DMAE) -> None:
    encode_latents(layout, [BREAK, HOUSE], dmae)
    manifest = layout.latent_folder("demo") / "manifest.json"
    manifest.unlink()
    assert encode_latents(layout, [BREAK, HOUSE], dmae).found == 2 and manifest.exists()
    manifest.unlink()
    stored = np.load(layout.latent(BREAK, "demo"))
    for other, sentence in ((-stored, "away"), (stored[:, :-1], r"\[96, \d+\], not")):
        np.save(layout.latent(BREAK, "demo"), other)
        with pytest.raises(BadInput, match=f"'{BREAK}' is .*{sentence}"):
            encode_latents(layout, [BREAK, HOUSE], dmae)


def test_what_a_killed_run_left_is_swept_up(layout: DataSetLayout, dmae: DMAE) -> None:
    layout.latent_folder("demo").mkdir(parents=True)
    old, young = (layout.latent_folder("demo") / f".{BREAK}.{age}.npy" for age in ("old", "young"))
    for path in (old, young):
        path.write_bytes(b"half")
    os.utime(old, (0, 0))
    assert encode_latents(layout, [BREAK], dmae).made == 1
    assert young.exists() and not old.exists()  # the young one may belong to a run that is writing it
    assert LatentManifest.load(layout.latent_folder("demo")).sequences == 1


def test_a_killed_run_has_already_claimed_its_folder(layout: DataSetLayout, dmae: DMAE) -> None:
    damage_wav(layout)
    layout.root.joinpath("features").write_text("in the way")  # the first write fails
    with pytest.raises(BadConfig, match="cannot be written"):
        encode_latents(layout, [HOUSE], dmae)
    other = copy.deepcopy(dmae)
    next(other.encoder.parameters()).mul_(1.01)
    with pytest.raises(BadInput, match="another autoencoder"):
        encode_latents(layout, [HOUSE], other)
    assert not [path for path in layout.root.rglob("*") if path.name.startswith(".")]


def test_fingerprint_is_of_the_encoder_in_half_precision(dmae: DMAE) -> None:
    sha256 = weights_sha256(dmae)
    other = copy.deepcopy(dmae)
    for name, weight in other.named_parameters():
        if ".encoder." not in name:
            weight.zero_()
    assert weights_sha256(other.half()) == sha256
    next(other.encoder.parameters()).zero_()
    assert weights_sha256(other) != sha256


@pytest.mark.parametrize(("channels", "rate"), [(1, 22050), (2, 24000)])
def test_music_of_any_rate_and_channels_is_fed_as_the_autoencoder_wants_it(
    channels: int, rate: int, layout: DataSetLayout
) -> None:
    tone = np.sin(2 * np.pi * 440 * np.arange(2 * 44100) / 44100).astype(np.float32) / 2
    Music(np.stack([tone, tone, -tone]), 44100).save(layout.wav(BREAK))  # mean: a third of it
    piece = EncodeItems(Target(layout, "demo", Timeline(rate, 512), channels), [BREAK])[0]
    assert piece.waveform is not None and piece.rhythm is not None and piece.failure is None
    assert piece.waveform.shape == (channels, 2 * rate)
    inner = piece.waveform[:, rate // 2 : -rate // 2]
    assert np.allclose(np.sqrt(2 * (inner**2).mean(axis=1)), 1 / 6, atol=2e-3)


def test_scale_is_the_training_splits(layout: DataSetLayout) -> None:
    layout.split_file("train").write_text(f"{BREAK}\n")
    layout.latent_folder("x").mkdir(parents=True)
    np.save(layout.latent(BREAK, "x"), np.array([[1.0, 3.0], [5.0, 5.0]], np.float16))
    np.save(layout.latent(HOUSE, "x"), np.full((2, 9), 100, np.float16))
    mean, std = latent_scale(Target(layout, "x", Timeline(22050, 512), 1), [BREAK, HOUSE], 2)
    assert mean.tolist() == [2.0, 5.0] and std.tolist() == [1.0, 0.0]
    assert MAX_SCALE_SEQUENCES == 2000


def test_two_processes_encode_what_one_does(layout: DataSetLayout, dmae: DMAE, two_clips: Path, tmp_path: Path) -> None:
    encode_latents(DataSetLayout(two_clips), [BREAK, HOUSE], dmae)
    settings = [f"root={layout.root}", "trainer.accelerator=cpu", "trainer.enable_progress_bar=false", "workers=0"]
    runs = script_in_ranks(tmp_path, "encode", "threads=1", *settings)
    assert [run.returncode for run in runs] == [0, 0], runs[-1].stderr[-3000:]
    # had both ranks had the same part, four would be made, or some found
    assert runs[0].stdout.strip().endswith("2 sequences encoded, 0 were there already, 0 could not be encoded")
    one, two = DataSetLayout(two_clips), layout
    for name in (BREAK, HOUSE):
        np.testing.assert_allclose(np.load(two.latent(name, "demo")), np.load(one.latent(name, "demo")), atol=1e-3)
        np.testing.assert_array_equal(np.load(two.rhythm(name, "demo")), np.load(one.rhythm(name, "demo")))
        np.testing.assert_array_equal(np.load(two.features(name)), np.load(one.features(name)))
    manifests = [LatentManifest.load(layout.latent_folder("demo")) for layout in (one, two)]
    assert manifests[0].weights_sha256 == manifests[1].weights_sha256 and manifests[1].sequences == 2
    assert np.allclose(manifests[0].latent_mean, manifests[1].latent_mean, atol=1e-4)
