"""Published protocols: hand-worked values, the very samples of librosa.load, and what saturates."""

import json
from dataclasses import asdict
from pathlib import Path

import librosa
import numpy as np
import pytest

from d2m.core.music import Music
from d2m.data.synthetic.instruments import hat, kick, snare
from d2m.evaluation.analysis import AudioAnalysis
from d2m.metrics.beat_tracker import track_beats_s
from d2m.metrics.beats import beat_f
from d2m.metrics.protocols import (
    D2MD_TOLERANCE_S,
    D2MGAN_ONSETS,
    LORIS_ONSETS,
    PROTOCOLS,
    CoverageAndHit,
    InversionScore,
    LorisClip,
    ProtocolEvents,
    d2md,
    d2mgan,
    extract_events,
    inversion,
    inversion_mean,
    loris,
    loris_summary,
    mean_coverage_and_hit,
    occupied_bins,
    protocol_samples,
    score_protocols,
    summarize_clips,
)

RATE = 22050
NONE = np.zeros(0)
REFERENCE_S = np.array([0.1, 0.6, 1.2, 3.5])  # one-second bins 0, 1, 3
GENERATED_S = np.array([0.9, 2.2, 2.8, 3.1, 4.4])  # bins 0, 2, 3, 4


def bursts(times_s: list[float] | np.ndarray, seconds: float = 6.0) -> Music:
    """Decaying bursts of noise at known times."""
    waveform = np.zeros(round(seconds * RATE), dtype=np.float32)
    burst = np.random.default_rng(0).normal(size=1500) * np.exp(-np.arange(1500) / 200) * 0.3
    for at in np.round(np.asarray(times_s) * RATE).astype(int):
        length = min(len(burst), len(waveform) - at)
        waveform[at : at + length] += burst[:length].astype(np.float32)
    return Music(waveform[None], RATE)


def drums(bpm: float, start_s: float, seconds: float, seed: int = 0) -> tuple[Music, np.ndarray]:
    """Kick and snare on the beats, hats on the quavers, and the times of the beats."""
    rng = np.random.default_rng(seed)
    waveform = np.zeros(round((seconds + 1) * RATE), dtype=np.float32)
    beats_s = np.arange(start_s % (60 / bpm), seconds, 60 / bpm)
    strokes = [(beat_s, kick(RATE, rng) if n % 2 == 0 else snare(RATE, rng)) for n, beat_s in enumerate(beats_s)]
    strokes += [(time_s, 0.4 * hat(RATE, rng)) for time_s in np.arange(beats_s[0], seconds, 30 / bpm)]
    for time_s, stroke in strokes:
        at = round(time_s * RATE)
        length = min(len(stroke), len(waveform) - at)
        waveform[at : at + length] += np.asarray(stroke, dtype=np.float32)[:length] * np.float32(0.4)
    return Music(waveform[None, : round(seconds * RATE)], RATE), beats_s


def test_bins_are_cut_as_published():
    assert occupied_bins(np.array([0.2, 0.9, 1.0, 3.99]), 4.2, 1).tolist() == [True, True, False, True, False]
    assert np.flatnonzero(occupied_bins(np.array([0.0, 0.19, 0.2, 0.99, 1.0]), 1.0, 5)).tolist() == [0, 1, 4]
    assert occupied_bins(NONE, 0, 1).size == 0
    assert occupied_bins(np.zeros(0), 262144 / 44100, 1).size == 6
    with pytest.raises(ValueError):
        occupied_bins(NONE, -1, 1)


def test_d2mgan_by_hand():
    assert d2mgan(REFERENCE_S, GENERATED_S, 5.0) == CoverageAndHit(4 / 3, 2 / 3)
    assert d2mgan(REFERENCE_S, GENERATED_S, 3.7) == CoverageAndHit(1.0, 2 / 3)  # four bins: that at 4.4 s is cut
    assert d2mgan(REFERENCE_S, GENERATED_S[:1], 5.0) == CoverageAndHit(1 / 3, 1 / 3)
    assert d2mgan(REFERENCE_S, NONE, 5.0) == CoverageAndHit(0.0, 0.0)
    assert np.isnan(d2mgan(NONE, GENERATED_S, 5.0).coverage)


def test_coverage_and_hit_are_means_over_defined_clips():
    clips = [CoverageAndHit(4 / 3, 2 / 3), CoverageAndHit(2 / 3, 0.0), d2mgan(NONE, GENERATED_S, 5.0)]
    mean = mean_coverage_and_hit(clips)
    assert (mean.coverage, mean.hit) == (pytest.approx(1.0), pytest.approx(1 / 3))
    assert np.isnan(mean_coverage_and_hit(clips[2:]).hit)


