"""How far a stereo waveform is from the one that it should be."""

from collections.abc import Sequence

import torch
from jaxtyping import Complex, Float
from torch import Tensor, nn
from torchaudio.functional import melscale_fbanks

from d2m.audio.istft_autoencoder import ToneLevels, compressed, framed_spectrum, mid_side


class StereoSpectralLoss(nn.Module):
    """Distances of spectra at several resolutions, of left, right, mid and side.

    For every window: L1 of log magnitudes and spectral convergence (as in Parallel WaveGAN, arXiv:1910.11480), and L1 of log mel bands. For
    held notes: the same two distances of the levels of semitones. `phases` is for what is heard of a wave's shape, `energies` for how
    loud and how wide it is.

    Args:
        sample_rate: samples per second.
        windows: window lengths in samples; hops are quarters.
        looks_per_step: a training step looks at so many windows of left and right or of mid and side, drawn anew; otherwise at all.
        mels: bands of the mel terms at windows of 512 samples; windows of 2,048 have twice as many.
        phase_hz: where `phases` ends.
        notes_weight: weight of the term for held notes, beside the others' 1.
        floor: added to magnitudes before the logarithm.
    """

    def __init__(
        self,
        sample_rate: int,
        windows: Sequence[int] = (256, 512, 1024, 2048, 4096),
        looks_per_step: int = 3,
        mels: int = 48,
        phase_hz: float | int = 3000,
        notes_weight: float | int = 2.0,
        floor: float = 1e-3,
    ) -> None:
        super().__init__()
        self.windows, self.looks_per_step = tuple(windows), looks_per_step
        self.notes_weight, self.floor = notes_weight, floor
        self.phase_share = 2 * phase_hz / sample_rate
        for length in self.windows:
            self.register_buffer(f"window_{length}", torch.hann_window(length), persistent=False)
        for length, bands in {512: mels, 2048: 2 * mels}.items():
            bank = melscale_fbanks(length // 2 + 1, 0.0, sample_rate / 2, bands, sample_rate, norm="slaney")
            self.register_buffer(f"mel_{length}", bank * sample_rate / 2 / bands, persistent=False)
        self.tone_levels = ToneLevels(sample_rate, 1024)

    def forward(
        self, estimate: Float[Tensor, "batch 2 sample"], target: Float[Tensor, "batch 2 sample"]
    ) -> Float[Tensor, ""]:
        """The weighted sum; 0 for equal waveforms."""
        with torch.autocast(estimate.device.type, enabled=False):
            sides, middles = (estimate.float(), target.float()), (mid_side(estimate.float()), mid_side(target.float()))
            looks = [(length, pair) for length in self.windows for pair in (sides, middles)]
            if self.training:
                chosen = torch.randperm(len(looks))[: self.looks_per_step]
                looks = [looks[number] for number in chosen.tolist()]
            losses = [self._at(length, *pair) for length, pair in looks]
            return torch.stack(losses).mean() + self.notes_weight * self._notes(*middles)

    def _at(self, length: int, found: Tensor, wanted: Tensor) -> Tensor:
        window = getattr(self, f"window_{length}")
        ours = framed_spectrum(found, window, length // 4)
        with torch.no_grad():
            theirs = framed_spectrum(wanted, window, length // 4)
        our_level, their_level = self._log_level(ours), self._log_level(theirs)
        loss = nn.functional.l1_loss(our_level, their_level)
        our_size, their_size = our_level.exp(), their_level.exp()
        loss = loss + 0.5 * (our_size - their_size).norm() / their_size.norm()
        if length in (512, 2048):
            bank = getattr(self, f"mel_{length}")
            loss = loss + nn.functional.l1_loss((our_size @ bank).log(), (their_size @ bank).log())
        return loss

    def phases(
        self, estimate: Float[Tensor, "batch 2 sample"], target: Float[Tensor, "batch 2 sample"]
    ) -> Float[Tensor, ""]:
        """L1 of complex spectra with compressed magnitudes |S|^0.35, windows of 512 to 2,048 samples.

        Where a phase cannot be known it asks for less than there is, so that it tells apart what can be drawn from what cannot.
        """
        with torch.autocast(estimate.device.type, enabled=False):
            estimate, target = estimate.float(), target.float()
            losses = []
            for found, wanted in ((estimate, target), (mid_side(estimate), mid_side(target))):
                for length in (512, 1024, 2048):
                    window, low = getattr(self, f"window_{length}"), int(self.phase_share * length / 2) + 1
                    ours = framed_spectrum(found, window, length // 4)[..., :low]
                    theirs = framed_spectrum(wanted, window, length // 4)[..., :low]
                    apart = compressed(ours) - compressed(theirs)
                    losses.append((apart.real.abs() + apart.imag.abs()).mean())
            return torch.stack(losses).mean()

    def energies(
        self, estimate: Float[Tensor, "batch 2 sample"], target: Float[Tensor, "batch 2 sample"]
    ) -> Float[Tensor, ""]:
        """L1 of half the log energy of mel bands of mid and side over 0.4 s.

        L1 of log magnitudes asks for their median, which has less energy than the magnitudes have; most of all in the side.
        """
        length = 2048
        window, bank = getattr(self, f"window_{length}"), getattr(self, f"mel_{length}")

        def level(waveform: Tensor) -> Tensor:
            spectrum = framed_spectrum(mid_side(waveform.float()), window, length // 2)
            energy = (spectrum.real.square() + spectrum.imag.square()) @ bank
            energy = nn.functional.avg_pool1d(energy.flatten(0, 1).transpose(1, 2), min(16, energy.shape[2]))
            return 0.5 * (energy + self.floor**2).log()

        with torch.autocast(estimate.device.type, enabled=False):
            with torch.no_grad():
                wanted = level(target)
            return nn.functional.l1_loss(level(estimate), wanted)

    def _notes(self, found: Tensor, wanted: Tensor) -> Tensor:
        ours = self.tone_levels(found)
        with torch.no_grad():
            theirs = self.tone_levels(wanted)
        apart = nn.functional.l1_loss((ours + self.floor).log(), (theirs + self.floor).log())
        return apart + 0.5 * (ours - theirs).norm() / theirs.norm().clamp(min=self.floor)

    def _log_level(self, spectrum: Complex[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        return 0.5 * (spectrum.real.square() + spectrum.imag.square() + self.floor**2).log()
