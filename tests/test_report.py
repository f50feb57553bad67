"""The report: one page that needs nothing else, holds every number and clip, and leaves nothing out in silence."""

import base64
import copy
import io
import re
from html.parser import HTMLParser
from pathlib import Path

import av
import numpy as np
import pytest

from d2m.music import Music
from evaluate import report_cards
from evaluate.report import write_report
from evaluate.report_cards import bit_rate_for
from evaluate.report_tables import Value, rows_of, value_at

NAMES = ("gBR_sBM_cAll_d04_mBR0_ch02_seed0", "gHO_sBM_cAll_d20_mHO5_ch02_seed0")


def interval(mean: float | None, spread: float | None = 0.05) -> dict:
    known = mean is not None and spread is not None
    return {"mean": mean, "low": mean - spread if known else None, "high": mean + spread if known else None}


def summary(f: float | None) -> dict:
    return {
        "beat_f": {tolerance: interval(f) for tolerance in ("50", "70", "100", "200")},
        "tempo": {"within_2_percent": interval(f), "octave_errors": interval(0.0)},
        "onset_f": interval(f),
        "alignment": {"motion": interval(None), "music": interval(None)},
        "genre_accuracy": interval(1.0),
        "log_mel_l1": interval(None),
        "protocols": {"d2md": {"coverage": 1.23, "hit": 0.456}},
    }


def clip(name: str, f: float) -> dict:
    return {
        "name": name, "song": name.split("_")[4], "genre": name[:3], "genre_said": name[:3], "seconds": 2.0, "beat_f_70": f,
        "tempo_bpm": 120.0, "reference_tempo_bpm": 60.0, "tempo_within_2_percent": 0.0, "tempo_octave_errors": 1.0,
        "onset_f": None, "generated_beats_s": [0.5, 1.0], "reference_beats_s": [0.5], "kinematic_beats_s": None,
        "reference_beats_from": "true",
    }  # fmt: skip


SCORES = {
    "summary": summary(0.71),
    "protocols": {"d2md": {"coverage": 0.98, "hit": 0.87}},
    "floors": {"random_song": summary(0.24), "silence": summary(None)},
    "ceilings": {"reference": summary(0.93)},
    "genres": {"gBR": {"title": "break", "clips": 1, **summary(0.6), "floors": {"random_song": summary(0.2)}}},
    "clips": [clip(NAMES[1], 0.8), clip(NAMES[0], 0.6)],
    "unpaired": {"generated": ["lonely<b>"], "reference": []},
    "bad_files": ["b.wav: found 0 samples."],
    "notes": ["there is only one song."],
    "config": {"tracker": "the tracker", "seed": 7},
}


@pytest.fixture
def audio(tmp_path: Path) -> dict[str, Path]:
    wave = np.sin(np.arange(44100)[None] / 20).astype(np.float32) / 2
    return {name: Music(wave, 22050).save(tmp_path / "wavs" / f"{name}.wav") for name in NAMES}


class Page(HTMLParser):
    """Addresses and open tags of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.addresses += [value for key, value in attrs if key in ("src", "href", "poster")]
        if tag not in ("meta", "wbr", "path", "rect", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in ("path", "rect"):
            assert self.open.pop() == tag


def written(tmp_path: Path, audio: dict[str, Path], scores: dict = SCORES, **more) -> str:
    path = write_report(scores, audio, tmp_path / "out", **more)
    assert path == tmp_path / "out" / "report.html"
    return path.read_text(encoding="utf-8")


def test_page_needs_nothing_else(tmp_path, audio):
    text = written(tmp_path, audio)
    page = Page(text)
    assert page.open == [] and len(page.addresses) == 2
    assert all(address.startswith("data:audio/mp4;base64,") for address in page.addresses)
    assert "http:" not in text and "https:" not in text and "@import" not in text and "$" not in text


def test_players_hold_the_clips(tmp_path, audio):
    for address in Page(written(tmp_path, audio)).addresses:
        with av.open(io.BytesIO(base64.b64decode(address.split(",")[1]))) as container:
            samples = sum(frame.samples for frame in container.decode(audio=0))
        assert samples / 44100 == pytest.approx(2.0, abs=0.03)


def test_headline_stands_between_floor_and_ceiling(tmp_path, audio):
    text = written(tmp_path, audio)
    tile = re.search(r'<div class="tile">.*?</div></div>', text).group()
    for expected in ("beat F ±70 ms", "0.71", "[0.66, 0.76]", "0.24", "0.93"):
        assert expected in tile


def test_rows_name_their_protocol(tmp_path, audio):
    text = written(tmp_path, audio)
    assert [row.kind for row in rows_of(SCORES)] == ["floor", "floor", "system", "ceiling"]
    system = re.search(r'<tr class="system">.*?</tr>', text).group()
    assert "0.98" in system and "0.87" in system and "protocol <code>d2md</code>" in text


def test_clips_are_ordered_and_judged(tmp_path, audio):
    text = written(tmp_path, audio)
    assert re.findall(r'data-genre="(\w+)"', text) == ["gBR", "gHO"]
    assert text.count("120.0 of 60.0 (octave)") == 2


def test_nothing_is_left_out_in_silence_and_names_are_escaped(tmp_path, audio):
    text = written(tmp_path, audio)
    assert "lonely&lt;b&gt;" in text and "lonely<b>" not in text
    for expected in ("b.wav: found 0 samples.", "there is only one song.", "the tracker"):
        assert expected in text


def test_kinematic_beats_come_from_the_dance(tmp_path, audio, two_clips):
    dance = next((two_clips / "motions").glob("gBR*"))
    marked = "<title>kinematic beats of the dance</title>"
    assert marked not in written(tmp_path, audio)
    assert written(tmp_path, audio, dances={NAMES[0]: dance}).count(marked) == 1
    assert marked not in written(tmp_path, audio, dances={NAMES[0]: tmp_path / "missing.pkl"})


def test_videos_are_inside_as_far_as_they_are_small(tmp_path, audio, monkeypatch):
    monkeypatch.setattr(report_cards, "VIDEO_BUDGET_BYTES", 10)
    videos = {name: tmp_path / "out" / "videos" / f"{name}.mp4" for name in NAMES}
    videos[NAMES[0]].parent.mkdir(parents=True)
    for size, path in zip((6, 7), videos.values(), strict=True):
        path.write_bytes(b"x" * size)
    addresses = Page(written(tmp_path, audio, videos=videos | {"gone": tmp_path / "gone.mp4"})).addresses
    assert addresses[:2] == ["data:video/mp4;base64,eHh4eHh4", f"videos/{NAMES[1]}.mp4"]


def test_little_is_enough(tmp_path, audio):
    scores = copy.deepcopy(SCORES)
    for key in ("floors", "ceilings", "genres", "unpaired", "bad_files", "notes", "config", "protocols"):
        del scores[key]
    scores["summary"]["tempo"]["within_2_percent"] = 0.5
    assert "0.50" in written(tmp_path, {}, scores)


def test_value_of_numbers_intervals_and_nothing():
    assert value_at({"a": {"b": 0.5}}, "a", "b") == Value(0.5)
    assert value_at({"a": interval(0.5, 0.25)}, "a") == Value(0.5, 0.25, 0.75)
    assert str(value_at({}, "a", "b")) == "–" and value_at({"a": None}, "a").interval == ""


def test_many_clips_get_a_lower_bit_rate():
    assert bit_rate_for(100) == 96_000 and bit_rate_for(1e5) == 32_000
    assert bit_rate_for(70 * 13) / 8 * 70 * 13 * 4 / 3 <= report_cards.AUDIO_BUDGET_BYTES
