"""The default embedding's invariances, users' own vectors, and what is said of bad files."""

import json

import numpy as np
import pytest

from d2m.core.errors import BadConfig, BadInput
from d2m.core.music import Music
from d2m.evaluation.embeddings import (
    MFCC_STATISTICS,
    EmbeddingSet,
    MfccStatistics,
    embed_files,
    first_seconds,
    load_embedder,
    read_embeddings,
)
from d2m.models.music_genre import level_log_mel


def noise(seconds: float = 2.0, rate: int = 22050, channels: int = 1, seed: int = 0) -> Music:
    samples = np.random.default_rng(seed).normal(size=(channels, round(seconds * rate))) * 0.1
    return Music(samples.astype(np.float32), rate)


def tone(hertz: float, seconds: float = 2.0, rate: int = 22050) -> Music:
    times = np.arange(round(seconds * rate)) / rate
    return Music((0.3 * np.sin(2 * np.pi * hertz * times)).astype(np.float32)[None], rate)


def test_the_default_embedding_is_named_and_has_its_size():
    embed = load_embedder()
    assert embed.name == MFCC_STATISTICS == "mfcc-statistics-1"
    assert embed(noise()).shape == (40,) == (MfccStatistics().dimensions,)


def test_loudness_channels_and_rate_hardly_matter_but_timbre_does():
    embed, music = MfccStatistics(), tone(440)
    same = embed(music)
    assert np.allclose(embed(Music(music.waveform * 0.01, 22050)), same, atol=1e-3)
    assert np.allclose(embed(Music(np.repeat(music.waveform, 2, axis=0), 22050)), same, atol=1e-4)
    far = np.linalg.norm(embed(noise()) - same)
    assert np.linalg.norm(embed(tone(440, rate=44100)) - same) < 0.05 * far
    assert np.linalg.norm(embed(tone(880)) - same) > 0.1 * far


def test_steady_sound_does_not_move_and_broken_sound_does():
    steady = MfccStatistics()(tone(440, 4.0))
    samples = tone(440, 4.0).waveform.copy()
    samples[:, 30000:60000] = noise(30000 / 22050).waveform
    broken = MfccStatistics()(Music(samples, 22050))
    assert np.linalg.norm(broken[20:]) > 2 * np.linalg.norm(steady[20:])


def test_silence_and_single_samples_have_a_vector():
    assert np.allclose(MfccStatistics()(Music(np.zeros((2, 22050), np.float32), 22050)), 0, atol=1e-6)
    for samples in (0, 1, 100):
        vector = MfccStatistics()(Music(np.ones((1, samples), np.float32), 22050))
        assert vector.shape == (40,) and np.isfinite(vector).all()
    assert level_log_mel(Music(np.zeros((1, 1), np.float32), 22050)).min() == pytest.approx(np.log(0.01))


def test_files_are_embedded_by_name_and_one_bad_file_does_not_stop_the_rest(tmp_path):
    for number in range(3):
        noise(seed=number).save(tmp_path / f"{number}.wav")
    (tmp_path / "bad.wav").write_bytes(b"junk")
    files = {name: tmp_path / f"{name}.wav" for name in ("0", "bad", "2", "1")}
    found = embed_files(files, MfccStatistics(), seconds=1)
    assert found.names == ["0", "2", "1"] and found.embedding == "mfcc-statistics-1"
    assert list(found.failed) == ["bad"] and str(tmp_path / "bad.wav") in found.failed["bad"]
    cut = first_seconds(Music.load(tmp_path / "0.wav"), 1)
    assert np.allclose(found.of(["0"])[0], MfccStatistics()(cut))
    assert np.array_equal(found.of(["1", "bad", "0"]), found.vectors[[2, 0]])
    assert embed_files({}, MfccStatistics()).vectors.shape == (0, 0)


