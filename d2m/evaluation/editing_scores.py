"""Scores of songs moved onto dances: are the new dance's beats found, and is the old song's harmony still there?

Every edited wav is held against the true beats of its dance (by name) and against the song that its record
(`NAME.json` beside `NAME.wav`, key `edit`) says it came from. The same is measured of floors and ceilings: the song itself
(all of its harmony, beats of another dance), the song through the autoencoder (the harmony that is left before anything is
edited), music generated for the dance without a song, and another song.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from tqdm import tqdm

from d2m.audio.pretrained import load_dmae
from d2m.core.errors import BadInput, UserError
from d2m.core.files import writable_folder, write_json, write_text
from d2m.core.music import Music
from d2m.evaluation.references import (
    AUDIO_SUFFIXES,
    RULED_S,
    Pair,
    files_by_stem,
    find_pairs,
    find_references,
    song_of,
)
from d2m.evaluation.runs import round_trip
from d2m.evaluation.tables import markdown, with_interval
from d2m.metrics.audio_quality import chroma, chroma_similarity
from d2m.metrics.beat_tracker import track_beats_s
from d2m.metrics.beats import beat_f
from d2m.metrics.intervals import bootstrap_mean

VERSION = 1
MEASURES = {
    "beat_f": "beat F to the new dance",
    "chroma_profile": "chroma profile, to the song",
    "chroma_over_time": "chroma over time, to the song",
}
TITLES = {
    "edited": "edited",
    "song": "the song itself",
    "song_through_autoencoder": "the song through the autoencoder",
    "generated": "generated without the song",
    "other_song": "another song",
}
NOTE = (
    "Beat F: one-to-one, ±70 ms, against the true beats of the new dance. Chroma: correlation over the 12 pitch classes of "
    "CENS chroma, of the averages over time, and frame by frame averaged; the same key and the same moments are asked for. "
    "95 % intervals by bootstrap over the dances' songs (beat F) and over the old songs (chroma)."
)


@dataclass(frozen=True)
class EditEvaluation:
    """What to score.

    Args:
        edited: folder of NAME.wav or NAME_seedK.wav, with the records of scripts/sample.py beside them.
        reference: true beats of the new dances (NAME.txt), or a data set's root.
        out: gets `editing.json` and `editing.md`.
        songs: one song, or a folder of them, in place of where the records say that they are.
        generated: folder of music generated for the same dances without a song.
        autoencoder: name or path of one that the songs are sent through.
        resamples, seed: of the bootstrap.
    """

    edited: Path
    reference: Path
    out: Path
    songs: Path | None = None
    generated: Path | None = None
    autoencoder: str | None = None
    resamples: int = 2000
    seed: int = 0


@dataclass(frozen=True)
class EditedClip:
    """One edited file with what it is held against."""

    pair: Pair
    song: Path
    beats_s: Float[np.ndarray, " beat"]


@dataclass
class Outcome:
    """Measurements by row and clip, and a sentence for each file that could not be scored."""

    rows: dict[str, dict[str, dict[str, float]]] = field(default_factory=dict)
    songs: dict[str, str] = field(default_factory=dict)
    dances: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)


def evaluate_editing(evaluation: EditEvaluation) -> dict[str, Any]:
    """Score all, write `editing.json` and `editing.md`, return the former's content.

    Raises:
        BadInput: when a folder is missing, or no clip can be judged.
    """
    out = writable_folder(evaluation.out)
    pairing = find_pairs(evaluation.edited, find_references(evaluation.reference))
    outcome = Outcome(rows={name: {} for name in TITLES})
    generated = _by_name(evaluation.generated)
    clips: list[EditedClip] = []
    for pair in pairing.pairs:
        try:
            clips.append(_clip(pair, evaluation.songs))
        except UserError as error:
            outcome.failed[pair.clip] = str(error)
    analyze = _analyzer(evaluation.autoencoder)
    songs = sorted({clip.song for clip in clips})
    for clip in tqdm(clips, desc="analyzing", unit="clip"):
        try:
            _score(clip, songs, generated, analyze, evaluation.autoencoder is not None, outcome)
        except UserError as error:
            outcome.failed[clip.pair.clip] = str(error)
    if not outcome.rows["edited"]:
        reasons = " ".join(dict.fromkeys(outcome.failed.values()))
        raise BadInput(f"{evaluation.edited}: no edited clip could be judged; {reasons}")
    content = _content(evaluation, outcome, pairing.unpaired)
    write_json(out / "editing.json", content)
    write_text(out / "editing.md", editing_table(content))
    return content


def editing_table(content: Mapping[str, Any]) -> str:
    """The rows as a Markdown table with what the columns mean."""
    rows = [["", *MEASURES.values(), "clips"]]
    for name, measures in content["rows"].items():
        cells = [with_interval(measures[key]) for key in MEASURES]
        rows.append([TITLES[name], *cells, str(measures["beat_f"]["clips"])])
    if content["edited_minus_generated"]:
        paired = content["edited_minus_generated"]
        cells = [with_interval(paired[key]) for key in MEASURES]
        rows.append(["edited less generated, clip by clip", *cells, str(paired["beat_f"]["clips"])])
    return f"{markdown(rows)}\n{NOTE}\n"


def song_of_record(wav: Path) -> Path:
    """The song that an edited wav says it came from.

    Raises:
        BadInput: when its record is missing, unreadable, or tells of no song.
    """
    path = wav.with_suffix(".json")
    try:
        found = json.loads(path.read_text())["edit"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadInput(
            f"{path}: does not say which song was edited ({type(error).__name__}), expected a record with the key 'edit'; "
            "make the music with scripts/sample.py edit=SONG, or name one song with songs=."
        ) from error
    return Path(str(found))


def _clip(pair: Pair, songs: Path | None) -> EditedClip:
    if songs is not None and songs.is_file():
        song = songs
    else:
        song = song_of_record(pair.generated)
        if songs is not None:
            found = files_by_stem(songs, AUDIO_SUFFIXES)
            if song.stem not in found:
                raise BadInput(f"{songs}: found no song '{song.stem}' that {pair.generated.name} came from; add it.")
            song = found[song.stem]
    beats_s = pair.reference.beats_s(pair.name, RULED_S)
    if beats_s is None:
        raise BadInput(f"{pair.name}: found no true beats of this dance, expected {pair.name}.txt; name their folder.")
    return EditedClip(pair, song, beats_s)


def _by_name(folder: Path | None) -> dict[str, Path]:
    """Generated music by the name of its dance, one seed of each."""
    if folder is None:
        return {}
    found = files_by_stem(folder, AUDIO_SUFFIXES)
    return {stem.rpartition("_seed")[0] or stem: path for stem, path in reversed(found.items())}


def _analyzer(autoencoder: str | None) -> Any:
    dmae = load_dmae(autoencoder) if autoencoder else None

    @cache
    def analyze(path: Path, samples: int, sample_rate: int, through: bool = False) -> tuple[Any, Any]:
        """Beats and chroma of a file at a length; a shorter one begins again, as songs do that are edited."""
        music = Music.load(path).mono().resampled(sample_rate)
        music = Music(np.resize(music.waveform, (1, samples)), sample_rate)
        if through and dmae is not None:
            music = round_trip(music, dmae)
        return track_beats_s(music), chroma(music)

    return analyze


def _score(
    clip: EditedClip,
    songs: Sequence[Path],
    generated: Mapping[str, Path],
    analyze: Any,
    through: bool,
    outcome: Outcome,
) -> None:
    music = Music.load(clip.pair.generated)
    length = (music.waveform.shape[1], music.sample_rate)
    beats_s = clip.beats_s[clip.beats_s < music.seconds]
    _, old = analyze(clip.song, *length)
    others = [song for song in songs if song_of(song.stem) != song_of(clip.song.stem)]
    sources = {"edited": (clip.pair.generated, False), "song": (clip.song, False)}
    if through:
        sources["song_through_autoencoder"] = (clip.song, True)
    if clip.pair.name in generated:
        sources["generated"] = (generated[clip.pair.name], False)
    if others:
        sources["other_song"] = (others[sum(clip.pair.clip.encode()) % len(others)], False)
    measured = {}
    for row, (path, sent) in sources.items():
        tracked_s, new = analyze(path, *length, sent)
        similarity = chroma_similarity(new, old)
        measured[row] = {
            "beat_f": beat_f(beats_s, tracked_s),
            "chroma_profile": similarity.profile,
            "chroma_over_time": similarity.over_time,
        }
    outcome.songs[clip.pair.clip], outcome.dances[clip.pair.clip] = str(clip.song), clip.pair.name
    for row, values in measured.items():
        outcome.rows[row][clip.pair.clip] = values


def _content(evaluation: EditEvaluation, outcome: Outcome, unpaired: Mapping[str, list[str]]) -> dict[str, Any]:
    dance_songs = {clip: song_of(name) for clip, name in outcome.dances.items()}
    old_songs = {clip: song_of(Path(path).stem) for clip, path in outcome.songs.items()}

    def averaged(values: Mapping[str, Mapping[str, float]]) -> dict[str, Any]:
        by_song = {key: dance_songs if key == "beat_f" else old_songs for key in MEASURES}
        return {
            key: bootstrap_mean(
                np.array([scores[key] for scores in values.values()]),
                [by_song[key][clip] for clip in values],
                evaluation.resamples,
                seed=evaluation.seed,
            ).to_json()
            for key in MEASURES
        }

    rows = {name: averaged(values) for name, values in outcome.rows.items() if values}
    edited, without = outcome.rows["edited"], outcome.rows["generated"]
    paired = {clip: {key: edited[clip][key] - without[clip][key] for key in MEASURES} for clip in without}
    differences = averaged(paired) if paired else None
    clips = [
        {
            "clip": clip,
            "song": outcome.songs[clip],
            **{row: _plain(values[clip]) for row, values in outcome.rows.items() if clip in values},
        }
        for clip in outcome.songs
    ]
    asked = {key: None if value is None else str(value) for key, value in asdict(evaluation).items()}
    return {
        "version": VERSION,
        "rows": rows,
        "edited_minus_generated": differences,
        "clips": clips,
        "failed": dict(outcome.failed),
        "unpaired": dict(unpaired),
        "about": {**asked, "measures": MEASURES, "note": NOTE},
    }


def _plain(values: Mapping[str, float]) -> dict[str, float | None]:
    return {key: None if np.isnan(value) else value for key, value in values.items()}
