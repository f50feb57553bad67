"""The stereo autoencoder: transforms that are inverse to each other, exact lengths, weights in and out, a chord that it learns."""

from pathlib import Path

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

from d2m.audio.autoencoder import DMAE
from d2m.audio.chunked_coding import decode_in_chunks, encode_in_chunks
from d2m.audio.discriminator import SpectrumDiscriminator, persuasion_losses, verdict_loss
from d2m.audio.istft_autoencoder import (
    SpectralDecoder,
    SpectralEncoder,
    ToneLevels,
    framed_spectrum,
    overlap_add,
    synthesised,
)
from d2m.audio.pretrained import load_dmae, save_dmae, weights_sha256
from d2m.audio.reconstruction import StereoSpectralLoss
from d2m.core.errors import BadConfig
from d2m.core.music import Music
from d2m.core.registry import build_own
from d2m.evaluation.runs import round_trip
from d2m.systems.autoencoder import latent_health
from d2m.systems.stereo_autoencoder import StereoAutoencoderTraining

CONFIG = Path(__file__).parents[2] / "configs" / "dmae" / "demo.yaml"
RATE = 44100


def architecture(width: int = 32, depth: int = 1) -> dict:
    config = OmegaConf.load(CONFIG)
    config.weights = None
    config.architecture.onepass.width, config.architecture.onepass.depth = width, depth
    plain = OmegaConf.to_container(config, resolve=True)
    assert isinstance(plain, dict)
    return plain["architecture"]


@pytest.fixture
def tiny() -> DMAE:
    torch.manual_seed(0)
    return build_own(architecture()).eval()


def chord(samples: int) -> torch.Tensor:
    """Low notes a semitone apart on the left and on the right, and one high above in the middle."""
    time_s = torch.arange(samples) / RATE
    low, next_to_it, high = (torch.sin(2 * torch.pi * hz * time_s) for hz in (110.0, 116.54, 880.0))
    return torch.stack([0.3 * low + 0.1 * high, 0.3 * next_to_it + 0.1 * high])


