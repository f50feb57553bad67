"""The ten genres' music in tables: kits, grooves, instruments, comping, bass lines, progressions and forms.

A pattern is a string of sixteenths, one bar or two; `.` is a rest and `-` holds. Drums and chords have digits, 9 for full
force. Bass lines have 1 for the root, 3, 5, 7 and 8 for third, fifth, seventh and octave, `a` for a step that leads to the
next chord. Rhythms of the lead have `x` for a note and `X` for one that takes a chord's tone.
"""

from dataclasses import dataclass, field

from d2m.data.synthetic.harmony import Progression, progression

Real = int | float

# Drums by role: preset and key. Kits mix presets as producers do.
_STANDARD = {
    "kick": ("Standard", 36), "snare": ("Standard", 38), "rim": ("Standard", 37), "clap": ("Standard", 39), "hat": ("Standard", 42),
    "pedal": ("Standard", 44), "open": ("Standard", 46), "ride": ("Standard", 51), "bell": ("Standard", 53), "crash": ("Standard", 49),
    "tom1": ("Standard", 50), "tom2": ("Standard", 47), "tom3": ("Standard", 43), "tamb": ("Standard", 54), "cow": ("Standard", 56),
    "shaker": ("TR-808", 69), "conga": ("TR-808", 62), "conga2": ("TR-808", 64), "clave": ("TR-808", 75),
}  # fmt: skip


def _kit(preset: str, **others: tuple[str, int]) -> dict[str, tuple[str, int]]:
    known = {
        "Power": {role: ("Power", key) for role, (_, key) in _STANDARD.items() if key < 60},
        "Jazz": {role: ("Jazz", key) for role, (_, key) in _STANDARD.items() if key < 60},
        "Brush": {role: ("Brush", key) for role, (_, key) in _STANDARD.items() if key < 60},
        "Standard": {},
        "TR-808": {role: ("TR-808", key) for role, (_, key) in _STANDARD.items() if key not in (44,)},
        "Club": {
            "kick": ("Club CC0", 36), "snare": ("Club CC0", 38), "clap": ("TR-808", 39), "rim": ("Club CC0", 37),
            "hat": ("Club CC0", 42), "pedal": ("Club CC0", 44), "open": ("Club CC0", 46), "crash": ("Club CC0", 49),
            "tom1": ("TR-808", 50), "tom2": ("TR-808", 47), "tom3": ("Club CC0", 43), "ride": ("Club CC0", 51), "cow": ("Club CC0", 56),
        },
        "Dusty": {
            "kick": ("Dusty CC0", 36), "snare": ("Dusty CC0", 38), "clap": ("Dusty CC0", 39), "hat": ("Dusty CC0", 42),
            "pedal": ("Dusty CC0", 44), "open": ("Dusty CC0", 46), "crash": ("Dusty CC0", 49), "tom1": ("Dusty CC0", 48),
            "tom2": ("Dusty CC0", 45), "tom3": ("Dusty CC0", 41),
        },
    }[preset]  # fmt: skip
    return _STANDARD | known | others


@dataclass(frozen=True)
class Patch:
    """An instrument as a genre plays it.

    Args:
        preset: of the pack.
        centre: MIDI key about which it plays; a bass's lowest root.
        hold: share of a note's written length that sounds.
        bright_cents: added to the cut-off of its filter.
        drop: chords in open position.
    """

    preset: str
    centre: int
    hold: Real = 0.95
    bright_cents: Real = 0
    drop: bool = False


Groove = dict[str, str]


