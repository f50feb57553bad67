"""Mu-law codes of a waveform (ITU-T G.711's curve, as WaveNet uses it: arXiv:1609.03499, section 2.2)."""

from collections.abc import Sequence
from math import log1p

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from d2m.core.errors import BadConfig
from d2m.models.heads import GenreToken

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


# WaveNet (van den Oord et al., arXiv:1609.03499). Causal and shifted: the logits at t know the samples before t only.


UPSAMPLINGS = ("linear", "transposed")


class FrameUpsampler(nn.Module):
    """Frames → samples: each frame adds its values times a kernel two frames long, centred on the frame.

    That is a transposed convolution of stride one frame whose kernel all channels share. A triangle makes it linear
    interpolation. Because it mixes no channels, what follows it per sample may as well be done before it per frame.

    Args:
        hop_samples: samples in a frame.
        kind: `linear` keeps the triangle, `transposed` starts from it and learns.
    """

    kernel: Tensor

    def __init__(self, hop_samples: int, kind: str = "linear") -> None:
        super().__init__()
        if kind not in UPSAMPLINGS:
            raise BadConfig(f"upsampling={kind}: unknown; expected one of {', '.join(UPSAMPLINGS)}.")
        self.hop_samples = hop_samples
        rising = (torch.arange(hop_samples) + 0.5) / hop_samples
        kernel = torch.stack([rising, 1 - rising])
        if kind == "linear":
            self.register_buffer("kernel", kernel, persistent=False)
        else:
            self.kernel = nn.Parameter(kernel)

    @property
    def lead_samples(self) -> int:
        """Samples of a frame before its centre."""
        return self.hop_samples // 2

    def forward(
        self, frames: Float[Tensor, "batch channel frame"], samples: int
    ) -> Float[Tensor, "batch channel {samples}"]:
        """Values at every sample, of frames one more at each end than the samples last (see `held`)."""
        rising, falling = self.kernel.to(frames.dtype)
        steps = frames[..., :-1, None] * falling + frames[..., 1:, None] * rising
        return steps.flatten(-2)[..., self.lead_samples : self.lead_samples + samples]


def held(frames: Float[Tensor, "batch channel frame"]) -> Float[Tensor, "batch channel two_more"]:
    """The first and the last frame once more: what stands before the beginning and after the end."""
    return torch.cat([frames[..., :1], frames, frames[..., -1:]], dim=-1)


class WaveNetLayer(nn.Module):
    """Dilated causal convolution, gated tanh ⊙ σ with the local condition in both (equation 5), residual 1×1."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.dilation = dilation
        self.gates = nn.Conv1d(channels, 2 * channels, 2, dilation=dilation, bias=False)  # the condition brings a bias
        self.residual = nn.Conv1d(channels, channels, 1)

    def forward(
        self, x: Float[Tensor, "batch channel time"], local: Float[Tensor, "batch gate time"]
    ) -> tuple[Float[Tensor, "batch channel time"], Float[Tensor, "batch channel time"]]:
        """Input of the next layer, and the gated activations for the skip."""
        content, gate = (self.gates(F.pad(x, (self.dilation, 0))) + local).chunk(2, dim=1)
        gated = content.tanh() * gate.sigmoid()
        return x + self.residual(gated), gated


class WaveNet(nn.Module):
    """Logits of mu-law codes.

    Departures from the paper: the input is looked up in a table that begins as smooth waves of the amplitude (a one-hot
    convolution would have to learn that neighbouring codes sound alike); the skip 1×1 of all layers are one matrix.

    Args:
        cond_channels: channels of the local condition.
        hop_samples: samples in a frame of the local condition.
        channels: of the residual stream; the gates are as wide.
        skip: channels of the sum of skips, and between it and the logits.
        dilations: of one stack.
        stacks: how often the dilations are repeated.
        style: width of a genre's embedding, the global condition (equation 4).
        upsampling: `linear` or `transposed`, see `FrameUpsampler`.
    """

    def __init__(
        self,
        cond_channels: int,
        hop_samples: int,
        channels: int = 48,
        skip: int = 64,
        dilations: Sequence[int] = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512),
        stacks: int = 2,
        style: int = 16,
        upsampling: str = "linear",
    ) -> None:
        super().__init__()
        if not dilations or stacks < 1:
            raise BadConfig(f"dilations={list(dilations)}, stacks={stacks}: expected at least one of each.")
        self.channels, self.cond_channels, self.hop_samples = channels, cond_channels, hop_samples
        self.levels = nn.Embedding(MU_LAW_CODES, channels)
        self.layers = nn.ModuleList(WaveNetLayer(channels, dilation) for dilation in [*dilations] * stacks)
        self.style = GenreToken(style)
        self.condition = nn.Conv1d(cond_channels + style, len(self.layers) * 2 * channels, 1)
        self.upsampler = FrameUpsampler(hop_samples, upsampling)
        self.skip = nn.Conv1d(len(self.layers) * channels, skip, 1)
        self.hidden = nn.Conv1d(skip, skip, 1)
        self.logits = nn.Conv1d(skip, MU_LAW_CODES, 1)
        self._initialise()

    def _initialise(self) -> None:
        amplitude = mu_law_decoded(torch.arange(MU_LAW_CODES))
        loudness = torch.linspace(-1, 1, MU_LAW_CODES)
        halves = (self.channels + 1) // 2
        waves = [torch.sin((k + 1) * loudness) if k % 2 else torch.cos((k + 1) * loudness) for k in range(halves)]
        waves += [amplitude * (k + 1) for k in range(self.channels - halves)]
        with torch.no_grad():
            self.levels.weight.copy_(torch.stack(waves, dim=1) * torch.randn(self.channels) * 0.5)
            self.logits.weight.mul_(0.1)
            if self.logits.bias is not None:
                self.logits.bias.zero_()

    @property
    def dilations(self) -> list[int]:
        """Of all layers."""
        return [layer.dilation for layer in self.layers]  # pyright: ignore[reportReturnType]

    @property
    def receptive_field(self) -> int:
        """Samples before t that the logits at t depend on."""
        return sum(self.dilations) + 1

    def local(
        self, condition: Float[Tensor, "batch channel frame"], genre: Int[Tensor, " batch"]
    ) -> Float[Tensor, "batch gate frame"]:
        """The condition of every layer's gates, projected once per frame; layer i's are rows 2·channels·i and on."""
        style = self.style(genre)[..., None].expand(-1, -1, condition.shape[-1])
        return self.condition(torch.cat([condition, style.to(condition.dtype)], dim=1))

    def forward(
        self,
        codes: Int[Tensor, "batch time"],
        condition: Float[Tensor, "batch channel frame"],
        genre: Int[Tensor, " batch"],
    ) -> Float[Tensor, "batch 256 time"]:
        """Logits of every sample from those before it; before the first there was silence.

        Args:
            codes: mu-law codes.
            condition: local; its frame 0 ends where the first sample starts, and the last frame starts where the last
                sample ends or later (`held` makes the two).
            genre: class numbers, 10 where unknown.
        """
        before = F.pad(codes[:, :-1], (1, 0), value=SILENCE)
        x, gated = self.levels(before).transpose(1, 2), []
        locals_ = self.local(condition, genre).chunk(len(self.layers), dim=1)
        for layer, local in zip(self.layers, locals_, strict=True):
            x, out = layer(x, self.upsampler(local, codes.shape[1]))
            gated.append(out)
        return self.logits(self.hidden(self.skip(torch.cat(gated, dim=1)).relu()).relu())
