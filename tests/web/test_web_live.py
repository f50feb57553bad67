"""Live music on the page: pictures in, sound out, over the page's own server; and what strangers may not do."""

import json
import re
import shutil
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import TYPE_CHECKING, Any

import httpx
import numpy as np
import pytest
from PIL import Image

from d2m.core.aist_names import GENRES
from d2m.core.errors import BadInput
from d2m.live import session
from d2m.pipeline import Dance2Music
from d2m.video.detection import Detection

if TYPE_CHECKING:
    from d2m.web.page import PageServer

PATIENCE_S = 300
"""How long anything may take on a machine that does much else."""


class SeesHowBrightItIs:
    """A detector of somebody who stands as high as the picture is bright; in a dark one is nobody."""

    opened = 0

    def people(self, picture: Any, time_s: float) -> list[Detection]:
        image = np.ones((33, 3))
        image[:, 0] = 0.5 + 0.1 * np.where(np.arange(33) % 2, 1, -1)
        image[:, 1] = np.linspace(0.2, 0.8, 33) - picture.mean() / 2550
        return [Detection(image, np.zeros((33, 3)))] if picture.mean() > 9 else []

    def reset(self) -> None: ...

    def close(self) -> None: ...

    def __enter__(self) -> "SeesHowBrightItIs":
        SeesHowBrightItIs.opened += 1
        return self

    def __exit__(self, *_: object) -> None:
        SeesHowBrightItIs.opened -= 1


@pytest.fixture(scope="module")
def server() -> Iterator["PageServer"]:
    pytest.importorskip("gradio", reason="the page needs the extra [web]")
    from d2m.web.page import _CHOICES, PageServer

    model = Dance2Music.load("demo_fast", settings={"steps": 1})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("d2m.web.page._CHOICES", _CHOICES[:1])
        patch.setattr(session, "open_detector", lambda _: SeesHowBrightItIs())
        with PageServer.start(port=None, model=model, live_model=model) as running:
            yield running


def picture(bright: int = 100, size: tuple[int, int] = (64, 48), kind: str = "JPEG") -> bytes:
    file = BytesIO()
    Image.new("RGB", size, (bright, bright, bright)).save(file, kind)
    return file.getvalue()


class Heard:
    """The answer of `live/begin`, part by part: what was said, and the samples."""

    def __init__(self, parts: Iterator[bytes]) -> None:
        self._parts, self._waiting = parts, b""
        self.said: dict[str, Any] = {}
        self.samples = 0

    def _take(self, count: int) -> bytes:
        while len(self._waiting) < count:
            self._waiting += next(self._parts)
        taken, self._waiting = self._waiting[:count], self._waiting[count:]
        return taken

    def until(self, *names: str) -> dict[str, Any]:
        """Read on until all of these were said."""
        deadline_s = time.monotonic() + PATIENCE_S
        while not all(name in self.said for name in names):
            assert time.monotonic() < deadline_s, self.said
            kind, length = struct.unpack("<cI", self._take(5))
            content = self._take(length)
            if kind == b"t":
                self.said |= json.loads(content)
            else:
                self.samples += length // 2
        return self.said


@contextmanager
def begun(server: "PageServer", genre: str = "") -> Iterator[Heard]:
    with httpx.stream("POST", f"{server.url}live/begin", params={"genre": genre}, timeout=PATIENCE_S) as answer:
        assert answer.status_code == 200
        yield Heard(answer.iter_raw())


def sent(server: "PageServer", name: str, content: bytes = b"", **said: Any) -> httpx.Response:
    headers = said.pop("headers", {})
    return httpx.post(f"{server.url}live/{name}", params=said, content=content, headers=headers, timeout=PATIENCE_S)


def wait_until_released(server: "PageServer") -> None:
    """Nobody performs, nothing is open, and the page may make music again."""
    deadline_s = time.monotonic() + PATIENCE_S
    while server.stage.performance or server.page.jobs.turn.locked() or SeesHowBrightItIs.opened:
        assert time.monotonic() < deadline_s
        time.sleep(0.02)


