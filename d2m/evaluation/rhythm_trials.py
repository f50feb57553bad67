"""Trials of rhythm without a wav to judge: how steadily a checkpoint reads the beat of a dance that is seen otherwise, and how well
its music obeys beats that contradict the dance.

*Read* tries the rhythm reader on each dance as it is and then mirrored, faster, slower, with limbs that are not seen, at the frame
rates of films, and with a detector's jitter. *Obey* gives each dance beats at another tempo, or half a beat off, and judges the
music against these; its ceilings are what the same tracker makes of clicks on them, and of the reference music on its own.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from tqdm import tqdm

from d2m.core.aist_names import genre_index, grid_beats_s, parse_sequence_name
from d2m.core.errors import BadConfig, BadInput
from d2m.core.music import Music
from d2m.core.timeline import MOTION_FPS
from d2m.data.rhythm_windows import LIMBS, interpolated, load_recording, without_limb
from d2m.evaluation.tables import printed, with_interval
from d2m.metrics.beat_tracker import LibrosaTracker, Tracker
from d2m.metrics.beats import beat_drift, beat_f, compare_tempo, fit_tempo_bpm, interval_deviation_ms, load_beats_s
from d2m.metrics.intervals import bootstrap_mean
from d2m.motion.dance import Dance
from d2m.pipeline import Dance2Music
from d2m.rhythm.grid import HIGHEST_BPM, LOWEST_BPM, BeatGrid
from d2m.rhythm.reader import MIRRORED_POINTS, RhythmReader, body_points, side_views

TOLERANCE_S, SHORTEST_S = 0.07, 4.0
BODY_M = 1.45
"""From the ankles to the head: what a jitter in metres is scaled by where points are in pixels."""

OBEYED = ((0.8, 0.0), (0.9, 0.0), (1.1, 0.0), (1.25, 0.0), (1.0, 0.5))
"""Times the dance's own tempo, and beats by which its own are shifted."""

_CLICK_RATE = 22050


@dataclass(frozen=True)
class TriedDance:
    """A dance on trial.

    Args:
        name: of its file.
        points: of `d2m.rhythm.reader.POINTS` at 60 fps, up and to the right, in metres or pixels.
        beats_s: its true beats; None: not known.
        dance: as music is made for it; None where only its points are known.
        wav: its reference music, where there is one.
    """

    name: str
    points: Float[np.ndarray, "time 13 _"]
    beats_s: Float[np.ndarray, " beat"] | None
    dance: Dance | None = None
    wav: Path | None = None

    @property
    def song(self) -> str:
        """What an interval is resampled by: the song's code, else the dance's own name."""
        parts = parse_sequence_name(self.name)
        return self.name if parts is None else parts.song


def load_tried(path: Path, beats: Path | None = None, reference: Path | None = None) -> TriedDance:
    """A motion file with its beats from `beats/NAME.txt` or by AIST++'s rule, or a recording that holds its own.

    Args:
        path: a motion, see `Dance.load`, or an npz of `d2m.data.rhythm_windows.load_recording`.
        beats: folder of lists; None: the rule.
        reference: folder of NAME.wav.

    Raises:
        BadInput: when it is neither, is shorter than `SHORTEST_S`, or its list has fewer than two beats of it.
    """
    if path.suffix.lower() == ".npz" and _holds_points(path):
        found = load_recording(path)
        return _checked(TriedDance(path.stem, found.points, found.beats_s), path)
    dance = Dance.load(path)
    points = body_points(torch.from_numpy(dance.features)[None])[0].numpy()
    if beats is None:
        known_s = grid_beats_s(dance.name, dance.seconds)
    else:
        listed = beats / f"{dance.name}.txt"
        known_s = load_beats_s(listed) if listed.is_file() else None
    wav = reference and reference / f"{dance.name}.wav"
    return _checked(TriedDance(dance.name, points, known_s, dance, wav if wav and wav.is_file() else None), path)


