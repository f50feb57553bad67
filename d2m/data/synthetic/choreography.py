"""What a dance move is: key poses at beats, in words a dancer would use.

A key says where parts of the body *arrive* at a moment counted in beats from the start of the move, and how they get
there (`EASES`). What a key does not mention is left alone. Angles are in degrees and lengths in metres, so that the
vocabularies can be read. Arms and feet are given per side, with x outwards, so that a move is mirrored by swapping
sides.
"""

from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np
from jaxtyping import Float

from d2m.data.synthetic.body import FootPath

Real = int | float
"""Vocabularies write whole degrees and beats as integers."""

BODY_CHANNELS = (
    "dip", "sway", "shift", "go_x", "go_z", "turn", "lean", "tilt", "hunch", "side", "twist", "chest", "slide", "nod",
    "look", "cock", "groove",
)  # fmt: skip
"""Pelvis: dip down, sway left, shift forward, go_x/go_z where the dancer stands, turn left, lean forward, tilt to the
left. Spine: hunch forward, side-bend left, twist left, chest out, rib cage slid left. Head: nod down, look left, cock left.
`groove` scales the genre's bounce (`phases`)."""

ARM_CHANNELS = ("raise", "front", "roll", "elbow", "wrist", "shrug")
"""Upper arm above the horizontal, towards the front; roll of the forearm's plane (negative: up); elbow and wrist flexion;
the shoulder itself lifted."""

LATERAL_CHANNELS = ("sway", "go_x", "turn", "tilt", "side", "twist", "slide", "look", "cock")
"""Body channels that change sign in a mirror."""

CHANNELS = BODY_CHANNELS + tuple(f"{side}_{name}" for side in ("left", "right") for name in ARM_CHANNELS)
LIMITS_DEG_OR_M: dict[str, tuple[Real, Real]] = {
    "dip": (-0.04, 0.48), "sway": (-0.25, 0.25), "shift": (-0.25, 0.25), "go_x": (-1.8, 1.8), "go_z": (-1.8, 1.8),
    "turn": (-1e6, 1e6), "lean": (-25, 55), "tilt": (-22, 22), "hunch": (-30, 60), "side": (-35, 35), "twist": (-55, 55),
    "chest": (-22, 25), "slide": (-18, 18), "nod": (-35, 40), "look": (-70, 70), "cock": (-30, 30), "groove": (0, 1.3),
    "raise": (-84, 84), "front": (-80, 130), "roll": (-110, 90), "elbow": (2, 145), "wrist": (-65, 65), "shrug": (-8, 22),
}  # fmt: skip
"""Anatomical limits of every channel: what a healthy adult can do."""

EASES = {"smooth": None, "flow": None, "late": 0.36, "hit": 0.2, "whip": 0.13, "early": -0.3}
"""How a part gets to its key: `smooth` uses all the time since the key before, and so does `flow`, which does not rest at
a key that lies on its way, the others wait and then take that many
seconds before the arrival; a negative figure leaves at once, arrives after that many seconds, and holds."""

ARMS: dict[str, tuple[Real, Real, Real, Real, Real]] = {
    # name: (raise, front, roll, elbow, wrist)
    "down": (-74, 12, 0, 14, 0), "loose": (-64, 22, 0, 38, 5), "ready": (-58, 40, -10, 82, 0), "guard": (-48, 62, -45, 115, 0),
    "side": (0, 2, 0, 5, 0), "side_low": (-32, 12, 0, 18, 0), "behind": (-52, -45, 0, 25, 0), "wing": (-20, -20, 30, 60, 0),
    "up": (76, 25, -20, 8, 0), "high_v": (48, 12, -10, 6, 0), "front": (-2, 84, 0, 8, 0), "front_low": (-38, 72, 0, 22, 0),
    "point_up": (46, 48, 0, 4, 0), "point_front": (6, 74, 0, 3, 0), "point_down": (-40, 40, 0, 4, 0), "point_side": (18, 4, 0, 3, 0),
    "goal": (2, 8, -90, 92, 0), "dangle": (2, 8, 80, 92, 0), "chest": (-12, 62, 0, 132, 0), "cross": (-38, 76, -5, 104, 0),
    "cross_high": (2, 100, -10, 88, 0), "hip": (-46, -18, 68, 84, 0), "ear": (32, 22, -92, 138, 10), "brow": (22, 55, -60, 128, 0),
    "fold": (-18, 30, 58, 82, 20), "lock": (-26, 26, 74, 96, 35), "jab": (-4, 88, 0, 4, 0), "cocked": (-22, -30, -40, 120, 0),
    "hook": (4, 62, -5, 88, 0), "run_front": (-56, 78, -78, 88, 0), "run_back": (-58, -56, 58, 62, 0), "first": (-40, 58, 10, 58, 10),
    "second": (-8, 18, 12, 16, -10), "fifth": (60, 40, -70, 52, 10), "arabesque": (12, 68, 0, 6, -15), "trail": (-14, -32, 0, 8, -20),
    "frame": (-6, 40, -88, 84, 0), "floor": (-62, 62, 0, 6, 0), "throw": (62, -8, -60, 70, -20), "roll_in": (-30, 60, -30, 124, 40),
    "roll_out": (14, 44, -60, 96, -40), "wave_a": (12, 4, 0, 8, 45), "wave_b": (18, 4, 60, 42, -35), "wave_c": (-14, 4, 30, 30, 30),
    "slick": (20, 30, -70, 120, -30), "pump": (-36, 44, -60, 98, 0), "stomp": (-40, 8, 40, 70, 0), "reach": (30, 70, -30, 12, -10),
}  # fmt: skip
"""Arm positions by name."""

