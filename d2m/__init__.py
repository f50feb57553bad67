"""d2m: a dance goes in, music that fits it comes out."""

import os

from d2m.core.caches import ensure_cache_folders

__version__ = "0.1.0"

# Before PyTorch is loaded, which reads it once: threads that spin while they wait slow each other down on shared cores.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
ensure_cache_folders()  # before anything imports numba (librosa) or matplotlib
