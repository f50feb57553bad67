"""The report: one HTML file with players, beats, tables, floors and ceilings, that opens from disk with no network.

What is printed is gathered here, plots come from `plots`, and `page.html.j2` lays them out.
"""

import base64
import io
import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import quote

import av
import numpy as np

from d2m.core.aist_names import GENRE_TITLES
from d2m.core.errors import BadInput, UserError
from d2m.core.files import write_text
from d2m.core.music import Music
from d2m.evaluation.report.plots import BEAT_LEGEND, beat_plot, beats_of, genre_lines, tempo_plots
from d2m.evaluation.report.values import (
    GROUPS,
    Row,
    Value,
    clip_name,
    highest_baseline,
    measured,
    metric,
    render,
    rows_of,
    system_row,
    value_at,
)
from d2m.evaluation.tables import markdown_table
from d2m.metrics.protocols import PROTOCOLS, Protocol
from d2m.metrics.registry import HEADLINE, HEADLINES, KAD, METRICS, Metric
from d2m.motion.dance import Dance
from d2m.motion.kinematic_beats import kinematic_beats_s

AUDIO_BUDGET_BYTES = 8_000_000
"""All clips' sound together stays about below this in the page, by a lower bit rate where there are many."""
VIDEO_BUDGET_BYTES = 6_000_000
"""Videos beyond this, in the order given, are linked and not put into the page."""

_CLIP_COLUMNS = (
    "beat_f_70", "beat_precision_70", "beat_recall_70", "tempo_within_2_percent", "tempo_octave_errors", "onset_f",
    "drift_ms_per_second", "alignment_motion", "alignment_music", "genre_accuracy", "log_mel_l1", "loudness_lufs",
    "clipped_share", "silent_share",
)  # fmt: skip
"""Metrics in the table of clips, as far as any clip has them; all others are in `clips.csv`."""

_GENRE_COLUMNS = ("tempo_within_2_percent", "onset_f", "genre_accuracy")
_UNPAIRED_TITLES = {
    "generated": "generated without a reference",
    "reference": "references without generated music",
    "without_dance": "clips without a dance",
    "without_roundtrip": "references without a round trip",
}


def write_report(
    scores: Mapping[str, Any],
    audio: Mapping[str, Path],
    out: Path,
    dances: Mapping[str, Path] | None = None,
    videos: Mapping[str, Path] | None = None,
) -> Path:
    """Write `out/report.html`.

    Args:
        scores: what `Scores.to_json` gives, or `scores.json` read back (version 2); what it lacks is printed as a dash
            or said to be unmeasured.
        audio: sound of each clip, by the clip's name; a clip without one is listed with its scores alone. All sound is
            compressed into the page up to `AUDIO_BUDGET_BYTES`, the rest is linked.
        out: folder.
        dances: motion files by clip; kinematic beats come from them where a clip's row has none.
        videos: mp4 files by clip, put into the page as far as they are small, linked beyond that.

    Returns:
        Path of the page.
    """
    rows = rows_of(scores)
    parts = _overview(scores, rows) | _sets(scores) | _clip_parts(scores, audio, out, dances or {})
    path = out / "report.html"
    write_text(path, render("page.html.j2", rows=rows, films=films(videos or {}, out), **parts))
    return path


def _overview(scores: Mapping[str, Any], rows: Sequence[Row]) -> dict[str, Any]:
    """Everything that is neither about single clips nor about sets of them."""
    about = scores.get("about") or {}
    groups = {title: {name: measured(rows, one) for name, one in columns.items()} for title, columns in GROUPS.items()}
    shown = {title: {name: found for name, found in columns.items() if found} for title, columns in groups.items()}
    named = {name: (about.get("protocols") or {}).get(name) or {} for name in PROTOCOLS}
    by_tracker = {name: row for name, row in (scores.get("trackers") or {}).items() if name != "spread"}
    more = {key: value for key, value in about.items() if key not in _ABOUT_ELSEWHERE}
    return {
        "lead": _lead(scores),
        "tracker": _tracker(scores),
        "headline": METRICS[HEADLINE],
        "kad": KAD,
        "tiles": [_tile(scores, rows, one) for one in HEADLINES[:3]],
        "charted": measured([system_row(rows)], HEADLINES[:4]),
        "measures": {title: columns for title, columns in shown.items() if columns},
        "absent": [
            one
            for columns in GROUPS.values()
            for every in columns.values()
            for one in every
            if not measured(rows, [one])
        ],
        "protocols": [protocol for protocol in PROTOCOLS.values() if _protocol_measured(rows, protocol)],
        "protocol_list": {name: {**vars(PROTOCOLS[name]), **known} for name, known in named.items()},
        "column_title": _column_title,
        "genres": _genres(scores),
        "genre_columns": [METRICS[key] for key in _GENRE_COLUMNS],
        "trackers": by_tracker,
        "spread": (scores.get("trackers") or {}).get("spread"),
        "markdown": markdown_table(scores),
        "leftovers": _leftovers(scores),
        "versions": about.get("versions") or {},
        "settings": "\n".join(
            f"{key}: {json.dumps(value, default=str, ensure_ascii=False)}"
            for key, value in {**(about.get("settings") or {}), **more}.items()
        ),
    }


