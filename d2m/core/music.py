"""Music: a waveform and its sample rate, read and written with soundfile, resampled with scipy."""

from dataclasses import dataclass
from math import gcd
from pathlib import Path

import numpy as np
import soundfile
from jaxtyping import Float
from scipy.signal import resample_poly

from d2m.core.errors import BadInput
from d2m.core.files import atomic_write


@dataclass(frozen=True)
class Music:
    """A piece of music.

    Args:
        waveform: samples in [-1, 1].
        sample_rate: samples per second.
    """

    waveform: Float[np.ndarray, "channel time"]
    sample_rate: int

    @property
    def seconds(self) -> float:
        """Duration in seconds."""
        return self.waveform.shape[-1] / self.sample_rate

    @staticmethod
    def load(path: str | Path, expected_sample_rate: int | None = None) -> "Music":
        """Read an audio file.

        Args:
            path: any file that libsndfile reads (wav, flac, ogg, mp3).
            expected_sample_rate: refuse a file of another rate.

        Raises:
            BadInput: when the file is missing, unreadable, empty, not finite, or of another rate than expected.
        """
        try:
            samples, sample_rate = soundfile.read(path, dtype="float32", always_2d=True)
        except (soundfile.SoundFileError, OSError) as error:
            raise BadInput(f"{path}: not a readable audio file ({error}); give a wav, flac, ogg or mp3.") from error
        if len(samples) == 0:
            raise BadInput(f"{path}: found 0 samples, expected some audio; record or export the file again.")
        if not np.isfinite(samples).all():
            raise BadInput(f"{path}: found NaN or infinite samples; export the file again.")
        if expected_sample_rate is not None and sample_rate != expected_sample_rate:
            raise BadInput(
                f"{path}: found {sample_rate} Hz, expected {expected_sample_rate} Hz; resample the file or correct the rate."
            )
        return Music(np.ascontiguousarray(samples.T), sample_rate)

    def save(self, path: str | Path) -> Path:
        """Write a 16-bit wav (or what the suffix says), whole or not at all; samples beyond 1 are clipped."""
        path = Path(path)
        with atomic_write(path) as temporary:
            soundfile.write(temporary, np.clip(self.waveform, -1, 1).T, self.sample_rate, subtype="PCM_16")
        return path

    def resampled(self, sample_rate: int) -> "Music":
        """The same music at another sample rate (polyphase filter, no phase shift)."""
        if sample_rate == self.sample_rate:
            return self
        divisor = gcd(sample_rate, self.sample_rate)
        waveform = resample_poly(self.waveform, sample_rate // divisor, self.sample_rate // divisor, axis=-1)
        return Music(np.asarray(waveform, dtype=np.float32), sample_rate)

    def mono(self) -> "Music":
        """The mean of the channels, as one channel."""
        return Music(self.waveform.mean(axis=0, keepdims=True, dtype=np.float32), self.sample_rate)
