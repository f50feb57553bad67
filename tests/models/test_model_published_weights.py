"""The published system's layout: weights in and out, and the same numbers as the stock packages and plain formulas give."""

import runpy
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from omegaconf import OmegaConf
from safetensors.torch import save_file
from tests_support_motion import swinging_features

import d2m.audio  # isort: skip  # noqa: F401  (torchaudio beside a CPU torch)
from audio_diffusion_pytorch import DiffusionModel, UNetV0  # isort: skip
from d2m.audio.pretrained import load_dmae, weights_sha256
from d2m.core.aist_names import GENRES
from d2m.core.checkpoint import WEIGHTS, build, load_checkpoint, load_into
from d2m.core.errors import BadConfig, BadInput
from d2m.core.external_weights import copies_folded, read_tensors, renamed, without_prefixes
from d2m.core.timeline import Timeline
from d2m.diffusion.guidance import guided
from d2m.diffusion.samplers import ddim
from d2m.models.conditioner import AlignedConditioner, Condition
from d2m.models.encoders import TemporalEncoder
from d2m.models.heads import UNKNOWN_GENRE
from d2m.models.published_weights import load_published, published_encoder_state, published_unet_state, write_published
from d2m.systems.interface import LatentRequest

CONFIGS = Path(__file__).parents[2] / "configs"
FRAMES, LATENT_FRAMES = 89, 64
SIZES = {
    "base": {"embedding_features": 219, "embedding_max_length": FRAMES + 1},
    "fused": {"embedding_features": 24, "embedding_max_length": 8},
}
LEVELS = {
    "in_channels": 4, "channels": [8, 16], "factors": [1, 2], "items": [2, 1], "attentions": [0, 1],
    "cross_attentions": [1, 1], "attention_features": 8, "attention_heads": 2, "modulation_features": 16,
}  # fmt: skip


@cache
def composed(*overrides: str):
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        return compose("train", list(overrides))


def tiny_config(layout: str, **conditioner) -> dict:
    """The published configuration with every width reduced, by the same path that the full size takes."""
    name = "published_fused" if layout == "fused" else "published"
    config = OmegaConf.to_container(composed(f"experiment={name}").system, resolve=True)
    assert isinstance(config, dict)
    config["clock"] = {"_target_": "d2m.core.timeline.Timeline", "sample_rate": 22050, "latent_hop_samples": 512, "window_latent_frames": LATENT_FRAMES}  # fmt: skip
    config["unet"].update(LEVELS, **SIZES[layout])
    config["conditioner"]["encoder"].update(frames=FRAMES, depth=2, heads=3, head_features=8, hidden=32)
    config["conditioner"].update(conditioner)
    if layout == "fused":
        config["conditioner"]["fusion"].update(tokens_in=FRAMES + 1, tokens_out=8, features_out=24)
    return config


def tiny(layout: str, seed: int = 0, **conditioner):
    torch.manual_seed(seed)
    system = build(tiny_config(layout, **conditioner), Path("config"))
    with torch.no_grad():
        for weight in system.parameters():
            weight.add_(0.1 * torch.randn_like(weight))
    return system.eval()


def stock(layout: str, seed: int = 5) -> DiffusionModel:
    torch.manual_seed(seed)
    model = DiffusionModel(net_t=UNetV0, use_embedding_cfg=True, **LEVELS, **SIZES[layout]).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.1 * torch.randn_like(weight))
    return model


def told(layout: str, dropped: tuple[bool, ...] = (False, False)) -> Condition:
    size = SIZES[layout]
    tokens = torch.randn(2, size["embedding_max_length"], size["embedding_features"])
    return Condition(torch.tensor(dropped), tokens=tokens)


# Sizes and keys of the real thing


