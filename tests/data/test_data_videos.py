"""Clips from folders, tables and links: what is usable becomes a data set, the rest is said, and nothing is made twice."""

import csv
import http.server
import json
import os
import signal
import string
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import hydra
import numpy as np
import pytest
import soundfile
from tests_support_dancers import (
    BLOCK,
    RATE,
    BlockFinder,
    block_left,
    block_pictures,
    person_pictures,
    song,
    sweep,
    truth,
    write_film,
)  # fmt: skip
from tests_support_runs import apart, ended

from d2m.core.aist_names import parse_sequence_name
from d2m.core.errors import BadConfig, BadInput
from d2m.core.music import Music
from d2m.core.timeline import Timeline
from d2m.data.encode import Target
from d2m.data.frames import SmallFrames
from d2m.data.layout import DataSetLayout
from d2m.data.manifest import MAX_NAME_BYTES
from d2m.data.video_clips.clip import Reason
from d2m.data.video_clips.clip_list import WantedClip, limited, named, wanted_clips
from d2m.data.video_clips.prepare import ClipPreparation, prepare_videos
from d2m.motion.dance import Dance

ROOT = Path(__file__).parents[2]
GOOD = ("breakdancing-a", "dancing_gangnam_style-a", "dancing_gangnam_style-b")
FRAMES = {"size": 32, "fps": 15}


def prepare(
    out: Path, clips: Path, finder: Callable[..., Any] | None = None, frames: object = FRAMES, **settings
) -> ClipPreparation:
    return prepare_videos(out, clips, finder=finder or BlockFinder(), frames=frames, **{"processes": 1, **settings})


def unfinished(root: Path) -> list[str]:
    return [str(path.relative_to(root)) for path in root.rglob(".*")]


def changed_ns(root: Path) -> dict[str, int]:
    folders = ("motions", "wavs", "frames", "landmarks")
    return {path.name: path.stat().st_mtime_ns for folder in folders for path in (root / folder).iterdir()}


