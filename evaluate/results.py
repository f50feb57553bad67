"""The outcome of one evaluation: everything that `scores.json` and `clips.csv` hold."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from d2m.files import written_whole
from d2m.names import GENRE_TITLES
from evaluate.clips import ClipScore
from evaluate.summary import clip_json, summarize, summarize_protocols, system_json


@dataclass(frozen=True)
class Scores:
    """Scores of a system beside its floors and ceilings.

    Args:
        system: one score per generated clip.
        floors, ceilings: by name, one or more scores per reference clip.
        unpaired: names without a partner, by kind: `generated`, `reference`, `without_dance`, `without_roundtrip`.
        bad_files: one sentence for each file that could not be used.
        notes: what a reader of the table must know (a floor that could not be made, beats that are not true ones).
        audio: the generated file of each clip in `system`.
        dances: the dance file of each clip that has one.
        config: tolerances, tracker, versions, folders, seeds.
    """

    system: Sequence[ClipScore]
    floors: Mapping[str, Sequence[ClipScore]]
    ceilings: Mapping[str, Sequence[ClipScore]]
    unpaired: Mapping[str, list[str]]
    bad_files: list[str]
    notes: list[str]
    audio: Mapping[str, Path]
    dances: Mapping[str, Path]
    config: Mapping[str, Any]
    resamples: int = 2000
    seed: int = 0

    def to_json(self) -> dict[str, Any]:
        """The content of `scores.json`, `summary` first."""
        return self._content

    @cached_property
    def _content(self) -> dict[str, Any]:
        return {
            "summary": summarize(self.system, self.resamples, self.seed),
            "protocols": summarize_protocols(self.system),
            "floors": {name: system_json(rows, self.resamples, self.seed) for name, rows in self.floors.items()},
            "ceilings": {name: system_json(rows, self.resamples, self.seed) for name, rows in self.ceilings.items()},
            "genres": self._genres(),
            "clips": [clip_json(score) for score in self.system],
            "unpaired": dict(self.unpaired),
            "bad_files": list(self.bad_files),
            "notes": list(self.notes),
            "config": dict(self.config),
        }

    def _genres(self) -> dict[str, Any]:
        """Per genre code: the system's summary, with `title`, `clips`, and the same genre's `floors` and `ceilings`."""

        def of_genre(rows: Sequence[ClipScore], genre: str) -> list[ClipScore]:
            return [row for row in rows if row.truth.genre == genre]

        def others(systems: Mapping[str, Sequence[ClipScore]], genre: str) -> dict[str, Any]:
            kept = {name: of_genre(rows, genre) for name, rows in systems.items()}
            return {name: system_json(rows, self.resamples, self.seed) for name, rows in kept.items() if rows}

        genres = {}
        for genre in sorted({row.truth.genre for row in self.system if row.truth.genre}):
            rows = of_genre(self.system, genre)
            genres[genre] = {
                "title": GENRE_TITLES[genre],
                "clips": len(rows),
                **system_json(rows, self.resamples, self.seed),
                "floors": others(self.floors, genre),
                "ceilings": others(self.ceilings, genre),
            }
        return genres

    def clips_csv(self) -> str:
        """One line per generated clip, scores without event times."""
        rows = [{k: v for k, v in row.items() if not k.endswith("beats_s")} for row in self.to_json()["clips"]]
        text = io.StringIO()
        writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        return text.getvalue()

    def write(self, out: Path) -> None:
        """Write `scores.json` and `clips.csv` into `out`, each whole or not at all."""
        with written_whole(out / "scores.json") as temporary:
            temporary.write_text(json.dumps(self.to_json(), indent=1, allow_nan=False) + "\n")
        with written_whole(out / "clips.csv") as temporary:
            temporary.write_text(self.clips_csv())
