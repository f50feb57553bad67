"""Conditioners: what is told, when, and what is drop_genre."""

import pytest
import torch
from tests_support_motion import swinging_features

from d2m.core.lead_sheet import CURVES
from d2m.core.timeline import Timeline
from d2m.models.conditioner import AlignedConditioner, Condition, MotionWindow, PublishedConditioner
from d2m.models.encoders import MOTION_CHANNELS, MotionViT, TemporalEncoder, motion_channels, resampled
from d2m.models.heads import UNKNOWN_GENRE, drop_genre
from d2m.motion.augmentation import MotionAugmentation, turned
from d2m.motion.features import joint_velocities_torch

CLOCK = Timeline(22050, 512)
FRAMES = CLOCK.window_motion_frames


def windows(batch=2, seconds_late=0.0):
    features = torch.stack([swinging_features(FRAMES, seconds_late + 0.3 * row) for row in range(batch)])
    return MotionWindow(features, features)


@pytest.fixture(scope="module")
def aligned():
    torch.manual_seed(0)
    encoder = TemporalEncoder(16, [1, 2], attention_blocks=1, heads=2)
    return AlignedConditioner(encoder, CLOCK, [1, 2], [8, 12], 4, 16).eval()


@pytest.fixture(scope="module")
def published():
    torch.manual_seed(0)
    return PublishedConditioner(MotionViT(FRAMES, 1, 2, 8, 32), genre_prompt=0.2, normalised=True).eval()


def test_aligned_shapes(aligned):
    answer = aligned(windows(), torch.tensor([3, UNKNOWN_GENRE]))
    assert [tuple(level.shape) for level in answer.condition.levels] == [(2, 8, 256), (2, 12, 128)]
    assert answer.condition.input_channels.shape == (2, 4, 256) and answer.condition.features.shape == (2, 16)
    assert answer.genre_logits.shape == (2, 10) and answer.rhythm_logits.shape == (2, 2, 256)


@pytest.fixture
def told():
    torch.manual_seed(0)
    encoder = TemporalEncoder(16, [1, 2], attention_blocks=1, heads=2)
    dropped = {"key_dropout": 1.0, "chord_dropout": 0.0, "energy_dropout": 0.0}
    return AlignedConditioner(encoder, CLOCK, [1, 2], [8, 12], 4, 16, lead_sheet=True, **dropped).eval()


def test_chords_are_told_at_their_frames_and_nothing_is_told_without_a_sheet(told, aligned):
    sheet = torch.zeros(2, CURVES, CLOCK.window_latent_frames)
    silent, empty = told.read(windows()).condition, told.read(windows(), sheet=sheet).condition
    assert torch.equal(silent.input_channels, empty.input_channels)
    sheet[0, 15, 100:] = 1
    changed = (told.read(windows(), sheet=sheet).condition.input_channels - silent.input_channels).abs().sum(dim=1)
    assert not changed[0, :100].any() and changed[0, 100:].all() and not changed[1].any()
    assert told.takes_lead_sheet and not aligned.takes_lead_sheet


def test_without_a_key_there_are_no_chords_in_training(told):
    told.train()
    told.encoder.eval()
    kept = told._sheet(torch.ones(2, CURVES, 8), torch.zeros(2, 1, 8))
    assert not kept[:, :24].any() and kept[:, 24].all()
    told.key_dropout = 0.0
    assert told._sheet(torch.ones(2, CURVES, 8), torch.zeros(2, 1, 8)).all()


def test_published_shapes(published):
    answer = published(windows(), torch.tensor([3, UNKNOWN_GENRE]))
    assert answer.condition.tokens.shape == (2, 357, 219) and answer.rhythm_logits is None


def test_a_rhythm_head_reads_the_frame_at_each_latent_frames_centre_and_tells_nobody(published):
    torch.manual_seed(0)
    reading = PublishedConditioner(
        MotionViT(FRAMES, 1, 2, 8, 32), genre_prompt=0.2, normalised=True, clock=CLOCK
    ).eval()
    missing, unexpected = reading.load_state_dict(published.state_dict(), strict=False)
    assert not unexpected and all(name.startswith("rhythm.") for name in missing)
    genre = torch.tensor([1, 10])
    answer, plain = reading(windows(), genre), published(windows(), genre)
    assert answer.rhythm_logits.shape == (2, 2, CLOCK.window_latent_frames)
    assert torch.equal(answer.condition.tokens, plain.condition.tokens)
    seen = []
    reading.rhythm.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    reading.encoder.forward = lambda motion: torch.arange(-1.0, FRAMES)[None, :, None].expand(2, -1, 219)
    reading(windows(), genre)  # a frame's token is its number
    centres = (torch.arange(CLOCK.window_latent_frames) + 0.5) / CLOCK.latent_rate * 60
    torch.testing.assert_close(seen[0][0, 0], centres.clamp(max=FRAMES - 1), atol=1e-3, rtol=0)


