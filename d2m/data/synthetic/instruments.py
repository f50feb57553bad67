"""One-shot instruments of the procedural music: each function returns a mono note at the given sample rate.

Plain subtractive, additive and frequency-modulation synthesis with numpy; nothing is sampled from a recording.
"""

import numpy as np
from jaxtyping import Float
from scipy.signal import lfilter

Note = Float[np.ndarray, " sample"]


def _time(seconds: int | float, rate: int) -> np.ndarray:
    return np.arange(int(seconds * rate), dtype=np.float32) / rate


def _fade_ends(note: np.ndarray, rate: int, attack_s: int | float = 0.002, release_s: int | float = 0.012) -> Note:
    """Ramp both ends of a note, so that none starts or stops with a click."""
    attack, release = max(1, int(attack_s * rate)), max(1, int(release_s * rate))
    note = note.astype(np.float32)
    note[:attack] *= np.linspace(0, 1, attack, dtype=np.float32)[: len(note)]
    note[-release:] *= np.linspace(1, 0, release, dtype=np.float32)[-len(note) :]
    return note


def low_pass(x: np.ndarray, cutoff_hz: int | float, rate: int) -> np.ndarray:
    """One-pole low-pass filter."""
    pole = float(np.exp(-2 * np.pi * min(cutoff_hz, 0.45 * rate) / rate))
    return np.asarray(lfilter([1 - pole], [1, -pole], x), dtype=np.float32)


def high_pass(x: np.ndarray, cutoff_hz: int | float, rate: int) -> np.ndarray:
    """What the one-pole low-pass leaves over."""
    return x - low_pass(x, cutoff_hz, rate)


def midi_hz(note: int | float) -> float:
    """Frequency in Hz of a MIDI note number (69 is A4, 440 Hz)."""
    return 440.0 * 2 ** ((note - 69) / 12)


# -- drums ---------------------------------------------------------------------------------------------------------


def kick(
    rate: int,
    rng: np.random.Generator,
    tune_hz: int | float = 50,
    decay_s: int | float = 0.22,
    click: int | float = 0.4,
) -> Note:
    """Sine whose pitch falls, with a short click."""
    t = _time(decay_s * 2.2, rate)
    phase = 2 * np.pi * (tune_hz * t + 3.2 * tune_hz * 0.028 * (1 - np.exp(-t / 0.028)))
    body = np.sin(phase) * np.exp(-t / decay_s * 1.6)
    tick = high_pass(rng.standard_normal(len(t)).astype(np.float32), 2500, rate) * np.exp(-t / 0.004)
    return _fade_ends(np.tanh(1.6 * body) + click * tick, rate, 0.0006)


def snare(
    rate: int,
    rng: np.random.Generator,
    tune_hz: int | float = 190,
    decay_s: int | float = 0.13,
    rattle: int | float = 0.8,
) -> Note:
    """Two drum-head modes and a noise tail."""
    t = _time(decay_s * 3, rate)
    head = (np.sin(2 * np.pi * tune_hz * t) + 0.6 * np.sin(2 * np.pi * 1.73 * tune_hz * t)) * np.exp(-t / 0.05)
    noise = high_pass(rng.standard_normal(len(t)).astype(np.float32), 1400, rate) * np.exp(-t / decay_s * 1.8)
    return _fade_ends(0.6 * head + rattle * noise, rate, 0.0006)


def clap(rate: int, rng: np.random.Generator, decay_s: int | float = 0.11) -> Note:
    """Four bursts of band-limited noise."""
    t = _time(decay_s * 3.5, rate)
    noise = low_pass(high_pass(rng.standard_normal(len(t)).astype(np.float32), 900, rate), 5200, rate)
    envelope = np.exp(-np.clip(t - 0.024, 0, None) / decay_s * 1.7) * (t >= 0.024)
    for start in (0.0, 0.008, 0.016):
        envelope += 0.8 * np.exp(-(t - start) / 0.0035) * ((t >= start) & (t < start + 0.008))
    return _fade_ends(1.7 * noise * envelope, rate, 0.0006)


def hat(rate: int, rng: np.random.Generator, decay_s: int | float = 0.04, tone_hz: int | float = 7000) -> Note:
    """High noise with a little metal (closed or open hi-hat by its decay; a ride by a long one)."""
    t = _time(decay_s * 4, rate)
    noise = high_pass(high_pass(rng.standard_normal(len(t)).astype(np.float32), tone_hz, rate), tone_hz, rate)
    metal = sum(np.sign(np.sin(2 * np.pi * tone_hz * ratio * 0.41 * t)) for ratio in (1.0, 1.342, 1.523))
    return _fade_ends((noise + 0.06 * metal) * np.exp(-t / decay_s), rate, 0.0006)


def tom(rate: int, rng: np.random.Generator, tune_hz: int | float = 110, decay_s: int | float = 0.22) -> Note:
    """A kick's higher sister without the click."""
    return kick(rate, rng, tune_hz, decay_s, click=0.08)


