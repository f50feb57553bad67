"""Songs of the embedded data set: the ten genres' musical vocabularies, the band that plays them, and which songs exist.

A pattern is 16 digits, one per sixteenth of a 4/4 bar: 0 is a rest, 9 full force. The band places every part on the grid of
sixteenths of the song's tempo, with the genre's swing and the players' small timing errors, and mixes to stereo. A song is
fixed by its code: it gives genre and tempo (`d2m.core.aist_names`), and seeds the choice of kit, key, progression, pattern
variation and melody.
"""

import zlib
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from jaxtyping import Float

from d2m.core.aist_names import GENRES, song_tempo_bpm
from d2m.data.synthetic import instruments
from d2m.data.synthetic.instruments import midi_hz
from d2m.data.synthetic.mixing import play
from d2m.data.synthetic.score import compose


@dataclass(frozen=True)
class Style:
    """One genre's music.

    Args:
        drums: pattern by instrument name (a method of `instruments`, `openhat` and `ride` being long hats).
        swing: delay of every second sixteenth as a share of a sixteenth (0 straight, 0.33 shuffle).
        swing_eighths: swing the eighths instead (jazz).
        bass, chords, lead: instrument kinds.
        bass_pattern, chord_pattern: digits; for bass, 1 root, 5 fifth, 8 octave, 7 flat seventh; for chords, 0-9 force.
        chord_hold: sixteenths that a chord sounds.
        progressions: scale degrees (semitones from the key, quality) a bar each.
        lead_density: chance of a lead note per eighth.
        humanise_s: spread of the players' timing.
        duck: depth of the side-chain from the kick.
    """

    drums: dict[str, str]
    bass: str
    chords: str
    lead: str
    bass_pattern: str
    chord_pattern: str
    chord_hold: int
    progressions: tuple[tuple[tuple[int, str], ...], ...]
    swing: int | float = 0.0
    swing_eighths: bool = False
    lead_density: int | float = 0.35
    humanise_s: int | float = 0.003
    duck: int | float = 0.0
    kit: dict[str, int | float] = field(default_factory=dict)


_MINOR_VAMP = (((0, "m7"), (0, "m7"), (5, "m7"), (3, "maj")), ((0, "m7"), (8, "maj"), (10, "maj"), (0, "m7")))
_FUNK_VAMP = (((0, "7"), (0, "7"), (5, "7"), (0, "7")), ((0, "m7"), (5, "7"), (0, "m7"), (5, "7")))
_DISCO = (((0, "m7"), (5, "m7"), (10, "7"), (3, "maj")), ((0, "m7"), (3, "maj"), (8, "maj"), (10, "maj")))
_JAZZ = (((2, "m7"), (7, "7"), (0, "maj"), (9, "m7")), ((0, "maj"), (9, "m7"), (2, "m7"), (7, "7")))
_DARK = (((0, "m"), (0, "m"), (1, "maj"), (0, "m")), ((0, "m"), (8, "maj"), (1, "maj"), (0, "m")))

