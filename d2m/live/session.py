"""`d2m live`: frames from a file or a camera, sound to a file or a loudspeaker, on virtual time or in real time."""

import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
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
from d2m.video.people import SamePerson
from d2m.video.pose import one_person, open_detector
from d2m.video.reader import Frame, frames

FILE_FPS = 30
"""Frames a second in which a motion file is played."""

_FILM_HEIGHT = 360
_SHORTEST_S = 0.02
_PATIENCE_S = 5.0
"""Within which a camera must open and give its next picture."""

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
    """Films and cameras: the dancer in each picture, or nobody.

    Of several people it is the largest one in the first picture that shows anybody, who is then followed; see
    `d2m.video.people.SamePerson`.
    """
    same: SamePerson | None = None
    seen = True
    with open_detector(model_file) as detector:
        for picture in pictures:
            height, width = picture.picture.shape[:2]
            same = same or SamePerson((width, height))
            person = one_person(detector, same, picture, is_lost=not seen)
            seen = person is not None
            points = None
            if person is not None:
                points = points_of_keypoints(person.image[None, :, :2] * (width, height))[0]
                points = points if np.isfinite(points).all() else None
            yield Sight(LiveFrame(float(picture.time_s), points), picture.picture)


def of_film(path: Path, model_file: Path | None = None) -> Iterator[Sight]:
    """A film's pictures."""
    return of_pictures(frames(path, _FILM_HEIGHT), model_file)


class Newest:
    """The newest picture of a camera, for one who takes them: those that nobody took are passed over, and none waits.

    Args:
        started_s: on `time.monotonic`: a picture's time is counted from then.
        gone: what is said when none has come for some seconds.
    """

    def __init__(self, started_s: float, gone: str) -> None:
        self.started_s, self.gone, self.is_ended = started_s, gone, False
        self._newest: Frame | None = None
        self._error: BadInput | None = None
        self._ready = threading.Condition()

    @property
    def is_waiting(self) -> bool:
        """Whether a picture has not been taken yet."""
        return self._newest is not None and not self.is_ended

    def put(self, picture: Picture) -> None:
        """A picture that was taken just now."""
        with self._ready:
            self._newest = Frame(picture, time.monotonic() - self.started_s)
            self._ready.notify()

    def end(self, error: BadInput | None = None) -> None:
        """No more pictures: whoever takes them is done, or told the error."""
        with self._ready:
            self.is_ended, self._error = True, self._error or error
            self._ready.notify()

    def __iter__(self) -> Iterator[Frame]:
        while True:
            with self._ready:
                self._ready.wait_for(lambda: self._newest is not None or self.is_ended, timeout=_PATIENCE_S)
                picture, self._newest = self._newest, None
                if self._error or (picture is None and not self.is_ended):
                    raise self._error or BadInput(self.gone)
                if self.is_ended or picture is None:
                    return
            yield picture


def of_camera(number: int, model_file: Path | None = None, started_s: float | None = None) -> Iterator[Sight]:
    """A camera of this computer, its newest picture each time; a picture's time is counted from `started_s`, or from now.

    Raises:
        BadInput: when there is no such camera, or it goes away.
    """
    return of_pictures(_camera(number, time.monotonic() if started_s is None else started_s), model_file)


def _camera(number: int, started_s: float) -> Iterator[Frame]:
    """Pictures of a camera, which a thread of its own takes and which is closed by it."""
    formats = {"linux": ("v4l2", f"/dev/video{number}"), "darwin": ("avfoundation", str(number))}
    kind, name = formats.get(sys.platform, ("dshow", f"video={number}"))
    try:
        container = av.open(name, format=kind, timeout=_PATIENCE_S)
    except (OSError, ValueError, av.FFmpegError) as error:
        raise BadInput(
            f"--camera {number}: cannot be opened ({error}); give the number of a camera that no other program uses, or --file."
        ) from error
    gone = f"--camera {number}: gives no pictures any more; plug it in again and start anew."
    newest = Newest(started_s, gone)

    def take() -> None:
        with container, suppress(OSError, ValueError, av.FFmpegError):  # unplugged: what follows says so
            for picture in container.decode(video=0):
                if newest.is_ended:
                    break
                width = round(_FILM_HEIGHT * picture.width / picture.height)
                newest.put(picture.to_ndarray(format="rgb24", height=_FILM_HEIGHT, width=width))
        newest.end(BadInput(gone))

    thread = threading.Thread(target=take, daemon=True, name="d2m-camera")
    thread.start()
    try:
        yield from newest
    finally:
        newest.end()
        thread.join(timeout=_PATIENCE_S + 1)


