"""Dances: a genre's moves put together to a piece of music, in a dancer's own style.

Phrases of eight beats start on downbeats, some of them a little off. Each repeats a short move to both sides, or plays
long moves, or mixes them; a move may come in half or double time, lose a key, or give way to a pause. Each part of the
body comes to a move's keys with a phase of its own (`phases`), and below the moves runs the genre's bounce. So the beat
is in the motion, but not where the body is slowest.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy.ndimage import gaussian_filter1d

from d2m.core.aist_names import genre_index
from d2m.core.timeline import MOTION_FPS
from d2m.data.synthetic.body import SmplPoses, pose_body
from d2m.data.synthetic.choreography import (
    ARM_CHANNELS,
    ARMS,
    CHANNELS,
    EASES,
    LIMITS_DEG_OR_M,
    Foot,
    FootTimeline,
    Key,
    KeyframeTrack,
    Move,
    Real,
    Vocabulary,
)
from d2m.data.synthetic.phases import PARTS, Timing, sink_m
from d2m.data.synthetic.vocabularies import (
    BALLET_JAZZ,
    BREAK,
    HOUSE,
    KRUMP,
    LA_HIP_HOP,
    LOCK,
    MIDDLE_HIP_HOP,
    POP,
    STREET_JAZZ,
    WAACK,
)

VOCABULARIES: dict[str, Vocabulary] = {
    "gBR": BREAK, "gPO": POP, "gLO": LOCK, "gMH": MIDDLE_HIP_HOP, "gLH": LA_HIP_HOP,
    "gHO": HOUSE, "gWA": WAACK, "gKR": KRUMP, "gJS": STREET_JAZZ, "gJB": BALLET_JAZZ,
}  # fmt: skip

PHRASE_BEATS = 8
JITTER_S = 0.02
"""A dancer is this early or late at most, key by key."""

LAG_S = 0.06
"""A dancer is early or late by a constant of at most this, all dance long; two of three by next to nothing."""

_QUICKEST_S = 0.2
"""Double time is left alone where it would bring two keys closer than this."""

_HALF_TIME_CHANCE = 0.06
_HALF_TIME_S = 0.55
"""Where a beat is shorter than this, moves go in half time the more often the shorter it is."""

_PUSHED_SHARE = 0.16
"""Share of keys that a phrase syncopates."""

_LOST_SHARE = 0.12
"""Share of keys that a phrase leaves out."""

_PAUSE_CHANCE = 0.09
"""Chance of a move to be a pause instead."""

_OFF_BEAT_START = 0.08
"""Chance of a phrase to begin its moves a half or quarter beat off."""

_SMALLEST, _LARGEST = 0.45, 1.15
"""Size of movements where the music is emptiest and where it is fullest."""

_METRES = ("dip", "sway", "shift", "go_x", "go_z", "groove")
_FOOT_YAW_DEG = 12.0
_STAGE_M = 1.0
"""A dancer travels no further than this from the middle, to either side."""

_DEEP_M = 0.35
"""Nobody bounces at the bottom of a drop this deep."""

_WEIGHT_CHANNELS = ("sway", "shift", "go_x", "go_z", "turn", "tilt")
"""Channels that move with the feet."""

_ACCENTS = ({"chest": 12.0}, {"nod": 14.0}, {"look": 16.0}, {"dip": 0.05, "hunch": 8.0}, {"twist": 14.0}, {"tilt": 6.0})


@dataclass(frozen=True)
class DancerStyle:
    """What tells one dancer from another.

    Args:
        size: of arms, trunk and steps, about 1.
        bounce: of the groove, about 1.
        sharpness: of hits; above 1 is slower.
        posture: body channels and arms at rest, added to the genre's.
        taste: how much the dancer likes each of the genre's moves.
    """

    size: float
    bounce: float
    sharpness: float
    posture: dict[str, float]
    taste: Float[np.ndarray, " move"]

    @staticmethod
    def of(genre: str, dancer: int) -> "DancerStyle":
        """The style of dancer number `dancer`, always the same."""
        rng = np.random.default_rng([77, genre_index(genre), dancer])
        posture = {"hunch": 4.0, "lean": 2.0, "chest": 2.5, "nod": 4.0, "dip": 0.015, "cock": 2.0}
        posture = {name: float(spread * rng.uniform(-1, 1)) for name, spread in posture.items()}
        for side in ("left", "right"):
            posture |= {f"{side}_raise": float(rng.uniform(-4, 8)), f"{side}_elbow": float(rng.uniform(-8, 10))}
        return DancerStyle(
            float(rng.uniform(0.7, 1.2)), float(rng.uniform(0.75, 1.25)), float(rng.uniform(0.85, 1.2)), posture, rng.uniform(0.5, 1.5, len(VOCABULARIES[genre].moves)),
        )  # fmt: skip


def _lag_s(rng: np.random.Generator) -> float:
    small, large = rng.normal(0.0, 0.012), rng.choice([-1.0, 1.0]) * rng.uniform(0.02, LAG_S)
    return float(large if rng.random() < 1 / 3 else np.clip(small, -0.02, 0.02))


def _part(channel: str) -> str:
    """The part of the body whose phase a channel's keys have."""
    if channel in ("dip", "groove"):
        return "pelvis"
    if channel in _WEIGHT_CHANNELS:
        return "feet"
    return "hands" if channel.startswith(("left_", "right_")) else "trunk"


