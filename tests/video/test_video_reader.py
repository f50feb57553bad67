"""Videos are real files, written by the tests: rotated, uneven in time, of several containers, damaged, hostile."""

from pathlib import Path

import numpy as np
import pytest
from tests_support_video import marked, write_clip

from d2m.core.errors import BadInput
from d2m.video.reader import frames, read_info

TIMES_S = np.arange(45) / 30


def quarters(picture: np.ndarray) -> str:
    """Colour of the quarters, row by row: r, g or - for dark."""
    height, width = picture.shape[:2]
    middles = [picture[h, w] for h in (height // 4, 3 * height // 4) for w in (width // 4, 3 * width // 4)]
    return "".join("r" if p[0] > 130 else "g" if p[1] > 130 else "-" for p in middles)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pictures = [marked(96, 64, 4 * number) for number in range(45)]
    return write_clip(tmp_path_factory.mktemp("clip") / "a clip, 'ü'=1.mp4", pictures, TIMES_S, has_sound=True)


def test_what_an_ordinary_clip_is(clip: Path) -> None:
    info = read_info(clip)
    assert (info.width, info.height, info.rotation_deg, info.has_sound) == (96, 64, 0, True)
    assert info.frames_estimate == 45
    assert abs(info.seconds - 1.5) < 0.05 and abs(info.fps_mean - 30) < 1


def test_frames_have_pictures_and_times(clip: Path) -> None:
    found = list(frames(clip))
    assert np.allclose([frame.time_s for frame in found], TIMES_S, atol=1e-3)
    assert all(frame.picture.shape == (64, 96, 3) and frame.picture.dtype == np.uint8 for frame in found)
    assert quarters(found[0].picture) == "rg--"
    blue = [frame.picture[-5, 5, 2] for frame in found]
    assert np.corrcoef(blue, TIMES_S)[0, 1] > 0.99  # in the order in which they are shown


def test_scaled_and_cut(clip: Path) -> None:
    found = list(frames(clip, max_height=32, max_seconds=0.5))
    assert len(found) == 15 and found[0].picture.shape == (32, 48, 3) and quarters(found[0].picture) == "rg--"
    assert next(frames(clip, max_height=500)).picture.shape == (64, 96, 3)  # never enlarged


@pytest.mark.parametrize(("clockwise_deg", "seen"), [(90, "-r-g"), (180, "--gr"), (270, "g-r-")])
def test_rotation_flags_are_honoured(tmp_path: Path, clockwise_deg: int, seen: str) -> None:
    path = write_clip(tmp_path / "turned.mp4", [marked(96, 64)] * 45, TIMES_S, clockwise_deg)
    info, picture = read_info(path), next(frames(path)).picture
    assert info.rotation_deg == clockwise_deg
    assert picture.shape == (info.height, info.width, 3) == ((64, 96, 3) if clockwise_deg == 180 else (96, 64, 3))
    assert quarters(picture) == seen
    assert next(frames(path, max_height=48)).picture.shape[0] == 48


def test_a_mirrored_front_camera(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "selfie.mp4", [marked(96, 64)] * 45, TIMES_S, is_mirrored=True)
    assert quarters(next(frames(path)).picture) == "gr--"
    path = write_clip(tmp_path / "selfie90.mp4", [marked(96, 64)] * 45, TIMES_S, 90, is_mirrored=True)
    picture = next(frames(path)).picture
    assert picture.shape == (96, 64, 3) and quarters(picture) in ("r-g-", "-g-r")


def test_a_variable_rate_is_put_on_a_true_time_line(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    times_s = np.concatenate([[0], np.cumsum(random.uniform(0.01, 0.08, 50))])
    path = write_clip(tmp_path / "phone.mp4", [marked(64, 64, number) for number in range(51)], times_s)
    found = [frame.time_s for frame in frames(path)]
    assert np.allclose(found, times_s, atol=1e-3)
    info = read_info(path)
    assert abs(info.seconds - times_s[-1]) < 0.15 and abs(info.fps_mean - 51 / info.seconds) < 0.5


@pytest.mark.parametrize("suffix", [".mov", ".mkv", ".webm", ".avi"])
def test_other_containers(tmp_path: Path, suffix: str) -> None:
    path = write_clip(tmp_path / f"clip{suffix}", [marked(96, 64)] * 45, TIMES_S)
    info, found = read_info(path), list(frames(path))
    assert (info.width, info.height, info.has_sound) == (96, 64, False) and abs(info.seconds - 1.5) < 0.1
    assert info.frames_estimate == len(found) == 45
    assert np.allclose([frame.time_s for frame in found], TIMES_S, atol=2e-3)


@pytest.mark.parametrize("suffix", [".avi", ".mkv", ".ts", ".mov"])
def test_pictures_that_are_stored_in_another_order_than_shown(tmp_path: Path, suffix: str) -> None:
    """x264's B pictures: AVI knows no time at which a picture is shown."""
    pictures = [marked(96, 64, 2 * number) for number in range(90)]
    path = write_clip(tmp_path / f"b{suffix}", pictures, np.arange(90) / 30, codec="libx264")
    found = list(frames(path))
    assert len(found) == 90 and np.allclose([frame.time_s for frame in found], np.arange(90) / 30, atol=2e-3)
    blue = np.array([frame.picture[-5, 5, 2] for frame in found], float)
    assert np.corrcoef(blue, np.arange(90))[0, 1] > 0.999
    assert len(list(frames(path, max_seconds=1.5))) == 45


def test_two_recordings_that_were_joined(tmp_path: Path) -> None:
    """A transport stream whose clock begins anew in the middle, as cameras and `cat` leave them."""
    part = write_clip(tmp_path / "part.ts", [marked(96, 64)] * 45, TIMES_S).read_bytes()
    (tmp_path / "joined.ts").write_bytes(part + part)
    times_s = [frame.time_s for frame in frames(tmp_path / "joined.ts")]
    assert len(times_s) > 80 and np.allclose(np.diff(times_s), 1 / 30, atol=0.05) and times_s[-1] > 2.7


def test_later_start_does_not_shift_the_time(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "late.mkv", [marked(96, 64)] * 45, TIMES_S + 0.7)
    assert np.allclose([frame.time_s for frame in frames(path)], TIMES_S, atol=2e-3)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "0 bytes"),
        (b"not a video at all\n" * 50, "not a readable video"),
        (b"\x00\x00\x00\x20ftypisom" + b"\x7f" * 400, "not a readable video"),
        (b"PK\x03\x04" + bytes(2000), "not a readable video"),
        (b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n/etc/hostname\n#EXT-X-ENDLIST\n", "not a readable video"),
        (b"ffconcat version 1.0\nfile clip.mp4\n", "not a readable video"),
    ],
)
def test_files_that_are_no_videos(tmp_path: Path, content: bytes, sentence: str) -> None:
    path = tmp_path / "dance.mp4"
    path.write_bytes(content)
    for read in (read_info, lambda p: list(frames(p))):
        with pytest.raises(BadInput, match=sentence) as caught:
            read(path)
        assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_missing_folder_and_protocol_names(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no such file"):
        read_info(tmp_path / "none.mp4")
    with pytest.raises(BadInput, match="not a file"):
        read_info(tmp_path)
    with pytest.raises(BadInput, match="no such file"):
        read_info("http://127.0.0.1:9/clip.mp4")


def test_too_short_and_without_pictures(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "short.mp4", [marked(64, 64)] * 15, TIMES_S[:15])
    with pytest.raises(BadInput, match=r"0\.50 s of video, expected at least 1 s"):
        read_info(path)
    import soundfile

    soundfile.write(tmp_path / "song.wav", np.zeros(44100), 44100)
    with pytest.raises(BadInput, match="found no pictures"):
        read_info(tmp_path / "song.wav")


def test_cut_off_and_damaged(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    pictures = [random.integers(0, 255, (64, 96, 3), dtype=np.uint8) for _ in range(120)]
    whole = write_clip(tmp_path / "whole.mkv", pictures, np.arange(120) / 30).read_bytes()
    damaged = tmp_path / "damaged.mkv"
    hurt = bytearray(whole)
    hurt[len(hurt) // 2 : len(hurt) // 2 + 3000] = bytes(3000)
    damaged.write_bytes(bytes(hurt))
    times_s = [frame.time_s for frame in frames(damaged)]
    assert 0 < len(times_s) < 121 and times_s == sorted(times_s)
    half = tmp_path / "half.mp4"
    half.write_bytes(write_clip(tmp_path / "w.mp4", pictures, np.arange(120) / 30).read_bytes()[: len(whole) // 2])
    with pytest.raises(BadInput, match="not a readable video"):
        read_info(half)


def test_pictures_are_read_one_at_a_time(clip: Path) -> None:
    stream = frames(clip)
    first = next(stream)
    stream.close()  # nothing else needs to be read
    assert first.time_s == 0


@pytest.mark.parametrize(
    "text",
    [
        "ffconcat version 1.0\nfile part.mp4\n",
        "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\npart.mp4\n#EXT-X-ENDLIST\n",
    ],
)
def test_a_list_of_other_files_opens_none_of_them(tmp_path: Path, text: str) -> None:
    import av

    write_clip(tmp_path / "part.mp4", [marked(96, 64)] * 45, TIMES_S)
    (tmp_path / "dance.mp4").write_text(text)
    if text.startswith("ff"):
        with av.open(str(tmp_path / "dance.mp4")) as container:  # FFmpeg itself would have followed it
            assert container.streams.video
    with pytest.raises(BadInput, match="not a readable video"):
        read_info(tmp_path / "dance.mp4")
