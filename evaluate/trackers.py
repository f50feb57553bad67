"""What is heard in a piece of music: beats and onsets by librosa, at its own rate, told nothing about the reference.

The tracker is `librosa.beat.beat_track` (Ellis, 2007) at 22,050 Hz with `trim=False`: the default drops weak beats at
both ends, which costs a 6 s clip two of its dozen beats. Its prior stays at 120 BPM for every clip; a prior taken from
the reference would leak the answer.
"""

from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path

import librosa
import numpy as np
import soundfile
from jaxtyping import Float
from tqdm import tqdm

from d2m.errors import BadInput
from d2m.music import Music
from evaluate.sound_distance import log_mel

TRACKER_SAMPLE_RATE = 22050
TRACKER_HOP_SAMPLES = 512
TRACKER = "librosa.beat.beat_track at 22,050 Hz, hop 512, trim=False"

SILENCE_PEAK = 1e-4
"""A piece that never exceeds this (-80 dBFS) has no beats and no onsets; the tracker would find some in its hiss."""

_SHORTEST_S = 0.25


@dataclass(frozen=True)
class Heard:
    """What is judged of a piece of music.

    Args:
        beats_s: beat times in seconds.
        onsets_s: onset times in seconds, None where nobody listened for them (a bare beat list).
        log_mel: log-mel spectrogram for `sound_distance`, None where there is no sound.
    """

    beats_s: Float[np.ndarray, " beat"]
    onsets_s: Float[np.ndarray, " onset"] | None = None
    log_mel: Float[np.ndarray, "mel frame"] | None = None

    def until(self, seconds: float | int) -> "Heard":
        """The same, without events at or after `seconds`."""
        onsets_s = None if self.onsets_s is None else self.onsets_s[self.onsets_s < seconds]
        return replace(self, beats_s=self.beats_s[self.beats_s < seconds], onsets_s=onsets_s)


def _tracker_samples(music: Music) -> Float[np.ndarray, " time"] | None:
    """Mono samples at the tracker's rate, or None where there is nothing to hear."""
    samples = music.mono().resampled(TRACKER_SAMPLE_RATE).waveform[0]
    loud_enough = samples.size > _SHORTEST_S * TRACKER_SAMPLE_RATE and np.abs(samples).max() > SILENCE_PEAK
    return samples if loud_enough else None


def track_beats_s(music: Music) -> Float[np.ndarray, " beat"]:
    """Beat times in seconds; none in silence or in less than a quarter of a second."""
    samples = _tracker_samples(music)
    if samples is None:
        return np.zeros(0)
    _, beats_s = librosa.beat.beat_track(
        y=samples, sr=TRACKER_SAMPLE_RATE, hop_length=TRACKER_HOP_SAMPLES, trim=False, units="time"
    )
    return np.asarray(beats_s, dtype=np.float64)


def track_onsets_s(music: Music) -> Float[np.ndarray, " onset"]:
    """Onset times in seconds (`librosa.onset.onset_detect`, default peak picking); none in silence."""
    samples = _tracker_samples(music)
    if samples is None:
        return np.zeros(0)
    onsets_s = librosa.onset.onset_detect(
        y=samples, sr=TRACKER_SAMPLE_RATE, hop_length=TRACKER_HOP_SAMPLES, units="time"
    )
    return np.asarray(onsets_s, dtype=np.float64)


def track_envelope_beats_s(
    envelope: Float[np.ndarray, " frame"], frame_rate: float | int
) -> Float[np.ndarray, " beat"]:
    """Beat times in seconds of any onset envelope, such as one made from motion.

    librosa derives the frame rate from sample rate and hop, so a sample rate of one hop per frame is given.

    Args:
        envelope: onset strength, non-negative.
        frame_rate: frames per second of `envelope`.
    """
    if envelope.size < _SHORTEST_S * frame_rate or not envelope.any():
        return np.zeros(0)
    _, frames = librosa.beat.beat_track(
        onset_envelope=np.asarray(envelope, dtype=np.float64),
        sr=frame_rate * TRACKER_HOP_SAMPLES,
        hop_length=TRACKER_HOP_SAMPLES,
        trim=False,
        units="frames",
    )
    return np.asarray(frames, dtype=np.float64) / frame_rate


def audio_seconds(path: Path) -> float:
    """Duration of an audio file, from its header.

    Raises:
        BadInput: when it is not a readable audio file, or is empty.
    """
    try:
        seconds = soundfile.info(path).duration
    except (soundfile.SoundFileError, OSError) as error:
        raise BadInput(f"{path}: not a readable audio file ({error}); give a wav, flac, ogg or mp3.") from error
    if seconds <= 0:
        raise BadInput(f"{path}: found 0 samples, expected some audio; record or export the file again.")
    return seconds


@dataclass(frozen=True)
class Passage:
    """The first `seconds` of an audio file (None: all of it)."""

    path: Path
    seconds: float | int | None = None


def hear(passage: Passage) -> Heard:
    """Beats, onsets and log-mel of a passage.

    Raises:
        BadInput: when the file cannot be read.
    """
    music = Music.load(passage.path)
    if passage.seconds is not None:
        samples = max(1, round(passage.seconds * music.sample_rate))
        music = Music(np.ascontiguousarray(music.waveform[:, :samples]), music.sample_rate)
    music = music.mono().resampled(TRACKER_SAMPLE_RATE)
    return Heard(track_beats_s(music), track_onsets_s(music), log_mel(music))


def _hear_or_error(passage: Passage) -> Heard | BadInput:
    try:
        return hear(passage)
    except BadInput as error:
        return error


class Ear:
    """Hears every passage once: later questions are answered from memory."""

    def __init__(self, workers: int = 1, progress: bool = True) -> None:
        """
        Args:
            workers: processes; a new one compiles the tracker for seconds, so one is best below some 40 files.
            progress: show a progress bar.
        """
        self.workers = workers
        self.progress = progress
        self._memory: dict[Passage, Heard | BadInput] = {}

    def hear_all(self, passages: Iterable[Passage], what: str) -> None:
        """Hear what was not heard yet; unreadable files are remembered and raised when asked for."""
        new = [passage for passage in dict.fromkeys(passages) if passage not in self._memory]
        bar = {"desc": what, "total": len(new), "unit": "file", "disable": not self.progress or not new}
        if self.workers > 1 and len(new) > self.workers:
            with ProcessPoolExecutor(self.workers, mp_context=get_context("spawn")) as pool:
                self._memory.update(tqdm(zip(new, pool.map(_hear_or_error, new), strict=True), **bar))
        else:
            for passage in tqdm(new, **bar):
                self._memory[passage] = _hear_or_error(passage)

    def __call__(self, passage: Passage) -> Heard:
        """What `passage` sounds like.

        Raises:
            BadInput: when the file cannot be read.
        """
        if passage not in self._memory:
            self._memory[passage] = _hear_or_error(passage)
        answer = self._memory[passage]
        if isinstance(answer, BadInput):
            raise answer
        return answer
