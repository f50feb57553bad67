"""d2m: a dance goes in, music that fits it comes out."""

from d2m.core.caches import ensure_cache_folders

__version__ = "0.1.0"

ensure_cache_folders()  # before anything imports numba (librosa) or matplotlib
