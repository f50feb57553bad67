"""What an AIST++ name says: genre, situation, dancer, song, choreography, and the song's true tempo.

`gBR_sBM_cAll_d04_mBR0_ch01` is genre gBR (break), basic situation, all cameras, dancer 4, song mBR0,
choreography 1. The song's digit k encodes the tempo: 80 + 10 k BPM, for house (mHO) 110 + 5 k BPM
(Li et al., ICCV 2021, and the AIST Dance DB's own naming rule). The embedded procedural data set adds songs
with a three-digit tempo written out, `mBRT087` being 87 BPM, because AIST's digit can only say multiples of ten.
"""

import re
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

GENRES = ("gLH", "gKR", "gPO", "gBR", "gWA", "gJS", "gMH", "gHO", "gJB", "gLO")
"""Published class order: a genre's index is its class number and its genre token."""

GENRE_TITLES = {
    "gBR": "break", "gPO": "pop", "gLO": "lock", "gMH": "middle hip-hop", "gLH": "LA hip-hop",
    "gHO": "house", "gWA": "waack", "gKR": "krump", "gJS": "street jazz", "gJB": "ballet jazz",
}  # fmt: skip

FIRST_BEAT_S = 0.047
"""First beat of every AIST++ sequence: the median of the phases fitted on published features of all 60 songs (10th to 90th
percentile 0.037 to 0.055 s)."""

_SEQUENCE = re.compile(
    r"(?P<genre>g[A-Z]{2})_(?P<situation>s[A-Z]{2})_(?P<camera>c(?:All|\d{2}))_(?P<dancer>d\d{2})"
    r"_(?P<song>m[A-Z]{2}(?:\d|T\d{3}))_(?P<choreography>ch\d+)"
)
_SONG = re.compile(r"m(?P<genre>[A-Z]{2})(?:(?P<digit>\d)|T(?P<bpm>\d{3}))")


@dataclass(frozen=True)
class SequenceName:
    """The parts of an AIST++ sequence name."""

    genre: str
    situation: str
    camera: str
    dancer: str
    song: str
    choreography: str

    def __str__(self) -> str:
        return "_".join((self.genre, self.situation, self.camera, self.dancer, self.song, self.choreography))


def parse_sequence_name(name: str) -> SequenceName | None:
    """Parts of `name` where it starts with an AIST++ sequence name (an ending such as `_seed0` is allowed), else None."""
    match = _SEQUENCE.match(name)
    return SequenceName(**match.groupdict()) if match and match["genre"] in GENRES else None


def song_tempo_bpm(song: str) -> float:
    """True tempo in BPM that a song code such as `mBR0`, `mHO5` or `mBRT087` encodes.

    Raises:
        ValueError: when `song` is not such a code.
    """
    match = _SONG.fullmatch(song)
    if match is None:
        raise ValueError(f"'{song}' is not an AIST++ song code such as mBR0, mHO5 or mBRT087.")
    if match["bpm"]:
        return float(match["bpm"])
    return float(110 + 5 * int(match["digit"]) if match["genre"] == "HO" else 80 + 10 * int(match["digit"]))


def grid_beats_s(name: str, seconds: float | int) -> Float[np.ndarray, " beat"] | None:
    """Beat times of an AIST++ sequence in seconds, by the rule 0.047 s + k · 60 / BPM; None for a name of no AIST song.

    Every sequence starts with its song's first beat, and the song's name says its tempo, so no sound is needed: trackers
    fail on six of the songs (off the beat, or at a triplet's level).

    Args:
        name: of the sequence, such as `gBR_sBM_cAll_d04_mBR0_ch01`.
        seconds: length of its motion; beats end before.
    """
    parts = parse_sequence_name(name)
    if parts is None or "T" in parts.song[3:]:  # the embedded data set's songs start anywhere
        return None
    period_s = 60 / song_tempo_bpm(parts.song)
    beats_s = FIRST_BEAT_S + period_s * np.arange(int(seconds / period_s) + 1)
    return beats_s[beats_s < seconds]


def genre_index(genre: str) -> int:
    """Class number of a genre code such as `gBR`.

    Raises:
        ValueError: for an unknown code, with the list of those that exist.
    """
    if genre not in GENRES:
        raise ValueError(f"unknown genre '{genre}'; expected one of {', '.join(GENRES)}.")
    return GENRES.index(genre)
