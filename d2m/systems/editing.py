"""A song moved onto a dance: it is laid on the dance's beats, then its latent is led back to noise, and from there to music under the
dance's condition.

Editing by latent inversion (DDIM inversion, Song et al. 2020, arXiv:2010.02502; for a flow MelodyFlow, Le Lan et al. 2024,
arXiv:2407.03648). The noise that the song would have been made of keeps of its harmony and timbre what the condition does
not decide; sampled anew it comes out with the new dance's beats. The way up goes without a condition, or under that of
the dance that the song was made for; then the song is not laid on beats first, since the way up must know where its own are. It may
stop below pure noise (`strength`): nearer to the song, further from the dance.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from d2m.audio.autoencoder import DMAE
from d2m.audio.chunked_coding import encode_in_chunks
from d2m.core.errors import BadConfig, BadInput
from d2m.core.music import Music
from d2m.diffusion.inversion import inverted, levels_up_to
from d2m.diffusion.samplers import Progress
from d2m.songs.listening import listen
from d2m.songs.passages import DanceBars, passages
from d2m.songs.warp import laid
from d2m.systems.interface import GenerationSettings, LatentRequest, evaluating
from d2m.systems.latent_diffusion import GeneratedLatent, LatentDiffusion

STRENGTH, STRENGTH_ON_BEATS = 0.9, 0.7
"""Where the song keeps its own beats, which the dance's must replace, and where it is laid on the dance's (docs/systems.md has figures)."""

ITERATIONS = 1
"""On the same pairs three gave the same figures; they matter where a song is to come back as it was."""

SHORTEST_SONG_SECONDS = 1.0
LEAST_STEPS = 2
WHOLE_SONG = "the whole song"
ON_BEATS = "a passage laid on the dance's beats"

_WARPED_AT = 44100


@dataclass(frozen=True)
class EditSettings:
    """How a song is edited; the rest is said by `GenerationSettings`, whose steps are those from pure noise to music.

    Args:
        strength: noise level up to which the song is led back; 1 is pure noise.
        iterations: network evaluations to find one step upwards, see `d2m.diffusion.inversion.inverted`.

    Raises:
        BadConfig: for a strength outside (0, 1], or no iteration.
    """

    strength: Any = STRENGTH  # as a user says it, and so checked here
    iterations: int = ITERATIONS

    def __post_init__(self) -> None:
        strength = self.strength
        if isinstance(strength, bool) or not isinstance(strength, float | int) or not 0 < strength <= 1:
            raise BadConfig(
                f"strength={strength}: expected a number above 0 and not above 1; 1 moves the song furthest."
            )
        if self.iterations < 1:
            raise BadConfig(f"iterations={self.iterations}: expected 1 or more.")


@dataclass(frozen=True)
class FittedSong:
    """A song's latent at the length of a dance, and how it was brought there.

    Args:
        latent: of the autoencoder.
        how: one sentence.
        music: what the latent is of.
    """

    latent: Float[Tensor, "channel frame"]
    how: str
    music: Music


def load_song(path: str | Path) -> Music:
    """Read a song that is to be edited.

    Raises:
        BadConfig: when there is no such file.
        BadInput: when it is not readable, or shorter than 1 s.
    """
    if not Path(path).is_file():
        raise BadConfig(f"edit={path}: no such song; give a wav, flac, ogg or mp3 file.")
    song = Music.load(path)
    if song.seconds < SHORTEST_SONG_SECONDS:
        raise BadInput(
            f"{path}: found {song.seconds:.2f} s, expected at least {SHORTEST_SONG_SECONDS:g} s of music; "
            "give a longer song."
        )
    return song


def laid_on_beats(song: Music, dance: DanceBars) -> Music | None:
    """The passage that goes best with a dance, stretched as far as needed so that its beats fall on the dance's.

    None where no beats are heard in the song.
    """
    heard = listen(song)
    ranked = [] if heard.problem else passages({"": heard}, dance, tolerance=float("inf"))
    if not ranked:
        return None
    brought = song.resampled(_WARPED_AT)
    return Music(laid(brought.waveform, _WARPED_AT, ranked[0].laid_under(dance), dance.seconds), _WARPED_AT)


def fitted_song(song: Music, dmae: DMAE, samples: int, dance: DanceBars | None = None) -> FittedSong:
    """The latent of as much of a song as a dance of `samples` samples is long.

    On the beats of `dance`, where it is given and the song has any. Else of a longer song the beginning is taken; a shorter one begins
    again from the start as often as needed.
    """
    clock = dmae.clock
    on_beats = None if dance is None else laid_on_beats(song, dance)
    song = song if on_beats is None else on_beats
    brought = song.resampled(clock.sample_rate)
    if dmae.in_channels == 1 or len(brought.waveform) != dmae.in_channels:
        brought = brought.mono()
    waveform = torch.from_numpy(brought.waveform).expand(dmae.in_channels, -1)
    found, frames = waveform.shape[1], clock.samples_to_latent_frames(samples)
    seconds, wanted = found / clock.sample_rate, samples / clock.sample_rate
    if found >= samples:
        waveform = waveform[:, :samples]
        how = f"the song's first {wanted:.1f} s of {seconds:.1f} s" if seconds - wanted >= 0.05 else WHOLE_SONG
    else:
        waveform = waveform.repeat(1, -(-samples // found))[:, :samples]
        how = f"the whole song, begun again after its {seconds:.1f} s" if wanted - seconds >= 0.05 else WHOLE_SONG
    how = how if on_beats is None else ON_BEATS
    latent = encode_in_chunks(dmae, waveform.contiguous())[:, :frames]
    return FittedSong(latent, how, Music(waveform.numpy(), clock.sample_rate))


@torch.no_grad()
def edited_latent(
    system: LatentDiffusion,
    song: Float[Tensor, "channel frame"],
    dance: LatentRequest,
    edit: EditSettings,
    settings: GenerationSettings,
    old: LatentRequest | None = None,
    progress: Progress | None = None,
) -> GeneratedLatent:
    """The song's latent moved onto a dance, as long as it was.

    Both ways are of first order, so that the way down undoes the way up where the condition is the same; the system's own
    sampler is not used.

    Args:
        song: latent on the autoencoder's scale, of as many frames as are asked for.
        dance: the new one; its noise is that of the song.
        old: the dance that the song was made for; None: it is led back without a condition.
        progress: wraps the steps of the way down.

    Raises:
        BadConfig: for fewer than 2 steps.
    """
    if settings.steps < LEAST_STEPS:
        raise BadConfig(f"steps={settings.steps}: editing needs {LEAST_STEPS} or more, one step forgets the song.")
    path, levels = system.objective.path, levels_up_to(edit.strength, settings.steps)
    read = system.read([dance], settings)
    leaving = read if old is None else system.read([old], settings)
    genre = int(leaving.genre_probabilities()[0].argmax()) if old is None or old.genre is None else old.genre
    plain = replace(settings, guidance=0 if old is None else 1, guidance_rescale=0, guidance_interval=None)
    whole = torch.nn.functional.pad(song, (0, read.plans[0].total_frames - song.shape[1]), mode="replicate")
    x0 = system.standardised(whole[None].to(dance.features))
    with evaluating(system):
        noise = inverted(path, system.denoiser(leaving, [genre], plain), x0, levels, edit.iterations)
    return system.generate_latents([replace(dance, noise=noise[0])], settings, progress, levels, read)[0]
