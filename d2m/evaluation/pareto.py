"""One way to generate: sampler, steps, guidance and where it is on, decoder; and a clip made that way, timed and counted."""

import csv
import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from d2m.audio.autoencoder import DMAE
from d2m.core.errors import BadConfig, BadInput, UserError
from d2m.core.files import atomic_write, writable_folder, write_json, write_text
from d2m.core.music import Music
from d2m.data.layout import DataSetLayout
from d2m.diffusion.samplers import check_understood
from d2m.evaluation.references import song_of
from d2m.evaluation.scores import make_analyzer, score_folders
from d2m.evaluation.summary import value_in
from d2m.evaluation.tables import markdown, printed, with_interval
from d2m.metrics.distances import KAD_SCALE, kernel_distance_difference
from d2m.metrics.intervals import bootstrap_mean
from d2m.metrics.registry import HEADLINE, KAD, METRICS
from d2m.motion.dance import Dance
from d2m.pipeline import Dance2Music


def autoencoder_of(model: Dance2Music) -> DMAE:
    """The autoencoder behind a checkpoint's music.

    Raises:
        BadConfig: when it has none, so that there is no decoder to choose and no U-Net to count.
    """
    found = getattr(model.music_generator, "dmae", None)
    if not isinstance(found, DMAE):
        raise BadConfig(
            f"{model.checkpoint.path}: found a {type(model.system).__name__}, expected a latent diffusion, whose settings a"
            " sweep compares; name another checkpoint."
        )
    return found


@dataclass(frozen=True)
class Setting:
    """One way to generate; None everywhere: the checkpoint's own.

    Args:
        sampler: a name in `d2m.diffusion.samplers.SAMPLERS` that follows the checkpoint's path.
        steps, guidance: sampling steps and guidance scale.
        interval: noise levels between which guidance is on; `[0, 1]` is always.
        grid: where the steps lie, see `d2m.diffusion.processes.GRIDS`.
        decoder: `onepass` or `diffusion`.
        decoder_steps: of the diffusion decoder; None: the autoencoder's own.
    """

    sampler: str | None = None
    steps: int | None = None
    guidance: float | int | None = None
    interval: Sequence[float | int] | None = None
    grid: str | None = None
    decoder: str | None = None
    decoder_steps: int | None = None

    def resolved(self, model: Dance2Music) -> "Setting":
        """All that is None filled in from the model.

        Raises:
            BadConfig: for an unknown sampler or decoder, a sampler of another objective, or fewer than one step.
        """
        dmae = autoencoder_of(model)
        own = model.system.generation
        named = model.checkpoint.config["system"].get("sampler", {}).get("_target_", "dpm_solver_pp_2m").rsplit(".")[-1]
        found = Setting(
            self.sampler or named,
            own.steps if self.steps is None else self.steps,
            float(own.guidance if self.guidance is None else self.guidance),
            [float(level) for level in self.interval or own.guidance_interval or (0, 1)],
            self.grid or own.grid,
            self.decoder or ("onepass" if dmae.onepass is not None else "diffusion"),
            dmae.decoder_steps if self.decoder_steps is None else self.decoder_steps,
        )
        replace(own, **found.asked())
        check_understood(model.system.objective.path, found.sampler or "")
        if found.decoder == "onepass" and dmae.onepass is None:
            raise BadConfig(f"decoder={found.decoder}: not one that autoencoder '{dmae.name}' has; use diffusion.")
        return found

    def asked(self) -> dict[str, Any]:
        """The same as settings of `Dance2Music.generate`."""
        return {"guidance_interval" if key == "interval" else key: value for key, value in asdict(self).items()}


