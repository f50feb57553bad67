"""The report's plots: bars with whiskers, and scores by genre and by tempo.

Bars and genres are HTML, so that their words keep their size on a narrow page; the rest is inline SVG. Colours come from
the page's variables.
"""

import html
import math
from collections.abc import Mapping, Sequence
from typing import Any

import mir_eval
import numpy as np
from jaxtyping import Bool, Float

from d2m.core.aist_names import GENRE_TITLES
from d2m.core.music import Music
from d2m.evaluation.report.tables import genre_end
from d2m.evaluation.report.values import (
    BEAT_F_70,
    CHARTED,
    Row,
    Value,
    clip_name,
    metric,
    rows_system,
    value_at,
)
from d2m.metrics.registry import Metric
from d2m.render.plots import envelope


def charts(rows: Sequence[Row]) -> str:
    """One bar chart for each charted metric that the system has."""
    figures = [
        f"<figure><figcaption>{measure.alone}</figcaption>{_bars(rows, measure)}</figure>"
        for measure in CHARTED
        if value_at(rows_system(rows).summary, *measure.path).mean is not None
    ]
    return "".join(figures)


def _bars(rows: Sequence[Row], measure: Metric) -> str:
    lines = []
    for row in rows:
        value = value_at(row.summary, *measure.path)
        if value.mean is None:
            continue
        bar = f'<i class="bar" style="width:{_percent(value.mean)}"></i>'
        told = " (by construction)" if row.trivial(measure) else ""
        lines.append(
            f'<div class="{row.kind}"><span>{html.escape(row.title)}{told}</span>'
            f'<span class="track">{bar}{_whisker(value)}</span><b>{value}</b></div>'
        )
    return f'<div class="bars">{"".join(lines)}{_AXIS}</div>'


_AXIS = (
    '<div class="axis"><span></span><span class="track">'
    + "".join(f'<i style="left:{100 * tick:g}%">{tick:g}</i>' for tick in (0, 0.25, 0.5, 0.75, 1))
    + "</span><b></b></div>"
)


def _percent(share: float) -> str:
    return f"{100 * min(max(share, 0.0), 1.0):.1f}%"


def _whisker(value: Value) -> str:
    if value.low is None or value.high is None:
        return ""
    width = min(value.high, 1.0) - max(value.low, 0.0)
    return (
        f'<i class="whisker" style="left:{_percent(value.low)};width:{_percent(width)}" title="{value.interval}"></i>'
    )


def genre_plot(scores: Mapping[str, Any], clips: Sequence[Mapping[str, Any]]) -> str:
    """Beat F ±70 ms by genre: a dot per clip, a bar at their mean, marks for the floor and the ceiling."""
    lines = []
    for code, genre in (scores.get("genres") or {}).items():
        found = [(n, f) for n, clip in enumerate(clips) if clip.get("genre") == code and (f := _f(clip)) is not None]
        if not found:
            continue
        mean = sum(f for _, f in found) / len(found)
        dots = "".join(
            f'<a class="dot" href="#clip-{n}" style="left:{_percent(f)}" title="{html.escape(clip_name(clips[n]))}: {f:.2f}"></a>'
            for n, f in found
        )
        ends = (
            (genre_end(genre, "floors", "random_song"), "floor"),
            (genre_end(genre, "ceilings", "reference"), "ceiling"),
        )
        marks = "".join(
            f'<i class="end {kind}" style="left:{_percent(end.mean)}" title="{kind} {end}"></i>'
            for end, kind in ends
            if end.mean is not None
        )
        bar = f'<i class="bar" style="width:{_percent(mean)}"></i>'
        title = html.escape(GENRE_TITLES.get(code, code))
        lines.append(
            f'<div class="system"><span>{title}</span><span class="track">{bar}{marks}{dots}</span><b>{mean:.2f}</b></div>'
        )
    return f'<div class="bars genres">{"".join(lines)}{_AXIS}</div>' if lines else ""


def _f(clip: Mapping[str, Any]) -> float | None:
    return metric(clip, BEAT_F_70.key)