_ABOUT_ELSEWHERE = {"versions", "settings", "protocols", "notes", "unpaired", "bad_files"}
"""Keys of `about` that have a place of their own in the page."""


def _tile(scores: Mapping[str, Any], rows: Sequence[Row], measure: Metric) -> dict[str, Any]:
    """A headline figure with the baseline and the topline that give it a meaning."""
    return {
        "title": measure.alone,
        "value": value_at(scores.get("summary"), *measure.path),
        "floor": highest_baseline(rows, measure),
        "topline": value_at((scores.get("ceilings") or {}).get("reference"), *measure.path),
    }


def _protocol_measured(rows: Sequence[Row], protocol: Protocol) -> bool:
    found = (value_at(row.summary, "protocols", protocol.name, c) for row in rows for c in protocol.columns)
    return any(value.mean is not None for value in found)


def _column_title(column: str) -> str:
    capitals = {"bcs", "bhs", "csd", "hsd", "f1"}
    return {"tempo_difference_bpm": "|Δ tempo|, BPM"}.get(column, column.upper() if column in capitals else column)


@dataclass(frozen=True)
class GenreRow:
    """A genre's figures beside the headline of its baseline and its topline."""

    title: str
    code: str
    clips: int
    figures: Mapping[str, Any]
    floor: Value
    ceiling: Value

    def value(self, measure: Metric) -> Value:
        """A figure, laid out flat or like a summary."""
        flat = value_at(self.figures, measure.key)
        return flat if flat.mean is not None else value_at(self.figures, *measure.path)


def _genres(scores: Mapping[str, Any]) -> list[GenreRow]:
    """A row for each genre and one for all clips; empty without genres."""
    genres, path = scores.get("genres") or {}, METRICS[HEADLINE].path
    ends = [
        value_at((scores.get(kind) or {}).get(name), *path)
        for kind, name in (("floors", "random_song"), ("ceilings", "reference"))
    ]
    rows = [
        GenreRow(
            str(row.get("title") or GENRE_TITLES.get(code, code)), code, row["clips"], row,
            value_at(row, f"random_song_{HEADLINE}"), value_at(row, f"reference_{HEADLINE}"),
        )
        for code, row in genres.items()
    ]  # fmt: skip
    whole = GenreRow("all clips", "", len(scores.get("clips") or []), scores.get("summary") or {}, *ends)
    return [*rows, whole] if rows else []


def _sets(scores: Mapping[str, Any]) -> dict[str, Any]:
    """What is measured over all clips at once."""
    distances, memorization = scores.get("distribution") or {}, scores.get("copying") or {}
    return {
        "distribution": distances,
        "distribution_rows": rows_of(distances, distances),
        "diversity": scores.get("diversity") or {},
        "copying": memorization,
        "copied": sorted(
            (memorization.get("clips") or {}).items(), key=lambda item: -(value_at(item[1], "similarity").mean or 0)
        ),
    }


def _lead(scores: Mapping[str, Any]) -> str:
    clips = scores.get("clips") or []
    songs = {clip.get("song") for clip in clips if clip.get("song")}
    failed = len(scores.get("failed") or [])
    true = sum(clip.get("reference_beats_from") in ("true", "rule") for clip in clips)
    judged = "judged against beats tracked in the reference"
    if true:
        others = "" if true == len(clips) else f" in {true} of them, against tracked ones in the others"
        judged = f"judged against true beats{others}"
    beats = f", {judged}" if any("reference_beats_from" in clip for clip in clips) else ""
    of_songs = f" of {len(songs)} songs" if songs else ""
    failures = f"; {failed} failed (listed at the end)" if failed else ""
    return f"{len(clips)} clips{of_songs}{beats}{failures}. {date.today().isoformat()}."


