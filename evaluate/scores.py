"""From folders to `Scores`: pair by name, hear every file once, judge the system, its floors and its ceilings."""

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tqdm import tqdm

from d2m.errors import BadInput
from evaluate.alignment import SIGMA_S
from evaluate.baselines import (
    RANDOM_SONGS,
    draw_other_songs,
    plain_floors,
    random_song_scores,
    reference_ceiling,
)
from evaluate.beats import TOLERANCES_S
from evaluate.bootstrap import CONFIDENCE, RESAMPLES
from evaluate.clips import ClipScore, Truth, genre_said, score_clip
from evaluate.motion import Watched, watch
from evaluate.onsets import ONSET_TOLERANCE_S
from evaluate.pairs import (
    AUDIO_SUFFIXES,
    Pair,
    Pairing,
    Reference,
    files_by_stem,
    find_pairs,
    find_references,
    load_beats_s,
)
from evaluate.protocols import D2MD_TOLERANCE_S
from evaluate.results import Scores
from evaluate.tempo import TEMPO_TOLERANCE
from evaluate.trackers import TRACKER, Ear, Heard, Passage, audio_seconds

SAME_GENRE_SONGS = 2
"""Other songs of the genre drawn per clip; they are seldom among the paired ones, so each costs a file more to hear."""

LENGTH_SLACK_S = 0.05
"""A file that is longer than the judged length by no more than this is heard whole."""


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
) -> Scores:
    """Score a folder of generated music against references of the same names.

    Args:
        generated: folder of `NAME.wav` or `NAME_seedK.wav`.
        reference: folder of `NAME.wav`, of beat lists `NAME.txt`, of both, or a data set's root.
        dances: folder of dances by the same names; adds alignment and the motion floors.
        beats: folder of true beat lists; by default one named `beats` beside `reference`.
        roundtrip: folder of the references through the autoencoder; adds the ceiling `reference_through_dmae`.
        true_beats: False judges against beats tracked in the reference even where true ones are known.
        seed: of the bootstrap and of the random songs.
        resamples: of the bootstrap.
        workers: processes that listen.
        progress: show progress bars.

    Raises:
        BadInput: when a folder is missing or empty, nothing has a partner, or no pair can be scored. Single files that
            cannot be used are listed in `Scores.bad_files` instead.
    """
    references = find_references(Path(reference), Path(beats) if beats else None, true_beats)
    pairing = find_pairs(
        Path(generated), references, Path(dances) if dances else None, Path(roundtrip) if roundtrip else None
    )
    judge = _Judge(pairing, Ear(workers, progress), progress)
    system = judge.system_scores()
    truths = list({score.truth.name: score.truth for score in reversed(system)}.values())[::-1]
    floors = judge.floor_scores(truths, seed)
    ceilings = judge.ceiling_scores(truths, Path(roundtrip) if roundtrip else None)
    scored = {score.clip for score in system}
    return Scores(
        system=system,
        floors=floors,
        ceilings=ceilings,
        unpaired=pairing.unpaired,
        bad_files=judge.bad_files,
        notes=_notes(truths, floors, system),
        audio={pair.clip: pair.generated for pair in pairing.pairs if pair.clip in scored},
        dances={pair.clip: pair.dance for pair in pairing.pairs if pair.clip in scored and pair.dance},
        config=_config(seed, resamples) | {"generated": str(generated), "reference": str(reference)},
        resamples=resamples,
        seed=seed,
    )


