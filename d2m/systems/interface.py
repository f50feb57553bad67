"""What the façade and the scripts know of a system, whatever it is made of.

A system is a LightningModule that `d2m.training.run.fit` can train; its `composer` makes music with it. Whoever adds a
system writes one file here, one YAML and one test: see "Add a system" in the README.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float
from torch import Tensor

from d2m.errors import BadConfig
from d2m.model.placement import Placement
from d2m.systems.beat_grid import BeatGrid


@dataclass(frozen=True)
class CompositionRequest:
    """What music is asked for.

    Args:
        motion: the dance as the composer reads it (`Composer.reads`), of any length from 1 s; mostly the 219 features at 60 fps,
            un-normalised.
        genre: number of a genre in `d2m.names.GENRES`.
        samples: length of the music at the composer's sample rate.
        seed: the same seed gives the same music.
        settings: those of `Composer.settings` that are not to be the composer's own; never None.
        progress: wraps an iterable over the steps of the work, such as `tqdm`.
    """

    motion: Float[Tensor, "time *part"]
    genre: int
    samples: int
    seed: int = 0
    settings: Mapping[str, Any] = field(default_factory=dict)
    progress: Callable | None = None


@dataclass(frozen=True)
class Composition:
    """Music as a composer made it.

    Args:
        waveform: at least as many samples as asked for.
        settings: every setting that it was made with, the composer's own included; plain values for the record.
    """

    waveform: Float[Tensor, "channel sample"]
    settings: dict[str, Any]


class Composer(ABC):
    """A trained system with whatever turns its output into sound."""

    settings: frozenset[str] = frozenset()
    """Names of what may be asked for beside dance, genre and seed: `steps`, `guidance`, `temperature`, …"""

    sample_rate: int
    """Of the music that it makes."""

    reads: str = "features"
    """What it is shown of a dance, one of `d2m.video.view.VIEWS`."""

    picture_size: int = 32
    """Pixels a side of the pictures, where it reads those."""

    placement: Placement = Placement()
    """Where it makes music."""

    has_bfloat16_on_cpu: bool = False
    """Whether it can make music in bfloat16 there."""

    def on(self, placement: Placement) -> None:
        """Make music there from now on; asked once, before any.

        Raises:
            BadConfig: when the system cannot.
        """
        if placement != Placement():
            raise BadConfig(
                f"device={placement.device}, precision={placement.precision}: {type(self).__name__} makes music on a CPU in float32 "
                "only; leave both out."
            )

    @abstractmethod
    def predict_genre(self, motion: Float[Tensor, "time *part"]) -> Float[Tensor, "10"]:
        """Probability of each genre (order of `d2m.names.GENRES`) of a dance of any length."""

    @abstractmethod
    def compose(self, request: CompositionRequest) -> Composition:
        """Make the music."""

    def at_once(self, samples: Sequence[int], settings: Mapping[str, Any]) -> int:
        """How many of the next pieces, of these lengths, are worth making together; 1 unless settings ask for more."""
        return 1

    def compose_together(self, requests: Sequence[CompositionRequest]) -> list[Composition]:
        """Make several pieces with the same settings."""
        return [self.compose(request) for request in requests]

    def beat_grid(self, motion: Float[np.ndarray, "time *part"]) -> BeatGrid:
        """The regular beats that fit a dance best.

        Raises:
            BadConfig: when the system reads no rhythm from motion.
        """
        raise BadConfig("this checkpoint does not read a beat from motion, so no tempo can be asked for; leave it out.")


@runtime_checkable
class Composing(Protocol):
    """A system that makes music: what `d2m.generate` asks of the module that a checkpoint's `system` config builds."""

    def composer(self, made_with: Mapping[str, Any], autoencoder: str | Path | None = None) -> Composer:
        """What makes music with this system's weights; puts the system into evaluation mode.

        Args:
            made_with: the checkpoint's config beside `system`: what the training data said of itself (`made_with`), such as
                `{"dmae": "demo"}` or `{"codec": "demo"}`.
            autoencoder: name or path of another autoencoder or codec than that one.

        Raises:
            BadConfig: when the autoencoder does not fit, or the system has none to choose.
        """
        ...


def refuse_what_speeds_networks(placement: Placement, system: str) -> None:
    """Refuse what this project's U-Nets and decoders alone can do.

    Raises:
        BadConfig: for bfloat16 on a CPU, or compiled networks.
    """
    if placement.compiled:
        raise BadConfig(f"compile=true: the networks of {system} are not compiled; leave it out.")
    if placement.device.type == "cpu" and placement.precision != "exact":
        raise BadConfig(f"precision={placement.precision}: {system} makes music in float32 on a CPU; say precision=exact.")


def without_autoencoder(autoencoder: str | Path | None, system: str) -> None:
    """Refuse an autoencoder where the system has none.

    Raises:
        BadConfig: when one was asked for.
    """
    if autoencoder is not None:
        raise BadConfig(f"autoencoder={autoencoder}: {system} makes its sound without one; leave it out.")
