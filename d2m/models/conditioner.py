"""The U-Net's condition, and the two ways of making it of a dance, behind one interface.

`read(motion, beats) -> Conditioned` runs the encoder, `with_genre(condition, genre) -> Condition` adds the genre, which may be one
that was read. The aligned conditioner (ours) says at every latent frame what the body does at that moment and where the beats
are, which need not be the motion's; the published one gives the U-Net a bag of tokens and leaves it to attention to find the
moment.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from math import prod
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from d2m.core.errors import BadConfig
from d2m.core.lead_sheet import CURVES
from d2m.core.timeline import MOTION_FPS, Timeline
from d2m.models.encoders import MotionViT, TemporalEncoder, TokenFusion, motion_channels, resampled
from d2m.models.heads import RHYTHM_CURVES, GenreClassifier, GenreToken, RhythmHead, read_genre_vectors


@dataclass(frozen=True)
class MotionWindow:
    """Windows of motion at 60 fps, as they came and normalised."""

    features: Float[Tensor, "batch time 219"]
    normalised: Float[Tensor, "batch time 219"]


@dataclass(frozen=True)
class Condition:
    """What the U-Net is conditioned on, one row per latent; a part that a conditioning does not use is None.

    Args:
        is_uncond: rows whose tokens the U-Net replaces by its own learned null tokens (classifier-free guidance).
        tokens: for cross-attention.
        levels: for each U-Net level, channels of that level's length.
        input_channels: concatenated to the noisy latent.
        features: added to the time features.
        keys_values: of every cross-attention of a U-Net, made of the tokens before (`ConditionedUNet.prepared`).
    """

    is_uncond: Bool[Tensor, " batch"]
    tokens: Float[Tensor, "batch token embedding"] | None = None
    levels: tuple[Tensor, ...] | None = None
    input_channels: Float[Tensor, "batch _ frame"] | None = None
    features: Float[Tensor, "batch feature"] | None = None
    keys_values: tuple[Tensor, ...] | None = None

    def _mapped(self, function: Callable[..., Tensor], *others: "Condition") -> "Condition":
        """The condition whose every tensor is `function` of the tensors in the same place."""

        def mapped(*parts: Any) -> Any:
            if parts[0] is None:
                return None
            if isinstance(parts[0], tuple):
                return tuple(function(*tensors) for tensors in zip(*parts, strict=True))
            return function(*parts)

        return Condition(**{f.name: mapped(*(getattr(c, f.name) for c in (self, *others))) for f in fields(self)})

    def joined(self, other: "Condition") -> "Condition":
        """This condition's rows followed by the other's."""
        return self._mapped(lambda mine, its: torch.cat([mine, its]), other)

    def rows(self, which: slice) -> "Condition":
        """Some of the rows."""
        return self._mapped(lambda mine: mine[which])

    def replaced(self, where: Bool[Tensor, " batch"], other: "Condition") -> "Condition":
        """The other's rows at `where`, this condition's elsewhere."""
        return self._mapped(lambda mine, its: torch.where(where.view(-1, *[1] * (mine.ndim - 1)), its, mine), other)


@dataclass(frozen=True)
class Conditioned:
    """A conditioner's answer: the condition, and what its auxiliary heads read from the motion."""

    condition: Condition
    genre_logits: Float[Tensor, "batch 10"]
    rhythm_logits: Float[Tensor, "batch 2 frame"] | None = None

    def joined(self, other: "Conditioned") -> "Conditioned":
        """This answer's rows followed by the other's."""
        ours, theirs = self.rhythm_logits, other.rhythm_logits
        rhythm = None if ours is None or theirs is None else torch.cat([ours, theirs])
        genre = torch.cat([self.genre_logits, other.genre_logits])
        return Conditioned(self.condition.joined(other.condition), genre, rhythm)