def label_of(name: str, setting: Setting) -> str:
    """Short name of a row from its checkpoint's name and resolved setting, fit for a folder: `demo_ddim50_g1.5`."""
    words = [name, f"{'dpm' if setting.sampler == 'dpm_solver_pp_2m' else setting.sampler}{setting.steps}"]
    words += ["unguided" if setting.guidance == 1 else f"g{setting.guidance:g}"]
    low, high = setting.interval or (0, 1)
    if setting.guidance != 1 and (low, high) != (0, 1):
        words.append(f"in{low:g}-{high:g}")
    words += [setting.grid] if setting.grid and setting.grid != "angle" else []
    return "_".join(words + ([f"diffusion{setting.decoder_steps}"] if setting.decoder == "diffusion" else []))


@dataclass(frozen=True)
class Made:
    """One clip: seconds of wall clock, and passes through the U-Net for each of its windows."""

    music: Music
    seconds: float
    evaluations: float


def make_clip(model: Dance2Music, dance: Dance, setting: Setting, seed: int = 0) -> Made:
    """What `Dance2Music.generate` makes under a resolved setting, timed, and its passes through the U-Net counted."""
    rows: list[int] = []
    hook = model.system.unet.register_forward_pre_hook(lambda module, inputs: rows.append(len(inputs[0])))
    try:
        started = time.perf_counter()
        music = model(dance, seed, **setting.asked())
        seconds = time.perf_counter() - started
    finally:
        hook.remove()
    frames = model.system.clock.samples_to_latent_frames(model.samples(dance))
    return Made(music, seconds, sum(rows) / len(model.system.window_plan(frames).starts))


# Quality against network evaluations: one split's dances under a list of generation settings, each generated and scored.
#
# An evaluation is one pass of one window through the denoising U-Net: a guided step is two, a step outside the guidance
# interval one. The first setting is the reference that the others are held against. A row that is already in the output
# folder, made of the same weights, setting and dances, is kept.


VERSION = 2
MEASURES = {"beat_f": "beat_f_70", "tempo": "tempo_within_2_percent", "onset_f": "onset_f"}
"""A row's scores, by the metric that they are."""


@dataclass(frozen=True)
class Sweep:
    """What to measure.

    Args:
        checkpoint: generates under every setting.
        settings: the first one is the reference.
        root, split: the dances, their music and its beats.
        out: gets `rows/LABEL/` with the music and `row.json`, and the report (`d2m.evaluation.pareto`).
        more: further checkpoints, such as distilled ones; each generates as its own configuration says.
        clips: the first so many dances; None: all.
        seed: of the music.
        seed_of_scores, resamples: of the bootstrap.
    """

    checkpoint: str
    settings: Sequence[Setting]
    root: Path
    split: str
    out: Path
    more: Sequence[str] = ()
    clips: int | None = None
    seed: int = 0
    seed_of_scores: int = 0
    resamples: int = 2000


def run_sweep(sweep: Sweep) -> list[dict[str, Any]]:
    """A row for each setting and each further checkpoint, made or kept; reported by `d2m.evaluation.pareto`.

    Raises:
        BadInput: when the split has no dance that can be used.
        BadConfig: for no setting, or one that cannot be; before anything is made.
    """
    if not sweep.settings:
        raise BadConfig("settings=[]: expected at least one, the reference that the others are held against.")
    if sweep.clips is not None and sweep.clips < 2:
        raise BadConfig(f"clips={sweep.clips}: expected 2 or more, a distance between sets needs two.")
    out, layout = writable_folder(sweep.out), DataSetLayout(sweep.root)
    names = layout.names(sweep.split)[: sweep.clips]
    stems = [Path(name).stem for name in dict.fromkeys([sweep.checkpoint, *sweep.more])]
    if len(set(stems)) < len(stems):
        raise BadConfig(f"more={list(sweep.more)}: two checkpoints are called alike ({', '.join(stems)}); rename one.")
    models = {name: Dance2Music.load(name) for name in [sweep.checkpoint, *sweep.more]}
    asked = [(sweep.checkpoint, setting) for setting in sweep.settings] + [(name, Setting()) for name in sweep.more]
    planned = {}
    for name, setting in asked:
        resolved = setting.resolved(models[name])
        planned[label_of(Path(name).stem, resolved)] = (models[name], resolved)
    dances, rows = _dances(layout, names), []
    analyzer = make_analyzer(genre_classifier="none", progress=False)
    for label, (model, setting) in planned.items():
        folder = writable_folder(out / "rows" / label)
        made_of = _made_of(sweep, model, setting, names)
        row = _kept(folder / "row.json", made_of)
        if row is None:
            row = {"label": label, "made_of": made_of, **_row(sweep, model, setting, dances, folder, analyzer)}
            write_json(folder / "row.json", row)
        rows.append(row)
    return held_against(rows[0], rows, sweep.resamples, sweep.seed_of_scores)


