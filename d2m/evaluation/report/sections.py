"""The report's smaller sections: distribution, diversity, copying, trackers, what was left out, and the settings."""

import html
import json
from collections.abc import Mapping, Sequence
from typing import Any

from d2m.evaluation.report.tables import table
from d2m.evaluation.report.values import CEILING_WORDS, DASH, FLOOR_WORDS, Value, clip_name, metric, value_at

UNPAIRED_WORDS = {
    "generated": "generated without a reference",
    "reference": "references without generated music",
    "without_dance": "clips without a dance",
    "without_roundtrip": "references without a round trip",
}
_NEAREST_SHOWN = 8
_NO_DEFECTS = "<p>Sound: no clip is clipped, mostly silent, very quiet or off zero.</p>"
_NAMES_OPEN = 8
"""Lists longer than this are folded."""


def distribution(scores: Mapping[str, Any]) -> str:
    """Fréchet and kernel distance of the system, and of floors and ceilings that have them, embedding named."""
    own = scores.get("distribution")
    if not own:
        return "<p>Not measured in this run.</p>"
    rows = [
        *(("floor", _words(FLOOR_WORDS, name), row) for name, row in (own.get("floors") or {}).items()),
        ("system", "this system", own),
        *(("ceiling", _words(CEILING_WORDS, name), row) for name, row in (own.get("ceilings") or {}).items()),
    ]
    embedding = html.escape(str(own.get("embedding") or DASH))
    warning = (own.get("frechet") or {}).get("warning")
    head = (
        "<tr><td></td><th>kernel distance × 100 (KAD)</th><th>p</th><th>Fréchet distance</th>"
        "<th>clips generated / reference</th><th>dimensions</th></tr>"
    )
    body = [_distribution_row(*row) for row in rows]
    told = f'<p class="warning"><b>Fréchet distance:</b> {html.escape(str(warning))}.</p>' if warning else ""
    return (
        f"<p>Embedding: <b>{embedding}</b>; a value means nothing without it and cannot be compared across embeddings."
        f" Lower is nearer to the reference music; the kernel distance is unbiased and may be negative.</p>"
        f"{told}{table(head, body)}"
    )


def _words(known: Mapping[str, str], name: str) -> str:
    return known.get(name, name.replace("_", " "))


def _distribution_row(kind: str, title: str, one: Mapping[str, Any]) -> str:
    kernel, frechet = one.get("kernel") or {}, one.get("frechet") or {}
    ends = [value_at(kernel, end).mean for end in ("low", "high")]
    hundredfold = [None if end is None else 100 * end for end in ends]
    interval = "" if None in hundredfold else f"<small>{Value(None, *hundredfold).interval}</small>"
    warning = html.escape(str(frechet.get("warning") or ""))
    mark = f' <abbr title="{warning}">⚠</abbr>' if warning else ""
    counts = f"{kernel.get('generated', DASH)} / {kernel.get('reference', DASH)}"
    return (
        f'<tr class="{kind}"><th scope="row">{html.escape(title)}</th><td>{value_at(kernel, "kad").printed(2)}{interval}</td>'
        f"<td>{value_at(kernel, 'p_value').printed(3)}</td><td>{value_at(frechet, 'value').printed(2)}{mark}</td>"
        f"<td>{counts}</td><td>{frechet.get('dimensions', DASH)}</td></tr>"
    )


def diversity(scores: Mapping[str, Any]) -> str:
    """Between-seed diversity between its floor (the same music) and its yardstick (other songs)."""
    told = scores.get("diversity")
    if not told or value_at(told, "between_seeds").mean is None:
        return "<p>Not measured: no dance has two seeds.</p>"
    rows = (
        ("floor", "the same music twice", "0.00", "0.00"),
        ("system", "this system, seed against seed", value_at(told, "between_seeds"), value_at(told, "relative")),
        ("ceiling", "reference songs against each other", value_at(told, "between_references"), "1.00"),
    )
    body = [
        f'<tr class="{kind}"><th scope="row">{title}</th><td>{distance}</td><td>{relative}</td></tr>'
        for kind, title, distance, relative in rows
    ]
    head = "<tr><td></td><th>mean distance</th><th>relative to other songs</th></tr>"
    note = (
        f"{told.get('clips', DASH)} clips of {told.get('dances', DASH)} dances; "
        f"{value_at(told, 'same_share')} of the pairs of seeds are the same music. Noise is diverse too: read this"
        " beside beat F and genre."
    )
    return f"{table(head, body)}<p>{note}</p>"