@pytest.mark.parametrize(
    ("name", "unet", "encoder", "tokens"),
    [("published", 246_215_015, 6_822_748, (357, 219)), ("published_fused", 264_210_752, 7_060_316, (64, 768))],
)
def test_full_size_counts_clock_and_keys(name, unet, encoder, tokens):
    config = composed(f"experiment={name}")
    with torch.device("meta"):
        system = instantiate(config.system)
        reference = DiffusionModel(
            net_t=UNetV0, use_embedding_cfg=True, in_channels=32, channels=[128, 256, 512, 512, 1024, 1024],
            factors=[1, 2, 2, 2, 2, 2], items=[2, 2, 2, 2, 4, 4], attentions=[0, 0, 1, 1, 1, 1], cross_attentions=[1] * 6,
            attention_features=64, attention_heads=8, embedding_max_length=tokens[0], embedding_features=tokens[1],
        )  # fmt: skip
    assert sum(weight.numel() for weight in system.unet.parameters()) == unet
    assert sum(weight.numel() for weight in system.conditioner.parameters()) == encoder
    assert system.clock == Timeline(44100, 1024) and system.clock.window_motion_frames == 356
    ours, theirs = published_unet_state(system), reference.state_dict()
    assert len(ours) == 3 * 756
    assert {key: weight.shape for key, weight in ours.items()} == {key: w.shape for key, w in theirs.items()}
    heads = {key.split(".")[0] for key in published_encoder_state(system)}
    assert heads == {"pos_embedding", "cls_token", "transformer", "mlp_head"} | (
        {"fusion"} if tokens[0] == 64 else set()
    )
    assert not system.standardise_latents and not system.conditioner.normalised


# Our network against the stock one


