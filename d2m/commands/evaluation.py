"""Commands that score: evaluate, evaluate_dmae, evaluate_editing, evaluate_rhythm, compare, dance_statistics."""

import math
import sys
from dataclasses import asdict
from pathlib import Path

from omegaconf import DictConfig, ListConfig, OmegaConf

from d2m.core.errors import BadConfig, BadInput, require_settings
from d2m.core.files import atomic_write, writable_folder, write_json

_EVALUATE_OWN_KEYS = ("generated", "reference", "out", "autoencoder", "decoder", "report")


def evaluate(config: DictConfig) -> None:
    """Score one folder of wavs, or compare several, beside floors and ceilings; status 2 when a file could not be used.

    Prints tables and writes scores.json, clips.csv, table.md, config.yaml and report.html into `out` (for several systems
    into `out/NAME`, and comparison.json and comparison.md into `out`).
    """
    require_settings(
        config,
        {"generated": "folder of generated wavs", "reference": "folder of reference wavs or beats", "out": "folder"},
        "python scripts/evaluate.py generated=DIR reference=DIR out=DIR",
    )
    from d2m.evaluation.runs import Evaluation, evaluate_all

    generated = config.generated if isinstance(config.generated, ListConfig) else [config.generated]
    plain = OmegaConf.to_container(config, resolve=True)
    assert isinstance(plain, dict)
    evaluation = Evaluation(
        generated=[Path(folder) for folder in generated],
        reference=Path(config.reference),
        out=Path(config.out),
        settings={str(key): value for key, value in plain.items() if key not in _EVALUATE_OWN_KEYS},
        autoencoder=config.autoencoder,
        decoder=config.decoder,
        report=config.report,
    )
    found = evaluate_all(evaluation)
    with atomic_write(evaluation.out / "config.yaml") as temporary:
        temporary.write_text(OmegaConf.to_yaml(config))
    failed = sum(len(scores.failed) for scores in found.values())
    bad = {sentence for scores in found.values() for sentence in scores.bad_files}
    if bad:
        raise BadInput(
            f"{len(bad)} files could not be used and {failed} clips failed (named above); the rest is scored."
        )


def evaluate_dmae(config: DictConfig) -> None:
    """Score the autoencoder's decoders beside their floors; write the table, the latents' health and spectrograms."""
    require_settings(
        config.dmae,
        {"weights": "an autoencoder's file"},
        "python scripts/evaluate_dmae.py dmae=stereo dmae.weights=FILE",
    )
    import torch

    from d2m.audio.pretrained import load_dmae
    from d2m.core.music import Music
    from d2m.data.audio_crops import recordings
    from d2m.evaluation.runs import encode_music, round_trip, score_autoencoder
    from d2m.render.plots import spectrogram_pair
    from d2m.systems.autoencoder import latent_health

    out, dmae = writable_folder(config.out), load_dmae(config.dmae.weights)
    found = recordings(Path(config.root), list(config.splits))
    wavs = list(dict.fromkeys(recording.path for split in found for recording in split))[:: config.every]
    has = {"onepass": dmae.onepass is not None, "diffusion": dmae.diffusion_network is not None}
    decoders = [decoder for decoder in config.decoders if has.get(decoder, True)]
    rows = score_autoencoder(dmae, wavs, decoders, config.steps)
    latents = torch.cat([encode_music(dmae, Music.load(path)) for path in wavs], dim=1)
    table = {title: {key: _finite(value) for key, value in asdict(row).items()} for title, row in rows.items()}
    result = {"clips": len(wavs), "rows": table, "latent": latent_health(latents[None])}
    write_json(out / "dmae.json", result)
    first = Music.load(wavs[0])
    for decoder in decoders:
        with atomic_write(out / f"{wavs[0].stem}_{decoder}.png") as temporary:
            temporary.write_bytes(spectrogram_pair(first, round_trip(first, dmae, decoder, config.steps)))
    names = {
        "beat_f": "beat F", "onset_f": "onset F", "log_mel_l1": "log-mel", "log_mel_db": "dB", "constant_q": "const-Q",
        "constant_q_low": "55-311 Hz", "chroma_over_time": "chroma", "width_ratio": "width",
        "seconds_per_clip": "s per clip", "decode_speed": "x real time",
    }  # fmt: skip
    print(f"\n{'':12s}" + "".join(f"{name:>12s}" for name in names.values()) + f"   ({len(wavs)} clips)")
    for title, row in table.items():
        values = [row[key] for key in names]
        print(f"{title:12s}" + "".join(" " * 12 if value is None else f"{value:12.3f}" for value in values))
    print(f"latent: {result['latent']}; written to {out}")


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def evaluate_editing(config: DictConfig) -> None:
    """Score edited songs; status 2 when some clips could not be scored."""
    require_settings(
        config,
        {
            "edited": "folder of edited wavs",
            "reference": "folder of the new dances' true beats, or a data set's root",
            "out": "folder",
        },
        "python scripts/evaluate_editing.py edited=DIR reference=DIR out=DIR",
    )
    from d2m.evaluation.editing_scores import EditEvaluation, editing_table
    from d2m.evaluation.editing_scores import evaluate_editing as score_edits

    def path(value: str | None) -> Path | None:
        return None if value is None else Path(value)

    content = score_edits(
        EditEvaluation(
            Path(config.edited),
            Path(config.reference),
            Path(config.out),
            path(config.songs),
            path(config.generated),
            config.autoencoder,
            config.resamples,
            config.seed,
        )
    )
    print(editing_table(content))
    for sentence in content["failed"].values():
        print(f"error: {sentence}", file=sys.stderr)
    if content["failed"]:
        sys.exit(2)


