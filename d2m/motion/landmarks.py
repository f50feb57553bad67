"""A dancer's landmarks through a clip, as MediaPipe Pose (BlazePose; Bazarevsky et al., 2020) numbers them.

Finding them is the slow step from video to music, so they can be kept in a file.
"""

import zipfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float
from scipy.interpolate import Akima1DInterpolator

from d2m.core.errors import BadInput
from d2m.core.files import atomic_write
from d2m.core.timeline import MOTION_FPS, seconds_to_motion_frames

LANDMARK_NAMES = (
    "nose", "left_eye_inner", "left_eye", "left_eye_outer", "right_eye_inner", "right_eye", "right_eye_outer",
    "left_ear", "right_ear", "mouth_left", "mouth_right", "left_shoulder", "right_shoulder", "left_elbow", "right_elbow",
    "left_wrist", "right_wrist", "left_pinky", "right_pinky", "left_index", "right_index", "left_thumb", "right_thumb",
    "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle", "left_heel", "right_heel",
    "left_foot_index", "right_foot_index",
)  # fmt: skip

LANDMARKS = len(LANDMARK_NAMES)

_HIPS = [LANDMARK_NAMES.index("left_hip"), LANDMARK_NAMES.index("right_hip")]

_VERSION = 1

_GUESSED = 0.5
"""A landmark out of the picture that a detector calls less visible than this is its guess."""


@dataclass(frozen=True)
class Landmarks:
    """Where a dancer's 33 landmarks are in every frame of a video.

    Args:
        image: x and y in the upright picture, 0 to 1 from its left and top (outside where a limb is), and visibility 0 to 1.
        world: metres from the middle of the hips; x to the right of the picture, y down, z away from the camera.
        times_s: of the frames after the first picture, rising, not necessarily even.
        seen: whether a person was found; elsewhere `image` and `world` are 0.
        size: width and height of the upright picture in pixels.
        cuts_s: times of frames that are the first of another shot.
        people: who was found in the film's beginning, a row for each sighting: seconds, number (1 is who is followed unless
            somebody else is asked for), x and y of the head in the picture, 0 to 1.
    """

    image: Float[np.ndarray, "frame 33 3"]
    world: Float[np.ndarray, "frame 33 3"]
    times_s: Float[np.ndarray, " frame"]
    seen: Bool[np.ndarray, " frame"]
    size: tuple[int, int]
    cuts_s: tuple[float, ...] = ()
    people: Float[np.ndarray, "sighting 4"] = field(default_factory=lambda: np.zeros((0, 4)))

    @property
    def seen_share(self) -> float:
        """Share of frames in which a person was found."""
        return float(self.seen.mean()) if self.seen.size else 0.0

    @property
    def seconds(self) -> float:
        """From the first frame to the end of the last, which lasts as long as the middle one of all."""
        if self.times_s.size < 2:
            return 0.0
        return float(self.times_s[-1] - self.times_s[0] + np.median(np.diff(self.times_s)))

    def until(self, seconds: float | int) -> "Landmarks":
        """The frames before `seconds`."""
        keep = self.times_s < seconds
        arrays = (self.image[keep], self.world[keep], self.times_s[keep], self.seen[keep])
        return Landmarks(*arrays, self.size, tuple(cut_s for cut_s in self.cuts_s if cut_s < seconds), self.people)

    def shots(self) -> list[tuple[slice, slice]]:
        """Frames from one cut to the next, and the moments at 60 fps that they stand for; shots in which nobody was seen
        belong to the one before."""
        count = seconds_to_motion_frames(self.seconds)
        starts = [0]
        for cut_s in self.cuts_s:
            start = int(np.searchsorted(self.times_s, cut_s - 1e-6))
            if self.seen[starts[-1] : start].any() and self.seen[start:].any():
                starts.append(start)
        moments = [0, *(int(np.ceil(self.times_s[start] * MOTION_FPS - 1e-6)) for start in starts[1:]), count]
        ends = [*starts[1:], len(self.times_s)]
        return [
            (slice(start, end), slice(first, last))
            for start, end, first, last in zip(starts, ends, moments[:-1], moments[1:], strict=True)
            if last > first
        ]

    def outside(self) -> Bool[np.ndarray, "frame 33"]:
        """Whether a landmark is out of the picture, so that it was guessed."""
        x, y, visibility = np.moveaxis(self.image, -1, 0)
        is_out = (np.minimum(x, y) < 0) | (np.maximum(x, y) > 1)
        return is_out & (visibility < _GUESSED) & self.seen[:, None]

    def outside_share(self, part: str) -> float:
        """Share of the frames in which all of `part`, such as `ankle` or `wrist`, is out of the picture."""
        of_part = [index for index, name in enumerate(LANDMARK_NAMES) if name.endswith(part)]
        outside = self.outside()[self.seen]
        return float(outside[:, of_part].all(axis=1).mean()) if len(outside) else 0.0

    def save(self, path: str | Path) -> Path:
        """Write an `.npz` (float32; times float64), whole or not at all."""
        path = Path(path)
        with atomic_write(path) as temporary, temporary.open("wb") as file:
            np.savez_compressed(
                file,
                d2m_landmarks=np.int64(_VERSION),
                image=self.image.astype(np.float32),
                world=self.world.astype(np.float32),
                times_s=self.times_s.astype(np.float64),
                seen=self.seen,
                size=np.array(self.size, np.int64),
                cuts_s=np.array(self.cuts_s, np.float64),
                people=self.people.astype(np.float64),
            )
        return path

    @staticmethod
    def load(path: str | Path) -> "Landmarks":
        """Read what `save` wrote.

        Raises:
            BadInput: when the file is missing, or holds something else.
        """
        path = Path(path)
        if not path.exists():
            raise BadInput(f"{path}: no such file, expected saved landmarks (.npz); check the path.")
        try:
            with np.load(path, allow_pickle=False) as content:
                stored = {key: content[key] for key in ("image", "world", "times_s", "seen", "size")}
                stored |= {key: content[key] for key in ("cuts_s", "people") if key in content}  # not in older files
                version = int(content["d2m_landmarks"])
        except (OSError, ValueError, KeyError, EOFError, TypeError, AttributeError, zipfile.BadZipFile) as error:
            raise BadInput(
                f"{path}: not landmarks that d2m saved ({type(error).__name__}); remove it to have them found again."
            ) from error
        return _checked(path, version, stored)


