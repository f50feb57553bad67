"""Hostile uploads end in one sentence; the name that came with a file is never a path; old files go."""

import os
import pickle
import signal
import struct
import tempfile
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import av
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter1d
from tests_support_runs import apart, ended
from tests_support_video import write_clip

from d2m.core.errors import BadConfig, BadInput
from d2m.motion.dance import Dance
from d2m.motion.readers import Hints
from d2m.motion.readers.content import LOADERS
from d2m.pipeline import Dance2Music
from d2m.video.reader import frames, read_info
from d2m.web.jobs import JobQueue, PageFolder, hints_from, remove_abandoned_folders
from d2m.web.uploads import Upload, UploadLimits, shown_name_of, take_in

LIMITS = UploadLimits(max_mb=2, max_seconds=10)


def write_film(
    path: Path, seconds: float, size: tuple[int, int] = (64, 48), fps: int = 10, codec: str = "libx264"
) -> Path:
    """A real video of grey noise."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=fps)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        for number in range(round(seconds * fps)):
            picture = np.full((size[1], size[0], 3), number * 9 % 255, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return path


def write_dance(path: Path, frames: int = 180) -> Path:
    """A motion file that is read; nobody moves in it."""
    content = {"smpl_poses": np.zeros((frames, 72)), "smpl_trans": np.zeros((frames, 3)), "smpl_scaling": np.ones(1)}
    path.write_bytes(pickle.dumps(content))
    return path


def refusal(source: Path, folder: Path, limits: UploadLimits = LIMITS) -> str:
    """The sentence with which a file is refused; nothing of it stays, and no path of ours is told."""
    with pytest.raises(BadInput) as raised:
        take_in(source, folder / "work", limits)
    assert not list((folder / "work").glob("*")) if (folder / "work").exists() else True
    sentence = str(raised.value)
    assert source.name[:20] in sentence and str(folder) not in sentence and "\n" not in sentence
    return sentence


def box(kind: bytes, content: bytes, claimed: int | None = None) -> bytes:
    """A box of an mp4 file, perhaps with a size that is a lie."""
    return struct.pack(">I", claimed or 8 + len(content)) + kind + content


class _RunsCode:
    def __reduce__(self) -> tuple:
        return os.system, ("touch pickle_was_run",)


def test_a_film_and_a_dance_are_taken_under_names_of_our_own(tmp_path: Path) -> None:
    film = take_in(write_film(tmp_path / "ünïcode = it's, a film.mp4", 2.0), tmp_path / "work", LIMITS)
    assert not film.is_motion and abs(film.seconds - 2.0) < 0.2 and film.shown_name == "ünïcode = it's, a film.mp4"
    dance = take_in(write_dance(tmp_path / "dance.PKL"), tmp_path / "work", LIMITS)
    assert dance.is_motion and dance.seconds == 3.0
    for upload in (film, dance):
        assert upload.path.parent == tmp_path / "work" and len(upload.path.stem) == 32 and upload.path.stem.isalnum()
    assert dance.path.suffix == ".npz"  # what the child read of it


def test_of_a_motion_file_only_what_the_child_read_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page's own process never opens the upload: its readers are broken here, and not in the child."""
    source = write_dance(tmp_path / "a dance.pkl")
    expected = Dance.load(source).features

    def must_not_be_called(path: Path) -> None:
        raise AssertionError(f"{path} was opened by the page")

    for suffix in (".pkl", ".npz"):
        monkeypatch.setitem(LOADERS, suffix, must_not_be_called)
    monkeypatch.setattr("d2m.core.safe_pickle.load_safe_pickle", must_not_be_called)
    upload = take_in(source, tmp_path / "work", LIMITS)
    assert upload.is_motion and upload.seconds == 3.0 and upload.shown_name == "a dance.pkl"
    assert [path for path in (tmp_path / "work").iterdir()] == [upload.path] and upload.path.suffix == ".npz"
    with np.load(upload.path, allow_pickle=False) as kept:
        np.testing.assert_array_equal(kept["features"], expected)


@pytest.mark.parametrize("layout", [17, 33])
def test_what_is_said_of_a_file_reaches_its_reader_and_what_was_seen_is_kept(tmp_path: Path, layout: int) -> None:
    """Keypoints tell no rate; their beats are read from the points, which must not be lost on the way to the model."""
    generator = np.random.default_rng(3)
    standing = np.linspace([900.0, 200.0], [1000.0, 900.0], layout)[None].repeat(60, axis=0)
    source = tmp_path / "seen.npy"
    np.save(source, standing + gaussian_filter1d(generator.normal(scale=60, size=standing.shape), 3, axis=0))
    assert "fps=" in refusal(source, tmp_path)
    upload = take_in(source, tmp_path / "work", LIMITS, said={"fps": 30})
    expected, found = Dance.load(source, fps=30), Dance.load(upload.path)
    assert upload.seconds == 2.0 and upload.decisions == expected.decisions and "30 fps as asked" in upload.decisions
    np.testing.assert_array_equal(found.features, expected.features)
    np.testing.assert_allclose(found.points, expected.points, atol=1e-12)
    assert (found.landmarks is None) == (expected.landmarks is None) == (layout == 17)


