"""Tells decoded music from recorded music by its spectra, so that a decoder can be asked for texture that no distance asks for."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from d2m.audio.istft_autoencoder import compressed, framed_spectrum


class SpectrumDiscriminator(nn.Module):
    """Small convolutional networks over complex STFTs with compressed magnitudes (as EnCodec's, arXiv:2210.13438), one a window.

    Args:
        windows: window lengths in samples; hops are quarters.
        width: channels.
        in_channels: waveform channels.
    """

    def __init__(self, windows: Sequence[int] = (512, 2048), width: int = 24, in_channels: int = 2) -> None:
        super().__init__()
        self.windows = tuple(windows)
        for length in self.windows:
            self.register_buffer(f"window_{length}", torch.hann_window(length), persistent=False)
        self.networks = nn.ModuleList(_layers(2 * in_channels, width) for _ in self.windows)

    def forward(self, waveform: Float[Tensor, "batch channel sample"]) -> list[list[Tensor]]:
        """Of each window, what every layer says; the last one is the verdict, about 1 for recorded music."""
        found = []
        for length, network in zip(self.windows, self.networks, strict=True):
            spectrum = compressed(framed_spectrum(waveform.float(), getattr(self, f"window_{length}"), length // 4))
            x = torch.cat([spectrum.real, spectrum.imag], dim=1)
            said = []
            for layer in network.children():
                x = layer(x)
                said.append(x)
            found.append(said)
        return found


def _layers(seen: int, width: int) -> nn.Sequential:
    """Convolutions over [frame, bin]; strides are over the bins, dilations over the frames."""
    layers: list[nn.Module] = [_layer(seen, width, (3, 9), (1, 4), 1)]
    layers += [_layer(width, width, (3, 9), (1, 2), dilation) for dilation in (1, 2, 4)]
    return nn.Sequential(*layers, nn.utils.parametrizations.weight_norm(nn.Conv2d(width, 1, 3, padding=1)))


def _layer(seen: int, made: int, kernel: tuple[int, int], stride: tuple[int, int], dilation: int) -> nn.Module:
    padding = (dilation * (kernel[0] // 2), kernel[1] // 2)
    convolution = nn.Conv2d(seen, made, kernel, stride, padding, dilation=(dilation, 1))
    return nn.Sequential(nn.utils.parametrizations.weight_norm(convolution), nn.LeakyReLU(0.1))


def verdict_loss(recorded: list[list[Tensor]], decoded: list[list[Tensor]]) -> Float[Tensor, ""]:
    """Least squares (Mao et al., arXiv:1611.04076) of a discriminator: 1 for what was recorded, 0 for what was decoded."""
    pairs = zip(recorded, decoded, strict=True)
    return torch.stack([(1 - real[-1]).square().mean() + made[-1].square().mean() for real, made in pairs]).mean()


def persuasion_losses(
    recorded: list[list[Tensor]], decoded: list[list[Tensor]]
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """Of a decoder: how far its verdicts are from 1, and how far its features are from the recording's (L1, relative)."""
    verdicts = torch.stack([(1 - made[-1]).square().mean() for made in decoded]).mean()
    features = [
        (ours - theirs.detach()).abs().mean() / theirs.detach().abs().mean().clamp(min=1e-4)
        for real, made in zip(recorded, decoded, strict=True)
        for theirs, ours in zip(real[:-1], made[:-1], strict=True)
    ]
    return verdicts, torch.stack(features).mean()