def _checked(path: Path, version: int, stored: dict[str, np.ndarray]) -> Landmarks:
    count, times_s = len(np.atleast_1d(stored["times_s"])), stored["times_s"]
    shapes = {"image": (count, LANDMARKS, 3), "world": (count, LANDMARKS, 3), "times_s": (count,), "seen": (count,)}
    problem = ""
    if version != _VERSION:
        problem = f"version {version}, expected {_VERSION}"
    cuts_s, people = stored.get("cuts_s", np.zeros(0)), stored.get("people", np.zeros((0, 4)))
    shapes |= {"size": (2,), "cuts_s": (cuts_s.size,), "people": (len(np.atleast_1d(people)), 4)}
    stored |= {"cuts_s": cuts_s, "people": people}
    for key, shape in shapes.items():
        kind = {"seen": "b", "size": "iu"}.get(key, "f")
        if stored[key].shape != shape or stored[key].dtype.kind not in kind:
            problem = problem or f"'{key}' of shape {stored[key].shape} and type {stored[key].dtype}, expected {shape}"
        elif kind == "f" and not np.isfinite(stored[key]).all():
            problem = problem or f"NaN or infinite values in '{key}', expected finite numbers"
    if not problem and (np.diff(times_s) <= 0).any():
        problem = "times that do not rise, expected rising ones"
    if problem:
        raise BadInput(f"{path}: found {problem}; remove it to have the landmarks found again.")
    width, height = (int(side) for side in stored["size"])
    arrays = (stored["image"], stored["world"], times_s, stored["seen"])
    return Landmarks(*arrays, (width, height), tuple(float(cut_s) for cut_s in cuts_s), people)


# Landmarks from frames with gaps and uneven times to a smooth path at 60 fps, without shifting anything in time.
#
# Everything runs on the whole clip, so the filters look both ways and have no delay: a beat stays where it was.


WINDOWS_S = (0.12, 0.18, 0.25, 0.35, 0.5, 0.7, 1.0)
"""Lengths of the windows that are tried at every landmark and frame, the longest where it hardly moves."""

FINISH_S = 0.1
"""Length of a last window, which rounds the steps between neighbouring choices."""

_CONFIDENCE = 0.7
"""Standard deviations that count as agreement. On 7 procedural dances (8 s each, 15 mm of noise whose size was given,
30 fps, 5 % of the frames missing) 0.5, 0.7 and 0.85 left errors of velocity of 0.44, 0.43 and 0.44 m/s, and the best window
of one length 0.51; from 1 on accents were lost."""

_ORDER = 2
_NOISE_FLOOR_M = 0.001

_MOST_NOISE_M = 0.015
"""Detectors are not worse than this. At few frames a second fast motion looks like noise, and must not be smoothed away."""

