"""Two curves that say the rhythm of a piece on its latent frames: beat activation and onset envelope, both in [0, 1]."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import librosa
import numpy as np
import torch
from jaxtyping import Float
from lightning import LightningDataModule, LightningModule, Trainer
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from d2m.audio.autoencoder import DMAE
from d2m.audio.chunked_coding import count_windows, encode_pieces
from d2m.audio.pretrained import weights_sha256
from d2m.core.errors import BadInput, UserError
from d2m.core.files import array_shape, save_array, stored_names, sweep
from d2m.core.music import Music
from d2m.core.timeline import Clock
from d2m.data.index import (
    INDEX_DTYPE,
    INDEX_NAME,
    MANIFEST,
    MAX_NAME_BYTES,
    VERSION,
    LatentManifest,
    index_row,
    write_index,
)
from d2m.data.layout import DataSetLayout
from d2m.metrics.beat_tracker import track_beats_s
from d2m.motion.dance import MIN_SECONDS, Dance

_BEAT_WIDTH_S = 0.03


def rhythm_curves(
    layout: DataSetLayout, name: str, music: Music, frames: int, clock: Clock
) -> Float[np.ndarray, "2 frame"]:
    """Beat activation over onset envelope; the beats are the data set's own, or tracked where it knows none.

    Raises:
        BadInput: when the file of beat times is not one.
    """
    beats_s = layout.reference_beats_s(name, music.seconds)
    if beats_s is None:
        beats_s = track_beats_s(music)
    return np.stack([beat_activation(beats_s, frames, clock), onset_envelope(music, frames, clock)])


def beat_activation(beats_s: Float[np.ndarray, " beat"], frames: int, clock: Clock) -> Float[np.ndarray, " frame"]:
    """A bump of 1 and of 30 ms deviation around every beat, at the centre of each latent frame."""
    centres = (np.arange(frames) + 0.5) / clock.latent_rate
    if len(beats_s) == 0:
        return np.zeros(frames)
    nearest = np.abs(centres[:, None] - np.asarray(beats_s)[None]).min(axis=1)
    return np.exp(-0.5 * (nearest / _BEAT_WIDTH_S) ** 2)


def onset_envelope(music: Music, frames: int, clock: Clock) -> Float[np.ndarray, " frame"]:
    """librosa's onset strength at the centre of each latent frame, the 98th percentile of the piece being 1."""
    hop = clock.latent_hop_samples
    # librosa's frame k is centred on sample k hop, a latent frame on (k + 1/2) hop.
    samples = music.mono().waveform[0][hop // 2 :]
    strength = librosa.onset.onset_strength(y=samples, sr=music.sample_rate, hop_length=hop, center=True)
    envelope = np.zeros(frames)
    envelope[: min(frames, len(strength))] = strength[:frames]
    return np.clip(envelope / max(float(np.percentile(envelope, 98)), 1e-6), 0, 1)


# What there is to encode of a sequence: its music at the autoencoder's rate, its rhythm curves, its motion features.


@dataclass(frozen=True)
class Target:
    """Where encoded sequences go, and for which autoencoder; small enough to be sent to a loading process."""

    layout: DataSetLayout
    dmae: str
    clock: Clock
    in_channels: int

    def is_done(self, name: str) -> bool:
        """Whether all three files of a sequence exist."""
        return self._has_music(name) and self.layout.features(name).exists()

    def _has_music(self, name: str) -> bool:
        return self.layout.latent(name, self.dmae).exists() and self.layout.rhythm(name, self.dmae).exists()

    def music(self, name: str) -> Music:
        """A sequence's music as the autoencoder is fed with it.

        Raises:
            BadInput: when it cannot be read, or is too short.
        """
        path = self.layout.wav(name)
        music = _with_channels(Music.load(path), self.in_channels).resampled(self.clock.sample_rate)
        if music.seconds < MIN_SECONDS:
            raise BadInput(
                f"{path}: found {music.seconds:.2f} s of music, expected at least {MIN_SECONDS:g} s; "
                "record or export the file again."
            )
        return music

    def load(self, name: str) -> "EncodeItem":
        """Read and resample what a sequence still lacks.

        Raises:
            BadInput: when its music, beats or motion cannot be used.
        """
        if len(name.encode()) > MAX_NAME_BYTES or name == INDEX_NAME:
            raise BadInput(
                f"'{name}': expected a name of at most {MAX_NAME_BYTES} bytes that is not 'index'; rename the sequence."
            )
        piece = EncodeItem(name)
        if not self.layout.features(name).exists():
            piece.features = Dance.load(self.layout.motion(name)).features
        if not self._has_music(name):
            music = self.music(name)
            frames = self.clock.samples_to_latent_frames(music.waveform.shape[1])
            piece.waveform = music.waveform
            piece.rhythm = rhythm_curves(self.layout, name, music, frames, self.clock)
        return piece


@dataclass
class EncodeItem:
    """What a sequence still lacks; None is there already.

    Args:
        name: of the sequence.
        waveform: its music at the autoencoder's rate.
        rhythm: beat activation and onset envelope on the latent frames.
        features: its motion at 60 fps.
        failure: one sentence why it cannot be encoded.
    """

    name: str
    waveform: Float[np.ndarray, "channel sample"] | None = None
    rhythm: Float[np.ndarray, "2 frame"] | None = None
    features: Float[np.ndarray, "time 219"] | None = None
    failure: str | None = None


class EncodeItems(Dataset):
    """EncodeItems of the sequences that are not done yet; one that cannot be read carries the reason."""

    def __init__(self, target: Target, names: list[str]) -> None:
        self.target = target
        self.names = [name for name in names if not target.is_done(name)]
        self.found = len(names) - len(self.names)

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> EncodeItem:
        if index >= len(self):
            raise IndexError(index)
        try:
            return self.target.load(self.names[index])
        except UserError as error:
            return EncodeItem(self.names[index], failure=str(error))


def _with_channels(music: Music, channels: int) -> Music:
    """The music as it is, or where it has another number of channels, their mean in each."""
    if music.waveform.shape[0] == channels:
        return music
    return Music(np.repeat(music.mono().waveform, channels, axis=0), music.sample_rate)


# Index and manifest of an encoded data set: written when all is encoded, by one process, from what lies in the folders.


MAX_SCALE_SEQUENCES = 2000
"""Training sequences that the latent scale is measured on; more are sampled."""

_SAME_LATENT = 0.05
"""Latents lie in (-1, 1); half precision and another device's arithmetic stay far below this."""


@dataclass(frozen=True)
class LatentScale:
    """Mean and standard deviation of every latent channel."""

    mean: Float[np.ndarray, " latent_channel"]
    std: Float[np.ndarray, " latent_channel"]


def claim_folder(target: Target, dmae: DMAE) -> Path:
    """Before encoding: note in the folder of `dmae` whose latents it holds, so that two autoencoders' are never mixed.

    Raises:
        BadInput: when its manifest is another autoencoder's, or damaged; when it has none and its latents are another's.
    """
    folder, sha256 = target.layout.latent_folder(dmae.name), weights_sha256(dmae)
    if (folder / MANIFEST).exists():
        found = LatentManifest.load(folder).differences(dmae.clock, sha256, dmae.latent_channels)
    else:
        found = _stored_differently(target, dmae)
    if found:
        raise BadInput(
            f"{folder}: holds latents of another autoencoder ({found}); "
            "delete the folder, or file these latents under another name with dmae.name=."
        )
    if not (folder / MANIFEST).exists():
        nothing_yet = LatentScale(np.zeros(dmae.latent_channels), np.ones(dmae.latent_channels))
        _manifest(dmae, sha256, nothing_yet, 0).save(folder)
    return folder


def _stored_differently(target: Target, dmae: DMAE) -> str:
    """How the first stored latent differs from a new one; empty where it does not, or where there is none to compare."""
    for name in sorted(stored_names(target.layout.latent_folder(dmae.name)) - {INDEX_NAME}):
        try:
            shape = array_shape(target.layout.latent(name, dmae.name))
            new = encode_pieces(dmae, [torch.from_numpy(target.music(name).waveform)])[0].numpy()
        except UserError:
            continue
        if shape != new.shape:
            return f"'{name}' is {list(shape)}, not {list(new.shape)}"
        distance = float(np.abs(np.load(target.layout.latent(name, dmae.name)).astype(np.float32) - new).max())
        return f"'{name}' is up to {distance:.2f} away" if distance > _SAME_LATENT else ""
    return ""


def index_latents(layout: DataSetLayout, dmae: DMAE) -> dict[str, str]:
    """After encoding: write the index of all sequences that have latent and features, and the finished manifest.

    Returns:
        a sentence for each damaged file, by sequence; these sequences are left out.
    """
    folder = layout.latent_folder(dmae.name)
    features = layout.features("any").parent
    for swept in (folder, layout.rhythm("any", dmae.name).parent, features):
        sweep(swept)
    rows, failed = [], {}
    for name in sorted((stored_names(folder) - {INDEX_NAME}) & stored_names(features)):
        try:
            latent_shape = _shape(layout.latent(name, dmae.name), dmae.latent_channels, axis=0)
            features_shape = _shape(layout.features(name), 219, axis=1)
            rows.append(index_row(name, features_shape[0], latent_shape[1]))
        except BadInput as error:
            failed[name] = str(error)
    index = np.array(rows, dtype=INDEX_DTYPE)
    scale = latent_scale(layout, dmae.name, dmae.latent_channels, index)
    write_index(folder, index)
    _manifest(dmae, weights_sha256(dmae), scale, len(index)).save(folder)
    return failed


def latent_scale(layout: DataSetLayout, dmae: str, channels: int, index: np.ndarray) -> LatentScale:
    """Scale of the indexed training sequences' latents, read one at a time; of all sequences where there is no such split.

    Of more than `MAX_SCALE_SEQUENCES`, as many are drawn, always the same.
    """
    indexed = [name.decode() for name in index["name"]]
    training = set(layout.names("train")) if layout.split_file("train").exists() else set()
    names = [name for name in indexed if name in training] or indexed
    if len(names) > MAX_SCALE_SEQUENCES:
        drawn = np.random.default_rng(0).choice(len(names), MAX_SCALE_SEQUENCES, replace=False)
        names = [names[number] for number in sorted(drawn)]
    frames, total, squares = 0, np.zeros(channels), np.zeros(channels)
    for name in names:
        latent = np.load(layout.latent(name, dmae), allow_pickle=False).astype(np.float64)
        frames, total, squares = frames + latent.shape[1], total + latent.sum(axis=1), squares + (latent**2).sum(axis=1)
    if frames == 0:
        return LatentScale(np.zeros(channels), np.ones(channels))
    mean = total / frames
    return LatentScale(mean, np.sqrt(np.maximum(squares / frames - mean**2, 0)))


def _manifest(dmae: DMAE, sha256: str, scale: LatentScale, sequences: int) -> LatentManifest:
    return LatentManifest(
        VERSION, dmae.name, sha256, dmae.clock.sample_rate, dmae.clock.latent_hop_samples, dmae.latent_channels,
        scale.mean.tolist(), scale.std.tolist(), sequences,
    )  # fmt: skip


def _shape(path: Path, width: int, axis: int) -> tuple[int, ...]:
    """Shape of a stored array of two axes, of which `axis` must be `width` long."""
    shape = array_shape(path)
    if len(shape) != 2 or shape[axis] != width:
        expected = f"[{width}, frame]" if axis == 0 else f"[time, {width}]"
        raise BadInput(f"{path}: found {list(shape)}, expected {expected}; delete it and run scripts/encode.py again.")
    return shape


# Encoding of a whole data set before training: latents, rhythm curves and motion features, then index and manifest.
#
# Sequences are loaded in worker processes, their windows encoded in batches, on as many devices and nodes as Lightning's
# Trainer has; each rank encodes its own sequences and writes them as it goes, so that a run that was killed goes on.


__all__ = [
    "BatchedWriter", "Encoding", "EncodingSummary", "ShardedItems", "beat_activation", "encode_data_set",
    "encode_with_trainer", "onset_envelope",
]  # fmt: skip

_BATCHES_AT_ONCE = 4
"""Windows are collected for about this many batches before they are encoded, so that few batches are part-filled."""


@dataclass(frozen=True)
class EncodingSummary:
    """What encoding did: how many sequences it made and found made, and which it could not make, with the reason."""

    made: int
    found: int
    failed: dict[str, str]


@dataclass
class BatchedWriter:
    """Takes pieces one by one and writes their files, whole or not at all.

    Args:
        dmae: the autoencoder.
        target: where the files go.
        batch_size: windows encoded at a time.
    """

    dmae: DMAE
    target: Target
    batch_size: int = 8
    made: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    waiting: list[EncodeItem] = field(default_factory=list)
    windows: int = 0

    def add(self, piece: EncodeItem) -> None:
        """Note a piece, and encode those that wait when they fill some batches."""
        if piece.failure is not None:
            self.failed[piece.name] = piece.failure
            return
        self.waiting.append(piece)
        if piece.waveform is not None:
            self.windows += count_windows(piece.waveform.shape[1], self.dmae.clock)
        if self.windows >= _BATCHES_AT_ONCE * self.batch_size:
            self.flush()

    def flush(self) -> None:
        """Encode and write the pieces that wait.

        Raises:
            BadConfig: when a file cannot be written.
        """
        pieces, self.waiting, self.windows = self.waiting, [], 0
        with_music = [piece for piece in pieces if piece.waveform is not None]
        waveforms = [torch.from_numpy(piece.waveform) for piece in with_music]
        latents = encode_pieces(self.dmae, waveforms, self.batch_size)
        latent_of = {piece.name: latent for piece, latent in zip(with_music, latents, strict=True)}
        layout, dmae = self.target.layout, self.target.dmae
        for piece in pieces:
            if piece.features is not None:
                save_array(layout.features(piece.name), piece.features.astype(np.float32))
            if piece.rhythm is not None:
                save_array(layout.rhythm(piece.name, dmae), piece.rhythm.astype(np.float16))
            if piece.name in latent_of:
                save_array(layout.latent(piece.name, dmae), latent_of[piece.name].numpy().astype(np.float16))
            self.made += 1


class Encoding(LightningModule):
    """Prediction with a frozen autoencoder: each step takes one piece; the files are the result."""

    def __init__(self, dmae: DMAE, target: Target, batch_size: int = 8) -> None:
        super().__init__()
        self.dmae = dmae
        self.writer = BatchedWriter(dmae, target, batch_size)

    def predict_step(self, piece: EncodeItem, batch_idx: int) -> str:
        """Take a piece in; returns its name."""
        self.writer.add(piece)
        return piece.name

    def on_predict_epoch_end(self) -> None:
        """Encode what still waits."""
        self.writer.flush()


class ShardedItems(LightningDataModule):
    """Every rank's own part of the sequences that are to be encoded, none of them twice.

    The whole list is divided before what exists is left out: ranks start at different times and would otherwise disagree.

    Args:
        target: where the files go.
        names: sequences of all ranks together.
        workers: processes that load and resample; 0 does it in the encoding process.
    """

    def __init__(self, target: Target, names: list[str], workers: int = 2) -> None:
        super().__init__()
        self.target, self.names, self.workers, self.found = target, names, workers, 0
        self.allow_zero_length_dataloader_with_multiple_devices = True  # more ranks than sequences

    def predict_dataloader(self) -> DataLoader:
        """EncodeItems of this rank, one at a time."""
        rank, ranks = (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)
        pieces = EncodeItems(self.target, self.names[rank::ranks])
        self.found = pieces.found
        return DataLoader(pieces, batch_size=None, num_workers=min(self.workers, len(pieces)))

    def transfer_batch_to_device(self, batch: EncodeItem, device: torch.device, dataloader_idx: int) -> EncodeItem:
        """EncodeItems stay where they are; their windows are moved a batch at a time."""
        return batch


def encode_with_trainer(
    layout: DataSetLayout, names: list[str], dmae: DMAE, trainer: Trainer, batch_size: int = 8, workers: int = 2
) -> EncodingSummary:
    """Encode with all devices and nodes of a Trainer; what exists is left as it is.

    Args:
        layout: the data set; on several nodes, in a folder that all of them see.
        names: sequences, the same on every rank.
        dmae: the frozen autoencoder.
        trainer: built with `use_distributed_sampler=False`.
        batch_size: windows encoded at a time on each device.
        workers: loading processes of each rank.

    Returns:
        the sum over all ranks, on every rank.

    Raises:
        BadInput: when the folder holds another autoencoder's latents.
        BadConfig: when a file cannot be written.
    """
    target = Target(layout, dmae.name, dmae.clock, dmae.in_channels)
    claim_folder(target, dmae)
    module, pieces = Encoding(dmae, target, batch_size), ShardedItems(target, sorted(set(names)), workers)
    trainer.predict(module, datamodule=pieces, return_predictions=False)
    parts = _of_all_ranks(EncodingSummary(module.writer.made, pieces.found, module.writer.failed))
    damaged = index_latents(layout, dmae) if trainer.is_global_zero else {}
    trainer.strategy.barrier()  # no rank goes on before the index is there
    counts = sum((Counter(made=part.made, found=part.found) for part in parts), Counter())
    failed = {name: reason for part in parts for name, reason in part.failed.items()}
    return EncodingSummary(counts["made"], counts["found"], {**failed, **damaged})


def encode_data_set(layout: DataSetLayout, names: list[str], dmae: DMAE, batch_size: int = 8) -> EncodingSummary:
    """Encode in this process, with an autoencoder in memory; writes the same files as `encode_with_trainer`.

    Raises:
        BadInput: when the folder holds another autoencoder's latents.
        BadConfig: when a file cannot be written.
    """
    target = Target(layout, dmae.name, dmae.clock, dmae.in_channels)
    claim_folder(target, dmae)
    pieces, writer = EncodeItems(target, sorted(set(names))), BatchedWriter(dmae, target, batch_size)
    for piece in tqdm(pieces, desc=f"encoding with {dmae.name}", unit="song", disable=len(pieces) == 0):
        writer.add(piece)
    writer.flush()
    return EncodingSummary(writer.made, pieces.found, {**writer.failed, **index_latents(layout, dmae)})


def _of_all_ranks(summary: EncodingSummary) -> list[EncodingSummary]:
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return [summary]
    gathered: list[Any] = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(gathered, summary)
    return gathered