class _Beats:
    """Beat numbers, counted from a downbeat, to seconds, on and on at the ends; and how large the music wants the moves."""

    def __init__(
        self,
        beats_s: Float[np.ndarray, " beat"],
        downbeat_index: int,
        energy: Float[np.ndarray, " beat"] | None,
    ) -> None:
        self.sizes = None if energy is None else _SMALLEST + (_LARGEST - _SMALLEST) * np.clip(energy, 0, 1)
        self.times, self.first = np.asarray(beats_s, float), -downbeat_index
        self.numbers = np.arange(len(beats_s)) - downbeat_index
        self.period_s = float(np.median(np.diff(self.times)))

    def time_s(self, beat: Real) -> float:
        low, high = self.numbers[0], self.numbers[-1]
        beyond = min(beat - low, 0.0) + max(beat - high, 0.0)
        return float(np.interp(beat, self.numbers, self.times) + beyond * self.period_s)

    def numbers_at(self, time_s: Float[np.ndarray, " time"]) -> Float[np.ndarray, " time"]:
        beyond = np.minimum(time_s - self.times[0], 0.0) + np.maximum(time_s - self.times[-1], 0.0)
        return np.interp(time_s, self.times, self.numbers) + beyond / self.period_s

    def number(self, time_s: Real) -> float:
        return float(self.numbers_at(np.array([float(time_s)]))[0])

    def size_at(self, beat: Float[np.ndarray, " time"]) -> Float[np.ndarray, " time"]:
        """Factor of movement's size at beat numbers: that of the beat begun; 1 where the music's energy is not known."""
        if self.sizes is None:
            return np.ones(len(beat))
        return self.sizes[np.clip(np.floor(beat).astype(int) - int(self.numbers[0]), 0, len(self.sizes) - 1)]

    def size(self, beat: Real) -> float:
        return float(self.size_at(np.array([float(beat)]))[0])


