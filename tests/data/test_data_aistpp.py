"""AIST++ from the official folders: what is sound is made, what is not is said, and nothing is made twice or lost."""

import csv
import errno
import json
import os
import pickle
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
from tests_support_official import IGNORED, SECONDS, TEST, TRAIN, UNLISTED, VAL, OfficialTree, write_mp4
from tests_support_official import write_official_tree as write_tree
from tests_support_runs import apart, ended, script

from d2m.core.errors import BadConfig, BadInput
from d2m.core.music import Music
from d2m.data.aistpp import prepare as preparing
from d2m.data.aistpp.annotations import find_sources, read_annotations, shared_songs
from d2m.data.aistpp.prepare import Reason, prepare_aistpp
from d2m.data.layout import DataSetLayout
from d2m.data.preparation import FullDisk
from d2m.motion.dance import Dance

READY = sorted((*TRAIN, *VAL, *TEST, *UNLISTED))


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> OfficialTree:
    return write_tree(tmp_path_factory.mktemp("official"))


@pytest.fixture
def tree(pristine: OfficialTree, tmp_path: Path) -> OfficialTree:
    """A copy that a test may spoil."""
    shutil.copytree(pristine.annotations.parent, tmp_path / "downloads")
    return OfficialTree(tmp_path / "downloads" / "aist_plusplus_final", tmp_path / "downloads" / "videos")


def prepare(tree: OfficialTree, out: Path, **settings):
    return prepare_aistpp(out, tree.annotations, videos=tree.videos, **{"processes": 1, **settings})


def files(root: Path) -> dict[str, tuple[int, int]]:
    """Relative path → (time of last change, size) of motions and wavs, hidden ones too."""
    return {
        str(path.relative_to(root)): (path.stat().st_mtime_ns, path.stat().st_size)
        for folder in ("motions", "wavs")
        for path in (root / folder).iterdir()
    }


