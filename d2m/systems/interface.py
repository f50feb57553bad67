"""What the façade and the scripts know of a system, whatever it is made of: how it is asked for music, and what it gives."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from d2m.core.errors import BadConfig
from d2m.core.lead_sheet import LeadSheet
from d2m.diffusion.processes import GRIDS
from d2m.diffusion.samplers import SAMPLERS
from d2m.models.device import DeviceConfig
from d2m.rhythm.grid import BeatGrid, BeatReading
from d2m.rhythm.reader import RhythmReader

DECODERS = ("onepass", "diffusion")


@dataclass(frozen=True)
class GenerationSettings:
    """How latents are generated and decoded: a system's own, or those with what the caller asks for in their place.

    Args:
        steps: sampling steps.
        guidance: classifier-free guidance scale.
        guidance_rescale: see `d2m.diffusion.guidance.guided`.
        guidance_interval: (low, high), noise levels in [0, 1] between which guidance is on; outside it a step costs one
            network evaluation in place of two. None: it is always on.
        grid: where the steps' noise levels lie, see `d2m.diffusion.processes.GRIDS`.
        overlap_frames: least overlap of the windows of a long latent.
        batch: windows denoised at once.
        latent_bound: generated latents are limited to this magnitude (1 for an autoencoder that ends in tanh).
        sampler: a name in `d2m.diffusion.samplers.SAMPLERS`; None: the system's own.
        decoder: `onepass` or `diffusion`; None: the one-pass decoder where the autoencoder has one.
        decoder_steps: of the diffusion decoder; None: the autoencoder's own.

    Raises:
        BadConfig: for an interval that is none, an unknown grid, sampler or decoder, or a count below 1.
    """

    steps: int = 20
    guidance: float | int = 2.0
    guidance_rescale: float | int = 0.0
    overlap_frames: int = 96
    batch: int = 8
    latent_bound: float | int | None = None
    guidance_interval: Sequence[float | int] | None = None
    grid: str = "angle"
    sampler: str | None = None
    decoder: str | None = None
    decoder_steps: int | None = None

    def __post_init__(self) -> None:
        for name, known in (("grid", GRIDS), ("sampler", SAMPLERS), ("decoder", DECODERS)):
            value = getattr(self, name)
            if value is not None and value not in known:
                raise BadConfig(f"{name}={value}: unknown; expected one of {', '.join(known)}.")
        for name in ("steps", "batch", "decoder_steps"):
            count = getattr(self, name)
            if count is not None and count < 1:
                raise BadConfig(f"{name}={count}: expected 1 or more; leave it out for the default.")
        interval = self.guidance_interval
        if interval is not None and not (len(interval) == 2 and 0 <= interval[0] < interval[1] <= 1):
            raise BadConfig(
                f"guidance_interval={list(interval)}: expected two noise levels, 0 <= low < high <= 1; for none say null."
            )


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Dropout off, and back as it was."""
    was_training = module.training
    module.eval()
    try:
        yield
    finally:
        module.train(was_training)


@dataclass(frozen=True)
class LatentRequest:
    """A latent that is asked of a latent diffusion system.

    Args:
        features: of the dance at 60 fps, un-normalised, on the system's device; held at its last frame where it is shorter.
        frames: of the latent, any number.
        genre: number in `d2m.core.aist_names.GENRES`, 10 for the unknown one; None: the one that is read from the motion.
        seed: of the noise; the same seed gives the same latent.
        noise: to begin with, as long as the windows that the frames are made in; None: drawn.
        beats: that the music is to follow, whatever the motion says; None: those that the system reads from the motion.
        genre_probabilities: what was read of the dance before; None: the system reads it.
        sheet: key, chords and energy that the music is to have, for a system that takes them; None: nothing is told.
    """

    features: Float[Tensor, "time 219"]
    frames: int
    genre: int | None = None
    seed: int = 0
    noise: Float[Tensor, "channel _"] | None = None
    beats: BeatGrid | None = None
    genre_probabilities: Float[Tensor, " 10"] | None = None
    sheet: LeadSheet | None = None


@dataclass(frozen=True)
class GenerationRequest:
    """What music is asked for.

    Args:
        motion: the dance as the music_generator reads it (`MusicGenerator.modality`), of any length from 1 s; mostly the 219 features at 60 fps,
            un-normalised.
        genre: number of a genre in `d2m.core.aist_names.GENRES`; None: the one that the system reads from the motion.
        samples: length of the music at the music_generator's sample rate.
        seed: the same seed gives the same music.
        settings: those of `MusicGenerator.settings` that are not to be the music_generator's own; never None.
        progress: wraps an iterable over the steps of the work, such as `tqdm`.
        beats: that the music is to follow; None: those that the system reads from the motion.
        reading: what `MusicGenerator.read` said of the motion before, so that nothing is read twice; None: nobody asked.
    """

    motion: Float[Tensor, " time *part"]
    genre: int | None
    samples: int
    seed: int = 0
    settings: Mapping[str, Any] = field(default_factory=dict)
    progress: Callable | None = None
    beats: BeatGrid | None = None
    reading: "DanceReading | None" = None


