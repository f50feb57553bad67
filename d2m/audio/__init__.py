"""Sound: the autoencoder, its decoders and losses. Importing any of it makes torchaudio importable first."""

from d2m.audio import torchaudio_cpu as torchaudio_cpu
