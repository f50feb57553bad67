"""Whole evaluations of click tracks: the system, its floors and its ceilings, and what lands in the files."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from tests_support_evaluate import SECONDS, SONGS, beats_of, clicks, write_folders
from tests_support_runs import script

from d2m.core.errors import BadConfig
from d2m.evaluation.analysis import AudioAnalyzer
from d2m.evaluation.scores import chosen_protocols, make_analyzer, score_folders
from d2m.evaluation.tables import genre_table, leftovers, over_all_lines, protocol_table, summary_table
from d2m.metrics.beat_tracker import LibrosaTracker
from d2m.metrics.protocols import PROTOCOLS


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return write_folders(tmp_path_factory.mktemp("evaluate"))


@pytest.fixture(scope="module")
def scores(root):
    folders = {"dances": root / "dances", "roundtrip": root / "wavs"}
    return score_folders(root / "generated", root / "wavs", **folders, resamples=200, progress=False)


def test_scores_json_has_the_agreed_shape(scores):
    content = json.loads(json.dumps(scores.to_json(), allow_nan=False))
    assert content["version"] == 2
    for name in ("beat_f", "beat_precision", "beat_recall"):
        for tolerance in ("50", "70", "100", "200"):
            assert {"mean", "low", "high", "clips"} <= set(content["summary"][name][tolerance])
    measured = ("tempo_within_2_percent", "tempo_octave_errors", "onset_f", "continuity_cmlt", "continuity_amlt",
                "drift_ms_per_second", "alignment_motion", "alignment_music", "alignment_harmonic",
                "alignment_image_plane", "genre_accuracy", "genre_kl", "motion_genre_accuracy", "log_mel_l1",
                "tempo_related", "drift_ms", "interval_deviation_ms", "loudness_lufs",
                "in_key_share", "chord_clarity", "clipped_share", "silent_share", "dc_offset", "stereo_correlation")  # fmt: skip
    for name in measured:
        assert content["summary"][name]["mean"] is not None, name
    floors = {"random_song", "shuffled_pairs", "metronome_120", "metronome_reference_tempo", "silence", "motion_speed"}
    assert set(content["floors"]) == floors | {"motion_minima"}
    assert set(content["ceilings"]) == {"reference", "reference_through_dmae"}
    systems = [content, *content["floors"].values(), *content["ceilings"].values()]
    for system in systems:
        assert {name: tuple(row) for name, row in system["protocols"].items()} == {
            name: protocol.columns for name, protocol in PROTOCOLS.items()
        }
        assert set(system.get("summary", system)) - {"protocols"} == set(content["summary"])
    assert set(content["genres"]) == {"gBR", "gHO", "gLO"}
    assert [row["tempo_bpm"] for row in content["tempi"]] == [80, 107, 135]
    assert content["distribution"]["embedding"] == "mfcc-statistics-1"
    assert "too few" in content["distribution"]["frechet"]["warning"]
    kad = {name: row["kernel"]["kad"] for name, row in content["distribution"]["floors"].items()}
    through = content["distribution"]["ceilings"]["reference_through_dmae"]["kernel"]["kad"]
    assert min(kad["white_noise"], kad["silence"]) > content["distribution"]["kernel"]["kad"] > through - 1e-9
    row = content["clips"][0]
    assert (row["clip"], row["name"]) == ("gBR_sBM_cAll_d04_mBR0_ch02_seed0", "gBR_sBM_cAll_d04_mBR0_ch02")
    assert row["seed"] == 0 and row["seconds"] == row["reference_seconds"] == SECONDS
    assert row["reference_beats_s"] and row["beats_s"] and row["kinematic_beats_s"]
    assert {"versions", "settings", "protocols", "notes", "unpaired"} <= set(content["about"])
    assert content["about"]["protocols"]["loris"]["saturated"] and content["failed"] == []


def test_right_music_scores_and_late_music_does_not(scores):
    rows = {row["genre"]: row for row in scores.to_json()["clips"]}
    for genre in ("gBR", "gHO"):
        metrics = rows[genre]["metrics"]
        assert metrics["beat_f_70"] > 0.85 and metrics["continuity_cmlt"] > 0.85
        assert metrics["onset_f"] > 0.95
        assert metrics["log_mel_l1"] < 0.01 and metrics["genre_kl"] < 0.01
        assert metrics["motion_genre_accuracy"] == 1
    late = rows["gLO"]["metrics"]
    assert late["beat_f_70"] < 0.15 and late["beat_f_200"] > 0.85
    assert late["tempo_within_2_percent"] == 1 and late["motion_genre_accuracy"] == 0
    assert late["loris_bcs"] == 1 and late["loris_bhs"] > 0.8  # the saturated protocols see nothing wrong
    assert [rows[genre]["reference_tempo_bpm"] for genre in ("gBR", "gHO", "gLO")] == [80, 135, 107]


def test_floors_lie_below_and_ceilings_above(scores):
    content = scores.to_json()
    system = content["summary"]["beat_f"]["70"]["mean"]
    topline = content["ceilings"]["reference"]["beat_f"]["70"]["mean"]
    assert content["floors"]["silence"]["beat_f"]["70"]["mean"] == 0
    assert content["floors"]["random_song"]["beat_f"]["70"]["mean"] < 0.5 < system < topline
    assert content["floors"]["random_song"]["beat_f"]["70"]["clips"] == 6
    assert content["ceilings"]["reference_through_dmae"]["beat_f"] == content["ceilings"]["reference"]["beat_f"]
    assert content["ceilings"]["reference"]["onset_f"]["mean"] == 1
    for protocol, column in (("d2mgan", "hit"), ("loris", "f1"), ("d2md", "hit"), ("inversion", "f1")):
        assert content["ceilings"]["reference"]["protocols"][protocol][column] == 1
        assert content["floors"]["silence"]["protocols"][protocol][column] == 0
    assert content["floors"]["shuffled_pairs"]["beat_f"]["70"]["mean"] < 0.5
    at_tempo = content["floors"]["metronome_reference_tempo"]
    assert at_tempo["tempo_within_2_percent"]["mean"] == 1 and at_tempo["beat_f"]["70"]["mean"] < 0.6
    assert content["ceilings"]["reference"]["genre_kl"]["mean"] == 0


def test_a_dance_that_halts_on_every_beat_gives_the_beat_away(scores):
    content = scores.to_json()
    assert content["floors"]["motion_minima"]["beat_f"]["70"]["mean"] > 0.9
    assert content["ceilings"]["reference"]["alignment_harmonic"]["mean"] > 0.7
    assert content["floors"]["silence"]["alignment_music"]["mean"] == 0


def test_same_files_same_scores_in_one_process_or_two(root, scores):
    folders = {"dances": root / "dances", "roundtrip": root / "wavs"}
    again = score_folders(root / "generated", root, **folders, resamples=200, workers=2, progress=False).to_json()
    assert again | {"about": None} == scores.to_json() | {"about": None}


def test_written_files_and_tables(scores, tmp_path):
    scores.write(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clips.csv", "scores.json", "table.md"]
    rows = list(csv.DictReader((tmp_path / "clips.csv").open()))
    assert len(rows) == 3 and 0 <= float(rows[0]["beat_f_70"]) <= 1
    assert rows[0]["d2mgan_hit"] and "[" not in rows[0]["beat_f_70"] and "beats_s" not in rows[0]
    for table in (summary_table(scores.to_json()), protocol_table(scores.to_json())):
        for title in ("random_song", "metronome_120", "silence", "system", "reference_through_dmae"):
            assert title in table
    markdown = (tmp_path / "table.md").read_text()
    assert "| **this system** |" in markdown and "arXiv:2305.01319" in markdown and "too few" in markdown
    assert {line.count("|") for line in markdown.split("\n\n")[0].splitlines()} == {11}
    assert "house" in genre_table(scores.to_json())


def test_beat_lists_alone_are_a_reference(root):
    content = score_folders(root / "generated", root / "beats", resamples=50, progress=False).to_json()
    assert content["summary"]["onset_f"]["mean"] is None and content["ceilings"] == {}
    assert content["distribution"] is None
    assert content["summary"]["beat_f"]["200"]["mean"] > 0.85
    assert content["clips"][0]["reference_beats_from"] == "true"
    assert "random_song" in content["floors"]


def test_wavs_alone_are_tracked_and_the_reader_is_told(root):
    scored = score_folders(root / "generated", root / "wavs", true_beats=False, resamples=50, progress=False).to_json()
    assert {row["reference_beats_from"] for row in scored["clips"]} == {"tracked"}
    assert scored["ceilings"]["reference"]["beat_f"]["50"]["mean"] == 1
    assert "by construction" in leftovers(scored)


def test_seeds_training_songs_and_own_embeddings(root, tmp_path):
    bpm, start_s = next(iter(SONGS.values()))
    generated, vectors = tmp_path / "generated", tmp_path / "vectors"
    for folder in (generated, vectors / "generated", vectors / "reference", tmp_path / "training"):
        folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for clip in SONGS:
        bpm, start_s = SONGS[clip]
        np.save(vectors / "reference" / f"{clip}.npy", rng.normal(size=4))
        for seed in (0, 1):
            clicks(generated / f"{clip}_seed{seed}.wav", beats_of(bpm, start_s))
            np.save(vectors / "generated" / f"{clip}_seed{seed}.npy", rng.normal(size=4))
    clicks(tmp_path / "training" / "known.wav", beats_of(bpm, start_s))
    content = score_folders(
        generated, root / "wavs", resamples=50, progress=False, embedding=vectors, training=tmp_path / "training"
    ).to_json()
    assert content["distribution"]["embedding"] == "npy:generated (mean over time)"
    assert content["distribution"]["frechet"]["clips"] == 3
    assert content["diversity"]["dances"] == 3 and content["diversity"]["between_seeds"] > 0
    assert content["copying"]["training_clips"] == 1 and content["copying"]["held_out"] == 3
    assert "copying" in over_all_lines(content) and "diversity" in over_all_lines(content)
    none = score_folders(generated, root / "wavs", resamples=50, progress=False, embedding="none").to_json()
    assert none["distribution"] is None and none["diversity"] is None
    with pytest.raises(BadConfig, match="no such embedding"):
        score_folders(generated, root / "wavs", resamples=50, progress=False, embedding="vggish")


def test_chosen_protocols(root, scores):
    assert chosen_protocols("all") == ["d2mgan", "loris", "d2md", "inversion"]
    assert chosen_protocols(["d2md", "d2mgan"]) == ["d2mgan", "d2md"] and chosen_protocols("none") == []
    with pytest.raises(BadConfig, match="bcs"):
        chosen_protocols(["bcs"])
    few = score_folders(root / "generated", root / "wavs", protocols=["inversion"], resamples=50, progress=False)
    assert set(few.to_json()["protocols"]) == set(few.to_json()["floors"]["silence"]["protocols"]) == {"inversion"}
    assert "loris_bcs" not in few.to_json()["clips"][0]["metrics"]


def test_spread_over_trackers(root):
    class Unpadded(LibrosaTracker):
        name = "unpadded"

    analyzer = AudioAnalyzer(progress=False, trackers=(LibrosaTracker(), Unpadded(padding_s=0.0)))
    noted = make_analyzer(progress=False)[1]
    content = score_folders(root / "generated", root / "wavs", resamples=50, analyzer=(analyzer, noted)).to_json()
    table = content["trackers"]
    assert table["librosa"]["beat_f_70"] == pytest.approx(content["summary"]["beat_f"]["70"]["mean"], abs=1e-5)
    values = [table[name]["beat_f_70"] for name in ("librosa", "unpadded")]
    assert table["spread"] == pytest.approx(
        {"low": min(values), "high": max(values), "width": max(values) - min(values)}, abs=1e-5
    )
    assert "by tracker" in over_all_lines(content)


def test_script_explains_what_is_missing_without_a_traceback(tmp_path):
    run = script("evaluate", f"out={tmp_path}/out")
    assert run.returncode == 2
    assert run.stderr.startswith("error: missing generated=") and "Traceback" not in run.stderr
    assert list(tmp_path.iterdir()) == []


def test_script_writes_everything_and_exits_with_two_when_a_clip_failed(root, tmp_path, monkeypatch):
    generated, out = tmp_path / "generated", tmp_path / "out"
    generated.mkdir()
    for path in (root / "generated").glob("*.wav"):
        (generated / path.name).write_bytes(path.read_bytes())
    name = list(SONGS)[1]
    (generated / f"{name}_seed0.wav").write_bytes(b"junk")
    arguments = [f"generated={generated}", f"reference={root / 'wavs'}", f"out={out}", "resamples=50"]
    monkeypatch.chdir(tmp_path)
    run = script("evaluate", *arguments)
    assert run.returncode == 2 and "Traceback" not in run.stderr, run.stderr
    assert f"failed: {name}_seed0" in run.stdout and "1 clips failed" in run.stderr and "random_song" in run.stdout
    assert "getting the beat tracker ready" in run.stderr
    assert {"scores.json", "clips.csv", "table.md", "config.yaml", "report.html"} == {
        path.name for path in out.iterdir()
    }
    assert len(json.loads((out / "scores.json").read_text())["clips"]) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["generated", "out"]
