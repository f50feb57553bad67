"""`d2m live`: frames from a file or a camera, sound to a file or a loudspeaker, on virtual time or in real time."""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
from jaxtyping import Float, UInt8

from d2m.core.aist_names import GENRES
from d2m.core.errors import BadConfig, BadInput
from d2m.core.files import write_json
from d2m.core.music import Music
from d2m.core.timeline import MOTION_FPS
from d2m.live.performance import Live, LiveFrame, LiveState
from d2m.motion.dance import Dance
from d2m.motion.keypoints import body_points as points_of_keypoints
from d2m.render.mux import write_timed_video
from d2m.rhythm.reader import body_points, side_views
from d2m.video.pose import open_detector
from d2m.video.reader import Frame, frames

FILE_FPS = 30
"""Frames a second in which a motion file is played."""

_FILM_HEIGHT = 360
_SHORTEST_S = 0.02

Picture = UInt8[np.ndarray, "height width 3"]


@dataclass(frozen=True)
class Sight:
    """One frame of a source: what was seen, and the picture, where there is one."""

    frame: LiveFrame
    picture: Picture | None = None


def of_dance(dance: Dance) -> Iterator[Sight]:
    """A dance of a motion file, seen from the front, 30 frames a second."""
    if dance.points is not None:
        points = dance.points
    else:
        points = side_views(body_points(torch.from_numpy(dance.features[None])), 1)[0].numpy()
    for n in range(0, min(len(points), len(dance.features)), MOTION_FPS // FILE_FPS):
        yield Sight(LiveFrame(n / MOTION_FPS, points[n].astype(float), dance.features[n]))


def of_pictures(pictures: Iterator[Frame], model_file: Path | None = None) -> Iterator[Sight]:
    """Films and cameras: the dancer in each picture, or nobody."""
    with open_detector(model_file) as detector:
        for picture in pictures:
            found = detector.people(picture.picture, picture.time_s)
            points = None
            if found:
                height, width = picture.picture.shape[:2]
                points = points_of_keypoints(found[0].image[None, :, :2] * (width, height))[0]
                points = points if np.isfinite(points).all() else None
            yield Sight(LiveFrame(float(picture.time_s), points), picture.picture)


def of_film(path: Path, model_file: Path | None = None) -> Iterator[Sight]:
    """A film's pictures."""
    return of_pictures(frames(path, _FILM_HEIGHT), model_file)


def of_camera(number: int, model_file: Path | None = None) -> Iterator[Sight]:
    """A camera of this computer, its newest picture each time.

    Raises:
        BadInput: when there is no such camera, or it goes away.
    """
    return of_pictures(_newest(number), model_file)


def _newest(number: int) -> Iterator[Frame]:
    """Pictures of a camera in a thread of their own, so that none waits: those that nobody took are passed over."""
    formats = {"linux": ("v4l2", f"/dev/video{number}"), "darwin": ("avfoundation", str(number))}
    kind, name = formats.get(sys.platform, ("dshow", f"video={number}"))
    try:
        container = av.open(name, format=kind, timeout=5)
    except (OSError, ValueError) as error:
        raise BadInput(
            f"--camera {number}: cannot be opened ({error}); give the number of a camera that no other program uses, or --file."
        ) from error
    newest: list[Frame] = []
    ended = threading.Event()
    ready = threading.Condition()
    started_s = time.monotonic()

    def take() -> None:
        try:
            for picture in container.decode(video=0):
                if ended.is_set():
                    break
                shown = picture.to_ndarray(
                    format="rgb24", height=_FILM_HEIGHT, width=round(_FILM_HEIGHT * picture.width / picture.height)
                )
                with ready:
                    newest[:] = [Frame(shown, time.monotonic() - started_s)]
                    ready.notify()
        except (OSError, ValueError):
            pass  # unplugged: what follows says so
        finally:
            with ready:
                ended.set()
                ready.notify()

    threading.Thread(target=take, daemon=True, name="d2m-camera").start()
    try:
        while True:
            with ready:
                ready.wait_for(lambda: bool(newest) or ended.is_set(), timeout=5)
                if not newest:
                    raise BadInput(f"--camera {number}: gives no pictures any more; plug it in again and start anew.")
                picture = newest.pop()
            yield picture
    finally:
        ended.set()
        container.close()


@dataclass
class Recording:
    """What was seen and heard.

    Args:
        live: that made the sound.
        sounds, pictures: one after the other.
        state: at the end.
    """

    live: Live
    sounds: list[Float[np.ndarray, "audio sample"]]
    pictures: list[Frame]
    state: LiveState

    def music(self) -> Music:
        """The sound."""
        return Music(np.concatenate(self.sounds, axis=1), self.live.sample_rate)

    def as_json(self) -> dict[str, Any]:
        """What is written beside the music."""
        seconds = self.state.heard / self.live.sample_rate
        beats = self.state.beats
        beats_s = [] if beats is None else [round(one, 3) for one in beats.beats_s if 0 <= one < seconds]
        genre = self.state.genre
        return {
            "seconds": round(seconds, 3),
            "genre": None if genre is None else GENRES[genre],
            "genre_predicted": self.live.genre is None,
            "seed": self.live.generator.seed,
            "beats": {"beats_s": beats_s, "source": "live"},
            "missed_seconds": round(self.state.missed / self.live.sample_rate, 3),
        }

    def save(self, path: Path) -> None:
        """As `.wav`, or as a film where there are pictures; the record lies beside it as `.json`."""
        if path.suffix.lower() == ".wav":
            self.music().save(path)
        else:
            if not self.pictures:
                raise BadConfig(f"--record {path}: a motion file has no pictures; record a .wav.")
            write_timed_video(iter(self.pictures), self.music(), path)
        write_json(path.with_suffix(".json"), self.as_json())


def play_virtually(
    live: Live, source: Iterator[Sight], keep_pictures: bool = False, told: Callable[[LiveState], None] | None = None
) -> Recording:
    """Without a clock: each frame when the last one has been dealt with, as fast as the computer can."""
    state, recording = live.begin(), Recording(live, [], [], live.begin())
    for sight in source:
        state, sound = live.step(state, [sight.frame])
        recording.sounds.append(sound)
        if keep_pictures and sight.picture is not None:
            recording.pictures.append(Frame(sight.picture, sight.frame.time_s))
        if told:
            told(state)
    recording.state = state
    return recording


def play_in_real_time(
    live: Live,
    source: Iterator[Sight],
    sound_card: Any = None,
    keep_pictures: bool = False,
    keep_sound: bool = True,
    told: Callable[[LiveState], None] | None = None,
) -> Recording:
    """With the clock, until the source ends or Ctrl-C.

    Args:
        live: what follows the dance and makes its music.
        source: frames; a file is waited for.
        sound_card: the module sounddevice; None: nobody listens, samples are asked for as a sound card would.
        keep_pictures, keep_sound: for a recording.
        told: called with the state after each frame.
    """
    running, recording = RealTime(live), Recording(live, [], [], live.begin())

    def asked(count: int) -> Float[np.ndarray, "audio sample"]:
        sound = running.samples(count)
        if keep_sound:
            recording.sounds.append(sound)
        return sound

    def noted() -> Iterator[Sight]:
        for sight in source:
            if keep_pictures and sight.picture is not None:
                recording.pictures.append(Frame(sight.picture, sight.frame.time_s))
            yield sight

    def callback(out: Any, count: int, when: Any, flags: Any) -> None:
        out[:] = asked(count).T

    channels = live.generator.dmae.in_channels
    if sound_card is None:
        player: Any = _Clocked(asked, live.sample_rate)
    else:
        player = sound_card.OutputStream(live.sample_rate, 512, channels=channels, dtype="float32", callback=callback)
    with player, suppress(KeyboardInterrupt):
        running.run(noted(), told)
    recording.state = running.state
    return recording


class _Clocked:
    """Asks for samples as a sound card does, for nobody."""

    def __init__(self, asked: Callable[[int], object], sample_rate: int) -> None:
        self._asked, self._rate, self._ended = asked, sample_rate, threading.Event()

    def __enter__(self) -> None:
        self._thread = threading.Thread(target=self._run, daemon=True, name="d2m-player")
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(timeout=10)

    def _run(self) -> None:
        started_s, given = time.monotonic(), 0
        while not self._ended.is_set():
            due = int((time.monotonic() - started_s) * self._rate)
            if due - given >= 512:
                self._asked(due - given)
                given = due
            time.sleep(0.005)


class RealTime:
    """In real time: one thread sees, one makes blocks, and whoever plays asks for samples.

    Args:
        live: what follows the dance and makes its music.
    """

    def __init__(self, live: Live) -> None:
        self.live, self.state = live, live.begin()
        self._lock, self._ended = threading.Lock(), threading.Event()
        self._error: list[BaseException] = []
        self.block_seconds: list[float] = []

    def samples(self, count: int) -> Float[np.ndarray, "audio sample"]:
        """The next samples, for a sound card's callback."""
        with self._lock:
            self.state, sound = self.live.play(self.state, count)
        return sound

    def run(self, source: Iterator[Sight], told: Callable[[LiveState], None] | None = None) -> None:
        """See a source to its end; a file is waited for, so that a second of it takes a second."""
        maker = threading.Thread(target=self._make, name="d2m-blocks", daemon=True)
        self._started_s = time.monotonic()
        maker.start()
        try:
            for sight in source:
                wait_s = sight.frame.time_s - (time.monotonic() - self._started_s)
                if wait_s > 0:
                    time.sleep(wait_s)
                with self._lock:
                    self.state = self.live.watch(self.state, [sight.frame])
                if told:
                    told(self.state)
                if self._error:
                    raise self._error[0]
        finally:
            self._ended.set()
            maker.join(timeout=30)

    def _make(self) -> None:
        """Blocks, whenever less than the lead is left."""
        while not self._ended.is_set():
            now_s = time.monotonic() - self._started_s
            with self._lock:
                before = self.state
            if before.made_s > max(now_s, before.heard / self.live.sample_rate) + self.live.lead_s:
                time.sleep(_SHORTEST_S)
                continue
            begun_s = time.perf_counter()
            try:
                made = self.live.make_block(before, now_s)
            except Exception as error:  # told by the thread that sees
                self._error.append(error)
                return
            self.block_seconds.append(time.perf_counter() - begun_s)
            new = made.sound[:, before.sound.shape[1] :]
            with self._lock:
                waiting = self.state.sound if self.state.sound.shape[1] else np.zeros((len(new), 0), np.float32)
                self.state = replace(
                    self.state, beats=made.beats, music=made.music, genre=made.genre, made_s=made.made_s,
                    sound=np.concatenate([waiting, new], axis=1),
                )  # fmt: skip


def status(state: LiveState, live: Live) -> str:
    """One line: tempo, how sure, what is made ahead, what was missed."""
    ahead_s = state.made_s - state.heard / live.sample_rate
    found = state.prediction
    tempo = (
        "no beat yet"
        if found is None or state.beats is None
        else f"{60 / found.period_s:5.1f} BPM ±{1000 * found.deviation_s:3.0f} ms"
    )
    genre = "" if state.genre is None else f" {GENRES[state.genre]}"
    missed = f", missed {state.missed / live.sample_rate:.2f} s" if state.missed else ""
    return f"{tempo}{genre}, moving {state.movement:.2f}, {ahead_s:.2f} s ahead{missed}"
