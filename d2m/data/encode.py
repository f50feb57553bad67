"""Encoding of a whole data set before training: music latents or codec tokens, rhythm curves, motion features.

Sequences are loaded in worker processes and encoded in batches, on as many devices and nodes as Lightning's Trainer has; each
rank encodes its own sequences and writes them as it goes, so that a run that was killed goes on. The manifest that says what
made them is written by one process: before, so that two autoencoders' or codecs' are never mixed, and, complete, afterwards.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import librosa
import numpy as np
import torch
from jaxtyping import Float
from lightning import LightningDataModule, LightningModule, Trainer
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from d2m.audio.autoencoder import DMAE
from d2m.audio.chunked_coding import encode_all_in_chunks
from d2m.audio.codec import Codec, CodecFacts, DmaeCodec, save_dmae_codec
from d2m.audio.pretrained import weights_sha256
from d2m.core.errors import BadConfig, BadInput, UserError
from d2m.core.files import array_shape, save_array, stored_names, sweep
from d2m.core.music import Music
from d2m.core.timeline import Timeline
from d2m.data.layout import DataSetLayout, load_features, load_latent
from d2m.data.manifest import INDEX_NAME, MANIFEST, MAX_NAME_BYTES, VERSION, LatentManifest, TokenManifest
from d2m.metrics.beat_tracker import track_beats_s
from d2m.motion.dance import MIN_SECONDS, Dance
from d2m.rhythm.grid import beat_curve

MAX_SCALE_SEQUENCES = 2000
"""Training sequences that the latent scale is measured on; more are sampled."""

_SAME_LATENT = 0.05
"""Latents lie in (-1, 1); half precision and another device's arithmetic stay far below this."""

_BATCHES_AT_ONCE = 4
"""Music is collected for about this many batches before it is encoded, so that few batches are part-filled."""


def rhythm_curves(
    layout: DataSetLayout, name: str, music: Music, frames: int, clock: Timeline
) -> Float[np.ndarray, "2 frame"]:
    """Beat activation over onset envelope; the beats are the data set's own, or tracked where it knows none.

    Raises:
        BadInput: when the file of beat times is not one.
    """
    beats_s = layout.reference_beats_s(name, music.seconds)
    if beats_s is None:
        beats_s = track_beats_s(music)
    return np.stack([beat_curve(beats_s, frames, clock.latent_rate), onset_envelope(music, frames, clock)])


