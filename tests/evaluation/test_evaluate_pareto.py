"""The sweep over generation settings: clips as the façade makes them, counted evaluations, verdicts, files, resuming."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from d2m.core.checkpoint import WEIGHTS
from d2m.core.errors import BadConfig
from d2m.evaluation.pareto import (
    Setting,
    Sweep,
    fastest_that_holds,
    held_against,
    label_of,
    make_clip,
    run_sweep,
    write_pareto,
)
from d2m.metrics.distances import KAD_SCALE, kernel_distance, kernel_distance_difference
from d2m.motion.dance import Dance
from d2m.pipeline import Dance2Music
from d2m.systems.interface import LatentRequest


@pytest.fixture(scope="module")
def model():
    return Dance2Music.load("demo")


@pytest.fixture(scope="module")
def dance(two_clips):
    return Dance.load(next((two_clips / "motions").glob("*.pkl")))


def test_the_checkpoints_own_setting_makes_what_the_facade_makes(model, dance):
    made = make_clip(model, dance, Setting(steps=2).resolved(model), seed=3)
    np.testing.assert_array_equal(made.music.waveform, model(dance, seed=3, steps=2).waveform)


@pytest.mark.parametrize(
    ("setting", "evaluations"),
    [
        (Setting(steps=4), 8),
        (Setting("ddim", 4), 8),
        (Setting(steps=4, guidance=1.0), 4),
        (Setting(steps=4, interval=[0.3, 0.8]), 6),  # levels 1, 0.75, 0.5, 0.25: two of them are guided
        (Setting(steps=4, interval=[0, 1]), 8),
    ],
)
def test_evaluations_are_passes_for_each_window(model, dance, setting, evaluations):
    assert make_clip(model, dance, setting.resolved(model)).evaluations == evaluations


def test_an_interval_changes_the_latent_and_keeps_to_the_prepared_condition(model, dance):
    asked = [LatentRequest(torch.from_numpy(dance.features), 300, 0)]

    def latent(**settings):
        settings = replace(model.system.generation, steps=3, **settings)
        return model.system.generate_latents(asked, settings)[0].latent

    always, sometimes, never = latent(), latent(guidance_interval=[0.5, 0.8]), latent(guidance=1.0)
    assert (always - sometimes).abs().max() > 1e-3 and (never - sometimes).abs().max() > 1e-3
    torch.testing.assert_close(latent(guidance_interval=[0.9, 0.95]), never)  # no step lies there


def test_settings_name_their_rows(model):
    own = Setting().resolved(model)
    assert label_of("demo", own) == "demo_dpm12_g1.5"
    assert label_of("demo", replace(own, interval=[0.3, 0.8], grid="rho")) == "demo_dpm12_g1.5_in0.3-0.8_rho"
    assert label_of("demo", replace(own, guidance=1.0, decoder="diffusion")) == "demo_dpm12_unguided_diffusion20"


@pytest.mark.parametrize("wrong", [{"sampler": "leapfrog"}, {"decoder": "wavenet"}, {"steps": 0}, {"decoder_steps": 0}])
def test_settings_that_cannot_be_are_refused(model, wrong):
    with pytest.raises(BadConfig):
        Setting(**wrong).resolved(model)


def test_a_checkpoint_without_an_autoencoder_is_refused_in_a_sentence(model, monkeypatch):
    monkeypatch.setattr(model, "music_generator", object())
    with pytest.raises(BadConfig, match="expected a latent diffusion"):
        Setting().resolved(model)


def test_steps_of_the_diffusion_decoder_are_the_autoencoders_own_unless_given(model):
    dmae = model.music_generator.dmae
    own = dmae.decoder_steps
    try:
        dmae.decoder_steps = 3
        assert Setting(decoder="diffusion").resolved(model).decoder_steps == 3
        assert Setting(decoder="diffusion", decoder_steps=2).resolved(model).decoder_steps == 2
    finally:
        dmae.decoder_steps = own


DANCES = {f"d{n}": f"s{n // 2}" for n in range(16)}
"""Song by dance: two dances a song."""


def vectors(seed, shift=0.0):
    """Synthetic embeddings of the dances: a song's place, a dance's own, noise of the draw, and a shift of all."""
    places = np.random.default_rng(99).normal(size=(8, 6)).repeat(2, axis=0)
    return places + 0.3 * np.random.default_rng(seed).normal(size=places.shape) + shift


def test_paired_difference_of_identical_sets_is_zero():
    songs = list(DANCES.values())
    made = vectors(1)
    found = kernel_distance_difference(made, made.copy(), vectors(0), songs, songs)
    assert (found.mean, found.low, found.high) == (0, 0, 0) and (found.clips, found.songs) == (16, 8)


def test_paired_difference_is_that_of_the_distances_and_turns_its_sign_when_turned_round():
    songs, real = list(DANCES.values()), vectors(0)
    one, other = vectors(1), vectors(2, shift=0.4)
    ours, theirs = (kernel_distance(made, real, songs, songs, permutations=1).value for made in (other, one))
    found = kernel_distance_difference(other, one, real, songs, songs)
    back = kernel_distance_difference(one, other, real, songs, songs)
    assert found.mean == pytest.approx(ours - theirs, abs=1e-12)
    assert (back.mean, back.low, back.high) == pytest.approx((-found.mean, -found.high, -found.low), abs=1e-12)


def test_paired_difference_needs_songs_and_equal_rows():
    songs, made = ["a", "a", "b", "b"], vectors(1)[:4]
    found = kernel_distance_difference(made, made + 1, vectors(0)[:4], songs, songs)
    assert found.mean is not None and found.low is None
    with pytest.raises(ValueError, match="as many"):
        kernel_distance_difference(made, made, vectors(0)[:4], songs[:3], songs)


def with_vectors(found, made):
    timbre = {
        side: dict(zip(DANCES, rows.tolist(), strict=True))
        for side, rows in (("generated", made), ("reference", vectors(0)))
    }
    by_clip = {name: {"song": song, "beat_f": 1.0, "tempo": 1.0, "onset_f": 0.5} for name, song in DANCES.items()}
    return {**found, "timbre": timbre, "by_clip": by_clip}


def test_a_row_that_is_told_apart_does_not_hold_though_the_references_interval_is_wide():
    wide = {"kad": 5.0, "spread": 50.0}
    teacher = with_vectors(row("teacher", 100, 1.0, **wide), vectors(1))
    rows = [teacher, {**teacher, "label": "same"}, with_vectors(row("again", 8, 1.0, **wide), vectors(2)),
            with_vectors(row("shifted", 4, 1.0, **wide), vectors(1, shift=0.6))]  # fmt: skip
    held = {found["label"]: found for found in held_against(teacher, rows)}
    assert held["same"]["holds"] and held["same"]["differences"]["kad"]["high"] == 0
    assert held["again"]["holds"] and held["again"]["differences"]["kad"]["low"] < 0
    apart = held["shifted"]["differences"]["kad"]
    assert not held["shifted"]["holds"] and apart["low"] > 0 and held["shifted"]["kept"]["kad"] is False
    songs = list(DANCES.values())
    kads = [kernel_distance(np.array(list(found["timbre"]["generated"].values())), vectors(0), songs, songs, permutations=1)
            for found in (rows[3], teacher)]  # fmt: skip
    assert apart["mean"] == pytest.approx(KAD_SCALE * (kads[0].value - kads[1].value))
    assert all("timbre" not in found for found in held.values())


def row(label, evaluations, beat_f, tempo=1.0, kad=1.0, spread=0.1):
    def interval(mean):
        return {"mean": mean, "low": mean - spread, "high": mean + spread, "clips": 2, "songs": 2}

    by_clip = {f"c{n}": {"song": f"s{n}", "beat_f": beat_f, "tempo": tempo, "onset_f": 0.5} for n in range(2)}
    return {
        "label": label, "evaluations": evaluations, "decoder_evaluations": 1, "by_clip": by_clip,
        "beat_f": interval(beat_f), "tempo": interval(tempo), "onset_f": interval(0.5), "kad": interval(kad),
        "timbre": {"generated": {}, "reference": {}},
    }  # fmt: skip


def test_a_row_holds_only_where_nothing_is_lost():
    rows = [row("teacher", 100, 0.9), row("same", 12, 0.85), row("off", 8, 0.75), row("slow", 6, 0.9, tempo=0.8),
            row("noisy", 4, 0.95, kad=1.2), row("better", 10, 1.0, kad=0.1)]  # fmt: skip
    held = {found["label"]: found for found in held_against(rows[0], rows)}
    assert [label for label, found in held.items() if found["holds"]] == ["teacher", "same", "better"]
    assert [key for key, kept in held["noisy"]["kept"].items() if not kept] == ["kad"]
    assert fastest_that_holds(list(held.values()))["label"] == "better"
    assert held["off"]["differences"]["beat_f"]["mean"] == pytest.approx(-0.15)


def test_a_sweep_is_written_and_goes_on_where_it_stopped(two_clips, tmp_path):
    settings = [Setting("ddim", 2), Setting(steps=2, guidance=1.0)]
    sweep = Sweep("demo", settings, two_clips, "val", tmp_path, clips=2, resamples=50)
    text = write_pareto(run_sweep(sweep), tmp_path)
    assert "demo_ddim2_g1.5" in text and "demo_dpm2_unguided" in text and "| reference |" in text
    content = json.loads((tmp_path / "pareto.json").read_text())
    assert [found["evaluations"] for found in content["rows"]] == [4, 2] and content["reference"] == "demo_ddim2_g1.5"
    for found in content["rows"]:
        assert found["clips"] == 2 and 0 <= found["beat_f"]["mean"] <= 1 and found["kad"]["mean"] is not None
        expected = found["kad"]["mean"] - content["rows"][0]["kad"]["mean"]
        assert found["differences"]["kad"]["mean"] == pytest.approx(expected, abs=0.02)  # vectors are kept rounded
    lines = list(csv.DictReader((tmp_path / "pareto.csv").open()))
    assert [line["steps"] for line in lines] == ["2", "2"] and lines[1]["guidance"] == "1.0"
    assert Image.open(tmp_path / "pareto.png").size[0] > 800

    first = tmp_path / "rows" / "demo_ddim2_g1.5" / "row.json"
    written = first.stat().st_mtime_ns
    again = run_sweep(replace(sweep, settings=[*settings, Setting(steps=1)]))
    assert first.stat().st_mtime_ns == written and len(again) == 3
    run_sweep(replace(sweep, settings=settings[:1], seed=1))
    assert first.stat().st_mtime_ns != written


def test_a_sweep_refuses_before_it_makes_anything(two_clips, tmp_path):
    for settings, clips in (([], 2), ([Setting(steps=2)], 1), ([Setting(steps=2), Setting(steps=2, grid="even")], 2)):
        with pytest.raises(BadConfig):
            run_sweep(Sweep("demo", settings, two_clips, "val", tmp_path, clips=clips))
    copy = tmp_path / "demo.safetensors"
    copy.write_bytes((WEIGHTS / "demo.safetensors").read_bytes())
    with pytest.raises(BadConfig, match="called alike"):
        run_sweep(Sweep("demo", [Setting()], two_clips, "val", tmp_path, clips=2, more=[str(copy)]))
    assert not list(tmp_path.rglob("*.wav"))
