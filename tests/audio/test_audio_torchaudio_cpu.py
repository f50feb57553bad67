"""The shim lets torchaudio's pure-PyTorch transforms work whatever torch build stands beside it."""

import subprocess
import sys


def test_transforms_work_after_the_shim() -> None:
    code = (
        "import d2m.audio.torchaudio_cpu as shim, torch\n"
        "from torchaudio.transforms import MelSpectrogram\n"
        "mel = MelSpectrogram(16000, n_mels=20)(torch.sin(torch.arange(16000) * 0.3))\n"
        "assert mel.shape[0] == 20 and float(mel.max()) > 0\n"
        "import audio_diffusion_pytorch\n"
        "assert shim.ensure_torchaudio() in (True, False)\n"
        "print('fine')"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout.strip() == "fine", result.stderr


def test_shim_does_nothing_where_torchaudio_is_imported() -> None:
    from d2m.audio.torchaudio_cpu import ensure_torchaudio

    before = sys.modules["torchaudio"]
    ensure_torchaudio()
    assert sys.modules["torchaudio"] is before
