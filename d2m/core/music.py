"""Music: a waveform and its sample rate, read and written with soundfile, resampled with scipy."""

from dataclasses import dataclass
from math import gcd
from pathlib import Path

import av
import numpy as np
import soundfile
from jaxtyping import Float

from d2m.core.errors import BadConfig, BadInput
from d2m.core.files import atomic_write

_BLOCK = 1 << 16
_MP3_SLACK_S = 0.1
"""Decoders differ by this much in how they cut an encoder's padding."""


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
            if soundfile.info(path).format == "MP3":
                samples = _whole_mp3(Path(path), samples, sample_rate)
        except (soundfile.SoundFileError, av.FFmpegError, OSError) as error:
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
        """Write an audio file, whole or not at all; samples beyond 1 are clipped.

        Args:
            path: its suffix says the format: .wav, .flac, .aiff and so on of 16 bits; .ogg (Vorbis), .mp3.

        Raises:
            BadConfig: when libsndfile does not write such files, or not at this sample rate.
        """
        path = Path(path)
        form = {".aif": "AIFF"}.get(path.suffix.lower(), path.suffix[1:].upper())
        if form == "RAW" or form not in soundfile.available_formats():
            raise BadConfig(f"{path}: found the suffix '{path.suffix}', expected .wav, .flac, .ogg or .mp3; rename it.")
        subtype = "PCM_16" if soundfile.check_format(form, "PCM_16") else None  # None: the format's own
        samples = np.clip(self.waveform, -1, 1).T
        with atomic_write(path) as temporary:
            try:
                with soundfile.SoundFile(
                    temporary, "w", self.sample_rate, samples.shape[1], subtype, format=form
                ) as file:
                    for start in range(0, len(samples), _BLOCK):  # libsndfile's Vorbis takes no long blocks
                        file.write(samples[start : start + _BLOCK])
            except soundfile.SoundFileError as error:
                raise BadConfig(
                    f"{path}: cannot be written at {self.sample_rate} Hz with {samples.shape[1]} channels ({error}); "
                    "choose .wav."
                ) from error
        return path

    def resampled(self, sample_rate: int) -> "Music":
        """The same music at another sample rate (polyphase filter, no phase shift)."""
        if sample_rate == self.sample_rate:
            return self
        from scipy.signal import resample_poly  # takes a second to load

        divisor = gcd(sample_rate, self.sample_rate)
        waveform = resample_poly(self.waveform, sample_rate // divisor, self.sample_rate // divisor, axis=-1)
        return Music(np.asarray(waveform, dtype=np.float32), sample_rate)

    def mono(self) -> "Music":
        """The mean of the channels, as one channel."""
        return Music(self.waveform.mean(axis=0, keepdims=True, dtype=np.float32), self.sample_rate)


def _whole_mp3(
    path: Path, samples: Float[np.ndarray, "read channel"], sample_rate: int
) -> Float[np.ndarray, "time channel"]:
    """An mp3's samples, all of them.

    libsndfile takes the length of a file without a header of lengths from the bit rate of its first frame, and reads no
    further; FFmpeg reads to the end.

    Args:
        path: the file.
        samples: as libsndfile reads them.
        sample_rate: in Hz.
    """
    with av.open(str(path)) as file:
        stream = file.streams.audio[0]
        ticks = sum(packet.duration or 0 for packet in file.demux(stream))
        if stream.time_base is None or ticks * stream.time_base < len(samples) / sample_rate + _MP3_SLACK_S:
            return samples
        file.seek(0)
        resampler = av.AudioResampler("fltp", stream.layout, sample_rate)
        blocks = [block for frame in file.decode(stream) for block in resampler.resample(frame)]
    return np.concatenate([block.to_ndarray() for block in blocks], axis=1).T
