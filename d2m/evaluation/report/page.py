"""The report's clips: a table to sort, and a card for each with player, beats over the waveform, notes and scores."""

import html
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from string import Template
from typing import Any

from d2m.core.aist_names import GENRE_TITLES
from d2m.core.errors import UserError
from d2m.core.files import atomic_write
from d2m.core.music import Music
from d2m.evaluation.report.audio import Sounds, films, readable
from d2m.evaluation.report.plots import beat_legend, beat_plot, charts, genre_plot, tempo_plots, time_labels
from d2m.evaluation.report.sections import (
    breakable,
    copying,
    distribution,
    diversity,
    leftovers,
    nearest_name,
    settings,
    sound_defects,
    sound_warnings,
    trackers,
)
from d2m.evaluation.report.tables import (
    genre_table,
    headline,
    measure_tables,
    protocol_list,
    protocol_table,
    table,
    verdict,
)
from d2m.evaluation.report.values import DASH, MEASURES, Row, Value, clip_name, metric, rows_of, value_at
from d2m.evaluation.tables import markdown_table
from d2m.metrics.registry import Metric
from d2m.motion.dance import Dance
from d2m.motion.kinematic_beats import kinematic_beats_s

_COLUMNS = (
    "beat_f_70", "beat_precision_70", "beat_recall_70", "tempo_within_2_percent", "tempo_octave_errors", "onset_f",
    "drift_ms_per_second", "alignment_motion", "alignment_music", "genre_accuracy", "log_mel_l1", "loudness_lufs",
    "clipped_share", "silent_share",
)  # fmt: skip
"""Measures in the table of clips, as far as any clip has them; all others are in `clips.csv`."""

_YES_OR_NO = {"tempo_within_2_percent", "tempo_octave_errors", "genre_accuracy"}
_ROWS_AT_THE_FOOT = ("floor", "system", "ceiling")


@dataclass(frozen=True)
class Column:
    """A column of the table of clips: the key to sort by, the title, what it means, and the digits printed."""

    key: str
    title: str
    meaning: str
    digits: int


