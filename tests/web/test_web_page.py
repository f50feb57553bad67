"""The page end to end: a real server, a real model, a real browser; and what strangers may not do."""

import json
import pickle
import shutil
import socket
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import httpx
import numpy as np
import pytest
from tests_support_formats import DANCE
from tests_support_runs import ENDS_WITHIN_S, apart, ended

from d2m.cli import main
from d2m.core.errors import BadConfig
from d2m.core.music import Music
from d2m.data.synthetic.dances import choreograph
from d2m.motion.smpl import joint_positions
from d2m.pipeline import Dance2Music, GenerationRecord
from d2m.rhythm.grid import BeatGrid
from d2m.web.jobs import JobQueue, PageSettings
from d2m.web.uploads import Upload, UploadLimits

if TYPE_CHECKING:
    from d2m.web.page import PageServer

SECONDS = 3.0
PATIENCE_S = 300
"""How long anything may take on a machine that does much else."""


@pytest.fixture(scope="module")
def server() -> Iterator["PageServer"]:
    pytest.importorskip("gradio", reason="the page needs the extra [web]")
    from d2m.web.page import PageServer  # Gradio takes seconds to load: only where it is tested

    model = Dance2Music.load("demo", settings={"steps": 3})
    with PageServer.start(port=None, model=model, limits=UploadLimits(max_mb=2, max_seconds=10)) as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    found = next(
        (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
    )
    if found is None:
        pytest.skip("there is no Chromium on this computer")
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=found, args=["--no-sandbox", "--mute-audio"])
        context = chromium.new_context()
        context.set_default_timeout(1000 * PATIENCE_S)
        yield context
        chromium.close()


@pytest.fixture
def dance(tmp_path: Path) -> Path:
    poses = choreograph("gHO", np.arange(0, SECONDS + 1, 0.5), 0, SECONDS, dancer=3, seed=1)
    path = tmp_path / "it's a dance = 1, ü.pkl"
    content = {"smpl_poses": poses.poses, "smpl_trans": poses.trans, "smpl_scaling": np.ones(1, np.float32)}
    path.write_bytes(pickle.dumps(content))
    return path


def film_of_nobody(path: Path) -> Path:
    """A real video without a person."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
        for number in range(20):
            picture = np.full((120, 160, 3), 5 * number, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return path


def asked_by_hand(server: "PageServer", function: str, data: list[Any], **more: Any) -> str:
    """Ask as a program would, without a browser; what the page's message says in the end."""
    api, session = f"{server.url}gradio_api/", uuid.uuid4().hex
    number = next(key for key, fn in server.page.blocks.fns.items() if fn.name == function)
    body = {"data": data, "fn_index": number, "session_hash": session, **more}
    joined = httpx.post(f"{api}queue/join", json=body, timeout=PATIENCE_S)
    assert joined.status_code == 200, joined.text
    with httpx.stream("GET", f"{api}queue/data", params={"session_hash": session}, timeout=PATIENCE_S) as stream:
        for line in stream.iter_lines():
            message = json.loads(line[5:]) if line.startswith("data:") else {}
            if message.get("msg") == "process_completed":
                output = message["output"]
                return str(output["data"][0] if "data" in output else output)
    return "the server hung up"


def made_by_hand(server: "PageServer", name: str, content: bytes, **settings: Any) -> str:
    """Upload and press the button as a program would; what the page's message says in the end."""
    sent = httpx.post(f"{server.url}gradio_api/upload", files={"files": (name, content)}, timeout=PATIENCE_S)
    if sent.status_code != 200:
        return f"{sent.status_code} {sent.text}"
    file = {"path": sent.json()[0], "meta": {"_type": "gradio.FileData"}, **settings.pop("file", {})}
    chosen = {
        "genre": "",
        "tempo": "",
        "seed": 0,
        "takes": 1,
        "overlay": False,
        "fps": "",
        "up": "",
        "person": "",
    } | settings
    return asked_by_hand(server, "_make", [None, file, None, None, *chosen.values()])


def drawn_beats_s(page: Any) -> list[float]:
    """Times of the beats that the browser has drawn."""
    lines = page.locator("#d2m-beats [data-d2m=beats] line")
    return [float(time_s) for time_s in lines.evaluate_all("lines => lines.map(line => line.dataset.s)")]


