"""Pseudo-words: what a dance says to a text-to-music model, in the place of words of its prompt.

Textual inversion by encoders (Li et al., SIGGRAPH Asia 2024, arXiv:2401.17800): the text-to-music model stays as it is, and
a rhythm encoder and a genre encoder are learned whose outputs stand among the input embeddings of its text encoder.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from d2m.core.aist_names import GENRES
from d2m.core.errors import BadConfig
from d2m.core.timeline import MOTION_FPS
from d2m.models.encoders import FeedForward, SelfAttention
from d2m.models.heads import RHYTHM_CURVES
from d2m.models.motion_reader import PULSE_NUMBERS, MotionRead, tempo_phase
from d2m.motion.kinematic_beats import rhythm_curve


@dataclass(frozen=True)
class PseudoWords:
    """Words of a batch of dances, of unit size (mean square 1); who speaks them scales them to its own embeddings.

    Args:
        rhythm: as many words as the encoder makes of a window.
        genre: one word.
    """

    rhythm: Float[Tensor, "batch rhythm_word width"]
    genre: Float[Tensor, "batch 1 width"]


class GenreWord(nn.Module):
    """One word for a genre: one-hot, or the probabilities of a classifier → perceptron."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        layers = [nn.Linear(len(GENRES), hidden), nn.GELU(), nn.Linear(hidden, hidden), nn.GELU()]
        self.net = nn.Sequential(*layers, nn.Linear(hidden, width), nn.LayerNorm(width))

    def forward(self, genre: Float[Tensor, "batch 10"]) -> Float[Tensor, "batch 1 width"]:
        """The word of each row's probabilities (order of `d2m.core.aist_names.GENRES`)."""
        return self.net(genre)[:, None]


class WordEncoder(nn.Module, ABC):
    """Motion and genre → pseudo-words.

    Attributes:
        width: of the text encoder's embeddings.
        window_seconds: longest window that words are made of.
        prefix_seconds: how much of the music before a window is continued when a longer piece is made; 0: windows stand alone.
        frame_rate: at which it wants motion read.
        reads_rhythm: whether the motion reader's rhythm is part of the words, and so worth learning.
        fixed_window: whether every window must have that length.
    """

    width: int
    window_seconds: float | int
    prefix_seconds: float | int
    frame_rate: int
    reads_rhythm: bool
    fixed_window: bool

    @abstractmethod
    def forward(
        self, features: Float[Tensor, "batch time 219"], read: MotionRead, genre: Float[Tensor, "batch 10"]
    ) -> PseudoWords:
        """The words of windows.

        Args:
            features: un-normalised, 60 fps.
            read: of the same windows at `frame_rate`.
            genre: probabilities, or one-hot.
        """


