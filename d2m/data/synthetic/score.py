"""What the sampled band plays: a song's score, composed from its genre, tempo and seed alone.

A song is a form of sections (intro, verse, build, chorus, drop, break, breakdown) of two to eight bars, each with an
energy that says who plays, and how hard. Chords lead their voices into each other, the bass knows the next chord, and the
lead repeats a motif, answers it and comes back to it.
"""

import hashlib
import re
import zlib
from dataclasses import dataclass

import numpy as np

from d2m.core.lead_sheet import QUALITIES, SCALES
from d2m.data.synthetic.genres import GENRES, Patch, Real
from d2m.data.synthetic.harmony import chord_keys, nearest, scale_keys, voicing

STEPS = 16
"""Sixteenths of a bar."""


@dataclass(frozen=True)
class Bar:
    """One bar: section, energy from 0 to 1, and chord (pitch class of the root, quality)."""

    section: str
    energy: float
    root: int
    quality: str


@dataclass(frozen=True)
class Hit:
    """A note: when in seconds, which MIDI key, force and pan from -1 (left) to 1, how long in seconds (None: rings)."""

    at_s: float
    key: int
    force: float
    pan: float
    seconds: float | None


@dataclass(frozen=True)
class Part:
    """What one instrument plays.

    Args:
        name: drum role, or bass, chords, stabs, pad, lead.
        bus: where it is mixed.
        preset: of the pack.
        hits: its notes.
        tune: semitones to add.
        bright_cents: to add to its filter's cut-off.
    """

    name: str
    bus: str
    preset: str
    hits: tuple[Hit, ...]
    tune: float = 0.0
    bright_cents: Real = 0


@dataclass(frozen=True)
class Score:
    """A song on paper.

    Args:
        genre: code.
        bpm: tempo.
        key: pitch class.
        mode: of the scale.
        bars: all of them.
        parts: what is played.
    """

    genre: str
    bpm: float
    key: int
    mode: str
    bars: tuple[Bar, ...]
    parts: tuple[Part, ...]

    @property
    def bar_s(self) -> float:
        """Seconds of a bar."""
        return 240 / self.bpm

    def digest(self) -> str:
        """SHA-256 of all that is played, times to a microsecond."""
        played = []
        for part in self.parts:
            played.append((part.name, part.preset, round(part.tune, 3), part.bright_cents))
            for hit in part.hits:
                lasts = None if hit.seconds is None else round(1e6 * hit.seconds)
                played.append((round(1e6 * hit.at_s), hit.key, round(hit.force, 4), round(hit.pan, 3), lasts))
        return hashlib.sha256(repr((self.genre, self.bpm, self.key, self.mode, self.bars, played)).encode()).hexdigest()


@dataclass(frozen=True)
class Section:
    """Who plays in a kind of section.

    Args:
        energy: at its first and last bar.
        parts: pitched parts.
        drums: roles; None for all of the groove's.
        chorus: the drums play the chorus's groove.
    """

    energy: tuple[Real, Real]
    parts: frozenset[str]
    drums: frozenset[str] | None = None
    chorus: bool = False


_TIME = frozenset({"kick", "hat", "open", "ride", "pedal", "rim"})
SECTIONS = {
    "intro": Section((0.35, 0.45), frozenset({"chords", "pad"}), _TIME | {"shaker"}),
    "verse": Section((0.6, 0.65), frozenset({"bass", "chords", "verse lead"})),
    "build": Section((0.6, 0.85), frozenset({"bass", "chords", "pad"})),
    "chorus": Section((0.9, 0.95), frozenset({"bass", "chords", "stabs", "pad", "lead"}), chorus=True),
    "drop": Section((1.0, 1.0), frozenset({"bass", "chords", "stabs", "pad", "lead"}), chorus=True),
    "break": Section((0.55, 0.6), frozenset({"bass"}), chorus=True),
    "breakdown": Section((0.25, 0.35), frozenset({"chords", "pad", "lead"}), _TIME),
}

