"""Live music on the page: pictures of the browser's camera come in one at a time, sound goes back in one answer that goes on.

POST live/begin?genre=gHO       the answer lasts as long as the performance; its parts: one byte of kind, four of length (little
                                endian), content. "t": JSON of what is known (id, rate, status …) or an error; "s": samples, 16 bits
POST live/picture?id=ID         a JPEG, answered when it is looked at; then the browser sends its newest, so no more than one waits
POST live/genre?id=ID&genre=gHO of the blocks to come; empty: as read

The browser's part is `live.html` and `live.js` beside this file.
"""

import asyncio
import json
import secrets
import struct
import threading
import time
from collections.abc import AsyncIterator
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from d2m.core.errors import BadConfig, BadInput
from d2m.live.blocks import BlockGenerator
from d2m.live.performance import Live
from d2m.live.session import Newest, RealTime, of_pictures
from d2m.pipeline import Dance2Music
from d2m.rhythm.causal_reader import CausalRhythmReader, load_causal_reader
from d2m.web.jobs import what_went_wrong

HTML, JS = ((Path(__file__).with_name(f"live.{kind}")).read_text(encoding="utf-8") for kind in ("html", "js"))

AHEAD_S, DEPTH_S = 0.15, 0.1
"""How long after it was sent a sample is heard, about; and how much of it the browser waits for in its ring buffer."""

_SEND_EVERY_S, _SAY_EVERY_S, _LONGEST_S = 0.02, 0.25, 600.0
_MOST_BYTES, _MOST_SIDE = 300_000, 720


