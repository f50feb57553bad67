"""A song moved onto a dance with the shipped weights, songs of any length and rate, and what is refused."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from d2m.core.errors import BadConfig, BadInput
from d2m.core.music import Music
from d2m.diffusion.inversion import inverted, levels_up_to, sampled_from
from d2m.metrics.beat_tracker import track_beats_s
from d2m.metrics.beats import beat_f
from d2m.metrics.harmony import pitch_class_energy
from d2m.motion.dance import Dance
from d2m.pipeline import Dance2Music, generate_all
from d2m.rhythm.grid import BeatGrid
from d2m.systems.editing import STRENGTH_ON_BEATS, EditSettings, edited_latent, fitted_song, load_song
from d2m.systems.interface import GenerationSettings, LatentRequest


@pytest.fixture(scope="module")
def model() -> Dance2Music:
    return Dance2Music.load("demo")


@pytest.fixture(scope="module")
def pair(two_clips: Path) -> tuple[Path, Path]:
    """The dance's name in the data set, and a song that it was not made for."""
    first, second = sorted((two_clips / "motions").glob("*.pkl"))
    return first, two_clips / "wavs" / f"{second.stem}.wav"


def test_an_edit_is_on_the_beats_that_it_is_given_and_keeps_harmony(model, pair):
    path, song = pair
    dance, old = Dance(Dance.load(path).features[:356], "window"), Music.load(song)
    beats = BeatGrid.regular(120, 0.1, 7.0)
    edited, record = model.generate(dance, edit=str(song), steps=8, beats=beats)
    assert record.settings["edit_used"] == "a passage laid on the dance's beats"
    old = Music(old.waveform[:, : round(edited.seconds * old.sample_rate)], old.sample_rate)
    assert edited.waveform.shape[1] == model.samples(dance) and record.settings["strength"] == STRENGTH_ON_BEATS
    beats_s = beats.within(edited.seconds)
    assert beat_f(beats_s, track_beats_s(edited)) > beat_f(beats_s, track_beats_s(old)) + 0.4
    profiles = [pitch_class_energy(music).sum(axis=1) for music in (edited, old)]
    assert np.corrcoef(*profiles)[0, 1] > 0.5  # of the song's harmony


def test_a_weak_edit_of_a_song_under_its_own_dance_is_the_song(model, pair, two_clips):
    """The way down undoes the way up where the condition is the same, over several windows; one iteration does less well."""
    _, song = pair
    own = Dance.load(two_clips / "motions" / f"{song.stem}.pkl")
    system, dmae = model.system, model.music_generator.dmae
    latent = fitted_song(Music.load(song), dmae, round(own.seconds * 44100)).latent
    dance = LatentRequest(torch.from_numpy(own.features), latent.shape[1])
    assert latent.shape[1] > dmae.clock.window_latent_frames
    errors = {}
    for iterations in (1, 3):
        settings = replace(system.generation, steps=6, guidance=1)
        back = edited_latent(system, latent, dance, EditSettings(0.5, iterations), settings, old=dance).latent
        errors[iterations] = float((back - latent).abs().mean() / latent.std())
    assert errors[3] < 0.03 and errors[3] < errors[1] / 2


def test_inversion_without_a_condition_is_not_inversion_with_one(model, pair):
    features = torch.from_numpy(Dance.load(pair[0]).features[:356])
    system = model.system
    levels = levels_up_to(0.5, 6)
    read = system.read([LatentRequest(features, 256)], system.generation)
    latent = fitted_song(Music.load(pair[1]), model.music_generator.dmae, 256 * 1024).latent
    x0 = system.standardised(latent[None])
    ends = {}
    for guidance in (1, 0):
        network = system.denoiser(read, [0], replace(system.generation, guidance=guidance))
        ends[guidance] = inverted(system.objective.path, network, x0, levels, 3)
        back = sampled_from(system.objective.path, network, ends[guidance], levels)
        assert (back - x0).abs().mean() < 0.03
    assert (ends[1] - ends[0]).abs().mean() > 0.05