@pytest.mark.parametrize("layout", ["base", "fused"])
def test_same_weights_same_answer_as_the_stock_network(layout, tmp_path):
    reference, system, path = stock(layout), tiny(layout), tmp_path / "unet.pt"
    torch.save(reference.state_dict(), path)
    load_published(system, unet=path)
    x, sigma, condition = torch.randn(2, 4, LATENT_FRAMES), torch.tensor([0.1, 0.9]), told(layout)
    with torch.no_grad():
        ours, theirs = system.unet(x, sigma, condition), reference.net(x, sigma, embedding=condition.tokens)
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)
        masked = reference.net(x, sigma, embedding=condition.tokens, embedding_mask_proba=1.0)
        null = system.conditioner.uncond(condition)
        torch.testing.assert_close(system.unet(x, sigma, null), masked, atol=1e-5, rtol=1e-5)
        mixed = system.unet(x, sigma, Condition(torch.tensor([True, False]), tokens=condition.tokens))
        torch.testing.assert_close(mixed, torch.stack([masked[0], theirs[1]]), atol=1e-5, rtol=1e-5)
        assert (masked - theirs).abs().max() > 1e-2, "the two halves must differ for guidance to mean anything"
        scaled = reference.net(x, sigma, embedding=condition.tokens, embedding_scale=9.0)
        torch.testing.assert_close(guided(system.unet, condition, null, 9.0)(x, sigma), scaled, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("layout", ["base", "fused"])
def test_the_sample_loop_is_the_stock_one(layout, tmp_path):
    reference, system, path = stock(layout), tiny(layout), tmp_path / "unet.pt"
    torch.save(reference.state_dict(), path)
    load_published(system, unet=path)
    noise, condition = torch.randn(2, 4, LATENT_FRAMES), told(layout)
    theirs = reference.sample(noise, num_steps=5, embedding=condition.tokens, embedding_scale=9.0)
    denoiser = guided(system.unet, condition, system.conditioner.uncond(condition), 9.0)
    ours = ddim(denoiser, noise, 5)
    torch.testing.assert_close(ours, theirs, atol=1e-5 * theirs.abs().max().item(), rtol=1e-5)


def test_generation_from_motion_is_encoder_then_stock_sampler(tmp_path):
    reference, system, path = stock("base"), tiny("base"), tmp_path / "unet.pt"
    torch.save(reference.state_dict(), path)
    load_published(system, unet=path)
    motion, noise = swinging_features(FRAMES)[None], torch.randn(1, 4, LATENT_FRAMES)
    theirs = reference.sample(noise, num_steps=5, embedding=system.conditioner.encoder(motion), embedding_scale=9.0)
    asked = LatentRequest(motion[0], LATENT_FRAMES, 3, noise=noise[0])
    (made,) = system.generate_latents([asked], replace(system.generation, steps=5, guidance=9.0, overlap_frames=16))
    ours = made.latent[None]
    torch.testing.assert_close(ours, theirs, atol=1e-5 * theirs.abs().max().item(), rtol=1e-5)


def test_the_training_loss_is_the_published_one():
    """0.1 * mean squared error of v, plus cross-entropy of the genre; sigma from U(0, 1), un-standardised latents."""
    system = tiny("base")
    system.fit_statistics(
        [np.random.default_rng(0).normal(size=(50, 219)).astype(np.float32)], [torch.randn(4, 50) * 3]
    )
    assert not system.latent_mean.any() and (system.latent_std == 1).all()
    motion = torch.stack([swinging_features(FRAMES), swinging_features(FRAMES, 0.3)])
    x0, genre = 0.4 * torch.randn(2, 4, LATENT_FRAMES) + 0.2, torch.tensor([2, 9])
    with torch.no_grad():
        found = system.compute_losses(
            {"features": motion, "latent": x0, "genre": genre}, False, torch.Generator().manual_seed(3)
        )
        generator = torch.Generator().manual_seed(3)
        noise, sigma = torch.randn(x0.shape, generator=generator), torch.rand(2, generator=generator)
        alpha, beta = (f(sigma * torch.pi / 2)[:, None, None] for f in (torch.cos, torch.sin))
        tokens = system.conditioner.encoder(motion)
        answer = system.unet(
            alpha * x0 + beta * noise, sigma, Condition(torch.zeros(2, dtype=torch.bool), tokens=tokens)
        )
        velocity = ((answer - (alpha * noise - beta * x0)) ** 2).mean()
        logits = (
            tokens.mean(dim=1) @ system.conditioner.encoder.mlp_head.weight.T + system.conditioner.encoder.mlp_head.bias
        )
        entropy = -logits.log_softmax(dim=1)[torch.arange(2), genre].mean()
    torch.testing.assert_close(found["loss"], 0.1 * velocity + entropy, atol=1e-5, rtol=1e-5)


# The encoder against its definition


def plain_encoder(state: dict, motion: torch.Tensor, heads: int) -> torch.Tensor:
    """Class token, learned positions, pre-norm blocks of attention and perceptron, final norm: written out."""
    width = motion.shape[-1]

    def norm(x, name):
        centred = x - x.mean(dim=-1, keepdim=True)
        scaled = centred / (centred.square().mean(dim=-1, keepdim=True) + 1e-5).sqrt()
        return scaled * state[f"{name}.weight"] + state[f"{name}.bias"]

    def linear(x, name):
        return x @ state[f"{name}.weight"].T + state[f"{name}.bias"]

    x = torch.cat([state["cls_token"].expand(len(motion), 1, width), motion], dim=1) + state["pos_embedding"]
    for layer in range(2):
        attention, perceptron = (f"transformer.layers.{layer}.{part}" for part in (0, 1))
        projected = norm(x, f"{attention}.norm") @ state[f"{attention}.to_qkv.weight"].T
        mixed = []
        for q, k, v in zip(*(part.chunk(heads, dim=-1) for part in projected.chunk(3, dim=-1)), strict=True):
            weights = torch.exp(q @ k.transpose(1, 2) / q.shape[-1] ** 0.5)
            mixed.append(weights / weights.sum(dim=-1, keepdim=True) @ v)
        x = x + linear(torch.cat(mixed, dim=-1), f"{attention}.to_out.0")
        hidden = linear(norm(x, f"{perceptron}.net.0"), f"{perceptron}.net.1")
        x = x + linear(0.5 * hidden * (1 + torch.erf(hidden / 2**0.5)), f"{perceptron}.net.4")
    return norm(x, "transformer.norm")


@pytest.mark.parametrize("layout", ["base", "fused"])
@pytest.mark.parametrize("pool", ["mean", "cls"])
def test_the_encoder_is_its_definition(layout, pool):
    system = tiny(layout)
    system.conditioner.encoder.pool = pool
    state, motion = published_encoder_state(system), 0.5 * torch.randn(2, FRAMES, 219)
    with torch.no_grad():
        tokens = plain_encoder(state, motion, heads=3)
        pooled = tokens[:, 0] if pool == "cls" else tokens.mean(dim=1)
        logits = pooled @ state["mlp_head.weight"].T + state["mlp_head.bias"]
        if layout == "fused":  # time as channels: a convolution over the 219 features
            tokens = F.conv1d(tokens, state["fusion.conv.weight"], state["fusion.conv.bias"], padding=1)
            hidden = 0.5 * tokens * (1 + torch.erf(tokens / 2**0.5))
            tokens = hidden @ state["fusion.linear.weight"].T + state["fusion.linear.bias"]
        found = system.conditioned_on({"features": motion, "genre": torch.tensor([1, 2])}, training=False)
    torch.testing.assert_close(found.condition.tokens, tokens, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found.genre_logits, logits, atol=1e-5, rtol=1e-5)


def test_the_genre_prompt_is_added_to_every_token(tmp_path):
    vectors = np.random.default_rng(0).normal(size=(len(GENRES), 219)).astype(np.float32)
    np.save(tmp_path / "vectors.npy", vectors)
    motion, genre = torch.randn(2, FRAMES, 219), torch.tensor([4, UNKNOWN_GENRE])
    for a in (0.01, 0.1, 0.2):
        system = tiny("base", genre_prompt=a, genre_vectors=str(tmp_path / "vectors.npy"))
        system.setup("fit")
        with torch.no_grad():
            plain = system.conditioner.encoder(motion)
            tokens = system.conditioned_on({"features": motion, "genre": genre}, training=False).condition.tokens
        torch.testing.assert_close(tokens[0], plain[0] + a * torch.from_numpy(vectors[4]))
        torch.testing.assert_close(tokens[1], plain[1])
        assert not system.conditioner.genre_token.embedding.weight.requires_grad
        trained = system.optimization.optimizer(system.conditioner, system.unet)
        assert all(p.requires_grad for group in trained.param_groups for p in group["params"])
    learned = build(tiny_config("base", genre_prompt=0.1), Path("config")).conditioner.genre_token
    assert learned.embedding.weight.requires_grad and not learned.embedding.weight[UNKNOWN_GENRE].any()


def test_genre_vectors_come_from_the_checkpoint_once_read(tmp_path):
    file = tmp_path / "vectors.npy"
    np.save(file, np.ones((10, 219), np.float32))
    system = tiny("base", genre_prompt=0.1, genre_vectors=str(file))
    system.setup("fit")
    file.unlink()
    again = tiny("base", genre_prompt=0.1, genre_vectors=str(file))
    again.load_state_dict(system.state_dict())
    assert (again.conditioner.genre_token.vectors == 1).all()
    with pytest.raises(BadConfig, match="no such file"):
        again.setup("fit")


@pytest.mark.parametrize("shape", [(10, 7), (9, 219), (219,)])
def test_genre_vectors_of_another_shape_are_refused(tmp_path, shape):
    save_file({"vectors": torch.zeros(shape)}, tmp_path / "v.safetensors")
    with pytest.raises(BadInput, match=r"expected one table of finite numbers \[10, 219\]"):
        tiny("base", genre_prompt=0.1, genre_vectors=str(tmp_path / "v.safetensors")).setup("fit")
    with pytest.raises(BadConfig, match="genre_prompt=0.01"):
        tiny("base", genre_vectors="v.npy").setup("fit")


# Files in and out


@pytest.mark.parametrize("layout", ["base", "fused"])
def test_what_is_written_is_what_the_stock_model_loads_and_what_comes_back(layout, tmp_path):
    system, other = tiny(layout, genre_prompt=0.2), tiny(layout, seed=1, genre_prompt=0.2)
    unet, encoder, vectors = write_published(system, tmp_path / "out")
    assert stock(layout).load_state_dict(torch.load(unet, weights_only=True)).missing_keys == []
    load_published(other, unet=unet, encoder=encoder)
    for part in (published_unet_state, published_encoder_state):
        before, after = part(system), part(other)
        assert list(before) == list(after) and all(torch.equal(before[key], after[key]) for key in before)
    assert read_tensors(vectors)["genre_vectors"].shape == (10, 219 if layout == "base" else 24)
    assert unet.stat().st_size < 1.5 * 4 * sum(p.numel() for p in system.unet.parameters()) + 1e6, (
        "copies share storage"
    )


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".ckpt", ".bin", ".safetensors"])
@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.module."])
def test_every_file_type_and_wrapper_is_read(tmp_path, suffix, prefix):
    system, other, path = tiny("base"), tiny("base", seed=1), tmp_path / f"unet{suffix}"
    state = {prefix + key: weight.clone() for key, weight in published_unet_state(system).items()}
    if suffix == ".safetensors":
        save_file(state, path)
    else:
        torch.save({"state_dict": state, "epoch": 3} if suffix == ".ckpt" else state, path)
    load_published(other, unet=path)
    assert all(torch.equal(a, b) for a, b in zip(system.unet.parameters(), other.unet.parameters(), strict=True))


