"""Analysis of a piece of music, once per file: beats, onsets, spectra, levels, and the events of each protocol."""

import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from multiprocessing import get_context
from multiprocessing.context import BaseContext
from pathlib import Path

import numpy as np
import soundfile
from jaxtyping import Float
from tqdm import tqdm

from d2m.core.errors import BadInput
from d2m.core.music import Music
from d2m.core.parallel import process_context
from d2m.evaluation.embeddings import mfcc_statistics
from d2m.metrics.audio_quality import AudioQuality, check_audio_quality, log_mel
from d2m.metrics.beat_tracker import TRACKER_SAMPLE_RATE, LibrosaTracker, Tracker, track_onsets_s
from d2m.metrics.harmony import Harmony, measure_harmony
from d2m.metrics.protocols import ProtocolEvents, extract_events
from d2m.models.music_genre import level_log_mel


@dataclass(frozen=True)
class GenreGuess:
    """What a genre classifier says of a piece: the most probable class, and the probabilities of all."""

    genre: str
    probabilities: Float[np.ndarray, " genre"]


@dataclass(frozen=True)
class AudioAnalysis:
    """What is measured in a piece of music.

    Args:
        beats_s: beat times in seconds, by the first tracker.
        onsets_s: onset times in seconds, None for a bare beat list.
        log_mel: log-mel spectrogram for `sound_distance`, None where there is no sound.
        protocols: events that the published protocols detect, None for a bare beat list; see `protocol_events`.
        tracked: beat times in seconds by tracker name, the first one included; empty for a bare beat list.
        quality: loudness, clipping and the like, None where there is no sound.
        harmony: key and chords, None where there is no sound.
        timbre: vector of the embedding `mfcc-statistics-1`, None where there is no sound.
        level_mel: spectrogram that a genre classifier reads; dropped once it was read.
        genre: what the genre classifier says, None where none was asked.
    """

    beats_s: Float[np.ndarray, " beat"]
    onsets_s: Float[np.ndarray, " onset"] | None = None
    log_mel: Float[np.ndarray, "mel frame"] | None = None
    protocols: ProtocolEvents | None = None
    tracked: Mapping[str, np.ndarray] = field(default_factory=dict)
    quality: AudioQuality | None = None
    harmony: Harmony | None = None
    timbre: Float[np.ndarray, " dimension"] | None = None
    level_mel: Float[np.ndarray, "64 frame"] | None = None
    genre: GenreGuess | None = None

    @property
    def seconds(self) -> float | None:
        """Duration of the sound, None for a bare beat list."""
        return self.protocols.seconds if self.protocols else None

    def until(self, seconds: float | int) -> "AudioAnalysis":
        """The same, without events at or after `seconds`; spectra and levels stay those of the whole."""
        return replace(
            self,
            beats_s=self.beats_s[self.beats_s < seconds],
            onsets_s=None if self.onsets_s is None else self.onsets_s[self.onsets_s < seconds],
            protocols=None if self.protocols is None else self.protocols.until(seconds),
            tracked={name: beats_s[beats_s < seconds] for name, beats_s in self.tracked.items()},
        )

    def protocol_events(self, seconds: float | int) -> ProtocolEvents:
        """Events that the protocols detect; for a bare list of times lasting `seconds`, each time is beat and onset."""
        return self.protocols or ProtocolEvents.of_times(self.beats_s, seconds)

    def by(self, tracker: str) -> "AudioAnalysis":
        """The same with the beats of another tracker; a bare beat list stays as it is.

        Raises:
            KeyError: when other trackers ran and this one did not.
        """
        return replace(self, beats_s=self.tracked[tracker]) if self.tracked else self


def audio_info(path: Path) -> soundfile._SoundFileInfo:
    """What an audio file's header says: `duration` in seconds, `samplerate`, `channels`.

    Raises:
        BadInput: when it is not a readable audio file, or is empty.
    """
    try:
        info = soundfile.info(path)
    except (soundfile.SoundFileError, OSError) as error:
        raise BadInput(f"{path}: not a readable audio file ({error}); give a wav, flac, ogg or mp3.") from error
    if info.duration <= 0:
        raise BadInput(f"{path}: found 0 samples, expected some audio; record or export the file again.")
    return info


def audio_seconds(path: Path) -> float:
    """Duration of an audio file, from its header.

    Raises:
        BadInput: when it is not a readable audio file, or is empty.
    """
    return audio_info(path).duration


@dataclass(frozen=True)
class Passage:
    """The first `seconds` of an audio file (None: all of it)."""

    path: Path
    seconds: float | int | None = None


def analyze(passage: Passage, trackers: Sequence[Tracker] = (LibrosaTracker(),)) -> AudioAnalysis:
    """Everything that is measured in a passage, but for the genre.

    Raises:
        BadInput: when the file cannot be read.
        BadConfig: when a tracker cannot run.
    """
    music = Music.load(passage.path)
    if passage.seconds is not None:
        samples = max(1, round(passage.seconds * music.sample_rate))
        music = Music(np.ascontiguousarray(music.waveform[:, :samples]), music.sample_rate)
    tracked = {tracker.name: tracker.track(music) for tracker in trackers}
    protocols, quality = extract_events(music), check_audio_quality(music)
    music = music.mono().resampled(TRACKER_SAMPLE_RATE)
    level_mel = level_log_mel(music)
    return AudioAnalysis(
        beats_s=tracked[trackers[0].name],
        onsets_s=track_onsets_s(music),
        log_mel=log_mel(music),
        protocols=protocols,
        tracked=tracked,
        quality=quality,
        harmony=measure_harmony(music, tracked[trackers[0].name]),
        timbre=mfcc_statistics(level_mel),
        level_mel=level_mel,
    )


