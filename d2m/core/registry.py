"""The classes and functions that a configuration may name (`_target_`), and the one place that builds them.

A checkpoint comes from anywhere. What it names is looked up here as a whole dotted name: either it is one of `STORED`,
or a class that was registered by `register`; dots are never followed into attributes. Nothing of a stored configuration is
interpolated, and of Hydra's special keys only `_target_`, `_partial_` and `_convert_` are known. The configuration of a
training is the user's own, who may name any class or function of any module.

Names of earlier versions are translated (`current_name`), so that their checkpoints and configurations stay usable.

Your own system or network is registered by

    from d2m.core.registry import register

    @register
    class MySystem(lightning.LightningModule): ...

and can be loaded from a checkpoint once its module is imported; modules in `d2m/systems/` and `d2m/models/` are imported
when a checkpoint names them.
"""

import functools
import importlib
import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from omegaconf import Container, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from d2m.core.errors import BadConfig, BadInput

STORED = frozenset({
    "d2m.audio.autoencoder.DMAE",
    "d2m.audio.autoencoder.OnePassDecoder",
    "d2m.audio.autoencoder.magnitude_encoder",
    "d2m.audio.autoencoder.mel_encoder",
    "d2m.audio.codec.DmaeCodec",
    "d2m.audio.istft_autoencoder.SpectralDecoder",
    "d2m.audio.istft_autoencoder.SpectralEncoder",
    "d2m.core.timeline.Timeline",
    "d2m.diffusion.objectives.RectifiedFlowObjective",
    "d2m.diffusion.objectives.VelocityObjective",
    "d2m.diffusion.samplers.ddim",
    "d2m.diffusion.samplers.dpm_solver_pp_2m",
    "d2m.diffusion.samplers.euler",
    "d2m.models.conditioner.AlignedConditioner",
    "d2m.models.conditioner.PublishedConditioner",
    "d2m.models.encoders.MotionViT",
    "d2m.models.encoders.TemporalEncoder",
    "d2m.models.encoders.TokenFusion",
    "d2m.models.modality_readers.FrameReader",
    "d2m.models.modality_readers.LandmarkAugmentation",
    "d2m.models.modality_readers.LandmarkReader",
    "d2m.models.motion_reader.MotionReader",
    "d2m.models.musicgen.SamplingSettings",
    "d2m.models.pseudo_words.PublishedWords",
    "d2m.models.pseudo_words.WindowedWords",
    "d2m.models.token_decoder.SamplingSettings",
    "d2m.models.token_decoder.TokenDecoder",
    "d2m.models.unet.ConditionedUNet",
    "d2m.models.wavenet.WaveNet",
    "d2m.motion.augmentation.MotionAugmentation",
    "d2m.motion.features.Normalizer",
    "d2m.rhythm.causal_reader.CausalRhythmReader",
    "d2m.rhythm.reader.RhythmReader",
    "d2m.systems.codec_transformer.CodecGenerator",
    "d2m.systems.codec_transformer.CodecTransformer",
    "d2m.systems.interface.GenerationSettings",
    "d2m.systems.latent_diffusion.LatentDiffusion",
    "d2m.systems.latent_generator.LatentGenerator",
    "d2m.systems.retrieval.RetrievalGenerator",
    "d2m.systems.retrieval.SongRetrieval",
    "d2m.systems.rhythm_reading.RhythmReading",
    "d2m.systems.textual_inversion.PromptedGenerator",
    "d2m.systems.textual_inversion.TextualInversion",
    "d2m.systems.training_system.LossWeights",
    "d2m.systems.training_system.OptimizerSettings",
    "d2m.systems.wavenet.WaveNetGenerator",
    "d2m.systems.wavenet.WaveNetSystem",
})  # fmt: skip
"""What the file of a trained system, autoencoder or codec is built of; constructors that neither write nor fetch."""

GENERATORS = {
    "LatentDiffusion": "d2m.systems.latent_generator.LatentGenerator",
    "CodecTransformer": "d2m.systems.codec_transformer.CodecGenerator",
    "TextualInversion": "d2m.systems.textual_inversion.PromptedGenerator",
    "WaveNetSystem": "d2m.systems.wavenet.WaveNetGenerator",
}
"""What makes music with a system, by its class, where a checkpoint does not name its `generator`: older ones do not."""