@pytest.mark.parametrize("kept", ["net.", "diffusion.net.", "sampler.net."])
def test_one_copy_is_enough(tmp_path, kept):
    system, other = tiny("base"), tiny("base", seed=1)
    torch.save({k: v for k, v in published_unet_state(system).items() if k.startswith(kept)}, tmp_path / "unet.pt")
    load_published(other, unet=tmp_path / "unet.pt")
    assert all(torch.equal(a, b) for a, b in zip(system.unet.parameters(), other.unet.parameters(), strict=True))


def test_copies_that_differ_are_refused(tmp_path):
    state = {key: weight.clone() for key, weight in published_unet_state(tiny("base")).items()}
    key = next(k for k, v in state.items() if k.startswith("sampler.net.") and v.numel() > 1)
    state[key] += 1
    torch.save(state, tmp_path / "unet.pt")
    with pytest.raises(BadInput, match="1 weights differ from their copies under 'net.'") as error:
        load_published(tiny("base"), unet=tmp_path / "unet.pt")
    assert key in str(error.value)


def test_a_file_of_another_layout_is_refused_in_one_sentence_and_nothing_is_loaded(tmp_path):
    unet, encoder, *_ = write_published(tiny("fused"), tmp_path)
    system = tiny("base", seed=1)
    before = {key: weight.clone() for key, weight in system.state_dict().items()}
    own, *_ = write_published(tiny("base"), tmp_path / "own")
    with pytest.raises(BadInput, match=r"of another shape \(net.blocks.* instead of .*system=published_fused") as error:
        load_published(system, unet=unet)
    assert "\n" not in str(error.value) and len(str(error.value)) < 900
    with pytest.raises(BadInput, match=r"4 unexpected \(fusion.conv.weight, "):
        load_published(system, unet=own, encoder=encoder)
    assert all(torch.equal(before[key], weight) for key, weight in system.state_dict().items())