TAP_AT = """taps => {
  const video = document.querySelector("#d2m-video video");
  Object.defineProperty(video, "paused", {configurable: true, get: () => false});
  for (const tap of taps) {
    Object.defineProperty(video, "currentTime", {configurable: true, get: () => tap, set: () => {}});
    document.body.dispatchEvent(new KeyboardEvent("keydown", {code: "Space", bubbles: true}));
  }
  delete video.paused;
  delete video.currentTime;
}"""

NOTE_CLICKS = """() => {
  window.clicks = [];
  const start = OscillatorNode.prototype.start;
  OscillatorNode.prototype.start = function (at) {
    window.clicks.push(document.querySelector("#d2m-video video").currentTime + at - this.context.currentTime);
    start.call(this, at);
  };
}"""


def test_beats_are_corrected_in_the_browser_heard_as_clicks_and_music_made_again_on_them(
    server: "PageServer", browser: Any, dance: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, generate = [], server.page.jobs.model.generate

    def noted(*arguments: Any, **settings: Any) -> Any:
        pair = generate(*arguments, **settings)
        made.append(pair[1].as_json()["beats"])
        return pair

    monkeypatch.setattr(server.page.jobs.model, "generate", noted)
    page = browser.new_page()
    page.goto(server.url)
    page.locator("#d2m-upload input[type=file]").set_input_files(dance)
    page.locator("#d2m-dance-note .d2m-good").wait_for()
    page.get_by_label("Tempo in BPM").fill("110")
    page.locator("#d2m-make").click()
    wait_for_result(page)
    tool = {name: page.locator(f"#d2m-beats [data-d2m={name}]") for name in (
        "half", "double", "shift", "undo", "tap", "tempo", "click", "hint", "again", "sentence",
    )}  # fmt: skip
    used = BeatGrid(np.array(made[0]["beats_s"])).covering(SECONDS)
    assert drawn_beats_s(page) == made[0]["beats_s"]

    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if request.method == "POST" else None)
    tool["double"].click()
    np.testing.assert_allclose(drawn_beats_s(page), used.doubled().within(SECONDS), atol=1e-3)
    assert tool["double"].is_disabled() and tool["tempo"].input_value() == "220.0"
    tool["half"].click()
    np.testing.assert_allclose(drawn_beats_s(page), made[0]["beats_s"], atol=1e-3)
    tool["shift"].click()
    np.testing.assert_allclose(drawn_beats_s(page), used.shifted(0.5).covering(SECONDS).within(SECONDS), atol=1e-3)
    tool["undo"].click()
    assert drawn_beats_s(page) == made[0]["beats_s"]
    tool["tempo"].fill("90")
    tool["tempo"].press("Enter")
    np.testing.assert_allclose(np.diff(drawn_beats_s(page)), 60 / 90, atol=1e-3)
    tool["tempo"].fill("900")
    tool["tempo"].press("Enter")
    assert "between 40 and 240" in tool["hint"].inner_text() and tool["tempo"].input_value() == "90.0"

    page.evaluate(TAP_AT, [0.31, 0.91, 1.51, 2.71])  # one is left out
    assert tool["hint"].inner_text() == "4 taps: 100.0 BPM."
    np.testing.assert_allclose(drawn_beats_s(page), np.arange(0.31, SECONDS, 0.6), atol=1e-3)
    tool["tap"].click()
    assert "Play the video" in tool["hint"].inner_text()

    page.evaluate(NOTE_CLICKS)
    tool["click"].check()
    page.evaluate("document.querySelector('#d2m-video video').play()")
    page.wait_for_function("window.clicks.length >= 2")
    page.evaluate("document.querySelector('#d2m-video video').pause()")
    # The player says its time in steps of the picture, and on a busy machine later: this tells beats from off-beats.
    np.testing.assert_allclose(page.evaluate("window.clicks.slice(0, 2)"), [0.31, 0.91], atol=0.1)
    assert not asked, "corrections must not ask the server"

    wanted = drawn_beats_s(page)
    tool["again"].click()
    page.get_by_text("100.0 BPM, on the beats that you gave.").wait_for()
    np.testing.assert_allclose(made[1]["beats_s"], wanted, atol=1e-3)
    assert made[1]["source"] == "file" and len(made) == 2
    assert drawn_beats_s(page) == made[1]["beats_s"]

    def falsified(route: Any) -> None:
        route.continue_(post_data=json.dumps({**route.request.post_data_json, "event_data": {"beats": [1, 0.5]}}))

    page.route("**/queue/join*", falsified)
    tool["again"].click()
    page.locator("#d2m-message .d2m-bad").wait_for()
    assert "two times in seconds that rise" in page.locator("#d2m-message").inner_text()
    assert (
        drawn_beats_s(page) == made[1]["beats_s"] and page.locator("#d2m-video video").is_visible() and len(made) == 2
    )
    page.close()


