"""SoundFonts: presets of sampled instruments, read from a file, and single notes played on them.

A file is a RIFF of nested chunks (SoundFont 2.04, section 4; in an SF3 each sample is an Ogg Vorbis stream of its own).
What plays a key is a zone: a sample, with a range of keys and velocities, and generators that tune, filter and shape it.
The levels of a preset and of its instrument are put together when the file is read, and modulators are left aside.
"""

import io
import struct
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from pathlib import Path

import numpy as np
import soundfile
from jaxtyping import Float, Int
from scipy.fft import irfft, rfft
from scipy.signal import butter, sosfilt

from d2m.core.errors import BadInput

# Generators by number, as the specification has them (section 8.1.2).
FILTER_CENTS, PAN, ATTACK, HOLD, DECAY, SUSTAIN, RELEASE = 8, 17, 34, 35, 36, 37, 38
INSTRUMENT, KEYS, VELOCITIES, ATTENUATION = 41, 43, 44, 48
COARSE_TUNE, FINE_TUNE, SAMPLE, SAMPLE_MODES, SCALE_TUNING, ROOT_KEY = 51, 52, 53, 54, 56, 58
_DEFAULTS = {FILTER_CENTS: 13500, ATTACK: -12000, HOLD: -12000, DECAY: -12000, RELEASE: -12000, SCALE_TUNING: 100}
_NOT_ADDED = {KEYS, VELOCITIES, INSTRUMENT, SAMPLE, SAMPLE_MODES, ROOT_KEY}
"""Generators that a preset's zone does not add to its instrument's."""

_VORBIS, _RIGHT = 0x10, 2
_EMU_ATTENUATION = 0.4
"""Sound cards took an attenuation of 1 dB for 0.4 dB, and SoundFonts are made for them."""


@dataclass(frozen=True, eq=False)
class Sample:
    """A recording.

    Args:
        name: in the file.
        content: an Ogg Vorbis stream, or 16-bit samples in little-endian order.
        vorbis: which of the two.
        sample_rate: samples per second.
        loop: first sample of the loop, and the one after its last.
        root_key: MIDI key at which it sounds as recorded.
        correction_cents: added to its pitch.
        kind: 1 for mono, 2 and 4 for the right and left half of a pair.
    """

    name: str
    content: bytes = field(repr=False)
    vorbis: bool
    sample_rate: int
    loop: tuple[int, int]
    root_key: int
    correction_cents: int
    kind: int = 1

    @cached_property
    def wave(self) -> Float[np.ndarray, " time"]:
        """The samples in [-1, 1]."""
        if not self.vorbis:
            return np.frombuffer(self.content, "<i2").astype(np.float32) / 32768
        return soundfile.read(io.BytesIO(self.content), dtype="float32", always_2d=True)[0][:, 0]


@dataclass(frozen=True)
class Zone:
    """A sample and how it is played: generators by number, `KEYS` and `VELOCITIES` apart."""

    sample: Sample
    keys: tuple[int, int]
    velocities: tuple[int, int]
    generators: dict[int, int]

    def __getitem__(self, generator: int) -> int:
        return self.generators.get(generator, _DEFAULTS.get(generator, 0))


@dataclass(frozen=True)
class Preset:
    """An instrument or, in bank 128, a drum kit."""

    name: str
    program: int
    bank: int
    zones: tuple[Zone, ...]