def _checked(one: TriedDance, path: Path) -> TriedDance:
    seconds = len(one.points) / MOTION_FPS
    if seconds < SHORTEST_S:
        raise BadInput(
            f"{path}: found {seconds:.1f} s, expected at least {SHORTEST_S:g} s to tell a beat; leave it out."
        )
    if one.beats_s is not None and (one.beats_s < seconds).sum() < 2:
        raise BadInput(
            f"{path}: fewer than two of its beats lie within its {seconds:.1f} s; correct its list of beats."
        )
    return one


def _holds_points(path: Path) -> bool:
    try:
        with np.load(path, allow_pickle=False) as file:
            return bool({"keypoints2d", "joints"} & set(file.files))
    except (OSError, ValueError, EOFError):
        return False  # `Dance.load` says what is wrong


# Read

Change = Callable[[Float[np.ndarray, "time 13 axis"], np.random.Generator], Float[np.ndarray, "changed 13 axis"]]


def _played(points: Float[np.ndarray, "time 13 axis"], speed: float) -> Float[np.ndarray, "changed 13 axis"]:
    return interpolated(points, np.arange(0, len(points) - 1, speed))


def _mirrored(points: Float[np.ndarray, "time 13 axis"]) -> Float[np.ndarray, "time 13 axis"]:
    return points[:, MIRRORED_POINTS] * np.where(np.arange(points.shape[-1]) == 0, -1.0, 1.0)


def _filmed(points: Float[np.ndarray, "time 13 axis"], fps: float | int) -> Float[np.ndarray, "changed 13 axis"]:
    return _played(_played(points, MOTION_FPS / fps), fps / MOTION_FPS)


def _trembling(
    points: Float[np.ndarray, "time 13 axis"], jitter_m: float, rng: np.random.Generator
) -> Float[np.ndarray, "changed 13 axis"]:
    """Every point of every picture of a film at 30 fps is off by an error of its own."""
    height = float(np.quantile(points[:, 0, 1] - points[:, -2:, 1].mean(axis=1), 0.8))
    pictures = _played(points, 2.0)
    return _played(pictures + rng.normal(scale=jitter_m / BODY_M * height, size=pictures.shape), 0.5)


SPEEDS = (0.7, 0.85, 1.15, 1.35)
CHANGES: dict[str, Change] = {
    "as it is": lambda points, _: points,
    "mirrored": lambda points, _: _mirrored(points),
    **{f"{speed:g} times as fast": lambda points, _, speed=speed: _played(points, speed) for speed in SPEEDS},
    **{f"without {limb}": lambda points, _, limb=limb: without_limb(points, LIMBS[limb]) for limb in ("arms", "feet")},
    **{f"at {fps} fps": lambda points, _, fps=fps: _filmed(points, fps) for fps in (25, 30)},
    **{f"jitter of {cm} cm": lambda points, rng, cm=cm: _trembling(points, cm / 100, rng) for cm in (1, 2)},
}
"""What a dance's points become; the first is what others are compared with."""


