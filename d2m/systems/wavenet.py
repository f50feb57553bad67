"""Motion → waveform, one mu-law sample after another: a WaveNet conditioned on the motion at every sample.

After the idea of the "dance2wave" project (2021), a WaveNet conditioned on video, built as that meant it: causal, shifted,
any length.
"""

from collections.abc import Mapping
from fractions import Fraction
from math import ceil, log
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from d2m.core.errors import BadConfig
from d2m.core.timeline import MOTION_FPS
from d2m.models.device import DeviceConfig
from d2m.models.heads import drop_genre
from d2m.models.modality_readers import FrameReader, WholeRead, read_whole
from d2m.models.motion_reader import BodyReader, with_beats
from d2m.models.wavenet import WaveNet, held, mu_law_decoded, mu_law_encoded
from d2m.models.wavenet_generation import generated_codes
from d2m.rhythm.reader import load_reader
from d2m.rhythm.tracking import track_beats
from d2m.systems.interface import (
    DanceReading,
    GeneratedMusic,
    GenerationRequest,
    MusicGenerator,
    refuse_what_speeds_networks,
    without_autoencoder,
)
from d2m.systems.training_system import (
    LossWeights,
    OptimizerSettings,
    TrainedSystem,
    genre_accuracy,
    genre_loss,
    rhythm_loss,
    shown,
)


