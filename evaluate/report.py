"""The report: one HTML file with players, beats, tables, floors and ceilings, that opens from disk with no network."""

import html
import json
from collections.abc import Mapping
from contextlib import suppress
from datetime import date
from pathlib import Path
from string import Template
from typing import Any

from d2m.dance import Dance
from d2m.errors import UserError
from d2m.files import written_whole
from d2m.motion.beats import kinematic_beats_s
from d2m.render.plots import beat_legend
from evaluate.report_cards import cards, films, genre_choices
from evaluate.report_tables import charts, full_table, genre_table, headline, rows_of

_UNPAIRED_WORDS = {
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
        scores: what `Scores.to_json` gives, or `scores.json` read back.
        audio: wav of each clip, by the clip's name; a clip without one is listed with its scores alone.
        out: folder.
        dances: motion files by clip; kinematic beats come from them where a clip's row has none.
        videos: mp4 files by clip, put into the page as far as they are small, linked beyond that.

    Returns:
        Path of the page.
    """
    rows = rows_of(scores)
    clips = [_with_kinematic_beats(clip, (dances or {}).get(clip["name"])) for clip in scores.get("clips") or []]
    page = Template((Path(__file__).parent / "report_page.html").read_text(encoding="utf-8"))
    text = page.substitute(
        lead=_lead(scores, clips),
        headline=headline(scores),
        charts=charts(rows),
        tracker=html.escape(str((scores.get("config") or {}).get("tracker", "librosa"))),
        rows=full_table(rows),
        genres=genre_table(scores.get("genres") or {}),
        films=films(videos or {}, out),
        legend=beat_legend(),
        choices=genre_choices(clips),
        cards=cards(clips, audio),
        leftovers=_leftovers(scores),
        config=html.escape(json.dumps(scores.get("config") or {}, indent=1, default=str, ensure_ascii=False)),
    )
    path = out / "report.html"
    with written_whole(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return path


def _lead(scores: Mapping[str, Any], clips: list[dict[str, Any]]) -> str:
    songs = {clip.get("song") for clip in clips if clip.get("song")}
    true = sum(clip.get("reference_beats_from") == "true" for clip in clips)
    beats = (
        f"judged against the true beats in {true} of them" if true else "judged against beats tracked in the reference"
    )
    of_songs = f" of {len(songs)} songs" if songs else ""
    return f"{len(clips)} clips{of_songs}, {beats}. {date.today().isoformat()}."


def _with_kinematic_beats(clip: Mapping[str, Any], dance: Path | None) -> dict[str, Any]:
    """The clip's row, its kinematic beats taken from the dance where it has none."""
    row = dict(clip)
    if dance is not None and row.get("kinematic_beats_s") is None:
        with suppress(UserError):  # the plot goes without; evaluation itself lists files that cannot be used
            row["kinematic_beats_s"] = kinematic_beats_s(Dance.load(dance).features).tolist()
    return row


def _leftovers(scores: Mapping[str, Any]) -> str:
    """Notes, names without a partner and files that could not be used; nothing is left out in silence."""
    parts = [_list("Notes", scores.get("notes") or [])]
    unpaired = scores.get("unpaired") or {}
    kinds = unpaired if isinstance(unpaired, Mapping) else {"without a partner": unpaired}
    for kind, names in kinds.items():
        words = _UNPAIRED_WORDS.get(kind, kind.replace("_", " "))
        parts.append(_list(f"Not scored: {words} ({len(names)})", names))
    parts.append(_list("Files that could not be used", scores.get("bad_files") or []))
    return "".join(parts)


def _list(title: str, items: list[str]) -> str:
    if not items:
        return ""
    lines = "".join(f"<li>{html.escape(str(item))}</li>" for item in items)
    return f"<h2>{html.escape(title)}</h2><ul>{lines}</ul>"
