"""What every reader of motion files takes and gives, and how it looks into what was loaded: one sentence where it is wrong."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from d2m.core.errors import BadConfig, BadInput
from d2m.motion.features import SmplMotion

LEAST_FPS, MOST_FPS = 1, 1000

_RATE_KEYS = ("mocap_framerate", "mocap_frame_rate", "framerate", "frame_rate", "fps")


@dataclass(frozen=True)
class Hints:
    """What a user says about a file, where the file does not say it or says it wrongly.

    Args:
        fps: frames per second, 1 to 1000; None: the file's own.
        up: the axis that points up in the file, `y` or `z`; None: the format's own, or what the motion shows.
        person: which of several people, by the number that the file gives them; None: the only one.

    Raises:
        BadConfig: for anything else.
    """

    fps: float | int | None = None
    up: str | None = None
    person: int | None = None

    def __post_init__(self) -> None:
        fps = self.fps
        if fps is not None and (
            isinstance(fps, bool) or not isinstance(fps, float | int) or not LEAST_FPS <= fps <= MOST_FPS
        ):
            raise BadConfig(f"fps={fps}: expected frames per second, a number from {LEAST_FPS} to {MOST_FPS}.")
        if self.up not in (None, "y", "z"):
            raise BadConfig(f"up={self.up}: expected the axis that points up in the file, y or z.")
        if self.person is not None and (isinstance(self.person, bool) or not isinstance(self.person, int)):
            raise BadConfig(f"person={self.person}: expected the number of one of the people in the file.")


@dataclass(frozen=True)
class Recording:
    """A motion as its file has it, at the file's own frame rate.

    Args:
        motion: rotations and translation, Y up.
        fps: frames per second.
        format: name of the row of `d2m.motion.readers.formats.FORMATS` that read it.
        decisions: a phrase for everything that the file does not say and that was decided, or that a user has said.
        missing: share of the frames that the file lacks and that were filled, 0 to 1.
        up: the axis that points up in the file: `y`, `z`, or `-y` in a camera's.
        landmarks: MediaPipe's 33 at the same frames, where the file holds landmarks (see `d2m.motion.dance.Dance`).
        points: of the body in a picture, at the same frames, where the file has two dimensions (`d2m.motion.keypoints.POINTS`).
    """

    motion: SmplMotion
    fps: float
    format: str
    decisions: tuple[str, ...] = ()
    missing: float = 0.0
    up: str = "y"
    landmarks: Float[np.ndarray, "time 33 3"] | None = None
    points: Float[np.ndarray, "time 13 2"] | None = None

    @property
    def seconds(self) -> float:
        """Duration in seconds."""
        return len(self.motion.translation) / self.fps


def frame_rate(
    path: Path, content: Mapping[Any, Any], hints: Hints, usual: float | None = None
) -> tuple[float, tuple[str, ...]]:
    """Frames per second, and what was decided about it.

    What the user says goes before what the file says; then comes `usual`, the rate of every file of the format.

    Raises:
        BadInput: asking for `fps=` where nobody says it, or where the file says it in two ways or with no usable number.
    """
    said = {key: _as_rate(content[key]) for key in _RATE_KEYS if key in content}
    numbers = {rate for rate in said.values() if rate is not None}
    if hints.fps is not None:
        others = [f"{rate:g}" for rate in sorted(numbers - {float(hints.fps)})]
        return float(hints.fps), (
            f"{hints.fps:g} fps as asked" + f", the file says {' and '.join(others)}" * bool(others),
        )
    listed = " and ".join(f"{key} {'unusable' if rate is None else f'{rate:g}'}" for key, rate in said.items())
    ask = "say it with fps= (in d2m: --fps)."
    if len(numbers) > 1:
        raise BadInput(f"{path}: found {listed}, expected one frame rate; {ask}")
    if numbers:
        (rate,) = numbers
        texts = [key for key in said if not _is_number(content[key])]
        return rate, tuple(f"{rate:g} fps read from the text in {key}" for key in texts)
    if said:
        key = next(iter(said))
        raise BadInput(
            f"{path}: found {key} {_shown(content[key])}, expected {LEAST_FPS} to {MOST_FPS} frames per second; {ask}"
        )
    if usual is not None:
        return usual, ()
    raise BadInput(f"{path}: the file does not tell its frame rate (no {_RATE_KEYS[0]}); {ask}")


def _is_number(value: Any) -> bool:
    return np.asarray(value).dtype.kind in "iuf"


def _as_rate(value: Any) -> float | None:
    """A rate in any of the ways in which files write one: a number, an array of one, a text such as `120` or `30 fps`."""
    array = np.asarray(value)
    if array.size != 1:
        return None
    one = array.reshape(()).item()
    if isinstance(one, bytes):
        one = one.decode("latin1")
    if isinstance(one, str):
        one = one.lower().removesuffix("fps").removesuffix("hz").strip()
    try:
        rate = float(one)
    except (TypeError, ValueError):
        return None
    return rate if LEAST_FPS <= rate <= MOST_FPS else None


def _shown(value: Any) -> str:
    array = np.asarray(value)
    return f"{array.reshape(()).item()!s:.20}" if array.size == 1 else f"of shape {array.shape}"


def keys_of(content: Any) -> set[str]:
    """The names in what was loaded, none where it is no mapping."""
    return {str(key) for key in content} if isinstance(content, Mapping) else set()


def array_of(path: Path, content: Mapping[Any, Any], key: str) -> Float[np.ndarray, "..."]:
    """The numbers under `key`, float64, finite also in float32.

    Raises:
        BadInput: when there are none.
    """
    if key not in content:
        found = ", ".join(repr(name) for name in sorted(map(str, content))) or "nothing"
        raise BadInput(
            f"{path}: found no '{key}' (only {found[:200]}), expected it; export the motion with this field."
        )
    try:
        values = np.asarray(content[key])
    except ValueError:  # a ragged list
        values = np.asarray(None)
    if values.dtype.kind not in "iuf":
        raise BadInput(f"{path}: '{key}' does not hold real numbers, expected a float array; export the file again.")
    values = values.astype(np.float64)
    with np.errstate(over="ignore"):
        bad = ~np.isfinite(values.astype(np.float32))
    if bad.any():
        raise BadInput(
            f"{path}: found {bad.sum()} NaN or infinite values in '{key}', expected finite numbers; "
            "repair or cut the recording."
        )
    return values


def frames_of(path: Path, content: Mapping[Any, Any], key: str) -> Float[np.ndarray, "time width"]:
    """Numbers of every frame: (N, width); (N, ..., joints, 3) and (1, N, width) are taken as that."""
    values = array_of(path, content, key)
    if values.ndim > 1 and values.shape[0] and values.size == 0:
        raise BadInput(f"{path}: found '{key}' of shape {values.shape}, without numbers; export the file again.")
    if values.ndim < 2:
        raise BadInput(
            f"{path}: found '{key}' of shape {values.shape}, expected (frames, width); export the file again."
        )
    if len(values) == 0:
        raise BadInput(f"{path}: found 0 frames in '{key}', expected at least 1 s of motion; export the file again.")
    return values.reshape(len(values), -1)


def expect_width(path: Path, key: str, values: np.ndarray, is_right: bool, expected: str) -> None:
    """Refuse numbers of another width."""
    if not is_right:
        raise BadInput(
            f"{path}: found '{key}' {values.shape[1]} wide, expected {expected}; export the motion in this layout."
        )


def translation_of(path: Path, content: Mapping[Any, Any], key: str, frames: int) -> Float[np.ndarray, "time 3"]:
    """The translation of `frames` frames."""
    trans = frames_of(path, content, key)
    if trans.shape != (frames, 3):
        raise BadInput(
            f"{path}: found '{key}' of shape {trans.shape}, expected ({frames}, 3) as the poses have {frames} frames; "
            "export both from the same recording."
        )
    return trans


def number_of(path: Path, content: Mapping[Any, Any], key: str) -> float:
    """The one number under `key`."""
    values = array_of(path, content, key)
    if values.size != 1:
        raise BadInput(f"{path}: found '{key}' of shape {values.shape}, expected one number; export the file again.")
    return float(values.reshape(()))
