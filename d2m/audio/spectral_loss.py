"""The one-pass decoder's loss: spectral distances between waveforms at several resolutions."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torchaudio.functional import melscale_fbanks


class MultiResolutionSpectralLoss(nn.Module):
    """Log-magnitude L1 plus spectral convergence over several window lengths, plus log-mel L1.

    Equations 3-6 of Yamamoto et al. (Parallel WaveGAN, arXiv:1910.11480), with hops of a quarter window.

    Args:
        sample_rate: samples per second.
        windows: window lengths in samples.
        mels: bands of the log-mel term.
        floor: added to magnitudes before the logarithm.
    """

    def __init__(
        self,
        sample_rate: int,
        windows: Sequence[int] = (128, 256, 512, 1024, 2048),
        mels: int = 80,
        floor: float = 3e-3,
    ) -> None:
        super().__init__()
        self.windows, self.floor = tuple(windows), floor
        for length in self.windows:
            self.register_buffer(f"window_{length}", torch.hann_window(length), persistent=False)
        bank = melscale_fbanks(513, 0.0, sample_rate / 2, mels, sample_rate, norm="slaney")
        self.register_buffer("mel_bank", bank * 40, persistent=False)  # brings slaney's areas back to about unit height

    def _magnitude(self, wave: Tensor, length: int) -> Tensor:
        spectrum = torch.stft(wave, length, length // 4, window=getattr(self, f"window_{length}"), return_complex=True)
        return (spectrum.real.square() + spectrum.imag.square() + 1e-9).sqrt() / length**0.5

    def forward(
        self, estimate: Float[Tensor, "batch channel sample"], target: Float[Tensor, "batch channel sample"]
    ) -> Float[Tensor, ""]:
        """Mean over the resolutions; 0 for equal waveforms."""
        with torch.autocast(estimate.device.type, enabled=False):  # a logarithm of bfloat16 sums is too coarse
            return self._distance(estimate.flatten(0, 1).float(), target.flatten(0, 1).float())

    def _distance(self, estimate: Tensor, target: Tensor) -> Tensor:
        loss = estimate.new_zeros(())
        for length in self.windows:
            found, wanted = self._magnitude(estimate, length), self._magnitude(target, length)
            loss = loss + nn.functional.l1_loss((found + self.floor).log(), (wanted + self.floor).log())
            loss = loss + 0.5 * (found - wanted).norm() / wanted.norm().clamp(min=1e-3)
            if length == 1024:
                loss = loss + nn.functional.l1_loss(
                    (self.mel_bank.T @ found + self.floor).log(), (self.mel_bank.T @ wanted + self.floor).log()
                )
        return loss / len(self.windows)
