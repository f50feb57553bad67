"""Music by textual inversion: codes drawn from a frozen MusicGen, conditioned on the dance window by window."""

from collections.abc import Mapping
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from d2m.core.aist_names import GENRES
from d2m.core.errors import BadConfig
from d2m.core.timeline import MOTION_FPS, seconds_to_motion_frames
from d2m.models.device import DeviceConfig
from d2m.models.heads import UNKNOWN_GENRE
from d2m.models.motion_reader import MotionRead, MotionReader
from d2m.models.musicgen import FrozenMusicGen, SamplingSettings, TextCondition, Window, sampled_codes, windows_of
from d2m.models.pseudo_words import BARE_PROMPT, PUBLISHED_PROMPT, PromptTokens, WordEncoder, checked_prompt
from d2m.rhythm.grid import BeatGrid, beat_curve
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
)

# Textual inversion: encoders turn a dance into pseudo-words in the prompt of a frozen text-to-music model.
#
# After Li et al., "Dance-to-Music Generation with Encoder-based Textual Inversion" (SIGGRAPH Asia 2024, arXiv:2401.17800): the
# idea, the prompt, the loss, the optimiser and the sampling settings are theirs; with `d2m.models.pseudo_words.PublishedWords`
# the two encoders are too. `WindowedWords` is ours: words over time for clips of any length, tempo and phase as inputs.


PUBLISHED_OPTIMIZATION = OptimizerSettings(lr=1e-4, betas=(0.9, 0.95), weight_decay=0.01, warmup_steps=3000)

_LENGTH_TOLERANCE = 0.01


