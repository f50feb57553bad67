"""What an autoencoder keeps of held-out music: `python scripts/evaluate_dmae.py dmae=demo root=data/procedural`."""

import json
from dataclasses import asdict
from pathlib import Path

import hydra
import torch
from omegaconf import DictConfig

from d2m.audio.chunked_coding import encode_piece
from d2m.audio.pretrained import load_dmae
from d2m.core.errors import user_errors_exit
from d2m.core.files import atomic_write, writable_folder
from d2m.core.music import Music
from d2m.data.layout import DataSetLayout
from d2m.evaluation.autoencoder_scores import score_autoencoder
from d2m.evaluation.runs import round_trip
from d2m.systems.autoencoder import latent_health


@hydra.main(version_base="1.3", config_path="../configs", config_name="evaluate_dmae")
@user_errors_exit()
def main(config: DictConfig) -> None:
    """Score both decoders beside their floors; write the table, the latents' health and a spectrogram."""
    from d2m.render.plots import spectrogram_pair

    layout, out, dmae = DataSetLayout(Path(config.root)), writable_folder(config.out), load_dmae(config.dmae.weights)
    wavs = [layout.wav(name) for split in config.splits for name in layout.names(split)][:: config.every]
    rows = score_autoencoder(dmae, wavs, list(config.decoders), config.steps)
    pieces = [Music.load(path).mono().resampled(dmae.clock.sample_rate) for path in wavs]
    latents = torch.cat([encode_piece(dmae, torch.from_numpy(piece.waveform)) for piece in pieces], dim=1)
    result = {
        "clips": len(wavs),
        "rows": {k: asdict(row) for k, row in rows.items()},
        "latent": latent_health(latents[None]),
    }
    with atomic_write(out / "dmae.json") as temporary:
        temporary.write_text(json.dumps(result, indent=2))
    for decoder in config.decoders:
        with atomic_write(out / f"{wavs[0].stem}_{decoder}.png") as temporary:
            temporary.write_bytes(spectrogram_pair(pieces[0], round_trip(pieces[0], dmae, decoder, config.steps)))
    print(f"\n{'':12s} beat F   onset F  log-mel  s per clip   ({len(wavs)} clips)")
    for title, row in rows.items():
        seconds = "" if row.seconds_per_clip is None else f"{row.seconds_per_clip:.2f}"
        print(f"{title:12s} {row.beat_f:.3f}    {row.onset_f:.3f}    {row.log_mel_l1:.3f}    {seconds}")
    print(f"latent: {result['latent']}; written to {out}")


if __name__ == "__main__":
    main()
