"""Floors and ceilings, judged by the same `score_clip` as the system.

Floors need no ear for the dance: another song, a metronome, silence, or a tracker that sees only how fast the body
moves. Ceilings cannot be beaten by a generator: the reference through the same tracker, and through the autoencoder.
A score between the floors says that nothing was learned.
"""

import zlib
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from d2m.names import parse_sequence_name
from evaluate.clips import ClipScore, Truth, score_clip
from evaluate.trackers import Heard

RANDOM_SONGS = 5
"""Other songs drawn per clip: one draw would make the floor itself a matter of luck."""

METRONOME_BPM = 120


def metronome(bpm: float | int, seconds: float | int) -> Heard:
    """Clicks at `bpm` from 0 s on; each is a beat and an onset."""
    clicks_s = np.arange(0, seconds, 60 / bpm)
    return Heard(clicks_s, clicks_s)


def _song_of(name: str) -> str:
    parsed = parse_sequence_name(name)
    return parsed.song if parsed else name


def draw_other_songs(name: str, pool: Sequence[str], count: int, seed: int = 0, same_genre: bool = False) -> list[str]:
    """Up to `count` names from `pool` whose song differs from that of `name`, at most one per song.

    The draw depends on `seed` and `name` only, not on the order of work. With `same_genre` only songs of its genre.
    """
    parsed = parse_sequence_name(name)
    rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
    drawn: dict[str, str] = {}
    for other in rng.permutation(sorted(pool)):
        other_parsed = parse_sequence_name(str(other))
        if same_genre and not (parsed and other_parsed and parsed.genre == other_parsed.genre):
            continue
        if _song_of(str(other)) != _song_of(name):
            drawn.setdefault(_song_of(str(other)), str(other))
    return list(drawn.values())[:count]


def random_song_scores(
    truths: Sequence[Truth], drawn: Mapping[str, Sequence[str]], hear_other: Callable[[str], Heard]
) -> list[ClipScore]:
    """Each truth judged on the music of other clips, cut to its length.

    Args:
        drawn: for each truth's name, the names of other clips.
        hear_other: what is heard in a clip of that name.
    """
    return [score_clip(truth, hear_other(other), clip=other) for truth in truths for other in drawn[truth.name]]


def plain_floors(truths: Sequence[Truth]) -> dict[str, list[ClipScore]]:
    """`metronome_120`, `silence`, and where there are dances `motion_speed` and `motion_minima`."""
    nothing = np.zeros(0)
    floors = {
        "metronome_120": [score_clip(truth, metronome(METRONOME_BPM, truth.seconds)) for truth in truths],
        "silence": [score_clip(truth, Heard(nothing, nothing)) for truth in truths],
    }
    watched = [(truth, truth.watched) for truth in truths if truth.watched is not None]
    if watched:
        floors["motion_speed"] = [
            score_clip(truth, Heard(seen.speed_beats_s, seen.speed_beats_s)) for truth, seen in watched
        ]
        floors["motion_minima"] = [score_clip(truth, Heard(seen.minima_s, seen.minima_s)) for truth, seen in watched]
    return floors


def reference_ceiling(truths: Sequence[Truth]) -> list[ClipScore]:
    """The reference's own sound through the same tracker, judged against its beats."""
    return [score_clip(truth, truth.heard) for truth in truths if truth.heard is not None]