_MOVED = {
    "d2m.audio.codec_dmae": "d2m.audio.codec",
    "d2m.audio.dmae": "d2m.audio.autoencoder",
    "d2m.audio.dmae_weights": "d2m.audio.pretrained",
    "d2m.audio.onepass": "d2m.audio.autoencoder",
    "d2m.clock": "d2m.core.timeline",
    "d2m.data.lifted": "d2m.data.camera_copies",
    "d2m.data.procedural.write": "d2m.data.synthetic.write",
    "d2m.data.videos.prepare": "d2m.data.video_clips.prepare",
    "d2m.data.sounding_clips": "d2m.data.datamodule",
    "d2m.data.token_windows": "d2m.data.datamodule",
    "d2m.data.waveform_windows": "d2m.data.datamodule",
    "d2m.diffusion.objective": "d2m.diffusion.objectives",
    "d2m.diffusion.rectified_flow": "d2m.diffusion.objectives",
    "d2m.model.augmentation": "d2m.motion.augmentation",
    "d2m.model.condition": "d2m.models.conditioner",
    "d2m.model.frame_reader": "d2m.models.modality_readers",
    "d2m.model.landmark_reader": "d2m.models.modality_readers",
    "d2m.model.motion_encoder": "d2m.models.encoders",
    "d2m.model.motion_reader": "d2m.models.motion_reader",
    "d2m.model.musicgen_sampling": "d2m.models.musicgen",
    "d2m.model.pseudo_words": "d2m.models.pseudo_words",
    "d2m.model.token_decoder": "d2m.models.token_decoder",
    "d2m.model.token_sampling": "d2m.models.token_decoder",
    "d2m.model.unet": "d2m.models.unet",
    "d2m.model.wavenet": "d2m.models.wavenet",
    "d2m.motion.normalize": "d2m.motion.features",
    "d2m.systems.decoder_distillation": "d2m.systems.autoencoder",
    "d2m.systems.generation": "d2m.systems.interface",
    "d2m.systems.losses": "d2m.systems.training_system",
    "d2m.systems.onepass_training": "d2m.systems.autoencoder",
    "d2m.systems.optimization": "d2m.systems.training_system",
    "evaluate.validation": "d2m.training.callbacks",
}
"""Modules of version 0.x, and where their classes and functions are now."""

_RENAMED: dict[str, str] = {
    "d2m.core.timeline.Clock": "d2m.core.timeline.Timeline",
    "d2m.data.datamodule.AudioCropsModule": "d2m.data.audio_crops.AudioCropsModule",
}
"""Classes and functions that have another name since (in the module where they are now): whole old name to whole new name."""

_RENAMED_ARGUMENTS = {
    "d2m.models.token_decoder.TokenDecoder": {"told_channels": "cond_channels"},
    "d2m.models.wavenet.WaveNet": {"told": "cond_channels"},
}
"""Arguments that stored configurations of earlier versions call otherwise: by class, old name to new name."""

_OPEN_PACKAGES = ("d2m.systems.", "d2m.models.")
_SPECIAL = {"_target_", "_partial_", "_convert_"}
_CONVERSIONS = ("none", "partial", "object", "all")
_NAME = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+", re.ASCII)

_registered: dict[str, Any] = {}

Thing = TypeVar("Thing", bound=Callable)


def register(thing: Thing) -> Thing:
    """Allow checkpoints to name a class or function of yours; also a decorator.

    Raises:
        TypeError: for what is neither, or stands inside another class or function.
    """
    found: Any = thing
    if not (inspect.isclass(found) or inspect.isfunction(found)) or "." in found.__qualname__:
        raise TypeError(f"{thing!r}: only classes and functions of a module can be registered.")
    _registered[f"{found.__module__}.{found.__qualname__}"] = found
    return thing


def current_name(target: str) -> str:
    """The whole name that a class or function of an earlier version has now; any other name as it is."""
    module, _, name = target.rpartition(".")
    moved = f"{_MOVED.get(module, module)}.{name}" if module else target
    return _RENAMED.get(moved, moved)


def resolve(target: Any, source: str, is_own: bool = False) -> Callable:
    """The class or function of a name.

    Args:
        target: `_target_` of a configuration.
        source: whose configuration it is, for the message: a file.
        is_own: whether it is the user's own, which may name anything.

    Raises:
        BadInput: when a stored configuration names anything but the parts of d2m and what is registered.
        BadConfig: when the user's own names what there is not.
        ImportError: when its module cannot be imported.
    """
    name = current_name(target) if isinstance(target, str) and _NAME.fullmatch(target) else ""
    module = name.rpartition(".")[0]
    if not is_own and name not in STORED and name not in _registered and name.startswith(_OPEN_PACKAGES):
        _import_own(module)
    if name in _registered:
        return _registered[name]
    if not name or not (is_own or name in STORED):
        raise BadInput(
            f"{source}: asks for '{str(target)[:120]}', expected only the parts of d2m that a trained system is built of and "
            "classes that you registered; do not use this file unless you know who made it."
        )
    return _member(module, name, source, is_own)


