"""The report's numbers: headline, bar charts with whiskers, and tables, as HTML and inline SVG."""

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

METRICS = {
    "beat F ±70 ms": ("beat_f", "70"),
    "tempo within 2 %": ("tempo", "within_2_percent"),
    "onset F ±50 ms": ("onset_f",),
    "kinematic alignment over motion beats (AIST++)": ("alignment", "motion"),
}
"""The charted metrics, by title: where they are in a summary."""

FLOOR_WORDS = {
    "random_song": "another song",
    "random_song_of_genre": "another song of the genre",
    "metronome_120": "metronome, 120 BPM",
    "silence": "silence",
    "motion_speed": "beats tracked on joint speed",
    "motion_minima": "kinematic beats as beats",
}
CEILING_WORDS = {"reference": "reference music", "reference_through_dmae": "reference, autoencoded"}
_HEADLINES = 3
"""How many of the charted metrics have a tile of their own."""


@dataclass(frozen=True)
class Value:
    """A mean with its interval; None for what was not measured."""

    mean: float | None
    low: float | None = None
    high: float | None = None

    def __str__(self) -> str:
        """`0.71`, or an en dash."""
        return "–" if self.mean is None else f"{self.mean:.2f}"

    @property
    def interval(self) -> str:
        """`[0.66, 0.75]`, or nothing."""
        return "" if self.low is None or self.high is None else f"[{self.low:.2f}, {self.high:.2f}]"


def value_at(summary: Mapping[str, Any], *keys: str) -> Value:
    """The value under `keys`: a number, or `{mean, low, high}`; empty where there is none."""
    found: Any = summary
    for key in keys:
        found = found.get(key) if isinstance(found, Mapping) else None
    figures = [found.get(end) for end in ("mean", "low", "high")] if isinstance(found, Mapping) else [found]
    return Value(*(None if figure is None else float(figure) for figure in figures))


@dataclass(frozen=True)
class Row:
    """A line of the tables: the system, a floor or a ceiling.

    Args:
        kind: `floor`, `system` or `ceiling`.
        title: as printed.
        summary: laid out as `scores["summary"]`, with `protocols` inside.
    """

    kind: str
    title: str
    summary: Mapping[str, Any]


def rows_of(scores: Mapping[str, Any]) -> list[Row]:
    """Floors, the system, ceilings, in the order in which they are read."""
    floors, ceilings = scores.get("floors") or {}, scores.get("ceilings") or {}
    system = {**scores["summary"], "protocols": scores.get("protocols") or {}}
    return [
        *(Row("floor", FLOOR_WORDS.get(name, name.replace("_", " ")), row) for name, row in floors.items()),
        Row("system", "this system", system),
        *(Row("ceiling", CEILING_WORDS.get(name, name.replace("_", " ")), row) for name, row in ceilings.items()),
    ]


def rows_system(rows: Sequence[Row]) -> Row:
    """The system's row."""
    return next(row for row in rows if row.kind == "system")


def headline(scores: Mapping[str, Any]) -> str:
    """Three figures, each with its interval and the floor and ceiling that give it a meaning."""
    floors, ceilings = scores.get("floors") or {}, scores.get("ceilings") or {}
    tiles = []
    for title, keys in list(METRICS.items())[:_HEADLINES]:
        value = value_at(scores["summary"], *keys)
        floor = value_at(floors.get("random_song", {}), *keys)
        ceiling = value_at(ceilings.get("reference", {}), *keys)
        interval = f"95 % interval {value.interval}" if value.interval else "no interval: one song only"
        tiles.append(
            f'<div class="tile"><h3>{title}</h3><div class="figure">{value}</div><div>{interval}</div>'
            f'<div class="ends"><span class="floor">another song {floor}</span> · '
            f'<span class="ceiling">reference music {ceiling}</span></div></div>'
        )
    return "".join(tiles)


def charts(rows: Sequence[Row]) -> str:
    """One bar chart for each charted metric."""
    return "".join(
        f"<figure><figcaption>{title}</figcaption>{_chart(rows, keys)}</figure>"
        for title, keys in METRICS.items()
        if value_at(rows_system(rows).summary, *keys).mean is not None
    )


