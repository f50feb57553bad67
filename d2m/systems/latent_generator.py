"""Music by latent diffusion: the dances' latents, and an autoencoder's decoder that turns them into sound."""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from scipy.ndimage import uniform_filter1d
from torch import Tensor, nn
from tqdm import tqdm

from d2m.audio.autoencoder import DMAE
from d2m.audio.chunked_coding import decode_in_chunks
from d2m.audio.pretrained import load_dmae, weights_sha256
from d2m.core.errors import BadConfig
from d2m.core.lead_sheet import LeadSheet
from d2m.core.timeline import MOTION_FPS
from d2m.metrics.harmony import lead_sheet_of
from d2m.models.device import DeviceConfig
from d2m.motion.dance import Dance
from d2m.motion.features import FEATURE_WIDTH
from d2m.motion.kinematic_beats import joint_speed
from d2m.rhythm.tracking import track_beats
from d2m.songs.passages import DanceBars
from d2m.systems.editing import (
    ON_BEATS,
    STRENGTH,
    STRENGTH_ON_BEATS,
    WHOLE_SONG,
    EditSettings,
    edited_latent,
    fitted_song,
    load_song,
)
from d2m.systems.interface import (
    DanceReading,
    GeneratedMusic,
    GenerationRequest,
    GenerationSettings,
    LatentRequest,
    MusicGenerator,
)
from d2m.systems.latent_diffusion import KEYS_VALUES_BYTES, GeneratedLatent, LatentDiffusion

LARGEST_BATCH = 32
"""Windows at once; more gain no time."""
_SECTION_S = 4.0
"""Over which moves are averaged, where the energy is the dance's."""

_SHARE_OF_FREE_MEMORY = 4
_CHORD_S = 0.5  # between looks at a song's chords where no beats are given

_GENERATION = frozenset({
    "steps", "guidance", "guidance_rescale", "guidance_interval", "grid", "sampler", "decoder", "decoder_steps", "batch",
})  # fmt: skip
"""Fields of `GenerationSettings` that may be asked for."""


