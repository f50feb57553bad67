"""The genre classifier: training on a small set, its file, the shipped weights on songs they never heard, and KL."""

import math

import numpy as np
import pytest
import torch
from tests_support_runs import script

from d2m.core.aist_names import GENRES
from d2m.core.checkpoint import save_checkpoint
from d2m.core.errors import BadInput
from d2m.core.music import Music
from d2m.data.synthetic.songs import Song, render_song
from d2m.evaluation.genre_classifier import (
    GenreTraining,
    classes_of,
    examples_of_data_set,
    examples_of_table,
    kl_divergence,
    log_mels,
    save_genre_classifier,
    train_genre_classifier,
)
from d2m.models.music_genre import SHIPPED_WEIGHTS, WINDOW_FRAMES, GenreClassifier, GenreNetwork

BRIEF = GenreTraining(steps=25, batch=8, channels=16)


def untrained(channels: int = 8) -> GenreClassifier:
    torch.manual_seed(0)
    return GenreClassifier(GenreNetwork(3, channels).eval(), ("x", "y", "z"), {})


@pytest.fixture(scope="module")
def trained(two_clips, tmp_path_factory) -> GenreClassifier:
    examples = examples_of_data_set(two_clips)
    mels, failed = log_mels(examples, tmp_path_factory.mktemp("mels"))
    assert not failed
    return train_genre_classifier(examples, mels, BRIEF)


def test_training_learns_two_genres_and_its_file_says_the_same(trained, two_clips, tmp_path):
    assert trained.genres == GENRES and trained.accuracy == {"test": 1.0, "train": 1.0, "val": 1.0}
    path = save_genre_classifier(trained, tmp_path / "genre.safetensors")
    loaded = GenreClassifier.load(path)
    assert loaded.genres == trained.genres and loaded.accuracy == trained.accuracy and len(loaded.weights_sha256) == 64
    for wav in sorted((two_clips / "wavs").iterdir()):
        music = Music.load(wav)
        assert loaded.genre(music) == wav.name[:3]
        assert np.allclose(loaded.probabilities(music), trained.probabilities(music), atol=0.02)


def test_training_repeats_with_its_seed(two_clips, tmp_path):
    examples = examples_of_data_set(two_clips)
    mels, _ = log_mels(examples, tmp_path)
    stamps = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert len(stamps) == 2
    log_mels(examples, tmp_path)
    assert stamps == {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}  # the cache is used
    (next(iter(stamps))).write_bytes(b"junk")
    again, failed = log_mels(examples, tmp_path)
    assert not failed and all(np.array_equal(again[name], mels[name]) for name in mels)
    brief = GenreTraining(steps=2, batch=4, channels=8)
    one, other = (train_genre_classifier(examples, mels, brief).network.state_dict() for _ in range(2))
    assert all(torch.equal(one[key], other[key]) for key in one)


def test_a_users_own_wavs_and_classes(tmp_path):
    for name, samples in {
        "hum": np.sin(np.arange(44100) * 0.02),
        "hiss": np.random.default_rng(0).normal(size=44100),
    }.items():
        Music((0.1 * samples).astype(np.float32)[None], 22050).save(tmp_path / f"{name}.wav")
    (tmp_path / "broken.wav").write_bytes(b"junk")
    table = tmp_path / "labels.csv"
    table.write_text("name,genre,split\nhum,low,train\nhiss,high,train\nhum,low,held out\nbroken,low,train\n")
    examples = examples_of_table(tmp_path, table)
    mels, failed = log_mels(examples, tmp_path / "mels")
    assert list(failed) == ["broken"]
    classifier = train_genre_classifier(examples, mels, BRIEF)
    assert classifier.genres == ("high", "low") == classes_of(examples)
    assert classifier.accuracy == {"held out": 1.0, "train": 1.0}
    assert classifier.genre(Music.load(tmp_path / "hiss.wav")) == "high"


def test_labels_that_cannot_be_used_get_one_sentence(tmp_path, two_clips):
    table = tmp_path / "labels.csv"
    with pytest.raises(BadInput, match="name,genre,split"):
        examples_of_table(tmp_path, table)
    table.write_text("name,genre\na,b\n")
    with pytest.raises(BadInput, match="name,genre,split"):
        examples_of_table(tmp_path, table)
    table.write_text("name,genre,split\na,b,test\n")
    with pytest.raises(BadInput, match="'train'"):
        examples_of_table(tmp_path, table)
    one_genre = examples_of_data_set(two_clips)[:1]
    mels, _ = log_mels(one_genre, tmp_path)
    with pytest.raises(BadInput, match="fewer than two genres"):
        train_genre_classifier(one_genre, mels, BRIEF)
    (tmp_path / "splits").mkdir()
    (tmp_path / "splits" / "crossmodal_train.txt").write_text("my_own_name\n")
    with pytest.raises(BadInput, match=r"labels=FILE\.csv"):
        examples_of_data_set(tmp_path)


