"""What is heard in songs of known beats, bars and key, the index that remembers it, and one sentence for each bad file."""

import json
import os

import numpy as np
import pytest
from tests_support_songs import RATE, drummed, write_songs

from d2m.audio.soundtrack import read_song
from d2m.core.errors import BadConfig
from d2m.core.music import Music
from d2m.songs import index as index_module
from d2m.songs.index import INDEX_NAME, index_songs
from d2m.songs.listening import BEATS_IN_BAR, Song, bar_phase, listen, song_key


@pytest.fixture(scope="module")
def heard() -> Song:
    return listen(drummed(110, 40, loud_bars=(4, 5)))


def test_beats_are_on_the_attacks_and_bars_begin_with_the_low_stroke(heard):
    true_s = 0.3 + np.arange(40) * 60 / 110
    distance_s = np.abs(np.array(heard.beats_s)[:, None] - true_s[None])
    assert np.median(distance_s.min(axis=1)) < 0.005
    assert heard.tempo_bpm == pytest.approx(110, abs=0.5)
    assert heard.downbeat is not None and heard.problem is None
    assert int(distance_s[heard.downbeat].argmin()) % BEATS_IN_BAR == 0


def test_key_and_energy_are_heard(heard):
    assert heard.key == "C major"
    bars = heard.bar_energy_db
    assert set(np.argsort(bars)[-2:]) == {4, 5} and bars.max() - np.median(bars) > 8


@pytest.mark.parametrize("tonic", [0, 3, 9])
def test_key_of_a_scale(tonic):
    minor = np.roll([5, 0, 3, 4, 0, 3, 0, 4, 3, 0, 3, 1], tonic).astype(float)
    assert song_key(minor)[0] == f"{('C', '', '', 'Eb', '', '', '', '', '', 'A')[tonic]} minor"


def test_no_bar_where_all_beats_are_alike():
    assert bar_phase(np.ones(32))[0] is None
    assert bar_phase(np.tile([1.0, 1, 5, 1], 8))[0] == 2
    assert bar_phase(np.ones(3))[0] is None


def bursts(seed: int, seconds: float = 12.0) -> Music:
    """Syllables: voiced bursts of uneven length, with pauses."""
    random, wave, at_s = np.random.default_rng(seed), np.zeros(round(seconds * RATE)), 0.2
    while at_s < seconds - 1:
        length_s = random.uniform(0.08, 0.35)
        time_s = np.arange(round(length_s * RATE)) / RATE
        voice = sum(np.sin(2 * np.pi * k * random.uniform(90, 250) * time_s) / k for k in range(1, 9))
        start = round(at_s * RATE)
        wave[start : start + len(time_s)] += 0.1 * voice * np.hanning(len(time_s))
        at_s += length_s * random.uniform(0.8, 1.3) + random.choice([0, 0, 0, 0.4])
    return Music(wave[None].astype(np.float32), RATE)


BAD = {
    "silent": (Music(np.zeros((1, 5 * RATE), np.float32), RATE), "silent"),
    "speech": (bursts(0), "steady beat"),
    "short": (drummed(120, 2), "beats in a row"),
}


def test_bad_files_are_one_sentence_each_and_the_rest_goes_on(tmp_path, capsys):
    folder = write_songs(tmp_path / "my music", **{name: music for name, (music, _) in BAD.items()})
    write_songs(folder / "below", good=drummed(100, 24, rate=8000))
    (folder / "broken.mp3").write_bytes(b"no sound at all" * 99)
    (folder / "protected.m4p").write_bytes(b"\0\0\0\x18ftypM4P " + bytes(500))
    (folder / "notes.txt").write_text("no song")
    (folder / "gone.mp3").symlink_to(folder / "nowhere.mp3")
    found = index_songs(folder, progress=False)
    assert list(found.songs) == ["below/good.wav"]
    assert set(found.refused) == {*(f"{name}.wav" for name in BAD), "broken.mp3", "protected.m4p"}
    for name, (_, word) in BAD.items():
        assert word in found.refused[f"{name}.wav"]
    said = capsys.readouterr().err.splitlines()
    assert len([line for line in said if line.startswith("left out: ")]) == 5
    assert all(line.endswith(".") and line[-2] != "." for line in said if line.startswith("left out: "))