def require_beats(analysis: AudioAnalysis, path: Path) -> AudioAnalysis:
    """`analysis`, when it may serve as a reference.

    Raises:
        BadInput: when the tracker found no beat in it, so that there is nothing to compare with.
    """
    if analysis.beats_s.size == 0:
        raise BadInput(
            f"{path}: the tracker hears no beat in this reference, expected music with beats; give a beat list"
            " NAME.txt beside it, or leave it out."
        )
    return analysis


GenreReader = Callable[[Float[np.ndarray, "64 frame"]], GenreGuess]
"""Genre of a spectrogram made by `d2m.models.music_genre.level_log_mel`."""


def warm_up(trackers: Sequence[Tracker] = (LibrosaTracker(),), say: bool = True) -> None:
    """Run every detector once on a second of noise, so that compilation is over before the first file.

    librosa's beat tracker is compiled on first use: up to a minute on a new installation, seconds in a new process.
    """
    if say:
        print("getting the beat tracker ready (up to a minute the first time, seconds later on) ...", file=sys.stderr)
    start_s = time.perf_counter()
    noise = np.random.default_rng(0).normal(size=(1, TRACKER_SAMPLE_RATE)).astype(np.float32) * np.float32(0.1)
    music = Music(noise, TRACKER_SAMPLE_RATE)
    for tracker in trackers:
        tracker.track(music)
    extract_events(music)
    track_onsets_s(music)
    level_log_mel(music)
    if say:
        print(f"ready after {time.perf_counter() - start_s:.0f} s", file=sys.stderr)


def pool_context(trackers: Sequence[Tracker]) -> BaseContext:
    """How processes are started; networks (`beat_this`) survive no copy, so that for them each starts anew."""
    if all(isinstance(tracker, LibrosaTracker) for tracker in trackers):
        return process_context(__name__)
    return get_context("spawn")


def _analyze_or_error(passage: Passage, trackers: Sequence[Tracker]) -> AudioAnalysis | BadInput:
    try:
        return analyze(passage, trackers)
    except BadInput as error:
        return error


class AudioAnalyzer:
    """Analyzes every passage once: later questions are answered from memory."""

    def __init__(
        self,
        workers: int = 1,
        progress: bool = True,
        trackers: Sequence[Tracker] = (LibrosaTracker(),),
        genre_reader: GenreReader | None = None,
    ) -> None:
        """
        Args:
            workers: processes that analyze.
            progress: show a progress bar, and say what takes long.
            trackers: the beat trackers; the first one's beats are the headline.
            genre_reader: asked in this process about each piece; None leaves genres out.
        """
        self.workers = workers
        self.progress = progress
        self.trackers = tuple(trackers)
        self.genre_reader = genre_reader
        self._memory: dict[Passage, AudioAnalysis | BadInput] = {}
        self._warm = False

    def warm_up(self) -> None:
        """Compile what is compiled on first use, once, and say so."""
        if not self._warm:
            warm_up(self.trackers, say=self.progress)
            self._warm = True

    def analyze_all(self, passages: Iterable[Passage], what: str) -> None:
        """Analyze what is not in memory yet; unreadable files are remembered and raised when asked for."""
        new = [passage for passage in dict.fromkeys(passages) if passage not in self._memory]
        bar = {"desc": what, "total": len(new), "unit": "file", "disable": not self.progress or not new}
        analyze_one = partial(_analyze_or_error, trackers=self.trackers)
        if new and (self.progress or self.workers > 1):
            self.warm_up()
        if self.workers > 1 and len(new) > self.workers:
            with ProcessPoolExecutor(self.workers, mp_context=pool_context(self.trackers)) as pool:
                for passage, answer in tqdm(zip(new, pool.map(analyze_one, new), strict=True), **bar):
                    self._memory[passage] = self._with_genre(answer)
        else:
            for passage in tqdm(new, **bar):
                self._memory[passage] = self._with_genre(analyze_one(passage))

    def _with_genre(self, answer: AudioAnalysis | BadInput) -> AudioAnalysis | BadInput:
        if isinstance(answer, BadInput) or answer.level_mel is None:
            return answer
        genre = self.genre_reader(answer.level_mel) if self.genre_reader else None
        return replace(answer, genre=genre, level_mel=None)

    def __call__(self, passage: Passage) -> AudioAnalysis:
        """What `passage` sounds like.

        Raises:
            BadInput: when the file cannot be read.
        """
        if passage not in self._memory:
            self._memory[passage] = self._with_genre(_analyze_or_error(passage, self.trackers))
        answer = self._memory[passage]
        if isinstance(answer, BadInput):
            raise answer
        return answer