def _dances(layout: DataSetLayout, names: Sequence[str]) -> list[Dance]:
    dances = []
    for name in names:
        try:
            dances.append(Dance.load(layout.motion(name)))
        except UserError as error:
            print(f"left out: {error}")
    if len(dances) < 2:
        raise BadInput(
            f"{layout.root}: found {len(dances)} dances that can be used, expected 2 or more; correct root=."
        )
    return dances


def _made_of(sweep: Sweep, model: Dance2Music, setting: Setting, names: Sequence[str]) -> dict[str, Any]:
    listed = hashlib.sha256("\n".join(names).encode()).hexdigest()[:16]
    return {
        "version": VERSION,
        "checkpoint": model.checkpoint.path.name,
        "sha256": model.checkpoint.sha256,
        "dmae": autoencoder_of(model).name,
        "setting": asdict(setting),
        "root": str(sweep.root),
        "dances": listed,
        **{key: getattr(sweep, key) for key in ("split", "seed", "seed_of_scores", "resamples")},
    }


def _kept(path: Path, made_of: Mapping[str, Any]) -> dict[str, Any] | None:
    try:
        row = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return row if isinstance(row, dict) and row.get("made_of") == made_of else None


def _row(
    sweep: Sweep, model: Dance2Music, setting: Setting, dances: Sequence[Dance], folder: Path, analyzer: Any
) -> dict[str, Any]:
    seconds, evaluations = [], []
    for old in folder.glob("*.wav"):  # of another list of dances
        old.unlink()
    for dance in tqdm(dances, desc=folder.name, unit="clip"):
        made = make_clip(model, dance, setting, sweep.seed)
        made.music.save(folder / f"{dance.name}.wav")
        seconds.append(made.seconds)
        evaluations.append(made.evaluations)
    scores = score_folders(
        folder,
        sweep.root,
        seed=sweep.seed_of_scores,
        resamples=sweep.resamples,
        progress=False,
        protocols="none",
        analyzer=analyzer,
    )
    content = scores.to_json()
    kernel = (content["distribution"] or {}).get("kernel") or {}
    kad = {key: None if kernel.get(name) is None else KAD_SCALE * kernel[name] for key, name in _KAD.items()}
    timbre = {
        "generated": {score.clip: score.analysis.timbre for score in scores.system},
        "reference": {
            score.reference.name: score.reference.analysis and score.reference.analysis.timbre
            for score in scores.system
        },
    }
    return {
        "evaluations": float(np.mean(evaluations)),
        "decoder_evaluations": setting.decoder_steps if setting.decoder == "diffusion" else 1,
        "seconds_per_clip": float(np.median(seconds)),
        "music_seconds": float(np.median([dance.seconds for dance in dances])),
        "clips": len(scores.system),
        "failed": {failure.clip: failure.reason for failure in scores.failed},
        **{key: dict(value_in(content["summary"], metric)) for key, metric in MEASURES.items()},
        "kad": kad,
        "by_clip": {
            score.clip: {
                "song": score.reference.song,
                **{key: _plain(score.metrics[name]) for key, name in MEASURES.items()},
            }
            for score in scores.system
        },
        "timbre": {
            side: {name: vector.round(5).tolist() for name, vector in vectors.items() if vector is not None}
            for side, vectors in timbre.items()
        },
    }


