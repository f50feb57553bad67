"""A sweep's rows as JSON, CSV, Markdown and a picture."""

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from d2m.core.files import atomic_write
from d2m.evaluation.pareto import MEASURES, VERSION, fastest_that_holds
from d2m.evaluation.tables import markdown, printed, with_interval
from d2m.metrics.registry import HEADLINE, METRICS

TITLES = {
    "beat_f": METRICS[HEADLINE].title,
    "tempo": METRICS["tempo_within_2_percent"].title,
    "onset_f": METRICS["onset_f"].title,
    "kad": "KAD (lower is better)",
}
SATURATED = (
    "Beat F differs by less than 0.005 between all rows: on these dances it says that no setting loses the beat, not which"
    " one is best."
)
COLOURS = ("#1b6ca8", "#d1495b", "#3a7d44", "#8e5ea2", "#c9822b", "#4c4c4c", "#00877f", "#a0522d")
MARKERS = "osD^vPX*"


def write_pareto(rows: Sequence[Mapping[str, Any]], out: Path) -> str:
    """Write pareto.json, pareto.csv, pareto.md and pareto.png; the first row is the reference.

    Returns:
        The Markdown.
    """
    best, text = fastest_that_holds(rows), pareto_markdown(rows)
    content = {"version": VERSION, "reference": rows[0]["label"], "fastest_that_holds": best["label"], "rows": rows}
    with atomic_write(out / "pareto.json") as temporary:
        temporary.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n")
    with atomic_write(out / "pareto.md") as temporary:
        temporary.write_text(text)
    flat = [_flat(row) for row in rows]
    with atomic_write(out / "pareto.csv") as temporary, temporary.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(flat[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(flat)
    with atomic_write(out / "pareto.png") as temporary:
        draw_pareto(rows, temporary)
    return text


def pareto_markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    """One line a row, fewest evaluations last, and what the columns mean."""
    first, best = rows[0], fastest_that_holds(rows)
    compared = {"beat_f": "beat F − reference", "onset_f": "onset F − reference", "kad": "KAD − reference"}
    table = [["setting", "evaluations", "decoder", "s per clip", *TITLES.values(), *compared.values(), "holds"]]
    for row in rows:
        name = f"**{row['label']}**" if row is best else row["label"]
        lost = [TITLES[key] for key, kept in row["kept"].items() if not kept]
        cells = [f"{row['evaluations']:g}", str(row["decoder_evaluations"]), printed(row["seconds_per_clip"])]
        cells += [with_interval(row[key], 1 if key == "kad" else 2) for key in TITLES]
        cells += [with_interval(row["differences"][key], 2 if key == "kad" else 3) for key in compared]
        table.append(
            [name, *cells, "reference" if row is first else "yes" if row["holds"] else f"no: {', '.join(lost)}"]
        )
    failed, known = sum(len(row["failed"]) for row in rows), [row["beat_f"]["mean"] or 0.0 for row in rows]
    return (
        markdown(table)
        + f"\n{first['clips']} clips of {first['music_seconds']:.1f} s (median), brackets: 95 % intervals over songs (KAD:"
        " jackknife). Evaluations: passes through the U-Net for each window, two for a guided step. Seconds: median, the"
        " decoder included. Differences are paired by dance; that of KAD has the jackknife interval of the difference itself."
        " A row holds when its beat F and tempo are not below the reference's intervals, its KAD is not above, and the"
        f" paired difference of KAD is not above 0 with its whole interval. The fewest evaluations that hold: {best['label']}.\n"
        + (f"\n{SATURATED}\n" if len(rows) > 1 and max(known) - min(known) < 0.005 else "")
        + (f"\n{failed} clips could not be scored; see pareto.json.\n" if failed else "")
    )


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    plain = {key: row[key] for key in ("label", "evaluations", "decoder_evaluations", "seconds_per_clip", "clips")}
    plain |= {key: value for key, value in row["made_of"]["setting"].items()} | {"holds": row["holds"]}
    found = {key: row[key] for key in (*MEASURES, "kad")}
    for key, value in (found | {f"{key}_difference": value for key, value in row["differences"].items()}).items():
        plain |= {key: value["mean"], f"{key}_low": value["low"], f"{key}_high": value["high"]}
    return plain


def family_of(row: Mapping[str, Any]) -> str:
    """What a row shares with those that it is joined to by a line: all but its number of steps."""
    setting = row["made_of"]["setting"]
    words = [Path(row["made_of"]["checkpoint"]).stem, "DDIM" if setting["sampler"] == "ddim" else "DPM-Solver++(2M)"]
    if setting["guidance"] == 1:
        words.append("one pass a step")
    elif list(setting["interval"]) != [0, 1]:
        words.append("guided {:g} in ({:g}, {:g}]".format(setting["guidance"], *setting["interval"]))
    else:
        words.append(f"guided {setting['guidance']:g}")
    words += [setting["grid"]] if setting["grid"] != "angle" else []
    if setting["decoder"] == "diffusion":
        words.append(f"diffusion decoder of {setting['decoder_steps']} steps")
    return ", ".join(words)


def draw_pareto(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """PNG: each score against evaluations on a log scale, whiskers for the intervals, the reference's shaded."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # pyright: ignore[reportMissingImports]
    from matplotlib.figure import Figure  # pyright: ignore[reportMissingImports]

    families: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        families.setdefault(family_of(row), []).append(row)
    figure = Figure(figsize=(12, 8.6), dpi=110, layout="constrained")
    for axis, (key, title) in zip(figure.subplots(2, 2).flat, TITLES.items(), strict=True):
        _draw_measure(axis, rows[0], families, key)
        axis.set(title=title, xlabel="network evaluations per window")
    handles, names = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=2, fontsize=9, frameon=False)
    figure.suptitle(f"Quality against network evaluations, {rows[0]['clips']} clips; numbers: sampling steps")
    FigureCanvasAgg(figure).print_png(str(path))


def _draw_measure(
    axis: Any, reference: Mapping[str, Any], families: Mapping[str, Sequence[Mapping[str, Any]]], key: str
) -> None:
    low, high = reference[key]["low"], reference[key]["high"]
    if low is not None and high is not None:
        axis.axhspan(low, high, color=COLOURS[0], alpha=0.12, lw=0, label=f"95 % of {reference['label']}")
    axis.set_xscale("log", base=2)
    for number, (name, members) in enumerate(families.items()):
        shown = sorted((row for row in members if row[key]["mean"] is not None), key=lambda row: row["evaluations"])
        # Rows of several families share a number of evaluations: side by side their whiskers can be read.
        xs = [row["evaluations"] * 1.025 ** (number - len(families) / 2) for row in shown]
        colour, ys = COLOURS[number % len(COLOURS)], [row[key]["mean"] for row in shown]
        ends = [(row[key]["low"], row[key]["high"]) for row in shown]
        whiskers = [
            [0.0 if end is None else max(0.0, sign * (end - y)) for end, y in zip(side, ys, strict=True)]
            for sign, side in ((-1, [a for a, _ in ends]), (1, [b for _, b in ends]))
        ]
        style = {"color": colour, "marker": MARKERS[number % len(MARKERS)], "ms": 6, "lw": 1.2, "elinewidth": 0.9}
        axis.errorbar(xs, ys, yerr=whiskers, capsize=2.5, label=name, **style)
        for x, y, row in zip(xs, ys, shown, strict=True):
            words = {
                "xytext": (5, 4 if number % 2 else -11),
                "textcoords": "offset points",
                "fontsize": 8,
                "color": colour,
            }
            axis.annotate(str(row["made_of"]["setting"]["steps"]), (x, y), **words)
    ticks = sorted({round(row["evaluations"]) for members in families.values() for row in members})
    spread = [tick for tick, before in zip(ticks, [0, *ticks], strict=False) if tick >= 1.2 * before]
    axis.set_xticks(spread, [str(tick) for tick in spread])
    axis.minorticks_off()
    axis.grid(alpha=0.25)