STYLES: dict[str, Style] = {
    "gBR": Style(
        {"kick": "9000000090600000", "snare": "0000900000009020", "hat": "9050905090509050", "shaker": "5023502350235023"},
        "finger", "brass", "pluck", "1000100550007080", "8000000080005000", 2, _FUNK_VAMP, swing=0.12,
        lead_density=0.22, humanise_s=0.005, kit={"kick_hz": 58, "snare_hz": 215, "snare_decay": 0.14},
    ),
    "gPO": Style(
        {"kick": "9000700090000060", "clap": "0000900000009000", "hat": "6363636363636363", "tom": "0000000000000065"},
        "synth", "saw", "saw", "1010808010107050", "8000000000800000", 4, _MINOR_VAMP,
        humanise_s=0.0, kit={"kick_hz": 52, "hat_hz": 8200, "hat_decay": 0.028},
    ),
    "gLO": Style(
        {"kick": "9000007090000000", "snare": "0000900000009000", "hat": "7050705070507050", "openhat": "0000000000000050"},
        "finger", "clav", "flute", "1001005010010708", "7035703570357035", 1, _FUNK_VAMP, swing=0.08,
        humanise_s=0.004, kit={"kick_hz": 62, "snare_hz": 235},
    ),
    "gMH": Style(
        {"kick": "9000000500900000", "snare": "0000900000009000", "hat": "7040704070407040"},
        "sub", "rhodes", "bell", "1000000010100000", "8000000000700000", 6, _MINOR_VAMP, swing=0.28,
        lead_density=0.2, humanise_s=0.006, kit={"kick_hz": 48, "kick_decay": 0.26, "snare_hz": 170},
    ),
    "gLH": Style(
        {"kick": "9005000080050000", "clap": "0000900000009000", "hat": "6040604060406044", "shaker": "3030303030303030"},
        "sub", "pad", "whistle", "1000100010005010", "8000000000000000", 14, _DARK,
        lead_density=0.5, humanise_s=0.001, kit={"kick_hz": 44, "kick_decay": 0.32},
    ),
    "gHO": Style(
        {"kick": "9000900090009000", "clap": "0000800000008000", "openhat": "0070007000700070", "shaker": "4242424242424242"},
        "synth", "organ", "pluck", "0010001000100080", "0060060006006000", 2, _DISCO,
        humanise_s=0.0, duck=0.45, kit={"kick_hz": 50, "kick_decay": 0.24},
    ),
    "gWA": Style(
        {"kick": "9000900090009000", "snare": "0000800000008000", "hat": "6030603060306030", "openhat": "0060006000600060"},
        "finger", "strings", "flute", "1080108010801080", "8000000080000000", 8, _DISCO,
        lead_density=0.42, humanise_s=0.003, duck=0.2, kit={"kick_hz": 60, "snare_hz": 205},
    ),
    "gKR": Style(
        {"kick": "9007000090700000", "snare": "0000900000009000", "tom": "0000004000000063", "hat": "5000500050005000"},
        "fuzz", "brass", "saw", "1001000010100001", "9000000000900000", 3, _DARK,
        lead_density=0.18, humanise_s=0.002, kit={"kick_hz": 42, "kick_decay": 0.34, "snare_hz": 150, "snare_decay": 0.2},
    ),
    "gJS": Style(
        {"kick": "9000005080000000", "snare": "0000700000007000", "hat": "6030603060306030", "clap": "0000500000005000"},
        "upright", "rhodes", "flute", "1000005010000708", "7000006000700000", 5, _JAZZ, swing=0.18,
        lead_density=0.4, humanise_s=0.005, kit={"kick_hz": 55, "snare_hz": 225, "snare_decay": 0.1},
    ),
    "gJB": Style(
        {"ride": "8000804080008040", "kick": "7000500070005000", "snare": "0000500000005000"},
        "upright", "piano", "flute", "1000500080005000", "7000600070006000", 4, _JAZZ, swing=0.3, swing_eighths=True,
        lead_density=0.45, humanise_s=0.005, kit={"kick_hz": 66, "kick_decay": 0.12, "snare_hz": 260, "snare_decay": 0.07},
    ),
}  # fmt: skip

CHORD_TONES = {"m": (0, 3, 7), "m7": (0, 3, 7, 10), "maj": (0, 4, 7), "7": (0, 4, 7, 10)}
PENTATONIC = {"m": (0, 3, 5, 7, 10), "m7": (0, 3, 5, 7, 10), "maj": (0, 2, 4, 7, 9), "7": (0, 2, 4, 7, 10)}


_PAN = {"kick": 0.0, "snare": 0.05, "clap": -0.05, "hat": 0.35, "openhat": 0.35, "ride": -0.3, "tom": -0.25, "shaker": -0.45,
        "crash": 0.2, "bass": 0.0, "chords": 0.0, "lead": 0.15}  # fmt: skip
_LEVEL = {"kick": 0.95, "snare": 0.62, "clap": 0.62, "hat": 0.2, "openhat": 0.2, "ride": 0.24, "tom": 0.5, "shaker": 0.12,
          "crash": 0.22, "bass": 0.36, "chords": 0.1, "lead": 0.12}  # fmt: skip


