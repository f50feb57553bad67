"""A system's trial: trained within a budget, then scored on held-out splits; one row of a table that compares systems.

Training runs in a process of its own, so that its processor time can be told; a trial that was interrupted goes on.
"""

import json
import resource
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from d2m.core.errors import BadConfig, BadInput
from d2m.core.files import writable_folder, write_text
from d2m.evaluation.scores import score_folders
from d2m.evaluation.summary import value_in
from d2m.evaluation.tables import markdown, printed, with_interval
from d2m.metrics.registry import KAD, METRICS
from d2m.motion.dance import list_dances
from d2m.pipeline import Dance2Music, generate_all

TRAIN = Path(__file__).resolve().parents[2] / "scripts" / "train.py"
SHOWN = ("beat_f_70", "tempo_within_2_percent", "onset_f", "genre_accuracy")
RESULT = "trial.json"


@dataclass(frozen=True)
class Trial:
    """What is tried.

    Args:
        name: of the row.
        out: folder that everything goes into.
        roots: a data set's root for each held-out split, by the split's name.
        experiment: what `scripts/train.py` trains; None: `checkpoint` is tried as it is.
        overrides: further settings of the training, `key=value`.
        checkpoint: a shipped name or a path, where nothing is trained.
        settings: of the generation, see `Dance2Music.generate`.
        seed: of training and generation.
        clips: dances of each split, spread evenly; None: all.
    """

    name: str
    out: Path
    roots: Mapping[str, Path]
    experiment: str | None = None
    overrides: Sequence[str] = ()
    checkpoint: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    clips: int | None = None


def run_trial(trial: Trial) -> dict[str, Any]:
    """Train, make music for every dance of every split, score it; what is in `out` already is not done again.

    Returns:
        What `out/trial.json` then holds: name, checkpoint, parameters, training (steps and processor seconds), and for
        each split the scores of `SHOWN`, the kernel distance, and seconds of processor time per second of music.

    Raises:
        BadConfig: when neither an experiment nor a checkpoint is named, or both are.
        BadInput: when a split's data set is missing, or training failed.
    """
    if (trial.experiment is None) == (trial.checkpoint is None):
        raise BadConfig("a trial trains an experiment or takes a checkpoint: name one of what= and checkpoint=.")
    missing = [str(root) for root in trial.roots.values() if not (root / "motions").is_dir()]
    if missing:
        raise BadInput(f"{missing[0]}: no data set; make it with scripts/prepare.py, see the README.")
    writable_folder(trial.out)
    training = _trained(trial) if trial.experiment else {}
    checkpoint = trial.checkpoint or str(trial.out / "train" / "checkpoints" / "last.ckpt")
    model = Dance2Music.load(checkpoint)
    parameters = sum(parameter.numel() for parameter in model.system.parameters())
    result: dict[str, Any] = {
        "name": trial.name, "system": type(model.system).__name__, "checkpoint": model.checkpoint.path.name,
        "checkpoint_sha256": model.checkpoint.sha256, "parameters": parameters, "training": training,
        "seed": trial.seed, "settings": dict(trial.settings), "splits": {},
    }  # fmt: skip
    for split, root in trial.roots.items():
        result["splits"][split] = _scored(trial, model, split, root)
    write_text(trial.out / RESULT, json.dumps(result, indent=1))
    return result


def _trained(trial: Trial) -> dict[str, Any]:
    """Train, or go on; processor time of interrupted runs adds up in `training.json`."""
    note = trial.out / "training.json"
    known = json.loads(note.read_text()) if note.exists() else {"processor_seconds": 0.0, "finished": False}
    if known["finished"]:
        return known
    command = [sys.executable, str(TRAIN), f"experiment={trial.experiment}", f"out={trial.out / 'train'}"]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    try:
        status = subprocess.run([*command, f"seed={trial.seed}", *trial.overrides]).returncode
    finally:
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        known["processor_seconds"] += after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        write_text(note, json.dumps(known))
    if status:
        raise BadInput(
            f"{trial.name}: training ended with status {status} (its own words are above); mend it, then go on."
        )
    known["finished"] = True
    write_text(note, json.dumps(known))
    return known


def _scored(trial: Trial, model: Dance2Music, split: str, root: Path) -> dict[str, Any]:
    """Music for the split's dances that have none yet, and what it scores."""
    folder, done = writable_folder(trial.out / split / "music"), trial.out / split / "row.json"
    if done.exists():
        found = json.loads(done.read_text())
        if found["checkpoint_sha256"] == model.checkpoint.sha256:
            return found["scores"]
    dances = list_dances(root / "motions")
    dances = dances[:: max(1, len(dances) // trial.clips)][: trial.clips] if trial.clips else dances
    made_by = {path: json.loads(path.read_text())["checkpoint_sha256"] for path in folder.glob("*.json")}
    fresh = [d for d in dances if made_by.get(folder / f"{d.stem}_seed{trial.seed}.json") != model.checkpoint.sha256]
    made = generate_all(model, fresh, folder, trial.seed, **trial.settings)
    for sentence in made.failed.values():
        print(f"error: {sentence}", file=sys.stderr)
    records = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
    scores = score_folders(folder, root / "wavs", root / "motions", protocols="none", progress=False)
    scores.write(trial.out / split)
    table = scores.to_json()
    speeds = [record["seconds_taken"] / record["dance_seconds"] for record in records]
    row: dict[str, Any] = {metric: dict(value_in(table["summary"], metric)) for metric in SHOWN}
    row["kernel"] = (table["distribution"] or {}).get("kernel")
    row["seconds_per_second"] = statistics.median(speeds)
    row["seconds_per_clip"] = statistics.median(record["seconds_taken"] for record in records)
    row["clips"] = len(records)
    write_text(done, json.dumps({"checkpoint_sha256": model.checkpoint.sha256, "scores": row}))
    return row


def trial_table(results: Sequence[Mapping[str, Any]]) -> str:
    """The rows of several trials as one Markdown table, a line for each system and split."""
    head = ["system", "split", *(METRICS[key].alone for key in SHOWN), KAD.alone, "s per clip", "s per s of music",
            "parameters", "trained, minutes"]  # fmt: skip
    rows = [head]
    for result in results:
        trained = result["training"].get("processor_seconds")
        for split, row in result["splits"].items():
            kernel = row["kernel"] or {}
            bounds = {"mean": kernel.get("kad")} | {
                key: None if kernel.get(key) is None else 100 * kernel[key] for key in ("low", "high")
            }
            rows.append([
                f"`{result['name']}`", f"`{split}`", with_interval(row["beat_f_70"]),
                *(printed(row[metric].get("mean")) for metric in SHOWN[1:]),
                with_interval(bounds, 1), printed(row["seconds_per_clip"]), printed(row["seconds_per_second"]),
                f"{result['parameters'] / 1e6:.1f} M", "–" if trained is None else f"{trained / 60:.0f}",
            ])  # fmt: skip
    return markdown(rows)


def load_trial(path: Path) -> dict[str, Any]:
    """Read what a trial wrote.

    Raises:
        BadInput: when the folder holds no finished trial.
    """
    try:
        return json.loads((path / RESULT).read_text())
    except (OSError, ValueError) as error:
        raise BadInput(f"{path / RESULT}: not readable ({error}); run scripts/trial.py out={path} first.") from error
