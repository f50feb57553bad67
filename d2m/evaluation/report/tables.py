"""The report's tables: headline tiles, measures, published protocols and genres, each with floors and ceilings."""

import html
from collections.abc import Mapping, Sequence
from typing import Any

from d2m.core.aist_names import GENRE_TITLES
from d2m.evaluation.report.values import (
    BEAT_F_70,
    DASH,
    GROUPS,
    TILED,
    Row,
    Value,
    highest_floor,
    measured,
    rows_of,
    rows_system,
    value_at,
)
from d2m.metrics.protocols import PROTOCOLS, Protocol
from d2m.metrics.registry import Metric

_WHOLE_INTERVAL = {"beat_f_70", "tempo_within_2_percent", "onset_f", "alignment_harmonic", "genre_accuracy"}
"""Measures whose interval is printed; the others' shows when they are pointed at."""


def table(head: str, body: Sequence[str], foot: Sequence[str] = (), attributes: str = "") -> str:
    """A table that scrolls sideways where the page is narrow, its first column standing still."""
    ends = f"<tfoot>{''.join(foot)}</tfoot>" if foot else ""
    return (
        f'<div class="scroll" tabindex="0"><table {attributes}><thead>{head}</thead>'
        f"<tbody>{''.join(body)}</tbody>{ends}</table></div>"
    )


def headline(scores: Mapping[str, Any]) -> str:
    """Three figures, each with its interval and the floors and ceiling that give it a meaning."""
    rows, tiles = rows_of(scores), []
    reference = (scores.get("ceilings") or {}).get("reference")
    for measure in TILED:
        value = value_at(scores.get("summary"), *measure.path)
        interval = f"95 % interval {value.interval}" if value.interval else "no interval: one song only"
        best = highest_floor(rows, measure)
        floor = f"highest floor {best[1]}<br>({html.escape(best[0])})" if best else f"floor {DASH}"
        tiles.append(
            f'<div class="tile"><h3>{measure.alone}</h3><div class="figure">{value}</div><div>{interval}</div>'
            f'<div class="ends"><span class="floor">{floor}</span>'
            f'<span class="ceiling">reference music {value_at(reference, *measure.path)}</span></div></div>'
        )
    return "".join(tiles)


def verdict(scores: Mapping[str, Any]) -> str:
    """One sentence: is the headline above every floor?"""
    rows = rows_of(scores)
    value, best = value_at(rows_system(rows).summary, *BEAT_F_70.path), highest_floor(rows, BEAT_F_70)
    if value.mean is None or best is None or best[1].mean is None:
        return ""
    title, floor = html.escape(best[0]), best[1]
    if value.low is not None and value.low > best[1].mean:
        return f"Beat F ±70 ms lies above every floor, interval included; the highest is “{title}” at {floor}."
    if value.mean > best[1].mean:
        return f"Beat F ±70 ms is above every floor, but its interval reaches down to “{title}” ({floor})."
    return (
        f"Beat F ±70 ms ({value}) is <strong>not above</strong> the floor “{title}” ({floor}):"
        " these figures give no sign that the music follows the dance any better than that."
    )


def measure_tables(rows: Sequence[Row]) -> str:
    """All measures in tables of a readable width; columns that nothing was measured for are left out and named."""
    parts, absent = [], []
    for title, groups in GROUPS.items():
        shown = {group: measured(rows, measures) for group, measures in groups.items()}
        absent += [m.alone for g, ms in groups.items() for m in ms if m not in shown[g]]
        shown = {group: measures for group, measures in shown.items() if measures}
        if shown:
            parts.append(f"<h3>{title}</h3>" + _measure_table(rows, shown))
    if absent:
        parts.append(f'<p class="small">Not measured in this run: {html.escape(", ".join(absent))}.</p>')
    return "".join(parts)


def _measure_table(rows: Sequence[Row], groups: Mapping[str, Sequence[Metric]]) -> str:
    over = "".join(f'<th colspan="{len(measures)}" class="group">{group}</th>' for group, measures in groups.items())
    names = "".join(
        f'<th title="{html.escape(measure.meaning)}"{_edge(number)}>{measure.column}</th>'
        for measures in groups.values()
        for number, measure in enumerate(measures)
    )
    body = []
    for row in rows:
        cells = "".join(
            _cell(value_at(row.summary, *measure.path), measure, _edge(number))
            for measures in groups.values()
            for number, measure in enumerate(measures)
        )
        body.append(f'<tr class="{row.kind}"><th scope="row">{html.escape(row.title)}</th>{cells}</tr>')
    return table(f'<tr><td rowspan="2"></td>{over}</tr><tr>{names}</tr>', body)


def _edge(number: int) -> str:
    return ' class="edge"' if number == 0 else ""


def _cell(value: Value, measure: Metric, attributes: str) -> str:
    """A figure; its interval is printed below it, or shown when it is pointed at."""
    interval = value.printed_interval(measure.digits)
    if interval and measure.key in _WHOLE_INTERVAL:
        return f"<td{attributes}>{value.printed(measure.digits)}<small>{interval}</small></td>"
    title = f' title="{interval}"' if interval else ""
    return f"<td{attributes}{title}>{value.printed(measure.digits)}</td>"