_SNARES = ("snare", "clap", "rim")
_TOMS = ("tom1", "tom2", "tom3")
_PAN = {"hat": 0.3, "open": 0.3, "pedal": 0.3, "ride": -0.35, "bell": -0.35, "crash": 0.4, "tom1": -0.4, "tom2": 0.0, "tom3": 0.4,
        "tamb": -0.5, "shaker": 0.55, "conga": -0.55, "conga2": -0.3, "cow": 0.45, "clave": 0.5, "rim": 0.15, "clap": -0.08}  # fmt: skip

_PULSE = "9...8...9...8..."
"""The kick of an intro, before there is a snare."""

_EIGHTHS = ("hat", "open", "ride", "shaker", "tamb")
"""Played softer off the beat the slower the song, so that its eighths do not pass for beats."""

_FILLS = (
    {12: "snare", 13: "snare", 14: "tom1", 15: "tom3"},
    {10: "tom1", 11: "tom1", 12: "tom2", 13: "tom2", 14: "tom3", 15: "tom3"},
    {12: "snare", 14: "snare", 15: "snare"},
    {8: "snare", 11: "snare", 14: "snare"},
    {13: "snare", 14: "snare", 15: "snare"},
    {12: "tom1", 13: "tom2", 15: "tom3"},
)
_REST_CHANCE = 0.4
"""Chance that all but the drums rest on the last beat before a chorus or a drop."""


def _salted(seed: int, salt: str) -> np.random.Generator:
    """A generator of its own for each player, so that a change of one leaves the others' notes alone."""
    return np.random.default_rng([seed, zlib.crc32(salt.encode())])


def _force(digit: str) -> float:
    return int(digit) / 9 if digit.isdigit() else 0.0


def _length(pattern: str, step: int) -> int:
    """Sixteenths of a note at a step, with the holds that follow."""
    rest = pattern[step + 1 :]
    return 1 + len(rest) - len(rest.lstrip("-"))


