"""Music by textual inversion: codes drawn from a frozen MusicGen that is told of the dance window by window."""

from math import ceil

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from d2m.clock import seconds_to_motion_frames
from d2m.model.musicgen import TextCondition
from d2m.model.musicgen_sampling import SamplingSettings, Window, sampled_codes, windows_of
from d2m.model.placement import Placement
from d2m.model.prompt import PromptTokens, checked_prompt
from d2m.names import GENRES
from d2m.systems.beat_grid import BeatGrid, regular_beats
from d2m.systems.interface import Composer, Composition, CompositionRequest, refuse_what_speeds_networks
from d2m.systems.textual_inversion import TextualInversion


class PromptedComposer(Composer):
    """A trained textual inversion with its MusicGen.

    Settings: `prompt`, with one `@` for the genre and one `*` for the rhythm, and any other words around them (instruments, a
    mood); `guidance`, `top_k` and `temperature` of the sampling.

    A long dance is made in windows, each with its own pseudo-words. Ours continues the last codes of the window before; the
    published encoders know windows of one length only, so theirs stand side by side.

    Args:
        system: in evaluation mode.
    """

    settings = frozenset({"prompt", "guidance", "top_k", "temperature"})

    def __init__(self, system: TextualInversion) -> None:
        self.system, self.sample_rate = system, system.music.sample_rate

    def on(self, placement: Placement) -> None:
        """Any device; bfloat16 on GPUs only."""
        refuse_what_speeds_networks(placement, "textual inversion")
        self.placement = placement
        self.system.to(placement.device)

    def predict_genre(self, motion: Float[Tensor, "time 219"]) -> Float[Tensor, "10"]:
        """Averaged over the dance's windows."""
        return self.system.read_in_windows(motion)[0].float().cpu()

    def beat_grid(self, motion: Float[np.ndarray, "time 219"]) -> BeatGrid:
        """The beats that the motion reader's rhythm head reads, where it has learned to."""
        if not self.system.words.reads_rhythm:
            return super().beat_grid(motion)
        activation = self.system.read_in_windows(torch.from_numpy(motion))[1]
        return regular_beats(activation.cpu().numpy(), self.system.words.frame_rate)

    @torch.no_grad()
    def compose(self, request: CompositionRequest) -> Composition:
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
        pieces: list[Tensor] = []
        for batch in batches if request.progress is None else request.progress(batches):
            told = self._told(request, batch, prompt)
            known = torch.cat(pieces, dim=-1)[..., -prefix:] if batch[0].known else None
            frames = max(one.frames for one in batch)
            with self.placement.running():
                codes = sampled_codes(music, told, frames, settings, generator, known)
            pieces += [row[None, :, one.known : one.frames] for row, one in zip(codes, batch, strict=True)]
        waveform = music.waveform(torch.cat(pieces, dim=-1))[0, :, : request.samples]
        return Composition(waveform.float().cpu(), {"prompt": text, **sampling})

    def _told(self, request: CompositionRequest, batch: list[Window], prompt: PromptTokens) -> TextCondition:
        """The words of windows; after the dance's end the dancer stands still."""
        system, features = self.system, request.motion.to(self.system.device)
        rate = system.music.frame_rate
        fixed = seconds_to_motion_frames(system.words.window_seconds) if system.words.fixed_window else None
        rows = []
        for one in batch:
            length = fixed or max(2, seconds_to_motion_frames(one.frames / rate))
            places = torch.arange(length, device=features.device) + seconds_to_motion_frames(one.start / rate)
            rows.append(features[places.clamp(max=len(features) - 1)])
        motion = torch.stack(rows)
        genre = torch.full((len(batch),), request.genre, device=features.device)
        shares = F.one_hot(genre, len(GENRES)).to(motion)
        return system.told(motion, system.read(motion), shares, prompt)
