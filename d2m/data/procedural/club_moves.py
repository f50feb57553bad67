"""Vocabularies of the four club and stage genres: house, waack, street jazz, ballet jazz."""

from d2m.data.procedural.moves import Move, Vocabulary, key

HOUSE = Vocabulary(
    moves=(
        Move("jack", 1, (
            key(0, "smooth", arms=("ready", "ready"), chest=14, lean=-5, shift=0.03), key(0.5, "smooth", arms="pump", chest=-14, lean=8, hunch=14, shift=-0.03),
        ), (1.0, 2.0)),
        Move("shuffle", 2, (
            key(0, left=(0.04, 0.16), arms=("run_back", "run_front"), twist=-10), key(0.5, left=(0.15, -0.08), right=(0.04, 0.14), twist=6),
            key(1, right=(0.15, 0.0), left=(0.2, 0.06), arms=("run_front", "run_back"), twist=10), key(1.5, left=(0.12, 0.0), right=(0.16, -0.06)),
        )),
        Move("pas de bourree", 2, (
            key(0, left=(-0.14, -0.14), arms=("side_low", "cross"), sway=-0.04, twist=14), key(0.5, right=(0.22, 0.0), arms="side_low"),
            key(1, left=(0.16, 0.06), arms=("cross", "side_low"), sway=0.04, twist=-14), key(1.5, right=(0.14, 0.02), arms="ready"),
        ), (1.0, 2.0)),
        Move("farmer", 2, (
            key(0, left=(0.22, 0.26, 0.12), arms=("side_low", "ready"), tilt=-6, lean=-4), key(0.5, left=(0.0, -0.04)),
            key(1, right=(0.22, 0.26, 0.12), arms=("ready", "side_low"), tilt=6), key(1.5, right=(0.0, -0.04), lean=4),
        )),
        Move("skate", 4, (
            key(0, "smooth", left=(0.30, 0.08), right=(0.06, -0.16, 0.10), arms=("run_back", "cross"), sway=0.12, tilt=8, hunch=14), key(0.5, right=(0.0, -0.12)),
            key(1, "smooth", arms="side_low", dip=0.09), key(2, "smooth", right=(0.30, 0.08), left=(0.06, -0.16, 0.10), arms=("cross", "run_back"), sway=-0.12, tilt=-8),
            key(2.5, left=(0.0, -0.12)), key(3, "smooth", arms="side_low", left=(0.14, 0.0), right=(0.14, 0.0), sway=0, tilt=0, hunch=6),
        ), (1.0, 0.5)),
        Move("train", 2, (
            key(0, left=(0.10, 0.24), arms=("pump", "run_back"), lean=8, go_z=0.08), key(0.5, right=(0.10, -0.04, 0, 5, 30), arms="pump", dip=0.05),
            key(1, left=(0.10, -0.18), arms=("run_back", "pump"), lean=-4, go_z=-0.02), key(1.5, right=(0.12, 0.0), left=(0.12, 0.0)),
        )),
        Move("loose legs", 4, (
            key(0, left=(-0.12, 0.10), arms="side_low", twist=-14), key(0.5, left=(0.24, 0.04), arms="ready"), key(1, right=(-0.12, 0.10), arms="side_low", twist=14),
            key(1.5, right=(0.24, 0.04), arms="ready"), key(2, left=(0.12, 0.30, 0.10), arms=("run_back", "run_front"), dip=0.10), key(2.5, left=(0.1, 0.0)),
            key(3, right=(0.12, 0.30, 0.10), arms=("run_front", "run_back"), dip=0.10), key(3.5, right=(0.12, 0.0), left=(0.14, 0.0), dip=0.02),
        )),
        Move("stomp turn", 4, (
            key(0, "late", left=(0.1, 0.22), arms="wing", twist=-20), key(1, "late", turn=180, right=(0.15, 0.0), left=(0.13, 0.0), arms="chest", twist=0),
            key(2, "late", turn=360, left=(0.15, 0.0), right=(0.13, 0.0), arms="side_low"), key(2.5, dip=0.08), key(3, right=(0.2, 0.08), arms="ready", dip=0.04), key(3.5, right=(0.14, 0)),
        )),
    ),
    groove=(key(0, dip=-0.015, chest=5, lean=-2), key(0.5, dip=0.045, chest=-5, lean=3)),
    bar_weights=(1.1, 0.9, 1.0, 0.9), ease="late", rest=("ready", "ready"), stance_m=0.13,
    posture={"hunch": 6, "dip": 0.06, "lean": 4}, off_beat=0.2,
)  # fmt: skip

