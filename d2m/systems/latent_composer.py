"""Music by latent diffusion: the dance's latent, and an autoencoder's decoder that turns it into sound."""

from collections.abc import Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from tqdm import tqdm

from d2m.audio.coding import decode_piece
from d2m.audio.dmae import DMAE
from d2m.audio.dmae_weights import load_dmae
from d2m.dance import Dance
from d2m.errors import BadConfig
from d2m.model.placement import Placement
from d2m.systems.batched_generation import AskedLatent, fitting_batch, generate_together
from d2m.systems.beat_grid import BeatGrid
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
from d2m.systems.interface import Composer, Composition, CompositionRequest
from d2m.systems.latent_diffusion import LatentDiffusion
from d2m.systems.tempo import dance_beat_grid

DECODERS = ("onepass", "diffusion")


class LatentComposer(Composer):
    """A latent diffusion system with its autoencoder.

    Settings: `steps` and `guidance` of the sampler, `decoder` (`onepass` or `diffusion`; by default the one-pass decoder
    where the autoencoder has one). `edit` is the file of a song that is moved onto the dance instead of music being
    made anew, `edit_dance` the dance that it was made for, `strength` how far it may be left (`d2m.systems.editing`).
    `batch` windows are denoised at once, also those of several dances; `auto`: as many as memory holds.

    Args:
        system: motion to latent.
        dmae: latent to waveform.

    Raises:
        BadConfig: when the latents are not the autoencoder's.
    """

    has_bfloat16_on_cpu = True
    settings = frozenset({"steps", "guidance", "decoder", "edit", "edit_dance", "strength", "batch"})

    def __init__(self, system: LatentDiffusion, dmae: DMAE) -> None:
        self.system, self.dmae, self.sample_rate = system.eval().requires_grad_(False), dmae, dmae.clock.sample_rate
        self._fitting_batch: int | None = None
        for network in self._networks():  # the same numbers sooner; names and values of the weights stay as they are
            self.placement.place(network)
        if system.clock != dmae.clock or system.unet.in_channels != dmae.latent_channels:
            raise BadConfig(
                f"this checkpoint is made for latents of {system.unet.in_channels} channels on {system.clock}, but autoencoder "
                f"'{dmae.name}' has {dmae.latent_channels} on {dmae.clock}; name the one that it was trained with."
            )

    @staticmethod
    def load(system: LatentDiffusion, dmae: str | Path) -> "LatentComposer":
        """The composer with the autoencoder of that name or path, see `d2m.audio.dmae_weights.load_dmae`."""
        return LatentComposer(system, load_dmae(dmae))

    def _networks(self) -> list[nn.Module]:
        networks = (self.system.unet, self.dmae.autoencoder.net, self.dmae.onepass)
        return [network for network in networks if network is not None]

    def on(self, placement: Placement) -> None:
        """Any device; bfloat16 in the U-Net and the decoders."""
        if placement == self.placement:
            return
        self.placement = placement
        for network in self._networks():
            placement.place(network)
        self.system.to(placement.device)
        self.dmae.to(placement.device)

    def predict_genre(self, motion: Float[Tensor, "time 219"]) -> Float[Tensor, "10"]:
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

    def compose(self, request: CompositionRequest) -> Composition:
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
        return Composition(self.decoded(latent, used["decoder"], request.seed), used)

    def compose_together(self, requests: Sequence[CompositionRequest]) -> list[Composition]:
        """Pieces whose windows share batches; see `compose`."""
        settings = requests[0].settings
        if len(requests) == 1 or "edit" in settings:
            return [self.compose(request) for request in requests]
        _refuse_without_song(settings)
        used, clock = self._used(settings), self.dmae.clock
        asked = [
            AskedLatent(r.motion.to(self.placement.device), r.genre, clock.samples_to_latent_frames(r.samples), r.seed)
            for r in requests
        ]
        with self.placement.running():
            latents = generate_together(self.system, asked, used["steps"], used["guidance"], used.get("batch"))
        pairs = zip(latents, requests, strict=True)
        return [Composition(self.decoded(latent, used["decoder"], one.seed), dict(used)) for latent, one in pairs]

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

    def _edited(self, request: CompositionRequest, asked: Mapping[str, Any], used: dict[str, Any]) -> Tensor:
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