def test_loris_by_hand():
    assert loris(REFERENCE_S, GENERATED_S, 5.0, 5.0) == LorisClip(bcs=2 / 4, bhs=2 / 3)
    short = loris(REFERENCE_S, GENERATED_S[:1], 5.0, 2.0)  # reference cut to bins 0, 1: stopping early is no loss
    assert short == LorisClip(bcs=1.0, bhs=1 / 2)
    longer = loris(REFERENCE_S[:3], GENERATED_S, 2.0, 5.0)
    assert longer == LorisClip(bcs=1.0, bhs=1 / 2)
    assert loris(REFERENCE_S, NONE, 5.0, 5.0) == loris(NONE, GENERATED_S, 5.0, 5.0) == LorisClip(0.0, 0.0)


def test_loris_summary_by_hand():
    summary = loris_summary([LorisClip(0.5, 2 / 3), LorisClip(1.0, 0.5)])
    assert (summary.bcs, summary.bhs) == (0.75, pytest.approx(7 / 12))
    assert summary.csd == pytest.approx(0.5 / np.sqrt(2))  # ddof 1
    assert summary.hsd == pytest.approx((1 / 6) / np.sqrt(2))
    assert summary.f1 == pytest.approx(0.65625)  # of the means, not the mean of F1s (0.6190)
    assert loris_summary([LorisClip(0.0, 0.0)]).f1 == 0 and np.isnan(loris_summary([LorisClip(0.0, 0.0)]).csd)
    assert np.isnan(loris_summary([]).f1)


def test_inversion_by_hand():
    reference_s, generated_s = np.array([0.1, 0.5, 1.05]), np.array([0.15, 0.39, 1.15, 1.3])  # 0 2 5 and 0 1 5 6
    score = inversion(reference_s, generated_s, 2.0, 120.0, 117.5)
    assert (score.precision, score.recall) == (2 / 4, 2 / 3)
    assert score.f1 == pytest.approx(4 / 7) and score.tempo_difference_bpm == 2.5
    silent = inversion(reference_s, NONE, 2.0, 120.0, 0.0)
    assert (silent.precision, silent.recall, silent.f1, silent.tempo_difference_bpm) == (0, 0, 0, 120)
    assert np.isnan(inversion(NONE, generated_s, 2.0, 0.0, 117.5).tempo_difference_bpm)
    mean = inversion_mean([score, silent, inversion(NONE, generated_s, 2.0, 0.0, 117.5)])
    assert mean.tempo_difference_bpm == pytest.approx(61.25) and mean.f1 == pytest.approx(4 / 21)


def test_inversion_f1_is_that_of_the_mean_precision_and_recall():
    table = [InversionScore(0.412, 0.387, 0.0, 0.0), InversionScore(0.476, 0.440, 0.0, 0.0)]
    assert [round(inversion_mean([row]).f1, 3) for row in table] == [0.399, 0.457]  # the paper's own figures
    clips = [InversionScore(1.0, 0.2, 1 / 3, 0.0), InversionScore(0.2, 1.0, 1 / 3, 0.0)]
    assert inversion_mean(clips).f1 == pytest.approx(0.6) and np.isnan(inversion_mean([]).f1)


def test_d2md_by_hand():
    frame_s = D2MD_TOLERANCE_S / 5
    reference_s = np.arange(4) * 40 * frame_s + 1
    generated_s = np.sort(
        np.concatenate([reference_s[:2] + 5 * frame_s, reference_s[:1], reference_s[2:] + 6 * frame_s])
    )
    assert d2md(reference_s, generated_s) == CoverageAndHit(5 / 4, 3 / 4)  # the first beat is hit twice


def test_protocols_hear_the_samples_of_librosa_load(tmp_path: Path):
    rng = np.random.default_rng(3)
    stereo = Music(bursts(np.arange(0.2, 5.5, 0.37)).resampled(44100).waveform, 44100)
    both = np.concatenate([stereo.waveform, rng.normal(size=stereo.waveform.shape).astype(np.float32) * 0.02])
    path = Music(both, 44100).save(tmp_path / "a.wav")
    samples, _ = librosa.load(path)
    music = Music.load(path)
    assert np.array_equal(protocol_samples(music), samples)
    events = extract_events(music)
    assert events.seconds == len(samples) / 22050
    d2mgan_s = librosa.onset.onset_detect(
        y=samples, sr=22050, wait=1, delta=0.2, pre_avg=1, post_avg=1, post_max=1, units="time"
    )
    loris_s = librosa.onset.onset_detect(
        y=samples, sr=22050, wait=1, delta=0.2, pre_avg=3, post_avg=3, pre_max=3, post_max=3, units="time"
    )
    _, beats_s = librosa.beat.beat_track(y=samples, sr=22050, units="time")
    assert np.array_equal(events.d2mgan_onsets_s, d2mgan_s) and len(d2mgan_s) > 5
    assert np.array_equal(events.loris_onsets_s, loris_s) and len(loris_s) > 5
    assert np.array_equal(events.d2md_beats_s, beats_s) and len(beats_s) > 5
    assert events.tempo_bpm == pytest.approx(float(librosa.feature.tempo(y=samples, sr=22050)[0]))
    assert D2MGAN_ONSETS != LORIS_ONSETS