_SPIKE_M = 0.15
"""A landmark this far off the middle of its neighbours in time, and farther than they are from each other, is a slip …"""

_FASTEST_M_S2 = 100.0
"""… unless a hand that changes its speed so quickly comes there in the time between them."""

_SHORTEST_S = 0.2
"""A landmark that is in the picture for less than this of a shot is taken to stand still in it."""

_JOIN_S = 0.3
"""Over this time the pose before a cut passes into the one after it."""


def at_60_fps(
    landmarks: Landmarks, values: Float[np.ndarray, "frame point axis"]
) -> Float[np.ndarray, "time point axis"]:
    """`values` of the frames that were seen at i / 60 s, on Akima's curve (1970) through them, of each shot by itself; held
    at both ends.

    On straight lines the speed would change at every frame, and the frame rate be heard as a rhythm.
    """
    made = np.zeros((seconds_to_motion_frames(landmarks.seconds), *values.shape[1:]))
    for of_frames, of_moments in landmarks.shots():
        seen = landmarks.seen[of_frames]
        known_s, known = landmarks.times_s[of_frames][seen], values[of_frames][seen]
        made[of_moments] = _curve(known_s, known, np.arange(of_moments.start, of_moments.stop) / MOTION_FPS)
    return made


def _curve(
    known_s: Float[np.ndarray, " known"], known: Float[np.ndarray, " known *rest"], wanted_s: Float[np.ndarray, " time"]
) -> Float[np.ndarray, " time *rest"]:
    if len(known_s) < 2:
        return np.repeat(known[:1], len(wanted_s), axis=0)
    return np.asarray(Akima1DInterpolator(known_s, known, axis=0)(np.clip(wanted_s, known_s[0], known_s[-1])))


def without_spikes(
    values: Float[np.ndarray, "frame point axis"], times_s: Float[np.ndarray, " frame"]
) -> Float[np.ndarray, "frame point axis"]:
    """Slips of a single frame put on the line between their neighbours."""
    if len(values) < 3:
        return values
    between = (values[:-2] + values[2:]) / 2
    off = np.linalg.norm(values[1:-1] - between, axis=-1)
    apart = np.linalg.norm(values[2:] - values[:-2], axis=-1)
    reached = _FASTEST_M_S2 / 2 * (np.diff(times_s)[:-1] * np.diff(times_s)[1:])[:, None]
    improved = values.copy()
    is_spike = (off > np.maximum(_SPIKE_M, reached)) & (off > apart)
    improved[1:-1] = np.where(is_spike[..., None], between, values[1:-1])
    return improved


def smoothed(values: Float[np.ndarray, " time *rest"], seconds: float | int) -> Float[np.ndarray, " time *rest"]:
    """A parabola fitted around every frame (Savitzky & Golay, 1964); symmetric, so that it has no delay.

    Args:
        values: at 60 fps.
        seconds: length of the window; the clip's own where that is shorter.
    """
    window = min(_window_frames(seconds), len(values) - (len(values) + 1) % 2)
    if window <= _ORDER:
        return values
    from scipy.signal import savgol_filter  # takes a second to load, and a motion file needs none of it

    return np.asarray(savgol_filter(values, window, _ORDER, axis=0))


def adaptively_smoothed(
    values: Float[np.ndarray, "time point axis"], noise: Float[np.ndarray, " point"]
) -> Float[np.ndarray, "time point axis"]:
    """`smoothed` with the longest window that does not bend the path: strongly where it rests, weakly in an accent.

    Windows grow as long as their confidence intervals still have a value in common (Goldenshluger & Nemirovski, 1997).
    Where there is hardly noise nothing is blunted.

    Args:
        values: at 60 fps.
        noise: standard deviation of each point's coordinates as they would be at 60 independent frames a second.
    """
    from scipy.signal import savgol_coeffs

    best, lower, upper = values, values - np.inf, values + np.inf
    agree = np.ones(values.shape[:2], dtype=bool)
    for seconds in WINDOWS_S:
        if _window_frames(seconds) > len(values):
            break
        fitted = smoothed(values, seconds)
        spread = np.linalg.norm(savgol_coeffs(_window_frames(seconds), _ORDER))
        margin = (_CONFIDENCE * spread * np.maximum(noise, _NOISE_FLOOR_M))[:, None]
        lower, upper = np.maximum(lower, fitted - margin), np.minimum(upper, fitted + margin)
        agree &= (lower <= upper).all(axis=-1)
        best = np.where(agree[..., None], fitted, best)
    return smoothed(best, FINISH_S)