def evaluate_rhythm(config: DictConfig) -> None:
    """Try reading, obeying and following; writes rhythm.json, rhythm.md and config.yaml into `out`; status 2 when a file could not be used."""
    require_settings(
        config, {"dances": "folder of dances", "out": "folder"}, "python scripts/evaluate_rhythm.py dances=DIR out=DIR"
    )
    from d2m.core.errors import UserError
    from d2m.evaluation import rhythm_trials as trials
    from d2m.evaluation.live_trials import follow_trial
    from d2m.evaluation.tables import columns, markdown
    from d2m.motion.dance import list_dances
    from d2m.pipeline import Dance2Music
    from d2m.rhythm.causal_reader import load_causal_reader
    from d2m.rhythm.reader import load_reader

    unknown = set(config.parts) - {"read", "obey", "follow"}
    if unknown or not config.parts:
        raise BadConfig(f"parts={list(config.parts)}: expected some of read, obey and follow; correct the list.")
    folders = [None if folder is None else Path(folder) for folder in (config.beats, config.reference)]
    dances, failed = [], list[str]()
    for path in trials.chosen(list_dances(config.dances), config.most):
        try:
            dances.append(trials.load_tried(path, *folders))
        except UserError as error:
            failed.append(str(error))
    if not dances:
        raise BadInput(f"{config.dances}: no dance can be used (first: {failed[0]})")
    out, songs, content, page = writable_folder(config.out), {one.name: one.song for one in dances}, {}, []
    moving, asked = (
        [one for one in dances if one.dance is not None],
        OmegaConf.to_container(config.settings, resolve=True),
    )
    assert isinstance(asked, dict)
    settings = {str(key): value for key, value in asked.items()}
    with atomic_write(out / "config.yaml") as temporary:
        temporary.write_text(OmegaConf.to_yaml(config))
    for part, tried in (("read", dances), ("obey", moving), ("follow", dances)):
        if part not in config.parts or not tried:
            continue
        if part == "read":
            found = trials.read_trial(load_reader(config.checkpoint), tried, config.seed)
        elif part == "follow":
            found = follow_trial(load_causal_reader(config.live_reader), tried)
        else:
            found = trials.obey_trial(Dance2Music.load(config.checkpoint), tried, config.seed, settings)
        content[part] = {"summary": trials.summary(found, songs), "dances": trials.measured(found)}
        rows = trials.table_rows(content[part]["summary"])
        page.append(f"{part}, {len(tried)} dances\n\n{markdown(rows)}")
        print(f"\n{part}\n{columns(rows)}")
        write_json(out / "rhythm.json", {"checkpoint": config.checkpoint, "failed": failed, **content})
        with atomic_write(out / "rhythm.md") as temporary:
            temporary.write_text("\n".join(page))
    print(f"\nwritten to {out}")
    if "obey" in config.parts and len(moving) < len(dances):
        failed += [f"{one.name}: holds points only, so no music is made for it." for one in dances if one.dance is None]
    if failed:
        raise BadInput(f"{len(failed)} dances could not be used (first: {failed[0]}); the rest is tried.")


def compare(config: DictConfig) -> None:
    """Write leaderboard.md and leaderboard.html, sorted by beat F at 70 ms; runs that cannot be compared are marked."""
    require_settings(
        config,
        {"runs": "out folders of scripts/evaluate.py", "out": "folder"},
        "python scripts/compare.py runs=[DIR,DIR] out=DIR",
    )
    from d2m.evaluation.comparison import load_run, write_leaderboard
    from d2m.evaluation.runs import unique_names

    paths = [Path(path) for path in (config.runs if isinstance(config.runs, ListConfig) else [config.runs])]
    folders = [path.parent if path.is_file() else path for path in paths]
    runs = [load_run(path, name) for path, name in zip(paths, unique_names(folders), strict=True)]
    written = write_leaderboard(runs, writable_folder(config.out))
    print(written[0].read_text(encoding="utf-8"))
    print("wrote " + " and ".join(str(path) for path in written))


def dance_statistics(config: DictConfig) -> None:
    """Write dance_statistics.json and dance_statistics.png; prints what simple rules read."""
    require_settings(config, {"out": "folder"}, "python scripts/dance_statistics.py out=DIR [real=DIR]")
    from d2m.evaluation.dance_statistics import dance_statistics as measure
    from d2m.evaluation.dance_statistics import load_seen, statistics_figure, synthetic_dances

    if config.per_genre < 1 or config.seconds < 8:
        raise BadConfig(
            f"per_genre={config.per_genre}, seconds={config.seconds}: expected at least 1 and 8; give larger figures."
        )
    folders = config.real if isinstance(config.real, ListConfig) else [config.real] if config.real else []
    paths = [path for folder in folders for path in sorted(Path(folder).glob("*.npz"))]
    kept = [path for path in paths if path.stem not in config.leave_out]
    if folders and not kept:
        raise BadInput(f"real={config.real}: found no npz files there; name another folder.")
    out = writable_folder(config.out)
    table = measure(
        {
            "real": [load_seen(path) for path in kept],
            "synthetic": synthetic_dances(config.per_genre, config.seconds, config.seed),
        }
    )
    write_json(out / "dance_statistics.json", table)
    with atomic_write(out / "dance_statistics.png") as temporary:
        temporary.write_bytes(statistics_figure(table))
    print("                dances  F of minima  F tracked  minima per beat  near beats (by chance)")
    for name, genres in table.items():
        for genre, found in genres.items():
            rules = found["rules"]
            print(
                f"{name:10s} {genre:4s} {found['dances']:6d}  {rules['minima_beat_f']:11.2f}  {rules['tracked_beat_f']:9.2f}"
                f"  {rules['minima_per_beat']:15.2f}  {rules['minima_near_beats']:.2f} ({rules['near_beats_by_chance']:.2f})"
            )
    print(f"written to {out}")