@pytest.mark.parametrize(
    ("seconds", "rate", "channels", "how"),
    [
        (3.0, 44100, 2, "the whole song"),
        (10.0, 16000, 1, "the song's first 3.0 s of 10.0 s"),
        (1.25, 44100, 1, "the whole song, begun again after its 1.2 s"),
    ],
)
def test_a_song_of_any_length_rate_and_channels_becomes_a_latent_as_long_as_the_dance(
    model, seconds, rate, channels, how
):
    time = np.arange(round(seconds * rate)) / rate
    tone = (0.3 * np.sin(2 * np.pi * 440 * time) * (time % 0.5 < 0.1)).astype(np.float32)
    fitted = fitted_song(Music(np.tile(tone, (channels, 1)), rate), model.music_generator.dmae, 3 * 44100)
    assert fitted.how == how and fitted.latent.shape == (96, -(-3 * 44100 // 1024)) and fitted.latent.isfinite().all()
    middle = model.music_generator.decoded(fitted.latent, GenerationSettings(), 0)[0, : 3 * 44100].abs()
    assert middle[-44100:].max() > 0.1 * middle.max()  # no silence where a short song was over


def test_the_record_says_what_was_edited_and_how(model, pair, two_clips, tmp_path, capsys):
    path, song = pair
    short = Music.load(song)
    Music(short.waveform[:, : 2 * short.sample_rate], short.sample_rate).save(tmp_path / "short.wav")
    old = two_clips / "motions" / f"{song.stem}.pkl"
    settings = {"edit": str(tmp_path / "short.wav"), "edit_dance": str(old), "strength": 0.5, "steps": 2}
    result = generate_all(model, [path], tmp_path / "out", **settings)
    record = json.loads(result.wavs[path].with_suffix(".json").read_text())
    assert {key: record[key] for key in settings} == settings
    assert record["edit_used"] == "the whole song, begun again after its 2.0 s"
    assert "short.wav: used is the whole song, begun again after its 2.0 s" in capsys.readouterr().out
    assert Music.load(result.wavs[path]).seconds == pytest.approx(Dance.load(path).seconds, abs=0.001)


def test_a_dance_shorter_than_a_window_is_edited_too(model, pair):
    path, song = pair
    dance = Dance(Dance.load(path).features[:90], "short")
    music = model(dance, edit=str(song), steps=2)
    assert music.waveform.shape == (2, 66150) and np.abs(music.waveform).max() > 0.01


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"edit": "no/song.wav"}, "edit=no/song.wav: no such song; give a wav"),
        ({"strength": 0.5}, "strength=0.5: says how a song is edited, but no song is named; add edit=SONG.wav"),
        ({"edit_dance": "old.pkl"}, "edit_dance=old.pkl: says how a song is edited"),
        ({"edit": "SONG", "strength": 0}, r"strength=0: expected a number above 0 and not above 1"),
        ({"edit": "SONG", "strength": 1.5}, r"strength=1.5: expected a number above 0 and not above 1"),
        ({"edit": "SONG", "strength": "half"}, r"strength=half: expected a number above 0 and not above 1"),
        ({"edit": "SONG", "steps": 1}, "steps=1: editing needs 2 or more"),
        ({"edit": "SONG", "edit_dance": "no/dance.pkl"}, "no/dance.pkl"),
    ],
)
def test_settings_of_an_edit_that_cannot_be_are_refused(model, pair, settings, sentence):
    path, song = pair
    asked = {name: str(song) if value == "SONG" else value for name, value in settings.items()}
    with pytest.raises((BadConfig, BadInput), match=sentence):
        model(Dance(Dance.load(path).features[:60], "cut"), **asked)


def test_a_song_too_short_is_refused(tmp_path):
    Music(np.zeros((1, 22050), np.float32), 44100).save(tmp_path / "short.wav")
    with pytest.raises(BadInput, match=r"short.wav: found 0.50 s, expected at least 1 s of music; give a longer song"):
        load_song(tmp_path / "short.wav")


def test_no_iteration_is_refused():
    with pytest.raises(BadConfig, match="iterations=0: expected 1 or more"):
        EditSettings(iterations=0)
