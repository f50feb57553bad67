"""Tokens of a data set: encoding that resumes, whose they are, and the windows that training sees."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from tests_support_codec import FACTS, tiny_system, write_tokens

from d2m.audio.codec import Codec, CodecFacts, load_codec
from d2m.core.errors import BadConfig, BadInput
from d2m.core.timeline import Timeline
from d2m.data.datamodule import TokenWindows
from d2m.data.dataset import LatentGrid, load_token_clip
from d2m.data.encode import encode_tokens
from d2m.data.layout import DataSetLayout
from d2m.data.manifest import TokenManifest


class LoudnessCodec(Codec):
    """Loudness of a frame in steps of 1/16, and whether the next one is louder."""

    def __init__(self, name: str = "loudness", hop: int = 800) -> None:
        super().__init__(name, 8000, hop, 2, 16)
        self.unused = torch.nn.Parameter(torch.zeros(1))

    def encode(self, waveform):
        missing = -waveform.shape[-1] % self.hop_samples
        frames = torch.nn.functional.pad(waveform, (0, missing)).unflatten(-1, (-1, self.hop_samples))
        loud = (frames.abs().mean(dim=-1).clamp(0, 0.99) * 16).long()
        return torch.cat([loud, (loud.roll(-1, dims=-1) > loud).long()], dim=1)

    def decode(self, codes, seed: int = 0):
        return (codes[:, :1] / 16).repeat_interleave(self.hop_samples, dim=-1)

    def fingerprint(self) -> str:
        return f"{self.hop_samples:064d}"


def test_a_data_set_gets_tokens_once(two_clips: Path) -> None:
    layout, codec = DataSetLayout(two_clips), LoudnessCodec()
    names = layout.names("train")
    first = encode_tokens(layout, [*names, "gBR_sBM_cAll_d04_mBR0_ch99"], codec)
    assert (first.made, first.found, len(first.failed)) == (2, 0, 1)
    assert "no such file" in first.failed["gBR_sBM_cAll_d04_mBR0_ch99"].lower()
    path = layout.tokens(names[0], "loudness")
    codes, rhythm = np.load(path), np.load(layout.rhythm(names[0], "loudness"))
    assert (
        codes.dtype == np.int16
        and codes.shape == (2, 80)
        and rhythm.shape == (2, 80)
        and layout.features(names[0]).exists()
    )
    beats_s = np.loadtxt(layout.beats(names[0]))
    assert rhythm[0, int(beats_s[2] * 10)] > 0.2  # within half a frame of a beat
    manifest = TokenManifest.load(layout.token_folder("loudness"))
    assert manifest.codec == codec.facts and manifest.sequences == 2
    path.unlink()  # as if the run had been killed
    assert encode_tokens(layout, names, codec) == type(first)(1, 1, {})
    assert np.array_equal(np.load(path), codes)


def test_tokens_of_two_codecs_are_never_mixed(two_clips: Path) -> None:
    layout = DataSetLayout(two_clips)
    encode_tokens(layout, layout.names("train"), LoudnessCodec("mine"))
    with pytest.raises(BadInput, match="holds tokens of another codec .800 samples a frame, not 400"):
        encode_tokens(layout, layout.names("train"), LoudnessCodec("mine", hop=400))
    (layout.token_folder("mine") / "manifest.json").unlink()
    with pytest.raises(BadInput, match="nothing tells whose they are; delete the folder"):
        encode_tokens(layout, layout.names("train"), LoudnessCodec("mine"))


def test_the_shipped_codecs_tokens_are_those_of_the_music(two_clips: Path) -> None:
    layout, codec = DataSetLayout(two_clips), load_codec("demo")
    name = layout.names("train")[0]
    encode_tokens(layout, [name], codec)
    from d2m.core.music import Music

    wave = Music.load(layout.wav(name)).waveform
    assert np.array_equal(np.load(layout.tokens(name, "demo")), codec.encode(torch.from_numpy(wave)[None])[0].numpy())


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_tokens(tmp_path)
    return tmp_path


def windows(root: Path, **settings) -> TokenWindows:
    data = TokenWindows(str(root), "tiny", window_seconds=2.0, batch_size=2, steps_per_epoch=3, **settings)
    data.setup("fit")
    return data


def test_windows_hold_what_belongs_together(root: Path) -> None:
    data = windows(root)
    assert data.clock.window_latent_frames == 20 and data.made_with == {"codec": "tiny", "codec_sha256": "f" * 64}
    row, layout = data.train[7], DataSetLayout(root)
    start = round(float(row["start_s"]) * 10)
    codes = np.load(layout.tokens(row["name"], "tiny"))[:, start : start + 20]
    assert row["codes"].dtype == torch.int64 and np.array_equal(row["codes"].numpy(), codes)
    assert np.allclose(row["features"], np.load(layout.features(row["name"]))[6 * start : 6 * start + 120])
    assert np.allclose(row["rhythm"], np.load(layout.rhythm(row["name"], "tiny"))[:, start : start + 20])
    assert {float(data.train[n]["start_s"]) for n in range(30)} > {0.0}
    assert [float(row["start_s"]) for row in data.val] == [0, 0, 0]


def test_a_window_number_is_always_the_same_window(root: Path) -> None:
    first, again, other = windows(root, seed=1), windows(root, seed=1), windows(root, seed=2)
    assert torch.equal(first.train[5]["codes"], again.train[5]["codes"])
    assert not all(torch.equal(first.train[n]["codes"], other.train[n]["codes"]) for n in range(6))
    batches = list(first.train_dataloader())
    assert len(batches) == 3
    assert torch.equal(batches[1]["codes"][0], first.train[2]["codes"])


def test_the_reader_is_fitted_on_the_training_dances(root: Path) -> None:
    system = tiny_system()
    windows(root).fit_statistics_of(system)
    features = np.concatenate([np.load(path) for path in sorted((root / "features").glob("*.npy"))])
    assert np.allclose(system.reader.normalizer.mean, features.mean(axis=0), atol=1e-5)


def test_a_system_for_another_codec_refuses_these_tokens(tmp_path: Path) -> None:
    write_tokens(tmp_path, facts=CodecFacts("tiny", 8000, 800, 2, 32, "e" * 64))
    with pytest.raises(BadConfig, match="codec 'tiny' does not fit this system .2 codebooks, not 3; 32 entries"):
        windows(tmp_path).fit_statistics_of(tiny_system())


def test_damaged_tokens_are_named(root: Path) -> None:
    layout, manifest = DataSetLayout(root), TokenManifest.load(root / "tokens" / "tiny")
    name = layout.names("train")[0]
    path = layout.tokens(name, "tiny")
    good = np.load(path)
    for wrong, said in (
        (np.zeros((2, 40), np.int16), r"found int16 of shape \[2, 40\], expected tokens of codec 'tiny' \[3, frame\]"),
        (np.zeros((3, 40), np.float32), "found float32"),
        (np.full((3, 40), 16, np.int16), "found codes from 16 to 16, but codec 'tiny' has 16 entries"),
        (good[:, :-5], r"found float16 of shape \[2, 40\], expected rhythm curves \[2, 35\]"),
    ):
        np.save(path, wrong)
        with pytest.raises(BadInput, match=said):
            load_token_clip(layout, name, "tiny", manifest)
    path.write_bytes(b"nothing")
    with pytest.raises(BadInput, match="damaged"):
        load_token_clip(layout, name, "tiny", manifest)
    assert len(windows(root).train.clips) == 2  # the others are used
    with pytest.raises(BadInput, match=r"manifest of codec tokens; .*run scripts/encode.py codec=other first"):
        TokenWindows(str(root), "other").setup()


def test_damaged_manifests_are_named(root: Path) -> None:
    path = root / "tokens" / "tiny" / "manifest.json"
    whole = json.loads(path.read_text())
    for content, said in (
        ("{", "damaged"),
        (json.dumps({**whole, "version": 9}), "found version 9, expected 1"),
        (json.dumps({key: value for key, value in whole.items() if key != "codebooks"}), "damaged .KeyError"),
    ):
        path.write_text(content)
        with pytest.raises(BadInput, match=said):
            TokenManifest.load(path.parent)


def test_a_window_ends_with_the_motion(root: Path) -> None:
    layout = DataSetLayout(root)
    clip = load_token_clip(layout, layout.names("train")[0], "tiny", TokenManifest.load(root / "tokens" / "tiny"))
    row = LatentGrid(Timeline(FACTS.sample_rate, FACTS.hop_samples, 20)).cut(clip, 20)
    assert np.allclose(row["features"], clip.features[-120:])
