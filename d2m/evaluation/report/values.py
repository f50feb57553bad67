"""Figures out of `scores.json`: values with intervals, and the rows of every table: floors, the system, ceilings."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from d2m.metrics.registry import HEADLINE, METRICS, Metric, report_groups

GROUPS = report_groups()
"""The tables of metrics: by title, by group of columns."""

BEAT_F_70 = METRICS[HEADLINE]
CHARTED = tuple(METRICS[key] for key in (HEADLINE, "tempo_within_2_percent", "onset_f", "alignment_harmonic"))
TILED = CHARTED[:3]
MEASURES = {metric.key: metric for groups in GROUPS.values() for group in groups.values() for metric in group}

DASH = "–"
"""Stands for everything that was not measured."""

FLOOR_WORDS = {
    "random_song": "another song",
    "random_song_of_genre": "another song of the genre",
    "shuffled_pairs": "this system's clips, shuffled",
    "metronome_120": "metronome, 120 BPM",
    "metronome_reference_tempo": "metronome, right tempo, random phase",
    "silence": "silence",
    "motion_speed": "beats tracked on joint speed",
    "motion_minima": "kinematic beats as beats",
}
CEILING_WORDS = {
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
        return DASH if self.mean is None else decimal(self.mean, digits)

    @property
    def interval(self) -> str:
        """`[0.66, 0.75]`, or nothing."""
        return self.printed_interval(2)

    def printed_interval(self, digits: int) -> str:
        """The interval with that many digits, or nothing."""
        if self.low is None or self.high is None:
            return ""
        return f"[{decimal(self.low, digits)}, {decimal(self.high, digits)}]"


def decimal(number: float, digits: int) -> str:
    """The number with a true minus sign, and never `-0.00`."""
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
    """A line of the tables: the system, a floor or a ceiling.

    Args:
        kind: `floor`, `system` or `ceiling`.
        title: as printed.
        summary: laid out as `scores["summary"]`, with `protocols` inside.
        name: key among the floors or ceilings, empty for the system.
    """

    kind: str
    title: str
    summary: Mapping[str, Any]
    name: str = ""

    def trivial(self, measure: Metric) -> bool:
        """Whether the row gets full marks by construction, because it was told what the measure asks for."""
        return self.name in measure.told


def rows_of(scores: Mapping[str, Any]) -> list[Row]:
    """Floors, the system, ceilings, in the order in which they are read."""
    floors, ceilings = scores.get("floors") or {}, scores.get("ceilings") or {}
    system = {**(scores.get("summary") or {}), "protocols": scores.get("protocols") or {}}
    return [
        *(Row("floor", FLOOR_WORDS.get(name, name.replace("_", " ")), row or {}, name) for name, row in floors.items()),
        Row("system", "this system", system),
        *(
            Row("ceiling", CEILING_WORDS.get(name, name.replace("_", " ")), row or {}, name)
            for name, row in ceilings.items()
        ),
    ]


def rows_system(rows: Sequence[Row]) -> Row:
    """The system's row."""
    return next(row for row in rows if row.kind == "system")


def measured(rows: Sequence[Row], measures: Sequence[Metric]) -> list[Metric]:
    """Those measures that at least one row has."""
    return [one for one in measures if any(value_at(row.summary, *one.path).mean is not None for row in rows)]


def highest_floor(rows: Sequence[Row], measure: Metric) -> tuple[str, Value] | None:
    """Title and value of the floor that scores highest, those told the answer aside; None without one."""
    honest = [row for row in rows if row.kind == "floor" and not row.trivial(measure)]
    floors = [(row.title, value_at(row.summary, *measure.path)) for row in honest]
    known = [(value.mean, title, value) for title, value in floors if value.mean is not None]
    if not known:
        return None
    _, title, value = max(known, key=lambda found: found[0])
    return title, value
