"""`scores.json` as text: Markdown tables for a paper or an issue, and aligned columns for a terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

from d2m.evaluation.summary import value_in
from d2m.metrics.protocols import PROTOCOLS
from d2m.metrics.registry import HEADLINE, HEADLINES, METRICS

COLUMNS = (
    "beat_f_70",
    "tempo_within_2_percent",
    "tempo_related",
    "onset_f",
    "continuity_cmlt",
    "continuity_amlt",
    "alignment_harmonic",
    "genre_accuracy",
    "motion_genre_accuracy",
)
RHYTHM_TITLES = {
    "read": "read: beats from the motion, before any music",
    "heard": "heard: the music's beats against those given",
}
"""The rows of `rhythm`, which tell where sync is lost."""
WITH_INTERVAL = (*(metric.key for metric in HEADLINES[:2]), "tempo_related")


def printed(value: float | None, digits: int = 2) -> str:
    """A number, or an en dash for what was not measured."""
    return "–" if value is None else f"{value:.{digits}f}"


def with_interval(interval: Mapping[str, Any], digits: int = 2) -> str:
    """`0.71 [0.66, 0.75]`, without brackets where no interval is known."""
    mean, low, high = (interval.get(key) for key in ("mean", "low", "high"))
    if mean is None or low is None or high is None:
        return printed(mean, digits)
    return f"{mean:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table, the first row its head, numbers to the right."""
    bar = ["---", *["---:"] * (len(rows[0]) - 1)]
    return "\n".join("| " + " | ".join(row) + " |" for row in [rows[0], bar, *rows[1:]]) + "\n"


def lines_of(scores: Mapping[str, Any]) -> list[tuple[str, str, Mapping[str, Any], Mapping[str, Any]]]:
    """Kind, name, summary and protocols of each floor, the steps of rhythm (without protocols), the system, each ceiling."""
    baselines = [("floor", name, row, row["protocols"]) for name, row in scores["floors"].items()]
    toplines = [("ceiling", name, row, row["protocols"]) for name, row in scores["ceilings"].items()]
    steps = [("rhythm", name, row, {}) for name, row in scores.get("rhythm", {}).items()]
    return [*baselines, *steps, ("system", "this system", scores["summary"], scores["protocols"]), *toplines]


def _with_protocols(scores: Mapping[str, Any]) -> list[tuple[str, str, Mapping[str, Any], Mapping[str, Any]]]:
    return [line for line in lines_of(scores) if line[0] != "rhythm"]


def _title(kind: str, name: str) -> str:
    words = name.replace("_", " ")
    if kind == "rhythm":
        return RHYTHM_TITLES[name]
    return f"**{words}**" if kind == "system" else f"{words} ({kind})"


def metrics_table() -> str:
    """Every metric of `summary` as the documentation lists them; headline metrics in bold."""
    rows = [["in `summary`", "metric", "unit", "better", "within", "meaning"]]
    tolerances = {metric.path[0]: [m.path[1] for m in METRICS.values() if m.path[0] == metric.path[0]] for metric in METRICS.values() if metric.path[1:]}  # fmt: skip
    for metric in METRICS.values():
        stem, known = metric.path[0], tolerances.get(metric.path[0], [])
        if known and metric.path[1] != HEADLINE.rpartition("_")[2]:
            continue
        title = metric.title.rpartition(" ±")[0] if known else metric.title
        key = f"`{stem}.{{{','.join(known)}}}`" if known else f"`{stem}`"
        within = f"{', '.join(known)} ms" if known else metric.tolerance or ""
        meaning = metric.meaning.rpartition(" within ")[0] or metric.meaning if known else metric.meaning
        rows.append(
            [key, f"**{title}**" if metric.headline else title, metric.unit, metric.better or "", within, meaning]
        )
    return markdown(rows)


def headline_rows(scores: Mapping[str, Any]) -> list[list[str]]:
    """Headline metrics; columns in which nothing was measured are left out."""
    lines = lines_of(scores)
    shown = [key for key in COLUMNS if any(value_in(row, key).get("mean") is not None for _, _, row, _ in lines)]
    rows = [["", *[METRICS[key].title for key in shown]]]
    for kind, name, summary, _ in lines:
        cells = [
            with_interval(value_in(summary, key))
            if key in WITH_INTERVAL
            else printed(value_in(summary, key).get("mean"))
            for key in shown
        ]
        rows.append([_title(kind, name), *cells])
    return rows


def protocol_rows(scores: Mapping[str, Any]) -> list[list[str]]:
    """The published protocols; a dagger marks those that are saturated."""
    chosen = [(name, column) for name in scores["protocols"] for column in scores["protocols"][name]]
    marks = {name: " †" if PROTOCOLS[name].saturated else "" for name in scores["protocols"]}
    rows = [["", *[f"`{name}`{marks[name]} {column.replace('_', ' ')}" for name, column in chosen]]]
    for kind, name, _, protocols in _with_protocols(scores):
        rows.append([_title(kind, name), *[printed(protocols[protocol][column]) for protocol, column in chosen]])
    return rows


