"""A tiny MusicGen of random weights in a folder, with a tokenizer of its own, that reacts to what it is told."""

from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

WIDTH, CODEBOOKS, ENTRIES = 32, 2, 64
WORDS = ["a", "music", "with", "as", "the", "rhythm", "played", "on", "marimba", ",", "slow", "@", "*"]
SAMPLE_RATE, HOP = 1600, 32
"""50 frames a second, as MusicGen's own codec has."""

SOUNDS_HZ = (100.0, 200.0, 350.0, 600.0)
"""Whole periods in each hop, so that all frames of a tone have the same codes."""


def sounds(seconds: float) -> Float[Tensor, "4 1 sample"]:
    """Four tones, each with its own codes."""
    time_s = torch.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    return torch.stack([0.5 * torch.sin(2 * torch.pi * hz * time_s) for hz in SOUNDS_HZ])[:, None]


def dances(seconds: float, tempi_bpm: Sequence[float]) -> Float[Tensor, "dance time 219"]:
    """Bodies that slide to and fro and halt on every beat."""
    time_s = torch.arange(round(seconds * 60)) / 60
    features = torch.zeros(len(tempi_bpm), len(time_s), 219)
    features[..., 3:] = torch.eye(3).flatten().repeat(24)
    for row, bpm in enumerate(tempi_bpm):
        features[row, :, 0] = 0.3 * torch.cos(torch.pi * time_s * bpm / 60)
    return features


def write_musicgen(folder: Path, width: int = WIDTH, words: list[str] | None = None, audio_channels: int = 1) -> Path:
    """Save it; `words` are the tokenizer's vocabulary."""
    from d2m.audio.torchaudio_cpu import ensure_torchaudio

    ensure_torchaudio()
    from transformers import (
        EncodecConfig,
        MusicgenConfig,
        MusicgenDecoderConfig,
        MusicgenForConditionalGeneration,
        T5Config,
    )

    torch.manual_seed(0)
    text = T5Config(
        vocab_size=40, d_model=width, d_kv=16, d_ff=64, num_layers=2, num_heads=2, dropout_rate=0.1, pad_token_id=0
    )
    audio = EncodecConfig(
        sampling_rate=SAMPLE_RATE, audio_channels=1, hidden_size=16, codebook_dim=16, codebook_size=ENTRIES,
        num_filters=2, num_residual_layers=1, upsampling_ratios=[8, 4], num_lstm_layers=1,
        target_bandwidths=[CODEBOOKS * 6 * SAMPLE_RATE / HOP / 1000], normalize=False, chunk_length_s=None,
    )  # fmt: skip
    decoder = MusicgenDecoderConfig(
        vocab_size=ENTRIES, hidden_size=48, num_hidden_layers=2, ffn_dim=96, num_attention_heads=2,
        num_codebooks=CODEBOOKS, max_position_embeddings=512, pad_token_id=ENTRIES, bos_token_id=ENTRIES,
        dropout=0.1, audio_channels=audio_channels, tie_word_embeddings=False,
    )  # fmt: skip
    decoder.decoder_start_token_id = ENTRIES
    model = MusicgenForConditionalGeneration(MusicgenConfig(text_encoder=text, audio_encoder=audio, decoder=decoder))
    with torch.no_grad():
        for name, weight in model.decoder.named_parameters():
            # as initialised it answers the same whatever it is told
            if weight.ndim == 2 and "embed_positions" not in name:
                weight.normal_(0, weight.shape[1] ** -0.5)
            if "encoder_attn" in name or "lm_heads" in name:
                weight.mul_(3 if weight.ndim == 2 else 1)
        _fill_codebooks(model.audio_encoder)
    model.save_pretrained(folder)
    tokenizer_of(words or WORDS).save_pretrained(folder)
    return folder


def _fill_codebooks(codec) -> None:
    """Entries taken from what the encoder makes of sounds: as initialised, every sound has the same codes."""
    rest = codec.encoder(torch.cat([sounds(1.0), 0.4 * torch.randn(ENTRIES, 1, SAMPLE_RATE)]))[..., 20].clone()
    for layer in codec.quantizer.layers:
        layer.codebook.embed.copy_(rest[:ENTRIES])
        rest = rest - rest[torch.cdist(rest, rest[:ENTRIES]).argmin(dim=1)] + 0.05 * torch.randn_like(rest)


def tokenizer_of(words: list[str]):
    """A tokenizer of whole words that ends every text with </s>."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import WhitespaceSplit
    from tokenizers.processors import TemplateProcessing
    from transformers import PreTrainedTokenizerFast

    ids = {word: number for number, word in enumerate(["<pad>", "</s>", "<unk>", *words])}
    inner = Tokenizer(WordLevel(ids, unk_token="<unk>"))
    inner.pre_tokenizer = WhitespaceSplit()
    inner.post_processor = TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return PreTrainedTokenizerFast(tokenizer_object=inner, pad_token="<pad>", eos_token="</s>", unk_token="<unk>")