@dataclass(frozen=True)
class Genre:
    """How a genre sounds; where there are several of a thing, a song takes one.

    Args:
        kits: presets and keys by role.
        grooves: drums of the verse and of the chorus.
        bass, chords, stabs, pad, lead: patches; stabs play hits in the chorus.
        bass_lines, comping, hits, rhythms: patterns of bass, chords, stabs and lead.
        progressions: of the whole song, the chorus may have another of the same mode.
        forms: sections and their bars.
        swing: delay of every second sixteenth, as a share of a sixteenth; of the eighths with `swing_eighths`.
        spread_ms: of the players' timing.
        behind_ms: how late snare and claps are.
        duck: how far the kick pushes bass, chords and pad down, 0 to 1.
        mix_db: added to the levels of the buses.
        room: level of the room, 0 to 1, and its length in seconds.
        walking: the bass walks in quarters instead of playing lines.
    """

    kits: tuple[dict[str, tuple[str, int]], ...]
    grooves: tuple[tuple[Groove, Groove], ...]
    bass: tuple[Patch, ...]
    chords: tuple[Patch, ...]
    lead: tuple[Patch, ...]
    bass_lines: tuple[str, ...]
    comping: tuple[str, ...]
    rhythms: tuple[str, ...]
    progressions: tuple[Progression, ...]
    forms: tuple[str, ...]
    stabs: tuple[Patch, ...] = ()
    hits: tuple[str, ...] = ()
    pad: tuple[Patch, ...] = ()
    swing: Real = 0.0
    swing_eighths: bool = False
    spread_ms: Real = 3.0
    behind_ms: Real = 0.0
    duck: Real = 0.0
    mix_db: dict[str, Real] = field(default_factory=dict)
    room: tuple[Real, Real] = (0.12, 0.6)
    walking: bool = False


P = progression

FUNK_FORMS = (
    "intro2 verse4 chorus4 break2 chorus4 verse4 breakdown2 chorus8",
    "intro4 chorus4 verse4 break2 chorus4 verse4 build2 chorus8",
    "verse4 build2 chorus4 breakdown2 verse4 chorus8 break2 chorus4",
)
CLUB_FORMS = (
    "intro4 build2 drop8 breakdown4 build2 drop8 verse4",
    "verse4 build4 drop4 breakdown2 build2 drop8 verse4",
    "intro2 drop4 verse4 breakdown2 build2 drop8 breakdown4 build2 drop8",
)
SONG_FORMS = (
    "intro4 verse4 chorus4 verse4 build2 chorus8 breakdown4 chorus4",
    "intro2 verse4 build2 chorus4 breakdown2 verse4 chorus8",
    "chorus4 verse4 breakdown2 build2 chorus4 verse4 chorus8 break2 chorus4",
)
JAZZ_FORMS = (
    "intro4 verse8 chorus8 break4 verse4 chorus8",
    "verse4 chorus4 breakdown4 verse4 chorus8",
    "intro2 chorus4 verse4 breakdown2 chorus4 verse8 chorus4",
)