def _tracker(scores: Mapping[str, Any]) -> str:
    """The headline's beat tracker in words."""
    trackers = ((scores.get("about") or {}).get("settings") or {}).get("trackers") or []
    first = next(iter(trackers), None) or next(iter(scores.get("trackers") or {}), "unknown")
    return f"{first.get('name')}, version {first.get('version')}" if isinstance(first, Mapping) else str(first)


def _leftovers(scores: Mapping[str, Any]) -> list[tuple[str, list[str]]]:
    """Notes, failed clips and names without a partner, under titles; nothing is left out in silence."""
    about, failures = scores.get("about") or {}, scores.get("failed") or []
    reasons = {one.get("reason") for one in failures}
    bad = [sentence for sentence in about.get("bad_files") or [] if sentence not in reasons]
    found = [
        ("Notes", list(about.get("notes") or [])),
        (f"Failed clips ({len(failures)})", [f"{one.get('clip')}: {one.get('reason')}" for one in failures]),
        (f"Other files that could not be used ({len(bad)})", bad),
        *(
            (f"Not scored: {len(names)} {_UNPAIRED_TITLES.get(kind, kind.replace('_', ' '))}", list(names))
            for kind, names in (about.get("unpaired") or {}).items()
        ),
    ]
    return [(title, items) for title, items in found if items]


# Single clips: a table to sort, and a card for each.


@dataclass(frozen=True)
class Column:
    """A column of the table of clips: the key to sort by, the title, what it means, digits, and the metric if it is one."""

    key: str
    title: str
    meaning: str
    digits: int
    measure: Metric | None = None


@dataclass(frozen=True)
class Card:
    """A clip with its number, its plot and sound (or what is the matter with them), and notes."""

    number: int
    name: str
    clip: Mapping[str, Any]
    notes: Sequence[str]
    plot: Mapping[str, Any] | None = None
    source: str = ""
    problem: str = ""

    @property
    def genre(self) -> str:
        """Genre code, empty where there is none."""
        return self.clip.get("genre") or ""

    @property
    def genre_title(self) -> str:
        """The genre in words."""
        return GENRE_TITLES.get(self.genre, self.genre)


def _clip_parts(
    scores: Mapping[str, Any], audio: Mapping[str, Path], out: Path, dances: Mapping[str, Path]
) -> dict[str, Any]:
    """Plots, table and cards of the clips, by genre and name."""
    found = sorted(scores.get("clips") or [], key=lambda clip: (clip.get("genre") or "", clip_name(clip)))
    clips = [_with_kinematic_beats(clip, dances.get(clip_name(clip))) for clip in found]
    sounds = Sounds.of(clips, out)
    cards = [_card(number, clip, audio.get(clip_name(clip)), sounds) for number, clip in enumerate(clips)]
    defects = {card.name: audio_defects(card.clip) for card in cards}
    return {
        "genre_lines": genre_lines(scores, clips),
        "tempo_plots": tempo_plots(scores, clips),
        "choices": {card.genre: card.genre_title for card in cards if card.genre},
        "columns": _columns(clips, bool((scores.get("copying") or {}).get("clips"))),
        "cards": cards,
        "checked": any(metric(clip, key) is not None for clip in clips for key in _QUALITY),
        "defects": [f"{name}: {'; '.join(words)}" for name, words in defects.items() if words],
        "legend": BEAT_LEGEND,
        "linked": sounds.linked,
    }


def _columns(clips: Sequence[Mapping[str, Any]], copied: bool) -> list[Column]:
    shown = [METRICS[key] for key in _CLIP_COLUMNS if any(metric(clip, key) is not None for clip in clips)]
    columns = [
        Column("clip", "clip", "name of the generated file", 0),
        Column("genre", "genre", "of the dance", 0),
        Column("seconds", "seconds", "length of the generated file", 1),
        Column("tempo_bpm", "BPM", "tempo heard in the generated music", 1),
        Column("reference_tempo_bpm", "true BPM", "tempo of the reference", 1),
        *(Column(one.key, one.narrow or one.alone, one.meaning, one.digits, one) for one in shown),
    ]
    nearest = Column("similarity", "nearest training song", "similarity of the nearest training song", 3)
    return [*columns, nearest] if copied else columns


def _card(number: int, clip: Mapping[str, Any], path: Path | None, sounds: "Sounds") -> Card:
    name, notes = clip_name(clip), [*(clip.get("notes") or []), *audio_defects(clip)]
    if path is None:
        return Card(number, name, clip, notes, problem="No sound file was given for this clip.")
    try:
        music = Music.load(path)
    except BadInput as error:
        return Card(number, name, clip, notes, problem=str(error))
    return Card(number, name, clip, notes, beat_plot(music, beats_of(clip)), sounds.address(music, path))