def test_missing_and_unexpected_weights_are_counted_and_named(tmp_path):
    state = published_encoder_state(tiny("base"))
    for key in [key for key in state if key.startswith("transformer.layers.1.")]:
        state[key.replace("layers.1", "layers.7")] = state.pop(key)
    torch.save(state, tmp_path / "encoder.pt")
    with pytest.raises(
        BadInput, match=r"11 missing \(transformer.layers.1.* …\), 11 unexpected \(transformer.layers.7"
    ):
        load_published(tiny("base"), encoder=tmp_path / "encoder.pt")


def test_other_names_of_the_fusion_block_are_brought_to_ours(tmp_path):
    system, other = tiny("fused"), tiny("fused", seed=1)
    names = {"fusion.conv.": "to_fusion.0.", "fusion.linear.": "to_fusion.2."}
    torch.save(renamed(published_encoder_state(system), names), tmp_path / "encoder.pt")
    with pytest.raises(BadInput, match=r"rename=\{old prefix: new prefix\}"):
        load_published(other, encoder=tmp_path / "encoder.pt")
    load_published(other, encoder=tmp_path / "encoder.pt", rename={new: old for old, new in names.items()})
    assert torch.equal(system.conditioner.fusion.conv.weight, other.conditioner.fusion.conv.weight)
    with pytest.raises(BadConfig, match=r"is called 'nothing…'"):
        load_published(other, encoder=tmp_path / "encoder.pt", rename={"nothing": "x"})


def test_files_that_are_no_weights_are_refused(tmp_path):
    system, path = tiny("base"), tmp_path / "unet.pt"
    with pytest.raises(BadConfig, match="no such file"):
        load_published(system, unet=path)
    for content in (b"", b"hello", torch.randn(3)):
        path.write_bytes(content) if isinstance(content, bytes) else torch.save(content, path)
        with pytest.raises(BadInput, match="unet.pt: "):
            load_published(system, unet=path)
    torch.save({"net": torch.nn.Linear(2, 2)}, path)  # would run code to be rebuilt
    with pytest.raises(BadInput, match="refused, the file holds more than tensors"):
        load_published(system, unet=path)
    (tmp_path / "unet.safetensors").write_bytes(b"12345678xx")
    with pytest.raises(BadInput, match="cannot be read as weights"):
        load_published(system, unet=tmp_path / "unet.safetensors")