class _Judge:
    """Hears, watches and scores; a file that cannot be used becomes one sentence in `bad_files`."""

    def __init__(self, pairing: Pairing, ear: Ear, progress: bool) -> None:
        self.pairing = pairing
        self.ear = ear
        self.progress = progress
        self.bad_files: list[str] = []
        self._watched: dict[Path, Watched] = {}
        self._heard_references: dict[str, Heard] = {}

    def _note_bad(self, error: BadInput) -> None:
        if str(error) not in self.bad_files:
            self.bad_files.append(str(error))

    def system_scores(self) -> list[ClipScore]:
        """Scores of all pairs that can be scored."""
        lengths: dict[str, float] = {}
        for pair in self.pairing.pairs:
            try:
                audio = pair.reference.audio
                judged_s = [audio_seconds(pair.generated)] + ([audio_seconds(audio)] if audio else [])
                lengths[pair.clip] = min(judged_s)
            except BadInput as error:
                self._note_bad(error)
        pairs = [pair for pair in self.pairing.pairs if pair.clip in lengths]
        self._watch_all(pairs)
        sounds = [(path, pair) for pair in pairs for path in (pair.reference.audio, pair.generated) if path]
        self.ear.hear_all([_passage(path, lengths[pair.clip]) for path, pair in sounds], "hearing")
        scores = []
        for pair in pairs:
            try:
                scores.append(self._pair_score(pair, lengths[pair.clip]))
            except BadInput as error:
                self._note_bad(error)
        if not scores:
            raise BadInput(f"none of {len(self.pairing.pairs)} pairs can be scored: {' '.join(self.bad_files[:3])}")
        return scores

    def _pair_score(self, pair: Pair, seconds: float) -> ClipScore:
        audio, beats = pair.reference.audio, pair.reference.beats
        heard = self.ear(_passage(audio, seconds)) if audio else None
        true_beats_s = load_beats_s(beats) if beats else None
        watched = self._watched.get(pair.dance) if pair.dance else None
        truth = Truth.of(pair.name, seconds, true_beats_s, heard, watched)
        self._heard_references.setdefault(pair.name, truth.heard or Heard(truth.beats_s))
        heard_generated = self.ear(_passage(pair.generated, seconds))
        return score_clip(truth, heard_generated, pair.clip, pair.seed, genre_said(pair.generated))

    def _watch_all(self, pairs: Sequence[Pair]) -> None:
        dances = list(dict.fromkeys(pair.dance for pair in pairs if pair.dance))
        for path in tqdm(dances, desc="watching", unit="dance", disable=not self.progress or not dances):
            try:
                self._watched[path] = watch(path)
            except BadInput as error:
                self._note_bad(error)

    def floor_scores(self, truths: Sequence[Truth], seed: int) -> dict[str, list[ClipScore]]:
        """All floors that can be made from these files."""
        paired = [truth.name for truth in truths]
        enough = len({truth.song for truth in truths}) > 1
        pool = paired if enough else list(self.pairing.references)
        drawn = {name: draw_other_songs(name, pool, RANDOM_SONGS, seed) for name in paired}
        sounding = [name for name, known in self.pairing.references.items() if known.audio]
        akin = {name: draw_other_songs(name, sounding, SAME_GENRE_SONGS, seed, same_genre=True) for name in paired}
        self._hear_others([other for others in [*drawn.values(), *akin.values()] for other in others])
        floors = {
            "random_song": self._other_song_scores(truths, drawn),
            "random_song_of_genre": self._other_song_scores(truths, akin),
        } | plain_floors(truths)
        return {name: scores for name, scores in floors.items() if scores}

    def _hear_others(self, names: Sequence[str]) -> None:
        new = [name for name in dict.fromkeys(names) if name not in self._heard_references]
        sounds = {name: audio for name in new if (audio := self.pairing.references[name].audio)}
        self.ear.hear_all([Passage(path) for path in sounds.values()], "hearing other songs")
        for name in new:
            try:
                self._heard_references[name] = self._hear_reference(self.pairing.references[name])
            except BadInput as error:
                self._note_bad(error)

    def _hear_reference(self, reference: Reference) -> Heard:
        if reference.audio:
            return self.ear(Passage(reference.audio))
        assert reference.beats is not None
        return Heard(load_beats_s(reference.beats))

    def _other_song_scores(self, truths: Sequence[Truth], drawn: Mapping[str, Sequence[str]]) -> list[ClipScore]:
        known = {name: [other for other in others if other in self._heard_references] for name, others in drawn.items()}
        return random_song_scores(truths, known, self._heard_references.__getitem__)

    def ceiling_scores(self, truths: Sequence[Truth], roundtrip: Path | None) -> dict[str, list[ClipScore]]:
        """`reference`, and `reference_through_dmae` where a folder of round trips is given."""
        ceilings = {"reference": reference_ceiling(truths), "reference_through_dmae": []}
        decoded = files_by_stem(roundtrip, AUDIO_SUFFIXES) if roundtrip else {}
        there = [truth for truth in truths if truth.name in decoded]
        self.ear.hear_all([Passage(decoded[truth.name], truth.seconds) for truth in there], "hearing round trips")
        for truth in there:
            try:
                heard = self.ear(Passage(decoded[truth.name], truth.seconds))
                ceilings["reference_through_dmae"].append(score_clip(truth, heard))
            except BadInput as error:
                self._note_bad(error)
        return {name: scores for name, scores in ceilings.items() if scores}


def _passage(path: Path, seconds: float) -> Passage:
    """The first `seconds` of a file, or all of it where that is the same but for a few samples."""
    return Passage(path) if audio_seconds(path) <= seconds + LENGTH_SLACK_S else Passage(path, seconds)


def _notes(
    truths: Sequence[Truth], floors: Mapping[str, Sequence[ClipScore]], system: Sequence[ClipScore]
) -> list[str]:
    notes = []
    tracked = sum(truth.beats_from == "tracked" for truth in truths)
    if tracked:
        notes.append(
            f"{tracked} of {len(truths)} references have no true beats: theirs are tracked, and the ceiling"
            " `reference` is 1 for them by construction."
        )
    if "random_song" not in floors:
        notes.append("there is only one song, so the floor random_song could not be made.")
    if len({score.truth.song for score in system}) < 2:
        notes.append("there is only one song, so no interval over songs can be given.")
    mute = sum(score.heard.beats_s.size == 0 for score in system)
    if mute:
        notes.append(f"in {mute} of {len(system)} generated clips the tracker hears no beat.")
    return notes


def _config(seed: int, resamples: int) -> dict[str, Any]:
    return {
        "beat_tolerances_s": list(TOLERANCES_S),
        "onset_tolerance_s": ONSET_TOLERANCE_S,
        "tempo_tolerance": TEMPO_TOLERANCE,
        "alignment_sigma_s": SIGMA_S,
        "d2md_tolerance_s": D2MD_TOLERANCE_S,
        "tracker": TRACKER,
        "bootstrap": {"resamples": resamples, "confidence": CONFIDENCE, "resampled_by": "song", "seed": seed},
        "random_songs_per_clip": RANDOM_SONGS,
        "versions": {name: version(name) for name in ("librosa", "mir_eval", "numpy", "scipy")},
    }