def test_nothing_is_made_again_before_it_was_made(server: "PageServer") -> None:
    said = asked_by_hand(server, "_again", [None, "", 0, 1, False], event_data={"beats": [0, 1, 2]})
    assert "no music to make again" in said
    assert "no music to make again" in asked_by_hand(server, "_again", [None, "", 0, 1, False])


def wait_for_result(page: Any) -> None:
    page.locator("#d2m-video video, #d2m-message .d2m-bad").first.wait_for()
    assert page.locator("#d2m-message .d2m-bad").count() == 0, page.locator("#d2m-message").inner_text()


def test_upload_to_result_to_download(server: "PageServer", browser: Any, dance: Path, tmp_path: Path) -> None:
    page, hosts, complaints = browser.new_page(), set(), []
    page.on("request", lambda request: hosts.add(httpx.URL(request.url).host))
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.goto(server.url)
    page.locator("#d2m-upload input[type=file]").set_input_files(dance)
    page.get_by_text(f"{dance.name}: 3.0 s, ready.").wait_for()
    page.get_by_label("number input for Takes").fill("2")
    page.get_by_label("Tempo in BPM").fill("118")
    page.locator("#d2m-make").click()
    wait_for_result(page)
    page.get_by_text("alignment").first.wait_for()
    page.wait_for_function("document.querySelector('#d2m-video video').readyState >= 2")
    page.evaluate("document.querySelector('#d2m-video video').play()")
    page.wait_for_function("document.querySelector('#d2m-video video').currentTime > 0.3")
    assert abs(page.evaluate("document.querySelector('#d2m-video video').duration") - SECONDS) < 0.1
    assert "118.0 BPM, as you chose" in page.locator("#d2m-beats [data-d2m=sentence]").inner_text()
    assert np.allclose(np.diff(drawn_beats_s(page)), 60 / 118, atol=2e-3)
    first = page.evaluate("document.querySelector('#d2m-video video').currentSrc")
    files = {}
    for kind in ("mp4", "wav"):
        with page.expect_download() as download:
            page.locator(f"#d2m-{kind}").click()
        assert download.value.suggested_filename in (f"d2m_take1_seed0.{kind}", f"d2m_take1_seed1.{kind}")
        files[kind] = tmp_path / f"result.{kind}"
        download.value.save_as(files[kind])
    music = Music.load(files["wav"])
    assert abs(music.seconds - SECONDS) < 0.01 and np.abs(music.waveform).max() > 0.05
    with av.open(str(files["mp4"])) as container:
        assert [stream.type for stream in container.streams] == ["video", "audio"]
    page.locator("#d2m-choice label").nth(1).click()
    page.wait_for_function(f"document.querySelector('#d2m-video video').currentSrc != {first!r}")
    assert hosts == {"127.0.0.1"}
    assert not complaints
    page.close()


