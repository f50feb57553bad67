"""The report's plots as numbers and SVG paths, which the templates draw: scores by genre and by tempo, beats of a clip."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import mir_eval
import numpy as np
from jaxtyping import Bool, Float

from d2m.core.aist_names import GENRE_TITLES
from d2m.core.music import Music
from d2m.evaluation.report.values import Value, clip_name, metric, value_at
from d2m.metrics.registry import HEADLINE, METRICS
from d2m.render.plots import envelope


def genre_lines(scores: Mapping[str, Any], clips: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Beat F ±70 ms by genre: a dot per clip (number, name, score), their mean, and the baseline and topline."""
    lines = []
    for code, genre in (scores.get("genres") or {}).items():
        dots = [
            (number, clip_name(clip), f)
            for number, clip in enumerate(clips)
            if clip.get("genre") == code and (f := metric(clip, HEADLINE)) is not None
        ]
        if dots:
            lines.append(
                {
                    "title": GENRE_TITLES.get(code, code),
                    "mean": Value(sum(f for _, _, f in dots) / len(dots)),
                    "dots": dots,
                    "ends": [
                        ("floor", value_at(genre, f"random_song_{HEADLINE}")),
                        ("ceiling", value_at(genre, f"reference_{HEADLINE}")),
                    ],
                }
            )
    return lines


_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 462, 12, 252


