"""The report: one page that needs nothing else, holds every number and clip, and leaves nothing out in silence."""

import base64
import copy
import html
import io
import re
from html.parser import HTMLParser
from pathlib import Path

import av
import numpy as np
import pytest

from d2m.core.music import Music
from d2m.evaluation.report import page as report_page
from d2m.evaluation.report.page import AUDIO_BUDGET_BYTES, bit_rate_for, encode_opus, write_report
from d2m.evaluation.report.plots import beat_plot
from d2m.evaluation.report.values import GROUPS, Value, decimal, highest_baseline, metric, rows_of, value_at
from d2m.evaluation.tables import metrics_table
from d2m.metrics.protocols import PROTOCOLS
from d2m.metrics.registry import HEADLINE, HEADLINES, METRICS

NAMES = ("gBR_sBM_cAll_d04_mBR0_ch02_seed0", "gHO_sBM_cAll_d20_mHO5_ch02_seed0")


def interval(mean: float | None, spread: float | None = 0.05) -> dict:
    known = mean is not None and spread is not None
    ends = {"low": mean - spread, "high": mean + spread} if known else {"low": None, "high": None}
    return {"mean": mean, **ends, "clips": 2, "songs": 2}


def protocols(value: float | None) -> dict:
    return {name: dict.fromkeys(protocol.columns, value) for name, protocol in PROTOCOLS.items()}


def summary(f: float | None, protocol: float | None = 0.5) -> dict:
    found: dict = {"protocols": protocols(protocol)}
    for key, one in METRICS.items():
        stem, *tolerance = one.path
        value = interval(None if key.startswith("alignment") else f)
        if tolerance:
            found.setdefault(stem, {})[tolerance[0]] = value
        else:
            found[stem] = value
    return found


def clip(name: str, f: float | None) -> dict:
    return {
        "clip": name, "name": name[:-6], "song": name.split("_")[4], "genre": name[:3], "seed": 0, "seconds": 2.0,
        "reference_seconds": 2.5, "judged_seconds": 2.5, "tempo_bpm": 120.0, "reference_tempo_bpm": 60.0,
        "reference_beats_from": "true", "notes": ["too short<i>"],
        "metrics": {"beat_f_70": f, "tempo_within_2_percent": 0.0, "tempo_octave_errors": 1.0, "onset_f": None,
                    "clipped_share": 0.02},
        "beats_s": [0.5, 1.0], "reference_beats_s": [0.52, 1.5], "kinematic_beats_s": None,
    }  # fmt: skip


def scores_of(first: float | None = 0.6, second: float | None = 0.8) -> dict:
    system = summary(0.71)
    return {
        "version": 2,
        "summary": {key: value for key, value in system.items() if key != "protocols"},
        "protocols": protocols(0.98),
        "distribution": {
            "embedding": "some-embedding-7",
            "frechet": {"value": 1.25, "clips": 2, "dimensions": 40, "warning": "2 clips for 40 dimensions: too few"},
            "kernel": {"value": 0.0123, "low": -0.02, "high": 0.04, "p_value": 0.5, "kad": 1.23, "generated": 2,
                       "reference": 2},
            "floors": {},
            "ceilings": {},
        },
        "diversity": {"between_seeds": 2.5, "between_references": 5.0, "relative": 0.5, "same_share": 0.0, "dances": 1},
        "copying": {
            "mean_similarity": 0.5, "null_mean": 0.4, "null_95": 0.6, "flagged": [NAMES[0]],
            "clips": {NAMES[0]: {"name": "training_song", "similarity": 0.912, "p_value": 0.01}},
        },
        "trackers": {
            "librosa": {"beat_f_70": 0.71, "reference_beat_f_70": 0.93},
            "other": {"beat_f_70": 0.64, "reference_beat_f_70": 0.97},
            "spread": {"low": 0.64, "high": 0.71, "width": 0.07},
        },
        "floors": {"random_song": summary(0.24), "metronome_reference_tempo": summary(0.3), "silence": summary(None)},
        "ceilings": {"reference": summary(0.93)},
        "genres": {"gBR": {"title": "break", "clips": 1, "beat_f_70": 0.6, "random_song_beat_f_70": 0.22,
                           "reference_beat_f_70": 0.91}},
        "tempi": [],
        "clips": [clip(NAMES[1], second), clip(NAMES[0], first)],
        "failed": [{"clip": "b", "reason": "b.wav: found 0 samples."}],
        "about": {
            "versions": {"librosa": "9.9"},
            "settings": {"trackers": [{"name": "the tracker", "version": "3"}], "seed": 7},
            "protocols": {name: {"paper": one.paper} for name, one in PROTOCOLS.items()},
            "notes": ["there is only one song."],
            "bad_files": ["b.wav: found 0 samples.", "c.pkl: not a dance."],
            "unpaired": {"generated": ["lonely<b>"], "reference": []},
        },
    }  # fmt: skip