def decoded(content: bytes) -> UInt8[np.ndarray, "height width 3"]:
    """The picture of a JPEG.

    Raises:
        BadInput: for anything else, or a large one.
    """
    try:
        with Image.open(BytesIO(content), formats=["JPEG"]) as image:
            if max(image.size) > _MOST_SIDE:
                raise BadInput(f"A picture of {image.size[0]} × {image.size[1]}: expected at most {_MOST_SIDE} pixels.")
            return np.array(image.convert("RGB"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise BadInput("A picture that cannot be read: expected a JPEG.") from error


class Performance:
    """What a browser has begun.

    Args:
        genre: code; empty: as read when music begins.
    """

    def __init__(self, genre: str) -> None:
        self.id, self.genre = secrets.token_hex(16), genre
        self.newest = Newest(time.monotonic(), "The browser's camera gives no pictures any more; start again.")
        self.running: RealTime | None = None
        self.sentence = ""
        self.is_over = False

    def choose_genre(self, genre: str) -> None:
        """Of the blocks to come, also before the model is there."""
        if self.running:
            self.running.live.choose_genre(genre or None)
        self.genre = genre


class LiveStage:
    """The performances of a page, one at a time.

    Args:
        turn: held while one goes on: nothing else is made then.
        model: of few steps; None: `demo_fast`, loaded by the first performance.
    """

    def __init__(self, turn: threading.Lock, model: Dance2Music | None = None) -> None:
        self.turn, self._model = turn, model
        self._made: tuple[BlockGenerator, CausalRhythmReader] | None = None
        self.performance: Performance | None = None

    def routes(self) -> list[Route]:
        """Of the page's server."""
        return [Route(f"/live/{name}", getattr(self, name), methods=["POST"]) for name in ("begin", "picture", "genre")]

    def close(self) -> None:
        """End what goes on."""
        if self.performance:
            self.performance.newest.end()

    async def begin(self, request: Request) -> Response:
        """A performance; it ends when its answer is no longer read."""
        if not _is_from_this_page(request):
            return PlainTextResponse("Only this page may begin.", 403)
        sound = self._sound(request.query_params.get("genre", ""))
        return StreamingResponse(sound, media_type="application/octet-stream", headers={"cache-control": "no-store"})

    async def picture(self, request: Request) -> Response:
        """The newest picture of the camera."""
        performance, content = self._named(request), b""
        if performance is None:
            return PlainTextResponse("This performance is over.", 410)
        try:
            async for part in request.stream():
                content += part
                if len(content) > _MOST_BYTES:
                    return PlainTextResponse("The picture is too large.", 413)
            performance.newest.put(decoded(content))
            while performance.newest.is_waiting:  # the next picture is taken when this one is looked at
                await asyncio.sleep(0.005)
        except (BadInput, ClientDisconnect) as error:
            return PlainTextResponse(str(error), 400)
        return Response(status_code=204)

    async def genre(self, request: Request) -> Response:
        """Another genre from the next block on."""
        performance = self._named(request)
        if performance is None:
            return PlainTextResponse("This performance is over.", 410)
        try:
            performance.choose_genre(request.query_params.get("genre", ""))
        except BadConfig as error:
            return PlainTextResponse(str(error), 400)
        return Response(status_code=204)

    def _named(self, request: Request) -> Performance | None:
        performance = self.performance
        named = request.query_params.get("id", "")
        is_it = performance is not None and secrets.compare_digest(named.encode(), performance.id.encode())
        return performance if is_it and _is_from_this_page(request) else None

    async def _sound(self, genre: str) -> AsyncIterator[bytes]:
        if not self.turn.acquire(blocking=False):
            yield _text(error="This page makes music for somebody at the moment; start when that is done.")
            return
        performance = self.performance = Performance(genre)
        threading.Thread(target=self._perform, args=(performance,), daemon=True, name="d2m-live").start()
        begun_s, given, said_s = 0.0, 0, 0.0
        try:
            yield _text(id=performance.id, status="the model is loaded")
            while not performance.is_over:
                await asyncio.sleep(_SEND_EVERY_S)
                running, now_s = performance.running, time.monotonic()
                if now_s - performance.newest.started_s > _LONGEST_S:
                    performance.newest.end(BadInput(f"Ten minutes ({_LONGEST_S:.0f} s) are over; start again."))
                if running is None:
                    continue
                rate, dmae = running.live.sample_rate, running.live.generator.dmae
                if not begun_s:
                    begun_s = now_s
                    yield _text(rate=rate, channels=dmae.in_channels, depth_s=DEPTH_S)
                due = int((now_s - begun_s) * rate)
                sound = await asyncio.to_thread(running.samples, due - given)
                given = due
                yield _part(b"s", _as_16_bits(sound))
                if now_s - said_s > _SAY_EVERY_S:
                    said_s = now_s
                    yield _text(status=running.status(), late_s=running.late_s)
            yield _text(error=performance.sentence)
        finally:
            performance.newest.end()

    def _perform(self, performance: Performance) -> None:
        """See and make, in a thread of its own, which has the turn."""
        try:
            if self._made is None:
                generator = BlockGenerator(self._model or Dance2Music.load("demo_fast"))
                self._made = generator, load_causal_reader("causal_rhythm_reader")
            running = RealTime(Live(*self._made, performance.genre or None), AHEAD_S)
            performance.running = running
            running.live.choose_genre(performance.genre or None)  # where it was changed meanwhile
            running.run(of_pictures(iter(performance.newest)), None, performance.newest.started_s)
        except Exception as error:
            performance.sentence = what_went_wrong(error)
        finally:
            self.performance = None
            self.turn.release()
            performance.is_over = True


def _is_from_this_page(request: Request) -> bool:
    """Browsers say from which page a request comes; programs say nothing."""
    origin = request.headers.get("origin")
    return origin is None or urlsplit(origin).netloc == request.headers.get("host")


def _as_16_bits(sound: Float[np.ndarray, "audio sample"]) -> bytes:
    return (np.clip(sound.T, -1, 1) * 32767).astype("<i2").tobytes()


def _part(kind: bytes, content: bytes) -> bytes:
    return kind + struct.pack("<I", len(content)) + content


def _text(**said: Any) -> bytes:
    return _part(b"t", json.dumps(said).encode())
