"""A recording → a motion file: AMASS's npz, AIST++'s pickle and BVH. One row of `WRITERS` a suffix."""

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np

from d2m.core.errors import BadConfig
from d2m.core.files import atomic_write
from d2m.core.timeline import MOTION_FPS
from d2m.motion.bvh import write_bvh
from d2m.motion.features import resample_motion
from d2m.motion.readers.physics import to_z_up
from d2m.motion.readers.recording import Recording


def write_amass(recording: Recording, path: Path) -> None:
    """AMASS's layout at the recording's own rate, Z up as AMASS is; `up_axis` says so to those who ask."""
    motion = to_z_up(recording.motion)
    np.savez_compressed(
        path,
        poses=motion.poses.astype(np.float32),
        trans=motion.translation.astype(np.float32),
        mocap_framerate=np.array(recording.fps),
        gender="neutral",
        betas=np.zeros(16, np.float32),
        up_axis="z",
    )


def write_aistpp(recording: Recording, path: Path) -> None:
    """AIST++'s layout: 60 fps, Y up."""
    motion = resample_motion(recording.motion, recording.fps)
    content = {
        "smpl_poses": motion.poses.astype(np.float32),
        "smpl_trans": motion.translation.astype(np.float32),
        "smpl_scaling": np.ones(1, np.float32),
        "fps": np.array(MOTION_FPS),
    }
    path.write_bytes(pickle.dumps(content))


def write_skeleton(recording: Recording, path: Path) -> None:
    """BVH, as `d2m.motion.bvh.write_bvh` has it, at the recording's own rate."""
    write_bvh(path, recording.motion, recording.fps)


WRITERS: dict[str, Callable[[Recording, Path], None]] = {
    ".npz": write_amass,
    ".pkl": write_aistpp,
    ".bvh": write_skeleton,
}
"""Writer of each suffix: (recording, path)."""


def write_recording(recording: Recording, path: Path) -> Path:
    """Write a motion file, whole or not at all.

    Raises:
        BadConfig: for a suffix that has no writer.
    """
    writer = WRITERS.get(path.suffix.lower())
    if writer is None:
        raise BadConfig(f"{path}: cannot write a '{path.suffix}' motion file, expected {', '.join(WRITERS)}.")
    with atomic_write(path) as temporary:
        writer(recording, temporary)
    return path