def tempo_plots(scores: Mapping[str, Any], clips: Sequence[Mapping[str, Any]]) -> str:
    """Beat F against the true tempo, and the tempo heard against the true tempo; nothing without tempi."""
    true = {n: bpm for n, clip in enumerate(clips) if (bpm := metric(clip, "reference_tempo_bpm"))}
    if not true:
        return ""
    low, high = math.floor(min(true.values()) / 10) * 10 - 5, math.ceil(max(true.values()) / 10) * 10 + 5
    figures = [("Beat F ±70 ms by true tempo", _f_by_tempo(scores, clips, true, low, high))]
    heard = {n: bpm for n in true if (bpm := metric(clips[n], "tempo_bpm"))}
    if heard:
        figures.append(("Tempo heard against true tempo", _tempo_by_tempo(clips, true, heard, low, high)))
    return "".join(f"<figure><figcaption>{title}</figcaption>{plot}</figure>" for title, plot in figures)


_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 462, 12, 252


def _frame(marks: str, low: float | int, high: float | int, ticks: Mapping[str, float], label: str) -> str:
    """Axes with a tempo scale in BPM below and `ticks` (label: y) at the left."""
    step = 10 if high - low <= 90 else 20 if high - low <= 160 else 50
    xs = range(math.ceil(low / step) * step, int(high) + 1, step)
    lines = "".join(f'<path class="tick" d="M{_LEFT} {y:.1f}H{_RIGHT}"/>' for y in ticks.values())
    words = "".join(
        f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{name}</text>' for name, y in ticks.items()
    )
    words += "".join(f'<text x="{_x(x, low, high):.1f}" y="{_BOTTOM + 18}" text-anchor="middle">{x}</text>' for x in xs)
    words += f'<text x="{(_LEFT + _RIGHT) / 2}" y="{_BOTTOM + 38}" text-anchor="middle">true tempo, BPM</text>'
    return (
        f'<svg class="chart" viewBox="0 0 480 {_BOTTOM + 46}" role="img" aria-label="{html.escape(label)}">'
        f"{lines}{words}{marks}</svg>"
    )


def _x(bpm: float | int, low: float | int, high: float | int) -> float:
    return _LEFT + (_RIGHT - _LEFT) * (bpm - low) / (high - low)


def _dot(number: int, x: float, y: float, words: str) -> str:
    words = html.escape(words)
    return f'<a href="#clip-{number}"><circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="4"><title>{words}</title></circle></a>'


def _f_by_tempo(
    scores: Mapping[str, Any], clips: Sequence[Mapping[str, Any]], true: Mapping[int, float], low: int, high: int
) -> str:
    def y_of(f: float | int) -> float:
        return _BOTTOM - (_BOTTOM - _TOP) * min(max(f, 0.0), 1.0)

    marks = ""
    for kind, name in (("floors", "random_song"), ("ceilings", "reference")):
        end = value_at((scores.get(kind) or {}).get(name), *BEAT_F_70.path).mean
        if end is not None:
            marks += f'<path class="end {kind[:-1]}" d="M{_LEFT} {y_of(end):.1f}H{_RIGHT}"><title>{name} {end:.2f}</title></path>'
    for bpm in sorted(set(true.values())):
        found = [f for n, other in true.items() if other == bpm and (f := _f(clips[n])) is not None]
        if len(found) > 1:
            mean, x = sum(found) / len(found), _x(bpm, low, high)
            words = f"mean of {len(found)} clips at {bpm:g} BPM: {mean:.2f}"
            marks += f'<path class="mean" d="M{x - 11:.1f} {y_of(mean):.1f}h22"><title>{words}</title></path>'
    for n, bpm in true.items():
        f = _f(clips[n])
        if f is not None:
            marks += _dot(n, _x(bpm, low, high), y_of(f), f"{clip_name(clips[n])}: {f:.2f} at {bpm:g} BPM")
    ticks = {f"{tick:g}": y_of(tick) for tick in (0.0, 0.25, 0.5, 0.75, 1.0)}
    return _frame(marks, low, high, ticks, "beat F by true tempo")


