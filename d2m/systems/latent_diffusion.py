"""Latent diffusion: conditioner, U-Net, objective and sampler, which train together and generate latents of any length.

A system maps motion features to music latents; an autoencoder (elsewhere) turns the latents into sound. Long latents are made
in overlapping windows that agree at every step (`d2m.diffusion.multidiffusion`).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, reduce
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from d2m.core.errors import BadConfig
from d2m.core.lead_sheet import LeadSheet
from d2m.core.timeline import MOTION_FPS, Timeline
from d2m.diffusion.guidance import guided
from d2m.diffusion.inversion import sampled_from
from d2m.diffusion.multidiffusion import WindowPlan, joined_plans, multidiffusion, plan_windows
from d2m.diffusion.objectives import Objective, VelocityObjective
from d2m.diffusion.samplers import SAMPLERS, Denoiser, Progress, check_understood, dpm_solver_pp_2m
from d2m.models.conditioner import Condition, Conditioned, Conditioner, MotionWindow
from d2m.models.heads import drop_genre
from d2m.models.unet import ConditionedUNet
from d2m.motion.augmentation import MotionAugmentation
from d2m.motion.features import Normalizer, within_bounds
from d2m.rhythm.grid import BeatGrid
from d2m.rhythm.reader import READER_FPS, RhythmReader, body_points, load_reader, side_views
from d2m.systems.interface import GenerationSettings, LatentRequest, evaluating
from d2m.systems.training_system import (
    LossWeights,
    OptimizerSettings,
    TrainedSystem,
    genre_accuracy,
    genre_loss,
    rhythm_loss,
)


@dataclass(frozen=True)
class WindowsRead:
    """What the motion encoder read of dances, in the windows that their latents are made in.

    Args:
        plans: where each dance's windows lie.
        read: a row for each window, dance after dance; its condition has no genre yet.
        genres: of each dance, as read before or by the system's rhythm reader; None where neither is there.
    """

    plans: list[WindowPlan]
    read: Conditioned
    genres: list[Float[Tensor, " 10"]] | None = None

    def genre_probabilities(self) -> list[Float[Tensor, " 10"]]:
        """Of each dance; averaged over its windows where they are not known yet."""
        if self.genres is not None:
            return self.genres
        rows = self.read.genre_logits.float().softmax(dim=-1).split([len(plan.starts) for plan in self.plans])
        return [probabilities.mean(dim=0).cpu() for probabilities in rows]

    def beat_activation(self) -> Float[np.ndarray, " frame"] | None:
        """Probability of a beat at the centre of each latent frame of the only dance; None without a rhythm head."""
        (plan,) = self.plans
        if self.read.rhythm_logits is None:
            return None
        total, count = np.zeros(plan.total_frames), np.zeros(plan.total_frames)
        for start, row in zip(plan.starts, self.read.rhythm_logits[:, 0].float().sigmoid().cpu().numpy(), strict=True):
            total[start : start + plan.window_frames] += row
            count[start : start + plan.window_frames] += 1
        return total / count


@dataclass(frozen=True)
class GeneratedLatent:
    """A latent, and what was read of its dance.

    Args:
        latent: on the autoencoder's scale.
        genre: number that it was made for, and `genre_probabilities`, those read from the motion.
    """

    latent: Float[Tensor, "channel frame"]
    genre: int
    genre_probabilities: Float[Tensor, " 10"]


Sampler = Callable[..., Tensor]

KEYS_VALUES_BYTES = 2**30
"""Beyond this a long dance's keys and values are made at every step, so that memory does not grow with its length."""