def test_pictures_go_in_and_sound_comes_out(server: "PageServer") -> None:
    with begun(server, "gHO") as heard:
        named = heard.until("id")["id"]
        heard.until("rate")
        for number in range(12):
            assert sent(server, "picture", picture(60 + 15 * (number % 4)), id=named).status_code == 204
            heard.said.pop("status", None)
            status = heard.until("status")["status"]
        assert "moving" in status and "s ahead" in status and heard.samples > 0.1 * heard.said["rate"]
        assert heard.said["late_s"] >= 0

        performance = server.stage.performance
        assert performance is not None and performance.running is not None and performance.running.state.seen > 0
        assert sent(server, "genre", id=named, genre="gBR").status_code == 204
        assert performance.running.live.genre == GENRES.index("gBR")
        wrong = sent(server, "genre", id=named, genre="gXX")
        assert wrong.status_code == 400 and "gXX" in wrong.text

        for content, code in (
            (b"a shopping list", 400),
            (picture(kind="PNG"), 400),
            (picture(size=(4000, 8)), 400),
            (bytes(400_000), 413),
        ):
            assert sent(server, "picture", content, id=named).status_code == code
        assert sent(server, "picture", picture(), id="0" * 32).status_code == 410
        assert (
            sent(server, "picture", picture(), id=named, headers={"origin": "https://example.com"}).status_code == 410
        )
        with begun(server) as second:
            assert "for somebody at the moment" in second.until("error")["error"]
        assert sent(server, "picture", picture(0), id=named).status_code == 204
        while "nobody is seen" not in heard.said["status"]:
            heard.said.pop("status", None)
            heard.until("status")
    wait_until_released(server)
    assert sent(server, "picture", picture(), id=named).status_code == 410


def test_another_page_may_not_begin(server: "PageServer") -> None:
    answer = sent(server, "begin", headers={"origin": "https://example.com"})
    assert answer.status_code == 403 and not server.page.jobs.turn.locked()
    assert httpx.get(f"{server.url}live/begin", timeout=PATIENCE_S).status_code == 405


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (BadInput("mediapipe: not installed, run: pip install 'd2m[pose]'."), "mediapipe: not installed"),
        (ZeroDivisionError("secret"), r"Something went wrong on the server (ZeroDivisionError)"),
    ],
)
def test_what_fails_is_said_in_a_sentence(
    server: "PageServer", error: Exception, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(_: object) -> None:
        raise error

    monkeypatch.setattr(session, "open_detector", fails)
    with begun(server) as heard:
        sentence = heard.until("error")["error"]
    assert said in sentence and "secret" not in sentence
    wait_until_released(server)


def test_a_camera_that_stops_and_a_genre_that_is_none(server: "PageServer", monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "_PATIENCE_S", 0.2)
    for genre, said in (("", "gives no pictures any more"), ("gXX", "gXX")):
        with begun(server, genre) as heard:
            assert said in heard.until("error")["error"]
        wait_until_released(server)


def test_in_a_browser(server: "PageServer") -> None:
    """Its fake camera shows a bright picture; the sound runs through the ring buffer; everything is released."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    names = ("chromium", "chromium-browser", "google-chrome")
    found = next((path for name in names if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip("there is no Chromium on this computer")
    fake = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=found, args=["--no-sandbox", "--mute-audio", *fake])
        page, complaints = chromium.new_page(), []
        page.set_default_timeout(1000 * PATIENCE_S)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(server.url)
        page.get_by_role("tab", name="Live").click()
        for _ in range(2):  # it may begin again
            button = page.locator("#d2m-live [data-d2m=start]")
            colours = button.evaluate(
                "one => { const s = getComputedStyle(one); return [s.backgroundColor, s.color]; }"
            )
            assert "rgba(0, 0, 0, 0)" not in colours and colours[0] != colours[1]  # white on nothing, it was
            button.click()
            page.locator("#d2m-live [data-d2m=status]", has_text=re.compile("moving.*underruns|went wrong")).wait_for()
            assert "from picture to sound" in page.locator("#d2m-live [data-d2m=status]").inner_text()
            performance = server.stage.performance
            assert performance is not None and performance.running is not None and performance.running.state.is_seen
            page.locator("#d2m-live [data-d2m=start]").click()
            page.get_by_text("Stopped.").wait_for()
            wait_until_released(server)
        assert not complaints
        chromium.close()
