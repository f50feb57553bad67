"""Trackers hear click tracks rightly, and nothing in silence."""

from typing import Any

import librosa
import numpy as np
import pytest
import soundfile

from d2m.core.errors import BadInput
from d2m.core.music import Music
from d2m.evaluation.analysis import AudioAnalysis, AudioAnalyzer, Passage, audio_seconds, require_beats
from d2m.metrics.audio_quality import log_mel, log_mel_l1
from d2m.metrics.beat_tracker import (
    LIBROSA_LATE_S,
    LibrosaTracker,
    track_beats_s,
    track_envelope_beats_s,
    track_onsets_s,
)
from d2m.metrics.beats import beat_f, fit_tempo_bpm, onset_f

RATE = 22050


def click_track(bpm: float, seconds: float, start_s: float = 0.1) -> tuple[Music, np.ndarray]:
    """Decaying bursts of noise at `bpm`, and their times."""
    beats_s = np.arange(start_s, seconds - 0.05, 60 / bpm)
    waveform = np.zeros(round(seconds * RATE), dtype=np.float32)
    burst = np.random.default_rng(0).normal(size=1500) * np.exp(-np.arange(1500) / 200) * 0.3
    for beat_s in beats_s:
        at = round(beat_s * RATE)
        length = min(len(burst), len(waveform) - at)
        waveform[at : at + length] += burst[:length].astype(np.float32)
    return Music(waveform[None], RATE), beats_s


@pytest.mark.parametrize("bpm", [100.0, 125.0])
def test_tracker_finds_beats_tempo_and_onsets_of_clicks(bpm):
    music, beats_s = click_track(bpm, 7.0)
    tracked_s = track_beats_s(music)
    assert beat_f(beats_s, tracked_s, 0.07) >= 0.95
    assert fit_tempo_bpm(tracked_s) == pytest.approx(bpm, rel=0.02)
    assert onset_f(beats_s, track_onsets_s(music)) >= 0.9


