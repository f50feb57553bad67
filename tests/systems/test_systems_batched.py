"""Many dances at once: the same music as one by one, in batches that memory holds."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tests_support_motion import swinging_features

from d2m.core.errors import BadConfig
from d2m.diffusion.multidiffusion import WindowPlan, joined_plans
from d2m.models.device import DeviceConfig
from d2m.motion.dance import Dance
from d2m.pipeline import Dance2Music, generate_all
from d2m.systems.interface import GenerationRequest, LatentRequest
from d2m.systems.latent_diffusion import GeneratedLatent
from d2m.systems.latent_generator import LARGEST_BATCH, fitting_batch

LENGTHS = (150, 700, 420, 900)  # motion frames; a window is 356


@pytest.fixture(scope="module")
def model() -> Dance2Music:
    return Dance2Music.load("demo")


def dances() -> list[Dance]:
    return [Dance(swinging_features(count, 0.3 * n).numpy(), f"dance{n}") for n, count in enumerate(LENGTHS)]


def test_plans_side_by_side_never_overlap() -> None:
    joined = joined_plans([WindowPlan(10, 4, (0, 3, 6)), WindowPlan(4, 4, (0,)), WindowPlan(7, 4, (0, 3))])
    assert (joined.total_frames, joined.window_frames, joined.starts) == (21, 4, (0, 3, 6, 10, 14, 17))


@pytest.fixture(scope="module")
def made_alone(model: Dance2Music) -> list[tuple[LatentRequest, GeneratedLatent]]:
    """Requests, and what each becomes by itself."""
    clock, few = model.system.clock, replace(model.system.generation, steps=2)
    asked = [
        LatentRequest(torch.from_numpy(d.features), clock.samples_to_latent_frames(model.samples(d)), genre, seed)
        for d, genre, seed in zip(dances(), (3, None, 9, 0), (0, 5, 6, 0), strict=True)
    ]
    return [(one, model.system.generate_latents([one], few)[0]) for one in asked]


@pytest.mark.parametrize("batch", [1, 3, 32])
def test_latents_made_together_are_those_made_alone(model: Dance2Music, made_alone: list, batch: int) -> None:
    settings = replace(model.system.generation, steps=2, batch=batch)
    together = model.system.generate_latents([request for request, _ in made_alone], settings)
    for (_, alone), made in zip(made_alone, together, strict=True):
        assert made.latent.shape == alone.latent.shape and alone.latent.std() > 0.05
        assert (made.latent - alone.latent).abs().max() < 1e-4 and made.genre == alone.genre
        torch.testing.assert_close(made.genre_probabilities, alone.genre_probabilities)


def test_a_folder_in_batches_sounds_as_one_by_one(model: Dance2Music, tmp_path: Path) -> None:
    paths = [tmp_path / f"{dance.name}.npy" for dance in dances()]
    for path, dance in zip(paths, dances(), strict=True):
        np.save(path, dance.features)
    bad = tmp_path / "bad.npy"
    np.save(bad, np.zeros((100, 3)))
    paths.insert(2, bad)
    groups, heard = [], {}
    together = model.music_generator.generate_together

    def noted(requests):
        groups.append(len(requests))
        return together(requests)

    for batch in (None, 5):
        groups.clear()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(model.music_generator, "generate_together", noted)
            result = generate_all(model, paths, tmp_path / str(batch), seed=1, steps=1, batch=batch)
        assert list(result.wavs) == [path for path in paths if path != bad] and list(result.failed) == [bad]
        assert groups == ([1, 1, 1, 1] if batch is None else [2, 2])  # 1 + 3 windows, then 2 and 4
        heard[batch] = [wav.read_bytes() for wav in result.wavs.values()]
    samples = [[np.frombuffer(wav[44:], np.int16).astype(int) for wav in wavs] for wavs in heard.values()]
    for one, other in zip(*samples, strict=True):
        assert len(one) == len(other) and np.abs(one - other).max() <= 64 and np.abs(one).max() > 500


def test_a_group_is_as_large_as_the_batch(model: Dance2Music) -> None:
    music_generator, second = model.music_generator, 44100
    assert music_generator.at_once([13 * second] * 9, {}) == 1
    assert music_generator.at_once([5 * second] * 9, {"batch": 4}) == 4
    assert music_generator.at_once([60 * second] * 9, {"batch": 4}) == 1  # one that is larger goes alone
    assert music_generator.at_once([5 * second] * 9, {"batch": 4, "edit": "song.wav"}) == 1


def test_the_batch_that_memory_holds(model: Dance2Music) -> None:
    system = model.system
    sizes = [fitting_batch(system, free) for free in (0, 2**26, 2**28, 2**40)]
    assert sizes == sorted(sizes) and sizes[0] == 1 and sizes[2] > 1 and sizes[-1] == LARGEST_BATCH
    assert 2**20 < DeviceConfig().free_bytes() < 2**50
    made = model.music_generator.generate(
        GenerationRequest(swinging_features(900), 3, 300_000, settings={"batch": "auto", "steps": 1})
    )
    assert made.settings["batch"] == fitting_batch(system, DeviceConfig().free_bytes())


@pytest.mark.parametrize("batch", [0, -1, "many", 2.5, True])
def test_a_batch_that_is_none(model: Dance2Music, batch: object) -> None:
    with pytest.raises(
        BadConfig, match=f"batch={batch}: expected how many windows are denoised at once, 1 or more, or auto"
    ):
        model(dances()[0], batch=batch)


@pytest.mark.parametrize(
    "settings",
    [
        {"steps": 1},
        {"steps": 1, "genre": "gHO", "guidance": 1.0},
        {"steps": 1, "batch": 2, "tempo_bpm": 90},
        {"edit": "SONG", "steps": 2},
    ],
)
def test_the_motion_encoder_runs_once_on_the_way_from_dance_to_waveform(
    model: Dance2Music, tmp_path: Path, settings: dict
) -> None:
    """Of each window; genre and beats are the rhythm reader's."""
    dance, rows = Dance(swinging_features(700).numpy(), "swinging"), []
    if "edit" in settings:
        settings = {**settings, "edit": str(model(dance, steps=1).save(tmp_path / "song.wav"))}
    hook = model.system.conditioner.encoder.register_forward_hook(
        lambda module, inputs, output: rows.append(len(output))
    )
    record = model.generate(dance, **settings)[1]
    hook.remove()
    frames = model.system.clock.samples_to_latent_frames(model.samples(dance))
    windows = len(model.system.window_plan(frames).starts)
    assert windows == 3 and sum(rows) == windows and 0 <= record.genre_probability <= 1
    assert rows == ([2, 1] if "batch" in settings else [3])
