"""Mu-law codes of a waveform (ITU-T G.711's curve, as WaveNet uses it: arXiv:1609.03499, section 2.2)."""

from math import log1p

import torch
from jaxtyping import Float, Int
from torch import Tensor

MU_LAW_CODES = 256
"""Levels of amplitude, finer near silence."""

SILENCE = MU_LAW_CODES // 2
"""Code of amplitude 0."""

_MU = MU_LAW_CODES - 1


def mu_law_encoded(waveform: Float[Tensor, "*shape"]) -> Int[Tensor, "*shape"]:
    """Codes 0 to 255 of samples; beyond [-1, 1] the nearest."""
    waveform = waveform.clamp(-1, 1)
    compressed = waveform.sign() * (_MU * waveform.abs()).log1p() / log1p(_MU)
    return ((compressed + 1) / 2 * _MU + 0.5).long()


def mu_law_decoded(codes: Int[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """The amplitude that each code stands for; encoding it gives the code again."""
    compressed = 2 * codes.to(torch.float32) / _MU - 1
    return compressed.sign() * (compressed.abs() * log1p(_MU)).expm1() / _MU
