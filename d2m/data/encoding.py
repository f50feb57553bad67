"""Music latents and rhythm curves of a whole data set, made once before training."""

import io
from dataclasses import dataclass
from pathlib import Path

import librosa
import numpy as np
import torch
from jaxtyping import Float
from tqdm import tqdm

from d2m.audio.coding import encode_piece
from d2m.audio.dmae import DMAE
from d2m.clock import Clock
from d2m.data.layout import DataSetLayout
from d2m.errors import UserError
from d2m.files import written_whole
from d2m.music import Music

_BEAT_WIDTH_S = 0.03


@dataclass(frozen=True)
class EncodingSummary:
    """What `encode_data_set` did: how many sequences it made and found made, and which it could not make."""

    made: int
    found: int
    failed: dict[str, str]


def encode_data_set(layout: DataSetLayout, names: list[str], dmae: DMAE) -> EncodingSummary:
    """Write `latents/<dmae>/NAME.npy` (half precision) and `rhythm/<dmae>/NAME.npy`; what exists is left as it is."""
    made, failed = 0, {}
    todo = [n for n in names if not (layout.latent(n, dmae.name).exists() and layout.rhythm(n, dmae.name).exists())]
    for name in tqdm(todo, desc=f"encoding with {dmae.name}", unit="song"):
        try:
            music = Music.load(layout.wav(name))
        except UserError as error:
            failed[name] = str(error)
            continue
        fed = (music.mono() if dmae.in_channels == 1 else music).resampled(dmae.clock.sample_rate)
        latent = encode_piece(dmae, torch.from_numpy(fed.waveform)).numpy()
        beats_file = layout.beats(name)
        beats_s = np.loadtxt(beats_file, ndmin=1) if beats_file.exists() else tracked_beats_s(fed)
        rhythm = np.stack(
            [beat_activation(beats_s, latent.shape[1], dmae.clock), onset_envelope(fed, latent.shape[1], dmae.clock)]
        )
        _save(layout.rhythm(name, dmae.name), rhythm.astype(np.float16))
        _save(layout.latent(name, dmae.name), latent.astype(np.float16))
        made += 1
    return EncodingSummary(made, len(names) - len(todo), failed)


def beat_activation(beats_s: Float[np.ndarray, " beat"], frames: int, clock: Clock) -> Float[np.ndarray, " frame"]:
    """A bump of 1 and of 30 ms deviation around every beat, at the centre of each latent frame."""
    centres = (np.arange(frames) + 0.5) / clock.latent_rate
    if len(beats_s) == 0:
        return np.zeros(frames)
    nearest = np.abs(centres[:, None] - np.asarray(beats_s)[None]).min(axis=1)
    return np.exp(-0.5 * (nearest / _BEAT_WIDTH_S) ** 2)


def onset_envelope(music: Music, frames: int, clock: Clock) -> Float[np.ndarray, " frame"]:
    """librosa's onset strength, the 98th percentile of the piece being 1, on the latent frames."""
    hop = clock.latent_hop_samples
    strength = librosa.onset.onset_strength(
        y=music.mono().waveform[0], sr=music.sample_rate, hop_length=hop, center=True
    )
    envelope = np.zeros(frames)
    envelope[: min(frames, len(strength))] = strength[:frames]
    return np.clip(envelope / max(float(np.percentile(envelope, 98)), 1e-6), 0, 1)


def tracked_beats_s(music: Music) -> Float[np.ndarray, " beat"]:
    """Beats of music whose true ones nobody wrote down."""
    _, beats = librosa.beat.beat_track(y=music.mono().waveform[0], sr=music.sample_rate, trim=False, units="time")
    return np.asarray(beats, dtype=float)


def _save(path: Path, array: np.ndarray) -> None:
    buffer = io.BytesIO()
    np.save(buffer, array)
    with written_whole(path) as temporary:
        temporary.write_bytes(buffer.getvalue())
