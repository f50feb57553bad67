"""Cameras and loudspeakers that fail, and what a camera may see: one sentence, no traceback, everything released."""

import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest
from tests_support_live import still
from tests_support_video import portrait

from d2m.cli import main
from d2m.core.errors import BadInput
from d2m.core.music import Music
from d2m.live import session
from d2m.live.performance import Live, LiveFrame, LiveState
from d2m.live.session import Newest, Sight, of_camera, of_pictures, play_in_real_time, status
from d2m.video.detection import Detection
from d2m.video.reader import Frame

DARK = np.zeros((72, 128, 3), np.uint8)


def person(x: float, y: float = 0.5, height: float = 0.6) -> Detection:
    """Somebody upright whose middle is at this place of the picture."""
    image = np.ones((33, 3))
    image[:, 0] = x + height / 6 * np.where(np.arange(33) % 2, 1, -1) * np.linspace(0.5, 1, 33)
    image[:, 1] = y + height * (np.linspace(0, 1, 33) - 0.5)
    return Detection(image, np.zeros((33, 3)))


class SeesWhatItIsTold:
    """A detector that finds the next people of a list in each picture."""

    def __init__(self, people: list[list[Detection]]) -> None:
        self.coming, self.is_closed = list(people), False

    def people(self, picture: Any, time_s: float) -> list[Detection]:
        return self.coming.pop(0) if self.coming else []

    def reset(self) -> None: ...

    def close(self) -> None: ...

    def __enter__(self) -> "SeesWhatItIsTold":
        return self

    def __exit__(self, *_: object) -> None:
        self.is_closed = True


@dataclass
class Camera:
    """What `av.open` gives for a camera that fails after some pictures: it raises, ends, or gives none any more."""

    how: str
    is_closed: bool = False
    goes_on: threading.Event = field(default_factory=threading.Event)

    def decode(self, video: int) -> Iterator[av.VideoFrame]:
        for _ in range(12):
            time.sleep(0.02)
            yield av.VideoFrame.from_ndarray(DARK, "rgb24")
        if self.how == "raises":
            raise av.error.OSError(19, "No such device", "/dev/video0")
        if self.how == "stalls":
            self.goes_on.wait(60)

    def __enter__(self) -> "Camera":
        return self

    def __exit__(self, *_: object) -> None:
        self.is_closed = True


@pytest.mark.parametrize("how", ["raises", "ends", "stalls"])
def test_a_camera_that_is_unplugged(
    how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    """One sentence; what was recorded until then is kept, in as much sound as time went by."""
    camera, detector = Camera(how), SeesWhatItIsTold([])
    monkeypatch.setattr(session.av, "open", lambda *_, **__: camera)
    monkeypatch.setattr(session, "open_detector", lambda _: detector)
    monkeypatch.setattr(session, "_PATIENCE_S", 0.5)
    monkeypatch.setattr("d2m.commands.live._sound_card", lambda: None)
    out = tmp_path / "a.wav"
    with pytest.raises(SystemExit) as stopped:
        main(["live", "--camera", "0", "--record", str(out)])
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert (
        stopped.value.code == 2
        and said.startswith("error: --camera 0: gives no pictures any more")
        and "nobody" not in said
    )
    assert Music.load(out).seconds > 0.1 and out.with_suffix(".json").is_file() and detector.is_closed
    camera.goes_on.set()
    for thread in threading.enumerate():
        if thread.name.startswith("d2m-"):
            thread.join(timeout=60)
            assert not thread.is_alive()
    assert camera.is_closed


def test_a_camera_that_cannot_be_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "open_detector", lambda _: SeesWhatItIsTold([]))
    with pytest.raises(BadInput, match="--camera 97: cannot be opened"):
        next(of_camera(97))


def test_only_the_newest_picture_waits() -> None:
    newest = Newest(time.monotonic(), "gone")
    for number in range(3):
        newest.put(np.full((2, 2, 3), number, np.uint8))
    pictures = iter(newest)
    assert next(pictures).picture[0, 0, 0] == 2
    newest.end()
    assert list(pictures) == []