SCORES = scores_of()


@pytest.fixture
def audio(tmp_path: Path) -> dict[str, Path]:
    wave = np.sin(np.arange(44100)[None] / 20).astype(np.float32) / 2
    return {name: Music(wave, 22050).save(tmp_path / "wavs" / f"{name}.wav") for name in NAMES}


class Page(HTMLParser):
    """Addresses, tags and open tags of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.open: list[str] = []
        self.ids: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.addresses += [value for key, value in attrs if key in ("src", "href", "poster")]
        self.ids |= {value for key, value in attrs if key == "id"}
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
    sounds = [address for address in page.addresses if not address.startswith("#")]
    assert page.open == [] and len(sounds) == 2
    assert all(address.startswith("data:audio/ogg;base64,") for address in sounds)
    assert {address[1:] for address in page.addresses if address.startswith("#")} <= page.ids
    assert "http:" not in text and "https:" not in text and "@import" not in text and "$" not in text


def test_players_hold_the_clips(tmp_path, audio):
    sounds = [address for address in Page(written(tmp_path, audio)).addresses if address.startswith("data:audio")]
    for address in sounds:
        with av.open(io.BytesIO(base64.b64decode(address.split(",")[1]))) as container:
            samples = sum(frame.samples for frame in container.decode(audio=0))
        assert samples / 48000 == pytest.approx(2.0, abs=0.03)


def test_headline_stands_between_floor_and_ceiling(tmp_path, audio):
    tile = re.search(r'<div class="tile">.*?</div></div>', written(tmp_path, audio), re.DOTALL).group()
    for expected in ("beat F ±70 ms", "0.71", "[0.66, 0.76]", "0.30", "metronome, right tempo", "0.93"):
        assert expected in tile


def test_floors_that_were_told_the_answer_set_no_mark():
    rows = rows_of(SCORES)
    assert highest_baseline(rows, METRICS["tempo_within_2_percent"]) == ("another song", Value(0.24, 0.19, 0.29))
    assert (highest_baseline(rows, METRICS[HEADLINE]) or ("", Value(None)))[1].mean == 0.3
    assert highest_baseline([row for row in rows if row.kind == "system"], METRICS[HEADLINE]) is None


@pytest.mark.parametrize(
    ("mean", "spread", "words"),
    [(0.71, 0.05, "above every floor"), (0.32, 0.05, "reaches down"), (0.25, 0.05, "not above"), (None, None, "")],
)
def test_verdict_says_whether_the_dance_was_heard(tmp_path, audio, mean, spread, words):
    scores = scores_of()
    scores["summary"]["beat_f"]["70"] = interval(mean, spread)
    verdict = re.findall(r'<p class="verdict">(.*?)</p>', written(tmp_path, audio, scores), re.DOTALL)
    assert len(verdict) == 1 and words in verdict[0] and bool(words) == bool(verdict[0])


def test_every_table_has_floors_and_ceilings(tmp_path, audio):
    tables = re.findall(r"<table.*?</table>", written(tmp_path, audio), re.DOTALL)
    assert len(tables) >= 8
    without = [found for found in tables if not ("another song" in found and "reference music" in found)]
    # distances, diversity and copying have floors and ceilings of their own kind
    assert len(without) == 3 and all("this system" in found for found in without)


def test_saturated_protocols_are_marked_with_paper_and_defect(tmp_path, audio):
    text = written(tmp_path, audio)
    heads = dict(re.findall(r'class="group"><code>(\w+)</code>(.*?)</th>', text))
    assert {name for name, rest in heads.items() if "saturated" in rest} == {"d2mgan", "loris"}
    assert heads.keys() == PROTOCOLS.keys()
    for protocol in PROTOCOLS.values():
        assert protocol.paper in html.unescape(text) and protocol.defect in html.unescape(text)


def test_protocols_that_were_not_asked_for_have_no_columns(tmp_path, audio):
    scores = scores_of()
    for one in (scores, *scores["floors"].values(), *scores["ceilings"].values()):
        one["protocols"] = {"d2md": one["protocols"]["d2md"]}
    assert re.findall(r'class="group"><code>(\w+)</code>', written(tmp_path, audio, scores)) == ["d2md"]


def test_every_metric_has_a_place():
    shown = [measure for columns in GROUPS.values() for measures in columns.values() for measure in measures]
    hidden = set(METRICS) - {measure.key for measure in shown}
    assert hidden == {f"beat_{part}_{ms}" for part in ("precision", "recall") for ms in (50, 100, 200)}
    assert all(measure is METRICS[measure.key] and measure.meaning and measure.column for measure in shown)
    assert HEADLINES[0].key == HEADLINE and set(HEADLINES) <= set(shown)


def test_documentation_lists_the_metrics_of_the_registry():
    assert metrics_table() in (Path(__file__).parents[2] / "docs" / "evaluation.md").read_text()
    assert all(f"**{one.title.rpartition(' ±')[0] or one.title}" in metrics_table() for one in HEADLINES)


def test_sets_name_their_embedding_and_warn(tmp_path, audio):
    text = written(tmp_path, audio)
    for expected in ("some-embedding-7", "2 clips for 40 dimensions: too few", "1.23", "training_<wbr>song", "0.912"):
        assert expected in text
    assert "between 0.64 and 0.71 depending on the tracker: a spread of 0.07" in text


def test_clips_are_ordered_and_judged(tmp_path, audio):
    text = written(tmp_path, audio)
    assert re.findall(r'<article class="card" id="clip-\d" data-genre="(\w+)"', text) == ["gBR", "gHO"]
    assert text.count("120.0 of 60.0 (octave)") == 2 and text.count("2.0 % of samples clipped") == 4


def test_nothing_is_left_out_in_silence_and_names_are_escaped(tmp_path, audio):
    text = written(tmp_path, audio)
    assert "lonely&lt;b&gt;" in text and "lonely<b>" not in text and "too short&lt;i&gt;" in text
    for expected in (
        "b: b.wav: found 0 samples.",
        "c.pkl: not a dance.",
        "there is only one song.",
        "the tracker",
        "9.9",
    ):
        assert expected in text
    assert "1 failed" in text and text.count("found 0 samples") == 1


def test_what_was_not_measured_is_a_dash():
    assert str(value_at({}, "a", "b")) == "–" and value_at({"a": None}, "a").interval == ""
    assert value_at({"a": float("nan")}, "a") == Value(None)
    assert metric(clip(NAMES[0], 0.5), "onset_f") is None and metric(clip(NAMES[0], 0.5), "beat_f_70") == 0.5


def test_value_of_numbers_intervals_and_nothing():
    assert value_at({"a": {"b": 0.5}}, "a", "b") == Value(0.5)
    assert value_at({"a": interval(0.5, 0.25)}, "a") == Value(0.5, 0.25, 0.75)
    assert decimal(-0.001, 2) == "0.00" and decimal(-1.25, 1) == "−1.2"


def test_beats_that_match_are_full_and_the_others_hollow():
    music = Music(np.ones((1, 22050 * 2), np.float32), 22050)
    plot = beat_plot(music, {"reference": [0.5, 1.5], "generated": [0.52, 1.0, 1.9, 2.6], "kinematic": [0.1]})
    counts = {tuple(classes.split()): path.count("M") for classes, path in plot["marks"].items()}
    assert counts == {
        ("reference", "full"): 1, ("reference", "hollow"): 1, ("generated", "full"): 1, ("generated", "hollow"): 2,
        ("kinematic", "full"): 1,
    }  # fmt: skip


def test_kinematic_beats_come_from_the_dance(tmp_path, audio, two_clips):
    dance = next((two_clips / "motions").glob("gBR*"))
    marked = '<path class="kinematic full"'  # once in the legend
    assert written(tmp_path, audio).count(marked) == 1
    assert written(tmp_path, audio, dances={NAMES[0]: dance}).count(marked) == 2
    assert written(tmp_path, audio, dances={NAMES[0]: tmp_path / "missing.pkl"}).count(marked) == 1


def test_videos_are_inside_as_far_as_they_are_small(tmp_path, audio, monkeypatch):
    monkeypatch.setattr(report_page, "VIDEO_BUDGET_BYTES", 10)
    videos = {name: tmp_path / "out" / "videos" / f"{name}.mp4" for name in NAMES}
    videos[NAMES[0]].parent.mkdir(parents=True)
    for size, path in zip((6, 7), videos.values(), strict=True):
        path.write_bytes(b"x" * size)
    addresses = Page(written(tmp_path, audio, videos=videos | {"gone": tmp_path / "gone.mp4"})).addresses
    films = [address for address in addresses if "video" in address]
    assert films == ["data:video/mp4;base64,eHh4eHh4", f"videos/{NAMES[1]}.mp4"]


def test_sound_beyond_the_budget_is_linked(tmp_path, audio):
    sounds = report_page.Sounds(tmp_path / "out", 32_000, left_bytes=12_000)
    music = Music.load(audio[NAMES[0]])
    assert sounds.address(music, audio[NAMES[0]]).startswith("data:audio/ogg")
    odd = audio[NAMES[1]].rename(tmp_path / "wavs" / "a b#1.wav")
    assert sounds.address(music, odd) == "../wavs/a%20b%231.wav" and sounds.linked == 1


def test_many_clips_get_a_lower_bit_rate():
    assert bit_rate_for(100) == 96_000 and bit_rate_for(1e5) == 32_000
    assert bit_rate_for(70 * 13) / 8 * 70 * 13 * 4 / 3 <= AUDIO_BUDGET_BYTES
    noise = Music(np.random.default_rng(0).normal(0, 0.1, (2, 48000)).astype(np.float32), 48000)
    assert len(encode_opus(noise, 32_000)) < len(encode_opus(noise, 96_000))


def test_little_is_enough(tmp_path, audio):
    scores = copy.deepcopy(SCORES)
    for key in ("floors", "ceilings", "genres", "protocols"):
        scores[key] = {}
    for key in ("distribution", "diversity", "copying"):
        scores[key] = None
    scores |= {"failed": [], "tempi": [], "trackers": {"librosa": {"beat_f_70": 0.5}}}
    for row in scores["clips"]:
        row |= {"metrics": {}, "genre": None, "reference_tempo_bpm": None, "beats_s": [], "reference_beats_s": []}
    text = written(tmp_path, {}, scores)
    assert Page(text).open == [] and "No sound file was given" in text and "0.71" in text
