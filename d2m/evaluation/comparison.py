"""Two systems on the same clips: difference, interval and win count.

Clips of two systems are paired by the reference's name (several seeds of one dance are averaged first), so what makes
a clip easy or hard cancels out: the interval of the difference is much narrower than the two intervals of the systems say.
Songs are resampled, as everywhere.
"""

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from d2m.core.errors import BadInput
from d2m.core.files import write_json, write_text
from d2m.evaluation.clip_scores import ClipScore
from d2m.evaluation.report.values import render
from d2m.evaluation.scores import VERSION
from d2m.evaluation.summary import plain_number, value_in
from d2m.evaluation.tables import RHYTHM_TITLES, markdown, printed, with_interval
from d2m.metrics.intervals import RESAMPLES, bootstrap_mean
from d2m.metrics.registry import HEADLINE, KAD, METRICS

COMPARISON_VERSION = 1
TIE = 1e-9


@dataclass(frozen=True)
class Difference:
    """One metric of two systems on the clips that both have.

    Args:
        first, second: means over these clips.
        difference: second minus first; `low`, `high` its 95 % interval over songs, None for fewer than two songs.
        wins, ties, losses: clips on which the *second* system is better, equal or worse; None for metrics of which
            neither end is better.
    """

    metric: str
    first: float | None
    second: float | None
    difference: float | None
    low: float | None
    high: float | None
    wins: int | None
    ties: int | None
    losses: int | None
    clips: int
    songs: int

    @property
    def certain(self) -> bool:
        """Whether the interval leaves out 0."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


@dataclass(frozen=True)
class Comparison:
    """Differences of two systems, and the references that only one of them has music for."""

    first: str
    second: str
    differences: Mapping[str, Difference]
    only_first: list[str]
    only_second: list[str]

    def to_json(self) -> dict[str, Any]:
        """As in `comparison.json`."""
        metrics = {
            key: {
                name: plain_number(value) if isinstance(value, float) else value
                for name, value in found.__dict__.items()
                if name != "metric"
            }
            | {"better": METRICS[key].better}
            for key, found in self.differences.items()
        }
        only = {"only_first": self.only_first, "only_second": self.only_second}
        return {"first": self.first, "second": self.second, "metrics": metrics, **only}


def _by_name(scores: Sequence[ClipScore], key: str) -> dict[str, float]:
    """Mean over seeds of what was measured, by reference."""
    values: dict[str, list[float]] = {}
    for score in scores:
        if not math.isnan(score.metrics[key]):
            values.setdefault(score.reference.name, []).append(score.metrics[key])
    return {name: float(np.mean(found)) for name, found in values.items()}


def _difference(
    key: str, first: Sequence[ClipScore], second: Sequence[ClipScore], resamples: int, seed: int
) -> Difference:
    ours, theirs = _by_name(first, key), _by_name(second, key)
    names = [name for name in ours if name in theirs]
    songs = {score.reference.name: score.reference.song for score in first}
    before, after = (np.array([side[name] for name in names], dtype=np.float64) for side in (ours, theirs))
    interval = bootstrap_mean(after - before, [songs[name] for name in names], resamples, seed=seed)
    better = METRICS[key].better
    gain = (after - before) * (-1 if better == "lower" else 1)
    counts = [int(mask.sum()) for mask in (gain > TIE, np.abs(gain) <= TIE, gain < -TIE)]
    wins, ties, losses = counts if better else (None, None, None)
    return Difference(
        metric=key,
        first=float(before.mean()) if names else None,
        second=float(after.mean()) if names else None,
        difference=interval.mean,
        low=interval.low,
        high=interval.high,
        wins=wins,
        ties=ties,
        losses=losses,
        clips=len(names),
        songs=interval.songs,
    )


def compare(
    first: tuple[str, Sequence[ClipScore]],
    second: tuple[str, Sequence[ClipScore]],
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Comparison:
    """Compare two systems, each a name and its scores, metric by metric; metrics that neither measured are left out."""
    one, other = ({score.reference.name for score in scores} for _, scores in (first, second))
    differences = {key: _difference(key, first[1], second[1], resamples, seed) for key in METRICS}
    return Comparison(
        first=first[0],
        second=second[0],
        differences={key: found for key, found in differences.items() if found.clips},
        only_first=sorted(one - other),
        only_second=sorted(other - one),
    )


def comparison_markdown(comparison: Comparison) -> str:
    """A table of all differences; bold where the interval leaves out 0."""
    first, second = comparison.first, comparison.second
    rows = [["", first, second, f"{second} - {first} [95 %]", f"{second} wins / ties / loses", "clips"]]
    for key, found in comparison.differences.items():
        interval = "" if found.low is None else f" [{printed(found.low, 3)}, {printed(found.high, 3)}]"
        difference = printed(found.difference, 3) + interval
        wins = "–" if found.wins is None else f"{found.wins} / {found.ties} / {found.losses}"
        rows.append(
            [
                METRICS[key].title,
                printed(found.first, 3),
                printed(found.second, 3),
                f"**{difference}**" if found.certain else difference,
                wins,
                str(found.clips),
            ]
        )
    left_out = [
        f"- {len(names)} references have music by {name} alone and are left out.\n"
        for name, names in ((first, comparison.only_first), (second, comparison.only_second))
        if names
    ]
    return markdown(rows) + "\n" + "".join(left_out)


def write_comparison(
    systems: Mapping[str, Sequence[ClipScore]], out: Path, resamples: int = RESAMPLES, seed: int = 0
) -> list[Comparison]:
    """Compare every two systems; write `comparison.json` and `comparison.md` into `out`."""
    found = [compare(one, other, resamples, seed) for one, other in combinations(systems.items(), 2)]
    content = {
        "version": COMPARISON_VERSION,
        "systems": list(systems),
        "resamples": resamples,
        "seed": seed,
        "pairs": [comparison.to_json() for comparison in found],
    }
    write_json(out / "comparison.json", content)
    write_text(out / "comparison.md", "\n".join(comparison_markdown(comparison) for comparison in found))
    return found


# Several evaluations in one table, best beat F first. A score belongs to its references, its tracker and its tolerances: runs
# that share all of these form a group, the largest group (of equal ones the first run's) sets the standard, and every other
# row says in what it differs.


COLUMNS = ("beat_f_70", "tempo_within_2_percent", "onset_f", "continuity_amlt", "alignment_harmonic", "genre_accuracy")
_SETTINGS = ("beat_tolerances_s", "onset_tolerance_s", "tempo_tolerance", "alignment_sigma_s")


@dataclass(frozen=True)
class Run:
    """One evaluation: its name and the content of its `scores.json`."""

    name: str
    scores: Mapping[str, Any]

    @property
    def references(self) -> dict[str, tuple]:
        """Reference beats in seconds and judged length by reference name: what the run was scored against."""
        return {
            clip["name"]: (tuple(clip["reference_beats_s"]), clip["judged_seconds"]) for clip in self.scores["clips"]
        }

    @property
    def standard(self) -> tuple:
        """Everything that must be equal for two runs to be compared."""
        settings = self.scores["about"]["settings"]
        tracker = json.dumps(settings["trackers"][0], sort_keys=True)
        return (
            tuple(sorted(self.references.items())), tracker, json.dumps([settings[key] for key in _SETTINGS])
        )  # fmt: skip

    @property
    def made_with(self) -> str:
        """Seeds and checkpoints behind the clips, as far as they are known; empty where nothing is."""
        seeds = sorted({clip["seed"] for clip in self.scores["clips"] if clip.get("seed") is not None})
        checkpoints = self.scores["about"]["settings"].get("checkpoints") or []
        words = [f"seed {', '.join(map(str, seeds))}"] if seeds else []
        return "; ".join([*words, *(f"checkpoint {sha256[:8]}" for sha256 in checkpoints)])

    @property
    def beat_f(self) -> float:
        """The headline; below all for a run that could not measure it."""
        mean = value_in(self.scores["summary"], HEADLINE).get("mean")
        return -1.0 if mean is None else float(mean)


def load_run(path: Path, name: str | None = None) -> Run:
    """Read a `scores.json`, or the one in a folder.

    Raises:
        BadInput: when there is none, or it has another version.
    """
    file = path / "scores.json" if path.is_dir() else path
    try:
        scores = json.loads(file.read_text())
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise BadInput(f"{file}: not readable scores ({error}); name an out folder of scripts/evaluate.py.") from error
    found = scores.get("version", 1) if isinstance(scores, dict) else None
    if found != VERSION:
        raise BadInput(
            f"{file}: found version {found} of scores.json, expected {VERSION}; run scripts/evaluate.py again."
        )
    return Run(name or file.parent.name, scores)


def differences(run: Run, standard: Run) -> list[str]:
    """In what a run is not comparable with another; empty when it is."""
    found = []
    ours, theirs = run.references, standard.references
    common = ours.keys() & theirs.keys()
    if set(ours) != set(theirs):
        found.append(f"other references ({len(common)} of {len(theirs)} in common)")
    changed = sum(ours[name][0] != theirs[name][0] for name in common)
    if changed:
        found.append(f"other reference beats in {changed} clips")
    lengths = sum(ours[name][0] == theirs[name][0] and ours[name][1] != theirs[name][1] for name in common)
    if lengths:
        found.append(f"another length judged in {lengths} clips")
    (_, tracker, settings), (_, tracker_there, settings_there) = run.standard, standard.standard
    if tracker != tracker_there:
        said = json.loads(tracker)
        found.append(f"another tracker ({said['name']} {said['version']})")
    if settings != settings_there:
        found.append("other tolerances")
    return found


def standard_run(runs: Sequence[Run]) -> Run:
    """The first run of the largest group of comparable ones."""
    sizes = Counter(run.standard for run in runs)
    return max(runs, key=lambda run: sizes[run.standard])


def leaderboard_rows(runs: Sequence[Run]) -> list[list[str]]:
    """Header, the systems by falling beat F with the floors and ceilings of the standard run among them."""
    standard = standard_run(runs)
    steps = [name for name in RHYTHM_TITLES if any(run.scores.get("rhythm", {}).get(name) for run in runs)]
    header = [
        "",
        *[METRICS[key].title for key in COLUMNS],
        *[f"{METRICS[HEADLINE].title}, {name}" for name in steps],
        KAD.alone,
        "clips",
        "failed",
        "tracker",
        "not comparable because of",
    ]
    lines = []
    for run in runs:
        scores = run.scores
        distance = scores["distribution"]
        kad = "–" if not distance else f"{printed(distance['kernel']['kad'])} ({distance['embedding']})"
        tracker = scores["about"]["settings"]["trackers"][0]
        tail = [kad, str(len(scores["clips"])), str(len(scores["failed"])), f"{tracker['name']} {tracker['version']}"]
        why = "; ".join(differences(run, standard))
        rhythm = scores.get("rhythm", {})
        tail = [*[with_interval(value_in(rhythm.get(name, {}), HEADLINE)) for name in steps], *tail]
        lines.append((run.beat_f, [f"**{run.name}**" + (" ‡" if why else ""), *_cells(scores["summary"]), *tail, why]))
    for kind in ("floors", "ceilings"):
        for name, row in standard.scores[kind].items():
            mean = value_in(row, HEADLINE).get("mean") or 0.0
            cells = [f"{name.replace('_', ' ')} ({kind[:-1]})", *_cells(row), *[""] * len(steps), "", "", "", "", ""]
            lines.append((mean, cells))
    return [header, *[cells for _, cells in sorted(lines, key=lambda line: -line[0])]]


def _cells(summary: Mapping[str, Any]) -> list[str]:
    return [with_interval(value_in(summary, key)) for key in COLUMNS]


def foot(runs: Sequence[Run]) -> list[str]:
    """What a reader of the table must know."""
    standard = standard_run(runs)
    odd = sum(bool(differences(run, standard)) for run in runs)
    lines = [f"Sorted by beat F at 70 ms; floors and ceilings are those of {standard.name}; brackets: 95 % over songs."]
    if odd:
        lines.append(
            f"‡ {odd} of {len(runs)} runs are not comparable with {standard.name}, for the reason in the last column."
        )
    if len({run.made_with for run in runs}) > 1:
        made_with = "; ".join(f"{run.name}: {run.made_with or 'unknown'}" for run in runs)
        lines.append(f"The runs were not made with the same seeds and checkpoints ({made_with}).")
    lines.append("Two overlapping intervals do not mean equal systems: compare them clip by clip with generated=[A,B].")
    return lines


def write_leaderboard(runs: Sequence[Run], out: Path) -> list[Path]:
    """Write `leaderboard.md` and a self-contained, sortable `leaderboard.html` into `out`."""
    rows, lines = leaderboard_rows(runs), foot(runs)
    text = markdown(rows) + "\n" + "".join(f"- {line}\n" for line in lines)
    written = []
    for name, content in (("leaderboard.md", text), ("leaderboard.html", leaderboard_page(rows, lines))):
        write_text(out / name, content)
        written.append(out / name)
    return written


def leaderboard_page(rows: Sequence[Sequence[str]], lines: Sequence[str]) -> str:
    """The table as one HTML page; a click on a head sorts."""
    return render("leaderboard.html.j2", rows=rows, lines=lines)
