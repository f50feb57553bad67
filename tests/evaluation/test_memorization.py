"""A memorised training song stands out, transposed, shifted and dirtied; an honest new song does not."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from d2m.core.errors import BadInput
from d2m.core.music import Music
from d2m.evaluation.set_metrics import (
    FRAME_S,
    KEYS,
    TrainingIndex,
    build_index,
    find_memorized,
    p_value,
    similarity_features,
)

RATE = 22050
TRAINING = range(8)
HELD_OUT = range(100, 106)


def tune(seed: int, seconds: float = 8.0, semitones: int = 0) -> np.ndarray:
    """A random melody of plucked notes in random rhythm: the same seed is the same tune, in any key."""
    rng = np.random.default_rng(seed)
    samples, times = np.zeros(round(seconds * RATE)), np.arange(RATE) / RATE
    onset = 0.0
    while onset < seconds - 0.05:
        hertz = 220 * 2 ** ((rng.integers(0, 12) + semitones) / 12)
        note = sum(np.sin(2 * np.pi * hertz * k * times) / k for k in (1, 2, 3)) * np.exp(-4 * times)
        start = round(onset * RATE)
        samples[start : start + RATE] += note[: len(samples) - start] * rng.uniform(0.2, 0.4)
        onset += rng.choice([0.125, 0.25, 0.375, 0.5])
    return samples.astype(np.float32)


def save(path, samples: np.ndarray) -> None:
    Music((0.3 * samples)[None], RATE).save(path)


@pytest.fixture(scope="module")
def sounds(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sounds")
    for seed in (*TRAINING, *HELD_OUT):
        save(folder / f"{seed}.wav", tune(seed))
    return folder


@pytest.fixture(scope="module")
def index(sounds):
    return build_index({str(seed): sounds / f"{seed}.wav" for seed in TRAINING})


def test_a_training_song_finds_itself(index):
    nearest = index.nearest(similarity_features(Music(tune(3)[None], RATE)))
    assert nearest.name == "3" and nearest.similarity > 0.98
    assert nearest.transposition == 0 and nearest.start_s == pytest.approx(0, abs=FRAME_S)


def test_key_start_loudness_and_noise_do_not_hide_a_copy(index):
    dirty = tune(5, semitones=-4)[2 * RATE : 7 * RATE] * 0.2
    dirty = dirty + np.random.default_rng(0).normal(size=dirty.size).astype(np.float32) * 0.002
    nearest = index.nearest(similarity_features(Music(dirty[None], RATE)))
    assert nearest.name == "5" and nearest.similarity > 0.8
    assert nearest.transposition == 4 and nearest.start_s == pytest.approx(2, abs=1.5 * FRAME_S)


def test_memorised_music_stands_out_of_the_null(index, sounds, tmp_path):
    save(tmp_path / "memorised.wav", tune(2, semitones=3)[RATE:])
    save(tmp_path / "new.wav", tune(999))
    (tmp_path / "bad.wav").write_bytes(b"junk")
    pieces = {name: tmp_path / f"{name}.wav" for name in ("memorised", "new", "bad")}
    held_out = {str(seed): sounds / f"{seed}.wav" for seed in HELD_OUT}
    found = find_memorized(pieces, index, held_out, seconds=7)
    assert len(found.null) == len(held_out) and found.null.max() < 0.8
    assert found.nearest["memorised"].name == "2" and found.nearest["memorised"].similarity > found.null.max() + 0.15
    assert found.p_values["memorised"] == pytest.approx(1 / 7) and found.p_values["new"] > 1 / 7
    assert found.flagged(level=0.2)[0] == "memorised" and list(found.failed) == ["bad"]
    report = found.to_json()
    assert report["largest_similarity"] == found.nearest["memorised"].similarity
    assert report["clips"]["memorised"]["name"] == "2" and report["null_95"] <= found.null.max()


def test_similarity_equals_the_direct_definition():
    """A brute-force loop over key and lag on random features of two lengths."""
    rng = np.random.default_rng(0)
    piece = rng.normal(size=(13, 7)).astype(np.float32)
    clips, frames = np.zeros((2, 13, 12), np.float32), np.array([12, 9])
    for row, length in enumerate(frames):
        clips[row, :, :length] = rng.normal(size=(13, length))
    table = TrainingIndex(["a", "b"], clips, frames).similarities(piece)
    assert table.shape == (7 + 12 - 1, 2, KEYS)
    for row, length in enumerate(frames):
        for lag in range(18):
            pairs = [(i, i + lag - 6) for i in range(7) if 0 <= i + lag - 6 < length]
            for key in range(KEYS):
                if len(pairs) < 0.75 * 7 - 0.5:
                    assert table[lag, row, key] == -1
                    continue
                mine = piece[:, [i for i, _ in pairs]]
                other = clips[row][:, [j for _, j in pairs]]
                values = [
                    (a * b).sum() / np.sqrt((a**2).sum() * (b**2).sum())
                    for a, b in ((np.roll(mine[:12], key, axis=0), other[:12]), (mine[12:], other[12:]))
                ]
                assert table[lag, row, key] == pytest.approx(np.mean(values), abs=1e-4)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 999), st.integers(0, 11), st.integers(1, 40), st.integers(1, 30))
@example(341, 0, 1, 1)
def test_similarity_is_in_range_and_knows_its_own_transposition(seed, key, frames, query):
    rng = np.random.default_rng(seed)
    clip = rng.normal(size=(13, frames)).astype(np.float32)
    clip[12] += np.copysign(
        0.1, clip[12]
    )  # real onsets have energy 1 on average; one frame of nearly 0 has no direction
    index = TrainingIndex(["a"], clip[None], np.array([frames]))
    table = index.similarities(rng.normal(size=(13, query)).astype(np.float32))
    assert table.max() <= 1 + 1e-4 and table.min() >= -1 - 1e-4
    copy = np.concatenate([np.roll(clip[:12], -key, axis=0), clip[12:]])
    assert index.nearest(copy).similarity == pytest.approx(1, abs=1e-3)
    if frames > 3:
        assert index.nearest(copy).transposition == key


def test_silence_resembles_nothing(index):
    features = similarity_features(Music(np.zeros((1, 3 * RATE), np.float32), RATE))
    assert not features.any() and index.nearest(features).similarity == 0
    for samples in (0, 1, 500):
        assert np.isfinite(similarity_features(Music(np.ones((1, samples), np.float32), RATE))).all()


def test_the_index_is_made_once(sounds, tmp_path):
    files = {str(seed): sounds / f"{seed}.wav" for seed in range(3)}
    cache = tmp_path / "deep" / "index.npz"
    first = build_index(files, cache)
    stamp = cache.stat().st_mtime_ns
    again = build_index(files, cache)
    assert cache.stat().st_mtime_ns == stamp and again.names == first.names
    assert np.array_equal(again.features, first.features) and np.array_equal(again.frames, first.frames)
    fewer = build_index({"1": files["1"]}, cache)
    assert fewer.names == ["1"] and cache.stat().st_mtime_ns != stamp
    cache.write_bytes(b"junk")
    assert build_index(files, cache).names == first.names


def test_bad_training_files_are_listed_and_none_at_all_is_an_error(sounds, tmp_path):
    (tmp_path / "bad.wav").write_bytes(b"junk")
    found = build_index({"bad": tmp_path / "bad.wav", "1": sounds / "1.wav"}, tmp_path / "index.npz")
    assert found.names == ["1"] and list(found.failed) == ["bad"] and not (tmp_path / "index.npz").exists()
    with pytest.raises(BadInput, match="could be read"):
        build_index({"bad": tmp_path / "bad.wav"})


def test_p_values_count_the_observation_itself():
    null = np.array([0.1, 0.2, 0.3])
    assert p_value(0.9, null) == 0.25 and p_value(0.2, null) == 0.75 and p_value(0.5, np.zeros(0)) == 1
