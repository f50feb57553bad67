"""Music is read and written whole, and refused where it is not what was said."""

from pathlib import Path

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