def _with_kinematic_beats(clip: Mapping[str, Any], dance: Path | None) -> dict[str, Any]:
    """The clip's row, its kinematic beats taken from the dance where it has none."""
    row = dict(clip)
    if dance is not None and row.get("kinematic_beats_s") is None:
        with suppress(UserError):  # the plot goes without; evaluation itself lists files that cannot be used
            row["kinematic_beats_s"] = kinematic_beats_s(Dance.load(dance).features).tolist()
    return row


_QUALITY = ("clipped_share", "silent_share", "dc_offset", "loudness_lufs")


def audio_defects(clip: Mapping[str, Any]) -> list[str]:
    """What is technically wrong with a clip's sound, in words."""
    clipped, silent, dc, loudness = (metric(clip, key) or 0.0 for key in _QUALITY)
    found = {
        f"{100 * clipped:.1f} % of samples clipped": clipped > 0.001,
        f"{100 * silent:.0f} % silent": silent > 0.5,
        f"DC offset {dc:.3f}": abs(dc) > 0.01,
        f"very quiet, {loudness:.1f} LUFS": loudness < -40,
    }
    return [words.replace("-", "−") for words, wrong in found.items() if wrong]


# Sound and films inside the page: compressed as far as they fit, linked beyond that.


_BIT_RATES = (96_000, 64_000, 48_000, 32_000)
_OPUS_RATE = 48_000
_BASE64 = 4 / 3


def bit_rate_for(seconds: float | int) -> int:
    """The best of the usual bit rates at which that much sound fits into the page as base64, else the lowest."""
    fitting = (rate for rate in _BIT_RATES if seconds * rate / 8 * _BASE64 <= AUDIO_BUDGET_BYTES)
    return next(fitting, _BIT_RATES[-1])


def encode_opus(music: Music, bit_rate: int) -> bytes:
    """The content of an Ogg Opus file, which plays in time: its header says how many samples to skip.

    Args:
        music: one or two channels are kept.
        bit_rate: bits per second, on average.
    """
    wave = np.clip(music.resampled(_OPUS_RATE).waveform[:2], -1, 1).astype(np.float32)
    layout = "mono" if len(wave) == 1 else "stereo"
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="ogg") as container:
        stream = container.add_stream("libopus", rate=_OPUS_RATE, layout=layout)
        stream.bit_rate = bit_rate
        interleaved = np.ascontiguousarray(wave.T.reshape(1, -1))
        frame = av.AudioFrame.from_ndarray(interleaved, format="flt", layout=layout)
        frame.sample_rate, frame.pts = _OPUS_RATE, 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return buffer.getvalue()


def data_uri(content: bytes, kind: str) -> str:
    """The content as an address that needs no file."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def relative_link(path: Path, out: Path) -> str:
    """Address of a file relative to the folder of the page."""
    return quote(Path(os.path.relpath(path, out)).as_posix())


@dataclass
class Sounds:
    """Gives each clip's sound an address, inside the page until the budget is used up.

    Args:
        out: folder of the page.
        bit_rate: of the sound inside the page.
        left_bytes: what may still be put into the page.
    """

    out: Path
    bit_rate: int
    left_bytes: int = AUDIO_BUDGET_BYTES
    linked: int = 0

    @staticmethod
    def of(clips: Sequence[Mapping[str, object]], out: Path) -> "Sounds":
        """With the bit rate at which all clips fit, as far as one of the usual ones does."""
        lengths = [clip.get("seconds") for clip in clips]
        seconds = sum(float(length) if isinstance(length, int | float) else 10.0 for length in lengths)
        return Sounds(out, bit_rate_for(seconds))

    def address(self, music: Music, path: Path) -> str:
        """Data address of the compressed sound, or a relative link to the file."""
        expected = music.seconds * self.bit_rate / 8 * _BASE64
        if expected <= self.left_bytes:
            address = data_uri(encode_opus(music, self.bit_rate), "audio/ogg")
            self.left_bytes -= len(address)
            return address
        self.linked += 1
        return relative_link(path, self.out)


def films(videos: Mapping[str, Path], out: Path) -> list[tuple[str, str]]:
    """Name and address of the videos; those beyond the budget are linked relative to `out`, unreadable ones left out."""
    found, left = [], VIDEO_BUDGET_BYTES
    for name, path in videos.items():
        with suppress(OSError):
            size = path.stat().st_size
            inside = size <= left
            found.append((name, data_uri(path.read_bytes(), "video/mp4") if inside else relative_link(path, out)))
            left -= size if inside else 0
    return found