def test_index_is_kept_and_only_what_changed_is_heard_again(tmp_path, monkeypatch, capsys):
    folder = write_songs(tmp_path, a=drummed(100, 16), b=drummed(120, 16))
    counted = []
    monkeypatch.setattr(index_module, "listen", lambda music, classifier: counted.append(1) or listen(music))
    first = index_songs(folder)
    assert len(counted) == 2 and (folder / INDEX_NAME).is_file()
    again = index_songs(folder)
    assert len(counted) == 2 and again.songs.keys() == first.songs.keys()
    assert again.songs["a.wav"].beats_s == pytest.approx(first.songs["a.wav"].beats_s, abs=1e-3)
    os.utime(folder / "a.wav", ns=(1, 1))
    (folder / "b.wav").unlink()
    assert list(index_songs(folder).songs) == ["a.wav"] and len(counted) == 3
    assert list(json.loads((folder / INDEX_NAME).read_text())["songs"]) == ["a.wav"]
    (folder / INDEX_NAME).write_text("{")
    assert list(index_songs(folder).songs) == ["a.wav"] and len(counted) == 4


def test_run_that_was_stopped_goes_on(tmp_path, monkeypatch):
    folder = write_songs(tmp_path, a=drummed(100, 16), b=drummed(120, 16))

    def stops(music, classifier):
        if counted:
            raise KeyboardInterrupt
        counted.append(1)
        return listen(music)

    counted: list[int] = []
    monkeypatch.setattr(index_module, "listen", stops)
    with pytest.raises(KeyboardInterrupt):
        index_songs(folder)
    monkeypatch.setattr(index_module, "listen", lambda music, classifier: counted.append(1) or listen(music))
    assert len(index_songs(folder).songs) == 2 and len(counted) == 2


def test_index_of_a_folder_that_cannot_be_written_is_in_the_users_cache(tmp_path, monkeypatch):
    folder = write_songs(tmp_path / "songs", a=drummed(100, 16))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    write = index_module.atomic_write

    def refused(path):
        if path.parent == folder:
            raise PermissionError(13, "Permission denied")
        return write(path)

    monkeypatch.setattr(index_module, "atomic_write", refused)
    index_songs(folder)
    assert not (folder / INDEX_NAME).exists() and len(list((tmp_path / "cache" / "d2m").glob("songs_*.json"))) == 1
    monkeypatch.setattr(index_module, "listen", None)  # nothing is heard again
    assert list(index_songs(folder).songs) == ["a.wav"]


@pytest.mark.parametrize("name", ["none", "empty", "useless"])
def test_folder_without_songs_is_refused_in_one_sentence(tmp_path, name):
    (tmp_path / "empty").mkdir()
    write_songs(tmp_path / "useless", silent=BAD["silent"][0])
    with pytest.raises(BadConfig, match="songs=") as refused:
        index_songs(tmp_path / name)
    assert str(refused.value).count(".") >= 1 and "\n" not in str(refused.value)


def test_thousands_of_files_are_looked_through(tmp_path, monkeypatch):
    monkeypatch.setattr(index_module, "read_song", lambda *_, **__: None)
    song = listen(drummed(110, 16))
    monkeypatch.setattr(index_module, "listen", lambda *_: song)
    for folder in range(10):
        (tmp_path / str(folder)).mkdir()
        for number in range(200):
            (tmp_path / str(folder) / f"{number}.mp3").touch()
    assert len(index_songs(tmp_path, progress=False).songs) == 2000


def test_mono_at_8_khz_becomes_stereo_without_a_shift(tmp_path):
    music = drummed(100, 8, rate=8000).mono()
    read = read_song(music.save(tmp_path / "a.wav"), 44100)
    assert read.waveform.shape[0] == 2 and read.seconds == pytest.approx(music.seconds, abs=0.01)
    there = read.resampled(8000).waveform[0][: music.waveform.shape[1]]
    lags = np.correlate(there[:20000], music.waveform[0][:20000], "full")
    assert abs(int(lags.argmax()) - 19999) <= 8
    assert read_song(tmp_path / "a.wav", 44100, until_s=1).seconds == 1


@pytest.mark.parametrize("suffix", [".mp3", ".ogg", ".flac"])
def test_packed_files_are_read_at_their_length(tmp_path, suffix):
    music = drummed(110, 8)
    read = read_song(music.save(tmp_path / f"a{suffix}"), RATE)
    assert read.sample_rate == RATE and read.waveform.shape[0] == 2
    assert read.seconds == pytest.approx(music.seconds, abs=0.1)
