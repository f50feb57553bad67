"""How much of a song's harmony another sound has: correlations of CENS chroma, in the same key and at the same time.

CENS (Müller & Ewert 2011) is energy per pitch class, quantised and smoothed over about a second: it follows chords and not
single notes. Pitch classes of unrelated music are far from orthogonal, so that cosine would say 0.8 to anything;
correlation over the 12 classes takes their common mean out and is about 0 for music that has nothing in common. No
transposition is tried: an edit that changes the key has not kept the song.
"""

from dataclasses import dataclass

import librosa
import numpy as np
from jaxtyping import Float

from d2m.music import Music

CHROMA_SAMPLE_RATE = 22050
CHROMA_HOP_SAMPLES = 512
_LEAST_SPREAD = 1e-6


@dataclass(frozen=True)
class ChromaSimilarity:
    """Correlations in [-1, 1]; NaN where a sound has no pitch at all.

    Args:
        profile: of the two chroma averaged over time: are the same pitch classes used as much.
        over_time: mean over frames of the correlation of the two frames: are they used at the same moments.
    """

    profile: float
    over_time: float


def chroma(music: Music) -> Float[np.ndarray, "12 frame"]:
    """CENS chroma of the mono mix at 22,050 Hz, hop 512, in equal temperament at A = 440 Hz (no tuning is estimated)."""
    samples = music.mono().resampled(CHROMA_SAMPLE_RATE).waveform[0]
    return np.asarray(
        librosa.feature.chroma_cens(y=samples, sr=CHROMA_SAMPLE_RATE, hop_length=CHROMA_HOP_SAMPLES, tuning=0.0)
    )


def chroma_similarity(first: Float[np.ndarray, "12 first"], second: Float[np.ndarray, "12 second"]) -> ChromaSimilarity:
    """Compare over the time that both have.

    Raises:
        ValueError: when either has no frame.
    """
    frames = min(first.shape[1], second.shape[1])
    if frames == 0:
        raise ValueError("chroma_similarity needs at least one frame of each sound.")
    first, second = first[:, :frames], second[:, :frames]
    profile = _correlations(first.mean(axis=1, keepdims=True), second.mean(axis=1, keepdims=True))[0]
    by_frame = _correlations(first, second)
    by_frame = by_frame[~np.isnan(by_frame)]
    return ChromaSimilarity(float(profile), float(by_frame.mean()) if by_frame.size else float("nan"))


def _correlations(
    first: Float[np.ndarray, "12 frame"], second: Float[np.ndarray, "12 frame"]
) -> Float[np.ndarray, "frame"]:
    """Of each frame's 12 values; NaN where either has all the same."""
    first, second = (values - values.mean(axis=0) for values in (first, second))
    spread = np.sqrt((first**2).sum(axis=0) * (second**2).sum(axis=0))
    product = (first * second).sum(axis=0)
    return np.where(spread > _LEAST_SPREAD, product / np.maximum(spread, _LEAST_SPREAD), np.nan)
