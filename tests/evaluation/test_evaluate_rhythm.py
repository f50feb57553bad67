"""Where sync is lost: beats read from the motion beside beats heard in the music, and references that are names alone."""

import json
from pathlib import Path

import numpy as np
import pytest
from tests_support_evaluate import SECONDS, SONGS, beats_of, clicks, write_folders

from d2m.core.aist_names import grid_beats_s
from d2m.core.errors import BadInput
from d2m.evaluation.comparison import Run, write_leaderboard
from d2m.evaluation.records import GivenBeats, checkpoints_of
from d2m.evaluation.references import find_references
from d2m.evaluation.report.page import write_report
from d2m.evaluation.scores import Scores, score_folders
from d2m.evaluation.tables import genre_table, leftovers, protocol_table, summary_table

RIGHT, EARLY, TOLD = SONGS
"""The first dance is read right and its music obeys; the second is read a quarter beat early, and its music obeys that; the third
was told other beats than the dance has, which its music does not follow."""


def say(root: Path, name: str, **beats) -> None:
    record = {"genre": name[:3], "beats": {"bpm": 100.0, "confidence": 0.7, "alternatives": [], **beats}}
    (root / "generated" / f"{name}_seed0.json").write_text(json.dumps(record))


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    root = write_folders(tmp_path_factory.mktemp("evaluate"))
    bpm, start_s = SONGS[EARLY]
    early = beats_of(bpm, start_s + 15 / bpm)
    clicks(root / "generated" / f"{EARLY}_seed0.wav", early)
    say(root, RIGHT, beats_s=beats_of(*SONGS[RIGHT]).tolist(), source="read", shift=0.0)
    say(root, EARLY, beats_s=early.tolist(), source="read", shift=0)
    say(root, TOLD, beats_s=beats_of(90, 0.0).tolist(), source="tempo", shift=0.0)
    return root


@pytest.fixture(scope="module")
def scores(root: Path) -> Scores:
    return score_folders(root / "generated", root / "wavs", dances=root / "dances", resamples=50, progress=False)


def test_read_and_heard_tell_where_sync_is_lost(scores: Scores) -> None:
    content = json.loads(json.dumps(scores.to_json(), allow_nan=False))
    read, heard = content["rhythm"]["read"], content["rhythm"]["heard"]
    assert set(read) == set(heard) == set(content["summary"])
    assert (
        read["beat_f"]["70"]["clips"] == 2 and heard["beat_f"]["70"]["clips"] == 3
    )  # nothing was read where one was told
    assert read["beat_f"]["70"]["mean"] == pytest.approx(0.5)
    assert read["tempo_within_2_percent"]["mean"] == read["tempo_related"]["mean"] == 1
    assert read["motion_genre_accuracy"]["mean"] == 1
    clips = {clip["name"]: clip for clip in content["clips"]}
    assert clips[RIGHT]["read_beat_f_70"] == 1 and clips[RIGHT]["heard_beat_f_70"] > 0.85
    assert clips[EARLY]["read_beat_f_70"] == 0 and clips[EARLY]["heard_beat_f_70"] > 0.85
    assert clips[EARLY]["metrics"]["beat_f_70"] == 0  # against the truth, which stays the headline
    assert clips[TOLD]["read_beat_f_70"] is None and clips[TOLD]["heard_beat_f_70"] < 0.5
    assert (clips[TOLD]["given_beats_from"], clips[TOLD]["read_confidence"]) == ("tempo", 0.7)
    assert heard["interval_deviation_ms"]["mean"] < 15 and heard["onset_f"]["mean"] is None
    genres = content["genres"]
    assert (genres["gBR"]["read_beat_f_70"], genres["gHO"]["read_beat_f_70"]) == (1, 0)
    assert genres["gLO"]["read_beat_f_70"] is None


def test_the_rows_are_printed_with_the_floors_of_motion(scores: Scores, tmp_path: Path) -> None:
    content = scores.to_json()
    lines = summary_table(content).splitlines()
    order = [next(i for i, line in enumerate(lines) if line.startswith(title)) for title in (
        "floor    motion_speed", "floor    motion_minima", "rhythm   read", "rhythm   heard", "system", "ceiling  reference",
    )]  # fmt: skip
    assert order == sorted(order)
    assert "rhythm" not in protocol_table(content) and "read  heard" in genre_table(content).splitlines()[0]
    scores.write(tmp_path)
    table = (tmp_path / "table.md").read_text()
    assert "| read: beats from the motion, before any music | 0.50" in table and "tempo related" in table
    page = write_report(content, dict(scores.audio), tmp_path).read_text()
    assert page.count('<tr class="rhythm">') >= 2 and "heard: the music&#39;s beats against those given" in page
    rows = write_leaderboard([Run("mine", content)], tmp_path)[0].read_text().splitlines()
    assert "| beat F ±70 ms, read | beat F ±70 ms, heard |" in rows[0]
    assert len({row.count("|") for row in rows if row.startswith("|")}) == 1