def _chart(rows: Sequence[Row], keys: Sequence[str]) -> str:
    left, right, step, bars = 210, 540, 26, []
    measured = [(row, value) for row in rows if (value := value_at(row.summary, *keys)).mean is not None]
    height = step * len(measured) + 24
    for tick in (0, 0.25, 0.5, 0.75, 1):
        x = left + (right - left) * tick
        bars.append(f'<path d="M{x:.0f} 2V{height - 20}" class="tick"/>')
        bars.append(f'<text class="soft" x="{x:.0f}" y="{height - 5}" text-anchor="middle">{tick:g}</text>')
    for number, (row, value) in enumerate(measured):
        y, mean = step * number + 5, value.mean or 0.0
        end = left + (right - left) * min(mean, 1.0)
        bars.append(
            f'<text x="{left - 10}" y="{y + 13}" text-anchor="end">{html.escape(row.title)}</text>'
            f'<rect x="{left}" y="{y}" width="{max(end - left, 1.5):.1f}" height="17" rx="3" class="{row.kind}"/>'
        )
        if value.low is not None and value.high is not None:
            low, high = (left + (right - left) * edge for edge in (value.low, value.high))
            bars.append(f'<path d="M{low:.1f} {y + 4}v9m0 -4.5H{high:.1f}m0 -4.5v9" class="whisker"/>')
            end = max(end, high)
        bars.append(f'<text x="{end + 8:.1f}" y="{y + 13}">{value}</text>')
    return f'<svg class="chart" viewBox="0 0 590 {height}" role="img">{"".join(bars)}</svg>'


def full_table(rows: Sequence[Row]) -> str:
    """Everything measured, one line for each row; published protocols apart, under their own name."""
    groups = (
        '<tr><th></th><th colspan="4">beat F, one to one, ± ms</th><th colspan="2">tempo</th><th>onsets</th>'
        '<th colspan="2">alignment over</th><th colspan="2">genre and sound</th>'
        '<th colspan="2" class="compat">protocol <code>d2md</code></th></tr>'
    )
    names = ["", "50", "70", "100", "200", "±2 %", "octave errors", "F", "motion", "music", "genre", "log-mel L1"]
    head = "".join(f"<th>{name}</th>" for name in names) + '<th class="compat">coverage</th><th class="compat">hit</th>'
    body = []
    for row in rows:
        cells = [value_at(row.summary, "beat_f", tolerance) for tolerance in ("50", "70", "100", "200")]
        cells += [value_at(row.summary, "tempo", key) for key in ("within_2_percent", "octave_errors")]
        cells += [value_at(row.summary, "onset_f")]
        cells += [value_at(row.summary, "alignment", key) for key in ("motion", "music")]
        cells += [value_at(row.summary, "genre_accuracy"), value_at(row.summary, "log_mel_l1")]
        protocol = [value_at(row.summary, "protocols", "d2md", key) for key in ("coverage", "hit")]
        printed = "".join(_cell(value, printed=number in (1, 4, 6)) for number, value in enumerate(cells))
        printed += "".join(f'<td class="compat">{value}</td>' for value in protocol)
        body.append(f'<tr class="{row.kind}"><td>{html.escape(row.title)}</td>{printed}</tr>')
    return f"<table><thead>{groups}<tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table>"


def _cell(value: Value, printed: bool) -> str:
    """A figure; its interval is printed below it, or shown when it is pointed at."""
    if not value.interval:
        return f"<td>{value}</td>"
    return (
        f"<td>{value}<small>{value.interval}</small></td>" if printed else f'<td title="{value.interval}">{value}</td>'
    )


def genre_table(genres: Mapping[str, Any]) -> str:
    """Per genre: the system between its floor and its ceiling; empty without genres."""
    if not genres:
        return "<p>No clip has a genre.</p>"
    names = ["genre", "clips", "beat F ±70 ms", "another song", "reference music", "tempo ±2 %", "onset F", "genre"]
    body = []
    for code, genre in genres.items():
        floor = value_at((genre.get("floors") or {}).get("random_song", {}), "beat_f", "70")
        ceiling = value_at((genre.get("ceilings") or {}).get("reference", {}), "beat_f", "70")
        f = value_at(genre, "beat_f", "70")
        cells = f"<td>{genre.get('clips', '–')}</td><td>{_between(f, floor, ceiling)}{f}</td>"
        cells += f'<td class="floor">{floor}</td><td class="ceiling">{ceiling}</td>'
        others = (("tempo", "within_2_percent"), ("onset_f",), ("genre_accuracy",))
        cells += "".join(f"<td>{value_at(genre, *keys)}</td>" for keys in others)
        title = html.escape(str(genre.get("title", "")))
        body.append(f"<tr><td>{title} <code>{html.escape(str(code))}</code></td>{cells}</tr>")
    head = "".join(f"<th>{name}</th>" for name in names)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table>"


def _between(value: Value, floor: Value, ceiling: Value) -> str:
    """A small bar from 0 to 1 with the floor and the ceiling as marks."""
    marks = "".join(
        f'<path d="M{1 + 88 * end.mean:.1f} 0v14" class="{kind}"/>'
        for end, kind in ((floor, "floor"), (ceiling, "ceiling"))
        if end.mean is not None
    )
    bar = f'<rect x="1" y="4" width="{88 * min(value.mean or 0.0, 1.0):.1f}" height="6" rx="2" class="system"/>'
    return f'<svg class="spark" viewBox="0 0 90 14" width="90" height="14"><path d="M1 7h88" class="tick"/>{bar}{marks}</svg> '
