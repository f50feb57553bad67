"""A dancer's landmarks through a clip, as MediaPipe Pose (BlazePose; Bazarevsky et al., 2020) numbers them.

Finding them is the slow step from video to music, so they can be kept in a file.
"""

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float
from scipy.signal import savgol_coeffs, savgol_filter

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


@dataclass(frozen=True)
class Landmarks:
    """Where a dancer's 33 landmarks are in every frame of a video.

    Args:
        image: x and y in the upright picture, 0 to 1 from its left and top (outside where a limb is), and visibility 0 to 1.
        world: metres from the middle of the hips; x to the right of the picture, y down, z away from the camera.
        times_s: of the frames after the first picture, rising, not necessarily even.
        seen: whether a person was found; elsewhere `image` and `world` are 0.
        size: width and height of the upright picture in pixels.
    """

    image: Float[np.ndarray, "frame 33 3"]
    world: Float[np.ndarray, "frame 33 3"]
    times_s: Float[np.ndarray, " frame"]
    seen: Bool[np.ndarray, " frame"]
    size: tuple[int, int]

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
        return Landmarks(self.image[keep], self.world[keep], self.times_s[keep], self.seen[keep], self.size)

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
    for key, shape in {**shapes, "size": (2,)}.items():
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
    return Landmarks(stored["image"], stored["world"], times_s, stored["seen"], (width, height))


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

_SPIKE_M = 0.15
"""A landmark this far off the middle of its neighbours in time, and farther than they are from each other, is a slip."""


def at_60_fps(
    landmarks: Landmarks, values: Float[np.ndarray, "frame point axis"]
) -> Float[np.ndarray, "time point axis"]:
    """`values` of the frames that were seen, on the straight line between them, at i / 60 s; held at both ends."""
    count = seconds_to_motion_frames(landmarks.seconds)
    wanted_s = np.arange(count) / MOTION_FPS
    known_s, known = landmarks.times_s[landmarks.seen], values[landmarks.seen]
    after = np.clip(np.searchsorted(known_s, wanted_s), 1, max(1, len(known_s) - 1))
    before, after = after - 1, np.minimum(after, len(known_s) - 1)
    span_s = np.maximum(known_s[after] - known_s[before], 1e-9)
    share = np.clip((wanted_s - known_s[before]) / span_s, 0, 1)[:, None, None]
    return (1 - share) * known[before] + share * known[after]


def without_spikes(
    values: Float[np.ndarray, "frame point axis"], spike: float = _SPIKE_M
) -> Float[np.ndarray, "frame point axis"]:
    """Slips of a single frame put on the line between their neighbours."""
    if len(values) < 3:
        return values
    between = (values[:-2] + values[2:]) / 2
    off = np.linalg.norm(values[1:-1] - between, axis=-1)
    apart = np.linalg.norm(values[2:] - values[:-2], axis=-1)
    improved = values.copy()
    improved[1:-1] = np.where(((off > spike) & (off > apart))[..., None], between, values[1:-1])
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
    """World landmarks at 60 fps: slips improved, frames with nobody bridged, then smoothed; metres, MediaPipe's axes."""
    world = landmarks.world.copy()
    world[landmarks.seen] = without_spikes(world[landmarks.seen])
    seen_fps = landmarks.seen.sum() / max(landmarks.seconds, 1e-6)
    noise = noise_of(world[landmarks.seen]) * np.sqrt(MOTION_FPS / max(seen_fps, 1.0))
    return adaptively_smoothed(at_60_fps(landmarks, world), noise)


def centred(points: Float[np.ndarray, "time 33 3"]) -> Float[np.ndarray, "time 33 3"]:
    """Landmarks with the middle of the hips in the origin, float32."""
    return (points - points[:, _HIPS].mean(axis=1, keepdims=True)).astype(np.float32)


def _window_frames(seconds: float | int) -> int:
    """The odd count of frames at 60 fps nearest to `seconds`."""
    return 2 * round(seconds * MOTION_FPS / 2) + 1