WAACK = Vocabulary(
    moves=(
        Move("overhead whack", 1, (
            key(0, "hit", arms=("side", "hip"), twist=-6, chest=10, look=20), key(0.5, "smooth", arms=("throw", "hip"), twist=6, chest=2),
        ), (1.0, 0.5)),
        Move("double whack", 2, (
            key(0, "hit", arms="side", chest=14, left=(0.22, 0.02), sway=0.05), key(0.5, arms="ear"), key(1, "hit", arms="point_down", hunch=8, left=(0.15, 0.0), sway=-0.02), key(1.5, arms="throw"),
        ), (1.0, 0.5, 2.0)),
        Move("arm circle", 2, (
            key(0, "smooth", arms=("up", "hip"), side=-12, sway=0.06), key(0.5, "smooth", arms=("side", "hip")), key(1, "smooth", arms=("down", "hip"), side=8, sway=-0.05),
            key(1.5, "smooth", arms=("cross", "hip"), side=0),
        ), (1.0, 0.5)),
        Move("pose", 4, (
            key(0, "whip", arms=("up", "hip"), left=(0.06, 0.2, 0, 10, 35), sway=-0.10, tilt=8, side=-14, look=35, cock=8, groove=0.1),
            key(2, "whip", arms=("hip", "brow"), sway=0.10, tilt=-8, side=14, look=-30, left=(0.18, 0.0)),
            key(3, "late", arms="throw", side=0, tilt=0, sway=0, look=0, groove=0.8), key(3.5, "hit", arms="side", chest=14),
        )),
        Move("twirl", 4, (
            key(0, "smooth", arms=("roll_in", "roll_in"), look=-20, left=(-0.08, 0.16)), key(0.5, "smooth", arms=("roll_out", "roll_out")),
            key(1, "late", arms=("ear", "ear"), turn=-180, right=(0.13, 0.0), left=(0.13, 0.0)), key(2, "late", arms="high_v", turn=-360, left=(0.15, 0.0), right=(0.15, 0.0), chest=14, look=0),
            key(3, "hit", arms=("side", "point_down"), sway=0.07, tilt=-6), key(3.5, arms=("throw", "hip"), sway=0, tilt=0),
        )),
        Move("walk and punish", 2, (
            key(0, "late", left=(0.02, 0.28), arms=("ear", "behind"), twist=18, go_z=0.08, chest=8), key(0.5, "hit", arms=("point_side", "behind"), twist=-8),
            key(1, "late", right=(0.02, 0.24), arms=("behind", "ear"), twist=-18, go_z=0.12), key(1.5, "hit", arms=("behind", "point_side"), twist=8, left=(0.12, 0.0), go_z=0.0),
        ), (1.0, 2.0)),
        Move("groucho dip", 4, (
            key(0, "late", arms="ear", dip=0.02, left=(0.20, 0.0)), key(1, "hit", arms=("side", "side"), dip=0.16, left=(0.3, 0.08), lean=8), key(1.5, arms="throw"),
            key(2, "hit", arms=("cross", "cross"), dip=0.2, hunch=16), key(2.5, arms="ear", dip=0.08, hunch=4), key(3, "hit", arms=("up", "up"), dip=-0.02, left=(0.15, 0.0), chest=16, nod=-14),
        )),
    ),
    groove=(key(0, "smooth", sway=0.05, dip=0.025, tilt=-4), key(0.5, dip=0.0), key(1, "smooth", sway=-0.05, dip=0.025, tilt=4), key(1.5, dip=0.0)),
    bar_weights=(1.1, 1.1, 0.8, 0.9), ease="late", rest=("hip", "throw"), stance_m=0.14,
    posture={"chest": 6, "lean": -2}, off_beat=0.35, groove_beats=2,
)  # fmt: skip

