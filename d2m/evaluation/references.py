"""References: what is true of a clip, which files belong together, and how much of a clip is scored."""

import re
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float

from d2m.core.aist_names import grid_beats_s, parse_sequence_name, song_tempo_bpm
from d2m.core.errors import BadInput
from d2m.evaluation.analysis import AudioAnalysis, audio_info
from d2m.metrics.alignment import MotionBeats
from d2m.metrics.beats import fit_tempo_bpm, load_beats_s
from d2m.metrics.protocols import ProtocolEvents


@dataclass(frozen=True)
class Reference:
    """What is true of one clip.

    Args:
        name: the reference's name.
        song: what intervals are resampled by: the song code of an AIST++ name, else the name itself.
        genre: genre code of an AIST++ name, else None.
        seconds: length judged.
        beats_s: reference beats, in seconds.
        beats_from: `"true"` for given beats, `"rule"` for those that AIST++'s rule says, `"tracked"` for beats that the
            tracker found in the reference.
        tempo_bpm: the tempo that the song code says, else fitted from `beats_s`; None when it cannot be told.
        analysis: of the reference's sound, None where there is only a beat list.
        motion_beats: what the dance shows, None where there is no dance.
    """

    name: str
    song: str
    genre: str | None
    seconds: float | int
    beats_s: Float[np.ndarray, " beat"]
    beats_from: str
    tempo_bpm: float | int | None
    analysis: AudioAnalysis | None = None
    motion_beats: MotionBeats | None = None

    @staticmethod
    def of(
        name: str,
        seconds: float | int,
        true_beats_s: Float[np.ndarray, " beat"] | None,
        analysis: AudioAnalysis | None,
        motion_beats: MotionBeats | None = None,
        beats_from: str = "true",
    ) -> "Reference":
        """Cut to `seconds` and fill in what the name says; `beats_from` says where true beats are from.

        Raises:
            ValueError: when there are neither true beats nor a sound to track them in.
        """
        if true_beats_s is None and analysis is None:
            raise ValueError(f"{name}: a reference needs beats or a sound.")
        parsed = parse_sequence_name(name)
        beats_s = true_beats_s if true_beats_s is not None else analysis.beats_s if analysis else np.zeros(0)
        beats_s = beats_s[beats_s < seconds]
        return Reference(
            name=name,
            song=song_of(name),
            genre=parsed.genre if parsed else None,
            seconds=seconds,
            beats_s=beats_s,
            beats_from=beats_from if true_beats_s is not None else "tracked",
            tempo_bpm=song_tempo_bpm(parsed.song) if parsed else fit_tempo_bpm(beats_s),
            analysis=analysis.until(seconds) if analysis else None,
            motion_beats=motion_beats,
        )

    def until(self, seconds: float | int) -> "Reference":
        """The same, judged over no more than `seconds`."""
        if seconds >= self.seconds:
            return self
        analysis = self.analysis.until(seconds) if self.analysis else None
        return replace(self, seconds=seconds, beats_s=self.beats_s[self.beats_s < seconds], analysis=analysis)

    def by(self, tracker: str) -> "Reference":
        """The same, with another tracker's beats where they are tracked; true beats stay."""
        analysis = self.analysis.by(tracker) if self.analysis else None
        if self.beats_from != "tracked" or analysis is None:
            return replace(self, analysis=analysis)
        parsed = parse_sequence_name(self.name)
        tempo_bpm = self.tempo_bpm if parsed else fit_tempo_bpm(analysis.beats_s)
        return replace(self, analysis=analysis, beats_s=analysis.beats_s, tempo_bpm=tempo_bpm)

    def protocol_events(self) -> ProtocolEvents:
        """Events that the published protocols detect in the reference; beats stand in where it has no sound."""
        return self.analysis.protocol_events(self.seconds) if self.analysis else ProtocolEvents.of_times(
            self.beats_s, self.seconds
        )  # fmt: skip


def song_of(name: str) -> str:
    """The song code of an AIST++ name, else the name itself."""
    parsed = parse_sequence_name(name)
    return parsed.song if parsed else name


# Which generated file belongs to which reference, beat list and dance: by name, and nothing is dropped in silence.


AUDIO_SUFFIXES = (".wav", ".flac", ".ogg", ".mp3")
_OTHER_SOUNDS = (".m4a", ".aac", ".m4b", ".wma", ".opus", ".mka", ".aif", ".aiff", ".caf")
"""Sounds that are not read here."""
DANCE_SUFFIXES = (".pkl", ".npz", ".npy")
_SEED = re.compile(r"_seed(\d+)$")


@dataclass(frozen=True)
class ReferenceFiles:
    """What is known of one true piece of music: its sound, its true beats, or both; of an AIST++ sequence its name is enough.

    Args:
        audio: its sound.
        beats: list of its true beats.
        by_rule: whether its name says its beats, where there is no list.
        motion: the dance, where it lies among the references in place of a sound.
    """

    audio: Path | None
    beats: Path | None
    by_rule: bool = False
    motion: Path | None = None

    def beats_s(self, name: str, seconds: float | int) -> Float[np.ndarray, " beat"] | None:
        """True beats in seconds: its list's, else by the rule those before `seconds`; None where neither is known.

        Raises:
            BadInput: when the list is none.
        """
        if self.beats:
            return load_beats_s(self.beats)
        return grid_beats_s(name, seconds) if self.by_rule else None