class PublishedWords(WordEncoder):
    """The published encoders: one word for the rhythm of 5.12 s, one for the genre.

    The rhythm curve (`d2m.motion.kinematic_beats`) is looked up in an embedding, goes through self-attention and is averaged. The
    published code makes 5 M parameters of this and can do no other length.

    Args:
        width: of the text encoder's embeddings.
        hidden, blocks, heads, dropout: of the rhythm encoder; `hidden` of the genre's perceptron too.
        window_seconds: of the one length of clips.
    """

    fixed_window, reads_rhythm, prefix_seconds, frame_rate = True, False, 0, 50

    def __init__(
        self,
        width: int = 768,
        hidden: int = 512,
        blocks: int = 2,
        heads: int = 8,
        dropout: float | int = 0.1,
        window_seconds: float | int = 5.12,
    ) -> None:
        super().__init__()
        self.width, self.window_seconds, self.frames = width, window_seconds, int(window_seconds * MOTION_FPS)
        self.onset = nn.Embedding(2, hidden)
        self.position = nn.Parameter(torch.randn(self.frames, hidden) * 0.5)
        self.attention = nn.ModuleList()
        for _ in range(blocks):
            self.attention.append(SelfAttention(hidden, heads, hidden // heads, float(dropout)))
            self.attention.append(FeedForward(hidden, 2 * hidden, float(dropout)))
        self.rhythm_out = nn.Sequential(nn.LayerNorm(hidden), nn.Linear(hidden, width), nn.LayerNorm(width))
        self.genre = GenreWord(width, hidden)

    def forward(
        self, features: Float[Tensor, "batch time 219"], read: MotionRead, genre: Float[Tensor, "batch 10"]
    ) -> PseudoWords:
        """Motion beyond the window is not looked at; after the end of a shorter one the dancer stands still."""
        curve = F.pad(rhythm_curve(features), (0, max(0, self.frames - features.shape[1])))[:, : self.frames]
        x = self.onset(curve.long()) + self.position
        for block in self.attention:
            x = x + block(x)
        return PseudoWords(self.rhythm_out(x.mean(dim=1))[:, None], self.genre(genre))


class WindowedWords(WordEncoder):
    """Ours: one rhythm word for each second or so of a clip of any length, and one word for its genre.

    A word says what the motion reader saw in its stretch of the clip, frame by frame, and beside it the tempo, and where in a
    beat the stretch begins.

    Args:
        width: of the text encoder's embeddings.
        encoder_channels: of the motion reader's encoder.
        hidden: width of the layers between.
        word_seconds: length of the stretch that one word tells.
        frame_rate: of the reading; that of the rhythm curves in the training data.
        window_seconds, prefix_seconds: see `WordEncoder`; for generation, with the windows of the training data in mind.
    """

    fixed_window, reads_rhythm = False, True

    def __init__(
        self,
        width: int = 768,
        encoder_channels: int = 128,
        hidden: int = 256,
        word_seconds: float | int = 1.0,
        frame_rate: int = 50,
        window_seconds: float | int = 6.0,
        prefix_seconds: float | int = 2.0,
    ) -> None:
        super().__init__()
        self.width, self.frame_rate = width, frame_rate
        self.window_seconds, self.prefix_seconds = window_seconds, prefix_seconds
        self.word_frames = max(1, round(word_seconds * frame_rate))
        cond = encoder_channels + len(RHYTHM_CURVES)
        self.stretch = nn.Conv1d(cond, hidden, self.word_frames, stride=self.word_frames)
        self.pulse = nn.Linear(PULSE_NUMBERS, hidden)
        self.rhythm_out = nn.Sequential(
            nn.GELU(), nn.Linear(hidden, 2 * hidden), nn.GELU(), nn.Linear(2 * hidden, width), nn.LayerNorm(width)
        )
        self.genre = GenreWord(width, hidden)

    def forward(
        self, features: Float[Tensor, "batch time 219"], read: MotionRead, genre: Float[Tensor, "batch 10"]
    ) -> PseudoWords:
        """A last stretch that the clip does not fill is filled with its last frame."""
        beat = read.rhythm_logits[:, 0].detach().sigmoid()
        cond = F.pad(read.cond, (0, -read.cond.shape[-1] % self.word_frames), mode="replicate")
        words = cond.shape[-1] // self.word_frames
        starts = torch.arange(words, device=cond.device) * (self.word_frames / self.frame_rate)
        pulse = tempo_phase(beat, self.frame_rate).features_at(starts).to(cond)
        x = self.stretch(cond) + self.pulse(pulse.transpose(1, 2)).transpose(1, 2)
        return PseudoWords(self.rhythm_out(x.transpose(1, 2)), self.genre(genre))


# A prompt with two placeholders, `@` for the genre and `*` for the rhythm, in whose places pseudo-words are put.


GENRE, RHYTHM = "@", "*"

PUBLISHED_PROMPT = "a @ music with * as the rhythm"
"""Of Li et al. (arXiv:2401.17800)."""

BARE_PROMPT = "@ *"
"""Nothing but the two pseudo-words."""


def checked_prompt(text: Any) -> str:
    """The prompt itself.

    Raises:
        BadConfig: unless it is a text with exactly one `@` and exactly one `*`.
    """
    if not isinstance(text, str):
        raise BadConfig(f'prompt={text}: expected a text such as "{PUBLISHED_PROMPT}".')
    for placeholder, meaning in ((GENRE, "the genre"), (RHYTHM, "the rhythm")):
        found = text.count(placeholder)
        if found != 1:
            raise BadConfig(
                f'prompt="{text}": found {found or "no"} {placeholder} for {meaning}, expected exactly one; '
                f'write it as in "{PUBLISHED_PROMPT}, played on marimba".'
            )
    return text


@dataclass(frozen=True)
class PromptTokens:
    """A prompt in the tokens of a text encoder.

    Args:
        ids: tokens, those that the tokenizer adds at the end included.
        genre_at, rhythm_at: places of the two placeholders among them.
    """

    ids: Int[Tensor, " token"]
    genre_at: int
    rhythm_at: int

    @staticmethod
    def of(text: str, tokenizer: Any) -> "PromptTokens":
        """Tokenise a prompt and find its placeholders; which ids they have depends on the tokenizer, so nothing is assumed.

        Args:
            text: with one `@` and one `*`.
            tokenizer: of `transformers`, one that can say which characters a token stands for.

        Raises:
            BadConfig: for a text without exactly one of each, or where a placeholder is not one token of its own.
        """
        checked_prompt(text)
        encoded = tokenizer(text, return_offsets_mapping=True)
        ids, spans = list(encoded["input_ids"]), [tuple(span) for span in encoded["offset_mapping"]]
        places = [_place(text, placeholder, ids, spans, tokenizer) for placeholder in (GENRE, RHYTHM)]
        return PromptTokens(torch.tensor(ids, dtype=torch.long), *places)

    def embedded(
        self, embed: Callable[[Tensor], Tensor], words: PseudoWords, scale: float | Tensor = 1.0
    ) -> Float[Tensor, "batch length width"]:
        """Input embeddings with the pseudo-words in the placeholders' places; all rhythm words stand where `*` stood.

        Args:
            embed: the text encoder's table: ids → vectors.
            words: of unit size.
            scale: size of the table's vectors.
        """
        device = words.rhythm.device
        table = embed(self.ids.to(device)).detach().to(words.rhythm)
        fillings = {self.genre_at: words.genre * scale, self.rhythm_at: words.rhythm * scale}
        batch = len(words.rhythm)
        pieces = [fillings.get(place, table[place].expand(batch, 1, -1)) for place in range(len(self.ids))]
        return torch.cat(pieces, dim=1)


def _place(text: str, placeholder: str, ids: list[int], spans: list[tuple[int, int]], tokenizer: Any) -> int:
    """Which token stands for a placeholder and for nothing else."""
    at = text.index(placeholder)
    covering = [place for place, (start, end) in enumerate(spans) if start <= at < end]
    if len(covering) != 1 or ids[covering[0]] == tokenizer.unk_token_id:
        found = "unknown to it" if covering else "dropped by it"
        raise BadConfig(
            f'prompt="{text}": {placeholder} should be one token of this MusicGen\'s tokenizer, but is {found}; '
            "use a MusicGen whose tokenizer has @ and *."
        )
    start, end = spans[covering[0]]
    if text[start:end].strip() != placeholder:
        raise BadConfig(
            f'prompt="{text}": {placeholder} should be one token, but the tokenizer joins it to "{text[start:end].strip()}"; '
            "put spaces around it."
        )
    return covering[0]