def test_the_shipped_weights_know_songs_that_they_never_heard():
    """Ten songs, one a genre, of the splits `test` and `retimed`; half precision keeps the file small."""
    assert SHIPPED_WEIGHTS.stat().st_size < 300_000
    classifier = GenreClassifier.load()
    songs = [Song(code) for code in ("mBR0", "mHO5", "mJB5", "mJS3", "mKR2", "mLHT113", "mLOT087", "mMHT127", "mPOT093", "mWAT107")]  # fmt: skip
    said = [classifier.genre(Music((played := render_song(song, 6.0)).waveform, played.sample_rate)) for song in songs]
    assert np.mean([one == song.genre for one, song in zip(said, songs, strict=True)]) >= 0.6
    assert set(classifier.accuracy) == {"train", "val", "test", "retimed"}


@pytest.mark.parametrize("seconds", [0.0, 0.01, 1.0, 5.9, 6.1, 14.0])
def test_probabilities_of_any_length_sum_to_one(seconds):
    samples = np.random.default_rng(0).normal(size=(2, round(seconds * 16000))).astype(np.float32)
    probabilities = untrained().probabilities(Music(samples, 16000))
    assert probabilities.shape == (3,) and probabilities.sum() == pytest.approx(1) and (probabilities > 0).all()


def test_long_clips_are_heard_to_their_end():
    mel = np.random.default_rng(0).normal(size=(64, 2 * WINDOW_FRAMES + 40)).astype(np.float32)
    other = mel.copy()
    other[:, -1] += 5
    classifier = untrained()
    assert np.abs(classifier.probabilities_of(mel) - classifier.probabilities_of(other)).max() > 1e-7


def test_files_that_are_no_classifier_get_one_sentence(tmp_path):
    with pytest.raises(BadInput, match=r"train_genre\.py"):
        GenreClassifier.load(tmp_path / "missing.safetensors")
    other = save_checkpoint(tmp_path / "other.safetensors", {"a": torch.zeros(2)}, {"_target_": "d2m.x"})
    with pytest.raises(BadInput, match="no genre classifier"):
        GenreClassifier.load(other)
    (tmp_path / "junk.safetensors").write_bytes(b"junk")
    with pytest.raises(BadInput):
        GenreClassifier.load(tmp_path / "junk.safetensors")


def test_kl_divergence_has_its_hand_worked_values():
    half, sure = np.array([0.5, 0.5]), np.array([1.0, 0.0])
    assert kl_divergence(half, half) == 0
    assert kl_divergence(np.array([0.75, 0.25]), half) == pytest.approx(0.75 * math.log(1.5) + 0.25 * math.log(0.5))
    assert kl_divergence(sure, np.array([0.0, 1.0])) == pytest.approx(-math.log(1e-6), rel=1e-4)
    assert kl_divergence(sure, half) != pytest.approx(kl_divergence(half, sure))
    for seed in range(20):
        one, other = np.random.default_rng(seed).dirichlet(np.full(10, 0.1), size=2)
        assert 0 <= kl_divergence(one, other) <= 14
    with pytest.raises(ValueError, match="same classes"):
        kl_divergence(half, np.full(3, 1 / 3))
    with pytest.raises(ValueError, match="same classes"):
        kl_divergence(half, np.array([0.9, 0.9]))


def test_the_command_trains_and_says_what_is_missing(two_clips, tmp_path):
    data, out = f"root={two_clips}", f"out={tmp_path / 'genre.safetensors'}"
    settings = [f"cache={tmp_path / 'mels'}", "training.steps=5", "training.batch=4", "training.channels=8"]
    done = script("train_genre", data, out, *settings)
    assert done.returncode == 0 and "wrote" in done.stdout, done.stderr
    assert GenreClassifier.load(tmp_path / "genre.safetensors").genres == GENRES
    failed = script("train_genre", data, *settings)
    assert failed.returncode == 2 and "out=" in failed.stderr and "Traceback" not in failed.stderr
