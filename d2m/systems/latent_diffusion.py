"""A long dance in windows: where they lie, the motion of each, and one denoiser made of all."""

from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from d2m.core.timeline import MOTION_FPS, Clock
from d2m.diffusion.guidance import guided
from d2m.diffusion.multidiffusion import WindowPlan, blended, plan_windows
from d2m.diffusion.objectives import Objective, VelocityObjective
from d2m.diffusion.samplers import Denoiser, check_understood, dpm_solver_pp_2m
from d2m.models.conditioner import Condition, Conditioned, Conditioner, MotionWindow
from d2m.models.heads import UNKNOWN_GENRE, drop_genre, unknown_genres
from d2m.models.unet import ConditionedUNet
from d2m.motion.augmentation import MotionAugmentation
from d2m.motion.features import Normalizer
from d2m.systems.interface import GenerationSettings, at_least_one, evaluating
from d2m.systems.training_system import (
    LossWeights,
    OptimizerSettings,
    TrainedSystem,
    genre_accuracy,
    genre_loss,
    rhythm_loss,
)


def aligned_plan(frames: int, clock: Clock, overlap_frames: int) -> WindowPlan:
    """Windows for `frames` latent frames, starting where a latent frame is closest to a motion frame."""

    def misfit(start: int) -> float:
        motion_frame = start * MOTION_FPS / clock.latent_rate
        return abs(motion_frame - round(motion_frame))

    return plan_windows(frames, clock.window_latent_frames, overlap_frames, misfit)


def windows_of_motion(
    features: Float[Tensor, "time 219"], plan: WindowPlan, clock: Clock
) -> Float[Tensor, "window motion_frame 219"]:
    """The motion at 60 fps of each window of latent frames; after its last frame the dance stands still."""
    starts = [clock.latent_frames_to_motion_frames(start) for start in plan.starts]
    index = torch.tensor(starts)[:, None] + torch.arange(clock.window_motion_frames)
    return features[index.clamp(max=len(features) - 1).to(features.device)]


def in_windows(
    guide: Callable[[Condition, Condition], Denoiser],
    condition: Condition,
    null: Condition,
    plan: WindowPlan,
    batch: int,
    overlap_frames: int,
) -> Denoiser:
    """A denoiser of the whole latent, see `d2m.diffusion.multidiffusion.blended`.

    Args:
        guide: makes a denoiser of some windows from their conditions and their null conditions.
        condition, null: a row for each window.
    """

    @cache  # of the same few slices at every step: both halves of the guidance are joined once
    def of_windows(first: int, last: int) -> Denoiser:
        return guide(condition.rows(slice(first, last)), null.rows(slice(first, last)))

    def denoised(x: Tensor, sigma: Tensor, which: slice) -> Tensor:
        return of_windows(which.start, which.stop)(x, sigma)

    return blended(denoised, plan, batch, overlap_frames)


# Latent diffusion: the composition of conditioner, U-Net, objective and sampler that trains and generates.
#
# A system maps motion features to music latents; an autoencoder (elsewhere) turns the latents into sound.


Sampler = Callable[..., Tensor]

KEYS_VALUES_BYTES = 2**30
"""Beyond this a long dance's keys and values are made at every step, so that memory does not grow with its length."""