@dataclass
class Recording:
    """What was seen and heard.

    Args:
        live: that made the sound.
        state: at the end.
        sounds, pictures: one after the other.
        ended_by: why it ended, where a device went away.
    """

    live: Live
    state: LiveState
    sounds: list[Float[np.ndarray, "audio sample"]] = field(default_factory=list)
    pictures: list[Frame] = field(default_factory=list)
    ended_by: BadInput | None = None

    def music(self) -> Music:
        """The sound, from the beginning of the dance's clock; silence before somebody listened."""
        sound = np.concatenate(self.sounds, axis=1)
        return Music(np.pad(sound, ((0, 0), (max(0, self.state.heard - sound.shape[1]), 0))), self.live.sample_rate)

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
    live: Live, source: Iterator[Sight], keep_pictures: bool = False, told: Callable[[str], None] | None = None
) -> Recording:
    """Without a clock: each frame when the last one has been dealt with, as fast as the computer can."""
    state, recording = live.begin(), Recording(live, live.begin())
    for sight in source:
        state, sound = live.step(state, [sight.frame])
        recording.sounds.append(sound)
        if keep_pictures and sight.picture is not None:
            recording.pictures.append(Frame(sight.picture, sight.frame.time_s))
        if told:
            told(status(state, live))
    recording.state = state
    return recording


def play_in_real_time(
    live: Live,
    source: Iterator[Sight],
    sound_card: Any = None,
    keep_pictures: bool = False,
    keep_sound: bool = True,
    told: Callable[[str], None] | None = None,
    started_s: float | None = None,
) -> Recording:
    """With the clock, until the source ends or Ctrl-C; a recording in `ended_by` also where a device went away.

    Args:
        live: what follows the dance and makes its music.
        source: frames; a file is waited for.
        sound_card: the module sounddevice; None: nobody listens, samples are asked for as a sound card would.
        keep_pictures, keep_sound: for a recording.
        told: given `RealTime.status` after each frame.
        started_s: see `RealTime.run`.

    Raises:
        BadInput: when the source has nothing to show, or the loudspeaker cannot be opened.
    """
    running, recording = RealTime(live), Recording(live, live.begin())

    def asked(count: int) -> Float[np.ndarray, "audio sample"]:
        sound = running.samples(count)
        if keep_sound and running.state.heard:
            recording.sounds.append(sound)
        return sound

    def callback(out: Any, count: int, when: Any, flags: Any) -> None:
        out[:] = asked(count).T

    player: Any = _Clocked(asked, live.sample_rate)
    if sound_card is not None:
        channels = live.generator.dmae.in_channels
        try:
            player = sound_card.OutputStream(
                live.sample_rate, 512, channels=channels, dtype="float32", callback=callback
            )
        except Exception as error:  # PortAudio's own kind, which is not there without it
            raise BadInput(
                f"the loudspeaker cannot be opened ({error}); choose another in the system's settings."
            ) from error

    def noted() -> Iterator[Sight]:
        for sight in source:
            if keep_pictures and sight.picture is not None:
                recording.pictures.append(Frame(sight.picture, sight.frame.time_s))
            yield sight
            if not player.active:
                raise BadInput("the loudspeaker takes no sound any more; plug it in again and start anew.")

    with player, suppress(KeyboardInterrupt):
        try:
            running.run(noted(), told, started_s)
        except BadInput as error:
            if not recording.sounds:
                raise
            recording.ended_by = error
    recording.state = running.state
    return recording