def _foot(scores: Mapping[str, Any]) -> list[str]:
    about, f = scores["about"], scores["summary"]["beat_f"]["70"]
    settings = about["settings"]
    lines = [
        f"{len(scores['clips'])} clips of {f['songs']} songs"
        + (f", {len(scores['failed'])} more could not be scored" if scores["failed"] else "")
        + f"; beats by {settings['trackers'][0]['name']} {settings['trackers'][0]['version']}; brackets: 95 % bootstrap"
        " interval over songs."
    ]
    if scores["protocols"]:
        cited = [f"`{name}`: {about['protocols'][name]['paper']}" for name in scores["protocols"]]
        lines.append("Protocols: " + "; ".join(cited) + ".")
    if any(PROTOCOLS[name].saturated for name in scores["protocols"]):
        lines.append("† saturated: drums at a wrong tempo score nearly full marks; for compatibility only.")
    spread = scores["trackers"].get("spread")
    if spread:
        lines.append(
            f"Under the trackers {', '.join(name for name in scores['trackers'] if name != 'spread')}:"
            f" {METRICS[HEADLINE].title} between {printed(spread['low'])} and {printed(spread['high'])}."
        )
    if scores["distribution"]:
        lines.append(distribution_line(scores["distribution"]))
    lines += [f"{retrieval_line(kind, found)}." for kind, found in (scores.get("retrieval") or {}).items() if found]
    return lines + list(about["notes"])


def distribution_line(distribution: Mapping[str, Any]) -> str:
    """Fréchet and kernel distance in one sentence, with the embedding and any warning."""
    kernel, frechet = distribution["kernel"], distribution["frechet"]
    value = f"{kernel['kad']:.3g}" if kernel["kad"] is not None else "not measured"
    interval = f" [{100 * kernel['low']:.3g}, {100 * kernel['high']:.3g}]" if kernel["low"] is not None else ""
    frechet_text = printed(frechet["value"]) + (f" ({frechet['warning']})" if frechet["warning"] else "")
    halves = distribution["ceilings"].get("reference_halves")
    known = f", two halves of the references {halves['kernel']['kad']:.3g}" if halves else ""
    noise = distribution["floors"].get("white_noise", {}).get("kernel", {}).get("kad")
    known += f", white noise {noise:.3g}" if noise is not None else ""
    return (
        f"Distance to the references in `{distribution['embedding']}`: kernel (KAD) {value}{interval}{known};"
        f" Fréchet {frechet_text}."
    )


def markdown_table(scores: Mapping[str, Any]) -> str:
    """All of `table.md`.

    Args:
        scores: the content of `scores.json`.
    """
    parts = [markdown(headline_rows(scores))]
    if scores["protocols"]:
        parts.append(markdown(protocol_rows(scores)))
    parts.append("\n".join(f"- {line}" for line in _foot(scores)) + "\n")
    return "\n".join(parts)


# For a terminal: one row per system, floors first, ceilings last.


_NAMES_SHOWN = 5
_TERMINAL = (
    ("tempo_within_2_percent", "tempo_related"),
    ("onset_f",),
    ("continuity_cmlt", "continuity_amlt"),
    ("alignment_motion", "alignment_music"),
    ("genre_accuracy", "motion_genre_accuracy"),
)
"""Metrics of each column after the headline."""


def _head(keys: Sequence[str]) -> str:
    return " / ".join(METRICS[key].alone for key in keys)


def _row(title: str, summary: Mapping[str, Any]) -> tuple[str, ...]:
    cells = (" / ".join(printed(value_in(summary, key).get("mean")) for key in keys) for keys in _TERMINAL)
    return (title, with_interval(value_in(summary, HEADLINE)), *cells)


