"""The optimiser's groups and the learning rate over time, as published and as improved."""

from itertools import pairwise
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from torch import nn

from d2m.systems.training_system import OptimizerSettings, genre_accuracy

CONFIGS = Path(__file__).parents[2] / "configs"


def configured(*overrides: str):
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        return compose("train", list(overrides))


def test_the_published_schedule_halves_every_thirty_epochs():
    settings: OptimizerSettings = instantiate(
        configured("experiment=published", "recipe=published").system.optimization
    )
    optimizer = torch.optim.AdamW([nn.Parameter(torch.zeros(1))], lr=1e-4)
    reference = torch.optim.lr_scheduler.StepLR(optimizer, step_size=30, gamma=0.5)
    for epoch in range(310):
        step = epoch * 164
        assert 1e-4 * settings.lr_share(step, 328_000) == pytest.approx(reference.get_last_lr()[0])
        assert settings.lr_share(step + 163, 328_000) == settings.lr_share(step, 328_000)
        optimizer.step()
        reference.step()
    assert settings.lr_share(300 * 164, 328_000) == pytest.approx(2**-10)  # where learning has ended


def test_constant_and_cosine_after_a_warm_up():
    constant = OptimizerSettings(schedule="constant", warmup_steps=10)
    assert [constant.lr_share(step, 100) for step in (0, 9, 10, 99)] == pytest.approx([0.1, 1, 1, 1])
    cosine = [OptimizerSettings(warmup_steps=10, final_share=0.1).lr_share(step, 100) for step in range(101)]
    assert cosine[0] == pytest.approx(0.1) and max(cosine) == pytest.approx(1) and cosine[100] == pytest.approx(0.1)
    assert all(a >= b for a, b in pairwise(cosine[10:]))


@pytest.mark.parametrize(
    "wrong", [{"schedule": "linear"}, {"schedule": "step"}, {"schedule": "step", "step_every_steps": 0}]
)
def test_a_schedule_that_is_none_is_refused(wrong):
    with pytest.raises(ValueError, match="schedule="):
        OptimizerSettings(**wrong)


def test_the_ablations_change_what_is_known_of_the_beat_alone():
    demo, without = configured("experiment=demo"), configured("experiment=demo_no_rhythm_loss")
    assert demo.system.loss_weights.rhythm == 0.5 and without.system.loss_weights.rhythm == 0
    published, with_rhythm = configured("experiment=demo_published"), configured("experiment=demo_published_rhythm")
    assert published.system.conditioner.get("clock") is None
    steps = {config.trainer.max_steps for config in (demo, without, published, with_rhythm)}
    assert steps == {12000} and with_rhythm.system.loss_weights == demo.system.loss_weights
    conditioner = instantiate(with_rhythm.system, _convert_="all").conditioner
    assert conditioner.rhythm is not None and conditioner.clock.latent_hop_samples == 1024
    assert without.system.reader is None
    without.system.loss_weights.rhythm, without.name = 0.5, "demo"
    without.system.reader, without.system.reader_weights = demo.system.reader, demo.system.reader_weights
    assert without == demo


def parts() -> tuple[nn.Module, nn.Module]:
    torch.manual_seed(0)
    return nn.Linear(3, 2), nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4))


def test_the_published_optimiser_is_two_plain_adamws():
    """One AdamW with groups moves the weights as the published pair of optimisers does."""
    settings: OptimizerSettings = instantiate(
        configured("experiment=published", "recipe=published").system.optimization
    )
    (encoder, unet), (own_encoder, own_unet) = parts(), parts()
    plain = [
        torch.optim.AdamW(unet.parameters(), 1e-4, betas=(0.95, 0.99), weight_decay=1e-3, eps=1e-6),
        torch.optim.AdamW(encoder.parameters(), 1e-3, betas=(0.5, 0.9)),
    ]
    ours = settings.optimizer(own_encoder, own_unet)
    for step in range(5):
        data = torch.randn(8, 4, generator=torch.Generator().manual_seed(step))
        for modules, optimizers in (((encoder, unet), plain), ((own_encoder, own_unet), [ours])):
            for optimizer in optimizers:
                optimizer.zero_grad()
            (modules[0](data[:, :3]).square().mean() + modules[1](data).square().sum()).backward()
            for optimizer in optimizers:
                optimizer.step()
    for one, other in ((encoder, own_encoder), (unet, own_unet)):
        for weight, own in zip(one.parameters(), other.parameters(), strict=True):
            torch.testing.assert_close(weight, own, atol=1e-7, rtol=1e-6)