@torch.no_grad()
def fitting_batch(system: LatentDiffusion, free_bytes: int) -> int:
    """Windows that may be denoised at once: as many as memory holds with their keys and values, up to `LARGEST_BATCH`.

    Args:
        system: on any device.
        free_bytes: of that device's memory; at most a quarter is taken.
    """
    still = torch.zeros(system.clock.window_motion_frames, FEATURE_WIDTH, device=system.latent_mean.device)
    asked = LatentRequest(still, system.clock.window_latent_frames)
    condition = system.read([asked], system.generation).read.condition
    kept = 2 * system.unet.keys_values_bytes(condition)  # guidance joins both halves
    row = kept + 2 * system.unet.activation_bytes(system.clock.window_latent_frames)
    fitting = [free_bytes // _SHARE_OF_FREE_MEMORY // max(row, 1), LARGEST_BATCH]
    fitting += [KEYS_VALUES_BYTES // kept] if kept else []
    return max(1, min(fitting))


class LatentGenerator(MusicGenerator):
    """A latent diffusion system with its autoencoder.

    Settings: those of `GenerationSettings`, such as `steps` and `guidance`. `edit` is the file of a song that is moved onto the dance instead of music being
    made anew, its chords told to a system that takes a lead sheet, `edit_dance` the dance that it was made for, `strength` how far it may be left (`d2m.systems.editing`).
    `key`, `chords` and `energy` are told to a system that takes a lead sheet; without `key` one is drawn, `key=none` tells none. `energy` is a number, several
    that are spread over the piece, `none`, or `dance`, which it is without: larger where the dance moves more than it does on average.
    `batch` windows are denoised at once, also those of several dances; `auto`: as many as memory holds.

    Args:
        system: motion to latent; put into evaluation mode.
        made_with: what the training data noted; `dmae` is the autoencoder of its latents.
        autoencoder: another one that fits, by name or path, see `d2m.audio.pretrained.load_dmae`.

    Raises:
        BadConfig: when the latents are not the autoencoder's, or its encoder is not the one that made those of the training.
    """

    has_bfloat16_on_cpu = True
    settings = _GENERATION | {"edit", "edit_dance", "strength", "key", "chords", "energy"}

    def __init__(
        self, system: LatentDiffusion, made_with: Mapping[str, Any], autoencoder: str | Path | None = None
    ) -> None:
        dmae: DMAE = load_dmae(autoencoder or made_with["dmae"])
        self.system, self.dmae, self.sample_rate = system.eval().requires_grad_(False), dmae, dmae.clock.sample_rate
        self.rhythm_reader = system.reader
        self._fitting_batch: int | None = None
        for network in self._networks():  # the same numbers sooner; names and values of the weights stay as they are
            self.device_config.place(network)
        if system.clock != dmae.clock or system.unet.in_channels != dmae.latent_channels:
            raise BadConfig(
                f"this checkpoint is made for latents of {system.unet.in_channels} channels on {system.clock}, but autoencoder "
                f"'{dmae.name}' has {dmae.latent_channels} on {dmae.clock}; name the one that it was trained with (autoencoder=FILE)."
            )
        found, learnt = weights_sha256(dmae), made_with.get("dmae_sha256")
        if learnt not in (None, found):
            raise BadConfig(
                f"autoencoder {autoencoder or dmae.name}: its encoder has the fingerprint {found[:12]}, but the system was trained on latents "
                f"of {learnt[:12]}; name the autoencoder that it was trained with."
            )

    def _networks(self) -> list[nn.Module]:
        networks = (self.system.unet, self.dmae.diffusion_network, self.dmae.onepass)
        return [network for network in networks if network is not None]

    def on(self, device_config: DeviceConfig) -> None:
        """Any device; bfloat16 in the U-Net and the decoders."""
        if device_config == self.device_config:
            return
        self.device_config = device_config
        for network in self._networks():
            device_config.place(network)
        self.system.to(device_config.device)
        self.dmae.to(device_config.device)

    def read(self, motion: Float[Tensor, "time 219"]) -> DanceReading | None:
        """Genre and beats, by the system's rhythm reader; averaged over the windows of the dance where it has none. None where the
        condition takes no beats, whatever is read."""
        if not self.system.conditioner.takes_beats:
            return None
        if self.rhythm_reader is not None:
            return super().read(motion)
        frames = max(1, int(len(motion) / MOTION_FPS * self.dmae.clock.latent_rate))
        asked = LatentRequest(motion.to(self.device_config.device), frames)
        read = self.system.read([asked], self.system.generation)
        curve = read.beat_activation()
        if curve is None:
            return None
        beats = track_beats(curve[:frames], self.dmae.clock.latent_rate)
        return DanceReading(read.genre_probabilities()[0], beats)

    def read_seen(self, points: Float[Tensor, "time 13 2"]) -> DanceReading | None:
        """By the system's rhythm reader, which looks at every dance from the side; None where it has none."""
        return super().read_seen(points) if self.system.conditioner.takes_beats else None

    def at_once(self, samples: Sequence[int], settings: Mapping[str, Any]) -> int:
        """As many pieces as have the windows that are asked for; 1 where a song is edited, or nothing was asked."""
        batch = self._batch(settings.get("batch"))
        if batch is None or "edit" in settings:
            return 1
        frames = [self.dmae.clock.samples_to_latent_frames(count) for count in samples]
        windows = list(accumulate(len(self.system.window_plan(count).starts) for count in frames))
        return max(1, sum(count <= batch for count in windows))

    def generate(self, request: GenerationRequest) -> GeneratedMusic:
        """See `generate_together`."""
        return self.generate_together([request])[0]

    def generate_together(self, requests: Sequence[GenerationRequest]) -> list[GeneratedMusic]:
        """Latents of whole dances in windows that share batches, or of songs edited one by one; then decoded.

        Raises:
            BadConfig: for a decoder that the autoencoder lacks, a batch that is none, or settings of an edit without a song.
            BadInput: when the song or its dance cannot be used.
        """
        asked = requests[0].settings
        settings = self._settings(asked)
        used = {
            name: getattr(settings, name)
            for name in ("steps", "guidance", "decoder", *sorted(_GENERATION & asked.keys()))
        }
        used["guidance"] = float(settings.guidance)
        sheets = [self._sheet(one) for one in requests]
        wanted = [
            LatentRequest(
                one.motion.to(self.device_config.device),
                self.dmae.clock.samples_to_latent_frames(one.samples),
                one.genre,
                one.seed,
                beats=one.beats,
                genre_probabilities=one.reading and one.reading.genre_probabilities,
                sheet=sheet,
            )
            for one, sheet in zip(requests, sheets, strict=True)
        ]
        if "edit" in asked:
            latents = [self._edited(latent, one, settings, used) for latent, one in zip(wanted, requests, strict=True)]
        else:
            for name in asked.keys() & {"strength", "edit_dance"}:
                raise BadConfig(
                    f"{name}={asked[name]}: says how a song is edited, but no song is named; add edit=SONG.wav."
                )
            with self.device_config.running():
                latents = self.system.generate_latents(wanted, settings, requests[0].progress)
        alike = {"energy": _energy_asked(asked)} | ({"chords": asked["chords"]} if "chords" in asked else {})
        told = [{} if sheet is None else {"key": sheet.key, **alike} for sheet in sheets]
        return [
            GeneratedMusic(
                self.decoded(one.latent, settings, request.seed), used | key, one.genre, one.genre_probabilities
            )
            for one, request, key in zip(latents, requests, told, strict=True)
        ]

    def _sheet(self, request: GenerationRequest) -> LeadSheet | None:
        """What is told of the harmony; None where the system takes none.

        A key is drawn where none is asked for, so that all windows of a long piece are in the same: by seed and dance, so that
        neither takes nor dances are all in one key.
        """
        asked = {name: request.settings[name] for name in ("key", "chords", "energy") if name in request.settings}
        if not self.system.conditioner.takes_lead_sheet:
            for name, value in asked.items():
                raise BadConfig(f"{name}={value}: this checkpoint takes no {name}; leave it out.")
            return None
        asked["key"] = None if asked.get("key") == "none" else asked.get("key")
        asked["energy"] = self._levels(_energy_asked(request.settings), request)
        sheet = LeadSheet.of(**asked)
        if "key" not in request.settings and not sheet.chords and "edit" not in request.settings:
            dance = zlib.crc32(request.motion[:: int(MOTION_FPS)].cpu().double().numpy().round(2).tobytes())
            drawn = LeadSheet.drawn([request.seed % 2**63, dance])
            sheet = replace(sheet, tonic=drawn.tonic, mode=drawn.mode)
        if not sheet.chords:
            return sheet
        if request.beats is None:
            raise BadConfig(
                f"chords={asked['chords']}: there are no beats that they could change on; give beats= or tempo=."
            )
        return sheet.timed(request.beats.beats_s)

    def _levels(self, asked: Any, request: GenerationRequest) -> Any:
        """The energy as one number, or one for each second of the piece."""
        if asked == "none":
            return None
        if asked == "dance":
            speed = joint_speed(request.motion.cpu().numpy()) + 0.1  # m/s of all joints: a body at rest trembles
            moved = uniform_filter1d(np.log(speed), round(_SECTION_S * MOTION_FPS), mode="nearest")
            levels = 0.5 + (moved - moved.mean())[:: int(MOTION_FPS)]
            return levels.clip(0, 1).tolist()
        if not isinstance(asked, Sequence) or isinstance(asked, str):
            return asked
        LeadSheet.of(energy=list(asked))  # refused before it is stretched
        seconds = request.samples / self.sample_rate
        return np.interp(np.arange(seconds) + 0.5, np.linspace(0, seconds, len(asked)), asked).tolist()

    def _settings(self, asked: Mapping[str, Any]) -> GenerationSettings:
        """The system's own settings with those that are asked for in their place, and the autoencoder's decoder."""
        given = {name: asked[name] for name in _GENERATION & asked.keys()}
        if "batch" in given:
            given["batch"] = self._batch(given["batch"])
        settings = replace(self.system.generation, **given)
        decoder = settings.decoder or ("diffusion" if self.dmae.onepass is None else "onepass")
        if decoder == "onepass" and self.dmae.onepass is None:
            raise BadConfig(f"decoder=onepass: autoencoder '{self.dmae.name}' has none; use decoder=diffusion.")
        return replace(settings, decoder=decoder)

    def _batch(self, asked: Any) -> int | None:
        if asked == "auto":
            if self._fitting_batch is None:
                self._fitting_batch = fitting_batch(self.system, self.device_config.free_bytes())
            return self._fitting_batch
        if asked is not None and (type(asked) is not int or asked < 1):
            raise BadConfig(f"batch={asked}: expected how many windows are denoised at once, 1 or more, or auto.")
        return asked

    def _edited(
        self, wanted: LatentRequest, request: GenerationRequest, settings: GenerationSettings, used: dict[str, Any]
    ) -> GeneratedLatent:
        """The latent of a song moved onto the dance; adds what was done to `used`."""
        asked = request.settings
        EditSettings(asked.get("strength", STRENGTH))  # refused before the song is listened to
        song, old, dance = load_song(asked["edit"]), None, None
        if "edit_dance" in asked:
            features = torch.from_numpy(Dance.load(asked["edit_dance"]).features).to(self.device_config.device)
            old = LatentRequest(features, wanted.frames)
        else:
            if (
                wanted.beats is None
                and self.rhythm_reader is not None
                and (read := request.reading or self.read(request.motion))
            ):
                wanted = replace(wanted, beats=read.beats.grid, genre_probabilities=read.genre_probabilities)
            if wanted.beats is not None:
                dance = DanceBars.of(request.motion.cpu().numpy(), wanted.beats)
        fitted = fitted_song(song, self.dmae, request.samples, dance)
        edit = EditSettings(asked.get("strength", STRENGTH_ON_BEATS if fitted.how == ON_BEATS else STRENGTH))
        if fitted.how not in (WHOLE_SONG, ON_BEATS):
            where = "" if dance is None else " It has no steady beat, so it is not laid on the dance's."
            tqdm.write(f"{asked['edit']}: used is {fitted.how}, to be as long as the dance.{where}")
        if wanted.sheet == LeadSheet():  # nothing else was asked for: the song's own chords
            edges_s = np.arange(0, fitted.music.seconds, _CHORD_S) if wanted.beats is None else wanted.beats.beats_s
            wanted = replace(wanted, sheet=lead_sheet_of(fitted.music, edges_s[edges_s > -_CHORD_S]))
        used |= {"edit": str(asked["edit"]), "edit_used": fitted.how, "strength": float(edit.strength)}
        used |= {"edit_dance": str(asked["edit_dance"])} if old else {}
        with self.device_config.running():
            return edited_latent(self.system, fitted.latent, wanted, edit, settings, old, request.progress)

    def decoded(
        self, latent: Float[Tensor, "channel frame"], settings: GenerationSettings, seed: int, first_frame: int = 0
    ) -> Float[Tensor, "_ sample"]:
        """The sound of a latent, or of a part of one that begins at a frame."""
        with torch.no_grad(), self.device_config.running():
            return decode_in_chunks(
                self.dmae,
                latent.float(),
                settings.decoder or "onepass",
                settings.decoder_steps,
                seed,
                first_frame=first_frame,
            )


def _energy_asked(asked: Mapping[str, Any]) -> Any:
    """The dance's own, unless something else is asked for or a song is edited, which has its own."""
    return asked.get("energy", "none" if "edit" in asked else "dance")
