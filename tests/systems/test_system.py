"""The whole system at toy size: it learns, it listens, it generates any length, and it repeats itself by seed."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import hydra
import lightning
import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from tests_support_motion import swinging_features
from torch.utils.data import DataLoader

from d2m.core.errors import BadConfig
from d2m.core.timeline import Timeline
from d2m.diffusion.guidance import guided
from d2m.diffusion.samplers import ddim
from d2m.models.conditioner import AlignedConditioner, PublishedConditioner
from d2m.models.encoders import MotionViT, TemporalEncoder
from d2m.models.heads import UNKNOWN_GENRE
from d2m.models.unet import ConditionedUNet
from d2m.motion.augmentation import MotionAugmentation
from d2m.systems.interface import GenerationSettings, LatentRequest, evaluating
from d2m.systems.latent_diffusion import LatentDiffusion
from d2m.systems.training_system import OptimizerSettings
from d2m.training.checkpointing import StepSeeds
from d2m.training.ema import EMA

CLOCK = Timeline(22050, 512, window_latent_frames=64)
LATENT_CHANNELS = 4
CONFIGS = Path(__file__).parents[2] / "configs" / "system"


def tiny_unet(**told):
    return ConditionedUNet(
        LATENT_CHANNELS, [16, 24], [1, 2], [1, 1], [0, 1],
        attention_features=8, attention_heads=2, modulation_features=16, **told,
    )  # fmt: skip


def tiny(name="aligned", **settings):
    torch.manual_seed(0)
    if name == "aligned":
        encoder = TemporalEncoder(16, [1, 2, 4], attention_blocks=1, heads=2)
        conditioner = AlignedConditioner(encoder, CLOCK, [1, 2], [8, 8], 4, 16)
        unet = tiny_unet(context_channels=[8, 8], input_channels=4)
    else:
        frames = CLOCK.window_motion_frames
        conditioner = PublishedConditioner(MotionViT(frames, 1, 2, 8, 32), normalised=True, genre_prompt=0.2)
        unet = tiny_unet(cross_attentions=[1, 1], embedding_features=219, embedding_max_length=frames + 1)
    optimization = OptimizerSettings(lr=5e-3, warmup_steps=5, total_steps=200)
    generation = GenerationSettings(steps=3, guidance=2.0, overlap_frames=16, batch=3)
    return LatentDiffusion(conditioner, unet, CLOCK, optimization=optimization, generation=generation, **settings)


def samples():
    """Two fixed dances whose latents follow their motion."""
    frames = CLOCK.window_motion_frames
    features = torch.stack([swinging_features(frames, late) for late in (0.0, 0.4)])
    curve = torch.nn.functional.interpolate(features[..., [12, 20, 57, 1]].transpose(1, 2), 64)
    latent = (curve - curve.mean(dim=-1, keepdim=True)) / curve.std(dim=-1, keepdim=True).clamp(min=0.05)
    rhythm = (latent[:, :2] > 1).float()
    return {"features": features, "latent": latent, "genre": torch.tensor([1, 7]), "rhythm": rhythm}


@pytest.mark.parametrize("name", ["aligned", "published"])
def test_it_learns_two_dances_by_heart(name):
    system, batch = tiny(name, condition_dropout=0.0, genre_dropout=0.0), samples()
    optimizer = system.optimization.optimizer(system.conditioner, system.unet)
    losses = []
    for step in range(60):
        parts = system.compute_losses(batch, training=True, generator=torch.Generator().manual_seed(step % 8))
        optimizer.zero_grad()
        parts["loss"].backward()
        optimizer.step()
        losses.append({key: part.item() for key, part in parts.items()})
    ends = ("rhythm",) if name == "aligned" else ()
    for key in ("velocity", "genre", *ends):
        first, last = (np.mean([loss[key] for loss in part]) for part in (losses[:8], losses[-8:]))
        assert last < 0.8 * first, key
    assert losses[-1]["genre_accuracy"] == 1.0


@pytest.mark.parametrize("name", ["aligned", "published"])
def test_gradient_reaches_every_weight(name):
    system = tiny(name, augmentation=MotionAugmentation(), condition_dropout=0.5)
    system.compute_losses(samples(), training=True)["loss"].backward()
    system.compute_losses(samples(), training=False)["loss"].backward()
    assert not [name for name, weight in system.named_parameters() if weight.grad is None]


def test_rhythm_targets_may_be_absent():
    batch = samples()
    del batch["rhythm"]
    assert "rhythm" not in tiny().compute_losses(batch, training=False)
    assert tiny().compute_losses(batch, training=False)["loss"].isfinite()


def test_rows_of_unknown_genre_do_not_train_the_classifier():
    batch = samples() | {"genre": torch.full((2,), UNKNOWN_GENRE)}
    assert tiny().compute_losses(batch, training=False)["genre"] == 0


@pytest.mark.parametrize("asked", [0, -1])
def test_no_step_is_refused_and_not_taken_for_the_default(asked):
    for name in ("steps", "batch", "decoder_steps"):
        with pytest.raises(BadConfig, match=f"{name}={asked}: expected 1 or more"):
            GenerationSettings(**{name: asked})


def generated(system, features, genre=(UNKNOWN_GENRE, UNKNOWN_GENRE), noise=None, **settings):
    """A window's latent for each row of features."""
    noises = [None] * len(features) if noise is None else noise
    requests = [
        LatentRequest(row, 64, number, noise=start) for row, number, start in zip(features, genre, noises, strict=False)
    ]
    made = system.generate_latents(requests, replace(system.generation, **settings))
    return torch.stack([one.latent for one in made])