def copying(scores: Mapping[str, Any]) -> str:
    """Nearest training songs, the most similar first, against how near held-out references come."""
    told = scores.get("copying")
    if not told:
        return "<p>Not measured: no training music was given.</p>"
    by_clip = told.get("clips") or {}
    nearest = sorted(by_clip.items(), key=lambda item: -(value_at(item[1], "similarity").mean or 0))
    body = [
        f'<tr{_flag(name in (told.get("flagged") or []))}><th scope="row">{breakable(name)}</th>'
        f'<td class="word">{breakable(nearest_name(row))}</td><td>{value_at(row, "similarity").printed(3)}</td>'
        f"<td>{value_at(row, 'p_value').printed(3)}</td></tr>"
        for name, row in nearest[:_NEAREST_SHOWN]
    ]
    ends = [
        f'<tr class="{kind}"><th scope="row">{title}</th><td></td><td>{value_at(told, key).printed(3)}</td><td></td></tr>'
        for kind, title, key in (
            ("system", "this system, mean", "mean_similarity"),
            ("floor", "held-out references, mean", "null_mean"),
            ("ceiling", "held-out references, 95 % lie below", "null_95"),
        )
    ]
    flagged = told.get("flagged") or []
    words = (
        f"{len(flagged)} of {len(by_clip)} clips are nearer to a training song than 95 % of held-out references are"
        " (marked; one in twenty honest clips is among them by chance). Listen to these."
        if flagged
        else "No clip is nearer to a training song than 95 % of held-out references are."
    )
    head = '<tr><td></td><th class="word">nearest training song</th><th>similarity</th><th>p</th></tr>'
    warning = f'<p class="warning">{html.escape(str(told["warning"]))}</p>' if told.get("warning") else ""
    return f"{warning}<p>{words} The {min(len(nearest), _NEAREST_SHOWN)} nearest of {len(nearest)}:</p>{table(head, body, ends)}"


def nearest_name(row: Mapping[str, Any]) -> str:
    """Name of the nearest training clip in a row of `copying.clips`."""
    return next((str(row[key]) for key in ("song", "name", "clip") if row.get(key)), DASH)


def _flag(on: bool) -> str:
    return ' class="flagged"' if on else ""


def trackers(scores: Mapping[str, Any]) -> str:
    """Beat F by tracker with floors and ceilings, and the spread in words; a sentence where there is only one."""
    told = scores.get("trackers") or {}
    names = [name for name in told if name != "spread"]
    if len(names) < 2:
        return "<p>One tracker only, so its own errors cannot be told from the music's.</p>"
    floors = (scores.get("floors") or {}).items()
    first = [("floor", _words(FLOOR_WORDS, name), [value_at(row, "beat_f", "70")]) for name, row in floors]
    rows = [
        *((kind, title, values + [Value(None)] * (len(names) - 1)) for kind, title, values in first),
        ("system", "this system", [value_at(told[name], "beat_f_70") for name in names]),
        ("ceiling", "reference music", [value_at(told[name], "reference_beat_f_70") for name in names]),
    ]
    body = [
        f'<tr class="{kind}"><th scope="row">{html.escape(title)}</th>{"".join(f"<td>{v}</td>" for v in values)}</tr>'
        for kind, title, values in rows
    ]
    head = "<tr><td></td>" + "".join(f"<th>{html.escape(name)}</th>" for name in names) + "</tr>"
    spread = told.get("spread") or {}
    words = (
        f"Beat F ±70 ms is between {value_at(spread, 'low')} and {value_at(spread, 'high')} depending on the tracker:"
        f" a spread of {value_at(spread, 'width')}. Differences smaller than this say nothing."
        " Floors are heard by the first tracker alone."
    )
    return f"<p>{words}</p>{table(head, body)}"