class _Clocked:
    """Asks for samples as a sound card does, for nobody."""

    active = True

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
        ahead_s: how long after it was asked for a sample is heard, where that is known.

    `late_s` is how long after it was taken a picture has been seen, of late.
    """

    def __init__(self, live: Live, ahead_s: float | int = 0.0) -> None:
        self.live, self.state, self.ahead_s = live, live.begin(), float(ahead_s)
        self._lock, self._ended = threading.Lock(), threading.Event()
        self._started_s: float | None = None
        self._error: list[BaseException] = []
        self._block_s: deque[float] = deque(maxlen=8)
        self.late_s = 0.0

    def samples(self, count: int) -> Float[np.ndarray, "audio sample"]:
        """The next samples, for a sound card's callback; silence before the dance's clock goes."""
        with self._lock:
            if self._started_s is None:
                return np.zeros((len(self.state.sound), count), np.float32)
            if not self.state.heard:  # whoever listens has come late: what they hear first belongs to now
                first = max(0, round((time.monotonic() - self._started_s + self.ahead_s) * self.live.sample_rate))
                self.state = replace(
                    self.state, heard=first, made_s=first / self.live.sample_rate, sound=self.state.sound[:, :0]
                )
            self.state, sound = self.live.play(self.state, count)
        return sound

    def status(self) -> str:
        """`status` of what goes on, how late a picture is seen, and how fast music is made."""
        speed = self.live.generator.seconds * len(self._block_s) / sum(self._block_s) if self._block_s else None
        return status(self.state, self.live, self.late_s, speed)

    def run(
        self, source: Iterator[Sight], told: Callable[[str], None] | None = None, started_s: float | None = None
    ) -> None:
        """See a source to its end; a file is waited for, so that a second of it takes a second.

        Args:
            source: of frames.
            told: given the status after each frame.
            started_s: where the dance's clock is at 0, on `time.monotonic`: a camera's, which shows what is now. None: the clock
                goes from the first frame on.
        """
        maker = threading.Thread(target=self._make, name="d2m-blocks", daemon=True)
        self._started_s = started_s
        maker.start()
        try:
            for sight in source:
                if self._started_s is None:
                    self._started_s = time.monotonic() - sight.frame.time_s
                wait_s = sight.frame.time_s - (time.monotonic() - self._started_s)
                if wait_s > 0:
                    time.sleep(wait_s)
                watched = self.live.watch(self.state, [sight.frame])  # whoever plays does not wait for it
                with self._lock:
                    self.state = self.live.with_watched(self.state, watched)
                late_s = time.monotonic() - self._started_s - sight.frame.time_s
                self.late_s += 0.1 * (late_s - self.late_s)
                if told:
                    told(self.status())
                if self._error:
                    raise self._error[0]
        finally:
            self._ended.set()
            maker.join(timeout=30)

    def _make(self) -> None:
        """Blocks, whenever less than the lead is left."""
        while not self._ended.is_set():
            started_s = self._started_s
            with self._lock:
                before = self.state
            now_s = 0.0 if started_s is None else time.monotonic() - started_s
            due = None if started_s is None else self.live.due(before, now_s, self._block_s)
            if due is None:
                time.sleep(_SHORTEST_S)
                continue
            begun_s = time.perf_counter()
            try:
                made = self.live.make_block(due, now_s)
            except Exception as error:  # told by the thread that sees
                self._error.append(error)
                return
            if made.music is not before.music:
                self._block_s.append(time.perf_counter() - begun_s)
            with self._lock:
                self.state = self.live.with_block(self.state, due, made)


def status(state: LiveState, live: Live, late_s: float | None = None, speed: float | None = None) -> str:
    """One line: tempo, how sure, what is made ahead, what was missed; in real time how late a picture is seen and how many
    times as fast as it plays music is made."""
    found = state.prediction
    parts = [
        "no beat yet"
        if found is None or state.beats is None
        else f"{60 / found.period_s:5.1f} BPM ±{1000 * found.deviation_s:3.0f} ms, {found.confidence:.0%} sure"
    ]
    parts += [] if state.genre is None else [GENRES[state.genre]]
    parts += [f"moving {state.movement:.2f}" if state.is_seen else "nobody is seen"]
    parts += [f"{state.made_s - state.heard / live.sample_rate:.2f} s ahead"]
    parts += [] if late_s is None else [f"seen after {1000 * late_s:.0f} ms"]
    parts += [] if speed is None else [f"{speed:.2f} times real time"]
    parts += [f"missed {state.missed / live.sample_rate:.2f} s"] if state.missed else []
    return ", ".join(parts)