class Conditioner(nn.Module, ABC):
    """Motion and genre → condition. Genre 10 is unknown. The auxiliary heads never see the genre token."""

    takes_beats = True
    """Whether the condition says where the beats are."""

    takes_lead_sheet = False
    """Whether the condition says key, chords and energy."""

    def forward(
        self,
        motion: MotionWindow,
        genre: Int[Tensor, " batch"],
        beats: Float[Tensor, "batch frame"] | None = None,
        sheet: Float[Tensor, "batch 25 frame"] | None = None,
    ) -> Conditioned:
        """Condition for windows of motion, and what was read of them."""
        read = self.read(motion, beats, sheet)
        return replace(read, condition=self.with_genre(read.condition, genre))

    @abstractmethod
    def read(
        self,
        motion: MotionWindow,
        beats: Float[Tensor, "batch frame"] | None = None,
        sheet: Float[Tensor, "batch 25 frame"] | None = None,
    ) -> Conditioned:
        """Run the encoder; the condition has no genre yet.

        Args:
            motion: windows.
            beats: a bump of 1 around each beat that the music is to have (`d2m.rhythm.grid.BeatGrid.curve`), on the latent
                frames; None: as the encoder reads them in the motion. The published conditioning knows no beats.
            sheet: key, chords and energy on the latent frames (`d2m.core.lead_sheet.LeadSheet.curves`), for a conditioner that
                takes them; None: nothing is told of them.
        """

    @abstractmethod
    def with_genre(self, condition: Condition, genre: Int[Tensor, " batch"]) -> Condition:
        """The condition that `read` gave, with a genre for each row."""

    @abstractmethod
    def uncond(self, condition: Condition) -> Condition:
        """The learned condition that says nothing, with as many rows as `condition`."""

    def prepare(self) -> None:
        """Called once before training: read what the configuration names and the state dict carries from then on."""

    def cfg_dropout(self, condition: Condition, probability: float) -> Condition:
        """Each row replaced by the null condition with the given probability (Ho & Salimans 2022, algorithm 1)."""
        if probability <= 0:
            return condition
        lost = torch.rand(len(condition.is_uncond), device=condition.is_uncond.device) < probability
        return condition.replaced(lost, self.uncond(condition))