def test_by_default_vectors_are_not_decayed_and_frozen_weights_are_left_out():
    encoder, unet = parts()
    encoder.weight.requires_grad_(False)
    groups = OptimizerSettings(weight_decay=0.1).optimizer(encoder, unet).param_groups
    decays = {id(p): group["weight_decay"] for group in groups for p in group["params"]}
    assert id(encoder.weight) not in decays and decays[id(encoder.bias)] == 0
    assert {decays[id(p)] for p in unet.parameters() if p.ndim == 1} == {0} and decays[id(unet[0].weight)] == 0.1


@pytest.mark.parametrize("experiment", ["demo", "demo_published"])
def test_constants_are_not_decayed_however_many_axes_they_have(experiment):
    """Null conditions, class token, positions and embeddings are added or looked up, and multiply nothing."""
    system = instantiate(configured(f"experiment={experiment}").system, _convert_="all")
    groups = system.optimization.optimizer(*system.optimized()).param_groups
    decays = {id(p): group["weight_decay"] for group in groups for p in group["params"]}
    learned = [
        (name, p) for name, p in system.named_parameters() if not name.startswith("reader.")
    ]  # trained on its own
    kept = {name for name, p in learned if p.ndim > 1 and decays[id(p)] == 0}
    assert "conditioner.genre_token.embedding.weight" in kept
    if experiment == "demo":
        assert {"conditioner.null_input", *(f"conditioner.null_levels.{level}" for level in range(4))} < kept
    else:
        assert {"conditioner.encoder.pos_embedding", "conditioner.encoder.cls_token"} < kept
        assert sum(name.startswith("unet.") for name in kept) == 1  # the null tokens
    decayed = [name for name, p in system.named_parameters() if decays.get(id(p), 0) > 0]
    assert len(decayed) > 80 and all(name.endswith("weight") for name in decayed)


def test_clips_of_unknown_genre_do_not_count_as_wrong():
    logits = torch.eye(10)[[2, 3, 4, 5]]
    assert float(genre_accuracy(logits, torch.tensor([2, 3, 10, 10]))) == 1
    assert float(genre_accuracy(logits, torch.tensor([2, 9, 10, 10]))) == 0.5
    assert genre_accuracy(logits, torch.full((4,), 10)).isnan()


def test_the_conditioner_takes_the_unets_settings_unless_told():
    encoder, unet = parts()
    for group in OptimizerSettings(lr=1e-3, eps=1e-6, weight_decay=0.2).optimizer(encoder, unet).param_groups:
        assert (group["lr"], group["eps"]) == (1e-3, 1e-6)
    told = OptimizerSettings(conditioner_lr=2e-3, conditioner_eps=1e-5, conditioner_weight_decay=0.0)
    group = told.optimizer(encoder, unet).param_groups[2]
    assert (group["lr"], group["eps"], group["weight_decay"]) == (2e-3, 1e-5, 0.0)


@pytest.mark.parametrize("experiment", ["published", "published_fused", "aligned"])
def test_both_recipes_compose_and_differ_where_they_say(experiment):
    improved, published = (
        configured(f"experiment={experiment}", f"recipe={recipe}") for recipe in ("improved", "published")
    )
    assert configured(f"experiment={experiment}") == improved
    assert (improved.trainer.precision, published.trainer.precision) == ("bf16-mixed", "16-mixed")
    assert {"ema", "beats"} == set(improved.callbacks) and not published.callbacks
    assert improved.system.optimization.schedule == "cosine" and improved.system.optimization.warmup_steps > 0
    assert improved.system.optimization.gradient_norm_limit == 1.0 and improved.trainer.gradient_clip_val is None
    assert published.system.optimization.gradient_norm_limit is None
    assert published.trainer.limit_val_batches == 0 and published.checkpoint.monitor is None
    assert published.data.random_start is False and published.data.batch_size == 6
    for config in (improved, published):
        assert (config.data.train_split, config.data.validation) == ("tuning_train", "tuning_val")
        assert config.data.dmae == "atc64_v2" and config.trainer.max_steps > 0
        clock = config.system.clock
        assert (clock.sample_rate, clock.latent_hop_samples) == (
            config.data.sample_rate,
            config.data.latent_hop_samples,
        )
    if experiment != "aligned":
        assert published.system.condition_dropout == 0.2 and not published.system.standardise_latents
