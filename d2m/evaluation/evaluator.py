"""From pairs of files to scores of the system, its baselines (floors) and its toplines (ceilings)."""

import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from d2m.core.errors import BadInput
from d2m.evaluation.analysis import AudioAnalysis, AudioAnalyzer, Passage, audio_seconds, pool_context, require_beats
from d2m.evaluation.clip_scores import (
    RANDOM_SONGS,
    ClipScore,
    draw_other_songs,
    genre_said,
    plain_baselines,
    random_song_scores,
    reference_topline,
    score_clip,
    shuffled_pair_scores,
)
from d2m.evaluation.references import (
    AUDIO_SUFFIXES,
    LENGTH_SLACK_S,
    JudgedLength,
    Pair,
    Pairing,
    Reference,
    ReferenceFiles,
    files_by_stem,
    judge_length,
)
from d2m.metrics.alignment import MotionBeats, motion_beats_of
from d2m.metrics.beats import load_beats_s

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

    def everything(self, roundtrip: Path | None, seed: int) -> Evaluated:
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
        lengths: dict[str, JudgedLength] = {}
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

    def _length(self, pair: Pair) -> JudgedLength:
        beats_s = load_beats_s(pair.reference.beats) if pair.reference.beats else None
        motion_beats = self._motion_beats.get(pair.dance) if pair.dance else None
        return judge_length(
            pair.generated, pair.reference.audio, beats_s, motion_beats.seconds if motion_beats else None
        )

    def _pair_score(self, pair: Pair, length: JudgedLength) -> ClipScore:
        audio, beats = pair.reference.audio, pair.reference.beats
        analysis = self.analyzer(_passage(audio, length.seconds)) if audio else None
        true_beats_s = load_beats_s(beats) if beats else None
        if audio and analysis and true_beats_s is None:
            require_beats(analysis, audio)
        motion_beats = self._motion_beats.get(pair.dance) if pair.dance else None
        reference = Reference.of(pair.name, length.seconds, true_beats_s, analysis, motion_beats)
        if reference.beats_s.size == 0:
            raise BadInput(
                f"{beats or audio}: no beat lies in the {length.seconds:.2f} s that are judged; correct the list."
            )
        self._reference_analyses.setdefault(pair.name, reference.analysis or AudioAnalysis(reference.beats_s))
        notes = list(length.notes)
        if pair.dance in self._bad_dances:
            notes.append(f"scored without its dance: {self._bad_dances[pair.dance]}")
        generated_analysis = self.analyzer(_passage(pair.generated, length.seconds))
        if generated_analysis.beats_s.size == 0:
            notes.append("the tracker hears no beat in the generated music.")
        said = genre_said(pair.generated)
        return score_clip(reference, generated_analysis, pair.clip, pair.seed, said, length, notes)

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
        sounding = [name for name, known in self.pairing.references.items() if known.audio]
        akin = {name: draw_other_songs(name, sounding, SAME_GENRE_SONGS, seed, same_genre=True) for name in paired}
        self._analyze_others([other for others in [*drawn.values(), *akin.values()] for other in others])
        baselines = {
            "random_song": self._other_song_scores(references, drawn),
            "random_song_of_genre": self._other_song_scores(references, akin),
            "shuffled_pairs": shuffled_pair_scores(references, system, seed),
        } | plain_baselines(references, seed)
        return {name: scores for name, scores in baselines.items() if scores}

    def _analyze_others(self, names: Sequence[str]) -> None:
        new = [name for name in dict.fromkeys(names) if name not in self._reference_analyses]
        sounds = {name: audio for name in new if (audio := self.pairing.references[name].audio)}
        self.analyzer.analyze_all([Passage(path) for path in sounds.values()], "analyzing other songs")
        for name in new:
            try:
                self._reference_analyses[name] = self._analyze_reference(self.pairing.references[name])
            except BadInput as error:
                self._note_bad(error)

    def _analyze_reference(self, reference: ReferenceFiles) -> AudioAnalysis:
        if reference.audio:
            return self.analyzer(Passage(reference.audio))
        assert reference.beats is not None
        return AudioAnalysis(load_beats_s(reference.beats))

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