def test_published_encoder_keys():
    keys = set(MotionViT(depth=1).state_dict())
    expected = {"pos_embedding", "cls_token", "mlp_head.weight", "mlp_head.bias"}
    expected |= {"transformer.norm.weight", "transformer.norm.bias"}
    expected |= {f"transformer.layers.0.0.{key}" for key in ("norm.weight", "norm.bias", "to_qkv.weight")}
    expected |= {f"transformer.layers.0.0.to_out.0.{key}" for key in ("weight", "bias")}
    expected |= {f"transformer.layers.0.1.net.{n}.{key}" for n in (0, 1, 4) for key in ("weight", "bias")}
    assert keys == expected


def test_too_many_frames_for_the_vit_are_refused(published):
    with pytest.raises(ValueError, match="356 frames, not 357"):
        published.encoder(torch.zeros(1, 357, 219))


def test_a_dance_that_is_later_is_told_later():
    """Motion shifted by 32 latent frames (743 ms) shifts the condition by 32 frames, away from the edges."""
    torch.manual_seed(0)
    conditioner = AlignedConditioner(TemporalEncoder(16, [1, 2], attention_blocks=0), CLOCK, [1], [8], 4, 16).eval()
    shift = 32
    now = conditioner(windows(1), torch.tensor([0])).condition.levels[0]
    late = conditioner(windows(1, CLOCK.latent_frames_to_seconds(shift)), torch.tensor([0])).condition.levels[0]
    centre = slice(64, 192)
    aligned = (late[..., 64 + shift : 192 + shift] - now[..., centre]).abs().mean()
    assert aligned < 0.1 * (late[..., centre] - now[..., centre]).abs().mean()


