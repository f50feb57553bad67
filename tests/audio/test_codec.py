"""Codecs: the one that ships keeps the music, its recipe, EnCodec from a folder, and what each refuses."""

import builtins
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from d2m.audio.chunked_coding import decode_in_chunks, encode_in_chunks
from d2m.audio.codec import DmaeCodec, EncodecCodec, ResidualQuantiser, load_codec, load_dmae_codec, save_dmae_codec
from d2m.core.checkpoint import WEIGHTS, shipped_or_path
from d2m.core.errors import BadConfig, BadInput
from d2m.core.music import Music
from d2m.data.encode import train_codec
from d2m.data.layout import DataSetLayout
from d2m.metrics.audio_quality import log_mel, log_mel_l1


@pytest.fixture(scope="module")
def demo() -> DmaeCodec:
    return load_dmae_codec("demo")


@pytest.fixture(scope="module")
def encodec_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.EncodecConfig(
        hidden_size=16, codebook_dim=16, codebook_size=64, num_filters=2, num_residual_layers=1, num_lstm_layers=1,
        upsampling_ratios=[8, 4], target_bandwidths=[9.0, 18.0], sampling_rate=24000,
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("codecs") / "small"
    model = transformers.EncodecModel(config)
    for layer in model.quantizer.layers:  # a new model's codebooks are zeros
        torch.nn.init.normal_(layer.codebook.embed, std=0.2)
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def song(two_clips: Path) -> Music:
    layout = DataSetLayout(two_clips)
    music = Music.load(layout.wav(layout.names("train")[0]))
    return Music(music.waveform[:, : 3 * music.sample_rate], music.sample_rate)


# residual vector quantisation


def test_every_codebook_leaves_less() -> None:
    frames = torch.randn(2000, 6, generator=torch.Generator().manual_seed(0))
    quantiser = ResidualQuantiser(3, 32, 6)
    left = quantiser.fit(frames, iterations=8)
    assert left[0] < 0.6 and left[1] < 0.8 * left[0] and left[2] < 0.8 * left[1]
    latent = frames[:50].T[None]
    codes = quantiser.encode(latent)
    assert codes.shape == (1, 3, 50) and int(codes.min()) >= 0 and int(codes.max()) < 32
    distance = float((quantiser.decode(codes) - latent).square().mean())
    assert distance == pytest.approx(left[-1], rel=0.35)  # the frames that it was fitted on


def test_each_frame_gets_the_nearest_entry() -> None:
    quantiser = ResidualQuantiser(1, 4, 2)
    quantiser.entries.copy_(torch.tensor([[[0.0, 0], [1, 0], [0, 1], [-1, -1]]]))
    latent = torch.tensor([[[0.9, 0.1, -0.7, 0.1], [0.1, 0.8, -0.6, 0.0]]])
    assert quantiser.encode(latent).tolist() == [[[1, 2, 3, 0]]]


# the shipped codec


def test_the_shipped_codec_keeps_the_music(demo: DmaeCodec, song: Music) -> None:
    wave = torch.from_numpy(song.waveform)
    codes = demo.encode(wave[None])
    frames = -(-wave.shape[1] // demo.hop_samples)
    assert codes.shape == (1, 4, frames) and int(codes.max()) < 1024
    sound = demo.decode(codes, seed=0)
    assert sound.shape == (1, 2, frames * 1024)
    plain = decode_in_chunks(demo.dmae, encode_in_chunks(demo.dmae, wave))
    truth = log_mel(song)

    def distance(waveform: torch.Tensor) -> float:
        return log_mel_l1(truth, log_mel(Music(waveform[:, : wave.shape[1]].numpy(), song.sample_rate)))

    other = demo.decode(codes[..., torch.randperm(frames, generator=torch.Generator().manual_seed(0))])
    assert distance(sound[0]) < distance(plain) + 0.35  # in nepers; without quantisation 0.37
    assert distance(sound[0]) < 0.6 * distance(other[0])
    short = codes[..., :8]
    assert torch.equal(demo.decode(short), demo.decode(short))


def test_codes_of_a_latent_are_those_of_its_sound(demo: DmaeCodec, song: Music) -> None:
    wave = torch.from_numpy(song.waveform)
    assert torch.equal(demo.codes_of(encode_in_chunks(demo.dmae, wave)[None]), demo.encode(wave[None]))


def test_the_shipped_file_is_small_and_no_system() -> None:
    assert (WEIGHTS / "codec_demo.safetensors").stat().st_size < 1_000_000
    with pytest.raises(BadConfig) as error:
        shipped_or_path("no_such_system")
    assert "codec" not in str(error.value) and "demo" in str(error.value)


def test_a_codec_comes_back_from_its_file(demo: DmaeCodec, tmp_path: Path) -> None:
    again = load_codec(save_dmae_codec(demo, tmp_path / "codec.safetensors"))
    assert again.facts == demo.facts
    with torch.no_grad():
        again.quantiser.entries[0, 0] += 1
    assert again.fingerprint() != demo.fingerprint()
    assert demo.facts.differences(again.facts).startswith("weights ")


def test_the_recipe_is_deterministic(two_clips: Path, tmp_path: Path) -> None:
    from tests_support_runs import encoded

    root = encoded(two_clips)
    outs = [tmp_path / f"{number}.safetensors" for number in range(2)]
    left = [train_codec(root, out, codebooks=2, codebook_size=16, frames=300, iterations=5, seed=4) for out in outs]
    assert outs[0].read_bytes() == outs[1].read_bytes() and left[0] == left[1] and left[0][1] < left[0][0] < 1
    codec = load_codec(outs[0])
    assert (codec.codebooks, codec.codebook_size) == (2, 16)
    with pytest.raises(BadConfig, match="only .* latent frames"):
        train_codec(root, outs[0], codebook_size=4096, frames=300)
    with pytest.raises(BadConfig, match=r"expected the name of a \.safetensors file"):
        train_codec(root, tmp_path / "codec.pt")


def test_codebooks_of_another_autoencoder_are_refused() -> None:
    with pytest.raises(BadInput, match="made for the encoder 000000000000, but autoencoder 'demo' has"):
        DmaeCodec(dmae_sha256="0" * 64)


def test_no_such_codec() -> None:
    with pytest.raises(BadConfig, match="nothing: no such codec; give one of demo, encodec_24khz, encodec_32khz"):
        load_codec("nothing")
    with pytest.raises(BadConfig, match="only EnCodec has a choice"):
        load_codec("demo", bandwidth=3)


def test_a_file_that_holds_no_codec_is_refused() -> None:
    with pytest.raises(BadInput, match=r"dmae_demo\.safetensors: holds no codec"):
        load_codec(WEIGHTS / "dmae_demo.safetensors")


# EnCodec


def test_encodec_from_a_folder(encodec_folder: Path) -> None:
    low, high = load_codec(encodec_folder), load_codec(encodec_folder, bandwidth=18)
    assert (low.name, low.sample_rate, low.hop_samples, low.codebook_size) == ("small", 24000, 32, 64)
    assert (low.codebooks, high.codebooks) == (2, 4)  # 750 frames a second, 6 bits each
    wave = torch.randn(2, 1, 1000, generator=torch.Generator().manual_seed(0)) * 0.1
    codes = high.encode(wave)
    assert codes.shape == (2, 4, 32) and int(codes.max()) < 64
    sound = high.decode(codes)
    assert sound.shape == (2, 1, 1024) and torch.isfinite(sound).all()
    assert torch.equal(codes[:, :2], low.encode(wave))  # residual: a higher bandwidth adds codebooks
    assert not torch.equal(sound, high.decode(codes.roll(1, dims=-1)))
    assert low.fingerprint() != high.fingerprint() == EncodecCodec(encodec_folder, 18).fingerprint()


def test_encodec_refuses_what_it_is_not(encodec_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match=r"bandwidth=6: .*small has 9, 18 kbit/s; choose one"):
        load_codec(encodec_folder, bandwidth=6)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "clap"}))
    with pytest.raises(BadInput, match="found a model of type 'clap', expected 'encodec'"):
        load_codec(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(BadInput, match="found no readable config.json"):
        load_codec(tmp_path)
    config = json.loads((encodec_folder / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "normalize": True}))
    (tmp_path / "model.safetensors").write_bytes((encodec_folder / "model.safetensors").read_bytes())
    with pytest.raises(BadInput, match="an EnCodec for 1 channels, normalised, expected a mono one"):
        load_codec(tmp_path)
    (tmp_path / "model.safetensors").write_bytes((encodec_folder / "model.safetensors").read_bytes()[:500])
    with pytest.raises(BadInput, match="transformers cannot load this EnCodec"):
        load_codec(tmp_path)


def test_without_transformers_one_sentence_says_what_to_install(
    encodec_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def without(name: str, *rest, **named):
        if name == "transformers":
            raise ImportError(name)
        return real(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(BadConfig, match=r'pip install -e "\.\[codec\]"'):
        load_codec(encodec_folder)


def test_waves_of_codes_are_numbers_of_a_codebook(demo: DmaeCodec) -> None:
    silent = demo.encode(torch.zeros(1, 2, 4000))
    assert silent.shape == (1, 4, 4) and silent.dtype == torch.int64
    assert float(np.abs(demo.decode(silent).numpy()).max()) < 0.05
