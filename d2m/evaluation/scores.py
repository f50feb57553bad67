"""One evaluation: from pairs of files to scores of a system, its baselines and toplines, and to the files that hold them."""

import csv
import io
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from tqdm import tqdm

from d2m.core.errors import BadConfig, BadInput
from d2m.core.files import write_json, write_text
from d2m.evaluation.analysis import AudioAnalysis, AudioAnalyzer, Passage, audio_seconds, pool_context, require_beats
from d2m.evaluation.clip_scores import (
    RANDOM_SONGS,
    ClipScore,
    draw_other_songs,
    plain_baselines,
    random_song_scores,
    read_and_heard,
    reference_topline,
    score_clip,
    shuffled_pair_scores,
)
from d2m.evaluation.embeddings import MFCC_STATISTICS
from d2m.evaluation.genre_classifier import load_genre_reader
from d2m.evaluation.records import GivenBeats, checkpoints_of, read_predicted_genre
from d2m.evaluation.references import (
    AUDIO_SUFFIXES,
    LENGTH_SLACK_S,
    RULED_S,
    Pair,
    Pairing,
    Reference,
    ScoredLength,
    files_by_stem,
    find_pairs,
    find_references,
    scored_length,
)
from d2m.evaluation.set_metrics import (
    SetMetrics,
    check_embedding,
    distribution,
    diversity,
    embed_sets,
    memorization,
    training_songs,
)
from d2m.evaluation.song_matching import dances_find_music
from d2m.evaluation.summary import (
    about_protocols,
    clip_json,
    genre_rows,
    measuring_settings,
    notes_on,
    summarize,
    summarize_protocols,
    system_json,
    tempo_rows,
    tracker_table,
    versions,
)
from d2m.evaluation.tables import markdown_table
from d2m.metrics.alignment import MotionBeats, motion_beats_of
from d2m.metrics.beat_tracker import Tracker, make_trackers
from d2m.metrics.intervals import RESAMPLES
from d2m.metrics.protocols import PROTOCOLS
from d2m.rhythm.reader import load_reader

SAME_GENRE_SONGS = 2
"""Other songs of the genre drawn per clip; they are seldom among the paired ones, so each costs a file more to analyze."""


@dataclass(frozen=True)
class Failed:
    """A generated clip that could not be scored, and why, in one sentence."""

    clip: str
    reason: str


@dataclass(frozen=True)
class Evaluated:
    """Scores of the system, its baselines and its toplines, with the pairs and references behind them."""

    system: list[ClipScore]
    references: list[Reference]
    baselines: dict[str, list[ClipScore]]
    toplines: dict[str, list[ClipScore]]
    pairs: list[Pair]

    @property
    def audio(self) -> dict[str, Path]:
        """The generated file of each clip that was scored."""
        return {pair.clip: pair.generated for pair in self.pairs}