def test_golden_clips_from_sound_to_score():
    reference, generated = extract_events(bursts([0.5, 1.5, 3.5, 5.1])), extract_events(bursts([0.5, 2.5, 3.5]))
    scores = score_protocols(reference, generated)
    assert scores.d2mgan == CoverageAndHit(3 / 4, 2 / 4)
    assert scores.loris == LorisClip(2 / 3, 2 / 4)
    assert (scores.inversion.precision, scores.inversion.recall) == (2 / 3, 2 / 4)
    beat, half = extract_events(bursts(np.arange(0.25, 6, 0.5))), extract_events(bursts(np.arange(0.25, 6, 1.0)))
    same = score_protocols(beat, beat)
    assert same.d2md == CoverageAndHit(1.0, 1.0) and same.inversion.tempo_difference_bpm == 0
    assert score_protocols(beat, half).inversion.precision == 1.0
    assert score_protocols(beat, half).inversion.recall == pytest.approx(0.5)


def golden_pairs() -> dict[str, tuple[Music, Music]]:
    """Reference and generated clips whose scores are stored in evaluate/golden_scores.json."""
    beat = bursts(np.arange(0.25, 6, 0.5))
    return {
        "bursts": (bursts([0.5, 1.5, 3.5, 5.1]), bursts([0.5, 2.5, 3.5])),
        "same": (beat, beat),
        "half": (beat, bursts(np.arange(0.25, 6, 1.0))),
    }


def test_golden_scores_have_not_moved():
    stored = json.loads((Path(__file__).parents[2] / "evaluate" / "golden_scores.json").read_text())
    pairs = golden_pairs()
    assert stored.keys() == pairs.keys()
    for name, (reference, generated) in pairs.items():
        found = asdict(score_protocols(extract_events(reference), extract_events(generated)))
        assert found.keys() == stored[name].keys() == PROTOCOLS.keys()
        for protocol, columns in found.items():
            assert columns == pytest.approx(stored[name][protocol], abs=1e-12, rel=0, nan_ok=True), (name, protocol)


@pytest.mark.parametrize("waveform", [np.zeros((2, 6 * RATE)), np.zeros((1, 3)), np.full((1, 3), 0.1)])
def test_silence_and_crumbs_are_heard_without_events(waveform):
    events = extract_events(Music(waveform.astype(np.float32), RATE))
    assert events.d2mgan_onsets_s.size == events.loris_onsets_s.size == events.d2md_beats_s.size == 0
    reference = extract_events(bursts([0.5, 1.5, 3.5]))
    scores = score_protocols(reference, events)
    assert scores.d2mgan == scores.d2md == CoverageAndHit(0.0, 0.0) and scores.loris.bcs == 0


def test_wrong_tempo_at_a_random_phase_saturates_the_binned_protocols_and_not_the_headline():
    rng = np.random.default_rng(7)
    clips, headline = [], []
    for seed, (bpm, wrong_bpm) in enumerate([(90, 127), (100, 133), (110, 93), (120, 97), (130, 113), (95, 118)]):
        reference, beats_s = drums(bpm, rng.uniform(0, 1), 6.0, seed)
        generated, _ = drums(wrong_bpm, rng.uniform(0, 1), 6.0, seed + 100)
        clips.append(score_protocols(extract_events(reference), extract_events(generated)))
        headline.append(beat_f(beats_s, track_beats_s(generated), 0.07))
    summary = summarize_clips(clips)
    for name in [name for name, protocol in PROTOCOLS.items() if protocol.saturated]:
        scores = {key: value for key, value in summary[name].items() if key not in ("csd", "hsd")}
        assert min(scores.values()) >= 0.95, (name, scores)
    assert np.mean(headline) <= 0.35
    assert summary["inversion"]["f1"] < 0.95


def test_registry_and_summary_agree():
    clip = score_protocols(*[ProtocolEvents.of_times(REFERENCE_S, 5.0)] * 2)
    summary = summarize_clips([clip, clip])
    assert list(summary) == list(PROTOCOLS) == ["d2mgan", "loris", "d2md", "inversion"]
    for name, protocol in PROTOCOLS.items():
        assert protocol.name == name and tuple(summary[name]) == protocol.columns
        assert protocol.paper and protocol.defect and protocol.beats_from and protocol.definition
    assert {name for name, protocol in PROTOCOLS.items() if protocol.saturated} == {"d2mgan", "loris"}
    assert np.isnan(summarize_clips([])["loris"]["f1"])


def test_bare_times_stand_for_all_events_and_are_cut():
    events = AudioAnalysis(np.array([0.5, 1.0, 1.5, 2.0])).protocol_events(1.8)
    assert events.d2md_beats_s.tolist() == events.loris_onsets_s.tolist() == [0.5, 1.0, 1.5]
    assert events.seconds == 1.8 and events.tempo_bpm == pytest.approx(120)
    cut = events.until(1.2)
    assert cut.d2mgan_onsets_s.tolist() == [0.5, 1.0] and cut.seconds == 1.2