@pytest.fixture(scope="module")
def prepared(pristine: OfficialTree, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("prepared") / "aistpp"
    prepare(pristine, out)
    return out


def test_every_sequence_gets_its_motion_and_its_music(pristine: OfficialTree, prepared: Path) -> None:
    assert sorted(path.stem for path in (prepared / "motions").iterdir()) == READY
    assert sorted(path.stem for path in (prepared / "wavs").iterdir()) == READY
    layout = DataSetLayout(prepared)
    for name in READY:
        assert layout.motion(name).read_bytes() == pristine.motion(name).read_bytes()
        sound = soundfile.info(layout.wav(name))
        assert (sound.samplerate, sound.channels, sound.subtype) == (48000, 2, "PCM_16")
        assert sound.duration == Dance.load(layout.motion(name)).seconds == SECONDS


def test_every_sequence_gets_its_beats_by_rule(pristine: OfficialTree, prepared: Path) -> None:
    layout = DataSetLayout(prepared)
    assert sorted(path.stem for path in (prepared / "beats").iterdir()) == READY
    beats_s = np.loadtxt(layout.beats("gHO_sFM_cAll_d19_mHO1_ch01"))
    np.testing.assert_allclose(beats_s, 0.047 + 60 / 115 * np.arange(6), atol=1e-6)
    layout.beats(TEST[0]).unlink()  # as a version left it that wrote none
    prepare(pristine, prepared)
    assert np.loadtxt(layout.beats(TEST[0]))[:2] == pytest.approx([0.047, 0.797])


def test_the_music_is_the_song_from_the_start_of_the_motion(prepared: Path) -> None:
    from d2m.data.synthetic.songs import Song, render_song

    heard = Music.load(DataSetLayout(prepared).wav(TEST[0])).mono().waveform[0]
    song = render_song(Song("mBR0"), SECONDS)
    played = Music(song.waveform, song.sample_rate).resampled(48000).mono().waveform[0][: len(heard)]
    spectrum = np.fft.rfft(heard, 2 * len(heard)) * np.fft.rfft(played, 2 * len(heard)).conj()
    late_samples = int(np.fft.irfft(spectrum).argmax())
    assert min(late_samples, 2 * len(heard) - late_samples) < 0.001 * 48000


def test_lists_can_be_read_and_the_authors_are_kept(pristine: OfficialTree, prepared: Path) -> None:
    layout = DataSetLayout(prepared)
    assert layout.names("train") == list(TRAIN)  # the ignored one is left out
    assert layout.names("val") == list(VAL) and layout.names("test") == list(TEST)
    for split in ("train", "val", "test"):
        copy = prepared / "splits" / f"crossmodal_{split}.txt"
        assert copy.read_bytes() == (pristine.annotations / "splits" / copy.name).read_bytes()
    assert (prepared / "ignore_list_official.txt").read_text().split() == list(IGNORED)
    tuning = layout.names("tuning_train"), layout.names("tuning_val")
    assert sorted([*tuning[0], *tuning[1]]) == sorted(TRAIN)
    assert len(tuning[1]) == 1 and not shared_songs(*tuning)


def test_the_table_says_what_names_say(prepared: Path) -> None:
    with open(prepared / "sequences.csv") as file:
        rows = {row["name"]: row for row in csv.DictReader(file)}
    assert sorted(rows) == READY
    assert rows["gHO_sFM_cAll_d19_mHO1_ch01"] == {
        "name": "gHO_sFM_cAll_d19_mHO1_ch01", "split": "train", "genre": "gHO", "dancer": "d19", "song": "mHO1",
        "tempo_bpm": "115", "seconds": "3.000",
    }  # fmt: skip
    assert rows[UNLISTED[0]]["split"] == "" and rows[TEST[0]]["split"] == "test"


def test_a_second_run_makes_only_what_is_missing(pristine: OfficialTree, prepared: Path, capsys) -> None:
    before = files(prepared)
    (prepared / "motions" / f"{TRAIN[0]}.pkl").unlink()
    (prepared / "wavs" / f"{VAL[0]}.wav").unlink()
    (prepared / "wavs" / f"{TEST[0]}.wav").write_bytes(b"")
    preparation = prepare(pristine, prepared)
    assert preparation.made == tuple(sorted((TRAIN[0], VAL[0], TEST[0])))
    assert f"{len(READY)} sequences are ready: 3 made, {len(READY) - 3} were there already" in capsys.readouterr().out
    after = files(prepared)
    assert after.keys() == before.keys()
    assert sum(after[path] != before[path] for path in after) == 6
    assert {path: size for path, (_, size) in after.items()} == {path: size for path, (_, size) in before.items()}


def test_bad_sequences_are_left_out_with_a_reason_and_the_rest_goes_on(
    tree: OfficialTree, tmp_path: Path, capsys
) -> None:
    corrupt, silent, mute, cut_off, longer, missing = READY
    tree.motion(corrupt).write_bytes(tree.motion(corrupt).read_bytes()[:5000])
    write_mp4(tree.video(silent), Music(np.zeros((2, 48000 * 3), np.float32), 48000), SECONDS)
    write_mp4(tree.video(mute), None, SECONDS)
    tree.video(cut_off).write_bytes(tree.video(cut_off).read_bytes()[:30000])
    noise = np.random.default_rng(0).normal(0, 0.1, (2, 48000 * 4)).astype(np.float32)
    write_mp4(tree.video(longer), Music(noise, 48000), 3.2)
    tree.video(missing).rename(tree.videos / "another.mp4")
    good = [IGNORED[0]]
    (tree.annotations / "ignore_list.txt").write_text(f"{TRAIN[0]}_that_is_not_there\n")
    with open(tree.annotations / "splits" / "crossmodal_train.txt", "a") as train:
        train.write("gWA_sBM_cAll_d25_mWA1_ch01\n")
    out = tmp_path / "out"
    preparation = prepare(tree, out)
    expected = {
        corrupt: Reason.BAD_MOTION, silent: Reason.NO_SOUND, mute: Reason.NO_SOUND, cut_off: Reason.BAD_MUSIC_FILE,
        longer: Reason.LENGTH_MISMATCH, missing: Reason.NO_MUSIC_FILE, "gWA_sBM_cAll_d25_mWA1_ch01": Reason.NO_MOTION,
    }  # fmt: skip
    assert {name: result.reason for name, result in preparation.skipped.items()} == expected
    assert preparation.made == tuple(good)
    assert {path.split("/")[1] for path in files(out)} == {f"{good[0]}.pkl", f"{good[0]}.wav"}
    printed = capsys.readouterr().out
    assert "length mismatch: 1" in printed and "3.20 s of sound for 3.00 s of motion" in printed
    lines = [line.split("\t") for line in (out / "skipped.txt").read_text().splitlines()]
    assert {line[0]: line[1] for line in lines} == {name: reason.value for name, reason in expected.items()}
    report = json.loads((out / "prepare_report.json").read_text())
    assert report["left_out"]["no audio track"] == 2 and report["splits"]["train"] == {"listed": 5, "ready": 1}
    assert DataSetLayout(out).names("train") == good, "what is left out is in no list any more"


def test_what_was_left_out_comes_in_once_it_is_mended(tree: OfficialTree, tmp_path: Path) -> None:
    away = tree.video(TRAIN[1]).rename(tmp_path / "away.mp4")
    prepare(tree, tmp_path / "out")
    layout = DataSetLayout(tmp_path / "out")
    assert TRAIN[1] not in layout.names("train")
    away.rename(tree.video(TRAIN[1], "c05"))
    assert prepare(tree, tmp_path / "out").made == (TRAIN[1],)
    assert layout.names("train") == list(TRAIN)


def test_another_camera_is_taken_where_one_cannot_be_used(tree: OfficialTree, tmp_path: Path) -> None:
    name = TEST[0]
    (tree.videos / "more").mkdir()
    tree.video(name).rename(tree.videos / "more" / tree.video(name, "c09").name)
    tree.video(name, "c02").write_bytes(b"not a video" * 100)
    write_mp4(tree.video(name, "c03"), None, SECONDS)
    preparation = prepare(tree, tmp_path / "out")
    assert name in preparation.made
    notes = preparation.notes[name]
    assert len(notes) == 2 and "_c02_" in notes[0] and "no audio track" in notes[1]


def test_lengths_may_differ_by_the_tolerance_and_the_music_ends_with_the_motion(
    tree: OfficialTree, tmp_path: Path
) -> None:
    noise = Music(np.random.default_rng(0).normal(0, 0.1, (2, 48000 * 4)).astype(np.float32), 48000)
    write_mp4(tree.video(TEST[0]), noise, 3.5, fps=30)
    write_mp4(tree.video(VAL[0]), noise, 2.95)
    preparation = prepare(tree, tmp_path / "out", length_tolerance_s=0.6)
    layout = DataSetLayout(tmp_path / "out")
    assert soundfile.info(layout.wav(TEST[0])).duration == SECONDS
    assert soundfile.info(layout.wav(VAL[0])).duration == pytest.approx(2.95, abs=0.001)
    assert "30 pictures a second" in preparation.notes[TEST[0]][0]


def test_wavs_in_place_of_videos(tree: OfficialTree, prepared: Path, tmp_path: Path) -> None:
    wavs = tmp_path / "wavs"
    wavs.mkdir()
    for name in TRAIN:
        shutil.copy(prepared / "wavs" / f"{name}.wav", wavs)
    (wavs / f"{TEST[0]}.wav").write_bytes(b"RIFF")
    preparation = prepare_aistpp(tmp_path / "out", tree.annotations.parent, wavs=wavs, unlisted=False, processes=1)
    assert preparation.made == tuple(sorted(TRAIN))
    assert preparation.reasons() == {"missing video or wav": 1, "corrupt video or wav": 1, "ignore list": 1}
    assert any("none of the lists" in warning for warning in preparation.warnings)
    for name in TRAIN:
        assert (tmp_path / "out" / "wavs" / f"{name}.wav").read_bytes() == (wavs / f"{name}.wav").read_bytes()


def test_worker_processes_make_the_same_files(tree: OfficialTree, prepared: Path, tmp_path: Path) -> None:
    tree.video(TRAIN[0]).write_bytes(b"")
    preparation = prepare(tree, tmp_path / "out", processes=2)
    assert preparation.made == tuple(name for name in READY if name != TRAIN[0])
    for path in files(tmp_path / "out"):
        assert (tmp_path / "out" / path).read_bytes() == (prepared / path).read_bytes()


def test_a_full_disk_stops_and_loses_nothing(tree: OfficialTree, tmp_path: Path, monkeypatch) -> None:
    written = []

    def write(path: Path, content: bytes) -> None:
        if len(written) == 8:  # the third sequence's motion
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written.append(path)
        write_whole(path, content)

    write_whole = preparing.write_whole
    monkeypatch.setattr(preparing, "write_whole", write)
    out = tmp_path / "out"
    with pytest.raises(FullDisk, match="no space left"):
        prepare(tree, out)
    kept = files(out)
    assert len(kept) == 5 and not (out / "prepare_report.json").exists()
    monkeypatch.undo()
    assert prepare(tree, out).found == tuple(READY[:2])
    assert all(files(out)[name] == kept[name] for path in written[:6] if (name := str(path.relative_to(out))) in kept)
    assert DataSetLayout(out).names("train") == list(TRAIN)


def test_a_killed_run_leaves_no_half_file_and_is_resumed(tree: OfficialTree, prepared: Path, tmp_path: Path) -> None:
    """The last sequence's video is a pipe into which nobody writes, so the run is killed in the middle of it."""
    out, blocked = tmp_path / "out", tree.video(READY[-1])
    video = blocked.read_bytes()
    blocked.unlink()
    os.mkfifo(blocked)
    settings = ["dataset=aistpp", "dataset.prepare.processes=1", f"videos={tree.videos}", f"out={out}"]
    run = apart(script, "prepare", f"annotations={tree.annotations}", *settings)
    deadline = time.monotonic() + 600
    while len(list(out.glob("motions/*.pkl"))) < len(READY) - 1 and time.monotonic() < deadline:
        assert run.is_alive()
        time.sleep(0.05)
    run.kill()
    assert ended(run) == -signal.SIGKILL
    for path in files(out):
        assert (out / path).read_bytes() == (prepared / path).read_bytes()
    assert not (out / "splits" / "crossmodal_train.txt").exists(), "an unfinished data set has no lists"
    (out / "wavs" / f".{READY[-1]}.x1y2.wav").write_bytes(b"half")  # as if it had been killed while it wrote
    blocked.unlink()
    blocked.write_bytes(video)
    assert prepare(tree, out).made == (READY[-1],)
    assert files(out).keys() == files(prepared).keys()


def test_the_script_prints_a_summary_and_one_sentence_for_a_mistake(tree: OfficialTree, tmp_path: Path) -> None:
    folders = [f"videos={tree.videos}", f"wavs={tree.videos}", f"out={tmp_path / 'out'}"]
    run = script("prepare", "dataset=aistpp", f"annotations={tree.annotations}", *folders)
    assert run.returncode == 2 and run.stderr.startswith("error: found both of videos= and wavs=")
    assert len(run.stderr.splitlines()) == 1


def test_motions_and_beats_need_no_music(tree: OfficialTree, prepared: Path, tmp_path: Path) -> None:
    """The folder has lists, motions and beats by rule; what needs music says so; a run with videos adds it."""
    out = tmp_path / "out"
    tree.motion(UNLISTED[0]).write_bytes(b"junk")
    settings = ["dataset=aistpp", "dataset.prepare.processes=1", f"annotations={tree.annotations}", f"out={out}"]
    run = script("prepare", *settings)
    ready = [name for name in READY if name != UNLISTED[0]]
    assert (
        run.returncode == 0 and f"{len(ready)} sequences are ready" in run.stdout and "corrupt motion: 1" in run.stdout
    )
    assert "motions and beats only, as neither videos= nor wavs= is given" in run.stdout
    layout = DataSetLayout(out)
    assert sorted(path.stem for path in (out / "motions").iterdir()) == ready and not (out / "wavs").exists()
    for name in ready:
        assert layout.beats(name).read_bytes() == DataSetLayout(prepared).beats(name).read_bytes()
    assert layout.names("train") == list(TRAIN)
    with open(out / "sequences.csv") as file:
        assert {row["seconds"] for row in csv.DictReader(file)} == {f"{SECONDS:.3f}"}
    again = prepare_aistpp(out, tree.annotations, processes=1)
    assert again.made == () and len(again.found) == len(ready)
    for command in (("encode", "dataset=aistpp", f"root={out}"), ("train", "experiment=demo", f"data.root={out}")):
        run = script(*command, f"out={tmp_path / 'run'}") if command[0] == "train" else script(*command)
        assert run.returncode == 2 and f"there is no music in {out / 'wavs'}" in run.stderr, run.stderr
        assert len(run.stderr.splitlines()) == 1
    with_music = prepare(tree, out)
    assert list(with_music.made) == ready and DataSetLayout(out).music_hint() == ""


def test_without_music_motions_are_still_needed(tree: OfficialTree, tmp_path: Path) -> None:
    for path in (tree.annotations / "motions").iterdir():
        path.write_bytes(b"junk")
    with pytest.raises(BadInput, match=r"not one sequence .*corrupt motion 6.*expected sound motions"):
        prepare_aistpp(tmp_path / "out", tree.annotations, processes=1)


def spoilt(tree: OfficialTree, how: str) -> Path:
    """The annotations made into something else; what to give as `annotations`."""
    root = tree.annotations
    if how == "keypoints only":
        shutil.rmtree(root / "motions")
    elif how == "no splits":
        shutil.rmtree(root / "splits")
    elif how == "other lists":
        (root / "splits" / "crossmodal_test.txt").unlink()
    elif how == "no motions":
        for path in (root / "motions").iterdir():
            path.unlink()
    elif how == "other pickles":
        for path in (root / "motions").iterdir():
            path.write_bytes(pickle.dumps({"keypoints3d": np.zeros((9, 17, 3))}))
    elif how == "a part":
        return root / "motions"
    elif how == "nothing":
        return root / "nothing"
    return root


@pytest.mark.parametrize(
    ("how", "sentence"),
    [
        ("keypoints only", "keypoints without SMPL motions"),
        ("no splits", "the lists are missing"),
        ("other lists", "crossmodal_test.txt: not found"),
        ("no motions", "found no .pkl files"),
        ("other pickles", "found pickles with keypoints3d, expected smpl_poses"),
        ("a part", "give the folder above"),
        ("nothing", "no such folder"),
    ],
)
def test_other_folders_are_not_taken_for_annotations(tree: OfficialTree, how: str, sentence: str) -> None:
    with pytest.raises((BadInput, BadConfig), match=sentence):
        read_annotations(spoilt(tree, how))


def test_one_corrupt_pickle_is_not_another_version(tree: OfficialTree) -> None:
    tree.motion(sorted((*READY, *IGNORED))[0]).write_bytes(b"\x80\x04corrupt")
    assert len(read_annotations(tree.annotations.parent).motions) == len(READY) + 1


def test_music_must_come_from_one_place_and_be_of_sequences(tree: OfficialTree, tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match="one of them"):
        find_sources(tree.videos, tree.videos)
    assert find_sources(None, None) is None
    with pytest.raises(BadConfig, match="no such folder"):
        find_sources(tmp_path / "nowhere", None)
    with pytest.raises(BadInput, match="found no .mp4"):
        find_sources(tree.annotations, None)
    (tmp_path / "mBR0.wav").write_bytes(b"")
    with pytest.raises(BadInput, match=r"found songs \(mBR0.wav\)"):
        find_sources(None, tmp_path)


def test_the_cameras_of_a_sequence_are_one_sequence_and_of_nothing_else(tmp_path: Path) -> None:
    for camera in ("c03", "c01", "cAll"):
        (tmp_path / f"gBR_sBM_{camera}_d04_mBR0_ch01.MP4").write_bytes(b"")
    (tmp_path / "gBR_sBM_c01_d04_mBR0_ch010.mp4").write_bytes(b"")
    (tmp_path / "gBR_sBM_c01_d04_mBR0_ch01_seed0.mp4").write_bytes(b"")
    found = find_sources(tmp_path, None).of("gBR_sBM_cAll_d04_mBR0_ch01")
    assert [path.stem.split("_")[2] for path in found] == ["cAll", "c01", "c03"]
    assert find_sources(tmp_path, None).of("gBR_sBM_cAll_d04_mBR0_ch07") == ()


def test_a_folder_that_is_read_from_is_not_written_to(tree: OfficialTree) -> None:
    before = sorted(str(path) for path in tree.annotations.rglob("*"))
    with pytest.raises(BadConfig, match="read from"):
        prepare(tree, tree.annotations)
    assert sorted(str(path) for path in tree.annotations.rglob("*")) == before


def test_not_one_usable_sequence_is_an_error(tree: OfficialTree, tmp_path: Path) -> None:
    for path in tree.videos.iterdir():
        path.rename(path.with_stem(path.stem.replace("_ch", "_ch9")))
    with pytest.raises(BadInput, match=r"not one sequence .*missing video or wav 6"):
        prepare(tree, tmp_path / "out")
    assert (tmp_path / "out" / "skipped.txt").exists()