@pytest.fixture(scope="module")
def kinetics(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three good clips in three containers, and one of each kind that is no use."""
    root = tmp_path_factory.mktemp("kinetics")
    one, two = root / "train" / "breakdancing", root / "valid" / "dancing gangnam style"
    write_film(one / "a.mp4", block_pictures(2.0), sweep(2.0))
    write_film(root / "train" / two.name / "a.mkv", block_pictures(2.0), sweep(2.0))
    write_film(two / "b.webm", block_pictures(2.0), sweep(2.0))
    write_film(one / "mute.mp4", block_pictures(1.5), None)
    write_film(one / "silent.avi", block_pictures(1.5), np.zeros(RATE * 3 // 2, np.float32))
    write_film(one / "nobody.mov", block_pictures(1.5, has_dancer=False), sweep(1.5))
    write_film(one / "short.mp4", block_pictures(0.7), sweep(0.7))
    (one / "broken.mp4").write_bytes((one / "a.mp4").read_bytes()[:3000])
    (one / "notes.txt").write_text("no film")
    (one / ".hidden.mp4").write_bytes(b"")
    return root


@pytest.fixture(scope="module")
def prepared(kinetics: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ClipPreparation]:
    out = tmp_path_factory.mktemp("prepared") / "videos"
    return out, prepare(out, kinetics, genres={"Breakdancing": "gBR"})


def test_good_clips_become_a_data_set(prepared: tuple[Path, ClipPreparation]) -> None:
    out, preparation = prepared
    layout = DataSetLayout(out)
    assert preparation.made == GOOD and not preparation.found
    assert layout.names("train") == list(GOOD[:2]) and layout.names("val") == [GOOD[2]]
    assert not layout.split_file("test").exists() and not unfinished(out)
    for name in GOOD:
        dance, sound = Dance.load(layout.motion(name)), soundfile.info(layout.wav(name))
        assert dance.genre is None and abs(dance.seconds - 2.0) < 0.05
        assert abs(sound.duration - dance.seconds) < 0.03
        turns = dance.features[20:100, 3:], truth().features[20:100, 3:]
        assert np.abs(turns[0] - turns[1])[:, 9:].mean() < 0.15  # the block's dance, through pickle and lift
    with open(out / "labels.csv") as file:
        rows = {row["name"]: row for row in csv.DictReader(file)}
    assert list(rows) == list(GOOD) and list(rows[GOOD[0]])[:3] == ["name", "class", "split"]
    assert [rows[name]["class"] for name in GOOD] == ["breakdancing"] + ["dancing gangnam style"] * 2
    assert [rows[name]["split"] for name in GOOD] == ["train", "train", "val"]
    assert [rows[name]["genre"] for name in GOOD] == ["gBR", "", ""]


def test_the_rest_is_left_out_with_a_reason(prepared: tuple[Path, ClipPreparation]) -> None:
    out, preparation = prepared
    expected = {
        "breakdancing-mute": Reason.NO_SOUND, "breakdancing-silent": Reason.NO_SOUND,
        "breakdancing-nobody": Reason.NO_DANCER, "breakdancing-short": Reason.TOO_SHORT,
        "breakdancing-broken": Reason.UNREADABLE,
    }  # fmt: skip
    assert {name: result.reason for name, result in preparation.skipped.items()} == expected
    lines = [line.split("\t") for line in (out / "skipped.txt").read_text().splitlines()]
    assert {name: reason for name, reason, _ in lines} == {name: reason.value for name, reason in expected.items()}
    assert all(f"{name.removeprefix('breakdancing-')}." in sentence for name, _, sentence in lines)
    report = json.loads((out / "prepare_report.json").read_text())
    assert (report["listed"], report["ready"], report["made"]) == (8, 3, 3) and report["left_out"]["no sound"] == 2
    assert report["splits"]["val"] == {"listed": 1, "ready": 1}
    assert not (out / "landmarks" / "breakdancing-mute.npz").exists()  # no detector ran where no sound was


def test_small_frames_show_what_was_there(prepared: tuple[Path, ClipPreparation]) -> None:
    out, _ = prepared
    assert json.loads((out / "frames" / "manifest.json").read_text()) == FRAMES
    for name in GOOD:
        pictures = np.load(out / "frames" / f"{name}.npy")
        assert pictures.dtype == np.uint8 and pictures.shape == (30, 32, 32)
        assert abs(int(pictures[0, 0, 0]) - 40) < 12 and pictures[0].max() > 200
        columns = np.arange(32) + 0.5
        for number in (0, 15, 29):
            light = np.clip(pictures[number].astype(float).mean(axis=0) - 60, 0, None)
            middle = (light * columns).sum() / light.sum()
            assert abs(middle - (block_left(number / 15) + BLOCK / 2) / 3) < 0.4  # the picture is 96 wide: 3 to 1


def test_frame_numbers_are_times_whatever_the_film_rate(tmp_path: Path) -> None:
    film = write_film(tmp_path / "a.mp4", block_pictures(1.6, fps=10), None, fps=10)
    small = SmallFrames(16, 5).read(film, 2.0)
    slow = SmallFrames(16, 20).read(film, 1.0)
    assert len(small) == 10 and (small[8] == small[9]).all()  # after the last picture it stays
    assert len(slow) == 20 and (slow[0] == slow[1]).all() and not (slow[1] == slow[2]).all()
    tall = write_film(tmp_path / "t.mp4", block_pictures(1.0), None, clockwise_deg=90)
    assert SmallFrames(16, 5).read(tall, 1.0)[0].argmax() % 16 > 5  # upright: the block is on the right of the middle


def test_a_second_run_finds_everything_and_asks_nobody(
    prepared: tuple[Path, ClipPreparation], kinetics: Path, capsys
) -> None:
    out, _ = prepared
    before, finder = changed_ns(out), BlockFinder()
    again = prepare(out, kinetics, finder)
    assert again.found == GOOD and not again.made and not finder.asked and changed_ns(out) == before
    assert "3 clips are ready (train 2, val 1): 0 made, 3 were there already; 5 left out" in capsys.readouterr().out
    layout = DataSetLayout(out)
    layout.motion(GOOD[0]).unlink()
    layout.wav(GOOD[1]).write_bytes(b"")
    (out / "frames" / f"{GOOD[2]}.npy").unlink()
    (out / "landmarks" / f"{GOOD[2]}.npz").write_bytes(b"half")
    (out / "motions" / ".half.pkl").write_bytes(b"1")
    (out / ".cut.half").mkdir()
    improved = prepare(out, kinetics, finder)
    assert improved.made == GOOD and finder.asked == [GOOD[2]] and not unfinished(out)
    assert changed_ns(out).keys() == before.keys()


def prepare_and_die(out: Path, clips: Path) -> None:
    finder = BlockFinder()

    def find(*job: Any) -> Any:
        if finder.asked:
            os.kill(os.getpid(), signal.SIGKILL)
        return finder(*job)

    prepare(out, clips, find, frames="off")


def test_killed_and_run_again(kinetics: Path, tmp_path: Path) -> None:
    """Killed while the second dancer is looked for; what was made is not touched again."""
    out = tmp_path / "out"
    killed = apart(prepare_and_die, out, kinetics)
    assert ended(killed) == -signal.SIGKILL and unfinished(out)
    made_ns = DataSetLayout(out).motion(GOOD[0]).stat().st_mtime_ns
    again = prepare(out, kinetics, frames="off")
    assert again.found == GOOD[:1] and again.made == GOOD[1:] and not unfinished(out)
    assert DataSetLayout(out).motion(GOOD[0]).stat().st_mtime_ns == made_ns and not (out / "frames").exists()


def test_parts_of_films_are_cut_exactly(tmp_path: Path) -> None:
    """Sound and picture of a part are those of its place in the film, also between key frames, upright."""
    write_film(tmp_path / "films" / "long.mp4", block_pictures(4.0), sweep(4.0))
    write_film(tmp_path / "films" / "phone.mp4", block_pictures(3.0), sweep(3.0), clockwise_deg=90)
    table = tmp_path / "clips.csv"
    table.write_text(
        "end_s,class,source,start_s,split\n"
        "2.75,break,films/long.mp4,1.25,train\n,break,films/long.mp4,2.5,valid\n9,break,films/long.mp4,2.6,train\n"
        "4.0,break,films/long.mp4,3.5,\n2,,films/phone.mp4,0.5,train\n,,films/gone.mp4,,\n"
    )
    out = tmp_path / "out"
    preparation = prepare(out, table)
    names = ("break-long-1250-2750", "break-long-2500-end", "break-long-2600-9000", "phone-500-2000")
    assert preparation.made == names and preparation.of_split("val") == [names[1]]
    assert {name: result.reason for name, result in preparation.skipped.items()} == {
        "break-long-3500-4000": Reason.TOO_SHORT, "gone": Reason.MISSING,
    }  # fmt: skip
    assert "0.5" not in preparation.skipped["gone"].sentence and "ends at 4.00 s" in preparation.notes[names[2]][0]
    layout = DataSetLayout(out)
    for name, start_s, seconds in ((names[0], 1.25, 1.5), (names[1], 2.5, 1.5), (names[2], 2.6, 1.4)):
        heard = Music.load(layout.wav(name))
        assert abs(heard.seconds - seconds) < 0.05 and abs(Dance.load(layout.motion(name)).seconds - seconds) < 0.05
        played = sweep(4.0)[round(start_s * RATE) :][: heard.waveform.shape[1]]
        off = np.abs(heard.waveform[0][: len(played)] - played)
        assert np.quantile(off, 0.95) < 0.05  # 1 sample beside it would be 0.1; AAC itself errs here and there
        light = np.clip(np.load(out / "frames" / f"{name}.npy")[0].astype(float).mean(axis=0) - 60, 0, None)
        middle = 3 * (light * (np.arange(32) + 0.5)).sum() / light.sum()
        assert abs(middle - block_left(start_s) - BLOCK / 2) < 1.2
    upright = np.load(out / "frames" / f"{names[3]}.npy")[0].astype(float)
    assert upright[:16].mean() > upright[16:].mean()  # turned clockwise, left becomes top


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, list[str]]]:
    """A web server on loopback with one film; address and what was asked of it."""
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    asked: list[str] = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            asked.append(f"{self.command} {self.path}")

        def do_GET(self) -> None:
            asked.append(f"{self.command} {self.path}")
            super().do_GET()

    write_film(tmp_path / "site" / "100% dance.mp4", block_pictures(3.0), sweep(3.0))
    (tmp_path / "site" / "page.html").write_text("<html>no film here</html>")
    httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(tmp_path / "site")))
    threading.Thread(target=httpd.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{httpd.server_address[1]}", asked
    httpd.shutdown()
    httpd.server_close()


def test_links_are_fetched_once_and_dead_ones_reported(
    server: tuple[str, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("yt_dlp")
    address, asked = server
    table, film = tmp_path / "links.csv", f"{address}/100%25%20dance.mp4"
    table.write_text(f"{film},0,1.5\n{film},1.5,3\n{address}/gone.mp4,0,5\n{address}/page.html,,\n")
    out = tmp_path / "50% out"
    preparation = prepare(out, table)
    assert [name[-9:] for name in preparation.made] == ["ce-0-1500", "1500-3000"]
    assert {result.reason for result in preparation.skipped.values()} == {Reason.DEAD_LINK} and len(
        preparation.skipped
    ) == 2
    dead = next(result.sentence for name, result in preparation.skipped.items() if "gone" in name)
    assert dead.startswith(f"{address}/gone.mp4: no film came (") and "404" in dead and "\n" not in dead
    (kept,) = (out / "downloads").iterdir()
    assert kept.read_bytes() == (tmp_path / "site" / "100% dance.mp4").read_bytes()
    asked.clear()
    DataSetLayout(out).motion(preparation.made[0]).unlink()
    table.write_text(f"{film},0,1.5\n{film},1.5,3\n")
    monkeypatch.setitem(sys.modules, "yt_dlp", None)  # nothing is fetched again, nor is the extra needed
    assert prepare(out, table).made == preparation.made[:1] and not asked


def test_links_without_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "yt_dlp", None)
    (tmp_path / "links.csv").write_text("http://127.0.0.1:9/a.mp4,0,5\n")
    with pytest.raises(BadConfig, match=r'yt-dlp: not installed.*pip install -e "\.\[download\]"'):
        prepare(tmp_path / "out", tmp_path / "links.csv")


def test_without_mediapipe(kinetics: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mediapipe", None)
    with pytest.raises(BadInput, match=r"mediapipe: not installed.*d2m\[pose\]"):
        prepare_videos(tmp_path / "out", kinetics, processes=1)


def test_mediapipe_finds_a_person_by_the_commands_own_settings(tmp_path: Path, capsys) -> None:
    """The whole path without a stand-in, its settings as one types them."""
    pytest.importorskip("mediapipe")
    write_film(tmp_path / "k/train/salsa/she.mp4", person_pictures(1.2), song(1.2), fps=10)
    settings = ["dataset=videos", f"root={tmp_path / 'k'}", "dataset.frames={size: 24, fps: 10}"]
    with hydra.initialize_config_dir(str(ROOT / "configs"), version_base="1.3"):
        config = hydra.compose("prepare", [*settings, "dataset.prepare.limit=1"])
        hydra.utils.call(config.dataset.prepare, root=tmp_path / "out", splits=list(config.dataset.splits))
    printed = capsys.readouterr().out
    assert "1 clips are ready (train 1): 1 made" in printed and "no clip is in val" in printed
    assert np.load(tmp_path / "out/frames/salsa-she.npy").shape == (12, 24, 24)
    assert Dance.load(DataSetLayout(tmp_path / "out").motion("salsa-she")).seconds == pytest.approx(1.2, abs=0.05)


def test_worker_processes_make_the_same(kinetics: Path, prepared: tuple[Path, ClipPreparation], tmp_path: Path) -> None:
    preparation = prepare(tmp_path / "out", kinetics, processes=2)
    assert tuple(preparation.ready) == GOOD and preparation.skipped.keys() == prepared[1].skipped.keys()
    for name in GOOD:
        mine, other = DataSetLayout(tmp_path / "out"), DataSetLayout(prepared[0])
        assert mine.motion(name).read_bytes() == other.motion(name).read_bytes()


def test_encoding_reads_it(prepared: tuple[Path, ClipPreparation]) -> None:
    target = Target(DataSetLayout(prepared[0]), "demo", Timeline(22050, 512), 1)
    for name in GOOD:
        assert target.music(name).waveform.shape == (1, pytest.approx(2 * 22050, abs=1200))
        assert len(name) <= MAX_NAME_BYTES and parse_sequence_name(name) is None


def test_names_are_unique_and_safe() -> None:
    clips = named(
        [
            WantedClip("x/a b.mp4", "c", "train"), WantedClip("x/a b.mp4", "c", "train"),
            WantedClip("x/A_b.mkv", "C", "train"), WantedClip("x/ダンス.mp4", "", "train"),
            WantedClip("x/踊り.mp4", "", "train"), WantedClip("x/" + "l" * 90 + ".mp4", "", "val"),
            WantedClip("x/index.mp4", "", "val"), WantedClip("x/é..mp4", "a/b", "val", 0.5, None),
            WantedClip("https://tube.example/watch?v=Xy_1", "", "val"), WantedClip("x/_-1.mp4", "c", "val"),
        ]
    )  # fmt: skip
    names = [clip.name for clip in clips]
    assert len(clips) == 9 and len({name.lower() for name in names}) == 9
    assert all(
        0 < len(name) <= 64 and set(name) <= set(string.ascii_letters + string.digits + "_-.") and name[0] not in ".-"
        for name in names
    )
    assert names[0].startswith("c-a_b-") and "a_b-e-500-end" in names and "watch-Xy_1" in names and "index" not in names


def test_val_is_carved_out_by_film_where_there_is_none(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text("".join(f"film{number % 10}.mp4,{number},{number + 2}\n" for number in range(30)))
    clips = wanted_clips(table, val_share=0.2)
    val = {clip.source for clip in clips if clip.split == "val"}
    assert len(val) == 2 and not val & {clip.source for clip in clips if clip.split == "train"}
    assert wanted_clips(table, val_share=0.2) == clips
    assert not [clip for clip in wanted_clips(table, val_share=0) if clip.split == "val"]
    few, more = limited(clips, 4), limited(clips, 9)
    assert len(few) == 4 and {clip.split for clip in few} == {"train", "val"} and set(few) <= set(more)
    table.write_text("a.mp4,,,x,val\nb.mp4,,\nc.mp4,,\n")
    assert [clip.split for clip in wanted_clips(table, val_share=0.5)] == ["val", "train", "train"]
    assert [clip.source for clip in wanted_clips(table, ["val"])] == [str(tmp_path / "a.mp4")]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("source,start_s\na.mp4,1\n", r"found source,start_s, expected the columns source,start_s,end_s .*add end_s"),
        ("a.mp4,1\n", r"found 2 columns, expected the columns source,start_s,end_s .*add end_s"),
        ("a.mp4,0,5\nb.mp4,5,5\n", r"line 2: found start 5 s and end 5 s, expected start < end"),
        ("source,start,end\na.mp4,1:20,5\n", r"line 2: found start_s '1:20', expected seconds"),
        ("a.mp4,-1,5\n", r"line 1: found start_s '-1'"),
        ("a.mp4,0,nan\n", r"line 1: found end_s 'nan'"),
        ("ftp://x/a.mp4,0,5\n", r"line 1: found the source 'ftp://x/a.mp4', expected a path or an http"),
        ("a.mp4,0,5\nb.mp4,0\n", r"line 2: found 2 cells"),
        ("a.mp4,0,5,x,dev\n", r"line 1: found split 'dev', expected one of train"),
        ("source,start_s,end_s\n", r"found a header and no clips"),
        ("\n\n", r"found no lines"),
    ],
)
def test_bad_tables(text: str, sentence: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(BadInput, match=sentence):
        prepare(tmp_path / "out", tmp_path / "t.csv")
    assert not (tmp_path / "out").exists()


def test_bad_folders_and_settings(kinetics: Path, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes("a.mp4,0,5\n".encode("utf-16"))
    for sub in ("empty", "flat/train", "other/photos", "dead/train/x"):
        (tmp_path / sub).mkdir(parents=True)
    (tmp_path / "flat/train/a.mp4").write_bytes(b"1")
    (tmp_path / "dead/train/x/a.mp4").write_bytes(b"no film")
    out = tmp_path / "out"
    cases: list[tuple[type[Exception], str, object, dict]] = [
        (BadConfig, "root=.*gone: no such folder or table", tmp_path / "gone", {}),
        (BadConfig, "root= is not given", None, {}),
        (BadConfig, "found a .py file, expected a folder or a .csv", Path(__file__), {}),
        (BadInput, "found an empty folder, expected the folders train and valid", tmp_path / "empty", {}),
        (BadInput, "found photos, expected the folders train and valid", tmp_path / "other", {}),
        (BadInput, r"found no \.mp4.* file in train, expected train/CLASS/FILE", tmp_path / "flat", {}),
        (BadInput, r"dead: found nothing usable \(unreadable video 1\), expected clips", tmp_path / "dead", {}),
        (BadInput, r"t\.csv: not a readable table", tmp_path / "t.csv", {}),
        (BadConfig, r"frames=.*expected \{size: 32, fps: 15\}", kinetics, {"frames": {"size": 2.5}}),
        (BadConfig, "size of 4 to 512 pixels", kinetics, {"frames": {"size": 4000}}),
        (BadConfig, "processes=0", kinetics, {"processes": 0}),
        (BadConfig, "limit=0", kinetics, {"limit": 0}),
        (BadConfig, "val_share=1: expected", kinetics, {"val_share": 1}),
        (BadConfig, "expected some of train, val, test", kinetics, {"splits": ["retimed"]}),
        (BadConfig, "class 'x': unknown genre 'salsa'", kinetics, {"genres": {"x": "salsa"}}),
    ]  # fmt: skip
    for kind, sentence, clips, settings in cases:
        with pytest.raises(kind, match=sentence):
            prepare_videos(out, clips, **{"processes": 1, "finder": BlockFinder(), **settings})
    with pytest.raises(BadConfig, match="this is the folder of the clips"):
        prepare(kinetics, kinetics)


def test_frames_of_another_size_are_not_mixed(prepared: tuple[Path, ClipPreparation], kinetics: Path) -> None:
    with pytest.raises(BadConfig, match=r"manifest\.json: found .*32.*, expected .*16.*delete this folder"):
        prepare(prepared[0], kinetics, frames={"size": 16, "fps": 15})
