"""Music is read and written whole, and refused where it is not what was said."""

from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from d2m.core.errors import BadConfig, BadInput
from d2m.core.files import atomic_write, writable_folder
from d2m.core.music import Music


def tone(rate: int = 22050, seconds: float = 1.0) -> Music:
    wave = 0.5 * np.sin(2 * np.pi * 440 * np.arange(int(rate * seconds)) / rate)
    return Music(wave[None].astype(np.float32), rate)


def test_save_and_load(tmp_path: Path) -> None:
    loaded = Music.load(tone().save(tmp_path / "tone.wav"), expected_sample_rate=22050)
    assert np.abs(loaded.waveform - tone().waveform).max() < 1e-4
    assert [p.name for p in tmp_path.iterdir()] == ["tone.wav"]


def test_resampling_keeps_pitch_and_length() -> None:
    music = tone(44100).resampled(22050)
    assert music.waveform.shape == (1, 22050)
    spectrum = np.abs(np.fft.rfft(music.waveform[0]))
    assert spectrum.argmax() == 440


def test_another_rate_than_said_is_refused(tmp_path: Path) -> None:
    path = tone(44100).save(tmp_path / "a.wav")
    with pytest.raises(BadInput, match="found 44100 Hz, expected 22050 Hz"):
        Music.load(path, expected_sample_rate=22050)


@pytest.mark.parametrize("content", [b"", b"RIFFjunk"])
def test_unreadable_files_are_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.wav"
    path.write_bytes(content)
    with pytest.raises(BadInput, match="broken"):
        Music.load(path)


def test_nan_is_refused(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "nan.wav", np.full(100, np.nan, np.float32), 22050, subtype="FLOAT")
    with pytest.raises(BadInput, match="NaN"):
        Music.load(tmp_path / "nan.wav")


def test_nothing_half_written_is_left(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), atomic_write(tmp_path / "x.txt") as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_unwritable_folder_is_one_sentence() -> None:
    with pytest.raises(BadConfig, match="cannot write here"):
        writable_folder("/proc/nowhere/d2m")


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg", ".mp3", ".aiff", ".aif", ".w64", ".caf", ".au"])
def test_every_suffix_is_written_in_its_format(tmp_path: Path, suffix: str) -> None:
    time_s = np.arange(48000 * 3) / 48000
    music = Music(np.stack([0.5 * np.sin(2 * np.pi * 440 * time_s), 1.5 * np.cos(time_s)]).astype(np.float32), 48000)
    back = Music.load(music.save(tmp_path / f"music{suffix}"))
    assert back.sample_rate == 48000 and abs(back.seconds - 3) < 0.06
    shared = min(back.waveform.shape[1], music.waveform.shape[1])
    different = back.waveform[:, :shared] - np.clip(music.waveform[:, :shared], -1, 1)
    assert np.sqrt((different**2).mean()) < (0.1 if suffix in (".ogg", ".mp3") else 1e-4)
    assert soundfile.info(tmp_path / f"music{suffix}").subtype == {
        ".ogg": "VORBIS", ".mp3": "MPEG_LAYER_III"
    }.get(suffix, "PCM_16")  # fmt: skip


@pytest.mark.parametrize(
    ("name", "rate"), [("music.xyz", 48000), ("music", 48000), ("music.raw", 48000), ("a.mp3", 7), ("a.opus", 48000)]
)
def test_what_cannot_be_written_is_refused_in_a_sentence(tmp_path: Path, name: str, rate: int) -> None:
    with pytest.raises(BadConfig, match=name):
        Music(np.zeros((1, 1000), np.float32), rate).save(tmp_path / name)
    assert not list(tmp_path.iterdir())


def _bare_mp3(seconds: float, bit_rate: int) -> bytes:
    """Frames of an mp3 without a file's header."""
    codec = av.CodecContext.create("libmp3lame", "w")
    assert isinstance(codec, av.AudioCodecContext)
    codec.sample_rate, codec.layout, codec.format, codec.bit_rate = 44100, "mono", av.AudioFormat("s16p"), bit_rate
    codec.open()
    noise = np.random.default_rng(0).normal(0, 3000, (1, int(seconds * 44100) // 1152 * 1152)).astype(np.int16)
    packets = []
    for start in range(0, noise.shape[1], 1152):
        frame = av.AudioFrame.from_ndarray(noise[:, start : start + 1152], "s16p", "mono")
        frame.sample_rate = 44100
        packets += codec.encode(frame)
    return b"".join(bytes(packet) for packet in [*packets, *codec.encode(None)])


def test_an_mp3_whose_bit_rate_falls_and_that_has_no_header_is_read_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "falling.mp3"
    path.write_bytes(_bare_mp3(0.5, 320_000) + _bare_mp3(6, 32_000))
    assert soundfile.info(path).duration < 2
    music = Music.load(path)
    assert 6.3 < music.seconds < 6.8 and np.abs(music.waveform[0, -44100:]).max() > 0.01
