"""The report's clips: players whose sound lies in the page, waveforms with beats, and each clip's scores."""

import base64
import html
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from d2m.errors import BadInput
from d2m.music import Music
from d2m.names import GENRE_TITLES
from d2m.render.mux import encode_m4a
from d2m.render.plots import waveform_with_beats
from evaluate.report_tables import value_at

AUDIO_BUDGET_BYTES = 10_000_000
"""All clips' sound together stays below this, by a lower bit rate where there are many."""
VIDEO_BUDGET_BYTES = 12_000_000
"""Videos beyond this, in the order given, are linked and not put into the page."""

_BIT_RATES = (96_000, 64_000, 48_000, 32_000)


def bit_rate_for(seconds: float | int) -> int:
    """The best of the usual bit rates at which that much sound fits into the page as base64, else the lowest."""
    fitting = (rate for rate in _BIT_RATES if seconds * rate / 8 * 4 / 3 <= AUDIO_BUDGET_BYTES)
    return next(fitting, _BIT_RATES[-1])


def data_uri(content: bytes, kind: str) -> str:
    """The content as an address that needs no file."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def films(videos: Mapping[str, Path], out: Path) -> str:
    """Players of the videos; those beyond the budget are linked relative to `out`."""
    figures, left = [], VIDEO_BUDGET_BYTES
    for name, path in videos.items():
        if not path.is_file():
            continue
        left -= path.stat().st_size
        inside = data_uri(path.read_bytes(), "video/mp4") if left >= 0 else Path(os.path.relpath(path, out)).as_posix()
        player = f'<video controls preload="metadata" playsinline src="{html.escape(inside)}"></video>'
        figures.append(f"<figure>{player}<figcaption>{_breakable(name)}</figcaption></figure>")
    return f'<h2>Dances with their generated music</h2><div class="films">{"".join(figures)}</div>' if figures else ""


def cards(clips: Sequence[Mapping[str, Any]], audio: Mapping[str, Path]) -> str:
    """All clips, by genre and name."""
    bit_rate = bit_rate_for(sum(clip.get("seconds") or 10.0 for clip in clips))
    ordered = sorted(clips, key=lambda clip: (clip.get("genre") or "", clip["name"]))
    return "".join(_card(clip, audio.get(clip["name"]), bit_rate) for clip in ordered)


def genre_choices(clips: Sequence[Mapping[str, Any]]) -> str:
    """Options of the filter by genre."""
    genres = sorted({clip["genre"] for clip in clips if clip.get("genre")})
    return "".join(
        f'<option value="{genre}">{html.escape(GENRE_TITLES.get(genre, genre))}</option>' for genre in genres
    )


def _card(clip: Mapping[str, Any], path: Path | None, bit_rate: int) -> str:
    name, genre = clip["name"], clip.get("genre") or ""
    f = value_at(clip, "beat_f_70").mean
    return (
        f'<article class="card" data-genre="{html.escape(genre)}" data-f="{-1 if f is None else f:.4f}">'
        f"<header><h3>{_breakable(name)}</h3><span>{html.escape(GENRE_TITLES.get(genre, ''))}</span></header>"
        f"{_sound(clip, path, bit_rate)}<dl>{_figures(clip)}</dl></article>"
    )


def _sound(clip: Mapping[str, Any], path: Path | None, bit_rate: int) -> str:
    """Waveform and player, or a sentence where there is no readable sound."""
    if path is None:
        return "<p>No sound file was given for this clip.</p>"
    try:
        music = Music.load(path)
    except BadInput as error:
        return f"<p>{html.escape(str(error))}</p>"
    kinds = {"reference": "reference_beats_s", "generated": "generated_beats_s", "kinematic": "kinematic_beats_s"}
    beats_s = {kind: clip[key] for kind, key in kinds.items() if clip.get(key)}
    source = data_uri(encode_m4a(music, bit_rate), "audio/mp4")
    plot = f'<div class="plot">{waveform_with_beats(music, beats_s)}<i class="playhead"></i></div>'
    return f'{plot}<audio controls preload="none" src="{source}"></audio>'


def _figures(clip: Mapping[str, Any]) -> str:
    """The clip's scores as a definition list."""
    said = clip.get("genre_said")
    pairs = [
        ("beat F ±70 ms", str(value_at(clip, "beat_f_70")), "lead"),
        ("tempo, BPM", _tempo(clip), ""),
        ("onset F", str(value_at(clip, "onset_f")), ""),
        ("align. motion / music", f"{value_at(clip, 'alignment_motion')} / {value_at(clip, 'alignment_music')}", ""),
        ("d2md coverage / hit", f"{value_at(clip, 'd2md_coverage')} / {value_at(clip, 'd2md_hit')}", "compat"),
    ]
    if said:
        pairs.append(("genre predicted", html.escape(GENRE_TITLES.get(said, said)), ""))
    return "".join(f'<div class="{kind}"><dt>{word}</dt><dd>{figure}</dd></div>' for word, figure, kind in pairs)


def _breakable(name: str) -> str:
    """A long file name that may be broken after its underscores."""
    return html.escape(name).replace("_", "_<wbr>")


def _tempo(clip: Mapping[str, Any]) -> str:
    """Heard and true tempo, and what is wrong where they differ."""
    heard, true = value_at(clip, "tempo_bpm").mean, value_at(clip, "reference_tempo_bpm").mean
    verdict = ""
    if value_at(clip, "tempo_within_2_percent").mean == 1:
        verdict = " ✓"
    elif value_at(clip, "tempo_octave_errors").mean == 1:
        verdict = " (octave)"
    printed = ["–" if bpm is None else f"{bpm:.1f}" for bpm in (heard, true)]
    return f"{printed[0]} of {printed[1]}{verdict}"