def test_an_example_needs_no_upload(server: "PageServer", browser: Any) -> None:
    page = browser.new_page()
    page.set_viewport_size({"width": 400, "height": 800})
    page.goto(server.url)
    page.get_by_role("tab", name="Examples").click()
    page.locator(".d2m-examples button").first.click()
    page.get_by_text("Example: break.").wait_for()
    page.locator("#d2m-make").click()
    wait_for_result(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    page.reload()
    page.locator("#d2m-make").click()
    page.get_by_text("No dance yet: upload one").wait_for()
    page.close()


def test_what_is_no_dance_is_refused_with_a_sentence_on_the_page(
    server: "PageServer", browser: Any, tmp_path: Path
) -> None:
    page = browser.new_page()
    page.goto(server.url)
    (tmp_path / "notes.mp4").write_text("this is a shopping list\n" * 50)
    page.locator("#d2m-upload input[type=file]").set_input_files(tmp_path / "notes.mp4")
    page.get_by_text("notes.mp4: is called a video, but its content is none").wait_for()
    page.locator("#d2m-make").click()
    page.locator("#d2m-message .d2m-bad").wait_for()
    assert "its content is none" in page.locator("#d2m-message").inner_text()
    page.close()


def test_what_a_file_does_not_tell_is_said_on_the_page(server: "PageServer", browser: Any, tmp_path: Path) -> None:
    np.save(tmp_path / "joints.npy", joint_positions(DANCE.rotations, DANCE.translation))
    page = browser.new_page()
    page.goto(server.url)
    page.locator("#d2m-upload input[type=file]").set_input_files(tmp_path / "joints.npy")
    page.get_by_text("does not tell its frame rate").wait_for()
    assert "Here: under “The file”." in page.locator("#d2m-dance-note").inner_text()
    page.get_by_label("fps").fill("30")  # where it was opened
    page.get_by_label("fps").press("Enter")
    page.get_by_text("joints.npy: 3.0 s, ready. Read as: 30 fps as asked;").wait_for()
    page.get_by_label("fps").fill("often")
    page.locator("#d2m-make").click()
    page.get_by_text("Frames a second: found 'often', expected 1 to 1000.").first.wait_for()
    page.close()


def test_a_film_of_nobody_is_refused(server: "PageServer", tmp_path: Path) -> None:
    pytest.importorskip("mediapipe", reason="the extra [pose] is not installed")
    said = made_by_hand(server, "street.mp4", film_of_nobody(tmp_path / "street.mp4").read_bytes())
    assert "d2m-bad" in said and "street.mp4" in said and str(server.folder.path) not in said


def test_ten_uploads_at_once_get_a_sentence_each_and_the_page_lives_on(
    server: "PageServer", dance: Path, tmp_path: Path
) -> None:
    header = b"\0\0\0\x18ftypisom\0\0\2\0isommp41"
    hostile = {
        "text.mp4": b"shopping list",
        "empty.mp4": b"",
        "huge.mp4": header + b"\x80\0\0\0moov" + b"\0" * 64,
        "../../x.mp4": b"not a video",
        "evil.pkl": b"cos\nsystem\n(S'touch pwned'\ntR.",
        "bomb.npz": b"PK\x03\x04" + b"\0" * 40,
        "<img src=x onerror=alert(1)>.mp4": b"nothing",
        "page.html": b"<script>",
        "large.mp4": header + b"\0" * 3_000_000,
        "half.npy": b"\x93NUMPY\x01\x00",
    }
    said: dict[str, str] = {}

    def send(name: str) -> None:
        said[name] = made_by_hand(server, name, hostile[name])

    threads = [threading.Thread(target=send, args=(name,)) for name in hostile]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=PATIENCE_S)
    assert set(said) == set(hostile)
    assert said.pop("large.mp4").startswith("413")
    for name, sentence in said.items():
        assert "d2m-bad" in sentence and "Something went wrong" not in sentence, (name, sentence)
        assert str(server.folder.path) not in sentence and "<img" not in sentence
    assert not (Path.cwd() / "pwned").exists()
    assert "alignment" in made_by_hand(server, "dance.pkl", dance.read_bytes(), fps="30", up="y")


def test_nothing_outside_its_own_folder_is_served(server: "PageServer", dance: Path) -> None:
    upload = server.page.jobs.take_in(server.page.dances[0].path)
    assert isinstance(upload, Upload) and upload.path.is_file()
    outside = [
        "/etc/passwd",
        str(Path(__file__)),
        str(upload.path),
        f"{server.folder.served}/../work/{upload.path.name}",
    ]
    elsewhere = [
        "http://127.0.0.1:1/x",
        "https://example.com/",
        "file:///etc/passwd",
        "//etc/passwd",
        "HTTP:/example.com",
    ]
    for path in [*outside, *elsewhere]:
        for route in ("gradio_api/file=", "file="):
            assert httpx.get(f"{server.url}{route}{path}", timeout=PATIENCE_S).status_code in (403, 404), path
    assert httpx.get(f"{server.url}gradio_api/proxy=https://example.com/", timeout=PATIENCE_S).status_code == 403
    with pytest.raises(BadConfig, match="not uploaded here"):
        server.page.jobs.take_in(dance)


