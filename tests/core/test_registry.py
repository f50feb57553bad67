"""What a configuration may name: nothing of a stranger's runs, old names are found, one's own classes can be added."""

import json
import re
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import torch
import yaml
from omegaconf import OmegaConf
from safetensors.torch import save_file
from torch import nn

from d2m.audio.codec import load_codec
from d2m.audio.pretrained import load_dmae
from d2m.core import registry
from d2m.core.checkpoint import WEIGHTS, build, load_checkpoint
from d2m.core.errors import BadConfig, BadInput
from d2m.core.timeline import Timeline
from d2m.pipeline import Dance2Music
from d2m.rhythm.causal_reader import load_causal_reader
from d2m.rhythm.reader import load_reader
from d2m.systems.interface import MusicGenerator

ROOT = Path(__file__).parents[2]
CLOCK = {"_target_": "d2m.core.timeline.Timeline", "sample_rate": 22050, "latent_hop_samples": 512}
SYSTEM = "d2m.systems.latent_diffusion.LatentDiffusion"


def attacks(marker: Path) -> dict[str, dict]:
    """Configurations that would make the file `marker`, read a secret or load a pickle, were they followed."""
    touch = f"touch {marker}"
    return {
        "module of a module": {"_target_": "d2m.core.files.os.system", "command": touch},
        "old module of a module": {"_target_": "d2m.files.os.system", "command": touch},
        "method of a class of a module": {
            "_target_": "d2m.core.files.Path.write_text",
            "self": str(marker),
            "data": "x",
        },
        "positional": {"_target_": "os.system", "_args_": [touch]},
        "positional of ours": {**CLOCK, "_args_": [1]},
        "eval": {"_target_": "builtins.eval", "source": f"open({str(marker)!r}, 'w')"},
        "system": {"_target_": "os.system", "command": touch},
        "posix": {"_target_": "posix.system", "command": touch},
        "subprocess": {"_target_": "subprocess.run", "args": ["touch", str(marker)]},
        "pickle": {"_target_": "torch.load", "f": str(marker), "weights_only": False},
        "hydra": {"_target_": "hydra.utils.instantiate", "config": {"_target_": "os.system", "command": touch}},
        "hydra by us": {
            "_target_": "d2m.core.registry.build_own",
            "config": {"_target_": "os.system", "command": touch},
        },
        "partial": {"_target_": "subprocess.run", "_partial_": True, "args": ["touch", str(marker)]},
        "secret": {**CLOCK, "window_latent_frames": "${oc.env:HOME}"},
        "resolver within text": {**CLOCK, "window_latent_frames": "a ${oc.decode:1} b"},
        "method": {"_target_": f"{SYSTEM}.load_from_checkpoint", "checkpoint_path": str(marker)},
        "static method": {"_target_": "d2m.core.music.Music.load", "path": str(marker)},
        "imported name": {"_target_": "d2m.systems.latent_diffusion.torch.load", "f": str(marker)},
        "function of ours that writes": {"_target_": "d2m.data.synthetic.write.write_data_set", "root": str(marker)},
        "function of ours that fetches": {"_target_": "d2m.audio.pretrained.load_dmae", "name_or_path": "a/b"},
        "module": {"_target_": "d2m.systems"},
        "no name": {"_target_": ["os.system"], "command": touch},
        "dunder": {"_target_": "d2m.core.timeline.Timeline.__init__.__globals__", "command": touch},
        "recursion off": {**CLOCK, "_recursive_": False},
        "nested in a list": {**CLOCK, "window_latent_frames": [{"_target_": "os.system", "command": touch}]},
        "nested in a free dict": {**CLOCK, "window_latent_frames": {"a": {"_target_": "os.system", "command": touch}}},
    }


ATTACKS = sorted(attacks(Path()))