def noise_of(values: Float[np.ndarray, "frame point axis"]) -> Float[np.ndarray, " point"]:
    """Standard deviation of the noise on each point: the middle one of the third differences, which motion hardly has."""
    if len(values) < 4:
        return np.zeros(values.shape[1])
    third = np.abs(np.diff(values, 3, axis=0))
    return np.median(third, axis=(0, 2)) / (0.6745 * np.sqrt(20))


def smooth_world(landmarks: Landmarks) -> Float[np.ndarray, "time 33 3"]:
    """World landmarks at 60 fps: slips improved, frames with nobody bridged, then smoothed; metres, MediaPipe's axes.

    A landmark that leaves the picture is bridged as if it had not been seen, and stands still where it never enters it, so
    that a detector's guesses do not move. Every shot is smoothed by itself; where the next one begins the dancer is turned
    as before the cut: another camera was chosen, nobody has jumped.
    """
    made = smoothed_by_shots(landmarks, landmarks.world, landmarks.outside())
    for _, of_moments in landmarks.shots()[1:]:
        _turn_on(made, of_moments.start)
        join_at(made, of_moments.start)
    return made


def smoothed_by_shots(
    landmarks: Landmarks, values: Float[np.ndarray, "frame point axis"], outside: Bool[np.ndarray, "frame point"]
) -> Float[np.ndarray, "time point axis"]:
    """Points of every frame, in metres, at 60 fps: bridged where they are `outside` the picture, slips improved, smoothed, each
    shot by itself."""
    values, shots = values.copy(), landmarks.shots()
    for of_frames, _ in shots:
        seen = landmarks.seen[of_frames]
        times_s = landmarks.times_s[of_frames][seen]
        shot = _bridged(values[of_frames][seen], times_s, outside[of_frames][seen])
        values[of_frames][seen] = without_spikes(shot, times_s)
    seen_fps = landmarks.seen.sum() / max(landmarks.seconds, 1e-6)
    noise = np.minimum(noise_of(values[landmarks.seen]), _MOST_NOISE_M) * np.sqrt(MOTION_FPS / max(seen_fps, 1.0))
    made = at_60_fps(landmarks, values)
    for _, of_moments in shots:
        made[of_moments] = adaptively_smoothed(made[of_moments], noise)
    return made


def _bridged(
    world: Float[np.ndarray, "frame point axis"],
    times_s: Float[np.ndarray, " frame"],
    outside: Bool[np.ndarray, "frame point"],
) -> Float[np.ndarray, "frame point axis"]:
    """Points of a shot, on the straight line where they are out of the picture; still where they never are in it."""
    bridged = world.copy()
    for point in np.flatnonzero(outside.any(axis=0)):
        known = ~outside[:, point]
        if known.sum() < 2 or known.mean() * (times_s[-1] - times_s[0]) < _SHORTEST_S:
            bridged[:, point] = np.median(world[:, point], axis=0)
            continue
        for axis in range(world.shape[2]):
            bridged[:, point, axis] = np.interp(times_s, times_s[known], world[known, point, axis])
    return bridged


def _turn_on(world: Float[np.ndarray, "time 33 3"], start: int) -> None:
    """Turn all that comes after a cut about the upright axis as the dancer stood before it."""
    before, after = world[start - 1], world[start]
    flat_before, flat_after = before[:, 0] + 1j * before[:, 2], after[:, 0] + 1j * after[:, 2]
    turn = (flat_before * flat_after.conj()).sum()
    turned = (world[start:, :, 0] + 1j * world[start:, :, 2]) * turn / max(abs(turn), 1e-9)
    world[start:, :, 0], world[start:, :, 2] = turned.real, turned.imag


def join_at(points: Float[np.ndarray, "time point axis"], start: int) -> None:
    """Let the difference at a cut pass within `_JOIN_S`."""
    jump = (points[start] - points[start - 1]) / 2
    reach = min(round(_JOIN_S * MOTION_FPS / 2), start, len(points) - start)
    fade = 0.5 + 0.5 * np.cos(np.pi * np.arange(reach) / reach)
    points[start : start + reach] -= fade[:, None, None] * jump
    points[start - reach : start] += fade[::-1, None, None] * jump


def centred(points: Float[np.ndarray, "time 33 3"]) -> Float[np.ndarray, "time 33 3"]:
    """Landmarks with the middle of the hips in the origin, float32."""
    return (points - points[:, _HIPS].mean(axis=1, keepdims=True)).astype(np.float32)


def _window_frames(seconds: float | int) -> int:
    """The odd count of frames at 60 fps nearest to `seconds`."""
    return 2 * round(seconds * MOTION_FPS / 2) + 1