class AlignedConditioner(Conditioner):
    """Ours: encoder features at the time of each latent frame, for every U-Net level and for its input.

    Args:
        encoder: motion → features at 30 Hz.
        clock: of the autoencoder: it says when a latent frame is.
        factors: downsampling factor at each U-Net level.
        level_channels: context channels at each U-Net level.
        input_channels: context channels concatenated to the U-Net's input.
        features: width of the U-Net's time features, to which the genre token is added.
        motion_exchange: probability in training that a row is told another row's motion beside its own beats, so that the beats
            are obeyed whatever the body does.
        motion_dropout: probability in training that a row is told no motion.
        beat_dropout: probability in training that a row is told no beats. Each part is dropped independently of the others.
        lead_sheet: whether it is told key, chords and energy.
        key_dropout, chord_dropout, energy_dropout: probabilities in training that a row is not told them; without a key there are
            no chords either.
    """

    def __init__(
        self,
        encoder: TemporalEncoder,
        clock: Timeline,
        factors: Sequence[int],
        level_channels: Sequence[int],
        input_channels: int,
        features: int,
        motion_exchange: float | int = 0.0,
        motion_dropout: float | int = 0.0,
        beat_dropout: float | int = 0.0,
        lead_sheet: bool = False,
        key_dropout: float | int = 0.2,
        chord_dropout: float | int = 0.5,
        energy_dropout: float | int = 0.5,
    ) -> None:
        super().__init__()
        self.encoder, self.clock, self.takes_lead_sheet = encoder, clock, lead_sheet
        self.key_dropout, self.chord_dropout, self.energy_dropout = key_dropout, chord_dropout, energy_dropout
        self.motion_exchange, self.motion_dropout, self.beat_dropout = motion_exchange, motion_dropout, beat_dropout
        width = encoder.channels
        self.rhythm = RhythmHead(width)
        self.classifier = GenreClassifier(width)
        self.genre_token = GenreToken(features)
        self.pooled = nn.Linear(width, features)
        cond = width + len(RHYTHM_CURVES) + (CURVES if lead_sheet else 0)
        self.strides = [prod(factors[: i + 1]) for i in range(len(factors))]
        self.levels = nn.ModuleList(nn.Conv1d(cond, channels, 1) for channels in level_channels)
        self.input = nn.Conv1d(cond, input_channels, 1)
        self.null_levels = nn.ParameterList(nn.Parameter(torch.zeros(channels, 1)) for channels in level_channels)
        self.null_input = nn.Parameter(torch.zeros(input_channels, 1))
        self.null_features = nn.Parameter(torch.zeros(features))

    def read(
        self,
        motion: MotionWindow,
        beats: Float[Tensor, "batch frame"] | None = None,
        sheet: Float[Tensor, "batch 25 frame"] | None = None,
    ) -> Conditioned:
        """Of windows that start with the first latent frame."""
        encoded = self.encoder(motion_channels(motion.features, motion.normalised))
        aligned = resampled(encoded, self.positions(encoded.device))
        rhythm, genre = self.rhythm(aligned), self.classifier(encoded)
        # Detached: the curves keep meaning the rhythm, whatever the denoiser would like them to mean.
        curves, pooled = rhythm.detach().sigmoid().to(aligned), encoded.mean(dim=-1)
        detail = torch.cat([aligned, curves[:, 1:]], dim=1)  # in time, of the motion
        told = curves[:, :1] if beats is None else beats[:, None].to(aligned)
        if self.training and beats is not None:
            batch = len(told)
            other = torch.where(
                self._chance(self.motion_exchange, told),
                torch.randperm(batch, device=told.device),
                torch.arange(batch, device=told.device),
            )
            detail, pooled = detail[other], pooled[other]
            keep = 1 - self._chance(self.motion_dropout, told).to(aligned)
            detail, pooled = detail * keep[:, None, None], pooled * keep[:, None]
            told = told * (1 - self._chance(self.beat_dropout, told).to(aligned))[:, None, None]
        parts = [detail[:, :-1], told, detail[:, -1:]]
        if self.takes_lead_sheet:
            parts.append(self._sheet(sheet, told))
        cond = torch.cat(parts, dim=1)
        condition = Condition(
            is_uncond=torch.zeros(len(cond), dtype=torch.bool, device=cond.device),
            levels=tuple(
                level(F.avg_pool1d(cond, stride)) for level, stride in zip(self.levels, self.strides, strict=True)
            ),
            input_channels=self.input(cond),
            features=self.pooled(pooled),
        )
        return Conditioned(condition, genre, rhythm)

    def _sheet(
        self, sheet: Float[Tensor, "batch 25 frame"] | None, like: Float[Tensor, "batch 1 frame"]
    ) -> Float[Tensor, "batch 25 frame"]:
        if sheet is None:
            return like.new_zeros(len(like), CURVES, like.shape[-1])
        if not self.training:
            return sheet.to(like)
        key, chord, energy = (
            1 - self._chance(probability, like).to(like)
            for probability in (self.key_dropout, self.chord_dropout, self.energy_dropout)
        )
        keep = torch.cat([key[:, None].expand(-1, 12), (key * chord)[:, None].expand(-1, 12), energy[:, None]], dim=1)
        return sheet.to(like) * keep[..., None]

    @staticmethod
    def _chance(probability: float | int, rows: Tensor) -> Bool[Tensor, " _"]:
        return torch.rand(len(rows), device=rows.device) < probability

    def with_genre(self, condition: Condition, genre: Int[Tensor, " batch"]) -> Condition:
        """Adds the genre's token to the features."""
        assert condition.features is not None
        return replace(condition, features=self.genre_token(genre) + condition.features)

    def positions(self, device: torch.device) -> Float[Tensor, " frame"]:
        """Fractional encoder frame at the centre of each latent frame: latent frame k is at (k + 1/2) hop / rate."""
        frame = torch.arange(self.clock.window_latent_frames, dtype=torch.float64)  # not every device has float64
        second = (frame + 0.5) / self.clock.latent_rate
        stride = self.encoder.stride
        return ((second * MOTION_FPS - (stride - 1) / 2) / stride).float().to(device)

    def uncond(self, condition: Condition) -> Condition:
        """Learned constants in place of all context, genre included."""
        assert condition.levels is not None and condition.input_channels is not None and condition.features is not None
        return Condition(
            is_uncond=torch.ones_like(condition.is_uncond),
            levels=tuple(
                null.to(cond).expand_as(cond) for null, cond in zip(self.null_levels, condition.levels, strict=True)
            ),
            input_channels=self.null_input.to(condition.input_channels).expand_as(condition.input_channels),
            features=self.null_features.to(condition.features).expand_as(condition.features),
        )


