"""Figures out of `scores.json` as pages print them: values with intervals, rows of tables, and the templates' environment."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader
from markupsafe import Markup, escape

from d2m.evaluation.tables import RHYTHM_TITLES
from d2m.metrics.registry import Metric, report_groups

GROUPS = report_groups()
"""The tables of metrics: by title, by group of columns."""

DASH = "–"
"""Stands for everything that was not measured."""

BASELINE_TITLES = {
    "random_song": "another song",
    "random_song_of_genre": "another song of the genre",
    "shuffled_pairs": "this system's clips, shuffled",
    "metronome_120": "metronome, 120 BPM",
    "metronome_reference_tempo": "metronome, right tempo, random phase",
    "silence": "silence",
    "motion_speed": "beats tracked on joint speed",
    "motion_minima": "kinematic beats as beats",
}
TOPLINE_TITLES = {
    "reference": "reference music",
    "reference_through_dmae": "reference, autoencoded",
    "reference_halves": "two halves of the references",
}


@dataclass(frozen=True)
class Value:
    """A mean with its interval; None for what was not measured."""

    mean: float | None
    low: float | None = None
    high: float | None = None

    def __str__(self) -> str:
        """`0.71`, or an en dash."""
        return self.printed(2)

    def printed(self, digits: int) -> str:
        """The mean with that many digits after the point, or an en dash."""
        return decimal(self.mean, digits)

    @property
    def interval(self) -> str:
        """`[0.66, 0.75]`, or nothing."""
        return self.printed_interval(2)

    def printed_interval(self, digits: int) -> str:
        """The interval with that many digits, or nothing."""
        if self.low is None or self.high is None:
            return ""
        return f"[{decimal(self.low, digits)}, {decimal(self.high, digits)}]"


def decimal(number: float | None, digits: int = 2) -> str:
    """The number with a true minus sign and never `-0.00`, or an en dash."""
    if number is None:
        return DASH
    text = f"{number:.{digits}f}"
    return text.lstrip("-") if float(text) == 0 else text.replace("-", "−")


def value_at(summary: Mapping[str, Any] | None, *keys: str) -> Value:
    """The value under `keys`: a number, or `{mean, low, high}`; empty where there is none or where it is not finite."""
    found: Any = summary
    for key in keys:
        found = found.get(key) if isinstance(found, Mapping) else None
    figures = [found.get(end) for end in ("mean", "low", "high")] if isinstance(found, Mapping) else [found]
    return Value(*(_finite(figure) for figure in figures))


def _finite(figure: Any) -> float | None:
    if isinstance(figure, str) or figure is None or not math.isfinite(figure):
        return None
    return float(figure)


def metric(clip: Mapping[str, Any], key: str) -> float | None:
    """A clip's figure: one of its `metrics`, else a field of its row; None where it was not measured."""
    found = (clip.get("metrics") or {}).get(key, clip.get(key))
    return value_at({key: found}, key).mean


def clip_name(clip: Mapping[str, Any]) -> str:
    """The generated file's name, which is unique in a run."""
    return str(clip.get("clip") or clip["name"])


@dataclass(frozen=True)
class Row:
    """A line of the tables: the system, a baseline (floor) or a topline (ceiling).

    Args:
        kind: `floor`, `rhythm` (beats read, beats heard), `system` or `ceiling`.
        title: as printed.
        summary: laid out as `scores["summary"]`, with `protocols` inside.
        name: key among the baselines or toplines, empty for the system.
    """

    kind: str
    title: str
    summary: Mapping[str, Any]
    name: str = ""

    def trivial(self, measure: Metric) -> bool:
        """Whether the row gets full marks by construction, because it knows what the measure asks for."""
        return self.name in measure.by_construction


def title_of(name: str) -> str:
    """A baseline or topline in words."""
    return (BASELINE_TITLES | TOPLINE_TITLES).get(name) or name.replace("_", " ")


def rows_of(scores: Mapping[str, Any], system: Mapping[str, Any] | None = None) -> list[Row]:
    """Baselines, the steps of rhythm, the system, toplines, in the order in which they are read.

    Args:
        scores: holds baselines under `floors`, toplines under `ceilings`.
        system: the system's own figures; None: its summary and protocols.
    """
    if system is None:
        system = {**(scores.get("summary") or {}), "protocols": scores.get("protocols") or {}}
    ends = [
        [Row(kind, title_of(name), row or {}, name) for name, row in (scores.get(f"{kind}s") or {}).items()]
        for kind in ("floor", "ceiling")
    ]
    steps = [Row("rhythm", RHYTHM_TITLES[name], row, name) for name, row in (scores.get("rhythm") or {}).items()]
    return [*ends[0], *steps, Row("system", "this system", system), *ends[1]]


def system_row(rows: Sequence[Row]) -> Row:
    """The system's row."""
    return next(row for row in rows if row.kind == "system")


def measured(rows: Sequence[Row], measures: Sequence[Metric]) -> list[Metric]:
    """Those measures that at least one row has."""
    return [one for one in measures if any(value_at(row.summary, *one.path).mean is not None for row in rows)]


def highest_baseline(rows: Sequence[Row], measure: Metric) -> tuple[str, Value] | None:
    """Title and value of the baseline that scores highest, those that know the answer aside; None without one."""
    honest = [row for row in rows if row.kind == "floor" and not row.trivial(measure)]
    found = [(row.title, value_at(row.summary, *measure.path)) for row in honest]
    return max(
        ((title, value) for title, value in found if value.mean is not None),
        key=lambda one: one[1].mean or 0.0,
        default=None,
    )


# Templates beside this file; everything that they print is escaped.


def percent(share: float) -> str:
    """A share as a length in CSS, kept between 0 and 100 %."""
    return f"{100 * min(max(share, 0.0), 1.0):.1f}%"


def breakable(name: str) -> Markup:
    """A long file name that may be broken after its underscores."""
    return Markup(str(escape(name)).replace("_", "_<wbr>"))


def nearest_name(row: Mapping[str, Any]) -> str:
    """Name of the nearest training clip in a row of `copying.clips`."""
    return next((str(row[key]) for key in ("song", "name", "clip") if row.get(key)), DASH)


def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    made.filters |= {"number": decimal, "percent": percent, "breakable": breakable, "nearest_name": nearest_name}
    made.globals |= {
        "value_at": value_at,
        "metric": metric,
        "at": lambda row, measure: value_at(row.summary, *measure.path),
    }
    return made


_ENVIRONMENT = _environment()


def render(template: str, **parts: Any) -> str:
    """A page from `template`, a file beside this one."""
    return _ENVIRONMENT.get_template(template).render(parts)
