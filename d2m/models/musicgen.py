"""MusicGen as it is: a frozen text-to-music model, conditioned by input embeddings of its text encoder.

MusicGen (Copet et al., NeurIPS 2023, arXiv:2306.05284) of `transformers`, from a local folder or a hub: T5 reads the prompt, a
decoder predicts EnCodec's codes with the delay pattern, EnCodec turns codes into sound.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from d2m.audio.torchaudio_cpu import ensure_torchaudio
from d2m.core.errors import BadConfig
from d2m.models.pseudo_words import PromptTokens, PseudoWords
from d2m.models.token_decoder import delayed, shifted_right, undelayed

DECODED_SECONDS, DECODED_MARGIN_SECONDS = 60, 2
"""A longer piece is decoded in stretches of this length, of which this much is thrown away where they meet."""


@dataclass(frozen=True)
class TextCondition:
    """What the text encoder made of prompts.

    Args:
        hidden: its last layer, in the decoder's width.
        mask: 1 where there is a token; all 0 in rows that say nothing.
    """

    hidden: Float[Tensor, "batch token feature"]
    mask: Int[Tensor, "batch token"]

    def with_null(self) -> "TextCondition":
        """Every row, and after them the same number of rows that say nothing: for classifier-free guidance."""
        return TextCondition(
            torch.cat([self.hidden, torch.zeros_like(self.hidden)]), torch.cat([self.mask, torch.zeros_like(self.mask)])
        )


class FrozenMusicGen:
    """A MusicGen in evaluation mode whose weights never change.

    No `nn.Module`, so that its weights come into no state dict, optimiser, average or checkpoint of the system that uses it.

    Args:
        model: a `MusicgenForConditionalGeneration`.
        tokenizer: of its text encoder.
        name: folder or hub id, for messages.

    Raises:
        BadConfig: for a MusicGen of a kind that this project does not do (stereo, codes of another codec).
    """

    def __init__(self, model: Any, tokenizer: Any, name: str) -> None:
        self.model, self.tokenizer, self.name = model.eval().requires_grad_(False), tokenizer, name
        decoder, codec = model.config.decoder, model.config.audio_encoder
        self.codebooks, self.codebook_size = int(decoder.num_codebooks), int(decoder.vocab_size)
        self.sample_rate, self.hop_samples = int(codec.sampling_rate), int(codec.hop_length)
        self.width = int(model.text_encoder.get_input_embeddings().weight.shape[1])
        self.pad = int(decoder.vocab_size if decoder.pad_token_id is None else decoder.pad_token_id)
        if getattr(decoder, "decoder_start_token_id", None) is None:
            decoder.decoder_start_token_id = self.pad
        self._check(decoder, codec)
        table = model.text_encoder.get_input_embeddings().weight
        self.word_size = float(table.detach().float().square().mean().sqrt())

    @staticmethod
    def load(name: str, width: int) -> "FrozenMusicGen":
        """Read a MusicGen from a folder, or from the hub (a download where it is not on this computer yet).

        Args:
            name: folder, or hub id such as `facebook/musicgen-small`.
            width: of the pseudo-words that are put into its prompts.

        Raises:
            BadConfig: when `transformers` is missing, when there is nothing under that name, or something else than a
                MusicGen whose text encoder has this width.
        """
        ensure_torchaudio()  # transformers imports it
        try:
            from transformers import AutoConfig, AutoTokenizer, MusicgenForConditionalGeneration
        except ImportError as error:
            raise BadConfig(
                "system=textual_inversion needs the package transformers, which is not installed; run "
                'pip install -e ".[musicgen]".'
            ) from error
        if Path(name).is_dir() and not (Path(name) / "config.json").is_file():
            raise BadConfig(f"musicgen={name}: the folder has no config.json; give the folder of a whole MusicGen.")
        try:
            kind = AutoConfig.from_pretrained(name).model_type
        except Exception as error:
            raise _not_loaded(name, error) from error
        if kind != "musicgen":
            raise BadConfig(
                f"musicgen={name}: found a model of type '{kind}', expected 'musicgen'; give a folder or hub id of a "
                "MusicGen such as facebook/musicgen-small."
            )
        try:
            tokenizer = AutoTokenizer.from_pretrained(name)
            model = MusicgenForConditionalGeneration.from_pretrained(name)
        except Exception as error:
            raise _not_loaded(name, error) from error
        music = FrozenMusicGen(model, tokenizer, name)
        if music.width != width:
            raise BadConfig(
                f"musicgen={name}: its text encoder has {music.width} features a word, but these pseudo-words have {width}; "
                "use the MusicGen that they were trained with, or train others with that width."
            )
        return music

    def _check(self, decoder: Any, codec: Any) -> None:
        faults = []
        if getattr(decoder, "audio_channels", 1) != 1 or codec.audio_channels != 1:
            faults.append("makes stereo sound, expected mono")
        if codec.codebook_size != self.codebook_size:
            faults.append(f"has codes up to {self.codebook_size}, but its codec has {codec.codebook_size}")
        if codec.chunk_length_s is not None:
            faults.append("has a codec that works in chunks, expected one that does not")
        if not getattr(self.tokenizer, "is_fast", False):
            faults.append("has a tokenizer that does not say which characters a token stands for")
        if faults:
            raise BadConfig(f"musicgen={self.name}: {faults[0]}; give another, such as facebook/musicgen-small.")

    @property
    def frame_rate(self) -> float:
        """Frames of codes per second."""
        return self.sample_rate / self.hop_samples

    @property
    def device(self) -> torch.device:
        """Where its weights are."""
        return next(self.model.parameters()).device

    def on(self, device: torch.device | str) -> "FrozenMusicGen":
        """Itself, with its weights on that device."""
        if self.device != torch.device(device):
            self.model.to(device)
        return self

    # Sound

    @torch.no_grad()
    def codes(self, waveform: Float[Tensor, "batch 1 sample"]) -> Int[Tensor, "batch codebook frame"]:
        """EnCodec's codes of mono sound at `sample_rate`; one frame for each started hop.

        Raises:
            BadConfig: when the codec has another number of codebooks than the decoder predicts.
        """
        with torch.autocast(self.device.type, enabled=False):  # half precision would choose other codes
            codes = self.model.audio_encoder.encode(waveform.float()).audio_codes[0]
        if codes.shape[1] != self.codebooks:
            raise BadConfig(
                f"musicgen={self.name}: predicts {self.codebooks} codebooks, but its codec has {codes.shape[1]}; "
                "give another, such as facebook/musicgen-small."
            )
        return codes

    @torch.no_grad()
    def waveform(self, codes: Int[Tensor, "batch codebook frame"]) -> Float[Tensor, "batch 1 sample"]:
        """Sound of codes of any length, one hop for each frame."""
        length, margin = (round(seconds * self.frame_rate) for seconds in (DECODED_SECONDS, DECODED_MARGIN_SECONDS))
        if codes.shape[-1] <= length:
            return self._decoded(codes)
        pieces = []
        for start in range(0, codes.shape[-1], length - 2 * margin):
            first, last = max(0, start - margin), min(codes.shape[-1], start + length - margin)
            kept = slice((start - first) * self.hop_samples, (start - first + length - 2 * margin) * self.hop_samples)
            pieces.append(self._decoded(codes[..., first:last])[..., kept])
        return torch.cat(pieces, dim=-1)

    def _decoded(self, codes: Tensor) -> Tensor:
        sound = self.model.audio_encoder.decode(codes[None], [None]).audio_values
        samples = codes.shape[-1] * self.hop_samples
        return F.pad(sound, (0, max(0, samples - sound.shape[-1])))[..., :samples]

    # Text

    def prompt(self, text: str) -> PromptTokens:
        """A prompt in this model's tokens, see `PromptTokens.of`."""
        return PromptTokens.of(text, self.tokenizer)

    def condition(self, prompt: PromptTokens, words: PseudoWords) -> TextCondition:
        """What the text encoder makes of a prompt with pseudo-words; gradients reach the words.

        The words replace *input* embeddings: a hook on the table would do nothing, and encoder outputs given to
        `transformers` fail with guidance.
        """
        embeddings = prompt.embedded(self.model.text_encoder.get_input_embeddings(), words, self.word_size)
        mask = torch.ones(embeddings.shape[:2], dtype=torch.long, device=embeddings.device)
        hidden = self.model.text_encoder(inputs_embeds=embeddings, attention_mask=mask).last_hidden_state
        if hasattr(self.model, "enc_to_dec_proj"):
            hidden = self.model.enc_to_dec_proj(hidden)
        return TextCondition(hidden, mask)

    # Codes

    def logits(
        self, ids: Int[Tensor, "batch codebook step"], condition: TextCondition, past: Any = None, keep: bool = False
    ) -> tuple[Float[Tensor, "batch codebook step entry"], Any]:
        """Logits after each step of delayed ids, and the key-value cache (where `keep`) with which the next steps go on."""
        batch, codebooks, _ = ids.shape
        made = self.model.decoder(
            input_ids=ids.flatten(0, 1),
            encoder_hidden_states=condition.hidden,
            encoder_attention_mask=condition.mask,
            past_key_values=past,
            use_cache=keep,
        )
        return made.logits.unflatten(0, (batch, codebooks)), made.past_key_values if keep else None

    def loss(self, condition: TextCondition, codes: Int[Tensor, "batch codebook frame"]) -> Float[Tensor, ""]:
        """Cross-entropy of every code, the mean over the codebooks' own means (MusicGen's loss).

        The labels have the delay pattern and all T + K - 1 steps, so that the last codes of the later codebooks count too.
        """
        labels = delayed(codes, self.pad)
        logits, _ = self.logits(shifted_right(labels, self.pad), condition)
        losses = F.cross_entropy(
            logits.float().permute(0, 3, 1, 2), labels.masked_fill(labels == self.pad, -100), reduction="none"
        )
        counted = (labels != self.pad).to(losses)
        return ((losses * counted).sum(dim=(0, 2)) / counted.sum(dim=(0, 2))).mean()