class _Dancer:
    """Lays moves, groove and accents on timelines."""

    def __init__(self, genre: str, dancer: int, beats: _Beats, rng: np.random.Generator) -> None:
        self.words, self.style = VOCABULARIES[genre], DancerStyle.of(genre, dancer)
        self.beats, self.rng = beats, rng
        self.timing = Timing(genre, dancer, rng)
        self.lag_s = _lag_s(rng)
        self.body, self.groove = KeyframeTrack(), KeyframeTrack()
        self.feet = {"left": FootTimeline(), "right": FootTimeline()}
        self.rest = self._rest()
        self.size = (
            self.style.size * float(rng.uniform(0.75, 1.25)) * float(np.clip((beats.period_s / 0.55) ** 0.3, 0.8, 1.1))
        )
        self.turned, self.vigour = 0.0, 1.0
        self.before: dict[str, tuple[float, float]] = {}
        """Beat of the last key of each part, and when it was reached."""
        self.phrases: list[tuple[float, ...]] = []
        """Beat, vigour, and phases of the pulses of the bounce from there on."""

    def _rest(self) -> dict[str, Real]:
        rest = dict.fromkeys(CHANNELS, 0.0) | {"groove": 1.0} | self.words.posture
        for side, arm in zip(("left", "right"), self.words.rest, strict=True):
            rest |= {f"{side}_{name}": value for name, value in zip(ARM_CHANNELS, ARMS[arm], strict=False)}
        return {name: value + self.style.posture.get(name, 0.0) for name, value in rest.items()}

    def _heard_s(self, beat: Real) -> float:
        return self.beats.time_s(beat) + self.lag_s + float(self.rng.uniform(-JITTER_S, JITTER_S))

    def dance(self, first_bar: int, last_bar: int) -> None:
        """Dance whole phrases from bar `first_bar` to `last_bar`, counted from the downbeat number 0."""
        start = (first_bar // 2) * PHRASE_BEATS
        for side in ("left", "right"):
            self._step(side, self.beats.time_s(start - 2), (self.words.stance_m, 0.0), 0.3)
        for channel in CHANNELS:
            self.body.add(channel, self.beats.time_s(start - 2), self.rest[channel], "smooth", 1.0)
        for phrase in range(start, (last_bar + 1) * 4, PHRASE_BEATS):
            beat = float(phrase)
            self.timing.new_phrase(self.rng)
            self.vigour = float(self.rng.uniform(0.5, 1.35))
            self._travel(phrase)
            off = float(self.rng.choice([-0.5, 0.5, -0.25])) if self.rng.random() < _OFF_BEAT_START else 0.0
            pushed = self.rng.random(16) < _PUSHED_SHARE
            lost = self.rng.random(16) < _LOST_SHARE
            for move, stretch in self._phrase():
                beats = move.beats * stretch
                paused = self.rng.random() < _PAUSE_CHANCE
                strength = 0.25 if paused else float(self.rng.uniform(0.55, 1.25))
                self._vigour(beat, strength)
                if not paused:
                    self._play(move, beat + off, stretch, strength, pushed, lost)
                beat += beats
            self._bounce(phrase)
            self._keep_stepping(phrase)

    def _vigour(self, beat: float, share: float) -> None:
        self.phrases.append((beat, share * self.vigour, *self.timing.lowest))

    def _travel(self, phrase: int) -> None:
        """Where the dancer goes in each half of a phrase: somewhere else on the floor, or nowhere."""
        for beat in (phrase, phrase + PHRASE_BEATS // 2):
            far_m = self.rng.uniform(0, 1) * self.timing.phases.travel_m * self.size
            angle = self.rng.uniform(0, 2 * np.pi)
            for channel, step_m in (("travel_x", far_m * np.cos(angle)), ("travel_z", 0.6 * far_m * np.sin(angle))):
                here_m = self.body.last(channel, 0.0)
                there_m = here_m + (step_m if abs(here_m + step_m) < _STAGE_M else -step_m)
                self.body.add(channel, self._heard_s(beat + 3), float(there_m), "flow", 4 * self.beats.period_s)

    def _pick(self, lengths: tuple[int, ...]) -> Move:
        fitting = [i for i, move in enumerate(self.words.moves) if move.beats in lengths]
        taste = self.style.taste[fitting]
        return self.words.moves[fitting[int(self.rng.choice(len(fitting), p=taste / taste.sum()))]]

    def _phrase(self) -> list[tuple[Move, float]]:
        """Moves and tempo factors that fill eight beats."""
        kind = self.rng.random()
        plan: list[tuple[Move, float]] = []
        if kind < 0.2:
            plan = [(self._pick((beats,)), 1.0) for beats in ((4, 2, 2), (2, 2, 4))[int(self.rng.integers(2))]]
            return [(move.mirrored() if self.rng.random() < 0.5 else move, factor) for move, factor in plan]
        move = self._pick((1, 2)) if kind < 0.62 else self._pick((4,))
        stretch = float(self.rng.choice(move.stretch)) if self.rng.random() < 0.4 else 1.0
        if self.rng.random() < _HALF_TIME_CHANCE + 3 * max(_HALF_TIME_S - self.beats.period_s, 0):
            stretch = 2.0
        if move.closest_beats * stretch * self.beats.period_s < _QUICKEST_S:
            stretch = 1.0
        mirror = bool(self.rng.random() < 0.5)
        while sum(done.beats * factor for done, factor in plan) < PHRASE_BEATS:
            plan.append((move.mirrored() if mirror else move, stretch))
            mirror = not mirror
        return plan

    def _play(
        self,
        move: Move,
        start: float,
        stretch: float,
        strength: float,
        pushed: Bool[np.ndarray, " key"],
        lost: Bool[np.ndarray, " key"],
    ) -> None:
        """Lay a move out; all but its first key may be pushed, danced before the beat they belong to, or left out."""
        self._release(move, start, stretch)
        turn, before = 0.0, start - 1.0
        size = (0.5 + 0.5 * self.vigour) * (0.3 + 0.7 * strength) * 1.1
        flows = {part: self.rng.random() < self.timing.phases.flow for part in PARTS}
        for number, each in enumerate(move.keys):
            beat = start + each.at * stretch
            steps = {"left": each.left_foot, "right": each.right_foot}
            bare = each.left_foot is None and each.right_foot is None and not {"turn", "groove"} & set(each.body)
            if lost[number] and number and bare:
                continue
            if pushed[number] and number and beat - before >= 0.7 and "turn" not in each.body:
                beat -= 0.5 if beat - before >= 1.0 else 0.25
            before = beat
            ease = each.ease or self.words.ease
            weight = 0.88 + 0.14 * self.words.bar_weights[int(np.floor(beat)) % 4]
            gain = min(size * self.beats.size(beat) * weight, 1.3 / self.size)
            wanted: dict[str, dict[str, Real]] = {}
            for channel, value in self._targets(each, gain).items():
                if channel == "turn":
                    turn, value = value, self.turned + value
                wanted.setdefault(_part(channel), {})[channel] = value
            if any(foot is not None for foot in steps.values()):
                wanted.setdefault("feet", {})
            for part, values in wanted.items():
                how = "flow" if flows.get(part, True) and ease not in ("whip", "early") else ease
                time_s, moving_s = self._arrival(part, beat, how)
                for channel, value in values.items():
                    self.body.add(channel, time_s, value, how, moving_s, self.style.sharpness)
                for side, foot in steps.items():
                    if part == "feet" and foot is not None:
                        self._step(side, time_s, foot, float(np.clip(moving_s, 0.24, 0.5)))
        if turn:  # a turn that was cut short by keys too close is ended all the same
            self.turned += turn
            end_s = self._heard_s(start + move.beats * stretch + 0.25)
            self.body.add("turn", end_s, self.turned, "flow", self.beats.period_s)

    def _arrival(self, part: str, beat: float, ease: str) -> tuple[float, float]:
        """When a part arrives at a key that belongs to `beat`, and how long it moves, in seconds."""
        last_beat, last_s = self.before.get(part, (-1e6, -1e6))
        gap = float(np.clip(beat - last_beat, 0.25, 1.0))
        if part == "pelvis":
            moving_s = gap * self.beats.period_s
            time_s = self._heard_s(beat + self.timing.sunk)
        else:
            seconds = EASES[ease]
            moving_s = gap * self.beats.period_s * (0.8 if part == "feet" else 1.0)
            if seconds is not None and part != "feet":
                moving_s = min(moving_s, abs(seconds) * self.style.sharpness)
            ahead = gap if part == "feet" else max(gap, 0.75)  # steps in half beats land on half beats
            time_s = self._heard_s(beat + (self.timing.fastest[part] - 1) * ahead) + moving_s / 2
        time_s = max(time_s, last_s + 0.5 * gap * self.beats.period_s)
        self.before[part] = (beat, time_s)
        return time_s, moving_s

    def _targets(self, each: Key, gain: float) -> dict[str, Real]:
        """Channel values of a key, at this dancer's size."""
        wanted = {name: value + self.style.posture.get(name, 0.0) for name, value in each.body.items()}
        for side, arm in (("left", each.left_arm), ("right", each.right_arm)):
            if arm is not None:
                wanted |= {f"{side}_{name}": value for name, value in zip(ARM_CHANNELS, ARMS[arm], strict=False)}
        size = self.size * gain
        exact = ("turn", "groove")
        return {n: v if n in exact else self.rest[n] + size * (v - self.rest[n]) for n, v in wanted.items()}

    def _release(self, move: Move, start: float, stretch: float) -> None:
        """Parts that the new move leaves alone go back to rest during its first beat, feet to their stance."""
        said = {name for each in move.keys for name in self._targets(each, 1.0)}
        time_s = self._heard_s(start + min(stretch, 1.0))
        for channel in CHANNELS:
            if (
                channel not in said
                and channel != "turn"
                and abs(self.body.last(channel, 0) - self.rest[channel]) > 1e-6
            ):
                self.body.add(channel, time_s, self.rest[channel], "smooth", self.beats.period_s)
        for side in ("left", "right"):
            own = [each.at for each in move.keys if (each.left_foot if side == "left" else each.right_foot) is not None]
            last = self.feet[side].steps[-1]
            sign = 1 if side == "left" else -1
            away = abs(sign * last[1] - self.words.stance_m) + abs(last[2]) + last[3]
            moved = abs(self.body.last("go_x", 0)) + abs(self.body.last("go_z", 0))
            if away + moved > 0.06 and (not own or min(own) >= 0.9):
                early = 0.5 if side == "left" else 1.0
                self._step(side, self._heard_s(start + early * min(stretch, 1.0)), (self.words.stance_m, 0.0), 0.32)

    def _step(self, side: str, time_s: float, foot: Foot, moving_s: float) -> None:
        sign = 1.0 if side == "left" else -1.0
        x, z, height, yaw, heel = (*foot, *(0.0, _FOOT_YAW_DEG, 0.0)[len(foot) - 2 :])
        size = min(self.size, 1.2)
        x = sign * (self.words.stance_m + size * (x - self.words.stance_m))
        self.feet[side].steps.append((time_s, x, size * z, height, sign * yaw, heel, moving_s))

    def _keep_stepping(self, phrase: int) -> None:
        """Steps on the spot where a phrase's moves leave the feet alone, in whole or half beats, one foot after the other."""
        every = 0.5 if self.rng.random() < self.timing.phases.half_steps and self.beats.period_s > 0.45 else 1.0
        side = "left" if self.rng.random() < 0.5 else "right"
        for beat in np.arange(phrase - 1, phrase + PHRASE_BEATS - 1, every):
            if self.rng.random() > self.timing.phases.steps:
                continue
            flight_s = float(np.clip(0.8 * every * self.beats.period_s, 0.24, 0.5))
            time_s = self._heard_s(float(beat) + (self.timing.fastest["feet"] - 1) * every) + flight_s / 2
            recent = self.feet[side].steps[-24:]
            if min(abs(step[0] - time_s) for step in recent) < 1.2 * every * self.beats.period_s:
                continue
            _, x, z, height, yaw, _, _ = max((step for step in recent if step[0] < time_s), default=recent[0])
            near = [value for at_s, value, _, _ in self.body.keys["dip"][-16:] if abs(at_s - time_s) < 1.5]
            if height > 0 or max(near, default=0.0) > 0.25:  # in the air, or down on the floor
                continue
            most_m = min(self.size, 1.2) * self.timing.phases.stride_m
            stride = most_m * self.rng.uniform(0.3, 1.0, 2) * self.rng.choice([-1, 1], 2)
            sign = 1.0 if side == "left" else -1.0
            out = 0.4 * self.words.stance_m + 0.6 * sign * x + stride[0]
            x = sign * float(np.clip(out, 0.04, self.words.stance_m + 0.22))
            z = float(np.clip(0.5 * z + stride[1], -0.3, 0.35))
            self.feet[side].steps.append((time_s, x, z, 0.0, yaw, 0.0, flight_s))
            side = "right" if side == "left" else "left"

    def _bounce(self, phrase: int) -> None:
        """What trunk and head do with the bounce of one phrase, and its off-beat accents."""
        for beat in range(phrase, phrase + PHRASE_BEATS, self.words.groove_beats):
            for each in self.words.groove:
                weight = self.words.bar_weights[int(np.floor(beat + each.at)) % 4] * self.style.bounce
                weight *= self.beats.size(beat + each.at)
                struck = each.ease in ("whip", "hit")
                phase = self.timing.fastest["trunk"] - 0.9 if struck else self.timing.sunk
                time_s = self._heard_s(beat + each.at + phase)
                for channel, value in each.body.items():
                    self.groove.add(channel, time_s, weight * value, each.ease or "flow", self.beats.period_s)
        for half_bar in range(phrase, phrase + PHRASE_BEATS, 2):
            if self.rng.random() < self.words.off_beat:
                at = self._heard_s(
                    half_bar + int(self.rng.integers(0, 2)) + float(self.rng.choice([0.5, 0.5, 0.75, 0.25]))
                )
                sign = float(self.rng.choice([-1.0, 1.0]))
                for channel, value in _ACCENTS[int(self.rng.integers(len(_ACCENTS)))].items():
                    for time_s, size in ((at - 0.2, 0.0), (at, sign * value), (at + 0.28, 0.0)):
                        self.groove.add(f"accent_{channel}", time_s, size, "hit", 0.3)

    def motion(self, time_s: Float[np.ndarray, " time"]) -> SmplPoses:
        """What the timelines say, within the limits of a body, as SMPL."""
        controls = {name: self.body.at(name, time_s, self.rest[name]) for name in CHANNELS}
        scale = controls["groove"] * np.clip(1.2 - controls["dip"] / _DEEP_M, 0.1, 1.0)
        sunk_m, sunk = scale * self.style.bounce * self._sink(time_s)
        controls["dip"] += sunk_m
        for side in ("left", "right"):
            controls[f"{side}_raise"] -= self.timing.phases.arm_swing_deg * sunk
            controls[f"{side}_elbow"] += self.timing.phases.arm_swing_deg * sunk
        for axis in ("x", "z"):
            controls[f"go_{axis}"] += self.body.at(f"travel_{axis}", time_s)
        for channel in self.groove.keys:
            controls[channel.removeprefix("accent_")] += scale * self.groove.at(channel, time_s)
        controls = {
            name: value + drift for (name, value), drift in zip(controls.items(), self._drift(time_s), strict=True)
        }
        for name, value in controls.items():
            low, high = LIMITS_DEG_OR_M[name.split("_", 1)[1] if name[:5] in ("left_", "right") else name]
            controls[name] = np.clip(value, low, high) if name in _METRES else np.radians(np.clip(value, low, high))
        return pose_body(controls, *(self.feet[side].path(time_s, self.body) for side in ("left", "right")))

    def _sink(self, time_s: Float[np.ndarray, " time"]) -> Float[np.ndarray, "2 time"]:
        """The bounce: metres below the highest point of the pelvis, and how far sunk it is, from -1 to 1 or so."""
        beat = self.beats.numbers_at(time_s - self.lag_s)
        table = np.array(self.phrases)
        at = np.searchsorted(table[:, 0], beat, side="right") - 1
        weights = np.array(self.words.bar_weights, float)
        weight = (0.5 + 0.5 * weights[np.floor(beat).astype(int) % 4]) * self.beats.size_at(beat)
        vigour = gaussian_filter1d(table[at, 1] * weight, 0.15 * MOTION_FPS, mode="nearest")
        lowest = gaussian_filter1d(table[at, 2:].T, 0.25 * MOTION_FPS, axis=1, mode="nearest")
        below_m = sink_m(self.timing.phases, beat, lowest).sum(axis=0)
        depth_m = sum(pulse.depth_m for pulse in self.timing.phases.bounce)
        return np.stack([vigour * (below_m + 0.8 * depth_m), vigour * below_m / depth_m])

    def _drift(self, time_s: Float[np.ndarray, " time"]) -> Float[np.ndarray, "channel time"]:
        """Breath, balance and slack: slow smooth noise of a degree or two, millimetres for the pelvis."""
        hertz = self.rng.uniform(0.1, 0.7, (len(CHANNELS), 3, 1))
        waves = np.sin(2 * np.pi * (hertz * time_s + self.rng.random((len(CHANNELS), 3, 1)))).mean(axis=1)
        still = ("turn", "go_x", "go_z", "groove")
        size = [0.0 if name in still else 0.004 if name in _METRES else 2.2 for name in CHANNELS]
        return waves * np.array(size)[:, None]


def choreograph(
    genre: str,
    beats_s: Float[np.ndarray, " beat"],
    downbeat_index: int,
    seconds: Real,
    dancer: int,
    seed: int,
    energy: Float[np.ndarray, " beat"] | None = None,
) -> SmplPoses:
    """Dance to music.

    Args:
        genre: code such as gBR.
        beats_s: at least two beat times; they may start before 0 and end after `seconds`, and the tempo goes on at the ends.
        downbeat_index: index in `beats_s` of a first beat of a bar, which opens a phrase of eight beats.
        seconds: length of the dance, made at 60 fps from time 0 on.
        dancer: number of the dancer; fixes the style.
        seed: fixes the choreography.
        energy: how full the music is from each beat on, 0 to 1: moves are larger where it is fuller, and arrive when they
            would without it. None where it is not known.
    """
    beats = _Beats(beats_s, downbeat_index, energy)
    performer = _Dancer(genre, dancer, beats, np.random.default_rng([seed, genre_index(genre), dancer]))
    first, last = (int(np.floor(beats.number(time_s) / 4)) for time_s in (0.0, seconds))
    performer.dance(first - 2, last + 2)
    return performer.motion(np.arange(round(seconds * MOTION_FPS)) / MOTION_FPS)
