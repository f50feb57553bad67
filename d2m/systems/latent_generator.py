"""Many dances at once: their windows share the batches that the U-Net is asked for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from tqdm import tqdm

from d2m.audio.autoencoder import DMAE
from d2m.audio.chunked_coding import decode_piece
from d2m.audio.pretrained import load_dmae, weights_sha256
from d2m.core.errors import BadConfig
from d2m.core.timeline import MOTION_FPS
from d2m.diffusion.multidiffusion import joined_plans
from d2m.models.conditioner import MotionWindow
from d2m.models.device import DeviceConfig
from d2m.models.heads import UNKNOWN_GENRE, unknown_genres
from d2m.motion.dance import Dance
from d2m.motion.features import FEATURE_WIDTH
from d2m.motion.retime import BeatGrid, regular_beats
from d2m.systems.editing import (
    STRENGTH,
    WHOLE_SONG,
    EditSettings,
    TimedDance,
    checked_strength,
    edited_latent,
    fitted_song,
    load_song,
)
from d2m.systems.interface import GeneratedMusic, GenerationRequest, MusicGenerator, evaluating
from d2m.systems.latent_diffusion import KEYS_VALUES_BYTES, LatentDiffusion

LARGEST_BATCH = 32
"""Windows at once; more gain no time."""

_SHARE_OF_FREE_MEMORY = 4


@dataclass(frozen=True)
class AskedLatent:
    """One of several latents that are made together.

    Args:
        features: of the dance, on the system's device.
        genre: class number; None: not told.
        frames: of the latent.
        seed: of its noise.
    """

    features: Float[Tensor, "time 219"]
    genre: int | None
    frames: int
    seed: int = 0


@torch.no_grad()
def generate_together(
    system: LatentDiffusion,
    asked: Sequence[AskedLatent],
    steps: int | None = None,
    guidance: float | None = None,
    batch: int | None = None,
) -> list[Float[Tensor, "channel _"]]:
    """Latents of several dances, each as `LatentDiffusion.generate_long` makes it.

    Args:
        system: on any device.
        asked: the dances.
        steps, guidance: None: the system's own.
        batch: windows denoised at once; None: the system's own.
    """
    plans = [system.window_plan(one.frames) for one in asked]
    windows = [system.motion_windows(one.features, plan) for one, plan in zip(asked, plans, strict=True)]
    genres = [UNKNOWN_GENRE if one.genre is None else one.genre for one in asked]
    told = [genre for genre, rows in zip(genres, windows, strict=True) for _ in rows]
    noise = [
        torch.randn(1, system.unet.in_channels, plan.total_frames, generator=torch.Generator().manual_seed(one.seed))
        for one, plan in zip(asked, plans, strict=True)
    ]
    with evaluating(system):
        denoiser = system.windows_denoiser(torch.cat(windows), told, joined_plans(plans), guidance, batch)
        latent = system.sampled(denoiser, torch.cat(noise, dim=-1).to(windows[0]), steps)
    pieces = system.restored(latent)[0].split([plan.total_frames for plan in plans], dim=-1)
    return [piece[:, : one.frames] for piece, one in zip(pieces, asked, strict=True)]


@torch.no_grad()
def fitting_batch(system: LatentDiffusion, free_bytes: int) -> int:
    """Windows that may be denoised at once: as many as memory holds with their keys and values, up to `LARGEST_BATCH`.

    Args:
        system: on any device.
        free_bytes: of that device's memory; at most a quarter is taken.
    """
    device = system.latent_mean.device
    still = torch.zeros(1, system.clock.window_motion_frames, FEATURE_WIDTH, device=device)
    with evaluating(system):
        condition = system.conditioned(still, unknown_genres(1, device), training=False).condition
    kept = 2 * system.unet.keys_values_bytes(condition)  # guidance joins both halves
    row = kept + 2 * system.unet.activation_bytes(system.clock.window_latent_frames)
    fitting = [free_bytes // _SHARE_OF_FREE_MEMORY // max(row, 1), LARGEST_BATCH]
    fitting += [KEYS_VALUES_BYTES // kept] if kept else []
    return max(1, min(fitting))


# The beats that a latent diffusion system reads in a dance.


def beat_activation(
    system: LatentDiffusion, features: Float[np.ndarray, "time 219"]
) -> Float[np.ndarray, " frame"] | None:
    """Probability of a beat at the centre of each latent frame, as the rhythm head reads it; None without such a head."""
    motion = torch.from_numpy(features).to(system.device)
    frames = max(1, int(len(motion) / MOTION_FPS * system.clock.latent_rate))
    plan = system.window_plan(frames)
    total, count = np.zeros(plan.total_frames), np.zeros(plan.total_frames)
    for start, window in zip(plan.starts, system.motion_windows(motion, plan), strict=True):
        with torch.no_grad():
            seen = MotionWindow(window[None], system.normalizer(window[None]))
            logits = system.conditioner(seen, unknown_genres(1, window.device)).rhythm_logits
        if logits is None:
            return None
        total[start : start + plan.window_frames] += logits[0, 0].float().sigmoid().cpu().numpy()
        count[start : start + plan.window_frames] += 1
    return (total / count)[:frames]


def dance_beat_grid(system: LatentDiffusion, features: Float[np.ndarray, "time 219"]) -> BeatGrid:
    """The regular beats that fit a dance best.

    Raises:
        BadConfig: when the system reads no rhythm from motion.
    """
    curve = beat_activation(system, features)
    if curve is None:
        raise BadConfig("this checkpoint does not read a beat from motion, so no tempo can be asked for; leave it out.")
    return regular_beats(curve, system.clock.latent_rate)


# Music by latent diffusion: the dance's latent, and an autoencoder's decoder that turns it into sound.


DECODERS = ("onepass", "diffusion")


class LatentGenerator(MusicGenerator):
    """A latent diffusion system with its autoencoder.

    Settings: `steps` and `guidance` of the sampler, `decoder` (`onepass` or `diffusion`; by default the one-pass decoder
    where the autoencoder has one). `edit` is the file of a song that is moved onto the dance instead of music being
    made anew, `edit_dance` the dance that it was made for, `strength` how far it may be left (`d2m.systems.editing`).
    `batch` windows are denoised at once, also those of several dances; `auto`: as many as memory holds.

    Args:
        system: motion to latent; put into evaluation mode.
        made_with: what the training data noted; `dmae` is the autoencoder of its latents.
        autoencoder: another one that fits, by name or path, see `d2m.audio.pretrained.load_dmae`.

    Raises:
        BadConfig: when the latents are not the autoencoder's, or its encoder is not the one that made those of the training.
    """

    has_bfloat16_on_cpu = True
    settings = frozenset({"steps", "guidance", "decoder", "edit", "edit_dance", "strength", "batch"})

    def __init__(
        self, system: LatentDiffusion, made_with: Mapping[str, Any], autoencoder: str | Path | None = None
    ) -> None:
        dmae: DMAE = load_dmae(autoencoder or made_with["dmae"])
        self.system, self.dmae, self.sample_rate = system.eval().requires_grad_(False), dmae, dmae.clock.sample_rate
        self._fitting_batch: int | None = None
        for network in self._networks():  # the same numbers sooner; names and values of the weights stay as they are
            self.placement.place(network)
        if system.clock != dmae.clock or system.unet.in_channels != dmae.latent_channels:
            raise BadConfig(
                f"this checkpoint is made for latents of {system.unet.in_channels} channels on {system.clock}, but autoencoder "
                f"'{dmae.name}' has {dmae.latent_channels} on {dmae.clock}; name the one that it was trained with."
            )
        found, learnt = weights_sha256(dmae), made_with.get("dmae_sha256")
        if learnt not in (None, found):
            raise BadConfig(
                f"autoencoder {autoencoder or dmae.name}: its encoder has the fingerprint {found[:12]}, but the system was trained on latents "
                f"of {learnt[:12]}; name the autoencoder that it was trained with."
            )

    def _networks(self) -> list[nn.Module]:
        networks = (self.system.unet, self.dmae.autoencoder.net, self.dmae.onepass)
        return [network for network in networks if network is not None]

    def on(self, placement: DeviceConfig) -> None:
        """Any device; bfloat16 in the U-Net and the decoders."""
        if placement == self.placement:
            return
        self.placement = placement
        for network in self._networks():
            placement.place(network)
        self.system.to(placement.device)
        self.dmae.to(placement.device)

    def predict_genre(self, motion: Float[Tensor, "time 219"]) -> Float[Tensor, " 10"]:
        """Averaged over the dance's windows."""
        return self.system.predict_genre(motion.to(self.placement.device)).cpu()

    def beat_grid(self, motion: Float[np.ndarray, "time 219"]) -> BeatGrid:
        """The beats that the rhythm head reads."""
        return dance_beat_grid(self.system, motion)

    def at_once(self, samples: Sequence[int], settings: Mapping[str, Any]) -> int:
        """As many pieces as have the windows that are asked for; 1 where a song is edited, or nothing was asked."""
        batch = self._batch(settings.get("batch"))
        if batch is None or "edit" in settings:
            return 1
        frames = [self.dmae.clock.samples_to_latent_frames(count) for count in samples]
        windows = list(accumulate(len(self.system.window_plan(count).starts) for count in frames))
        return max(1, sum(count <= batch for count in windows))

    def generate(self, request: GenerationRequest) -> GeneratedMusic:
        """Sample the latent of the whole dance in windows that agree, or edit a song's, then decode it.

        Raises:
            BadConfig: for a decoder that is unknown or that the autoencoder lacks, a batch that is none, or settings of an
                edit without a song.
            BadInput: when the song or its dance cannot be used.
        """
        asked, used = dict(request.settings), self._used(request.settings)
        if "edit" in asked:
            latent = self._edited(request, asked, used)
        else:
            _refuse_without_song(asked)
            frames = self.dmae.clock.samples_to_latent_frames(request.samples)
            with self.placement.running():
                latent = self.system.generate_long(
                    request.motion.to(self.placement.device), request.genre, frames, used["steps"], used["guidance"],
                    request.seed, used.get("batch"), request.progress,
                )  # fmt: skip
        return GeneratedMusic(self.decoded(latent, used["decoder"], request.seed), used)

    def compose_together(self, requests: Sequence[GenerationRequest]) -> list[GeneratedMusic]:
        """EncodeItems whose windows share batches; see `compose`."""
        settings = requests[0].settings
        if len(requests) == 1 or "edit" in settings:
            return [self.generate(request) for request in requests]
        _refuse_without_song(settings)
        used, clock = self._used(settings), self.dmae.clock
        asked = [
            AskedLatent(r.motion.to(self.placement.device), r.genre, clock.samples_to_latent_frames(r.samples), r.seed)
            for r in requests
        ]
        with self.placement.running():
            latents = generate_together(self.system, asked, used["steps"], used["guidance"], used.get("batch"))
        pairs = zip(latents, requests, strict=True)
        return [GeneratedMusic(self.decoded(latent, used["decoder"], one.seed), dict(used)) for latent, one in pairs]

    def _used(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        own, batch = self.system.generation, self._batch(asked.get("batch"))
        used = {
            "steps": asked.get("steps", own.steps),
            "guidance": float(asked.get("guidance", own.guidance)),
            "decoder": self._decoder(asked.get("decoder")),
        }
        return used if batch is None else {**used, "batch": batch}

    def _batch(self, asked: Any) -> int | None:
        if asked == "auto":
            if self._fitting_batch is None:
                self._fitting_batch = fitting_batch(self.system, self.placement.free_bytes())
            return self._fitting_batch
        if asked is not None and (type(asked) is not int or asked < 1):
            raise BadConfig(f"batch={asked}: expected how many windows are denoised at once, 1 or more, or auto.")
        return asked

    def _edited(self, request: GenerationRequest, asked: Mapping[str, Any], used: dict[str, Any]) -> Tensor:
        """The latent of a song moved onto the dance; adds what was done to `used`."""
        strength = checked_strength(asked.get("strength", STRENGTH))
        settings = EditSettings(strength, used["steps"], used["guidance"])
        song, old = load_song(asked["edit"]), None
        if "edit_dance" in asked:
            features = torch.from_numpy(Dance.load(asked["edit_dance"]).features).to(self.placement.device)
            old = TimedDance(features, int(self.predict_genre(features).argmax()))
        fitted = fitted_song(song, self.dmae, request.samples)
        if fitted.how != WHOLE_SONG:
            tqdm.write(f"{asked['edit']}: used is {fitted.how}, to be as long as the dance.")
        used |= {"edit": str(asked["edit"]), "edit_used": fitted.how, "strength": strength}
        used |= {"edit_dance": str(asked["edit_dance"])} if old else {}
        dance = TimedDance(request.motion.to(self.placement.device), request.genre)
        with self.placement.running():
            return edited_latent(self.system, fitted.latent, dance, settings, old, request.progress)

    def decoded(self, latent: Float[Tensor, "channel frame"], decoder: str, seed: int) -> Float[Tensor, "_ sample"]:
        """The sound of a latent."""
        with torch.no_grad(), self.placement.running():
            return decode_piece(self.dmae, latent.float(), decoder, seed=seed)

    def _decoder(self, asked: str | None) -> str:
        decoder = asked or ("onepass" if self.dmae.onepass is not None else "diffusion")
        if decoder not in DECODERS:
            raise BadConfig(f"decoder={decoder}: unknown; expected {' or '.join(DECODERS)}.")
        if decoder == "onepass" and self.dmae.onepass is None:
            raise BadConfig(f"decoder=onepass: autoencoder '{self.dmae.name}' has none; use decoder=diffusion.")
        return decoder


def _refuse_without_song(asked: Mapping[str, Any]) -> None:
    for name in ("strength", "edit_dance"):
        if name in asked:
            raise BadConfig(
                f"{name}={asked[name]}: says how a song is edited, but no song is named; add edit=SONG.wav."
            )
