"""The ten genres' musical vocabularies: drum patterns on a 16-step bar, swing, kit, bass, chords and lead.

A pattern is 16 digits, one per sixteenth of a 4/4 bar: 0 is a rest, 9 full force.
"""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Style:
    """One genre's music.

    Args:
        drums: pattern by instrument name (a method of `instruments`, `openhat` and `ride` being long hats).
        swing: delay of every second sixteenth as a share of a sixteenth (0 straight, 0.33 shuffle).
        swing_eighths: swing the eighths instead (jazz).
        bass, chords, lead: instrument kinds.
        bass_pattern, chord_pattern: digits; for bass, 1 root, 5 fifth, 8 octave, 7 flat seventh; for chords, 0-9 force.
        chord_hold: sixteenths that a chord sounds.
        progressions: scale degrees (semitones from the key, quality) a bar each.
        lead_density: chance of a lead note per eighth.
        humanise_s: spread of the players' timing.
        duck: depth of the side-chain from the kick.
    """

    drums: dict[str, str]
    bass: str
    chords: str
    lead: str
    bass_pattern: str
    chord_pattern: str
    chord_hold: int
    progressions: tuple[tuple[tuple[int, str], ...], ...]
    swing: int | float = 0.0
    swing_eighths: bool = False
    lead_density: int | float = 0.35
    humanise_s: int | float = 0.003
    duck: int | float = 0.0
    kit: dict[str, int | float] = field(default_factory=dict)


_MINOR_VAMP = (((0, "m7"), (0, "m7"), (5, "m7"), (3, "maj")), ((0, "m7"), (8, "maj"), (10, "maj"), (0, "m7")))
_FUNK_VAMP = (((0, "7"), (0, "7"), (5, "7"), (0, "7")), ((0, "m7"), (5, "7"), (0, "m7"), (5, "7")))
_DISCO = (((0, "m7"), (5, "m7"), (10, "7"), (3, "maj")), ((0, "m7"), (3, "maj"), (8, "maj"), (10, "maj")))
_JAZZ = (((2, "m7"), (7, "7"), (0, "maj"), (9, "m7")), ((0, "maj"), (9, "m7"), (2, "m7"), (7, "7")))
_DARK = (((0, "m"), (0, "m"), (1, "maj"), (0, "m")), ((0, "m"), (8, "maj"), (1, "maj"), (0, "m")))

STYLES: dict[str, Style] = {
    "gBR": Style(
        {"kick": "9000000090600000", "snare": "0000900000009020", "hat": "9050905090509050", "shaker": "5023502350235023"},
        "finger", "brass", "pluck", "1000100550007080", "8000000080005000", 2, _FUNK_VAMP, swing=0.12,
        lead_density=0.22, humanise_s=0.005, kit={"kick_hz": 58, "snare_hz": 215, "snare_decay": 0.14},
    ),
    "gPO": Style(
        {"kick": "9000700090000060", "clap": "0000900000009000", "hat": "6363636363636363", "tom": "0000000000000065"},
        "synth", "saw", "saw", "1010808010107050", "8000000000800000", 4, _MINOR_VAMP,
        humanise_s=0.0, kit={"kick_hz": 52, "hat_hz": 8200, "hat_decay": 0.028},
    ),
    "gLO": Style(
        {"kick": "9000007090000000", "snare": "0000900000009000", "hat": "7050705070507050", "openhat": "0000000000000050"},
        "finger", "clav", "flute", "1001005010010708", "7035703570357035", 1, _FUNK_VAMP, swing=0.08,
        humanise_s=0.004, kit={"kick_hz": 62, "snare_hz": 235},
    ),
    "gMH": Style(
        {"kick": "9000000500900000", "snare": "0000900000009000", "hat": "7040704070407040"},
        "sub", "rhodes", "bell", "1000000010100000", "8000000000700000", 6, _MINOR_VAMP, swing=0.28,
        lead_density=0.2, humanise_s=0.006, kit={"kick_hz": 48, "kick_decay": 0.26, "snare_hz": 170},
    ),
    "gLH": Style(
        {"kick": "9005000080050000", "clap": "0000900000009000", "hat": "6040604060406044", "shaker": "3030303030303030"},
        "sub", "pad", "whistle", "1000100010005010", "8000000000000000", 14, _DARK,
        lead_density=0.5, humanise_s=0.001, kit={"kick_hz": 44, "kick_decay": 0.32},
    ),
    "gHO": Style(
        {"kick": "9000900090009000", "clap": "0000800000008000", "openhat": "0070007000700070", "shaker": "4242424242424242"},
        "synth", "organ", "pluck", "0010001000100080", "0060060006006000", 2, _DISCO,
        humanise_s=0.0, duck=0.45, kit={"kick_hz": 50, "kick_decay": 0.24},
    ),
    "gWA": Style(
        {"kick": "9000900090009000", "snare": "0000800000008000", "hat": "6030603060306030", "openhat": "0060006000600060"},
        "finger", "strings", "flute", "1080108010801080", "8000000080000000", 8, _DISCO,
        lead_density=0.42, humanise_s=0.003, duck=0.2, kit={"kick_hz": 60, "snare_hz": 205},
    ),
    "gKR": Style(
        {"kick": "9007000090700000", "snare": "0000900000009000", "tom": "0000004000000063", "hat": "5000500050005000"},
        "fuzz", "brass", "saw", "1001000010100001", "9000000000900000", 3, _DARK,
        lead_density=0.18, humanise_s=0.002, kit={"kick_hz": 42, "kick_decay": 0.34, "snare_hz": 150, "snare_decay": 0.2},
    ),
    "gJS": Style(
        {"kick": "9000005080000000", "snare": "0000700000007000", "hat": "6030603060306030", "clap": "0000500000005000"},
        "upright", "rhodes", "flute", "1000005010000708", "7000006000700000", 5, _JAZZ, swing=0.18,
        lead_density=0.4, humanise_s=0.005, kit={"kick_hz": 55, "snare_hz": 225, "snare_decay": 0.1},
    ),
    "gJB": Style(
        {"ride": "8000804080008040", "kick": "7000500070005000", "snare": "0000500000005000"},
        "upright", "piano", "flute", "1000500080005000", "7000600070006000", 4, _JAZZ, swing=0.3, swing_eighths=True,
        lead_density=0.45, humanise_s=0.005, kit={"kick_hz": 66, "kick_decay": 0.12, "snare_hz": 260, "snare_decay": 0.07},
    ),
}  # fmt: skip

CHORD_TONES = {"m": (0, 3, 7), "m7": (0, 3, 7, 10), "maj": (0, 4, 7), "7": (0, 4, 7, 10)}
PENTATONIC = {"m": (0, 3, 5, 7, 10), "m7": (0, 3, 5, 7, 10), "maj": (0, 2, 4, 7, 9), "7": (0, 2, 4, 7, 10)}