@pytest.mark.parametrize("name", ATTACKS)
@pytest.mark.parametrize("suffix", [".safetensors", ".ckpt"])
def test_attack(name: str, suffix: str, tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    config = attacks(marker)[name]
    state = {"x": torch.zeros(1)}

    def written(config: dict) -> Path:
        path = tmp_path / f"file{suffix}"
        if suffix == ".ckpt":
            torch.save({"state_dict": state, "config": config}, path)
        else:
            save_file(state, path, metadata={"config": json.dumps(config)})
        return path

    with pytest.raises(BadInput, match="file") as as_system:
        Dance2Music.load(written({"system": config, "dmae": "demo"}))
    nested = {"system": {"_target_": SYSTEM, "clock": config}, "dmae": "demo"}
    with pytest.raises(BadInput, match="file") as as_part:
        Dance2Music.load(written(nested))
    with pytest.raises(BadInput) as as_codec:
        load_codec(str(written({**config, "codebooks": 1})))
    errors = [as_system, as_part, as_codec]
    if suffix == ".safetensors":  # an autoencoder's .ckpt is read for its tensors alone
        with pytest.raises(BadInput, match="file") as as_autoencoder:
            load_dmae(written(config))
        with pytest.raises(BadInput, match="file") as as_encoder:
            load_dmae(written({"_target_": "d2m.audio.autoencoder.DMAE", "encoder": config}))
        errors += [as_autoencoder, as_encoder]
    assert not marker.exists()
    assert not any("\n" in str(error.value) for error in errors)


@pytest.mark.parametrize("path", sorted(WEIGHTS.glob("*.safetensors")), ids=lambda path: path.stem)
def test_everything_that_ships_is_built(path: Path) -> None:
    config = load_checkpoint(path).config
    if path.stem.startswith("codec_"):
        assert load_codec(path.stem.removeprefix("codec_")).codebooks == 4
    elif path.stem.startswith("dmae_"):
        assert load_dmae(path.stem.removeprefix("dmae_")).in_channels == 2
    elif path.stem == "rhythm_reader":
        reader = load_reader(path.stem)
        assert reader.views == 4 and not reader.training
    elif path.stem == "causal_rhythm_reader":
        assert load_causal_reader(path.stem).delay_frames == 4
    elif "system" in config:
        assert Dance2Music.load(path.stem).music_generator.sample_rate == 44100
    else:
        assert "genre_classifier" in config


GENERATOR = "d2m.systems.latent_generator.LatentGenerator"


READER = {
    "_target_": "d2m.models.motion_reader.MotionReader",
    "encoder": {
        "_target_": "d2m.models.encoders.TemporalEncoder",
        "channels": 16,
        "dilations": [1],
        "attention_blocks": 0,
    },
}
NETWORK = {
    "_target_": "d2m.models.wavenet.WaveNet", "cond_channels": 18, "hop_samples": 80, "channels": 8, "skip": 8,
    "dilations": [1], "stacks": 1,
}  # fmt: skip
SMALL = {"_target_": "d2m.systems.wavenet.WaveNetSystem", "reader": READER, "network": NETWORK, "sample_rate": 4000}


def small_with(path: Path, generator: object) -> Path:
    """A small system that names this generator."""
    state = registry.build(SMALL, "small").state_dict()
    save_file(state, path, metadata={"config": json.dumps({"system": SMALL, "generator": generator})})
    return path


def test_a_small_system_with_its_own_generator_is_loaded(tmp_path: Path) -> None:
    generator = {"_target_": registry.GENERATORS["WaveNetSystem"], "_partial_": True}
    assert Dance2Music.load(small_with(tmp_path / "small.safetensors", generator)).music_generator.sample_rate == 4000


def test_old_checkpoints_have_the_generator_of_their_system(tmp_path: Path) -> None:
    found = load_checkpoint(WEIGHTS / "demo.safetensors")
    config = {key: value for key, value in found.config.items() if key != "generator"}
    save_file(found.state, tmp_path / "old.safetensors", metadata={"config": json.dumps(config)})
    model = Dance2Music.load(tmp_path / "old.safetensors")
    assert type(model.music_generator).__qualname__ == "LatentGenerator"
    for name, generator in registry.GENERATORS.items():
        old = {"system": {"_target_": f"d2m.systems.of_long_ago.{name}"}}
        described = {"_target_": generator, "_partial_": True}
        assert registry.generator_config(old) == described
        assert issubclass(registry.build(described, "an old checkpoint").func, MusicGenerator)
        assert registry.generator_config({**old, "generator": {"_target_": "mine.Own"}}) == {"_target_": "mine.Own"}
    assert registry.generator_config({"system": {"_target_": "d2m.systems.autoencoder.AutoencoderTraining"}}) is None


@pytest.mark.parametrize("name", ATTACKS)
def test_attack_by_a_generator(name: str, tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    for number, config in enumerate((attacks(marker)[name], attacks(marker)[name] | {"_partial_": True})):
        path = small_with(tmp_path / f"file{number}.safetensors", config)
        with pytest.raises(BadInput, match="file") as refused:
            Dance2Music.load(path)
        assert not marker.exists() and "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "generator",
    [
        {"_target_": "d2m.diffusion.samplers.ddim", "_partial_": True},
        {"_target_": SYSTEM, "_partial_": True},
        {"_target_": GENERATOR, "_partial_": True, "system": 1},
        {"_target_": GENERATOR, "_partial_": True, "autoencoder": "/etc/passwd"},
        CLOCK,
        "LatentGenerator",
        [GENERATOR],
    ],
    ids=["function", "system", "own system", "own autoencoder", "not partial", "text", "list"],
)
def test_a_generator_that_makes_no_music_is_refused(generator: object, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"file\.safetensors: its generator (is|does not fit)"):
        Dance2Music.load(small_with(tmp_path / "file.safetensors", generator))


def targets(node: object) -> set[str]:
    """All `_target_` of plain values."""
    if isinstance(node, dict):
        own = {node["_target_"]} if "_target_" in node else set()
        return own.union(*(targets(value) for value in node.values()))
    return set().union(*(targets(value) for value in node)) if isinstance(node, list) else set()


def test_every_target_of_our_configurations_resolves_to_itself() -> None:
    named = set().union(*(targets(yaml.safe_load(path.read_text())) for path in ROOT.glob("**/configs/**/*.yaml")))
    assert len(named) > 40
    for target in named:
        assert registry.resolve(target, "configs", is_own=True).__qualname__ == target.rpartition(".")[2]


def test_every_name_of_the_earlier_version_resolves() -> None:
    for target in OLD_TARGETS:
        assert callable(registry.resolve(target, "an old run", is_own=True)), target
        name = registry.current_name(target)
        assert name != target or target.startswith(("d2m.", "lightning."))
        if name in registry.STORED:
            assert registry.resolve(target, "an old checkpoint") is registry.resolve(name, "a new one")


@pytest.mark.parametrize("name", sorted(registry.STORED))
def test_what_a_checkpoint_may_name_is_there(name: str) -> None:
    thing = registry.resolve(name, "a checkpoint")
    assert f"{thing.__module__}.{thing.__qualname__}" == name


def test_building() -> None:
    sampler = {"_target_": "d2m.diffusion.samplers.ddim", "_partial_": True}
    built = registry.build({"a": [CLOCK | {"_convert_": "all"}], "b": sampler, "c": {"d": 1}}, "here")
    assert isinstance(built["a"][0], Timeline) and isinstance(built["b"], partial) and built["c"] == {"d": 1}
    config = OmegaConf.create({"rate": 22050, "clock": {**CLOCK, "sample_rate": "${rate}"}})
    assert registry.build_own(config.clock, latent_hop_samples=256) == Timeline(22050, 256)
    with pytest.raises(BadConfig, match="Timeline: got an unexpected keyword argument 'hop'; it takes sample_rate"):
        registry.build_own({**CLOCK, "hop": 3})
    with pytest.raises(BadConfig, match="missing a required argument: 'latent_hop_samples'"):
        registry.build_own({key: value for key, value in CLOCK.items() if key != "latent_hop_samples"})
    with pytest.raises(BadConfig, match="asks for 'd2m.core.nothing.Timeline', which does not exist"):
        registry.build_own({"_target_": "d2m.core.nothing.Timeline"})
    with pytest.raises(BadConfig, match=r"Missing mandatory value.*; give it"):
        registry.build_own(OmegaConf.create({**CLOCK, "sample_rate": "???"}))


class Mine(nn.Linear):
    """A class of somebody who uses d2m."""


def test_own_classes_are_registered() -> None:
    config = {"_target_": f"{__name__}.Mine", "in_features": 2, "out_features": 3}
    with pytest.raises(BadInput, match="asks for '.*Mine'"):
        build(config, Path("mine.ckpt"))
    assert registry.register(Mine) is Mine
    try:
        assert isinstance(build(config, Path("mine.ckpt")), Mine)
        with pytest.raises(BadInput, match="asks for"):
            build({**config, "_target_": f"{__name__}.Mine.to"}, Path("mine.ckpt"))
    finally:
        del registry._registered[f"{__name__}.Mine"]
    with pytest.raises(TypeError, match="only classes and functions"):
        registry.register(Mine(1, 1).forward)  # type: ignore


def test_a_package_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(module: str) -> None:
        raise ModuleNotFoundError("No module named 'transformers'", name="transformers")

    monkeypatch.setattr(registry.importlib, "import_module", missing)
    with pytest.raises(BadConfig, match=r"a\.ckpt: needs 'transformers', which cannot be imported"):
        build(CLOCK, Path("a.ckpt"))


def test_what_is_no_network_is_refused() -> None:
    with pytest.raises(BadInput, match=r"a\.ckpt: describes a Timeline, expected an autoencoder"):
        build(CLOCK, Path("a.ckpt"), "an autoencoder")
    with pytest.raises(BadInput, match="names no class to build"):
        load_dmae(WEIGHTS / "demo.safetensors")
    with pytest.raises(BadInput, match="names no class to build, expected the file of an autoencoder"):
        Dance2Music.load("demo", autoencoder=WEIGHTS / "demo_fast.safetensors")


def test_core_imports_no_higher_room() -> None:
    code = (
        "import sys, d2m.core.registry, d2m.core.checkpoint; print(*[m for m in sys.modules if m.startswith('d2m.') "
        "and not m.startswith('d2m.core')], *[m for m in sys.modules if m == 'hydra'])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not re.findall(r"\S+", ran.stdout)


OLD_TARGETS = (
    "d2m.audio.codec_dmae.DmaeCodec",
    "d2m.audio.dmae.DMAE",
    "d2m.audio.dmae.magnitude_encoder",
    "d2m.audio.dmae.mel_encoder",
    "d2m.audio.dmae_weights.load_dmae",
    "d2m.audio.onepass.OnePassDecoder",
    "d2m.clock.Clock",
    "d2m.core.timeline.Clock",
    "d2m.data.aistpp.prepare.prepare_aistpp",
    "d2m.data.audio_crops.AudioCropsModule",
    "d2m.data.datamodule.PairedWindows",
    "d2m.data.lifted.CameraNoise",
    "d2m.data.procedural.write.write_data_set",
    "d2m.data.token_windows.TokenWindows",
    "d2m.data.videos.prepare.prepare_videos",
    "d2m.data.waveform_windows.WaveformWindows",
    "d2m.diffusion.objective.VelocityObjective",
    "d2m.diffusion.rectified_flow.RectifiedFlowObjective",
    "d2m.diffusion.samplers.ddim",
    "d2m.diffusion.samplers.dpm_solver_pp_2m",
    "d2m.diffusion.samplers.euler",
    "d2m.model.augmentation.MotionAugmentation",
    "d2m.model.condition.AlignedConditioner",
    "d2m.model.condition.PublishedConditioner",
    "d2m.model.frame_reader.FrameReader",
    "d2m.model.landmark_reader.LandmarkAugmentation",
    "d2m.model.landmark_reader.LandmarkReader",
    "d2m.model.motion_encoder.MotionViT",
    "d2m.model.motion_encoder.TemporalEncoder",
    "d2m.model.motion_encoder.TokenFusion",
    "d2m.model.motion_reader.MotionReader",
    "d2m.model.musicgen_sampling.SamplingSettings",
    "d2m.model.pseudo_words.PublishedWords",
    "d2m.model.pseudo_words.WindowedWords",
    "d2m.model.token_decoder.TokenDecoder",
    "d2m.model.token_sampling.SamplingSettings",
    "d2m.model.unet.ConditionedUNet",
    "d2m.model.wavenet.WaveNet",
    "d2m.motion.normalize.Normalizer",
    "d2m.systems.autoencoder.AutoencoderTraining",
    "d2m.systems.codec_transformer.CodecTransformer",
    "d2m.systems.decoder_distillation.DecoderDistillation",
    "d2m.systems.distillation.Distillation",
    "d2m.systems.generation.GenerationSettings",
    "d2m.systems.latent_diffusion.LatentDiffusion",
    "d2m.systems.losses.LossWeights",
    "d2m.systems.onepass_training.OnePassTraining",
    "d2m.systems.optimization.OptimizerSettings",
    "d2m.systems.textual_inversion.TextualInversion",
    "d2m.systems.wavenet.WaveNetSystem",
    "d2m.training.callbacks.BeatValidation",
    "d2m.training.ema.EMA",
    "evaluate.validation.heard_beat_f",
    "lightning.Trainer",
)
"""Every `_target_` of the configurations of commit 8b36049, and that of its codecs."""


def test_arguments_of_earlier_versions_have_their_names_of_today() -> None:
    reader = {"channels": 16, "skip": 8, "dilations": [1, 2], "stacks": 1, "hop_samples": 20}
    network = registry.build({"_target_": "d2m.model.wavenet.WaveNet", "told": 6, **reader}, "old.ckpt")
    assert network.cond_channels == 6
    with pytest.raises(BadConfig, match="takes cond_channels"):
        registry.build({"_target_": "d2m.models.wavenet.WaveNet", "tolt": 6, **reader}, "new.ckpt")
