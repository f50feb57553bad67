"""Whole runs: folders of generated music scored and compared, and references sent through an autoencoder."""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from d2m.audio.autoencoder import DMAE
from d2m.audio.chunked_coding import decode_piece, encode_piece
from d2m.audio.pretrained import load_dmae
from d2m.core.aist_names import parse_sequence_name
from d2m.core.errors import BadConfig, BadInput
from d2m.core.files import writable_folder
from d2m.core.music import Music
from d2m.evaluation.comparison import comparison_markdown, write_comparison
from d2m.evaluation.references import find_pairs, find_references
from d2m.evaluation.report.page import write_report
from d2m.evaluation.scores import Scores, chosen_protocols, make_analyzer, score_folders
from d2m.evaluation.set_metrics import check_embedding, training_songs
from d2m.evaluation.tables import genre_table, leftovers, over_all_lines, protocol_table, summary_table
from d2m.metrics.audio_quality import log_mel, log_mel_l1
from d2m.metrics.beat_tracker import track_beats_s, track_onsets_s
from d2m.metrics.beats import beat_f, onset_f

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


_ANALYSIS_SETTINGS = ("trackers", "tracker_settings", "workers", "genre_classifier")


@dataclass(frozen=True)
class Evaluation:
    """What to evaluate and how.

    Args:
        generated: folders of generated music, one per system.
        reference: folder of references.
        out: gets the results; with several systems each has a folder of its own name in it.
        settings: further arguments of `d2m.evaluation.scores.score_folders`.
        autoencoder, decoder: send the references through this DMAE for the ceiling `reference_through_dmae`.
        report: write `report.html`.
    """

    generated: Sequence[Path]
    reference: Path
    out: Path
    settings: Mapping[str, Any] = field(default_factory=dict)
    autoencoder: str | None = None
    decoder: str | None = None
    report: bool = True


def unique_names(folders: Sequence[Path]) -> list[str]:
    """A name for each folder: its own, with its parents' before it where two are called alike.

    Raises:
        BadInput: when a folder is given twice.
    """
    resolved = [folder.resolve() for folder in folders]
    if len(set(resolved)) < len(resolved):
        raise BadInput(f"{_repeated(resolved)}: named twice; name each folder once.")
    depth = 1
    while len(set(names := ["_".join(path.parts[-depth:]).strip("/_") for path in resolved])) < len(resolved):
        depth += 1
    return names


def _check(evaluation: Evaluation, settings: Mapping[str, Any]) -> None:
    """End here, before anything is written, where a folder or a name is wrong."""
    beats, dances, roundtrip = (
        Path(f) if (f := settings.get(key)) else None for key in ("beats", "dances", "roundtrip")
    )
    references = find_references(evaluation.reference, beats, settings.get("true_beats", True))
    for folder in evaluation.generated:
        find_pairs(folder, references, dances, roundtrip)
    chosen_protocols(settings.get("protocols", "all"))
    check_embedding(settings.get("embedding"))
    if settings.get("training"):
        training_songs(Path(settings["training"]))


def _repeated(paths: Sequence[Path]) -> Path:
    return next(path for number, path in enumerate(paths) if path in paths[:number])


def evaluate_all(evaluation: Evaluation) -> dict[str, Scores]:
    """Score every system, write its files, print its tables; with several systems compare them.

    Returns:
        Scores by system name.

    Raises:
        BadInput, BadConfig: before anything is written, where a folder or setting is wrong.
    """
    names = unique_names(evaluation.generated)
    several = len(names) > 1
    settings = dict(evaluation.settings)
    _check(evaluation, settings)
    analysis_settings = {key: settings[key] for key in _ANALYSIS_SETTINGS if key in settings}
    settings["analyzer"] = make_analyzer(**analysis_settings, progress=settings.get("progress", True))
    out = writable_folder(evaluation.out)
    if evaluation.autoencoder:
        settings["roundtrip"] = _round_trips(evaluation)
    found = {}
    for name, folder in zip(names, evaluation.generated, strict=True):
        place = writable_folder(out / name) if several else out
        found[name] = _evaluate_one(evaluation, folder, place, settings)
        print(_text(name if several else "", found[name], place, evaluation.report), flush=True)
    if several:
        keys = {key: settings[key] for key in ("resamples", "seed") if key in settings}
        compared = write_comparison({name: scores.system for name, scores in found.items()}, out, **keys)
        print("\n\n".join(comparison_markdown(comparison) for comparison in compared))
        print(f"wrote {out / 'comparison.json'} and {out / 'comparison.md'}")
    return found


