"""`scores.json` as text for a terminal: one row per system, floors first, ceilings last."""

from collections.abc import Mapping, Sequence
from typing import Any

_HEADER = ("", "beat F ±70 ms [95 % CI]", "tempo ±2 %", "onset F", "align motion/music", "d2md coverage/hit")
_NAMES_SHOWN = 5


def _value(interval: Mapping[str, Any]) -> str:
    return "–" if interval["mean"] is None else f"{interval['mean']:.2f}"


def _with_interval(interval: Mapping[str, Any]) -> str:
    if interval["mean"] is None or interval["low"] is None:
        return _value(interval)
    return f"{interval['mean']:.2f} [{interval['low']:.2f}, {interval['high']:.2f}]"


def _plain(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _row(title: str, summary: Mapping[str, Any], protocols: Mapping[str, Any]) -> tuple[str, ...]:
    alignment, d2md = summary["alignment"], protocols["d2md"]
    return (
        title,
        _with_interval(summary["beat_f"]["70"]),
        _value(summary["tempo"]["within_2_percent"]),
        _value(summary["onset_f"]),
        f"{_value(alignment['motion'])} / {_value(alignment['music'])}",
        f"{_plain(d2md['coverage'])} / {_plain(d2md['hit'])}",
    )


def _columns(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([lines[0], "-" * max(map(len, lines)), *lines[1:]])


def summary_table(scores: Mapping[str, Any]) -> str:
    """Floors, the system and ceilings with the headline metrics.

    Args:
        scores: the content of `scores.json`.
    """
    rows = [_HEADER]
    rows += [_row(f"floor    {name}", floor, floor["protocols"]) for name, floor in scores["floors"].items()]
    rows.append(_row(f"system   {len(scores['clips'])} clips", scores["summary"], scores["protocols"]))
    rows += [_row(f"ceiling  {name}", top, top["protocols"]) for name, top in scores["ceilings"].items()]
    return _columns(rows)


def genre_table(scores: Mapping[str, Any]) -> str:
    """Per genre: the system between the floor `random_song` and the ceiling `reference`; empty without genres."""
    if not scores["genres"]:
        return ""
    rows = [("genre", "clips", "beat F ±70 ms", "random song", "reference", "tempo ±2 %", "onset F")]
    for code, genre in scores["genres"].items():
        floor, ceiling = genre["floors"].get("random_song"), genre["ceilings"].get("reference")
        rows.append(
            (
                f"{code} {genre['title']}",
                str(genre["clips"]),
                _value(genre["beat_f"]["70"]),
                _value(floor["beat_f"]["70"]) if floor else "–",
                _value(ceiling["beat_f"]["70"]) if ceiling else "–",
                _value(genre["tempo"]["within_2_percent"]),
                _value(genre["onset_f"]),
            )
        )
    return _columns(rows)


def leftovers(scores: Mapping[str, Any]) -> str:
    """What was not scored and why, and what a reader must know: names without a partner, bad files, notes."""
    titles = {
        "generated": "generated without a reference",
        "reference": "references without generated music",
        "without_dance": "without a dance",
        "without_roundtrip": "without a round trip",
    }
    lines = []
    for kind, names in scores["unpaired"].items():
        if names:
            more = f" … and {len(names) - _NAMES_SHOWN} more (all in scores.json)" if len(names) > _NAMES_SHOWN else ""
            lines.append(f"{len(names)} {titles[kind]}: {', '.join(names[:_NAMES_SHOWN])}{more}")
    lines += [f"note: {note}" for note in scores["notes"]]
    lines += [f"not usable: {sentence}" for sentence in scores["bad_files"]]
    return "\n".join(lines)