def test_a_program_cannot_name_other_files_or_addresses_as_its_upload(server: "PageServer", dance: Path) -> None:
    for path in ("/etc/passwd", str(dance), "https://example.com/dance.pkl", f"{server.folder.served}/../../passwd"):
        said = made_by_hand(server, "dance.pkl", dance.read_bytes(), file={"path": path})
        assert "alignment" not in said and "root:" not in said


def test_settings_of_a_program_are_checked(server: "PageServer", dance: Path) -> None:
    content = dance.read_bytes()
    for settings, sentence in (
        ({"takes": 4000}, "greater than maximum"), ({"genre": "gXX"}, "gXX"), ({"tempo": "9e9"}, "Tempo: found"), ({"seed": -1}, "Seed: found"),
    ):  # fmt: skip
        assert sentence in made_by_hand(server, "dance.pkl", content, **settings)


def test_the_page_asks_nobody_else_for_anything(server: "PageServer") -> None:
    html = httpx.get(server.url, timeout=PATIENCE_S).text
    assert "googleapis" not in html and "cdnjs" not in html
    assert server.url.startswith("http://127.0.0.1:")
    config = httpx.get(f"{server.url}config", timeout=PATIENCE_S).json()
    assert config["analytics_enabled"] is False


def test_files_go_with_the_server(server: "PageServer", monkeypatch: pytest.MonkeyPatch) -> None:
    from d2m.web.page import _CHOICES, PageServer

    monkeypatch.setattr("d2m.web.page._CHOICES", _CHOICES[:1])
    with PageServer.start(port=None, model=server.page.jobs.model, limits=UploadLimits(max_mb=1)) as running:
        folder = running.folder.path
        assert folder.is_dir()
        with pytest.raises(BadConfig, match="another port"):
            PageServer.start(port=int(running.url.rstrip("/").rsplit(":", 1)[1]), model=running.page.jobs.model)
    assert not folder.exists()


def serve(temporary: Path, said: Path, port: int) -> None:
    tempfile.tempdir = str(temporary)
    with said.open("w") as file, redirect_stdout(file):
        main(["serve", "--port", str(port), "--device", "cpu", "--steps", "2"])


def test_a_terminated_page_removes_its_files(tmp_path: Path) -> None:
    """`kill PID`, as service managers do, with device and steps chosen."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    said = tmp_path / "said.txt"
    running = apart(serve, tmp_path, said, port)
    deadline_s = time.monotonic() + ENDS_WITHIN_S
    while not (said.exists() and f":{port}" in said.read_text()):
        assert running.is_alive() and time.monotonic() < deadline_s
        time.sleep(0.05)
    assert list(tmp_path.glob("d2m-page-*/served/examples/*.pkl"))
    running.terminate()
    assert ended(running) == 0 and said.read_text().splitlines()[1:] == ["Stopped."]
    assert not list(tmp_path.glob("d2m-page-*"))


def test_steps_and_guidance_of_the_server_reach_the_music(
    server: "PageServer", dance: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = server.page.jobs.model
    model = Dance2Music(model.system, model.music_generator, model.checkpoint, {"steps": 2, "guidance": 1.0})
    made: list[GenerationRecord] = []
    generate = model.generate

    def noted(*arguments: Any, **settings: Any) -> Any:
        pair = generate(*arguments, **settings)
        made.append(pair[1])
        return pair

    monkeypatch.setattr(model, "generate", noted)
    jobs = JobQueue(model, server.folder, server.page.jobs.limits)
    settings = PageSettings.checked("", "", 0, 1, False)
    sent = Path(shutil.copy(dance, server.folder.served / "sent.pkl"))
    jobs.run(jobs.take_in(sent), settings, lambda stage, share: None)
    assert [(one.settings["steps"], one.settings["guidance"]) for one in made] == [(2, 1.0)]