def _not_loaded(name: str, error: Exception) -> BadConfig:
    reason = " ".join(str(error).split())[:120] or type(error).__name__
    if Path(name).is_dir():
        return BadConfig(f"musicgen={name}: the folder is no readable MusicGen ({reason}); give a whole one.")
    return BadConfig(
        f"musicgen={name}: no such folder, and not to be had from the hub either ({reason}); download it where there is a "
        "network and give its folder."
    )


# Sampling codes from a frozen MusicGen, in windows for any length. `transformers`' own `generate` (5.24) cannot do it: the whole
# model's returns sound and no codes to continue, and the decoder's feeds only the last step of a prefix.


@dataclass(frozen=True)
class SamplingSettings:
    """How codes are drawn where the caller does not say otherwise; the defaults are MusicGen's own.

    Args:
        guidance: classifier-free guidance scale; 1: none, at half the cost.
        top_k: only so many most likely codes are drawn from; 1: always the likeliest.
        temperature: the logits' divisor.
        batch: windows made at once, where windows do not depend on each other.

    The first three come from a user's command line, so they may be anything until they are checked.

    Raises:
        BadConfig: for numbers that mean nothing.
    """

    guidance: Any = 3.0
    top_k: Any = 250
    temperature: Any = 1.0
    batch: int = 8

    def __post_init__(self) -> None:
        for name in ("guidance", "temperature"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < float("inf"):
                raise BadConfig(f"{name}={value}: expected a number greater than 0.")
        for name in ("top_k", "batch"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise BadConfig(f"{name}={value}: expected a whole number of at least 1.")


@dataclass(frozen=True)
class Window:
    """One window of a long sequence of frames.

    Args:
        start: its first frame.
        frames: its length.
        known: so many of its first frames are there already.
    """

    start: int
    frames: int
    known: int


def windows_of(total: int, window: int, prefix: int) -> list[Window]:
    """Windows that cover `total` frames, each but the first continuing `prefix` frames of what was there.

    Raises:
        BadConfig: when nothing new fits into a window beside its prefix.
    """
    if not 0 <= prefix < window:
        raise BadConfig(
            f"prefix_seconds: {prefix} frames of prefix in a window of {window} leave nothing to make; use a shorter prefix."
        )
    found = [Window(0, min(window, total), 0)]
    while (done := found[-1].start + found[-1].frames) < total:
        start = done - prefix
        found.append(Window(start, min(window, total - start), prefix))
    return found


@torch.no_grad()
def sampled_codes(
    music: FrozenMusicGen,
    condition: TextCondition,
    frames: int,
    settings: SamplingSettings,
    generator: torch.Generator,
    prefix: Int[Tensor, "batch codebook known"] | None = None,
) -> Int[Tensor, "batch codebook {frames}"]:
    """Codes of `frames` frames for each row of the condition; they begin with `prefix`.

    Continuing in codes loses nothing, where an audio prefix would be encoded anew in every window. Random numbers are drawn on
    the CPU, so that a seed means the same on every device.
    """
    batch, known = len(condition.hidden), 0 if prefix is None else prefix.shape[-1]
    blank = torch.full((batch, music.codebooks, frames), music.pad, dtype=torch.long, device=condition.hidden.device)
    if prefix is not None:
        blank[..., :known] = prefix
    laid = torch.nn.functional.pad(delayed(blank, music.pad), (1, 0), value=music.pad)  # step 0 is the start
    guiding = settings.guidance != 1
    both = condition.with_null() if guiding else condition
    rows, past, fed = torch.arange(music.codebooks, device=laid.device), None, 0
    for step in range(known, laid.shape[-1] - 1):
        read = laid[..., fed : step + 1]
        logits, past = music.logits(torch.cat([read, read]) if guiding else read, both, past, keep=True)
        fed = step + 1
        drawn = _drawn(_guided(logits[:, :, -1].float(), settings.guidance), settings, generator)
        frame = step - rows  # of each codebook, under the delay
        new = (frame >= known) & (frame < frames)
        laid[..., step + 1] = torch.where(new, drawn, laid[..., step + 1])
    return undelayed(laid[..., 1:])


def _guided(logits: Float[Tensor, "rows codebook entry"], scale: float | int) -> Float[Tensor, "batch codebook entry"]:
    if scale == 1:
        return logits
    cond, uncond = logits.chunk(2)
    return uncond + scale * (cond - uncond)


def _drawn(
    logits: Float[Tensor, "batch codebook entry"], settings: SamplingSettings, generator: torch.Generator
) -> Int[Tensor, "batch codebook"]:
    best, entries = logits.topk(min(settings.top_k, logits.shape[-1]), dim=-1)
    if settings.top_k == 1:
        return entries[..., 0]
    shares = (best / settings.temperature).softmax(dim=-1).cpu()
    choice = torch.multinomial(shares.flatten(0, 1), 1, generator=generator).view(*shares.shape[:2], 1)
    return entries.gather(-1, choice.to(entries.device))[..., 0]