def test_users_vectors_are_pooled_as_said(tmp_path):
    frames = np.arange(12, dtype=np.float32).reshape(4, 3)
    np.save(tmp_path / "a.npy", frames)
    np.save(tmp_path / "b.npy", np.array([1, 2, 3], dtype=np.float16))
    mean = read_embeddings(tmp_path, ["b", "a"])
    assert mean.names == ["b", "a"] and np.allclose(mean.vectors, [[1, 2, 3], frames.mean(axis=0)])
    assert mean.embedding == f"npy:{tmp_path.name} (mean over time)"
    rows = read_embeddings(tmp_path, ["a", "b"], pooling="frames")
    assert rows.names == ["a"] * 4 + ["b"] and np.allclose(rows.of(["a"]), frames)
    assert "frames" in rows.embedding


def test_users_bad_files_get_one_sentence_each(tmp_path):
    np.save(tmp_path / "good.npy", np.ones(3))
    np.save(tmp_path / "wide.npy", np.ones(4))
    np.save(tmp_path / "nan.npy", np.array([1, np.nan, 2]))
    np.save(tmp_path / "deep.npy", np.ones((2, 2, 3)))
    np.save(tmp_path / "objects.npy", np.array([{}, {}], dtype=object), allow_pickle=True)
    (tmp_path / "junk.npy").write_bytes(b"junk")
    np.savez(tmp_path / "archive.npz", a=np.ones(3))
    (tmp_path / "archive.npz").rename(tmp_path / "archive.npy")
    names = ["good", "wide", "nan", "deep", "objects", "junk", "archive", "missing"]
    found = read_embeddings(tmp_path, names)
    assert found.names == ["good"] and set(found.failed) == set(names[1:])
    assert all(str(tmp_path) in sentence and "\n" not in sentence for sentence in found.failed.values())
    assert "found 4 dimensions, expected 3" in found.failed["wide"]
    with pytest.raises(BadInput, match="no usable embedding"):
        read_embeddings(tmp_path, ["nan", "missing"])
    with pytest.raises(BadInput, match="no usable embedding"):
        read_embeddings(tmp_path, [])
    with pytest.raises(BadInput, match="no such folder"):
        read_embeddings(tmp_path / "nowhere", ["a"])
    with pytest.raises(BadConfig, match="pooling=max"):
        read_embeddings(tmp_path, ["good"], pooling="max")


def test_unknown_embeddings_and_model_folders_get_one_sentence(tmp_path):
    with pytest.raises(BadConfig, match="no such embedding"):
        load_embedder("vggish")
    with pytest.raises(BadInput, match=r"config\.json"):
        load_embedder(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(BadInput, match="'bert'"):
        load_embedder(tmp_path)


def test_a_model_folder_without_its_package_or_its_weights_says_what_to_do(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "encodec"}))
    with pytest.raises((BadConfig, BadInput)) as caught:
        load_embedder(str(tmp_path))
    sentence = str(caught.value)
    assert str(tmp_path) in sentence and "transformers" in sentence and "\n" not in sentence


def test_a_tiny_random_encodec_from_a_local_folder(tmp_path):
    transformers = pytest.importorskip("transformers")
    config = transformers.EncodecConfig(
        sampling_rate=16000, audio_channels=2, num_filters=4, hidden_size=8, codebook_size=16, codebook_dim=8,
        num_lstm_layers=1, upsampling_ratios=[4, 2],
    )  # fmt: skip
    transformers.EncodecModel(config).save_pretrained(tmp_path)
    embed = load_embedder(tmp_path)
    assert embed.name == f"encodec:{tmp_path.name}"
    assert np.array_equal(embed(noise(channels=2)), embed(noise(channels=2))) and embed(noise()).shape == (8,)


def test_an_embedding_set_without_a_wanted_clip_leaves_it_out():
    found = EmbeddingSet("e", ["a"], np.ones((1, 2)))
    assert found.of(["b"]).shape == (0, 2)
