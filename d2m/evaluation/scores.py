"""The outcome of one evaluation: everything that `scores.json`, `clips.csv` and `table.md` hold."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from d2m.core.errors import BadConfig
from d2m.core.files import atomic_write
from d2m.evaluation.analysis import AudioAnalyzer
from d2m.evaluation.clip_scores import ClipScore, checkpoints_of
from d2m.evaluation.embeddings import MFCC_STATISTICS
from d2m.evaluation.evaluator import Evaluator, Failed
from d2m.evaluation.genre_classifier import load_genre_reader
from d2m.evaluation.references import find_pairs, find_references
from d2m.evaluation.set_metrics import (
    SetMetrics,
    check_embedding,
    distribution,
    diversity,
    embed_sets,
    memorization,
    training_songs,
)
from d2m.evaluation.summary import (
    about_protocols,
    clip_json,
    measuring_settings,
    notes_on,
    summarize,
    summarize_protocols,
    system_json,
    versions,
)
from d2m.evaluation.tables import genre_rows, markdown_table, tempo_rows, tracker_table
from d2m.metrics.beat_tracker import Tracker
from d2m.metrics.intervals import RESAMPLES
from d2m.metrics.protocols import PROTOCOLS
from d2m.metrics.trackers import make_trackers

VERSION = 2
"""Of the layout of `scores.json`; raised whenever a key changes its name or meaning."""


@dataclass(frozen=True)
class Scores:
    """Scores of a system beside its baselines (floors) and toplines (ceilings).

    Args:
        system: one score per generated clip.
        baselines, toplines: by name, one or more scores per reference clip.
        failed: generated clips that could not be scored.
        bad_files: one sentence for each file that could not be used, those of failed clips included.
        about: versions, settings, protocols, notes and names without a partner.
        protocols: names of the published protocols to print.
        over_all: `distribution`, `diversity` and `copying`, each None where it was not asked for or could not be made.
        trackers: the headline by tracker.
        audio: the generated file of each clip in `system`.
        dances: the dance file of each clip that has one.
    """

    system: Sequence[ClipScore]
    baselines: Mapping[str, Sequence[ClipScore]]
    toplines: Mapping[str, Sequence[ClipScore]]
    failed: Sequence[Failed]
    bad_files: Sequence[str]
    about: Mapping[str, Any]
    protocols: Sequence[str]
    over_all: Mapping[str, Any]
    trackers: Mapping[str, Any]
    audio: Mapping[str, Path]
    dances: Mapping[str, Path] = field(default_factory=dict)
    resamples: int = 2000
    seed: int = 0

    def to_json(self) -> dict[str, Any]:
        """The content of `scores.json`."""
        return self._content

    @cached_property
    def _content(self) -> dict[str, Any]:
        settings = {"protocols": self.protocols, "resamples": self.resamples, "seed": self.seed}
        return {
            "version": VERSION,
            "summary": summarize(self.system, self.resamples, self.seed),
            "protocols": summarize_protocols(self.system, self.protocols),
            **{key: self.over_all.get(key) for key in ("distribution", "diversity", "copying")},
            "trackers": dict(self.trackers),
            "floors": {name: system_json(rows, **settings) for name, rows in self.baselines.items()},
            "ceilings": {name: system_json(rows, **settings) for name, rows in self.toplines.items()},
            "genres": genre_rows(self.system, self.baselines, self.toplines),
            "tempi": tempo_rows(self.system, self.toplines),
            "clips": [clip_json(score, self.protocols) for score in self.system],
            "failed": [{"clip": failure.clip, "reason": failure.reason} for failure in self.failed],
            "about": dict(self.about),
        }

    def clips_csv(self) -> str:
        """One line per generated clip: all scores, no event times; notes in one cell."""
        rows = []
        for row in self.to_json()["clips"]:
            plain = {key: value for key, value in row.items() if not isinstance(value, list | dict)}
            rows.append(plain | row["metrics"] | {"notes": " ".join(row["notes"])})
        text = io.StringIO()
        writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        return text.getvalue()

    def write(self, out: Path) -> None:
        """Write `scores.json`, `clips.csv` and `table.md` into `out`, each whole or not at all."""
        with atomic_write(out / "scores.json") as temporary:
            temporary.write_text(json.dumps(self.to_json(), indent=1, allow_nan=False) + "\n")
        with atomic_write(out / "clips.csv") as temporary:
            temporary.write_text(self.clips_csv())
        with atomic_write(out / "table.md") as temporary:
            temporary.write_text(markdown_table(self.to_json()))


def make_analyzer(
    trackers: Sequence[str] = ("librosa",),
    tracker_settings: Mapping[str, Mapping[str, Any]] | None = None,
    workers: int = 1,
    genre_classifier: str | Path | None = None,
    progress: bool = True,
) -> tuple[AudioAnalyzer, dict[str, Any]]:
    """An analyzer, and what to note about it in `about.settings`.

    Raises:
        BadConfig: for a tracker that is unknown or cannot run here.
        BadInput: for a classifier's file that is none.
    """
    made: tuple[Tracker, ...] = make_trackers(list(trackers), tracker_settings)
    reader = load_genre_reader(genre_classifier)
    noted = {
        "trackers": [
            {"name": tracker.name, "version": tracker.version, "licence": tracker.licence, "settings": tracker.settings}
            for tracker in made
        ],
        "genre_classifier": reader[1] if reader else None,
    }
    return AudioAnalyzer(workers, progress, made, reader[0] if reader else None), noted


def chosen_protocols(protocols: str | Sequence[str] = "all") -> list[str]:
    """Names of published protocols; `"all"` means all, `"none"` or an empty list none.

    Raises:
        BadConfig: for an unknown name.
    """
    names = [protocols] if isinstance(protocols, str) else list(protocols)
    if names == ["all"]:
        return list(PROTOCOLS)
    names = [] if names == ["none"] else names
    unknown = [name for name in names if name not in PROTOCOLS]
    if unknown:
        raise BadConfig(f"unknown protocol '{unknown[0]}'; expected all, none or some of {', '.join(PROTOCOLS)}.")
    return [name for name in PROTOCOLS if name in names]


def score_folders(
    generated: str | Path,
    reference: str | Path,
    dances: str | Path | None = None,
    beats: str | Path | None = None,
    roundtrip: str | Path | None = None,
    true_beats: bool = True,
    seed: int = 0,
    resamples: int = RESAMPLES,
    workers: int = 1,
    progress: bool = True,
    protocols: str | Sequence[str] = "all",
    trackers: Sequence[str] = ("librosa",),
    tracker_settings: Mapping[str, Mapping[str, Any]] | None = None,
    embedding: str | Path | None = MFCC_STATISTICS,
    training: str | Path | None = None,
    genre_classifier: str | Path | None = None,
    analyzer: tuple[AudioAnalyzer, dict[str, Any]] | None = None,
) -> Scores:
    """Score a folder of generated music against references of the same names.

    Args:
        generated: folder of `NAME.wav` or `NAME_seedK.wav`.
        reference: folder of `NAME.wav`, of beat lists `NAME.txt`, of both, or a data set's root.
        dances: folder of dances by the same names; adds alignment and the motion floors.
        beats: folder of true beat lists; by default one named `beats` beside `reference`.
        roundtrip: folder of the references through the autoencoder; adds the ceiling `reference_through_dmae`.
        true_beats: False judges against beats tracked in the reference even where true ones are known.
        seed: of the bootstrap, the random songs and the metronomes' phases.
        resamples: of the bootstrap.
        workers: processes that analyze.
        progress: show progress bars, and say what takes long.
        protocols: published protocols to print: `"all"`, `"none"`, or names.
        trackers, tracker_settings: see `d2m.metrics.trackers.make_trackers`; the first one's beats are the headline.
        embedding: of the distances between sets; see `d2m.evaluation.set_metrics.embed_sets`.
        training: folder of the training set's songs; adds `copying`.
        genre_classifier: weights file, None for the shipped ones, `"none"` for no genre metrics.
        analyzer: made by `make_analyzer`, when several folders share references; then the arguments that it has in
            common with this function are not looked at.

    Raises:
        BadInput: when a folder is missing or empty, nothing has a partner, or no pair can be scored. Single clips that
            cannot be scored are listed in `Scores.failed` instead.
        BadConfig: for unknown names among the settings.
    """
    shown, made_of = chosen_protocols(protocols), check_embedding(embedding)
    references = find_references(Path(reference), Path(beats) if beats else None, true_beats)
    pairing = find_pairs(Path(generated), references, *(Path(f) if f else None for f in (dances, roundtrip)))
    songs = training_songs(Path(training)) if training else {}
    audio_analyzer, noted = analyzer or make_analyzer(trackers, tracker_settings, workers, genre_classifier, progress)
    evaluator = Evaluator(pairing, audio_analyzer)
    evaluated = evaluator.everything(Path(roundtrip) if roundtrip else None, seed)
    sets = SetMetrics(
        evaluated.system,
        evaluated.toplines.get("reference_through_dmae", []),
        evaluated.audio,
        {pair.name: pair.reference.audio for pair in evaluated.pairs if pair.reference.audio},
        Path(generated),
    )
    folders = {"generated": generated, "reference": reference, "dances": dances, "training": training}
    settings = {name: str(folder) if folder else None for name, folder in folders.items()}
    settings |= {"embedding": made_of, "checkpoints": checkpoints_of(evaluated.audio.values())}
    return Scores(
        system=evaluated.system,
        baselines=evaluated.baselines,
        toplines=evaluated.toplines,
        failed=evaluator.failed,
        bad_files=evaluator.reasons,
        about={
            "versions": versions(),
            "settings": measuring_settings(seed, resamples) | noted | settings,
            "protocols": about_protocols(shown),
            "notes": notes_on(evaluated.references, evaluated.baselines, evaluated.system),
            "unpaired": pairing.unpaired,
            "bad_files": evaluator.reasons,
        },
        protocols=shown,
        over_all=_over_all(sets, embedding, songs, seed),
        trackers=tracker_table(evaluated.system, [tracker.name for tracker in audio_analyzer.trackers]),
        audio=evaluated.audio,
        dances={pair.clip: pair.dance for pair in evaluated.pairs if pair.dance},
        resamples=resamples,
        seed=seed,
    )


def _over_all(sets: SetMetrics, embedding: str | Path | None, songs: Mapping[str, Path], seed: int) -> dict[str, Any]:
    embedded = embed_sets(sets, embedding)
    return {
        "distribution": distribution(embedded, sets.songs, seed) if embedded else None,
        "diversity": diversity(embedded, sets.system) if embedded else None,
        "copying": memorization(sets, songs) if songs else None,
    }