class LatentDiffusion(TrainedSystem):
    """Dance features → music latents.

    A batch is a dict: `features` [batch time 219] at 60 fps, un-normalised; `latent` [batch channel frame]; `genre`
    Int[batch]; where there are reference beats, `rhythm` [batch 2 frame] in [0, 1] (see `d2m.models.heads`).

    Args:
        conditioner, unet, objective, sampler: the parts.
        clock: of the autoencoder whose latents these are.
        normalizer: of motion features; fitted by `fit_statistics`, or loaded with a checkpoint.
        optimization, loss_weights, generation, augmentation: settings; no augmentation where None.
        condition_dropout: probability that all of a row's condition is dropped in training.
        genre_dropout: probability that only its genre is.
        standardise_latents: whether diffusion sees latents of zero mean and unit deviation; the published system's does not.
    """

    latent_mean: Tensor
    latent_std: Tensor

    def __init__(
        self,
        conditioner: Conditioner,
        unet: ConditionedUNet,
        clock: Clock,
        objective: Objective | None = None,
        sampler: Sampler = dpm_solver_pp_2m,
        normalizer: Normalizer | None = None,
        optimization: OptimizerSettings | None = None,
        loss_weights: LossWeights | None = None,
        generation: GenerationSettings | None = None,
        augmentation: MotionAugmentation | None = None,
        condition_dropout: float = 0.1,
        genre_dropout: float = 0.1,
        standardise_latents: bool = True,
    ) -> None:
        super().__init__(optimization)
        self.conditioner, self.unet, self.clock, self.sampler = conditioner, unet, clock, sampler
        self.objective = objective or VelocityObjective()
        check_understood(self.objective.path, sampler)
        self.normalizer = normalizer or Normalizer()
        self.loss_weights = loss_weights or LossWeights()
        self.generation = generation or GenerationSettings()
        self.augmentation = augmentation
        self.condition_dropout, self.genre_dropout = condition_dropout, genre_dropout
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
            self.latent_mean.copy_(mean)
            self.latent_std.copy_(std.clamp(min=1e-3))

    # Training

    def setup(self, stage: str) -> None:
        """Let the conditioner read its files, before a resumed training's checkpoint has the last word."""
        if stage == "fit":
            self.conditioner.prepare()

    def compute_losses(
        self, batch: Mapping[str, Any], training: bool, generator: torch.Generator | None = None
    ) -> dict[str, Tensor]:
        """Every part of the loss, unweighted, and the weighted sum as `loss`."""
        conditioned = self.conditioned(batch["features"], batch["genre"], training)
        condition = conditioned.condition
        if training:
            condition = self.conditioner.dropped(condition, self.condition_dropout)
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

    def read_rhythm(self, batch: Mapping[str, Any]) -> tuple[Float[Tensor, "batch 2 frame"], float] | None:
        """On the latent frames, where the conditioner has a rhythm head."""
        logits = self.conditioned(batch["features"], batch["genre"], training=False).rhythm_logits
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

    def conditioned(
        self, features: Float[Tensor, "batch time 219"], genre: Int[Tensor, " batch"], training: bool
    ) -> Conditioned:
        """What the U-Net is told of windows; augmented, and genres drop_genre, in training."""
        augmentation = self.augmentation if training else None
        if augmentation:
            features = augmentation.moved(features)
        normalised = self.normalizer(features)
        if augmentation:
            normalised = augmentation.noisy(normalised)
        if training:
            genre = drop_genre(genre, self.genre_dropout)
        return self.conditioner(MotionWindow(features, normalised), genre)

    # Generation

    @torch.no_grad()
    def generate(
        self,
        features: Float[Tensor, "batch time 219"],
        genre: Int[Tensor, " batch"] | None = None,
        steps: int | None = None,
        guidance: float | None = None,
        generator: torch.Generator | None = None,
        noise: Float[Tensor, "batch channel frame"] | None = None,
        progress: Callable | None = None,
    ) -> Float[Tensor, "batch channel frame"]:
        """Latents of one window for each window of motion; genre None: not told."""
        if noise is None:
            shape = (len(features), self.unet.in_channels, self.clock.window_latent_frames)
            noise = torch.randn(shape, generator=generator).to(features)
        if genre is None:
            genre = unknown_genres(len(features), features.device)
        with evaluating(self):
            condition = self.conditioned(features, genre, training=False).condition
            denoiser = self._guided(*self.prepared(condition), guidance)
            return self.restored(self.sampled(denoiser, noise, steps, progress))

    @torch.no_grad()
    def generate_long(
        self,
        features: Float[Tensor, "time 219"],
        genre: int | None,
        frames: int,
        steps: int | None = None,
        guidance: float | None = None,
        seed: int = 0,
        batch: int | None = None,
        progress: Callable | None = None,
    ) -> Float[Tensor, "channel {frames}"]:
        """A latent of `frames` frames for a dance of any length, in overlapping windows that agree at every step.

        A dance shorter than the music asked for is held at its last frame. The same seed gives the same latent.
        """
        plan = self.window_plan(frames)
        shape = (1, self.unet.in_channels, plan.total_frames)
        noise = torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(features)
        with evaluating(self):
            denoiser = self.long_denoiser(features, genre, plan, guidance, batch)
            latent = self.sampled(denoiser, noise, steps, progress)
        return self.restored(latent)[0, :, :frames]

    def long_denoiser(
        self,
        features: Float[Tensor, "time 219"],
        genre: int | None,
        plan: WindowPlan,
        guidance: float | int | None = None,
        batch: int | None = None,
        told: bool = True,
    ) -> Denoiser:
        """What denoises the whole latent [1 channel total_frames] of a dance; told False: without any condition."""
        windows = self.motion_windows(features, plan)
        genres = [UNKNOWN_GENRE if genre is None else genre] * len(windows)
        return self.windows_denoiser(windows, genres, plan, guidance, batch, told)

    def windows_denoiser(
        self,
        windows: Float[Tensor, "window motion_frame 219"],
        genres: Sequence[int],
        plan: WindowPlan,
        guidance: float | int | None = None,
        batch: int | None = None,
        told: bool = True,
    ) -> Denoiser:
        """What denoises a latent of which the plan's windows are those of `windows`, each with its genre."""
        batch = at_least_one("batch", self.generation.batch if batch is None else batch)
        index = torch.tensor(genres, device=windows.device)
        condition, null = self.prepared(self._conditions(windows, index, batch))
        guide = partial(self._guided, guidance=guidance if told else 1)
        return in_windows(guide, condition if told else null, null, plan, batch, self.generation.overlap_frames)

    @torch.no_grad()
    def predict_genre(self, features: Float[Tensor, "time 219"]) -> Float[Tensor, " 10"]:
        """Probability of each genre (order of `d2m.core.aist_names.GENRES`), averaged over the dance's windows."""
        frames = max(1, int(len(features) / MOTION_FPS * self.clock.latent_rate))
        windows = self.motion_windows(features, self.window_plan(frames))
        genre = unknown_genres(1, features.device)
        with evaluating(self):
            logits = [self.conditioned(window[None], genre, training=False).genre_logits for window in windows]
        return torch.cat(logits).softmax(dim=-1).mean(dim=0)

    def window_plan(self, frames: int) -> WindowPlan:
        """Windows for `frames` latent frames, see `d2m.systems.latent_diffusion`."""
        return aligned_plan(frames, self.clock, self.generation.overlap_frames)

    def motion_windows(
        self, features: Float[Tensor, "time 219"], plan: WindowPlan
    ) -> Float[Tensor, "window motion_frame 219"]:
        """The motion of each window; after its last frame the dance stands still."""
        return windows_of_motion(features, plan, self.clock)

    def _guided(self, condition: Condition, null: Condition, guidance: float | int | None) -> Denoiser:
        asked = self.generation
        scale = asked.guidance if guidance is None else guidance
        return guided(self.unet, condition, null, scale, asked.guidance_rescale, asked.guidance_interval)

    def sampled(self, denoiser: Denoiser, noise: Tensor, steps: int | None, progress: Callable | None = None) -> Tensor:
        """A latent by the system's sampler, standardised."""
        # The grid is named only where it is not the samplers' own, so that any sampler of the plain signature will do.
        grid = {} if self.generation.grid == "angle" else {"grid": self.generation.grid}
        steps = at_least_one("steps", self.generation.steps if steps is None else steps)
        return self.sampler(denoiser, noise, steps, progress, **grid)

    def _conditions(
        self, windows: Float[Tensor, "window motion_frame 219"], genre: Int[Tensor, " window"], batch: int
    ) -> Condition:
        chunks = zip(windows.split(batch), genre.split(batch), strict=True)
        first, *rest = [self.conditioned(motion, asked, training=False).condition for motion, asked in chunks]
        for condition in rest:
            first = first.joined(condition)
        return first

    def prepared(self, condition: Condition) -> tuple[Condition, Condition]:
        """The condition and its null, with keys and values made once for all steps where memory allows it."""
        null = self.conditioner.null(condition)
        rows = 2 * len(condition.dropped)  # guidance joins both halves
        if rows * self.unet.keys_values_bytes(condition) > KEYS_VALUES_BYTES:
            return condition, null
        return self.unet.prepared(condition), self.unet.prepared(null)