def test_a_system_of_another_conditioning_is_refused(tmp_path):
    system = tiny("base")
    clock = Timeline(22050, 512, window_latent_frames=LATENT_FRAMES)
    system.conditioner = AlignedConditioner(TemporalEncoder(16, [1], heads=2), clock, [1, 2], [8, 8], 4, 16)
    with pytest.raises(BadConfig, match="not for a AlignedConditioner"):
        load_published(system, unet=tmp_path / "any.pt")


@pytest.mark.parametrize("part", ["latents", "motion"])
def test_statistics_that_the_published_layout_has_no_room_for_are_not_lost_silently(tmp_path, part):
    system = tiny("base")
    system.standardise_latents, system.conditioner.normalised = part == "latents", part == "motion"
    with pytest.raises(BadConfig, match="no room for their means"):
        write_published(system, tmp_path)
    assert not list(tmp_path.iterdir())


def test_prefix_maths():
    state = {"module.a": torch.zeros(1), "module.b": torch.ones(1)}
    assert set(without_prefixes(state)) == {"a", "b"} and set(without_prefixes({**state, "c": torch.ones(1)})) == {
        *state,
        "c",
    }
    assert set(renamed({"ab.c": torch.ones(1), "a.c": torch.ones(1)}, {"a": "x", "ab.": "y."})) == {"y.c", "x.c"}
    assert set(copies_folded({"q.net.a": torch.ones(1)}, "net.", ["q.net."], "file")) == {"net.a"}


@pytest.fixture
def script(monkeypatch):
    """Runs a script in this process, as `python scripts/NAME.py ARGUMENTS` does."""

    def run(name: str, *arguments: str) -> None:
        monkeypatch.setattr(sys, "argv", [f"{name}.py", *arguments])
        monkeypatch.setattr(sys, "path", list(sys.path))
        runpy.run_path(str(CONFIGS.parent / "scripts" / f"{name}.py"), run_name="__main__")

    return run


def test_import_and_export_scripts_round_trip(tmp_path, script, capsys):
    """`import_weights.py` makes a checkpoint of published files, and `export.py layout=published` the files again."""
    system = tiny("base")
    unet, encoder = write_published(system, tmp_path / "published")
    shrunk = [
        "system.unet={in_channels:4,channels:[8,16],factors:[1,2],items:[2,1],attentions:[0,1],cross_attentions:[1,1],"
        f"attention_features:8,attention_heads:2,modulation_features:16,embedding_max_length:{FRAMES + 1}}}",
        f"system.conditioner.encoder={{frames:{FRAMES},depth:2,heads:3,head_features:8,hidden:32}}",
        f"+system.clock.window_latent_frames={LATENT_FRAMES}",
    ]
    out = tmp_path / "imported.safetensors"
    dmae = WEIGHTS / "dmae_demo.safetensors"
    script("import_weights", f"unet={unet}", f"encoder={encoder}", f"out={out}", f"dmae.weights={dmae}", *shrunk)
    found = load_checkpoint(out)
    assert found.config["dmae"] == str(dmae.resolve())
    assert found.config["dmae_sha256"] == weights_sha256(load_dmae("demo"))
    again = build(found.config["system"], out)
    load_into(again, found)
    assert all(torch.equal(a, b) for a, b in zip(system.parameters(), again.parameters(), strict=True))
    run = tmp_path / "run"
    (run / "checkpoints").mkdir(parents=True)
    OmegaConf.save({"system": found.config["system"]}, run / "config.yaml")
    torch.save({"state_dict": again.state_dict(), "config": found.config}, run / "checkpoints" / "last.ckpt")
    script("export", f"run={run}", f"out={tmp_path / 'back'}", "layout=published")
    for name in ("unet.pt", "encoder.pt"):
        before, after = (torch.load(tmp_path / folder / name, weights_only=True) for folder in ("published", "back"))
        assert list(before) == list(after) and all(torch.equal(before[key], after[key]) for key in before)
    capsys.readouterr()
    with pytest.raises(SystemExit) as end:
        script("import_weights", f"unet={encoder}", f"encoder={encoder}", f"out={out}", *shrunk)
    assert end.value.code == 2 and capsys.readouterr().err.startswith(f"error: {encoder}: expected the weights of")
