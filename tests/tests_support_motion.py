"""A dance small enough to write down: the whole body swings and an arm waves."""

import numpy as np
import torch

from d2m.motion.features import smpl_to_features


def swinging_features(frames: int, seconds_late: float = 0.0) -> torch.Tensor:
    """[frames 219]: sway of the root at 0.7 Hz, elbow at 1.9 Hz, a bounce at 1.3 Hz; started `seconds_late` later."""
    time_s = np.arange(frames) / 60 - seconds_late
    poses, translation = np.zeros((frames, 72)), np.zeros((frames, 3))
    poses[:, 1] = 0.4 * np.sin(2 * np.pi * 0.7 * time_s)
    poses[:, 3 * 18 + 2] = 0.8 * np.sin(2 * np.pi * 1.9 * time_s)
    poses[:, 3 * 4] = 0.5 * np.sin(2 * np.pi * 1.3 * time_s) ** 2
    translation[:, 1] = 0.05 * np.sin(2 * np.pi * 1.3 * time_s)
    return torch.from_numpy(np.asarray(smpl_to_features(poses, translation), dtype=np.float32))
