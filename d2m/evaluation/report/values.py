"""Every measure that the report prints: its place in `scores.json`, its title, its digits and its meaning."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Measure:
    """One column of the report.

    Args:
        keys: where it is in a summary; joined by `_` it is the key in a clip's `metrics`.
        title: as printed over its column.
        digits: after the point.
        meaning: in plain words, shown when the title is pointed at.
        whole: title where it stands alone, without the table around it.
    """

    keys: tuple[str, ...]
    title: str
    digits: int
    meaning: str
    whole: str = ""

    @property
    def clip_key(self) -> str:
        """Key in a clip's `metrics`, also the key to sort by."""
        return "_".join(self.keys)


BEAT_F_70 = Measure(("beat_f", "70"), "±70 ms", 2, "one-to-one beat F-measure within 70 ms", "beat F ±70 ms")
_TEMPO = Measure(
    ("tempo_within_2_percent",), "±2 %", 2, "share of clips whose tempo is within 2 % of the true one", "tempo ±2 %"
)
_ONSET_F = Measure(("onset_f",), "F ±50 ms", 2, "F-measure of onsets against the reference's, within 50 ms", "onset F")
_MOTION = Measure(
    ("alignment_motion",), "motion", 2, "over motion beats (AIST++); rewards dense music", "align. motion"
)
_MUSIC = Measure(("alignment_music",), "music", 2, "over music beats (Bailando); rewards sparse music", "align. music")
_HARMONIC = Measure(
    ("alignment_harmonic",),
    "both",
    2,
    "harmonic mean of the two; neither density alone raises it",
    "alignment, both ways",
)

GROUPS: dict[str, dict[str, tuple[Measure, ...]]] = {
    "Beats and tempo": {
        "beat F within": (
            *(Measure(("beat_f", ms), f"±{ms} ms", 2, f"one-to-one beat F-measure within {ms} ms") for ms in ("50",)),
            BEAT_F_70,
            *(
                Measure(("beat_f", ms), f"±{ms} ms", 2, f"one-to-one beat F-measure within {ms} ms")
                for ms in ("100", "200")
            ),
        ),
        "at ±70 ms": (
            Measure(("beat_precision", "70"), "precision", 2, "share of generated beats that match", "beat precision"),
            Measure(("beat_recall", "70"), "recall", 2, "share of reference beats that are matched", "beat recall"),
        ),
        "tempo": (
            _TEMPO,
            Measure(
                ("tempo_octave_errors",), "octave errors", 2, "share at half or double the true tempo", "octave error"
            ),
        ),
        "onsets": (_ONSET_F,),
    },
    "Steadiness and alignment with the dance": {
        "continuity (mir_eval)": (
            Measure(
                ("continuity_cmlt",), "CMLt", 2, "share of beats in stretches that follow at the right level", "CMLt"
            ),
            Measure(("continuity_amlt",), "AMLt", 2, "the same, half, double and off-beat levels allowed", "AMLt"),
        ),
        "drift": (
            Measure(
                ("drift_ms_per_second",),
                "ms per s",
                2,
                "how fast beats slide against the reference's, absolute",
                "drift, ms/s",
            ),
        ),
        "kinematic alignment over": (
            _MOTION,
            _MUSIC,
            _HARMONIC,
            Measure(
                ("alignment_image_plane",),
                "in the picture",
                2,
                "after DabFusion: as a standing camera sees the joints",
                "alignment in the picture",
            ),
        ),
    },
    "Genre and sound": {
        "genre": (
            Measure(
                ("genre_accuracy",), "accuracy", 2, "share of clips that sound like the dance's genre", "genre right"
            ),
            Measure(
                ("genre_kl",),
                "KL",
                2,
                "divergence of the genres heard from the reference's, in nats; lower is nearer",
                "genre KL",
            ),
            Measure(
                ("motion_genre_accuracy",),
                "from motion",
                2,
                "share of dances whose genre the motion classifier sees",
                "genre from motion",
            ),
        ),
        "sound": (
            Measure(
                ("log_mel_l1",), "log-mel L1", 2, "mean distance of log-mel spectrograms; lower is nearer", "log-mel L1"
            ),
            Measure(("loudness_lufs",), "LUFS", 1, "integrated loudness, ITU-R BS.1770", "LUFS"),
            Measure(("clipped_share",), "clipped", 4, "share of samples in runs at full scale", "clipped"),
            Measure(("silent_share",), "silent", 3, "share of 50 ms frames under -60 dBFS", "silent"),
            Measure(("dc_offset",), "DC", 4, "largest mean of a channel, of full scale"),
            Measure(("stereo_correlation",), "stereo", 2, "correlation of left and right; 1 is mono"),
        ),
    },
}
"""The tables of measures: by title, by group of columns."""

CHARTED = (BEAT_F_70, _TEMPO, _ONSET_F, _HARMONIC)
TILED = (BEAT_F_70, _TEMPO, _ONSET_F)
MEASURES = {measure.clip_key: measure for groups in GROUPS.values() for group in groups.values() for measure in group}


# Figures out of `scores.json`: values with intervals, and the rows that every table has: floors, the system, ceilings.


