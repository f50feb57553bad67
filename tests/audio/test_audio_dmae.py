"""The autoencoder: published sizes, lengths, weights in and out, and what the shipped one keeps of unseen music."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf

from d2m.audio.autoencoder import DMAE
from d2m.audio.chunked_coding import count_windows, decode_in_chunks, encode_in_chunks
from d2m.audio.pretrained import folded, load_dmae, save_dmae, unfolded
from d2m.core.errors import BadConfig
from d2m.core.music import Music
from d2m.core.timeline import Timeline
from d2m.data.synthetic.songs import Song, render_song
from d2m.evaluation.runs import score_autoencoder
from d2m.systems.autoencoder import latent_health

CONFIGS = Path(__file__).parents[2] / "configs" / "dmae"


def architecture(name: str) -> dict:
    config = OmegaConf.to_container(OmegaConf.load(CONFIGS / f"{name}.yaml"), resolve=True)
    assert isinstance(config, dict)
    return config["architecture"]


def parameters(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_published_sizes() -> None:
    assert round(parameters(instantiate(architecture("atc32_v3"), _convert_="all")) / 1e6, 2) == 86.27
    with torch.device("meta"):
        assert round(parameters(instantiate(architecture("atc64_v2"), _convert_="all")) / 1e6, 1) == 185.1


def test_demo_size_and_clock() -> None:
    dmae = instantiate(architecture("demo"), _convert_="all")
    assert parameters(dmae) <= 12e6
    assert (dmae.clock.window_samples, dmae.latent_channels) == (262144, 96)
    assert dmae.clock.window_seconds == pytest.approx(5.944, abs=1e-3)


@pytest.fixture(scope="module")
def tiny() -> DMAE:
    torch.manual_seed(0)
    config = architecture("small")
    config["encoder"].update(channels=16, num_blocks=[1])
    config.update(filters=8, channels=[16] * 5, items=[1] * 5, modulation_features=16)
    config["onepass"].update(widths=[16, 16], depths=[1, 1])
    return instantiate(config, _convert_="all").eval()


@pytest.mark.parametrize("samples", [512, 700, 131072, 200000])
def test_lengths_are_exact(tiny: DMAE, samples: int) -> None:
    latent = encode_in_chunks(tiny, torch.randn(1, samples) * 0.1)
    assert latent.shape == (32, -(-samples // 512)) and float(latent.abs().max()) < 1
    for decoder in ("onepass", "diffusion"):
        assert decode_in_chunks(tiny, latent, decoder, steps=1).shape == (1, latent.shape[1] * 512)


def test_decoders_repeat_with_a_seed(tiny: DMAE) -> None:
    latent = torch.rand(32, 40) - 0.5
    first, again, other = (decode_in_chunks(tiny, latent, "diffusion", steps=2, seed=s) for s in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_weights_are_stored_once_and_come_back(tiny: DMAE, tmp_path: Path) -> None:
    state = tiny.state_dict()
    once = folded(state)
    assert len(once) < len(state) and set(unfolded(once)) == set(state)
    config = architecture("small")
    config["encoder"].update(channels=16, num_blocks=[1])
    config.update(filters=8, channels=[16] * 5, items=[1] * 5, modulation_features=16)
    config["onepass"].update(widths=[16, 16], depths=[1, 1])
    loaded = load_dmae(save_dmae(tiny, config, tmp_path / "tiny.safetensors"))
    wave = torch.randn(1, 1, 8192)
    assert torch.allclose(loaded.encode(wave), tiny.encode(wave), atol=2e-2)  # half precision


@pytest.fixture(scope="module")
def shipped_wavs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Held-out songs, two of each of two genres."""
    folder, paths = tmp_path_factory.mktemp("songs"), []
    for code in ("mBRT100", "mBRT107", "mHO5", "mHOT113"):
        song = render_song(Song(code), 9.0)
        name = f"g{code[1:3]}_sBM_cAll_d01_{code}_ch01"
        paths.append(Music(song.waveform[:, 30000:], song.sample_rate).save(folder / f"{name}.wav"))
    return paths


def test_shipped_autoencoder_keeps_rhythm_and_timbre(shipped_wavs: list[Path]) -> None:
    rows = score_autoencoder(load_dmae("demo"), shipped_wavs, ["onepass"])
    assert rows["onepass"].beat_f >= 0.95 and rows["onepass"].onset_f >= 0.88
    assert rows["onepass"].log_mel_l1 <= rows["other_song"].log_mel_l1 / 3
    assert rows["white_noise"].beat_f <= 0.6


def test_shipped_latents_are_healthy(shipped_wavs: list[Path]) -> None:
    dmae = load_dmae("demo")
    pieces = [Music.load(path).waveform for path in shipped_wavs]
    latent = torch.cat([encode_in_chunks(dmae, torch.from_numpy(np.ascontiguousarray(p))) for p in pieces], dim=1)
    health = latent_health(latent[None])
    assert health["saturated"] < 0.05 and health["dimensions"] >= 12


def test_a_window_that_is_all_margin_is_refused_for_long_music() -> None:
    for frames in (1, 64):
        clock = Timeline(100, 1, frames)
        assert count_windows(frames, clock) == 1
        with pytest.raises(BadConfig, match=f"window has {frames} latent frames"):
            count_windows(frames + 1, clock)
    assert count_windows(200, Timeline(100, 1, 65)) == 136