Foot = tuple[Real, Real] | tuple[Real, Real, Real] | tuple[Real, Real, Real, Real, Real]
"""Ball of a foot: x outwards, z forwards, then height above the floor, then yaw outwards and heel lift in degrees."""


@dataclass(frozen=True)
class Key:
    """Where parts of the body arrive, and when.

    Args:
        at: beats from the start of the move.
        ease: an entry of `EASES`; None takes the genre's own.
        body: values of `BODY_CHANNELS`.
        left_arm, right_arm: names in `ARMS`, optionally with changes.
        left_foot, right_foot: see `Foot`; height 0 is a step.
    """

    at: Real
    ease: str | None = None
    body: dict[str, Real] = field(default_factory=dict)
    left_arm: str | None = None
    right_arm: str | None = None
    left_foot: Foot | None = None
    right_foot: Foot | None = None

    def mirrored(self) -> "Key":
        """The same key with left and right exchanged."""
        body = {name: -value if name in LATERAL_CHANNELS else value for name, value in self.body.items()}
        return Key(self.at, self.ease, body, self.right_arm, self.left_arm, self.right_foot, self.left_foot)


@dataclass(frozen=True)
class Move:
    """A named figure of a dance.

    Args:
        name: what dancers call it.
        beats: 1, 2 or 4.
        keys: in order of time.
        stretch: tempo factors that suit it: 2 is half time, 0.5 double time.
    """

    name: str
    beats: int
    keys: tuple[Key, ...]
    stretch: tuple[Real, ...] = (1.0,)

    @property
    def closest_beats(self) -> Real:
        """Beats between the two keys that follow each other fastest, the next round's first among them."""
        times = [each.at for each in self.keys] + [self.keys[0].at + self.beats]
        return min(later - earlier for earlier, later in pairwise(times))

    def mirrored(self) -> "Move":
        """The same move to the other side."""
        return replace(self, keys=tuple(key.mirrored() for key in self.keys))


def key(
    at: Real,
    ease: str | None = None,
    arms: str | tuple[str | None, str | None] | None = None,
    left: Foot | None = None,
    right: Foot | None = None,
    **body: Real,
) -> Key:
    """Shorthand for `Key`: `arms` is one name for both or a (left, right) pair."""
    left_arm, right_arm = arms if isinstance(arms, tuple) else (arms, arms)
    return Key(at, ease, body, left_arm, right_arm, left, right)


@dataclass(frozen=True)
class Vocabulary:
    """A genre's way of dancing.

    Args:
        moves: at least six.
        groove: what trunk and head do with the bounce: keys counted from where the pelvis is lowest (values added).
        bar_weights: how strongly the groove falls on beats 1 to 4 of a bar.
        ease: how this genre gets to a key unless the key says otherwise.
        rest: arms at rest, left and right.
        stance_m: half the distance between the feet.
        posture: body channels at rest.
        off_beat: chance per half bar of an accent between two beats.
        groove_beats: beats that one round of the groove lasts.
    """

    moves: tuple[Move, ...]
    groove: tuple[Key, ...]
    bar_weights: tuple[Real, Real, Real, Real]
    ease: str = "smooth"
    rest: tuple[str, str] = ("loose", "loose")
    stance_m: Real = 0.15
    posture: dict[str, Real] = field(default_factory=dict)
    off_beat: Real = 0.3
    groove_beats: int = 1