def tempo_plots(scores: Mapping[str, Any], clips: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Beat F against the true tempo, and the tempo heard against the true tempo; nothing without tempi."""
    true = {n: bpm for n, clip in enumerate(clips) if (bpm := metric(clip, "reference_tempo_bpm"))}
    if not true:
        return []
    low, high = math.floor(min(true.values()) / 10) * 10 - 5, math.ceil(max(true.values()) / 10) * 10 + 5
    step = 10 if high - low <= 90 else 20 if high - low <= 160 else 50

    def x_of(bpm: float | int | np.floating) -> float:
        return _LEFT + (_RIGHT - _LEFT) * float(bpm - low) / (high - low)

    frame = {
        "left": _LEFT,
        "right": _RIGHT,
        "bottom": _BOTTOM,
        "words": [],
        "tempi": {bpm: x_of(bpm) for bpm in range(math.ceil(low / step) * step, high + 1, step)},
    }
    plots = [frame | _f_by_tempo(scores, clips, true, x_of)]
    heard = {n: bpm for n in true if (bpm := metric(clips[n], "tempo_bpm"))}
    return [*plots, frame | _tempo_by_tempo(clips, true, heard, (low, high), x_of)] if heard else plots


def _f_by_tempo(
    scores: Mapping[str, Any],
    clips: Sequence[Mapping[str, Any]],
    true: Mapping[int, float],
    x_of: Callable[[Any], float],
) -> dict[str, Any]:
    def y_of(f: float | int) -> float:
        return _BOTTOM - (_BOTTOM - _TOP) * min(max(f, 0.0), 1.0)

    lines = []
    for kind, name in (("floors", "random_song"), ("ceilings", "reference")):
        end = value_at((scores.get(kind) or {}).get(name), *METRICS[HEADLINE].path).mean
        if end is not None:
            lines.append((f"end {kind[:-1]}", f"M{_LEFT} {y_of(end):.1f}H{_RIGHT}", f"{name} {end:.2f}"))
    scored = {n: f for n in true if (f := metric(clips[n], HEADLINE)) is not None}
    for bpm in sorted(set(true.values())):
        found = [f for n, f in scored.items() if true[n] == bpm]
        if len(found) > 1:
            mean = sum(found) / len(found)
            words = f"mean of {len(found)} clips at {bpm:g} BPM: {mean:.2f}"
            lines.append(("mean", f"M{x_of(bpm) - 11:.1f} {y_of(mean):.1f}h22", words))
    return {
        "title": "Beat F ±70 ms by true tempo",
        "label": "beat F by true tempo",
        "ticks": {f"{tick:g}": y_of(tick) for tick in (0.0, 0.25, 0.5, 0.75, 1.0)},
        "lines": lines,
        "dots": [
            (n, x_of(true[n]), y_of(f), f"{clip_name(clips[n])}: {f:.2f} at {true[n]:g} BPM") for n, f in scored.items()
        ],
    }


def _tempo_by_tempo(
    clips: Sequence[Mapping[str, Any]],
    true: Mapping[int, float],
    heard: Mapping[int, float],
    ends: tuple[int, int],
    x_of: Callable[[Any], float],
) -> dict[str, Any]:
    low, high = ends
    bottom, top = min(low / 2, min(heard.values())) * 0.95, max(high * 2, max(heard.values())) * 1.05

    def y_of(bpm: float | int | np.floating) -> float:
        return _BOTTOM - (_BOTTOM - _TOP) * math.log(bpm / bottom) / math.log(top / bottom)

    factors = {"double": 2.0, "same": 1.0, "half": 0.5}
    paths = {
        factor: "L".join(f"{x_of(bpm):.1f} {y_of(factor * bpm):.1f}" for bpm in np.linspace(low, high, 24))
        for factor in factors.values()
    }
    return {
        "title": "Tempo heard against true tempo",
        "label": "tempo heard against true tempo",
        "ticks": {str(bpm): y_of(bpm) for bpm in (30, 40, 60, 80, 120, 160, 240, 320) if bottom <= bpm <= top},
        "lines": [(f"end {'ceiling' if factor == 1 else 'floor'}", f"M{path}", "") for factor, path in paths.items()],
        "words": [(y_of(factor * high) - 6, word) for word, factor in factors.items()],
        "dots": [
            (n, x_of(true[n]), y_of(bpm), f"{clip_name(clips[n])}: {bpm:.1f} BPM, true {true[n]:g} BPM")
            for n, bpm in heard.items()
        ],
    }


# A clip's beats over its sound: which reference beats were hit, and which generated ones are extra.


MATCH_S = 0.07
"""Beats that match one to one within this are drawn full, the others hollow."""

_WIDTH, _HEIGHT, _COLUMNS = 560, 100, 224
_LANE = 16
"""Height of the lanes above and below the wave, where reference and kinematic beats have their marks."""

BEAT_WORDS = {
    "reference": "reference beats (hollow: missed)",
    "generated": "beats heard in the generated music (dashed: extra)",
    "kinematic": "kinematic beats of the dance",
}


def beats_of(clip: Mapping[str, Any]) -> dict[str, list[float]]:
    """A clip's beats in seconds, by kind; kinds without any are left out."""
    keys = {"reference": "reference_beats_s", "generated": "beats_s", "kinematic": "kinematic_beats_s"}
    return {kind: [float(time_s) for time_s in clip[key]] for kind, key in keys.items() if clip.get(key)}


def beat_plot(music: Music, beats_s: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    """A clip's waveform with its beats, those that match drawn full.

    Args:
        music: what is drawn.
        beats_s: times by kind: `reference` (triangles above), `generated` (lines through the wave), `kinematic`
            (diamonds below). Times past the end of the music are left out.

    Returns:
        `width`, `height`, `label`, path of the `wave`, `marks` (paths by CSS classes), and `times`: the labels of whole
        seconds below, at most eight, each with its share of the width.
    """
    times = {kind: np.array([t for t in found if 0 <= t <= music.seconds]) for kind, found in beats_s.items() if found}
    reference, generated = times.get("reference", np.zeros(0)), times.get("generated", np.zeros(0))
    in_reference, in_generated = _matched(reference, generated)
    parts = {
        "reference full": reference[in_reference],
        "reference hollow": reference[~in_reference],
        "generated full": generated[in_generated],
        "generated hollow": generated[~in_generated],
        "kinematic full": times.get("kinematic", np.zeros(0)),
    }
    step = next((step for step in (1, 2, 5, 10, 30, 60) if music.seconds / step <= 8), 120)
    labels = [(second / music.seconds, second) for second in range(0, int(music.seconds) + 1, step)]
    return {
        "width": _WIDTH,
        "height": _HEIGHT,
        "label": f"waveform with {reference.size} reference beats, {int(in_reference.sum())} of them matched within 70 ms",
        "wave": _wave_path(music),
        "marks": {
            classes: "".join(_mark(classes.split()[0], _WIDTH * t / music.seconds) for t in found)
            for classes, found in parts.items()
            if found.size
        },
        "times": [(share, second) for share, second in labels if share <= 0.95],
    }


def _matched(
    reference: Float[np.ndarray, " reference"], generated: Float[np.ndarray, " generated"]
) -> tuple[Bool[np.ndarray, " reference"], Bool[np.ndarray, " generated"]]:
    """Which of each side's beats have a partner on the other."""
    pairs = mir_eval.util.match_events(reference, generated, MATCH_S) if reference.size and generated.size else []
    sides = np.zeros(reference.size, dtype=bool), np.zeros(generated.size, dtype=bool)
    for pair in pairs:
        for side, index in zip(sides, pair, strict=True):
            side[index] = True
    return sides


def _wave_path(music: Music) -> str:
    """One upright stroke per column, as high as the sound is loud."""
    levels = envelope(music, _COLUMNS)
    middle, room = _HEIGHT / 2, _HEIGHT / 2 - _LANE - 3
    heights = np.maximum(np.rint(levels / max(float(levels.max(initial=0)), 1e-6) * room), 1).astype(int)
    step = _WIDTH / _COLUMNS
    return "".join(f"M{step * (n + 0.5):.4g} {middle - h:g}v{2 * h}" for n, h in enumerate(heights))


def _mark(kind: str, x: float | np.floating) -> str:
    """Path of one beat at column `x`."""
    if kind == "reference":
        return f"M{x - 5:.1f} 2h10l-5 11z"
    if kind == "generated":
        return f"M{x:.1f} {_LANE}V{_HEIGHT - _LANE}"
    return f"M{x:.1f} {_HEIGHT - 13}l4 6l-4 6l-4 -6z"


BEAT_LEGEND = [
    (kind, words, f"-7 {top} 14 16", _mark(kind, 0.0))
    for (kind, words), top in zip(BEAT_WORDS.items(), (0, 40, _HEIGHT - 15), strict=True)
]
"""Kind of beat, what it is, the part of the plot that shows its mark, and the mark's path."""
