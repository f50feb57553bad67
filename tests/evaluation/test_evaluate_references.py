"""What becomes of files that do not fit: bad ones, short and long ones, other rates; and single clips judged."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from tests_support_evaluate import RATE, SONGS, beats_of, clicks, dance_features, write_folders

from d2m.core.errors import BadInput
from d2m.core.music import Music
from d2m.evaluation.analysis import AudioAnalysis
from d2m.evaluation.clip_scores import draw_other_songs, metronome, score_clip
from d2m.evaluation.records import read_predicted_genre
from d2m.evaluation.references import Reference
from d2m.evaluation.scores import score_folders
from d2m.evaluation.tables import leftovers
from d2m.metrics.audio_quality import log_mel, log_mel_frames
from d2m.metrics.registry import METRICS


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return write_folders(tmp_path_factory.mktemp("evaluate"))


def test_bad_files_are_listed_and_good_ones_scored(tmp_path):
    """Each kind of bad input is one sentence; the clip is listed as failed, and the others are scored."""
    for folder in ("generated", "reference"):
        (tmp_path / folder).mkdir()
    for name in ("fine", "unreadable", "empty", "nan", "mute", "backwards", "late"):
        for folder in ("generated", "reference"):
            clicks(tmp_path / folder / f"{name}.wav", beats_of(100, 0.2))
    generated, reference = tmp_path / "generated", tmp_path / "reference"
    (generated / "unreadable.wav").write_bytes(b"RIFF")
    soundfile.write(generated / "empty.wav", np.zeros(0, dtype=np.float32), RATE)
    soundfile.write(generated / "nan.wav", np.full(6 * RATE, np.nan, dtype=np.float32), RATE, subtype="FLOAT")
    Music(np.zeros((1, 6 * RATE), dtype=np.float32), RATE).save(reference / "mute.wav")
    (reference / "backwards.txt").write_text("2.0\n1.0\n")
    (reference / "late.txt").write_text("100.0\n101.0\n")
    scores = score_folders(generated, reference, resamples=50, progress=False)
    content = scores.to_json()
    assert [row["clip"] for row in content["clips"]] == ["fine"]
    reasons = {failure["clip"]: failure["reason"] for failure in content["failed"]}
    assert set(reasons) == {"unreadable", "empty", "nan", "mute", "backwards", "late"}
    says = {"unreadable": "not a readable", "empty": "0 samples", "nan": "NaN", "mute": "no beat",
            "backwards": "sorted", "late": "no beat"}  # fmt: skip
    for clip, word in says.items():
        assert word in reasons[clip] and clip in reasons[clip] and "\n" not in reasons[clip]
    assert len(content["about"]["bad_files"]) == 6
    assert content["summary"]["beat_f"]["70"]["low"] is None
    text = leftovers(content)
    assert "failed: nan" in text and "only one song" in text


def test_an_unusable_dance_or_round_trip_costs_no_clip(root, tmp_path):
    for folder in ("dances", "roundtrip"):
        (tmp_path / folder).mkdir()
    first = next(iter(SONGS))
    (tmp_path / "dances" / f"{first}.npy").write_bytes(b"no dance")
    (tmp_path / "roundtrip" / f"{first}.wav").write_bytes(b"no sound")
    folders = {"dances": tmp_path / "dances", "roundtrip": tmp_path / "roundtrip"}
    content = score_folders(root / "generated", root / "wavs", **folders, resamples=50, progress=False).to_json()
    assert len(content["clips"]) == 3 and content["failed"] == [] and len(content["about"]["bad_files"]) == 2
    assert any("without its dance" in note for note in content["clips"][0]["notes"])
    assert len(content["about"]["unpaired"]["without_dance"]) == 2


def test_nothing_scorable_is_an_error(tmp_path):
    (tmp_path / "generated").mkdir()
    (tmp_path / "reference").mkdir()
    (tmp_path / "generated" / "a.wav").write_bytes(b"junk")
    (tmp_path / "reference" / "a.txt").write_text("1\n2\n")
    with pytest.raises(BadInput, match="a.wav"):
        score_folders(tmp_path / "generated", tmp_path / "reference", progress=False)


def test_shorter_music_is_punished_and_longer_music_cut(root, tmp_path):
    name, (bpm, start_s) = next(iter(SONGS.items()))
    beats_s = beats_of(bpm, start_s)
    clicks(tmp_path / f"{name}_seed0.wav", beats_s[:4], seconds=3.0)
    clicks(tmp_path / f"{name}_seed1.wav", beats_s, seconds=9.0)
    content = score_folders(tmp_path, root / "wavs", resamples=50, progress=False).to_json()
    short, long = content["clips"]
    assert (short["seconds"], short["judged_seconds"], long["seconds"], long["judged_seconds"]) == (3.0, 6.5, 9.0, 6.5)
    assert short["metrics"]["beat_precision_70"] == 1 and short["metrics"]["beat_recall_70"] <= 0.5
    assert short["metrics"]["d2mgan_hit"] < 0.6 < short["metrics"]["loris_bhs"]
    assert short["metrics"]["log_mel_l1"] > long["metrics"]["log_mel_l1"]
    assert long["metrics"]["beat_f_70"] > 0.85 and max(long["beats_s"]) < 6.5
    assert "missing counts as missed" in short["notes"][0] and "only the first 6.50 s" in long["notes"][0]
    assert any("1 of 2" in note and "loris" in note for note in content["about"]["notes"])


def test_a_dance_that_ends_early_ends_the_clip(root, tmp_path):
    name, (bpm, start_s) = next(iter(SONGS.items()))
    beats_s = beats_of(bpm, start_s)
    np.save(tmp_path / f"{name}.npy", dance_features(beats_s)[:240])
    clicks(tmp_path / f"{name}.wav", beats_s[:5], seconds=4.0)
    row = score_folders(tmp_path, root / "wavs", tmp_path, resamples=50, progress=False).to_json()["clips"][0]
    assert row["judged_seconds"] == 4.0 and row["metrics"]["beat_recall_70"] > 0.75
    assert "judged over the dance" in row["notes"][0]


def test_other_rates_and_channels_are_noted_and_change_little(root, tmp_path):
    name = next(iter(SONGS))
    music = Music.load(root / "wavs" / f"{name}.wav").resampled(48000)
    Music(np.repeat(music.waveform, 2, axis=0), 48000).save(tmp_path / f"{name}.wav")
    content = score_folders(tmp_path, root / "wavs", resamples=50, progress=False).to_json()
    assert (
        "48000 Hz in stereo" in content["clips"][0]["notes"][0]
        and "22050 Hz in mono" in content["clips"][0]["notes"][0]
    )
    assert content["clips"][0]["metrics"]["beat_f_70"] > 0.85 and content["clips"][0]["metrics"]["onset_f"] > 0.9
    assert any("sample rate" in note for note in content["about"]["notes"])


def test_anybodys_wavs_need_no_names_of_ours(tmp_path):
    for folder in ("generated", "reference"):
        (tmp_path / folder).mkdir()
        for number, bpm in enumerate((90, 110, 130)):
            clicks(tmp_path / folder / f"my piece {number}.wav", beats_of(bpm, 0.2))
    content = score_folders(tmp_path / "generated", tmp_path / "reference", resamples=50, progress=False).to_json()
    assert [row["song"] for row in content["clips"]] == [f"my piece {number}" for number in range(3)]
    assert content["genres"] == {} and content["summary"]["genre_accuracy"]["mean"] is None
    assert content["summary"]["beat_f"]["70"]["songs"] == 3
    assert content["summary"]["tempo_within_2_percent"]["mean"] == 1


def test_silent_generated_music_scores_zero():
    reference = Reference.of("song", 6.0, np.arange(0.5, 6, 0.5), None)
    score = score_clip(reference, AudioAnalysis(np.zeros(0), np.zeros(0)))
    assert list(score.metrics) == list(METRICS)
    metrics = score.metrics | score.protocol_metrics
    assert metrics["beat_f_200"] == metrics["d2md_hit"] == metrics["tempo_within_2_percent"] == 0
    assert metrics["d2mgan_hit"] == metrics["inversion_f1"] == 0
    assert reference.tempo_bpm == pytest.approx(120) and reference.song == "song"


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
    assert read_predicted_genre(tmp_path / "a_seed0.wav") == said
    assert read_predicted_genre(tmp_path / "b.wav") is None


def test_metronome_at_the_right_tempo_scores_by_its_phase():
    on_time = Reference.of("song", 6.0, np.arange(0.0, 6, 0.5), None)
    off_beat = Reference.of("song", 6.0, np.arange(0.25, 6, 0.5), None)
    assert score_clip(on_time, metronome(120, 6.0)).metrics["beat_f_50"] == 1
    metrics = score_clip(off_beat, metronome(120, 6.0)).metrics
    assert metrics["beat_f_200"] == 0 and metrics["tempo_within_2_percent"] == 1


def test_a_shorter_song_of_a_floor_is_compared_over_what_both_have():
    """Noise of 6 s against the same noise of 3 s: nothing differs, and no silence is filled in."""
    noise = np.random.default_rng(0).normal(0, 0.1, (1, 6 * RATE)).astype(np.float32)
    mels = [log_mel(Music(noise[:, : seconds * RATE], RATE))[:, : seconds * RATE // 512 - 2] for seconds in (6, 3)]
    beats_s = np.arange(0.5, 6, 0.5)
    short, long = (AudioAnalysis(beats_s, log_mel=mel) for mel in (mels[1], mels[0]))
    reference = Reference.of("a", 6.0, beats_s, long)
    cut = reference.until(mels[1].shape[1] * 512 / RATE - 0.03)
    assert score_clip(cut, short).metrics["log_mel_l1"] < 1e-6
    assert score_clip(reference, short).metrics["log_mel_l1"] > 1  # a system's own music that stops early
    assert log_mel(Music(noise, RATE)).shape[1] == log_mel_frames(6.0)


def test_random_songs_are_other_songs_and_do_not_depend_on_order():
    pool = [f"gBR_sBM_cAll_d04_mBR{digit}_ch0{take}" for digit in range(4) for take in (1, 2)]
    drawn = draw_other_songs(pool[0], pool, 5)
    assert len(drawn) == 3 and not any("mBR0" in other for other in drawn)
    assert drawn == draw_other_songs(pool[0], pool[::-1], 5)
    assert draw_other_songs(pool[0], ["gHO_sBM_cAll_d20_mHO5_ch02"], 5, same_genre=True) == []


def test_drift_of_seven_minutes_is_told_in_all():
    """A fifth of a percent too slow is right anywhere and 0.84 s late in the end."""
    reference_s = 0.5 + np.arange(838) * 0.5
    reference = Reference.of("seven", 420, reference_s, None)
    late = score_clip(reference, AudioAnalysis(0.5 + np.arange(838) * 0.5 * 1.002)).metrics
    assert late["drift_ms"] == pytest.approx(840, rel=0.02) and late["interval_deviation_ms"] < 1e-6