@dataclass(frozen=True)
class Pair:
    """One generated file and what it is judged against.

    Args:
        clip: the generated file's name without suffix, unique in a run.
        name: the name shared with the reference (a `_seedK` ending taken off).
        seed: K, or None.
    """

    clip: str
    name: str
    seed: int | None
    generated: Path
    reference: ReferenceFiles
    dance: Path | None = None


@dataclass(frozen=True)
class Pairing:
    """All pairs, all references (paired or not), and the names that found no partner, by kind."""

    pairs: list[Pair]
    references: dict[str, ReferenceFiles]
    unpaired: dict[str, list[str]] = field(default_factory=dict)


def files_by_stem(folder: Path, suffixes: tuple[str, ...]) -> dict[str, Path]:
    """Files directly in `folder` by stem, sorted; where two suffixes share a stem, the one listed first wins.

    Raises:
        BadInput: when there is no such folder.
    """
    if not folder.is_dir():
        raise BadInput(f"{folder}: no such folder; give one that exists.")
    found: dict[str, Path] = {}
    for suffix in reversed(suffixes):
        found |= {path.stem: path for path in folder.iterdir() if path.suffix.lower() == suffix and path.is_file()}
    return {stem: found[stem] for stem in sorted(found) if not stem.startswith(".")}


def _refuse_other_sounds(folder: Path, known: Collection[str]) -> None:
    """Nothing is passed over in silence.

    Raises:
        BadInput: when there is a sound in another format, whose name is not `known` by a file that is read.
    """
    others = [path for stem, path in files_by_stem(folder, _OTHER_SOUNDS).items() if stem not in known]
    if others:
        raise BadInput(
            f"{others[0]}: found a {others[0].suffix.lower()} file, expected {', '.join(AUDIO_SUFFIXES)}; convert it (ffmpeg -i "
            f"{others[0].name} {others[0].stem}.wav)" + (f", and {len(others) - 1} more." if len(others) > 1 else ".")
        )


def find_references(folder: Path, beats: Path | None = None, true_beats: bool = True) -> dict[str, ReferenceFiles]:
    """References in `folder`, which holds sounds, beat lists or both, or is the root of a data set with `wavs/`.

    Names of AIST++ that have no list have their beats by its rule, and then motions of these names are references too, in
    `folder` or in a data set's `motions/` where it has no sound.

    Args:
        beats: folder of true beat lists; by default `folder` itself and a folder `beats` beside it.
        true_beats: False ignores what is known of names that have a sound.

    Raises:
        BadInput: when a folder is missing or there is nothing to compare with.
    """
    if not folder.is_dir():
        raise BadInput(f"{folder}: no such folder; give one of reference wavs or beat lists.")
    parts = [part for part in ("wavs", "motions") if (folder / part).is_dir() and any((folder / part).iterdir())]
    if parts and not files_by_stem(folder, (*AUDIO_SUFFIXES, ".txt")):
        folder = folder / parts[0]
    audio, motions = files_by_stem(folder, AUDIO_SUFFIXES), files_by_stem(folder, DANCE_SUFFIXES)
    _refuse_other_sounds(folder, {*audio, *files_by_stem(folder, (".txt",))})
    lists: dict[str, Path] = {}
    if beats is None and (folder.parent / "beats").is_dir() and folder.name != "beats":
        beats_beside = files_by_stem(folder.parent / "beats", (".txt",))
        lists |= {name: path for name, path in beats_beside.items() if name in audio | motions}
    lists |= files_by_stem(folder, (".txt",))
    if beats is not None:
        lists |= files_by_stem(beats, (".txt",))
    ruled = {name for name in audio | motions if grid_beats_s(name, 1) is not None}
    if not audio and not lists and not ruled:
        raise BadInput(
            f"{folder}: found neither wavs nor beat lists (NAME.txt), expected references; name another folder."
        )
    found = {}
    for name in sorted({*audio, *lists, *ruled}):
        known = true_beats or name not in audio
        motion = None if name in audio else motions.get(name)
        found[name] = ReferenceFiles(
            audio.get(name), lists.get(name) if known else None, known and name in ruled, motion
        )
    return found


