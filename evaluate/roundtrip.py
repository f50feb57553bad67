"""References sent through an autoencoder: the ceiling of every system that generates in its latents."""

from collections.abc import Collection
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from d2m.audio.coding import decode_piece, encode_piece
from d2m.audio.dmae import DMAE
from d2m.errors import BadConfig, BadInput
from d2m.files import writable_folder
from d2m.music import Music
from evaluate.pairs import find_pairs, find_references

DECODERS = ("onepass", "diffusion")


def round_trip(music: Music, dmae: DMAE, decoder: str | None = None, steps: int | None = None, seed: int = 0) -> Music:
    """Encode and decode `music`; the result is exactly as long, at the autoencoder's rate.

    Args:
        dmae: in evaluation mode.
        decoder: `"onepass"`, `"diffusion"`, or None for the one-pass decoder where there is one.
        steps: of the diffusion decoder; None: the autoencoder's own.
        seed: of the decoder's noise.

    Raises:
        BadConfig: for an unknown decoder.
    """
    decoder = decoder or ("onepass" if dmae.onepass is not None else "diffusion")
    if decoder not in DECODERS:
        raise BadConfig(f"unknown decoder '{decoder}'; expected one of {', '.join(DECODERS)}.")
    music = music.resampled(dmae.clock.sample_rate)
    samples = music.waveform.shape[1]
    mixed = music.mono().waveform if dmae.in_channels == 1 else np.resize(music.waveform, (dmae.in_channels, samples))
    latent = encode_piece(dmae, torch.from_numpy(np.ascontiguousarray(mixed, dtype=np.float32)))
    waveform = decode_piece(dmae, latent, decoder, steps, seed)
    return Music(np.ascontiguousarray(waveform[:, :samples].numpy()), dmae.clock.sample_rate)


def round_trip_folder(
    dmae: DMAE,
    generated: str | Path,
    reference: str | Path,
    out: str | Path,
    decoder: str | None = None,
    skip: Collection[str] = (),
) -> Path:
    """Write `NAME.wav` into `out` for each reference sound that has generated music; return `out`.

    An unreadable reference is left out: `score_folders` reports it. Names in `skip` are left alone.

    Raises:
        BadInput: when the folders are missing or nothing has a partner.
    """
    out = writable_folder(out)
    pairing = find_pairs(Path(generated), find_references(Path(reference)))
    sounds = {pair.name: pair.reference.audio for pair in pairing.pairs if pair.reference.audio}
    sounds = {name: path for name, path in sounds.items() if name not in skip}
    for name, path in tqdm(sounds.items(), desc="round trips", unit="file"):
        try:
            round_trip(Music.load(path), dmae, decoder).save(out / f"{name}.wav")
        except BadInput:
            continue
    return out