def test_other_words_about_a_file_have_it_read_again_and_a_film_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = []

    def noted(source: Path, folder: Path, limits: UploadLimits, name: str | None, said: dict) -> Upload:
        (tmp_path / "kept").touch()
        taken.append((source.name, Hints(**said)))
        return Upload(tmp_path / "kept", source.name, 1.0, source.suffix == ".pkl", (), None)

    monkeypatch.setattr("d2m.web.jobs.take_in", noted)
    folder = PageFolder()
    try:
        jobs = JobQueue(Dance2Music.__new__(Dance2Music), folder, LIMITS)
        dance, film = folder.served / "a.pkl", folder.served / "b.mp4"
        for hints in (hints_from("", "", ""), hints_from("29.97", "z", "2"), hints_from("29.97", "z", "2")):
            jobs.take_in(dance, hints=hints)
        assert [jobs.take_in(film, hints=hints_from("30", "", person)).person for person in ("", "2")] == [None, 2]
    finally:
        folder.close()
    assert taken == [("a.pkl", Hints()), ("a.pkl", Hints(29.97, "z", 2)), ("b.mp4", Hints())]
    for words in (("x", "", ""), (0, "", ""), ("", "x", ""), ("", "", "two")):
        with pytest.raises(BadConfig, match="expected"):
            hints_from(*words)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_of_a_film_only_the_pictures_that_the_child_read_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    """The page's own process opens no film while it takes one in, and has none of its bytes afterwards."""
    source = tmp_path / f"film{suffix}"
    times_s = np.array([0, 0.03, 0.1, 0.5, 0.52, 0.9, 1.2, 1.3])  # as uneven as a phone's
    pictures = [np.full((90, 120, 3), 20 * number, np.uint8) for number in range(len(times_s))]
    write_clip(source, pictures, times_s, clockwise_deg=90, has_sound=True)
    expected = [(frame.time_s, frame.picture.shape, frame.picture.mean()) for frame in frames(source)]

    def must_not_be_called(file: str, **options: object) -> None:
        raise AssertionError(f"{file} was opened by the page")

    with monkeypatch.context() as patched:
        patched.setattr(av, "open", must_not_be_called)
        upload = take_in(source, tmp_path / "work", LIMITS)
    assert list((tmp_path / "work").iterdir()) == [upload.path] and upload.path.suffix == ".mp4"
    assert upload.path.read_bytes() != source.read_bytes()
    with av.open(str(upload.path)) as kept:
        assert [stream.type for stream in kept.streams] == ["video"] and kept.streams.video[0].codec.name == "h264"
    found = [(frame.time_s, frame.picture.shape, frame.picture.mean()) for frame in frames(upload.path)]
    assert [shape for _, shape, _ in found] == [(120, 90, 3)] * len(times_s)
    np.testing.assert_allclose([time_s for time_s, _, _ in found], [time_s for time_s, _, _ in expected], atol=1e-3)
    np.testing.assert_allclose([mean for _, _, mean in found], [mean for _, _, mean in expected], atol=6)


def test_a_long_name_keeps_its_ending(tmp_path: Path) -> None:
    upload = take_in(write_dance(tmp_path / f"{'long ' * 46}.pkl"), tmp_path / "work", LIMITS)
    assert upload.is_motion and upload.shown_name.endswith("….pkl") and len(upload.shown_name) <= 60
    assert "found a '.txt' file" in refusal_of_name(tmp_path / f"{'n' * 230}.txt")


def refusal_of_name(source: Path) -> str:
    source.write_text("no dance")
    with pytest.raises(BadInput) as raised:
        take_in(source, source.parent / "work", LIMITS)
    return str(raised.value)


def test_large_pictures_are_kept_smaller(tmp_path: Path) -> None:
    film = take_in(write_film(tmp_path / "tall.mp4", 1.0, (1440, 2560), fps=4), tmp_path / "work", LIMITS)
    info = read_info(film.path)
    assert (info.width, info.height) == (1080, 1920)
    assert abs(info.seconds - film.seconds) < 0.01


