"""What a decoder of codec tokens is fed with and predicts: codes laid out in steps, with BOS and PAD ids of their own.

The layout is the delay pattern (`d2m.model.delay_pattern`; Copet et al., arXiv:2306.05284, section 2.2): one step holds one
code of every codebook, and a decoder still sees the coarser codes of a frame before it predicts the finer ones.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from d2m.model.delay_pattern import delayed, shifted_right, undelayed


@dataclass(frozen=True)
class TokenSteps:
    """Codes of frames ↔ tokens of steps.

    Args:
        codebooks: numbers of a frame.
        codebook_size: entries of each; the two ids after them are BOS and PAD, so that neither is a code.
    """

    codebooks: int
    codebook_size: int

    @property
    def bos(self) -> int:
        """The token before the first step, in every codebook."""
        return self.codebook_size

    @property
    def pad(self) -> int:
        """The token where a codebook has no frame: before its first and after its last."""
        return self.codebook_size + 1

    @property
    def vocabulary(self) -> int:
        """Codes, BOS and PAD."""
        return self.codebook_size + 2

    def count(self, frames: int) -> int:
        """Steps that `frames` frames take."""
        return frames + self.codebooks - 1

    def delayed(self, codes: Int[Tensor, "batch codebook frame"]) -> Int[Tensor, "batch codebook step"]:
        """Step s of codebook k is the code of frame s - k, or PAD."""
        return delayed(codes, self.pad)

    def restored(self, steps: Int[Tensor, "batch codebook step"]) -> Int[Tensor, "batch codebook frame"]:
        """The inverse of `delayed`."""
        return undelayed(steps)

    def inputs(self, steps: Int[Tensor, "batch codebook step"]) -> Int[Tensor, "batch codebook step"]:
        """What a decoder is fed with so that its output number s predicts step s: BOS, then all steps but the last."""
        return shifted_right(steps, self.bos)

    def known(self, prompt_frames: int, frames: int) -> Bool[Tensor, "codebook step"]:
        """Where a step of a window needs no prediction, because its frame lies in the prompt or it is PAD."""
        frame = torch.arange(self.count(frames))[None] - torch.arange(self.codebooks)[:, None]
        return (frame < prompt_frames) | (frame >= frames)