class Evaluator:
    """Analyses sound and dances, and scores.

    Attributes:
        failed: clips that could not be scored.
        bad_files: one sentence for each other file that could not be used (dances, round trips, songs of a baseline).
    """

    def __init__(self, pairing: Pairing, analyzer: AudioAnalyzer) -> None:
        self.pairing = pairing
        self.analyzer = analyzer
        self.failed: list[Failed] = []
        self.bad_files: list[str] = []
        self._motion_beats: dict[Path, MotionBeats] = {}
        self._bad_dances: dict[Path, str] = {}
        self._reference_analyses: dict[str, AudioAnalysis] = {}

    def _note_bad(self, error: BadInput) -> None:
        if str(error) not in self.bad_files:
            self.bad_files.append(str(error))

    @property
    def reasons(self) -> list[str]:
        """One sentence for each file that could not be used, those of failed clips first."""
        return list(dict.fromkeys([*(failure.reason for failure in self.failed), *self.bad_files]))

    def evaluate(self, roundtrip: Path | None, seed: int) -> Evaluated:
        """Score the system, then all baselines and toplines.

        Args:
            roundtrip: folder of the references through the autoencoder, or None.
            seed: of all that is drawn.

        Raises:
            BadInput: when no pair can be scored.
        """
        system = self.system_scores()
        references = list({score.reference.name: score.reference for score in reversed(system)}.values())[::-1]
        baselines = self.baseline_scores(references, system, seed)
        scored = {score.clip for score in system}
        pairs = [pair for pair in self.pairing.pairs if pair.clip in scored]
        return Evaluated(system, references, baselines, self.topline_scores(references, roundtrip), pairs)

    def system_scores(self) -> list[ClipScore]:
        """Scores of all pairs that can be scored.

        Raises:
            BadInput: when there are none.
        """
        self._read_motion_beats()
        lengths: dict[str, ScoredLength] = {}
        for pair in self.pairing.pairs:
            try:
                lengths[pair.clip] = self._length(pair)
            except BadInput as error:
                self.failed.append(Failed(pair.clip, str(error)))
        pairs = [pair for pair in self.pairing.pairs if pair.clip in lengths]
        sounds = [(path, pair) for pair in pairs for path in (pair.reference.audio, pair.generated) if path]
        self.analyzer.analyze_all([_passage(path, lengths[pair.clip].seconds) for path, pair in sounds], "analyzing")
        scores = []
        for pair in tqdm(pairs, desc="scoring", unit="clip", disable=not self.analyzer.progress):
            try:
                scores.append(self._pair_score(pair, lengths[pair.clip]))
            except BadInput as error:
                self.failed.append(Failed(pair.clip, str(error)))
        if not scores:
            reasons = " ".join(dict.fromkeys(failure.reason for failure in self.failed[:3]))
            raise BadInput(f"none of {len(self.pairing.pairs)} pairs can be scored: {reasons}")
        return scores

    def _length(self, pair: Pair) -> ScoredLength:
        motion_beats = self._motion_beats.get(pair.dance) if pair.dance else None
        if pair.dance in self._bad_dances and not (pair.reference.audio or pair.reference.beats):
            raise BadInput(self._bad_dances[pair.dance])
        dance_s = motion_beats.seconds if motion_beats else None
        beats_s = pair.reference.beats_s(pair.name, dance_s or RULED_S)
        return scored_length(pair.generated, pair.reference.audio, beats_s, dance_s)

    def _pair_score(self, pair: Pair, length: ScoredLength) -> ClipScore:
        audio, beats = pair.reference.audio, pair.reference.beats
        analysis = self.analyzer(_passage(audio, length.seconds)) if audio else None
        true_beats_s = pair.reference.beats_s(pair.name, length.seconds)
        if audio and analysis and true_beats_s is None:
            require_beats(analysis, audio)
        motion_beats = self._motion_beats.get(pair.dance) if pair.dance else None
        beats_from = "true" if beats else "rule"
        reference = Reference.of(pair.name, length.seconds, true_beats_s, analysis, motion_beats, beats_from)
        if reference.beats_s.size == 0:
            raise BadInput(
                f"{beats or audio or pair.dance}: no beat lies in the {length.seconds:.2f} s that are judged; correct the list."
            )
        self._reference_analyses.setdefault(pair.name, reference.analysis or AudioAnalysis(reference.beats_s))
        notes = list(length.notes)
        if pair.dance in self._bad_dances:
            notes.append(f"scored without its dance: {self._bad_dances[pair.dance]}")
        generated_analysis = self.analyzer(_passage(pair.generated, length.seconds))
        if generated_analysis.beats_s.size == 0:
            notes.append("the tracker hears no beat in the generated music.")
        said, given = read_predicted_genre(pair.generated), None
        try:
            given = GivenBeats.beside(pair.generated)
        except BadInput as error:
            notes.append(str(error))
        score = score_clip(reference, generated_analysis, pair.clip, pair.seed, said, length, notes)
        return replace(score, given=given)

    def _read_motion_beats(self) -> None:
        dances = list(dict.fromkeys(pair.dance for pair in self.pairing.pairs if pair.dance))
        if not dances:
            return
        self.analyzer.warm_up()
        bar = {"desc": "reading dances", "unit": "dance", "total": len(dances), "disable": not self.analyzer.progress}
        if self.analyzer.workers > 1 and len(dances) > self.analyzer.workers:
            with ProcessPoolExecutor(self.analyzer.workers, mp_context=pool_context(self.analyzer.trackers)) as pool:
                found = list(tqdm(pool.map(_motion_beats_or_error, dances), **bar))
        else:
            found = [_motion_beats_or_error(path) for path in tqdm(dances, **bar)]
        for path, answer in zip(dances, found, strict=True):
            if isinstance(answer, BadInput):
                self._bad_dances[path] = str(answer)
                self._note_bad(answer)
            else:
                self._motion_beats[path] = answer

    def baseline_scores(
        self, references: Sequence[Reference], system: Sequence[ClipScore], seed: int
    ) -> dict[str, list[ClipScore]]:
        """All baselines that can be made from these files."""
        if self.analyzer.progress:
            print("scoring baselines and toplines ...", file=sys.stderr)
        paired = [reference.name for reference in references]
        enough = len({reference.song for reference in references}) > 1
        pool = paired if enough else list(self.pairing.references)
        drawn = {name: draw_other_songs(name, pool, RANDOM_SONGS, seed) for name in paired}
        with_audio = [name for name, known in self.pairing.references.items() if known.audio]
        of_genre = {
            name: draw_other_songs(name, with_audio, SAME_GENRE_SONGS, seed, same_genre=True) for name in paired
        }
        self._analyze_others([other for others in [*drawn.values(), *of_genre.values()] for other in others])
        baselines = {
            "random_song": self._other_song_scores(references, drawn),
            "random_song_of_genre": self._other_song_scores(references, of_genre),
            "shuffled_pairs": shuffled_pair_scores(references, system, seed),
        } | plain_baselines(references, seed)
        return {name: scores for name, scores in baselines.items() if scores}

    def _analyze_others(self, names: Sequence[str]) -> None:
        new = [name for name in dict.fromkeys(names) if name not in self._reference_analyses]
        sounds = {name: audio for name in new if (audio := self.pairing.references[name].audio)}
        self.analyzer.analyze_all([Passage(path) for path in sounds.values()], "analyzing other songs")
        for name in new:
            try:
                self._reference_analyses[name] = self._analyze_reference(name)
            except BadInput as error:
                self._note_bad(error)

    def _analyze_reference(self, name: str) -> AudioAnalysis:
        reference = self.pairing.references[name]
        if reference.audio:
            return self.analyzer(Passage(reference.audio))
        beats_s = reference.beats_s(name, RULED_S)
        assert beats_s is not None
        return AudioAnalysis(beats_s)

    def _other_song_scores(
        self, references: Sequence[Reference], drawn: Mapping[str, Sequence[str]]
    ) -> list[ClipScore]:
        known = {
            name: [other for other in others if other in self._reference_analyses] for name, others in drawn.items()
        }
        return random_song_scores(references, known, self._reference_analyses.__getitem__)

    def topline_scores(self, references: Sequence[Reference], roundtrip: Path | None) -> dict[str, list[ClipScore]]:
        """`reference`, and `reference_through_dmae` where a folder of round trips is given."""
        toplines = {"reference": reference_topline(references), "reference_through_dmae": []}
        decoded = files_by_stem(roundtrip, AUDIO_SUFFIXES) if roundtrip else {}
        there = {reference.name: reference for reference in references if reference.name in decoded}
        for name in list(there):
            try:
                audio_seconds(decoded[name])
            except BadInput as error:
                self._note_bad(error)
                del there[name]
        passages = {name: _passage(decoded[name], reference.seconds) for name, reference in there.items()}
        self.analyzer.analyze_all(passages.values(), "analyzing round trips")
        for name, reference in there.items():
            try:
                toplines["reference_through_dmae"].append(score_clip(reference, self.analyzer(passages[name])))
            except BadInput as error:
                self._note_bad(error)
        return {name: scores for name, scores in toplines.items() if scores}