def sorted_clips(clips: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """By genre and name, which is the order in which a clip's number is counted."""
    return sorted(clips, key=lambda clip: (clip.get("genre") or "", clip_name(clip)))


def clip_table(clips: Sequence[Mapping[str, Any]], rows: Sequence[Row], copying: Mapping[str, Any] | None) -> str:
    """All clips, one line each, with means of floors, the system and ceilings at the foot."""
    shown = [MEASURES[key] for key in _COLUMNS if any(metric(clip, key) is not None for clip in clips)]
    columns = [
        Column("clip", "clip", "name of the generated file", 0),
        Column("genre", "genre", "of the dance", 0),
        Column("seconds", "seconds", "length of the generated file", 1),
        Column("tempo_bpm", "BPM", "tempo heard in the generated music", 1),
        Column("reference_tempo_bpm", "true BPM", "tempo of the reference", 1),
        *(Column(measure.key, _title(measure), measure.meaning, measure.digits) for measure in shown),
    ]
    copies = (copying or {}).get("clips") or {}
    if copies:
        columns.append(Column("similarity", "nearest training song", "similarity of the nearest training song", 3))
    head = "".join(
        f'<th data-key="{column.key}" aria-sort="none" title="{html.escape(column.meaning)}"{_word(column)}>'
        f'<button type="button">{html.escape(column.title)}</button></th>'
        for column in columns
    )
    body = [_clip_row(number, clip, columns, copies) for number, clip in enumerate(clips)]
    foot = [_foot(row, columns) for kind in _ROWS_AT_THE_FOOT for row in rows if row.kind == kind]
    return table(f"<tr>{head}</tr>", body, foot, 'id="clips"')


def _title(measure: Metric) -> str:
    short = {"beat_f_70": "beat F", "beat_precision_70": "precision", "beat_recall_70": "recall"}
    short |= {"tempo_octave_errors": "octave", "alignment_motion": "al. motion", "alignment_music": "al. music"}
    return short.get(measure.key) or measure.alone


def _word(column: Column) -> str:
    return ' class="word"' if column.key == "genre" else ""


def _clip_row(number: int, clip: Mapping[str, Any], columns: Sequence[Column], copies: Mapping[str, Any]) -> str:
    name, genre = clip_name(clip), clip.get("genre") or ""
    cells = (
        f'<th scope="row" data-value="{html.escape(name)}"><button type="button" class="play" data-clip="{number}"'
        f' aria-label="play {html.escape(name)}">▶</button> <a href="#clip-{number}">{breakable(name)}</a></th>'
        f'<td class="word" data-value="{html.escape(genre)}">{html.escape(GENRE_TITLES.get(genre, genre) or DASH)}</td>'
    )
    for column in columns[2:]:
        if column.key == "similarity":
            found = copies.get(name) or {}
            near = value_at(found, "similarity")
            words = f" <small>{html.escape(nearest_name(found))}</small>" if near.mean is not None else ""
            cells += f"<td{_sort_value(near.mean)}>{near.printed(column.digits)}{words}</td>"
        else:
            figure = metric(clip, column.key)
            cells += f"<td{_sort_value(figure)}>{_printed(column, figure)}</td>"
    return f'<tr data-genre="{html.escape(genre)}" data-clip="{number}">{cells}</tr>'


def _sort_value(figure: float | None) -> str:
    return "" if figure is None else f' data-value="{figure:.6g}"'


def _printed(column: Column, figure: float | None) -> str:
    if figure is not None and column.key in _YES_OR_NO:
        return "yes" if figure == 1 else "no"
    return Value(figure).printed(column.digits)


def _foot(row: Row, columns: Sequence[Column]) -> str:
    cells = "".join(
        f"<td>{value_at(row.summary, *MEASURES[c.key].path).printed(c.digits)}</td>"
        if c.key in MEASURES
        else "<td></td>"
        for c in columns[1:]
    )
    return f'<tr class="{row.kind}"><th scope="row">{html.escape(row.title)}, mean</th>{cells}</tr>'


def cards(clips: Sequence[Mapping[str, Any]], audio: Mapping[str, Path], sounds: Sounds) -> str:
    """A card for each clip, in the order given."""
    return "".join(_card(number, clip, audio.get(clip_name(clip)), sounds) for number, clip in enumerate(clips))


def genre_choices(clips: Sequence[Mapping[str, Any]]) -> str:
    """Options of the filter by genre."""
    genres = sorted({clip["genre"] for clip in clips if clip.get("genre")})
    return "".join(
        f'<option value="{html.escape(genre)}">{html.escape(GENRE_TITLES.get(genre, genre))}</option>'
        for genre in genres
    )


def _card(number: int, clip: Mapping[str, Any], path: Path | None, sounds: Sounds) -> str:
    name, genre = clip_name(clip), clip.get("genre") or ""
    notes = "".join(f"<li>{html.escape(note)}</li>" for note in [*(clip.get("notes") or []), *sound_defects(clip)])
    notes = f'<ul class="notes">{notes}</ul>' if notes else ""
    return (
        f'<article class="card" id="clip-{number}" data-genre="{html.escape(genre)}" data-clip="{number}">'
        f"<header><h3>{breakable(name)}</h3><span>{html.escape(GENRE_TITLES.get(genre, genre))}</span></header>"
        f"{_sound(clip, path, sounds)}{notes}<dl>{_figures(clip)}</dl></article>"
    )


def _sound(clip: Mapping[str, Any], path: Path | None, sounds: Sounds) -> str:
    """Waveform and player, or a sentence where there is no readable sound."""
    music = readable(path)
    if not isinstance(music, Music) or path is None:
        return f"<p>{html.escape(str(music))}</p>"
    plot = f'<div class="plot">{beat_plot(music, beats_of(clip))}<i class="playhead"></i></div>'
    player = f'<audio controls preload="none" src="{sounds.address(music, path)}"></audio>'
    return f'{plot}<div class="times">{time_labels(music.seconds)}</div>{player}'


def beats_of(clip: Mapping[str, Any]) -> dict[str, list[float]]:
    """A clip's beats in seconds, by kind; kinds without any are left out."""
    keys = {
        "reference": ("reference_beats_s",),
        "generated": ("beats_s", "generated_beats_s"),
        "kinematic": ("kinematic_beats_s",),
    }
    found = {kind: next((clip[key] for key in names if clip.get(key)), []) for kind, names in keys.items()}
    return {kind: [float(time_s) for time_s in times] for kind, times in found.items() if times}


def _figures(clip: Mapping[str, Any]) -> str:
    """The clip's scores as a definition list."""

    def printed(key: str, digits: int = 2) -> str:
        return Value(metric(clip, key)).printed(digits)

    pairs = [
        ("beat F ±70 ms", printed("beat_f_70"), "lead"),
        ("precision / recall", f"{printed('beat_precision_70')} / {printed('beat_recall_70')}", ""),
        ("tempo, BPM", _tempo(clip), ""),
        ("onset F", printed("onset_f"), ""),
        ("align. motion / music", f"{printed('alignment_motion')} / {printed('alignment_music')}", ""),
        ("length / reference", f"{printed('seconds', 1)} / {printed('reference_seconds', 1)} s", ""),
    ]
    return "".join(f'<div class="{kind}"><dt>{word}</dt><dd>{figure}</dd></div>' for word, figure, kind in pairs)


def _tempo(clip: Mapping[str, Any]) -> str:
    """AudioAnalysis and true tempo, and what is wrong where they differ."""
    heard, true = (Value(metric(clip, key)).printed(1) for key in ("tempo_bpm", "reference_tempo_bpm"))
    verdict = ""
    if metric(clip, "tempo_within_2_percent") == 1:
        verdict = " ✓"
    elif metric(clip, "tempo_octave_errors") == 1:
        verdict = " (octave)"
    return f"{heard} of {true}{verdict}"


# The report: one HTML file with players, beats, tables, floors and ceilings, that opens from disk with no network.


PAGE = Path(__file__).parent / "page.html"


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
            compressed into the page up to `report_audio.AUDIO_BUDGET_BYTES`, the rest is linked.
        out: folder.
        dances: motion files by clip; kinematic beats come from them where a clip's row has none.
        videos: mp4 files by clip, put into the page as far as they are small, linked beyond that.

    Returns:
        Path of the page.
    """
    path = out / "report.html"
    page = Template(PAGE.read_text(encoding="utf-8"))
    parts = _overview(scores) | _clip_parts(scores, audio, out, dances or {}) | {"films": films(videos or {}, out)}
    with atomic_write(path) as temporary:
        temporary.write_text(page.substitute(parts), encoding="utf-8")
    return path


def _overview(scores: Mapping[str, Any]) -> dict[str, str]:
    """Everything that is not about single clips."""
    rows = rows_of(scores)
    about = scores.get("about") or {}
    return {
        "lead": html.escape(_lead(scores)),
        "verdict": verdict(scores),
        "headline": headline(scores),
        "charts": charts(rows),
        "measures": measure_tables(rows),
        "tracker": html.escape(_tracker(scores)),
        "protocols": protocol_table(rows),
        "protocol_list": protocol_list(about.get("protocols")),
        "genres": genre_table(scores),
        "distribution": distribution(scores),
        "diversity": diversity(scores),
        "copying": copying(scores),
        "trackers": trackers(scores),
        "markdown": html.escape(markdown_table(scores)),
        "leftovers": leftovers(scores),
        "settings": settings(scores),
    }


def _clip_parts(
    scores: Mapping[str, Any], audio: Mapping[str, Path], out: Path, dances: Mapping[str, Path]
) -> dict[str, str]:
    """Plots, table and cards of the clips."""
    clips = [
        _with_kinematic_beats(clip, dances.get(clip_name(clip))) for clip in sorted_clips(scores.get("clips") or [])
    ]
    sounds = Sounds.of(clips, out)
    shown = cards(clips, audio, sounds)
    linked = f"{sounds.linked} clips are linked, not inside this page: keep it where it is." if sounds.linked else ""
    return {
        "genre_plot": genre_plot(scores, clips),
        "tempo_plots": tempo_plots(scores, clips),
        "clip_table": clip_table(clips, rows_of(scores), scores.get("copying")),
        "sound_warnings": sound_warnings(clips),
        "legend": beat_legend(),
        "choices": genre_choices(clips),
        "cards": shown,
        "linked": linked,
    }


def _lead(scores: Mapping[str, Any]) -> str:
    clips = scores.get("clips") or []
    songs = {clip.get("song") for clip in clips if clip.get("song")}
    failed = len(scores.get("failed") or [])
    true = sum(clip.get("reference_beats_from") == "true" for clip in clips)
    said = sum("reference_beats_from" in clip for clip in clips)
    told = "judged against beats tracked in the reference"
    if true:
        others = "" if true == len(clips) else f" in {true} of them, against tracked ones in the others"
        told = f"judged against true beats{others}"
    beats = f", {told}" if said else ""
    of_songs = f" of {len(songs)} songs" if songs else ""
    failures = f"; {failed} failed (listed at the end)" if failed else ""
    return f"{len(clips)} clips{of_songs}{beats}{failures}. {date.today().isoformat()}."


def _tracker(scores: Mapping[str, Any]) -> str:
    """The headline's beat tracker in words."""
    told = ((scores.get("about") or {}).get("settings") or {}).get("trackers") or []
    first = next(iter(told), None) or next(iter(scores.get("trackers") or {}), "unknown")
    return f"{first.get('name')}, version {first.get('version')}" if isinstance(first, Mapping) else str(first)


def _with_kinematic_beats(clip: Mapping[str, Any], dance: Path | None) -> dict[str, Any]:
    """The clip's row, its kinematic beats taken from the dance where it has none."""
    row = dict(clip)
    if dance is not None and row.get("kinematic_beats_s") is None:
        with suppress(UserError):  # the plot goes without; evaluation itself lists files that cannot be used
            row["kinematic_beats_s"] = kinematic_beats_s(Dance.load(dance).features).tolist()
    return row