STREET_JAZZ = Vocabulary(
    moves=(
        Move("hip line", 2, (
            key(0, "hit", arms=("hip", "side"), sway=0.12, tilt=-9, side=12, left=(0.2, 0.02), right=(0.06, 0.1, 0, 10, 40)),
            key(1, "smooth", arms=("high_v", "hip"), sway=-0.10, tilt=8, side=-14, right=(0.15, 0.0), look=20), key(1.5, sway=0.02, tilt=0),
        ), (1.0, 2.0)),
        Move("step touch turn", 4, (
            key(0, "late", left=(0.28, 0.0), arms=("side", "chest"), sway=0.08), key(1, "late", turn=180, right=(0.13, 0.0), arms="chest"),
            key(2, "late", turn=360, left=(0.14, 0.0), right=(0.14, 0.0), arms=("arabesque", "side")), key(2.75, "hit", arms="fold", dip=0.08, chest=14),
            key(3.5, "smooth", arms="second", dip=0.0),
        )),
        Move("jazz square", 4, (
            key(0, "smooth", left=(-0.12, 0.22), arms=("side", "first"), twist=-14, dip=0.04), key(1, "smooth", right=(0.12, -0.18), arms="first", twist=6, dip=0.0),
            key(2, "smooth", left=(0.26, -0.08), arms=("second", "side"), twist=12, sway=0.06), key(3, "smooth", right=(0.14, 0.02), left=(0.14, 0.0), arms=("hip", "hip"), twist=0, sway=0, chest=8),
        ), (1.0, 0.5)),
        Move("reach and pull", 4, (
            key(0, "smooth", arms=("reach", "hip"), side=-18, look=30, left=(0.24, 0.06), nod=-12, sway=0.06), key(1.5, "hit", arms=("chest", "hip"), side=6, dip=0.09, hunch=14, nod=8, sway=-0.03),
            key(2, "smooth", arms=("chest", "reach"), side=16, look=-30), key(3, "hit", arms=("slick", "slick"), side=0, look=0, dip=0.04, hunch=0, chest=14, left=(0.15, 0)),
        )),
        Move("hip roll", 2, (
            key(0, "smooth", sway=0.11, tilt=-7, arms="hip", dip=0.06), key(0.5, "smooth", shift=0.09, sway=0.0, tilt=0, dip=0.08), key(1, "smooth", sway=-0.11, tilt=7, shift=0), key(1.5, "smooth", shift=-0.09, sway=0, tilt=0, lean=8),
        ), (1.0, 2.0)),
        Move("ball change kick", 4, (
            key(0, "hit", left=(0.04, 0.56, 0.72, 0, 25), arms=("side", "arabesque"), lean=-9, groove=0.2), key(1, "late", left=(0.12, -0.1), arms="second", lean=4, dip=0.06),
            key(1.5, right=(0.13, 0.05)), key(2, "hit", left=(0.28, 0.06), arms=("fold", "point_down"), twist=-20, sway=0.08, dip=0.08),
            key(3, "smooth", left=(0.14, 0.0), arms=("hip", "high_v"), twist=0, sway=0, dip=0.0),
        )),
        Move("snake", 2, (
            key(0, "smooth", side=16, slide=12, cock=14, arms=("side_low", "brow"), dip=0.02), key(1, "smooth", side=-16, slide=-12, cock=-14, arms=("brow", "side_low"), dip=0.08),
        ), (1.0, 2.0)),
    ),
    groove=(key(0, "smooth", sway=0.03, dip=0.02), key(1, "smooth", sway=-0.03, dip=0.005), key(1.5, dip=0.025)),
    bar_weights=(1.1, 0.8, 1.0, 0.8), ease="late", rest=("second", "hip"), stance_m=0.13,
    posture={"chest": 6, "lean": -1}, off_beat=0.35, groove_beats=2,
)  # fmt: skip