def _motion_beats_or_error(path: Path) -> MotionBeats | BadInput:
    try:
        return motion_beats_of(path)
    except BadInput as error:
        return error


def _passage(path: Path, seconds: float | int) -> Passage:
    """The first `seconds` of a file, or all of it where that is the same but for a few samples."""
    return Passage(path) if audio_seconds(path) <= seconds + LENGTH_SLACK_S else Passage(path, seconds)


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
        over_all: `distribution`, `diversity`, `copying` and `retrieval`, each None where it was not asked for or could not be made.
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
        rhythm = read_and_heard(self.system)
        by_clip: dict[str, dict[str, ClipScore]] = {}
        for name, rows in rhythm.items():
            for row in rows:
                by_clip.setdefault(row.clip, {})[name] = row
        settings = {"protocols": self.protocols, "resamples": self.resamples, "seed": self.seed}
        return {
            "version": VERSION,
            "summary": summarize(self.system, self.resamples, self.seed),
            "protocols": summarize_protocols(self.system, self.protocols),
            "rhythm": {name: summarize(rows, self.resamples, self.seed) for name, rows in rhythm.items()},
            **{key: self.over_all.get(key) for key in ("distribution", "diversity", "copying", "retrieval")},
            "trackers": dict(self.trackers),
            "floors": {name: system_json(rows, **settings) for name, rows in self.baselines.items()},
            "ceilings": {name: system_json(rows, **settings) for name, rows in self.toplines.items()},
            "genres": genre_rows(self.system, self.baselines, self.toplines, rhythm),
            "tempi": tempo_rows(self.system, self.toplines),
            "clips": [clip_json(score, self.protocols, **by_clip.get(score.clip, {})) for score in self.system],
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
        write_json(out / "scores.json", self.to_json())
        write_text(out / "clips.csv", self.clips_csv())
        write_text(out / "table.md", markdown_table(self.to_json()))


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
    retrieval: str | None = None,
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
        trackers, tracker_settings: see `d2m.metrics.beat_tracker.make_trackers`; the first one's beats are the headline.
        embedding: of the distances between sets; see `d2m.evaluation.set_metrics.embed_sets`.
        training: folder of the training set's songs; adds `copying`.
        genre_classifier: weights file, None for the shipped ones, `"none"` for no genre metrics.
        analyzer: made by `make_analyzer`, when several folders share references; then the arguments that it has in
            common with this function are not looked at.
        retrieval: checkpoint with a rhythm reader; adds `retrieval`, see `d2m.evaluation.song_matching`.

    Raises:
        BadInput: when a folder is missing or empty, nothing has a partner, or no pair can be scored. Single clips that
            cannot be scored are listed in `Scores.failed` instead.
        BadConfig: for unknown names among the settings.
    """
    shown, made_of = chosen_protocols(protocols), check_embedding(embedding)
    references = find_references(Path(reference), Path(beats) if beats else None, true_beats)
    pairing = find_pairs(Path(generated), references, *(Path(f) if f else None for f in (dances, roundtrip)))
    songs = training_songs(Path(training)) if training else {}
    reader = load_reader(retrieval) if retrieval else None
    audio_analyzer, noted = analyzer or make_analyzer(trackers, tracker_settings, workers, genre_classifier, progress)
    evaluator = Evaluator(pairing, audio_analyzer)
    evaluated = evaluator.evaluate(Path(roundtrip) if roundtrip else None, seed)
    sets = SetMetrics(
        evaluated.system,
        evaluated.toplines.get("reference_through_dmae", []),
        evaluated.audio,
        {pair.name: pair.reference.audio for pair in evaluated.pairs if pair.reference.audio},
        Path(generated),
    )
    folders = {"generated": generated, "reference": reference, "dances": dances, "training": training}
    settings = {name: str(folder) if folder else None for name, folder in folders.items()}
    settings |= {"embedding": made_of, "checkpoints": checkpoints_of(evaluated.audio.values()), "retrieval": retrieval}
    dance_files = {pair.clip: pair.dance for pair in evaluated.pairs if pair.dance}
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
        over_all=_over_all(sets, embedding, songs, seed)
        | {"retrieval": reader and dances_find_music(evaluated.system, dance_files, reader, resamples, seed)},
        trackers=tracker_table(evaluated.system, [tracker.name for tracker in audio_analyzer.trackers]),
        audio=evaluated.audio,
        dances=dance_files,
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
