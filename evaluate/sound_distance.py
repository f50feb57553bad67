"""Distance between two sounds in time and frequency: L1 between log-mel spectrograms.

It judges a round trip through an autoencoder, where the two sounds should be the same recording. Between a generated
piece and its reference it says little, because two good pieces may differ: read it beside the distance of another song.
"""

import librosa
import numpy as np
from jaxtyping import Float

from d2m.music import Music

MEL_SAMPLE_RATE = 22050
MEL_HOP_SAMPLES = 512
MEL_BANDS = 80
_MEL_FLOOR = 1e-3


def log_mel(music: Music) -> Float[np.ndarray, "mel frame"]:
    """Natural log of an 80-band mel magnitude spectrogram (2,048 samples, hop 512) of the mono mix at 22,050 Hz.

    Magnitudes are floored at 0.001, so that digital silence is a finite -6.9.
    """
    samples = music.mono().resampled(MEL_SAMPLE_RATE).waveform[0]
    mel = librosa.feature.melspectrogram(
        y=samples, sr=MEL_SAMPLE_RATE, n_fft=2048, hop_length=MEL_HOP_SAMPLES, n_mels=MEL_BANDS, power=1.0
    )
    return np.log(np.maximum(mel, _MEL_FLOOR)).astype(np.float32)


def log_mel_l1(first: Float[np.ndarray, "mel first"], second: Float[np.ndarray, "mel second"]) -> float:
    """Mean absolute difference of two log-mel spectrograms over the time that both have; 0 for the same sound.

    Raises:
        ValueError: when either has no frame.
    """
    frames = min(first.shape[1], second.shape[1])
    if frames == 0:
        raise ValueError("log_mel_l1 needs at least one frame of each sound.")
    return float(np.abs(first[:, :frames] - second[:, :frames]).mean())