BALLET_JAZZ = Vocabulary(
    moves=(
        Move("pirouette", 4, (
            key(0, "smooth", arms=("first", "second"), left=(0.1, 0.06), right=(0.06, -0.22), dip=0.13, groove=0), key(1, "early", arms="first", right=(-0.02, 0.12, 0.34, 30, 50), dip=-0.035, turn=-40, left=(0.02, 0.0, 0, 10, 38)),
            key(2, "smooth", turn=-280, arms="first"), key(3, "smooth", turn=-360, right=(0.12, -0.12), left=(0.1, 0.06, 0, 10, 0), arms=("second", "arabesque"), dip=0.10),
            key(3.5, dip=0.02, right=(0.12, 0.0), groove=0.7),
        )),
        Move("grand battement", 4, (
            key(0, "smooth", right=(0.1, -0.22), arms=("second", "second"), dip=0.03), key(1, "late", right=(0.02, 0.56, 0.98, 5, 40), arms=("fifth", "second"), lean=-8, dip=-0.02, groove=0.1),
            key(2, "smooth", right=(0.1, -0.22), arms="second", lean=4, dip=0.06), key(3, "smooth", right=(0.12, 0.0), arms="first", dip=0.02, lean=0),
        )),
        Move("chasse line", 2, (
            key(0, "smooth", left=(0.30, 0.08), arms=("arabesque", "trail"), sway=0.10, dip=0.08, twist=-14), key(0.6, right=(0.04, 0.0), dip=-0.02, arms="first"),
            key(1, "smooth", left=(0.26, 0.10), arms=("side", "fifth"), dip=0.06), key(1.6, left=(0.12, 0.0), right=(0.12, 0.0), dip=0.0, sway=0, twist=0),
        ), (1.0, 2.0)),
        Move("port de bras", 4, (
            key(0, "smooth", arms="first", hunch=8, dip=0.06, nod=10), key(1, "smooth", arms="fifth", hunch=-8, dip=-0.03, nod=-14, chest=10, left=(0.1, 0.0, 0, 12, 28), right=(0.1, 0.0, 0, 12, 28)),
            key(2, "smooth", arms=("side", "fifth"), side=-18, look=25, dip=0.0, left=(0.1, 0.0), right=(0.1, 0.0)), key(3, "smooth", arms="second", side=0, look=0, dip=0.05, hunch=0, nod=0),
        ), (1.0, 0.5)),
        Move("side lunge", 4, (
            key(0, "late", left=(0.44, 0.04), arms=("point_side", "trail"), sway=0.14, dip=0.17, side=-8, look=40, groove=0.2), key(1.6, "smooth", arms=("reach", "second"), side=12, look=0),
            key(2, "late", arms=("first", "high_v"), twist=-20, dip=0.12), key(3, "smooth", left=(0.13, 0.0), arms="second", sway=0, dip=0.0, twist=0, side=0),
        )),
        Move("arabesque", 4, (
            key(0, "smooth", left=(0.06, 0.12), arms="first", dip=0.06), key(1, "smooth", right=(0.04, -0.58, 0.5, 0, 50), arms=("arabesque", "trail"), lean=22, chest=18, dip=0.0, groove=0),
            key(2.6, "smooth", right=(0.04, -0.56, 0.55, 0, 50), arms=("reach", "side")), key(3, "late", right=(0.1, 0.0), left=(0.1, 0.0), lean=0, chest=4, arms="second", dip=0.07, groove=0.6),
        )),
        Move("kick ball change", 2, (
            key(0, "hit", left=(0.04, 0.55, 0.55, 0, 40), arms=("trail", "arabesque"), lean=-6), key(0.6, left=(0.1, -0.12), arms="second", lean=2), key(1, right=(0.14, 0.06), arms=("high_v", "second"), dip=0.05),
            key(1.6, left=(0.12, 0.0), right=(0.12, 0.0), arms="second"),
        ), (1.0, 2.0)),
        Move("soutenu", 4, (
            key(0, "smooth", left=(0.24, 0.02), arms="second", dip=0.07), key(1, "late", turn=-180, right=(0.08, 0.0, 0, 5, 35), left=(0.08, 0.0, 0, 5, 35), arms="fifth", dip=-0.03),
            key(2, "late", turn=-360, left=(0.08, 0.0, 0, 5, 35), right=(0.08, 0.02, 0, 5, 35), arms="fifth"), key(3, "smooth", arms=("second", "arabesque"), dip=0.07, left=(0.12, 0.0), right=(0.12, 0.0)),
        )),
    ),
    groove=(key(0, "smooth", dip=-0.01, chest=3), key(0.6, "smooth", dip=0.02, chest=0), key(1, "smooth", dip=0.012), key(1.6, dip=-0.005)),
    bar_weights=(1.2, 0.8, 0.9, 0.8), ease="smooth", rest=("second", "second"), stance_m=0.11,
    posture={"chest": 5, "hunch": -3, "dip": 0.0}, off_beat=0.25, groove_beats=2,
)  # fmt: skip