def find_pairs(
    generated: Path, references: dict[str, ReferenceFiles], dances: Path | None = None, roundtrip: Path | None = None
) -> Pairing:
    """Pair generated sounds with references and dances by name, a `_seedK` ending aside.

    Raises:
        BadInput: when a folder is missing, holds nothing usable, or nothing has a partner.
    """
    sounds = files_by_stem(generated, AUDIO_SUFFIXES)
    _refuse_other_sounds(generated, sounds)
    if not sounds:
        raise BadInput(f"{generated}: found no audio files, expected generated wavs; name another folder.")
    dance_files = files_by_stem(dances, DANCE_SUFFIXES) if dances is not None else {}
    pairs, alone = [], []
    for clip, path in sounds.items():
        seed = _SEED.search(clip)
        name = clip if clip in references or seed is None else clip[: seed.start()]
        if name in references:
            seed_number = int(seed[1]) if seed and name != clip else None
            dance = dance_files.get(name, references[name].motion)
            pairs.append(Pair(clip, name, seed_number, path, references[name], dance))
        else:
            alone.append(clip)
    if not pairs:
        example, other = next(iter(sounds)), next(iter(references))
        raise BadInput(
            f"{generated}: none of {len(sounds)} generated files has a reference of the same name"
            f" (found {example}, references are like {other}); rename the files or name another folder."
        )
    paired = {pair.name for pair in pairs}
    unpaired = {"generated": alone, "reference": [name for name in references if name not in paired]}
    if dances is not None:
        unpaired["without_dance"] = sorted(paired - set(dance_files))
    if roundtrip is not None:
        unpaired["without_roundtrip"] = sorted(paired - set(files_by_stem(roundtrip, AUDIO_SUFFIXES)))
    return Pairing(pairs, references, unpaired)


# How long a clip is judged: over its reference, so that beats after the end of shorter music count as missed. Music is asked
# for as long as its dance, so where a dance is given and ends before the reference, its end counts.


RULED_S = 3600
"""How far beats by rule go where nothing says how long the music is; they are cut to what is judged."""

LENGTH_SLACK_S = 0.05
"""Lengths this near count as equal, and a file that is longer by no more is analyzed whole."""


@dataclass(frozen=True)
class ScoredLength:
    """What is judged of one clip.

    Args:
        seconds: length judged.
        generated_seconds: of the generated file.
        reference_seconds: of the reference; for a bare beat list, until one beat after its last.
        notes: one sentence for each thing that does not fit together.
        other_format: whether sample rates or numbers of channels differ.
    """

    seconds: float
    generated_seconds: float
    reference_seconds: float
    notes: list[str] = field(default_factory=list)
    other_format: bool = False

    @property
    def short(self) -> bool:
        """Whether generated music is missing at the end."""
        return self.generated_seconds < self.seconds - LENGTH_SLACK_S

    @property
    def long(self) -> bool:
        """Whether generated music goes on after what is judged."""
        return self.generated_seconds > self.seconds + LENGTH_SLACK_S

    @property
    def ends_with_dance(self) -> bool:
        """Whether the dance ends before the reference."""
        return self.seconds < self.reference_seconds


def _list_seconds(beats_s: Float[np.ndarray, " beat"], generated_seconds: float) -> float:
    """Where music with these beats may be said to end: where the generated one does, if within two beats of the last."""
    interval_s = float(np.median(np.diff(beats_s))) if beats_s.size > 1 else 0.5
    last_s = float(beats_s[-1]) if beats_s.size else 0.0
    return generated_seconds if last_s < generated_seconds <= last_s + 2 * interval_s else last_s + interval_s


def scored_length(
    generated: Path,
    reference: Path | None,
    beats_s: Float[np.ndarray, " beat"] | None,
    dance_seconds: float | int | None = None,
) -> ScoredLength:
    """Length judged of a generated file.

    Args:
        reference: sound of the reference, None where there are only `beats_s`.
        dance_seconds: length of the dance, None where there is none.

    Raises:
        BadInput: when a file is not readable or empty.
    """
    made = audio_info(generated)
    known = audio_info(reference) if reference else None
    generated_s = made.duration
    reference_s = known.duration if known else _list_seconds(np.asarray(beats_s, dtype=np.float64), generated_s)
    seconds, notes = reference_s, []
    if dance_seconds is not None and dance_seconds < reference_s - LENGTH_SLACK_S:
        seconds = float(dance_seconds)
        notes.append(f"the dance lasts {seconds:.2f} s, the reference {reference_s:.2f} s: judged over the dance.")
    if generated_s < seconds - LENGTH_SLACK_S:
        notes.append(
            f"generated music lasts {generated_s:.2f} s, judged are {seconds:.2f} s: what is missing counts as missed."
        )
    elif generated_s > seconds + LENGTH_SLACK_S:
        notes.append(f"generated music lasts {generated_s:.2f} s, only the first {seconds:.2f} s are judged.")
    other = known is not None and (made.samplerate, made.channels) != (known.samplerate, known.channels)
    if known and other:
        notes.append(
            f"generated at {made.samplerate} Hz in {_channels(made.channels)}, reference at {known.samplerate} Hz in"
            f" {_channels(known.channels)}: beats and spectra of both are heard at 22050 Hz in mono."
        )
    return ScoredLength(seconds, generated_s, reference_s, notes, other)


def _channels(count: int) -> str:
    return {1: "mono", 2: "stereo"}.get(count, f"{count} channels")