def test_of_two_people_the_larger_is_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever comes first in the detector's list, and also when the other one comes nearer."""
    far, near = person(0.25, height=0.4), person(0.7, height=0.6)
    seen = [[far, near], [near, far], [person(0.25, height=0.75), near], [far], [near]]
    monkeypatch.setattr(session, "open_detector", lambda _: SeesWhatItIsTold([*seen[:4], [], *seen[4:]]))
    sights = list(of_pictures(Frame(DARK, n / 30) for n in range(5)))
    middles = [None if one.frame.points is None else one.frame.points[:, 0].mean() / 128 for one in sights]
    assert middles[3] is None
    assert [middles[n] for n in (0, 1, 2, 4)] == pytest.approx([middles[0]] * 4) and middles[0] == pytest.approx(
        0.7, abs=0.05
    )


def test_a_dark_picture_and_a_dancer_who_comes_goes_and_comes_back() -> None:
    """By MediaPipe: nobody in the dark or before an empty wall; found again elsewhere."""
    pytest.importorskip("mediapipe", reason="the extra [pose] is not installed")
    photo, dark, wall = portrait(240), np.zeros((270, 480, 3), np.uint8), np.full((270, 480, 3), 90, np.uint8)

    def at(left: int) -> Any:
        picture = wall.copy()
        picture[20 : 20 + photo.shape[0], left : left + photo.shape[1]] = photo
        return picture

    shown = [dark] * 3 + [at(60)] * 4 + [wall] * 4 + [at(240)] * 6
    times_s = [*np.arange(11) / 10, *(3 + np.arange(6) / 10)]
    sights = of_pictures(Frame(picture, float(time_s)) for picture, time_s in zip(shown, times_s, strict=True))
    seen = [sight.frame.points is not None for sight in sights]
    assert not any(seen[:3]) and all(seen[4:7]) and not any(seen[8:11]) and all(seen[13:])


def test_who_comes_back_is_followed_on(live: Live, frames: list[LiveFrame], danced: LiveState) -> None:
    end_s = frames[-1].time_s
    state, _ = live.step(danced, [LiveFrame(end_s + n / 30, None) for n in range(1, 76)])
    assert danced.is_seen and not state.is_seen and state.level < 0.05 and "nobody is seen" in status(state, live)
    state, sound = live.step(state, [replace(frame, time_s=end_s + 2.5 + frame.time_s) for frame in frames[1:60]])
    assert state.is_seen and state.level > 0.3 and np.abs(sound).max() > 0.02 and "nobody" not in status(state, live)


def speaker(**methods: Any) -> SimpleNamespace:
    """What stands for the module sounddevice, with streams that have these methods."""

    class Stream:
        active = True

        def __init__(self, *_: object, callback: Any, **__: object) -> None:
            self.callback = callback

        def __enter__(self) -> "Stream":
            opened.append(self)
            out = np.zeros((512, 2), np.float32)
            self.callback(out, 512, None, None)
            return self

        def __exit__(self, *_: object) -> None:
            opened.remove(self)

    opened: list[Any] = []
    for name, method in methods.items():
        setattr(Stream, name, method)
    return SimpleNamespace(OutputStream=Stream, opened=opened)


def test_a_loudspeaker_that_fails(live: Live) -> None:
    frames = [Sight(frame) for frame in still(0.5)]

    def refuses(*_: object, **__: object) -> None:
        raise RuntimeError("device unavailable")

    with pytest.raises(BadInput, match=r"loudspeaker cannot be opened \(device unavailable\)"):
        play_in_real_time(live, iter(frames), SimpleNamespace(OutputStream=refuses))
    card = speaker(active=property(lambda _: False))
    with pytest.raises(BadInput, match="takes no sound any more"):
        play_in_real_time(live, iter(frames), card)
    assert not card.opened
    card = speaker()
    assert play_in_real_time(live, iter(frames), card).state.seen == 29 and not card.opened


@pytest.mark.parametrize("module", [None, SimpleNamespace(check_output_settings=lambda: 1 / 0)])
def test_no_loudspeaker(module: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    """Without sounddevice, or without a device that it knows."""
    monkeypatch.setitem(sys.modules, "sounddevice", module)
    with pytest.raises(SystemExit) as stopped:
        main(["live", "--camera", "0"])
    assert stopped.value.code == 2 and "error: no loudspeaker can be used" in capsys.readouterr().err
