"""Songs made of drum strokes and a chord, whose beats, bars, key and energy are known."""

from pathlib import Path

import numpy as np

from d2m.core.music import Music

RATE = 22050


def drummed(bpm: float, beats: int, rate: int = RATE, first_s: float = 0.3, loud_bars: tuple[int, ...] = ()) -> Music:
    """Stereo: a low stroke on the first beat of a bar, a higher one on every beat, off-beat hats, a C major chord.

    Args:
        loud_bars: numbers of the bars that are four times as loud.
    """
    period_s = 60 / bpm
    samples = np.arange(round((first_s + beats * period_s) * rate))
    wave = np.zeros((2, len(samples)))
    random = np.random.default_rng(0)
    noise = random.normal(size=round(0.04 * rate)) * np.exp(-np.arange(round(0.04 * rate)) / (0.008 * rate))

    def add(at_s: float, sound: np.ndarray, left: float, right: float) -> None:
        start = round(at_s * rate)
        sound = sound[: wave.shape[1] - start]
        wave[:, start : start + len(sound)] += np.outer([left, right], sound)

    stroke_s = np.arange(round(0.15 * rate)) / rate
    for beat in range(beats):
        at_s, level = first_s + beat * period_s, 0.25 if beat // 4 in loud_bars else 0.06
        low = np.sin(2 * np.pi * 60 * stroke_s) * np.exp(-stroke_s / 0.05)
        add(at_s, low * (3 if beat % 4 == 0 else 1), level, level)
        add(at_s, noise, level, level * 0.8)
        add(at_s + period_s / 2, noise, 0.2 * level, 0.3 * level)
        chord_s = np.arange(round(period_s * rate)) / rate
        chord = sum(np.sin(2 * np.pi * hz * chord_s) for hz in (261.63, 329.63, 392.0, 523.25))
        add(at_s, 0.15 * level * chord, 1.0, 0.6)
    return Music(wave.astype(np.float32), rate)


def write_songs(folder: Path, **songs: Music) -> Path:
    """`NAME.wav` for each."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, music in songs.items():
        music.save(folder / f"{name}.wav")
    return folder