GENRES: dict[str, Genre] = {
    "gBR": Genre(  # break: funk drums, horns and a guitar that scratches
        kits=(_kit("Standard", kick=("Power", 36)), _kit("Standard", snare=("Dusty CC0", 38), kick=("Dusty CC0", 36)), _kit("Power")),
        grooves=(
            ({"kick": "9.5...5.6.8..4..", "snare": "..2.9..3.2..9..3", "hat": "9.4.9.4.9.4.9.4."},
             {"kick": "9.6...5.7.8..5..", "snare": "..3.9..3.3..9..3", "hat": "9.5.9.5.9.5.9.5.", "open": "..............5.", "conga": "5..5..5.5..5..5.", "tamb": "....7.......7..."}),
            ({"kick": "9.8.....6.88....", "snare": "....9..3.2..9...", "hat": "9.5.9.5.9.5.9.5."},
             {"kick": "9.8.....7.88....", "snare": "....9..3.3..9..3", "ride": "9.5.9.5.9.5.9.5.", "cow": "7...7...7...7...", "conga": "..5..55...5..55."}),
            ({"kick": "9.......9.5.....", "snare": "....9.....3.9..3", "hat": "9.5.9.5.9.5.9.5."},
             {"kick": "9..5....9.5..5..", "snare": "....9..3..3.9..3", "hat": "9.5.9.5.9.5.9...", "open": "..............5.", "tamb": "5.7.5.7.5.7.5.7."}),
        ),
        bass=(Patch("Fingered Bass", 28, 0.8), Patch("Slap Bass", 28, 0.7)),
        chords=(Patch("Clean Guitar", 60, 0.9), Patch("Rock Organ", 58, 0.8), Patch("Clavinet", 58, 0.9)),
        stabs=(Patch("Brass Section", 62, 0.8),),
        lead=(Patch("Trumpet", 72), Patch("Tenor Sax", 65), Patch("Brass Section", 67)),
        bass_lines=("1..15...1..78...", "1.1.8...1.5.7.a.", "1...8.7.5..11..a", "1..81...7.5.5..7"),
        comping=("8---5-..8---6-..", "8-.5----8-.5----", "8-------6-..8---", "8---5-..8-----4."),
        hits=("9.......9..7....", "........9.9.....", "9..9............"),
        rhythms=("X..x..X.x.......", "X.x.X...x.X.....", "..X.x.x.X.......", "X...x.xxX......."),
        progressions=(P("dorian", "0m7 0m7 0m7 5:9"), P("mixolydian", "0:9 0:9 10:9 5:9"), P("dorian", "0m7 5:9 0m7 5:9"),
                      P("blues", "0:9 0:9 5:9 0:7#9"), P("minor", "0m7 10:7 8maj7 7:7#9")),
        forms=FUNK_FORMS, swing=0.1, spread_ms=4, behind_ms=2, room=(0.10, 0.5),
    ),
    "gPO": Genre(  # pop: electro funk of drum machines and synthesisers
        kits=(_kit("TR-808"), _kit("TR-808", kick=("Club CC0", 36)), _kit("Club", hat=("TR-808", 42), open=("TR-808", 46))),
        grooves=(
            ({"kick": "9..85...9...5...", "clap": "....9.......9...", "hat": "9.5.9.5.9.5.9.5."},
             {"kick": "9..85...9.5.5.4.", "clap": "....9.......9...", "hat": "9455945594559455", "cow": "6.....4.6..4....", "open": "..............5."}),
            ({"kick": "9...5...9.8.5...", "snare": "....9.......9...", "hat": "9.5.9.5.9.5.9.55"},
             {"kick": "9...5.7.9.8.5...", "snare": "....9.......9..5", "clap": "....7.......7...", "hat": "9.5.9.5.9.5.9.55", "conga": "..7..7....7..77.", "conga2": ".......7........"}),
            ({"kick": "9...9...9...9...", "snare": "....9.......9...", "hat": "7.5.7.5.7.5.7.5."},
             {"kick": "9...9...9...9...", "snare": "....9.......9...", "hat": "8.5.8.5.8.5.8.55", "clave": "7..7..7...7.7..."}),
        ),
        bass=(Patch("Synth Bass 1", 31, 0.7, 3000), Patch("Synth Bass 2", 31, 0.7)),
        chords=(Patch("Synth Brass 1", 60, 0.7, 500), Patch("FM Electric Piano", 62, 0.9), Patch("Clavinet", 60, 0.6)),
        stabs=(Patch("Synth Brass 1", 64, 0.7, 900), Patch("Orchestra Hit", 60)),
        pad=(Patch("Synth Strings 1", 66), Patch("Warm Pad", 62)),
        lead=(Patch("Saw Lead", 72, 0.8), Patch("Vibraphone", 76), Patch("Synth Brass 1", 70, 0.8, 900)),
        bass_lines=("1.1.8.1.1.8.7.8.", "1..1..8..1..7.5.", "1.8.1.8.1.8.7.a.", "1..8..1.1..8.5.7"),
        comping=("8-.6-.6-8-------", "8---6-.6----7---", "8-.6-.5-8-.6-.5-", "8-------7-------"),
        hits=("9..........9....", "9...............", "9..9..9........."),
        rhythms=("X.x.x.X.........", "X..x..x.X.......", "x.x.X...x.x.X...", "X...X..x..x....."),
        progressions=(P("minor", "0m7 10 8maj7 10"), P("dorian", "0m7 0m7 5:9 5:9"), P("minor", "0m 5m7 10:7 3maj7"),
                      P("minor", "8maj7 10 0m7 0m7"), P("dorian", "0m9 10 5:9 0m9")),
        forms=(*CLUB_FORMS[:2], SONG_FORMS[1]), spread_ms=0.5, mix_db={"kick": 1.5, "snare": -1.5}, duck=0.15, room=(0.12, 0.7),
    ),
    "gLO": Genre(  # lock: the funk of the seventies, everything on the one
        kits=(_kit("Standard", kick=("Power", 36)), _kit("Standard", kick=("Dusty CC0", 36)), _kit("Power", hat=("Standard", 42))),
        grooves=(
            ({"kick": "9..5..4.7.8.....", "snare": "....9..3.2..9..3", "hat": "9.4.9.4.9.4.9.4."},
             {"kick": "9..6..4.8.8..4..", "snare": "....9..3.3..9..3", "hat": "9353935393539353", "open": "......5.........", "tamb": "....8.......8..."}),
            ({"kick": "9.....5.8.5.....", "snare": "....9.......9.3.", "hat": "9.4.9.4.9.4.9.4."},
             {"kick": "9.....5.8.5.....", "snare": "....9..3....9.3.", "hat": "9.5.9.5.9.5.9...", "open": "..............5.", "conga": "6..6.66.6..6.66.", "cow": "6.......6......."}),
        ),
        bass=(Patch("Slap Bass", 28, 0.6), Patch("Fingered Bass", 28, 0.7)),
        chords=(Patch("Clavinet", 60, 0.9), Patch("Clean Guitar", 62, 0.9), Patch("Tine Electric Piano", 61, 0.9)),
        stabs=(Patch("Brass Section", 64, 0.7),),
        lead=(Patch("Tenor Sax", 66), Patch("Flute", 77), Patch("Rock Organ", 70, 0.8), Patch("Trumpet", 72)),
        bass_lines=("1..87..5..1.5.78", "1.....587.....a.", "1.8.1..7.5..1.8.", "1...1.8.7.8.5.a."),
        comping=("8-46--4.8-46--4.", "8---5-4.8---5-4.", "84-6-4-.84-6-4-.", "8-4-6-.48-4-6---"),
        hits=("9......9........", "9.9.......9.....", "......9.9......."),
        rhythms=("X.x..xX.........", "X..xx.X...x.....", "..x.X.x.x.X.....", "X.....x.xx.X...."),
        progressions=(P("mixolydian", "0:9 0:9 5:9 0:9"), P("dorian", "0m7 5:9 0m7 5:9"), P("blues", "0:7#9 0:7#9 5:9 7:7#9"),
                      P("mixolydian", "0:9 10 5:9 0:9"), P("dorian", "0m9 0m9 3maj7 5:9"),
                      P("blues", "0:9 5:9 0:9 0:9 5:9 5:9 0:9 0:9 7:9 5:9 0:9 7:7#9")),
        forms=FUNK_FORMS, swing=0.06, spread_ms=2.5, mix_db={"kick": 1.5, "snare": 1, "chords": -1.5, "stabs": -1}, room=(0.09, 0.45),
    ),
    "gMH": Genre(  # middle hip-hop: dusty drums behind the beat, jazz chords
        kits=(_kit("Dusty"), _kit("Dusty", snare=("Jazz", 38), hat=("Jazz", 42)), _kit("Dusty", kick=("Dusty CC0", 35), snare=("Dusty CC0", 40))),
        grooves=(
            ({"kick": "9......5.78.....", "snare": "....9.......9...", "hat": "9.4.8.4.9.4.8.4."},
             {"kick": "9......5.79.....", "snare": "....9..3....9..3", "hat": "9.4.8.4.9.4.8.4.", "shaker": "7.4.7.4.7.4.7.4."}),
            ({"kick": "9.5.....69......", "snare": "....9.......9...", "hat": "9.5.8.5.9.5.8.5."},
             {"kick": "9.5...4.69....4.", "snare": "....9.......9.3.", "hat": "9.5.8.5.9.5.8.5.", "open": "..............4.", "tamb": "....6.......6..."}),
            ({"kick": "9..5....9.5.....", "snare": "....9.......9...", "hat": "8...6...8...6..."},
             {"kick": "9..5....9.5..5..", "snare": "....9.......9..3", "hat": "9.4.8.4.9.4.8.4.", "rim": "......4...4....."}),
        ),
        bass=(Patch("Acoustic Bass", 29, 0.9), Patch("Fingered Bass", 28, 0.9)),
        chords=(Patch("Tine Electric Piano", 61, 0.95), Patch("Grand Piano", 62, 0.95), Patch("Vibraphone", 66, 0.95)),
        pad=(Patch("Strings Fast", 68), Patch("Warm Pad", 62)),
        lead=(Patch("Flute", 76), Patch("Vibraphone", 76), Patch("Trumpet", 70), Patch("Tenor Sax", 65)),
        bass_lines=("1......1..5.....", "1..1......1.7...", "1.....5.1.....a.", "1......8..7.5..."),
        comping=("8-------6-......", "8---....6.6---..", "8-----..6-----..", "7.6---..7.6---.."),
        rhythms=("X...x.X.........", "..X.x...X.......", "X..x....X.x.....", "x.X.....x.X....."),
        progressions=(P("dorian", "0m9 5:9 0m9 5:9"), P("minor", "0m9 8maj7 5m9 7:7#9"), P("major", "2m9 7:13 0maj9 9m9"),
                      P("minor", "0m9 10:7sus 8maj9 7m7"), P("major", "5maj9 4m7 2m9 0maj9")),
        forms=SONG_FORMS, swing=0.22, spread_ms=4, behind_ms=3, room=(0.12, 0.5),
    ),
    "gLH": Genre(  # LA hip-hop: long low kicks, ticking hats, dark and wide
        kits=(_kit("TR-808", kick=("Club CC0", 36)), _kit("TR-808", kick=("Dusty CC0", 36)), _kit("TR-808", snare=("Club CC0", 38), kick=("Club CC0", 35))),
        grooves=(
            ({"kick": "9.....5.9.......", "clap": "....9.......9...", "hat": "7.5.7.5.7.5.7.55"},
             {"kick": "9..5..5.9....5..", "clap": "....9.......9...", "snare": "....6.......6..4", "hat": "7575757.75757555", "open": "......6........."}),
            ({"kick": "9......59.......", "snare": "....9.......9...", "hat": "7.7.7.7.7.7.7777"},
             {"kick": "9..5...59.5.....", "snare": "....9.......9...", "clap": "....8.......8...", "hat": "7.7.77757.7.7777", "conga": "...6..6....6...."}),
            ({"kick": "9...5...9..5....", "clap": "....9.......9...", "hat": "6.6.6.6.6.6.6.6."},
             {"kick": "9...5...9..5..5.", "clap": "....9.......9...", "hat": "6566656665666565", "cow": "....5..5....5..."}),
        ),
        bass=(Patch("Synth Bass 2", 29, 0.95), Patch("Synth Bass 1", 29, 0.95, 1500)),
        chords=(Patch("FM Electric Piano", 64, 0.95), Patch("Clean Guitar", 64, 0.9), Patch("Palm Muted Guitar", 62, 0.8), Patch("Strings Fast", 66, 0.9)),
        stabs=(Patch("Orchestra Hit", 58), Patch("Synth Brass 1", 60, 0.8, 600)),
        pad=(Patch("Warm Pad", 64), Patch("Synth Strings 1", 66)),
        lead=(Patch("Saw Lead", 76, 0.8), Patch("Flute", 78), Patch("Vibraphone", 78)),
        bass_lines=("1-------1---5-..", "1-----..1-..7-..", "1---..1-8---..a.", "1-..1-..5-----.."),
        comping=("7-------........", "7.......5.......", "7..5..7..5..7.5.", "7---....5---...."),
        hits=("9...............", "9.........9....."),
        rhythms=("X.x.X...x.......", "X..X..X.........", "X...x...X.x.....", "X.X.x...........",),
        progressions=(P("minor", "0m 8 5m 7m"), P("phrygian", "0m 1 0m 1"), P("harmonic", "0m 5m 8 7:7"), P("minor", "0m9 0m9 8maj7 8maj7"),
                      P("minor", "5m7 0m7 10 8maj7"), P("dorian", "0m7 3maj7 5 10")),
        forms=CLUB_FORMS, spread_ms=1, duck=0.3, room=(0.16, 0.9),
    ),
    "gHO": Genre(  # house: four to the floor, organ and piano off the beat
        kits=(_kit("Club"), _kit("TR-808", kick=("Club CC0", 36)), _kit("Club", kick=("Club CC0", 35), hat=("TR-808", 42), open=("TR-808", 46))),
        grooves=(
            ({"kick": "9...9...9...9...", "clap": "....9.......9...", "hat": "8...8...8...8...", "open": "..4...4...4...4."},
             {"kick": "9...9...9...9...", "clap": "....9.......9...", "hat": "9...9...9...9...", "open": "..5...5...5...5.", "shaker": "8364836483648364", "conga": "...5..5....5.55."}),
            ({"kick": "9...9...9...9...", "clap": "....9.......9...", "hat": "9.5.9.5.9.5.9.5."},
             {"kick": "9...9...9...9...", "clap": "....9.......9...", "snare": ".......4.4......", "open": "..5...5...5...5.", "hat": "9...9...9...9...", "clave": "...5..5...5..5..", "tamb": "7.4.7.4.7.4.7.4."}),
        ),
        bass=(Patch("Synth Bass 1", 29, 0.7, 2500), Patch("Synth Bass 2", 31, 0.7), Patch("Fingered Bass", 28, 0.7)),
        chords=(Patch("Drawbar Organ", 62, 0.8), Patch("Grand Piano", 64, 0.8), Patch("Tine Electric Piano", 62, 0.9), Patch("Rock Organ", 62, 0.8)),
        stabs=(Patch("Grand Piano", 70, 0.8), Patch("Brass Section", 65, 0.7)),
        pad=(Patch("Strings Fast", 70), Patch("Synth Strings 1", 68), Patch("Warm Pad", 64)),
        lead=(Patch("Saw Lead", 74, 0.7), Patch("Vibraphone", 76), Patch("Flute", 77), Patch("Tenor Sax", 66)),
        bass_lines=("1.8.1.8.1.8.1.8.", "1..1..1.1..1..57", "1..1..1.1..17.5.", "1.8.1.8.1.8.5.7."),
        comping=("8-.5-.5-8-.5-.5-", "8-.6-.5---6-8---", "6-5---5-6-5---5-", "8-.6-.6-8-.6-.5-"),
        hits=("9..9..9.........", "..9..9..........", "9..9..9...9....."),
        rhythms=("X..x..x.X.......", "..X..x..x.X.....", "X.x.x.X.........", "X.....x.x.x....."),
        progressions=(P("minor", "0m7 5m7 10:9 3maj7"), P("dorian", "0m9 0m9 5:9 5:9"), P("major", "0maj7 9m7 2m7 7:7sus"),
                      P("minor", "0m9 8maj7 10 5m7"), P("major", "5maj7 7 4m7 9m7"), P("minor", "0m7 7m7 8maj7 10")),
        forms=CLUB_FORMS, swing=0.08, spread_ms=1, duck=0.45, room=(0.14, 0.8),
    ),
    "gWA": Genre(  # waack: disco with octaves in the bass and an orchestra
        kits=(_kit("Standard", kick=("Power", 36)), _kit("Power"), _kit("Standard", kick=("Club CC0", 36))),
        grooves=(
            ({"kick": "9...9...9...9...", "snare": "....9.......9...", "hat": "9...9...9...9...", "open": "..4...4...4...4."},
             {"kick": "9...9...9...9...", "snare": "....9.......9...", "clap": "....7.......7...", "open": "..5...5...5...5.", "hat": "94..94..94..94..", "tamb": "8.4.8.4.8.4.8.4.", "conga": "...5.44....5.44."}),
            ({"kick": "9...9...9...9...", "snare": "....9.......9...", "hat": "9454945494549454"},
             {"kick": "9...9...9...9...", "snare": "....9.......9.35", "open": "..5...5...5...5.", "hat": "9.4.9.4.9.4.9.4.", "cow": "7..4..4.7..4..4.", "tamb": "....7.......7..."}),
        ),
        bass=(Patch("Fingered Bass", 28, 0.7), Patch("Slap Bass", 28, 0.6)),
        chords=(Patch("Clean Guitar", 64, 0.8), Patch("Grand Piano", 64, 0.85), Patch("Tine Electric Piano", 62, 0.9)),
        stabs=(Patch("Brass Section", 65, 0.7), Patch("Strings Fast", 74, 0.8)),
        pad=(Patch("Strings Fast", 72), Patch("Synth Strings 1", 70)),
        lead=(Patch("Strings Fast", 80, 0.95), Patch("Trumpet", 74), Patch("Flute", 79), Patch("Tenor Sax", 66)),
        bass_lines=("1.8.1.8.1.8.1.8.", "1.8.1.8.5.8.7.8.", "1.881.881.885.8a", "1.8.1.8.1.8.5.7."),
        comping=("8-5-8---8-5-8---", "8-46--468-46--46", "8-------8-------", "8---5---8---5-5-"),
        hits=("9...........9.9.", "9..9..9.........", "......9.9......."),
        rhythms=("X---x---X-x-x-..", "X..x..X---......", "x.x.X-----x.X---", "X-----x-X-------"),
        progressions=(P("minor", "0m7 5m7 10:7 3maj7"), P("minor", "0m 10 8maj7 7:7"), P("major", "0maj7 9m7 2m7 7:7"),
                      P("minor", "0m7 3maj7 8maj7 10:7"), P("major", "2m7 7:7 4m7 9m7"), P("harmonic", "0m7 5m7 7:7 0m7")),
        forms=(SONG_FORMS[0], CLUB_FORMS[1], SONG_FORMS[2]), spread_ms=2.5, duck=0.25, room=(0.18, 1.0),
    ),
    "gKR": Genre(  # krump: heavy, low, hits that answer each other
        kits=(_kit("Power", clap=("TR-808", 39)), _kit("Power", kick=("Club CC0", 35), snare=("Club CC0", 40)), _kit("Dusty", snare=("Power", 38), clap=("TR-808", 39))),
        grooves=(
            ({"kick": "9..7....9.7.....", "snare": "....9.......9...", "hat": "9...8...9...8..."},
             {"kick": "9..7....9.7..7..", "snare": "....9.......9...", "clap": "....8.......8...", "hat": "9.4.8.4.9.4.8.44", "tom3": "......5.......65", "crash": "7..............."}),
            ({"kick": "9.....7.9.......", "snare": "....9.......9.5.", "hat": "9...8...9...8..."},
             {"kick": "9..7..7.9..7....", "snare": "....9.......9.55", "clap": "....8.......8...", "tom2": "..5.......5.....", "tom3": "...5.......5....", "hat": "9...8...9...8..."}),
            ({"kick": "9...9...9...96..", "snare": "....9.......9...", "hat": "8.4.8.4.8.4.8.4."},
             {"kick": "9..59...9..595..", "snare": "....9.......9...", "clap": "....8.......8...", "hat": "9.5.8.5.9.5.8.5.", "tom3": ".......5.......5"}),
        ),
        bass=(Patch("Synth Bass 1", 28, 0.8, 3500), Patch("Synth Bass 2", 28, 0.8)),
        chords=(Patch("Synth Brass 1", 58, 0.8, 600), Patch("Strings Fast", 64, 0.7), Patch("Brass Section", 58, 0.8)),
        stabs=(Patch("Orchestra Hit", 56), Patch("Synth Brass 1", 60, 0.8, 900), Patch("Brass Section", 60, 0.8)),
        pad=(Patch("Synth Strings 1", 62), Patch("Strings Fast", 66)),
        lead=(Patch("Saw Lead", 70, 0.8), Patch("Synth Brass 1", 68, 0.8, 1200), Patch("Strings Fast", 76, 0.8)),
        bass_lines=("1..11...1.1.8a..", "1---..1.1---.87.", "1..81...1..15...", "1-..1-..1-1-5-7."),
        comping=("8---....8---....", "8..6----8-------", "8-----..8-----..", "8-6-----8-6-----"),
        hits=("9..9............", "9.....9...9.....", "9...........9..."),
        rhythms=("X.x.X...........", "X..x..X.X.......", "X...X...x.x.X...", "X.x.x.x.X......."),
        progressions=(P("phrygian", "0m 0m 1 0m"), P("minor", "0m 8 10 0m"), P("harmonic", "0m 8 5m 7:7"), P("phrygian", "0:5 1 3 1"),
                      P("minor", "0:5 3 10 8")),
        forms=CLUB_FORMS, spread_ms=1.5, duck=0.1, room=(0.12, 0.8),
    ),
    "gJS": Genre(  # street jazz: songs of soul and pop with rich chords
        kits=(_kit("Jazz", kick=("Standard", 36)), _kit("Standard", clap=("TR-808", 39)), _kit("TR-808", kick=("Dusty CC0", 36), snare=("Standard", 38))),
        grooves=(
            ({"kick": "9.....5.5.......", "snare": "....9.......9...", "hat": "7.5.7.5.7.5.7.5."},
             {"kick": "9.....5.5.5.....", "snare": "....9..3....9..3", "hat": "7.5.7.5.7.5.7.5.", "clap": "....7.......7...", "shaker": "5.7.5.7.5.7.5.7.", "open": "..............5."}),
            ({"kick": "9..5..5...5.....", "rim": "....9.......9...", "hat": "7.6.7.6.7.6.7.6."},
             {"kick": "9..5..5...5..5..", "snare": "....9.......9...", "ride": "7.5.7.5.7.5.7.5.", "tamb": "....6.......6...", "conga": "..5..5....5..55."}),
        ),
        bass=(Patch("Fingered Bass", 28, 0.9), Patch("Acoustic Bass", 29, 0.9)),
        chords=(Patch("Tine Electric Piano", 63, 0.95), Patch("FM Electric Piano", 64, 0.95), Patch("Grand Piano", 63, 0.95), Patch("Clean Guitar", 62, 0.9)),
        stabs=(Patch("Brass Section", 64, 0.8),),
        pad=(Patch("Strings Fast", 70), Patch("Warm Pad", 63)),
        lead=(Patch("Tenor Sax", 66), Patch("Flute", 77), Patch("Vibraphone", 76), Patch("Clean Guitar", 74, 0.9)),
        bass_lines=("1.....5.1....7.a", "1..1..8...5.7...", "1.....1.5....5..", "1..5..8..7..5.a."),
        comping=("7-----..5---....", "7---..5-....7---", "..7---....7---..", "7-------7-------"),
        hits=("9.9.............", "......9...9....."),
        rhythms=("X..x..X-..x.X-..", "X.x.X---........", "..x.X.x.X---....", "X---x.x.X-......"),
        progressions=(P("major", "0maj9 9m7 2m9 7:13"), P("major", "5maj7 4m7 2m9 0maj7"), P("major", "0 7 9m7 5maj7"), P("dorian", "0m9 5:9 0m9 5:13"),
                      P("major", "9m7 5maj7 0 7:7sus"), P("minor", "0m9 10:7sus 8maj7 7:7#9")),
        forms=SONG_FORMS, swing=0.14, spread_ms=4, behind_ms=2, room=(0.16, 0.9),
    ),
    "gJB": Genre(  # ballet jazz: a swinging small band
        kits=(_kit("Jazz"), _kit("Jazz", snare=("Brush", 38), kick=("Standard", 36)), _kit("Brush", kick=("Jazz", 36))),
        grooves=(
            ({"ride": "8...8.5.8...8.5.", "pedal": "6...6...6...6...", "kick": "9...9...9...9...", "snare": "....4.......4..."},
             {"ride": "9...9.5.9...9.5.", "pedal": "6...6...6...6...", "kick": "9...9...9...9...", "snare": "....4..3....4.3.", "rim": "............5..."}),
            ({"ride": "8...8...8...8.6.", "pedal": "6...6...6...6...", "kick": "9...9...9...9...", "rim": "....4.......4..."},
             {"ride": "9.4.9.5.9.4.9.5.", "pedal": "6...6...6...6...", "kick": "9...9...9...9...", "snare": "....4.3.....4..3"}),
            ({"hat": "8...8.4.8...8.4.", "kick": "9...9...9...9...", "snare": "....4.......4..."},
             {"ride": "9...9.5.9...9.5.", "bell": "8.......8.......", "kick": "9...9...9...9...", "snare": "....4.......4.3."}),
        ),
        bass=(Patch("Acoustic Bass", 29, 0.95),),
        chords=(Patch("Grand Piano", 62, 0.9), Patch("Vibraphone", 66, 0.95), Patch("Grand Piano", 60, 0.9, 0, True), Patch("Clean Guitar", 60, 0.9)),
        stabs=(Patch("Brass Section", 64, 0.8),),
        lead=(Patch("Tenor Sax", 66), Patch("Trumpet", 71), Patch("Flute", 78), Patch("Vibraphone", 76)),
        bass_lines=("1...3...5...a...",),
        comping=("7-----7---------", "7---..6-----....", "7-----..7-----..", "7-------..6-----"),
        hits=("9.....9.........", "......9.....9..."),
        rhythms=("X---x.x.X---....", "..x.x.X-x.X-....", "X.x.x.x.X-------", "X-----x.X.x.X-.."),
        progressions=(P("major", "2m7 7:13 0maj9 9:7b9"), P("major", "0:6 9m7 2m7 7:7"), P("minor", "2m7b5 7:7b9 0m6 0m6"),
                      P("blues", "0:13 5:9 0:13 0:13 5:9 5:9 0:13 9:7b9 2m9 7:13 0:13 7:13"), P("major", "0maj9 5:9 4m7 9:7b9"),
                      P("dorian", "0m9 0m9 0m9 5:13")),
        forms=JAZZ_FORMS, swing=0.3, swing_eighths=True, spread_ms=3, walking=True, duck=0.2, mix_db={"kick": 4, "bass": 1.5, "chords": -1, "lead": -1.5, "stabs": -3}, room=(0.18, 1.1),
    ),
}  # fmt: skip
