"""Prompts with placeholders: what is refused, which tokens are found, where the pseudo-words stand."""

import pytest
import torch

from d2m.core.errors import BadConfig
from d2m.models.pseudo_words import BARE_PROMPT, PUBLISHED_PROMPT, PromptTokens, PseudoWords, checked_prompt

FREE = "a @ music with * as the rhythm , played on marimba"


@pytest.fixture(scope="module")
def tokenizer():
    pytest.importorskip("transformers")
    from tests_support_musicgen import WORDS, tokenizer_of

    return tokenizer_of(WORDS)


@pytest.fixture(scope="module")
def pieces():
    """A tokenizer that cuts words into pieces and marks their starts, as T5's does; `*` is a mark and a piece of its own."""
    pytest.importorskip("transformers")
    from tokenizers import Tokenizer, decoders, pre_tokenizers
    from tokenizers.models import Unigram
    from transformers import PreTrainedTokenizerFast

    known = ["<pad>", "</s>", "<unk>", "▁", "▁@", "*", "▁a", "▁mus", "ic", "▁with", "*x"]
    inner = Tokenizer(Unigram([(piece, -float(place)) for place, piece in enumerate(known)], unk_id=2))
    inner.pre_tokenizer = pre_tokenizers.Metaspace()
    inner.decoder = decoders.Metaspace()
    return PreTrainedTokenizerFast(tokenizer_object=inner, pad_token="<pad>", eos_token="</s>", unk_token="<unk>")


@pytest.mark.parametrize("text", [PUBLISHED_PROMPT, BARE_PROMPT, "* first, then @"])
def test_a_prompt_with_both_placeholders_is_taken_as_it_is(text: str) -> None:
    assert checked_prompt(text) == text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("music with * as the rhythm", "found no @ for the genre, expected exactly one"),
        ("a @ music", r"found no \* for the rhythm, expected exactly one"),
        ("a @ music with * and *", r"found 2 \* for the rhythm, expected exactly one"),
        ("@ @ @ with *", "found 3 @ for the genre, expected exactly one"),
        (7, "prompt=7: expected a text"),
    ],
)
def test_a_prompt_without_its_placeholders_is_one_sentence(text: object, said: str) -> None:
    with pytest.raises(BadConfig, match=said) as error:
        checked_prompt(text)
    assert str(error.value).count("\n") == 0


def test_placeholders_are_found_by_their_characters(tokenizer) -> None:
    found = PromptTokens.of(FREE, tokenizer)
    tokens = tokenizer.convert_ids_to_tokens(found.ids.tolist())
    assert (tokens[found.genre_at], tokens[found.rhythm_at], tokens[-1]) == ("@", "*", "</s>")


def test_placeholders_are_found_among_word_pieces(pieces) -> None:
    found = PromptTokens.of("a @ music with *", pieces)
    tokens = pieces.convert_ids_to_tokens(found.ids.tolist())
    assert tokens[found.genre_at] == "▁@" and tokens[found.rhythm_at] == "*" and tokens[found.rhythm_at - 1] == "▁"


def test_a_placeholder_joined_to_a_word_is_one_sentence(pieces) -> None:
    with pytest.raises(BadConfig, match=r'\* should be one token, but the tokenizer joins it to "\*x"; put spaces'):
        PromptTokens.of("a @ music with *x", pieces)


def test_a_tokenizer_without_a_placeholder_is_one_sentence() -> None:
    pytest.importorskip("transformers")
    from tests_support_musicgen import WORDS, tokenizer_of

    with pytest.raises(BadConfig, match="@ should be one token of this MusicGen's tokenizer, but is unknown to it"):
        PromptTokens.of(PUBLISHED_PROMPT, tokenizer_of([word for word in WORDS if word != "@"]))


def test_pseudo_words_stand_where_their_placeholders_stood(tokenizer) -> None:
    found = PromptTokens.of(FREE, tokenizer)
    table = torch.nn.Embedding(40, 6)
    words = PseudoWords(torch.randn(2, 3, 6, requires_grad=True), torch.randn(2, 1, 6))
    embedded = found.embedded(table, words, 2.0)
    assert embedded.shape == (2, len(found.ids) + 2, 6)  # one * became three words
    before, after = embedded[:, : found.rhythm_at], embedded[:, found.rhythm_at + 3 :]
    torch.testing.assert_close(embedded[:, found.rhythm_at : found.rhythm_at + 3], words.rhythm * 2)
    torch.testing.assert_close(before[:, found.genre_at], words.genre[:, 0] * 2)
    plain = table(found.ids)
    torch.testing.assert_close(before[1, 0], plain[0])
    torch.testing.assert_close(after[1], plain[found.rhythm_at + 1 :])
    embedded.sum().backward()
    assert table.weight.grad is None and words.rhythm.grad is not None
