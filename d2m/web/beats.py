"""The beats of a take on the page: what the browser draws, and the check of what it sends back.

The browser's part is `beats.html` and `beats.js` beside this file; it corrects the beats by itself and sends a list of
times with "again".
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from d2m.core.errors import BadConfig
from d2m.core.music import Music
from d2m.rhythm.grid import HIGHEST_BPM, BeatGrid

HTML, JS = ((Path(__file__).with_name(f"beats.{kind}")).read_text(encoding="utf-8") for kind in ("html", "js"))

CLEAR, READABLE = 0.5, 0.25
"""Confidences from which on a dance's beat is called clear, and from which on it is called readable."""

_COLUMNS = 500

MusicTimes = Sequence[float | int] | Float[np.ndarray, " music_beat"]
DanceTimes = Sequence[float | int] | Float[np.ndarray, " dance_beat"]


def envelope(music: Music, columns: int) -> Float[np.ndarray, "2 column"]:
    """Lowest and highest sample of the mono mix in each of `columns` equal parts, over the peak; zeros for silence."""
    samples = music.mono().waveform[0]
    edges = np.linspace(0, len(samples), columns + 1).astype(int)
    low = np.array([samples[a:b].min(initial=0) for a, b in pairwise(edges)])
    high = np.array([samples[a:b].max(initial=0) for a, b in pairwise(edges)])
    return np.stack([low, high]) / max(float(np.abs(samples).max(initial=0)), 1e-6)


def sentence_about(beats: Mapping[str, Any] | None) -> str:
    """Tempo and confidence in plain words; `beats` is the record's (`GenerationRecord.as_json`)."""
    if beats is None:
        return "These weights read no beats from a dance, so there are none to correct."
    tempo, confidence = f"{beats['bpm']:.1f} BPM", f"(confidence {beats['confidence']:.2f} of 1)"
    if beats["source"] == "file":
        return f"{tempo}, on the beats that you gave."
    if beats["confidence"] < READABLE:
        return f"{tempo}, but the beat of this dance could not be read well {confidence}; correct it below."
    origin = (
        "read from the dance" if beats["source"] == "read" else "as you chose, with its beats where the dance has them"
    )
    if beats["confidence"] < CLEAR:
        return f"{tempo}, {origin}; its beat is not very clear {confidence}, so listen to it with the clicks."
    return f"{tempo}, {origin}; its beat is clear {confidence}."


def shown_beats(
    job: str, music: Music, beats: Mapping[str, Any] | None, heard_s: MusicTimes, danced_s: DanceTimes
) -> dict[str, Any]:
    """What the browser draws.

    Args:
        job: the same for all takes of a job.
        music: whose wave is drawn; `low` and `high` come as whole per cent of its peak.
        beats: that it was made to, as recorded.
        heard_s: beats heard in it.
        danced_s: times at which the dancer comes to rest.
    """
    low, high = (np.round(100 * part).astype(int).tolist() for part in envelope(music, _COLUMNS))
    return {
        "job": job, "seconds": music.seconds, "low": low, "high": high, "beats_s": beats and beats["beats_s"],
        "heard_s": np.round(heard_s, 3).tolist(), "danced_s": np.round(danced_s, 3).tolist(), "sentence": sentence_about(beats),
    }  # fmt: skip


def checked_beats(sent: Any, seconds: float | int) -> BeatGrid:
    """The beats that a browser sent for a dance of `seconds`.

    Raises:
        BadConfig: one sentence, for what is no list of rising times over the dance at a tempo of music.
    """
    most = int(2 * (seconds + 10) * HIGHEST_BPM / 60)
    if not isinstance(sent, list) or len(sent) > most or not all(type(time) in (int, float) for time in sent):
        raise BadConfig(f"beats: expected a list of at most {most} times in seconds; correct the list.")
    try:
        return BeatGrid(np.array(sent, dtype=np.float64)).over(seconds)
    except OverflowError as error:
        raise BadConfig("beats: expected times in seconds; correct the list.") from error
