"""The shim lets torchaudio's pure-PyTorch transforms work whatever torch build stands beside it."""

import sys

import torch

from d2m.audio.torchaudio_cpu import ensure_torchaudio


def test_transforms_work_after_the_shim() -> None:
    import audio_diffusion_pytorch  # noqa: F401
    from torchaudio.transforms import MelSpectrogram

    mel = MelSpectrogram(16000, n_mels=20)(torch.sin(torch.arange(16000) * 0.3))
    assert mel.shape[0] == 20 and float(mel.max()) > 0


def test_shim_does_nothing_where_torchaudio_is_imported() -> None:
    before = sys.modules["torchaudio"]
    assert ensure_torchaudio() in (True, False)
    assert sys.modules["torchaudio"] is before
