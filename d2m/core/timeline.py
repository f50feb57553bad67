"""The one timeline: seconds, motion frames (60 fps), audio samples and latent frames.

Every length in the project is derived here, so that frames and seconds are never mixed.
"""

from dataclasses import dataclass

MOTION_FPS = 60
"""Frames per second of AIST++ motion, and of every `Dance` (Li et al., ICCV 2021)."""

MIN_SECONDS = 1.0
"""The shortest dance that music is made for."""

PICTURE_FPS = 15
"""Small video frames per second, where a system looks at pictures; the first one at 0 s."""

WINDOW_LATENT_FRAMES = 256
"""Latent frames of one window in the published system: 2 x 262,144 samples at a latent hop of 1024."""


def seconds_to_motion_frames(seconds: float) -> int:
    """Nearest count of motion frames (60 fps) that lasts `seconds`."""
    return round(seconds * MOTION_FPS)


def motion_frames_to_seconds(frames: int) -> float:
    """Duration in seconds of `frames` motion frames."""
    return frames / MOTION_FPS


@dataclass(frozen=True)
class Timeline:
    """How one autoencoder divides time.

    Args:
        sample_rate: samples per second of its waveform.
        latent_hop_samples: samples per latent frame.
        window_latent_frames: latent frames of one training window.
    """

    sample_rate: int
    latent_hop_samples: int
    window_latent_frames: int = WINDOW_LATENT_FRAMES

    @property
    def latent_rate(self) -> float:
        """Latent frames per second."""
        return self.sample_rate / self.latent_hop_samples

    @property
    def window_samples(self) -> int:
        """Samples of one window: 262,144 at 44.1 kHz and hop 1024."""
        return self.window_latent_frames * self.latent_hop_samples

    @property
    def window_seconds(self) -> float:
        """Seconds of one window: 5.944 in the published system."""
        return self.window_samples / self.sample_rate

    @property
    def window_motion_frames(self) -> int:
        """Whole motion frames in one window: 356 in the published system."""
        return int(self.window_seconds * MOTION_FPS)

    def latent_frames_to_seconds(self, frames: int) -> float:
        """Time of the start of latent frame number `frames`."""
        return frames * self.latent_hop_samples / self.sample_rate

    def latent_frames_to_motion_frames(self, frames: int) -> int:
        """Motion frame nearest to the start of latent frame number `frames`."""
        return seconds_to_motion_frames(self.latent_frames_to_seconds(frames))

    def samples_to_latent_frames(self, samples: int) -> int:
        """Latent frames needed to cover `samples` samples."""
        return -(-samples // self.latent_hop_samples)