class LatentDiffusion(TrainedSystem):
    """Dance features → music latents.

    A batch is a dict: `features` [batch time 219] at 60 fps, un-normalised; `latent` [batch channel frame]; `genre`
    Int[batch]; where there are reference beats, `rhythm` [batch 2 frame] in [0, 1] (see `d2m.models.heads`); where there are lead
    sheets, `sheet` [batch 25 frame] (see `d2m.core.lead_sheet`).

    Args:
        conditioner, unet, objective, sampler: the parts.
        clock: of the autoencoder whose latents these are.
        normalizer: of motion features; fitted by `fit_statistics`, or loaded with a checkpoint.
        optimization, loss_weights, generation, augmentation: settings; no augmentation where None.
        reader: of beats and genre, over the whole dance; trained on its own (`d2m.systems.rhythm_reading`) and never here. None:
            the conditioner's own heads read them, window by window.
        reader_weights: the reader's at the start of a training: a shipped checkpoint's name, or a path.
        beat_jitter_s: standard deviation of what all beats of a training window are early or late, as tracked ones are.
        condition_dropout: probability that all of a row's condition is dropped in training.
        genre_dropout: probability that only its genre is.
        standardise_latents: whether diffusion sees latents of zero mean and unit deviation; the published system's does not. `together`:
            of one deviation for all channels, where those that matter more have a larger one.
    """

    latent_mean: Tensor
    latent_std: Tensor

    def __init__(
        self,
        conditioner: Conditioner,
        unet: ConditionedUNet,
        clock: Timeline,
        objective: Objective | None = None,
        sampler: Sampler = dpm_solver_pp_2m,
        normalizer: Normalizer | None = None,
        optimization: OptimizerSettings | None = None,
        loss_weights: LossWeights | None = None,
        generation: GenerationSettings | None = None,
        augmentation: MotionAugmentation | None = None,
        reader: RhythmReader | None = None,
        reader_weights: str | None = None,
        beat_jitter_s: float | int = 0.01,
        condition_dropout: float = 0.1,
        genre_dropout: float = 0.1,
        standardise_latents: bool | str = True,
    ) -> None:
        super().__init__(optimization)
        self.conditioner, self.unet, self.clock, self.sampler = conditioner, unet, clock, sampler
        self.objective = objective or VelocityObjective()
        check_understood(self.objective.path, sampler)
        self.normalizer = normalizer or Normalizer()
        self.loss_weights = loss_weights or LossWeights()
        self.generation = generation or GenerationSettings()
        self.augmentation, self.reader, self.reader_weights = augmentation, reader, reader_weights
        self.beat_jitter_s = beat_jitter_s
        if reader is not None:
            reader.requires_grad_(False)
        self.condition_dropout, self.genre_dropout = condition_dropout, genre_dropout
        if standardise_latents not in (True, False, "together"):
            raise BadConfig(f"standardise_latents={standardise_latents}: expected true, false or together.")
        self.standardise_latents = standardise_latents
        self.register_buffer("latent_mean", torch.zeros(unet.in_channels))
        self.register_buffer("latent_std", torch.ones(unet.in_channels))

    def fit_statistics(self, dances: Sequence[np.ndarray], latents: Sequence[Tensor]) -> None:
        """Take the normaliser from training dances ([time 219] arrays), and latent mean and deviation per channel."""
        self.normalizer.fit(dances)
        frames = torch.cat([latent.double() for latent in latents], dim=-1)
        self.set_latent_statistics(frames.mean(dim=-1), frames.std(dim=-1))

    def set_latent_statistics(self, mean: Float[Tensor, " channel"], std: Float[Tensor, " channel"]) -> None:
        """Take the latents' mean and deviation per channel, where this system standardises them."""
        if self.standardise_latents:
            if self.standardise_latents == "together":
                std = std.square().mean().sqrt().expand_as(std)
            self.latent_mean.copy_(mean)
            self.latent_std.copy_(std.clamp(min=1e-3))

    # Training

    def setup(self, stage: str) -> None:
        """Let conditioner and reader read their files, before a resumed training's checkpoint has the last word."""
        if stage == "fit":
            self.conditioner.prepare()
            if self.reader is not None and self.reader_weights is not None:
                self.reader.load_state_dict(load_reader(self.reader_weights).state_dict())

    def compute_losses(
        self, batch: Mapping[str, Any], training: bool, generator: torch.Generator | None = None
    ) -> dict[str, Tensor]:
        """Every part of the loss, unweighted, and the weighted sum as `loss`."""
        conditioned = self.conditioned_on(batch, training)
        condition = conditioned.condition
        if training:
            condition = self.conditioner.cfg_dropout(condition, self.condition_dropout)
        example = self.objective.example(self.standardised(batch["latent"]), generator)
        predicted = self.unet(example.x, example.sigma, condition)
        weights, parts = self.loss_weights, {}
        parts["velocity"] = self.objective.loss(predicted, example.target)
        parts["genre"] = genre_loss(conditioned.genre_logits, batch["genre"])
        if batch.get("rhythm") is not None and conditioned.rhythm_logits is not None:
            parts["rhythm"] = rhythm_loss(conditioned.rhythm_logits, batch["rhythm"], weights.beat_pos_weight)
        parts["loss"] = torch.stack([getattr(weights, name) * part for name, part in parts.items()]).sum()
        parts["genre_accuracy"] = genre_accuracy(conditioned.genre_logits, batch["genre"])
        return parts

    def read_rhythm(self, batch: Mapping[str, Any]) -> tuple[Float[Tensor, "batch curve frame"], float] | None:
        """By the rhythm reader, else on the latent frames, where the conditioner has a rhythm head."""
        if self.reader is not None:
            features = batch["features"]
            sides = [side_views(body_points(one[None].float()), self.reader.views) for one in features]
            return torch.stack([self.reader(side)[0].mean(dim=0) for side in sides])[:, None], READER_FPS
        logits = self.conditioner.read(self.motion_window(batch["features"], training=False)).rhythm_logits
        return None if logits is None else (logits, self.clock.latent_rate)

    def optimized(self) -> tuple[nn.Module, nn.Module]:
        """What reads the motion, and what makes the music of it."""
        return self.conditioner, self.unet

    # Statistics

    def standardised(self, latent: Float[Tensor, "batch channel frame"]) -> Float[Tensor, "batch channel frame"]:
        """Latents of about zero mean and unit deviation per channel: what diffusion assumes."""
        return (latent - self.latent_mean[:, None]) / self.latent_std[:, None]

    def restored(self, latent: Float[Tensor, "batch channel frame"]) -> Float[Tensor, "batch channel frame"]:
        """The autoencoder's own scale, limited to its range where that is known."""
        latent = latent * self.latent_std[:, None] + self.latent_mean[:, None]
        bound = self.generation.latent_bound
        return latent if bound is None else latent.clamp(-bound, bound)

    def motion_window(self, features: Float[Tensor, "batch time 219"], training: bool) -> MotionWindow:
        """What the conditioner reads of windows; augmented in training."""
        augmentation = self.augmentation if training else None
        if augmentation:
            features = augmentation.moved(features)
        normalised = within_bounds(self.normalizer(features))
        if augmentation:
            normalised = augmentation.noisy(normalised)
        return MotionWindow(features, normalised)

    def conditioned_on(self, batch: Mapping[str, Any], training: bool) -> Conditioned:
        """The condition of a batch's windows, which are told their true beats where the system has a rhythm reader; augmented,
        and some genres dropped, in training."""
        motion, genre, rhythm = self.motion_window(batch["features"], training), batch["genre"], batch.get("rhythm")
        beats = None if rhythm is None or self.reader is None else self._told(rhythm[:, 0], training)
        genre = drop_genre(genre, self.genre_dropout) if training else genre
        return self.conditioner(motion, genre, beats, batch.get("sheet"))

    def _told(self, curves: Float[Tensor, "batch frame"], training: bool) -> Float[Tensor, "batch frame"]:
        """The true beats, in training early or late by a little, each row by its own."""
        if not training or not self.beat_jitter_s:
            return curves
        frames = torch.arange(curves.shape[-1], device=curves.device)
        late = torch.randn(len(curves), 1, device=curves.device) * self.beat_jitter_s * self.clock.latent_rate
        at = (frames - late).clamp(0, len(frames) - 1)
        before = at.floor().long().clamp(max=len(frames) - 2)
        return torch.lerp(curves.gather(1, before), curves.gather(1, before + 1), (at - before).to(curves))

    # Generation

    @torch.no_grad()
    def generate_latents(
        self,
        requests: Sequence[LatentRequest],
        settings: GenerationSettings | None = None,
        progress: Progress | None = None,
        levels: Float[Tensor, " level"] | None = None,
        read: WindowsRead | None = None,
    ) -> list[GeneratedLatent]:
        """Latents of dances of any lengths, whose windows share batches; the motion encoder runs once.

        Args:
            requests: what is asked for.
            settings: of all; None: the system's own.
            progress: wraps the steps.
            levels: noise levels that are stepped down from the requests' noise, by steps of first order; None: the sampler's
                own from pure noise.
            read: what was read of the same requests before.

        Raises:
            BadConfig: for a sampler of another path than the objective's.
        """
        settings = settings or self.generation
        check_understood(self.objective.path, settings.sampler or self.sampler)
        with evaluating(self):
            read = read or self.read(requests, settings)
            probabilities = read.genre_probabilities()
            genres = [
                int(found.argmax()) if one.genre is None else one.genre
                for one, found in zip(requests, probabilities, strict=True)
            ]
            denoiser = self.denoiser(read, genres, settings)
            noise = torch.cat([self._noise(one, plan) for one, plan in zip(requests, read.plans, strict=True)], dim=-1)[
                None
            ]
            if levels is None:
                latent = self._sampled(denoiser, noise, settings, progress)
            else:
                latent = sampled_from(self.objective.path, denoiser, noise, levels, progress)
        parts = self.restored(latent)[0].split([plan.total_frames for plan in read.plans], dim=-1)
        return [
            GeneratedLatent(part[:, : one.frames], genre, found)
            for part, one, genre, found in zip(parts, requests, genres, probabilities, strict=True)
        ]

    @torch.no_grad()
    def read(self, requests: Sequence[LatentRequest], settings: GenerationSettings) -> WindowsRead:
        """Run the motion encoder over the windows of dances, `settings.batch` at a time."""
        plans = [self.window_plan(one.frames, settings) for one in requests]
        windows = torch.cat(
            [self.motion_windows(one.features, plan) for one, plan in zip(requests, plans, strict=True)]
        )
        with evaluating(self):
            curves, genres = [], list[Float[Tensor, " 10"]]()
            for one, plan in zip(requests, plans, strict=True):
                grid, genre = one.beats, one.genre_probabilities
                if self.reader is not None and (grid is None or genre is None):
                    found = self.reader.read(one.features)
                    grid, genre = grid or found.beats().grid, found.genre_probabilities
                curves.append(None if grid is None else self.beat_windows(grid, plan).to(windows))
                genres += [] if genre is None else [genre]
            if any(curve is None for curve in curves) and any(curve is not None for curve in curves):
                raise BadConfig(
                    "beats: given for some of the dances; this checkpoint reads none, so give them for all."
                )
            beats = None if curves[0] is None else torch.cat(curves)
            sheet = None
            if self.conditioner.takes_lead_sheet:
                sheet = torch.cat([self._sheet_windows(one, plan) for one, plan in zip(requests, plans, strict=True)])
            reads = [
                self.conditioner.read(
                    self.motion_window(windows[rows], False),
                    None if beats is None else beats[rows],
                    None if sheet is None else sheet[rows],
                )
                for rows in (slice(first, first + settings.batch) for first in range(0, len(windows), settings.batch))
            ]
        return WindowsRead(plans, reduce(Conditioned.joined, reads), genres if len(genres) == len(requests) else None)

    def beat_windows(self, grid: BeatGrid, plan: WindowPlan) -> Float[Tensor, "window frame"]:
        """The rhythm curve of each window of latent frames."""
        curve = torch.from_numpy(grid.curve(plan.total_frames, self.clock.latent_rate)).float()
        return torch.stack([curve[start : start + plan.window_frames] for start in plan.starts])

    def _sheet_windows(self, request: LatentRequest, plan: WindowPlan) -> Float[Tensor, "window 25 frame"]:
        told = request.sheet or LeadSheet()
        curves = torch.from_numpy(told.curves(plan.total_frames, self.clock.latent_rate)).to(request.features)
        return torch.stack([curves[:, start : start + plan.window_frames] for start in plan.starts])

    def denoiser(self, read: WindowsRead, genres: Sequence[int], settings: GenerationSettings) -> Denoiser:
        """What denoises one latent [1 channel frame] in which the dances' latents follow each other, each with its genre."""
        rows = [genre for genre, plan in zip(genres, read.plans, strict=True) for _ in plan.starts]
        genre = torch.tensor(rows, device=read.read.genre_logits.device)
        condition, uncond = self.prepared(self.conditioner.with_genre(read.read.condition, genre))

        @cache  # of the same few slices at every step: both halves of the guidance are joined once
        def of_windows(first: int, last: int) -> Denoiser:
            which = slice(first, last)
            return self.guided(condition.rows(which), uncond.rows(which), settings)

        def denoised(x: Tensor, sigma: Tensor, which: slice) -> Tensor:
            return of_windows(which.start, which.stop)(x, sigma)

        return multidiffusion(denoised, joined_plans(read.plans), settings.batch, settings.overlap_frames)

    def guided(self, condition: Condition, uncond: Condition, settings: GenerationSettings) -> Denoiser:
        """The U-Net under classifier-free guidance."""
        return guided(
            self.unet, condition, uncond, settings.guidance, settings.guidance_rescale, settings.guidance_interval
        )

    def window_plan(self, frames: int, settings: GenerationSettings | None = None) -> WindowPlan:
        """Windows for `frames` latent frames, starting where a latent frame is closest to a motion frame."""
        overlap_frames = (settings or self.generation).overlap_frames

        def misfit(start: int) -> float:
            motion_frame = start * MOTION_FPS / self.clock.latent_rate
            return abs(motion_frame - round(motion_frame))

        return plan_windows(frames, self.clock.window_latent_frames, overlap_frames, misfit)

    def motion_windows(
        self, features: Float[Tensor, "time 219"], plan: WindowPlan
    ) -> Float[Tensor, "window motion_frame 219"]:
        """The motion at 60 fps of each window of latent frames; after its last frame the dance stands still."""
        starts = [self.clock.latent_frames_to_motion_frames(start) for start in plan.starts]
        index = torch.tensor(starts)[:, None] + torch.arange(self.clock.window_motion_frames)
        return features[index.clamp(max=len(features) - 1).to(features.device)]

    def _noise(self, request: LatentRequest, plan: WindowPlan) -> Float[Tensor, "channel _"]:
        if request.noise is not None:
            return request.noise
        generator = torch.Generator().manual_seed(request.seed)
        return torch.randn(self.unet.in_channels, plan.total_frames, generator=generator).to(request.features)

    def _sampled(
        self, denoiser: Denoiser, noise: Tensor, settings: GenerationSettings, progress: Progress | None
    ) -> Tensor:
        # The grid is named only where it is not the samplers' own, so that any sampler of the plain signature will do.
        grid = {} if settings.grid == "angle" else {"grid": settings.grid}
        sampler = self.sampler if settings.sampler is None else SAMPLERS[settings.sampler]
        return sampler(denoiser, noise, settings.steps, progress, **grid)

    def prepared(self, condition: Condition) -> tuple[Condition, Condition]:
        """The condition and its null, with keys and values made once for all steps where memory allows it."""
        uncond = self.conditioner.uncond(condition)
        rows = 2 * len(condition.is_uncond)  # guidance joins both halves
        if rows * self.unet.keys_values_bytes(condition) > KEYS_VALUES_BYTES:
            return condition, uncond
        return self.unet.prepared(condition), self.unet.prepared(uncond)