def read_trial(reader: RhythmReader, dances: Sequence[TriedDance], seed: int = 0) -> dict[str, dict[str, Any]]:
    """What is read of each dance under each of `CHANGES`: `{change: {dance: scores}}`.

    Scores: `beat_f` and `tempo` against the true beats, `same_f` and `moved_ms` (median) against those read from the dance as it is,
    `genre`, `confidence`, and the read beats' `interval_deviation_ms` and `drift_ms_per_second`; NaN where not known.
    """
    found: dict[str, dict[str, Any]] = {change: {} for change in CHANGES}
    for one in tqdm(dances, desc="reading", unit="dance"):
        plain_s, parts = np.zeros(0), parse_sequence_name(one.name)
        for number, (change, changed) in enumerate(CHANGES.items()):
            points = changed(one.points, np.random.default_rng([seed, number])).astype(np.float32)
            speed = float(change.split()[0]) if change.endswith("as fast") else 1.0
            seen, seconds = torch.from_numpy(points)[None], len(points) / MOTION_FPS
            read = reader.read_points(seen if seen.shape[-1] == 2 else side_views(seen, reader.views))
            beats = read.beats()
            at_s = beats.grid.within(seconds)
            plain_s = at_s if not plain_s.size else plain_s
            was_s = plain_s / speed
            was_s = was_s[was_s < seconds]
            moved_s = np.abs(at_s[:, None] - was_s[None]).min(axis=1, initial=seconds)
            scores = {
                "same_f": beat_f(was_s, at_s, TOLERANCE_S), "moved_ms": 1000 * float(np.median(moved_s)),
                "confidence": beats.confidence, "interval_deviation_ms": interval_deviation_ms(at_s),
                "genre": float(int(read.genre_probabilities.argmax()) == genre_index(parts.genre)) if parts else np.nan,
            }  # fmt: skip
            found[change][one.name] = _against(one.beats_s, at_s, speed, seconds) | scores
    return found


def _against(
    true_s: Float[np.ndarray, " true"] | None, at_s: Float[np.ndarray, " beat"], speed: float, seconds: float
) -> dict[str, float]:
    if true_s is None:
        return dict.fromkeys(("beat_f", "tempo", "drift_ms_per_second"), float("nan"))
    true_s = true_s / speed
    true_s, own = true_s[true_s < seconds], fit_tempo_bpm(true_s)
    return {
        "beat_f": beat_f(true_s, at_s, TOLERANCE_S),
        "tempo": float("nan") if own is None else float(compare_tempo(own, fit_tempo_bpm(at_s)).within),
        "drift_ms_per_second": beat_drift(true_s, at_s).ms_per_second,
    }


# Obey


def clicks(beats_s: Float[np.ndarray, " beat"], seconds: float | int) -> Music:
    """A short click on every beat, over a very quiet noise."""
    noise = np.random.default_rng(0).normal(scale=1e-3, size=round(seconds * _CLICK_RATE))
    at_s = np.arange(round(0.05 * _CLICK_RATE)) / _CLICK_RATE
    click = 0.8 * np.sin(2 * np.pi * 1000 * at_s) * np.exp(-at_s / 0.01)
    for start in np.round(beats_s * _CLICK_RATE).astype(int):
        noise[start : start + len(click)] += click[: max(len(noise) - start, 0)]
    return Music(noise[None].astype(np.float32), _CLICK_RATE)


def contradicting(own: BeatGrid, factor: float, shift: float, seconds: float | int) -> BeatGrid:
    """Steady beats at `factor` times the tempo of a dance's own, through its first; and shifted by some beats."""
    bpm = float(np.clip(own.bpm * factor, LOWEST_BPM, HIGHEST_BPM))
    return BeatGrid.regular(bpm, float(own.within(seconds)[0]), seconds).shifted(shift)