class PublishedConditioner(Conditioner):
    """The published conditioning: tokens of a motion ViT for cross-attention, a genre loss on their mean.

    Args:
        encoder: the ViT.
        fusion: the paper's fusion block, or None for 357 tokens of 219.
        normalised: whether the ViT reads normalised features; the published system does not normalise.
        genre_prompt: weight a of the prompt variant, tokens + a * genre token (published: 0.01, 0.1 or 0.2). 0: the genre
            is no condition, as in the base variant. An unknown genre's token starts at zero.
        genre_vectors: file with the genres' tokens, such as the text embeddings of the published system, which stay as they
            are (see `d2m.models.heads.read_genre_vectors`); None: learned tokens.
        clock: of the autoencoder; where it is given, a rhythm head reads the frame tokens at each latent frame's centre, as an
            auxiliary task that the published system does not have. The condition stays as published.
    """

    takes_beats = False

    def __init__(
        self,
        encoder: MotionViT,
        fusion: TokenFusion | None = None,
        normalised: bool = False,
        genre_prompt: float = 0.0,
        genre_vectors: str | None = None,
        clock: Timeline | None = None,
    ) -> None:
        super().__init__()
        self.genre_vectors, self.clock = genre_vectors, clock
        self.rhythm = None if clock is None else RhythmHead(encoder.cls_token.shape[-1], groups=3)
        self.encoder, self.fusion, self.normalised, self.genre_prompt = encoder, fusion, normalised, genre_prompt
        width = encoder.cls_token.shape[-1] if fusion is None else fusion.linear.out_features
        self.genre_token = GenreToken(width) if genre_prompt else None
        if self.genre_token is not None:
            self.genre_token.silence_unknown()
            self.genre_token.requires_grad_(genre_vectors is None)

    def prepare(self) -> None:
        """Read the genre vectors; afterwards they come from the checkpoint, and their file is not needed.

        Raises:
            BadConfig: when the file is missing, or the genre is no condition.
            BadInput: when it is not a table of ten vectors of the tokens' width.
        """
        if self.genre_vectors is None:
            return
        if self.genre_token is None:
            raise BadConfig(f"genre_vectors={self.genre_vectors} needs a weight: genre_prompt=0.01, 0.1 or 0.2, not 0.")
        self.genre_token.freeze_to(read_genre_vectors(self.genre_vectors, self.genre_token.embedding.embedding_dim))

    def read(
        self,
        motion: MotionWindow,
        beats: Float[Tensor, "batch frame"] | None = None,
        sheet: Float[Tensor, "batch 25 frame"] | None = None,
    ) -> Conditioned:
        """Of windows of at most the encoder's frames; beats and lead sheets are no part of the published condition."""
        tokens = self.encoder(motion.normalised if self.normalised else motion.features)
        logits, rhythm = self.encoder.genre_logits(tokens), None
        if self.rhythm is not None and self.clock is not None:
            frame = torch.arange(self.clock.window_latent_frames, dtype=torch.float64)
            position = ((frame + 0.5) / self.clock.latent_rate * MOTION_FPS).float().to(tokens.device)
            rhythm = self.rhythm(resampled(tokens[:, 1:].mT, position))  # the first token is of the class
        if self.fusion is not None:
            tokens = self.fusion(tokens)
        is_uncond = torch.zeros(len(tokens), dtype=torch.bool, device=tokens.device)
        return Conditioned(Condition(is_uncond, tokens=tokens), logits, rhythm)

    def with_genre(self, condition: Condition, genre: Int[Tensor, " batch"]) -> Condition:
        """Adds the genre's token, weighted, to every token; the base variant knows no genre."""
        if self.genre_token is None or condition.tokens is None:
            return condition
        return replace(condition, tokens=condition.tokens + self.genre_prompt * self.genre_token(genre)[:, None])

    def uncond(self, condition: Condition) -> Condition:
        """All rows marked as unconditional: the null tokens are the U-Net's own, as in the published weights."""
        return Condition(torch.ones_like(condition.is_uncond), tokens=condition.tokens)