def long(system, features, genre, frames, seed=0, **settings):
    """A latent of any length."""
    asked = LatentRequest(features, frames, genre, seed)
    return system.generate_latents([asked], replace(system.generation, **settings))[0].latent


@pytest.fixture(scope="module", params=["aligned", "published"])
def awake(request):
    """A system whose zero-initialised parts have been moved, as training would."""
    system = tiny(request.param)
    with torch.no_grad():
        for weight in system.parameters():
            weight.add_(0.05 * torch.randn_like(weight))
    return system


def test_the_dance_and_the_genre_change_what_is_generated(awake):
    batch = samples()
    noise = torch.randn(1, LATENT_CHANNELS, 64).repeat(2, 1, 1)
    told = generated(awake, batch["features"], [1, 1], noise)
    assert (told[0] - told[1]).abs().max() > 1e-3
    other = generated(awake, batch["features"], [1, 5], noise)
    torch.testing.assert_close(told[0], other[0], atol=1e-4, rtol=1e-4)
    assert (told[1] - other[1]).abs().max() > 1e-4
    made = awake.generate_latents([LatentRequest(batch["features"][0], 64, noise=noise[0])])[0]
    assert made.genre == int(made.genre_probabilities.argmax())  # not asked for: what is read
    torch.testing.assert_close(made.latent, generated(awake, batch["features"], [made.genre], noise)[0])