def obey_trial(
    model: Dance2Music,
    dances: Sequence[TriedDance],
    seed: int = 0,
    settings: Mapping[str, Any] | None = None,
    tracker: Tracker | None = None,
) -> dict[str, dict[str, Any]]:
    """Music on beats that are not the dance's, `{change: {dance: scores}}`; each of `OBEYED` comes equally often.

    Scores: `beat_f` of the music against the beats given, `own_f` against the dance's own, `clicks_f` of clicks on the beats given and
    `reference_f` of the reference music against its own beats (NaN without), `interval_deviation_ms` and `drift_ms_per_second`
    of the music, `clicks_deviation_ms`. The dance's own beats are its true ones, else those that are read.

    Raises:
        BadConfig: for a checkpoint that takes no beats.
    """
    tracker = tracker or LibrosaTracker()
    order = np.concatenate([np.random.default_rng([seed, k]).permutation(5) for k in range(-(-len(dances) // 5))])
    found: dict[str, dict[str, Any]] = {f"tempo x {f:g}" if not s else f"shift {s:g} beat": {} for f, s in OBEYED}
    for one, which in zip(bar := tqdm(dances, desc="making music", unit="dance"), order, strict=False):
        assert one.dance is not None
        (factor, shift), seconds, own = OBEYED[which], one.dance.seconds, one.beats_s
        if own is None:
            read = model.music_generator.read(torch.from_numpy(one.dance.features))
            if read is None:
                raise BadConfig("this checkpoint takes no beat, so there is nothing to obey; say parts=[read].")
            own = read.beats.grid.within(seconds)
        own = own[own < seconds]
        given = contradicting(BeatGrid(own), factor, shift, seconds)
        bar.set_postfix_str(f"{given.bpm:.0f} BPM")
        given_s = given.within(seconds)
        heard_s = tracker.track(model(one.dance, seed, beats=given, **(settings or {})))
        clicked_s = tracker.track(clicks(given_s, seconds))
        heard_of_own_s = tracker.track(Music.load(one.wav)) if one.wav else None
        found[list(found)[which]][one.name] = {
            "beat_f": beat_f(given_s, heard_s, TOLERANCE_S), "own_f": beat_f(own, heard_s, TOLERANCE_S),
            "clicks_f": beat_f(given_s, clicked_s, TOLERANCE_S),
            "reference_f": float("nan") if heard_of_own_s is None else beat_f(own, heard_of_own_s, TOLERANCE_S),
            "bpm": given.bpm, "interval_deviation_ms": interval_deviation_ms(heard_s),
            "clicks_deviation_ms": interval_deviation_ms(clicked_s),
            "drift_ms_per_second": beat_drift(given_s, heard_s).ms_per_second,
        }  # fmt: skip
    bar.close()
    return found


# Both


def summary(found: Mapping[str, Mapping[str, Mapping[str, float]]], songs: Mapping[str, str]) -> dict[str, Any]:
    """Means of every score by change, with intervals by song; `all` over all changes where dances do not share them."""
    rows = {change: list(dances.items()) for change, dances in found.items() if dances}
    names = [name for dances in rows.values() for name, _ in dances]
    if len(set(names)) == len(names):
        rows = {"all": [row for dances in rows.values() for row in dances], **rows}
    table: dict[str, Any] = {}
    for change, dances in rows.items():
        drawn = [songs[name] for name, _ in dances]
        table[change] = {
            key: bootstrap_mean(np.array([scores[key] for _, scores in dances]), drawn).to_json()
            for key in dances[0][1]
        }
    return table


def measured(found: Mapping[str, Mapping[str, Mapping[str, float]]]) -> dict[str, Any]:
    """The same for a JSON file: None in place of NaN."""
    return {
        change: {
            name: {key: None if np.isnan(value) else value for key, value in scores.items()}
            for name, scores in dances.items()
        }
        for change, dances in found.items()
    }


def table_rows(table: Mapping[str, Mapping[str, Any]]) -> list[list[str]]:
    """Rows for a person, the first their head."""
    keys = list(next(iter(table.values())))
    cells = {
        change: [
            with_interval(row[key]) if key == "beat_f" else printed(row[key]["mean"], 1 if "ms" in key else 2)
            for key in keys
        ]
        for change, row in table.items()
    }
    return [["", *keys], *([change, *row] for change, row in cells.items())]


def chosen(paths: Sequence[Path], most: int | None) -> list[Path]:
    """At most so many, spread evenly."""
    if most is not None and most < 1:
        raise BadConfig(f"most={most}: expected 1 or more; leave it out for all.")
    if not paths:
        raise BadInput("found no dances; name another folder.")
    places = np.linspace(0, len(paths) - 1, min(most or len(paths), len(paths))).round().astype(int)
    return [paths[place] for place in places]