def test_a_film_is_opened_once_by_two_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Path] = []

    def slowly(sent: Path, folder: Path, *told: object) -> Upload:
        opened.append(sent)
        time.sleep(0.2)
        (folder / "kept.mp4").touch()
        return Upload(folder / "kept.mp4", "film.mp4", 2.0, is_motion=False)

    monkeypatch.setattr("d2m.web.jobs.take_in", slowly)
    folder = PageFolder()
    try:
        sent = folder.served / "film.mp4"
        jobs = JobQueue(Dance2Music.__new__(Dance2Music), folder, LIMITS)  # makes no music here
        with ThreadPoolExecutor(2) as pool:
            found = list(pool.map(jobs.take_in, [sent, sent]))
        assert found[0] == found[1] and opened == [sent]
    finally:
        folder.close()


def upload_and_die(temporary: str) -> None:
    tempfile.tempdir = temporary
    (PageFolder().work / "upload").touch()
    os.kill(os.getpid(), signal.SIGKILL)


def test_folders_of_killed_pages_go_at_the_next_start_and_those_of_running_ones_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dead = apart(upload_and_die, str(tmp_path))
    assert ended(dead) == -signal.SIGKILL
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # not before: multiprocessing has a folder of its own there
    (killed,) = tmp_path.glob("d2m-page-*/work/upload")
    for name, age_s in (("d2m-page-new", 0), ("d2m-page-old", 3600), ("mine", 3600)):
        (tmp_path / name).mkdir()
        os.utime(tmp_path / name, (time.time() - age_s,) * 2)
    running = PageFolder()
    try:
        assert remove_abandoned_folders() == []
        left = sorted(path.name for path in tmp_path.iterdir())
        assert left == sorted(["d2m-page-new", "mine", running.path.name]) and not killed.exists()
    finally:
        running.close()


def test_webm_as_browsers_record_it_is_taken(tmp_path: Path) -> None:
    assert take_in(write_film(tmp_path / "camera.webm", 1.5, codec="libvpx"), tmp_path / "w", LIMITS).seconds > 1.3


@pytest.mark.parametrize("name", ["../../x.pkl", "..\\..\\x.pkl", "/etc/x.pkl", "a/b/../x.pkl", "C:\\x.pkl"])
def test_a_name_is_never_a_path(tmp_path: Path, name: str) -> None:
    upload = take_in(write_dance(tmp_path / "sent"), tmp_path / "deep" / "work", LIMITS, name=name)
    assert upload.shown_name == "x.pkl" and upload.path.parent == tmp_path / "deep" / "work"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["deep", "sent"]


def test_shown_names_are_printable_and_short() -> None:
    assert shown_name_of("a\x00b\x1b[31m\n\u202e.mp4") == "ab[31m.mp4"
    assert shown_name_of("") == shown_name_of("../") == "your file"
    assert len(shown_name_of("x" * 500)) == 60
    long = shown_name_of("a" * 226 + ".mp4")  # as long as a file system takes
    assert len(long) == 60 and long.endswith("a….mp4") and shown_name_of("b" * 300 + ".NPZ").endswith(".NPZ")


def test_text_called_mp4(tmp_path: Path) -> None:
    (tmp_path / "notes.mp4").write_text("this is a shopping list\n" * 50)
    assert "its content is none" in refusal(tmp_path / "notes.mp4", tmp_path)


def test_a_playlist_called_mp4_makes_nobody_read_other_files(tmp_path: Path) -> None:
    write_film(tmp_path / "secret.mp4", 2.0)
    for text in ("#EXTM3U\n#EXTINF:2,\nsecret.mp4\n#EXT-X-ENDLIST\n", "ffconcat version 1.0\nfile secret.mp4\n"):
        (tmp_path / "list.mp4").write_text(text)
        assert "its content is none" in refusal(tmp_path / "list.mp4", tmp_path)


def test_empty_and_unknown_endings(tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").touch()
    assert "0 bytes" in refusal(tmp_path / "empty.mp4", tmp_path)
    (tmp_path / "page.html").write_text("<script>alert(1)</script>")
    assert "expected a video" in refusal(tmp_path / "page.html", tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        box(b"ftyp", b"isom\0\0\2\0isommp41") + box(b"moov", b"\0" * 64, claimed=2**31),
        box(b"ftyp", b"isom\0\0\2\0isommp41") + box(b"mdat", b"\0" * 64, claimed=2**31 - 1),
        box(b"ftyp", b"isom\0\0\2\0isommp41", claimed=2**31),
        b"\x1a\x45\xdf\xa3\x01\x00\x00\x00\x7f\xff\xff\xff" + b"\0" * 64,
        b"RIFF\xff\xff\xff\x7fAVI LIST\xff\xff\xff\x7fhdrlavih" + b"\0" * 64,
    ],
    ids=["moov", "mdat", "ftyp", "webm", "avi"],
)
def test_headers_that_claim_two_gigabytes(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "huge.mp4").write_bytes(content)
    refusal(tmp_path / "huge.mp4", tmp_path)


