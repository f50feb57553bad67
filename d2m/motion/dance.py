"""Dance: 219 numbers a frame at 60 fps, made from any supported motion file."""

import glob
from dataclasses import dataclass, replace
from pathlib import Path
from typing import SupportsFloat

import numpy as np
from jaxtyping import Float, UInt8

from d2m.core.aist_names import parse_sequence_name
from d2m.core.errors import BadConfig, BadInput
from d2m.core.timeline import MIN_SECONDS, MOTION_FPS, motion_frames_to_seconds
from d2m.motion.features import SmplMotion, resample_motion, resample_points, rotations_to_features
from d2m.motion.readers import SUFFIX_LIST, SUFFIXES, Hints, Recording, expect_suffix, read_recording
from d2m.motion.readers.detections import first_frames, is_recording
from d2m.motion.smpl import axis_angle_to_matrix


@dataclass(frozen=True)
class Dance:
    """A dance at 60 frames per second.

    Args:
        features: see `d2m.motion.features`; float32.
        name: of the file, without its ending.
        genre: a code such as `gBR`, or None where it is not known.
        landmarks: MediaPipe's, as seen in a film and smoothed: metres from the middle of the hips, Y up; None: not seen.
        points: of the body in a picture, as a detector saw it (`d2m.motion.keypoints.POINTS`), metres, to the right and up;
            beats are read from them. None: not seen so.
        pictures: small grey ones of a film, at 15 fps; None where there is no film, or nobody has asked for them.
        format: of the motion file that it was read from, see `d2m.motion.readers`; None: from elsewhere.
        decisions: what the file did not say and was decided, or said by the user.
    """

    features: Float[np.ndarray, "time 219"]
    name: str
    genre: str | None = None
    landmarks: Float[np.ndarray, "time 33 3"] | None = None
    points: Float[np.ndarray, "time 13 2"] | None = None
    pictures: UInt8[np.ndarray, "picture height width"] | None = None
    format: str | None = None
    decisions: tuple[str, ...] = ()

    @property
    def seconds(self) -> float:
        """Duration in seconds."""
        return motion_frames_to_seconds(len(self.features))

    @staticmethod
    def load(
        path: str | Path, fps: float | int | None = None, up: str | None = None, person: int | None = None
    ) -> "Dance":
        """Read a dance from a motion file of any format in `d2m.motion.readers`.

        Any frame rate is resampled to 60 fps. The genre is known where the file has an AIST++ name.

        Args:
            path: the file.
            fps, up, person: what the file does not say or says wrongly, see `d2m.motion.readers.Hints`.

        Raises:
            BadInput: when the file is missing, not a dance, hostile, or shorter than 1 s, or where a hint has to be given.
            BadConfig: for a hint that cannot be.
        """
        path = Path(path)
        return Dance.of_recording(read_recording(path, Hints(fps, up, person)), path.stem, origin=str(path))

    @staticmethod
    def of_recording(recording: Recording, name: str, origin: str) -> "Dance":
        """A recording brought to 60 fps; the genre is known where `name` is an AIST++ one.

        Args:
            recording: of at least 1 s.
            name: of the dance.
            origin: the file that an error names.

        Raises:
            BadInput: when it is shorter than 1 s.
        """
        sequence = parse_sequence_name(name)
        dance = _at_60_fps(recording.motion, recording.fps, name, sequence.genre if sequence else None, origin)
        landmarks = recording.landmarks
        if landmarks is not None:
            landmarks = resample_points(landmarks, recording.fps, len(dance.features))
        points = recording.points
        if points is not None:
            points = resample_points(points, recording.fps, len(dance.features))
        return replace(
            dance, landmarks=landmarks, points=points, format=recording.format, decisions=recording.decisions
        )

    @staticmethod
    def from_smpl(
        poses: Float[np.ndarray, "time 72"],
        trans: Float[np.ndarray, "time 3"],
        fps: SupportsFloat = MOTION_FPS,
        name: str = "dance",
        genre: str | None = None,
    ) -> "Dance":
        """A dance from SMPL parameters in memory.

        Args:
            poses: axis-angle vectors of the 24 joints, radians.
            trans: translation of the pelvis, metres, Y up.
            fps: frames per second of `poses`.
            name: what files made from it are called.
            genre: a code such as `gBR`.

        Raises:
            BadInput: when it is not finite or shorter than 1 s.
        """
        if not (np.isfinite(poses).all() and np.isfinite(trans).all()):
            raise BadInput(
                f"{name}: found NaN or infinite poses, expected finite numbers; repair or cut the recording."
            )
        motion = SmplMotion(axis_angle_to_matrix(poses.reshape(-1, 24, 3)), trans)
        return _at_60_fps(motion, float(fps), name, genre, origin=name)


def _at_60_fps(motion: SmplMotion, fps: float, name: str, genre: str | None, origin: str) -> Dance:
    frames = len(motion.translation)
    if round(frames * MOTION_FPS / fps) < MIN_SECONDS * MOTION_FPS:
        raise BadInput(
            f"{origin}: found {frames / fps:.2f} s ({frames} frames at {fps:g} fps), "
            f"expected at least {MIN_SECONDS:g} s; give a longer dance."
        )
    resampled = resample_motion(motion, fps)
    return Dance(rotations_to_features(resampled.rotations, resampled.translation), name, genre)


def list_dances(pattern: str | Path) -> list[Path]:
    """Paths of the dances that a file, a folder or a glob (`**` descends) names, sorted.

    A file is taken as it is, so that `Dance.load` says what is wrong with its content. Of a folder (not of those in it)
    and of a glob, the files with a suffix of a dance are taken; of `.json` files those that hold detections, and of those that hold a
    frame each the first.

    Raises:
        BadInput: for a file whose suffix is no dance's.
        BadConfig: when there are none.
    """
    path = Path(pattern)
    if path.is_file():
        expect_suffix(path)
        return [path]
    if path.is_dir():
        candidates, kind = list(path.iterdir()), "the folder"
    else:
        candidates, kind = [Path(match) for match in glob.glob(str(pattern), recursive=True)], "what matches"
    named = [p for p in candidates if p.suffix.lower() in SUFFIXES and p.is_file() and p.name[0] != "."]
    dances = [p for p in first_frames(named) if p.suffix.lower() != ".json" or is_recording(p)]
    if dances:
        return dances
    if not candidates and not path.is_dir():
        raise BadConfig(
            f"{pattern}: no such file or folder; give a dance ({SUFFIX_LIST}), a folder of them, or a glob."
        )
    raise BadConfig(f"{pattern}: {kind} holds no dances, expected {SUFFIX_LIST} files; check the path.")
