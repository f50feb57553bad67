"""A codec small enough for tests, a data set with its tokens, and a tiny codec transformer."""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from tests_support_encoded import sequence_name
from tests_support_motion import swinging_features
from torch import Tensor

from d2m.audio.codec import CodecFacts
from d2m.core.timeline import Timeline
from d2m.data.layout import DataSetLayout
from d2m.data.manifest import TokenManifest
from d2m.models.encoders import TemporalEncoder
from d2m.models.motion_reader import MotionReader
from d2m.models.token_decoder import TokenDecoder
from d2m.systems.codec_transformer import CodecTransformer

FACTS = CodecFacts("tiny", 8000, 800, 3, 16, "f" * 64)
"""Ten frames a second."""


def write_tokens(root: Path, sequences: int = 3, seconds: float = 4.0, facts: CodecFacts = FACTS) -> list[str]:
    """A data set of random features, codes and rhythm curves, each sequence a second longer than the last one."""
    layout, rng, names = DataSetLayout(root), np.random.default_rng(3), []
    folders = (root / "splits", root / "features", layout.token_folder(facts.name), root / "rhythm" / facts.name)
    for folder in folders:
        folder.mkdir(parents=True)
    for number in range(sequences):
        name, length_s = sequence_name(number), seconds + number
        frames = int(length_s * facts.frame_rate)
        np.save(layout.features(name), rng.normal(0, 1, (int(length_s * 60), 219)).astype(np.float32))
        codes = rng.integers(0, facts.codebook_size, (facts.codebooks, frames)).astype(np.int16)
        np.save(layout.tokens(name, facts.name), codes)
        np.save(layout.rhythm(name, facts.name), rng.random((2, frames)).astype(np.float16))
        names.append(name)
    for split in ("train", "val"):
        layout.split_file(split).write_text("\n".join(names) + "\n")
    TokenManifest(facts, facts.name, None, sequences).save(layout.token_folder(facts.name))
    return names


def tiny_decoder(
    conditioning: str = "aligned", codebooks: int = 3, size: int = 16, dropout: float = 0.0
) -> TokenDecoder:
    """Two layers of 16 channels."""
    torch.manual_seed(0)
    return TokenDecoder(codebooks, size, 34, 16, layers=2, heads=2, conditioning=conditioning, dropout=dropout)


def tiny_system(
    conditioning: str = "aligned", window: int = 20, prompt_frames: int | None = None, dropout: float = 0.0
) -> CodecTransformer:
    """For tokens of `FACTS`."""
    torch.manual_seed(0)
    reader = MotionReader(TemporalEncoder(32, (1, 2), attention_blocks=0, dropout=dropout))
    return CodecTransformer(
        reader,
        tiny_decoder(conditioning),
        Timeline(FACTS.sample_rate, FACTS.hop_samples, window),
        prompt_frames=prompt_frames,
        condition_dropout=0.0,
        genre_dropout=0.0,
    )


def clips(frames: int = 20, count: int = 2) -> dict[str, Tensor]:
    """A batch of distinct random clips."""
    generator = torch.Generator().manual_seed(5)
    codes: Int[Tensor, "batch codebook frame"] = torch.randint(0, 16, (count, 3, frames), generator=generator)
    dances = [swinging_features(frames * 6, seconds_late=1.3 * number) for number in range(count)]
    features: Float[Tensor, "batch time 219"] = torch.stack(dances)
    return {"features": features, "codes": codes, "genre": torch.arange(count), "rhythm": torch.rand(count, 2, frames)}
