"""Whole evaluations of click tracks: the system, its floors and its ceilings, and what a user sees of mistakes."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from d2m.errors import BadInput
from d2m.music import Music
from evaluate.baselines import draw_other_songs, metronome
from evaluate.clips import Truth, genre_said, score_clip
from evaluate.scores import score_folders
from evaluate.tables import genre_table, leftovers, summary_table
from evaluate.trackers import Heard

RATE = 22050
SECONDS = 6.5
SONGS = {
    "gBR_sBM_cAll_d04_mBR0_ch02": (80, 0.31),
    "gHO_sBM_cAll_d20_mHO5_ch02": (135, 0.12),
    "gLO_sBM_cAll_d13_mLOT107_ch02": (107, 0.23),
}


def clicks(path: Path, beats_s: np.ndarray, seconds: float = SECONDS) -> None:
    waveform = np.zeros(round(seconds * RATE), dtype=np.float32)
    burst = np.random.default_rng(0).normal(size=1500) * np.exp(-np.arange(1500) / 200) * 0.3
    for at in np.round(beats_s * RATE).astype(int):
        length = min(len(burst), len(waveform) - at)
        waveform[at : at + length] += burst[:length].astype(np.float32)
    Music(waveform[None], RATE).save(path)


def dance_features(beats_s: np.ndarray) -> np.ndarray:
    """A body that slides to and fro and halts on every beat."""
    frames_s = np.arange(round(SECONDS * 60)) / 60
    period_s = beats_s[1] - beats_s[0]
    features = np.zeros((len(frames_s), 219), dtype=np.float32)
    features[:, 0] = np.cos(np.pi * (frames_s - beats_s[0]) / period_s)
    features[:, 3:] = np.tile(np.eye(3, dtype=np.float32).ravel(), 24)
    return features


def beats_of(bpm: float, start_s: float) -> np.ndarray:
    return np.arange(start_s, SECONDS - 0.05, 60 / bpm)


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """Three songs; generated music is right for the first two and 0.14 s late for the third."""
    root = tmp_path_factory.mktemp("evaluate")
    for folder in ("wavs", "beats", "dances", "generated"):
        (root / folder).mkdir()
    for name, (bpm, start_s) in SONGS.items():
        beats_s = beats_of(bpm, start_s)
        clicks(root / "wavs" / f"{name}.wav", beats_s)
        np.savetxt(root / "beats" / f"{name}.txt", beats_s, fmt="%.4f")
        np.save(root / "dances" / f"{name}.npy", dance_features(beats_s))
        late_s = 0.14 if "gLO" in name else 0.0
        clicks(root / "generated" / f"{name}_seed0.wav", beats_of(bpm, start_s + late_s))
        said = {"genre": "gHO" if "gLO" in name else name[:3]}
        (root / "generated" / f"{name}_seed0.json").write_text(json.dumps(said))
    return root


@pytest.fixture(scope="module")
def scores(root):
    folders = {"dances": root / "dances", "roundtrip": root / "wavs"}
    return score_folders(root / "generated", root / "wavs", **folders, resamples=200, progress=False)


def test_scores_json_has_the_agreed_shape(scores):
    content = json.loads(json.dumps(scores.to_json(), allow_nan=False))
    assert next(iter(content)) == "summary"
    for tolerance in ("50", "70", "100", "200"):
        assert {"mean", "low", "high"} <= set(content["summary"]["beat_f"][tolerance])
    assert {"within_2_percent", "octave_errors"} == set(content["summary"]["tempo"])
    assert {"motion", "music"} == set(content["summary"]["alignment"])
    assert {"coverage", "hit"} == set(content["protocols"]["d2md"])
    floors = {"random_song", "metronome_120", "silence", "motion_speed", "motion_minima"}
    assert set(content["floors"]) == floors
    assert set(content["ceilings"]) == {"reference", "reference_through_dmae"}
    assert set(content["genres"]) == {"gBR", "gHO", "gLO"}
    row = content["clips"][0]
    assert row["name"] == "gBR_sBM_cAll_d04_mBR0_ch02_seed0" and row["seed"] == 0
    assert row["reference_beats_s"] and row["generated_beats_s"] and row["kinematic_beats_s"]


def test_right_music_scores_and_late_music_does_not(scores):
    rows = {row["genre"]: row for row in scores.to_json()["clips"]}
    for genre in ("gBR", "gHO"):
        assert rows[genre]["beat_f_70"] > 0.85
        assert rows[genre]["onset_f"] > 0.95
        assert rows[genre]["log_mel_l1"] < 0.01
        assert rows[genre]["genre_accuracy"] == 1
    assert rows["gLO"]["beat_f_70"] < 0.15 and rows["gLO"]["beat_f_200"] > 0.85
    assert rows["gLO"]["tempo_within_2_percent"] == 1
    assert rows["gLO"]["genre_accuracy"] == 0
    assert [rows[genre]["reference_tempo_bpm"] for genre in ("gBR", "gHO", "gLO")] == [80, 135, 107]


def test_floors_lie_below_and_ceilings_above(scores):
    content = scores.to_json()
    system = content["summary"]["beat_f"]["70"]["mean"]
    ceiling = content["ceilings"]["reference"]["beat_f"]["70"]["mean"]
    assert content["floors"]["silence"]["beat_f"]["70"]["mean"] == 0
    assert content["floors"]["random_song"]["beat_f"]["70"]["mean"] < 0.5 < system < ceiling
    assert content["floors"]["random_song"]["beat_f"]["70"]["clips"] == 6
    assert content["ceilings"]["reference_through_dmae"]["beat_f"] == content["ceilings"]["reference"]["beat_f"]
    assert content["ceilings"]["reference"]["onset_f"]["mean"] == 1
    assert content["ceilings"]["reference"]["protocols"]["d2md"]["coverage"] == 1


def test_a_dance_that_halts_on_every_beat_gives_the_beat_away(scores):
    content = scores.to_json()
    assert content["floors"]["motion_minima"]["beat_f"]["70"]["mean"] > 0.9
    assert content["ceilings"]["reference"]["alignment"]["motion"]["mean"] > 0.7
    assert content["floors"]["silence"]["alignment"]["music"]["mean"] == 0


def test_same_files_same_scores(root, scores):
    again = score_folders(
        root / "generated", root, dances=root / "dances", roundtrip=root / "wavs", resamples=200, progress=False
    ).to_json()
    assert again | {"config": None} == scores.to_json() | {"config": None}


def test_written_files_and_tables(scores, tmp_path):
    scores.write(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clips.csv", "scores.json"]
    rows = list(csv.DictReader((tmp_path / "clips.csv").open()))
    assert len(rows) == 3 and 0 <= float(rows[0]["beat_f_70"]) <= 1
    table = summary_table(scores.to_json())
    for title in ("random_song", "metronome_120", "silence", "system", "reference_through_dmae"):
        assert title in table
    assert "house" in genre_table(scores.to_json())


def test_beat_lists_alone_are_a_reference(root):
    content = score_folders(root / "generated", root / "beats", resamples=50, progress=False).to_json()
    assert content["summary"]["onset_f"]["mean"] is None and content["ceilings"] == {}
    assert content["summary"]["beat_f"]["200"]["mean"] > 0.85
    assert content["clips"][0]["reference_beats_from"] == "true"
    assert "random_song" in content["floors"]


def test_wavs_alone_are_tracked_and_the_reader_is_told(root):
    scored = score_folders(root / "generated", root / "wavs", true_beats=False, resamples=50, progress=False).to_json()
    assert {row["reference_beats_from"] for row in scored["clips"]} == {"tracked"}
    assert scored["ceilings"]["reference"]["beat_f"]["50"]["mean"] == 1
    assert "by construction" in leftovers(scored)


def test_bad_files_are_listed_and_good_ones_scored(root, tmp_path):
    first, second, third = SONGS
    for folder in ("generated", "reference"):
        (tmp_path / folder).mkdir()
    for name, (bpm, start_s) in SONGS.items():
        clicks(tmp_path / "generated" / f"{name}.wav", beats_of(bpm, start_s))
        clicks(tmp_path / "reference" / f"{name}.wav", beats_of(bpm, start_s))
    (tmp_path / "generated" / f"{second}.wav").write_bytes(b"")
    (tmp_path / "reference" / f"{third}.txt").write_text("soon\n")
    content = score_folders(tmp_path / "generated", tmp_path / "reference", resamples=50, progress=False).to_json()
    assert [row["name"] for row in content["clips"]] == [first]
    assert len(content["bad_files"]) == 2
    assert content["summary"]["beat_f"]["70"]["low"] is None
    text = leftovers(content)
    assert second in text and third in text and "only one song" in text


def test_nothing_scorable_is_an_error(tmp_path):
    (tmp_path / "generated").mkdir()
    (tmp_path / "reference").mkdir()
    (tmp_path / "generated" / "a.wav").write_bytes(b"junk")
    (tmp_path / "reference" / "a.txt").write_text("1\n2\n")
    with pytest.raises(BadInput, match="a.wav"):
        score_folders(tmp_path / "generated", tmp_path / "reference", progress=False)


def test_shorter_music_is_judged_over_what_both_have(root, tmp_path):
    name, (bpm, start_s) = next(iter(SONGS.items()))
    clicks(tmp_path / f"{name}_seed0.wav", beats_of(bpm, start_s)[:5], seconds=4.0)
    row = score_folders(tmp_path, root / "wavs", resamples=50, progress=False).to_json()["clips"][0]
    assert row["seconds"] == 4.0
    assert max(row["reference_beats_s"] + row["generated_beats_s"]) < 4.0


def test_silent_generated_music_scores_zero():
    truth = Truth.of("song", 6.0, np.arange(0.5, 6, 0.5), None)
    metrics = score_clip(truth, Heard(np.zeros(0), np.zeros(0))).metrics
    assert metrics["beat_f_200"] == metrics["d2md_hit"] == metrics["tempo_within_2_percent"] == 0
    assert truth.tempo_bpm == pytest.approx(120) and truth.song == "song"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"genre": "gBR", "genre_predicted": true}', "gBR"),
        ('{"genre": "gBR"}', "gBR"),
        ('{"genre": "gBR", "genre_predicted": false}', None),
        ('{"genre": 3}', None),
        ("[]", None),
        ("{", None),
    ],
)
def test_genre_is_judged_only_where_it_was_predicted(tmp_path, text, said):
    (tmp_path / "a_seed0.json").write_text(text)
    assert genre_said(tmp_path / "a_seed0.wav") == said
    assert genre_said(tmp_path / "b.wav") is None


def test_metronome_at_the_right_tempo_scores_by_its_phase():
    on_time = Truth.of("song", 6.0, np.arange(0.0, 6, 0.5), None)
    off_beat = Truth.of("song", 6.0, np.arange(0.25, 6, 0.5), None)
    assert score_clip(on_time, metronome(120, 6.0)).metrics["beat_f_50"] == 1
    metrics = score_clip(off_beat, metronome(120, 6.0)).metrics
    assert metrics["beat_f_200"] == 0 and metrics["tempo_within_2_percent"] == 1


def test_random_songs_are_other_songs_and_do_not_depend_on_order():
    pool = [f"gBR_sBM_cAll_d04_mBR{digit}_ch0{take}" for digit in range(4) for take in (1, 2)]
    drawn = draw_other_songs(pool[0], pool, 5)
    assert len(drawn) == 3 and not any("mBR0" in other for other in drawn)
    assert drawn == draw_other_songs(pool[0], pool[::-1], 5)
    assert draw_other_songs(pool[0], ["gHO_sBM_cAll_d20_mHO5_ch02"], 5, same_genre=True) == []


@pytest.fixture(scope="module")
def script() -> Path:
    return Path(__file__).parents[1] / "scripts" / "evaluate.py"


def test_script_explains_what_is_missing_without_a_traceback(script, tmp_path):
    run = subprocess.run(
        [sys.executable, script, f"out={tmp_path}/out"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert run.returncode == 2
    assert run.stderr.startswith("error: missing generated=") and "Traceback" not in run.stderr
    assert list(tmp_path.iterdir()) == []


def test_script_writes_scores_and_report(script, root, tmp_path):
    arguments = [f"generated={root / 'generated'}", f"reference={root / 'wavs'}", f"out={tmp_path / 'out'}"]
    run = subprocess.run(
        [sys.executable, script, *arguments, "resamples=50"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    assert "random_song" in run.stdout
    assert {"scores.json", "clips.csv", "config.yaml", "report.html"} <= {
        path.name for path in (tmp_path / "out").iterdir()
    }
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