def test_latent_frames_find_their_moment_among_encoder_frames(aligned):
    """A ramp that says at every encoder frame what time it is, read at latent frame centres."""
    encoder_frames = torch.arange(FRAMES // 2, dtype=torch.float32)
    ramp = TemporalEncoder.frame_time_s(encoder_frames)[None, None]
    read = resampled(ramp, aligned.positions(torch.device("cpu")))[0, 0]
    true = (torch.arange(256) + 0.5) * 512 / 22050
    torch.testing.assert_close(read[2:-2], true[2:-2], atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", ["aligned", "published"])
def test_the_genre_token_is_told_and_the_heads_never_see_it(name, request):
    conditioner = request.getfixturevalue(name)
    known, unknown = (conditioner(windows(1), torch.tensor([genre])) for genre in (2, UNKNOWN_GENRE))
    part = "features" if name == "aligned" else "tokens"
    assert (getattr(known.condition, part) - getattr(unknown.condition, part)).abs().max() > 1e-3
    torch.testing.assert_close(known.genre_logits, unknown.genre_logits)


@pytest.mark.parametrize("name", ["aligned", "published"])
def test_the_null_condition_says_nothing(name, request):
    conditioner = request.getfixturevalue(name)
    nulls = [conditioner.uncond(conditioner(windows(1, late), torch.tensor([late])).condition) for late in (0, 1)]
    assert all(null.is_uncond.all() for null in nulls)
    if name == "aligned":
        for first, second in zip(nulls[0].levels, nulls[1].levels, strict=True):
            torch.testing.assert_close(first, second)
        torch.testing.assert_close(nulls[0].features, nulls[1].features)


def test_rows_are_dropped_whole(aligned):
    condition = aligned(windows(2), torch.tensor([1, 2])).condition
    assert aligned.cfg_dropout(condition, 0.0) is condition
    lost = aligned.cfg_dropout(condition, 1.0)
    torch.testing.assert_close(lost.levels[0], aligned.uncond(condition).levels[0])
    half = condition.replaced(torch.tensor([True, False]), aligned.uncond(condition))
    assert half.is_uncond.tolist() == [True, False]
    torch.testing.assert_close(half.levels[1][1], condition.levels[1][1])


def test_joined_and_cut_again():
    one, two = (Condition(torch.zeros(1, dtype=torch.bool), tokens=torch.randn(1, 3, 4)) for _ in range(2))
    both = one.joined(two)
    assert both.levels is None and both.tokens.shape == (2, 3, 4)
    torch.testing.assert_close(both.rows(slice(1, 2)).tokens, two.tokens)


def test_genres_are_forgotten_at_the_asked_rate():
    genre = torch.zeros(4000, dtype=torch.long)
    assert (drop_genre(genre, 0.0) == genre).all()
    assert 0.07 < (drop_genre(genre, 0.1) == UNKNOWN_GENRE).float().mean() < 0.13


def test_turning_a_dance_turns_its_velocities_and_keeps_its_speeds():
    features = swinging_features(60)[None]
    quarter = turned(features, torch.tensor([torch.pi / 2]))
    before, after = (joint_velocities_torch(f).unflatten(-1, (24, 3)) for f in (features, quarter))
    torch.testing.assert_close(before.norm(dim=-1), after.norm(dim=-1), atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(before[..., 2], after[..., 0], atol=1e-4, rtol=1e-3)
    channels = motion_channels(features, features)
    assert channels.shape == (1, MOTION_CHANNELS, 60) and channels.abs().max() < 30


def test_holding_a_dance_still_keeps_its_first_place():
    features = swinging_features(30)[None] + torch.linspace(0, 1, 30)[None, :, None]
    still = MotionAugmentation(yaw=False, still_probability=1.0, noise=0.0).moved(features)
    assert (still[0, :, :3] == features[0, 0, :3]).all() and (still[..., 3:] == features[..., 3:]).all()


def test_beats_that_are_told_take_the_place_of_those_read_and_nothing_else(aligned):
    motion, beats = windows(), torch.rand(2, CLOCK.window_latent_frames)
    shown = []
    hook = aligned.input.register_forward_pre_hook(lambda module, inputs: shown.append(inputs[0]))
    read, told = aligned.read(motion), aligned.read(motion, beats)
    hook.remove()
    assert torch.equal(shown[1][:, -2], beats) and not torch.equal(shown[0][:, -2], beats)
    assert torch.equal(shown[0][:, :-2], shown[1][:, :-2]) and torch.equal(shown[0][:, -1], shown[1][:, -1])
    assert torch.equal(read.rhythm_logits, told.rhythm_logits) and torch.equal(read.genre_logits, told.genre_logits)


def test_parts_are_exchanged_and_dropped_independently_in_training_only():
    torch.manual_seed(0)
    encoder = TemporalEncoder(16, [1, 2], attention_blocks=1, heads=2, dropout=0.0)
    conditioner = AlignedConditioner(
        encoder, CLOCK, [1, 2], [8, 12], 4, 16, motion_exchange=0.3, motion_dropout=0.2, beat_dropout=0.1
    )
    rows = 32
    features = torch.stack([swinging_features(FRAMES, 0.05 * row) for row in range(rows)])
    motion, beats = MotionWindow(features, features), torch.rand(rows, CLOCK.window_latent_frames)
    shown = []
    conditioner.input.register_forward_pre_hook(lambda module, inputs: shown.append(inputs[0]))
    conditioner.eval().read(motion, beats)
    with torch.no_grad():
        for _ in range(10):
            conditioner.train().read(motion, beats)
    own = shown[0]
    silent = torch.cat([(x[:, -2] == 0).all(dim=-1) for x in shown[1:]])
    still = torch.cat([(x[:, :-2] == 0).all(dim=(1, 2)) for x in shown[1:]])
    kept = torch.cat([(x[:, :-2] - own[:, :-2]).abs().amax(dim=(1, 2)) < 1e-5 for x in shown[1:]])
    true = torch.cat([(x[:, -2] == beats).all(dim=-1) for x in shown[1:]])
    assert 0.05 < silent.float().mean() < 0.17 and 0.13 < still.float().mean() < 0.28
    assert torch.equal(true, ~silent)  # beats stay their row's own
    exchanged = ~kept & ~still
    assert 0.15 < exchanged.float().mean() < 0.36 and (still & silent).any() and (exchanged & silent).any()
