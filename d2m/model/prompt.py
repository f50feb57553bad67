"""A prompt with two placeholders, `@` for the genre and `*` for the rhythm, in whose places pseudo-words are put."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from d2m.errors import BadConfig
from d2m.model.pseudo_words import PseudoWords

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

    ids: Int[Tensor, "token"]
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