# Timelines: keys of moves laid out in time and read off at every frame.
#
# A timeline knows nothing of beats. Between two keys of a channel lies one minimum-jerk movement (Flash & Hogan 1985,
# a fifth-order polynomial at rest at both ends), that fills the whole interval or only its end or its start; or one that
# flows, a cubic that passes through keys on its way at speed (Fritsch & Butland 1984: the harmonic mean of the speeds
# on both sides, so it never overshoots) and turns at the others without resting.


_CLOSEST_KEYS_S = 0.07
"""Of two keys of a channel closer than this only the later is danced."""

_FASTEST_DEG_PER_S = 430.0
"""Mean angular speed of the fastest movement; the peak of a minimum-jerk movement is 1.875 times as fast."""

_AIRBORNE_M = 0.02
_OFF_FLOOR = 0.15
"""Share of a step's time in which the foot only rises, and again only sinks."""

_PIVOT_RAD = 0.8
"""A planted foot turns on its ball rather than be twisted further than this from where the pelvis looks."""


def minimum_jerk(share: Float[np.ndarray, "*any"]) -> Float[np.ndarray, "*any"]:
    """Share of the way done after a share of the time, at rest at both ends."""
    share = np.clip(share, 0, 1)
    return share**3 * (10 - 15 * share + 6 * share**2)


def _time_done(
    time_s: Float[np.ndarray, " time"],
    start_s: Float[np.ndarray, " time"],
    stop_s: Float[np.ndarray, " time"],
    move_s: Float[np.ndarray, " time"],
) -> Float[np.ndarray, " time"]:
    """Share of its time that the movement from the key at `start_s` to the key at `stop_s` has taken, where |move_s| is
    the time in motion; a negative figure moves first and holds afterwards."""  # fmt: skip
    moving = np.minimum(np.abs(move_s), np.maximum(stop_s - start_s, 1e-3))
    begin = np.where(move_s < 0, start_s, stop_s - moving)
    return np.clip((time_s - begin) / moving, 0, 1)


def _within_reach(key_s: Float[np.ndarray, " key"], value: Float[np.ndarray, " key"]) -> Float[np.ndarray, " key"]:
    """Keys that come too soon after the one before are not quite reached."""
    reached, farthest = value.tolist(), (np.diff(key_s) * _FASTEST_DEG_PER_S).tolist()
    for number, most in enumerate(farthest):
        change = reached[number + 1] - reached[number]
        reached[number + 1] = reached[number] + max(-most, min(most, change))
    return np.array(reached)


def _passing_speed(
    key_s: Float[np.ndarray, " key"], value: Float[np.ndarray, " key"], flows: Float[np.ndarray, " key"]
) -> Float[np.ndarray, " key"]:
    """Speed at each key: 0 at turning points, at both ends, and where a movement that rests begins or ends."""
    slope = np.diff(value) / np.diff(key_s)
    before, after = slope[:-1], slope[1:]
    same = (before * after > 0) & (flows[1:-1] > 0) & (flows[2:] > 0)
    speed = np.zeros(len(value))
    speed[1:-1][same] = 2 * before[same] * after[same] / (before[same] + after[same])
    return speed