@dataclass(frozen=True)
class GeneratedMusic:
    """Music as a music_generator made it.

    Args:
        waveform: at least as many samples as asked for.
        settings: every setting that it was made with, the music_generator's own included; plain values for the record.
        genre: number of the one that it was made for.
        genre_probabilities: what the system read in the motion (order of `d2m.core.aist_names.GENRES`).
    """

    waveform: Float[Tensor, "channel sample"]
    settings: dict[str, Any]
    genre: int
    genre_probabilities: Float[Tensor, " 10"]


@dataclass(frozen=True)
class DanceReading:
    """What a system reads in a dance.

    Args:
        genre_probabilities: in the order of `d2m.core.aist_names.GENRES`.
        beats: what was read of its beats.
    """

    genre_probabilities: Float[Tensor, " 10"]
    beats: BeatReading


class MusicGenerator(ABC):
    """A trained system with whatever turns its output into sound.

    A checkpoint names it beside its system (`generator: {_target_: …, _partial_: true}`) and it is called with the system, what
    the training data noted of itself, such as `{"dmae": "demo"}`, and the name or path of another autoencoder or codec, or
    None. A system knows nothing of it.
    """

    settings: frozenset[str] = frozenset()
    """Names of what may be asked for beside dance, genre and seed: `steps`, `guidance`, `temperature`, …"""

    sample_rate: int
    """Of the music that it makes."""

    modality: str = "features"
    """What it is shown of a dance, one of `d2m.video.modality.MODALITIES`."""

    picture_size: int = 32
    """Pixels a side of the pictures, where it reads those."""

    seeds_are_ranks: bool = False
    """Whether seed 0 gives the best piece and the next seeds ever worse ones, so that takes stay in their order."""

    rhythm_reader: RhythmReader | None = None
    """Reads the beats of every dance; None: the system has a way of its own, or takes no beats."""

    device_config: DeviceConfig = DeviceConfig()
    """Where it makes music."""

    has_bfloat16_on_cpu: bool = False
    """Whether it can make music in bfloat16 there."""

    def on(self, device_config: DeviceConfig) -> None:
        """Make music there from now on; asked once, before any.

        Raises:
            BadConfig: when the system cannot.
        """
        if device_config != DeviceConfig():
            raise BadConfig(
                f"device={device_config.device}, precision={device_config.precision}: {type(self).__name__} makes music on a CPU in float32 "
                "only; leave both out."
            )

    def check(self, settings: Mapping[str, Any]) -> None:  # noqa: B027 - most need nothing
        """Refuse settings with which no music can be made, before a dance is looked at.

        Raises:
            BadConfig: saying which.
        """

    @abstractmethod
    def generate(self, request: GenerationRequest) -> GeneratedMusic:
        """Make the music; the genre, where none is asked for, is what the system reads from the motion."""

    def at_once(self, samples: Sequence[int], settings: Mapping[str, Any]) -> int:
        """How many of the next pieces, of these lengths, are worth making together; 1 unless settings ask for more."""
        return 1

    def generate_together(self, requests: Sequence[GenerationRequest]) -> list[GeneratedMusic]:
        """Make several pieces with the same settings."""
        return [self.generate(request) for request in requests]

    def read_seen(self, points: Float[Tensor, "time 13 2"]) -> DanceReading | None:
        """Genre and beats of a body that was seen from one side, at 60 fps (`d2m.motion.keypoints.POINTS`); None: reads none so."""
        if self.rhythm_reader is None:
            return None
        found = self.rhythm_reader.read_points(points[None].to(self.device_config.device))
        return DanceReading(found.genre_probabilities, found.beats())

    def read(self, motion: Float[Tensor, " time *part"]) -> DanceReading | None:
        """What is read in a dance of any length; None where no beat is read from motion, and so none is taken."""
        if self.rhythm_reader is None:
            return None
        found = self.rhythm_reader.read(motion.to(self.device_config.device))
        return DanceReading(found.genre_probabilities, found.beats())


def refuse_what_speeds_networks(device_config: DeviceConfig, system: str) -> None:
    """Refuse what this project's U-Nets and decoders alone can do.

    Raises:
        BadConfig: for bfloat16 on a CPU, or compiled networks.
    """
    if device_config.compiled:
        raise BadConfig(f"compile=true: the networks of {system} are not compiled; leave it out.")
    if device_config.device.type == "cpu" and device_config.precision != "exact":
        raise BadConfig(
            f"precision={device_config.precision}: {system} makes music in float32 on a CPU; say precision=exact."
        )


def without_autoencoder(autoencoder: str | Path | None, system: str) -> None:
    """Refuse an autoencoder where the system has none.

    Raises:
        BadConfig: when one was asked for.
    """
    if autoencoder is not None:
        raise BadConfig(f"autoencoder={autoencoder}: {system} makes its sound without one; leave it out.")
