"""Key and chords of music that the test plays."""

import numpy as np
import pytest

from d2m.core.lead_sheet import LeadSheet
from d2m.core.music import Music
from d2m.metrics.harmony import lead_sheet_of, measure_harmony

RATE = 22_050
C_MAJOR = (60, 64, 67), (57, 60, 64), (65, 69, 72), (67, 71, 74)  # C, Am, F, G


def played(chords: tuple[tuple[int, ...], ...], seconds: float = 16.0) -> Music:
    """A chord a second with three harmonics a note, over noise 40 dB below."""
    rng, time_s = np.random.default_rng(0), np.arange(round(RATE * seconds)) / RATE
    wave = 0.003 * rng.normal(size=len(time_s))
    for second in range(round(seconds)):
        inside = (time_s >= second) & (time_s < second + 1)
        for note in chords[second % len(chords)]:
            hz = 440 * 2 ** ((note - 69) / 12)
            for harmonic in (1, 2, 3):
                wave[inside] += 0.1 / harmonic**2 * np.sin(2 * np.pi * hz * harmonic * time_s[inside])
    return Music(wave[None].astype(np.float32), RATE)


@pytest.mark.parametrize("semitones", [0, 5])
def test_music_in_a_key_with_plain_chords_is_heard_as_such_in_any_key(semitones: int) -> None:
    moved = tuple(tuple(note + semitones for note in chord) for chord in C_MAJOR)
    found = measure_harmony(played(moved), np.arange(0, 16, 0.5))
    assert found.in_key_share > 0.93 and found.chord_clarity > 0.85 and found.key_steadiness > 0.95


@pytest.mark.parametrize("semitones", [0, 7])
def test_key_and_chords_are_written_down_as_they_were_played(semitones: int) -> None:
    moved = tuple(tuple(note + semitones for note in chord) for chord in C_MAJOR)
    found = lead_sheet_of(played(moved), np.arange(0.0, 17.0))
    assert (found.tonic, found.mode) == (semitones, "major") and len(found.bars) == 16
    chords = [(0, ""), (9, "m"), (5, ""), (7, "")] * 4
    assert [(bar.root, bar.quality) for bar in found.bars] == [((root + semitones) % 12, kind) for root, kind in chords]
    assert [bar.start_s for bar in found.bars] == list(range(16))


def test_silence_has_no_lead_sheet() -> None:
    assert lead_sheet_of(Music(np.zeros((2, 3 * RATE), np.float32), RATE), np.arange(4.0)) == LeadSheet()


def test_noise_has_no_key_and_no_chords() -> None:
    noise = Music(np.random.default_rng(1).normal(size=(1, 16 * RATE)).astype(np.float32) * 0.1, RATE)
    found = measure_harmony(noise, np.zeros(0))
    assert 0.55 < found.in_key_share < 0.66 and found.chord_clarity < 0.7


def test_notes_outside_every_key_and_clusters_score_below_chords() -> None:
    chords, cluster = (measure_harmony(played(c), np.arange(0, 16, 1.0)) for c in (C_MAJOR, ((60, 61, 62, 63),)))
    assert cluster.chord_clarity < chords.chord_clarity - 0.2 and cluster.in_key_share < chords.in_key_share - 0.15


def test_a_piece_that_changes_its_key_half_way_is_less_steady() -> None:
    other = tuple(tuple(note + 6 for note in chord) for chord in C_MAJOR)
    halves = [played(C_MAJOR).waveform, played(other).waveform]
    wandering = measure_harmony(Music(np.concatenate(halves, axis=1), RATE), np.arange(0, 32, 0.5))
    steady = measure_harmony(Music(np.concatenate([halves[0]] * 2, axis=1), RATE), np.arange(0, 32, 0.5))
    assert steady.key_steadiness > 0.95 and wandering.key_steadiness < 0.3


@pytest.mark.parametrize("samples", [1, RATE // 4, 3 * RATE])
def test_silence_and_short_clips_have_no_harmony_and_no_error(samples: int) -> None:
    found = measure_harmony(Music(np.zeros((2, samples), np.float32), RATE), np.zeros(0))
    assert np.isnan([found.in_key_share, found.chord_clarity, found.key_steadiness]).all()
    tone = played(C_MAJOR[:1], 3.0).waveform[:, :samples]
    assert np.isnan(measure_harmony(Music(tone, RATE), np.array([0.1])).key_steadiness)
