"""The one compatibility shim: torchaudio's CUDA wheel beside a CPU build of torch.

torchaudio's wheels on PyPI link against CUDA, so beside a CPU torch `import torchaudio` dies while it loads its compiled
extension. Its transforms (MelSpectrogram, Spectrogram, resample) are pure PyTorch and need none of it. Import this module
before anything that imports torchaudio; where torchaudio imports as it is, the shim does nothing.
"""

import importlib
import sys
import types


def ensure_torchaudio() -> bool:
    """Import torchaudio, standing in for its compiled extension only where that cannot be loaded.

    Returns:
        True where the stand-in is in use, False where torchaudio imported as it is.
    """
    if "torchaudio" in sys.modules:
        return getattr(sys.modules.get("torchaudio._extension"), "d2m_stand_in", False)
    try:
        importlib.import_module("torchaudio")
        return False
    except OSError:  # the extension's shared library asks for CUDA libraries that are not there
        for name in [name for name in sys.modules if name == "torchaudio" or name.startswith("torchaudio.")]:
            del sys.modules[name]
    sys.modules["torchaudio._extension"] = _stand_in()
    importlib.import_module("torchaudio")
    return True


def _stand_in() -> types.ModuleType:
    """A module with the names that torchaudio's Python code takes from its extension package."""
    module = types.ModuleType("torchaudio._extension")

    def fail_if_no_align(function):
        def unavailable(*args, **kwargs):
            raise RuntimeError(
                "forced alignment needs torchaudio's compiled extension, which this torch build cannot load."
            )

        return unavailable

    attributes = {
        "_IS_TORCHAUDIO_EXT_AVAILABLE": False,
        "_IS_ALIGN_AVAILABLE": False,
        "fail_if_no_align": fail_if_no_align,
        "_check_cuda_version": lambda: None,
        "d2m_stand_in": True,
    }
    for name, value in attributes.items():
        setattr(module, name, value)
    return module


ensure_torchaudio()
