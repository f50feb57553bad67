"""Crops of music of any kind: read where they lie, files held out by their names, damaged ones said and passed over."""

from pathlib import Path

import av
import numpy as np
import pytest
import torch

from d2m.core.errors import BadInput
from d2m.core.music import Music
from d2m.data.audio_crops import AudioCrops, AudioCropsModule, Recording, recordings

RATE = 44100


def sweep(seconds: float, rate: int = RATE) -> np.ndarray:
    """Left and right rise from 200 and 300 Hz, so that every moment has its own pitch."""
    time_s = np.arange(int(seconds * rate)) / rate
    return np.stack([0.3 * np.sin(2 * np.pi * hz * time_s * (1 + time_s / 4)) for hz in (200, 300)]).astype(np.float32)


def write_m4a(path: Path, waveform: np.ndarray, rate: int) -> None:
    with av.open(str(path), "w") as file:
        stream = file.add_stream("aac", rate=rate, layout="stereo")
        frame = av.AudioFrame.from_ndarray(waveform, format="fltp", layout="stereo")
        frame.sample_rate = rate
        for sound in (frame, None):
            file.mux(stream.encode(sound))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("music")
    (root / "an album").mkdir()
    Music(sweep(4.0), RATE).save(root / "one.wav")
    Music(sweep(4.0), RATE).save(root / "two.flac")
    Music(sweep(4.0, 48000), 48000).save(root / "an album" / "three.ogg")
    Music(sweep(4.0, 22050)[:1], 22050).save(root / "an album" / "four.mp3")
    write_m4a(root / "five.M4A", sweep(4.0), RATE)
    (root / "broken.mp3").write_bytes(b"junk" * 99)
    (root / "cover.jpg").write_bytes(b"picture")
    (root / ".hidden.wav").write_bytes(b"")
    return root


@pytest.mark.parametrize(
    ("name", "delay"),
    [("one.wav", 0), ("two.flac", 0), ("an album/three.ogg", 0), ("an album/four.mp3", 0.06), ("five.M4A", 0.06)],
)
def test_a_crop_is_what_sounds_there(folder: Path, name: str, delay: float) -> None:
    recording = Recording.found(folder / name)
    assert recording.seconds == pytest.approx(4.0, abs=0.1)
    crop = recording.crop(1.5, 22050, RATE, 2)
    assert crop.shape == (2, 22050) and crop.dtype == np.float32
    heard_hz = np.abs(np.fft.rfft(crop[0] * np.hanning(22050))).argmax() * RATE / 22050
    assert heard_hz == pytest.approx(200 * (1 + 1.75 / 2), abs=3 + 100 * delay)
    assert recording.crop(1.5, 22050, RATE, 1).shape == (1, 22050)


def test_files_are_held_out_by_their_names(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train, val = recordings(folder, ("train", "val"), 0.3)
    assert len(train) + len(val) == 5 and val and not set(train) & set(val)
    assert {one.path.suffix for one in train + val} == {".wav", ".flac", ".ogg", ".mp3", ".M4A"}
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "broken.mp3: not a readable music file" in said
    assert len(recordings(folder, ("val",), 0.0)[0]) == 1


def test_a_held_out_file_stays_held_out_in_a_larger_folder(tmp_path: Path) -> None:
    wave = Music(sweep(0.1), RATE)
    for number in range(20):
        wave.save(tmp_path / f"{number}.wav")
    before = recordings(tmp_path, ("val",), 0.2)[0]
    for number in range(20, 40):
        wave.save(tmp_path / f"{number}.wav")
    assert set(before) <= set(recordings(tmp_path, ("val",), 0.2)[0])


@pytest.mark.parametrize("files", [0, 1])
def test_a_folder_without_music(tmp_path: Path, files: int) -> None:
    for number in range(files):
        Music(sweep(1.0), RATE).save(tmp_path / f"{number}.wav")
    with pytest.raises(BadInput, match=f"found {files} music files"):
        recordings(tmp_path, ("train",))


def test_music_that_is_shorter_than_a_crop(tmp_path: Path) -> None:
    for number in range(3):
        Music(sweep(0.5), RATE).save(tmp_path / f"{number}.wav")
    with pytest.raises(BadInput, match="found 0 music files to train on"):
        AudioCropsModule(str(tmp_path), RATE, 2).setup()


def test_crops_are_numbered_and_a_resumed_run_goes_on_with_the_next(folder: Path) -> None:
    module = AudioCropsModule(str(folder), RATE, 2, samples=8192, batch_size=2, steps_per_epoch=3)
    module.setup()
    batches = [batch["waveform"] for batch in module.train_dataloader()]
    assert [batch.shape for batch in batches] == [(2, 2, 8192)] * 3
    assert torch.equal(batches[1][0], module.train[2]["waveform"]) and not torch.equal(batches[0][0], batches[0][1])
    assert next(iter(module.val_dataloader()))["waveform"].shape[1] == 2


def test_a_file_that_is_cut_off_is_not_asked_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(2):
        Music(sweep(2.0), RATE).save(tmp_path / f"{number}.wav")
    whole, cut = (Recording.found(tmp_path / f"{number}.wav") for number in range(2))
    cut.path.write_bytes(cut.path.read_bytes()[:2000])
    crops = AudioCrops([whole, cut], RATE, 2, 8192, seed=0)
    assert all(crops[number]["waveform"].abs().sum() > 0 for number in range(12))
    assert capsys.readouterr().err.count("1.wav") == 1
    whole.path.unlink()
    with pytest.raises(BadInput):
        crops[0]
