"""The evaluation of edits on sounds whose answer is known: tones of known pitch, clicks on known beats."""

import json
from pathlib import Path

import numpy as np
import pytest
from tests_support_runs import script

from d2m.core.errors import BadInput
from d2m.core.music import Music
from d2m.evaluation.editing_scores import EditEvaluation, editing_table, evaluate_editing
from d2m.metrics.audio_quality import chroma, chroma_similarity

ROOT = Path(__file__).parents[2]
RATE = 22050
A_MAJOR, D_SHARP = (440.0, 554.37, 659.26), (311.13,)


def tones(frequencies, seconds=6.0, every_s=0.5):
    """Decaying tones on a beat; a click makes their beginnings clear."""
    time = np.arange(round(seconds * RATE)) / RATE
    into_beat = time % every_s
    sound = sum(np.sin(2 * np.pi * f * time) for f in frequencies) / len(frequencies)
    click = np.random.default_rng(0).standard_normal(len(time)) * (into_beat < 0.005)
    return Music((0.3 * sound * np.exp(-4 * into_beat) + 0.3 * click)[None].astype(np.float32), RATE)


def beats(seconds, every_s):
    return np.arange(0, seconds, every_s)


def test_chroma_is_of_the_same_key_and_the_same_time():
    song = chroma(tones(A_MAJOR))
    assert chroma_similarity(song, song).profile == pytest.approx(1)
    other_rhythm = chroma_similarity(chroma(tones(A_MAJOR, every_s=0.37)), song)
    other_pitch = chroma_similarity(chroma(tones(D_SHARP)), song)
    transposed = chroma_similarity(chroma(tones([f * 2 ** (1 / 12) for f in A_MAJOR])), song)
    assert other_rhythm.profile > 0.9 and other_rhythm.over_time > 0.9
    assert other_pitch.profile < 0.1 and transposed.profile < 0.3 and transposed.over_time < 0.3
    halves = [
        np.concatenate([tones(a, 3).waveform, tones(b, 3).waveform], 1)
        for a, b in ((A_MAJOR, D_SHARP), (D_SHARP, A_MAJOR))
    ]
    swapped = chroma_similarity(*(chroma(Music(half, RATE)) for half in halves))
    assert swapped.profile > 0.9 and swapped.over_time < 0.3  # all the same pitches, at other times
    silence = chroma_similarity(chroma(Music(np.zeros((1, RATE), np.float32), RATE)), song)
    assert np.isnan(silence.profile) and np.isnan(silence.over_time)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two songs moved onto two dances (one perfectly, one not at all), and music made without the songs."""
    root = tmp_path_factory.mktemp("editing")
    for name in ("edited", "songs", "beats", "generated"):
        (root / name).mkdir()
    tones(A_MAJOR, 3.0).save(root / "songs" / "first.wav")  # half as long as the dance: it begins again
    tones(D_SHARP).save(root / "songs" / "second.wav")
    for dance, song, every_s, frequencies in (("one", "first", 0.4, A_MAJOR), ("two", "second", 0.5, A_MAJOR)):
        tones(frequencies, every_s=every_s).save(root / "edited" / f"{dance}_seed0.wav")
        record = {"edit": str(root / "songs" / f"{song}.wav"), "strength": 0.9}
        (root / "edited" / f"{dance}_seed0.json").write_text(json.dumps(record))
        np.savetxt(root / "beats" / f"{dance}.txt", beats(6, 0.4))
        tones(D_SHARP if song == "first" else A_MAJOR, every_s=0.4).save(root / "generated" / f"{dance}_seed0.wav")
    return root


@pytest.fixture(scope="module")
def content(folders):
    return evaluate_editing(
        EditEvaluation(
            folders / "edited", folders / "beats", folders / "out", generated=folders / "generated", autoencoder="demo"
        )
    )


def by_clip(content, row, measure):
    return [clip[row][measure] for clip in content["clips"]]


def test_a_perfect_edit_has_beats_and_chroma_and_a_bad_one_neither(content):
    assert [clip["clip"] for clip in content["clips"]] == ["one_seed0", "two_seed0"]
    good, bad = by_clip(content, "edited", "beat_f")
    assert good > 0.8 and bad < 0.5
    good, bad = by_clip(content, "edited", "chroma_profile")
    assert good > 0.9 and bad < 0.1
    assert content["rows"]["edited"]["beat_f"]["songs"] == 2 and content["failed"] == {}


def test_floors_and_ceilings_are_what_they_are_called(content):
    assert by_clip(content, "song", "chroma_profile") == pytest.approx([1, 1])
    assert max(by_clip(content, "song", "beat_f")) < 0.6  # beats of another dance
    assert min(by_clip(content, "generated", "beat_f")) > 0.8
    assert max(by_clip(content, "generated", "chroma_profile")) < 0.1
    difference = content["edited_minus_generated"]["chroma_profile"]
    expected = (
        content["rows"]["edited"]["chroma_profile"]["mean"] - content["rows"]["generated"]["chroma_profile"]["mean"]
    )
    assert difference["mean"] == pytest.approx(expected) and difference["songs"] == 2
    assert max(by_clip(content, "other_song", "chroma_over_time")) < 0.1
    through = by_clip(content, "song_through_autoencoder", "chroma_profile")
    assert all(
        other < value < 1
        for value, other in zip(through, by_clip(content, "other_song", "chroma_profile"), strict=True)
    )


def test_what_is_written_is_whole_and_the_table_names_every_row(content, folders):
    assert json.loads((folders / "out" / "editing.json").read_text()) == content
    table = (folders / "out" / "editing.md").read_text()
    assert table == editing_table(content)
    for words in (
        "| edited |",
        "| the song itself |",
        "| another song |",
        "| generated without the song |",
        "| edited less generated, clip by clip |",
        "[",
        "±70 ms",
    ):
        assert words in table


def test_songs_may_lie_elsewhere_and_clips_without_a_song_are_named(folders, tmp_path):
    evaluation = EditEvaluation(folders / "edited", folders / "beats", tmp_path / "out", songs=tmp_path / "songs")
    (tmp_path / "songs").mkdir()
    tones(A_MAJOR).save(tmp_path / "songs" / "first.wav")
    content = evaluate_editing(evaluation)
    assert [clip["clip"] for clip in content["clips"]] == ["one_seed0"]
    assert "found no song 'second' that two_seed0.wav came from" in content["failed"]["two_seed0"]
    one_song = EditEvaluation(
        folders / "generated", folders / "beats", tmp_path / "out", songs=folders / "songs" / "first.wav"
    )
    assert len(evaluate_editing(one_song)["clips"]) == 2


def test_a_folder_without_records_is_one_sentence_of_the_command(folders, tmp_path):
    settings = [f"edited={folders / 'generated'}", f"reference={folders / 'beats'}", f"out={tmp_path}"]
    done = script("evaluate_editing", *settings)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "does not say which song was edited" in done.stderr and "no edited clip could be judged" in done.stderr


def test_dances_without_true_beats_cannot_be_judged(folders, tmp_path):
    for dance in ("one", "two"):  # references by name, but only their sound is known
        tones(A_MAJOR).save(tmp_path / "sounds" / f"{dance}.wav")
    evaluation = EditEvaluation(folders / "edited", tmp_path / "sounds", tmp_path / "out")
    with pytest.raises(BadInput, match="found no true beats of this dance, expected one.txt"):
        evaluate_editing(evaluation)
