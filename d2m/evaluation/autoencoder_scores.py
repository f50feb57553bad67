"""What an autoencoder keeps of music: references against their own round trip, with floors.

Beats and onsets are tracked before and after; a round trip that keeps them scores 1. The floors say what a sound scores
that has nothing to do with the original: another song of the genre, and white noise.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from d2m.audio.autoencoder import DMAE
from d2m.core.aist_names import parse_sequence_name
from d2m.core.music import Music
from d2m.evaluation.runs import round_trip
from d2m.metrics.audio_quality import log_mel, log_mel_l1
from d2m.metrics.beat_tracker import track_beats_s, track_onsets_s
from d2m.metrics.beats import beat_f, onset_f

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
