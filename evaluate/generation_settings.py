"""One way to generate: sampler, steps, guidance and where it is on, decoder; and a clip made that way, timed and counted."""

import dataclasses
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from d2m.audio.coding import decode_piece
from d2m.dance import Dance
from d2m.diffusion.samplers import SAMPLERS, check_understood
from d2m.errors import BadConfig
from d2m.generate import Dance2Music
from d2m.music import Music


@dataclass(frozen=True)
class Setting:
    """One way to generate; None everywhere: the checkpoint's own.

    Args:
        sampler: a name in `d2m.diffusion.samplers.SAMPLERS` that follows the checkpoint's path.
        steps, guidance: sampling steps and guidance scale.
        interval: noise levels between which guidance is on; `[0, 1]` is always.
        grid: where the steps lie, see `d2m.diffusion.schedule.GRIDS`.
        decoder: `onepass` or `diffusion`.
        decoder_steps: of the diffusion decoder; None: the autoencoder's own.
    """

    sampler: str | None = None
    steps: int | None = None
    guidance: float | int | None = None
    interval: Sequence[float | int] | None = None
    grid: str | None = None
    decoder: str | None = None
    decoder_steps: int | None = None

    def resolved(self, model: Dance2Music) -> "Setting":
        """All that is None filled in from the model.

        Raises:
            BadConfig: for an unknown sampler or decoder, a sampler of another objective, or fewer than one step.
        """
        own = model.system.generation
        named = model.checkpoint.config["system"].get("sampler", {}).get("_target_", "dpm_solver_pp_2m").rsplit(".")[-1]
        found = Setting(
            self.sampler or named,
            own.steps if self.steps is None else self.steps,
            float(own.guidance if self.guidance is None else self.guidance),
            [float(level) for level in self.interval or own.guidance_interval or (0, 1)],
            self.grid or own.grid,
            self.decoder or ("onepass" if model.composer.dmae.onepass is not None else "diffusion"),
            model.composer.dmae.decoder_steps if self.decoder_steps is None else self.decoder_steps,
        )
        if found.sampler not in SAMPLERS:
            raise BadConfig(f"sampler={found.sampler}: unknown; expected one of {', '.join(SAMPLERS)}.")
        check_understood(model.system.objective.path, found.sampler)
        if found.decoder not in ("onepass", "diffusion") or (
            found.decoder == "onepass" and model.composer.dmae.onepass is None
        ):
            raise BadConfig(
                f"decoder={found.decoder}: not one that autoencoder '{model.composer.dmae.name}' has; use diffusion."
            )
        if min(found.steps or 0, found.decoder_steps or 0) < 1:
            raise BadConfig(f"steps={found.steps}, decoder_steps={found.decoder_steps}: expected 1 or more of both.")
        return found


def label_of(name: str, setting: Setting) -> str:
    """Short name of a row from its checkpoint's name and resolved setting, fit for a folder: `demo_ddim50_g1.5`."""
    words = [name, f"{'dpm' if setting.sampler == 'dpm_solver_pp_2m' else setting.sampler}{setting.steps}"]
    words += ["unguided" if setting.guidance == 1 else f"g{setting.guidance:g}"]
    low, high = setting.interval or (0, 1)
    if setting.guidance != 1 and (low, high) != (0, 1):
        words.append(f"in{low:g}-{high:g}")
    words += [setting.grid] if setting.grid and setting.grid != "angle" else []
    return "_".join(words + ([f"diffusion{setting.decoder_steps}"] if setting.decoder == "diffusion" else []))


@contextmanager
def generating_by(model: Dance2Music, setting: Setting) -> Iterator[list[int]]:
    """The model with a resolved setting in place; yields a list that gets the rows of every pass through the U-Net."""
    system, rows = model.system, []
    before = system.generation, system.sampler
    interval = None if setting.interval is None or tuple(setting.interval) == (0, 1) else setting.interval
    system.generation = dataclasses.replace(
        system.generation, steps=setting.steps, guidance=setting.guidance, guidance_interval=interval, grid=setting.grid
    )
    system.sampler = SAMPLERS[setting.sampler or ""]
    hook = system.unet.register_forward_pre_hook(lambda module, inputs: rows.append(len(inputs[0])))
    try:
        yield rows
    finally:
        hook.remove()
        system.generation, system.sampler = before


@dataclass(frozen=True)
class Made:
    """One clip: seconds of wall clock, and passes through the U-Net for each of its windows."""

    music: Music
    seconds: float
    evaluations: float


def make_clip(model: Dance2Music, dance: Dance, setting: Setting, seed: int = 0) -> Made:
    """What `Dance2Music.generate` makes under a resolved setting, timed and counted."""
    system, clock, started = model.system, model.composer.dmae.clock, time.perf_counter()
    samples = clock.motion_frames_to_samples(len(dance.features))
    frames = clock.samples_to_latent_frames(samples)
    with generating_by(model, setting) as rows:
        features = torch.from_numpy(dance.features)
        genre = int(system.predict_genre(features).argmax())
        latent = system.generate_long(features, genre, frames, seed=seed)
    wave = decode_piece(model.composer.dmae, latent, setting.decoder or "onepass", setting.decoder_steps, seed)
    music = Music(wave[:, :samples].clamp(-1, 1).numpy(), clock.sample_rate)
    return Made(music, time.perf_counter() - started, sum(rows) / len(system.window_plan(frames).starts))
