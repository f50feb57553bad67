"""Mixing of the sampled band: levels by measurement, ducking, room."""

from functools import lru_cache
from pathlib import Path

import numpy as np
from jaxtyping import Float
from scipy.signal import butter, lfilter, oaconvolve, sosfilt

from d2m.audio.mastering import master
from d2m.data.synthetic.genres import GENRES
from d2m.data.synthetic.score import Part, Score
from d2m.data.synthetic.soundfont import Sampler, read_soundfont

PACK = Path(__file__).parent / "band.sf3"

BUS_DB = {
    "kick": -16,
    "snare": -19,
    "hats": -27,
    "crash": -27,
    "bass": -19,
    "chords": -19,
    "stabs": -22,
    "pad": -25,
    "lead": -22,
}
"""Root mean square of each bus in the bars where it plays, in dB of full scale: presets differ by 20 dB."""

_GROUPS = {"hats": "cymbals", "crash": "cymbals", "chords": "music", "stabs": "music", "pad": "music", "lead": "music"}
_LOW_CUT_HZ = {"cymbals": 250, "music": 120}
_ROOM_SEND = {"snare": 0.7, "cymbals": 0.25, "music": 0.85}
_DUCKED = ("bass", "music")
_DUCK_S = 0.11

_ECHO_STEPS, _ECHO_GAIN = 3, 0.22

Stereo = Float[np.ndarray, "2 time"]


@lru_cache(2)
def band_sampler(sample_rate: int) -> Sampler:
    """The shipped pack at a sample rate, kept with what it has played."""
    return Sampler(read_soundfont(PACK), sample_rate)


def play(score: Score, sample_rate: int) -> Stereo:
    """A score as music at -14 LUFS.

    Args:
        score: from `compose`.
        sample_rate: samples per second.
    """
    samples = int(np.ceil(len(score.bars) * score.bar_s * sample_rate))
    buses: dict[str, Stereo] = {}
    for part in score.parts:
        if part.hits:
            bus = buses.setdefault(part.bus, np.zeros((2, samples), np.float32))
            _play_part(bus, part, band_sampler(sample_rate))
    return master(_mix(score, buses, sample_rate), sample_rate)


def _play_part(bus: Stereo, part: Part, sampler: Sampler) -> None:
    for hit in part.hits:
        drum = sampler.presets[part.preset].bank == 128
        velocity = 127 if hit.force > 0.75 else 108 if hit.force > 0.5 else 92 if drum else 76
        seconds = None if hit.seconds is None else round(hit.seconds, 3)
        note = sampler.note(part.preset, hit.key, velocity, seconds, part.tune, part.bright_cents)
        start = round(hit.at_s * sampler.rate) - note.onset
        wave = note.wave[:, max(0, -start) : max(0, bus.shape[1] - start)]
        angle = (hit.pan + 1) * np.pi / 4
        gain = np.sqrt(2) * hit.force ** (2.0 if drum else 1.4) * np.array([np.cos(angle), np.sin(angle)], np.float32)
        start = max(start, 0)
        for side in (0, 1):
            bus[side, start : start + wave.shape[1]] += gain[side] * wave[min(side, len(wave) - 1)]


def _mix(score: Score, buses: dict[str, Stereo], rate: int) -> Stereo:
    genre = GENRES[score.genre]
    groups: dict[str, Stereo] = {}
    for name, bus in buses.items():
        wanted_db = BUS_DB[name] + genre.mix_db.get(name, 0.0)
        bus *= np.float32(10 ** (wanted_db / 20) / max(_active_rms(score, bus, name, rate), 1e-6))
        if name == "lead":
            _echo(bus, round(_ECHO_STEPS * 15 / score.bpm * rate))
        group = _GROUPS.get(name, name)
        if group in groups:
            groups[group] += bus
        else:
            groups[group] = bus
    for name in _LOW_CUT_HZ.keys() & groups.keys():
        cut = sosfilt(butter(2, _LOW_CUT_HZ[name], "high", fs=rate, output="sos"), groups[name])
        groups[name] = np.asarray(cut, np.float32)
    if genre.duck and "kick" in groups:
        gain = 1 - np.float32(genre.duck) * _after_kicks(score, groups["kick"].shape[1], rate)
        for name in set(_DUCKED) & groups.keys():
            groups[name] *= gain
    level, seconds = genre.room
    out, send = np.zeros_like(buses["kick"]), np.zeros_like(buses["kick"])
    for name, wave in groups.items():
        out += wave
        if name in _ROOM_SEND:
            send += np.float32(_ROOM_SEND[name]) * wave
    out += np.float32(2.2 * level) * oaconvolve(send, _room(rate, float(seconds)), axes=1)[:, : send.shape[1]]
    return out


def _active_rms(score: Score, bus: Stereo, name: str, rate: int) -> float:
    """Root mean square over the bars in which a bus has notes."""
    hits = [hit for part in score.parts if part.bus == name for hit in part.hits]
    bars = sorted({min(int(hit.at_s / score.bar_s + 0.01), len(score.bars) - 1) for hit in hits})
    edge = lambda bar: round(bar * score.bar_s * rate)  # noqa: E731
    power = lambda part: float(np.vdot(part, part)) / part.size  # noqa: E731
    powers = [power(np.ascontiguousarray(bus[:, edge(bar) : edge(bar + 1)])) for bar in bars]
    return float(np.sqrt(np.mean(powers)))


def _after_kicks(score: Score, samples: int, rate: int) -> Float[np.ndarray, " time"]:
    """1 at every kick, falling until the next."""
    started = np.zeros(samples, np.float32)
    for part in score.parts:
        if part.bus == "kick":
            started[[min(round(hit.at_s * rate), samples - 1) for hit in part.hits]] = 1.0
    pole = float(np.exp(-1 / (_DUCK_S * rate)))
    return np.minimum(np.asarray(lfilter([1], [1, -pole], started)), 1).astype(np.float32)


def _echo(bus: Stereo, delay: int) -> None:
    """Two echoes of a bus, one to each side."""
    mono = bus.mean(axis=0)
    for side, times in ((0, 1), (1, 2)):
        if times * delay < len(mono):
            bus[side, times * delay :] += 1.4 * _ECHO_GAIN**times**0.8 * mono[: len(mono) - times * delay]


@lru_cache(16)
def _room(rate: int, seconds: float) -> Stereo:
    """Impulse response of a room: noise that decays by 60 dB in `seconds`, faster where it is high, other on each side."""
    rng = np.random.default_rng(7)
    count = round(seconds * rate)
    time_s = np.arange(count) / rate
    noise = rng.standard_normal((2, count))
    dull = sosfilt(butter(1, 2500, fs=rate, output="sos"), noise, axis=1)
    wave = 2 * dull * 10 ** (-3 * time_s / seconds) + 0.35 * (noise - dull) * 10 ** (-6 * time_s / seconds)
    wave = np.asarray(sosfilt(butter(2, 200, "high", fs=rate, output="sos"), wave, axis=1))
    wave[:, : round(0.008 * rate)] *= 0.1  # the walls are over a metre away
    return (wave / np.sqrt(np.sum(np.square(wave), axis=1, keepdims=True))).astype(np.float32)