@dataclass
class KeyframeTrack:
    """Keys per channel, in any order: (time in s, value, time in motion in s, whether the movement to it flows)."""

    keys: dict[str, list[tuple[float, Real, float, bool]]] = field(default_factory=dict)

    def add(
        self, channel: str, time_s: float, value: Real, ease: str, longest_s: float, sharpness: float = 1.0
    ) -> None:
        """Arrive at `value` at `time_s`; `longest_s` bounds a `smooth` or `flow` movement."""
        seconds = EASES[ease]
        moving = longest_s if seconds is None else seconds * sharpness
        self.keys.setdefault(channel, []).append((time_s, value, moving, ease == "flow"))

    def last(self, channel: str, default: Real) -> Real:
        """Value of the key of `channel` that was added last."""
        return self.keys[channel][-1][1] if channel in self.keys else default

    def at(self, channel: str, time_s: Float[np.ndarray, " time"], default: Real = 0.0) -> Float[np.ndarray, " time"]:
        """Value of a channel at times in seconds; `default` where it has no keys."""
        if channel not in self.keys:
            return np.full(len(time_s), float(default))
        table = np.array(sorted(self.keys[channel]))
        kept = np.append(np.diff(table[:, 0]) > _CLOSEST_KEYS_S, True)
        key_s, value, moving, flows = table[kept].T
        later = np.clip(np.searchsorted(key_s, time_s, side="right"), 1, max(len(key_s) - 1, 1))
        if len(key_s) == 1:
            return np.full(len(time_s), value[0])
        value = _within_reach(key_s, value)
        least_s = np.abs(np.diff(value, prepend=value[0])) / _FASTEST_DEG_PER_S
        moving = np.where(np.abs(moving) < least_s, np.copysign(least_s, moving), moving)
        share = _time_done(time_s, key_s[later - 1], key_s[later], moving[later])
        way = value[later] - value[later - 1]
        rested = value[later - 1] + minimum_jerk(share) * way
        if not flows.any():
            return rested
        interval_s = np.diff(key_s, prepend=key_s[0] - 1)
        flows *= np.abs(moving) >= interval_s - 1e-6  # a movement that waits first is not passing by
        speed, seconds = _passing_speed(key_s, value, flows), interval_s[later]
        left, arriving = share**2 * (share - 2) + share, share**2 * (share - 1)
        passed = value[later - 1] + share**2 * (3 - 2 * share) * way
        passed += seconds * (speed[later - 1] * left + speed[later] * arriving)
        return np.where(table[kept][later, 3] > 0, passed, rested)


@dataclass
class FootTimeline:
    """Steps of one foot: (time in s, x left, z forward, height, yaw, heel lift, time in motion in s), where x, z and yaw
    are seen from where the dancer stands and looks at that time."""

    steps: list[tuple[float, Real, Real, Real, Real, Real, float]] = field(default_factory=list)

    def path(self, time_s: Float[np.ndarray, " time"], body: KeyframeTrack) -> FootPath:
        """The foot in the world: planted in one spot between steps, carried along with the body while in the air."""
        table = np.array(sorted(self.steps))
        table = table[np.append(np.diff(table[:, 0]) > _CLOSEST_KEYS_S, True)]
        key_s = table[:, 0]
        later = np.clip(np.searchsorted(key_s, time_s, side="right"), 1, len(key_s) - 1)
        share = _time_done(time_s, key_s[later - 1], key_s[later], table[later, 6])
        from_floor, to_floor = (table[index, 3] < _AIRBORNE_M for index in (later - 1, later))
        # the foot is off the floor before it travels, and has arrived before it is down
        leave, arrive = _OFF_FLOOR * from_floor, 1 - _OFF_FLOOR * to_floor
        done = minimum_jerk((share - leave) / (arrive - leave))
        ends = [self._place(time_s, table[index], body) for index in (later - 1, later)]
        place = ends[0] + done[:, None] * (ends[1] - ends[0])
        stride = np.linalg.norm(ends[1][:, :3] - ends[0][:, :3], axis=1)
        bump = np.sin(np.pi * share)
        ball, yaw = place[:, :3], place[:, 3]
        ball[:, 1] = ends[0][:, 1] + minimum_jerk(share) * (ends[1][:, 1] - ends[0][:, 1])
        ball[:, 1] += np.where(
            from_floor & to_floor, bump**2 * np.clip(stride / 0.1, 0, 1) * (0.04 + 0.12 * np.minimum(stride, 0.5)), 0
        )
        heel = place[:, 4] + 0.35 * bump * np.clip(stride / 0.2, 0, 1)
        looks = np.radians(body.at("turn", time_s))
        return FootPath(ball, looks + np.clip(yaw - looks, -_PIVOT_RAD, _PIVOT_RAD), heel)

    @staticmethod
    def _place(
        time_s: Float[np.ndarray, " time"], step: Float[np.ndarray, "time 7"], body: KeyframeTrack
    ) -> Float[np.ndarray, "time 5"]:
        """World x, y, z, yaw and heel lift of the step that holds at each time."""
        seen_s = np.where(step[:, 3] < _AIRBORNE_M, step[:, 0], time_s)
        looks = np.radians(body.at("turn", seen_s))
        sine, cosine = np.sin(looks), np.cos(looks)
        x = body.at("go_x", seen_s) + body.at("travel_x", seen_s) + cosine * step[:, 1] + sine * step[:, 2]
        z = body.at("go_z", seen_s) + body.at("travel_z", seen_s) - sine * step[:, 1] + cosine * step[:, 2]
        return np.stack([x, step[:, 3], z, looks + np.radians(step[:, 4]), np.radians(step[:, 5])], axis=1)