def test_beats_that_a_user_moved_are_not_read() -> None:
    beats_s = np.arange(4.0)
    assert GivenBeats(beats_s, "read", 0.0).are_read and not GivenBeats(beats_s, "read", 0.5).are_read
    assert not GivenBeats(beats_s, "file", 0.0).are_read and not GivenBeats(beats_s, "tempo", 0.0).are_read


def test_music_that_says_nothing_has_no_such_rows(tmp_path: Path) -> None:
    root = write_folders(tmp_path)
    content = score_folders(root / "generated", root / "wavs", resamples=50, progress=False).to_json()
    assert content["rhythm"] == {} and content["clips"][0]["given_beats_s"] is None
    assert "read" not in genre_table(content).splitlines()[0]


@pytest.mark.parametrize("beats_s", [[1.0, 0.5], [-1.0], ["a"], None])
def test_bad_beats_are_a_note_and_the_clip_is_scored(root: Path, tmp_path: Path, beats_s) -> None:
    wav = tmp_path / f"{RIGHT}_seed0.wav"
    wav.write_bytes((root / "generated" / wav.name).read_bytes())
    wav.with_suffix(".json").write_text(json.dumps({"beats": {"beats_s": beats_s}, "checkpoint_sha256": ["a"]}))
    with pytest.raises(BadInput, match=r"seed0\.json: found beats that cannot be used"):
        GivenBeats.beside(wav)
    assert checkpoints_of([wav]) == []
    content = score_folders(tmp_path, root / "wavs", resamples=50, progress=False, protocols="none").to_json()
    assert content["rhythm"] == {} and "cannot be used" in content["clips"][0]["notes"][0]


def test_names_of_aist_have_their_beats_by_rule(root: Path, tmp_path: Path) -> None:
    """Sound without lists: the rule for songs of AIST, the tracker for others and where it is asked for."""
    wavs = tmp_path / "reference"
    wavs.mkdir()
    for name in SONGS:
        (wavs / f"{name}.wav").write_bytes((root / "wavs" / f"{name}.wav").read_bytes())
    content = score_folders(root / "generated", wavs, resamples=50, progress=False, protocols="none").to_json()
    clips = {clip["name"]: clip for clip in content["clips"]}
    assert [clips[name]["reference_beats_from"] for name in SONGS] == ["rule", "rule", "tracked"]
    expected = grid_beats_s(RIGHT, SECONDS)
    assert expected is not None and np.allclose(clips[RIGHT]["reference_beats_s"], expected, atol=1e-4)
    assert "2 of 3 references have no beat list: theirs are by AIST++'s rule" in leftovers(content)
    assert find_references(wavs, true_beats=False)[RIGHT].by_rule is False


@pytest.mark.parametrize("inside", ["", "motions"])
def test_a_folder_of_motions_is_a_reference_by_its_names(root: Path, tmp_path: Path, inside: str) -> None:
    reference = tmp_path / "reference"
    (reference / inside).mkdir(parents=True)
    for name in (RIGHT, EARLY, TOLD):
        (reference / inside / f"{name}.npy").write_bytes((root / "dances" / f"{name}.npy").read_bytes())
    (reference / "wavs").mkdir()  # empty, as where nothing was found to put into it
    assert sorted(find_references(reference)) == [RIGHT, EARLY]  # the third one's song is none of AIST's
    content = score_folders(root / "generated", reference, resamples=50, progress=False, protocols="none").to_json()
    clips = {clip["name"]: clip for clip in content["clips"]}
    assert set(clips) == {RIGHT, EARLY} and clips[RIGHT]["judged_seconds"] == pytest.approx(SECONDS, abs=0.02)
    assert {clip["reference_beats_from"] for clip in clips.values()} == {"rule"}
    assert {"motion_speed", "motion_minima", "random_song"} <= set(content["floors"])
    (reference / inside / f"{RIGHT}.npy").write_bytes(b"")
    broken = score_folders(root / "generated", reference, resamples=50, progress=False, protocols="none")
    assert [failed.clip for failed in broken.failed] == [f"{RIGHT}_seed0"]