_KAD = {"mean": "value", "low": "low", "high": "high"}


def _plain(value: float | int) -> float | None:
    return None if np.isnan(value) else float(value)


def held_against(
    reference: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], resamples: int = 2000, seed: int = 0
) -> list[dict[str, Any]]:
    """Each row with `differences` to the reference, of its scores by clip and of its kernel distance, and `holds`.

    A row holds when its beat F and tempo accuracy are not below the reference's 95 % intervals, its KAD is not above, and
    the paired difference of KAD does not lie above 0 with its whole interval: a setting that is told apart as worse does
    not hold, however wide the reference's own interval is. Where the reference has no interval, nothing holds but what is
    at least as good as its mean. The vectors behind KAD (`timbre`) are left out of the answer.
    """

    def holds(row: Mapping[str, Any], key: str, sign: int) -> bool:
        bound = reference[key]["low" if sign > 0 else "high"]
        bound = reference[key]["mean"] if bound is None else bound
        return row[key]["mean"] is not None and bound is not None and sign * (row[key]["mean"] - bound) >= 0

    answer = []
    for row in rows:
        differences = {key: _difference(row, reference, key, resamples, seed) for key in MEASURES}
        differences["kad"] = _kad_difference(row, reference)
        kept = {key: holds(row, key, sign) for key, sign in (("beat_f", 1), ("tempo", 1), ("kad", -1))}
        kept["kad"] = kept["kad"] and (differences["kad"]["low"] or 0) <= 0
        shown = {key: value for key, value in row.items() if key != "timbre"}
        answer.append({**shown, "differences": differences, "kept": kept, "holds": all(kept.values())})
    return answer


def _kad_difference(row: Mapping[str, Any], reference: Mapping[str, Any]) -> dict[str, Any]:
    """Paired difference of KAD over the dances that both have made; None where vectors lack."""
    ours, theirs = row["timbre"]["generated"], reference["timbre"]["generated"]
    both = [name for name in theirs if name in ours]
    reference_names = reference["timbre"]["reference"]
    if not both or not reference_names:
        return {"mean": None, "low": None, "high": None, "clips": 0, "songs": 0}
    first, second, real = (
        np.array([side[name] for name in names], dtype=np.float64)
        for side, names in ((ours, both), (theirs, both), (reference_names, reference_names))
    )
    songs = [str(reference["by_clip"][name]["song"]) for name in both]
    found = kernel_distance_difference(
        first, second, real, songs, [str(song_of(name)) for name in reference_names]
    ).to_json()
    scaled = {key: None if (value := found[key]) is None else KAD_SCALE * value for key in ("mean", "low", "high")}
    return {**found, **scaled}


def _difference(
    row: Mapping[str, Any], reference: Mapping[str, Any], key: str, resamples: int, seed: int
) -> dict[str, Any]:
    both = [name for name in reference["by_clip"] if name in row["by_clip"]]
    ours, theirs = (
        np.array([side["by_clip"][name][key] for name in both], dtype=np.float64) for side in (row, reference)
    )
    songs = [reference["by_clip"][name]["song"] for name in both]
    return bootstrap_mean(ours - theirs, songs, resamples, seed=seed).to_json()


def fastest_that_holds(rows: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """The row with the fewest evaluations (then the least KAD) among those that hold; the reference always does."""
    good = [row for row in rows if row["holds"]]
    return min(
        good or rows[:1], key=lambda row: (row["evaluations"], row["decoder_evaluations"], row["kad"]["mean"] or 0)
    )


# A sweep's rows as JSON, CSV, Markdown and a picture.


TITLES = {
    "beat_f": METRICS[HEADLINE].title,
    "tempo": METRICS["tempo_within_2_percent"].title,
    "onset_f": METRICS["onset_f"].title,
    "kad": f"{KAD.alone} ({KAD.better} is better)",
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
    write_json(out / "pareto.json", content)
    write_text(out / "pareto.md", text)
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
