"""Key, chords and energy as they are asked of a system that takes them, and of one that does not."""

from pathlib import Path

import hydra
import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from tests_support_motion import swinging_features

from d2m.core.errors import BadConfig
from d2m.core.music import Music
from d2m.metrics.audio_quality import loudness_lufs
from d2m.metrics.harmony import MAJOR_SCALE, pitch_class_energy
from d2m.motion.dance import Dance
from d2m.pipeline import Dance2Music
from d2m.rhythm.grid import BeatGrid
from d2m.systems.interface import GeneratedMusic, GenerationRequest
from d2m.systems.latent_generator import LatentGenerator

CONFIG = Path(__file__).parents[2] / "configs" / "system" / "aligned.yaml"
SECONDS = 6


@pytest.fixture(scope="module")
def generator() -> LatentGenerator:
    """An untrained one whose zero-initialised parts have been moved, as training would."""
    torch.manual_seed(0)
    system = hydra.utils.instantiate(OmegaConf.load(CONFIG))
    with torch.no_grad():
        for weight in system.unet.parameters():
            weight.add_(0.03 * torch.randn_like(weight))
    return LatentGenerator(system, {"dmae": "demo"})


def made(generator: LatentGenerator, seed: int = 0, late_s: float = 0.0, **asked: object) -> GeneratedMusic:
    motion, beats = swinging_features(60 * SECONDS, late_s), BeatGrid.regular(120, 0.0, SECONDS)
    return generator.generate(GenerationRequest(motion, 3, 44100 * SECONDS, seed, {"steps": 1, **asked}, beats=beats))


def test_a_key_is_drawn_by_seed_and_dance_unless_it_is_told(generator: LatentGenerator) -> None:
    drawn = [made(generator, seed).settings["key"] for seed in range(4)]
    assert None not in drawn and len(set(drawn)) > 1
    assert made(generator, 0).settings["key"] == drawn[0]
    assert len({made(generator, 0, late_s / 10).settings["key"] for late_s in range(4)}) > 1
    assert made(generator, key="Ebm").settings["key"] == "Ebm"
    assert made(generator, key="none").settings["key"] is None
    assert made(generator, chords="Am F").settings["key"] is None  # chords say more than a key


@pytest.mark.parametrize("asked", [{"key": "F#"}, {"chords": "Am F C G"}, {"energy": 0.9}])
def test_what_is_told_is_heard_and_in_the_record(generator: LatentGenerator, asked: dict) -> None:
    told, plain = made(generator, **{"key": "none", **asked}), made(generator, key="none")
    assert asked.items() <= told.settings.items()
    assert float((told.waveform - plain.waveform).abs().max()) > 1e-3


@pytest.fixture
def told_sheets(generator: LatentGenerator, monkeypatch: pytest.MonkeyPatch) -> list[torch.Tensor]:
    """What the conditioner reads from here on."""
    seen, read = [], generator.system.conditioner.read
    monkeypatch.setattr(
        generator.system.conditioner,
        "read",
        lambda motion, beats, sheet: seen.append(sheet) or read(motion, beats, sheet),
    )
    return seen


def test_the_energy_is_the_dances_unless_it_is_told(
    generator: LatentGenerator, told_sheets: list[torch.Tensor]
) -> None:
    """At first the body stands still."""
    moving = swinging_features(60 * SECONDS)
    motion = torch.cat([moving[:1].expand(60 * SECONDS // 2, -1), moving[: 60 * SECONDS // 2]])
    for asked in ({}, {"energy": "none"}, {"energy": [1, 0]}, {"energy": 0.75}):
        generator.generate(GenerationRequest(motion, 3, 44100 * SECONDS, 0, {"steps": 1, **asked}))
    dance, nothing, falling, steady = (sheet[0, 24] for sheet in told_sheets)
    assert dance[:60].max() < -1 and dance[-60:].min() > 0.5
    assert not nothing.any() and (steady == 1).all()
    assert falling[0] > 1.5 and falling[-1] < -1.5 and (falling.diff() <= 0).all()


def test_the_shipped_weights_heed_the_energy_that_is_told() -> None:
    model, dance = Dance2Music.load("demo_fast"), Dance(swinging_features(60 * SECONDS).numpy(), "dance")
    quiet, loud = (loudness_lufs(model(dance, genre="gKR", energy=energy)) for energy in (0, 1))
    assert loud > quiet + 1.5


def test_an_edit_is_told_the_songs_own_chords(
    generator: LatentGenerator, told_sheets: list[torch.Tensor], tmp_path: Path
) -> None:
    time_s = np.arange(44100 * SECONDS) / 44100
    hz = 440 * 2 ** ((np.array([60, 64, 67]) - 69) / 12)
    chord = sum(np.sin(2 * np.pi * one * time_s) for one in hz)
    song = Music((0.2 * chord)[None].astype(np.float32), 44100).save(tmp_path / "song.wav")
    made(generator, edit=str(song), steps=2)
    assert not any(sheet[0, 24].any() for sheet in told_sheets)  # its energy is in the song
    assert all(set(torch.nonzero(sheet[0, 12:24, 100]).flatten().tolist()) == {0, 4, 7} for sheet in told_sheets)


def test_the_shipped_weights_play_in_the_key_that_is_told() -> None:
    """Of two keys six fifths apart, which share two notes, each piece is nearer to its own."""
    model, dance = Dance2Music.load("demo_fast"), Dance(swinging_features(60 * SECONDS).numpy(), "dance")

    def share(tonic: int, energy: np.ndarray) -> float:
        return float(energy[[(tonic + note) % 12 for note in MAJOR_SCALE]].sum() / energy.sum())

    heard = [
        np.sum([pitch_class_energy(model(dance, seed, key=key)).sum(axis=1) for seed in range(2)], axis=0)
        for key in ("C", "F#")
    ]
    assert share(0, heard[0]) > share(0, heard[1]) + 0.1 and share(6, heard[1]) > share(6, heard[0]) + 0.1


@pytest.mark.parametrize("asked", [{"key": "H"}, {"chords": "Am X"}, {"energy": 2}])
def test_what_cannot_be_told_is_one_sentence(generator: LatentGenerator, asked: dict) -> None:
    with pytest.raises(BadConfig, match=next(iter(asked))):
        made(generator, **asked)


@pytest.mark.parametrize("asked", [{"key": "Am"}, {"chords": "Am F"}, {"energy": 0.5}])
def test_a_checkpoint_without_lead_sheets_says_so(asked: dict) -> None:
    config = OmegaConf.load(CONFIG)
    config.conditioner.lead_sheet = False
    without = LatentGenerator(hydra.utils.instantiate(config), {"dmae": "demo"})
    with pytest.raises(BadConfig, match=f"{next(iter(asked))}=.*takes no"):
        made(without, **asked)
