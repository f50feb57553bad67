"""A dance of any length read in windows as long as those that the reader was trained on."""

from dataclasses import dataclass
from fractions import Fraction

import torch
from jaxtyping import Float
from torch import Tensor

from d2m.model.frame_reader import FrameReader
from d2m.model.motion_reader import BodyReader


@dataclass(frozen=True)
class WholeRead:
    """What was read from a whole dance.

    Args:
        told: at every asked frame, see `d2m.model.motion_reader.MotionRead`; the rhythm curves are its last channels.
        genre: probability of each genre, averaged over the windows.
    """

    told: Float[Tensor, "told frame"]
    genre: Float[Tensor, "10"]


@torch.no_grad()
def read_whole(
    reader: BodyReader | FrameReader,
    dance: Float[Tensor, "time *part"],
    frames: int,
    frame_rate: Fraction,
    window_seconds: float | int,
) -> WholeRead:
    """Read a dance in half-overlapping windows; each frame is taken from the window in whose middle it lies most.

    Args:
        reader: in evaluation mode.
        dance: what the reader reads: un-normalised features or landmarks at 60 fps, or pictures at 15 fps.
        frames: asked for; where the dance ends before, its last frame is held.
        frame_rate: frames a second.
        window_seconds: length of a window; a shorter dance is read as one.
    """
    ratio = frame_rate / reader.fps
    # the fewest frames of the dance that last a whole number of those asked for, so
    # that windows are never out of step
    grid = ratio.denominator
    window = min(len(dance), max(1, round(window_seconds * reader.fps / grid)) * grid)
    last = (len(dance) - window) // grid * grid
    step = max(1, window // 2 // grid) * grid
    starts = [*range(0, last, step), last]
    own = max(1, int(window * ratio))
    centrality = torch.minimum(torch.arange(own), torch.arange(own).flip(0)).to(dance.device)
    total = int(last * ratio) + own
    told = dance.new_zeros(reader.channels, total)
    best = torch.full((total,), -1, device=dance.device)
    genres = []
    for start in starts:
        read = reader(dance[None, start : start + window], own, float(frame_rate))
        first = int(start * ratio)
        place = slice(first, first + own)
        better = centrality > best[place]
        told[:, place] = torch.where(better, read.told[0].float(), told[:, place])
        best[place] = torch.where(better, centrality, best[place])
        genres.append(read.genre_logits.float().softmax(dim=-1))
    held = told[:, -1:].expand(-1, max(0, frames - total))
    return WholeRead(torch.cat([told, held], dim=-1)[:, :frames], torch.cat(genres).mean(dim=0))