class Band:
    """Plays one song.

    Args:
        genre: genre code with an entry in `STYLES`.
        bpm: tempo.
        seed: fixes kit, key, progression, variations and melody.
        sample_rate: samples per second of what `play` returns.
    """

    def __init__(self, genre: str, bpm: int | float, seed: int, sample_rate: int) -> None:
        self.style, self.rate = STYLES[genre], sample_rate
        self.step_s = 60 / bpm / 4
        self.rng = np.random.default_rng(seed)
        self.key = int(self.rng.integers(31, 43))  # G1 to F#2, the bass's register
        self.progression = self.style.progressions[int(self.rng.integers(len(self.style.progressions)))]
        self.kit = self._tune_kit()
        self.riff = self.rng.random(32) < self.style.lead_density  # two bars of eighths, repeated: a melody, not noise
        self.riff_degree = self.rng.integers(0, 5, size=32)
        self._bass = lru_cache(None)(lambda hz, s: instruments.bass(hz, s, self.rate, self.style.bass))
        self._keys = lru_cache(None)(lambda hz, s: instruments.keys(hz, s, self.rate, self.style.chords))
        self._lead = lru_cache(None)(lambda hz, s: instruments.lead(hz, s, self.rate, self.style.lead))
        if self.style.chords == "saw":
            self._keys = lru_cache(None)(lambda hz, s: instruments.lead(hz, s, self.rate, "saw"))

    def _tune_kit(self) -> dict[str, np.ndarray]:
        """Drum one-shots of this song: the genre's kit, each drum a little different from song to song."""
        kit, rng, rate = self.style.kit, self.rng, self.rate
        vary = lambda value: float(value * rng.uniform(0.9, 1.1))  # noqa: E731
        return {
            "kick": instruments.kick(rate, rng, vary(kit.get("kick_hz", 52)), vary(kit.get("kick_decay", 0.2))),
            "snare": instruments.snare(rate, rng, vary(kit.get("snare_hz", 190)), vary(kit.get("snare_decay", 0.13))),
            "clap": instruments.clap(rate, rng, vary(0.11)),
            "hat": instruments.hat(rate, rng, vary(kit.get("hat_decay", 0.035)), vary(kit.get("hat_hz", 7000))),
            "openhat": instruments.hat(rate, rng, vary(0.12), vary(6500)),
            "ride": instruments.hat(rate, rng, vary(0.2), vary(5200)),
            "tom": instruments.tom(rate, rng, vary(110)),
            "shaker": instruments.shaker(rate, rng, vary(0.05)),
            "crash": instruments.crash(rate, rng),
        }

    def _at(self, step: int) -> float:
        """Start in seconds of sixteenth number `step`, swung and a little human."""
        swung = (step % 4 == 2) if self.style.swing_eighths else (step % 2 == 1)
        late = self.style.swing * (2 if self.style.swing_eighths else 1) * swung
        return max(
            0.0, (step + late) * self.step_s + self.style.humanise_s * float(np.clip(self.rng.standard_normal(), -2, 2))
        )

    def _put(self, bus: np.ndarray, note: np.ndarray, at_s: int | float, gain: int | float) -> None:
        start = round(at_s * self.rate)
        stop = min(start + len(note), bus.shape[-1])
        if start < stop:
            bus[start:stop] += gain * note[: stop - start]

    def play(self, bars: int) -> Float[np.ndarray, "2 sample"]:
        """Play `bars` bars of 4/4; a little tail is cut at the end."""
        samples = int(np.ceil(bars * 16 * self.step_s * self.rate))
        bus = {name: np.zeros(samples, np.float32) for name in _LEVEL}
        for bar in range(bars):
            self._play_drums(bus, bar)
            self._play_bass(bus, bar)
            self._play_chords(bus, bar)
            self._play_lead(bus, bar)
        return self._mix(bus)

    def _play_drums(self, bus: dict[str, np.ndarray], bar: int) -> None:
        fill = bar % 8 == 7 or (bar % 4 == 3 and self.rng.random() < 0.3)
        for name, pattern in self.style.drums.items():
            for step, digit in enumerate(pattern):
                force = int(digit) / 9
                if force == 0 or (fill and step >= 13 and name in ("hat", "shaker")):
                    continue
                if force < 0.6 and self.rng.random() < 0.15:  # ghost notes come and go
                    continue
                self._put(bus[name], self.kit[name], self._at(16 * bar + step), force * self.rng.uniform(0.88, 1.0))
        if fill:
            for step in (13, 14, 15):
                name = "tom" if step > 13 and self.rng.random() < 0.6 else "snare"
                self._put(bus[name], self.kit[name], self._at(16 * bar + step), 0.35 + 0.1 * (step - 13))
        if bar % 8 == 0 and bar > 0:
            self._put(bus["crash"], self.kit["crash"], self._at(16 * bar), 0.8)

    def chord(self, bar: int) -> tuple[int, str]:
        """Root (MIDI key) and quality of a bar's chord."""
        degree, quality = self.progression[bar % len(self.progression)]
        return self.key + degree - (12 if degree > 7 else 0), quality

    def _play_bass(self, bus: dict[str, np.ndarray], bar: int) -> None:
        root, quality = self.chord(bar)
        pattern = self.style.bass_pattern
        steps = [step for step, digit in enumerate(pattern) if digit != "0"]
        for index, step in enumerate(steps):
            interval = {"1": 0, "5": 7, "8": 12, "7": 10 if "7" in quality else 9}[pattern[step]]
            gap = ([*steps, 16 + steps[0]])[index + 1] - step
            seconds = round(min(gap, 4) * 0.92 * self.step_s, 4)
            self._put(
                bus["bass"],
                self._bass(midi_hz(root + interval), seconds),
                self._at(16 * bar + step),
                self.rng.uniform(0.85, 1),
            )

    def _play_chords(self, bus: dict[str, np.ndarray], bar: int) -> None:
        root, quality = self.chord(bar)
        voicing = [48 + (root + tone - 48) % 12 + (12 if tone > 6 else 0) for tone in CHORD_TONES[quality]]
        seconds = round(self.style.chord_hold * self.step_s * 0.95, 4)
        for step, digit in enumerate(self.style.chord_pattern):
            if digit != "0":
                at_s, force = self._at(16 * bar + step), int(digit) / 9
                for note in voicing:
                    self._put(bus["chords"], self._keys(midi_hz(note + 7 if note < 50 else note), seconds), at_s, force)

    def _play_lead(self, bus: dict[str, np.ndarray], bar: int) -> None:
        if bar % 8 in (0, 1) and bar % 16 != 0:  # the lead rests as a phrase opens
            return
        root, quality = self.chord(bar)
        for eighth in range(8):
            slot = 8 * (bar % 4) + eighth
            if self.riff[slot]:
                tone = PENTATONIC[quality][int(self.riff_degree[slot])]
                note = 67 + (root + tone - 67) % 12
                seconds = round(2 * self.step_s * (1.9 if not self.riff[(slot + 1) % 32] else 0.95), 4)
                self._put(bus["lead"], self._lead(midi_hz(note), seconds), self._at(16 * bar + 2 * eighth), 0.9)

    def _mix(self, bus: dict[str, np.ndarray]) -> Float[np.ndarray, "2 sample"]:
        samples = len(bus["kick"])
        if self.style.duck:
            hop = 256
            blocks = np.abs(bus["kick"][: samples // hop * hop]).reshape(-1, hop).max(axis=1)
            level = np.interp(np.arange(samples), np.arange(len(blocks)) * hop, np.minimum(blocks, 1)).astype(
                np.float32
            )
            for name in ("bass", "chords", "lead"):
                bus[name] *= 1 - self.style.duck * level
        out = np.zeros((2, samples), np.float32)
        for name, wave in bus.items():
            angle = (_PAN[name] + 1) * np.pi / 4
            out[0] += 1.414 * _LEVEL[name] * np.cos(angle) * wave
            out[1] += 1.414 * _LEVEL[name] * np.sin(angle) * wave
        self._echo(out, bus["lead"] * _LEVEL["lead"], 3 * self.step_s, 0.3)
        self._echo(out, bus["chords"] * _LEVEL["chords"], 0.023, 0.5)
        limited = np.tanh(0.8 * out)
        return 0.89 * limited / max(float(np.abs(limited).max()), 1e-6)

    def _echo(self, out: np.ndarray, wave: np.ndarray, delay_s: int | float, gain: int | float) -> None:
        """Two echoes, left then right: width and a little room."""
        for side, repeat in ((0, 1), (1, 2)):
            shift = int(repeat * delay_s * self.rate)
            if shift < len(wave):
                out[side, shift:] += gain**repeat * wave[: len(wave) - shift]


TEST_SONGS = ("mBR0", "mHO5", "mJB5", "mJS3", "mKR2", "mLH4", "mLO2", "mMH3", "mPO1", "mWA0")
"""The ten songs of AIST++'s official cross-modal test split."""

RETIMED_BPM = (87, 93, 107, 113, 127)
"""Tempi of the `retimed` split; no training song has one of them."""

_TRAIN_BPM = tuple(bpm for bpm in range(80, 141) if all(abs(bpm - held_out) > 1 for held_out in RETIMED_BPM))


@dataclass(frozen=True)
class Song:
    """A song: `mBR0` and the like, or `mBRT087` with the tempo written out."""

    code: str

    @property
    def genre(self) -> str:
        """Genre code, such as gBR."""
        return "g" + self.code[1:3]

    @property
    def bpm(self) -> float:
        """True tempo."""
        return song_tempo_bpm(self.code)

    @property
    def seed(self) -> int:
        """Stable seed made of the code."""
        return zlib.crc32(self.code.encode())


@dataclass(frozen=True)
class RenderedSong:
    """A song as sound, and what was played.

    Args:
        waveform: samples in [-1, 1].
        sample_rate: samples per second.
        beats_s, downbeats_s: true beat and downbeat times in seconds.
        key: pitch class (0 for C) and mode.
        chords: of every bar: pitch class of the root, and quality as in chord symbols.
        energy: how full each bar is, 0 to 1; None where the band plays alike throughout.
    """

    waveform: Float[np.ndarray, "2 sample"]
    sample_rate: int
    beats_s: Float[np.ndarray, " beat"]
    downbeats_s: Float[np.ndarray, " downbeat"]
    key: tuple[int, str]
    chords: tuple[tuple[int, str], ...]
    energy: Float[np.ndarray, " bar"] | None = None


def song_list() -> dict[str, list[Song]]:
    """Songs by split: `train`, `val` (carved out of train), `test` (AIST++'s ten), `retimed` (five per genre)."""
    splits: dict[str, list[Song]] = {"train": [], "val": [], "test": [Song(code) for code in TEST_SONGS], "retimed": []}
    for number, genre in enumerate(GENRES):
        letters = genre[1:]
        aist = [f"m{letters}{digit}" for digit in range(6)]
        splits["train"] += [Song(code) for code in aist if code not in TEST_SONGS]
        rng = np.random.default_rng(1000 + number)
        bpms = sorted(rng.choice(_TRAIN_BPM, size=12, replace=False))
        validation = bpms[4 + number % 4]
        for bpm in bpms:
            splits["val" if bpm == validation else "train"].append(Song(f"m{letters}T{bpm:03d}"))
        splits["retimed"] += [Song(f"m{letters}T{bpm:03d}") for bpm in RETIMED_BPM]
    return splits


BANDS = ("sampled", "synthesised")
"""Who plays: recorded instruments (`score`, `mixing`), or computed ones (`instruments`)."""


def render_song(song: Song, seconds: int | float, sample_rate: int = 44100, band: str = BANDS[0]) -> RenderedSong:
    """Play `song` for at least `seconds`, from its first downbeat on.

    Deterministic: the same code always gives the same notes, and on one machine the same samples.

    Args:
        song: what to play.
        seconds: of music.
        sample_rate: samples per second.
        band: one of `BANDS`.
    """
    bars = int(np.ceil(seconds * song.bpm / 240))
    beats = np.arange(int(seconds * song.bpm / 60) + 1) * 60 / song.bpm
    beats = beats[beats < seconds]
    samples = round(seconds * sample_rate)
    if band == "sampled":
        score = compose(song.genre, song.bpm, song.seed, bars)
        chords = tuple((bar.root, bar.quality) for bar in score.bars)
        energy = np.array([bar.energy for bar in score.bars])
        waveform = play(score, sample_rate)[:, :samples]
        return RenderedSong(waveform, sample_rate, beats, beats[::4], (score.key, score.mode), chords, energy)
    players = Band(song.genre, song.bpm, song.seed, sample_rate)
    chords = tuple((root % 12, quality.replace("maj", "")) for root, quality in map(players.chord, range(bars)))
    mode = next((quality for degree, quality in players.progression if degree == 0), "maj")
    key = (players.key % 12, "minor" if mode.startswith("m") and mode != "maj" else "major")
    return RenderedSong(players.play(bars)[:, :samples], sample_rate, beats, beats[::4], key, chords)
