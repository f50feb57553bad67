"""The rhythm head: reads from motion where the beats and the accents of its music are."""

from jaxtyping import Float
from torch import Tensor, nn

RHYTHM_CURVES = ("beat", "onset")
"""Beat activation (a bump around every true beat) and onset envelope of the audio, both in [0, 1] per latent frame."""


class RhythmHead(nn.Module):
    """Rhythm curves per latent frame, as logits.

    An auxiliary task: it teaches the encoder to hear the beat within a minute of training, and its answer is part of
    what the U-Net is told.
    """

    def __init__(self, features: int, hidden: int = 64) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.GroupNorm(8, features),
            nn.Conv1d(features, hidden, 5, padding=2),
            nn.GELU(),
            nn.Conv1d(hidden, len(RHYTHM_CURVES), 5, padding=2),
        )

    def forward(self, x: Float[Tensor, "batch feature frame"]) -> Float[Tensor, "batch 2 frame"]:
        """Logits of the curves in the order of `RHYTHM_CURVES`."""
        return self.net(x)