def protocol_table(rows: Sequence[Row]) -> str:
    """Published protocols' numbers for floors, the system and ceilings, saturated ones marked."""
    shown = _protocols_measured(rows)
    if not shown:
        return "<p>No published protocol was asked for in this run.</p>"
    over, names = '<td rowspan="2"></td>', ""
    for protocol in shown:
        mark = ' <span class="badge">saturated</span>' if protocol.saturated else ""
        over += f'<th colspan="{len(protocol.columns)}" class="group"><code>{protocol.name}</code>{mark}</th>'
        for number, column in enumerate(protocol.columns):
            names += f"<th{_edge(number)}>{_column_title(column)}</th>"
    body = []
    for row in rows:
        cells = "".join(
            f"<td{_protocol_class(protocol.saturated, number)}>"
            f"{value_at(row.summary, 'protocols', protocol.name, column).printed(1 if column.endswith('bpm') else 2)}</td>"
            for protocol in shown
            for number, column in enumerate(protocol.columns)
        )
        body.append(f'<tr class="{row.kind}"><th scope="row">{html.escape(row.title)}</th>{cells}</tr>')
    return table(f"<tr>{over}</tr><tr>{names}</tr>", body)


def _protocols_measured(rows: Sequence[Row]) -> list[Protocol]:
    return [
        protocol
        for protocol in PROTOCOLS.values()
        if any(
            value_at(row.summary, "protocols", protocol.name, c).mean is not None
            for row in rows
            for c in protocol.columns
        )
    ]


def _column_title(column: str) -> str:
    capitals = {"bcs", "bhs", "csd", "hsd", "f1"}
    return {"tempo_difference_bpm": "|Δ tempo|, BPM"}.get(column, column.upper() if column in capitals else column)


def _protocol_class(saturated: bool, number: int) -> str:
    names = [name for name, on in (("edge", number == 0), ("saturated", saturated)) if on]
    return f' class="{" ".join(names)}"' if names else ""


def protocol_list(about: Mapping[str, Any] | None = None) -> str:
    """What each published protocol is, where it comes from, and its known defect.

    Args:
        about: `scores["about"]["protocols"]`, whose words win over those of this version of the code.
    """
    items = []
    for name, protocol in PROTOCOLS.items():
        told = {**vars(protocol), **((about or {}).get(name) or {})}
        mark = ' <span class="badge">saturated</span>' if told["saturated"] else ""
        items.append(
            f"<div><dt><code>{name}</code> {html.escape(told['title'])}{mark}</dt>"
            f"<dd>{html.escape(told['definition'])}. <i>{html.escape(told['paper'])}.</i> "
            f"<b>Known defect:</b> {html.escape(told['defect'])}</dd></div>"
        )
    return f'<dl class="protocols">{"".join(items)}</dl>'


def genre_table(scores: Mapping[str, Any]) -> str:
    """Per genre: the system beside floor and ceiling; a sentence without genres."""
    genres = scores.get("genres") or {}
    if not genres:
        return "<p>No clip has a genre.</p>"
    names = ("clips", "beat F ±70 ms", "another song", "reference music", "tempo ±2 %", "onset F", "genre right")
    body = [_genre_row(code, genre) for code, genre in genres.items()]
    rows = {row.title: row.summary for row in rows_of(scores)}
    whole = {
        **rows["this system"],
        "clips": len(scores.get("clips") or []),
        "floors": {"random_song": rows.get("another song")},
        "ceilings": {"reference": rows.get("reference music")},
    }
    head = "<tr><td></td>" + "".join(f"<th>{name}</th>" for name in names) + "</tr>"
    return table(head, body, [_genre_row("", whole, "all clips")])


def genre_value(genre: Mapping[str, Any], metric: str) -> Value:
    """A genre's figure, laid out flat (`beat_f_70`) or like a summary (`beat_f.70`)."""
    flat = value_at(genre, metric)
    return flat if flat.mean is not None else value_at(genre, *metric.rsplit("_", 1))


def genre_end(genre: Mapping[str, Any], kind: str, name: str) -> Value:
    """Beat F ±70 ms of a genre's floor or ceiling `name`: its own summary, or a flat `NAME_beat_f_70`."""
    flat = value_at(genre, f"{name}_beat_f_70")
    return flat if flat.mean is not None else genre_value((genre.get(kind) or {}).get(name) or {}, "beat_f_70")


def _genre_row(code: str, genre: Mapping[str, Any], title: str = "") -> str:
    title = title or str(genre.get("title") or GENRE_TITLES.get(code, code))
    figures = "".join(
        f'<td class="{kind}">{value}</td>'
        for value, kind in (
            (genre_value(genre, "beat_f_70"), "main"),
            (genre_end(genre, "floors", "random_song"), "floor"),
            (genre_end(genre, "ceilings", "reference"), "ceiling"),
            *((genre_value(genre, key), "") for key in ("tempo_within_2_percent", "onset_f", "genre_accuracy")),
        )
    )
    label = f"{html.escape(title)} <code>{html.escape(code)}</code>" if code else html.escape(title)
    return f'<tr><th scope="row">{label}</th><td>{genre.get("clips", DASH)}</td>{figures}</tr>'