def columns(rows: Sequence[Sequence[str]]) -> str:
    """Rows as aligned text, the first one a header."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([lines[0], "-" * max(map(len, lines)), *lines[1:]])


def _titles(scores: Mapping[str, Any], lines: Sequence[tuple[str, str, Any, Any]]) -> list[str]:
    clips = f"system   {len(scores['clips'])} clips"
    return [clips if kind == "system" else f"{kind:<8} {name}" for kind, name, _, _ in lines]


def summary_table(scores: Mapping[str, Any]) -> str:
    """Floors, the system and ceilings with the headline metrics.

    Args:
        scores: the content of `scores.json`.
    """
    lines = zip(_titles(scores, lines_of(scores)), lines_of(scores), strict=True)
    header = ("", f"{METRICS[HEADLINE].title} [95 % CI]", *map(_head, _TERMINAL))
    return columns([header, *[_row(title, summary) for title, (_, _, summary, _) in lines]])


def protocol_table(scores: Mapping[str, Any]) -> str:
    """The published protocols for the same rows; empty when none was chosen. A star marks the saturated ones."""
    chosen = scores["protocols"]
    if not chosen:
        return ""
    titles = [name + ("*" if PROTOCOLS[name].saturated else "") for name in chosen]
    header = ("", *[f"{title} {'/'.join(chosen[name])}" for title, name in zip(titles, chosen, strict=True)])
    short = [cell.replace("tempo_difference_bpm", "ΔBPM").replace("precision/recall", "P/R") for cell in header]
    rows = [
        (title, *[" / ".join(printed(value) for value in protocols[name].values()) for name in chosen])
        for title, (_, _, _, protocols) in zip(
            _titles(scores, _with_protocols(scores)), _with_protocols(scores), strict=True
        )
    ]
    saturated = [name for name in chosen if PROTOCOLS[name].saturated]
    star = f"\n* saturated: drums at a wrong tempo score nearly 1 ({', '.join(saturated)})" if saturated else ""
    return columns([short, *rows]) + star


def genre_table(scores: Mapping[str, Any]) -> str:
    """Per genre: the system between the floor `random_song` and the ceiling `reference`; empty without genres."""
    if not scores["genres"]:
        return ""
    shown = (HEADLINE, "tempo_within_2_percent", "onset_f")
    first, *others = (METRICS[key].alone for key in shown)
    steps = list(scores.get("rhythm", {}))
    rows: list[tuple[str, ...]] = [("genre", "clips", first, "random song", "reference", *steps, *others)]
    for code, genre in scores["genres"].items():
        ends = (f"{name}_{HEADLINE}" for name in ("random_song", "reference", *steps))
        keys = (HEADLINE, *ends, *shown[1:])
        rows.append((f"{code} {genre['title']}", str(genre["clips"]), *[printed(genre[key]) for key in keys]))
    return columns(rows)


def over_all_lines(scores: Mapping[str, Any]) -> str:
    """What is said of all clips at once: trackers, distances, diversity, copies; empty when nothing is."""
    lines = []
    if "spread" in scores["trackers"]:
        named = {name: row for name, row in scores["trackers"].items() if name != "spread"}
        values = ", ".join(f"{name} {printed(row[HEADLINE])}" for name, row in named.items())
        lines.append(
            f"{METRICS[HEADLINE].title} by tracker: {values}; spread {printed(scores['trackers']['spread']['width'])}"
        )
    if scores["distribution"]:
        lines.append(distribution_line(scores["distribution"]))
    if scores["diversity"]:
        found = scores["diversity"]
        lines.append(
            f"diversity: two seeds of a dance differ {printed(found['relative'])} times as much as two songs"
            f" ({found['dances']} dances)"
        )
    if scores.get("retrieval"):
        lines += [retrieval_line(kind, found) for kind, found in scores["retrieval"].items() if found]
    if scores["copying"]:
        found = scores["copying"]
        flagged = ", ".join(found["flagged"][:_NAMES_SHOWN]) or "none"
        lines.append(
            f"copying: similarity to the nearest of {found['training_clips']} training clips"
            f" {printed(found['mean_similarity'])} (references of other songs {printed(found['null_mean'])});"
            f" suspicious: {flagged}" + (f" ({found['warning']})" if found["warning"] else "")
        )
    return "\n".join(lines)


def retrieval_line(kind: str, found: Mapping[str, Any]) -> str:
    """Whether dances find their own among the generated or the true pieces, in one sentence."""
    parts = ", ".join(
        f"{term} {with_interval(found[term]['auc'])}" for term in ("beats", "energy", "genre", "all") if term in found
    )
    every, chance = found["all"], found["chance"]
    return (
        f"own piece found among {found['candidates']:.1f} {kind}: AUC by {parts}; rank {every['mean_rank']:.1f} (by chance"
        f" {chance['mean_rank']:.1f}), first in {every['first']:.0%} (by chance {chance['first']:.0%})"
    )


def leftovers(scores: Mapping[str, Any]) -> str:
    """What was not scored and why, and what a reader must know: names without a partner, bad files, notes."""
    titles = {
        "generated": "generated without a reference",
        "reference": "references without generated music",
        "without_dance": "without a dance",
        "without_roundtrip": "without a round trip",
    }
    about, lines = scores["about"], []
    for kind, names in about["unpaired"].items():
        if names:
            more = f" … and {len(names) - _NAMES_SHOWN} more (all in scores.json)" if len(names) > _NAMES_SHOWN else ""
            lines.append(f"{len(names)} {titles[kind]}: {', '.join(names[:_NAMES_SHOWN])}{more}")
    lines += [f"note: {note}" for note in about["notes"]]
    lines += [f"failed: {failure['clip']}: {failure['reason']}" for failure in scores["failed"]]
    reasons = {failure["reason"] for failure in scores["failed"]}
    lines += [f"not usable: {sentence}" for sentence in about["bad_files"] if sentence not in reasons]
    return "\n".join(lines)
