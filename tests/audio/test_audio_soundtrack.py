"""The sound of a video starts with its picture, whatever the container does with time; bad videos are one sentence."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from tests_support_official import write_mp4

from d2m.audio.soundtrack import NoSound, read_soundtrack
from d2m.core.errors import BadInput
from d2m.core.music import Music

CLICKS_S = (0.5, 1.0, 1.5)
SECONDS = 2.0
NEAR_S = 0.02


def clicks(rate: int = 44100, channels: int = 2) -> Music:
    wave = np.random.default_rng(0).normal(0, 0.001, (channels, round(SECONDS * rate))).astype(np.float32)
    for second in CLICKS_S:
        wave[:, round(second * rate)] = 0.9
    return Music(wave, rate)


def heard_s(music: Music) -> np.ndarray:
    """Times of the three loudest samples that are not neighbours."""
    wave, times = np.abs(music.waveform[0]).copy(), []
    for _ in CLICKS_S:
        loudest = int(wave.argmax())
        times.append(loudest / music.sample_rate)
        wave[max(0, loudest - music.sample_rate // 10) : loudest + music.sample_rate // 10] = 0
    return np.sort(times)


def test_sound_starts_with_the_picture_and_keeps_its_rate(tmp_path: Path) -> None:
    soundtrack = read_soundtrack(write_mp4(tmp_path / "a.mp4", clicks(), SECONDS))
    assert soundtrack.music.sample_rate == 48000 and soundtrack.music.waveform.shape[0] == 2
    assert soundtrack.video_fps == 60
    assert abs(soundtrack.music.seconds - SECONDS) < 0.001, "the encoder's priming and padding are cut off"
    np.testing.assert_allclose(heard_s(soundtrack.music), CLICKS_S, atol=0.001)


@pytest.mark.parametrize(("late_sound_s", "late_picture_s"), [(0.25, 0.0), (0.0, 0.25), (0.5, 0.25), (0.25, 0.25)])
def test_a_late_sound_or_picture_is_accounted_for(tmp_path: Path, late_sound_s: float, late_picture_s: float) -> None:
    path = write_mp4(tmp_path / "a.mp4", clicks(), SECONDS, late_sound_s=late_sound_s, late_picture_s=late_picture_s)
    music = read_soundtrack(path).music
    np.testing.assert_allclose(heard_s(music), np.array(CLICKS_S) + late_sound_s - late_picture_s, atol=NEAR_S)


@pytest.mark.parametrize("suffix", ["mkv", "mov"])
def test_other_containers(tmp_path: Path, suffix: str) -> None:
    music = read_soundtrack(write_mp4(tmp_path / f"a.{suffix}", clicks(), SECONDS)).music
    np.testing.assert_allclose(heard_s(music), CLICKS_S, atol=NEAR_S)
    assert abs(music.seconds - SECONDS) < 0.05


def test_one_channel_of_another_rate_becomes_two(tmp_path: Path) -> None:
    path = tmp_path / "a.mov"
    wave = clicks(22050, 1).waveform
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=22050, layout="mono")
        frame = av.AudioFrame.from_ndarray((wave * 32767).astype(np.int16), "s16", "mono")
        frame.sample_rate, frame.pts, frame.time_base = 22050, 0, Fraction(1, 22050)
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    soundtrack = read_soundtrack(path)
    assert soundtrack.video_fps is None and soundtrack.music.sample_rate == 22050
    for channel in soundtrack.music.waveform:
        np.testing.assert_allclose(channel, wave[0], atol=1e-3)


def test_no_sound_is_said(tmp_path: Path) -> None:
    with pytest.raises(NoSound, match="no audio track"):
        read_soundtrack(write_mp4(tmp_path / "a.mp4", None, 0.5))
    silence = Music(np.zeros((2, 24000), np.float32), 48000)
    with pytest.raises(NoSound, match="silence"):
        read_soundtrack(write_mp4(tmp_path / "b.mp4", silence, 0.5))


@pytest.mark.parametrize("moov_first", [True, False])
@pytest.mark.parametrize("kept", [0.0, 0.1, 0.5, 0.95])
def test_a_cut_off_file_is_said(tmp_path: Path, kept: float, moov_first: bool) -> None:
    path = write_mp4(tmp_path / "a.mp4", clicks(), SECONDS, moov_first=moov_first)
    content = path.read_bytes()
    path.write_bytes(content[: round(kept * len(content))])
    with pytest.raises(BadInput, match=r"a\.mp4: .*download it again"):
        read_soundtrack(path)


def test_a_file_cut_off_between_two_packets_is_said(tmp_path: Path) -> None:
    """FFmpeg reports no error there: only the declared length tells."""
    path = write_mp4(tmp_path / "a.mp4", clicks(), SECONDS)
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux() if packet.size]
    middle = min(packets[len(packets) // 2 :], key=lambda packet: packet.pos)
    path.write_bytes(path.read_bytes()[: middle.pos])
    with pytest.raises(BadInput, match="cut off"):
        read_soundtrack(path)


def test_what_is_no_video_is_said(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    with pytest.raises(BadInput, match="no such file"):
        read_soundtrack(path)
    path.write_bytes(b"<html>404</html>" * 50)
    with pytest.raises(BadInput, match="not a readable video"):
        read_soundtrack(path)
    intact = bytearray(write_mp4(path, clicks(), SECONDS).read_bytes())
    intact[len(intact) // 2 : len(intact) // 2 + 5000] = b"\x55" * 5000
    path.write_bytes(bytes(intact))
    with pytest.raises(BadInput, match="not a readable video"):
        read_soundtrack(path)