def test_guidance_one_is_the_single_pass(awake):
    batch, noise, passes = samples(), torch.randn(2, LATENT_CHANNELS, 64), []
    hook = awake.unet.register_forward_hook(lambda module, inputs, output: passes.append(len(inputs[0])))
    genre = batch["genre"].tolist()
    single = generated(awake, batch["features"], genre, noise, guidance=1.0)
    generated(awake, batch["features"], genre, noise, guidance=3.0)
    near = generated(awake, batch["features"], genre, noise, guidance=1.0 + 1e-7)
    hook.remove()
    assert passes == [2] * 3 + [4] * 6
    torch.testing.assert_close(single, near, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize(("dance_frames", "latent_frames"), [(60, 44), (89, 64), (90, 65), (200, 143), (500, 359)])
def test_any_length_comes_out_exactly(awake, dance_frames, latent_frames):
    latent = long(awake, swinging_features(dance_frames), 3, latent_frames)
    assert latent.shape == (LATENT_CHANNELS, latent_frames) and latent.isfinite().all()


def test_a_dance_may_end_before_its_music(awake):
    assert long(awake, swinging_features(2), None, 100).shape == (LATENT_CHANNELS, 100)


def test_a_latent_is_the_samplers_answer_to_the_guided_network(awake):
    """Of one window, without multidiffusion: the noise of the seed, the condition and its null, the sampler."""
    features, generator = samples()["features"][:1], torch.Generator().manual_seed(5)
    with evaluating(awake), torch.no_grad():
        condition = awake.conditioned_on({"features": features, "genre": torch.tensor([2])}, training=False).condition
        denoiser = guided(awake.unet, condition, awake.conditioner.uncond(condition), awake.generation.guidance)
        noise = torch.randn(1, LATENT_CHANNELS, 64, generator=generator)
        window = awake.restored(awake.sampler(denoiser, noise, awake.generation.steps))[0]
    torch.testing.assert_close(long(awake, features[0], 2, 64, seed=5), window, atol=1e-4, rtol=1e-3)


def test_the_seed_decides_and_the_batch_does_not(awake):
    features = swinging_features(300)
    first, again, batched, other = (
        long(awake, features, 3, 200, seed=seed, batch=batch) for seed, batch in ((1, 3), (1, 3), (1, 1), (2, 3))
    )
    assert torch.equal(first, again)
    torch.testing.assert_close(first, batched, atol=1e-4, rtol=1e-3)
    assert (first - other).abs().max() > 0.1


def test_generating_leaves_training_mode_alone(awake):
    awake.train()
    long(awake, swinging_features(60), None, 40)
    assert awake.training and awake.conditioner.training


def test_genre_probabilities_sum_to_one(awake):
    for frames in (10, 89, 400):
        asked = LatentRequest(swinging_features(frames), frames)
        (probability,) = awake.read([asked], awake.generation).genre_probabilities()
        assert probability.shape == (10,) and probability.sum().item() == pytest.approx(1, abs=1e-5)


def test_windows_of_a_long_dance_start_where_their_latents_do():
    system = tiny()
    plan = system.window_plan(1000)
    ramp = torch.arange(2000, dtype=torch.float32)[:, None].expand(-1, 219).contiguous()
    windows = system.motion_windows(ramp, plan)
    for window, start in zip(windows, plan.starts, strict=True):
        latent_s = start * 512 / 22050
        assert abs(window[0, 0].item() / 60 - latent_s) < 0.005
        assert window[1, 0] - window[0, 0] == 1


def test_statistics_standardise_latents_and_are_undone():
    system = tiny(sampler=ddim)
    latent = 3 + 0.2 * torch.randn(LATENT_CHANNELS, 500)
    system.fit_statistics([np.random.default_rng(0).normal(size=(50, 219)).astype(np.float32)], [latent])
    standard = system.standardised(latent[None])
    assert standard.mean().abs() < 1e-4 and standard.std().item() == pytest.approx(1, abs=0.01)
    torch.testing.assert_close(system.restored(standard)[0], latent)
    assert {"latent_mean", "latent_std", "normalizer.mean", "normalizer.std"} <= set(system.state_dict())


def trainer(folder, steps, ema, **settings):
    return lightning.Trainer(
        max_steps=steps, accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False,
        default_root_dir=folder, callbacks=[ema, StepSeeds(0)], enable_checkpointing=False, num_sanity_val_steps=0, **settings,
    )  # fmt: skip


def loader():
    batch = samples()
    return DataLoader([{key: part[row] for key, part in batch.items()} for row in (0, 1)] * 4, batch_size=2)


@pytest.mark.filterwarnings("ignore")
def test_lightning_trains_and_validates_with_the_average(tmp_path):
    seen = {}

    class Probe(LatentDiffusion):
        def on_validation_epoch_start(self):
            seen["validated"] = sum(weight.sum() for weight in self.parameters())

    ema, system = EMA(decay=0.9), tiny()
    system.__class__ = Probe
    trainer(tmp_path, 4, ema, limit_val_batches=1).fit(system, loader(), loader())
    trained = sum(weight.sum() for weight in system.parameters())
    average = sum(weight.sum() for weight in ema.average.values())
    assert ema.updates == 4 and not ema.swapped and not torch.isclose(trained, average)
    assert torch.isclose(seen["validated"], average, atol=1e-3)


@pytest.mark.filterwarnings("ignore")
def test_a_resumed_training_ends_where_an_uninterrupted_one_does(tmp_path):
    def run(steps, checkpoint=None):
        ema, system = EMA(decay=0.9), tiny(augmentation=MotionAugmentation())
        system.config = {"name": "toy"}
        fitter = trainer(tmp_path, steps, ema)
        fitter.fit(system, loader(), ckpt_path=checkpoint, weights_only=True if checkpoint else None)
        return fitter, system, ema

    _, whole, whole_ema = run(4)
    fitter, half, _ = run(2)
    fitter.save_checkpoint(tmp_path / "half.ckpt")
    assert torch.load(tmp_path / "half.ckpt", weights_only=True)["config"] == {"name": "toy"}
    _, resumed, resumed_ema = run(4, tmp_path / "half.ckpt")
    assert resumed_ema.updates == whole_ema.updates == 4
    for name, weight in whole.named_parameters():
        torch.testing.assert_close(resumed.get_parameter(name), weight, msg=name)
        torch.testing.assert_close(resumed_ema.average[name], whole_ema.average[name], msg=name)
    assert any((half.get_parameter(name) - weight).abs().max() > 1e-4 for name, weight in whole.named_parameters())


@pytest.mark.filterwarnings("ignore")
def test_the_average_is_restored_from_a_checkpoint_and_lent_by_swapping(tmp_path):
    ema, system = EMA(decay=0.5), tiny()
    trainer(tmp_path, 2, ema).fit(system, loader())
    again = EMA()
    again.load_state_dict(ema.state_dict())
    assert again.updates == 2 and all(torch.equal(again.average[name], ema.average[name]) for name in ema.average)
    noise, dance = torch.randn(1, LATENT_CHANNELS, 64), samples()["features"][:1]
    trained = generated(system, dance, noise=noise)
    ema.swap(system)
    averaged = generated(system, dance, noise=noise)
    ema.swap(system)
    assert (trained - averaged).abs().max() > 1e-4, "the network must run the swapped weights, not a copy's originals"
    assert torch.equal(generated(system, dance, noise=noise), trained)


def test_a_checkpoint_saved_while_lent_has_weights_and_average_in_their_places(tmp_path):
    ema, system = EMA(), tiny()
    ema.average = {name: torch.full_like(weight, 7.0) for name, weight in system.named_parameters()}
    before = {name: weight.clone() for name, weight in system.named_parameters()}
    ema.swap(system)
    checkpoint = {"state_dict": dict(system.state_dict()), "callbacks": {"EMA": ema.state_dict()}}
    ema.on_save_checkpoint(trainer(tmp_path, 1, ema), system, checkpoint)
    for name, weight in before.items():
        assert torch.equal(checkpoint["state_dict"][name], weight)
        assert (checkpoint["callbacks"]["EMA"]["average"][name] == 7).all()


def test_the_learning_rate_warms_up_and_falls():
    settings = OptimizerSettings(warmup_steps=10, final_share=0.1)
    shares = [settings.lr_share(step, 100) for step in range(101)]
    assert shares[0] == pytest.approx(0.1) and max(shares) == pytest.approx(1) and shares[100] == pytest.approx(0.1)
    assert all(a >= b for a, b in pairwise(shares[10:]))


def test_demo_configuration_makes_music_latents_of_the_right_shape():
    system = hydra.utils.instantiate(OmegaConf.load(CONFIGS / "aligned.yaml"))
    latent = long(system, swinging_features(60), UNKNOWN_GENRE, 44, steps=1)
    assert latent.shape == (96, 44) and latent.isfinite().all()