@pytest.mark.parametrize("block_frames", [400, 2600])
def test_a_long_piece_is_tracked_in_blocks_as_librosa_tracks_it_whole(
    block_frames: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What one piece needs does not grow with the film: no spectrum is longer than a block."""
    monkeypatch.setattr("d2m.metrics.beat_tracker._BLOCK_FRAMES", block_frames)
    music, _ = click_track(113, 25.0)
    lengths, spectrum = [], librosa.feature.melspectrogram

    def noted(**settings: Any) -> Any:
        lengths.append(len(settings["y"]))
        return spectrum(**settings)

    monkeypatch.setattr("librosa.feature.melspectrogram", noted)
    found = LibrosaTracker(0.0).track(music)
    expected = librosa.beat.beat_track(y=music.waveform[0], sr=RATE, trim=False, units="time")[1]
    assert np.array_equal(found, expected)
    assert max(lengths) <= block_frames * 512 + 2048 and (len(lengths) > 2) == (block_frames == 400)


def test_tracker_hears_the_same_at_another_rate_and_in_stereo():
    music, beats_s = click_track(120, 6.0)
    stereo = Music(np.repeat(music.resampled(44100).waveform, 2, axis=0), 44100)
    assert beat_f(beats_s, track_beats_s(stereo), 0.07) >= 0.95


@pytest.mark.parametrize("waveform", [np.zeros((2, 6 * RATE)), np.zeros((1, 10)), np.full((1, 3 * RATE), 1e-6)])
def test_silence_and_crumbs_have_no_beats(waveform):
    music = Music(waveform.astype(np.float32), RATE)
    assert track_beats_s(music).shape == track_onsets_s(music).shape == (0,)


@pytest.mark.parametrize(("bpm", "start_s"), [(93, 0.3), (95, 0.4), (113, 0.3), (127, 0.4)])
def test_padding_keeps_the_outermost_beats_in_place(bpm, start_s):
    music, beats_s = click_track(bpm, 5.944, start_s)
    assert beat_f(beats_s, track_beats_s(music), 0.05) >= 0.95 > beat_f(beats_s, track_beats_s(music, 0), 0.05)
    assert track_beats_s(music).min() >= 0 and track_beats_s(music).max() < 5.944


def test_a_tracker_says_what_it_is():
    tracker = LibrosaTracker()
    assert tracker.name == "librosa" and tracker.licence.startswith("ISC")
    assert tracker.version.startswith("2 ") and LibrosaTracker(padding_s=0.0).version.startswith("1 ")
    assert tracker.settings["padding_s"] == 0.5 and tracker.settings["trim"] is False
    music, _ = click_track(110, 6.0)
    assert np.array_equal(tracker.track(music), track_beats_s(music))


@pytest.mark.parametrize("bpm", [85.0, 100.0, 125.0])
def test_beats_are_told_late_by_a_constant_that_can_be_taken_back(bpm):
    """In music, where a window is not empty before the beat; no beat is lost at the ends by it."""
    music, beats_s = click_track(bpm, 9.0)
    noise = np.random.default_rng(1).normal(scale=0.01, size=music.waveform.shape).astype(np.float32)
    masked = Music(music.waveform + noise, RATE)
    late_s, fixed_s = track_beats_s(masked), LibrosaTracker(late_s=LIBROSA_LATE_S).track(masked)
    assert np.median([beat - beats_s[np.abs(beats_s - beat).argmin()] for beat in late_s]) > 0.02
    assert np.median([np.abs(beats_s - beat).min() for beat in fixed_s]) < 0.013
    assert beat_f(beats_s, fixed_s, 0.03) > beat_f(beats_s, late_s, 0.03) + 0.3
    assert LibrosaTracker(late_s=0.0348).settings["late_s"] == 0.0348 and "late_s" not in LibrosaTracker().settings


def test_envelope_at_sixty_frames_keeps_its_time():
    envelope = np.zeros(480)
    beats_s = np.arange(0.5, 8.0, 0.5)
    envelope[np.round(beats_s * 60).astype(int)] = 1.0
    tracked_s = track_envelope_beats_s(envelope, 60)
    assert beat_f(beats_s, tracked_s, 0.05) >= 0.9  # trim=False may add one at each end
    assert track_envelope_beats_s(np.zeros(480), 60).size == 0


def test_heard_is_cut_at_a_time():
    analysis = AudioAnalysis(np.array([0.5, 1.0, 1.5]), np.array([0.4, 1.6])).until(1.5)
    assert analysis.beats_s.tolist() == [0.5, 1.0] and analysis.onsets_s.tolist() == [0.4]


def test_ear_hears_a_passage_once_and_says_which_file_is_bad(tmp_path):
    music, _ = click_track(120, 6.0)
    path = music.save(tmp_path / "a.wav")
    (tmp_path / "b.wav").write_bytes(b"not audio")
    analyzer = AudioAnalyzer(progress=False)
    analyzer.analyze_all([Passage(path), Passage(path, 3.0), Passage(tmp_path / "b.wav")], "hearing")
    whole, half = analyzer(Passage(path)), analyzer(Passage(path, 3.0))
    path.unlink()
    assert analyzer(Passage(path)) is whole
    assert half.beats_s.max() < 3.0 < whole.beats_s.max()
    assert half.protocols.seconds == 3.0 and half.protocols.d2mgan_onsets_s.max() < 3.0
    assert whole.protocol_events(6.0) is whole.protocols
    with pytest.raises(BadInput, match="b.wav"):
        analyzer(Passage(tmp_path / "b.wav"))


def test_every_tracker_is_kept_and_can_take_the_lead(tmp_path):
    music, _ = click_track(120, 6.0)
    path = music.save(tmp_path / "a.wav")

    class Deaf(LibrosaTracker):
        name = "deaf"

        def track(self, music):
            return np.array([1.0, 5.0])

    analysis = AudioAnalyzer(progress=False, trackers=(LibrosaTracker(), Deaf()))(Passage(path))
    assert set(analysis.tracked) == {"librosa", "deaf"} and analysis.beats_s is analysis.tracked["librosa"]
    assert analysis.by("deaf").beats_s.tolist() == [1.0, 5.0]
    assert analysis.by("deaf").until(3.0).tracked["deaf"].tolist() == [1.0]
    bare = AudioAnalysis(np.array([1.0]))
    assert bare.by("deaf") is bare
    with pytest.raises(KeyError):
        analysis.by("madmom")


def bad_audio(path, kind):
    if kind == "unreadable":
        path.write_bytes(b"RIFF and nothing else")
    else:
        samples = {"no samples": np.zeros(0), "not finite": np.full(6 * RATE, np.nan)}[kind]
        soundfile.write(path, samples.astype(np.float32), RATE, subtype="FLOAT")


@pytest.mark.parametrize(
    ("kind", "says"), [("unreadable", "not a readable"), ("no samples", "0 samples"), ("not finite", "NaN")]
)
def test_bad_audio_is_one_sentence(tmp_path, kind, says):
    path = tmp_path / "a.wav"
    bad_audio(path, kind)
    with pytest.raises(BadInput, match=says) as caught:
        audio_seconds(path)
        AudioAnalyzer(progress=False)(Passage(path))
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_a_reference_without_beats_is_refused(tmp_path):
    Music(np.zeros((1, 6 * RATE), dtype=np.float32), RATE).save(tmp_path / "a.wav")
    analysis = AudioAnalyzer(progress=False)(Passage(tmp_path / "a.wav"))
    with pytest.raises(BadInput, match=r"a\.wav: the tracker hears no beat"):
        require_beats(analysis, tmp_path / "a.wav")
    with_beats = AudioAnalysis(np.array([1.0]))
    assert require_beats(with_beats, tmp_path) is with_beats


def test_log_mel_distance_is_zero_for_the_same_and_grows():
    music, _ = click_track(120, 4.0)
    other, _ = click_track(97, 4.0)
    noisy = Music(
        music.waveform
        + np.float32(0.003) * np.random.default_rng(1).normal(size=music.waveform.shape).astype(np.float32),
        RATE,
    )
    assert log_mel_l1(log_mel(music), log_mel(music)) == 0.0
    assert log_mel_l1(log_mel(music), log_mel(noisy)) > 0
    assert log_mel_l1(log_mel(music), log_mel(other)) > 0.5
    assert np.isfinite(log_mel(Music(np.zeros((1, RATE), dtype=np.float32), RATE))).all()