def _import_own(module: str) -> None:
    """Import a module of d2m so that it may register its classes; a name that is none is no error here."""
    try:
        importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not module.startswith(error.name):
            raise


def _member(module: str, name: str, source: str, is_own: bool) -> Callable:
    own_name = name.rpartition(".")[2]
    try:
        thing = getattr(importlib.import_module(module), own_name)
    except (AttributeError, ModuleNotFoundError) as error:
        if isinstance(error, ModuleNotFoundError) and not (is_own and module.startswith(str(error.name))):
            raise
        raise BadConfig(f"{source}: asks for '{name}', which does not exist; correct its _target_.") from error
    is_itself = getattr(thing, "__module__", None) == module and getattr(thing, "__qualname__", None) == own_name
    if not callable(thing) or not (is_own or is_itself):
        raise BadInput(f"{source}: '{name}' is not the class or function of that name; install d2m again.")
    return thing


def build(config: Any, source: str, is_own: bool = False, **more: Any) -> Any:
    """Build what a configuration describes: a mapping with `_target_` by calling that, with all that is inside it.

    Args:
        config: plain values, lists and mappings.
        source: whose configuration it is, for messages.
        is_own: see `resolve`.
        more: further arguments of the outermost `_target_`.

    Raises:
        BadInput: for what a stored configuration may not name or hold.
        BadConfig: for arguments that the class or function does not take, or lacks.
    """
    if isinstance(config, str) and "${" in config and not is_own:
        raise BadInput(
            f"{source}: holds the interpolation '{config[:80]}', expected plain values; do not use this file."
        )
    if isinstance(config, list | tuple):
        return [build(value, source, is_own) for value in config]
    if not isinstance(config, Mapping):
        return config
    thing = resolve(config["_target_"], source, is_own) if "_target_" in config else None
    special = {key for key in config if isinstance(key, str) and re.fullmatch(r"_\w*_", key)}
    _check_special(config, special, source)
    renamed = _RENAMED_ARGUMENTS.get(current_name(config["_target_"]), {}) if thing else {}
    arguments: dict[Any, Any] = {
        renamed.get(key, key): build(value, source, is_own) for key, value in config.items() if key not in special
    }
    arguments |= more
    if thing is None:
        return arguments
    is_partial = config.get("_partial_", False)
    _check_arguments(thing, arguments, is_partial, f"{source}: {config['_target_']}")
    return functools.partial(thing, **arguments) if is_partial else thing(**arguments)


def _check_special(config: Mapping, special: set[str], source: str) -> None:
    unknown = sorted(special - _SPECIAL)
    if unknown or (special and "_target_" not in special):
        wrong = (unknown or sorted(special))[0]
        raise BadInput(
            f"{source}: holds the key {wrong}, expected only {', '.join(sorted(_SPECIAL))} beside arguments; take it out."
        )
    if not isinstance(config.get("_partial_", False), bool) or config.get("_convert_", "all") not in _CONVERSIONS:
        raise BadInput(
            f"{source}: found another value of _partial_ or _convert_ than true or false, or one of {', '.join(_CONVERSIONS)}."
        )


def _check_arguments(thing: Callable, arguments: Mapping[Any, Any], is_partial: bool, source: str) -> None:
    if not all(isinstance(key, str) for key in arguments):
        raise BadConfig(f"{source}: found an argument that has no name; expected names and values.")
    try:
        signature = inspect.signature(thing)
    except ValueError:  # of C code, which says itself what it does not take
        return
    try:
        signature.bind_partial(**arguments) if is_partial else signature.bind(**arguments)
    except TypeError as error:
        known = [name for name, one in signature.parameters.items() if one.kind is not one.VAR_KEYWORD]
        raise BadConfig(f"{source}: {error}; it takes {', '.join(known) or 'none'}.") from error


def generator_config(config: Mapping[str, Any]) -> Any:
    """The `_target_` config of what makes music with a checkpoint's system (not yet checked); None where nothing does."""
    named = GENERATORS.get(str(config["system"].get("_target_", "")).rpartition(".")[2])
    default = {"_target_": named, "_partial_": True} if named else None
    return config.get("generator", default)


def build_own(config: Any, **more: Any) -> Any:
    """`build` of a part of the user's own composed configuration, interpolations resolved.

    Raises:
        BadConfig: when a value is missing, or does not resolve; see `build`.
    """
    try:
        if isinstance(config, Container):
            config = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        raise BadConfig(f"the configuration: {str(error).splitlines()[0]}; give it on the command line.") from error
    return build(config, "the configuration", is_own=True, **more)