def _evaluate_one(evaluation: Evaluation, folder: Path, out: Path, settings: Mapping[str, Any]) -> Scores:
    scores = score_folders(folder, evaluation.reference, **settings)
    scores.write(out)
    if evaluation.report:
        write_report(scores.to_json(), dict(scores.audio), out, dict(scores.dances) or None)
    return scores


def _round_trips(evaluation: Evaluation) -> Path:
    """Each reference once, however many systems there are."""
    assert evaluation.autoencoder is not None
    out, dmae, done = evaluation.out / "roundtrip", load_dmae(evaluation.autoencoder), set()
    for folder in evaluation.generated:
        round_trip_folder(dmae, folder, evaluation.reference, out, evaluation.decoder, skip=done)
        done |= {pair.name for pair in find_pairs(folder, find_references(evaluation.reference)).pairs}
    return out


def _text(name: str, scores: Scores, out: Path, report: bool) -> str:
    table = scores.to_json()
    parts = (leftovers, genre_table, protocol_table, over_all_lines, summary_table)
    written = f"wrote {out / 'scores.json'}, clips.csv, table.md" + (" and report.html" if report else "")
    texts = [f"== {name}" if name else "", *[part(table) for part in parts], written]
    return "\n\n".join(text for text in texts if text)


# What an autoencoder keeps of music: references against their own round trip, another song of the genre, and white noise.


BEAT_TOLERANCE_S = 0.07


@dataclass(frozen=True)
class RoundTripRow:
    """Means over the clips: beat F at ±70 ms, onset F at ±50 ms, log-mel L1 in nepers, seconds of decoding per clip."""

    beat_f: float
    onset_f: float
    log_mel_l1: float
    seconds_per_clip: float | None = None


def score_autoencoder(
    dmae: DMAE, wavs: Sequence[Path], decoders: Sequence[str] = ("onepass", "diffusion"), steps: int | None = None
) -> dict[str, RoundTripRow]:
    """A row for each decoder and for the floors `other_song` (same genre) and `white_noise`.

    Args:
        dmae: in evaluation mode.
        wavs: reference music, named as in AIST++ so that song and genre are known.
        decoders: of `onepass` and `diffusion`.
        steps: of the diffusion decoder; None: the autoencoder's own.
    """
    originals = {path.stem: Music.load(path).mono().resampled(dmae.clock.sample_rate) for path in wavs}

    def noise(name: str) -> Music:
        samples = originals[name].waveform.shape
        return Music(0.1 * np.random.default_rng(0).standard_normal(samples).astype(np.float32), dmae.clock.sample_rate)

    makers: dict[str, Callable[[str], Music]] = {
        decoder: lambda name, decoder=decoder: round_trip(originals[name], dmae, decoder, steps) for decoder in decoders
    }
    makers["other_song"] = lambda name: originals[_other_song(name, list(originals))]
    makers["white_noise"] = noise
    originals_analyzed = {
        name: (track_beats_s(m), track_onsets_s(m), log_mel(m)) for name, m in tqdm(originals.items(), desc="analyzing")
    }
    rows = {}
    for title, make in makers.items():
        scores, seconds = [], []
        for name, (beats_s, onsets_s, mel) in tqdm(originals_analyzed.items(), desc=title):
            started = time.perf_counter()
            music = make(name)
            seconds.append(time.perf_counter() - started)
            scores.append(
                (
                    beat_f(beats_s, track_beats_s(music), BEAT_TOLERANCE_S),
                    onset_f(onsets_s, track_onsets_s(music)),
                    log_mel_l1(mel, log_mel(music)),
                )
            )
        means = np.mean(scores, axis=0)
        beat, onset, l1 = map(float, means)
        rows[title] = RoundTripRow(beat, onset, l1, float(np.median(seconds)) if title in decoders else None)
    return rows


def _other_song(name: str, names: list[str]) -> str:
    """A sequence of another song, of the same genre where there is one."""
    mine = parse_sequence_name(name)
    parsed = {other: parse_sequence_name(other) for other in names}
    same = [o for o, p in parsed.items() if p and mine and p.genre == mine.genre and p.song != mine.song]
    others = same or [o for o in names if o != name]
    return others[sum(name.encode()) % len(others)]
