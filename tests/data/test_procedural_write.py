"""The procedural data set on disk: AIST++'s layout and names, nothing of the held-out songs in train, resumable."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import soundfile

from d2m.core.aist_names import GENRES, parse_sequence_name, song_tempo_bpm
from d2m.core.errors import BadConfig
from d2m.data.synthetic.songs import RETIMED_BPM
from d2m.data.synthetic.write import (
    DANCERS,
    VERSIONS,
    SongJob,
    excerpt_start_s,
    make_song_sequences,
    plan_sequences,
    write_data_set,
)

SECONDS = 3.0


@pytest.fixture(scope="module")
def test_split(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("procedural")
    write_data_set(root, splits=["test"], processes=1, seconds=SECONDS)
    return root


def test_plan_has_as_many_sequences_as_asked_for_and_each_name_once() -> None:
    plan = plan_sequences(1000)
    names = [planned.name for split in plan.values() for planned in split]
    assert len(names) == len(set(names)) == 1000
    assert {split: len(planned) for split, planned in plan.items()} == {
        "train": 910,
        "val": 20,
        "test": 20,
        "retimed": 50,
    }
    for name in names:
        parts = parse_sequence_name(name)
        assert parts is not None and parts.song[1:3] == parts.genre[1:]
        assert int(parts.dancer[1:]) in DANCERS[parts.genre]
    counts = [sum(planned.song.genre == genre for planned in plan["train"]) for genre in GENRES]
    assert min(counts) == max(counts) == 91


def test_held_out_songs_and_tempi_stay_out_of_train() -> None:
    plan = plan_sequences(1000)
    songs = {split: {planned.song.code for planned in sequences} for split, sequences in plan.items()}
    assert not songs["train"] & (songs["val"] | songs["test"] | songs["retimed"])
    assert not songs["val"] & songs["test"]
    assert {song_tempo_bpm(song) for song in songs["retimed"]} == set(RETIMED_BPM)
    assert not {song_tempo_bpm(song) for song in songs["train"]} & set(RETIMED_BPM)


def test_the_test_split_has_the_names_of_aistpp() -> None:
    names = {planned.name for planned in plan_sequences(200)["test"]}
    assert len(names) == 20
    assert {"gBR_sBM_cAll_d04_mBR0_ch02", "gHO_sBM_cAll_d21_mHO5_ch02", "gKR_sBM_cAll_d30_mKR2_ch02"} <= names


def test_too_few_sequences_and_unknown_splits_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match="sequences=50"):
        plan_sequences(50)
    with pytest.raises(BadConfig, match="splits"):
        write_data_set(tmp_path / "a", splits=["tset"])
    assert not (tmp_path / "a").exists()


def test_files_are_as_aistpp_has_them(test_split: Path) -> None:
    names = (test_split / "splits" / "crossmodal_test.txt").read_text().split()
    assert len(names) == 20 and not (test_split / "splits" / "crossmodal_train.txt").exists()
    assert (test_split / "ignore_list.txt").read_text() == ""
    for folder, suffix in (("motions", ".pkl"), ("wavs", ".wav"), ("beats", ".txt")):
        assert sorted(path.name for path in (test_split / folder).iterdir()) == sorted(name + suffix for name in names)
    for name in names[::7]:
        motion = pickle.loads((test_split / "motions" / f"{name}.pkl").read_bytes())
        assert motion["smpl_poses"].shape == (180, 72) and motion["smpl_trans"].shape == (180, 3)
        assert motion["smpl_scaling"].shape == (1,) and motion["smpl_loss"].shape == (1,)
        sound = soundfile.info(test_split / "wavs" / f"{name}.wav")
        assert (sound.samplerate, sound.channels, sound.subtype) == (44100, 2, "PCM_16")
        assert sound.frames == round(SECONDS * 44100)


def test_beats_are_spaced_by_the_tempo_in_the_name_and_start_anywhere(test_split: Path) -> None:
    phases = []
    for path in (test_split / "beats").iterdir():
        beats = np.loadtxt(path)
        parts = parse_sequence_name(path.stem)
        assert parts is not None and beats.min() >= 0 and beats.max() < SECONDS
        np.testing.assert_allclose(np.diff(beats), 60 / song_tempo_bpm(parts.song), atol=1e-5)
        phases.append(beats[0] * song_tempo_bpm(parts.song) / 60)
    assert np.ptp(phases) > 0.5


def test_beats_are_where_the_song_has_them(test_split: Path) -> None:
    planned = next(each for each in plan_sequences(1000)["test"] if each.song.code == "mHO5")
    start_s = excerpt_start_s(planned, 0, 12.0)
    beats = np.loadtxt(test_split / "beats" / f"{planned.name}.txt")
    in_song = (beats + start_s) * planned.song.bpm / 60
    np.testing.assert_allclose(in_song, np.round(in_song), atol=1e-4)
    wave, rate = soundfile.read(test_split / "wavs" / f"{planned.name}.wav")
    power = np.abs(wave).mean(axis=1)
    after = np.mean([power[int(beat * rate) : int((beat + 0.05) * rate)].mean() for beat in beats[:-1]])
    before = np.mean([power[int((beat - 0.06) * rate) : int((beat - 0.01) * rate)].mean() for beat in beats[1:]])
    assert after > before, "house has a kick on every beat"


def test_only_what_is_missing_is_made_and_it_is_the_same_again(
    test_split: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []

    def spy(job: SongJob) -> int:
        made.extend(planned.name for planned in job.sequences)
        return make_song_sequences(job)

    monkeypatch.setattr("d2m.data.synthetic.write.make_song_sequences", spy)
    lost = sorted((test_split / "motions").iterdir())[3]
    other = sorted((test_split / "wavs").iterdir())[4]
    contents = lost.read_bytes(), other.read_bytes(), other.stat().st_mtime_ns
    lost.unlink()
    write_data_set(test_split, splits=["test"], processes=1, seconds=SECONDS)
    assert made == [lost.stem]
    assert lost.read_bytes() == contents[0]
    assert (other.read_bytes(), other.stat().st_mtime_ns) == contents[1:]


def test_other_settings_do_not_mix_into_a_folder(test_split: Path) -> None:
    manifest = json.loads((test_split / "manifest.json").read_text())
    assert manifest["seed"] == 0 and manifest["sequences"] == {"test": 20}
    with pytest.raises(BadConfig, match="seed"):
        write_data_set(test_split, seed=1, splits=["test"], processes=1, seconds=SECONDS)


def test_a_folder_of_the_sampled_band_says_so_and_takes_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = {split: sequences[:1] for split, sequences in plan_sequences(200).items()}
    monkeypatch.setattr("d2m.data.synthetic.write.plan_sequences", lambda sequences: few)
    monkeypatch.setattr("d2m.data.synthetic.write._SONG_SPARE_S", {"test": 4.0})
    write_data_set(tmp_path, splits=["test"], processes=1, seconds=SECONDS)
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert manifest["band"] == "sampled" and manifest["version"] == VERSIONS["sampled"] != VERSIONS["synthesised"]
    name = few["test"][0].name
    score = json.loads((tmp_path / "scores" / f"{name}.json").read_text())
    beats = np.loadtxt(tmp_path / "beats" / f"{name}.txt")
    starts = np.array([bar["start_s"] for bar in score["bars"]])
    assert all(np.abs(beats - start).min() < 1e-4 for start in starts[(starts >= 0) & (starts < SECONDS)])
    assert starts[0] <= 0 < starts[1] and starts[-1] < SECONDS
    assert all(0 <= bar["energy"] <= 1 and 0 <= bar["chord"][0] < 12 for bar in score["bars"])
    with pytest.raises(BadConfig, match="version"):
        write_data_set(tmp_path, splits=["test"], processes=1, seconds=SECONDS, band="synthesised")
    with pytest.raises(BadConfig, match="band=drums"):
        write_data_set(tmp_path / "b", splits=["test"], band="drums")
