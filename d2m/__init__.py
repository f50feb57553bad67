"""d2m: a dance goes in, music that fits it comes out."""

__version__ = "0.1.0"