class TextualInversion(TrainedSystem):
    """Dance features → pseudo-words → codes of a frozen MusicGen.

    A batch is a dict: `features` [batch time 219] at 60 fps, un-normalised; `waveform` [batch 1 sample] at MusicGen's sample
    rate; `genre` Int[batch]; where there are reference beats, `rhythm` [batch 2 frame] in [0, 1] at `words.frame_rate`.

    MusicGen is read when training or composing begins, and is no part of this module: checkpoints hold the encoders only.

    Args:
        musicgen: folder of a MusicGen, or its hub id.
        reader: reads motion; its genre classifier says the genre where nobody does, and is trained beside the encoders.
        words: the rhythm encoder and the genre encoder.
        prompt: with one `@` and one `*`.
        prompt_dropout: how often a training step's prompt is the two pseudo-words alone, so that they do not lean on the words
            around them and others can stand there later.
        predicted_genre: share of training windows whose genre word is made of the classifier's probabilities, as it is for a
            stranger's dance, and not of the true genre; 0 as published, which knows the genre always.
        optimization, loss_weights, generation: settings.

    Raises:
        BadConfig: for a prompt without its placeholders.
    """

    def __init__(
        self,
        musicgen: str,
        reader: MotionReader,
        words: WordEncoder,
        prompt: str = PUBLISHED_PROMPT,
        prompt_dropout: float | int = 0.1,
        predicted_genre: float | int = 0.5,
        optimization: OptimizerSettings | None = None,
        loss_weights: LossWeights | None = None,
        generation: SamplingSettings | None = None,
    ) -> None:
        super().__init__(optimization or PUBLISHED_OPTIMIZATION)
        self.reader, self.words = reader, words
        self.musicgen, self.prompt = musicgen, checked_prompt(prompt)
        self.prompt_dropout, self.predicted_genre = prompt_dropout, predicted_genre
        self.loss_weights, self.generation = loss_weights or LossWeights(), generation or SamplingSettings()
        self._music: FrozenMusicGen | None = None

    @property
    def music(self) -> FrozenMusicGen:
        """The frozen MusicGen, on this module's device.

        Raises:
            BadConfig: when it cannot be read or does not fit, see `FrozenMusicGen.load`.
        """
        if self._music is None:
            self._music = FrozenMusicGen.load(self.musicgen, self.words.width)
        return self._music.on(self.device)

    # Training

    def setup(self, stage: str) -> None:
        """Read MusicGen before the first batch."""
        _ = self.music

    def compute_losses(
        self, batch: Mapping[str, Any], training: bool, generator: torch.Generator | None = None
    ) -> dict[str, Tensor]:
        """Every part of the loss, unweighted, and the weighted sum as `loss`.

        Raises:
            BadConfig: when the batch's sound is not at MusicGen's rate, or its rhythm not at the encoders'.
        """
        features, waveform = self._cut(batch["features"], batch["waveform"])
        read = self.read(features)
        condition = self.condition(
            features, read, self._genre_shares(batch["genre"], read, training), self._prompt(training)
        )
        weights, parts = self.loss_weights, {"tokens": self.music.loss(condition, self.music.codes(waveform))}
        parts["genre"] = genre_loss(read.genre_logits, batch["genre"])
        if self.words.reads_rhythm and batch.get("rhythm") is not None:
            curves = self._rhythm_of(batch["rhythm"], len(batch["features"][0]))[..., : read.rhythm_logits.shape[-1]]
            parts["rhythm"] = rhythm_loss(read.rhythm_logits[..., : curves.shape[-1]], curves, weights.beat_pos_weight)
        scale = {"tokens": 1.0, "genre": weights.genre, "rhythm": weights.rhythm}
        parts["loss"] = torch.stack([scale[name] * part for name, part in parts.items()]).sum()
        parts["genre_accuracy"] = genre_accuracy(read.genre_logits, batch["genre"])
        return parts

    def read_rhythm(self, batch: Mapping[str, Any]) -> tuple[Float[Tensor, "batch 2 frame"], float] | None:
        """At the words' frame rate, where they tell the rhythm that the reader reads."""
        if not self.words.reads_rhythm:
            return None
        features, _ = self._cut(batch["features"], batch["waveform"])
        return self.read(features).rhythm_logits, float(self.words.frame_rate)

    def optimized(self) -> tuple[nn.Module, nn.Module]:
        """What reads the motion, and what makes the music of it."""
        return self.reader, self.words

    def _prompt(self, training: bool) -> PromptTokens:
        bare = training and float(torch.rand(())) < self.prompt_dropout
        return self.music.prompt(BARE_PROMPT if bare else self.prompt)

    def _cut(self, features: Tensor, waveform: Tensor) -> tuple[Tensor, Tensor]:
        """Windows no longer than the words can tell, and their sound at the right rate."""
        music, seconds = self.music, features.shape[1] / MOTION_FPS
        rate = waveform.shape[-1] / seconds
        if abs(rate / music.sample_rate - 1) > _LENGTH_TOLERANCE:
            raise BadConfig(
                f"data: {waveform.shape[-1]} samples for {seconds:.2f} s of motion are {rate:.0f} Hz, but MusicGen hears "
                f"{music.sample_rate} Hz; set data.sample_rate={music.sample_rate}."
            )
        longest = self.words.window_seconds
        if self.words.fixed_window and seconds < longest - 1 / MOTION_FPS:
            raise BadConfig(
                f"data: windows of {seconds:.2f} s, but these encoders tell {longest:g} s; set data.window_seconds to that or "
                "more."
            )
        samples = round(longest * music.frame_rate) * music.hop_samples
        return features[:, : seconds_to_motion_frames(longest)], waveform[..., :samples]

    def _rhythm_of(self, rhythm: Float[Tensor, "batch 2 frame"], motion_frames: int) -> Float[Tensor, "batch 2 frame"]:
        rate = rhythm.shape[-1] * MOTION_FPS / motion_frames
        if abs(rate / self.words.frame_rate - 1) > _LENGTH_TOLERANCE:
            raise BadConfig(
                f"data: rhythm at {rate:.1f} frames a second, but the encoders read {self.words.frame_rate}; set "
                f"data.rhythm_rate={self.words.frame_rate}."
            )
        return rhythm

    def _genre_shares(
        self, genre: Int[Tensor, " batch"], read: MotionRead, training: bool
    ) -> Float[Tensor, "batch 10"]:
        """One-hot for the true genre; the classifier's probabilities where it is unknown, and now and then in training."""
        predicted = read.genre_logits.detach().softmax(dim=-1)
        unsure = genre == UNKNOWN_GENRE
        if training and self.predicted_genre > 0:
            unsure |= torch.rand(len(genre), device=genre.device) < self.predicted_genre
        true = F.one_hot(genre.clamp(max=len(GENRES) - 1), len(GENRES)).to(predicted)
        return torch.where(unsure[:, None], predicted, true)

    # What a dance says

    def read(self, features: Float[Tensor, "batch time 219"]) -> MotionRead:
        """What the motion reader sees at the words' frame rate."""
        frames = max(1, round(features.shape[1] / MOTION_FPS * self.words.frame_rate))
        return self.reader(features, frames, self.words.frame_rate)

    def condition(
        self, features: Float[Tensor, "batch time 219"], read: MotionRead, genre: Float[Tensor, "batch 10"],
        prompt: PromptTokens,
    ) -> TextCondition:  # fmt: skip
        """What the frozen text encoder makes of the prompt with these dances' words."""
        return self.music.condition(prompt, self.words(features, read, genre))

    @torch.no_grad()
    def read_in_windows(self, features: Float[Tensor, "time 219"]) -> tuple[Tensor, Tensor]:
        """Genre probabilities, averaged over the windows of a dance, and its beat activation at the words' frame rate."""
        length = seconds_to_motion_frames(self.words.window_seconds)
        windows = list(features.to(self.device).split(length))
        if len(windows) > 1:  # the last one reaches back, so as to see as much as the others
            windows[-1] = features[-length:].to(self.device)
        read = [self.read(window[None]) for window in windows]
        last = ceil((len(features) - (len(windows) - 1) * length) * self.words.frame_rate / MOTION_FPS)
        beats = [one.rhythm_logits[0, 0].sigmoid() for one in read]
        genre = torch.cat([one.genre_logits for one in read]).softmax(dim=-1).mean(dim=0)
        return genre, torch.cat([*beats[:-1], beats[-1][-last:]])