def shaker(rate: int, rng: np.random.Generator, decay_s: int | float = 0.05) -> Note:
    """Soft noise with a slow attack."""
    t = _time(decay_s * 3, rate)
    noise = high_pass(rng.standard_normal(len(t)).astype(np.float32), 5000, rate)
    return _fade_ends(noise * np.exp(-t / decay_s) * np.clip(t / 0.018, 0, 1), rate)


def crash(rate: int, rng: np.random.Generator) -> Note:
    """A long bright cymbal."""
    return hat(rate, rng, decay_s=0.45, tone_hz=4500)


# -- pitched -------------------------------------------------------------------------------------------------------


def _harmonics(hz: int | float, t: np.ndarray, rolloff: int | float, rate: int, odd_only: bool = False) -> np.ndarray:
    """Additive saw (or square) with partial k at k^-rolloff, none above 9 kHz, so that nothing aliases."""
    count = int(min(14, 9000 // hz, 0.45 * rate // hz))
    wave = np.zeros(len(t), np.float32)
    for k in range(1, max(count, 1) + 1, 2 if odd_only else 1):
        wave += np.sin(2 * np.pi * hz * k * t) / k**rolloff
    return wave


def bass(hz: int | float, seconds: int | float, rate: int, kind: str) -> Note:
    """`upright`, `sub`, `synth`, `fuzz` or `finger` bass."""
    t = _time(seconds, rate)
    if kind == "sub":
        return _fade_ends(np.sin(2 * np.pi * hz * t) + 0.12 * np.sin(4 * np.pi * hz * t), rate, 0.006, 0.03)
    if kind == "upright":
        wave = _harmonics(hz, t, 1.9, rate) * np.exp(-t / 0.38)
        return _fade_ends(wave, rate, 0.006, 0.03)
    if kind == "fuzz":
        return _fade_ends(0.7 * np.tanh(3.0 * _harmonics(hz, t, 1.2, rate)), rate, 0.003, 0.02)
    rolloff, decay = (1.1, 0.30) if kind == "synth" else (1.5, 0.45)
    return _fade_ends(0.8 * _harmonics(hz, t, rolloff, rate) * np.exp(-t / decay), rate, 0.003, 0.02)


def keys(hz: int | float, seconds: int | float, rate: int, kind: str) -> Note:
    """`rhodes`, `organ`, `strings`, `brass`, `clav`, `piano` or `pad`: the chord instruments."""
    t = _time(seconds, rate)
    if kind == "rhodes":
        index = 1.1 * np.exp(-t / 0.35)
        return _fade_ends(
            np.sin(2 * np.pi * hz * t + index * np.sin(2 * np.pi * hz * t)) * np.exp(-t / 0.9), rate, 0.004, 0.04
        )
    if kind == "organ":
        wave = sum(a * np.sin(2 * np.pi * hz * m * t) for m, a in ((1, 1.0), (2, 0.7), (3, 0.5), (4, 0.25)))
        return _fade_ends(0.55 * np.asarray(wave), rate, 0.004, 0.03)
    if kind == "piano":
        return _fade_ends(_harmonics(hz, t, 1.7, rate) * np.exp(-t / (0.25 + 60 / hz)), rate, 0.003, 0.05)
    if kind == "clav":
        return _fade_ends(0.8 * _harmonics(hz, t, 0.95, rate, odd_only=True) * np.exp(-t / 0.11), rate, 0.002, 0.02)
    if kind == "brass":
        swell = np.clip(t / 0.03, 0, 1) * np.exp(-t / 0.5)
        return _fade_ends(0.75 * _harmonics(hz, t, 1.0, rate) * swell, rate, 0.004, 0.03)
    attack = 0.09 if kind == "strings" else 0.2
    wave = _harmonics(hz * 1.003, t, 1.5, rate) + _harmonics(hz * 0.997, t, 1.5, rate)
    return _fade_ends(0.45 * wave * np.clip(t / attack, 0, 1), rate, 0.01, min(0.12, seconds / 3))


def lead(hz: int | float, seconds: int | float, rate: int, kind: str) -> Note:
    """`whistle`, `saw`, `bell`, `flute` or `pluck`: the melody instruments."""
    t = _time(seconds, rate)
    vibrato = 1.2 * np.sin(2 * np.pi * 5.2 * t) * np.clip(t / 0.25, 0, 1) / 5.2 * 0.006 * hz
    if kind == "bell":
        index = 2.2 * np.exp(-t / 0.25)
        return _fade_ends(np.sin(2 * np.pi * hz * t + index * np.sin(7.0 * np.pi * hz * t)) * np.exp(-t / 0.5), rate)
    if kind == "pluck":
        return _fade_ends(_harmonics(hz, t, 1.25, rate) * np.exp(-t / 0.16), rate, 0.002)
    if kind == "saw":
        return _fade_ends(0.6 * _harmonics(hz, t, 1.1, rate), rate, 0.008, 0.03)
    wave = np.sin(2 * np.pi * (hz * t + vibrato)) + (0.15 if kind == "whistle" else 0.3) * np.sin(4 * np.pi * hz * t)
    return _fade_ends(0.8 * wave, rate, 0.02, 0.04)