def _tempo_by_tempo(
    clips: Sequence[Mapping[str, Any]], true: Mapping[int, float], heard: Mapping[int, float], low: int, high: int
) -> str:
    bottom, top = min(low / 2, min(heard.values())) * 0.95, max(high * 2, max(heard.values())) * 1.05

    def y_of(bpm: float | int | np.floating) -> float:
        return _BOTTOM - (_BOTTOM - _TOP) * math.log(bpm / bottom) / math.log(top / bottom)

    marks = ""
    for factor, word in ((2.0, "double"), (1.0, "same"), (0.5, "half")):
        kind = "ceiling" if factor == 1 else "floor"
        points = [f"{_x(bpm, low, high):.1f} {y_of(factor * bpm):.1f}" for bpm in np.linspace(low, high, 24)]
        marks += f'<path class="end {kind}" d="M{"L".join(points)}"/>'
        marks += (
            f'<text class="soft" x="{_RIGHT - 4}" y="{y_of(factor * high) - 6:.1f}" text-anchor="end">{word}</text>'
        )
    for n, bpm in heard.items():
        words = f"{clip_name(clips[n])}: {bpm:.1f} BPM, true {true[n]:g} BPM"
        marks += _dot(n, _x(true[n], low, high), y_of(bpm), words)
    ticks = {str(bpm): y_of(bpm) for bpm in (30, 40, 60, 80, 120, 160, 240, 320) if bottom <= bpm <= top}
    return _frame(marks, low, high, ticks, "tempo heard against true tempo")


# A clip's beats over its sound, as inline SVG: which reference beats were hit, and which generated ones are extra.


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


def beat_plot(music: Music, beats_s: Mapping[str, Sequence[float]]) -> str:
    """Inline SVG of a clip's waveform with its beats, those that match drawn full.

    Args:
        music: what is drawn.
        beats_s: times by kind: `reference` (triangles above), `generated` (lines through the wave), `kinematic`
            (diamonds below). Times past the end of the music are left out.
    """
    times = {kind: np.array([t for t in found if 0 <= t <= music.seconds]) for kind, found in beats_s.items() if found}
    reference, generated = times.get("reference", np.zeros(0)), times.get("generated", np.zeros(0))
    in_reference, in_generated = _matched(reference, generated)
    parts = [
        ("reference", "full", reference[in_reference]),
        ("reference", "hollow", reference[~in_reference]),
        ("generated", "full", generated[in_generated]),
        ("generated", "hollow", generated[~in_generated]),
        ("kinematic", "full", times.get("kinematic", np.zeros(0))),
    ]
    marks = "".join(
        f'<path class="{kind} {look}" d="{"".join(_mark(kind, _WIDTH * t / music.seconds) for t in found)}"/>'
        for kind, look, found in parts
        if found.size
    )
    label = f"waveform with {reference.size} reference beats, {int(in_reference.sum())} of them matched within 70 ms"
    wave = f'<path class="wave" d="{_wave_path(music)}"/>'
    return f'<svg class="beats" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{label}">{wave}{marks}</svg>'


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


def beat_legend() -> str:
    """HTML that says which mark is which kind of beat."""
    boxes = {"reference": "-7 0 14 16", "generated": "-7 40 14 16", "kinematic": f"-7 {_HEIGHT - 15} 14 16"}
    return " ".join(
        f'<span class="mark"><svg viewBox="{boxes[kind]}" width="14" height="16" aria-hidden="true">'
        f'<path class="{kind} full" d="{_mark(kind, 0.0)}"/></svg> {words}</span>'
        for kind, words in BEAT_WORDS.items()
    )


def time_labels(seconds: float | int) -> str:
    """HTML labels of a clip's time axis: whole seconds, at most eight."""
    step = next((step for step in (1, 2, 5, 10, 30, 60) if seconds / step <= 8), 120)
    return "".join(
        f'<i style="left:{100 * second / seconds:.1f}%">{second} s</i>'
        for second in range(0, int(seconds) + 1, step)
        if second <= 0.95 * seconds
    )
