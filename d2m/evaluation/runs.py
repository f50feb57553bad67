"""Whole runs: folders of generated music scored and compared, and references sent through an autoencoder."""

import math
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from tqdm import tqdm

from d2m.audio.autoencoder import DMAE
from d2m.audio.chunked_coding import decode_in_chunks, encode_in_chunks
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
from d2m.metrics.audio_quality import (
    chroma,
    chroma_similarity,
    constant_q,
    constant_q_similarity,
    log_mel,
    log_mel_l1,
    stereo_width,
)
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
    waveform = decode_in_chunks(dmae, encode_music(dmae, music), decoder, steps, seed)
    return Music(np.ascontiguousarray(waveform[:, : music.waveform.shape[1]].numpy()), dmae.clock.sample_rate)


def encode_music(dmae: DMAE, music: Music) -> Float[Tensor, "latent_channel frame"]:
    """Latent of music of any rate and any number of channels: mixed down to mono, or mono doubled, as the autoencoder takes it."""
    music = music.resampled(dmae.clock.sample_rate)
    shape = (dmae.in_channels, music.waveform.shape[1])
    mixed = music.mono().waveform if dmae.in_channels == 1 else np.resize(music.waveform, shape)
    return encode_in_chunks(dmae, torch.from_numpy(np.ascontiguousarray(mixed, dtype=np.float32)))


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
_TIMED_S = 12.0


@dataclass(frozen=True)
class RoundTripRow:
    """What a maker keeps of the originals; means over the clips.

    Args:
        beat_f, onset_f: at ±70 and ±50 ms.
        log_mel_l1: in nepers (1 is 8.7 dB).
        log_mel_db: the same in dB.
        constant_q, constant_q_low: correlation of constant-Q transforms over all bins, and over 55 to 311 Hz.
        chroma_over_time: correlation of chroma, frame by frame.
        width_ratio: stereo width over the original's; NaN where the originals are mono.
        seconds_per_clip: of encoding and decoding; None for the floors.
        decode_speed: seconds of music decoded in a second of one processor's time; None for the floors.
    """

    beat_f: float
    onset_f: float
    log_mel_l1: float
    log_mel_db: float
    constant_q: float
    constant_q_low: float
    chroma_over_time: float
    width_ratio: float
    seconds_per_clip: float | None = None
    decode_speed: float | None = None


@dataclass(frozen=True)
class _Heard:
    """What is compared of a clip."""

    beats_s: np.ndarray
    onsets_s: np.ndarray
    mel: np.ndarray
    notes: np.ndarray
    pitch_classes: np.ndarray
    width: float

    @staticmethod
    def of(music: Music) -> "_Heard":
        return _Heard(
            track_beats_s(music), track_onsets_s(music), log_mel(music), constant_q(music), chroma(music),
            stereo_width(music.waveform),
        )  # fmt: skip

    def kept_by(self, other: "_Heard") -> dict[str, float]:
        """The measures of a `RoundTripRow`."""
        nepers = log_mel_l1(self.mel, other.mel)
        notes = constant_q_similarity(self.notes, other.notes)
        return {
            "beat_f": beat_f(self.beats_s, other.beats_s, BEAT_TOLERANCE_S),
            "onset_f": onset_f(self.onsets_s, other.onsets_s),
            "log_mel_l1": nepers,
            "log_mel_db": nepers * 20 / math.log(10),
            "constant_q": notes.whole,
            "constant_q_low": notes.low,
            "chroma_over_time": chroma_similarity(self.pitch_classes, other.pitch_classes).over_time,
            "width_ratio": other.width / self.width if self.width else float("nan"),
        }


def score_autoencoder(
    dmae: DMAE, wavs: Sequence[Path], decoders: Sequence[str] = ("onepass", "diffusion"), steps: int | None = None
) -> dict[str, RoundTripRow]:
    """A row for each decoder and for the floors `other_song` (same genre, where there is another) and `white_noise`.

    Args:
        dmae: in evaluation mode.
        wavs: reference music; named as in AIST++, song and genre are known.
        decoders: of `onepass` and `diffusion`.
        steps: of the diffusion decoder; None: the autoencoder's own.
    """
    originals = {path.stem: Music.load(path).resampled(dmae.clock.sample_rate) for path in wavs}
    if dmae.in_channels == 1:
        originals = {name: music.mono() for name, music in originals.items()}

    def noise(name: str) -> Music:
        samples = originals[name].waveform.shape
        return Music(0.1 * np.random.default_rng(0).standard_normal(samples).astype(np.float32), dmae.clock.sample_rate)

    makers: dict[str, Callable[[str], Music]] = {
        decoder: lambda name, decoder=decoder: round_trip(originals[name], dmae, decoder, steps) for decoder in decoders
    }
    if len(originals) > 1:
        makers["other_song"] = lambda name: originals[_other_song(name, list(originals))]
    makers["white_noise"] = noise
    originals_heard = {name: _Heard.of(music) for name, music in tqdm(originals.items(), desc="analyzing")}
    rows = {}
    for title, make in makers.items():
        scores, seconds = [], []
        for name, original in tqdm(originals_heard.items(), desc=title):
            started = time.perf_counter()
            music = make(name)
            seconds.append(time.perf_counter() - started)
            scores.append(original.kept_by(_Heard.of(music)))
        means = {key: _mean([score[key] for score in scores]) for key in scores[0]}
        if title in decoders:
            first = next(iter(originals.values()))
            means |= {
                "seconds_per_clip": float(np.median(seconds)),
                "decode_speed": decode_speed(dmae, first, title, steps),
            }
        rows[title] = RoundTripRow(**means)
    return rows


def _mean(values: Sequence[float]) -> float:
    """Over those that are defined."""
    defined = [value for value in values if not math.isnan(value)]
    return float(np.mean(defined)) if defined else float("nan")


def decode_speed(dmae: DMAE, music: Music, decoder: str, steps: int | None = None) -> float:
    """Seconds of music that are decoded in a second of processor time, with one thread; the faster of two tries."""
    samples = int(_TIMED_S * music.sample_rate)
    latent = encode_music(dmae, Music(music.waveform[:, :samples], music.sample_rate))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        taken = []
        for _ in range(2):
            started = time.process_time()
            decode_in_chunks(dmae, latent, decoder, steps)
            taken.append(time.process_time() - started)
    finally:
        torch.set_num_threads(threads)
    return latent.shape[1] / dmae.clock.latent_rate / min(taken)


def _other_song(name: str, names: list[str]) -> str:
    """A sequence of another song, of the same genre where there is one."""
    mine = parse_sequence_name(name)
    parsed = {other: parse_sequence_name(other) for other in names}
    same = [o for o, p in parsed.items() if p and mine and p.genre == mine.genre and p.song != mine.song]
    others = same or [o for o in names if o != name]
    return others[sum(name.encode()) % len(others)]
