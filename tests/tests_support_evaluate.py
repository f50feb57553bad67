"""Click tracks, dances and folders for the tests of whole evaluations."""

import json
from pathlib import Path

import numpy as np

from d2m.core.music import Music

RATE = 22050
SECONDS = 6.5
SONGS = {
    "gBR_sBM_cAll_d04_mBR0_ch02": (80, 0.31),
    "gHO_sBM_cAll_d20_mHO5_ch02": (135, 0.12),
    "gLO_sBM_cAll_d13_mLOT107_ch02": (107, 0.23),
}


def clicks(path: Path, beats_s: np.ndarray, seconds: float = SECONDS) -> None:
    waveform = np.zeros(round(seconds * RATE), dtype=np.float32)
    burst = np.random.default_rng(0).normal(size=1500) * np.exp(-np.arange(1500) / 200) * 0.3
    for at in np.round(beats_s * RATE).astype(int):
        length = min(len(burst), len(waveform) - at)
        waveform[at : at + length] += burst[:length].astype(np.float32)
    Music(waveform[None], RATE).save(path)


def dance_features(beats_s: np.ndarray) -> np.ndarray:
    """A body that slides to and fro and halts on every beat."""
    frames_s = np.arange(round(SECONDS * 60)) / 60
    period_s = beats_s[1] - beats_s[0]
    features = np.zeros((len(frames_s), 219), dtype=np.float32)
    features[:, 0] = np.cos(np.pi * (frames_s - beats_s[0]) / period_s)
    features[:, 3:] = np.tile(np.eye(3, dtype=np.float32).ravel(), 24)
    return features


def beats_of(bpm: float, start_s: float) -> np.ndarray:
    return np.arange(start_s, SECONDS - 0.05, 60 / bpm)


def write_folders(root: Path) -> Path:
    """Three songs; generated music is right for the first two and 0.14 s late for the third."""
    for folder in ("wavs", "beats", "dances", "generated"):
        (root / folder).mkdir()
    for name, (bpm, start_s) in SONGS.items():
        beats_s = beats_of(bpm, start_s)
        clicks(root / "wavs" / f"{name}.wav", beats_s)
        np.savetxt(root / "beats" / f"{name}.txt", beats_s, fmt="%.4f")
        np.save(root / "dances" / f"{name}.npy", dance_features(beats_s))
        late_s = 0.14 if "gLO" in name else 0.0
        clicks(root / "generated" / f"{name}_seed0.wav", beats_of(bpm, start_s + late_s))
        said = {"genre": "gHO" if "gLO" in name else name[:3]}
        (root / "generated" / f"{name}_seed0.json").write_text(json.dumps(said))
    return root