@pytest.mark.parametrize(("length", "hop"), [(2048, 512), (8192, 1024), (512, 256)])
def test_synthesis_is_the_inverse_of_analysis(length: int, hop: int) -> None:
    wave, window = torch.randn(1, 2, 16 * 1024), torch.hann_window(length)
    spectrum = framed_spectrum(wave, window, hop)
    assert spectrum.shape == (1, 2, wave.shape[2] // hop, length // 2 + 1)
    assert torch.allclose(synthesised(spectrum, window, hop), wave, atol=1e-4)


def test_frames_that_do_not_lie_over_each_other_are_refused() -> None:
    with pytest.raises(ValueError, match="hop of 300"):
        overlap_add(torch.zeros(3, 1024), 300)


@pytest.mark.parametrize("samples", [1, 1024, 5000, 270_000])
def test_lengths_are_exact(tiny: DMAE, samples: int) -> None:
    latent = encode_in_chunks(tiny, torch.randn(2, samples) * 0.1)
    assert latent.shape == (96, -(-samples // 1024)) and float(latent.abs().max()) < 1
    assert decode_in_chunks(tiny, latent).shape == (2, latent.shape[1] * 1024)
    assert round_trip(Music(np.zeros((1, samples), np.float32), RATE), tiny).waveform.shape == (2, samples)


def test_windows_of_a_long_piece_give_what_the_whole_would(tiny: DMAE) -> None:
    wave = torch.randn(2, 400 * 1024, generator=torch.Generator().manual_seed(1)) * 0.1
    latent = encode_in_chunks(tiny, wave)
    assert torch.allclose(latent, tiny.encode(wave[None])[0], atol=1e-4)
    whole = tiny.decode_onepass(latent[None])[0]
    assert torch.allclose(decode_in_chunks(tiny, latent)[:, : 180 * 1024], whole[:, : 180 * 1024], atol=1e-4)


def test_size_and_clock() -> None:
    dmae = build_own(architecture(256, 8))
    assert dmae.clock.window_seconds == pytest.approx(5.944, abs=1e-3) and dmae.latent_channels == 96
    assert dmae.clock.latent_rate == pytest.approx(43.07, abs=0.01)
    assert sum(p.numel() for p in dmae.parameters()) <= 10e6


def test_weights_come_back_with_their_fingerprint(tiny: DMAE, tmp_path: Path) -> None:
    loaded = load_dmae(save_dmae(tiny, architecture(), tmp_path / "tiny.safetensors"))
    assert weights_sha256(loaded) == weights_sha256(tiny) and loaded.diffusion_network is None
    wave = torch.randn(1, 2, 8192) * 0.1
    assert torch.allclose(loaded.encode(wave), tiny.encode(wave), atol=2e-2)  # half precision


def test_a_decoder_that_is_not_there(tiny: DMAE) -> None:
    with pytest.raises(BadConfig, match="use decoder=onepass"):
        round_trip(Music(np.zeros((2, 4096), np.float32), RATE), tiny, "diffusion")
    with pytest.raises(BadConfig, match="found no decoder"):
        DMAE("none", RATE, 2, SpectralEncoder(RATE))


def test_loss_is_zero_for_the_same_and_hears_a_semitone_and_the_sides() -> None:
    loss, wave = StereoSpectralLoss(RATE).eval(), chord(32768)[None]
    assert float(loss(wave, wave)) < 1e-6
    swapped = wave.flip(1)
    assert float(loss(swapped, wave)) > 0.05 and float(loss(0.95 * wave, wave)) < float(loss(swapped, wave))


def test_levels_of_tones_a_semitone_apart_and_of_the_sides() -> None:
    """A at 0.3 on the left, B flat on the right, A two octaves above at 0.1 in the middle."""
    levels = ToneLevels(RATE, 1024).of_oscillators(chord(65536)[None])[0, 20:40].mean(dim=0)
    left, right = levels[0], levels[1]
    a, high = 21, 57  # semitones above C1
    assert left[a] == pytest.approx(0.3, abs=0.03) and right[a + 1] == pytest.approx(0.3, abs=0.03)
    assert left[high] == pytest.approx(0.1, abs=0.01) and right[high] == pytest.approx(0.1, abs=0.01)
    others = [tone for tone in range(90) if tone not in (a - 1, a, a + 1, a + 2, high)]
    assert float(levels[:, others].max()) < 0.02 and float(levels[2].max()) < 0.05


def test_what_sounds_on_both_sides_a_quarter_period_apart_is_wide() -> None:
    time_s = torch.arange(65536) / RATE
    wave = torch.stack([torch.sin(2 * torch.pi * (220 * time_s + turn)) for turn in (0.0, 0.25)])[None] * 0.2
    left, right, wide = ToneLevels(RATE, 1024).of_oscillators(wave)[0, 20:40, :, 33].mean(dim=0)
    assert float(wide) == pytest.approx(0.2 / 2**0.5, rel=0.05) and float(left) == pytest.approx(float(right), rel=0.05)


def test_a_chord_is_learnt_in_a_few_steps() -> None:
    torch.manual_seed(0)
    system = StereoAutoencoderTraining(build_own(architecture(48)), latent_noise=0.0)
    wave = chord(16384)[None]
    optimizer = torch.optim.AdamW([p for p in system.parameters() if p.requires_grad], 3e-3)
    before = system.eval().losses(wave)
    system.train()
    for _ in range(30):
        optimizer.zero_grad()
        system.losses(wave)["loss"].backward()
        optimizer.step()
    parts = system.eval().losses(wave)
    assert set(parts) == {"onepass", "held", "energy", "phases", "loss"}
    assert all(float(parts[name]) < 0.6 * float(before[name]) for name in ("onepass", "held", "energy"))


def test_components_are_healthy_and_the_first_the_largest() -> None:
    torch.manual_seed(0)
    system = StereoAutoencoderTraining(build_own(architecture()), fit_encoder=True)
    noise = torch.randn(12, 2, 64 * 1024).cumsum(-1) * 1e-3 * torch.rand(12, 2, 64).repeat_interleave(1024, -1)
    system.fit_statistics(noise)
    latent = system.dmae.encode(noise)
    deviation = latent[..., 8:-8].transpose(0, 1).flatten(1).std(dim=1)
    assert latent_health(latent)["saturated"] < 0.05
    assert float(deviation[-1]) == pytest.approx(0.45, abs=0.1) and float(deviation[-1]) > 1.5 * float(deviation[0])


@pytest.mark.parametrize("turn", [0.25, 0.5])
def test_latents_do_not_know_a_waves_phase(tiny: DMAE, turn: float) -> None:
    """What makes latents could only guess it."""
    time_s = torch.arange(32 * 1024) / RATE
    waves = [torch.sin(2 * torch.pi * (330.0 * time_s + moved)).expand(1, 2, -1) * 0.3 for moved in (0.0, turn)]
    ours, theirs = (tiny.encode(wave)[..., 8:24] for wave in waves)
    assert float((ours - theirs).abs().max()) < 0.05 * float(ours.std(dim=1).mean())


@pytest.mark.parametrize("hz", [293.66, 1174.66, 3951.07])
def test_a_held_note_sounds_at_its_pitch_before_anything_is_learnt(hz: float) -> None:
    """The start from principal components alone: a steady latent gives a steady note, as a drawn spectrum cannot."""
    torch.manual_seed(0)
    system = StereoAutoencoderTraining(build_own(architecture()), fit_encoder=True)
    time_s, random = torch.arange(40 * 1024) / RATE, torch.Generator().manual_seed(0)
    notes = 440 * 2 ** (torch.randint(-7, 40, (60, 3), generator=random) / 12)
    loudness = torch.rand(60, 3, generator=random) ** 3
    music = (loudness[..., None] * torch.sin(2 * torch.pi * notes[..., None] * time_s)).sum(dim=1)
    system.fit_statistics(0.2 * music[:, None].expand(-1, 2, -1))
    note = 0.2 * torch.sin(2 * torch.pi * hz * torch.arange(64 * 1024) / RATE)
    held = system.dmae.onepass.parts(system.dmae.encode(note.expand(1, 2, -1)))[1][0, 0].detach()
    spectrum = torch.fft.rfft(held[16 * 1024 : 48 * 1024] * torch.hann_window(32 * 1024)).abs()
    assert float(spectrum.argmax()) * RATE / (32 * 1024) == pytest.approx(hz, rel=0.01)
    assert float(spectrum.max()) > 30 * float(spectrum.mean())


def test_oscillators_go_on_where_an_earlier_part_was(tiny: DMAE) -> None:
    decoder = tiny.onepass
    assert isinstance(decoder, SpectralDecoder)
    decoder.loudness.bias.data.fill_(-4.0)
    latent = torch.zeros(1, 96, 3000)
    whole = decoder(latent)[..., 2000 * 1024 : 2900 * 1024]
    part = decoder(latent[..., 2000:], first_frame=2000)[..., : 900 * 1024]
    inside = slice(20 * 1024, None)
    assert torch.allclose(whole[..., inside], part[..., inside], atol=1e-4) and float(part.std()) > 0.05
    assert not torch.allclose(part, decoder(latent[..., 2000:])[..., : 900 * 1024], atol=1e-2)


def test_phases_are_asked_of_what_is_drawn() -> None:
    loss, wave = StereoSpectralLoss(RATE), chord(32768)[None]
    assert float(loss.phases(wave, wave)) < 1e-6
    turned = chord(32768 + 90)[None, :, 90:]
    assert float(loss.phases(turned, wave)) > float(loss.phases(0 * wave, wave)) > 0.05


def test_energy_knows_how_wide_and_how_loud_music_is_and_no_phase() -> None:
    loss, random = StereoSpectralLoss(RATE), torch.Generator().manual_seed(0)
    mid, side, other = 0.1 * torch.randn(3, 1, 65536, generator=random)
    wave = torch.stack([mid + 0.3 * side, mid - 0.3 * side], dim=1)
    narrow = torch.stack([mid + 0.15 * side, mid - 0.15 * side], dim=1)
    elsewhere = torch.stack([-mid + 0.3 * other, -mid - 0.3 * other], dim=1)
    assert float(loss.energies(wave, wave)) == 0 and float(loss.energies(elsewhere, wave)) < 0.12
    assert float(loss.energies(narrow, wave)) == pytest.approx(np.log(2) / 2, abs=0.06)  # of mid and side
    assert float(loss.energies(wave / 2, wave)) == pytest.approx(np.log(2), abs=0.02)


def test_discriminator_learns_and_persuades() -> None:
    torch.manual_seed(0)
    network = SpectrumDiscriminator(windows=(512,), width=4)
    recorded, decoded = torch.randn(2, 2, 4096), torch.randn(2, 2, 4096).cumsum(-1) * 0.02
    optimizer = torch.optim.AdamW(network.parameters(), 1e-2)
    first = verdict_loss(network(recorded), network(decoded))
    for _ in range(20):
        loss = verdict_loss(network(recorded), network(decoded))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert float(loss) < 0.5 * float(first)
    decoded.requires_grad_()
    verdicts, features = persuasion_losses(network(recorded), network(decoded))
    (verdicts + features).backward()
    assert float(verdicts) > 0.3 and decoded.grad is not None and bool(decoded.grad.abs().sum() > 0)
    same = persuasion_losses(network(recorded), network(recorded))[1]
    assert float(same) == 0.0


def test_mono_is_refused() -> None:
    encoder, decoder = SpectralEncoder(RATE), SpectralDecoder(width=8, depth=1)
    with pytest.raises(BadConfig, match="has 1 channels"):
        StereoAutoencoderTraining(DMAE("mono", RATE, 1, encoder, onepass=decoder))