class WaveNetSystem(TrainedSystem):
    """Dance features → samples.

    A batch is one of `d2m.data.datamodule`. The motion of every window is read as a whole, since a beat takes seconds
    to tell; the network then learns from a crop of the waveform of the first `network_rows` windows, which is where nearly
    all of the time goes.

    Args:
        reader: motion, landmarks or small video frames → local condition, rhythm, genre; fitted by the data module.
        network: its `hop_samples` set the condition's frame rate, which is also that of the batch's rhythm curves.
        sample_rate: of the waveform.
        window_seconds: motion that is read at once in generation; as in training.
        crop_seconds: waveform of a window that the network learns from.
        network_rows: windows of a training batch that give a crop; None: all of them.
        temperature: of generation, where no other is asked for.
        genre_dropout: probability that a row's genre is dropped in training.
        optimization, loss_weights: settings; `loss_weights.velocity` counts for nothing here.

    Raises:
        BadConfig: when reader, network and rates do not fit each other.
    """

    def __init__(
        self,
        reader: BodyReader | FrameReader,
        network: WaveNet,
        sample_rate: int = 16000,
        window_seconds: float | int = 5,
        crop_seconds: float | int = 0.3,
        network_rows: int | None = None,
        temperature: float | int = 1.0,
        genre_dropout: float | int = 0.1,
        optimization: OptimizerSettings | None = None,
        loss_weights: LossWeights | None = None,
    ) -> None:
        super().__init__(optimization)
        if network.cond_channels != reader.channels:
            raise BadConfig(
                f"network.cond_channels={network.cond_channels}: the reader gives {reader.channels} channels; set it to that number."
            )
        self.reader, self.network, self.sample_rate = reader, network, sample_rate
        self.frame_rate = Fraction(sample_rate, network.hop_samples)
        self.window_seconds, self.network_rows, self.temperature = window_seconds, network_rows, temperature
        self.crop_frames = round(crop_seconds * self.frame_rate)
        if not 1 <= self.crop_frames <= window_seconds * self.frame_rate:
            raise BadConfig(
                f"crop_seconds={crop_seconds}: expected from {float(1 / self.frame_rate):g} s, one frame, to the window's "
                f"{window_seconds:g} s."
            )
        self.genre_dropout = genre_dropout
        self.loss_weights = loss_weights or LossWeights()

    # Training

    def compute_losses(
        self, batch: Mapping[str, Any], training: bool, generator: torch.Generator | None = None
    ) -> dict[str, Tensor]:
        """Every part of the loss, unweighted, and the weighted sum as `loss`; `codes` is in nats per sample.

        Raises:
            BadConfig: when the data's sample rate or rhythm rate is not the system's.
        """
        waveform, genre = batch["waveform"][:, 0], batch["genre"]
        seconds = batch["features"].shape[1] / MOTION_FPS
        frames, hop = int(waveform.shape[1] // self.network.hop_samples), self.network.hop_samples
        if abs(waveform.shape[1] / self.sample_rate - seconds) > 1 / MOTION_FPS:
            raise BadConfig(
                f"data.sample_rate: found {waveform.shape[1]} samples with {seconds:g} s of motion, expected "
                f"{self.sample_rate} a second; set it to the system's sample_rate."
            )
        read = self.reader(shown(batch, self.reader.modality), frames, float(self.frame_rate))
        rows = slice(self.network_rows if training else None)
        genre_cond = drop_genre(genre[rows], self.genre_dropout) if training else genre[rows]
        starts = torch.randint(frames - self.crop_frames + 1, (len(genre_cond),), generator=generator).tolist()
        samples = self.crop_frames * hop
        codes = mu_law_encoded(waveform[rows])
        crops = torch.stack([row[at * hop : at * hop + samples] for row, at in zip(codes, starts, strict=True)])
        rhythm = batch.get("rhythm")
        if rhythm is not None and rhythm.shape[-1] != frames:
            raise BadConfig(
                f"data.rhythm_rate: found {rhythm.shape[-1]} rhythm frames in a window, expected {frames}; "
                f"set it to {float(self.frame_rate):g}."
            )
        cond = (
            read.cond if rhythm is None else with_beats(read.cond, rhythm[:, 0])
        )  # beats that are given are to be obeyed
        condition = held(cond[rows])
        around = [row[:, at : at + self.crop_frames + 2] for row, at in zip(condition, starts, strict=True)]
        logits = self.network(crops, torch.stack(around), genre_cond)
        weights = self.loss_weights
        parts = {"codes": F.cross_entropy(logits.float(), crops), "genre": genre_loss(read.genre_logits, genre)}
        if rhythm is not None:
            parts["rhythm"] = rhythm_loss(read.rhythm_logits, rhythm, weights.beat_pos_weight)
        factors = {"codes": 1.0, "genre": weights.genre, "rhythm": weights.rhythm}
        parts["loss"] = torch.stack([factors[name] * part for name, part in parts.items()]).sum()
        parts["bits_per_sample"] = parts["codes"].detach() / log(2)
        parts["genre_accuracy"] = genre_accuracy(read.genre_logits, genre)
        return parts

    def read_rhythm(self, batch: Mapping[str, Any]) -> tuple[Float[Tensor, "batch 2 frame"], float]:
        """On the frames at which the motion conditions the network."""
        frames = int(batch["waveform"].shape[-1] // self.network.hop_samples)
        read = self.reader(shown(batch, self.reader.modality), frames, float(self.frame_rate))
        return read.rhythm_logits, float(self.frame_rate)

    def optimized(self) -> tuple[nn.Module, nn.Module]:
        """What reads the motion, and what makes the music of it."""
        return self.reader, self.network

    # Generation

    def read_whole(self, dance: Float[Tensor, " time *part"], frames: int) -> WholeRead:
        """The condition of a dance of any length, see `d2m.models.modality_readers`."""
        return read_whole(self.reader, dance, frames, self.frame_rate, self.window_seconds)


class WaveNetGenerator(MusicGenerator):
    """Makes a piece sample by sample; the network's state carries on through the whole piece.

    Setting: `temperature` divides the logits; below 1 there is less noise and less variety, 0 takes the most probable code.

    Args:
        system: with its weights; put into evaluation mode.
        made_with: what the training data noted; `picture_size` is that of its pictures, where it reads those.
        autoencoder: refused, since there is none.

    Raises:
        BadConfig: when an autoencoder is named.
    """

    settings = frozenset({"temperature"})

    def __init__(
        self, system: WaveNetSystem, made_with: Mapping[str, Any], autoencoder: str | Path | None = None
    ) -> None:
        without_autoencoder(autoencoder, "a WaveNet")
        self.system, self.sample_rate = system.eval().requires_grad_(False), system.sample_rate
        self.modality, self.picture_size = system.reader.modality, made_with.get("picture_size", self.picture_size)
        self.rhythm_reader = load_reader("rhythm_reader").requires_grad_(False)

    def on(self, device_config: DeviceConfig) -> None:
        """Any device, though a CPU is likely to be the fastest: one sample hangs on the one before."""
        refuse_what_speeds_networks(device_config, "a WaveNet")
        self.device_config = device_config
        self.system.to(device_config.device)
        if self.rhythm_reader is not None:
            self.rhythm_reader.to(device_config.device)

    def read(self, motion: Float[Tensor, " time *part"]) -> DanceReading | None:
        """By the rhythm reader that ships; of what it does not know (pictures, landmarks) by the system's own heads."""
        if self.modality == "features":
            return super().read(motion)
        rate = self.system.frame_rate
        frames = max(1, int(len(motion) / self.system.reader.fps * rate))
        read = self.system.read_whole(motion.to(self.device_config.device), frames)
        return DanceReading(read.genre.cpu(), track_beats(read.cond[-2].cpu().numpy(), float(rate)))  # then the onsets

    def generate(self, request: GenerationRequest) -> GeneratedMusic:
        """Read the whole dance, then draw one sample after another.

        Raises:
            BadConfig: for a temperature below 0.
        """
        temperature = float(request.settings.get("temperature", self.system.temperature))
        if not 0 <= temperature <= 10:
            raise BadConfig(f"temperature={temperature:g}: expected from 0, the most probable sample, to 10.")
        network = self.system.network
        with self.device_config.running():
            frames = max(1, ceil(request.samples / network.hop_samples))
            read = self.system.read_whole(request.motion.to(self.device_config.device), frames)
            probabilities = read.genre.cpu()
            genre = int(probabilities.argmax()) if request.genre is None else request.genre
            cond = read.cond
            if request.beats is not None:
                cond = with_beats(cond, torch.from_numpy(request.beats.curve(frames, float(self.system.frame_rate))))
            codes = generated_codes(network, cond, genre, request.samples, temperature, request.seed, request.progress)
            waveform = mu_law_decoded(codes)[None]
        return GeneratedMusic(waveform.float().cpu(), {"temperature": temperature}, genre, probabilities)
