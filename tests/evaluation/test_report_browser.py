"""The report in a real browser: it opens without a network, sorts, plays, and fits a desk and a telephone."""

import os
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from test_report import NAMES, clip, scores_of

from d2m.core.music import Music
from d2m.evaluation.report.page import write_report


def find_browser() -> str | None:
    """A Chromium on the PATH, the one that BROWSER_FOR_TESTS names, or one that playwright has fetched."""
    named = [
        os.environ.get("BROWSER_FOR_TESTS"),
        "chromium",
        "chromium-browser",
        "google-chrome",
        "google-chrome-stable",
    ]
    for name in filter(None, named):
        if found := shutil.which(name):
            return found
    cached = Path(os.environ.get("PLAYWRIGHT_BROWSERS_PATH", Path.home() / ".cache" / "ms-playwright"))
    return next((str(path) for path in sorted(cached.glob("chromium*/chrome-linux*/*")) if path.name in _NAMES), None)


_NAMES = ("chrome", "headless_shell", "chrome-headless-shell")
BROWSER = find_browser()
pytestmark = pytest.mark.skipif(
    BROWSER is None, reason="no Chromium found (chromium, chromium-browser, google-chrome or playwright's)"
)

_PROBE = """<script>
const told = {};
const say = () => { parent.postMessage(told, "*"); document.body.dataset.told = JSON.stringify(told); };
addEventListener("load", () => {
  told.page = document.documentElement.scrollWidth; told.window = document.documentElement.clientWidth;
  told.plays = Number(document.querySelector("audio").canPlayType("audio/ogg; codecs=opus") === "probably"); say();
});
</script>"""
_FRAME = """<!doctype html><body><iframe src="{page}" style="width:400px;height:3000px;border:0"></iframe><script>
addEventListener("message", event => document.body.dataset.told = JSON.stringify(event.data));</script></body>"""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of three clips, their beat F in no order; one has none."""
    folder = tmp_path_factory.mktemp("report")
    scores = scores_of(0.6, 0.8)
    scores["clips"].append(clip(NAMES[0].replace("seed0", "seed1"), None))
    wave = np.sin(np.arange(44100)[None] / 20).astype(np.float32) / 2
    audio = {row["clip"]: Music(wave, 22050).save(folder / f"{row['clip']}.wav") for row in scores["clips"]}
    return write_report(scores, audio, folder)


def run(page: Path, *options: str, address: str = "") -> subprocess.CompletedProcess:
    """The browser's answer; every request that would leave the machine fails at a closed port."""
    assert BROWSER is not None
    command = [
        BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars",
        "--no-first-run", "--proxy-server=127.0.0.1:9", "--enable-logging=stderr", f"--user-data-dir={page.parent}/profile",
        "--virtual-time-budget=3000", *options, f"{page.as_uri()}{address}",
    ]  # fmt: skip
    return subprocess.run(command, capture_output=True, text=True, timeout=600, check=True)


class Clips(HTMLParser):
    """Order of rows and cards, what is hidden, the sorted column, and all addresses."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.rows: list[str] = []
        self.cards: list[str] = []
        self.hidden: set[str] = set()
        self.sorted: dict[str, str] = {}
        self.addresses: list[str] = []
        self.players = 0
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.addresses += [found[key] for key in ("src", "href", "poster", "data") if key in found]
        self.players += tag == "audio"
        if tag == "tr" and "data-clip" in found:
            self.rows.append(found["data-clip"])
        if tag == "article":
            self.cards.append(found["data-clip"])
        if "hidden" in found and "data-clip" in found:
            self.hidden.add(found["data-clip"])
        if found.get("aria-sort", "none") != "none":
            self.sorted[found["data-key"]] = found["aria-sort"]


def dom(page: Path, address: str = "") -> Clips:
    done = run(page, "--dump-dom", address=address)
    assert "Uncaught" not in done.stderr and "SyntaxError" not in done.stderr, done.stderr
    return Clips(done.stdout)


def test_opens_alone_with_a_player_for_each_clip(page):
    found = dom(page)
    assert found.players == 3 and found.rows == found.cards == ["0", "1", "2"] and not found.sorted
    assert all(re.match(r"data:audio/ogg;base64,|#", address) for address in found.addresses)


@pytest.mark.parametrize(
    ("address", "order"),
    [
        ("#sort=beat_f_70", ["2", "0", "1"]),
        ("#sort=beat_f_70&order=asc", ["0", "2", "1"]),  # what was not measured stays last
        ("#sort=clip&order=desc", ["2", "1", "0"]),
        ("#sort=nonsense", ["0", "1", "2"]),
    ],
)
def test_sorts_table_and_cards_together(page, address, order):
    found = dom(page, address)
    assert found.rows == found.cards == order
    key = address.removeprefix("#sort=").split("&")[0]
    expected = {} if key == "nonsense" else {key: "ascending" if "asc" in address else "descending"}
    assert found.sorted == expected


def test_filters_by_genre(page):
    assert dom(page, "#sort=beat_f_70&genre=gBR").hidden == {"2"}


def test_fits_a_desk_and_a_telephone_and_plays_this_kind_of_sound(page):
    probed = page.with_name("probed.html")
    probed.write_text(page.read_text().replace("</body>", _PROBE + "</body>"))
    framed = page.with_name("framed.html")
    framed.write_text(_FRAME.format(page=probed.name))
    for opened, width in ((probed, 1280), (framed, 400)):
        text = run(opened, "--dump-dom", "--window-size=1280,2000").stdout
        told = dict(re.findall(r"&quot;(\w+)&quot;:([\d.]+)", re.findall(r'data-told="([^"]*)"', text)[-1]))
        assert int(told["page"]) <= int(told["window"]) == width
        assert told["plays"] == "1"


def test_draws_itself(page):
    picture = page.with_name("page.png")
    run(page, "--window-size=1280,2400", f"--screenshot={picture}")
    from matplotlib.image import imread

    pixels = imread(picture)[..., :3]
    assert pixels.shape == (2400, 1280, 3)
    orange = np.abs(pixels - np.array([0xB8, 0x48, 0x0A]) / 255).max(axis=-1) < 0.02
    green = np.abs(pixels - np.array([0x17, 0x72, 0x4C]) / 255).max(axis=-1) < 0.02
    assert orange.sum() > 2000 and green.sum() > 2000  # bars of the system and of the ceiling