def read_soundfont(path: str | Path) -> dict[str, Preset]:
    """Presets of an SF2 or SF3 file by name, in the file's order.

    Raises:
        BadInput: when the file is missing or is no SoundFont.
    """
    path = Path(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise BadInput(f"{path}: not readable ({error.strerror}); expected a SoundFont (.sf2 or .sf3).") from error
    try:
        if content[:4] != b"RIFF" or content[8:12] != b"sfbk":
            raise ValueError(f"starts with {content[:12]!r}")
        return {preset.name: preset for preset in _presets(_Chunks(content))}
    except (ValueError, KeyError, IndexError, struct.error) as error:
        raise BadInput(
            f"{path}: no whole SoundFont ({error}); give the .sf2 or .sf3 file as it was published."
        ) from error


class _Chunks:
    """The chunks of a RIFF file by name, LIST chunks opened."""

    def __init__(self, content: bytes) -> None:
        self.found = dict(self._walk(content, 12, len(content)))

    def _walk(self, content: bytes, start: int, stop: int) -> Iterator[tuple[str, bytes]]:
        while start + 8 <= stop:
            name, size = struct.unpack_from("<4sI", content, start)
            if name == b"LIST":
                yield from self._walk(content, start + 12, start + 8 + size)
            else:
                yield name.decode("ascii", "replace"), content[start + 8 : start + 8 + size]
            start += 8 + size + size % 2

    def records(self, name: str, layout: str) -> list[tuple]:
        return list(struct.iter_unpack(layout, self.found[name]))


def _text(raw: bytes) -> str:
    return raw.split(b"\0")[0].decode("latin-1").strip()


def _range(amount: int) -> tuple[int, int]:
    return amount & 255, amount >> 8 & 255


def _common(one: tuple[int, int], other: tuple[int, int]) -> tuple[int, int]:
    return max(one[0], other[0]), min(one[1], other[1])


def _bags(chunks: _Chunks, bag: str, generators: str, first: int, stop: int, target: int) -> list[dict[int, int]]:
    """Generators of each zone of a preset or instrument, those of its global zone put under them."""
    bags, table = chunks.records(bag, "<HH"), chunks.records(generators, "<HH")
    zones, shared = [], {}
    for number in range(first, stop):
        zone = dict(table[bags[number][0] : bags[number + 1][0]])
        if target in zone:
            zones.append(shared | zone)
        elif number == first:
            shared = zone
    return zones


def _samples(chunks: _Chunks) -> list[Sample]:
    pool = chunks.found["smpl"]
    samples = []
    for name, start, stop, loop, loop_stop, rate, root, correction, _, kind in chunks.records("shdr", "<20sIIIIIBbHH")[
        :-1
    ]:
        vorbis = bool(kind & _VORBIS)
        content = pool[start:stop] if vorbis else pool[2 * start : 2 * stop]
        loop = (loop, loop_stop) if vorbis else (loop - start, loop_stop - start)
        samples.append(Sample(_text(name), content, vorbis, rate, loop, min(root, 127), correction, kind & 15))
    return samples


def _presets(chunks: _Chunks) -> Iterator[Preset]:
    samples, everything = _samples(chunks), (0, 127)
    signed = lambda amount: amount - 65536 if amount > 32767 else amount  # noqa: E731
    headers, instruments = chunks.records("phdr", "<20sHHHIII"), chunks.records("inst", "<20sH")
    if len(headers) < 2:
        raise ValueError("it has no presets")
    for header, following in pairwise(headers):
        zones = []
        for outer in _bags(chunks, "pbag", "pgen", header[3], following[3], INSTRUMENT):
            first, stop = instruments[outer[INSTRUMENT]][1], instruments[outer[INSTRUMENT] + 1][1]
            for inner in _bags(chunks, "ibag", "igen", first, stop, SAMPLE):
                keys, velocities = (
                    _common(*(_range(level[kind]) if kind in level else everything for level in (outer, inner)))
                    for kind in (KEYS, VELOCITIES)
                )
                if keys[0] > keys[1] or velocities[0] > velocities[1]:
                    continue
                generators = {n: signed(amount) for n, amount in inner.items() if n not in (KEYS, VELOCITIES, SAMPLE)}
                for number in outer.keys() - _NOT_ADDED:
                    generators[number] = generators.get(number, _DEFAULTS.get(number, 0)) + signed(outer[number])
                zones.append(Zone(samples[inner[SAMPLE]], keys, velocities, generators))
        yield Preset(_text(header[0]), header[1], header[2], tuple(zones))


def _smooth(below: int) -> Int[np.ndarray, " number"]:
    """Numbers without a prime factor above 7, rising: lengths that are quick to transform."""
    found = np.ones(1, np.int64)
    for prime in (2, 3, 5, 7):
        powers = prime ** np.arange(int(np.log(below) / np.log(prime)) + 1)
        found = np.unique(np.outer(found, powers))
        found = found[found < below]
    return found


_QUICK = _smooth(1 << 23)


def _lengths(least: int, ratio: float) -> tuple[int, int]:
    """Lengths of a resampled wave and of its source, both quick to transform, in a ratio right to two or three cents."""
    made = _QUICK[(least <= _QUICK) & (1.3 * least >= _QUICK)]
    above = np.searchsorted(_QUICK, made * ratio)
    made, taken = np.concatenate([made, made]), np.concatenate([_QUICK[above], _QUICK[above - 1]])
    best = int(np.argmin(np.abs(taken / made / ratio - 1)))
    return int(made[best]), int(taken[best])


def _seconds(timecents: int) -> float:
    return 0.0 if timecents <= -12000 else 2 ** (timecents / 1200)


@dataclass(frozen=True)
class Note:
    """A note as sound.

    Args:
        wave: one channel where the instrument is mono.
        onset: samples from its start to where it is heard: the first tenth of its peak.
    """

    wave: Float[np.ndarray, "channel time"]
    onset: int


_LONGEST_ONSET_S = 0.06
"""An instrument that swells slower than this is played late: it never leads by more."""

_BLOCK_S = 0.5
"""Notes are kept in lengths of this, so that notes of different lengths share one."""

_FADE_S = 0.01
_RINGS_S = 2.5
_SHORTEST = 1 << 14
_SILENT = 3e-4
"""Of its peak: a note is cut where it stays below."""

_HEARD = 0.1


class Sampler:
    """Plays notes; decoded samples and pitched notes are kept, the least used go.

    Args:
        presets: by name, from `read_soundfont`.
        sample_rate: of the notes.
        kept_mb: megabytes of pitched notes to keep.
    """

    def __init__(self, presets: dict[str, Preset], sample_rate: int, kept_mb: int = 160) -> None:
        self.presets, self.rate, self._kept_bytes = presets, sample_rate, kept_mb << 20
        self._notes: OrderedDict[tuple, Note] = OrderedDict()
        self._used = 0
        self._ranges = {
            name: (min(zone.keys[0] for zone in preset.zones), max(zone.keys[1] for zone in preset.zones))
            for name, preset in presets.items()
        }

    def note(
        self,
        preset: str,
        key: int,
        velocity: int = 127,
        seconds: int | float | None = None,
        tune: int | float = 0.0,
        bright_cents: int | float = 0,
    ) -> Note:
        """A note from its start to the end of its release.

        Args:
            preset: name of an instrument or a kit.
            key: MIDI key; one without a sample is an octave or more nearer to those that have one.
            velocity: 1 to 127; chooses the samples and how they are filtered, not how loud they are played.
            seconds: how long the key is held; None lets it ring, as drums do, for two and a half seconds at most.
            tune: semitones to add.
            bright_cents: to add to the cut-off of the low-pass filter.
        """
        zones = self._zones(preset, key, velocity)
        asked = (preset, key, tuple(number for number, _ in zones), round(tune, 3), round(bright_cents))
        held_s = _RINGS_S if seconds is None else round(float(seconds), 3)
        cut = (*asked, held_s, seconds is None)
        if cut not in self._notes:
            release_s = min(max((_seconds(zone[RELEASE]) for _, zone in zones), default=0.0), 1.0)
            whole_s = held_s + (0.0 if seconds is None else max(0.4 * release_s, 0.02))
            blocks = int(np.ceil(whole_s / _BLOCK_S))
            if (*asked, blocks) not in self._notes:
                shifted = [(zone, self._key(preset, key) + tune) for _, zone in zones]
                self._keep((*asked, blocks), self._ringing(shifted, blocks * _BLOCK_S, bright_cents))
            ringing = self._notes[(*asked, blocks)]
            wave = ringing.wave[:, : round(whole_s * self.rate)].copy()
            held = min(round(held_s * self.rate), wave.shape[1])
            fall_s = np.arange(wave.shape[1] - held, dtype=np.float32) / self.rate
            wave[:, held:] *= 10 ** (-5 * fall_s / max(release_s, 0.05))  # 100 dB in the time of the release
            fade = min(round(_FADE_S * self.rate), wave.shape[1])
            wave[:, wave.shape[1] - fade :] *= np.linspace(1, 0, fade, dtype=np.float32)
            self._keep(cut, Note(wave, min(ringing.onset, wave.shape[1])))
        self._notes.move_to_end(cut)
        return self._notes[cut]

    def _keep(self, at: tuple, note: Note) -> None:
        self._notes[at] = note
        self._used += note.wave.nbytes
        while self._used > self._kept_bytes and len(self._notes) > 1:
            self._used -= self._notes.popitem(last=False)[1].wave.nbytes

    def _key(self, preset: str, key: int) -> int:
        """The key, octaves up or down into the preset's range."""
        if preset not in self.presets:
            raise BadInput(f"found no preset '{preset}', expected one of {', '.join(self.presets)}; take another pack.")
        low, high = self._ranges[preset]
        if key < low:
            key += 12 * -(-(low - key) // 12)
        elif key > high:
            key -= 12 * -(-(key - high) // 12)
        return key

    def _zones(self, preset: str, key: int, velocity: int) -> list[tuple[int, Zone]]:
        key = self._key(preset, key)
        return [
            (number, zone)
            for number, zone in enumerate(self.presets[preset].zones)
            if zone.keys[0] <= key <= zone.keys[1] and zone.velocities[0] <= velocity <= zone.velocities[1]
        ]

    def _ringing(self, zones: list[tuple[Zone, float]], seconds: float, bright_cents: int | float) -> Note:
        """A note whose key stays down."""
        count = round(seconds * self.rate)
        wave = np.zeros((2, count), np.float32)
        for zone, key in zones:
            part = self._shaped(zone, self._pitched(zone, key, count), bright_cents)
            angle = (np.clip(zone[PAN] / 500, -1, 1) + 1) * np.pi / 4
            wave[0, : len(part)] += np.sqrt(2) * np.cos(angle) * part
            wave[1, : len(part)] += np.sqrt(2) * np.sin(angle) * part
        if np.allclose(wave[0], wave[1], atol=1e-7):
            wave = wave[:1]
        level = np.abs(wave).max(axis=0)
        heard = np.flatnonzero(level > _SILENT * level.max())
        wave, level = wave[:, : heard[-1] + 1 if heard.size else 1], level[: self.rate]
        onset = int(np.argmax(level >= _HEARD * level.max())) if level.size else 0
        return Note(wave, min(onset, round(_LONGEST_ONSET_S * self.rate)))

    def _pitched(self, zone: Zone, key: int | float, count: int) -> Float[np.ndarray, " time"]:
        """The zone's sample at a key, looped where it loops, in at most `count` samples; band-limited by its spectrum."""
        sample = zone.sample
        root = zone.generators.get(ROOT_KEY, sample.root_key)
        cents = zone[SCALE_TUNING] * (key - root) + 100 * zone[COARSE_TUNE] + zone[FINE_TUNE] + sample.correction_cents
        ratio = 2 ** (cents / 1200) * sample.sample_rate / self.rate
        source = sample.wave[: int(count * ratio) + 2]
        first, stop = sample.loop
        if zone[SAMPLE_MODES] & 1 and 0 <= first < stop <= len(sample.wave):
            rounds = max(0, int(np.ceil((count * ratio - first) / (stop - first))))
            source = np.concatenate([sample.wave[:first], np.tile(sample.wave[first:stop], rounds)])
            source = source[: int(count * ratio) + 2]
        made, taken = _lengths(max(int(len(source) / ratio), _SHORTEST) + 256, ratio)
        spectrum = np.asarray(rfft(source, taken))
        bins = min(len(spectrum), made // 2 + 1)
        wave = np.asarray(irfft(spectrum[:bins], made)) * (made / taken)
        return wave[: min(count, int(len(source) / ratio))].astype(np.float32)

    def _shaped(
        self, zone: Zone, wave: Float[np.ndarray, " time"], bright_cents: int | float
    ) -> Float[np.ndarray, " time"]:
        """A sample with its zone's filter, volume envelope and attenuation."""
        cutoff_hz = 8.176 * 2 ** ((zone[FILTER_CENTS] + bright_cents) / 1200)
        if zone[FILTER_CENTS] < 13500 and cutoff_hz < 0.45 * self.rate:
            wave = np.asarray(sosfilt(butter(2, cutoff_hz, fs=self.rate, output="sos"), wave), np.float32)
        time_s = np.arange(len(wave), dtype=np.float32) / self.rate
        attack_s, held_s = _seconds(zone[ATTACK]), _seconds(zone[ATTACK]) + _seconds(zone[HOLD])
        sustain_db = min(max(zone[SUSTAIN], 0), 1000) / 10
        fall_db = np.minimum(100 / max(_seconds(zone[DECAY]), 1e-3) * np.maximum(time_s - held_s, 0), sustain_db)
        gain = 10 ** (-(fall_db + _EMU_ATTENUATION * zone[ATTENUATION] / 10) / 20)
        return wave * gain.astype(np.float32) * np.clip(time_s / max(attack_s, 1e-4), 0, 1)