class _Composer:
    """Writes a song's parts, one player after the other."""

    def __init__(self, genre: str, bpm: float, seed: int, bars: int) -> None:
        self.genre, self.code, self.bpm, self.seed = GENRES[genre], genre, bpm, seed
        self.step_s = 15 / bpm
        self.off_beat = float(np.clip(0.55 + (bpm - 80) / 100, 0.55, 0.95))
        rng = _salted(seed, "song")
        take = lambda choices: choices[int(rng.integers(len(choices)))]  # noqa: E731
        self.key = int(rng.integers(12))
        main = take(self.genre.progressions)
        same = [
            each for each in self.genre.progressions if each.mode == main.mode and len(each.chords) == len(main.chords)
        ]
        self.progressions, self.mode = (main, take(same)), main.mode
        self.kit, self.groove = take(self.genre.kits), take(self.genre.grooves)
        self.patches: dict[str, Patch] = {}
        for part in ("bass", "chords", "stabs", "pad", "lead"):
            choices = [
                patch
                for patch in getattr(self.genre, part)
                if patch.preset not in {p.preset for p in self.patches.values()}
            ]
            if choices:
                self.patches[part] = take(choices)
        self.bass_lines = take(self.genre.bass_lines), take(self.genre.bass_lines)
        self.comping = take(self.genre.comping), take(self.genre.comping)
        self.verse_lead = bool(rng.random() < 0.5)
        self.bars, self.ends = self._form(take(self.genre.forms), bars)
        self.parts: list[Part] = []

    def _form(self, form: str, count: int) -> tuple[list[Bar], list[str]]:
        """Bars, and for each the section that begins after it, where one does."""
        sections = [
            (word.rstrip("0123456789"), int(word.lstrip("abcdefghijklmnopqrstuvwxyz"))) for word in form.split()
        ]
        bars: list[Bar] = []
        ends: list[str] = []
        number = 0
        while len(bars) < count:
            kind, length = sections[number % len(sections)]
            if kind == "intro" and number >= len(sections):
                kind = "verse"
            following = sections[(number + 1) % len(sections)][0]
            low, high = SECTIONS[kind].energy
            for bar in range(length):
                words = self.progressions[SECTIONS[kind].chorus]
                chords = words.chords
                degree, quality = chords[(len(bars) if len(chords) > 4 else bar) % len(chords)]
                energy = low + (high - low) * bar / max(length - 1, 1)
                bars.append(Bar(kind, round(float(energy), 4), (self.key + degree) % 12, quality))
                ends.append(following if bar == length - 1 else "")
            number += 1
        return bars[:count], ends[:count]

    def write(self) -> Score:
        self._drums()
        for player in (self._bass, self._chords, self._stabs, self._pad, self._lead):
            player()
        return Score(self.code, self.bpm, self.key, self.mode, tuple(self.bars), tuple(self.parts))

    # -- time --

    def _at_s(self, bar: int, step: int | float, rng: np.random.Generator, late_ms: Real = 0.0) -> float:
        """Seconds of a sixteenth, swung, and a little early or late as players are."""
        whole = int(step)
        swung = whole % 4 == 2 if self.genre.swing_eighths else whole % 2 == 1
        late = self.genre.swing * (2 if self.genre.swing_eighths else 1) * swung
        spread_s = 1e-3 * (self.genre.spread_ms * float(np.clip(rng.standard_normal(), -1.5, 1.5)) / 1.5 + late_ms)
        return max(0.0, (STEPS * bar + step + late) * self.step_s + spread_s)

    def _plays(self, part: str, bar: int) -> bool:
        return part in SECTIONS[self.bars[bar].section].parts

    def _rests(self, bar: int, step: int) -> bool:
        """Whether all but the drums are silent: the last beat before a chorus, in some songs."""
        return self.stops and self.ends[bar] in ("chorus", "drop") and step >= 12

    @property
    def stops(self) -> bool:
        return bool(_salted(self.seed, "stops").random() < _REST_CHANCE)

    def _loud(self, bar: int, force: float) -> float:
        return float(force * (0.7 + 0.3 * self.bars[bar].energy))

    def _add(self, name: str, bus: str, patch: Patch, hits: list[Hit], tune: float = 0.0) -> None:
        self.parts.append(
            Part(name, bus, patch.preset, tuple(sorted(hits, key=lambda h: (h.at_s, h.key))), tune, patch.bright_cents)
        )

    # -- players --

    def _drums(self) -> None:
        rng = _salted(self.seed, "drums")
        struck: dict[str, list[tuple[int, int, float]]] = {}
        for bar, plan in enumerate(self.bars):
            section = SECTIONS[plan.section]
            fill = self._fill(bar, rng)
            for role, pattern in self.groove[section.chorus].items():
                if plan.section == "intro" and role == "kick":
                    pattern = _PULSE
                if section.drums is not None and role not in section.drums:
                    continue
                for step, digit in enumerate(pattern):
                    force = _force(digit)
                    if force == 0 or (fill and step >= min(fill) and role not in ("kick", "ride")):
                        continue
                    if force < 0.5 and rng.random() < 0.25:  # ghost notes come and go
                        continue
                    if plan.section == "breakdown" and role == "kick" and step % 8:
                        continue
                    if step % 4 == 2 and role in _EIGHTHS:
                        force *= self.off_beat
                    struck.setdefault(role, []).append((bar, step, force))
            for step, role in fill.items():
                struck.setdefault(role, []).append((bar, step, 0.55 + 0.4 * (step - 8) / 8))
            if plan.section == "build" and self.ends[bar]:
                struck.setdefault("snare", []).extend(
                    (bar, step, 0.35 + 0.035 * step) for step in range(0, 16, 2 if bar % 2 else 1)
                )
            first = bar == 0 or self.ends[bar - 1]
            if bar and first and plan.section in ("chorus", "drop", "verse"):
                struck.setdefault("crash", []).append((bar, 0, 0.9))
        for role, hits in struck.items():
            self._strike(role, sorted(set(hits)))

    def _fill(self, bar: int, rng: np.random.Generator) -> dict[int, str]:
        """Drums of a fill by step: at the end of a section, at times within it."""
        chance, choice = rng.random(), int(rng.integers(len(_FILLS)))
        ends, section = bool(self.ends[bar]), self.bars[bar].section
        if section in ("intro", "breakdown", "build") or not (ends or (bar % 4 == 3 and chance < 0.4)):
            return {}
        return _FILLS[choice] if not ends else _FILLS[choice % 4]

    def _strike(self, role: str, hits: list[tuple[int, int, float]]) -> None:
        rng = _salted(self.seed, f"drum {role}")
        tune = round(2 * float(rng.uniform(-1, 1))) / 2 if role in ("kick", "snare") else 0.0
        preset, key = self.kit.get(role, self.kit["snare"])
        bus = (
            "kick"
            if role == "kick"
            else "snare"
            if role in (*_SNARES, *_TOMS)
            else "crash"
            if role == "crash"
            else "hats"
        )
        late_ms = self.genre.behind_ms if role in _SNARES else 0.0
        notes = []
        for bar, step, force in hits:
            seconds = 2 * self.step_s if role == "open" else None
            force = self._loud(bar, force) * float(rng.uniform(0.9, 1.0))
            notes.append(Hit(self._at_s(bar, step, rng, late_ms), key, force, _PAN.get(role, 0.0), seconds))
        self._add(role, bus, Patch(preset, key), notes, tune)

    def _root(self, bar: int, patch: Patch) -> int:
        bar = min(bar, len(self.bars) - 1)
        return patch.centre + (self.bars[bar].root - patch.centre) % 12

    def _bass(self) -> None:
        rng, patch, notes = _salted(self.seed, "bass"), self.patches["bass"], []
        for bar in range(len(self.bars)):
            if not self._plays("bass", bar):
                continue
            line = self._walk(bar, patch, rng) if self.genre.walking else self._line(bar, patch)
            for step, (key, steps, force) in line.items():
                if not self._rests(bar, step):
                    seconds = steps * patch.hold * self.step_s
                    notes.append(Hit(self._at_s(bar, step, rng), key, self._loud(bar, force), 0.0, seconds))
        self._add("bass", "bass", patch, notes)

    def _line(self, bar: int, patch: Patch) -> dict[int, tuple[int, int, float]]:
        """Key, length in sixteenths and force by step, from the pattern."""
        root, quality = self._root(bar, patch), self.bars[bar].quality
        tones = {tone % 12 for tone in QUALITIES[quality]}
        pattern = self.bass_lines[SECTIONS[self.bars[bar].section].chorus]
        steps = [step for step, digit in enumerate(pattern) if digit not in ".-"]
        line = {}
        for step, following in zip(steps, [*steps[1:], STEPS + steps[0]], strict=True):
            key = root + {
                "1": 0, "8": 12, "5": 6 if tones == {0, 3, 6, 10} else 7,
                "3": 4 if 4 in tones else 3 if 3 in tones else 7,
                "7": 11 if 11 in tones or (10 not in tones and (11 + self.bars[bar].root - self.key) % 12 in SCALES[self.mode]) else 10,
                "a": self._approach(bar, patch) - root,
            }[pattern[step]]  # fmt: skip
            held = _length(pattern, step)
            line[step] = (key, held if held > 1 else min(following - step, 4), 1.0 if step % 4 == 0 else 0.75)
        return line

    def _approach(self, bar: int, patch: Patch) -> int:
        """A key that leads into the next bar's root: from a semitone below, or the fifth where the chord stays."""
        here, there = self._root(bar, patch), self._root(bar + 1, patch)
        return there - 1 if there != here else here - 5 if here - 5 >= 24 else here + 7

    def _walk(self, bar: int, patch: Patch, rng: np.random.Generator) -> dict[int, tuple[int, int, float]]:
        """Four quarters from this root towards the next one."""
        root, there = self._root(bar, patch), self._root(bar + 1, patch)
        tones = chord_keys(self.bars[bar].root, self.bars[bar].quality, root - 5, root + 13)
        scale = scale_keys(self.key, self.mode if self.mode != "blues" else "mixolydian", root - 5, root + 13)
        if abs(there - root) < 3:
            middle = [nearest(tones, root + 4), nearest(tones, root + 7)]
        else:
            third = root + (there - root) / 2
            middle = [
                nearest([tone for tone in tones if tone != root], root + (there - root) / 3),
                nearest(scale, third),
            ]
        last = there + (1 if rng.random() < 0.4 else -1)
        keys = [root, *middle, last]
        if keys[2] == keys[1]:
            keys[2] = nearest([tone for tone in scale if tone != keys[1]], keys[1] + 2)
        line = {4 * beat: (key, 4, 1.0 if beat % 2 == 0 else 0.9) for beat, key in enumerate(keys)}
        if rng.random() < 0.2:
            line[14] = (last, 2, 0.6)
        return line

    def _chords(self) -> None:
        rng, patch, notes = _salted(self.seed, "chords"), self.patches["chords"], []
        before: tuple[int, ...] = ()
        for bar, plan in enumerate(self.bars):
            keys = voicing(plan.root, plan.quality, patch.centre, before, patch.drop)
            before = keys
            if not self._plays("chords", bar):
                continue
            pattern = self.comping[SECTIONS[plan.section].chorus]
            if plan.section == "breakdown" and "pad" not in self.patches:
                pattern = "7-------6-------"
            for step, digit in enumerate(pattern):
                if digit.isdigit() and not self._rests(bar, step):
                    length = _length(pattern, step)
                    seconds = (length if length > 1 else 1.6) * self.step_s * patch.hold
                    at_s = self._at_s(bar, step, rng)
                    force = self._loud(bar, _force(digit)) * (
                        self.off_beat if step % 4 == 2 and not self.genre.walking else 1
                    )
                    for number, key in enumerate(keys):
                        pan = 0.75 * (number / max(len(keys) - 1, 1) * 2 - 1) * (1 if self.seed % 2 else -1)
                        strum_s = 0.004 * number if "Guitar" in patch.preset else 0.0
                        notes.append(Hit(at_s + strum_s, key, force, pan, seconds))
        self._add("chords", "chords", patch, notes)

    def _stabs(self) -> None:
        if "stabs" not in self.patches:
            return
        rng, patch, notes = _salted(self.seed, "stabs"), self.patches["stabs"], []
        pattern = self.genre.hits[int(rng.integers(len(self.genre.hits)))]
        every = int(rng.choice([2, 4]))
        before: tuple[int, ...] = ()
        for bar, plan in enumerate(self.bars):
            if not self._plays("stabs", bar) or bar % every:
                continue
            before = voicing(plan.root, plan.quality, patch.centre, before)
            for step, digit in enumerate(pattern):
                if digit.isdigit():
                    at_s = self._at_s(bar, step, rng)
                    keys = (
                        [plan.root + 12 * round((patch.centre - plan.root) / 12)]
                        if patch.preset == "Orchestra Hit"
                        else before
                    )
                    for number, key in enumerate(keys):
                        pan = 0.6 * (number / max(len(keys) - 1, 1) * 2 - 1)
                        notes.append(Hit(at_s, key, self._loud(bar, 0.9), pan, 1.8 * self.step_s * patch.hold))
        self._add("stabs", "stabs", patch, notes)

    def _pad(self) -> None:
        """Held chords, doubled to both sides a little out of tune."""
        if "pad" not in self.patches:
            return
        rng, patch, sides = _salted(self.seed, "pad"), self.patches["pad"], ([], [])
        before: tuple[int, ...] = ()
        for bar, plan in enumerate(self.bars):
            keys = voicing(plan.root, plan.quality, patch.centre, before)
            before = keys
            if self._plays("pad", bar):
                at_s, seconds = self._at_s(bar, 0, rng), STEPS * self.step_s * (0.72 if self._rests(bar, 12) else 0.98)
                for side, pan in zip(sides, (-0.8, 0.8), strict=True):
                    side.extend(Hit(at_s, key, self._loud(bar, 0.8), pan, seconds) for key in keys)
        for name, side, tune in zip(("pad left", "pad right"), sides, (-0.06, 0.06), strict=True):
            self._add(name, "pad", patch, side, tune)

    def _lead(self) -> None:
        """A motif, its answer, the motif again and an ending, over four bars; another one in the chorus."""
        rng, patch, notes = _salted(self.seed, "lead"), self.patches["lead"], []
        motifs = {chorus: (self._motif(rng), self._motif(rng)) for chorus in (False, True)}
        plan = (
            ("A", "", "A", "B")
            if rng.random() < 0.4
            else ("A", "A", "B", "A")
            if rng.random() < 0.5
            else ("A", "B", "A", "")
        )
        for bar, here in enumerate(self.bars):
            playing = self._plays("lead", bar) or (self._plays("verse lead", bar) and self.verse_lead)
            what = plan[bar % 4]
            if not playing or not what or (here.section == "breakdown" and what == "B"):
                continue
            motif = motifs[SECTIONS[here.section].chorus][what == "B"]
            centre = patch.centre + (2 if here.section == "drop" and bar % 8 >= 4 else 0)
            scale = scale_keys(self.key, self.mode, centre - 14, centre + 14)
            tones = chord_keys(here.root, here.quality, centre - 14, centre + 14)
            anchor = scale.index(nearest(scale, nearest(tones, centre)))
            for step, length, degree, chord_tone in motif:
                if self._rests(bar, step):
                    continue
                key = scale[int(np.clip(anchor + degree, 0, len(scale) - 1))]
                if chord_tone:
                    key = nearest(tones, key)
                seconds = min(length, STEPS - step) * self.step_s * patch.hold
                force = self._loud(bar, 0.95 if chord_tone else 0.8)
                notes.append(Hit(self._at_s(bar, step, rng), key, force, 0.12, seconds))
        self._add("lead", "lead", patch, notes)

    def _motif(self, rng: np.random.Generator) -> list[tuple[int, int, int, bool]]:
        """Step, length in sixteenths, degree of the scale from an anchor, and whether it falls on a chord's tone."""
        rhythm = self.genre.rhythms[int(rng.integers(len(self.genre.rhythms)))]
        steps = [found.start() for found in re.finditer("[xX]", rhythm)]
        degree, notes = int(rng.choice([-1, 0, 0, 1, 2])), []
        for step, following in zip(steps, [*steps[1:], STEPS], strict=True):
            length = max(_length(rhythm, step), min(following - step, 3))
            notes.append((step, length, degree, rhythm[step] == "X"))
            degree = int(np.clip(degree + rng.choice([-2, -1, -1, 0, 1, 1, 2, 3]), -4, 5))
        return notes


def compose(genre: str, bpm: int | float, seed: int, bars: int) -> Score:
    """The score of a song; a longer one of the same song begins with the same bars.

    Args:
        genre: code such as gBR.
        bpm: tempo.
        seed: fixes key, chords, form, kit, instruments and every note.
        bars: of 4/4.
    """
    # Players draw bar by bar; what comes after a song's last bar changes its last approach only.
    return _Composer(genre, float(bpm), seed, bars).write()