def onset_envelope(music: Music, frames: int, clock: Timeline) -> Float[np.ndarray, " frame"]:
    """librosa's onset strength at the centre of each latent frame, the 98th percentile of the piece being 1."""
    hop = clock.latent_hop_samples
    # librosa's frame k is centred on sample k hop, a latent frame on (k + 1/2) hop.
    samples = music.mono().waveform[0][hop // 2 :]
    strength = librosa.onset.onset_strength(y=samples, sr=music.sample_rate, hop_length=hop, center=True)
    envelope = np.zeros(frames)
    envelope[: min(frames, len(strength))] = strength[:frames]
    return np.clip(envelope / max(float(np.percentile(envelope, 98)), 1e-6), 0, 1)


# Items: what there is to encode of a sequence


@dataclass(frozen=True)
class Target:
    """Where encoded sequences go, and how their music is read; small enough to be sent to a loading process.

    Args:
        layout: the data set.
        coder: name of the autoencoder or codec.
        clock: of the coder.
        in_channels: channels that it is fed.
        kind: `latents` or `tokens`.
    """

    layout: DataSetLayout
    coder: str
    clock: Timeline
    in_channels: int
    kind: str = "latents"

    @property
    def folder(self) -> Path:
        """Of the latents or tokens."""
        return self.layout.root / self.kind / self.coder

    def encoded(self, name: str) -> Path:
        """Latent or tokens of a sequence."""
        return self.folder / f"{name}.npy"

    def stored(self) -> list[str]:
        """Sequences that have a latent or tokens."""
        return sorted(stored_names(self.folder) - {INDEX_NAME})

    def is_done(self, name: str) -> bool:
        """Whether all three files of a sequence exist."""
        return self._has_music(name) and self.layout.features(name).exists()

    def _has_music(self, name: str) -> bool:
        return self.encoded(name).exists() and self.layout.rhythm(name, self.coder).exists()

    def music(self, name: str) -> Music:
        """A sequence's music as the coder is fed with it; of other channels their mean.

        Raises:
            BadInput: when it cannot be read, or is too short.
        """
        path = self.layout.wav(name)
        music = Music.load(path)
        if music.waveform.shape[0] != self.in_channels:
            music = Music(np.repeat(music.mono().waveform, self.in_channels, axis=0), music.sample_rate)
        music = music.resampled(self.clock.sample_rate)
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
        item = EncodeItem(name)
        if not self.layout.features(name).exists():
            item.features = Dance.load(self.layout.motion(name)).features.astype(np.float32)
        if not self._has_music(name):
            music = self.music(name)
            frames = self.clock.samples_to_latent_frames(music.waveform.shape[1])
            item.waveform = music.waveform
            item.rhythm = rhythm_curves(self.layout, name, music, frames, self.clock).astype(np.float16)
        return item


@dataclass
class EncodeItem:
    """What a sequence still lacks; None is there already.

    Args:
        name: of the sequence.
        waveform: its music at the coder's rate.
        rhythm: beat activation and onset envelope on the coder's frames.
        features: its motion at 60 fps.
        failure: one sentence why it cannot be encoded.
    """

    name: str
    waveform: Float[np.ndarray, "channel sample"] | None = None
    rhythm: Float[np.ndarray, "2 frame"] | None = None
    features: Float[np.ndarray, "time 219"] | None = None
    failure: str | None = None


class EncodeItems(Dataset):
    """Items of the sequences that are not done yet; one that cannot be read carries the reason."""

    def __init__(self, target: Target, names: list[str]) -> None:
        self.target = target
        self.names = [name for name in names if not target.is_done(name)]
        self.found = len(names) - len(self.names)

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> EncodeItem:
        try:
            return self.target.load(self.names[index])
        except UserError as error:
            return EncodeItem(self.names[index], failure=str(error))


class ShardedItems(LightningDataModule):
    """Every rank's own part of the sequences that are to be encoded, none of them twice.

    The whole list is divided before what exists is left out: ranks start at different times and would otherwise disagree.

    Args:
        target: where the files go.
        names: sequences of all ranks together.
        workers: processes that load and resample; 0 does it in the encoding process.
    """

    def __init__(self, target: Target, names: list[str], workers: int) -> None:
        super().__init__()
        self.target, self.names, self.workers, self.found = target, names, workers, 0
        self.allow_zero_length_dataloader_with_multiple_devices = True  # more ranks than sequences

    def predict_dataloader(self) -> DataLoader:
        """Items of this rank, one at a time."""
        rank, ranks = (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)
        items = EncodeItems(self.target, self.names[rank::ranks])
        self.found = items.found
        return DataLoader(items, batch_size=None, num_workers=min(self.workers, len(items)))

    def transfer_batch_to_device(self, batch: EncodeItem, device: torch.device, dataloader_idx: int) -> EncodeItem:
        """Items stay where they are; their windows are moved a batch at a time."""
        return batch


# The loop


@dataclass(frozen=True)
class EncodingSummary:
    """What encoding did: how many sequences it made and found made, and which it could not make, with the reason."""

    made: int
    found: int
    failed: dict[str, str]


class Encoding(LightningModule):
    """Prediction with a frozen autoencoder or codec: each step takes one item; the files are the result.

    Args:
        coder: what encodes.
        encode: pieces of music to their latents or tokens, as they are stored.
        target: where the files go.
        batch_size: windows that `encode` takes at a time.
    """

    def __init__(
        self, coder: nn.Module, encode: Callable[[Sequence[Tensor]], list[np.ndarray]], target: Target, batch_size: int
    ) -> None:
        super().__init__()
        self.coder, self.encode, self.target, self.batch_size = coder, encode, target, batch_size
        self.made, self.failed = 0, dict[str, str]()
        self.waiting, self.samples = list[EncodeItem](), 0

    def predict_step(self, item: EncodeItem, batch_idx: int) -> str:
        """Take an item in, and encode those that wait when they fill some batches; returns its name."""
        if item.failure is not None:
            self.failed[item.name] = item.failure
            return item.name
        self.waiting.append(item)
        if item.waveform is not None:
            self.samples += item.waveform.shape[1]
        if self.samples >= _BATCHES_AT_ONCE * self.batch_size * self.target.clock.window_samples:
            self.write()
        return item.name

    def on_predict_epoch_end(self) -> None:
        """Encode what still waits."""
        self.write()

    def write(self) -> None:
        """Encode the items that wait and write their files, whole or not at all.

        Raises:
            BadConfig: when a file cannot be written.
        """
        items, self.waiting, self.samples = self.waiting, [], 0
        with_music = [item for item in items if item.waveform is not None]
        encoded = self.encode([torch.from_numpy(item.waveform) for item in with_music])
        encoded_of = {item.name: array for item, array in zip(with_music, encoded, strict=True)}
        layout, coder = self.target.layout, self.target.coder
        for item in items:
            for path, array in (
                (layout.features(item.name), item.features),
                (layout.rhythm(item.name, coder), item.rhythm),
                (self.target.encoded(item.name), encoded_of.get(item.name)),
            ):
                if array is not None:
                    save_array(path, array)
            self.made += 1


def _encode_all(
    module: Encoding, names: list[str], finish: Callable[[], dict[str, str]], trainer: Trainer | None, workers: int
) -> EncodingSummary:
    """Encode with all devices and nodes of a Trainer; what exists is left as it is.

    Args:
        module: what encodes and writes.
        names: sequences, the same on every rank.
        finish: called by one process at the end; returns a sentence for each damaged file, by sequence.
        trainer: built with `use_distributed_sampler=False`; None: this process on one device.
        workers: loading processes of each rank.

    Returns:
        the sum over all ranks, on every rank.
    """
    trainer = trainer or Trainer(
        devices=1, logger=False, enable_checkpointing=False, enable_model_summary=False, use_distributed_sampler=False
    )
    items = ShardedItems(module.target, sorted(set(names)), workers)
    trainer.predict(module, datamodule=items, return_predictions=False)
    parts = _of_all_ranks(EncodingSummary(module.made, items.found, module.failed))
    damaged = finish() if trainer.is_global_zero else {}
    trainer.strategy.barrier()  # no rank goes on before the manifest is complete
    counts = sum((Counter(made=part.made, found=part.found) for part in parts), Counter())
    failed = {name: reason for part in parts for name, reason in part.failed.items()}
    return EncodingSummary(counts["made"], counts["found"], {**failed, **damaged})


def _of_all_ranks(summary: EncodingSummary) -> list[EncodingSummary]:
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return [summary]
    gathered: list[Any] = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(gathered, summary)
    return gathered


# Latents


def encode_latents(
    layout: DataSetLayout,
    names: list[str],
    dmae: DMAE,
    trainer: Trainer | None = None,
    batch_size: int = 8,
    workers: int = 0,
) -> EncodingSummary:
    """Write `latents/DMAE/NAME.npy`, `rhythm/DMAE/NAME.npy` and `features/NAME.npy` of every sequence that lacks them.

    Args:
        layout: the data set; on several nodes, in a folder that all of them see.
        names: sequences, the same on every rank.
        dmae: the frozen autoencoder.
        trainer: built with `use_distributed_sampler=False`; None: this process on one device.
        batch_size: windows encoded at a time on each device.
        workers: loading processes of each rank.

    Raises:
        BadInput: when the folder holds another autoencoder's latents.
        BadConfig: when a file cannot be written.
    """
    target = Target(layout, dmae.name, dmae.clock, dmae.in_channels)
    _claim_latents(target, dmae)

    def encode(waveforms: Sequence[Tensor]) -> list[np.ndarray]:
        return [latent.numpy().astype(np.float16) for latent in encode_all_in_chunks(dmae, waveforms, batch_size)]

    module = Encoding(dmae, encode, target, batch_size)
    return _encode_all(module, names, lambda: _finish_latents(target, dmae), trainer, workers)


def _claim_latents(target: Target, dmae: DMAE) -> None:
    """Refuse a folder whose manifest, or where it has none whose latents, are another autoencoder's."""
    path, sha256 = target.folder / MANIFEST, weights_sha256(dmae)
    if path.exists():
        found = LatentManifest.load(target.folder).differences(dmae.clock, sha256, dmae.latent_channels)
    else:
        found = _stored_differently(target, dmae)
    if found:
        raise BadInput(
            f"{target.folder}: holds latents of another autoencoder ({found}); "
            "delete the folder, or file these latents under another name with dmae.name=."
        )
    if not path.exists():
        _latent_manifest(dmae, np.zeros(dmae.latent_channels), np.ones(dmae.latent_channels), 0).save(target.folder)


def _stored_differently(target: Target, dmae: DMAE) -> str:
    """How the first stored latent differs from a new one; empty where it does not, or where there is none to compare."""
    for name in target.stored():
        try:
            shape = array_shape(target.encoded(name))
            new = encode_all_in_chunks(dmae, [torch.from_numpy(target.music(name).waveform)])[0].numpy()
        except UserError:
            continue
        if shape != new.shape:
            return f"'{name}' is {list(shape)}, not {list(new.shape)}"
        distance = float(np.abs(np.load(target.encoded(name)).astype(np.float32) - new).max())
        return f"'{name}' is up to {distance:.2f} away" if distance > _SAME_LATENT else ""
    return ""


def _finish_latents(target: Target, dmae: DMAE) -> dict[str, str]:
    """Write the complete manifest, of all sequences that have latent and features.

    Returns:
        a sentence for each damaged file, by sequence; these sequences are not counted.
    """
    layout, complete, failed = target.layout, [], {}
    features = layout.features("any").parent
    for folder in (target.folder, layout.rhythm("any", dmae.name).parent, features):
        sweep(folder)
    with_features = stored_names(features)
    for name in target.stored():
        if name not in with_features:
            continue
        try:
            load_latent(layout, name, dmae.name, dmae.latent_channels, mapped=True)
            load_features(layout, name, mapped=True)
            complete.append(name)
        except BadInput as error:
            failed[name] = str(error)
    mean, std = latent_scale(target, complete, dmae.latent_channels)
    _latent_manifest(dmae, mean, std, len(complete)).save(target.folder)
    return failed


def latent_scale(
    target: Target, names: Sequence[str], channels: int
) -> tuple[Float[np.ndarray, " channel"], Float[np.ndarray, " channel"]]:
    """Mean and deviation of each channel over the training sequences among `names`; over all where there is no such split.

    Of more than `MAX_SCALE_SEQUENCES`, as many are drawn, always the same.
    """
    layout = target.layout
    training = set(layout.names("train")) if layout.split_file("train").exists() else set()
    names = [name for name in names if name in training] or list(names)
    if len(names) > MAX_SCALE_SEQUENCES:
        drawn = np.random.default_rng(0).choice(len(names), MAX_SCALE_SEQUENCES, replace=False)
        names = [names[number] for number in sorted(drawn)]
    frames, total, squares = 0, np.zeros(channels), np.zeros(channels)
    for name in names:
        latent = np.load(target.encoded(name), allow_pickle=False).astype(np.float64)
        frames, total, squares = frames + latent.shape[1], total + latent.sum(axis=1), squares + (latent**2).sum(axis=1)
    if frames == 0:
        return np.zeros(channels), np.ones(channels)
    mean = total / frames
    return mean, np.sqrt(np.maximum(squares / frames - mean**2, 0))


def _latent_manifest(
    dmae: DMAE, mean: Float[np.ndarray, " channel"], std: Float[np.ndarray, " channel"], sequences: int
) -> LatentManifest:
    return LatentManifest(
        VERSION, dmae.name, weights_sha256(dmae), dmae.clock.sample_rate, dmae.clock.latent_hop_samples,
        dmae.latent_channels, mean.tolist(), std.tolist(), sequences,
    )  # fmt: skip


# Codec tokens


def encode_tokens(
    layout: DataSetLayout,
    names: list[str],
    codec: Codec,
    source: str | None = None,
    bandwidth: float | int | None = None,
    trainer: Trainer | None = None,
    workers: int = 0,
) -> EncodingSummary:
    """Write `tokens/CODEC/NAME.npy`, `rhythm/CODEC/NAME.npy` and `features/NAME.npy` of every sequence that lacks them.

    Args:
        layout, names, trainer, workers: see `encode_latents`.
        codec: frozen.
        source, bandwidth: what `load_codec` finds this codec by again; None: its name.

    Raises:
        BadInput: when the folder holds another codec's tokens.
        BadConfig: when a file cannot be written.
    """
    facts, rate = codec.facts, None if bandwidth is None else float(bandwidth)
    target = Target(layout, codec.name, facts.clock(), codec.channels, "tokens")

    def save_manifest(sequences: int) -> None:
        TokenManifest(facts, source or codec.name, rate, sequences).save(target.folder)

    def encode(waveforms: Sequence[Tensor]) -> list[np.ndarray]:
        device = next(codec.parameters()).device
        codes = [codec.encode(waveform[None].to(device))[0] for waveform in waveforms]
        return [piece.cpu().numpy().astype(np.int16) for piece in codes]

    def finish() -> dict[str, str]:
        sweep(target.folder)
        save_manifest(len(target.stored()))
        return {}

    if _claim_tokens(target, facts):
        save_manifest(0)
    return _encode_all(Encoding(codec, encode, target, batch_size=1), names, finish, trainer, workers)


def _claim_tokens(target: Target, facts: CodecFacts) -> bool:
    """Refuse a folder of another codec's tokens, or of nobody knows whose; returns whether it has no manifest yet."""
    if (target.folder / MANIFEST).exists():
        different = TokenManifest.load(target.folder).codec.differences(facts)
        if different:
            raise BadInput(
                f"{target.folder}: holds tokens of another codec ({different}); "
                "delete the folder, or file these tokens under another name with codec.name=."
            )
        return False
    if target.stored():
        raise BadInput(
            f"{target.folder}: holds tokens without a {MANIFEST}, so nothing tells whose they are; delete the folder."
        )
    return True


def train_codec(
    root: str | Path,
    out: str | Path,
    name: str = "demo",
    dmae: str = "demo",
    split: str = "train",
    codebooks: int = 4,
    codebook_size: int = 1024,
    frames: int = 150_000,
    iterations: int = 20,
    seed: int = 0,
) -> list[float]:
    """Fit the codebooks of `d2m.audio.codec.DmaeCodec` and write them to `out`.

    Args:
        root: data set whose music is encoded with `dmae`.
        out: `.safetensors` file to write.
        name: of the codec.
        dmae: the autoencoder.
        split: whose songs are used.
        codebooks, codebook_size: of the quantiser.
        frames: latent frames that k-means sees, drawn evenly from all of them.
        iterations: of k-means, for each codebook.
        seed: the same one gives the same file.

    Returns:
        share of the latents' variance that is left after each codebook.

    Raises:
        BadInput: when the latents are missing or another autoencoder's.
        BadConfig: when `out` names no .safetensors file, or there are fewer frames than entries.
    """
    out = Path(out)
    if out.suffix != ".safetensors":
        raise BadConfig(f"out={out}: expected the name of a .safetensors file to write.")
    codec = DmaeCodec(name, dmae, None, codebooks, codebook_size)
    layout = DataSetLayout(Path(root))
    clock = Timeline(codec.sample_rate, codec.hop_samples)
    folder = layout.latent_folder(dmae)
    if (folder / MANIFEST).exists():  # data sets encoded before there were manifests have none
        LatentManifest.load(folder).check(clock, codec.config["dmae_sha256"])
    drawn = training_frames(layout, split, dmae, frames, seed)
    if len(drawn) < codebook_size:
        raise BadConfig(
            f"codebook_size={codebook_size}: the data set has only {len(drawn)} latent frames; choose fewer."
        )
    left = codec.quantiser.fit(drawn, iterations, seed)
    save_dmae_codec(codec, out)
    return left


def training_frames(
    layout: DataSetLayout, split: str, dmae: str, frames: int, seed: int
) -> Float[Tensor, "frame channel"]:
    """At most `frames` frames of a split's latents, the same for a seed.

    Raises:
        BadInput: when a latent is missing.
    """
    generator, names, parts = np.random.default_rng(seed), layout.names(split), []
    share = -(-frames // len(names))
    for name in names:
        latent = load_latent(layout, name, dmae, mapped=True)
        chosen = generator.permutation(latent.shape[1])[:share]
        parts.append(np.asarray(latent[:, np.sort(chosen)], np.float32).T)
    return torch.from_numpy(np.concatenate(parts)[:frames])
