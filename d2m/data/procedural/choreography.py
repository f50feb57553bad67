"""Timelines: keys of moves laid out in time and read off at every frame.

A timeline knows nothing of beats. Between two keys of a channel lies one minimum-jerk movement (Flash & Hogan 1985,
a fifth-order polynomial at rest at both ends), that fills the whole interval or only its end or its start.
"""

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from d2m.data.procedural.body import FootPath
from d2m.data.procedural.moves import EASES, Real

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


@dataclass
class Timeline:
    """Keys per channel, in any order: (time in s, value, time in motion in s)."""

    keys: dict[str, list[tuple[float, Real, float]]] = field(default_factory=dict)

    def add(
        self, channel: str, time_s: float, value: Real, ease: str, longest_s: float, sharpness: float = 1.0
    ) -> None:
        """Arrive at `value` at `time_s`; `longest_s` bounds a `smooth` movement."""
        seconds = EASES[ease]
        moving = longest_s if seconds is None else seconds * sharpness
        self.keys.setdefault(channel, []).append((time_s, value, moving))

    def last(self, channel: str, default: Real) -> Real:
        """Value of the key of `channel` that was added last."""
        return self.keys[channel][-1][1] if channel in self.keys else default

    def at(self, channel: str, time_s: Float[np.ndarray, " time"], default: Real = 0.0) -> Float[np.ndarray, " time"]:
        """Value of a channel at times in seconds; `default` where it has no keys."""
        if channel not in self.keys:
            return np.full(len(time_s), float(default))
        table = np.array(sorted(self.keys[channel]))
        kept = np.append(np.diff(table[:, 0]) > _CLOSEST_KEYS_S, True)
        key_s, value, moving = table[kept].T
        later = np.clip(np.searchsorted(key_s, time_s, side="right"), 1, max(len(key_s) - 1, 1))
        if len(key_s) == 1:
            return np.full(len(time_s), value[0])
        value = _within_reach(key_s, value)
        least_s = np.abs(np.diff(value, prepend=value[0])) / _FASTEST_DEG_PER_S
        moving = np.where(np.abs(moving) < least_s, np.copysign(least_s, moving), moving)
        done = minimum_jerk(_time_done(time_s, key_s[later - 1], key_s[later], moving[later]))
        return value[later - 1] + done * (value[later] - value[later - 1])


@dataclass
class FootTimeline:
    """Steps of one foot: (time in s, x left, z forward, height, yaw, heel lift, time in motion in s), where x, z and yaw
    are seen from where the dancer stands and looks at that time."""

    steps: list[tuple[float, Real, Real, Real, Real, Real, float]] = field(default_factory=list)

    def path(self, time_s: Float[np.ndarray, " time"], body: Timeline) -> FootPath:
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
        time_s: Float[np.ndarray, " time"], step: Float[np.ndarray, "time 7"], body: Timeline
    ) -> Float[np.ndarray, "time 5"]:
        """World x, y, z, yaw and heel lift of the step that holds at each time."""
        seen_s = np.where(step[:, 3] < _AIRBORNE_M, step[:, 0], time_s)
        looks = np.radians(body.at("turn", seen_s))
        sine, cosine = np.sin(looks), np.cos(looks)
        x = body.at("go_x", seen_s) + cosine * step[:, 1] + sine * step[:, 2]
        z = body.at("go_z", seen_s) - sine * step[:, 1] + cosine * step[:, 2]
        return np.stack([x, step[:, 3], z, looks + np.radians(step[:, 4]), np.radians(step[:, 5])], axis=1)