class PromptedGenerator(MusicGenerator):
    """A trained textual inversion with its MusicGen.

    Settings: `prompt`, with one `@` for the genre and one `*` for the rhythm, and any other words around them (instruments, a
    mood); `guidance`, `top_k` and `temperature` of the sampling.

    A long dance is made in windows, each with its own pseudo-words. Ours continues the last codes of the window before; the
    published encoders know windows of one length only, so theirs stand side by side.

    Args:
        system: put into evaluation mode.
        made_with: not needed, MusicGen brings its own codec.
        autoencoder: refused for the same reason.

    Raises:
        BadConfig: when an autoencoder is named, or when MusicGen cannot be read or does not fit.
    """

    settings = frozenset({"prompt", "guidance", "top_k", "temperature"})

    def __init__(
        self, system: TextualInversion, made_with: Mapping[str, Any], autoencoder: str | Path | None = None
    ) -> None:
        without_autoencoder(autoencoder, "textual inversion")
        self.system, self.sample_rate = system.eval().requires_grad_(False), system.music.sample_rate

    def on(self, device_config: DeviceConfig) -> None:
        """Any device; bfloat16 on GPUs only."""
        refuse_what_speeds_networks(device_config, "textual inversion")
        self.device_config = device_config
        self.system.to(device_config.device)

    def read(self, motion: Float[Tensor, "time 219"]) -> DanceReading | None:
        """Genre, averaged over the dance's windows, and the beats that the rhythm head reads where it has learned to."""
        if not self.system.words.reads_rhythm:
            return None
        genre, activation = self.system.read_in_windows(motion)
        return DanceReading(genre.float().cpu(), track_beats(activation.cpu().numpy(), self.system.words.frame_rate))

    @torch.no_grad()
    def generate(self, request: GenerationRequest) -> GeneratedMusic:
        """Draw the codes window by window, then decode them in one go.

        Raises:
            BadConfig: for a prompt without its placeholders, or sampling settings that mean nothing.
        """
        asked, own = dict(request.settings), self.system.generation
        text = checked_prompt(asked.get("prompt", self.system.prompt))
        sampling = {name: asked.get(name, getattr(own, name)) for name in ("guidance", "top_k", "temperature")}
        settings, music, words = SamplingSettings(**sampling, batch=own.batch), self.system.music, self.system.words
        total = ceil(request.samples / music.hop_samples)
        prompt, generator = music.prompt(text), torch.Generator().manual_seed(request.seed)
        window, prefix = (round(s * music.frame_rate) for s in (words.window_seconds, words.prefix_seconds))
        windows = windows_of(total, window, prefix)
        together = settings.batch if prefix == 0 else 1
        batches = [windows[first : first + together] for first in range(0, len(windows), together)]
        shown = [self._shown(request.motion, batch) for batch in batches]
        reads = [self.system.read(motion) for motion in shown]
        if request.beats is not None and words.reads_rhythm:
            reads = [self._on_beats(read, batch, request.beats) for read, batch in zip(reads, batches, strict=True)]
        new = torch.tensor([one.frames - one.known for one in windows])  # frames that each window adds
        rows = torch.cat([read.genre_logits for read in reads]).float().softmax(dim=-1).cpu()
        probabilities = (rows * new[:, None]).sum(dim=0) / new.sum()
        genre = int(probabilities.argmax()) if request.genre is None else request.genre
        share = F.one_hot(torch.tensor([genre]), len(GENRES))
        pieces: list[Tensor] = []
        work = list(zip(batches, shown, reads, strict=True))
        for batch, motion, read in work if request.progress is None else request.progress(work):
            condition = self.system.condition(motion, read, share.to(motion).expand(len(batch), -1), prompt)
            known = torch.cat(pieces, dim=-1)[..., -prefix:] if batch[0].known else None
            frames = max(one.frames for one in batch)
            with self.device_config.running():
                codes = sampled_codes(music, condition, frames, settings, generator, known)
            pieces += [row[None, :, one.known : one.frames] for row, one in zip(codes, batch, strict=True)]
        waveform = music.waveform(torch.cat(pieces, dim=-1))[0, :, : request.samples]
        return GeneratedMusic(waveform.float().cpu(), {"prompt": text, **sampling}, genre, probabilities)

    def _on_beats(self, read: MotionRead, batch: list[Window], beats: BeatGrid) -> MotionRead:
        """What was read of windows, with these beats in the place of their own."""
        frames, rate = read.rhythm_logits.shape[-1], self.system.words.frame_rate
        starts_s = [one.start / self.system.music.frame_rate for one in batch]
        curves = np.stack([beat_curve(beats.beats_s - start_s, frames, rate) for start_s in starts_s])
        return read.on_beats(torch.from_numpy(curves))

    def _shown(self, motion: Float[Tensor, "time 219"], batch: list[Window]) -> Float[Tensor, "window frame 219"]:
        """The motion of windows; after the dance's end the dancer stands still."""
        system, features = self.system, motion.to(self.system.device)
        rate = system.music.frame_rate
        fixed = seconds_to_motion_frames(system.words.window_seconds) if system.words.fixed_window else None
        rows = []
        for one in batch:
            length = fixed or max(2, seconds_to_motion_frames(one.frames / rate))
            places = torch.arange(length, device=features.device) + seconds_to_motion_frames(one.start / rate)
            rows.append(features[places.clamp(max=len(features) - 1)])
        return torch.stack(rows)