def sound_warnings(clips: Sequence[Mapping[str, Any]]) -> str:
    """Clips whose sound has a technical defect; a sentence when there are none or nothing was checked."""
    keys = ("clipped_share", "silent_share", "dc_offset", "loudness_lufs")
    if all(metric(clip, key) is None for clip in clips for key in keys):
        return ""
    found = [f"{clip_name(clip)}: {'; '.join(defects)}" for clip in clips if (defects := sound_defects(clip))]
    return item_list(f"Technical defects of the sound, in {len(found)} of {len(clips)} clips", found) or _NO_DEFECTS


def sound_defects(clip: Mapping[str, Any]) -> list[str]:
    """What is technically wrong with a clip's sound, in words."""
    clipped, silent, dc = (metric(clip, key) or 0.0 for key in ("clipped_share", "silent_share", "dc_offset"))
    loudness = metric(clip, "loudness_lufs")
    defects = []
    if clipped > 0.001:
        defects.append(f"{100 * clipped:.1f} % of samples clipped")
    if silent > 0.5:
        defects.append(f"{100 * silent:.0f} % silent")
    if abs(dc) > 0.01:
        defects.append(f"DC offset {dc:.3f}")
    if loudness is not None and loudness < -40:
        defects.append(f"very quiet, {loudness:.1f} LUFS")
    return [text.replace("-", "−") for text in defects]


def leftovers(scores: Mapping[str, Any]) -> str:
    """Notes, failed clips and names without a partner; nothing is left out in silence."""
    about = scores.get("about") or {}
    parts = [item_list("Notes", about.get("notes") or [])]
    failed = [f"{one.get('clip')}: {one.get('reason')}" for one in scores.get("failed") or []]
    parts.append(item_list(f"Failed clips ({len(failed)})", failed))
    reasons = {one.get("reason") for one in scores.get("failed") or []}
    bad = [sentence for sentence in about.get("bad_files") or [] if sentence not in reasons]
    parts.append(item_list(f"Other files that could not be used ({len(bad)})", bad))
    for kind, names in (about.get("unpaired") or {}).items():
        parts.append(item_list(f"Not scored: {len(names)} {UNPAIRED_WORDS.get(kind, kind.replace('_', ' '))}", names))
    return "".join(parts) or "<p>Everything that was given was scored, and there is nothing to note.</p>"


def item_list(title: str, items: Sequence[Any]) -> str:
    """A titled list, folded where it is long; nothing for no items."""
    if not items:
        return ""
    lines = "".join(f"<li>{html.escape(str(item))}</li>" for item in items)
    opened = " open" if len(items) <= _NAMES_OPEN else ""
    return f"<details{opened}><summary><b>{html.escape(title)}</b></summary><ul>{lines}</ul></details>"


def settings(scores: Mapping[str, Any]) -> str:
    """Versions and everything else that fixes the numbers."""
    about = scores.get("about") or {}
    known = {"versions", "settings", "protocols", "notes", "unpaired", "bad_files"}
    more = {key: value for key, value in about.items() if key not in known}
    told = "".join(
        f"<div><dt>{html.escape(str(k))}</dt><dd>{html.escape(str(v))}</dd></div>"
        for k, v in (about.get("versions") or {}).items()
    )
    shown = {**(about.get("settings") or {}), **more}
    lines = "\n".join(f"{key}: {json.dumps(value, default=str, ensure_ascii=False)}" for key, value in shown.items())
    return f'<dl class="versions">{told}</dl><pre>{html.escape(lines)}</pre>'


def breakable(name: str) -> str:
    """A long file name that may be broken after its underscores."""
    return html.escape(name).replace("_", "_<wbr>")