def test_a_film_whose_tables_claim_two_gigabytes_of_pictures(tmp_path: Path) -> None:
    content = write_film(tmp_path / "film.mp4", 2.0).read_bytes()
    at = content.index(b"stsz") + 12  # version and flags, sample size, then the count
    (tmp_path / "lies.mp4").write_bytes(content[:at] + struct.pack(">I", 2**31) + content[at + 4 :])
    refusal(tmp_path / "lies.mp4", tmp_path)


def test_too_large_too_long_too_short_too_many_pixels(tmp_path: Path) -> None:
    film = write_film(tmp_path / "film.mp4", 12.0)
    assert "longer than the 10 s" in refusal(film, tmp_path)
    assert "expected at most 0.001 MB" in refusal(film, tmp_path, UploadLimits(0.001, 100))
    assert "at least 1 s" in refusal(write_film(tmp_path / "short.mp4", 0.5), tmp_path)
    assert "at most 4K" in refusal(write_film(tmp_path / "wide.mp4", 1.2, (7680, 4320), fps=2), tmp_path)
    assert "longer than the 10 s" in refusal(write_dance(tmp_path / "long.pkl", 900), tmp_path)


def test_a_bomb_in_an_npz_and_one_called_mp4(tmp_path: Path) -> None:
    header = (
        b"\x93NUMPY\x01\x00v\x00"
        + b"{'descr': '<f8', 'fortran_order': False, 'shape': (9000000, 72), }".ljust(117)
        + b"\n"
    )
    with (
        zipfile.ZipFile(tmp_path / "bomb.npz", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("poses.npy", "w", force_zip64=True) as member,
    ):
        member.write(header)
        for _ in range(1100):
            member.write(bytes(2**20))
    limits = UploadLimits(max_mb=50, max_seconds=10)
    assert "inflates to 1.1 GiB" in refusal(tmp_path / "bomb.npz", tmp_path, limits)
    (tmp_path / "bomb.npz").rename(tmp_path / "bomb.mp4")
    assert "its content is none" in refusal(tmp_path / "bomb.mp4", tmp_path, limits)


def test_a_pickle_that_runs_code_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "evil.pkl").write_bytes(pickle.dumps({"smpl_poses": _RunsCode()}))
    assert "nothing of it was run" in refusal(tmp_path / "evil.pkl", tmp_path)
    assert not (tmp_path / "pickle_was_run").exists()


def test_a_pickle_that_would_never_end_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("d2m.web.uploads._OPENING_TIMEOUT_S", 3)
    frames = [b"\x80\x04}", b")"]  # a dict whose key is a tuple of twice the last tuple, 60 times: its hash never ends
    for number in range(60):
        frames.append(b"q" + bytes([number]) + b"h" + bytes([number]) + b"\x86")
    (tmp_path / "slow.pkl").write_bytes(b"".join(frames) + b"K\x01s.")
    assert "more memory or time" in refusal(tmp_path / "slow.pkl", tmp_path)


def test_the_sweep_removes_what_is_old_or_too_much_and_keeps_the_examples() -> None:
    folder = PageFolder(keep_minutes=10, max_total_mb=0.003)
    try:
        result = folder.new_result()
        (folder.examples / "kept.pkl").write_bytes(b"x")
        for age_minutes, path in ((20, result / "old.mp4"), (2, folder.work / "b.mp4"), (1, result / "new.wav")):
            path.write_bytes(bytes(2000))
            os.utime(path, (time.time() - 60 * age_minutes,) * 2)
        os.utime(folder.examples / "kept.pkl", (0, 0))
        assert folder.sweep() == 2
        left = sorted(path.name for path in folder.path.rglob("*") if path.is_file() and path.name != "lock")
        assert left == ["kept.pkl", "new.wav"]
        assert oct(folder.path.stat().st_mode)[-3:] == "700"
    finally:
        folder.close()
    assert not folder.path.exists()
    folder.close()


def test_settings_from_a_browser_are_checked() -> None:
    from d2m.web.jobs import PageSettings

    assert PageSettings.checked("", "", 3.0, 2, None) == PageSettings(None, None, 3, 2, False)
    assert PageSettings.checked("gHO", " 118 ", 0, 1, True).tempo_bpm == 118
    bad = [
        ("gXX", None, 0, 1),
        ("", "fast", 0, 1),
        ("", 4000, 0, 1),
        ("", "nan", 0, 1),
        ("", None, -1, 1),
        ("", None, 0, 99),
    ]
    for genre, tempo, seed, takes in [*bad, ("", None, None, 1), ([], None, 0, 1)]:
        with pytest.raises(BadConfig, match="found"):
            PageSettings.checked(genre, tempo, seed, takes, False)