DASH = "–"
"""Stands for everything that was not measured."""

FLOOR_WORDS = {
    "random_song": "another song",
    "random_song_of_genre": "another song of the genre",
    "shuffled_pairs": "this system's clips, shuffled",
    "metronome_120": "metronome, 120 BPM",
    "metronome_reference_tempo": "metronome, right tempo, random phase",
    "silence": "silence",
    "motion_speed": "beats tracked on joint speed",
    "motion_minima": "kinematic beats as beats",
}
CEILING_WORDS = {
    "reference": "reference music",
    "reference_through_dmae": "reference, autoencoded",
    "reference_halves": "two halves of the references",
}
BY_CONSTRUCTION = {
    "metronome_reference_tempo": ("tempo_within_2_percent", "drift_ms_per_second"),
    "motion_minima": ("alignment_motion", "alignment_music", "alignment_harmonic"),
}
"""What some floors are told, so that they set no mark there."""


@dataclass(frozen=True)
class Value:
    """A mean with its interval; None for what was not measured."""

    mean: float | None
    low: float | None = None
    high: float | None = None

    def __str__(self) -> str:
        """`0.71`, or an en dash."""
        return self.printed(2)

    def printed(self, digits: int) -> str:
        """The mean with that many digits after the point, or an en dash."""
        return DASH if self.mean is None else decimal(self.mean, digits)

    @property
    def interval(self) -> str:
        """`[0.66, 0.75]`, or nothing."""
        return self.printed_interval(2)

    def printed_interval(self, digits: int) -> str:
        """The interval with that many digits, or nothing."""
        if self.low is None or self.high is None:
            return ""
        return f"[{decimal(self.low, digits)}, {decimal(self.high, digits)}]"


def decimal(number: float, digits: int) -> str:
    """The number with a true minus sign, and never `-0.00`."""
    text = f"{number:.{digits}f}"
    return text.lstrip("-") if float(text) == 0 else text.replace("-", "−")


def value_at(summary: Mapping[str, Any] | None, *keys: str) -> Value:
    """The value under `keys`: a number, or `{mean, low, high}`; empty where there is none or where it is not finite."""
    found: Any = summary
    for key in keys:
        found = found.get(key) if isinstance(found, Mapping) else None
    figures = [found.get(end) for end in ("mean", "low", "high")] if isinstance(found, Mapping) else [found]
    return Value(*(_finite(figure) for figure in figures))


def _finite(figure: Any) -> float | None:
    if isinstance(figure, str) or figure is None or not math.isfinite(figure):
        return None
    return float(figure)


def metric(clip: Mapping[str, Any], key: str) -> float | None:
    """A clip's figure: one of its `metrics`, else a field of its row; None where it was not measured."""
    found = (clip.get("metrics") or {}).get(key, clip.get(key))
    return value_at({key: found}, key).mean


def clip_name(clip: Mapping[str, Any]) -> str:
    """The generated file's name, which is unique in a run."""
    return str(clip.get("clip") or clip["name"])


@dataclass(frozen=True)
class Row:
    """A line of the tables: the system, a floor or a ceiling.

    Args:
        kind: `floor`, `system` or `ceiling`.
        title: as printed.
        summary: laid out as `scores["summary"]`, with `protocols` inside.
        name: key among the floors or ceilings, empty for the system.
    """

    kind: str
    title: str
    summary: Mapping[str, Any]
    name: str = ""

    def trivial(self, measure: Measure) -> bool:
        """Whether the row gets full marks by construction, because it was told what the measure asks for."""
        return measure.clip_key in BY_CONSTRUCTION.get(self.name, ())


def rows_of(scores: Mapping[str, Any]) -> list[Row]:
    """Floors, the system, ceilings, in the order in which they are read."""
    floors, ceilings = scores.get("floors") or {}, scores.get("ceilings") or {}
    system = {**(scores.get("summary") or {}), "protocols": scores.get("protocols") or {}}
    return [
        *(Row("floor", FLOOR_WORDS.get(name, name.replace("_", " ")), row or {}, name) for name, row in floors.items()),
        Row("system", "this system", system),
        *(
            Row("ceiling", CEILING_WORDS.get(name, name.replace("_", " ")), row or {}, name)
            for name, row in ceilings.items()
        ),
    ]


def rows_system(rows: Sequence[Row]) -> Row:
    """The system's row."""
    return next(row for row in rows if row.kind == "system")


def measured(rows: Sequence[Row], measures: Sequence[Measure]) -> list[Measure]:
    """Those measures that at least one row has."""
    return [one for one in measures if any(value_at(row.summary, *one.keys).mean is not None for row in rows)]


def highest_floor(rows: Sequence[Row], measure: Measure) -> tuple[str, Value] | None:
    """Title and value of the floor that scores highest, those told the answer aside; None without one."""
    honest = [row for row in rows if row.kind == "floor" and not row.trivial(measure)]
    floors = [(row.title, value_at(row.summary, *measure.keys)) for row in honest]
    known = [(value.mean, title, value) for title, value in floors if value.mean is not None]
    if not known:
        return None
    _, title, value = max(known, key=lambda found: found[0])
    return title, value
